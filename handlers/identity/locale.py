"""How a tenant works: time zone, formats, currency, language, working time and fields of its own."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints

from handlers.identity.custom_fields import CustomFields
from handlers.identity.people import Language, Timezone, from_json
from handlers.identity.working_time import Holidays, WorkingHours
from handlers.registry import Text

DateFormat = Literal["YYYY-MM-DD", "DD.MM.YYYY", "DD/MM/YYYY", "MM/DD/YYYY", "D MMM YYYY", "MMM D, YYYY"]

CURRENCIES: Final = frozenset(
    [
        "AED",
        "AFN",
        "ALL",
        "AMD",
        "ANG",
        "AOA",
        "ARS",
        "AUD",
        "AWG",
        "AZN",
        "BAM",
        "BBD",
        "BDT",
        "BGN",
        "BHD",
        "BIF",
        "BMD",
        "BND",
        "BOB",
        "BRL",
        "BSD",
        "BTN",
        "BWP",
        "BYN",
        "BZD",
        "CAD",
        "CDF",
        "CHF",
        "CLP",
        "CNY",
        "COP",
        "CRC",
        "CUP",
        "CVE",
        "CZK",
        "DJF",
        "DKK",
        "DOP",
        "DZD",
        "EGP",
        "ERN",
        "ETB",
        "EUR",
        "FJD",
        "FKP",
        "GBP",
        "GEL",
        "GHS",
        "GIP",
        "GMD",
        "GNF",
        "GTQ",
        "GYD",
        "HKD",
        "HNL",
        "HTG",
        "HUF",
        "IDR",
        "ILS",
        "INR",
        "IQD",
        "IRR",
        "ISK",
        "JMD",
        "JOD",
        "JPY",
        "KES",
        "KGS",
        "KHR",
        "KMF",
        "KPW",
        "KRW",
        "KWD",
        "KYD",
        "KZT",
        "LAK",
        "LBP",
        "LKR",
        "LRD",
        "LSL",
        "LYD",
        "MAD",
        "MDL",
        "MGA",
        "MKD",
        "MMK",
        "MNT",
        "MOP",
        "MRU",
        "MUR",
        "MVR",
        "MWK",
        "MXN",
        "MYR",
        "MZN",
        "NAD",
        "NGN",
        "NIO",
        "NOK",
        "NPR",
        "NZD",
        "OMR",
        "PAB",
        "PEN",
        "PGK",
        "PHP",
        "PKR",
        "PLN",
        "PYG",
        "QAR",
        "RON",
        "RSD",
        "RUB",
        "RWF",
        "SAR",
        "SBD",
        "SCR",
        "SDG",
        "SEK",
        "SGD",
        "SHP",
        "SLE",
        "SOS",
        "SRD",
        "SSP",
        "STN",
        "SVC",
        "SYP",
        "SZL",
        "THB",
        "TJS",
        "TMT",
        "TND",
        "TOP",
        "TRY",
        "TTD",
        "TWD",
        "TZS",
        "UAH",
        "UGX",
        "USD",
        "UYU",
        "UZS",
        "VED",
        "VES",
        "VND",
        "VUV",
        "WST",
        "XAF",
        "XCD",
        "XCG",
        "XOF",
        "XPF",
        "YER",
        "ZAR",
        "ZMW",
        "ZWG",
    ]
)
"""ISO 4217: the currencies that one pays in."""


def _currency(value: str) -> str:
    folded = value.strip().upper()
    if folded not in CURRENCIES:
        raise ValueError("must be a currency such as EUR (ISO 4217)")
    return folded


Currency = Annotated[Text, StringConstraints(max_length=10), AfterValidator(_currency)]


class TenantSettings(BaseModel):
    """How a tenant works; what was never set is as it is here."""

    model_config = ConfigDict(extra="ignore")

    timezone: Timezone = "UTC"
    date_format: DateFormat = "YYYY-MM-DD"
    currency: Currency = "EUR"
    language: Language = "en"
    working_hours: WorkingHours = WorkingHours.usual()
    holidays: Holidays = []
    custom_fields: CustomFields = []


def whole_settings(stored: object) -> object:
    """Settings as a row holds them, with every default written out, so that events and snapshots say the same."""
    held: Any = from_json(stored)
    return {**TenantSettings().model_dump(), **held} if isinstance(held, dict) else held


Settings = Annotated[TenantSettings, BeforeValidator(whole_settings)]
"""Settings as a row holds them."""

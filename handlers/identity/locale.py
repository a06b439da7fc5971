"""How a tenant works: time zone, formats, currency, language, working time and fields of its own."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from handlers.identity.currencies import Currency
from handlers.identity.custom_fields import CustomFields
from handlers.identity.people import Language, Timezone, from_json
from handlers.identity.working_time import Holidays, WorkingHours

DateFormat = Literal["YYYY-MM-DD", "DD.MM.YYYY", "DD/MM/YYYY", "MM/DD/YYYY", "D MMM YYYY", "MMM D, YYYY"]


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

"""Settings of a tenant: changed in parts, each part as a whole."""

import orjson
from pydantic import Field

from handlers.context import Tx
from handlers.errors import ValidationFailed
from handlers.identity.currencies import Currency
from handlers.identity.custom_fields import CustomFields, changed_type
from handlers.identity.locale import DateFormat, TenantSettings
from handlers.identity.people import Language, Timezone
from handlers.identity.tenants import TenantDetails, TenantUpdated, refuse_nulls
from handlers.identity.working_time import Holidays, WorkingHours
from handlers.registry import Payload, command


class UpdateSettings(Payload):
    """Fields that are left out stay as they are; hours, holidays and fields are replaced as a whole."""

    timezone: Timezone | None = Field(None, description="IANA name: Europe/Zurich.")
    date_format: DateFormat | None = None
    currency: Currency | None = Field(None, description="ISO 4217: CHF.")
    language: Language | None = Field(None, description="BCP 47 tag: de, pt-BR.")
    working_hours: WorkingHours | None = None
    holidays: Holidays | None = None
    custom_fields: CustomFields | None = Field(
        None, description="All definitions. One that is left out is gone; a key keeps its type."
    )


@command(
    "tenant.update_settings",
    needs="tenant.manage",
    rest="PUT /tenants/{tenant_id}/settings",
    room="tenant",
    versioned=True,
)
async def update_settings(tx: Tx, cmd: UpdateSettings) -> TenantUpdated:
    """Change how the tenant works: time zone, formats, working time, fields of its own."""
    refuse_nulls(cmd)
    before = await tx.one("tenant")
    tx.check_version(before, TenantDetails)
    held: TenantSettings = TenantDetails.of(before).settings
    if cmd.custom_fields is not None and (key := changed_type(held.custom_fields, cmd.custom_fields)):
        raise ValidationFailed.field(
            "custom_fields", f"{key} keeps its type: take another key for another type"
        )
    fresh = held.model_copy(update={name: getattr(cmd, name) for name in cmd.model_fields_set})
    settings = orjson.dumps(fresh.model_dump(mode="json")).decode()
    return TenantUpdated.between(before, await tx.one("update_tenant_settings", settings=settings))

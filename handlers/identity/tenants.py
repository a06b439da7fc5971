"""Tenants: the isolated customers, and what they say of themselves."""

import re
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from handlers.context import Tx
from handlers.errors import Conflict, ValidationFailed, constraint
from handlers.identity.field_values import Given, Held, tenant_field_set
from handlers.identity.locale import Settings
from handlers.identity.looks import Branding
from handlers.identity.people import Email, Phone, Preferences, from_json
from handlers.registry import Entity, Event, Name, Payload, Reply, Text, Timestamp, command, query
from storage.postgres import Row

TenantStatus = Literal["active", "inactive", "suspended", "deleted"]
Step = Literal["profile", "settings", "branding", "invite", "project", "task"]

MAX_FORMER_SLUGS: Final = 5
"""Slugs that a tenant had before and keeps; the oldest is given up (count)."""
RESERVED: Final = frozenset(
    [
        "admin",
        "api",
        "app",
        "assets",
        "auth",
        "billing",
        "branding",
        "docs",
        "health",
        "help",
        "mail",
        "platform",
        "status",
        "support",
        "system",
        "www",
    ]
)
"""Slugs that could be mistaken for the server's own."""
CLEARABLE: Final = frozenset({"email", "phone", "address"})
"""What a tenant may do without: null takes it away."""
_SLUG: Final = re.compile(r"[a-z0-9](?:-?[a-z0-9]){1,59}")

TAKEN: Final = "is taken"
constraint("tenants_slug_key", "slug", TAKEN)
constraint("tenant_slugs_slug_key", "slug", TAKEN)


def _slug(value: str) -> str:
    folded = value.strip().lower()
    if not _SLUG.fullmatch(folded) or len(folded) > 60 or folded in RESERVED:
        raise ValueError(
            "must have 2 to 60 letters and digits, with single hyphens between, and not be reserved"
        )
    return folded


Slug = Annotated[Text, StringConstraints(max_length=200), AfterValidator(_slug)]
Description = Annotated[Text, StringConstraints(max_length=2000)]
PostalAddress = Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class Tenant(Entity):
    """The isolated customer, as everybody who signs in to it needs to know it."""

    id: UUID
    slug: str
    name: str
    status: TenantStatus
    settings: Settings
    branding: Branding
    require_second_factor: bool
    version: int
    created_at: Timestamp

    @classmethod
    def of(cls, row: Row) -> Self:
        """From a row, whose branding is put together of several columns."""
        return cls.model_validate({**dict(row), "branding": Branding.of(row)})


class TenantDetails(Tenant):
    """All that the tenant's room knows of it."""

    description: str
    email: str | None
    phone: str | None
    address: str | None
    metadata: Annotated[dict[str, Any], BeforeValidator(from_json)]
    fields: Held = Field(description="Values of its custom fields, by key.")
    dismissed_steps: list[Step]
    parent_id: UUID | None = Field(description="The organization that it belongs to.")
    asked_parent_id: UUID | None = Field(description="The organization that it has asked to belong to.")
    purge_at: Timestamp | None = Field(description="When all of a deleted tenant is removed.")


class TenantWas(Entity):
    """The values that changed fields had before."""

    name: str | None = None
    slug: str | None = None
    description: str | None = None
    email: str | None = None
    phone: str | None = None
    address: str | None = None
    metadata: dict[str, Any] | None = None
    fields: Held | None = None
    status: TenantStatus | None = None
    require_second_factor: bool | None = None
    settings: dict[str, Any] | None = Field(None, description="Of the settings, those that changed.")
    branding: dict[str, Any] | None = Field(None, description="Of the branding, what changed.")
    parent_id: UUID | None = None
    asked_parent_id: UUID | None = None
    dismissed_steps: list[Step] | None = None


class TenantUpdated(Event, name="tenant.updated"):
    """The tenant changed: what it says of itself, its settings, branding, status or organization."""

    tenant: TenantDetails
    was: TenantWas

    @classmethod
    def between(cls, before: Row, after: Row) -> Self:
        """The event about a row that was changed, and what it was before."""
        old, new = TenantDetails.of(before), TenantDetails.of(after)
        was: dict[str, Any] = {}
        for name in TenantWas.model_fields:
            held, now = getattr(old, name), getattr(new, name)
            if held != now:
                parts = name in ("settings", "branding")
                was[name] = _changed(held.model_dump(), now.model_dump()) if parts else held
        return cls(tenant=new, was=TenantWas(**was))


class OneTenant(Payload):
    """No fields: the tenant is that of the token."""


class UpdateTenant(Payload):
    """Fields that are left out stay as they are; null takes email, phone and address away."""

    name: Name | None = None
    slug: Slug | None = Field(
        None,
        description="Names the tenant in addresses; unique on this server. The former one stays its own.",
    )
    description: Description | None = None
    email: Email | None = Field(None, description="Where the tenant can be written to.")
    phone: Phone | None = Field(None, description="E.164: +41441234567.")
    address: PostalAddress | None = Field(None, description="Postal address, in lines.")
    metadata: Preferences | None = Field(
        None, description="An object for programs, replaced as a whole; 16 KiB at most."
    )
    fields: Given | None = Field(
        None, description="Values of custom fields, by key; those not named stay, null takes one away."
    )


class TenantReply(Reply):
    tenant: TenantDetails


@query("tenant.get", needs="tenant.view", rest="GET /tenants/{tenant_id}", room="tenant")
async def get(tx: Tx, ask: OneTenant) -> TenantReply:
    """The tenant."""
    return TenantReply(tenant=TenantDetails.of(await tx.one("tenant")))


@command(
    "tenant.update", needs="tenant.manage", rest="PUT /tenants/{tenant_id}", room="tenant", versioned=True
)
async def update(tx: Tx, cmd: UpdateTenant) -> TenantUpdated:
    """Change what the tenant says of itself."""
    refuse_nulls(cmd, CLEARABLE)
    before = await tx.one("tenant")
    tx.check_version(before, TenantDetails)
    changed = cmd.model_dump(include=set(cmd.model_fields_set))
    columns = {name: before[name] for name in UpdateTenant.model_fields} | changed
    if "metadata" in changed:
        columns["metadata"] = orjson.dumps(changed["metadata"]).decode()
    if "fields" in changed:
        known = await tenant_field_set(tx, "tenant")
        columns["fields"] = await known.changed(tx, before["fields"], changed["fields"], "fields")
    if columns["slug"] != before["slug"]:
        await _rename(tx, before["slug"], columns["slug"])
    return TenantUpdated.between(before, await tx.one("update_tenant", **columns))


def refuse_nulls(cmd: Payload, but: frozenset[str] = frozenset()) -> None:
    """Refuse null where it would mean nothing."""
    nulls = [name for name in cmd.model_fields_set - but if getattr(cmd, name) is None]
    if nulls:
        raise ValidationFailed.field(nulls[0], "must not be null: leave it out")


async def _rename(tx: Tx, former: str, slug: str) -> None:
    """Take a new slug, and keep the former one from others."""
    if not await tx.value("slug_is_free", slug=slug):
        raise Conflict("This slug is taken", field_errors={"slug": [TAKEN]})
    await tx.exec("keep_slug", slug=former, taken=slug, max_former=MAX_FORMER_SLUGS)


def _changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in before.items() if after[name] != value}

"""Branding: what a tenant's people see instead of the server's own name and colours."""

from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, Field, StringConstraints

from handlers.context import Edge, Tx
from handlers.errors import ValidationFailed, constraint
from handlers.identity.colours import READABLE, Colour, contrast, readable_on
from handlers.identity.looks import Branding, Domain, Looks, SenderName, ShownName, as_host
from handlers.identity.people import Email, from_json
from handlers.identity.tenants import TenantDetails, TenantUpdated
from handlers.registry import Payload, Reply, Text, command, endpoint

constraint("tenants_custom_domain_key", "custom_domain", "is taken")

Asked = Annotated[Text, StringConstraints(max_length=300), AfterValidator(lambda text: text.strip().lower())]


class UpdateBranding(Payload):
    """Fields that are left out stay as they are; null takes one away."""

    product_name: ShownName | None = Field(None, description="Instead of the server's own name.")
    primary_color: Colour | None = Field(None, description="Ground of buttons: #3b5bdb.")
    primary_text_color: Colour | None = Field(
        None, description="Text on it; null for black or white, whichever is easier to read."
    )
    header_color: Colour | None = Field(None, description="Ground of the bar at the top.")
    header_text_color: Colour | None = Field(None, description="Text on it, in the same way.")
    custom_domain: Domain | None = Field(
        None,
        description="A host name that leads to this server, within a domain that the tenant has proven "
        "(sso.verify_domain). Its sign-in page has this look.",
    )
    sender_name: SenderName | None = Field(None, description="Who mails come from, by name.")
    reply_to: Email | None = Field(None, description="Where answers to mails go.")


class AskLooks(Payload):
    slug: Asked | None = None
    domain: Asked | None = None


class LooksReply(Reply):
    branding: Looks


@command(
    "tenant.update_branding",
    needs="tenant.manage",
    rest="PUT /tenants/{tenant_id}/branding",
    room="tenant",
    versioned=True,
)
async def update_branding(tx: Tx, cmd: UpdateBranding) -> TenantUpdated:
    """Change how the tenant looks. Text that could not be read on its ground is refused (WCAG 2.2, level AA)."""
    before = await tx.one("tenant")
    tx.check_version(before, TenantDetails)
    stored: Any = from_json(before["branding"])
    changed = cmd.model_dump(include=set(cmd.model_fields_set))
    domain = changed.pop("custom_domain", before["custom_domain"])
    if domain not in (None, before["custom_domain"]):
        await _require_proven(tx, domain)
    fresh = {name: value for name, value in {**stored, **changed}.items() if value is not None}
    for ground in ("primary", "header"):
        _require_readable(fresh, ground)
    return TenantUpdated.between(
        before, await tx.one("update_branding", branding=orjson.dumps(fresh).decode(), custom_domain=domain)
    )


async def _require_proven(tx: Tx, host: str) -> None:
    """Nobody's sign-in page gets a look that the keeper of its domain has not chosen."""
    proven = [_host(row["domain"]) for row in await tx.many("sso_domains") if row["verified_at"]]
    if not any(name and (host == name or host.endswith(f".{name}")) for name in proven):
        raise ValidationFailed.field(
            "custom_domain", "does not lie within a domain that this tenant has proven"
        )


def _host(domain: str) -> str | None:
    """A proven domain as hosts are written; None for one that a newer IDNA knows and that of hosts does not."""
    try:
        return as_host(domain)
    except ValueError:
        return None


@endpoint("branding.get", rest="GET /branding", public=True)
async def get(edge: Edge, ask: AskLooks) -> LooksReply:
    """How a tenant looks, for the page on which its people sign in, by its slug or its own domain.

    Where there is no such tenant, or it is out of use, the answer is that of one that has chosen nothing.
    """
    async with edge.db.transaction(None) as session:
        row = await session.maybe("branding_of", ask)
    return LooksReply(branding=Looks(**Branding.of(row).model_dump()) if row else Looks())


def _require_readable(branding: dict[str, str], ground: str) -> None:
    below, text = branding.get(f"{ground}_color"), branding.get(f"{ground}_text_color")
    if text and not below:
        raise ValidationFailed.field(
            f"{ground}_text_color", f"needs {ground}_color, the ground it is read on"
        )
    if text and below and (ratio := contrast(text, below)) < READABLE:
        raise ValidationFailed.field(
            f"{ground}_text_color",
            f"cannot be read on {below}: the contrast is {ratio:.2f}:1 and has to be {READABLE}:1; "
            f"{readable_on(below)} can",
        )

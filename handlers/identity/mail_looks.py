"""The look of mails: that of the tenant they are sent for, or that their reader works in, or the server's own."""

from dataclasses import dataclass
from uuid import UUID

from handlers.identity.looks import HEADER, PRIMARY, PRODUCT, Branding
from storage.postgres import Database
from storage.settings import Settings


@dataclass(frozen=True, slots=True)
class MailLooks:
    """What the layout of a mail is given as `brand`. Each colour is a ground with the text that is read on it."""

    product: str = PRODUCT
    logo: str | None = None
    header: tuple[str, str] = HEADER
    primary: tuple[str, str] = PRIMARY
    sender: str | None = None
    """Who it comes from, by name; the address stays the server's."""
    reply_to: str | None = None

    @classmethod
    def of(cls, branding: Branding, settings: Settings) -> "MailLooks":
        logo = f"{settings.public_url}{branding.logo_url}" if branding.logo_url else None
        return cls(
            branding.product_name or PRODUCT, logo,
            _pair(branding.header_color, branding.header_text_color) or HEADER,
            _pair(branding.primary_color, branding.primary_text_color) or PRIMARY,
            branding.sender_name or branding.product_name, branding.reply_to,
        )  # fmt: skip


async def looks_for(
    db: Database, settings: Settings, tenant_id: UUID | None, user_id: UUID | None, email: str
) -> MailLooks:
    """The look of a mail: of its tenant, else of the one that its reader entered last, or has as the only one."""
    if tenant_id is None:
        async with db.transaction(None) as session:
            tenant_id = await session.value("tenant_of_mails", user_id=user_id, email=email)
    if tenant_id is None:
        return MailLooks()
    async with db.transaction(tenant_id) as session:
        row = await session.maybe("tenant")
    if row is None or row["status"] != "active":
        return MailLooks()
    return MailLooks.of(Branding.of(row), settings)


def _pair(ground: str | None, text: str | None) -> tuple[str, str] | None:
    return (ground, text) if ground and text else None

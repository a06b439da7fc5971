"""Domains: proven by a code that goes to the keeper of a domain's mail.

The code is sent to one of the addresses that certificate authorities use for the same purpose (CA/Browser Forum
Baseline Requirements, 3.2.2.4.4). A domain is proven by one tenant at a time.
"""

from datetime import timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field, StringConstraints

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed, constraint
from handlers.identity import mails
from handlers.identity.addresses import BAD_TOKEN
from handlers.identity.mails import Queued, Values
from handlers.identity.people import Token
from handlers.identity.tokens import hash_token, new_token
from handlers.registry import Entity, Event, Outcome, Payload, Reply, Text, Timestamp, command
from storage.ids import new_id
from storage.postgres import Row, Session
from storage.settings import Settings

constraint("sso_domains_domain_key", "domain", "is among this tenant's domains already")
constraint("sso_domains_verified_key", "domain", "is proven by another tenant")

MAX_DOMAINS: Final = 50
"""Domains of one tenant (count)."""

Mailbox = Literal["postmaster", "admin", "administrator", "hostmaster", "webmaster"]


def _domain(value: str) -> str:
    """As it stands in addresses."""
    try:
        return validate_email(f"postmaster@{value.strip().lower()}", check_deliverability=False).domain
    except EmailNotValidError:
        raise ValueError("must be a domain such as example.com") from None


DomainName = Annotated[Text, StringConstraints(max_length=253), AfterValidator(_domain)]


class SsoDomain(Entity):
    """A domain of the tenant; it counts once it is proven."""

    id: UUID
    domain: str
    verified_at: Timestamp | None
    created_at: Timestamp


class SsoDomainChanged(Event, name="sso.domain_changed"):
    """The domains of the tenant have changed; those who may know more ask `sso.list`."""


class AddDomain(Payload):
    domain: DomainName
    mailbox: Mailbox = Field("postmaster", description="Which address of the domain the code is sent to.")


class RenewDomain(Payload):
    domain_id: UUID
    mailbox: Mailbox = "postmaster"


class VerifyDomain(Payload):
    domain_id: UUID
    code: Token = Field(description="The one of the mail; good once.")


class RemoveDomain(Payload):
    domain_id: UUID


class SsoDomainReply(Reply):
    domain: SsoDomain


@command(
    "sso.add_domain", needs="security.manage", rest="POST /tenants/{tenant_id}/sso-domains", room="tenant", status=201
)  # fmt: skip
async def add(tx: Tx, cmd: AddDomain) -> Outcome[SsoDomainChanged, SsoDomainReply]:
    """Name a domain of one's own. A mail with a code goes to `<mailbox>@<domain>`; it counts once the code is here."""
    if len(await tx.many("sso_domains")) >= MAX_DOMAINS:
        raise Conflict(f"A tenant may have {MAX_DOMAINS} domains")
    row = await tx.one("add_sso_domain", cmd, id=new_id())
    await _ask(tx, row, cmd.mailbox)
    return Outcome([SsoDomainChanged()], SsoDomainReply(domain=SsoDomain.of(row)))


@command(
    "sso.renew_domain", needs="security.manage", rest="POST /tenants/{tenant_id}/sso-domains/{domain_id}/renew", room="tenant"
)  # fmt: skip
async def renew(tx: Tx, cmd: RenewDomain) -> Outcome[SsoDomainChanged, SsoDomainReply]:
    """Send another code, because the first got lost or to prove a domain anew. A proven one stays so meanwhile."""
    row = await _found(tx, cmd.domain_id)
    await _ask(tx, row, cmd.mailbox)
    return Outcome([SsoDomainChanged()], SsoDomainReply(domain=SsoDomain.of(row)))


@command(
    "sso.verify_domain", needs="security.manage", rest="POST /tenants/{tenant_id}/sso-domains/{domain_id}/verify", room="tenant"
)  # fmt: skip
async def verify(tx: Tx, cmd: VerifyDomain) -> Outcome[SsoDomainChanged, SsoDomainReply]:
    """Prove a domain with the code of the mail.

    CONFLICT where another tenant has proven it; one that did so longer ago than `ATRIUM_DOMAIN_TTL` loses it.
    """
    may_vouch(tx)
    row = await _found(tx, cmd.domain_id)
    if await tx.maybe("use_domain_code", cmd, code_hash=hash_token(cmd.code)) is None:
        raise ValidationFailed.field("code", BAD_TOKEN)
    older_than = tx.now - timedelta(days=tx.settings.domain_ttl)
    await tx.exec("release_domain", domain=row["domain"], older_than=older_than)
    fresh = await tx.one("sso_domain_verified", cmd)
    await tx.exec("drop_domain_codes", cmd)
    await tx.rights_changed()
    return Outcome([SsoDomainChanged()], SsoDomainReply(domain=SsoDomain.of(fresh)))


@command(
    "sso.remove_domain", needs="security.manage", rest="DELETE /tenants/{tenant_id}/sso-domains/{domain_id}", room="tenant"
)  # fmt: skip
async def remove(tx: Tx, cmd: RemoveDomain) -> SsoDomainChanged:
    """Give a domain up: nobody signs in by it any more, and sessions of its people through a provider end at once."""
    row = await tx.maybe("remove_sso_domain", cmd)
    if row is None:
        raise NotFound("There is no such domain")
    await tx.exec("drop_domain_codes", cmd)
    await tx.exec("end_sso_sessions", provider=None, domain=row["domain"], reason="domain removed")
    await tx.rights_changed()
    return SsoDomainChanged()


def may_vouch(tx: Tx) -> None:
    """Whose provider vouches for the people of a domain can sign in as any of them, short of an owner."""
    tx.may_give("admin")


async def _found(tx: Tx, domain_id: UUID) -> Row:
    row = await tx.maybe("sso_domain", domain_id=domain_id)
    if row is None:
        raise NotFound("There is no such domain")
    return row


async def _ask(tx: Tx, row: Row, mailbox: str) -> None:
    tenant = await tx.one("tenant")
    await mails.tell(
        tx.session, "verify_domain", f"{mailbox}@{row['domain']}", domain=row["domain"], domain_id=str(row["id"]),
        tenant_id=str(tx.room.tenant_id), tenant=tenant["name"],
    )  # fmt: skip


@mails.letter("verify_domain")
async def write_code(session: Session, settings: Settings, queued: Queued) -> Values | None:
    """The mail with a fresh code; none where one has only just been sent."""
    pause = timedelta(seconds=settings.mail_pause)
    domain_id, claimed_by = UUID(queued.data["domain_id"]), UUID(queued.data["tenant_id"])
    ttl = timedelta(seconds=settings.domain_code_ttl)
    if queued.tries <= 1 and await session.value("recent_domain_code", domain_id=domain_id, pause=pause):
        return None
    code, code_hash = new_token()
    await session.exec(
        "add_domain_code", code_hash=code_hash, domain_id=domain_id, claimed_by=claimed_by, ttl=ttl
    )
    return {"code": code, "good_for": mails.duration(settings.domain_code_ttl)}

"""Single sign-on: the providers of identity that a tenant brings along."""

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed, constraint
from handlers.identity.domains import DomainName, SsoDomain, may_vouch
from handlers.identity.oidc.providers import CLIENT_SECRET
from handlers.registry import (
    SECRET,
    Entity,
    Event,
    Name,
    Outcome,
    Payload,
    Reply,
    Text,
    Timestamp,
    command,
    query,
)
from storage.ids import new_id
from storage.issuers import SCOPES, ClientId, IssuerUrl, Scopes, SecondFactor, VerifiedClaim
from storage.outbound import OutboundError, check_url
from storage.postgres import Row

constraint("sso_issuers_issuer_key", "issuer", "is among this tenant's providers already")

MAX_ISSUERS: Final = 20
"""Providers of one tenant (count)."""

JitRole = Literal["manager", "member", "viewer", "client"]
"""What somebody may become by signing in; nobody becomes an owner or admin by what a provider says."""


def _https(url: str) -> str:
    try:
        check_url(url)
    except OutboundError as error:
        raise ValueError(str(error)) from None
    return url


TenantIssuerUrl = Annotated[IssuerUrl, AfterValidator(_https)]
ClientSecret = Annotated[Text, StringConstraints(min_length=1, max_length=1000), SECRET]
Domains = Annotated[list[DomainName], Field(max_length=50)]


class SsoIssuer(Entity):
    """A provider of the tenant."""

    id: UUID = Field(description="Stands in the address: /auth/oidc/{issuer}/start.")
    name: str
    issuer: str
    client_id: str
    has_secret: bool
    scopes: str
    domains: list[str] = Field(
        description="Of the proven domains those that it speaks for; empty: all of them."
    )
    required: bool
    jit_role: JitRole | None
    second_factor: SecondFactor
    email_verified_claim: VerifiedClaim
    redirect_uri: str = Field(description="To be registered at the provider.")
    backchannel_logout_uri: str = Field(
        description="To be registered there too, if it has back-channel logout."
    )
    created_at: Timestamp
    updated_at: Timestamp


class SsoChanged(Event, name="sso.changed"):
    """How people sign in to the tenant has changed; those who may know more ask `sso.list`."""


class ListSso(Payload):
    """No fields."""


class CreateSso(Payload):
    name: Name = Field(description="What the button says.")
    issuer: TenantIssuerUrl = Field(
        description="As the provider writes it itself; it cannot be changed later."
    )
    client_id: ClientId
    client_secret: ClientSecret | None = Field(
        None, description="Stored sealed and never shown; null for a public client."
    )
    scopes: Scopes = SCOPES
    domains: Domains = Field(
        [], description="Of the proven domains those that it speaks for; empty: all of them."
    )
    required: bool = Field(
        False,
        description="Whether members with an address of these domains may enter the tenant by this provider only. "
        "Owners may always enter.",
    )
    jit_role: JitRole | None = Field(
        None,
        description="What people of these domains become who are no members yet; null: they stay outside.",
    )
    second_factor: SecondFactor = Field(
        "claimed",
        description="Whether a sign-in counts as made with two factors: where the provider says so, or ever.",
    )
    email_verified_claim: VerifiedClaim = "email_verified"


class UpdateSso(Payload):
    """Fields that are left out stay as they are."""

    sso_id: UUID
    name: Name | None = None
    client_id: ClientId | None = None
    client_secret: ClientSecret | None = Field(None, description="Null takes it away.")
    scopes: Scopes | None = None
    domains: Domains | None = None
    required: bool | None = None
    jit_role: JitRole | None = Field(None, description="Null: nobody joins by signing in any more.")
    second_factor: SecondFactor | None = None
    email_verified_claim: VerifiedClaim | None = None


class DeleteSso(Payload):
    sso_id: UUID


class SsoList(Reply):
    issuers: list[SsoIssuer]
    domains: list[SsoDomain]


class SsoReply(Reply):
    issuer: SsoIssuer


CLEARABLE: Final = frozenset({"client_secret", "jit_role"})


@query("sso.list", needs="security.manage", rest="GET /tenants/{tenant_id}/sso", room="tenant")
async def list_sso(tx: Tx, ask: ListSso) -> SsoList:
    """The tenant's providers and domains."""
    return SsoList(
        issuers=[_issuer(tx, row) for row in await tx.many("sso_issuers")],
        domains=[SsoDomain.of(row) for row in await tx.many("sso_domains")],
    )


@command(
    "sso.create", needs="security.manage", rest="POST /tenants/{tenant_id}/sso", room="tenant", status=201
)
async def create(tx: Tx, cmd: CreateSso) -> Outcome[SsoChanged, SsoReply]:
    """Let people sign in by a provider of the tenant. It speaks for the tenant's proven domains only.

    A session that it opens is one in this tenant and in no other. A provider lets people in who may be admins, so only
    somebody who could make one decides about it.
    """
    may_vouch(tx)
    if len(await tx.many("sso_issuers")) >= MAX_ISSUERS:
        raise Conflict(f"A tenant may have {MAX_ISSUERS} providers")
    sso_id = new_id()
    row = await tx.one("create_sso_issuer", cmd, id=sso_id, sealed=_sealed(tx, sso_id, cmd.client_secret))
    await tx.rights_changed()
    return Outcome([SsoChanged()], SsoReply(issuer=_issuer(tx, row)))


@command("sso.update", needs="security.manage", rest="PUT /tenants/{tenant_id}/sso/{sso_id}", room="tenant")
async def update(tx: Tx, cmd: UpdateSso) -> Outcome[SsoChanged, SsoReply]:
    """Change a provider. What is required of members takes effect at once, on every connection."""
    may_vouch(tx)
    before = await tx.maybe("sso_issuer", cmd)
    if before is None:
        raise _missing()
    nulls = [name for name in cmd.model_fields_set - CLEARABLE if getattr(cmd, name) is None]
    if nulls:
        raise ValidationFailed.field(nulls[0], "must not be null: leave it out")
    sealed = before["client_secret"]
    if "client_secret" in cmd.model_fields_set:
        sealed = _sealed(tx, cmd.sso_id, cmd.client_secret)
    changed = {name: getattr(cmd, name) for name in cmd.model_fields_set}
    row = await tx.one(
        "update_sso_issuer", **{**dict(before), **changed, "sso_id": cmd.sso_id, "sealed": sealed}
    )
    await tx.rights_changed()
    return Outcome([SsoChanged()], SsoReply(issuer=_issuer(tx, row)))


@command(
    "sso.delete", needs="security.manage", rest="DELETE /tenants/{tenant_id}/sso/{sso_id}", room="tenant"
)
async def delete(tx: Tx, cmd: DeleteSso) -> SsoChanged:
    """Take a provider away: its sessions end at once, and its links to accounts with it."""
    if await tx.maybe("delete_sso_issuer", cmd) is None:
        raise _missing()
    await tx.exec("drop_identities_at", provider=str(cmd.sso_id))
    await tx.exec("end_sso_sessions", provider=str(cmd.sso_id), domain=None, reason="provider removed")
    await tx.rights_changed()
    return SsoChanged()


def _issuer(tx: Tx, row: Row) -> SsoIssuer:
    base = f"{tx.settings.public_url}/api/v1/auth/oidc/{row['id']}"
    return SsoIssuer(
        **{**dict(row), "has_secret": row["client_secret"] is not None},
        redirect_uri=f"{base}/callback",
        backchannel_logout_uri=f"{base}/backchannel-logout",
    )


def _sealed(tx: Tx, sso_id: UUID, secret: str | None) -> bytes | None:
    return None if secret is None else tx.seal(CLIENT_SECRET, sso_id, secret)


def _missing() -> NotFound:
    return NotFound("There is no such provider")

"""Identities: the providers that one's account is linked to."""

from uuid import UUID

from pydantic import Field

from handlers.context import Edge
from handlers.errors import Conflict, Forbidden, NotFound, ValidationFailed
from handlers.identity import mails, proof
from handlers.identity.addresses import BAD_TOKEN
from handlers.identity.oidc import accounts, flows, returns
from handlers.identity.oidc.flows import Began, Key, Url
from handlers.identity.oidc.providers import Provider
from handlers.identity.people import Done, Nothing, Token
from handlers.identity.signin import raise_rights
from handlers.registry import Entity, Payload, Reply, Timestamp, endpoint
from storage.postgres import Session


class Identity(Entity):
    """Oneself at a provider."""

    id: UUID
    name: str = Field(description="What the provider was called when it was linked.")
    email: str = Field(description="The address that the provider named last.")
    linked_at: Timestamp
    last_used_at: Timestamp | None


class Identities(Reply):
    identities: list[Identity]


class StartLink(Payload):
    issuer: Key
    return_to: Url = Field(description="As for POST /auth/oidc/{issuer}/start.")


class Link(Payload):
    code: Token
    secret: Token


class Unlink(Payload):
    identity_id: UUID


@endpoint("identity.list", rest="GET /auth/identities")
async def list_identities(edge: Edge, ask: Nothing) -> Identities:
    """The providers that sign one in."""
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        rows = await session.many("identities_of", user_id=account.user_id)
    return Identities(identities=[Identity(**dict(row), name=row["label"]) for row in rows])


@endpoint("identity.begin", rest="POST /auth/identities/{issuer}/start")
async def begin_link(edge: Edge, cmd: StartLink) -> Began:
    """Begin to link a provider: send the browser to `url`; it comes back with `#/linked?code=…`."""
    account = edge.signed_in()
    return_to = returns.anywhere(edge.settings, cmd.return_to)
    provider = await flows.provider_of(edge, cmd.issuer)
    async with edge.db.transaction(provider.tenant_id) as session:
        await proof.require(edge, session, account)
        await _require_own(session, provider, account.user_id)
    began, _ = await flows.begin(edge, provider, return_to, in_browser=False, user_id=account.user_id)
    return began


@endpoint("identity.link", rest="POST /auth/identities", status=201)
async def link(edge: Edge, cmd: Link) -> Done:
    """Link the identity that came back: it signs this account in from now on, and a mail says so.

    One's own address must have been proven: else whoever takes over an address would take over links with it.
    CONFLICT where this identity signs somebody in already.
    """
    account = edge.signed_in()
    proven = await flows.finish(edge, cmd.code, cmd.secret)
    if proven.user_id != account.user_id:
        raise ValidationFailed.field("code", BAD_TOKEN)
    provider, claims = proven.provider, proven.claims
    async with edge.db.transaction(provider.tenant_id) as session:
        user = await session.one("lock_user", user_id=account.user_id)
        await _require_own(session, provider, account.user_id)
        if await session.maybe("identity", provider=provider.namespace, subject=claims["sub"]):
            raise Conflict("This identity signs somebody in already")
        address, _ = accounts.address_of(provider, claims)
        if address is not None:
            accounts.require_domain(provider, address)
        await accounts.link(session, provider, claims, user)
        await mails.tell(
            session, "identity_linked", user["email"], user_id=user["id"], provider=provider.name
        )
    edge.wake_outbox()
    return Done()


@endpoint("identity.unlink", rest="DELETE /auth/identities/{identity_id}")
async def unlink(edge: Edge, cmd: Unlink) -> Done:
    """Unlink a provider; the sessions that it has opened end. CONFLICT where nothing else is left to sign in with."""
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        await proof.require(edge, session, account)
        user = await session.one("lock_user", user_id=account.user_id)
        gone = await session.maybe("drop_identity", cmd, user_id=account.user_id)
        if gone is None:
            raise NotFound("There is no such identity")
        if user["password_hash"] is None and not await session.value("other_ways_in", user_id=user["id"]):
            raise Conflict("It is the only way to sign in that is left: set a password first")
        await session.many(
            "end_provider_sessions", provider=gone["provider"], subject=gone["subject"], sid=None,
            opened_before=None, reason="unlinked",
        )  # fmt: skip
        changes = await raise_rights(session, user["id"])
    edge.rights_changed(changes)
    return Done()


async def _require_own(session: Session, provider: Provider, user_id: UUID) -> None:
    """Whether this account may be linked to this provider."""
    user = await session.one("user_by_id", user_id=user_id)
    if user["email_verified_at"] is None:
        raise Forbidden("Prove your address first", details={"reason": "email_not_verified"})
    accounts.require_domain(provider, user["email"])
    if provider.tenant_id is not None:
        standing = await session.maybe("standing", user_id=user_id)
        if standing is None or not standing["live"]:
            raise NotFound("There is no such way to sign in")

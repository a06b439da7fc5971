"""People: register, sign in, stay signed in, sign out, me."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, EmailStr, Field, StringConstraints

from handlers.context import Edge
from handlers.errors import Conflict, NotFound, Unauthorized, ValidationFailed
from handlers.identity.tenants import Tenant, found_tenant
from handlers.identity.tokens import hash_refresh_token, new_refresh_token
from handlers.registry import Entity, Name, Payload, Reply, Text, Timestamp, endpoint
from storage.ids import new_id
from storage.postgres import Row, Session


def _fold(email: str) -> str:
    return email.strip().lower()


Email = Annotated[EmailStr, StringConstraints(max_length=254), AfterValidator(_fold)]
Password = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class User(Entity):
    """A person, whatever tenants she works for."""

    id: UUID
    email: str
    name: str
    created_at: Timestamp


class Membership(Entity):
    """A tenant that one may switch to, and one's role in it."""

    tenant_id: UUID
    slug: str
    name: str
    role: str
    expires_at: Timestamp | None


class Register(Payload):
    email: Email
    password: Password
    name: Name
    tenant_name: Name | None = Field(None, description="Also found a tenant, as its owner.")


class Login(Payload):
    email: Email
    password: Password
    tenant_id: UUID | None = Field(None, description="Unset: the tenant joined first.")


class Refresh(Payload):
    refresh_token: Annotated[Text, Field(max_length=200)]


class Nothing(Payload):
    """No fields."""


class SwitchTenant(Payload):
    tenant_id: UUID


class FoundTenant(Payload):
    name: Name


class SignedIn(Reply):
    """A new pair of tokens. The access token names one tenant and lives `expires_in` seconds."""

    user: User
    tenant: Tenant | None
    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105  # the scheme's name


class Me(Reply):
    user: User
    tenant: Tenant | None
    memberships: list[Membership]


class Done(Reply):
    """It is done; there is nothing to tell."""


@endpoint("auth.register", rest="POST /auth/register", public=True, status=201)
async def register(edge: Edge, cmd: Register) -> SignedIn:
    """Create an account, and with `tenant_name` a tenant of one's own."""
    if len(cmd.password) < edge.settings.password_min_length:
        raise ValidationFailed.field(
            "password", f"needs at least {edge.settings.password_min_length} characters"
        )
    hashed = await edge.passwords.hash(cmd.password)
    async with edge.db.transaction(None) as session:
        user = await session.maybe("create_user", cmd, id=new_id(), email=cmd.email, password_hash=hashed)
    if user is None:
        raise Conflict("An account with this address exists", field_errors={"email": ["is taken"]})
    tenant = await found_tenant(edge.db, user["id"], cmd.tenant_name) if cmd.tenant_name else None
    return await _open_session(edge, user, tenant)


@endpoint("auth.login", rest="POST /auth/login", public=True)
async def login(edge: Edge, cmd: Login) -> SignedIn:
    """Sign in with address and password."""
    async with edge.db.transaction(None) as session:
        user = await session.maybe("user_by_email", email=cmd.email)
    stored = user["password_hash"] if user else None
    if not await edge.passwords.verify(stored, cmd.password) or user is None or user["status"] != "active":
        raise Unauthorized("Address or password is wrong")
    rehashed = (
        await edge.passwords.hash(cmd.password) if edge.passwords.outdated(user["password_hash"]) else None
    )
    async with edge.db.transaction(None) as session:
        await session.exec("signed_in", user_id=user["id"], rehashed=rehashed)
        tenant_id = await _choose_tenant(session, user["id"], cmd.tenant_id)
    return await _open_session(edge, user, await _tenant(edge, tenant_id))


@endpoint("auth.refresh", rest="POST /auth/refresh", public=True)
async def refresh(edge: Edge, cmd: Refresh) -> SignedIn:
    """Trade a refresh token for a new pair. Each is used once; reuse ends the session it belongs to."""
    token_hash = hash_refresh_token(cmd.refresh_token)
    async with edge.db.transaction(None) as session:
        old = await session.maybe("refresh_token", token_hash=token_hash)
        if old is None or old["expired"] or old["revoked_at"] is not None:
            raise Unauthorized("The refresh token is not valid")
        stolen = old["used_at"] is not None and old["used_for"] > timedelta(
            seconds=edge.settings.refresh_grace
        )
        if stolen:
            changes = await _end_session(session, old["user_id"], old["session_id"], "refresh token reused")
        else:
            await session.exec("use_refresh_token", token_hash=token_hash)
            user = await session.one("user_by_id", user_id=old["user_id"])
            if user["status"] != "active":
                raise Unauthorized("This account is not active")
            tenant_id = await _choose_tenant(session, user["id"], old["tenant_id"], lenient=True)
            token = await _add_refresh_token(edge, session, old["session_id"], tenant_id)
    if stolen:
        edge.rights_changed(changes)
        raise Unauthorized("The refresh token was used before: the session has been ended")
    return _signed_in(edge, user, old["session_id"], await _tenant(edge, tenant_id), token)


@endpoint("auth.logout", rest="POST /auth/logout")
async def logout(edge: Edge, cmd: Nothing) -> Done:
    """End this session: its tokens and its sockets."""
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        changes = await _end_session(session, account.user_id, account.session_id, "signed out")
    edge.rights_changed(changes)
    return Done()


@endpoint("auth.me", rest="GET /auth/me")
async def me(edge: Edge, ask: Nothing) -> Me:
    """Who one is, the tenant of the token, and the tenants one may switch to."""
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        user = await session.one("user_by_id", user_id=account.user_id)
        memberships = await session.many("memberships", user_id=account.user_id)
    return Me(
        user=User.of(user),
        tenant=await _tenant(edge, account.tenant_id),
        memberships=[Membership.of(row) for row in memberships],
    )


@endpoint("tenant.create", rest="POST /tenants", status=201)
async def create_tenant(edge: Edge, cmd: FoundTenant) -> SignedIn:
    """Found a tenant as its owner; the tokens in the reply name it."""
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        user = await session.one("user_by_id", user_id=account.user_id)
    tenant = await found_tenant(edge.db, account.user_id, cmd.name)
    return await _renew(edge, user, account.session_id, tenant)


@endpoint("tenant.switch", rest="POST /tenants/{tenant_id}/switch")
async def switch(edge: Edge, cmd: SwitchTenant) -> SignedIn:
    """Tokens for another tenant that one is a member of."""
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        user = await session.one("user_by_id", user_id=account.user_id)
        if await _choose_tenant(session, account.user_id, cmd.tenant_id, lenient=True) != cmd.tenant_id:
            raise NotFound("There is no such tenant")
    return await _renew(edge, user, account.session_id, await _tenant(edge, cmd.tenant_id))


async def _end_session(session: Session, user_id: UUID, session_id: UUID, reason: str) -> dict[UUID, int]:
    """Revoke a session; its sockets end with the check of rights that this asks for."""
    await session.exec("revoke_session", session_id=session_id, reason=reason)
    rows = await session.many("raise_rights_of", user_id=user_id)
    return {row["tenant_id"]: row["rights_seq"] for row in rows}


async def _choose_tenant(
    session: Session, user_id: UUID, wanted: UUID | None, *, lenient: bool = False
) -> UUID | None:
    """The wanted tenant if one is a member of it, else the first one joined, else none."""
    active = [row["tenant_id"] for row in await session.many("memberships", user_id=user_id)
              if row["tenant_status"] == "active"]  # fmt: skip
    if wanted in active:
        return wanted
    if wanted is not None and not lenient:
        raise Unauthorized("Address or password is wrong")
    return active[0] if active else None


async def _tenant(edge: Edge, tenant_id: UUID | None) -> Tenant | None:
    if tenant_id is None:
        return None
    async with edge.db.transaction(tenant_id) as session:
        row = await session.maybe("tenant")
    return Tenant.of(row) if row else None


async def _open_session(edge: Edge, user: Row, tenant: Tenant | None) -> SignedIn:
    session_id = new_id()
    expires_at = datetime.now(UTC) + timedelta(seconds=edge.settings.refresh_token_ttl)
    async with edge.db.transaction(None) as session:
        await session.exec(
            "create_session",
            session_id=session_id,
            user_id=user["id"],
            user_agent=edge.user_agent,
            address=edge.address,
            expires_at=expires_at,
        )
        token = await _add_refresh_token(edge, session, session_id, tenant.id if tenant else None)
    return _signed_in(edge, user, session_id, tenant, token)


async def _renew(edge: Edge, user: Row, session_id: UUID, tenant: Tenant | None) -> SignedIn:
    async with edge.db.transaction(None) as session:
        token = await _add_refresh_token(edge, session, session_id, tenant.id if tenant else None)
    return _signed_in(edge, user, session_id, tenant, token)


async def _add_refresh_token(edge: Edge, session: Session, session_id: UUID, tenant_id: UUID | None) -> str:
    token, token_hash = new_refresh_token()
    expires_at = datetime.now(UTC) + timedelta(seconds=edge.settings.refresh_token_ttl)
    await session.exec(
        "add_refresh_token",
        token_hash=token_hash,
        session_id=session_id,
        tenant_id=tenant_id,
        expires_at=expires_at,
    )
    return token


def _signed_in(
    edge: Edge, user: Row, session_id: UUID, tenant: Tenant | None, refresh_token: str
) -> SignedIn:
    return SignedIn(
        user=User.of(user),
        tenant=tenant,
        access_token=edge.tokens.issue(user["id"], session_id, tenant.id if tenant else None),
        refresh_token=refresh_token,
        expires_in=edge.tokens.ttl,
    )

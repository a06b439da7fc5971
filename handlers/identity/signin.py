"""Signing in and staying signed in: login, refresh, logout, and the tenant that one's tokens name."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from pydantic import Field

from handlers.context import Edge
from handlers.errors import Forbidden, NotFound, Unauthorized, ValidationFailed
from handlers.identity import lockout
from handlers.identity.people import Done, Email, Password, Token, User
from handlers.identity.profiles import follow_everywhere
from handlers.identity.tenants import Tenant, found_tenant
from handlers.identity.tokens import hash_token, new_token
from handlers.registry import Name, Payload, Reply, endpoint
from storage.ids import new_id
from storage.postgres import Row, Session

WRONG: Final = "Address or password is wrong"
"""The one answer to every sign-in that fails, whatever the reason."""

AS_COOKIE: Final = Field(
    False,
    description="For pages: the refresh token comes as an HTTP-only cookie and not in the body. Needs the header "
    "X-Requested-With and an allowed Origin.",
)


class Login(Payload):
    email: Email
    password: Password
    tenant_id: UUID | None = Field(None, description="Unset: the tenant joined first.")
    cookie: bool = AS_COOKIE


class Refresh(Payload):
    refresh_token: Token | None = Field(None, description="Unset: the one in the cookie.")


class Logout(Payload):
    refresh_token: Token | None = Field(
        None, description="Not needed; accepted because many clients send it."
    )


class SwitchTenant(Payload):
    tenant_id: UUID
    cookie: bool = AS_COOKIE


class FoundTenant(Payload):
    name: Name
    cookie: bool = AS_COOKIE


class SignedIn(Reply):
    """A new pair of tokens. The access token names one tenant and lives `expires_in` seconds."""

    user: User
    tenant: Tenant | None
    access_token: str
    refresh_token: str | None = Field(
        None, exclude_if=lambda token: token is None, description="Left out where it is in the cookie."
    )
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105  # the scheme's name


@endpoint("auth.login", rest="POST /auth/login", public=True)
async def login(edge: Edge, cmd: Login) -> SignedIn:
    """Sign in with address and password.

    Every failure has the same answer and takes the same time. Too many of them lock the address for a while:
    RATE_LIMITED, whether or not there is such an account. An account that has yet to prove its address is told
    so, as FORBIDDEN, by whoever knows its password.
    """
    if cmd.cookie:
        edge.require_page()
    for _ in range(2):
        user = await check_password(edge, cmd.email, cmd.password)
        if user["status"] == "pending":
            raise Forbidden("Follow the link in our mail first", details={"reason": "email_not_verified"})
        if opened := await _open_if_unchanged(edge, user, cmd):
            tenant_id, session_id, token = opened
            await follow_everywhere(edge, user["id"])
            tenant = await _tenant(edge, tenant_id)
            return signed_in(edge, user, session_id, tenant, token, cookie=cmd.cookie)
    raise Unauthorized(WRONG)


@endpoint("auth.refresh", rest="POST /auth/refresh", public=True)
async def refresh(edge: Edge, cmd: Refresh) -> SignedIn:
    """Trade a refresh token for a new pair. Each is used once; reuse ends the session it belongs to.

    A page sends nothing but the cookie, with the header X-Requested-With, and gets the new one as a cookie too.
    """
    by_cookie = cmd.refresh_token is None
    token_hash = hash_token(cmd.refresh_token or _cookie(edge))
    try:
        return await _refresh(edge, token_hash, by_cookie=by_cookie)
    except Unauthorized:
        edge.new_cookie = "" if by_cookie else None
        raise


@endpoint("auth.logout", rest="POST /auth/logout")
async def logout(edge: Edge, cmd: Logout) -> Done:
    """End this session: its tokens and its sockets.

    A page may send the cookie with the header X-Requested-With instead of an access token; it is removed.
    """
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        changes = await end_session(session, account.user_id, account.session_id, "signed out")
    edge.rights_changed(changes)
    if edge.cookie is not None:
        edge.new_cookie = ""
    return Done()


@endpoint("tenant.create", rest="POST /tenants", status=201)
async def create_tenant(edge: Edge, cmd: FoundTenant) -> SignedIn:
    """Found a tenant as its owner; the tokens in the reply name it."""
    account = edge.signed_in()
    if cmd.cookie:
        edge.require_page()
    async with edge.db.transaction(None) as session:
        user = await session.one("user_by_id", user_id=account.user_id)
    tenant = await found_tenant(edge.db, account.user_id, cmd.name)
    return await _renew(edge, user, account.session_id, tenant, cookie=cmd.cookie)


@endpoint("tenant.switch", rest="POST /tenants/{tenant_id}/switch")
async def switch(edge: Edge, cmd: SwitchTenant) -> SignedIn:
    """Tokens for another tenant that one is a member of."""
    account = edge.signed_in()
    if cmd.cookie:
        edge.require_page()
    async with edge.db.transaction(None) as session:
        user = await session.one("user_by_id", user_id=account.user_id)
        if await _choose_tenant(session, account.user_id, cmd.tenant_id, lenient=True) != cmd.tenant_id:
            raise NotFound("There is no such tenant")
    return await _renew(edge, user, account.session_id, await _tenant(edge, cmd.tenant_id), cookie=cmd.cookie)


async def check_password(edge: Edge, email: str, password: str) -> Row:
    """The person with this address and password who may sign in, or has only to prove the address yet."""
    async with edge.db.transaction(None) as session:
        await lockout.check(session, email)
        user = await session.maybe("user_by_email", email=email)
    verified = await edge.passwords.verify(user["password_hash"] if user else None, password)
    right = verified and user is not None and user["status"] in ("active", "pending")
    async with edge.db.transaction(None) as session:
        if right:
            await lockout.passed(session, email)
        else:
            await lockout.failed(session, email, edge.settings)
    if not right or user is None:
        raise Unauthorized(WRONG)
    return user


async def open_session(
    edge: Edge, session: Session, user_id: UUID, tenant_id: UUID | None
) -> tuple[UUID, str]:
    """A new session and its first refresh token."""
    session_id = new_id()
    expires_at = datetime.now(UTC) + timedelta(seconds=edge.settings.refresh_token_ttl)
    await session.exec(
        "create_session",
        session_id=session_id,
        user_id=user_id,
        user_agent=edge.origin.user_agent,
        address=edge.origin.address,
        expires_at=expires_at,
    )
    return session_id, await _add_refresh_token(edge, session, session_id, tenant_id)


def signed_in(
    edge: Edge, user: Row, session_id: UUID, tenant: Tenant | None, refresh_token: str, *, cookie: bool
) -> SignedIn:
    """The pair of tokens as the caller wants it."""
    if cookie:
        edge.new_cookie = refresh_token
    return SignedIn(
        user=User.of(user),
        tenant=tenant,
        access_token=edge.tokens.issue(user["id"], session_id, tenant.id if tenant else None),
        refresh_token=None if cookie else refresh_token,
        expires_in=edge.tokens.ttl,
    )


async def end_session(session: Session, user_id: UUID, session_id: UUID, reason: str) -> dict[UUID, int]:
    """Revoke a session; its sockets end with the check of rights that this asks for."""
    await session.exec("revoke_session", session_id=session_id, reason=reason)
    return await raise_rights(session, user_id)


async def end_sessions(
    session: Session, user_id: UUID, reason: str, *, but: UUID | None = None
) -> dict[UUID, int]:
    """Revoke all sessions of a person, or all but one, with their sockets."""
    await session.many("revoke_sessions_of", user_id=user_id, but_session_id=but, reason=reason)
    return await raise_rights(session, user_id)


async def raise_rights(session: Session, user_id: UUID) -> dict[UUID, int]:
    """Have every node check this person's sockets; give the result to `edge.rights_changed` after the commit."""
    rows = await session.many("raise_rights_of", user_id=user_id)
    return {row["tenant_id"]: row["rights_seq"] for row in rows}


async def _open_if_unchanged(edge: Edge, user: Row, cmd: Login) -> tuple[UUID | None, UUID, str] | None:
    """A session, unless the hash that was verified has been replaced meanwhile.

    A sign-in beside this one may have renewed it, or a new password has ended all sessions: verify once more.
    """
    outdated = edge.passwords.outdated(user["password_hash"])
    rehashed = await edge.passwords.hash(cmd.password) if outdated else None
    async with edge.db.transaction(None) as session:
        verified = user["password_hash"]
        if not await session.maybe("signed_in", user_id=user["id"], verified=verified, rehashed=rehashed):
            return None
        tenant_id = await _choose_tenant(session, user["id"], cmd.tenant_id)
        return tenant_id, *await open_session(edge, session, user["id"], tenant_id)


async def _refresh(edge: Edge, token_hash: bytes, *, by_cookie: bool) -> SignedIn:
    async with edge.db.transaction(None) as session:
        old = await session.maybe("refresh_token", token_hash=token_hash)
        if old is None or old["expired"] or old["revoked_at"] is not None:
            raise Unauthorized("The refresh token is not valid")
        grace = timedelta(seconds=edge.settings.refresh_grace)
        stolen = old["used_at"] is not None and old["used_for"] > grace
        if stolen:
            changes = await end_session(session, old["user_id"], old["session_id"], "refresh token reused")
        else:
            await session.exec("use_refresh_token", token_hash=token_hash)
            user = await session.one("user_by_id", user_id=old["user_id"])
            if user["status"] != "active":
                raise Unauthorized("This account is not active")
            tenant_id = await _choose_tenant(session, user["id"], old["tenant_id"], lenient=True)
            token = await _add_refresh_token(edge, session, old["session_id"], tenant_id)
            await _touch(edge, session, old["session_id"])
    if stolen:
        edge.rights_changed(changes)
        raise Unauthorized("The refresh token was used before: the session has been ended")
    await follow_everywhere(edge, user["id"])
    tenant = await _tenant(edge, tenant_id)
    return signed_in(edge, user, old["session_id"], tenant, token, cookie=by_cookie)


def _cookie(edge: Edge) -> str:
    if edge.cookie is None:
        raise ValidationFailed.field("refresh_token", "is needed, here or as the cookie")
    edge.require_page()
    return edge.cookie


async def _choose_tenant(
    session: Session, user_id: UUID, wanted: UUID | None, *, lenient: bool = False
) -> UUID | None:
    """The wanted tenant if one is a member of it, else the first one joined, else none."""
    active = [row["tenant_id"] for row in await session.many("memberships", user_id=user_id)
              if row["tenant_status"] == "active"]  # fmt: skip
    if wanted in active:
        return wanted
    if wanted is not None and not lenient:
        raise Unauthorized(WRONG)
    return active[0] if active else None


async def _tenant(edge: Edge, tenant_id: UUID | None) -> Tenant | None:
    if tenant_id is None:
        return None
    async with edge.db.transaction(tenant_id) as session:
        row = await session.maybe("tenant")
    return Tenant.of(row) if row else None


async def _renew(edge: Edge, user: Row, session_id: UUID, tenant: Tenant | None, *, cookie: bool) -> SignedIn:
    async with edge.db.transaction(None) as session:
        token = await _add_refresh_token(edge, session, session_id, tenant.id if tenant else None)
        await _touch(edge, session, session_id)
    return signed_in(edge, user, session_id, tenant, token, cookie=cookie)


async def _touch(edge: Edge, session: Session, session_id: UUID) -> None:
    await session.exec(
        "touch_session", session_id=session_id, user_agent=edge.origin.user_agent, address=edge.origin.address
    )


async def _add_refresh_token(edge: Edge, session: Session, session_id: UUID, tenant_id: UUID | None) -> str:
    token, token_hash = new_token()
    expires_at = datetime.now(UTC) + timedelta(seconds=edge.settings.refresh_token_ttl)
    await session.exec(
        "add_refresh_token",
        token_hash=token_hash,
        session_id=session_id,
        tenant_id=tenant_id,
        expires_at=expires_at,
    )
    return token

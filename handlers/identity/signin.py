"""Signing in and staying signed in: login, refresh, logout, and the tenant that one's tokens name."""

from datetime import timedelta
from uuid import UUID

from pydantic import Field

from handlers.access import require_in_use
from handlers.context import Edge
from handlers.errors import NotFound, Unauthorized, ValidationFailed
from handlers.identity import lockout
from handlers.identity.entry import (
    AS_COOKIE,
    WRONG,
    Changed,
    SignedIn,
    SignInReply,
    add_refresh_token,
    by_provider_only,
    choose_tenant,
    finish_sign_in,
    provider_needed,
    signed_in,
    tenant_of,
)
from handlers.identity.oidc.leaving import logout_url
from handlers.identity.people import Email, Password, Token
from handlers.identity.profiles import follow_everywhere
from handlers.identity.tenants import Tenant
from handlers.identity.tokens import hash_token
from handlers.registry import Payload, Reply, endpoint
from storage.postgres import Row, Session


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


class SignedOut(Reply):
    """It is done here; where a provider has signed one in, one may sign out there too."""

    provider_logout_url: str | None = Field(
        None,
        exclude_if=lambda url: url is None,
        description="Send the browser there to sign out at the provider as well; it comes back to the first page.",
    )


class SwitchTenant(Payload):
    tenant_id: UUID
    cookie: bool = AS_COOKIE


@endpoint("auth.login", rest="POST /auth/login", public=True, limit="sign_in")
async def login(edge: Edge, cmd: Login) -> SignInReply:
    """Sign in with address and password.

    Every failure has the same answer and takes the same time. Too many of them lock the address for a while:
    RATE_LIMITED, whether or not there is such an account. An account that has yet to prove its address is told
    so, as FORBIDDEN, by whoever knows its password.
    """
    if cmd.cookie:
        edge.require_page()
    try:
        return await _login(edge, cmd)
    except Changed:
        return await _login(edge, cmd)


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


@endpoint("auth.logout", rest="POST /auth/logout", bound=True)
async def logout(edge: Edge, cmd: Logout) -> SignedOut:
    """End this session: its tokens and its sockets.

    A page may send the cookie with the header X-Requested-With instead of an access token; it is removed.
    """
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        changes = await end_session(session, account.user_id, account.session_id, "signed out")
        await edge.note(session, resource=f"session:{account.session_id}", changes={})
    edge.rights_changed(changes)
    if edge.cookie is not None:
        edge.new_cookie = ""
    return SignedOut(provider_logout_url=await logout_url(edge, account.session_id))


@endpoint("tenant.switch", rest="POST /tenants/{tenant_id}/switch", bound=True)
async def switch(edge: Edge, cmd: SwitchTenant) -> SignedIn:
    """Tokens for another tenant that one is a member of."""
    account = edge.signed_in()
    if cmd.cookie:
        edge.require_page()
    async with edge.db.transaction(None) as session:
        user = await session.one("user_by_id", user_id=account.user_id)
        bound_to = account.bound_to
        closed = {} if bound_to else await by_provider_only(session, account.user_id)
        chosen = await choose_tenant(session, account.user_id, cmd.tenant_id, bound_to=bound_to, lenient=True)
        if chosen != cmd.tenant_id:
            if cmd.tenant_id in closed:
                raise provider_needed(closed[cmd.tenant_id])
            raise NotFound("There is no such tenant")
    tenant = await tenant_of(edge, cmd.tenant_id)
    if tenant is not None:
        require_in_use(tenant.status)
    edge.about(tenant_id=cmd.tenant_id, resource=f"tenant:{cmd.tenant_id}")
    return await renew(edge, user, account.session_id, tenant, cookie=cmd.cookie)


async def _login(edge: Edge, cmd: Login) -> SignInReply:
    user = await check_password(edge, cmd.email, cmd.password)
    user = await _renew_hash(edge, user, cmd.password)
    return await finish_sign_in(edge, user, method="password", tenant_id=cmd.tenant_id, cookie=cmd.cookie)


async def check_password(edge: Edge, email: str, password: str) -> Row:
    """The person with this address and password who may sign in, or has only to prove the address yet."""
    async with edge.db.transaction(None) as session:
        user = await session.maybe("user_by_email", email=email)
        if user is not None:
            edge.about(person=user["id"], resource=f"user:{user['id']}")
        await lockout.check(session, email)
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


async def _renew_hash(edge: Edge, user: Row, password: str) -> Row:
    """The person with a hash of today, where the one that was verified is older."""
    if not edge.passwords.outdated(user["password_hash"]):
        return user
    rehashed = await edge.passwords.hash(password)
    async with edge.db.transaction(None) as session:
        fresh = await session.maybe(
            "renew_hash", user_id=user["id"], verified=user["password_hash"], rehashed=rehashed
        )
    return fresh or user


async def _refresh(edge: Edge, token_hash: bytes, *, by_cookie: bool) -> SignedIn:
    async with edge.db.transaction(None) as session:
        old = await session.maybe("refresh_token", token_hash=token_hash)
        if old is None or old["expired"] or old["revoked_at"] is not None:
            raise Unauthorized("The refresh token is not valid")
        edge.about(
            person=old["user_id"], actor_id=old["user_id"], session_id=old["session_id"],
            resource=f"session:{old['session_id']}",
        )  # fmt: skip
        grace = timedelta(seconds=edge.settings.refresh_grace)
        stolen = old["used_at"] is not None and old["used_for"] > grace
        if stolen:
            changes = await end_session(session, old["user_id"], old["session_id"], "refresh token reused")
            await edge.note(session, outcome=Unauthorized.code, changes={"reason": "refresh token reused"})
        else:
            await session.exec("use_refresh_token", token_hash=token_hash)
            user = await session.one("user_by_id", user_id=old["user_id"])
            if user["status"] != "active":
                raise Unauthorized("This account is not active")
            tenant_id = await choose_tenant(
                session, user["id"], old["tenant_id"], bound_to=old["bound_to"], lenient=True
            )
            if tenant_id is None and old["bound_to"] is not None:
                raise Unauthorized("The tenant of this session is not open to it any more")
            token = await add_refresh_token(edge, session, old["session_id"], tenant_id)
            await _touch(edge, session, old["session_id"])
            await edge.note(session, tenant_id=tenant_id, changes={})
    if stolen:
        edge.rights_changed(changes)
        raise Unauthorized("The refresh token was used before: the session has been ended")
    await follow_everywhere(edge, user["id"])
    tenant = await tenant_of(edge, tenant_id)
    return signed_in(edge, user, old["session_id"], tenant, token, cookie=by_cookie)


def _cookie(edge: Edge) -> str:
    if edge.cookie is None:
        raise ValidationFailed.field("refresh_token", "is needed, here or as the cookie")
    edge.require_page()
    return edge.cookie


async def renew(edge: Edge, user: Row, session_id: UUID, tenant: Tenant | None, *, cookie: bool) -> SignedIn:
    """A fresh pair of tokens of a session, for a tenant."""
    async with edge.db.transaction(None) as session:
        token = await add_refresh_token(edge, session, session_id, tenant.id if tenant else None)
        await _touch(edge, session, session_id)
        await edge.note(session)
    return signed_in(edge, user, session_id, tenant, token, cookie=cookie)


async def _touch(edge: Edge, session: Session, session_id: UUID) -> None:
    await session.exec(
        "touch_session", session_id=session_id, user_agent=edge.origin.user_agent, address=edge.origin.address
    )

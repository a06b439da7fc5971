"""People: register, and me."""

from uuid import UUID

from pydantic import Field

from handlers.context import Edge
from handlers.errors import Conflict, QuotaExceeded, ValidationFailed
from handlers.identity import mails
from handlers.identity.entry import AS_COOKIE, Method, open_session, signed_in
from handlers.identity.founding import found_tenant
from handlers.identity.people import Email, Membership, Nothing, Password, Profile, User
from handlers.identity.tenants import Tenant
from handlers.registry import Name, Payload, Reply, Timestamp, endpoint
from storage.ids import new_id
from storage.postgres import Row


class Register(Payload):
    email: Email
    password: Password
    name: Name
    tenant_name: Name | None = Field(None, description="Also found a tenant, as its owner.")
    cookie: bool = AS_COOKIE


class Registered(Reply):
    """The new account, and a pair of tokens unless its address has to be verified first."""

    user: User | None = Field(description="Null where the address has to be verified first.")
    tenant: Tenant | None
    verify_email: bool = Field(
        description="Whether one has to follow the link in the mail before signing in."
    )
    access_token: str | None
    refresh_token: str | None = Field(
        None, exclude_if=lambda token: token is None, description="Left out where it is in the cookie."
    )
    expires_in: int | None
    token_type: str = "Bearer"  # noqa: S105  # the scheme's name


class Security(Reply):
    """How one can sign in, and how one did in this session."""

    password: bool = Field(description="Whether the account has a password.")
    totp: bool = Field(description="Whether it has an authenticator app.")
    passkeys: int = Field(description="How many passkeys it has.")
    recovery_codes: int = Field(description="How many recovery codes are left.")
    method: Method = Field(description="What this session was opened with.")
    second_factor_at: Timestamp | None = Field(
        description="When a second factor was last given in this session; null where none was."
    )
    proven_at: Timestamp = Field(description="When one last proved in this session who one is.")


class Me(Reply):
    user: Profile
    security: Security
    tenant: Tenant | None
    memberships: list[Membership]


@endpoint("auth.register", rest="POST /auth/register", public=True, status=201, limit="register")
async def register(edge: Edge, cmd: Register) -> Registered:
    """Create an account, and with `tenant_name` a tenant of one's own. A mail asks to verify the address.

    Where the server requires verified addresses there are no tokens yet, and the answer is the same for an address
    that has an account already: its owner gets a mail that says so. Elsewhere such an address is a CONFLICT.
    """
    if cmd.cookie:
        edge.require_page()
    if cmd.tenant_name and edge.settings.tenants_per_account == 0:
        raise QuotaExceeded("Accounts found no tenants on this server", details={"limit": 0})
    require_length(edge, "password", cmd.password)
    hashed = await edge.passwords.hash(cmd.password)
    pending = edge.settings.require_verified_email
    user = await _create(edge, cmd, hashed, pending=pending)
    if user is None and not pending:
        raise Conflict("An account with this address exists", field_errors={"email": ["is taken"]})
    edge.wake_outbox()
    tenant = await found_tenant(edge.db, user["id"], cmd.tenant_name) if user and cmd.tenant_name else None
    if pending or user is None:
        return Registered(user=None, tenant=None, verify_email=True, access_token=None, expires_in=None)
    async with edge.db.transaction(None) as session:
        session_id, token = await open_session(
            edge, session, user["id"], tenant.id if tenant else None, method="password"
        )
    tokens = signed_in(edge, user, session_id, tenant, token, cookie=cmd.cookie)
    return Registered(
        user=tokens.user,
        tenant=tenant,
        verify_email=False,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_in=tokens.expires_in,
    )


@endpoint("auth.me", rest="GET /auth/me", bound=True)
async def me(edge: Edge, ask: Nothing) -> Me:
    """Who one is, the tenant of the token, and the tenants one may switch to."""
    account = edge.signed_in()
    async with edge.db.transaction(account.tenant_id) as session:
        profile = await session.one("profile", user_id=account.user_id)
        memberships = await session.many("memberships", user_id=account.user_id)
        security = await session.one("security_of", user_id=account.user_id, session_id=account.session_id)
        mine = any(row["tenant_id"] == account.tenant_id for row in memberships)
        tenant = await session.maybe("tenant") if mine else None
    return Me(
        user=Profile.of(profile),
        security=Security(**security),
        tenant=Tenant.of(tenant) if tenant else None,
        memberships=[
            Membership.of(row) for row in memberships if account.bound_to in (None, row["tenant_id"])
        ],
    )


def require_length(edge: Edge, field: str, password: str) -> None:
    """Refuse a new password that is too short."""
    least = edge.settings.password_min_length
    if len(password) < least:
        raise ValidationFailed.field(field, f"needs at least {least} characters")


async def _create(edge: Edge, cmd: Register, hashed: str, *, pending: bool) -> Row | None:
    """The account and the mail about it; None where the address has one already."""
    user_id: UUID = new_id()
    async with edge.db.transaction(None) as session:
        user = await session.maybe("create_user", cmd, id=user_id, email=cmd.email, password_hash=hashed)
        if user is not None:
            if pending:
                await session.exec("await_verification", user_id=user_id)
            await mails.ask(session, "verify_email", cmd.email)
        elif pending:
            await mails.ask(session, "already_registered", cmd.email)
    return user

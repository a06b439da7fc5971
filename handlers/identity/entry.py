"""The end of every sign-in, whatever proved who it is: a session and its first pair of tokens."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import orjson
from pydantic import Field

from handlers.context import Edge
from handlers.errors import Forbidden, Unauthorized
from handlers.identity.people import User
from handlers.identity.profiles import follow_everywhere
from handlers.identity.tenants import Tenant
from handlers.identity.tokens import new_token
from handlers.registry import Reply
from storage.ids import new_id
from storage.postgres import Row, Session

Method = Literal["password", "passkey", "oidc", "impersonation"]
"""What a session was opened with."""

FactorKind = Literal["totp", "passkey", "recovery_code"]

WRONG: Final = "Address or password is wrong"
"""The one answer to every sign-in that fails, whatever the reason."""

AS_COOKIE: Final = Field(
    False,
    description="For pages: the refresh token comes as an HTTP-only cookie and not in the body. Needs the header "
    "X-Requested-With and an allowed Origin.",
)


@dataclass(frozen=True, slots=True)
class Through:
    """The provider that has signed somebody in; all text, so that it can wait for a second factor as JSON."""

    provider: str
    subject: str
    sid: str | None = None
    """What the provider calls its own session."""
    bound_to: str | None = None
    """The tenant whose provider it is: the session may work in no other."""


class Changed(Unauthorized):
    """The account has changed since it was proven: a new password, a renewed hash, another status."""

    def __init__(self) -> None:
        super().__init__(WRONG)


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


class SecondFactorNeeded(Reply):
    """The first half of a sign-in is done; `token` and a second factor make the other, at POST /auth/second-factor."""

    token: str = Field(description="Good once, for some minutes, and for this only.")
    expires_in: int = Field(description="How long it is good for (seconds).")
    methods: list[FactorKind] = Field(description="What this account has to offer.")


class SignInReply(Reply):
    """A new pair of tokens; or `second_factor` and no tokens, where the account asks for more than one proof."""

    user: User | None
    tenant: Tenant | None
    access_token: str | None = Field(description="Null where a second factor is still to be given.")
    refresh_token: str | None = Field(
        None, exclude_if=lambda token: token is None, description="Left out where it is in the cookie."
    )
    expires_in: int | None
    token_type: str = "Bearer"  # noqa: S105  # the scheme's name
    second_factor: SecondFactorNeeded | None = Field(
        None, exclude_if=lambda needed: needed is None, description="Left out where none is needed."
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that was opened, until its tokens are handed out after the commit."""

    user: Row
    session_id: UUID
    tenant_id: UUID | None
    refresh_token: str


async def finish_sign_in(
    edge: Edge,
    user: Row,
    *,
    method: Method,
    tenant_id: UUID | None = None,
    cookie: bool = False,
    through: Through | None = None,
    two_factors: bool = False,
) -> SignInReply:
    """Every sign-in ends here, once it is proven who it is: in tokens, or in the question for a second factor.

    `user` is the row as it was read when it was proven. `Changed`, an UNAUTHORIZED, where it is not so any more:
    a sign-in beside this one may have renewed the hash, or a new password has ended all sessions. `two_factors` says
    that what was proven counts for two, as a passkey or a provider that has asked for more does.
    """
    bound_to = UUID(through.bound_to) if through and through.bound_to else None
    if cookie:
        edge.require_page()
    if user["status"] == "pending":
        raise Forbidden("Follow the link in our mail first", details={"reason": "email_not_verified"})
    async with edge.db.transaction(None) as session:
        factors = await session.one("factors_of", user_id=user["id"])
        if not two_factors and (factors["totp"] or factors["passkeys"]):
            await choose_tenant(session, user["id"], bound_to or tenant_id, bound_to=bound_to)
            return await _ask_for_more(
                edge, session, user, factors, method=method, tenant_id=tenant_id, through=through
            )
        opened = await open_tokens(
            edge, session, user, method=method, tenant_id=tenant_id, through=through, two_factors=two_factors
        )
    return SignInReply(**dict(await welcome(edge, opened, cookie=cookie)))


async def open_tokens(
    edge: Edge,
    session: Session,
    user: Row,
    *,
    method: Method,
    tenant_id: UUID | None,
    through: Through | None = None,
    two_factors: bool,
) -> Opened:
    """A session for a person who has proven all that she has to; `Changed` where her account is not so any more."""
    bound_to = UUID(through.bound_to) if through and through.bound_to else None
    if not await session.maybe("signed_in", user_id=user["id"], verified=user["password_hash"]):
        raise Changed
    chosen = await choose_tenant(session, user["id"], bound_to or tenant_id, bound_to=bound_to)
    session_id, token = await open_session(
        edge, session, user["id"], chosen, method=method, through=through, two_factors=two_factors
    )
    return Opened(user, session_id, chosen, token)


async def welcome(edge: Edge, opened: Opened, *, cookie: bool) -> SignedIn:
    """Hand out the tokens of a session whose transaction is committed."""
    await follow_everywhere(edge, opened.user["id"])
    tenant = await tenant_of(edge, opened.tenant_id)
    return signed_in(edge, opened.user, opened.session_id, tenant, opened.refresh_token, cookie=cookie)


async def _ask_for_more(
    edge: Edge,
    session: Session,
    user: Row,
    factors: Row,
    *,
    method: Method,
    tenant_id: UUID | None,
    through: Through | None,
) -> SignInReply:
    token, token_hash = new_token()
    ttl = edge.settings.second_factor_ttl
    await session.exec(
        "begin_half_sign_in", token_hash=token_hash, user_id=user["id"], method=method,
        verified=digest(user["password_hash"]), wanted_id=tenant_id, good_for=timedelta(seconds=ttl),
        through=orjson.dumps(through).decode() if through else None,
    )  # fmt: skip
    await edge.note(
        session, person=user["id"], actor_id=user["id"], resource=f"user:{user['id']}",
        changes={"method": method, "needs": "second factor"},
    )  # fmt: skip
    have: dict[FactorKind, object] = {
        "totp": factors["totp"],
        "passkey": factors["passkeys"],
        "recovery_code": factors["recovery_codes"],
    }
    needed = SecondFactorNeeded(
        token=token, expires_in=ttl, methods=[name for name, has in have.items() if has]
    )
    return SignInReply(user=None, tenant=None, access_token=None, expires_in=None, second_factor=needed)


def digest(password_hash: str | None) -> bytes | None:
    """What binds the second half of a sign-in to the password that was verified in the first."""
    return hashlib.sha256(password_hash.encode()).digest() if password_hash else None


async def open_session(
    edge: Edge,
    session: Session,
    user_id: UUID,
    tenant_id: UUID | None,
    *,
    method: Method,
    through: Through | None = None,
    two_factors: bool = False,
) -> tuple[UUID, str]:
    """A new session and its first refresh token."""
    session_id = new_id()
    expires_at = datetime.now(UTC) + timedelta(seconds=edge.settings.refresh_token_ttl)
    await session.exec(
        "create_session",
        session_id=session_id,
        user_id=user_id,
        method=method,
        user_agent=edge.origin.user_agent,
        address=edge.origin.address,
        expires_at=expires_at,
        bound_to=UUID(through.bound_to) if through and through.bound_to else None,
        two_factors=two_factors,
    )
    if through is not None:
        await session.exec("add_provider_session", through, session_id=session_id)
    await edge.note(
        session, tenant_id=tenant_id, person=user_id, actor_id=user_id, session_id=session_id,
        resource=f"session:{session_id}", changes={"method": method},
    )  # fmt: skip
    return session_id, await add_refresh_token(edge, session, session_id, tenant_id)


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


async def add_refresh_token(edge: Edge, session: Session, session_id: UUID, tenant_id: UUID | None) -> str:
    """One more refresh token of a session."""
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


async def choose_tenant(
    session: Session,
    user_id: UUID,
    wanted: UUID | None,
    *,
    bound_to: UUID | None = None,
    lenient: bool = False,
) -> UUID | None:
    """The wanted tenant if one may enter it, else the first one joined, else none.

    A session that a tenant's own provider has opened may enter that tenant alone. FORBIDDEN, `reason` `sso_required`,
    where one is a member and the tenant lets one in by its provider only. A tenant that is out of use can be wanted,
    and is taken where there is no other: such tokens open nothing, say why, and do when it is in use again.
    """
    mine = {row["tenant_id"]: row["tenant_status"] for row in await session.many("memberships", user_id=user_id)
            if bound_to in (None, row["tenant_id"])}  # fmt: skip
    closed = {} if bound_to else await by_provider_only(session, user_id)
    entered = [tenant_id for tenant_id in mine if tenant_id not in closed]
    if wanted in entered:
        return wanted
    if not lenient:
        shut = [tenant_id for tenant_id in mine if tenant_id in closed]
        if wanted in shut or (wanted is None and shut and not entered):
            raise provider_needed(closed[wanted or shut[0]])
        if wanted is not None:
            raise Unauthorized(WRONG)
    in_use = (tenant_id for tenant_id in entered if mine[tenant_id] == "active")
    return next(in_use, entered[0] if entered else None)


async def by_provider_only(session: Session, user_id: UUID) -> dict[UUID, UUID]:
    """The tenants that this person may enter only by a provider of theirs, and by which."""
    rows = await session.many("sso_required_of", user_id=user_id)
    return {row["tenant_id"]: row["sso_id"] for row in rows}


def provider_needed(sso_id: UUID) -> Forbidden:
    """What somebody is told who comes into a tenant by another way than its provider."""
    return Forbidden(
        "This tenant lets you in by its own provider only",
        details={"reason": "sso_required", "issuer": str(sso_id)},
    )


async def tenant_of(edge: Edge, tenant_id: UUID | None) -> Tenant | None:
    """The tenant that a pair of tokens names."""
    if tenant_id is None:
        return None
    async with edge.db.transaction(tenant_id) as session:
        row = await session.maybe("tenant")
    return Tenant.of(row) if row else None

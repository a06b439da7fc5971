"""From a provider's word to the account of this server.

An identity that is linked signs its account in. One that is not is linked to the account with the same address, if the
provider says that the address is proven. Nobody else's word counts for it: a provider of the instance is trusted for
every address, one of a tenant for the tenant's proven domains alone, and its sessions end at that tenant.
"""

from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from handlers.context import Edge, Principal, Tx
from handlers.errors import Forbidden, Unauthorized
from handlers.identity import mails
from handlers.identity.members import Member, MemberAdded
from handlers.identity.oidc.id_tokens import Claims
from handlers.identity.oidc.ownership import disown
from handlers.identity.oidc.providers import Provider
from handlers.identity.people import AvatarUrl, Email, Language, Nothing, Timezone
from handlers.registry import Name, Spec
from storage.ids import new_id
from storage.postgres import Row, Session

_EMAIL: Final[TypeAdapter[str]] = TypeAdapter(Email)
_NAME: Final[TypeAdapter[str]] = TypeAdapter(Name)
_PICTURE: Final[TypeAdapter[str]] = TypeAdapter(AvatarUrl)
_LANGUAGE: Final[TypeAdapter[str]] = TypeAdapter(Language)
_TIMEZONE: Final[TypeAdapter[str]] = TypeAdapter(Timezone)
GOOGLE: Final = "https://accounts.google.com"
TRUE: Final = (True, "true", 1, "1")
"""What providers write for true; Microsoft Entra sends numbers and text."""


async def person_behind(edge: Edge, provider: Provider, claims: Claims) -> Row:
    """The account that may be signed in: linked, found by its proven address, or new; a member where it has to be."""
    changes: dict[UUID, int] = {}
    joined = False
    _require_workspace(provider, claims)
    async with edge.db.transaction(provider.tenant_id) as session:
        identity = await session.maybe("identity", provider=provider.namespace, subject=claims["sub"])
        if identity is not None:
            user = await session.one("lock_user", user_id=identity["user_id"])
            require_domain(provider, user["email"])
            require_active(user)
        else:
            user, changes = await _by_address(edge, session, provider, claims)
        if provider.tenant_id is not None:
            joined = await _enter(session, provider, user["id"])
        await session.exec(
            "identity_used", provider=provider.namespace, subject=claims["sub"],
            email=address_of(provider, claims)[0] or user["email"],
        )  # fmt: skip
        user = await session.one("user_by_id", user_id=user["id"])
    edge.rights_changed(changes)
    edge.wake_outbox()
    if joined:
        await _announce(edge, provider, user)
    return user


def address_of(provider: Provider, claims: Claims) -> tuple[str | None, bool]:
    """The address that a provider names, and whether it says that it is proven."""
    try:
        address = _EMAIL.validate_python(claims.get("email"))
    except ValidationError:
        return None, False
    said = claims.get(provider.email_verified_claim)
    return address, isinstance(said, bool | int | str) and said in TRUE


def require_domain(provider: Provider, address: str) -> None:
    """A provider of a tenant speaks for the tenant's proven domains, and for no other address."""
    if provider.tenant_id is not None and address.rpartition("@")[2] not in provider.domains:
        raise Forbidden(
            "This provider does not speak for your address", details={"reason": "domain_not_allowed"}
        )


def _require_workspace(provider: Provider, claims: Claims) -> None:
    """Google lets anybody make a private account with an address of a company, and keep it when he has left. `hd` says
    that the company itself has made the account.
    """
    if (
        provider.tenant_id is not None
        and provider.issuer == GOOGLE
        and str(claims.get("hd")) not in provider.domains
    ):
        raise Forbidden(
            "This is not an account of your organization", details={"reason": "domain_not_allowed"}
        )


def require_active(user: Row) -> None:
    if user["kind"] != "person" or user["status"] not in ("active", "pending"):
        raise Unauthorized("This account cannot sign in")


async def link(session: Session, provider: Provider, claims: Claims, user: Row) -> bool:
    """From now on this identity signs this account in; False where another window was faster."""
    added = await session.maybe(
        "add_identity",
        id=new_id(),
        user_id=user["id"],
        provider=provider.namespace,
        subject=claims["sub"],
        label=provider.name,
        email=address_of(provider, claims)[0] or user["email"],
    )
    if added is not None:
        return True
    known = await session.maybe("identity", provider=provider.namespace, subject=claims["sub"])
    if known is None or known["user_id"] != user["id"]:
        raise Forbidden(
            "This account is linked to somebody else at this provider", details={"reason": "other_identity"}
        )
    return False


async def _by_address(
    edge: Edge, session: Session, provider: Provider, claims: Claims
) -> tuple[Row, dict[UUID, int]]:
    """The account of an address, linked from now on, and whose rights have changed by that."""
    address, proven = address_of(provider, claims)
    if address is None or not proven:
        raise Forbidden(
            "The provider does not say that your address is your own",
            details={"reason": "email_not_verified"},
        )
    require_domain(provider, address)
    user = await _create(session, provider, claims, address)
    if user is not None:
        await link(session, provider, claims, user)
        return user, {}
    found = await session.maybe("user_by_email", email=address)
    if found is None:
        raise Forbidden("Nobody has an account with this address", details={"reason": "no_account"})
    user = await session.one("lock_user", user_id=found["id"])
    require_active(user)
    await _require_no_owner(session, provider, user["id"])
    changes: dict[UUID, int] = {}
    if user["email_verified_at"] is None:
        # Whoever made this account never proved that the address is his. It is the owner's now, with nothing left
        # by which the other could come back.
        changes = await disown(session, user["id"])
        user = await session.one("email_verified", user_id=user["id"], email=address)
    if await link(session, provider, claims, user):
        await mails.tell(session, "identity_linked", address, user_id=user["id"], provider=provider.name)
    return user, changes


async def _create(session: Session, provider: Provider, claims: Claims, address: str) -> Row | None:
    """A new account without a password, as the provider describes its person; None where there is one, or may be none."""
    if not provider.sign_up:
        return None
    name = _first(_NAME, claims.get("name"), claims.get("preferred_username"), address.partition("@")[0])
    user = await session.maybe("create_user", id=new_id(), email=address, name=name, password_hash=None)
    if user is None:
        return None
    await session.exec(
        "save_profile",
        user_id=user["id"],
        username=None,
        phone=None,
        theme="auto",
        avatar_url=_first(_PICTURE, claims.get("picture")),
        language=_first(_LANGUAGE, claims.get("locale")) or "en",
        timezone=_first(_TIMEZONE, claims.get("zoneinfo")) or "UTC",
        notification_preferences="{}",
        dashboard_preferences="{}",
    )
    return await session.one("email_verified", user_id=user["id"], email=address)


async def _require_no_owner(session: Session, provider: Provider, user_id: UUID) -> None:
    """Who manages sign-in is not always an owner, and must not become one by what a provider says."""
    if provider.tenant_id is None:
        return
    standing = await session.maybe("standing", user_id=user_id)
    if standing is not None and standing["role"] == "owner" and standing["live"]:
        raise Forbidden(
            "An owner links this provider from within the account first", details={"reason": "link_needed"}
        )


async def _enter(session: Session, provider: Provider, user_id: UUID) -> bool:
    """A member may come in; somebody who never was one becomes it, where the tenant wants that. Whether that was so."""
    standing = await session.maybe("standing", user_id=user_id)
    if standing is not None and standing["live"]:
        return False
    if standing is not None or provider.jit_role is None:
        raise Forbidden("You are not a member of this tenant", details={"reason": "not_a_member"})
    await session.one("join_just_in_time", user_id=user_id, role=provider.jit_role)
    await session.exec("create_room", id=user_id, kind="user")
    return True


async def _announce(edge: Edge, provider: Provider, user: Row) -> None:
    """Tell the tenant of its new member."""
    assert provider.tenant_id is not None
    principal = Principal(
        user_id=user["id"], name=user["name"], email=user["email"], tenant_id=provider.tenant_id, tenant_name="",
        tenant_slug="", role=provider.jit_role or "member", session_id=user["id"], expires_at=float("inf"),
        origin=edge.origin,
    )  # fmt: skip
    await edge.submit(JOINED, Nothing(), principal)


async def tell_of_joining(tx: Tx, cmd: Nothing) -> MemberAdded:
    """The event about somebody who has just become a member."""
    return MemberAdded(member=Member.of(await tx.one("member_entity", user_id=tx.actor.user_id)))


def _first(kind: TypeAdapter[str], *values: Any) -> str | None:
    """The first of some claims that fits."""
    for value in values:
        try:
            return kind.validate_python(value)
        except ValidationError:
            continue
    return None


JOINED: Final = Spec(
    kind="command", name="member.joined", payload=Nothing, returns=None, handler=tell_of_joining, doc="", room="tenant"
)  # fmt: skip
"""A command that no client can send: it is run by what stands above."""

"""Joining: what somebody who holds an invitation may do with it, signed in or new here.

Accepting is a command of the tenant's room, run as the inviter: so his rights are read under the room's lock at that
moment, and an invitation is worth what its sender is worth. The newcomer is its subject.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final
from uuid import UUID

import orjson
from pydantic import Field

from handlers.access import Role, rights
from handlers.context import Edge, Principal, Tx
from handlers.errors import Conflict, Forbidden, NotFound, ValidationFailed
from handlers.identity import mails
from handlers.identity.entry import AS_COOKIE, SignedIn, choose_tenant, open_session, signed_in, tenant_of
from handlers.identity.invitations import InvitationChanged, may_invite, may_share, touched
from handlers.identity.looks import Branding, Looks
from handlers.identity.members import MemberAdded, admit
from handlers.identity.people import Done, Email, Password, Token
from handlers.identity.signin import renew
from handlers.identity.tokens import hash_token
from handlers.identity.users import Register, Registered, register, require_length
from handlers.registry import Event, Name, Payload, Reply, Spec, Timestamp, endpoint
from handlers.work.projects.members import ProjectMember, ProjectMemberAdded
from storage.ids import new_id
from storage.postgres import Row
from storage.rooms import RoomKey

OVER: Final = "is not valid: the invitation was used, withdrawn or has expired"
"""The one answer for whatever is wrong with an invitation."""


class Look(Payload):
    token: Token


class Accept(Payload):
    token: Token
    cookie: bool = AS_COOKIE


class Decline(Payload):
    token: Token


class RegisterInvited(Payload):
    token: Token
    name: Name
    password: Password
    email: Email | None = Field(
        None, description="Needed with a link; an invitation by mail is for its address alone."
    )
    cookie: bool = AS_COOKIE


class Offer(Reply):
    """What an invitation offers. Whether its address has an account is not told."""

    tenant: str
    role: Role
    inviter: str
    email: str | None = Field(description="Whom it is for; null: whoever has the link.")
    name: str = Field(description="What the inviter calls her; empty where he said nothing.")
    expires_at: Timestamp | None = Field(description="When the membership would end.")
    valid_until: Timestamp
    branding: Looks = Field(description="How the tenant looks, for the page that shows this.")


class Join(Payload):
    """Let a person in by an invitation."""

    invitation_id: UUID
    user_id: UUID


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An account that comes to be together with its membership."""

    email: str
    name: str
    password_hash: str
    proven: bool
    """Whether the address is proven: by a token that came to it by mail."""


@endpoint("invitation.look", rest="POST /invitations/look", public=True, limit="recovery")
async def look(edge: Edge, ask: Look) -> Offer:
    """What an invitation offers, for whoever holds its token."""
    row = await _find(edge, ask.token)
    return Offer(
        tenant=row["tenant_name"], role=row["role"], inviter=row["inviter_name"], email=row["email"],
        name=row["name"] if row["email"] else "", expires_at=row["member_until"], valid_until=row["expires_at"],
        branding=Looks(**Branding.of({**dict(row), "id": row["tenant_id"]}).model_dump()),
    )  # fmt: skip


@endpoint("invitation.accept", rest="POST /invitations/accept")
async def accept(edge: Edge, cmd: Accept) -> SignedIn:
    """Join the tenant with the account that one is signed in to; the tokens in the reply name the tenant.

    An invitation to an address needs the account of that address (FORBIDDEN otherwise), and proves it. A link brings
    nobody back who was removed: FORBIDDEN, `reason` `removed`. Accepting once more is answered as the first time. Where the tenant lets people in by its own provider only, one has joined, and
    the answer is that of `tenant.switch`: FORBIDDEN, `reason` `sso_required`.
    """
    account = edge.signed_in()
    if cmd.cookie:
        edge.require_page()
    async with edge.db.transaction(None) as session:
        user = await session.one("user_by_id", user_id=account.user_id)
    tenant_id = await _accepted_before(edge, cmd.token, account.user_id)
    if tenant_id is None:
        row = await _find(edge, cmd.token)
        if row["email"] not in (None, user["email"]):
            raise Forbidden("This invitation is for another address", details={"reason": "another_address"})
        await _join(edge, row, account.user_id)
        tenant_id = row["tenant_id"]
    async with edge.db.transaction(None) as session:
        await choose_tenant(session, account.user_id, tenant_id)
    return await renew(edge, user, account.session_id, await tenant_of(edge, tenant_id), cookie=cmd.cookie)


@endpoint("invitation.register", rest="POST /invitations/register", public=True, status=201, limit="register")
async def register_invited(edge: Edge, cmd: RegisterInvited) -> Registered:
    """Make an account and join the tenant with it, in one.

    The token of a mail proves its address: nothing more is asked. An address with an account is a CONFLICT: sign in and
    accept. With a link the address is anybody's: where the server requires verified addresses the account comes first
    (`verify_email` is true, and there are no tokens), and the link is followed again after that.
    """
    if cmd.cookie:
        edge.require_page()
    require_length(edge, "password", cmd.password)
    row = await _find(edge, cmd.token)
    email = _address(row, cmd)
    if row["email"] is None and edge.settings.require_verified_email:
        return await register(
            edge, Register(email=email, password=cmd.password, name=cmd.name, cookie=cmd.cookie)
        )
    hashed = await edge.passwords.hash(cmd.password)
    newcomer = Newcomer(email, cmd.name, hashed, proven=row["email"] is not None)
    user_id = new_id()
    await _join(edge, row, user_id, newcomer)
    edge.about(actor_id=user_id)
    edge.wake_outbox()
    async with edge.db.transaction(None) as session:
        user = await session.one("user_by_id", user_id=user_id)
        await choose_tenant(session, user_id, row["tenant_id"])
        session_id, token = await open_session(edge, session, user_id, row["tenant_id"], method="password")
    tenant = await tenant_of(edge, row["tenant_id"])
    tokens = signed_in(edge, user, session_id, tenant, token, cookie=cmd.cookie)
    return Registered(**dict(tokens), verify_email=False)


@endpoint("invitation.decline", rest="POST /invitations/decline", public=True, limit="recovery")
async def decline(edge: Edge, cmd: Decline) -> Done:
    """Say no to an invitation to one's address. A link is simply left alone: CONFLICT."""
    row = await _find(edge, cmd.token)
    if row["email"] is None:
        raise Conflict("A link is for many: it cannot be declined, only left alone")
    payload = Join(invitation_id=row["id"], user_id=row["invited_by"])
    await _submit(edge, DECLINE, payload, row)
    return Done()


async def join(tx: Tx, cmd: Join, *, newcomer: Newcomer | None = None) -> list[Event]:
    """Let a person in, as far as the inviter may do that now."""
    row = await tx.maybe("open_invitation", cmd)
    if row is None:
        raise _over()
    try:
        tx.require("member.invite")
        tx.may_give(row["role"])
    except Forbidden:
        raise _over() from None
    if row["email"] is None and await tx.value("membership_status", cmd) == "removed":
        raise Forbidden("Who was removed needs an invitation to her address", details={"reason": "removed"})
    user = await _account(tx, cmd.user_id, newcomer)
    parts = orjson.loads(row["projects"])
    await tx.many("lock_rooms", room_ids=[UUID(part["project_id"]) for part in parts])
    shared = [part for part in parts if await _may_share(tx, part)]
    added = await admit(tx, user, row["role"], row["member_until"])
    await tx.one("use_invitation", cmd)
    if row["email"] is not None:
        await tx.exec("prove_address", cmd, email=row["email"])
    await tx.rights_changed()
    events: list[Event] = [*added, touched(tx)]
    for part in shared:
        project_id = UUID(part["project_id"])
        member = await tx.one("set_project_member", cmd, project_id=project_id, role=part["role"])
        taking_part = ProjectMemberAdded(member=ProjectMember.of(member))
        events.append(taking_part.to(RoomKey(tx.room.tenant_id, "project", project_id)))
    return events


async def turn_down(tx: Tx, cmd: Join) -> InvitationChanged:
    """Close an invitation that was declined."""
    if await tx.maybe("close_invitation", cmd, state="declined") is None:
        raise _over()
    await tx.exec("end_invitation_tokens", cmd)
    return touched(tx)


async def _account(tx: Tx, user_id: UUID, newcomer: Newcomer | None) -> Row:
    if newcomer is None:
        return await tx.one("user_by_id", user_id=user_id)
    if await tx.maybe("user_by_email", email=newcomer.email) is not None:
        raise _taken()
    user = await tx.maybe(
        "create_user", id=user_id, email=newcomer.email, name=newcomer.name, password_hash=newcomer.password_hash
    )  # fmt: skip
    if user is None:
        raise _taken()
    if not newcomer.proven:
        await mails.ask(tx.session, "verify_email", newcomer.email)
    return user


async def _may_share(tx: Tx, part: dict[str, Any]) -> bool:
    project_id = UUID(part["project_id"])
    there = await tx.maybe("project", project_id=project_id)
    return there is not None and await may_share(tx, project_id, part["role"])


async def _find(edge: Edge, token: str) -> Row:
    """The invitation behind a token, if it may be accepted now; one answer for everything else."""
    async with edge.db.transaction(None) as session:
        found = await session.maybe("find_invitation", token_hash=hash_token(token))
    if found is None:
        raise _over()
    tenant_id = found["tenant_id"]
    edge.about(tenant_id=tenant_id, resource=f"invitation:{found['invitation_id']}")
    async with edge.db.transaction(tenant_id) as session:
        row = await session.maybe("open_invitation", invitation_id=found["invitation_id"])
        actor = row and await session.maybe("actor_rights", actor_id=row["invited_by"], room_id=tenant_id)
    if row is None or not actor or not may_invite(rights(actor, "tenant", tenant_id), row["role"]):
        raise _over()
    return row


async def _accepted_before(edge: Edge, token: str, user_id: UUID) -> UUID | None:
    """The tenant, where this very person has come in by this invitation and is still there."""
    async with edge.db.transaction(None) as session:
        found = await session.maybe("find_invitation", token_hash=hash_token(token))
    if found is None:
        return None
    async with edge.db.transaction(found["tenant_id"]) as session:
        again = await session.maybe("joined_by", invitation_id=found["invitation_id"], user_id=user_id)
    return found["tenant_id"] if again else None


async def _join(edge: Edge, row: Row, user_id: UUID, newcomer: Newcomer | None = None) -> None:
    spec = replace(JOIN, handler=partial(join, newcomer=newcomer)) if newcomer else JOIN
    await _submit(edge, spec, Join(invitation_id=row["id"], user_id=user_id), row)


async def _submit(edge: Edge, spec: Spec, payload: Join, row: Row) -> None:
    try:
        await edge.submit(spec, payload, _inviter(edge, row))
    except NotFound:  # the inviter has left, or the tenant is gone
        raise _over() from None


def _inviter(edge: Edge, row: Row) -> Principal:
    """Whoever invited; what he may do is read with the command, as always. The call comes from the newcomer's place."""
    return Principal(
        user_id=row["invited_by"], name=row["inviter_name"], email="", tenant_id=row["tenant_id"],
        tenant_name=row["tenant_name"], tenant_slug=row["tenant_slug"], role=row["role"], session_id=row["invited_by"],
        expires_at=float("inf"), origin=edge.origin,
    )  # fmt: skip


def _address(row: Row, cmd: RegisterInvited) -> str:
    email: str | None = row["email"] or cmd.email
    if email is None:
        raise ValidationFailed.field("email", "is needed with a link")
    if cmd.email not in (None, email):
        raise ValidationFailed.field("email", "is another one than the invitation is for")
    return email


def _over() -> ValidationFailed:
    return ValidationFailed.field("token", OVER)


def _taken() -> Conflict:
    return Conflict(
        "This address has an account: sign in, then accept", field_errors={"email": ["has an account"]}
    )


JOIN: Final = Spec(
    kind="command", name="member.join", payload=Join, returns=list[MemberAdded | InvitationChanged | ProjectMemberAdded],
    handler=join, doc="", room="tenant",
)  # fmt: skip
DECLINE: Final = Spec(
    kind="command", name="invitation.decline", payload=Join, returns=InvitationChanged, handler=turn_down, doc="", room="tenant",
)  # fmt: skip
"""Commands that no client can send: they are run by what stands above."""

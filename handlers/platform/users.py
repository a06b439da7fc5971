"""Accounts of people and of services, as those see and manage them who run the server."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from handlers.access import Role
from handlers.context import Edge
from handlers.errors import Conflict
from handlers.identity import factors, mails
from handlers.identity.api_keys import tell_of_ended_keys
from handlers.identity.devices import MAX_SESSIONS, SignIn, device
from handlers.identity.people import Done
from handlers.identity.signin import end_sessions, raise_rights
from handlers.paging import decode_cursor
from handlers.platform.administrators import (
    LAST,
    WithReason,
    caller,
    deed,
    found_user,
    note,
    tenants_of,
)
from handlers.platform.tenants import Deeds, Search, may, page_of
from handlers.registry import Entity, Page, Paging, Payload, Reply, Timestamp, endpoint
from storage.postgres import Row, Session

Status = Literal["active", "inactive", "suspended", "pending"]


class PlatformUser(Entity):
    """An account, whatever tenants it works in."""

    id: UUID
    kind: Literal["person", "service"]
    name: str
    email: str
    status: Status
    email_verified: bool
    platform_admin: bool
    second_factor: bool = Field(description="Whether it has an authenticator app or a passkey.")
    has_password: bool = Field(description="Whether it can sign in with a password.")
    tenants: int = Field(description="Tenants that it is an active member of (count).")
    created_at: Timestamp
    last_login_at: Timestamp | None


class PlatformMembership(Entity):
    """An account in one tenant, and what it may do there."""

    tenant_id: UUID
    slug: str
    name: str
    tenant_status: str
    status: str = Field(description="The status of the membership.")
    role: Role
    permissions: list[str]
    expires_at: Timestamp | None
    joined_at: Timestamp


class ListUsers(Paging):
    email: Search | None = Field(None, description="What the address begins with.")
    name: Search | None = Field(None, description="What the name begins with; upper and lower case are one.")
    status: Status | None = None
    kind: Literal["person", "service"] | None = None
    platform_admin: bool | None = Field(
        None, description="Only those who run the server, or only the others."
    )


class WhichUser(Payload):
    user_id: UUID


class PageOfUser(Paging):
    user_id: UUID


class ActOnUser(WithReason):
    user_id: UUID


class PlatformUsers(Reply):
    users: list[PlatformUser]


class PlatformUserReply(Reply):
    """An account with its memberships, and the sessions that were used last, 100 at most."""

    user: PlatformUser
    memberships: list[PlatformMembership]
    sessions: list[SignIn]


@endpoint("platform.list_users", rest="GET /platform/users", platform=True)
async def list_users(edge: Edge, ask: ListUsers) -> Page[PlatformUsers]:
    """All accounts, or those whose address or name begins with something, of a status or a kind."""
    place = decode_cursor(ask.cursor, str, UUID) or ("", UUID(int=0))
    prefix = ask.email or ask.name or ""
    async with edge.db.transaction(None) as session:
        rows = await session.many(
            _list_for(ask),
            ask,
            prefix=prefix,
            after_place=place[0],
            after_id=place[1],
            max_rows=ask.limit + 1,
        )
        users = await _shown(edge, session, rows[: ask.limit])
    return Page(PlatformUsers(users=users), page_of(rows, ask.limit, "place", "id"))


@endpoint("platform.get_user", rest="GET /platform/users/{user_id}", platform=True)
async def get_user(edge: Edge, ask: WhichUser) -> PlatformUserReply:
    """One account: its memberships with what it may do there, and where it is signed in."""
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        (user,) = await _shown(edge, session, [await found_user(session, ask.user_id)])
        memberships = await session.many("platform_memberships", ask, caller=account.user_id)
        sessions = await session.many("sessions_of", ask, bound_to=None, max_sessions=MAX_SESSIONS)
    return PlatformUserReply(
        user=user,
        memberships=[PlatformMembership.model_validate({**dict(row), **may(row)}) for row in memberships],
        sessions=[SignIn(**dict(row), device=device(row["user_agent"]), current=row["id"] == account.session_id)
                  for row in sessions],
    )  # fmt: skip


@endpoint("platform.user_activity", rest="GET /platform/users/{user_id}/activity", platform=True)
async def user_activity(edge: Edge, ask: PageOfUser) -> Page[Deeds]:
    """What an account has done, in every tenant and outside of them, by their audit logs, the last first."""
    place = decode_cursor(ask.cursor, UUID) or (LAST,)
    async with edge.db.transaction(None) as session:
        rows = await session.many(
            "platform_activity_of", ask, caller=edge.signed_in().user_id, before_id=place[0],
            max_rows=ask.limit + 1,
        )  # fmt: skip
    return Page(Deeds(entries=[deed(row) for row in rows[: ask.limit]]), page_of(rows, ask.limit, "id"))


@endpoint("platform.suspend_user", rest="POST /platform/users/{user_id}/suspend", platform=True)
async def suspend_user(edge: Edge, cmd: ActOnUser) -> Done:
    """Suspend an account: its sessions end and its keys rest, with their sockets, and its owner gets a mail."""
    caller(edge, f"user:{cmd.user_id}")
    async with edge.db.transaction(None) as session:
        user = await _lock_other(edge, session, cmd.user_id)
        if user["status"] == "suspended":
            raise Conflict("This account is suspended already")
        await session.exec("set_user_status", user_id=user["id"], status="suspended")
        changes = await end_sessions(session, user["id"], "suspended")
        await _tell(session, "account_suspended", user, cmd.reason)
        await note(
            edge,
            session,
            reason=cmd.reason,
            tenants=await tenants_of(session, user["id"]),
            status="suspended",
        )
    edge.rights_changed(changes)
    edge.wake_outbox()
    return Done()


@endpoint("platform.activate_user", rest="POST /platform/users/{user_id}/activate", platform=True)
async def activate_user(edge: Edge, cmd: ActOnUser) -> Done:
    """Let a suspended, inactive or pending account in; its owner gets a mail."""
    caller(edge, f"user:{cmd.user_id}")
    async with edge.db.transaction(None) as session:
        user = await _lock_other(edge, session, cmd.user_id)
        if user["status"] == "active":
            raise Conflict("This account is active already")
        await session.exec("set_user_status", user_id=user["id"], status="active")
        await _tell(session, "account_activated", user, cmd.reason)
        await note(
            edge, session, reason=cmd.reason, tenants=await tenants_of(session, user["id"]), status="active"
        )
        changes = await raise_rights(session, user["id"])
    edge.rights_changed(changes)
    edge.wake_outbox()
    return Done()


@endpoint("platform.end_sessions", rest="POST /platform/users/{user_id}/end-sessions", platform=True)
async def end_sessions_of(edge: Edge, cmd: ActOnUser) -> Done:
    """Sign an account out everywhere: its sessions end, with their sockets. Its API keys go on."""
    caller(edge, f"user:{cmd.user_id}")
    async with edge.db.transaction(None) as session:
        user = await _lock_other(edge, session, cmd.user_id)
        changes = await end_sessions(session, user["id"], "ended by an administrator")
        await note(edge, session, reason=cmd.reason, tenants=await tenants_of(session, user["id"]))
    edge.rights_changed(changes)
    return Done()


@endpoint("platform.reset_password", rest="POST /platform/users/{user_id}/reset-password", platform=True)
async def reset_password(edge: Edge, cmd: ActOnUser) -> Done:
    """Take an account's password away: its sessions and personal API keys end, and its owner sets a new one by mail."""
    caller(edge, f"user:{cmd.user_id}")
    async with edge.db.transaction(None) as session:
        user = await _lock_other(edge, session, cmd.user_id)
        if user["kind"] == "service":
            raise Conflict("A service has no password")
        await session.exec("forget_password", user_id=user["id"])
        ended = await session.many("revoke_personal_keys_of", user_id=user["id"], reason="password reset")
        changes = await end_sessions(session, user["id"], "password reset")
        await _tell(session, "password_taken_away", user, cmd.reason)
        await mails.ask(session, "reset_password", user["email"])
        await note(edge, session, reason=cmd.reason, tenants=await tenants_of(session, user["id"]))
    edge.rights_changed(changes)
    edge.wake_outbox()
    await tell_of_ended_keys(edge, user["id"], ended)
    return Done()


@endpoint(
    "platform.reset_second_factor", rest="POST /platform/users/{user_id}/reset-second-factor", platform=True
)
async def reset_second_factor(edge: Edge, cmd: ActOnUser) -> Done:
    """Take every second factor and passkey of an account away, for who has lost them. Its sessions end.

    A mail tells its owner.
    """
    caller(edge, f"user:{cmd.user_id}")
    async with edge.db.transaction(None) as session:
        user = await _lock_other(edge, session, cmd.user_id)
        changes = await factors.reset(session, user, edge.origin)
        await note(edge, session, reason=cmd.reason, tenants=await tenants_of(session, user["id"]))
    edge.rights_changed(changes)
    edge.wake_outbox()
    return Done()


async def _lock_other(edge: Edge, session: Session, user_id: UUID) -> Row:
    """An account that is not the caller's own."""
    await found_user(session, user_id)
    if user_id == edge.signed_in().user_id:
        raise Conflict("Nobody does this to himself")
    return await session.one("lock_user", user_id=user_id)


async def _tell(session: Session, kind: str, user: Row, reason: str) -> None:
    if user["kind"] == "person":
        await mails.tell(session, kind, user["email"], user_id=user["id"], reason=reason)


async def _shown(edge: Edge, session: Session, rows: list[Row]) -> list[PlatformUser]:
    ids = [row["id"] for row in rows]
    counts = await session.many("platform_membership_counts", caller=edge.signed_in().user_id, user_ids=ids)
    with_factor = {row["user_id"] for row in await session.many("with_second_factor", user_ids=ids)}
    tenants = {row["user_id"]: row["tenants"] for row in counts}
    return [
        PlatformUser(
            **dict(row), tenants=tenants.get(row["id"], 0), email_verified=row["email_verified_at"] is not None,
            has_password=row["password_hash"] is not None, second_factor=row["id"] in with_factor,
        )
        for row in rows
    ]  # fmt: skip


def _list_for(ask: ListUsers) -> str:
    """The statement whose index narrows the most: few accounts run the server, are out of use, or are services."""
    if ask.platform_admin:
        return "platform_admins"
    if ask.status not in (None, "active"):
        return "users_by_status"
    if ask.kind == "service":
        return "users_by_kind"
    if ask.email or ask.name:
        return "users_by_email" if ask.email else "users_by_name"
    return "users_by_id"

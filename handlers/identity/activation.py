"""Members who are deactivated for a while: they cannot act, nothing of theirs is lost, and all comes back."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from handlers.context import Tx
from handlers.errors import AtriumError, Conflict, NotFound
from handlers.identity.members import require_another_owner
from handlers.registry import Entity, Event, Outcome, Payload, Reply, command, unique
from handlers.work.projects.parts import lock_projects
from storage.postgres import Row
from storage.rooms import RoomKey

MOST: Final = 1000
"""Members in one command (count)."""

Status = Literal["active", "suspended"]
ManyIds = Annotated[list[UUID], Field(min_length=1, max_length=MOST), AfterValidator(unique)]


class MemberStatus(Entity):
    id: UUID
    status: Status


class MemberActive(Entity):
    id: UUID
    active: bool


class MembersDeactivated(Event, name="member.deactivated"):
    """Members cannot act any more; what they had and did stays."""

    members: list[MemberStatus]


class MembersActivated(Event, name="member.activated"):
    """Members who had been deactivated are back, with everything."""

    members: list[MemberStatus]


class ProjectMembersChanged(Event, name="project.members_changed"):
    """People who take part in the project were deactivated or activated."""

    members: list[MemberActive]


class OneMember(Payload):
    user_id: UUID


class ManyMembers(Payload):
    user_ids: ManyIds


class OneOutcome(Reply):
    """How it went for one of many."""

    id: UUID
    ok: bool
    code: str | None = Field(None, description="Of the error, where it was refused.")
    message: str | None = None


class Outcomes(Reply):
    outcomes: list[OneOutcome]


Deactivated = MembersDeactivated | ProjectMembersChanged
Activated = MembersActivated | ProjectMembersChanged


@command(
    "member.deactivate",
    needs="member.manage",
    rest="POST /tenants/{tenant_id}/members/{user_id}/deactivate",
    room="tenant",
)
async def deactivate(tx: Tx, cmd: OneMember) -> list[Deactivated]:
    """Keep a member from acting: her sockets in this tenant close at once. Nothing of hers is lost."""
    return _all(await _change(tx, [cmd.user_id], "suspended"))


@command(
    "member.activate",
    needs="member.manage",
    rest="POST /tenants/{tenant_id}/members/{user_id}/activate",
    room="tenant",
)
async def activate(tx: Tx, cmd: OneMember) -> list[Activated]:
    """Let a deactivated member act again, with everything she had."""
    return _all(await _change(tx, [cmd.user_id], "active"))


@command(
    "member.deactivate_many",
    needs="member.manage",
    rest="POST /tenants/{tenant_id}/members/deactivate",
    room="tenant",
)
async def deactivate_many(tx: Tx, cmd: ManyMembers) -> Outcome[Deactivated, Outcomes]:
    """Deactivate up to 1,000 members in one command; those who cannot be are named with the reason."""
    events, outcomes = await _change(tx, cmd.user_ids, "suspended")
    return Outcome(events, Outcomes(outcomes=_listed(outcomes)))


@command(
    "member.activate_many",
    needs="member.manage",
    rest="POST /tenants/{tenant_id}/members/activate",
    room="tenant",
)
async def activate_many(tx: Tx, cmd: ManyMembers) -> Outcome[Activated, Outcomes]:
    """Activate up to 1,000 members in one command; those who cannot be are named with the reason."""
    events, outcomes = await _change(tx, cmd.user_ids, "active")
    return Outcome(events, Outcomes(outcomes=_listed(outcomes)))


async def _change(
    tx: Tx, user_ids: list[UUID], status: Status
) -> tuple[list[Any], dict[UUID, AtriumError | None]]:
    """The events of a change, and for each person the error that kept her out of it."""
    rows = {row["id"]: row for row in await tx.many("members_by_id", user_ids=user_ids)}
    outcomes: dict[UUID, AtriumError | None] = {}
    for user_id in user_ids:
        try:
            _check(tx, rows.get(user_id), status)
            outcomes[user_id] = None
        except AtriumError as error:
            outcomes[user_id] = error
    changed = [user_id for user_id, error in outcomes.items() if error is None]
    owners = [user_id for user_id in changed if rows[user_id]["role"] == "owner"]
    if status == "suspended" and owners:
        try:
            await require_another_owner(tx, owners)
        except Conflict as error:
            outcomes |= dict.fromkeys(owners, error)
    changed = [
        user_id for user_id, error in outcomes.items() if error is None and rows[user_id]["status"] != status
    ]
    if not changed:
        return [], outcomes
    parts = await tx.many("project_ids_of_members", user_ids=changed)
    await lock_projects(tx, {row["project_id"] for row in parts})
    await tx.exec("set_member_status", user_ids=changed, status=status)
    await tx.rights_changed()
    event = MembersDeactivated if status == "suspended" else MembersActivated
    members = [MemberStatus(id=user_id, status=status) for user_id in changed]
    return [event(members=members), *_in_projects(tx, parts, status == "active")], outcomes


def _check(tx: Tx, row: Row | None, status: Status) -> None:
    if row is None:
        raise NotFound("There is no such member")
    if row["id"] == tx.actor.user_id and status == "suspended":
        raise Conflict("Nobody deactivates himself")
    tx.may_change(row["role"], row["all_allowed"], row["all_denied"])


def _in_projects(tx: Tx, parts: list[Row], active: bool) -> list[ProjectMembersChanged]:
    people: dict[UUID, list[MemberActive]] = {}
    for row in parts:
        people.setdefault(row["project_id"], []).append(MemberActive(id=row["user_id"], active=active))
    return [
        ProjectMembersChanged(members=members).to(RoomKey(tx.room.tenant_id, "project", project_id))
        for project_id, members in people.items()
    ]


def _all(result: tuple[list[Any], dict[UUID, AtriumError | None]]) -> list[Any]:
    events, outcomes = result
    for error in outcomes.values():
        if error is not None:
            raise error
    return events


def _listed(outcomes: dict[UUID, AtriumError | None]) -> list[OneOutcome]:
    return [
        OneOutcome(id=user_id, ok=True)
        if error is None
        else OneOutcome(id=user_id, ok=False, code=error.code, message=error.message)
        for user_id, error in outcomes.items()
    ]

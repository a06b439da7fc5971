"""Taking part in projects: what a person's own room hears of it, and how shares with teams and units become parts."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, TypeAlias
from uuid import UUID

from pydantic import Field, model_validator

from handlers import access
from handlers.access import Rights, Role
from handlers.context import Tx
from handlers.errors import Forbidden
from handlers.registry import Entity, Event, Gone, Timestamp, reaction
from handlers.work.projects.members import ProjectMember, ProjectMemberAdded, ProjectMemberRemoved, shown_part
from handlers.work.projects.projects import ProjectCreated
from handlers.work.tasks.trash import ProjectPurged
from storage.postgres import Row
from storage.rooms import RoomKey

PartEvent: TypeAlias = ProjectMemberAdded | ProjectMemberRemoved

MOST_GONE: Final = 1_000
"""What one `project.left` takes away (count); more of it goes in several."""


class TakingPart(Entity):
    """Your part in a project; `id` is the project's."""

    id: UUID
    role: Role | None = Field(description="Your role there; null: the one in the tenant.")
    direct: bool = Field(
        description="Whether the project is shared with you yourself, not only with your teams."
    )
    expires_at: Timestamp | None = Field(description="When that ends, where it is shared with you yourself.")

    @model_validator(mode="before")
    @classmethod
    def from_row(cls, value: Any) -> Any:
        return shown_part(value)


class ProjectJoined(Event, name="project.joined"):
    """You take part in a project, or your part in it has changed."""

    participation: TakingPart


class ProjectLeft(Event, name="project.left"):
    """You take no part in a project any more."""

    participation: Gone
    assignments: list[Gone] | None = Field(
        None,
        description="What was yours there, where the project is no more. More than 1,000 things go in several events.",
    )
    views: list[Gone] | None = None
    board_layouts: list[Gone] | None = None


@reaction(ProjectCreated)
async def on_created(tx: Tx, event: ProjectCreated) -> list[Event]:
    rows = await tx.many("project_members_of", project_id=event.project.id)
    return [_joined(tx, row["id"], TakingPart.of({**row, "id": event.project.id})) for row in rows]


@reaction(ProjectMemberAdded)
async def on_added(tx: Tx, event: ProjectMemberAdded) -> list[Event]:
    project_id, member = (event.room or tx.room).id, event.member
    part = TakingPart(id=project_id, role=member.role, direct=member.direct, expires_at=member.expires_at)
    return [_joined(tx, member.id, part)]


@reaction(ProjectMemberRemoved)
async def on_removed(tx: Tx, event: ProjectMemberRemoved) -> list[Event]:
    gone = Gone(id=(event.room or tx.room).id, removed=True)
    return [ProjectLeft(participation=gone).to(RoomKey(tx.room.tenant_id, "user", event.member.id))]


@reaction(ProjectPurged)
async def on_purged(tx: Tx, event: ProjectPurged) -> list[Event]:
    """Everybody who has something of it loses it in her own room too."""
    if event.room is not None and event.room != tx.room:
        return []
    held: defaultdict[UUID, list[tuple[str, UUID]]] = defaultdict(list)
    for row in await tx.many("held_of_project", project_id=event.project.id):
        held[row["user_id"]] += [(row["kind"], one) for one in row["ids"]]
    return [
        _left(event.project.id, gone[first : first + MOST_GONE]).to(
            RoomKey(tx.room.tenant_id, "user", user_id)
        )
        for user_id, gone in held.items()
        for first in range(0, max(len(gone), 1), MOST_GONE)
    ]


async def lock_projects(tx: Tx, project_ids: set[UUID]) -> None:
    """Lock the rooms of projects before any of their rows; their order is everybody's."""
    if project_ids:
        await tx.many("lock_rooms", room_ids=list(project_ids))


async def settle_shares(tx: Tx, project_ids: set[UUID]) -> list[PartEvent]:
    """Make the parts of these projects what their shares say. Nobody lets others do, by whatever team or unit, what
    he may not do in that project himself. The rooms of the projects are locked already.
    """
    if not project_ids:
        return []
    changes = await tx.many("share_changes", project_ids=list(project_ids))
    if not changes:
        return []
    mine: dict[UUID, frozenset[str]] = {}
    for change in changes:
        project_id = change["project_id"]
        if project_id not in mine:
            mine[project_id] = await to_give_in(tx, project_id)
        if missing := sorted(_gained(change) - mine[project_id]):
            raise Forbidden(
                "This would let somebody do in a project what you may not do there",
                details={"permissions": missing},
            )
    await tx.exec(
        "settle_shares",
        project_ids=[change["project_id"] for change in changes],
        user_ids=[change["user_id"] for change in changes],
        roles=[",".join(change["wanted"] or ()) for change in changes],
    )
    await tx.rights_changed()
    return [_event(tx, change) for change in changes]


async def to_give_in(tx: Tx, project_id: UUID) -> frozenset[str]:
    """What the caller may let others do in a project; nothing where he cannot see it."""
    room = RoomKey(tx.room.tenant_id, "project", project_id)
    if room == tx.room:
        return tx.rights.to_give
    row = await tx.maybe("actor_rights", room_id=project_id, actor_id=tx.actor.user_id)
    rights = row and access.rights(row, "project", project_id)
    return rights.within(tx.actor.scopes).to_give if rights else frozenset()


def part_rights(actor: Mapping[str, Any], project_id: UUID, **part: Any) -> frozenset[str]:
    """What somebody may do in a project by herself with a part that she might have."""
    rights: Rights | None = access.rights({"live": True, **actor, **part}, "project", project_id)
    return rights.permissions if rights else frozenset()


def _gained(change: Row) -> frozenset[str]:
    """What a person may do after a change and not before."""
    actor, project_id = {**change, "project_role": change["own_project_role"]}, change["project_id"]
    before = part_rights(actor, project_id, in_project=change["direct"] or bool(change["shared_roles"]))
    after = part_rights(
        actor,
        project_id,
        shared_roles=change["wanted"],
        in_project=change["direct"] or bool(change["wanted"]),
    )
    return after - before


def _event(tx: Tx, change: Row) -> PartEvent:
    room = RoomKey(tx.room.tenant_id, "project", change["project_id"])
    if not change["wanted"] and not change["is_direct"]:
        return ProjectMemberRemoved(member=Gone(id=change["user_id"], removed=True)).to(room)
    row = {
        **change,
        "id": change["user_id"],
        "role": change["own_project_role"],
        "direct": change["is_direct"],
        "shared_roles": change["wanted"],
    }
    return ProjectMemberAdded(member=ProjectMember.of(row)).to(room)


def _left(project_id: UUID, gone: list[tuple[str, UUID]]) -> ProjectLeft:
    lists: defaultdict[str, list[Gone]] = defaultdict(list)
    for kind, one in gone:
        lists[kind].append(Gone(id=one, removed=True))
    return ProjectLeft(participation=Gone(id=project_id, removed=True), **lists)


def _joined(tx: Tx, user_id: UUID, part: TakingPart) -> Event:
    return ProjectJoined(participation=part).to(RoomKey(tx.room.tenant_id, "user", user_id))

"""Sharing a project with a team or unit: everybody in it, or in a unit below it, takes part."""

from typing import Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from handlers.access import Role
from handlers.context import Tx
from handlers.errors import Conflict, NotFound
from handlers.identity import groups
from handlers.registry import Entity, Event, Payload, Reply, command, query
from handlers.work.projects.parts import PartEvent, settle_shares
from storage.ids import new_id


class Share(Entity):
    """A project that a team or unit takes part in."""

    id: UUID
    project_id: UUID
    group_id: UUID = Field(description="The team or unit.")
    role: Role | None = Field(description="As what they take part; null: each with the role in the tenant.")


class ShareGone(Entity):
    """A share that is no more."""

    id: UUID
    removed: Literal[True]


class NamedShare(Share):
    """A share with what it is shared with."""

    name: str
    kind: Literal["team", "department", "client", "region"]


class ProjectShared(Event, name="project.shared"):
    """A team or unit takes part in a project, or does so in another role."""

    share: Share


class ProjectUnshared(Event, name="project.unshared"):
    """A team or unit takes no part in a project any more."""

    share: ShareGone


class ShareProject(Payload):
    project_id: UUID
    team_id: UUID | None = None
    unit_id: UUID | None = None
    role: Role | None = Field(
        None, description="As what they take part. Unset: each with the role in the tenant."
    )

    @model_validator(mode="after")
    def one_of_them(self) -> Self:
        if (self.team_id is None) == (self.unit_id is None):
            raise ValueError("give team_id or unit_id")
        return self


class UnshareProject(Payload):
    project_id: UUID
    share_id: UUID


class OneProject(Payload):
    project_id: UUID


class ShareList(Reply):
    shares: list[NamedShare]


@command(
    "project.share",
    needs="project.share",
    rest="PUT /projects/{project_id}/shares",
    room="tenant",
    within="project_id",
)
async def share(tx: Tx, cmd: ShareProject) -> list[ProjectShared | PartEvent]:
    """Let a team or unit take part, or give it another role. It never narrows what somebody may do there anyway."""
    team = cmd.team_id is not None
    row = await groups.group(tx, cmd.team_id or cmd.unit_id, team=team)  # type: ignore[arg-type]  # one is there
    if row["project_id"] not in (None, cmd.project_id):
        raise Conflict("This is the team of another project")
    if cmd.role is not None:
        tx.may_give(cmd.role)
    made = await tx.one("add_share", cmd, id=new_id(), group_id=row["id"])
    events = await settle_shares(tx, {cmd.project_id})
    return [ProjectShared.of(made), *events]


@command(
    "project.unshare",
    needs="project.share",
    rest="DELETE /projects/{project_id}/shares/{share_id}",
    room="tenant",
    within="project_id",
    archived=True,
)
async def unshare(tx: Tx, cmd: UnshareProject) -> list[ProjectUnshared | PartEvent]:
    """End what a team or unit takes part in; who is there by herself, or through another, stays."""
    if await tx.maybe("share", cmd) is None:
        raise NotFound("The project is not shared like this")
    await tx.exec("remove_share", cmd)
    events = await settle_shares(tx, {cmd.project_id})
    gone = ShareGone(id=cmd.share_id, removed=True)
    return [ProjectUnshared(share=gone), *events]


@query("project.list_shares", needs="project.share", rest="GET /projects/{project_id}/shares")
async def list_shares(tx: Tx, ask: OneProject) -> ShareList:
    """The teams and units that take part in a project."""
    rows = await tx.many("shares_of_project", project_id=tx.room.id)
    return ShareList(shares=[NamedShare.of(row) for row in rows])

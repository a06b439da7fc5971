"""Teams: people of the tenant, or of one project, who take part in projects together."""

from typing import TypeAlias
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import NotFound
from handlers.identity import groups
from handlers.identity.roles import Colour, Remark
from handlers.identity.shares import Share, ShareGone
from handlers.registry import (
    Entity,
    Event,
    Gone,
    Ids,
    Name,
    Page,
    Paging,
    Payload,
    Reply,
    command,
    query,
)
from handlers.work.projects.parts import PartEvent, lock_projects, settle_shares
from storage.ids import new_id
from storage.postgres import Row


class Team(Entity):
    """People who take part together in the projects that are shared with the team."""

    id: UUID
    name: str
    description: str
    colour: str | None
    project_id: UUID | None = Field(description="The project whose team it is; null: of the whole tenant.")
    member_ids: list[UUID]
    version: int


class TeamWas(Entity):
    """The values that changed fields had before."""

    name: str | None = None
    description: str | None = None
    colour: str | None = None
    member_ids: list[UUID] | None = None


class TeamCreated(Event, name="team.created"):
    """There is a new team; one of a project takes part in it from the start."""

    team: Team
    shares: list[Share]


class TeamUpdated(Event, name="team.updated"):
    """A team has another name, or other people."""

    team: Team
    was: TeamWas


class TeamDeleted(Event, name="team.deleted"):
    """A team is no more, and what was shared with it is not shared through it any more."""

    team: Gone
    shares: list[ShareGone]


class CreateTeam(Payload):
    id: UUID | None = Field(None, description="UUID of the new team, where the client makes it.")
    name: Name
    description: Remark = ""
    colour: Colour | None = None
    project_id: UUID | None = Field(None, description="Makes it a team of this project alone.")
    member_ids: Ids = []


class UpdateTeam(Payload):
    team_id: UUID
    name: Name | None = None
    description: Remark | None = None
    colour: Colour | None = None


class OneTeam(Payload):
    team_id: UUID


class TeamPeople(Payload):
    team_id: UUID
    user_ids: Ids


class TeamList(Reply):
    teams: list[Team]


TeamEvents: TypeAlias = list[TeamUpdated | PartEvent]


@query("team.list", needs="tenant.view", rest="GET /tenants/{tenant_id}/teams", room="tenant")
async def list_teams(tx: Tx, ask: Paging) -> Page[TeamList]:
    """The teams of the tenant and of its projects, by name."""
    rows, pagination = await groups.page(tx, ask, teams=True)
    return Page(TeamList(teams=[Team.of(row) for row in rows]), pagination)


@command(
    "team.create", needs="team.manage", rest="POST /tenants/{tenant_id}/teams", room="tenant", status=201
)
async def create(tx: Tx, cmd: CreateTeam) -> list[TeamCreated | PartEvent]:
    """Create a team. A team of one project takes part in it, everybody with the role in the tenant."""
    if cmd.project_id is not None:
        await lock_projects(tx, {cmd.project_id})
        if await tx.maybe("project", project_id=cmd.project_id) is None:
            raise NotFound("There is no such project")
    row, _ = await groups.create(tx, cmd, cmd.member_ids, kind="team", parent_id=None)
    shares: list[Share] = []
    events: list[PartEvent] = []
    if cmd.project_id is not None:
        share = await tx.one(
            "add_share", id=new_id(), project_id=cmd.project_id, group_id=row["id"], role=None
        )
        shares = [Share.of(share)]
        events = await settle_shares(tx, {cmd.project_id})
    return [TeamCreated(team=Team.of(row), shares=shares), *events]


@command(
    "team.update",
    needs="team.manage",
    rest="PUT /tenants/{tenant_id}/teams/{team_id}",
    room="tenant",
    versioned=True,
)
async def update(tx: Tx, cmd: UpdateTeam) -> TeamUpdated:
    """Change what a team is called."""
    row = await groups.group(tx, cmd.team_id, team=True)
    tx.check_version(row, Team)
    given = cmd.model_dump(exclude_unset=True, exclude={"team_id"})
    fields = {name: row[name] for name in ("name", "description", "colour", "parent_id")} | {
        name: value for name, value in given.items() if value is not None or name == "colour"
    }
    fresh, _ = await groups.update(tx, row, **fields)
    return _updated(row, fresh)


@command(
    "team.add_members",
    needs="team.manage",
    rest="POST /tenants/{tenant_id}/teams/{team_id}/members",
    room="tenant",
)
async def add_members(tx: Tx, cmd: TeamPeople) -> TeamEvents:
    """Put people into a team: they take part in what is shared with it, at once."""
    row = await groups.group(tx, cmd.team_id, team=True)
    fresh, events = await groups.add(tx, row, cmd.user_ids)
    return [_updated(row, fresh), *events]


@command(
    "team.remove_members",
    needs="team.manage",
    rest="POST /tenants/{tenant_id}/teams/{team_id}/members/remove",
    room="tenant",
)
async def remove_members(tx: Tx, cmd: TeamPeople) -> TeamEvents:
    """Take people out of a team, and out of what was shared with them through it alone."""
    row = await groups.group(tx, cmd.team_id, team=True)
    fresh, events = await groups.remove(tx, row, cmd.user_ids)
    return [_updated(row, fresh), *events]


@command(
    "team.delete", needs="team.manage", rest="DELETE /tenants/{tenant_id}/teams/{team_id}", room="tenant"
)
async def delete(tx: Tx, cmd: OneTeam) -> list[TeamDeleted | PartEvent]:
    """Delete a team; its members stay members of the tenant."""
    shares, events = await groups.delete(tx, await groups.group(tx, cmd.team_id, team=True))
    gone = Gone(id=cmd.team_id, removed=True)
    lost = [ShareGone(id=share_id, removed=True) for share_id in shares]
    return [TeamDeleted(team=gone, shares=lost), *events]


def _updated(row: Row, fresh: Row) -> TeamUpdated:
    was = {name: row[name] for name in TeamWas.model_fields if row[name] != fresh[name]}
    return TeamUpdated(team=Team.of(fresh), was=TeamWas(**was))

"""Units: departments, clients and regions, one below the other; whoever is in one is in those above it too."""

from typing import Literal, TypeAlias
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import Conflict
from handlers.identity import groups
from handlers.identity.roles import Colour, Remark
from handlers.identity.shares import ShareGone
from handlers.registry import Entity, Event, Gone, Ids, Name, Page, Paging, Payload, Reply, command, query
from handlers.work.projects.parts import PartEvent
from storage.postgres import Row

Kind = Literal["department", "client", "region"]


class Unit(Entity):
    """A department, client or region with its people and, through shares, its projects."""

    id: UUID
    kind: Kind
    name: str
    description: str
    colour: str | None
    parent_id: UUID | None
    member_ids: list[UUID] = Field(description="Those in it itself, not in units below it.")
    version: int


class UnitWas(Entity):
    """The values that changed fields had before."""

    name: str | None = None
    description: str | None = None
    colour: str | None = None
    parent_id: UUID | None = None
    member_ids: list[UUID] | None = None


class UnitCreated(Event, name="unit.created"):
    """There is a new unit."""

    unit: Unit


class UnitUpdated(Event, name="unit.updated"):
    """A unit has another name, other people, or another place."""

    unit: Unit
    was: UnitWas


class UnitDeleted(Event, name="unit.deleted"):
    """A unit is no more, and what was shared with it is not shared through it any more."""

    unit: Gone
    shares: list[ShareGone]


class CreateUnit(Payload):
    id: UUID | None = Field(None, description="UUID of the new unit, where the client makes it.")
    kind: Kind
    name: Name
    description: Remark = ""
    colour: Colour | None = None
    parent_id: UUID | None = Field(None, description="The unit that it is a part of.")
    member_ids: Ids = []


class UpdateUnit(Payload):
    unit_id: UUID
    name: Name | None = None
    description: Remark | None = None
    colour: Colour | None = None
    parent_id: UUID | None = Field(None, description="The unit that it is a part of; null for none.")


class OneUnit(Payload):
    unit_id: UUID


class UnitPeople(Payload):
    unit_id: UUID
    user_ids: Ids


class UnitList(Reply):
    units: list[Unit]


UnitEvents: TypeAlias = list[UnitUpdated | PartEvent]


@query("unit.list", needs="tenant.view", rest="GET /tenants/{tenant_id}/units", room="tenant")
async def list_units(tx: Tx, ask: Paging) -> Page[UnitList]:
    """Departments, clients and regions, by name."""
    rows, pagination = await groups.page(tx, ask, teams=False)
    return Page(UnitList(units=[Unit.of(row) for row in rows]), pagination)


@command(
    "unit.create", needs="unit.manage", rest="POST /tenants/{tenant_id}/units", room="tenant", status=201
)
async def create(tx: Tx, cmd: CreateUnit) -> list[UnitCreated | PartEvent]:
    """Create a department, client or region."""
    if cmd.parent_id is not None:
        await groups.group(tx, cmd.parent_id, team=False)
    row, events = await groups.create(tx, cmd, cmd.member_ids, project_id=None)
    return [UnitCreated.of(row), *events]


@command(
    "unit.update",
    needs="unit.manage",
    rest="PUT /tenants/{tenant_id}/units/{unit_id}",
    room="tenant",
    versioned=True,
)
async def update(tx: Tx, cmd: UpdateUnit) -> UnitEvents:
    """Change what a unit is called, or move it below another: its people then take part in what that one has."""
    row = await groups.group(tx, cmd.unit_id, team=False)
    tx.check_version(row, Unit)
    given = cmd.model_dump(exclude_unset=True, exclude={"unit_id"})
    if cmd.parent_id is not None:
        await groups.group(tx, cmd.parent_id, team=False)
        if await tx.value("is_in_group", inner_id=cmd.parent_id, outer_id=cmd.unit_id):
            raise Conflict("A unit cannot be below itself")
    fields = {name: row[name] for name in ("name", "description", "colour", "parent_id")} | {
        name: value for name, value in given.items() if value is not None or name in ("colour", "parent_id")
    }
    fresh, events = await groups.update(tx, row, **fields)
    return [_updated(row, fresh), *events]


@command(
    "unit.add_members",
    needs="unit.manage",
    rest="POST /tenants/{tenant_id}/units/{unit_id}/members",
    room="tenant",
)
async def add_members(tx: Tx, cmd: UnitPeople) -> UnitEvents:
    """Put people into a unit: they take part in what is shared with it, and with those above it, at once."""
    row = await groups.group(tx, cmd.unit_id, team=False)
    fresh, events = await groups.add(tx, row, cmd.user_ids)
    return [_updated(row, fresh), *events]


@command(
    "unit.remove_members",
    needs="unit.manage",
    rest="POST /tenants/{tenant_id}/units/{unit_id}/members/remove",
    room="tenant",
)
async def remove_members(tx: Tx, cmd: UnitPeople) -> UnitEvents:
    """Take people out of a unit, and out of what was shared with them through it alone."""
    row = await groups.group(tx, cmd.unit_id, team=False)
    fresh, events = await groups.remove(tx, row, cmd.user_ids)
    return [_updated(row, fresh), *events]


@command(
    "unit.delete", needs="unit.manage", rest="DELETE /tenants/{tenant_id}/units/{unit_id}", room="tenant"
)
async def delete(tx: Tx, cmd: OneUnit) -> list[UnitDeleted | PartEvent]:
    """Delete a unit with nothing below it; its members stay members of the tenant."""
    shares, events = await groups.delete(tx, await groups.group(tx, cmd.unit_id, team=False))
    gone = Gone(id=cmd.unit_id, removed=True)
    lost = [ShareGone(id=share_id, removed=True) for share_id in shares]
    return [UnitDeleted(unit=gone, shares=lost), *events]


def _updated(row: Row, fresh: Row) -> UnitUpdated:
    was = {name: row[name] for name in UnitWas.model_fields if row[name] != fresh[name]}
    return UnitUpdated(unit=Unit.of(fresh), was=UnitWas(**was))

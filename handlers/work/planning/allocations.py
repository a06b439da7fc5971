"""Allocations: who is planned for how much on which project, and who is planned for more than there is of her.

They are told in the tenant's room, where nobody from outside is: how an agency spreads its people is its own business.
"""

from datetime import date, timedelta
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed
from handlers.identity.capacity import Calendar
from handlers.identity.tenants import TenantDetails
from handlers.paging import FIRST_ID, decode_cursor, encode_cursor
from handlers.registry import (
    Entity,
    Event,
    Gone,
    Page,
    Pagination,
    Paging,
    Payload,
    QueryIds,
    Reply,
    command,
    query,
)
from handlers.work.planning.budgets import require_inside
from handlers.work.projects.projects import Day, project
from storage.ids import new_id
from storage.postgres import Row

MOST: Final = 1_000
"""Allocations of one project at most (count)."""
WEEK: Final = timedelta(days=7)

PerWeek = Annotated[int, Field(ge=1, le=7 * 24 * 60)]


class Allocation(Entity):
    """A person planned for a project, for so many minutes a week."""

    id: UUID
    project_id: UUID
    user_id: UUID
    minutes_per_week: int
    start_on: date
    end_on: date | None = Field(description="The last day; null: until further notice.")
    version: int


class AllocationPart(Entity):
    """An allocation as far as it changed."""

    id: UUID
    minutes_per_week: int | None = None
    start_on: date | None = None
    end_on: date | None = None
    version: int | None = None


class AllocationWas(Entity):
    """The values that changed fields had before."""

    minutes_per_week: int | None = None
    start_on: date | None = None
    end_on: date | None = None


class AllocationAdded(Event, name="allocation.added"):
    """Somebody is planned for a project."""

    allocation: Allocation


class AllocationUpdated(Event, name="allocation.updated"):
    """Somebody is planned for more or less, or for another time."""

    allocation: AllocationPart
    was: AllocationWas


class AllocationRemoved(Event, name="allocation.removed"):
    """Somebody is not planned like this any more."""

    allocation: Gone


class AddAllocation(Payload):
    project_id: UUID
    user_id: UUID = Field(description="A member who sees the project.")
    minutes_per_week: PerWeek
    start_on: Day
    end_on: Day | None = Field(None, description="The last day; unset: until further notice.")


class UpdateAllocation(Payload):
    """What is not named stays; `end_on` may be null."""

    project_id: UUID
    allocation_id: UUID
    minutes_per_week: PerWeek | None = None
    start_on: Day | None = None
    end_on: Day | None = None


class OneAllocation(Payload):
    project_id: UUID
    allocation_id: UUID


class ListAllocations(Paging):
    project_id: UUID | None = None
    user_id: UUID | None = None


class AskReport(Paging):
    """A page is one of people."""

    from_on: Day | None = Field(
        None, description="A day of the first week; unset: today. Weeks begin on Monday."
    )
    weeks: int = Field(8, ge=1, le=26, description="How many weeks.")
    user_ids: QueryIds | None = Field(None, description="Only these people.")


class AllocationList(Reply):
    allocations: list[Allocation]


class WeekPart(Entity):
    """What of a week goes to one project."""

    project_id: UUID
    minutes: int


class PlannedWeek(Entity):
    """What is planned for a person in one week, against the working time of the tenant without its holidays."""

    week_on: date = Field(description="Its Monday.")
    planned_minutes: int
    capacity_minutes: int
    over: bool = Field(description="Whether more is planned than there is.")
    projects: list[WeekPart]


class PlannedPerson(Entity):
    """A person with her weeks; `id` is the user's."""

    id: UUID
    name: str
    over: bool = Field(description="Whether more is planned in any of the weeks than there is.")
    weeks: list[PlannedWeek]


class AllocationReport(Reply):
    people: list[PlannedPerson]


@command(
    "allocation.add",
    needs="project.edit",
    rest="POST /projects/{project_id}/allocations",
    room="tenant",
    within="project_id",
    status=201,
)
async def add(tx: Tx, cmd: AddAllocation) -> AllocationAdded:
    """Plan a member for a project, for so many minutes a week."""
    await require_inside(tx)
    await project(tx, cmd.project_id)
    _check_days(cmd.start_on, cmd.end_on)
    if not await tx.many("assignable", project_id=cmd.project_id, user_ids=[cmd.user_id]):
        raise NotFound("There is no such member who sees the project")
    if await tx.value("count_allocations", cmd) >= MOST:
        raise Conflict("So many people are planned for this project already", details={"limit": MOST})
    return AllocationAdded.of(await tx.one("add_allocation", cmd, id=new_id()))


@command(
    "allocation.update",
    needs="project.edit",
    rest="PUT /projects/{project_id}/allocations/{allocation_id}",
    room="tenant",
    within="project_id",
)
async def update(tx: Tx, cmd: UpdateAllocation) -> AllocationUpdated:
    """Plan more or less, or for another time."""
    await require_inside(tx)
    row = await _allocation(tx, cmd.project_id, cmd.allocation_id)
    changes = cmd.model_dump(exclude_unset=True, exclude={"project_id", "allocation_id"})
    changes = {name: value for name, value in changes.items() if value is not None or name == "end_on"}
    if not changes:
        raise ValidationFailed.field("minutes_per_week", "names no field to change")
    _check_days(cmd.start_on or row["start_on"], changes.get("end_on", row["end_on"]))
    fresh = await tx.one("update_allocation", cmd, **{**dict(row), **changes, "now": tx.now})
    changed = [name for name in changes if fresh[name] != row[name]]
    part = AllocationPart.model_validate({name: fresh[name] for name in (*changed, "id", "version")})
    was = AllocationWas.model_validate({name: row[name] for name in changed})
    return AllocationUpdated(allocation=part, was=was)


@command(
    "allocation.remove",
    needs="project.edit",
    rest="DELETE /projects/{project_id}/allocations/{allocation_id}",
    room="tenant",
    within="project_id",
)
async def remove(tx: Tx, cmd: OneAllocation) -> AllocationRemoved:
    """Plan somebody no more."""
    await require_inside(tx)
    await _allocation(tx, cmd.project_id, cmd.allocation_id)
    await tx.exec("remove_allocation", cmd)
    return AllocationRemoved(allocation=Gone(id=cmd.allocation_id, removed=True))


@query("allocation.list", needs="tenant.view", rest="GET /tenants/{tenant_id}/allocations", room="tenant")
async def list_allocations(tx: Tx, ask: ListAllocations) -> Page[AllocationList]:
    """Who is planned for what, in the order in which it was planned; but for projects in the trash."""
    [after_id] = decode_cursor(ask.cursor, UUID) or (FIRST_ID,)
    rows = await tx.many("allocations_of", ask, after_id=after_id, max_rows=ask.limit + 1)
    more = encode_cursor(rows[ask.limit - 1]["id"]) if len(rows) > ask.limit else None
    allocations = [Allocation.of(row) for row in rows[: ask.limit]]
    return Page(AllocationList(allocations=allocations), Pagination(limit=ask.limit, next=more))


@query(
    "allocation.report",
    needs="tenant.view",
    rest="GET /tenants/{tenant_id}/allocations/report",
    room="tenant",
)
async def report(tx: Tx, ask: AskReport) -> Page[AllocationReport]:
    """What is planned per person and week, against the tenant's working time, and who is planned for too much.

    A part of a week counts by the working time in it. Projects in the archive or the trash do not count, nor do those
    that are completed or cancelled.
    """
    day = ask.from_on or tx.now.date()
    first = day - timedelta(days=day.weekday())
    until = first + ask.weeks * WEEK
    after_name, after_id = decode_cursor(ask.cursor, str, UUID) or ("", FIRST_ID)
    people = await tx.many(
        "planned_people", ask, first=first, until=until, after_name=after_name, after_id=after_id,
        max_rows=ask.limit + 1,
    )  # fmt: skip
    last = people[ask.limit - 1] if len(people) > ask.limit else None
    shown = people[: ask.limit]
    rows = await tx.many("planned_between", first=first, until=until, user_ids=[row["id"] for row in shown])
    calendar = Calendar(TenantDetails.of(await tx.one("tenant")).settings)
    weeks = [first + at * WEEK for at in range(ask.weeks)]
    planned = [
        _planned(person, [row for row in rows if row["user_id"] == person["id"]], weeks, calendar)
        for person in shown
    ]
    more = encode_cursor(last["name"], last["id"]) if last else None
    return Page(AllocationReport(people=planned), Pagination(limit=ask.limit, next=more))


def _planned(person: Row, rows: list[Row], weeks: list[date], calendar: Calendar) -> PlannedPerson:
    planned = [_week(rows, week, calendar) for week in weeks]
    return PlannedPerson(
        id=person["id"], name=person["name"], over=any(week.over for week in planned), weeks=planned
    )


def _week(rows: list[Row], monday: date, calendar: Calendar) -> PlannedWeek:
    """One week of one person: each of her allocations, as far as it reaches into it."""
    shares: dict[UUID, int] = {}
    for row in rows:
        part = calendar.part_of_week(monday, row["start_on"], row["end_on"])
        if minutes := round(row["minutes_per_week"] * part):
            shares[row["project_id"]] = shares.get(row["project_id"], 0) + minutes
    planned, capacity = sum(shares.values()), calendar.capacity(monday)
    return PlannedWeek(
        week_on=monday,
        planned_minutes=planned,
        capacity_minutes=capacity,
        over=planned > capacity,
        projects=[WeekPart(project_id=project_id, minutes=minutes) for project_id, minutes in shares.items()],
    )


async def _allocation(tx: Tx, project_id: UUID, allocation_id: UUID) -> Row:
    row = await tx.maybe("allocation", project_id=project_id, allocation_id=allocation_id)
    if row is None:
        raise NotFound("There is no such allocation")
    return row


def _check_days(start: date, end: date | None) -> None:
    if end is not None and end < start:
        raise ValidationFailed.field("end_on", "must not be before start_on")

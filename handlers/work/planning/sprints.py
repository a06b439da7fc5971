"""Sprints: time-boxed sets of a project's tasks, from planning to what is left over.

A sprint is planned, active and then completed. Its tasks say that they are in it (`task.sprint_id`); a subtask is planned
by itself. When it is completed, what is still open in it goes on: to the next planned sprint, to another one, or back to
the backlog.
"""

from datetime import date
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed, constraint
from handlers.identity.people import from_json
from handlers.paging import LAST_ID, LAST_MOMENT, decode_cursor, encode_cursor, moment
from handlers.registry import (
    Entity,
    Event,
    LongText,
    Name,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Timestamp,
    command,
    in_range,
    query,
)
from handlers.work.planning.sprint_facts import Filling, settle, settle_all, sprint_to_fill
from handlers.work.tasks.tasks import TaskPart, check_people
from storage.ids import new_id
from storage.postgres import Row

Status = Literal["planned", "active", "completed"]
Day = Annotated[date, AfterValidator(in_range)]
Minutes = Annotated[int, Field(ge=0, le=10_000_000)]

MOST_OPEN: Final = 100
"""Sprints of a project that are not completed (count)."""
SHOWN: Final = 3
"""Completed sprints that a snapshot of the project holds (count)."""
LONGEST: Final = 366
"""The length of a sprint (days)."""
NULLABLE: Final = frozenset({"start_on", "end_on", "capacity_minutes"})

constraint("sprints_pkey", "id", "A sprint with this id exists")


class Capacity(Payload):
    """What one person can do in a sprint."""

    user_id: UUID
    minutes: Minutes


def _of_each_once(capacities: list[Capacity]) -> list[Capacity]:
    if len({each.user_id for each in capacities}) < len(capacities):
        raise ValueError("names somebody twice")
    return capacities


Capacities = Annotated[list[Capacity], Field(max_length=100), AfterValidator(_of_each_once)]


class Sprint(Entity):
    """A time-boxed set of tasks. Days are those of the tenant's time zone; the end is the last day."""

    id: UUID
    project_id: UUID
    name: str
    goal: str
    status: Status
    start_on: date | None
    end_on: date | None
    capacity_minutes: int | None = Field(description="What the team can do in it (minutes).")
    capacities: Annotated[list[Capacity], BeforeValidator(from_json)] = Field(
        description="What each person can do in it, of those of whom it is known."
    )
    started_at: Timestamp | None
    completed_at: Timestamp | None
    version: int
    created_by: UUID
    created_at: Timestamp
    updated_at: Timestamp


class SprintPart(Entity):
    """A sprint as far as it changed."""

    id: UUID
    removed: Literal[True] | None = None
    name: str | None = None
    goal: str | None = None
    status: Status | None = None
    start_on: date | None = None
    end_on: date | None = None
    capacity_minutes: int | None = None
    capacities: Annotated[list[Capacity] | None, BeforeValidator(from_json)] = None
    started_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    version: int | None = None
    updated_at: Timestamp | None = None


class SprintWas(SprintPart):
    """The values that changed fields had before."""

    id: UUID | None = None  # type: ignore[assignment]  # old values belong to the sprint beside them


class SprintCreated(Event, name="sprint.created"):
    """A sprint was planned."""

    sprint: Sprint


class SprintUpdated(Event, name="sprint.updated"):
    """Fields of a sprint changed."""

    sprint: SprintPart
    was: SprintWas
    sprints: list[SprintPart] | None = Field(
        None, description="Removed: itself, where it is a completed one that snapshots hold no more."
    )


class SprintDeleted(Event, name="sprint.deleted"):
    """A planned sprint was given up."""

    sprint: SprintPart
    tasks: list[TaskPart] | None = Field(None, description="What was in it, back in the backlog.")


class SprintStarted(Event, name="sprint.started"):
    """A sprint has begun."""

    sprint: SprintPart
    was: SprintWas


class SprintCompleted(Event, name="sprint.completed"):
    """A sprint is over; what was open in it goes on elsewhere."""

    sprint: SprintPart
    was: SprintWas
    tasks: list[TaskPart] | None = Field(None, description="What was still open, with where it went.")
    sprints: list[SprintPart] | None = Field(
        None,
        description="Removed: snapshots hold the last three completed ones, and this one is the fourth now.",
    )


class SprintReopened(Event, name="sprint.reopened"):
    """A completed sprint is active again."""

    sprint: SprintPart
    was: SprintWas
    sprints: list[Sprint] | None = Field(
        None,
        description="Whole, what snapshots did not hold before: itself, or the completed one that they hold in its place.",
    )


class CreateSprint(Payload):
    project_id: UUID
    id: UUID | None = Field(None, description="UUID of the new sprint, where the client makes it.")
    name: Name
    goal: LongText = ""
    start_on: Day | None = None
    end_on: Day | None = Field(None, description="The last day.")
    capacity_minutes: Minutes | None = Field(None, description="What the team can do in it (minutes).")
    capacities: Capacities = Field([], description="What each person can do in it.")


class OneSprint(Payload):
    project_id: UUID
    sprint_id: UUID


class UpdateSprint(Payload):
    """What is not named stays; of a completed sprint only name and goal may change."""

    project_id: UUID
    sprint_id: UUID
    name: Name | None = None
    goal: LongText | None = None
    start_on: Day | None = None
    end_on: Day | None = None
    capacity_minutes: Minutes | None = None
    capacities: Capacities | None = Field(None, description="All of them.")

    @model_validator(mode="after")
    def sensible(self) -> "UpdateSprint":
        named = self.model_fields_set - {"project_id", "sprint_id"}
        if not named:
            raise ValueError("names no field to change")
        for name in named - NULLABLE:
            if getattr(self, name) is None:
                raise ValueError(f"{name} must not be null")
        return self


class StartSprint(Payload):
    project_id: UUID
    sprint_id: UUID
    start_on: Day | None = Field(None, description="Unset: as planned.")
    end_on: Day | None = Field(None, description="Unset: as planned.")


class CompleteSprint(Payload):
    project_id: UUID
    sprint_id: UUID
    carry_over: Literal["next", "backlog"] = Field(
        "next",
        description="Where open tasks go: to the next planned sprint, or where there is none to the backlog; or to the "
        "backlog.",
    )
    to_sprint_id: UUID | None = Field(
        None, description="The planned or active sprint that they go to instead."
    )


class ListSprints(Paging):
    project_id: UUID
    status: Status | None = None


class PersonLoad(Entity):
    """What one person has in a sprint; the estimate of a task is shared evenly by those it is given to."""

    user_id: UUID
    tasks: int
    minutes: int
    done_tasks: int
    done_minutes: int
    capacity_minutes: int | None


class Load(Entity):
    """What a sprint holds against what can be done in it; what is cancelled counts for nothing."""

    tasks: int
    minutes: int = Field(description="The sum of the estimates (minutes).")
    done_tasks: int
    done_minutes: int
    unestimated: int = Field(description="How many of the tasks have no estimate.")
    capacity_minutes: int | None = Field(
        description="Of the sprint, else the sum of those of persons; null: unknown."
    )
    people: list[PersonLoad]


class SprintReply(Reply):
    sprint: Sprint
    load: Load


class SprintList(Reply):
    sprints: list[Sprint]


@command("sprint.create", needs="sprint.manage", rest="POST /projects/{project_id}/sprints", status=201)
async def create(tx: Tx, cmd: CreateSprint) -> SprintCreated:
    """Plan a sprint; dates may come later."""
    _check_dates(cmd.start_on, cmd.end_on)
    await check_people(tx, [each.user_id for each in cmd.capacities], "capacities")
    if (await tx.one("open_sprints"))["open"] >= MOST_OPEN:
        raise Conflict(
            f"A project has at most {MOST_OPEN} sprints that are not completed", details={"limit": MOST_OPEN}
        )
    row = await tx.one("create_sprint", cmd, id=cmd.id or new_id(), capacities=_json(cmd.capacities))
    return SprintCreated.of(row)


@query("sprint.get", needs="project.view", rest="GET /projects/{project_id}/sprints/{sprint_id}")
async def get(tx: Tx, ask: OneSprint) -> SprintReply:
    """A sprint, and its load against its capacity."""
    sprint = Sprint.of(await find_sprint(tx, ask.sprint_id))
    return SprintReply(sprint=sprint, load=_load(sprint, await tx.many("load_of_sprint", ask)))


@query("sprint.list", needs="project.view", rest="GET /projects/{project_id}/sprints")
async def list_sprints(tx: Tx, ask: ListSprints) -> Page[SprintList]:
    """The sprints of a project, the newest first."""
    place = decode_cursor(ask.cursor, moment, UUID) or (LAST_MOMENT, LAST_ID)
    rows = await tx.many(
        "sprints_by_creation", ask, before_at=place[0], before_id=place[1], max_rows=ask.limit + 1
    )
    shown = rows[: ask.limit]
    more = encode_cursor(shown[-1]["created_at"], shown[-1]["id"]) if len(rows) > ask.limit else None
    return Page(SprintList(sprints=[Sprint.of(row) for row in shown]), Pagination(limit=ask.limit, next=more))


@command(
    "sprint.update",
    needs="sprint.manage",
    rest="PUT /projects/{project_id}/sprints/{sprint_id}",
    versioned=True,
)
async def update(tx: Tx, cmd: UpdateSprint) -> SprintUpdated:
    """Change a sprint's name, goal, dates or capacity."""
    row = await find_sprint(tx, cmd.sprint_id)
    tx.check_version(row, Sprint)
    named = cmd.model_fields_set - {"project_id", "sprint_id"}
    if row["status"] == "completed" and named - {"name", "goal"}:
        raise Conflict("This sprint is completed: only its name and goal may change")
    changes: dict[str, Any] = {name: getattr(cmd, name) for name in named}
    _check_dates(changes.get("start_on", row["start_on"]), changes.get("end_on", row["end_on"]))
    if row["status"] == "active" and None in (changes.get("start_on", ""), changes.get("end_on", "")):
        raise Conflict("An active sprint has a start and an end")
    if cmd.capacities is not None:
        await check_people(tx, [each.user_id for each in cmd.capacities], "capacities")
        changes["capacities"] = _json(cmd.capacities)
    fresh = await tx.one("update_sprint", cmd, **{**dict(row), **changes, "now": tx.now})
    event = SprintUpdated(**_told(row, fresh))
    if row["id"] not in await _shown(tx):
        event.sprints = [SprintPart(id=row["id"], removed=True)]
    return event


@command(
    "sprint.delete",
    needs="sprint.manage",
    rest="DELETE /projects/{project_id}/sprints/{sprint_id}",
    versioned=True,
)
async def delete(tx: Tx, cmd: OneSprint) -> SprintDeleted:
    """Give a planned sprint up; its tasks go back to the backlog."""
    row = await find_sprint(tx, cmd.sprint_id)
    tx.check_version(row, Sprint)
    if row["status"] != "planned":
        raise Conflict(
            f"This sprint is {row['status']}: only a planned one can be deleted",
            details={"status": row["status"]},
        )
    back = await tx.many("empty_sprint", cmd)
    await tx.exec("delete_sprint", cmd)
    event = SprintDeleted(sprint=SprintPart(id=cmd.sprint_id, removed=True))
    if told := [TaskPart.of(task) for task in back if task["on_board"]]:
        event.tasks = told
    return event


@command("sprint.start", needs="sprint.manage", rest="POST /projects/{project_id}/sprints/{sprint_id}/start")
async def start(tx: Tx, cmd: StartSprint) -> SprintStarted:
    """Begin a planned sprint, which needs dates. What it holds now is what it is measured by."""
    row = await find_sprint(tx, cmd.sprint_id)
    if row["status"] != "planned":
        raise Conflict(f"This sprint is {row['status']} already", details={"status": row["status"]})
    dates = {"start_on": cmd.start_on or row["start_on"], "end_on": cmd.end_on or row["end_on"]}
    for name, day in dates.items():
        if day is None:
            raise ValidationFailed.field(name, "is needed to start a sprint")
    _check_dates(**dates)
    await _check_active(tx)
    await settle_all(tx, cmd.sprint_id)
    fresh = await tx.one(
        "set_sprint_status", cmd, **dates, status="active", started_at=tx.now, completed_at=None
    )
    return SprintStarted(**_told(row, fresh))


@command(
    "sprint.complete", needs="sprint.manage", rest="POST /projects/{project_id}/sprints/{sprint_id}/complete"
)
async def complete(tx: Tx, cmd: CompleteSprint) -> SprintCompleted:
    """End an active sprint. What is open in it goes on, in its order: to the next sprint, another one or the backlog."""
    row = await find_sprint(tx, cmd.sprint_id)
    if row["status"] != "active":
        raise Conflict(
            f"This sprint is {row['status']}: only an active one can be completed",
            details={"status": row["status"]},
        )
    left = [task["id"] for task in await tx.many("open_tasks_of_sprint", cmd)]
    to = await _destination(tx, cmd, len(left))
    await settle_all(tx, cmd.sprint_id)
    dates = {"start_on": row["start_on"], "end_on": row["end_on"], "started_at": row["started_at"]}
    fresh = await tx.one("set_sprint_status", cmd, **dates, status="completed", completed_at=tx.now)
    event = SprintCompleted(**_told(row, fresh))
    if left:
        moved = await tx.many("to_sprint", task_ids=left, to_sprint_id=to and to.row["id"])
        settle(tx, moved)
        event.tasks = [TaskPart.of(task) for task in moved]
    if hidden := await tx.maybe("completed_sprint_at", skipped=SHOWN):
        event.sprints = [SprintPart(id=hidden["id"], removed=True)]
    return event


@command(
    "sprint.reopen", needs="sprint.manage", rest="POST /projects/{project_id}/sprints/{sprint_id}/reopen"
)
async def reopen(tx: Tx, cmd: OneSprint) -> SprintReopened:
    """Make a completed sprint active again, with what is still in it: what was carried over stays where it went."""
    row = await find_sprint(tx, cmd.sprint_id)
    if row["status"] != "completed":
        raise Conflict(
            f"This sprint is {row['status']}: only a completed one can be reopened",
            details={"status": row["status"]},
        )
    await _check_active(tx)
    if (await tx.one("open_sprints"))["open"] >= MOST_OPEN:
        raise Conflict(
            f"A project has at most {MOST_OPEN} sprints that are not completed", details={"limit": MOST_OPEN}
        )
    shown = await _shown(tx)
    dates = {"start_on": row["start_on"], "end_on": row["end_on"], "started_at": row["started_at"]}
    fresh = await tx.one("set_sprint_status", cmd, **dates, status="active", completed_at=None)
    await settle_all(tx, cmd.sprint_id)
    event = SprintReopened(**_told(row, fresh))
    last = await tx.maybe("completed_sprint_at", skipped=SHOWN - 1)
    if whole := [one for one in (fresh, last) if one is not None and one["id"] not in shown]:
        event.sprints = [Sprint.of(one) for one in whole]
    return event


async def find_sprint(tx: Tx, sprint_id: UUID) -> Row:
    row = await tx.maybe("sprint", sprint_id=sprint_id)
    if row is None:
        raise NotFound("There is no such sprint")
    return row


async def _shown(tx: Tx) -> set[UUID]:
    """The sprints that a snapshot of the project holds."""
    return {row["id"] for row in await tx.many("sprints_of_board", shown=SHOWN)}


async def _check_active(tx: Tx) -> None:
    """CONFLICT where as many are active as may be."""
    limit, active = tx.settings.active_sprints, (await tx.one("open_sprints"))["active"]
    if active >= limit:
        raise Conflict(
            f"{active} of at most {limit} sprints are active in this project: complete one first",
            details={"limit": limit, "active": active},
        )


async def _destination(tx: Tx, cmd: CompleteSprint, count: int) -> Filling | None:
    """Where so many open tasks go; None for the backlog. CONFLICT where there is no room for them."""
    to_id = cmd.to_sprint_id
    if to_id == cmd.sprint_id:
        raise ValidationFailed.field("to_sprint_id", "must be another sprint")
    if to_id is None and cmd.carry_over == "next":
        following = await tx.maybe("next_sprint", cmd)
        to_id = following["id"] if following else None
    if to_id is None:
        return None
    to = await sprint_to_fill(tx, to_id)
    to.take(count)
    return to


def _told(row: Row, fresh: Row) -> dict[str, Any]:
    """The changed fields of a sprint and what they were."""
    changed = [
        name for name in SprintPart.model_fields
        if name not in ("id", "removed", "version", "updated_at") and fresh[name] != row[name]
    ]  # fmt: skip
    part = {name: fresh[name] for name in ("id", *changed, "version", "updated_at")}
    return {"sprint": SprintPart(**part), "was": SprintWas(**{name: row[name] for name in changed})}


def _check_dates(start_on: date | None, end_on: date | None) -> None:
    if start_on is None or end_on is None:
        return
    if end_on < start_on:
        raise ValidationFailed.field("end_on", "must not be before start_on")
    if (end_on - start_on).days >= LONGEST:
        raise ValidationFailed.field("end_on", f"must be within {LONGEST} days of start_on")


def _json(capacities: list[Capacity]) -> str:
    return orjson.dumps([each.model_dump(mode="json") for each in capacities]).decode()


def _load(sprint: Sprint, rows: list[Row]) -> Load:
    """The row without a person is the whole; who has a capacity and no task is told of too."""
    capacity = {each.user_id: each.minutes for each in sprint.capacities}
    have = {row["user_id"]: row for row in rows if row["user_id"] is not None}
    whole = next(row for row in rows if row["user_id"] is None)
    nothing = {"tasks": 0, "minutes": 0, "done_tasks": 0, "done_minutes": 0}
    people = [
        PersonLoad.of({**nothing, **dict(have.get(user_id, {})), "user_id": user_id, "capacity_minutes": capacity.get(user_id)})
        for user_id in sorted({*have, *capacity})
    ]  # fmt: skip
    of_all = sprint.capacity_minutes
    if of_all is None and capacity:
        of_all = sum(capacity.values())
    return Load(**{**dict(whole), "capacity_minutes": of_all, "people": people})

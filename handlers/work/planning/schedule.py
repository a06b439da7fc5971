"""A project's schedule: what follows from estimates, dates and dependencies.

A task takes its estimate, else the time between its start and its due date, else none; a milestone takes none. It begins
neither before its start date nor before what it waits for. Minutes are working minutes of the tenant's calendar: nobody works
at night, on weekends and on holidays, unless the tenant's settings say so.
A task that is completed lies where it was completed. Subtasks and their parents each stand for themselves.
"""

from datetime import datetime, time
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import NotFound
from handlers.registry import Entity, Payload, Reply, Timestamp, query
from handlers.work.planning.critical_path import Activity, Slot, reckon
from handlers.work.planning.working_calendar import WorkingCalendar, working_calendar
from handlers.work.planning.working_clock import WorkingClock
from storage.postgres import Row


class ScheduleOf(Payload):
    project_id: UUID


class Scheduled(Entity):
    """When an open task is; `id` is the task's."""

    id: UUID
    earliest_start: Timestamp
    earliest_finish: Timestamp
    latest_start: Timestamp
    latest_finish: Timestamp
    slack_minutes: int = Field(
        description="How much it may be delayed without the project being later (working minutes)."
    )
    late_minutes: int | None = Field(
        description="How long after its due date it finishes at the earliest (working minutes); null where it is in time, or "
        "has no due date."
    )


class Schedule(Reply):
    starts_at: Timestamp = Field(
        description="Where reckoning begins: the project's start, else the earliest start of a task, else its creation."
    )
    finishes_at: Timestamp | None = Field(description="When all of it is finished at the earliest.")
    critical_task_ids: list[UUID] = Field(
        description="The critical path: the tasks without slack, in the order of their start."
    )
    tasks: list[Scheduled] = Field(
        description="The open tasks that have an estimate, dates or a dependency, in the order of their start."
    )


@query("project.schedule", needs="project.view", rest="GET /projects/{project_id}/schedule")
async def read(tx: Tx, ask: ScheduleOf) -> Schedule:
    """How early and how late each task may be, and the critical path, as of now."""
    project = await tx.maybe("project", project_id=ask.project_id)
    if project is None:
        raise NotFound("There is no such project")
    edges = [
        (row["task_id"], row["depends_on_id"], row["type"], row["lag_minutes"])
        for row in await tx.many("dependencies_of_project")
    ]
    linked = {task_id for edge in edges for task_id in edge[:2]}
    rows = {
        row["id"]: row for row in await tx.many("tasks_to_schedule") if row["id"] in linked or _planned(row)
    }
    calendar = await working_calendar(tx)
    begin = _begin(project, list(rows.values()), calendar)
    clock = WorkingClock(calendar, begin)
    activities = {task_id: _activity(row, clock) for task_id, row in rows.items()}
    slots = reckon(activities, edges, 0)
    shown = sorted(slots, key=lambda task_id: (slots[task_id].earliest_start, slots[task_id].earliest_finish))
    finish = max((slot.earliest_finish for slot in slots.values()), default=None)
    return Schedule(
        starts_at=begin,
        finishes_at=None if finish is None else clock.finish(finish),
        critical_task_ids=[task_id for task_id in shown if slots[task_id].slack == 0],
        tasks=[_scheduled(rows[task_id], slots[task_id], clock) for task_id in shown],
    )


def _planned(row: Row) -> bool:
    return any(row[name] is not None for name in ("estimate_minutes", "start_at", "due_at"))


def _begin(project: Row, rows: list[Row], calendar: WorkingCalendar) -> datetime:
    if project["start_on"] is not None:
        return datetime.combine(project["start_on"], time(), calendar.timezone)
    starts = [row["start_at"] for row in rows if row["start_at"] is not None and row["completed_at"] is None]
    begin: datetime = min(starts, default=project["created_at"])
    return begin.replace(second=0, microsecond=0)


def _activity(row: Row, clock: WorkingClock) -> Activity:
    if row["completed_at"] is not None:
        return Activity(0, done_at=clock.until(row["completed_at"]))
    minutes = row["estimate_minutes"]
    if minutes is None and row["start_at"] is not None and row["due_at"] is not None:
        minutes = max(clock.until(row["due_at"]) - clock.until(row["start_at"]), 0)
    if row["type"] == "milestone":
        minutes = 0
    not_before = None if row["start_at"] is None else clock.until(row["start_at"])
    return Activity(minutes or 0, not_before)


def _scheduled(row: Row, slot: Slot, clock: WorkingClock) -> Scheduled:
    """What takes no time is at the end of what comes before it, not in the next morning."""
    starts = clock.start if slot.earliest_finish > slot.earliest_start else clock.finish
    late = None if row["due_at"] is None else slot.earliest_finish - clock.until(row["due_at"])
    return Scheduled(
        id=row["id"],
        earliest_start=starts(slot.earliest_start),
        earliest_finish=clock.finish(slot.earliest_finish),
        latest_start=starts(slot.latest_start),
        latest_finish=clock.finish(slot.latest_finish),
        slack_minutes=slot.slack,
        late_minutes=late if late is not None and late > 0 else None,
    )

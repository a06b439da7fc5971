"""Tasks that recur: a series has a rule, and one open task at a time.

The next task is made when the current one is done; in the mode `on_schedule` not before the moment for which that one was
meant, either. Occurrences that have passed by then are left out, so nothing runs away and nothing is made up for. The
series keeps to its rule whatever becomes of the dates of one task. What makes the next task is an alarm, so it is a
command of its own, with all that hangs upon a new task.
"""

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import Field

from handlers.alarms import Alarm, clear_alarms, set_alarms
from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed
from handlers.identity.people import Timezone
from handlers.registry import (
    Entity,
    Event,
    Outcome,
    Payload,
    Reply,
    Timestamp,
    command,
    internal,
    query,
    reaction,
)
from handlers.work import positions
from handlers.work.tasks.bulk import TasksUpdated
from handlers.work.tasks.dates import shifted
from handlers.work.tasks.reminders import replan
from handlers.work.tasks.rrule import Recurrence, RecurrenceRule
from handlers.work.tasks.tasks import (
    CreateTask,
    OneTask,
    Task,
    TaskCreated,
    TaskMoved,
    TaskPart,
    TaskUpdated,
    Was,
    parents_told,
    standing,
)
from storage.ids import new_id
from storage.postgres import Row

Mode = Literal["on_completion", "on_schedule"]
SHOWN: Final = 10
"""Occurrences that are told in advance (count)."""


class Series(Entity):
    """What a task recurs by."""

    id: UUID
    rule: str = Field(description="RFC 5545, without what may stand before it: `FREQ=WEEKLY;BYDAY=MO`.")
    time_zone: str
    mode: Mode
    task_id: UUID = Field(description="The current task; the ones before it are what they were.")
    occurs_at: Timestamp = Field(description="The occurrence for which the current task is meant.")
    made: int = Field(description="Occurrences so far, with the current one and those that were skipped.")
    ended_at: Timestamp | None


class RecurrenceSet(Event, name="task.recurrence_set"):
    """A task recurs, or by another rule."""

    task: TaskPart
    series: Series


class RecurrenceStopped(Event, name="task.recurrence_stopped"):
    """A task recurs no more."""

    series: Series


class SetRecurrence(Payload):
    task_id: UUID
    rule: RecurrenceRule = Field(
        description="RFC 5545: FREQ (DAILY and longer), INTERVAL, COUNT, UNTIL, BYDAY, BYMONTHDAY, BYMONTH, BYSETPOS, WKST."
    )
    time_zone: Timezone | None = Field(
        None, description="Unset: the task's own, which always holds for days; else UTC."
    )
    mode: Mode = Field(
        "on_completion",
        description="When the next task is made: when this one is done, or `on_schedule` not before its moment either.",
    )


class MakeNext(Payload):
    series_id: UUID


class SeriesReply(Reply):
    series: Series | None
    next: list[Timestamp] = Field(description="The next occurrences as the rule has them, at most ten.")


@command("task.set_recurrence", needs="task.edit", rest="PUT /tasks/{task_id}/recurrence", versioned=True)
async def set_recurrence(tx: Tx, cmd: SetRecurrence) -> RecurrenceSet:
    """Have a task recur, beginning with this one: by its due date, else by its start."""
    task = await standing(tx, cmd.task_id)
    tx.check_version(task, Task)
    if task["completed_at"] is not None:
        raise Conflict("The task is done already: open it again, or have another one recur")
    begins = task["due_at"] or task["start_at"]
    if begins is None:
        raise Conflict("A task recurs by its due date or its start: give it one first")
    zone = (None if task["all_day"] else cmd.time_zone) or task["time_zone"] or "UTC"
    if next(Recurrence(cmd.rule, begins, ZoneInfo(zone)).after(begins), None) is None:
        raise ValidationFailed.field("rule", "names no other day than the first one")
    before = await tx.maybe("series_of_task", cmd)
    current = before is not None and before["task_id"] == cmd.task_id
    row = await tx.one(
        "set_series",
        cmd,
        id=before["id"] if before and current else new_id(),
        time_zone=zone,
        begins_at=begins,
    )
    fresh = await tx.one("join_series", cmd, series_id=row["id"])
    await _wait(tx, row)
    part = TaskPart(id=cmd.task_id, series_id=row["id"], version=fresh["version"], updated_at=tx.now)
    return RecurrenceSet(task=part, series=Series.of(row))


@command(
    "task.skip_occurrence", needs="task.edit", rest="POST /tasks/{task_id}/skip-occurrence", versioned=True
)
async def skip(tx: Tx, cmd: OneTask) -> TaskUpdated:
    """Leave an occurrence out: the current task of a series moves to the next one."""
    task = await standing(tx, cmd.task_id)
    tx.check_version(task, Task)
    series = await _series(tx, cmd.task_id)
    if task["completed_at"] is not None:
        raise Conflict("The task is done already")
    occurs_at = _following(series, series["occurs_at"])
    if occurs_at is None:
        raise Conflict("This is the last occurrence: stop the recurrence, or complete the task")
    dates = _shifted(task, series, occurs_at)
    fresh = await tx.one("shift_task", cmd, **dates)
    row = await tx.one("advance_series", series_id=series["id"], task_id=cmd.task_id, occurs_at=occurs_at)
    await _wait(tx, row)
    changed = [name for name in dates if fresh[name] != task[name]]
    part = {name: fresh[name] for name in (*changed, "id", "version", "updated_at")}
    return TaskUpdated(task=TaskPart(**part), was=Was(**{name: task[name] for name in changed}))


@command("task.stop_recurrence", needs="task.edit", rest="DELETE /tasks/{task_id}/recurrence")
async def stop(tx: Tx, cmd: OneTask) -> RecurrenceStopped:
    """Have a task recur no more; the current task stays."""
    if await tx.maybe("found_task", cmd) is None:
        raise NotFound("There is no such task")
    series = await _series(tx, cmd.task_id)
    return await _end(tx, series)


@query("task.get_recurrence", needs="project.view", rest="GET /tasks/{task_id}/recurrence")
async def get_recurrence(tx: Tx, ask: OneTask) -> SeriesReply:
    """What a task recurs by, and when next; null where it does not."""
    if await tx.maybe("found_task", ask) is None:
        raise NotFound("There is no such task")
    row = await tx.maybe("series_of_task", ask)
    if row is None:
        return SeriesReply(series=None, next=[])
    left = 0 if row["ended_at"] else min(SHOWN, _recurrence(row).count - row["made"])
    coming = _recurrence(row).after(row["occurs_at"])
    return SeriesReply(series=Series.of(row), next=[at for _, at in zip(range(left), coming, strict=False)])


@internal("task.make_next")
async def make_next(tx: Tx, cmd: MakeNext) -> Outcome[TaskCreated | RecurrenceStopped, Reply]:
    """Make the next task of a series, if the current one is done and the time has come."""
    series = await tx.maybe("series_to_make", cmd)
    if series is None or series["completed_at"] is None:
        return Outcome([], Reply())
    if series["mode"] == "on_schedule" and series["occurs_at"] > tx.now:
        await _wait(tx, series)
        return Outcome([], Reply())
    occurs_at = _following(series, max(series["occurs_at"], tx.now))
    if occurs_at is None:
        return Outcome([await _end(tx, series)], Reply())
    return Outcome([await _make(tx, series, occurs_at)], Reply())


@reaction(TaskMoved)
@reaction(TaskUpdated)
async def on_changed(tx: Tx, event: TaskMoved | TaskUpdated) -> None:
    await _look(tx, [event.task])


@reaction(TasksUpdated)
async def on_many_changed(tx: Tx, event: TasksUpdated) -> None:
    await _look(tx, event.tasks)


async def _look(tx: Tx, tasks: list[TaskPart]) -> None:
    """A task of a series tells its series when it is done: then the next one may be due."""
    done = {task.series_id for task in tasks if task.series_id is not None and task.completed_at is not None}
    await set_alarms(tx, [_alarm(series_id, tx.now) for series_id in done if series_id is not None])


async def _wait(tx: Tx, series: Row) -> None:
    """Look at a series again when its current occurrence is there, if it goes by the schedule."""
    if series["mode"] == "on_schedule":
        await set_alarms(tx, [_alarm(series["id"], max(series["occurs_at"], tx.now))])


async def _end(tx: Tx, series: Row) -> RecurrenceStopped:
    row = await tx.one("end_series", series_id=series["id"])
    await clear_alarms(tx, [_key(row["id"])])
    return RecurrenceStopped(series=Series.of(row))


async def _make(tx: Tx, series: Row, occurs_at: datetime) -> TaskCreated:
    """The next task: what the last one was, without what happened to it, at the end of the series' own column."""
    last = await tx.one("task_of_series", task_id=series["task_id"])
    column = await tx.maybe("column_of_series", column_id=series["column_id"])
    if column is None:
        raise Conflict("There is no column for the next task")
    numbered = await tx.one("next_task_number")
    people = [row["user_id"] for row in await tx.many("assignable", user_ids=last["assignee_ids"])]
    task_id, assignee_ids = new_id(), [user_id for user_id in last["assignee_ids"] if user_id in people]
    again: dict[str, Any] = {
        name: last[name]
        for name in (
            "title",
            "description",
            "type",
            "priority",
            "tags",
            "label_ids",
            "estimate_minutes",
            "all_day",
        )
    }
    row = await tx.one(
        "create_task",
        CreateTask(title=last["title"]),  # what a new task has of itself
        **again,
        **_shifted(last, series, occurs_at),
        id=task_id,
        number=numbered["number"],
        key=numbered["key"],
        column_id=column["id"],
        status_id=column["status_id"],
        position=positions.between(column["last_position"], None),
        parent_id=last["standing_parent_id"],
        assignee_ids=assignee_ids,
        time_zone=last["time_zone"],
        fields=last["fields"],
    )
    tx.defer(
        "set_watchers", task_id=task_id, watcher_ids=last["watcher_ids"], unwatched_ids=last["unwatched_ids"]
    )
    await tx.exec("copy_task_checklists", from_id=last["id"], task_id=task_id)
    row = await tx.one("join_series", task_id=task_id, series_id=series["id"])
    if assignee_ids:
        await tx.exec("replace_assignees", task_id=task_id, user_ids=assignee_ids)
    await tx.exec("copy_reminders", from_id=last["id"], task_id=task_id)
    await replan(tx, [task_id])
    await _wait(
        tx, await tx.one("advance_series", series_id=series["id"], task_id=task_id, occurs_at=occurs_at)
    )
    event = TaskCreated.of(row)
    if parents := await parents_told(tx, [row["parent_id"]]):
        event.tasks = parents
    return event


async def _series(tx: Tx, task_id: UUID) -> Row:
    row = await tx.maybe("series_of_task", task_id=task_id)
    if row is None or row["ended_at"] is not None or row["task_id"] != task_id:
        raise Conflict("The task is not the current one of a series")
    return row


def _recurrence(series: Row) -> Recurrence:
    return Recurrence(series["rule"], series["begins_at"], ZoneInfo(series["time_zone"]))


def _following(series: Row, moment: datetime) -> datetime | None:
    """The occurrence after a moment; None where the series is at its end."""
    recurrence = _recurrence(series)
    return next(recurrence.after(moment), None) if series["made"] < recurrence.count else None


def _shifted(task: Row, series: Row, occurs_at: datetime) -> dict[str, datetime | None]:
    """The dates of a task for another occurrence: due then, and begun as many days before, at the same hour by the clock.
    Without a due date it begins then.
    """
    zone = ZoneInfo(series["time_zone"])
    start, due = task["start_at"], task["due_at"]
    if due is None:
        return {"start_at": occurs_at, "due_at": None} if start else {"start_at": None, "due_at": occurs_at}
    if start is not None:
        days = occurs_at.astimezone(zone).date() - due.astimezone(zone).date()
        start = shifted(start, days, zone)
    return {"start_at": start, "due_at": occurs_at}


def _alarm(series_id: UUID, at: datetime) -> Alarm:
    return Alarm(_key(series_id), at, "task.make_next", MakeNext(series_id=series_id))


def _key(series_id: UUID) -> str:
    return f"series:{series_id}"

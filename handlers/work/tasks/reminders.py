"""Reminders: a word in one's own room at a moment, or some time before a task is due.

One for oneself is told and shown to oneself alone; one for all reaches everybody who is given the task then or watches it. It is told
once. It moves with the due date, and says nothing of a task that is done, archived or in the trash by then.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final, Literal, TypeVar
from uuid import UUID

from pydantic import Field, model_validator

from handlers.alarms import Alarm, clear_alarms, set_alarms
from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed
from handlers.registry import (
    Entity,
    Event,
    Outcome,
    Payload,
    Reply,
    Timestamp,
    When,
    command,
    internal,
    query,
    reaction,
)
from handlers.work.tasks.bulk import TasksUpdated
from handlers.work.tasks.tasks import OneTask, TaskUpdated, standing
from storage.ids import new_id
from storage.postgres import Row
from storage.rooms import RoomKey

Audience = Literal["me", "all"]
Before = Annotated[int, Field(ge=0, le=525_600)]
E = TypeVar("E", bound=Event)
MOST: Final = 5
"""Reminders that one person, or all together, may have of one task (count)."""


class Reminder(Entity):
    """When somebody is reminded of a task."""

    id: UUID
    task_id: UUID
    audience: Audience
    before_minutes: int | None = Field(description="How long before the task is due (minutes).")
    at: Timestamp | None = Field(description="The moment, where it does not depend on the due date.")
    fires_at: Timestamp | None = Field(description="When it comes; null while the task has no due date.")
    fired_at: Timestamp | None
    created_by: UUID
    created_at: Timestamp


class ReminderPart(Entity):
    id: UUID
    task_id: UUID
    removed: Literal[True]


class ReminderAdded(Event, name="reminder.added"):
    """Somebody, or everybody who is given the task, will be reminded of it."""

    reminder: Reminder


class ReminderRemoved(Event, name="reminder.removed"):
    """Nobody will be reminded of it so any more."""

    reminder: ReminderPart


class Reminded(Entity):
    """What a reminder says."""

    id: UUID
    task_id: UUID
    project_id: UUID
    key: str
    title: str
    due_at: Timestamp | None


class ReminderFired(Event, name="reminder.fired"):
    """You are reminded of a task."""

    reminder: Reminded


class AddReminder(Payload):
    task_id: UUID
    before_minutes: Before | None = Field(None, description="How long before the task is due (minutes).")
    at: When | None = Field(None, description="Or a moment.")
    audience: Audience = Field(
        "me", description="`all`: whoever is given the task then, or watches it. It needs `task.edit`."
    )

    @model_validator(mode="after")
    def one_of_two(self) -> "AddReminder":
        if (self.before_minutes is None) == (self.at is None):
            raise ValueError("takes before_minutes or at, one of them")
        return self


class OneReminder(Payload):
    task_id: UUID
    reminder_id: UUID


class FireReminder(Payload):
    task_id: UUID
    reminder_id: UUID


class Reminders(Reply):
    reminders: list[Reminder]


@command("reminder.add", needs="project.view", rest="POST /tasks/{task_id}/reminders", status=201)
async def add(tx: Tx, cmd: AddReminder) -> ReminderAdded:
    """Be reminded of a task, or have everybody reminded who is given it or watches it. At most five for each."""
    if cmd.audience == "all":
        tx.require("task.edit")
    task = await standing(tx, cmd.task_id)
    if cmd.at is not None and cmd.at <= tx.now:
        raise ValidationFailed.field("at", "must lie in the future")
    if await tx.value("count_reminders", cmd) >= MOST:
        raise Conflict(f"There are {MOST} reminders of this task already", details={"limit": MOST})
    row = await tx.one("add_reminder", cmd, id=new_id(), due_at=task["due_at"])
    await _plan(tx, [row])
    return _to_whom(tx, row, ReminderAdded.of(row))


@command(
    "reminder.remove",
    needs=None,
    rest="DELETE /tasks/{task_id}/reminders/{reminder_id}",
)
async def remove(tx: Tx, cmd: OneReminder) -> ReminderRemoved:
    """Take away one's own reminder, or with `task.edit` one for all."""
    tx.require("project.view")
    row = await tx.maybe("reminder", cmd)
    if row is None or (row["audience"] == "me" and row["created_by"] != tx.actor.user_id):
        raise NotFound("There is no such reminder")
    if row["audience"] == "all":
        tx.require("task.edit")
    await tx.exec("remove_reminder", cmd)
    await clear_alarms(tx, [_key(row)])
    part = ReminderPart(id=row["id"], task_id=row["task_id"], removed=True)
    return _to_whom(tx, row, ReminderRemoved(reminder=part))


@query("reminder.list", needs="project.view", rest="GET /tasks/{task_id}/reminders")
async def list_reminders(tx: Tx, ask: OneTask) -> Reminders:
    """One's own reminders of a task, and those for all."""
    if await tx.maybe("found_task", ask) is None:
        raise NotFound("There is no such task")
    return Reminders(reminders=[Reminder.of(row) for row in await tx.many("reminders_of_task", ask)])


@internal("reminder.fire")
async def fire(tx: Tx, cmd: FireReminder) -> Outcome[ReminderFired, Reply]:
    """Remind whoever it is for, as far as they still see the task and it is still to be done."""
    row = await tx.maybe("reminder_to_fire", cmd)
    if row is None:
        return Outcome([], Reply())
    people = [row["created_by"]] if row["audience"] == "me" else [*row["assignee_ids"], *row["watcher_ids"]]
    seen = await tx.many("assignable", user_ids=people)
    await tx.exec("mark_fired", cmd)
    said = Reminded.of(row)
    told = [
        ReminderFired(reminder=said).to(RoomKey(tx.room.tenant_id, "user", person["user_id"]))
        for person in seen
    ]
    return Outcome(told, Reply())


@reaction(TaskUpdated)
async def on_updated(tx: Tx, event: TaskUpdated) -> None:
    if "due_at" in event.task.model_fields_set:
        await replan(tx, [event.task.id])


@reaction(TasksUpdated)
async def on_many_updated(tx: Tx, event: TasksUpdated) -> None:
    await replan(tx, [task.id for task in event.tasks if "due_at" in task.model_fields_set])


async def replan(tx: Tx, task_ids: Iterable[UUID]) -> None:
    """Move the reminders of tasks that are due at another moment now; one that was told is told again then."""
    moved = list(task_ids)
    if moved:
        await _plan(tx, await tx.many("replan_reminders", task_ids=moved))


async def _plan(tx: Tx, rows: list[Row]) -> None:
    """Set the alarms of reminders that are still to come, and take back those of the others."""
    coming = [row for row in rows if row["fires_at"] is not None and row["fires_at"] > tx.now]
    await clear_alarms(tx, [_key(row) for row in rows if row not in coming])
    await set_alarms(tx, [_alarm(row, row["fires_at"]) for row in coming])


def _alarm(row: Row, at: datetime) -> Alarm:
    return Alarm(_key(row), at, "reminder.fire", FireReminder(task_id=row["task_id"], reminder_id=row["id"]))


def _key(row: Row) -> str:
    return f"reminder:{row['id']}"


def _to_whom(tx: Tx, row: Row, event: E) -> E:
    """One for oneself is nobody else's business."""
    return (
        event if row["audience"] == "all" else event.to(RoomKey(tx.room.tenant_id, "user", row["created_by"]))
    )

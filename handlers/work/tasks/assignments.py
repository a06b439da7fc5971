"""Assignments: a person's own room hears at once what work she was given or relieved of."""

from typing import Literal
from uuid import UUID

from handlers.context import Tx
from handlers.registry import Entity, Event, reaction
from handlers.work.past.returns import TasksRestored
from handlers.work.tasks.archive import TaskArchived, TasksArchived, TaskUnarchived
from handlers.work.tasks.bulk import TasksDeleted, TasksUpdated
from handlers.work.tasks.tasks import Task, TaskCreated, TaskDeleted, TaskPart, TaskRestored, TaskUpdated, Was
from handlers.work.tasks.unarchive import TasksUnarchived
from storage.rooms import RoomKey


class Assignment(Entity):
    """A task given to the person whose room this is; `id` is the task's."""

    id: UUID
    project_id: UUID


class AssignmentEnded(Entity):
    id: UUID
    removed: Literal[True]


class TaskAssigned(Event, name="task.assigned"):
    """You were given a task."""

    assignment: Assignment


class TaskUnassigned(Event, name="task.unassigned"):
    """A task is not yours any more, or went to the trash or the archive."""

    assignment: AssignmentEnded


@reaction(TaskCreated)
async def on_created(tx: Tx, event: TaskCreated) -> list[Event]:
    return [_assigned(tx, event.task.id, user_id) for user_id in event.task.assignee_ids]


@reaction(TaskUpdated)
async def on_updated(tx: Tx, event: TaskUpdated) -> list[Event]:
    return _reassigned(tx, event.task, event.was)


@reaction(TasksUpdated)
async def on_many_updated(tx: Tx, event: TasksUpdated) -> list[Event]:
    pairs = zip(event.tasks, event.was, strict=True)
    return [told for task, was in pairs for told in _reassigned(tx, task, was)]


@reaction(TasksDeleted)
@reaction(TasksArchived)
async def on_many_deleted(tx: Tx, event: TasksDeleted | TasksArchived) -> list[Event]:
    rows = await tx.many("assignees_of", task_ids=[task.id for task in event.tasks if task.removed])
    return [_unassigned(tx, row["task_id"], row["user_id"]) for row in rows]


@reaction(TasksUnarchived)
async def on_many_restored(tx: Tx, event: TasksUnarchived) -> list[Event]:
    return [_assigned(tx, task.id, user_id) for task in event.tasks for user_id in task.assignee_ids]


@reaction(TaskDeleted)
@reaction(TaskArchived)
async def on_deleted(tx: Tx, event: TaskDeleted | TaskArchived) -> list[Event]:
    task_ids = [event.task.id, *(task.id for task in event.tasks or () if task.removed)]
    rows = await tx.many("assignees_of", task_ids=task_ids)
    return [_unassigned(tx, row["task_id"], row["user_id"]) for row in rows]


@reaction(TaskRestored)
@reaction(TaskUnarchived)
async def on_restored(tx: Tx, event: TaskRestored | TaskUnarchived) -> list[Event]:
    task_ids = [event.task.id, *(task.id for task in event.tasks or () if isinstance(task, Task))]
    rows = await tx.many("assignees_of", task_ids=task_ids)
    return [_assigned(tx, row["task_id"], row["user_id"]) for row in rows]


@reaction(TasksRestored)
async def on_many_back(tx: Tx, event: TasksRestored) -> list[Event]:
    return [
        _assigned(tx, task.id, user_id)
        for task in event.tasks
        if isinstance(task, Task)
        for user_id in task.assignee_ids
    ]


def _reassigned(tx: Tx, task: TaskPart, was: Was) -> list[Event]:
    before, after = was.assignee_ids, task.assignee_ids
    if before is None or after is None:
        return []
    return [
        *(_assigned(tx, task.id, user_id) for user_id in after if user_id not in before),
        *(_unassigned(tx, task.id, user_id) for user_id in before if user_id not in after),
    ]


def _assigned(tx: Tx, task_id: UUID, user_id: UUID) -> Event:
    return TaskAssigned(assignment=Assignment(id=task_id, project_id=tx.room.id)).to(_room(tx, user_id))


def _unassigned(tx: Tx, task_id: UUID, user_id: UUID) -> Event:
    return TaskUnassigned(assignment=AssignmentEnded(id=task_id, removed=True)).to(_room(tx, user_id))


def _room(tx: Tx, user_id: UUID) -> RoomKey:
    return RoomKey(tx.room.tenant_id, "user", user_id)

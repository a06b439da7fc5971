"""Watchers: who wants to hear of a task, beside those whom it is given to.

Who creates a task, is given it, comments on it or is mentioned there watches it from then on, unless she has said that she
does not want to: that is remembered until she watches it again.
"""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed
from handlers.registry import Entity, Event, Payload, command, unique
from storage.postgres import Row

MOST: Final = 200
"""Watchers of one task (count): the board carries them. Beyond it nobody comes to watch by herself."""
MOST_UNWATCHED: Final = 1_000
"""People of whom a task remembers that they do not want to watch it (count); the oldest are forgotten."""


class Watched(Entity):
    """A task with who watches it now."""

    id: UUID
    watcher_ids: list[UUID]


class TaskWatched(Event, name="task.watched"):
    """Somebody watches a task. It is no change of the task's version."""

    task: Watched


class TaskUnwatched(Event, name="task.unwatched"):
    """Somebody watches a task no more. It is no change of the task's version."""

    task: Watched


class WatchTask(Payload):
    task_id: UUID
    user_id: UUID | None = Field(
        None, description="Who; unset: oneself. Another one takes the permission `task.edit`."
    )


@command("task.watch", needs="project.view", rest="POST /tasks/{task_id}/watch")
async def watch(tx: Tx, cmd: WatchTask) -> TaskWatched:
    """Watch a task, or have somebody who sees the project watch it."""
    row, user_id = await _task_and_person(tx, cmd)
    if user_id != tx.actor.user_id and not await tx.many("assignable", user_ids=[user_id]):
        raise ValidationFailed.field("user_id", "cannot see this project")
    watchers = unique([*row["watcher_ids"], user_id])
    if len(watchers) > MOST:
        raise Conflict(f"At most {MOST} people watch one task", details={"limit": MOST})
    _write(tx, row, watchers, [other for other in row["unwatched_ids"] if other != user_id])
    return TaskWatched(task=Watched(id=cmd.task_id, watcher_ids=watchers))


@command("task.unwatch", needs="project.view", rest="POST /tasks/{task_id}/unwatch")
async def unwatch(tx: Tx, cmd: WatchTask) -> TaskUnwatched:
    """Watch a task no more, whatever happens there, or have somebody watch it no more until something brings her back."""
    row, user_id = await _task_and_person(tx, cmd)
    watchers = [other for other in row["watcher_ids"] if other != user_id]
    unwatched = row["unwatched_ids"]
    if user_id == tx.actor.user_id:
        unwatched = unique([*unwatched, user_id])[-MOST_UNWATCHED:]
    _write(tx, row, watchers, unwatched)
    return TaskUnwatched(task=Watched(id=cmd.task_id, watcher_ids=watchers))


def watching(row: Row, more: Iterable[UUID]) -> list[UUID]:
    """Who watches a task once these people have come to do with it."""
    watchers: list[UUID] = list(row["watcher_ids"])
    for user_id in more:
        if len(watchers) < MOST and user_id not in watchers and user_id not in row["unwatched_ids"]:
            watchers.append(user_id)
    return watchers


def watching_with(row: Row, assignee_ids: list[UUID]) -> list[UUID]:
    """Who watches a task once it is given to these people."""
    return watching(row, (user_id for user_id in assignee_ids if user_id not in row["assignee_ids"]))


async def _task_and_person(tx: Tx, cmd: WatchTask) -> tuple[Row, UUID]:
    user_id = cmd.user_id or tx.actor.user_id
    if user_id != tx.actor.user_id:
        tx.require("task.edit")
    row = await tx.maybe("task", cmd)
    if row is None:
        raise NotFound("There is no such task")
    return row, user_id


def _write(tx: Tx, row: Row, watchers: list[UUID], unwatched: list[UUID]) -> None:
    tx.defer("set_watchers", task_id=row["id"], watcher_ids=watchers, unwatched_ids=unwatched)

"""Events as the log has them, for who reads them again: history, undo and activity."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

import orjson

from storage.postgres import Row


@dataclass(frozen=True, slots=True)
class Past:
    """One event of a room's log. `data` is as it went over the wire."""

    room_id: UUID
    seq: int
    name: str
    at: datetime
    actor_id: UUID
    actor_name: str | None
    command_id: UUID
    task_id: UUID | None
    """The task that it is about, or the chief one of several."""
    data: dict[str, Any]

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            row["room_id"], row["seq"], row["name"], row["at"], row["actor_id"], row["actor_name"],
            row["command_id"], row["task_id"], orjson.loads(row["data"]),
        )  # fmt: skip

    @property
    def was(self) -> dict[str, Any]:
        """The values that changed fields had before, of one entity."""
        before = self.data.get("was")
        return before if isinstance(before, dict) else {}


DERIVED: Final = frozenset({
    "subtask_total", "subtask_done", "comment_count", "checklist_total", "checklist_done", "watcher_ids", "file_ids", "version",
    "updated_at",
})  # fmt: skip
"""Fields of a task that follow from something else. Who has come to watch it goes on until she says otherwise."""


def changed_tasks(past: Past) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Each task whose fields an event changed: the values before, and after."""
    task, tasks, was = past.data.get("task"), past.data.get("tasks"), past.data.get("was")
    if isinstance(was, list):
        pairs = {one["id"]: _values(before, one) for one, before in zip(tasks or [], was, strict=True)}
        return {task_id: pair for task_id, pair in pairs.items() if pair[0]}
    if isinstance(was, dict) and task is not None and "checklist_item" not in past.data:
        return {task["id"]: _values(was, task)}
    return {}


def about(past: Past) -> set[str]:
    """The tasks that an event is about, not those of which it tells besides how they stand now."""
    task, beside = past.data.get("task"), past.data.get("tasks") or []
    found = {
        one["id"] for one in beside if went_or_came(one) or (task is None and set(one) - DERIVED - {"id"})
    }
    if task is not None:
        found.add(task["id"])
    return found | ({str(past.task_id)} if past.task_id else set())


def went_or_came(task: dict[str, Any]) -> bool:
    """Whether a task in an event is gone with it, or whole in it."""
    return bool(task.get("removed")) or "title" in task


def _values(was: dict[str, Any], task: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    before = {name: value for name, value in was.items() if name != "id" and name not in DERIVED}
    return before, {name: task.get(name) for name in before}

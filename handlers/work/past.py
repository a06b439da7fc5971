"""Events as the log has them, for who reads them again: history, undo and activity."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
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


def changed_tasks(past: Past) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Each task whose fields an event changed: the values before, and after."""
    task, tasks, was = past.data.get("task"), past.data.get("tasks"), past.data.get("was")
    if isinstance(was, list):
        return {one["id"]: _values(before, one) for one, before in zip(tasks or [], was, strict=True)}
    if isinstance(was, dict) and task is not None:
        return {task["id"]: _values(was, task)}
    return {}


def _values(was: dict[str, Any], task: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    before = {name: value for name, value in was.items() if name != "id"}
    return before, {name: task.get(name) for name in before}

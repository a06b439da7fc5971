"""Which tasks an event is about: what the history and the activity of each of them are found by."""

from typing import Any, Final
from uuid import UUID

from handlers.registry import Event

_COUNTS: Final = frozenset({"id", "subtask_total", "subtask_done"})
"""All that an event says of a task of which it only tells how its subtasks stand."""


def tasks_of(event: Event) -> list[UUID]:
    """The chief one first, each once; empty where an event is about no task.

    An event is about its `task`; about those `tasks` beside it that went or came with it, though not about cards that
    only made room; and about the task that any other entity in it belongs to by a `task_id`.
    """
    fields = event.__dict__
    chief, beside = fields.get("task"), fields.get("tasks")
    if chief is not None:
        if beside is None:
            return [chief.id]
        return _each([chief.id, *(one.id for one in beside if _went_or_came(one))])
    if beside is not None:
        return _each([one.id for one in beside if one.model_fields_set - _COUNTS])
    return _each([task_id for value in fields.values() for task_id in _named(value)])


def parts_of(event: Event) -> list[Any]:
    """Every task that an event shows, whole or as far as it changed; the chief one first."""
    fields = event.__dict__
    chief, beside = fields.get("task"), fields.get("tasks")
    return [*([chief] if chief is not None else []), *(beside or ())]


def _each(ids: list[UUID]) -> list[UUID]:
    return list(dict.fromkeys(ids))


def _went_or_came(task: Any) -> bool:
    return bool({"removed", "title"} & task.model_fields_set)


def _named(value: Any) -> list[UUID]:
    """The tasks that an entity, or each of a list, belongs to; of a dependency or a link both."""
    if isinstance(value, list):
        return [task_id for one in value for task_id in _named(one)]
    ends = (getattr(value, name, None) for name in ("task_id", "depends_on_id", "other_id"))
    return [task_id for task_id in ends if task_id is not None]

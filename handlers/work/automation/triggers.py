"""When a rule acts: what it waits for, and what of that happens to a task in an event."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from handlers.identity.people import Timezone
from handlers.registry import Event, Ids, Payload, no_nul
from handlers.work.planning.sprints import SprintCompleted, SprintStarted
from handlers.work.talk.comments import CommentAdded
from handlers.work.tasks.bulk import TasksUpdated
from handlers.work.tasks.tasks import TaskCreated, TaskMoved, TaskPart, TaskUpdated, Was
from storage.rooms import timestamp

FieldName = Literal[
    "title", "description", "type", "priority", "status_id", "column_id", "parent_id", "assignee_ids", "tags",
    "start_at", "due_at", "estimate_minutes", "actual_minutes", "label_ids",
]  # fmt: skip
Value = Annotated[str, StringConstraints(max_length=500), AfterValidator(no_nul)]
Values = Annotated[list[Value], Field(max_length=50)]

FARTHEST: Final = 366 * 24 * 60
"""The farthest that a rule may act from when a task is due, or set a date from now (minutes)."""


class WhenCreated(Payload):
    """A task came to be."""

    on: Literal["task.created"]


class WhenMoved(Payload):
    """A task went to another column."""

    on: Literal["task.moved"]
    from_column_ids: Ids = Field([], description="Out of one of these; empty: any.")
    to_column_ids: Ids = Field([], description="Into one of these; empty: any.")


class WhenCompleted(Payload):
    """A task got a status that is done."""

    on: Literal["task.completed"]


class WhenReopened(Payload):
    """A task that was done is so no more."""

    on: Literal["task.reopened"]


class WhenChanged(Payload):
    """Fields of a task got other values. Of lists `was` is what went, and `becomes` what came."""

    on: Literal["task.changed"]
    fields: list[FieldName] = Field(min_length=1, max_length=14, description="One of these.")
    was: Values | None = Field(None, description="The value before is one of these, as text; none is empty.")
    becomes: Values | None = Field(None, description="The value now is one of these, as text; none is empty.")

    @model_validator(mode="after")
    def of_one_field(self) -> "WhenChanged":
        if len(self.fields) > 1 and (self.was is not None or self.becomes is not None):
            raise ValueError("values are compared of one field: name it alone")
        return self


class WhenAssigned(Payload):
    """A task was given to somebody."""

    on: Literal["task.assigned"]
    user_ids: Ids = Field([], description="To one of these; empty: to anybody.")


class WhenCommented(Payload):
    """Somebody commented on a task."""

    on: Literal["comment.added"]


class WhenScheduled(Payload):
    """The clock says so. With a condition the rule acts on each task for which it holds; without one, once."""

    on: Literal["schedule"]
    every: Literal["hour", "day", "week", "month"]
    hour: int = Field(9, ge=0, le=23, description="At this hour, in the time zone.")
    weekdays: Annotated[list[Annotated[int, Field(ge=1, le=7)]], Field(max_length=7)] = Field(
        [], description="Of `week`: on these, 1 for Monday to 7; empty: Monday."
    )
    day: int = Field(1, ge=1, le=31, description="Of `month`: on this day, or the month's last.")
    time_zone: Timezone = "UTC"


class WhenDue(Payload):
    """A task that is not completed is due, or will be or was so long ago."""

    on: Literal["task.due"]
    minutes: int = Field(
        0, ge=-FARTHEST, le=FARTHEST, description="After it is due (minutes); negative for before."
    )


class WhenPlanned(Payload):
    """A task went into a sprint, from the backlog or another sprint."""

    on: Literal["task.planned"]


class WhenSprintStarted(Payload):
    """A sprint has begun. With a condition the rule acts on each task in it for which it holds; without one, once."""

    on: Literal["sprint.started"]


class WhenSprintCompleted(Payload):
    """A sprint is over. With a condition the rule acts on each task that stays in it and for which it holds; without one,
    once. What goes on to another sprint is planned into that one.
    """

    on: Literal["sprint.completed"]


Trigger = Annotated[
    WhenCreated
    | WhenMoved
    | WhenCompleted
    | WhenReopened
    | WhenChanged
    | WhenAssigned
    | WhenCommented
    | WhenPlanned
    | WhenSprintStarted
    | WhenSprintCompleted
    | WhenScheduled
    | WhenDue,
    Field(discriminator="on"),
]


OF_NO_TASK: Final = (WhenScheduled, WhenSprintStarted, WhenSprintCompleted)
"""What happens to no task: a rule acts on those that its condition is about, or once and on none."""


@dataclass(frozen=True, slots=True)
class Happening:
    """What happened to one task, or to a sprint, as far as rules may wait for it."""

    task_id: UUID | None
    kinds: frozenset[str]
    changed: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """Field -> its value before and now."""
    sprint_id: UUID | None = None
    """The sprint that it happened to, and to no task."""


def happenings(events: Iterable[Event]) -> Iterator[Happening]:
    """What events tell of tasks and sprints."""
    for event in events:
        if isinstance(event, TaskCreated):
            task = event.task
            came: dict[str, tuple[Any, Any]] = {"assignee_ids": ([], task.assignee_ids)}
            more = {"task.assigned"} if task.assignee_ids else set[str]()
            more |= {"task.planned"} if task.sprint_id else set()
            yield Happening(task.id, frozenset({"task.created", *more}), came)
        elif isinstance(event, (TaskUpdated, TaskMoved)):
            yield _changes(event.task, event.was)
        elif isinstance(event, TasksUpdated):
            yield from map(_changes, event.tasks, event.was)
        elif isinstance(event, CommentAdded):
            yield Happening(event.comment.task_id, frozenset({"comment.added"}))
        elif isinstance(event, (SprintStarted, SprintCompleted)):
            yield Happening(None, frozenset({event.name}), sprint_id=event.sprint.id)
            for part in (isinstance(event, SprintCompleted) and event.tasks) or ():
                if part.sprint_id is not None:
                    yield Happening(part.id, frozenset({"task.planned"}))


def _changes(task: TaskPart, was: Was) -> Happening:
    names = was.model_fields_set - {"id"}
    changed = {name: (getattr(was, name), getattr(task, name)) for name in names}
    return Happening(task.id, _kinds(changed), changed)


def _kinds(changed: dict[str, tuple[Any, Any]]) -> frozenset[str]:
    kinds = {"task.changed"} if changed else set[str]()
    if "column_id" in changed:
        kinds.add("task.moved")
    if "completed_at" in changed:
        before, now = changed["completed_at"]
        kinds |= {"task.completed"} if before is None else {"task.reopened"} if now is None else set()
    if "assignee_ids" in changed and _gained(*changed["assignee_ids"]):
        kinds.add("task.assigned")
    if "sprint_id" in changed and changed["sprint_id"][1] is not None:
        kinds.add("task.planned")
    return frozenset(kinds)


def fits(when: Trigger, happened: Happening) -> bool:
    """Whether this is what a rule waits for."""
    if when.on not in happened.kinds:
        return False
    if isinstance(when, WhenMoved):
        before, now = happened.changed["column_id"]
        return _among(before, when.from_column_ids) and _among(now, when.to_column_ids)
    if isinstance(when, WhenAssigned):
        came = _gained(*happened.changed["assignee_ids"])
        return not when.user_ids or bool(set(came) & set(when.user_ids))
    if isinstance(when, WhenChanged):
        return any(
            name in happened.changed and _compares(when, *happened.changed[name]) for name in when.fields
        )
    return True


def _among(value: UUID, wanted: Sequence[UUID]) -> bool:
    return not wanted or value in wanted


def _gained(before: Sequence[Any] | None, now: Sequence[Any] | None) -> list[Any]:
    return [value for value in now or () if value not in (before or ())]


def _compares(when: WhenChanged, before: Any, now: Any) -> bool:
    if isinstance(before, list) or isinstance(now, list):
        before, now = _gained(now, before), _gained(before, now)
    return _one_of(before, when.was) and _one_of(now, when.becomes)


def _one_of(value: Any, wanted: Sequence[str] | None) -> bool:
    if wanted is None:
        return True
    found = [_text(one) for one in value] if isinstance(value, list) else [_text(value)]
    return bool(set(found) & set(wanted))


def _text(value: Any) -> str:
    """A value as rules write it: moments as events have them, nothing as an empty text."""
    if value is None:
        return ""
    return timestamp(value) if isinstance(value, datetime) else str(value)

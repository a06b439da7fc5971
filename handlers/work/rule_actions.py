"""What a rule does: each action is a command or two that its owner could have sent, or a notice to people."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from handlers.context import Tx
from handlers.entry import permit
from handlers.errors import Conflict, NotFound
from handlers.identity.field_values import Given
from handlers.registry import SPECS, Entity, Event, Ids, Outcome, Payload, Title, no_nul, unique
from handlers.work.comments import Body
from handlers.work.rule_triggers import FARTHEST
from handlers.work.tasks import Minutes, Priority, Tags, TaskCreated, Type
from storage.ids import new_id
from storage.postgres import Row
from storage.rooms import RoomKey

MOST: Final = 10
"""Actions of one rule (count)."""
MOST_CREATED: Final = 200
"""Tasks that rules create in one command (count)."""
LONGEST: Final = 1_000
"""What a rule tells people (characters)."""

Words = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST), AfterValidator(no_nul)]
Ahead = Annotated[int, Field(ge=-FARTHEST, le=FARTHEST)]
WORDS: Final = "`{key}` and `{title}` stand for the task's."


class DoSet(Payload):
    """Give fields of the task other values; what is not named stays."""

    do: Literal["set"]
    type: Type | None = None
    priority: Priority | None = None
    status_id: UUID | None = None
    estimate_minutes: Minutes | None = None
    due_in_minutes: Ahead | None = Field(None, description="Due so long after the rule acts.")
    start_in_minutes: Ahead | None = Field(None, description="Starts so long after the rule acts.")
    clear: list[Literal["start_at", "due_at", "estimate_minutes", "parent_id"]] = Field(
        [], max_length=4, description="Fields to take away."
    )

    @model_validator(mode="after")
    def something(self) -> "DoSet":
        values = [getattr(self, name) for name in self.model_fields_set - {"do", "clear"}]
        if not self.clear and all(value is None for value in values):
            raise ValueError("names no field to set")
        return self


class DoMove(Payload):
    """Move the task to the end of a column; one that is there stays where it is."""

    do: Literal["move"]
    column_id: UUID


class DoAssign(Payload):
    """Give the task to people, beside those who have it."""

    do: Literal["assign"]
    user_ids: Ids = []
    roles: list[Literal["creator", "actor"]] = Field(
        [], max_length=2, description="Whoever created the task; whoever caused the rule to act."
    )


class DoUnassign(Payload):
    """Relieve people of the task."""

    do: Literal["unassign"]
    user_ids: Ids = Field([], description="Empty: everybody.")


class DoTag(Payload):
    """Give the task tags, or take them away."""

    do: Literal["tag"]
    add: Tags = []
    remove: Tags = []


class DoLabel(Payload):
    """Give the task labels of the project, or take them off it."""

    do: Literal["label"]
    add: Ids = []
    remove: Ids = []


class DoWatch(Payload):
    """Have people watch the task."""

    do: Literal["watch"]
    user_ids: Ids = []
    roles: list[Literal["assignees", "creator", "actor"]] = Field([], max_length=3)


class DoComment(Payload):
    """Comment on the task, as the rule's owner."""

    do: Literal["comment"]
    body: Body = Field(description=f"Markdown. {WORDS}")


class DoNotify(Payload):
    """Tell people, each in her own room, by the event `rule.notified`."""

    do: Literal["notify"]
    user_ids: Ids = []
    roles: list[Literal["assignees", "creator", "actor"]] = Field([], max_length=3)
    text: Words = Field(description=WORDS)


class DoPlan(Payload):
    """Plan the task into a sprint; one that is in it stays where it is."""

    do: Literal["plan"]
    sprint_id: UUID | None = Field(
        None, description="Unset: the active one; of several the one that ends first."
    )


class DoCreate(Payload):
    """Create a task at the end of a column."""

    do: Literal["create_task"]
    title: Title = Field(description=WORDS)
    type: Type = "task"
    priority: Priority = "medium"
    column_id: UUID | None = Field(None, description="Unset: the first column.")
    assignee_ids: Ids = []
    tags: Tags = []
    fields: Given = Field({}, description="Values of custom fields, by key.")
    due_in_minutes: Ahead | None = Field(None, description="Due so long after the rule acts.")
    below: bool = Field(False, description="As a subtask of the task.")


class DoCreateFrom(Payload):
    """Create what a template says: a task with its subtasks and checklists."""

    do: Literal["create_from_template"]
    template_id: UUID = Field(description="Of this project, or of the tenant.")
    title: Title | None = Field(None, description=f"Unset: the template's. {WORDS}")
    column_id: UUID | None = Field(None, description="Unset: the first column.")
    below: bool = Field(False, description="As a subtask of the task.")


Action = Annotated[
    DoSet
    | DoMove
    | DoAssign
    | DoUnassign
    | DoTag
    | DoLabel
    | DoWatch
    | DoComment
    | DoNotify
    | DoPlan
    | DoCreate
    | DoCreateFrom,
    Field(discriminator="do"),
]

NEEDS: Final = {
    "set": "task.edit", "move": "task.edit", "assign": "task.edit", "unassign": "task.edit", "tag": "task.edit",
    "label": "task.edit", "watch": "task.edit", "comment": "comment.add", "notify": "project.view",
    "plan": "task.edit", "create_task": "task.create", "create_from_template": "task.create",
}  # fmt: skip
"""What whoever makes a rule must be allowed to do himself."""


class Notice(Entity):
    """What a rule tells a person."""

    id: UUID
    rule_id: UUID
    project_id: UUID
    task_id: UUID | None
    text: str


class RuleNotified(Event, name="rule.notified"):
    """A rule tells you something."""

    notice: Notice


@dataclass(slots=True)
class Work:
    """One rule acting on one task, or on none."""

    tx: Tx
    """With the rights of the rule's owner."""
    rule_id: UUID
    task: Row | None
    """The task as it is now; read again after each action."""
    cause_id: UUID | None
    """Who caused the rule to act; None for the clock."""
    created: int = 0
    """Tasks created so far in the same command (count)."""


def needs_task(action: Action) -> bool:
    """Whether an action is about a task, so that a rule without one cannot do it."""
    if isinstance(action, DoNotify):
        return bool(action.roles)
    return not isinstance(action, DoCreate | DoCreateFrom) or action.below


@dataclass(slots=True)
class Named:
    """What rules name, and must be there."""

    column_ids: list[UUID] = field(default_factory=list)
    status_ids: list[UUID] = field(default_factory=list)
    user_ids: list[UUID] = field(default_factory=list)
    label_ids: list[UUID] = field(default_factory=list)
    template_ids: list[UUID] = field(default_factory=list)
    sprint_ids: list[UUID] = field(default_factory=list)

    def add(self, action: Action) -> None:
        if (column_id := getattr(action, "column_id", None)) is not None:
            self.column_ids.append(column_id)
        if isinstance(action, DoSet) and action.status_id is not None:
            self.status_ids.append(action.status_id)
        if isinstance(action, DoLabel):
            self.label_ids += action.add
        if isinstance(action, DoCreateFrom):
            self.template_ids.append(action.template_id)
        if isinstance(action, DoPlan) and action.sprint_id is not None:
            self.sprint_ids.append(action.sprint_id)
        if isinstance(action, DoCreate):
            self.user_ids += action.assignee_ids
        elif isinstance(action, DoAssign | DoWatch | DoNotify):
            self.user_ids += action.user_ids

    async def missing(self, tx: Tx) -> str | None:
        """What of it is not there, for people; None where all is."""
        for ids, statement, what in (
            (self.column_ids, "columns_there", "column"),
            (self.status_ids, "statuses_there", "status"),
            (self.label_ids, "labels_there", "label"),
            (self.template_ids, "templates_there", "template"),
            (self.sprint_ids, "sprints_there", "sprint"),
        ):
            if ids and await tx.value(statement, ids=unique(ids)) != len(set(ids)):
                return f"There is no such {what}"
        if self.user_ids:
            found = {row["user_id"] for row in await tx.many("assignable", user_ids=unique(self.user_ids))}
            if strangers := sorted({str(one) for one in self.user_ids if one not in found}):
                return f"These people cannot see this project: {', '.join(strangers)}"
        return None


async def perform(work: Work, action: Action) -> list[Event]:
    """Do it; no events where there is nothing to do. Raises what the command for it would raise."""
    if needs_task(action):
        _of(work.task)
    changes = _changes(work, action)
    if changes is not None:
        return await _update(work, changes)
    match action:
        case DoMove():
            return await _move(work, action.column_id)
        case DoWatch():
            return await _watch(work, unique([*action.user_ids, *_people(work, action.roles)]))
        case DoComment():
            said = {"task_id": _of(work.task)["id"], "body": words(action.body, work.task)}
            return await send(work.tx, "comment.add", said)
        case DoNotify():
            return await _notify(work, action)
        case DoPlan():
            return await _update(work, {"sprint_id": action.sprint_id or await _active_sprint(work.tx)})
        case DoCreate():
            return await _create(work, action)
        case DoCreateFrom():
            return await _create_from(work, action)
    raise TypeError(action.do)


def _changes(work: Work, action: Action) -> dict[str, Any] | None:
    """The fields that an action is to give other values; None for one that is about something else."""
    if not isinstance(action, DoSet | DoAssign | DoUnassign | DoTag | DoLabel):
        return None
    task = _of(work.task)
    match action:
        case DoSet():
            return _fields(work.tx, action)
        case DoAssign():
            people = [*action.user_ids, *_people(work, action.roles)]
            return {"assignee_ids": _more(task["assignee_ids"], people)}
        case DoUnassign():
            left = [one for one in task["assignee_ids"] if action.user_ids and one not in action.user_ids]
            return {"assignee_ids": left}
        case DoTag():
            return {"tags": _more([tag for tag in task["tags"] if tag not in action.remove], action.add)}
        case DoLabel():
            kept = [label for label in task["label_ids"] if label not in action.remove]
            return {"label_ids": _more(kept, action.add)}


def _of(task: Row | None) -> Row:
    if task is None:
        raise NotFound("There is no such task")
    return task


async def send(tx: Tx, name: str, payload: Mapping[str, Any]) -> list[Event]:
    """Carry out another command within this one, with the rights of the transaction that is given."""
    spec = SPECS[name]
    permit(tx, spec)
    outcome = await spec.handler(tx, spec.payload.model_validate(payload))
    if isinstance(outcome, Outcome):
        return list(outcome.events)
    return list(outcome) if isinstance(outcome, list) else [outcome]


async def _update(work: Work, changes: Mapping[str, Any]) -> list[Event]:
    task = _of(work.task)
    changes = {name: value for name, value in changes.items() if task[name] != value}
    if not changes:
        return []
    return await send(work.tx, "task.update", {"task_id": task["id"], "changes": changes})


def _fields(tx: Tx, action: DoSet) -> dict[str, Any]:
    fields: dict[str, Any] = dict.fromkeys(action.clear)
    for name in ("type", "priority", "status_id", "estimate_minutes"):
        if (value := getattr(action, name)) is not None:
            fields[name] = value
    if action.due_in_minutes is not None:
        fields["due_at"] = tx.now + timedelta(minutes=action.due_in_minutes)
    if action.start_in_minutes is not None:
        fields["start_at"] = tx.now + timedelta(minutes=action.start_in_minutes)
    return fields


async def _move(work: Work, column_id: UUID) -> list[Event]:
    task = _of(work.task)
    if task["column_id"] == column_id:
        return []
    return await send(work.tx, "task.move", {"task_id": task["id"], "column_id": column_id})


async def _active_sprint(tx: Tx) -> UUID:
    sprint_id: UUID | None = await tx.value("active_sprint")
    if sprint_id is None:
        raise NotFound("No sprint is active")
    return sprint_id


async def _notify(work: Work, action: DoNotify) -> list[Event]:
    """Those who may see the project are told; others are left out."""
    tx, asked = work.tx, unique([*action.user_ids, *_people(work, action.roles)])
    tx.require("project.view")
    may_see = {row["user_id"] for row in await tx.many("assignable", user_ids=asked)} if asked else set()
    task_id = work.task["id"] if work.task else None
    text = words(action.text, work.task)[:LONGEST]
    notice = {"rule_id": work.rule_id, "project_id": tx.room.id, "task_id": task_id, "text": text}
    return [
        RuleNotified(notice=Notice(id=new_id(), **notice)).to(RoomKey(tx.room.tenant_id, "user", user_id))
        for user_id in asked
        if user_id in may_see
    ]


async def _create(work: Work, action: DoCreate) -> list[Event]:
    tx = work.tx
    fields: dict[str, Any] = {
        "title": words(action.title, work.task)[:500], "type": action.type, "priority": action.priority,
        "assignee_ids": action.assignee_ids, "tags": action.tags, "fields": action.fields,
    }  # fmt: skip
    if action.column_id is not None:
        fields["column_id"] = action.column_id
    if action.below:
        fields["parent_id"] = _of(work.task)["id"]
    if action.due_in_minutes is not None:
        fields["due_at"] = tx.now + timedelta(minutes=action.due_in_minutes)
    return _counted(work, await send(tx, "task.create", fields))


async def _create_from(work: Work, action: DoCreateFrom) -> list[Event]:
    fields: dict[str, Any] = {"project_id": work.tx.room.id, "template_id": action.template_id}
    if action.title is not None:
        fields["title"] = words(action.title, work.task)[:500]
    if action.column_id is not None:
        fields["column_id"] = action.column_id
    if action.below:
        fields["parent_id"] = _of(work.task)["id"]
    return _counted(work, await send(work.tx, "task.create_from_template", fields))


def _counted(work: Work, events: list[Event]) -> list[Event]:
    work.created += sum(isinstance(event, TaskCreated) for event in events)
    if work.created > MOST_CREATED:
        raise Conflict(
            f"Rules create at most {MOST_CREATED} tasks in one command", details={"limit": MOST_CREATED}
        )
    return events


async def _watch(work: Work, user_ids: list[UUID]) -> list[Event]:
    events, task = list[Event](), _of(work.task)
    for user_id in user_ids:
        if user_id not in task["watcher_ids"]:
            events += await send(work.tx, "task.watch", {"task_id": task["id"], "user_id": user_id})
    return events


def _people(work: Work, roles: Iterable[str]) -> list[UUID]:
    task, found = work.task, list[UUID]()
    for role in roles:
        if role == "assignees" and task:
            found += task["assignee_ids"]
        elif role == "creator" and task:
            found.append(task["created_by"])
        elif role == "actor" and work.cause_id:
            found.append(work.cause_id)
    return unique(found)


def _more(values: Iterable[Any], more: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys([*values, *more]))


def words(text: str, task: Row | None) -> str:
    """A text with the key and title of the task where it asks for them."""
    if task is None:
        return text
    return re.sub(r"\{(key|title)\}", lambda match: str(task[match[1]]), text)

"""How a rule does what it does: by the commands that its owner could have sent herself, or a notice to people."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from handlers.context import Tx
from handlers.entry import permit
from handlers.errors import Conflict, NotFound
from handlers.registry import SPECS, Entity, Event, Outcome, unique
from handlers.work.automation.actions import (
    LONGEST,
    Action,
    DoAssign,
    DoComment,
    DoCreate,
    DoCreateFrom,
    DoLabel,
    DoMove,
    DoNotify,
    DoPlan,
    DoSet,
    DoTag,
    DoUnassign,
    DoWatch,
    needs_task,
)
from handlers.work.tasks.tasks import TaskCreated
from storage.ids import new_id
from storage.postgres import Row
from storage.rooms import RoomKey

MOST_CREATED: Final = 200
"""Tasks that rules create in one command (count)."""


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

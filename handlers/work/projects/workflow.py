"""The workflow of a project: its statuses, in their order, and which of them tasks may go to from which.

A rule binds whoever changes the status of a task by whatever command. What rearranges the workflow itself, the deletion
of a status, takes tasks along without asking the rules.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import Field, field_validator, model_validator

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, constraint
from handlers.identity.colours import Colour
from handlers.registry import Entity, Event, Gone, Name, Outcome, Payload, command, locator
from handlers.work import positions
from handlers.work.boards.columns import Column
from handlers.work.finding.fields import key_of
from handlers.work.planning.sprint_facts import settle_project
from handlers.work.tasks.bulk import MOST, TasksUpdated
from handlers.work.tasks.rules import FieldNames, Transition, transitions_of
from handlers.work.tasks.subtasks import recount
from handlers.work.tasks.tasks import TaskPart, Was
from handlers.work.tasks.values import check_keys
from storage.ids import new_id
from storage.postgres import Row

Category = Literal["backlog", "todo", "in_progress", "blocked", "done", "cancelled"]

COUNTED: Final = {"done", "cancelled"}
"""Categories that say whether a task is completed, or how its parent counts it."""
MOST_STORED: Final = 10_000
"""Tasks in the archive and the trash that come to have another status, or another meaning of it, at once (count)."""
MOST_STATUSES: Final = 50
"""Statuses that one workflow may have (count)."""

locator("status_id", "project_of_status")
constraint("statuses_pkey", "id", "A status with this id exists")
constraint("statuses_name_key", "name", "Another status of the project has this name")


class StatusEntity(Entity):
    """A status of a project's workflow."""

    id: UUID
    name: str
    category: Category
    colour: str | None
    position: str
    required_fields: list[str] = Field(description="What a task must have to come into this status.")
    transitions: list[Transition] | None = Field(
        description="Where tasks may go from here; null for anywhere, an empty list for nowhere."
    )
    version: int

    @field_validator("transitions", mode="before")
    @classmethod
    def from_column(cls, value: Any) -> Any:
        return transitions_of({"transitions": value})


class StatusWas(Entity):
    """The values that changed fields had before."""

    id: UUID | None = None
    name: str | None = None
    category: Category | None = None
    colour: str | None = None
    position: str | None = None
    required_fields: list[str] | None = None
    transitions: list[Transition] | None = None


class StatusCreated(Event, name="status.created"):
    """The workflow has a status more."""

    status: StatusEntity
    column: Column | None = Field(None, description="The column that shows it.")


class StatusUpdated(Event, name="status.updated"):
    """A status was renamed, coloured, put elsewhere, or asks for other fields."""

    status: StatusEntity
    was: StatusWas


class StatusDeleted(Event, name="status.deleted"):
    """The workflow has a status less."""

    status: Gone
    columns: list[Column] = Field(description="Those that showed it.")
    statuses: list[StatusEntity] = Field(description="Those from which tasks could go to it.")


class TransitionsSet(Event, name="workflow.transitions_set"):
    """Tasks may go other ways through the workflow."""

    statuses: list[StatusEntity]
    was: list[StatusWas]


class CreateStatus(Payload):
    project_id: UUID
    id: UUID | None = Field(None, description="UUID of the new status, where the client makes it.")
    name: Name
    category: Category
    colour: Colour | None = None
    required_fields: FieldNames = []
    column_id: UUID | None = Field(
        None, description="A column that shows it from now on, beside what it shows."
    )


class UpdateStatus(Payload):
    status_id: UUID
    name: Name | None = None
    category: Category | None = None
    colour: Colour | None = Field(None, description="Unset: as it is; null: none.")
    required_fields: FieldNames | None = None


class MoveStatus(Payload):
    status_id: UUID
    before_id: UUID | None = Field(None, description="The status to put it before; null for the end.")

    @model_validator(mode="after")
    def another(self) -> "MoveStatus":
        if self.before_id == self.status_id:
            raise ValueError("a status cannot stand before itself")
        return self


class DeleteStatus(Payload):
    status_id: UUID
    replace_with: UUID | None = Field(
        None, description="The status that its tasks, at most 1,000, get and its columns show in its place."
    )

    @model_validator(mode="after")
    def another(self) -> "DeleteStatus":
        if self.replace_with == self.status_id:
            raise ValueError("a status cannot take its own place")
        return self


class Ways(Payload):
    """Where tasks may go from one status."""

    from_id: UUID
    to: Annotated[list[Transition], Field(max_length=MOST_STATUSES)] | None = Field(
        description="Null for anywhere, an empty list for nowhere."
    )

    @model_validator(mode="after")
    def each_once(self) -> "Ways":
        ids = [one.to_id for one in self.to or ()]
        if len(set(ids)) < len(ids) or self.from_id in ids:
            raise ValueError("names every other status once at most")
        return self


class SetTransitions(Payload):
    project_id: UUID
    transitions: Annotated[list[Ways], Field(min_length=1, max_length=MOST_STATUSES)] = Field(
        description="By status from which tasks go; a status that is not named keeps its own."
    )

    @model_validator(mode="after")
    def each_once(self) -> "SetTransitions":
        if len({ways.from_id for ways in self.transitions}) < len(self.transitions):
            raise ValueError("names a status twice")
        return self


@dataclass(frozen=True, slots=True)
class _Holders:
    """The tasks on boards that have a status, and the parents of all that count as subtasks."""

    tasks: list[Row]
    parents: list[UUID]


@dataclass(slots=True)
class _Told:
    """What an event tells of tasks."""

    tasks: list[TaskPart] = field(default_factory=list)
    was: list[Was] = field(default_factory=list)


@command("status.create", needs="board.edit", rest="POST /projects/{project_id}/statuses", status=201)
async def create(tx: Tx, cmd: CreateStatus) -> StatusCreated:
    """Give the workflow another status, at the end. Tasks can have it as soon as a column shows it."""
    statuses = await tx.many("statuses_of")
    if len(statuses) >= MOST_STATUSES:
        raise Conflict(f"A workflow has at most {MOST_STATUSES} statuses")
    _check_name(statuses, cmd.name)
    await _check_fields(tx, cmd.required_fields, "required_fields")
    column = await tx.maybe("column", cmd) if cmd.column_id else None
    if cmd.column_id and column is None:
        raise NotFound("There is no such column")
    last = statuses[-1]["position"] if statuses else None
    row = await tx.one("create_status", cmd, id=cmd.id or new_id(), position=positions.between(last, None))
    event = StatusCreated.of(row)
    if column is not None:
        shown = [*column["status_ids"], row["id"]]
        event.column = Column.of(await tx.one("update_column", **{**dict(column), "status_ids": shown}))
    return event


@command("status.update", needs="board.edit", rest="PUT /statuses/{status_id}", versioned=True)
async def update(tx: Tx, cmd: UpdateStatus) -> Outcome[StatusUpdated | TasksUpdated, StatusUpdated]:
    """Change a status. To begin or cease to mean "done" or "cancelled" it must have no more than 1,000 tasks."""
    row, statuses = await _status(tx, cmd.status_id)
    tx.check_version(row, StatusEntity)
    changes = cmd.model_dump(exclude_unset=True, exclude={"status_id"})
    changes = {name: value for name, value in changes.items() if value is not None or name == "colour"}
    if "name" in changes:
        _check_name([other for other in statuses if other["id"] != cmd.status_id], changes["name"])
    await _check_fields(tx, cmd.required_fields or (), "required_fields")
    category = changes.get("category", row["category"])
    if category == row["category"] or not {category, row["category"]} & COUNTED:
        event = await _change(tx, row, **changes)
        return Outcome([event], event)
    had = await _holders(tx, cmd.status_id)
    again = (category == "done") != (row["category"] == "done")
    if again:
        await _check_all(tx, cmd.status_id, done=category == "done")
    told = await _retag(tx, had, cmd.status_id, cmd.status_id, category) if again else _Told()
    event = await _change(tx, row, **changes)
    if again:
        await tx.exec("retag_stored", old_id=cmd.status_id, new_id=cmd.status_id)
    await settle_project(tx)
    return Outcome([event, *await _recounted(tx, had, told)], event)


@command("status.move", needs="board.edit", rest="POST /statuses/{status_id}/move", versioned=True)
async def move(tx: Tx, cmd: MoveStatus) -> StatusUpdated:
    """Put a status before another one, or at the end."""
    row, statuses = await _status(tx, cmd.status_id)
    tx.check_version(row, StatusEntity)
    others = [other for other in statuses if other["id"] != cmd.status_id]
    return await _change(tx, row, position=positions.before(others, cmd.before_id, "status"))


@command("status.delete", needs="board.edit", rest="DELETE /statuses/{status_id}", versioned=True)
async def delete(tx: Tx, cmd: DeleteStatus) -> Outcome[TasksUpdated | StatusDeleted, StatusDeleted]:
    """Take a status out of the workflow, where no task has it or another one takes its place."""
    row, statuses = await _status(tx, cmd.status_id)
    tx.check_version(row, StatusEntity)
    others = [other for other in statuses if other["id"] != cmd.status_id]
    if not others:
        raise Conflict("A workflow keeps one status")
    heir = next((other for other in others if other["id"] == cmd.replace_with), None)
    if cmd.replace_with is not None and heir is None:
        raise NotFound("There is no such status to take its place")
    columns = [column for column in await tx.many("columns_of") if cmd.status_id in column["status_ids"]]
    if heir is None:
        await _check_unused(tx, cmd, columns)
    had = await _holders(tx, cmd.status_id)
    stored = heir or next((one for one in others if one["category"] == row["category"]), others[0])
    await _check_all(tx, cmd.status_id, done=stored["category"] == "done")
    told = await _retag(tx, had, cmd.status_id, heir["id"], heir["category"]) if heir else _Told()
    await tx.exec("retag_stored", old_id=cmd.status_id, new_id=stored["id"])
    await tx.exec("replace_in_deleted_columns", old_id=cmd.status_id, new_id=stored["id"])
    shown = [await _replace(tx, column, cmd.status_id, cmd.replace_with) for column in columns]
    ruled = [await _forget(tx, other, cmd.status_id) for other in others if _leads_to(other, cmd.status_id)]
    await tx.exec("delete_status", cmd)
    await settle_project(tx)
    tasks = await _recounted(tx, had, told)
    event = StatusDeleted(status=Gone(id=cmd.status_id, removed=True), columns=shown, statuses=ruled)
    return Outcome([*tasks, event], event)


@command(
    "workflow.set_transitions", needs="board.edit", rest="PUT /projects/{project_id}/workflow/transitions"
)
async def set_transitions(tx: Tx, cmd: SetTransitions) -> TransitionsSet:
    """Say where tasks may go from a status, who may take them there, and what they need for it."""
    statuses = {row["id"]: row for row in await tx.many("statuses_of")}
    named = {ways.from_id for ways in cmd.transitions}
    named |= {one.to_id for ways in cmd.transitions for one in ways.to or ()}
    if named - set(statuses):
        raise NotFound("There is no such status")
    ways_out = [one for ways in cmd.transitions for one in ways.to or ()]
    await _check_fields(tx, (name for one in ways_out for name in one.required_fields), "transitions")
    fresh = [await _set(tx, statuses[ways.from_id], ways.to) for ways in cmd.transitions]
    was = [
        StatusWas(id=ways.from_id, transitions=transitions_of(statuses[ways.from_id]))
        for ways in cmd.transitions
    ]
    return TransitionsSet(statuses=fresh, was=was)


async def _status(tx: Tx, status_id: UUID) -> tuple[Row, list[Row]]:
    """A status, and all of the workflow."""
    statuses = await tx.many("statuses_of")
    row = next((row for row in statuses if row["id"] == status_id), None)
    if row is None:
        raise NotFound("There is no such status")
    return row, statuses


def _check_name(statuses: list[Row], name: str) -> None:
    if any(row["name"].casefold() == name.casefold() for row in statuses):
        sentence = "Another status of the project has this name"
        raise Conflict(sentence, field_errors={"name": [sentence]})


async def _check_fields(tx: Tx, names: Iterable[str], at: str) -> None:
    """Refuse to ask for custom fields that no task could have."""
    await check_keys(tx, [key_of(name) for name in names if name.startswith("fields.")], at)


async def _check_unused(tx: Tx, cmd: DeleteStatus, columns: list[Row]) -> None:
    if held := await tx.value("tasks_of_status", cmd):
        raise Conflict("Tasks have this status: say which one takes its place", details={"held": held})
    if alone := [column for column in columns if len(column["status_ids"]) == 1]:
        raise Conflict(
            f"The column {alone[0]['name']} shows nothing else: say which status takes its place",
            details={"column_ids": [column["id"] for column in alone]},
        )


async def _holders(tx: Tx, status_id: UUID) -> _Holders:
    tasks = await tx.many("tasks_in_status", status_id=status_id, max_rows=MOST + 1)
    parents = await tx.many("parents_of_status", status_id=status_id, max_rows=MOST + 1)
    if max(len(tasks), len(parents)) > MOST:
        raise Conflict(
            f"More than {MOST:,} tasks have this status: change some first", details={"most": MOST}
        )
    return _Holders(tasks, [row["parent_id"] for row in parents])


async def _check_all(tx: Tx, status_id: UUID, *, done: bool) -> None:
    """CONFLICT where too many tasks rest with a status to give it another meaning, or some may not be done yet."""
    held = await tx.one("held_by_status", status_id=status_id)
    if held["stored"] > MOST_STORED:
        raise Conflict(
            f"More than {MOST_STORED:,} tasks in the archive and the trash have this status",
            details={"most": MOST_STORED, "held": held["stored"]},
        )
    if done and held["unapproved"] and await tx.value("requires_approval"):
        raise Conflict(
            f"{held['unapproved']} tasks with this status must be approved before they are done, the archive and the "
            "trash among them",
            details={"unapproved": held["unapproved"]},
        )


async def _retag(tx: Tx, had: _Holders, old_id: UUID, new_id: UUID, category: str | None) -> _Told:
    """Give all tasks of a status another one, or another meaning; they stay where they lie."""
    rows = await tx.many("retag_tasks", old_id=old_id, new_id=new_id, done=category == "done")
    fresh, told = {row["id"]: row for row in rows}, _Told()
    for task in had.tasks:
        row = fresh[task["id"]]
        changed = [name for name in ("status_id", "completed_at") if row[name] != task[name]]
        values = {name: row[name] for name in (*changed, "id", "version", "updated_at")}
        told.tasks.append(TaskPart(**values))
        told.was.append(Was(id=task["id"], **{name: task[name] for name in changed}))
    return told


async def _recounted(tx: Tx, had: _Holders, told: _Told) -> list[TasksUpdated]:
    """What is told of tasks, with what their parents count now."""
    for parent in await recount(tx, had.parents):
        told.tasks.append(TaskPart.of(parent))
        counts = {"subtask_total": parent["had_total"], "subtask_done": parent["had_done"]}
        told.was.append(Was(id=parent["id"], **counts))
    return [TasksUpdated(tasks=told.tasks, was=told.was)] if told.tasks else []


async def _replace(tx: Tx, column: Row, old_id: UUID, new_id: UUID | None) -> Column:
    """A column that shows another status in the place of one, or one less."""
    shown = [new_id if status_id == old_id else status_id for status_id in column["status_ids"]]
    status_ids = list(dict.fromkeys(status_id for status_id in shown if status_id is not None))
    return Column.of(await tx.one("update_column", **{**dict(column), "status_ids": status_ids}))


def _leads_to(status: Row, other_id: UUID) -> bool:
    return any(one.to_id == other_id for one in transitions_of(status) or ())


async def _forget(tx: Tx, status: Row, gone_id: UUID) -> StatusEntity:
    kept = [one for one in transitions_of(status) or () if one.to_id != gone_id]
    return await _set(tx, status, kept)


async def _set(tx: Tx, status: Row, transitions: list[Transition] | None) -> StatusEntity:
    return (await _change(tx, status, transitions=transitions)).status


async def _change(tx: Tx, row: Row, **changes: Any) -> StatusUpdated:
    values = {**dict(row), "transitions": transitions_of(row), **changes}
    fresh = await tx.one(
        "update_status", **{**values, "transitions": _stored(values["transitions"]), "now": tx.now}
    )
    was = {name: row[name] for name in changes if name != "transitions" and row[name] != fresh[name]}
    return StatusUpdated(status=StatusEntity.of(fresh), was=StatusWas(**was))


def _stored(transitions: list[Transition] | None) -> str | None:
    if transitions is None:
        return None
    return orjson.dumps([one.model_dump(mode="json") for one in transitions]).decode()

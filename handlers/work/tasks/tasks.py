"""Tasks: create, read, change, move, delete and bring back."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed, constraint
from handlers.identity.field_values import Given, Held
from handlers.identity.people import Timezone
from handlers.registry import (
    Entity,
    Event,
    Ids,
    LongText,
    Payload,
    Reply,
    Timestamp,
    Title,
    When,
    command,
    locator,
    query,
    unique,
)
from handlers.work import positions
from handlers.work.boards.ends import ends_of
from handlers.work.planning.sprint_facts import COUNTED, check_sprint, settle
from handlers.work.projects.labels import LabelIds, check_labels
from handlers.work.tasks.dates import settled
from handlers.work.tasks.dependencies import Dependency, DependencyPart, back_with, removed_with
from handlers.work.tasks.rules import OverLimit, check_entry, check_limit, check_step
from handlers.work.tasks.subtasks import recount
from handlers.work.tasks.values import fields_in, task_fields
from handlers.work.tasks.watchers import watching_with
from storage.ids import new_id
from storage.postgres import Row

Type = Literal["task", "milestone", "bug", "feature", "epic", "story"]
ApprovalState = Literal["none", "requested", "approved", "rejected"]
Priority = Literal["low", "medium", "high", "urgent"]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50)]


def _tags(values: list[str]) -> list[str]:
    if any("\x00" in value for value in values):
        raise ValueError("must not contain the NUL character")
    return list(dict.fromkeys(values))


Tags = Annotated[list[Tag], Field(max_length=50), AfterValidator(_tags)]
NULLABLE: Final = frozenset(
    {"parent_id", "start_at", "due_at", "time_zone", "estimate_minutes", "actual_minutes", "sprint_id"}
)
"""Fields of a task that may be taken away."""

BESIDES: Final = "Cards that got a new position to make room, and parents whose subtasks count otherwise now."

Minutes = Annotated[int, Field(ge=0, le=1_000_000)]

locator("task_id", "project_of_task")
locator("parent_id", "project_of_task")
constraint("tasks_pkey", "id", "A task with this id exists")


class Task(Entity):
    """A work item; `assignee_ids[0]` is the lead. Cards of a column are ordered by (position, id), backlog and sprints by
    backlog_position, bytewise.
    """

    id: UUID
    project_id: UUID
    key: str
    title: str
    fields: Held = Field(description="Values of custom fields, by key.")
    description: str
    type: Type
    priority: Priority
    column_id: UUID
    status_id: UUID
    position: str
    parent_id: UUID | None
    assignee_ids: list[UUID]
    watcher_ids: list[UUID]
    tags: list[str]
    label_ids: list[UUID]
    file_ids: list[UUID] = Field(description="Files that are attached to it.")
    start_at: Timestamp | None
    due_at: Timestamp | None = Field(
        description="With `all_day` the last millisecond of that day in `time_zone`. Overdue: past, and not completed."
    )
    time_zone: str | None = Field(
        description="In which its days and hours are meant (IANA); null: the viewer's."
    )
    all_day: bool = Field(description="Whether it lies on days, not at hours.")
    completed_at: Timestamp | None
    archived_at: Timestamp | None = Field(description="Since when it is in the archive, and on no board.")
    estimate_minutes: int | None
    actual_minutes: int | None = Field(description="What it really took.")
    approval: ApprovalState
    series_id: UUID | None = Field(description="The series to which it belongs, where it recurs.")
    subtask_total: int = Field(description="Its direct subtasks, but for cancelled ones.")
    subtask_done: int = Field(description="How many of those are done.")
    sprint_id: UUID | None
    backlog_position: str
    comment_count: int
    checklist_total: int = Field(description="Items of its checklists.")
    checklist_done: int = Field(description="Those of them that are ticked.")
    version: int
    created_by: UUID
    created_at: Timestamp
    updated_at: Timestamp

    @model_validator(mode="before")
    @classmethod
    def from_row(cls, value: Any) -> Any:
        """What was never moved in the backlog stands there by its number."""
        if isinstance(value, dict) and value.get("backlog_position", "") is None:
            value["backlog_position"] = positions.numbered(value["number"])
        return value


class TaskPart(Entity):
    """A task as far as it changed: its id, its version and the changed fields."""

    id: UUID
    removed: Literal[True] | None = None
    title: str | None = None
    fields: Held | None = Field(None, description="All values of custom fields.")
    description: str | None = None
    type: Type | None = None
    priority: Priority | None = None
    column_id: UUID | None = None
    status_id: UUID | None = None
    position: str | None = None
    parent_id: UUID | None = None
    assignee_ids: list[UUID] | None = None
    watcher_ids: list[UUID] | None = None
    tags: list[str] | None = None
    label_ids: list[UUID] | None = None
    file_ids: list[UUID] | None = None
    start_at: Timestamp | None = None
    due_at: Timestamp | None = None
    time_zone: str | None = None
    all_day: bool | None = None
    completed_at: Timestamp | None = None
    estimate_minutes: int | None = None
    actual_minutes: int | None = None
    approval: ApprovalState | None = None
    series_id: UUID | None = None
    subtask_total: int | None = None
    subtask_done: int | None = None
    comment_count: int | None = None
    checklist_total: int | None = None
    checklist_done: int | None = None
    sprint_id: UUID | None = None
    backlog_position: str | None = None
    version: int | None = None
    updated_at: Timestamp | None = None


class Was(TaskPart):
    """The values that changed fields had before."""

    id: UUID | None = None  # type: ignore[assignment]  # old values belong to the task beside them


class TaskCreated(Event, name="task.created"):
    """A task came to be."""

    task: Task
    tasks: list[TaskPart] | None = Field(None, description=BESIDES)
    over_limit: OverLimit | None = Field(None, description="The column where it holds more than it should.")


class TaskUpdated(Event, name="task.updated"):
    """Fields of a task changed."""

    task: TaskPart
    was: Was
    tasks: list[TaskPart] | None = Field(None, description=BESIDES)
    over_limit: OverLimit | None = Field(None, description="The column where it holds more than it should.")


class TaskMoved(Event, name="task.moved"):
    """A task went to another column or place."""

    task: TaskPart
    was: Was
    tasks: list[TaskPart] | None = Field(None, description=BESIDES)
    over_limit: OverLimit | None = Field(None, description="The column where it holds more than it should.")


class TaskDeleted(Event, name="task.deleted"):
    """A task went to the trash, and its subtasks with it."""

    task: TaskPart
    tasks: list[TaskPart] | None = Field(
        None, description="The subtasks that went with it, and the parent that has one less."
    )
    dependencies: list[DependencyPart] | None = Field(None, description="What waited for them, or they for.")


class TaskRestored(Event, name="task.restored"):
    """A task came back, and the subtasks that had gone with it."""

    task: Task
    tasks: list[Task | TaskPart] | None = Field(
        None, description="The subtasks that came with it, and the parent that has one more."
    )
    dependencies: list[Dependency] | None = Field(
        None, description="What waits for them again, or they for: where the other task stands."
    )
    over_limit: OverLimit | None = Field(None, description="The column where it holds more than it should.")


class CreateTask(Payload):
    id: UUID | None = Field(None, description="UUID of the new task, where the client makes it.")
    title: Title
    fields: Given = Field({}, description="Values of custom fields, by key.")
    description: LongText = ""
    type: Type = "task"
    priority: Priority = "medium"
    column_id: UUID | None = Field(None, description="Unset: the first column that shows the status.")
    status_id: UUID | None = Field(None, description="Unset: the first status of the column.")
    parent_id: UUID | None = None
    assignee_ids: Ids = []
    tags: Tags = []
    label_ids: LabelIds = Field([], description="Labels of the project.")
    start_at: When | None = None
    due_at: When | None = Field(None, description="With `all_day` any moment of the day.")
    time_zone: Timezone | None = Field(None, description="In which days and hours are meant (IANA).")
    all_day: bool = Field(False, description="It is due on a day of `time_zone`, which is needed then.")
    estimate_minutes: Minutes | None = None
    actual_minutes: Minutes | None = None
    sprint_id: UUID | None = Field(None, description="Unset: it goes to the backlog.")


class OneTask(Payload):
    task_id: UUID


class TaskReply(Reply):
    task: Task


class SharedChanges(Payload):
    """The fields that may be changed in one task or in many at once; what is not named stays."""

    fields: Given | None = Field(
        None, description="Values of custom fields, by key; those not named stay, null takes one away."
    )
    type: Type | None = None
    priority: Priority | None = None
    status_id: UUID | None = None
    start_at: When | None = None
    due_at: When | None = None
    estimate_minutes: Minutes | None = None
    sprint_id: UUID | None = Field(None, description="A sprint that is not completed; null: the backlog.")

    @model_validator(mode="after")
    def sensible(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("names no field to change")
        for name in self.model_fields_set - NULLABLE:
            if getattr(self, name) is None:
                raise ValueError(f"{name} must not be null")
        return self


class TaskChanges(SharedChanges):
    """The fields to change; what is not named stays."""

    title: Title | None = None
    description: LongText | None = None
    parent_id: UUID | None = None
    assignee_ids: Ids | None = None
    tags: Tags | None = None
    label_ids: LabelIds | None = None
    time_zone: Timezone | None = Field(
        None,
        description="Another zone leaves a task on the days on which it lies, and one with hours at its moment.",
    )
    all_day: bool | None = None
    actual_minutes: Minutes | None = None


class UpdateTask(Payload):
    task_id: UUID
    changes: TaskChanges


class MoveTask(Payload):
    task_id: UUID
    column_id: UUID
    from_column_id: UUID | None = Field(
        None, description="Where it is thought to lie: refused, with where it lies now, if it is elsewhere."
    )
    status_id: UUID | None = Field(
        None,
        description="One of those that the column shows. Unset: the one that it has, if the column shows that, or "
        "else the first that the workflow lets it have.",
    )
    before_id: UUID | None = Field(None, description="The task to drop it before.")
    after_id: UUID | None = Field(
        None, description="The task to drop it after. Neither: the end of the column."
    )

    @model_validator(mode="after")
    def one_neighbour(self) -> "MoveTask":
        if self.before_id is not None and self.after_id is not None:
            raise ValueError("takes before_id or after_id, not both")
        if self.task_id in (self.before_id, self.after_id):
            raise ValueError("a task cannot be its own neighbour")
        return self


@command("task.create", needs="task.create", rest="POST /projects/{project_id}/tasks", status=201)
async def create(tx: Tx, cmd: CreateTask) -> TaskCreated:
    """Create a task at the end of a column."""
    parent = await tx.maybe("task", task_id=cmd.parent_id) if cmd.parent_id else None
    if cmd.parent_id is not None and parent is None:
        raise NotFound("There is no such parent task")
    beside = parent["column_id"] if parent else None
    column = await _landing(tx, cmd.column_id, cmd.status_id, beside)
    over = check_limit(column, column["held"])
    status_id = cmd.status_id or column["status_ids"][0]
    dates = settled(dict.fromkeys(("start_at", "due_at", "time_zone", "all_day")), cmd.model_dump())
    fields = await fields_in(column).changed(tx, None, cmd.fields, "fields", project_id=tx.room.id)
    if column["asks_for"]:
        given = {**cmd.model_dump(), **dates, "fields": fields}
        check_entry(given, (await _statuses(tx, status_id))[status_id])
    await check_people(tx, cmd.assignee_ids, "assignee_ids")
    await check_labels(tx, cmd.label_ids, "label_ids")
    if cmd.sprint_id is not None:
        await check_sprint(tx, cmd.sprint_id)
    numbered = await tx.one("next_task_number")
    task_id = cmd.id or new_id()
    row = await tx.maybe(
        "create_task",
        cmd,
        id=task_id,
        fields=fields,
        number=numbered["number"],
        key=numbered["key"],
        column_id=column["id"],
        status_id=status_id,
        position=positions.between(column["last_position"], None),
        **dates,
    )
    if row is None:
        raise NotFound("There is no such status")
    if row["completed_at"] is not None:
        await check_approval(tx, row)
    if cmd.assignee_ids:
        await tx.exec("replace_assignees", task_id=task_id, user_ids=cmd.assignee_ids)
    settle(tx, [row])
    event = TaskCreated.of(row)
    if over:
        event.over_limit = over
    if parents := await parents_told(tx, [cmd.parent_id]):
        event.tasks = parents
    return event


@query("task.get", needs="project.view", rest="GET /tasks/{task_id}")
async def get(tx: Tx, ask: OneTask) -> TaskReply:
    """One task, whole."""
    row = await tx.maybe("found_task", ask)
    if row is None:
        raise NotFound("There is no such task")
    return TaskReply(task=Task.of(row))


@command("task.update", needs="task.edit", rest="PUT /tasks/{task_id}", versioned=True)
async def update(tx: Tx, cmd: UpdateTask) -> TaskUpdated:
    """Change fields of a task. A new status takes it to the first column that shows it."""
    row = await standing(tx, cmd.task_id)
    tx.check_version(row, Task)
    changes = cmd.changes.model_dump(exclude_unset=True)
    if "fields" in changes:
        changes["fields"] = await (await task_fields(tx)).changed(
            tx, row["fields"], changes["fields"], "changes.fields", project_id=tx.room.id
        )
    if (parent_id := changes.get("parent_id")) is not None:
        await _check_parent(tx, cmd.task_id, parent_id)
    if "assignee_ids" in changes:
        await check_people(tx, changes["assignee_ids"], "assignee_ids")
        changes["watcher_ids"] = watching_with(row, changes["assignee_ids"])
    await check_labels(tx, changes.get("label_ids", []), "changes.label_ids")
    over = None
    if "status_id" in changes and changes["status_id"] != row["status_id"]:
        place, over = await _place_for(tx, {**dict(row), **changes}, row["status_id"])
        changes |= place
    changes |= settled(row, changes)
    if (sprint_id := changes.get("sprint_id")) is not None and sprint_id != row["sprint_id"]:
        await check_sprint(tx, sprint_id)
    fresh = await tx.one("update_task", **{**dict(row), **changes, "now": tx.now})
    if "assignee_ids" in changes:
        await tx.exec("replace_assignees", task_id=cmd.task_id, user_ids=changes["assignee_ids"])
    if COUNTED & changes.keys():
        settle(tx, [row, fresh])
    event = _updated(row, fresh, changes)
    if over:
        event.over_limit = over
    counted = {row["parent_id"], fresh["parent_id"]} if {"parent_id", "status_id"} & changes.keys() else ()
    if parents := await parents_told(tx, counted):
        event.tasks = parents
    return event


def _updated(row: Row, fresh: Row, changes: dict[str, Any]) -> TaskUpdated:
    changed = [name for name in (*changes, "completed_at") if fresh[name] != row[name]]
    part = {name: fresh[name] for name in (*changed, "id", "version", "updated_at")}
    if "completed_at" in changed and row["series_id"] is not None:
        part["series_id"] = row["series_id"]
    return TaskUpdated(task=TaskPart(**part), was=Was(**{name: row[name] for name in changed}))


@command("task.delete", needs="task.delete", rest="DELETE /tasks/{task_id}", versioned=True)
async def delete(tx: Tx, cmd: OneTask) -> TaskDeleted:
    """Put a task and its subtasks into the trash."""
    row = await tx.maybe("found_task", cmd)
    if row is None:
        raise NotFound("There is no such task")
    tx.check_version(row, Task)
    gone = await tx.many("delete_tasks", cmd)
    settle(tx, gone)
    event = TaskDeleted(task=TaskPart(id=cmd.task_id, removed=True))
    below = [TaskPart(id=row["id"], removed=True) for row in gone if row["id"] != cmd.task_id]
    if beside := below + await parents_told(tx, [row["parent_id"]]):
        event.tasks = beside
    if edges := await removed_with(tx, [row["id"] for row in gone]):
        event.dependencies = edges
    return event


@command("task.restore", needs="task.delete", rest="POST /tasks/{task_id}/restore")
async def restore(tx: Tx, cmd: OneTask) -> TaskRestored:
    """Bring a task back from the trash, with the subtasks that went with it, to the end of its column."""
    row = await tx.maybe("deleted_task", cmd)
    if row is None:
        raise NotFound("There is no such task in the trash")
    if row["parent_deleted_at"] is not None:
        raise Conflict(
            "Its parent task is in the trash: restore that one", details={"task_id": row["parent_id"]}
        )
    if row["parent_archived_at"] is not None:
        raise Conflict(
            "Its parent task is in the archive: take that one out", details={"task_id": row["parent_id"]}
        )
    back, over = await put_back(tx, await tx.many("deleted_with", cmd))
    event = TaskRestored(task=next(task for task in back if task.id == cmd.task_id))
    if over:
        event.over_limit = over
    below: list[Task | TaskPart] = [task for task in back if task.id != cmd.task_id]
    if beside := below + await parents_told(tx, [row["parent_id"]]):
        event.tasks = beside
    if edges := await back_with(tx, [task.id for task in back]):
        event.dependencies = edges
    return event


async def standing(tx: Tx, task_id: UUID) -> Row:
    row = await tx.maybe("task", task_id=task_id)
    if row is not None:
        return row
    if await tx.maybe("found_task", task_id=task_id) is not None:
        raise Conflict("The task is in the archive: take it out first", details={"task_id": task_id})
    raise NotFound("There is no such task")


async def parents_told(tx: Tx, parent_ids: Iterable[UUID | None]) -> list[TaskPart]:
    """Count the subtasks of these tasks anew; those that have others now, as events tell it."""
    return [TaskPart.of(row) for row in await recount(tx, parent_ids)]


async def _landing(tx: Tx, column_id: UUID | None, status_id: UUID | None, beside: UUID | None = None) -> Row:
    """The column that a task goes to; if only the status is known, on the board of the column `beside`."""
    column = await tx.maybe("landing_column", column_id=column_id, status_id=status_id, beside=beside)
    if column is None and column_id is None:
        raise Conflict("No column of this project shows that status")
    if column is None:
        raise NotFound("There is no such column")
    if status_id is not None and status_id not in column["status_ids"]:
        raise Conflict(f"The column {column['name']} does not show that status")
    return column


async def _statuses(tx: Tx, *status_ids: UUID) -> dict[UUID, Row]:
    rows = {row["id"]: row for row in await tx.many("statuses_by_ids", status_ids=status_ids)}
    if len(rows) < len(set(status_ids)):
        raise NotFound("There is no such status")
    return rows


async def check_approval(tx: Tx, row: Row | dict[str, Any]) -> None:
    """CONFLICT where a task that is about to be done must be approved before."""
    if row["approval"] != "approved" and await tx.value("requires_approval"):
        raise unapproved(row["approval"])


def unapproved(state: ApprovalState) -> Conflict:
    """What is said where a task must be approved before it is done."""
    return Conflict("The task must be approved before it is done", details={"approval": state})


async def check_people(tx: Tx, user_ids: list[UUID], field: str) -> None:
    """VALIDATION_ERROR of a field that names somebody who may not be given tasks of the project."""
    if not user_ids:
        return
    found = {row["user_id"] for row in await tx.many("assignable", user_ids=user_ids)}
    strangers = [str(user_id) for user_id in unique(user_ids) if user_id not in found]
    if strangers:
        raise ValidationFailed.field(field, f"cannot see this project: {', '.join(strangers)}")


async def _check_parent(tx: Tx, task_id: UUID, parent_id: UUID) -> None:
    await standing(tx, parent_id)
    if await tx.value("is_below", parent_id=parent_id, task_id=task_id):
        raise Conflict("A task cannot be below itself")
    if await tx.value("waits_for_parent", parent_id=parent_id, task_id=task_id):
        raise Conflict("A task and one of its subtasks cannot wait for each other")


async def _place_for(
    tx: Tx, task: dict[str, Any], old_status_id: UUID
) -> tuple[dict[str, Any], OverLimit | None]:
    """Where a task, as it will be, goes with its new status: nowhere if its column shows that as well."""
    status_id = task["status_id"]
    statuses = await _statuses(tx, old_status_id, status_id)
    check_step(tx, task, statuses[old_status_id], statuses[status_id])
    if statuses[status_id]["category"] == "done" and task["completed_at"] is None:
        await check_approval(tx, task)
    here = await tx.maybe("landing_column", column_id=task["column_id"], status_id=None, beside=None)
    if here is not None and status_id in here["status_ids"]:
        return {}, None
    column = await _landing(tx, None, status_id, task["column_id"])
    over = check_limit(column, column["held"])
    return {"column_id": column["id"], "position": positions.between(column["last_position"], None)}, over


async def put_back(tx: Tx, items: Sequence[Row]) -> tuple[list[Task], OverLimit | None]:
    """Tasks at the ends of their columns again, and the last column that holds more than it should by them."""
    ends = await ends_of(tx, await tx.many("columns_of"))
    column_ids = [
        ends.showing(item["status_id"], own=item["column_id"], board_id=item["board_id"]) for item in items
    ]
    placed = [ends.take(column_id) for column_id in column_ids]
    ids = [item["id"] for item in items]
    rows = {
        row["id"]: row
        for row in await tx.many("put_back_tasks", ids=ids, column_ids=column_ids, positions=placed)
    }
    settle(tx, rows.values())
    return [Task.of(rows[task_id]) for task_id in ids], next(reversed(ends.over.values()), None)

"""Task templates: a task with its subtasks and checklists, to be created again and again.

A template belongs to the tenant, for all of its projects, or to one project. Its tasks are a list, of which the first is
the task itself; every other one says below which of those before it it belongs. Dates count from the moment of creation.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

import orjson
from pydantic import Field, ValidationError, model_validator

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed, constraint
from handlers.identity.field_values import Given
from handlers.paging import FIRST_ID, decode_cursor, encode_cursor
from handlers.registry import (
    Entity,
    Event,
    Ids,
    LongText,
    Name,
    Outcome,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Timestamp,
    Title,
    When,
    command,
    query,
)
from handlers.work.tasks import checklists, tasks
from handlers.work.tasks.checklists import ChecklistCreated, CreateChecklist
from handlers.work.tasks.tasks import CreateTask, Minutes, Priority, Tags, Task, TaskCreated, Type
from storage.ids import new_id
from storage.postgres import Row
from storage.rooms import RoomKey

MOST: Final = 200
"""Tasks of one template (count): one command creates them all."""
MOST_BYTES: Final = 262_144
"""All tasks of one template (bytes of JSON)."""
FARTHEST: Final = 3 * 366 * 24 * 60
"""The farthest that a date of a template lies from its creation (minutes)."""
CHECKLIST: Final = "Checklist"
"""What the checklist of a created task is called."""

Ahead = Annotated[int, Field(ge=-FARTHEST, le=FARTHEST)]

constraint("task_templates_pkey", "id", "A template with this id exists")


class TemplateTask(Payload):
    """A task of a template."""

    title: Title
    description: LongText = ""
    type: Type = "task"
    priority: Priority = "medium"
    tags: Tags = []
    estimate_minutes: Minutes | None = None
    start_in_minutes: Ahead | None = Field(None, description="Starts so long after the template's start.")
    due_in_minutes: Ahead | None = Field(None, description="Is due so long after the template's start.")
    fields: Given = Field({}, description="Values of custom fields, by key; checked when it is created.")
    checklist: Annotated[list[Title], Field(max_length=100)] = Field([], description="Texts of its items.")
    below: int | None = Field(
        None, ge=0, lt=MOST, description="The place in the list, from 0, of the task whose subtask it is."
    )


def _in_order(listed: list[TemplateTask]) -> list[TemplateTask]:
    for at, task in enumerate(listed):
        if at == 0 and task.below is not None:
            raise ValueError("the first task is below none")
        if at > 0 and (task.below is None or task.below >= at):
            raise ValueError("every task but the first is below one that comes before it")
    return listed


class Listed(Payload):
    """The tasks of a template, in their order."""

    tasks: list[TemplateTask] = Field(min_length=1, max_length=MOST)

    @model_validator(mode="after")
    def in_order(self) -> Self:
        _in_order(self.tasks)
        return self


class TaskTemplate(Entity):
    """A template, whole."""

    id: UUID
    project_id: UUID | None = Field(description="Whose alone it is; null: all projects' of the tenant.")
    name: str
    tasks: list[TemplateTask]
    version: int
    created_by: UUID
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate({**dict(row), "tasks": orjson.loads(row["tasks"])})


class TemplatePart(Entity):
    """A template as far as everybody hears of it; `task_template.list` has the rest."""

    id: UUID
    removed: Literal[True] | None = None
    project_id: UUID | None = None
    name: str | None = None
    version: int | None = None


class TemplateCreated(Event, name="task_template.created"):
    """A task template came to be."""

    template: TemplatePart


class TemplateUpdated(Event, name="task_template.updated"):
    """A task template was changed."""

    template: TemplatePart


class TemplateDeleted(Event, name="task_template.deleted"):
    """A task template is no more."""

    template: TemplatePart


class CreateTemplate(Listed):
    id: UUID | None = Field(None, description="UUID of the new template, where the client makes it.")
    project_id: UUID | None = Field(None, description="Unset: for all projects of the tenant.")
    name: Name


class OneTemplate(Payload):
    template_id: UUID
    project_id: UUID | None = Field(None, description="Whose it is; unset for one of the tenant's own.")


class UpdateTemplate(OneTemplate):
    name: Name | None = None
    tasks: list[TemplateTask] | None = Field(None, min_length=1, max_length=MOST)

    @model_validator(mode="after")
    def sensible(self) -> Self:
        if self.name is None and self.tasks is None:
            raise ValueError("names no field to change")
        _in_order(self.tasks or [])
        return self


class ListTemplates(Paging):
    project_id: UUID


class ListShared(Paging):
    pass


class CreateFromTemplate(Payload):
    project_id: UUID
    id: UUID | None = Field(None, description="UUID of the new task, where the client makes it.")
    template_id: UUID
    title: Title | None = Field(None, description="Unset: the template's.")
    start: When | None = Field(None, description="From when its dates count; unset: now.")
    column_id: UUID | None = Field(None, description="Unset: the first column.")
    parent_id: UUID | None = None
    assignee_ids: Ids = Field([], description="To whom the task itself is given.")


class TemplateReply(Reply):
    template: TaskTemplate


class TemplateList(Reply):
    templates: list[TaskTemplate]


class CreatedTasks(Reply):
    task: Task = Field(description="The task itself; the events tell of the others.")
    created: int = Field(description="How many tasks were created.")


@command(
    "task_template.create", needs="board.edit", rest="POST /tenants/{tenant_id}/task-templates", room="tenant",
    within="project_id", status=201,
)  # fmt: skip
async def create(tx: Tx, cmd: CreateTemplate) -> Outcome[TemplateCreated, TemplateReply]:
    """Create a template, for one project or for all of the tenant."""
    if cmd.project_id is not None and await tx.maybe("project", cmd) is None:
        raise NotFound("There is no such project")
    most = tx.settings.task_templates
    if await tx.value("count_task_templates", cmd) >= most:
        raise Conflict(
            f"There are at most {most} templates of one project, or of the tenant", details={"limit": most}
        )
    row = await tx.one("create_task_template", cmd, id=cmd.id or new_id(), tasks=_stored(cmd.tasks))
    event = TemplateCreated(template=_part(row))
    return Outcome([_heard(tx, event, cmd.project_id)], TemplateReply(template=TaskTemplate.of(row)))


@command(
    "task_template.update", needs="board.edit", rest="PUT /tenants/{tenant_id}/task-templates/{template_id}",
    room="tenant", within="project_id", versioned=True,
)  # fmt: skip
async def update(tx: Tx, cmd: UpdateTemplate) -> Outcome[TemplateUpdated, TemplateReply]:
    """Change a template; tasks that were made of it stay as they are."""
    row = await _template(tx, cmd)
    tx.check_version(row, TaskTemplate)
    listed = _stored(cmd.tasks) if cmd.tasks else row["tasks"]
    row = await tx.one("update_task_template", cmd, name=cmd.name or row["name"], tasks=listed)
    event = TemplateUpdated(template=_part(row))
    return Outcome([_heard(tx, event, cmd.project_id)], TemplateReply(template=TaskTemplate.of(row)))


@command(
    "task_template.delete", needs="board.edit", rest="DELETE /tenants/{tenant_id}/task-templates/{template_id}",
    room="tenant", within="project_id", versioned=True,
)  # fmt: skip
async def delete(tx: Tx, cmd: OneTemplate) -> TemplateDeleted:
    """Delete a template; tasks that were made of it stay."""
    tx.check_version(await _template(tx, cmd), TaskTemplate)
    await tx.exec("delete_task_template", cmd)
    event = TemplateDeleted(template=TemplatePart(id=cmd.template_id, removed=True))
    _heard(tx, event, cmd.project_id)
    return event


@query("task_template.list", needs="project.view", rest="GET /projects/{project_id}/task-templates")
async def list_templates(tx: Tx, ask: ListTemplates) -> Page[TemplateList]:
    """The templates that a project may use: its own, and the tenant's."""
    return await _page(tx, ask, "task_templates_for_project")


@query(
    "task_template.list_shared", needs="tenant.view", rest="GET /tenants/{tenant_id}/task-templates", room="tenant"
)  # fmt: skip
async def list_shared(tx: Tx, ask: ListShared) -> Page[TemplateList]:
    """The templates that all projects of the tenant may use."""
    return await _page(tx, ask, "task_templates_of_tenant")


@command(
    "task.create_from_template", needs="task.create", rest="POST /projects/{project_id}/tasks/from-template", status=201
)  # fmt: skip
async def create_from(
    tx: Tx, cmd: CreateFromTemplate
) -> Outcome[TaskCreated | ChecklistCreated, CreatedTasks]:
    """Create what a template says: a task, its subtasks and their checklists, 200 tasks at most."""
    row = await tx.maybe("task_template_for_project", cmd)
    if row is None:
        raise NotFound("There is no such template")
    template, made, events = TaskTemplate.of(row), list[Task](), list[TaskCreated | ChecklistCreated]()
    start = cmd.start or tx.now
    for task in template.tasks:
        fields = _fields(task, start)
        if task.below is not None:
            fields["parent_id"] = made[task.below].id
        else:
            fields |= cmd.model_dump(
                include={"id", "title", "column_id", "parent_id", "assignee_ids"}, exclude_none=True
            )
        event = await tasks.create(tx, _task(fields))
        events.append(event)
        made.append(event.task)
        if task.checklist:
            items = CreateChecklist(task_id=event.task.id, name=CHECKLIST, items=task.checklist)
            events.append(await checklists.create(tx, items))
    whole = await tx.one("task", task_id=made[0].id)  # with all that is below it now
    return Outcome(events, CreatedTasks(task=Task.of(whole), created=len(made)))


def _task(fields: dict[str, Any]) -> CreateTask:
    try:
        return CreateTask.model_validate(fields)
    except ValidationError as error:  # a date so far away that there is none
        raise ValidationFailed.of(error) from None


def _fields(task: TemplateTask, start: datetime) -> dict[str, Any]:
    fields = task.model_dump(
        include={"title", "description", "type", "priority", "tags", "estimate_minutes", "fields"}
    )
    for name, minutes in (("start_at", task.start_in_minutes), ("due_at", task.due_in_minutes)):
        if minutes is not None:
            fields[name] = start + timedelta(minutes=minutes)
    return fields


async def _page(tx: Tx, ask: Paging, statement: str) -> Page[TemplateList]:
    name, template_id = decode_cursor(ask.cursor, str, UUID) or ("", FIRST_ID)
    rows = await tx.many(statement, ask, after_name=name, after_id=template_id, max_rows=ask.limit + 1)
    last = rows[ask.limit - 1] if len(rows) > ask.limit else None
    more = encode_cursor(last["name"], last["id"]) if last else None
    listed = [TaskTemplate.of(row) for row in rows[: ask.limit]]
    return Page(TemplateList(templates=listed), Pagination(limit=ask.limit, next=more))


async def _template(tx: Tx, cmd: OneTemplate) -> Row:
    row = await tx.maybe("task_template", cmd)
    if row is None:
        raise NotFound("There is no such template")
    return row


def _heard(
    tx: Tx, event: TemplateCreated | TemplateUpdated | TemplateDeleted, project_id: UUID | None
) -> Any:
    """Of a template of one project only those hear who see that project."""
    return event.to(RoomKey(tx.room.tenant_id, "project", project_id)) if project_id else event


def _stored(listed: Iterable[TemplateTask]) -> str:
    stored = orjson.dumps([task.model_dump(mode="json", exclude_unset=True) for task in listed])
    if len(stored) > MOST_BYTES:
        raise ValidationFailed.field("tasks", f"must be at most {MOST_BYTES} bytes of JSON together")
    return stored.decode()


def _part(row: Row) -> TemplatePart:
    return TemplatePart(**{name: row[name] for name in ("id", "project_id", "name", "version")})

"""Projects: create with a workflow and a board, read, list and change; and the state of a project's room."""

import re
from datetime import date
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed, constraint
from handlers.identity.field_values import Given, Held, tenant_field_set
from handlers.paging import decode_cursor, encode_cursor
from handlers.registry import (
    Entity,
    Event,
    Ids,
    LongText,
    Name,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Timestamp,
    command,
    in_range,
    query,
    snapshot,
)
from handlers.work import positions
from handlers.work.boards.boards import Board
from handlers.work.boards.columns import Column
from handlers.work.finding.views import View
from handlers.work.planning.sprints import SHOWN, Sprint
from handlers.work.projects import auto_archive, hierarchy
from handlers.work.projects import settings as project_settings
from handlers.work.projects.fields import ProjectField
from handlers.work.projects.hierarchy import Type
from handlers.work.projects.labels import Label, labels_of
from handlers.work.projects.members import ProjectMember, closed_to_guests
from handlers.work.projects.progress import ProgressBy, ProjectProgressed, settle_above
from handlers.work.projects.settings import SettingsChanges
from handlers.work.projects.workflow import Category, StatusEntity
from handlers.work.tasks.dependencies import Dependency
from handlers.work.tasks.keys import seen
from handlers.work.tasks.tasks import Priority, Task
from storage.ids import new_id
from storage.postgres import Row
from storage.rooms import RoomKey

Status = Literal["planning", "active", "on_hold", "completed", "cancelled"]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9]{1,9}$")]


E = TypeVar("E", bound=Event)
Day = Annotated[date, AfterValidator(in_range)]

CLEARABLE: Final = frozenset({"parent_id", "owner_id", "unit_id", "start_on", "end_on"})
"""Fields of a project that may be taken away."""

DEFAULT_WORKFLOW: Final[tuple[tuple[str, Category], ...]] = (
    ("Not started", "todo"),
    ("In progress", "in_progress"),
    ("On hold", "blocked"),
    ("Completed", "done"),
    ("Cancelled", "cancelled"),
)
DEFAULT_COLUMNS: Final = (
    ("To do", ("Not started",)),
    ("In progress", ("In progress",)),
    ("On hold", ("On hold",)),
    ("Done", ("Completed", "Cancelled")),
)

constraint("projects_key_key", "key", "Another project has this key")
constraint("projects_pkey", "id", "A project with this id exists")


class Project(Entity):
    """What a board, its tasks and files belong to."""

    id: UUID
    key: str
    name: str
    description: str
    type: Type
    status: Status
    priority: Priority
    parent_id: UUID | None = Field(description="The portfolio or program that it is in.")
    owner_id: UUID | None = Field(description="Who answers for it.")
    unit_id: UUID | None = Field(description="The client, department or region that it is for.")
    template_id: UUID | None = Field(description="The project that it was made from.")
    start_on: date | None
    end_on: date | None
    progress: int = Field(
        description="How much of it is done (percent), as reckoned a moment ago: by its tasks without subtasks that "
        "are not cancelled; of a portfolio or program the mean of what is in it."
    )
    progress_by: ProgressBy = Field(description="Whether each task counts the same, or by its estimate.")
    settings: project_settings.Settings
    fields: Held = Field(description="Values of the tenant's custom fields for projects, by key.")
    budget_version: int = Field(
        description="How often its budget was set. Who may see it reads it again when this grows: `budget.get`."
    )
    completed_at: Timestamp | None
    archived_at: Timestamp | None = Field(description="Since when it is in the archive, and read-only.")
    version: int
    created_by: UUID
    created_at: Timestamp
    updated_at: Timestamp


class ProjectPart(Entity):
    """A project as far as it changed."""

    id: UUID
    removed: Literal[True] | None = None
    name: str | None = None
    description: str | None = None
    type: Type | None = None
    status: Status | None = None
    priority: Priority | None = None
    parent_id: UUID | None = None
    owner_id: UUID | None = None
    unit_id: UUID | None = None
    start_on: date | None = None
    end_on: date | None = None
    progress_by: ProgressBy | None = None
    settings: project_settings.Settings | None = None
    fields: Held | None = Field(None, description="All values of custom fields.")
    budget_version: int | None = None
    completed_at: Timestamp | None = None
    archived_at: Timestamp | None = None
    version: int | None = None
    updated_at: Timestamp | None = None


class ProjectWas(ProjectPart):
    """The values that changed fields had before."""

    id: UUID | None = None  # type: ignore[assignment]  # old values belong to the project beside them


class ProjectCreated(Event, name="project.created"):
    """A project came to be; its room's snapshot has the first board and its columns."""

    project: Project


class ProjectUpdated(Event, name="project.updated"):
    """Fields of a project changed."""

    project: ProjectPart
    was: ProjectWas


class CreateProject(Payload):
    id: UUID | None = Field(None, description="UUID of the new project, where the client makes it.")
    name: Name
    key: Key | None = Field(None, description="Prefix of task keys, such as WEB. Unset: made from the name.")
    description: LongText = ""
    type: Type = "standard"
    status: Status = "active"
    priority: Priority = "medium"
    parent_id: UUID | None = Field(None, description="The portfolio or program that it is in.")
    owner_id: UUID | None = Field(
        None, description="Who answers for it, and takes part. Unset: you yourself."
    )
    unit_id: UUID | None = Field(None, description="The client, department or region that it is for.")
    start_on: Day | None = None
    end_on: Day | None = None
    progress_by: ProgressBy = "count"
    settings: SettingsChanges = SettingsChanges()
    fields: Given = Field({}, description="Values of custom fields, by key.")
    member_ids: Ids = Field([], description="Members of the tenant who take part from the start.")

    @model_validator(mode="after")
    def forwards(self) -> "CreateProject":
        if self.start_on and self.end_on and self.end_on < self.start_on:
            raise ValueError("ends before it starts")
        return self


class OneProject(Payload):
    project_id: UUID


class UpdateProject(Payload):
    project_id: UUID
    name: Name | None = None
    description: LongText | None = None
    type: Type | None = None
    status: Status | None = None
    priority: Priority | None = None
    parent_id: UUID | None = Field(None, description="The portfolio or program that it is in; null: none.")
    owner_id: UUID | None = Field(None, description="A member who sees it.")
    unit_id: UUID | None = Field(None, description="The client, department or region that it is for.")
    start_on: Day | None = None
    end_on: Day | None = None
    progress_by: ProgressBy | None = None
    settings: SettingsChanges | None = None
    fields: Given | None = Field(
        None, description="Values of custom fields, by key; those not named stay, null takes one away."
    )


class ListProjects(Paging):
    shared_with: UUID | None = Field(None, description="Only those shared with this team or unit.")
    status: Status | None = None
    type: Type | None = Field(None, description="Unset: all but templates.")
    archived: Literal["without", "with", "only"] = "without"
    owner_id: UUID | None = None
    parent_id: UUID | None = Field(None, description="Only what is in this portfolio or program itself.")
    unit_id: UUID | None = Field(None, description="Only what is for this client, department or region.")


class ProjectReply(Reply):
    project: Project


class ProjectList(Reply):
    projects: list[Project]


class ProjectSnapshot(Reply):
    """The state of a project's room. `more` says where a column goes on beyond the window."""

    projects: list[Project]
    project: Project
    boards: list[Board]
    columns: list[Column]
    statuses: list[StatusEntity]
    labels: list[Label]
    members: list[ProjectMember]
    tasks: list[Task]
    fields: list[ProjectField] = Field(description="Custom fields of its tasks beside those of the tenant.")
    views: list[View] = Field(description="The shared ones.")
    dependencies: list[Dependency] = Field(description="Those that these tasks have to do with.")
    sprints: list[Sprint] = Field(description="Those planned and active, and the last three completed ones.")
    more: dict[UUID, str] = Field(
        {}, description="Column id -> cursor for task.list, where a window cut it off."
    )


@command(
    "project.create",
    needs="project.create",
    rest="POST /tenants/{tenant_id}/projects",
    room="tenant",
    status=201,
)
async def create(tx: Tx, cmd: CreateProject) -> list[ProjectCreated | ProjectProgressed]:
    """Create a project with the default workflow, one board and its columns."""
    await hierarchy.check_parent(tx, cmd.type, cmd.parent_id)
    await hierarchy.check_unit(tx, cmd.unit_id)
    project_id = cmd.id or new_id()
    values = await (await tenant_field_set(tx, "project")).changed(tx, None, cmd.fields, "fields")
    row = await create_row(
        tx, cmd, project_id=project_id, name=cmd.name, key=cmd.key, settings=cmd.settings, fields=values
    )
    await _create_workflow(tx, project_id)
    await take_part(tx, row, [tx.actor.user_id, row["owner_id"], *cmd.member_ids])
    await auto_archive.set_alarm(tx, row)
    above = await settle_above(tx, {cmd.parent_id}) if cmd.parent_id else []
    return [ProjectCreated.of(row), *above]


async def create_row(
    tx: Tx,
    cmd: Payload,
    *,
    project_id: UUID,
    name: str,
    key: str | None,
    settings: SettingsChanges | str,
    **fields: Any,
) -> Row:
    """A new project and its room, with nothing in it. Raises CONFLICT where the id or the key is taken."""
    stored = settings if isinstance(settings, str) else project_settings.changed({}, settings)
    owner_id = fields.pop("owner_id", None) or getattr(cmd, "owner_id", None) or tx.actor.user_id
    fields = {"template_id": None, "owner_id": owner_id, "settings": stored, "fields": "{}", **fields}
    row = await tx.one(
        "create_project", cmd, id=project_id, name=name, key=key or await _free_key(tx, name), **fields
    )
    if await tx.maybe("claim_room", id=project_id, kind="project") is None:
        raise Conflict("This id is taken", field_errors={"id": ["is taken"]})
    return row


async def take_part(tx: Tx, row: Row, user_ids: list[UUID]) -> None:
    """Let members take part in a new project; CONFLICT for guests where it is closed to them."""
    if not _lets_guests_in(row) and await tx.value("guests_among", user_ids=user_ids):
        raise closed_to_guests()
    for user_id in dict.fromkeys(user_ids):
        if await tx.maybe("set_project_member", project_id=row["id"], user_id=user_id, role=None) is None:
            raise NotFound("There is no such member")


@query("project.get", needs="project.view", rest="GET /projects/{project_id}")
async def get(tx: Tx, ask: OneProject) -> ProjectReply:
    """One project."""
    return ProjectReply(project=Project.of(await project(tx, tx.room.id)))


@query(
    "project.list", needs=None, scope="project.view", rest="GET /tenants/{tenant_id}/projects", room="tenant"
)
async def list_projects(tx: Tx, ask: ListProjects) -> Page[ProjectList]:
    """The projects that one may see, by name."""
    place = decode_cursor(ask.cursor, str, UUID) or ("", UUID(int=0))
    rows = await tx.many(
        "projects_of",
        ask,
        after_name=place[0],
        after_id=place[1],
        **seen(tx),
        group_id=ask.shared_with,
        in_archive={"without": False, "with": None, "only": True}[ask.archived],
        max_rows=ask.limit + 1,
    )
    more = (
        encode_cursor(rows[ask.limit - 1]["name"], rows[ask.limit - 1]["id"])
        if len(rows) > ask.limit
        else None
    )
    projects = [Project.of(row) for row in rows[: ask.limit]]
    return Page(ProjectList(projects=projects), Pagination(limit=ask.limit, next=more))


@command(
    "project.update",
    needs="project.edit",
    rest="PUT /projects/{project_id}",
    room="tenant",
    within="project_id",
    versioned=True,
)
async def update(tx: Tx, cmd: UpdateProject) -> list[ProjectUpdated | ProjectProgressed]:
    """Change fields of a project; what is not named stays."""
    row = await project(tx, cmd.project_id)
    tx.check_version(row, Project)
    given = {name: getattr(cmd, name) for name in cmd.model_fields_set - {"project_id", "settings"}}
    changes = {name: value for name, value in given.items() if value is not None or name in CLEARABLE}
    if cmd.settings is not None:
        changes["settings"] = project_settings.changed(row["settings"], cmd.settings)
    if "fields" in changes:
        changes["fields"] = await (await tenant_field_set(tx, "project")).changed(
            tx, row["fields"], changes["fields"], "fields", project_id=cmd.project_id
        )
    await _check_changes(tx, row, changes)
    fresh = await tx.one("update_project", cmd, **{**dict(row), **changes, "now": tx.now})
    if auto_archive.moment(fresh) != auto_archive.moment(row):  # else what was taken out would go back
        await auto_archive.set_alarm(tx, fresh)
    if _lets_guests_in(fresh) != _lets_guests_in(row):
        await tx.rights_changed()
    told = both(tx, cmd.project_id, _updated(row, fresh, (*changes, "completed_at")))
    parents = {row["parent_id"], fresh["parent_id"]} if _counts_otherwise(row, fresh) else set()
    return [*told, *await settle_above(tx, parents - {None})]


async def _check_changes(tx: Tx, row: Row, changes: dict[str, Any]) -> None:
    """Refuse what makes no sense, before anything is written."""
    _check_dates(changes.get("start_on", row["start_on"]), changes.get("end_on", row["end_on"]))
    kind: Type = changes.get("type") or row["type"]
    if kind != row["type"]:
        await hierarchy.check_children(tx, row["id"], kind)
    if "parent_id" in changes or kind != row["type"]:
        await hierarchy.check_parent(tx, kind, changes.get("parent_id", row["parent_id"]), row["id"])
    await hierarchy.check_unit(tx, changes.get("unit_id"))
    if (owner_id := changes.get("owner_id")) is not None and not await tx.many(
        "assignable", project_id=row["id"], user_ids=[owner_id]
    ):
        raise ValidationFailed.field("owner_id", "must be a member who sees the project")


def _lets_guests_in(row: Row) -> bool:
    return project_settings.of(row["settings"]).allow_guest_access


def _counts_otherwise(row: Row, fresh: Row) -> bool:
    """Whether a change may change the progress of what a project is in."""
    cancelled = "cancelled" in (row["status"], fresh["status"]) and row["status"] != fresh["status"]
    return row["parent_id"] != fresh["parent_id"] or cancelled


def _updated(row: Row, fresh: Row, names: tuple[str, ...]) -> ProjectUpdated:
    changed = [name for name in names if fresh[name] != row[name]]
    part = {name: fresh[name] for name in (*changed, "id", "version", "updated_at")}
    was = ProjectWas.model_validate({name: row[name] for name in changed})
    return ProjectUpdated(project=ProjectPart.model_validate(part), was=was)


@snapshot("project")
async def read(tx: Tx, window: int) -> ProjectSnapshot:
    """Everything that a board shows; of each column as many tasks as the window allows."""
    found = Project.of(await project(tx, tx.room.id))
    rows = await tx.many("snapshot_tasks", per_column=window + 1)
    tasks, more = _windowed(rows, window)
    return ProjectSnapshot(
        projects=[found],
        project=found,
        boards=[Board.of(row) for row in await tx.many("boards_of")],
        columns=[Column.of(row) for row in await tx.many("columns_of")],
        statuses=[StatusEntity.of(row) for row in await tx.many("statuses_of")],
        labels=await labels_of(tx),
        members=[ProjectMember.of(row) for row in await tx.many("project_members_of")],
        tasks=tasks,
        fields=[ProjectField.of(row) for row in await tx.many("fields_of")],
        views=[View.of(row) for row in await tx.many("shared_views_of")],
        dependencies=await _dependencies(tx, {task.id for task in tasks}),
        sprints=[Sprint.of(row) for row in await tx.many("sprints_of_board", shown=SHOWN)],
        more=more,
    )


async def _dependencies(tx: Tx, shown: set[UUID]) -> list[Dependency]:
    """Those that a task in the snapshot has to do with."""
    return [Dependency.of(row) for row in await tx.many("dependencies_of_shown", task_ids=list(shown))]


def _windowed(rows: list[Row], window: int) -> tuple[list[Task], dict[UUID, str]]:
    """The tasks within the window, and where each column that goes beyond it is to be continued."""
    columns: dict[UUID, list[Row]] = {}
    for row in rows:
        columns.setdefault(row["column_id"], []).append(row)
    more = {
        column_id: encode_cursor(held[window - 1]["position"], held[window - 1]["id"])
        for column_id, held in columns.items()
        if len(held) > window
    }
    return [Task.of(row) for held in columns.values() for row in held[:window]], more


def both(tx: Tx, project_id: UUID, event: E) -> list[E]:
    """The same fact for the tenant's list of projects and for the project's own room."""
    return [event, event.model_copy().to(RoomKey(tx.room.tenant_id, "project", project_id))]


async def project(tx: Tx, project_id: UUID) -> Row:
    row = await tx.maybe("project", project_id=project_id)
    if row is None:
        raise NotFound("There is no such project")
    return row


def _check_dates(start: date | None, end: date | None) -> None:
    if start and end and end < start:
        raise ValidationFailed.field("end_on", "must not be before start_on")


async def _free_key(tx: Tx, name: str) -> str:
    """A key from the first letters of the name, with a number behind it when others have it."""
    words = re.findall(r"[A-Z0-9]+", name.upper())
    letters = words[0][:4] if len(words) == 1 else "".join(word[0] for word in words)[:4]
    prefix = letters if re.fullmatch(r"[A-Z][A-Z0-9]+", letters) else f"P{letters[:3]}" if letters else "PRO"
    if len(prefix) < 2:
        prefix = f"{prefix}P"
    taken = {row["key"] for row in await tx.many("taken_project_keys", prefix=prefix)}
    return (
        prefix
        if prefix not in taken
        else next(f"{prefix}{n}" for n in range(2, 10**6) if f"{prefix}{n}" not in taken)
    )


async def _create_workflow(tx: Tx, project_id: UUID) -> None:
    status_ids = {name: new_id() for name, _ in DEFAULT_WORKFLOW}
    keys = positions.spread(len(DEFAULT_WORKFLOW))
    await tx.exec(
        "create_statuses",
        id=project_id,
        ids=list(status_ids.values()),
        names=list(status_ids),
        categories=[category for _, category in DEFAULT_WORKFLOW],
        positions=keys,
    )
    board: dict[str, Any] = {"project_id": project_id, "board_id": new_id()}
    await tx.one(
        "create_board", **board, id=board["board_id"], name="Board", position=keys[0], swimlanes="none"
    )
    await tx.many(
        "create_columns",
        **board,
        ids=[new_id() for _ in DEFAULT_COLUMNS],
        names=[name for name, _ in DEFAULT_COLUMNS],
        positions=positions.spread(len(DEFAULT_COLUMNS)),
        status_lists=[",".join(str(status_ids[name]) for name in shown) for _, shown in DEFAULT_COLUMNS],
        colour=None,
        wip_limit=None,
        limit_mode="hard",
    )

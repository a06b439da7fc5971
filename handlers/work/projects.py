"""Projects: create with a workflow and a board, read, change, delete and bring back; share with members."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from handlers.access import PERMISSIONS, Role, above, highest, rights
from handlers.context import Tx
from handlers.errors import Conflict, Forbidden, NotFound, ValidationFailed, constraint
from handlers.paging import decode_cursor, encode_cursor
from handlers.registry import (
    Entity,
    Event,
    Gone,
    Ids,
    LongText,
    Name,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Timestamp,
    When,
    command,
    in_range,
    query,
    snapshot,
)
from handlers.work import positions
from handlers.work.boards import Board
from handlers.work.columns import Column
from handlers.work.dependencies import Dependency
from handlers.work.labels import Label, labels_of
from handlers.work.tasks import Priority, Task
from handlers.work.views import View
from handlers.work.workflow import Category, StatusEntity
from storage.ids import new_id
from storage.postgres import Row
from storage.rooms import RoomKey

Status = Literal["planning", "active", "on_hold", "completed", "cancelled"]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9]{1,9}$")]


E = TypeVar("E", bound=Event)
Day = Annotated[date, AfterValidator(in_range)]

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
    status: Status
    priority: Priority
    start_on: date | None
    end_on: date | None
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
    status: Status | None = None
    priority: Priority | None = None
    start_on: date | None = None
    end_on: date | None = None
    version: int | None = None
    updated_at: Timestamp | None = None


class ProjectWas(ProjectPart):
    """The values that changed fields had before."""

    id: UUID | None = None  # type: ignore[assignment]  # old values belong to the project beside them


class ProjectMember(Entity):
    """A person who takes part in a project, with the role she has there; `id` is the user's."""

    id: UUID
    name: str
    role: Role | None = Field(
        description="The role inside this project: her own one, else the highest through teams and units; "
        "null: the one in the tenant."
    )
    direct: bool = Field(description="Whether the project is shared with her herself.")
    shared: bool = Field(description="Whether it is shared with a team or unit that she is in.")
    expires_at: Timestamp | None = Field(description="When her part ends, but for teams and units.")
    active: bool = Field(description="False while her membership of the tenant is suspended.")

    @model_validator(mode="before")
    @classmethod
    def from_row(cls, value: Any) -> Any:
        return shown_part(value)


def shown_part(value: Any) -> Any:
    """A row of `project_members` as members see it: what counts of all that reaches a person."""
    if not isinstance(value, Mapping) or "shared_roles" not in value:
        return value
    own = value["role"] if value["direct"] else None
    role = own or highest(value["shared_roles"] or ())
    return {**value, "role": role, "shared": bool(value["shared_roles"])}


class ProjectCreated(Event, name="project.created"):
    """A project came to be; its room's snapshot has the first board and its columns."""

    project: Project


class ProjectUpdated(Event, name="project.updated"):
    """Fields of a project changed."""

    project: ProjectPart
    was: ProjectWas


class ProjectDeleted(Event, name="project.deleted"):
    """A project went to the trash."""

    project: ProjectPart


class ProjectRestored(Event, name="project.restored"):
    """A project came back."""

    project: Project


class ProjectMemberAdded(Event, name="project.member_added"):
    """Somebody takes part in the project, or got another role in it."""

    member: ProjectMember


class ProjectMemberRemoved(Event, name="project.member_removed"):
    """Somebody takes no part in the project any more."""

    member: Gone


class CreateProject(Payload):
    id: UUID | None = Field(None, description="UUID of the new project, where the client makes it.")
    name: Name
    key: Key | None = Field(None, description="Prefix of task keys, such as WEB. Unset: made from the name.")
    description: LongText = ""
    status: Status = "active"
    priority: Priority = "medium"
    start_on: Day | None = None
    end_on: Day | None = None
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
    status: Status | None = None
    priority: Priority | None = None
    start_on: Day | None = None
    end_on: Day | None = None


class AddProjectMember(Payload):
    project_id: UUID
    user_id: UUID
    role: Role | None = Field(None, description="Role inside this project. Unset: the role in the tenant.")
    expires_at: When | None = Field(
        None, description="When her part in the project ends by itself. Unset: never."
    )


class ListProjects(Paging):
    shared_with: UUID | None = Field(None, description="Only those shared with this team or unit.")


class RemoveProjectMember(Payload):
    project_id: UUID
    user_id: UUID


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
    views: list[View] = Field(description="The shared ones.")
    dependencies: list[Dependency] = Field(description="Those that these tasks have to do with.")
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
async def create(tx: Tx, cmd: CreateProject) -> ProjectCreated:
    """Create a project with the default workflow, one board and its columns."""
    project_id = cmd.id or new_id()
    row = await tx.one("create_project", cmd, id=project_id, key=cmd.key or await _free_key(tx, cmd.name))
    if await tx.maybe("claim_room", id=project_id, kind="project") is None:
        raise Conflict("This id is taken", field_errors={"id": ["is taken"]})
    await _create_workflow(tx, project_id)
    for user_id in (tx.actor.user_id, *cmd.member_ids):
        if await tx.maybe("set_project_member", project_id=project_id, user_id=user_id, role=None) is None:
            raise NotFound("There is no such member")
    return ProjectCreated.of(row)


@query("project.get", needs="project.view", rest="GET /projects/{project_id}")
async def get(tx: Tx, ask: OneProject) -> ProjectReply:
    """One project."""
    return ProjectReply(project=Project.of(await _project(tx, tx.room.id)))


@query(
    "project.list", needs=None, scope="project.view", rest="GET /tenants/{tenant_id}/projects", room="tenant"
)
async def list_projects(tx: Tx, ask: ListProjects) -> Page[ProjectList]:
    """The projects that one may see, by name."""
    place = decode_cursor(ask.cursor, str, UUID) or ("", UUID(int=0))
    rows = await tx.many(
        "projects_of",
        after_name=place[0],
        after_id=place[1],
        sees_all=tx.rights.every_project,
        people=[tx.actor.user_id, *tx.rights.stands_for],
        group_id=ask.shared_with,
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
async def update(tx: Tx, cmd: UpdateProject) -> list[ProjectUpdated]:
    """Change fields of a project; what is not named stays."""
    row = await _project(tx, cmd.project_id)
    tx.check_version(row, Project)
    changes = cmd.model_dump(exclude_unset=True, exclude={"project_id"})
    _check_dates(changes.get("start_on", row["start_on"]), changes.get("end_on", row["end_on"]))
    kept = {
        name: row[name] for name in ("name", "description", "status", "priority") if changes.get(name) is None
    }
    fresh = await tx.one("update_project", cmd, **{**dict(row), **changes, **kept, "now": tx.now})
    changed = [name for name in changes if fresh[name] != row[name]]
    part = {name: fresh[name] for name in (*changed, "id", "version", "updated_at")}
    was = ProjectWas(**{name: row[name] for name in changed})
    return _both(tx, cmd.project_id, ProjectUpdated(project=ProjectPart(**part), was=was))


@command(
    "project.delete",
    needs="project.delete",
    rest="DELETE /projects/{project_id}",
    room="tenant",
    within="project_id",
    versioned=True,
)
async def delete(tx: Tx, cmd: OneProject) -> list[ProjectDeleted]:
    """Put a project into the trash."""
    tx.check_version(await _project(tx, cmd.project_id), Project)
    await tx.one("mark_project_deleted", cmd, deleted_at=tx.now)
    return _both(tx, cmd.project_id, ProjectDeleted(project=ProjectPart(id=cmd.project_id, removed=True)))


@command(
    "project.restore",
    needs="project.delete",
    rest="POST /projects/{project_id}/restore",
    room="tenant",
    within="project_id",
)
async def restore(tx: Tx, cmd: OneProject) -> list[ProjectRestored]:
    """Bring a project back from the trash."""
    if await tx.maybe("deleted_project", cmd) is None:
        raise NotFound("There is no such project in the trash")
    row = await tx.one("mark_project_deleted", cmd, deleted_at=None)
    return _both(tx, cmd.project_id, ProjectRestored.of(row))


@command("project.add_member", needs="project.share", rest="PUT /projects/{project_id}/members/{user_id}")
async def add_member(tx: Tx, cmd: AddProjectMember) -> ProjectMemberAdded:
    """Let a member of the tenant take part, or give her another role or end in this project."""
    before = await _part(tx, cmd.user_id)
    if cmd.role is not None:
        tx.may_give(cmd.role, before=frozenset(PERMISSIONS))
    row = await tx.one("set_project_member", cmd)
    if cmd.expires_at is not None:
        row = await tx.one("end_project_part_at", cmd)
    after = await tx.one("project_actor", cmd)
    _require_own(tx, _permissions(after, tx.room.id) - _permissions(before, tx.room.id))
    await tx.rights_changed()
    return ProjectMemberAdded.of(row)


@command(
    "project.remove_member", needs="project.share", rest="DELETE /projects/{project_id}/members/{user_id}"
)
async def remove_member(tx: Tx, cmd: RemoveProjectMember) -> list[ProjectMemberRemoved | ProjectMemberAdded]:
    """End somebody's own part in the project.

    Through a team or unit that it is shared with, she may still be in it: then she is said to be added, with what is
    left.
    """
    before = await _part(tx, cmd.user_id)
    row = await tx.maybe("remove_project_member", cmd)
    if row is None and before["in_project"]:
        raise Conflict("She takes part through a team or unit alone: end that share, or take her out of it")
    if row is None:
        raise NotFound("There is no such member of the project")
    await tx.rights_changed()
    if row["left_it"]:
        return [ProjectMemberRemoved(member=Gone(id=cmd.user_id, removed=True))]
    after = await tx.one("project_actor", cmd)
    _require_own(tx, _permissions(after, tx.room.id) - _permissions(before, tx.room.id))
    return [ProjectMemberAdded.of(row)]


@snapshot("project")
async def read(tx: Tx, window: int) -> ProjectSnapshot:
    """Everything that a board shows; of each column as many tasks as the window allows."""
    project = Project.of(await _project(tx, tx.room.id))
    rows = await tx.many("snapshot_tasks", per_column=window + 1)
    tasks, more = _windowed(rows, window)
    return ProjectSnapshot(
        projects=[project],
        project=project,
        boards=[Board.of(row) for row in await tx.many("boards_of")],
        columns=[Column.of(row) for row in await tx.many("columns_of")],
        statuses=[StatusEntity.of(row) for row in await tx.many("statuses_of")],
        labels=await labels_of(tx),
        members=[ProjectMember.of(row) for row in await tx.many("project_members_of")],
        tasks=tasks,
        views=[View.of(row) for row in await tx.many("shared_views_of")],
        dependencies=await _dependencies(tx, {task.id for task in tasks}),
        more=more,
    )


async def _dependencies(tx: Tx, shown: set[UUID]) -> list[Dependency]:
    """Those that a task in the snapshot has to do with."""
    rows = await tx.many("dependencies_of_project")
    return [Dependency.of(row) for row in rows if row["task_id"] in shown or row["depends_on_id"] in shown]


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


def _both(tx: Tx, project_id: UUID, event: E) -> list[E]:
    """The same fact for the tenant's list of projects and for the project's own room."""
    return [event, event.model_copy().to(RoomKey(tx.room.tenant_id, "project", project_id))]


async def _project(tx: Tx, project_id: UUID) -> Row:
    row = await tx.maybe("project", project_id=project_id)
    if row is None:
        raise NotFound("There is no such project")
    return row


async def _part(tx: Tx, user_id: UUID) -> Row:
    """Somebody's part in the project; nobody changes that of somebody whose role in it is above his own."""
    row = await tx.maybe("project_actor", user_id=user_id)
    if row is None:
        raise NotFound("There is no such member")
    if row["in_project"]:
        found = rights(row, "project", tx.room.id)
        if found is not None and above(found.role, tx.rights.own_role):
            raise Forbidden(
                f"Only somebody who is {found.role} can change another", details={"role": found.role}
            )
    return row


def _permissions(actor: Row, project_id: UUID) -> frozenset[str]:
    found = rights(actor, "project", project_id)
    return found.permissions if found else frozenset()


def _require_own(tx: Tx, gained: frozenset[str]) -> None:
    if missing := sorted(gained - tx.rights.to_give):
        raise Forbidden("Nobody gives a permission that he does not have", details={"permissions": missing})


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
        color=None,
        wip_limit=None,
        limit_mode="hard",
    )

"""Views: ways to look at a project's tasks that people keep, for themselves or for all who see the project.

A shared view belongs to the project and is in its room; whoever may edit boards edits it. A private one is in its
owner's room and reaches nobody else, nor does the audit log tell what it shows.
"""

from collections.abc import Mapping
from datetime import UTC
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, Field, JsonValue, StringConstraints, field_validator

from handlers.context import Tx
from handlers.errors import Conflict, Forbidden, NotFound, constraint
from handlers.paging import FIRST_ID, decode_cursor, encode_cursor
from handlers.registry import (
    Entity,
    Event,
    Gone,
    Name,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Timestamp,
    command,
    locator,
    no_nul,
    query,
)
from handlers.work.boards.boards import Swimlanes, check_lanes
from handlers.work.finding.fields import custom_fields
from handlers.work.finding.filters import Filter
from handlers.work.finding.sorting import Sort, SortKey, order_of
from handlers.work.finding.sql import Work, condition
from handlers.work.tasks.tasks import Task
from storage.ids import new_id
from storage.postgres import Row
from storage.rooms import RoomKey

MOST_SHARED: Final = 200
"""Shared views that one project may have (count)."""
MOST_OWN: Final = 200
"""Private views that one person may have in a tenant (count)."""
FILTER_SIZE: Final = 10_000
"""Length of a filter as JSON (bytes)."""
SHARED_SIZE: Final = 200_000
"""Filters, orders and fields of all shared views of a project, which its snapshot holds (bytes of JSON)."""

LOOK: Final = ("filter", "sort", "fields")
"""What a view weighs by."""

Layout = Literal["board", "list", "calendar", "timeline"]

locator("view_id", "project_of_view")
constraint("views_pkey", "id", "A view with this id exists")


def _shown(name: str) -> str:
    if name not in Task.model_fields and not name.startswith("fields."):
        raise ValueError("is no field of a task, nor fields.<key>")
    return name


TaskField = Annotated[
    str, StringConstraints(min_length=1, max_length=60), AfterValidator(no_nul), AfterValidator(_shown)
]


def _small(value: Filter) -> Filter:
    if len(value.model_dump_json(exclude_unset=True).encode()) > FILTER_SIZE:
        raise ValueError(f"must not be larger than {FILTER_SIZE:,} bytes")
    return value


ViewFilter = Annotated[Filter, AfterValidator(_small)]


class View(Entity):
    """A way to look at tasks: which of them, in what order, and what of each."""

    id: UUID
    project_id: UUID
    owner_id: UUID
    shared: bool = Field(description="Whether all who see the project see it; otherwise its owner alone.")
    name: str
    board_id: UUID | None = Field(
        description="The board that it looks at; null, or one that is gone: all of them."
    )
    layout: Layout
    filter: dict[str, JsonValue] | None = Field(description="As tasks.find takes it; null for all tasks.")
    sort: list[SortKey]
    swimlanes: str
    fields: list[str] = Field(
        description="What is shown of each task; empty for what the client shows by itself."
    )
    version: int
    created_at: Timestamp
    updated_at: Timestamp

    @field_validator("filter", "sort", mode="before")
    @classmethod
    def from_column(cls, value: Any) -> Any:
        return orjson.loads(value) if isinstance(value, str) else value


class ViewCreated(Event, name="view.created"):
    """There is another view."""

    view: View


class ViewUpdated(Event, name="view.updated"):
    """A view is another one now, or has come to be shared or private."""

    view: View


class ViewDeleted(Event, name="view.deleted"):
    """A view is no more, or no more in this room."""

    view: Gone


class CreateView(Payload):
    project_id: UUID
    id: UUID | None = Field(None, description="UUID of the new view, where the client makes it.")
    name: Name
    shared: bool = Field(False, description="Needs board.edit.")
    board_id: UUID | None = None
    layout: Layout = "board"
    filter: ViewFilter | None = Field(None, description="Unset: all tasks.")
    sort: Sort = []
    swimlanes: Swimlanes = "none"
    fields: Annotated[list[TaskField], Field(max_length=100)] = []


class UpdateView(Payload):
    view_id: UUID
    name: Name | None = None
    shared: bool | None = Field(None, description="Only its owner makes a view private.")
    board_id: UUID | None = Field(None, description="Unset: as it is; null: all boards.")
    layout: Layout | None = None
    filter: ViewFilter | None = Field(None, description="Unset: as it is; null: all tasks.")
    sort: Sort | None = None
    swimlanes: Swimlanes | None = None
    fields: Annotated[list[TaskField], Field(max_length=100)] | None = None


class OneView(Payload):
    view_id: UUID


class ListViews(Paging):
    project_id: UUID
    shared: bool | None = Field(None, description="Only the shared ones, or only one's own.")


class ViewList(Reply):
    views: list[View]


@command("view.create", needs="project.view", rest="POST /projects/{project_id}/views", status=201)
async def create(tx: Tx, cmd: CreateView) -> ViewCreated:
    """Keep a view, for oneself or, with the permission `board.edit`, for all who see the project."""
    if cmd.shared:
        tx.require("board.edit")
    await _check_room(tx, cmd.shared)
    await _check_board(tx, cmd.board_id)
    await _check_look(tx, cmd.filter, cmd.sort)
    await check_lanes(tx, cmd.swimlanes)
    view_id = cmd.id or new_id()
    look = {"filter": _filter(cmd.filter), "sort": _sort(cmd.sort), "fields": cmd.fields}
    if cmd.shared:
        await _check_size(tx, view_id, look)
    row = await tx.one("create_view", cmd, id=view_id, **look)
    _tell_audit(tx, view_id, private=not cmd.shared)
    return ViewCreated.of(row).to(_room(tx, row["shared"], row["owner_id"]))


@command("view.update", needs="project.view", rest="PUT /views/{view_id}", versioned=True)
async def update(tx: Tx, cmd: UpdateView) -> list[ViewUpdated | ViewDeleted]:
    """Change a view: one's own, or with the permission `board.edit` a shared one."""
    row = await _view(tx, cmd.view_id)
    changes = cmd.model_dump(
        mode="json", exclude_unset=True, exclude={"view_id", "board_id", "filter", "sort"}
    )
    changes = {name: value for name, value in changes.items() if value is not None}
    shared = bool(changes.get("shared", row["shared"]))
    if row["shared"] or shared:
        tx.require("board.edit")
    tx.check_version(row, View)
    if row["shared"] and not shared and row["owner_id"] != tx.actor.user_id:
        raise Forbidden("Only its owner makes a view private", details={"owner_id": row["owner_id"]})
    if shared != row["shared"]:
        await _check_room(tx, shared)
    if "board_id" in cmd.model_fields_set:
        await _check_board(tx, cmd.board_id)
        changes["board_id"] = cmd.board_id
    await _check_look(tx, cmd.filter, cmd.sort or [])
    await check_lanes(tx, cmd.swimlanes)
    if "filter" in cmd.model_fields_set:
        changes["filter"] = _filter(cmd.filter)
    if cmd.sort is not None:
        changes["sort"] = _sort(cmd.sort)
    after = {**dict(row), **changes}
    if shared and changes.keys() & {"shared", *LOOK}:
        await _check_size(tx, cmd.view_id, after)
    fresh = await tx.one("update_view", **{**after, "now": tx.now})
    _tell_audit(tx, cmd.view_id, private=not (shared and row["shared"]))
    events: list[ViewUpdated | ViewDeleted] = [ViewUpdated.of(fresh).to(_room(tx, shared, row["owner_id"]))]
    if shared != row["shared"]:
        events.append(_gone(cmd.view_id).to(_room(tx, row["shared"], row["owner_id"])))
    return events


@command("view.delete", needs="project.view", rest="DELETE /views/{view_id}", versioned=True)
async def delete(tx: Tx, cmd: OneView) -> ViewDeleted:
    """Delete a view: one's own, or with the permission `board.edit` a shared one."""
    row = await _view(tx, cmd.view_id)
    if row["shared"]:
        tx.require("board.edit")
    tx.check_version(row, View)
    await tx.exec("delete_view", cmd)
    return _gone(cmd.view_id).to(_room(tx, row["shared"], row["owner_id"]))


@query("view.list", needs="project.view", rest="GET /projects/{project_id}/views")
async def list_views(tx: Tx, ask: ListViews) -> Page[ViewList]:
    """The shared views of a project, and one's own ones in it, by name."""
    name, view_id = decode_cursor(ask.cursor, str, UUID) or ("", FIRST_ID)
    rows = await tx.many("views_by_name", ask, after_name=name, after_id=view_id, max_rows=ask.limit + 1)
    last = rows[ask.limit - 1] if len(rows) > ask.limit else None
    more = encode_cursor(last["name"], last["id"]) if last else None
    views = [View.of(row) for row in rows[: ask.limit]]
    return Page(ViewList(views=views), Pagination(limit=ask.limit, next=more))


async def _view(tx: Tx, view_id: UUID) -> Row:
    """A view of this project that one may see."""
    row = await tx.maybe("view", view_id=view_id)
    if row is None:
        raise NotFound("There is no such view")
    return row


async def _check_board(tx: Tx, board_id: UUID | None) -> None:
    if board_id is not None and await tx.maybe("board", board_id=board_id) is None:
        raise NotFound("There is no such board")


async def _check_look(tx: Tx, wanted: Filter | None, sort: list[SortKey]) -> None:
    """VALIDATION_ERROR where a filter or an order makes no sense to whoever asks with it."""
    if wanted is not None:
        await condition(tx, wanted)
    custom = await custom_fields(tx, (key.field for key in sort))
    order_of(sort, lambda: Work(tx.actor.user_id, tx.now, UTC, {}), custom)


def _filter(wanted: Filter | None) -> str:
    return "null" if wanted is None else wanted.model_dump_json(exclude_unset=True)


def _sort(keys: list[SortKey]) -> str:
    return orjson.dumps([key.model_dump() for key in keys]).decode()


async def _check_room(tx: Tx, shared: bool) -> None:
    if shared and await tx.value("count_shared_views") >= MOST_SHARED:
        raise Conflict(f"A project has at most {MOST_SHARED} shared views")
    if not shared and await tx.value("count_own_views") >= MOST_OWN:
        raise Conflict(f"One person has at most {MOST_OWN} views of her own")


async def _check_size(tx: Tx, view_id: UUID, look: Mapping[str, Any]) -> None:
    given = {name: look[name] for name in LOOK}
    if await tx.value("size_of_shared_views", view_id=view_id, **given) > SHARED_SIZE:
        raise Conflict(
            "The shared views of this project are too large together: keep this one for yourself, or make others smaller",
            details={"limit": SHARED_SIZE},
        )


def _tell_audit(tx: Tx, view_id: UUID, *, private: bool) -> None:
    """That there is a private view is evidence; what it shows is nobody's business."""
    tx.resource = f"view:{view_id}"
    if private:
        tx.changes = {"shared": False}


def _gone(view_id: UUID) -> ViewDeleted:
    return ViewDeleted(view=Gone(id=view_id, removed=True))


def _room(tx: Tx, shared: bool, owner_id: UUID) -> RoomKey:
    return tx.room if shared else RoomKey(tx.room.tenant_id, "user", owner_id)

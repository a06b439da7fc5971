"""Columns of boards: the statuses that they show, how many tasks they hold, and their order."""

from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field, model_validator

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, constraint
from handlers.identity.colours import Colour
from handlers.registry import Entity, Event, Gone, Ids, Name, Payload, command, locator
from handlers.work import positions
from handlers.work.tasks.rules import LimitMode
from storage.ids import new_id
from storage.postgres import Row

Limit = Annotated[int, Field(ge=1, le=10_000)]
MOST_COLUMNS: Final = 100
"""Columns that one board may have (count)."""

locator("column_id", "project_of_column")
constraint("board_columns_pkey", "id", "A column with this id exists")


class Column(Entity):
    """One column of a board; it shows the tasks of its statuses that lie in it."""

    id: UUID
    board_id: UUID
    name: str
    colour: str | None
    position: str
    status_ids: list[UUID]
    wip_limit: int | None = Field(description="How many tasks it holds; null for any number.")
    limit_mode: LimitMode = Field(
        description="`hard`: what is more is refused. `warn`: it is let in, and the event says so in `over_limit`."
    )
    version: int


class ColumnWas(Entity):
    """The values that changed fields had before."""

    name: str | None = None
    colour: str | None = None
    position: str | None = None
    status_ids: list[UUID] | None = None
    wip_limit: int | None = None
    limit_mode: LimitMode | None = None


class ColumnCreated(Event, name="column.created"):
    """A column came to be."""

    column: Column


class ColumnUpdated(Event, name="column.updated"):
    """A column was renamed, coloured, limited, mapped to other statuses or put elsewhere."""

    column: Column
    was: ColumnWas


class ColumnDeleted(Event, name="column.deleted"):
    """An empty column was taken away."""

    column: Gone


class CreateColumn(Payload):
    id: UUID | None = Field(None, description="UUID of the new column, where the client makes it.")
    board_id: UUID
    name: Name
    colour: Colour | None = None
    status_ids: Annotated[Ids, Field(min_length=1)] | None = Field(
        None, description="Unset: the first status of the project that is in progress."
    )
    wip_limit: Limit | None = Field(None, description="How many tasks it may hold; null for any number.")
    limit_mode: LimitMode = "hard"


class UpdateColumn(Payload):
    column_id: UUID
    name: Name | None = None
    colour: Colour | None = Field(None, description="Unset: as it is; null: none.")
    status_ids: Annotated[Ids, Field(min_length=1)] | None = Field(
        None, description="A status goes only when no task in the column has it."
    )


class SetLimit(Payload):
    column_id: UUID
    limit: Limit | None = Field(description="How many tasks it may hold; null lifts the limit.")
    mode: LimitMode | None = Field(None, description="Unset: as it is.")


class MoveColumn(Payload):
    column_id: UUID
    before_id: UUID | None = Field(None, description="The column to put it before; null for the end.")

    @model_validator(mode="after")
    def another(self) -> "MoveColumn":
        if self.before_id == self.column_id:
            raise ValueError("a column cannot stand before itself")
        return self


class DeleteColumn(Payload):
    column_id: UUID


@command("column.create", needs="board.edit", rest="POST /boards/{board_id}/columns", status=201)
async def create_column(tx: Tx, cmd: CreateColumn) -> ColumnCreated:
    """Create a column at the end of a board."""
    if await tx.maybe("board", board_id=cmd.board_id) is None:
        raise NotFound("There is no such board")
    columns = await tx.many("columns_of_board", cmd)
    if len(columns) >= MOST_COLUMNS:
        raise Conflict(f"A board has at most {MOST_COLUMNS} columns")
    rows = await tx.many(
        "create_columns",
        cmd,
        ids=[cmd.id or new_id()],
        names=[cmd.name],
        positions=[positions.between(columns[-1]["position"] if columns else None, None)],
        status_lists=[",".join(map(str, await _statuses(tx, cmd.status_ids)))],
    )
    return ColumnCreated.of(rows[0])


@command("column.update", needs="board.edit", rest="PUT /columns/{column_id}", versioned=True)
async def update_column(tx: Tx, cmd: UpdateColumn) -> ColumnUpdated:
    """Rename or colour a column, or let it show other statuses."""
    column = await _column(tx, cmd.column_id)
    tx.check_version(column, Column)
    changes: dict[str, Any] = {"name": cmd.name or column["name"]}
    if "colour" in cmd.model_fields_set:
        changes["colour"] = cmd.colour
    if cmd.status_ids:
        changes["status_ids"] = await _statuses(tx, cmd.status_ids)
        if held := await tx.value("tasks_not_shown", column_id=cmd.column_id, status_ids=cmd.status_ids):
            raise Conflict(
                f"{column['name']} holds {held} tasks of a status that it would not show any more",
                details={"held": held},
            )
    return await _change(tx, column, **changes)


@command("column.set_limit", needs="board.edit", rest="PUT /columns/{column_id}/limit", versioned=True)
async def set_limit(tx: Tx, cmd: SetLimit) -> ColumnUpdated:
    """Limit how many tasks a column may hold; null lifts the limit. What is already there may stay."""
    column = await _column(tx, cmd.column_id)
    tx.check_version(column, Column)
    return await _change(tx, column, wip_limit=cmd.limit, limit_mode=cmd.mode or column["limit_mode"])


@command("column.move", needs="board.edit", rest="POST /columns/{column_id}/move", versioned=True)
async def move_column(tx: Tx, cmd: MoveColumn) -> ColumnUpdated:
    """Put a column before another one of its board, or at the end."""
    column = await _column(tx, cmd.column_id)
    tx.check_version(column, Column)
    others = [
        row
        for row in await tx.many("columns_of_board", board_id=column["board_id"])
        if row["id"] != cmd.column_id
    ]
    return await _change(tx, column, position=positions.before(others, cmd.before_id, "column"))


@command("column.delete", needs="board.edit", rest="DELETE /columns/{column_id}", versioned=True)
async def delete_column(tx: Tx, cmd: DeleteColumn) -> ColumnDeleted:
    """Take away a column that holds no task."""
    column = await _column(tx, cmd.column_id)
    tx.check_version(column, Column)
    if held := await tx.value("tasks_held", cmd):
        raise Conflict(f"{column['name']} still holds {held} tasks: move them first", details={"held": held})
    await tx.one("delete_column", cmd)
    return ColumnDeleted(column=Gone(id=cmd.column_id, removed=True))


async def _column(tx: Tx, column_id: UUID) -> Row:
    column = await tx.maybe("column", column_id=column_id)
    if column is None:
        raise NotFound("There is no such column")
    return column


async def _statuses(tx: Tx, status_ids: list[UUID] | None) -> list[UUID]:
    """The given statuses if the project has them all; without any, its first one in progress."""
    if status_ids:
        if await tx.value("count_statuses", status_ids=status_ids) != len(status_ids):
            raise NotFound("There is no such status")
        return status_ids
    statuses = await tx.many("statuses_of")
    return [next((row for row in statuses if row["category"] == "in_progress"), statuses[0])["id"]]


async def _change(tx: Tx, column: Row, **changes: object) -> ColumnUpdated:
    fresh = await tx.one("update_column", **{**dict(column), **changes, "now": tx.now})
    was = {name: column[name] for name in changes if column[name] != fresh[name]}
    return ColumnUpdated(column=Column.of(fresh), was=ColumnWas(**was))

"""Boards and columns: what a project's tasks are looked at through."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, model_validator

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, constraint
from handlers.registry import Entity, Event, Ids, Name, Payload, command, locator
from handlers.work import positions
from storage.ids import new_id
from storage.postgres import Row

Limit = Annotated[int, Field(ge=1, le=10_000)]

locator("column_id", "project_of_column")
locator("board_id", "project_of_board")
constraint("boards_pkey", "id", "A board with this id exists")
constraint("board_columns_pkey", "id", "A column with this id exists")


class Board(Entity):
    """A view of a project's tasks in columns."""

    id: UUID
    project_id: UUID
    name: str
    position: str
    version: int


class Column(Entity):
    """One column of a board; it shows the tasks of its statuses, and holds `wip_limit` of them at most."""

    id: UUID
    board_id: UUID
    name: str
    position: str
    status_ids: list[UUID]
    wip_limit: int | None
    version: int


class Gone(Entity):
    """Something that is no more."""

    id: UUID
    removed: Literal[True]


class ColumnWas(Entity):
    """The values that changed fields had before."""

    name: str | None = None
    position: str | None = None
    status_ids: list[UUID] | None = None
    wip_limit: int | None = None


class BoardCreated(Event, name="board.created"):
    """A board came to be."""

    board: Board


class BoardWas(Entity):
    """The values that changed fields had before."""

    name: str | None = None


class BoardUpdated(Event, name="board.updated"):
    """A board was renamed."""

    board: Board
    was: BoardWas


class ColumnCreated(Event, name="column.created"):
    """A column came to be."""

    column: Column


class ColumnUpdated(Event, name="column.updated"):
    """A column was renamed, limited, mapped to other statuses or put elsewhere."""

    column: Column
    was: ColumnWas


class ColumnDeleted(Event, name="column.deleted"):
    """An empty column was taken away."""

    column: Gone


class CreateBoard(Payload):
    id: UUID | None = Field(None, description="UUID of the new board, where the client makes it.")
    name: Name


class UpdateBoard(Payload):
    board_id: UUID
    name: Name


class CreateColumn(Payload):
    id: UUID | None = Field(None, description="UUID of the new column, where the client makes it.")
    board_id: UUID
    name: Name
    status_ids: Annotated[Ids, Field(min_length=1)] | None = Field(
        None, description="Unset: the first status of the project that is in progress."
    )
    wip_limit: Limit | None = Field(None, description="How many tasks it may hold; null for any number.")


class UpdateColumn(Payload):
    column_id: UUID
    name: Name | None = None
    status_ids: Annotated[Ids, Field(min_length=1)] | None = None


class SetLimit(Payload):
    column_id: UUID
    limit: Limit | None = Field(description="How many tasks it may hold; null lifts the limit.")


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


@command("board.create", needs="board.edit", rest="POST /projects/{project_id}/boards", status=201)
async def create_board(tx: Tx, cmd: CreateBoard) -> BoardCreated:
    """Create an empty board, after the others."""
    boards = await tx.many("boards_of")
    last = boards[-1]["position"] if boards else None
    return BoardCreated.of(
        await tx.one("create_board", cmd, id=cmd.id or new_id(), position=positions.between(last, None))
    )


@command("board.update", needs="board.edit", rest="PUT /boards/{board_id}", versioned=True)
async def update_board(tx: Tx, cmd: UpdateBoard) -> BoardUpdated:
    """Rename a board."""
    row = await _board(tx, cmd.board_id)
    tx.check_version(row, Board)
    was = BoardWas(name=row["name"]) if row["name"] != cmd.name else BoardWas()
    return BoardUpdated(board=Board.of(await tx.one("rename_board", cmd)), was=was)


@command("column.create", needs="board.edit", rest="POST /boards/{board_id}/columns", status=201)
async def create_column(tx: Tx, cmd: CreateColumn) -> ColumnCreated:
    """Create a column at the end of a board."""
    await _board(tx, cmd.board_id)
    columns = await tx.many("columns_of_board", cmd)
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
    """Rename a column or let it show other statuses."""
    column = await _column(tx, cmd.column_id)
    tx.check_version(column, Column)
    status_ids = await _statuses(tx, cmd.status_ids) if cmd.status_ids else column["status_ids"]
    return await _change(tx, column, name=cmd.name or column["name"], status_ids=status_ids)


@command("column.set_limit", needs="board.edit", rest="PUT /columns/{column_id}/limit", versioned=True)
async def set_limit(tx: Tx, cmd: SetLimit) -> ColumnUpdated:
    """Limit how many tasks a column may hold; null lifts the limit. What is already there may stay."""
    column = await _column(tx, cmd.column_id)
    tx.check_version(column, Column)
    return await _change(tx, column, wip_limit=cmd.limit)


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
    at = next((index for index, row in enumerate(others) if row["id"] == cmd.before_id), len(others))
    if cmd.before_id is not None and at == len(others):
        raise NotFound("There is no such column on this board")
    lower = others[at - 1]["position"] if at else None
    upper = others[at]["position"] if at < len(others) else None
    return await _change(tx, column, position=positions.between(lower, upper))


@command("column.delete", needs="board.edit", rest="DELETE /columns/{column_id}", versioned=True)
async def delete_column(tx: Tx, cmd: DeleteColumn) -> ColumnDeleted:
    """Take away a column that holds no task."""
    column = await _column(tx, cmd.column_id)
    tx.check_version(column, Column)
    if held := await tx.value("tasks_held", cmd):
        raise Conflict(f"{column['name']} still holds {held} tasks: move them first", details={"held": held})
    await tx.one("delete_column", cmd)
    return ColumnDeleted(column=Gone(id=cmd.column_id, removed=True))


async def _board(tx: Tx, board_id: UUID) -> Row:
    board = await tx.maybe("board", board_id=board_id)
    if board is None:
        raise NotFound("There is no such board")
    return board


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

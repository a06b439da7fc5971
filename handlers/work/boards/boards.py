"""Boards: a project's tasks in columns. A task lies on one board of its project, in one column of that.

To look at the same tasks in another way there are views (handlers/work/finding/views.py); see decision 28.
"""

from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, constraint
from handlers.registry import Entity, Event, Gone, Name, Outcome, Payload, command, locator, no_nul
from handlers.work import positions
from handlers.work.boards.columns import Column
from handlers.work.boards.ends import ends_of
from handlers.work.tasks.bulk import MOST, TasksUpdated
from handlers.work.tasks.tasks import TaskPart, Was
from handlers.work.tasks.values import check_keys
from storage.ids import new_id
from storage.postgres import Row

GROUPINGS: Final = ("none", "assignee", "priority", "epic", "parent", "label", "type", "status")
BY_FIELD: Final = "field:"
MOST_BOARDS: Final = 50
"""Boards that one project may have (count)."""

locator("board_id", "project_of_board")
constraint("boards_pkey", "id", "A board with this id exists")


def _grouping(value: str) -> str:
    if value not in GROUPINGS and not value.startswith(BY_FIELD):
        raise ValueError(f"is none of {', '.join(GROUPINGS)} or field:<key>")
    return value


Swimlanes = Annotated[
    str, StringConstraints(min_length=1, max_length=60), AfterValidator(no_nul), AfterValidator(_grouping)
]
"""What the lanes across a board are made by; `field:<key>` is a field that the tenant has defined."""


class Board(Entity):
    """Columns with the tasks that lie in them."""

    id: UUID
    project_id: UUID
    name: str
    position: str
    swimlanes: str = Field(
        description="What its lanes are made by: none, assignee, priority, epic, parent, label, type, status or "
        "field:<key>."
    )
    version: int


class BoardWas(Entity):
    """The values that changed fields had before."""

    name: str | None = None
    position: str | None = None
    swimlanes: str | None = None


class BoardCreated(Event, name="board.created"):
    """A board came to be."""

    board: Board
    columns: list[Column] | None = Field(None, description="Those that it was given at once.")


class BoardUpdated(Event, name="board.updated"):
    """A board was renamed, divided into other lanes or put elsewhere."""

    board: Board
    was: BoardWas


class BoardDeleted(Event, name="board.deleted"):
    """A board is no more, and its columns with it."""

    board: Gone
    columns: list[Gone]


class CreateBoard(Payload):
    id: UUID | None = Field(None, description="UUID of the new board, where the client makes it.")
    name: Name
    swimlanes: Swimlanes = "none"
    like_id: UUID | None = Field(
        None, description="A board of the project whose columns it gets, without their tasks."
    )


class UpdateBoard(Payload):
    board_id: UUID
    name: Name | None = None
    swimlanes: Swimlanes | None = None


class MoveBoard(Payload):
    board_id: UUID
    before_id: UUID | None = Field(None, description="The board to put it before; null for the end.")

    @model_validator(mode="after")
    def another(self) -> "MoveBoard":
        if self.before_id == self.board_id:
            raise ValueError("a board cannot stand before itself")
        return self


class DeleteBoard(Payload):
    board_id: UUID
    move_to: UUID | None = Field(
        None, description="The board that its tasks go to, each to the first column that shows its status."
    )

    @model_validator(mode="after")
    def another(self) -> "DeleteBoard":
        if self.move_to == self.board_id:
            raise ValueError("its tasks cannot stay on it")
        return self


@command("board.create", needs="board.edit", rest="POST /projects/{project_id}/boards", status=201)
async def create_board(tx: Tx, cmd: CreateBoard) -> BoardCreated:
    """Create a board after the others: empty, or with columns like those of another one."""
    boards = await tx.many("boards_of")
    if len(boards) >= MOST_BOARDS:
        raise Conflict(f"A project has at most {MOST_BOARDS} boards")
    await check_lanes(tx, cmd.swimlanes)
    columns = await _columns_like(tx, cmd.like_id) if cmd.like_id else []
    last = boards[-1]["position"] if boards else None
    board_id = cmd.id or new_id()
    event = BoardCreated.of(
        await tx.one("create_board", cmd, id=board_id, position=positions.between(last, None))
    )
    if columns:
        rows = [
            await tx.one("copy_column", **{**dict(row), "board_id": board_id, "id": new_id(), "now": tx.now})
            for row in columns
        ]
        event.columns = [Column.of(row) for row in rows]
    return event


@command("board.update", needs="board.edit", rest="PUT /boards/{board_id}", versioned=True)
async def update_board(tx: Tx, cmd: UpdateBoard) -> BoardUpdated:
    """Rename a board, or divide it into other lanes."""
    board = await _board(tx, cmd.board_id)
    tx.check_version(board, Board)
    await check_lanes(tx, cmd.swimlanes)
    return await _change(
        tx, board, name=cmd.name or board["name"], swimlanes=cmd.swimlanes or board["swimlanes"]
    )


@command("board.move", needs="board.edit", rest="POST /boards/{board_id}/move", versioned=True)
async def move_board(tx: Tx, cmd: MoveBoard) -> BoardUpdated:
    """Put a board before another one, or at the end. The first board is where new tasks go that name no column."""
    board = await _board(tx, cmd.board_id)
    tx.check_version(board, Board)
    others = [row for row in await tx.many("boards_of") if row["id"] != cmd.board_id]
    return await _change(tx, board, position=positions.before(others, cmd.before_id, "board"))


@command("board.delete", needs="board.edit", rest="DELETE /boards/{board_id}", versioned=True)
async def delete_board(tx: Tx, cmd: DeleteBoard) -> Outcome[BoardDeleted | TasksUpdated, BoardDeleted]:
    """Delete a board with its columns. Its tasks, at most 1,000, go to another one; the last board stays."""
    board = await _board(tx, cmd.board_id)
    tx.check_version(board, Board)
    if len(await tx.many("boards_of")) == 1:
        raise Conflict("A project keeps one board")
    moved = await _clear(tx, cmd)
    rows = await tx.many("delete_board", cmd)
    gone = BoardDeleted(
        board=Gone(id=cmd.board_id, removed=True), columns=[Gone(id=row["id"], removed=True) for row in rows]
    )
    return Outcome([*moved, gone], gone)


async def check_lanes(tx: Tx, swimlanes: str | None) -> None:
    """VALIDATION_ERROR where lanes are to be made by a custom field that tasks do not have."""
    if swimlanes and swimlanes.startswith(BY_FIELD):
        await check_keys(tx, [swimlanes.removeprefix(BY_FIELD)], "swimlanes")


async def _clear(tx: Tx, cmd: DeleteBoard) -> list[TasksUpdated]:
    """Give every task of a board a place on another one, in the order in which they lie."""
    tasks = await tx.many("tasks_on_board", cmd, max_rows=MOST + 1)
    if not tasks:
        return []
    if cmd.move_to is None:
        raise Conflict("The board still holds tasks: say where they go", details={"held": len(tasks)})
    if len(tasks) > MOST:
        raise Conflict(f"The board holds more than {MOST:,} tasks: move some first", details={"most": MOST})
    await _board(tx, cmd.move_to)
    columns = [row for row in await tx.many("columns_of") if row["board_id"] == cmd.move_to]
    ends = await ends_of(tx, columns)
    places: list[tuple[Row, UUID, str]] = []
    for task in tasks:
        column_id = ends.showing(task["status_id"])
        places.append((task, column_id, ends.take(column_id)))
    await tx.exec(
        "place_tasks",
        ids=[task["id"] for task, _, _ in places],
        column_ids=[column_id for _, column_id, _ in places],
        positions=[position for _, _, position in places],
    )
    event = TasksUpdated(
        tasks=[
            TaskPart(
                id=task["id"],
                column_id=column_id,
                position=position,
                version=task["version"] + 1,
                updated_at=tx.now,
            )
            for task, column_id, position in places
        ],
        was=[
            Was(id=task["id"], column_id=task["column_id"], position=task["position"])
            for task, _, _ in places
        ],
    )
    if ends.over:
        event.over_limits = list(ends.over.values())
    return [event]


async def _board(tx: Tx, board_id: UUID) -> Row:
    board = await tx.maybe("board", board_id=board_id)
    if board is None:
        raise NotFound("There is no such board")
    return board


async def _columns_like(tx: Tx, board_id: UUID) -> list[Row]:
    await _board(tx, board_id)
    return [row for row in await tx.many("columns_of") if row["board_id"] == board_id]


async def _change(tx: Tx, board: Row, **changes: Any) -> BoardUpdated:
    fresh = await tx.one("update_board", **{**dict(board), **changes, "now": tx.now})
    was = {name: board[name] for name in changes if board[name] != fresh[name]}
    return BoardUpdated(board=Board.of(fresh), was=BoardWas(**was))

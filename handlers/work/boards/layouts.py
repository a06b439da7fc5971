"""What a person has collapsed on a board: kept for her alone, in her own room, so that every device shows it alike."""

from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from handlers.context import Tx
from handlers.errors import Conflict, NotFound
from handlers.registry import Entity, Event, Payload, command, no_nul
from storage.postgres import Row
from storage.rooms import RoomKey

MOST_LANES: Final = 200
"""Lanes of one board that one person may collapse (count)."""

Lane = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(no_nul)]


class BoardLayout(Entity):
    """How you look at a board; `id` is the board's."""

    id: UUID
    project_id: UUID
    collapsed_column_ids: list[UUID]
    collapsed_lanes: list[str] = Field(description="Keys of swimlanes, as the client named them.")


class ColumnCollapsed(Event, name="column.collapsed"):
    """You have collapsed a column."""

    board_layout: BoardLayout


class ColumnExpanded(Event, name="column.expanded"):
    """You have expanded a column."""

    board_layout: BoardLayout


class LaneCollapsed(Event, name="lane.collapsed"):
    """You have collapsed a swimlane."""

    board_layout: BoardLayout


class LaneExpanded(Event, name="lane.expanded"):
    """You have expanded a swimlane."""

    board_layout: BoardLayout


class FoldColumn(Payload):
    column_id: UUID


class FoldLane(Payload):
    board_id: UUID
    lane: Lane = Field(
        description="What the lane stands for: the id of a person, epic or parent, a priority, a label, a value; `none` for "
        "the lane of what has none."
    )


@command("column.collapse", needs="project.view", rest="PUT /columns/{column_id}/collapsed")
async def collapse_column(tx: Tx, cmd: FoldColumn) -> ColumnCollapsed:
    """Show a column collapsed, to oneself."""
    layout = await _fold_column(tx, cmd.column_id, collapsed=True)
    return ColumnCollapsed(board_layout=layout).to(_own_room(tx))


@command("column.expand", needs="project.view", rest="DELETE /columns/{column_id}/collapsed")
async def expand_column(tx: Tx, cmd: FoldColumn) -> ColumnExpanded:
    """Show a column as it is again, to oneself."""
    layout = await _fold_column(tx, cmd.column_id, collapsed=False)
    return ColumnExpanded(board_layout=layout).to(_own_room(tx))


@command("lane.collapse", needs="project.view", rest="POST /boards/{board_id}/lanes/collapse")
async def collapse_lane(tx: Tx, cmd: FoldLane) -> LaneCollapsed:
    """Show a swimlane of a board collapsed, to oneself."""
    layout = await _fold_lane(tx, cmd, collapsed=True)
    return LaneCollapsed(board_layout=layout).to(_own_room(tx))


@command("lane.expand", needs="project.view", rest="POST /boards/{board_id}/lanes/expand")
async def expand_lane(tx: Tx, cmd: FoldLane) -> LaneExpanded:
    """Show a swimlane of a board as it is again, to oneself."""
    layout = await _fold_lane(tx, cmd, collapsed=False)
    return LaneExpanded(board_layout=layout).to(_own_room(tx))


async def _fold_column(tx: Tx, column_id: UUID, *, collapsed: bool) -> BoardLayout:
    column = await tx.maybe("column", column_id=column_id)
    if column is None:
        raise NotFound("There is no such column")
    before = await tx.maybe("board_layout", board_id=column["board_id"])
    there = {row["id"] for row in await tx.many("columns_of_board", board_id=column["board_id"])}
    held = [one for one in (before["column_ids"] if before else ()) if one in there]
    return await _keep(tx, column["board_id"], before, column_ids=_folded(held, column_id, collapsed))


async def _fold_lane(tx: Tx, cmd: FoldLane, *, collapsed: bool) -> BoardLayout:
    if await tx.maybe("board", cmd) is None:
        raise NotFound("There is no such board")
    before = await tx.maybe("board_layout", cmd)
    lanes = _folded(list(before["lanes"]) if before else [], cmd.lane, collapsed)
    if len(lanes) > MOST_LANES:
        raise Conflict(f"At most {MOST_LANES} lanes of a board can be collapsed")
    return await _keep(tx, cmd.board_id, before, lanes=lanes)


def _folded(held: list[Any], one: object, collapsed: bool) -> list[Any]:
    rest = [other for other in held if other != one]
    return [*rest, one] if collapsed else rest


async def _keep(tx: Tx, board_id: UUID, before: Row | None, **changes: Any) -> BoardLayout:
    held = {name: list(before[name]) if before else [] for name in ("column_ids", "lanes")}
    row = await tx.one("keep_board_layout", board_id=board_id, **{**held, **changes})
    return layout_of(row)


def layout_of(row: Row) -> BoardLayout:
    return BoardLayout(
        id=row["board_id"],
        project_id=row["project_id"],
        collapsed_column_ids=row["column_ids"],
        collapsed_lanes=row["lanes"],
    )


def _own_room(tx: Tx) -> RoomKey:
    return RoomKey(tx.room.tenant_id, "user", tx.actor.user_id)

"""How changes of dependencies, columns and boards are taken back, and brought again."""

from typing import Any
from uuid import UUID

from handlers.errors import Conflict, NotFound
from handlers.work import positions
from handlers.work.columns import Column, ColumnCreated
from handlers.work.inverses import MOST_FOUND, Clash, Replay, clashes_of, inverse, named_clashes
from handlers.work.past import Past
from storage.postgres import Row

# Dependencies.


async def _dependency_clashes(this: Replay, past: Past) -> list[Clash]:
    dependency = past.data["dependency"]
    ends = [UUID(dependency[name]) for name in ("task_id", "depends_on_id") if name in dependency]
    rows = await this.tx.many("done_by_others", task_ids=ends, after_seq=this.since, most=MOST_FOUND)
    fields = set(past.was) if past.name == "dependency.updated" else None
    found = [Past.of(row) for row in rows]
    return clashes_of("dependency", dependency["id"], "the dependency", found, fields)


async def _remove(this: Replay, past: Past) -> None:
    dependency = past.data["dependency"]
    await this.send("dependency.remove", task_id=dependency["task_id"], dependency_id=dependency["id"])


async def _add(this: Replay, past: Past) -> None:
    """The same dependency again, under its id."""
    known = {**past.data["dependency"], **past.was}
    names = ("id", "task_id", "depends_on_id", "type", "lag_minutes")
    await this.send("dependency.add", **{name: known[name] for name in names})


async def _change_dependency(this: Replay, past: Past) -> None:
    dependency = past.data["dependency"]
    values = _side(this, past, dependency)
    if values:
        await this.send(
            "dependency.update", task_id=dependency["task_id"], dependency_id=dependency["id"], **values
        )


inverse("dependency.added", check=_dependency_clashes, undo=_remove, redo=_add)
inverse("dependency.removed", check=_dependency_clashes, undo=_add, redo=_remove)
inverse("dependency.updated", check=_dependency_clashes, undo=_change_dependency, redo=_change_dependency)


# Columns and boards.


async def _delete_column(this: Replay, past: Past) -> None:
    await this.send("column.delete", column_id=past.data["column"]["id"])


async def _bring_column(this: Replay, past: Past) -> None:
    """A column again, with the name, the statuses and the limit that it had, where it was."""
    tx = this.tx
    tx.require("board.edit")
    row = await tx.maybe("deleted_column", column_id=UUID(past.data["column"]["id"]))
    if row is None:
        raise NotFound("There is no such column any more")
    if await tx.value("count_statuses", status_ids=row["status_ids"]) != len(row["status_ids"]):
        raise Conflict("A status that it shows is gone")
    taken = [one["position"] for one in await tx.many("columns_of_board", board_id=row["board_id"])]
    [position] = positions.fit(taken, [row["position"]])
    fresh = await tx.one("bring_back_column", column_id=row["id"], position=position)
    this.events.append(ColumnCreated(column=Column.of(fresh)))


async def _change_column(this: Replay, past: Past) -> None:
    column = past.data["column"]
    values = _side(this, past, column)
    names = {name: values[name] for name in ("name", "colour", "status_ids") if name in values}
    if names:
        await this.send("column.update", column_id=column["id"], **names)
    if {"wip_limit", "limit_mode"} & set(values):
        limit = values.get("wip_limit", column["wip_limit"])
        await this.send(
            "column.set_limit", column_id=column["id"], limit=limit, mode=values.get("limit_mode")
        )
    if "position" in values:
        others = await this.tx.many("columns_of_board", board_id=UUID(column["board_id"]))
        before = _next(others, column["id"], values["position"])
        await this.send("column.move", column_id=column["id"], before_id=before)


def _next(rows: list[Row], own: str, position: str) -> UUID | None:
    """What is at a place, or follows it; None for the end."""
    return next((row["id"] for row in rows if row["position"] >= position and str(row["id"]) != own), None)


async def _change_board(this: Replay, past: Past) -> None:
    board = past.data["board"]
    values = _side(this, past, board)
    names = {name: values[name] for name in ("name", "swimlanes") if name in values}
    if names:
        await this.send("board.update", board_id=board["id"], **names)
    if "position" in values:
        before = _next(await this.tx.many("boards_of"), board["id"], values["position"])
        await this.send("board.move", board_id=board["id"], before_id=before)


def _side(this: Replay, past: Past, entity: dict[str, Any]) -> dict[str, Any]:
    """The values that the changed fields are to have: those before the change, or those after it."""
    return dict(past.was) if this.back else {name: entity.get(name) for name in past.was}


_of_column = named_clashes("column", "column.created", "column.updated", "column.deleted")
inverse("column.created", check=_of_column, undo=_delete_column, redo=_bring_column)
inverse("column.deleted", check=_of_column, undo=_bring_column, redo=_delete_column)
inverse("column.updated", check=_of_column, undo=_change_column, redo=_change_column)
_of_board = named_clashes("board", "board.updated")
inverse("board.updated", check=_of_board, undo=_change_board, redo=_change_board)

"""How changes of dependencies, columns, boards, labels and the backlog are taken back, and brought again."""

from typing import Any
from uuid import UUID

from handlers.errors import Conflict, NotFound
from handlers.work import positions
from handlers.work.boards.columns import Column, ColumnCreated
from handlers.work.past.inverses import MOST_FOUND, Clash, Replay, clashes_of, inverse, named_clashes
from handlers.work.past.log import Past
from handlers.work.past.returns import set_many
from handlers.work.projects.labels import MOST_ON_A_TASK
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
    values = side(this, past, dependency)
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
    values = side(this, past, column)
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
        before = at_or_after(others, column["id"], values["position"])
        await this.send("column.move", column_id=column["id"], before_id=before)


def at_or_after(rows: list[Row], own: str, position: str) -> UUID | None:
    """What is at a place, or follows it; None for the end."""
    return next((row["id"] for row in rows if row["position"] >= position and str(row["id"]) != own), None)


async def _change_board(this: Replay, past: Past) -> None:
    board = past.data["board"]
    values = side(this, past, board)
    names = {name: values[name] for name in ("name", "swimlanes") if name in values}
    if names:
        await this.send("board.update", board_id=board["id"], **names)
    if "position" in values:
        before = at_or_after(await this.tx.many("boards_of"), board["id"], values["position"])
        await this.send("board.move", board_id=board["id"], before_id=before)


def side(this: Replay, past: Past, entity: dict[str, Any]) -> dict[str, Any]:
    """The values that the changed fields are to have: those before the change, or those after it."""
    return dict(past.was) if this.back else {name: entity.get(name) for name in past.was}


_of_column = named_clashes("column", "column.created", "column.updated", "column.deleted")
inverse("column.created", check=_of_column, undo=_delete_column, redo=_bring_column)
inverse("column.deleted", check=_of_column, undo=_bring_column, redo=_delete_column)
inverse("column.updated", check=_of_column, undo=_change_column, redo=_change_column)
_of_board = named_clashes("board", "board.updated")
inverse("board.updated", check=_of_board, undo=_change_board, redo=_change_board)


# Labels.


async def _delete_label(this: Replay, past: Past) -> None:
    label_id = past.data["label"]["id"]
    if past.name == "label.created" and await this.tx.value("count_labelled", label_id=UUID(label_id)):
        raise Conflict("Tasks have this label by now")
    await this.send("label.delete", project_id=this.tx.room.id, label_id=label_id)


async def _bring_label(this: Replay, past: Past) -> None:
    """A label again, on the tasks that lost it and are still on the board."""
    label = past.data["label"]
    if "name" not in label:
        raise Conflict("It is not known any more what the label was called")
    await this.send("label.create", **{name: label[name] for name in ("id", "name", "colour")})
    task_ids = [UUID(task["id"]) for task in past.data.get("tasks") or ()]
    rows = await this.tx.many("tasks_by_ids", task_ids=task_ids) if task_ids else []
    again = {
        str(row["id"]): {"label_ids": [*map(str, row["label_ids"]), label["id"]]}
        for row in rows
        if len(row["label_ids"]) < MOST_ON_A_TASK
    }
    if again:
        this.tx.require("task.edit")
        this.events.append(await set_many(this.tx, again))


async def _change_label(this: Replay, past: Past) -> None:
    label = past.data["label"]
    if values := side(this, past, label):
        await this.send("label.update", project_id=this.tx.room.id, label_id=label["id"], **values)


_of_label = named_clashes("label", "label.created", "label.updated", "label.deleted")
inverse("label.created", check=_of_label, undo=_delete_label, redo=_bring_label)
inverse("label.deleted", check=_of_label, undo=_bring_label, redo=_delete_label)
inverse("label.updated", check=_of_label, undo=_change_label, redo=_change_label)


# The backlog.


async def _backlog_clashes(this: Replay, past: Past) -> list[Clash]:
    task_id = past.data["task"]["id"]
    rows = await this.tx.many(
        "done_by_others", task_ids=[UUID(task_id)], after_seq=this.since, most=MOST_FOUND
    )
    found = [each for each in map(Past.of, rows) if each.name == past.name]
    return clashes_of("task", task_id, "the place of the task in the backlog", found, {"backlog_position"})


async def _move_in_backlog(this: Replay, past: Past) -> None:
    """Before the task that stands now where it stood, or at the end."""
    task_id, place = past.data["task"]["id"], side(this, past, past.data["task"])["backlog_position"]
    ask = {"task_id": UUID(task_id), "place": place, "place_number": positions.numbers_below(place) - 1}
    beside = await this.tx.maybe("backlog_from", **ask)
    await this.send("backlog.move", task_id=task_id, before_id=beside and beside["id"])


inverse("backlog.moved", check=_backlog_clashes, undo=_move_in_backlog, redo=_move_in_backlog)

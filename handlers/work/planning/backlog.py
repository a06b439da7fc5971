"""The backlog: what is open and planned into no sprint, in the order in which it is to be taken up.

There is one order for all tasks of a project, whether in a sprint or not: so a task keeps its place among others when it is
planned, carried over or taken back. A task that was never moved stands by its number, and a new one at the end.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from pydantic import Field, model_validator

from handlers.context import Tx
from handlers.errors import NotFound
from handlers.paging import decode_cursor
from handlers.registry import Event, Page, Paging, Payload, command, query
from handlers.work import positions
from handlers.work.planning.sprint_tasks import ordered_page
from handlers.work.tasks.lists import TaskList
from handlers.work.tasks.tasks import TaskPart, Was
from storage.postgres import Row

REACHES: Final = (20, 100, 499)
"""How many tasks on either side of a gap that has become too narrow get new places: the first that is enough (count)."""


class BacklogMoved(Event, name="backlog.moved"):
    """A task has another place in the order in which tasks are taken up."""

    task: TaskPart
    was: Was
    tasks: list[TaskPart] | None = Field(None, description="Others that got a new place to make room.")


class ListBacklog(Paging):
    project_id: UUID
    subtasks: bool = Field(True, description="Whether subtasks are listed too.")


class MoveInBacklog(Payload):
    task_id: UUID
    before_id: UUID | None = Field(None, description="The task of the project to put it before.")
    after_id: UUID | None = Field(None, description="The task to put it after. Neither: the end.")

    @model_validator(mode="after")
    def one_neighbour(self) -> "MoveInBacklog":
        if self.before_id is not None and self.after_id is not None:
            raise ValueError("takes before_id or after_id, not both")
        if self.task_id in (self.before_id, self.after_id):
            raise ValueError("a task cannot be its own neighbour")
        return self


@query("backlog.list", needs="project.view", rest="GET /projects/{project_id}/backlog")
async def list_backlog(tx: Tx, ask: ListBacklog) -> Page[TaskList]:
    """The tasks that are neither done nor cancelled nor in a sprint that is yet to be completed, in their order."""
    [after] = decode_cursor(ask.cursor, str) or ("",)
    rows = await tx.many(
        "backlog",
        ask,
        after_position=after,
        after_number=positions.numbers_up_to(after) - 1,
        max_rows=ask.limit + 1,
    )
    return ordered_page(rows, ask.limit)


@command("backlog.move", needs="task.edit", rest="POST /tasks/{task_id}/backlog", versioned=True)
async def move(tx: Tx, cmd: MoveInBacklog) -> BacklogMoved:
    """Put a task before or after another one in the order of backlog and sprints, or at the end."""
    anchor_id = cmd.before_id or cmd.after_id
    row = await tx.maybe("backlog_context", task_id=cmd.task_id, anchor_id=anchor_id)
    if row is None:
        raise NotFound("There is no such task")
    tx.check_version(row, TaskPart)
    if anchor_id is not None and row["anchor_id"] is None:
        raise NotFound("There is no such task beside which to put it")
    ids, lower, upper = await _around(tx, cmd, row, 0)
    keys = positions.evenly(lower, upper, len(ids))
    if len(keys[0]) > positions.LONGEST:
        ids, keys = await _spread(tx, cmd, row)
    written = await tx.many("place_in_backlog", ids=ids, positions=keys)
    parts = {part["id"]: TaskPart.of(part) for part in written if part["on_board"]}
    event = BacklogMoved(task=parts.pop(cmd.task_id), was=Was(backlog_position=_place(row)))
    if parts:
        event.tasks = list(parts.values())
    return event


async def _spread(tx: Tx, cmd: MoveInBacklog, row: Row) -> tuple[list[UUID], list[str]]:
    """New places for a task and for as many others around it as make them short again."""
    for reach in REACHES:
        ids, lower, upper = await _around(tx, cmd, row, reach)
        keys = positions.evenly(lower, upper, len(ids))
        if max(map(len, keys)) <= positions.LONGEST // 2:
            break
    return ids, keys


async def _around(tx: Tx, cmd: MoveInBacklog, row: Row, reach: int) -> tuple[list[UUID], str | None, str]:
    """The task between so many others, as they are to stand, and the places between which all of them are."""
    end = positions.numbered(row["next_number"])
    anchor: list[Any] = [] if row["anchor_id"] is None else [_anchor(row)]
    gap = _place(anchor[0]) if anchor else end
    ask = {"task_id": cmd.task_id, "place": gap, "reach": reach + 1}
    before: list[Any] = await tx.many("backlog_before", **ask, place_number=positions.numbers_below(gap))
    after: list[Any] = await tx.many("backlog_after", **ask, place_number=positions.numbers_up_to(gap) - 1)
    before, after = (before, anchor + after) if cmd.before_id else (anchor + before, after)
    lower = _place(before[reach]) if len(before) > reach else None
    upper = _place(after[reach]) if len(after) > reach else end
    ids = [
        *(one["id"] for one in reversed(before[:reach])),
        cmd.task_id,
        *(one["id"] for one in after[:reach]),
    ]
    return ids, lower, upper


def _place(row: Mapping[str, Any] | Row) -> str:
    """Where a task stands in the order."""
    place: str | None = row["backlog_position"]
    return positions.numbered(row["number"]) if place is None else place


def _anchor(row: Row) -> dict[str, Any]:
    return {name: row[f"anchor_{name}"] for name in ("id", "number", "backlog_position")}

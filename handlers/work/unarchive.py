"""Many tasks out of the archive at once: each with the subtasks that went with it, to the ends of their columns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import AtriumError, Conflict, NotFound
from handlers.registry import Event, Outcome, command
from handlers.work import positions
from handlers.work.archive import ArchiveTasks
from handlers.work.bulk import BulkReply, TaskOutcome, refused, summed
from handlers.work.dependencies import Dependency, back_with
from handlers.work.rules import OverLimit, check_limit
from handlers.work.sprint_facts import settle
from handlers.work.tasks import Task
from storage.postgres import Row

TOLD_AT_ONCE: Final = 100
"""Whole tasks in one event (count): of a thousand it takes ten."""


class TasksUnarchived(Event, name="tasks.unarchived"):
    """Several tasks came out of the archive at once, and the subtasks that had gone with them."""

    tasks: list[Task]
    dependencies: list[Dependency] | None = Field(
        None, description="What waits for them again, or they for: where the other task stands."
    )
    over_limits: list[OverLimit] | None = Field(None, description="Columns that hold more than they should.")


@dataclass(slots=True)
class _Ends:
    """Where columns end and how full they are, as the tasks placed so far have left them."""

    columns: Sequence[Row]
    last: dict[UUID, str | None]
    held: dict[UUID, int | None]
    placed: dict[UUID, tuple[UUID, str]] = field(default_factory=dict)
    """By task: its column and position."""
    over: dict[UUID, OverLimit] = field(default_factory=dict)

    def take(self, family: Sequence[Row]) -> None:
        """Place a task with its subtasks; CONFLICT, and nothing placed, where one of them has no room."""
        before = dict(self.last), dict(self.held), dict(self.placed), dict(self.over)
        try:
            for row in family:
                if row["id"] not in self.placed:
                    self._place(row)
        except Conflict:
            self.last, self.held, self.placed, self.over = before
            raise

    def _place(self, row: Row) -> None:
        showing = [column for column in self.columns if row["status_id"] in column["status_ids"]]
        if not showing:
            raise Conflict("No column of this project shows that status")
        own = [column for column in showing if column["board_id"] == row["board_id"]]
        column = next((one for one in showing if one["id"] == row["column_id"]), (own or showing)[0])
        column_id: UUID = column["id"]
        held = self.held[column_id]
        if over := check_limit(column, held):
            self.over[column_id] = over
        self.held[column_id] = None if held is None else held + 1
        position = positions.between(self.last[column_id], None)
        self.last[column_id], self.placed[row["id"]] = position, (column_id, position)


@command("tasks.unarchive", needs="task.edit", rest="POST /projects/{project_id}/tasks/unarchive")
async def unarchive_many(tx: Tx, cmd: ArchiveTasks) -> Outcome[TasksUnarchived, BulkReply]:
    """Take up to 1,000 tasks of a project out of the archive at once, with the subtasks that went with them."""
    families: dict[UUID, list[Row]] = {}
    for row in await tx.many("archived_families", cmd):
        families.setdefault(row["top"], []).append(row)
    columns = await tx.many("columns_of")
    rows = await tx.many("column_ends", column_ids=[row["id"] for row in columns])
    ends = _Ends(
        columns, {row["id"]: row["last_position"] for row in rows}, {row["id"]: row["held"] for row in rows}
    )
    found: dict[UUID, TaskOutcome] = {}
    for task_id in _from_the_top(cmd.task_ids, families):
        found[task_id] = _placed(task_id, families.get(task_id), ends)
    outcomes = [found[task_id] for task_id in cmd.task_ids]
    reply = summed(outcomes)
    if not ends.placed:
        return Outcome([], reply)
    reply.over_limits = list(ends.over.values())
    return Outcome(await _written(tx, ends), reply)


def _placed(task_id: UUID, family: Sequence[Row] | None, ends: _Ends) -> TaskOutcome:
    try:
        if family is None:
            raise NotFound("There is no such task in the archive")
        top = next(row for row in family if row["id"] == task_id)
        if top["parent_archived"] and top["parent_id"] not in ends.placed:
            raise Conflict(
                "Its parent task is in the archive: take that one out", details={"task_id": top["parent_id"]}
            )
        ends.take(family)
    except AtriumError as error:
        return refused(task_id, error)
    return TaskOutcome(id=task_id, outcome="done")


def _from_the_top(task_ids: Sequence[UUID], families: Mapping[UUID, Sequence[Row]]) -> list[UUID]:
    """The tasks named, each after its parent where that one is named too."""
    parents = {row["id"]: row["parent_id"] for family in families.values() for row in family}

    def depth(task_id: UUID) -> int:
        steps, at = 0, parents.get(task_id)
        while at in parents:
            steps, at = steps + 1, parents[at]
        return steps

    return sorted(task_ids, key=depth)


async def _written(tx: Tx, ends: _Ends) -> list[TasksUnarchived]:
    rows = await tx.many(
        "unarchive_tasks",
        ids=list(ends.placed),
        column_ids=[column_id for column_id, _ in ends.placed.values()],
        positions=[position for _, position in ends.placed.values()],
    )
    settle(tx, rows)
    events = [TasksUnarchived(tasks=[Task.of(row) for row in some]) for some in _in_parts(rows)]
    if edges := await back_with(tx, ends.placed):
        events[-1].dependencies = edges
    if ends.over:
        events[-1].over_limits = list(ends.over.values())
    return events


def _in_parts(rows: Sequence[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while some := list(islice(rest, TOLD_AT_ONCE)):
        yield some

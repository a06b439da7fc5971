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
from handlers.work.boards.ends import Ends, ends_of
from handlers.work.planning.sprint_facts import settle
from handlers.work.tasks.archive import ArchiveTasks
from handlers.work.tasks.bulk import BulkReply, TaskOutcome, refused, summed
from handlers.work.tasks.dependencies import Dependency, back_with
from handlers.work.tasks.rules import OverLimit
from handlers.work.tasks.tasks import Task
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
class _Placed:
    """Where the tasks come to lie that are taken out."""

    ends: Ends
    at: dict[UUID, tuple[UUID, str]] = field(default_factory=dict)
    """By task: its column and position."""

    def take(self, family: Sequence[Row]) -> None:
        """Place a task with its subtasks; CONFLICT, and nothing placed, where one of them has no room."""
        trial, at = self.ends.copy(), dict[UUID, tuple[UUID, str]]()
        for row in family:
            if row["id"] not in self.at:
                column_id = trial.showing(row["status_id"], own=row["column_id"], board_id=row["board_id"])
                at[row["id"]] = column_id, trial.take(column_id)
        self.ends = trial
        self.at |= at


@command("tasks.unarchive", needs="task.edit", rest="POST /projects/{project_id}/tasks/unarchive")
async def unarchive_many(tx: Tx, cmd: ArchiveTasks) -> Outcome[TasksUnarchived, BulkReply]:
    """Take up to 1,000 tasks of a project out of the archive at once, with the subtasks that went with them."""
    families: dict[UUID, list[Row]] = {}
    for row in await tx.many("archived_families", cmd):
        families.setdefault(row["top"], []).append(row)
    placed = _Placed(await ends_of(tx, await tx.many("columns_of")))
    found: dict[UUID, TaskOutcome] = {}
    for task_id in _from_the_top(cmd.task_ids, families):
        found[task_id] = _outcome(task_id, families.get(task_id), placed)
    outcomes = [found[task_id] for task_id in cmd.task_ids]
    reply = summed(outcomes)
    if not placed.at:
        return Outcome([], reply)
    reply.over_limits = list(placed.ends.over.values())
    return Outcome(await _written(tx, placed), reply)


def _outcome(task_id: UUID, family: Sequence[Row] | None, placed: _Placed) -> TaskOutcome:
    try:
        if family is None:
            raise NotFound("There is no such task in the archive")
        top = next(row for row in family if row["id"] == task_id)
        if top["parent_archived"] and top["parent_id"] not in placed.at:
            raise Conflict(
                "Its parent task is in the archive: take that one out", details={"task_id": top["parent_id"]}
            )
        placed.take(family)
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


async def _written(tx: Tx, placed: _Placed) -> list[TasksUnarchived]:
    rows = await tx.many(
        "put_back_tasks",
        ids=list(placed.at),
        column_ids=[column_id for column_id, _ in placed.at.values()],
        positions=[position for _, position in placed.at.values()],
    )
    settle(tx, rows)
    events = [TasksUnarchived(tasks=[Task.of(row) for row in some]) for some in _in_parts(rows)]
    if edges := await back_with(tx, placed.at):
        events[-1].dependencies = edges
    if placed.ends.over:
        events[-1].over_limits = list(placed.ends.over.values())
    return events


def _in_parts(rows: Sequence[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while some := list(islice(rest, TOLD_AT_ONCE)):
        yield some

"""Subtasks: how many a task has and how many of them are done, and the tree below a task.

The counts are those of the direct subtasks that are not in the trash; cancelled ones are left out, archived ones count.
They are kept with the parent, which gets no new version by them, and are told in the event that changed them.
"""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import NotFound
from handlers.registry import Entity, Payload, Reply, Timestamp, query
from storage.postgres import Row

MOST: Final = 1_000
"""Tasks that a tree shows (count)."""


class Branch(Entity):
    """A task in a tree, as far as the tree shows it."""

    id: UUID
    key: str
    title: str
    parent_id: UUID | None
    depth: int = Field(description="How far below the task that was asked for: 0 for that one itself.")
    status_id: UUID
    completed_at: Timestamp | None
    archived_at: Timestamp | None
    subtask_total: int
    subtask_done: int


class TreeOf(Payload):
    task_id: UUID


class Tree(Reply):
    tasks: list[Branch] = Field(description="From the top down, those of one depth by their number.")
    done: int = Field(description="How many of the tasks below it are done, to any depth.")
    total: int = Field(description="How many tasks there are below it, but for cancelled ones.")
    more: bool = Field(description="Whether there are more than the 1,000 that are shown and counted.")


@query("task.tree", needs="project.view", rest="GET /tasks/{task_id}/tree")
async def tree(tx: Tx, ask: TreeOf) -> Tree:
    """A task with all that is below it, to any depth; at most 1,000 tasks."""
    rows = await tx.many("task_tree", ask, max_rows=MOST + 1)
    if not rows:
        raise NotFound("There is no such task")
    below = [row for row in rows[1:MOST] if row["category"] != "cancelled"]
    return Tree(
        tasks=[Branch.of(row) for row in rows[:MOST]],
        done=sum(row["category"] == "done" for row in below),
        total=len(below),
        more=len(rows) > MOST,
    )


async def recount(tx: Tx, parent_ids: Iterable[UUID | None]) -> list[Row]:
    """Count the subtasks of these tasks anew. Returns those on the board whose counts are others now: `id`,
    `subtask_total`, `subtask_done`, and what they `had_total` and `had_done`.
    """
    wanted = {parent_id for parent_id in parent_ids if parent_id is not None}
    if not wanted:
        return []
    return [row for row in await tx.many("recount_subtasks", parent_ids=list(wanted)) if row["on_board"]]

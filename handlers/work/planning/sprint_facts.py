"""What a sprint counts of its tasks: written down with every change of it, so that burndown and velocity are facts.

Whoever changes a task's sprint, estimate or status, or takes it to the trash or back, says so to `settle`. The facts are
found by comparison with what is counted so far; so it may be said once too often, and what was once forgotten is made
good the next time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from handlers.context import Tx
from handlers.errors import Conflict, NotFound
from storage.postgres import Row

MOST_TASKS: Final = 1_000
"""Tasks that one sprint may hold (count): as many as one event may tell of when it is completed."""
COUNTED: Final = frozenset({"sprint_id", "estimate_minutes", "status_id"})
"""Fields of a task that change what its sprint counts."""


@dataclass(slots=True)
class Filling:
    """A sprint that tasks go to, and how many it holds."""

    row: Row
    held: int

    def take(self, count: int = 1) -> None:
        """Let so many more in; CONFLICT where there is no room for them."""
        self.check(count)
        self.held += count

    def check(self, count: int = 1) -> None:
        """CONFLICT where there is no room for so many more."""
        if self.held + count > MOST_TASKS:
            raise Conflict(
                f"{self.row['name']} holds {self.held} tasks; {MOST_TASKS} are the most: plan another sprint",
                details={"limit": MOST_TASKS, "held": self.held},
            )


async def sprint_to_fill(tx: Tx, sprint_id: UUID) -> Filling:
    """A sprint that may still get tasks."""
    row = await tx.maybe("sprint_to_fill", sprint_id=sprint_id)
    if row is None:
        raise NotFound("There is no such sprint")
    if row["status"] == "completed":
        raise Conflict("This sprint is completed: plan it into another one")
    return Filling(row, row["held"])


async def check_sprint(tx: Tx, sprint_id: UUID) -> None:
    """Whether one more task may go to a sprint."""
    (await sprint_to_fill(tx, sprint_id)).take()


def settle(tx: Tx, tasks: Iterable[Row | Mapping[str, Any]]) -> None:
    """Write with the commit what sprints count of these tasks now. Tasks in no sprint cost nothing."""
    task_ids = list(dict.fromkeys(task["id"] for task in tasks if task["sprint_id"] is not None))
    if task_ids:
        tx.defer("settle_sprint_facts", task_ids=task_ids)


async def settle_all(tx: Tx, sprint_id: UUID) -> None:
    """Make good whatever was not said of the tasks of a sprint, before its state changes."""
    rows = await tx.many("tasks_counted_by_sprint", sprint_id=sprint_id)
    await tx.exec("settle_sprint_facts", task_ids=[row["id"] for row in rows])


async def settle_project(tx: Tx) -> None:
    """What all sprints of a project count, after what a status means has changed."""
    rows = await tx.many("tasks_counted_by_open_sprints")
    if rows:
        await tx.exec("settle_sprint_facts", task_ids=[row["id"] for row in rows])

"""Dependencies: which task of a project waits for which, in what way, and how much later.

One edge says both "waits for" and "blocks". The four kinds are those of every planning program: the waiting task may
start, or finish, when the other one has started, or finished, plus a lag, which may be negative.
"""

from collections import deque
from collections.abc import Iterable
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import Field, model_validator

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, constraint
from handlers.registry import Entity, Event, Payload, Reply, Timestamp, command, query
from storage.ids import new_id
from storage.postgres import Row

Kind = Literal["finish_start", "start_start", "finish_finish", "start_finish"]
Lag = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]

ENDS: Final = ("task_id", "depends_on_id")
MOST: Final = 200
"""What one task may wait for, and what it may block (count each)."""

constraint("dependencies_pkey", "id", "A dependency with this id exists")
constraint("dependencies_pair_key", "depends_on_id", "The task depends on that one already")


class Dependency(Entity):
    """A task, `task_id`, that waits for another one of its project."""

    id: UUID
    task_id: UUID
    depends_on_id: UUID
    type: Kind = Field(
        description="`finish_start`: it starts when the other has finished. `start_start`: it starts when the other has "
        "started. `finish_finish` and `start_finish`: it finishes then."
    )
    lag_minutes: int = Field(description="How much later (minutes); negative for earlier.")
    version: int
    created_by: UUID
    created_at: Timestamp


class DependencyPart(Entity):
    """A dependency as far as it changed."""

    id: UUID
    task_id: UUID | None = None
    depends_on_id: UUID | None = None
    removed: Literal[True] | None = None
    type: Kind | None = None
    lag_minutes: int | None = None
    version: int | None = None


class DependencyWas(Entity):
    """The values that changed fields had before; of one that is no more, all of them."""

    type: Kind | None = None
    lag_minutes: int | None = None


class DependencyAdded(Event, name="dependency.added"):
    """A task waits for another one."""

    dependency: Dependency


class DependencyUpdated(Event, name="dependency.updated"):
    """A task waits for another one in another way."""

    dependency: DependencyPart
    was: DependencyWas


class DependencyRemoved(Event, name="dependency.removed"):
    """A task waits for another one no more."""

    dependency: DependencyPart
    was: DependencyWas


class AddDependency(Payload):
    id: UUID | None = Field(None, description="UUID of the new dependency, where the client makes it.")
    task_id: UUID = Field(description="The task that waits.")
    depends_on_id: UUID = Field(description="The task of the same project that it waits for.")
    type: Kind = "finish_start"
    lag_minutes: Lag = Field(0, description="How much later (minutes); negative for earlier.")

    @model_validator(mode="after")
    def of_two(self) -> "AddDependency":
        if self.task_id == self.depends_on_id:
            raise ValueError("a task cannot depend on itself")
        return self


class UpdateDependency(Payload):
    task_id: UUID
    dependency_id: UUID
    type: Kind | None = None
    lag_minutes: Lag | None = None

    @model_validator(mode="after")
    def something(self) -> "UpdateDependency":
        if self.type is None and self.lag_minutes is None:
            raise ValueError("names no field to change")
        return self


class OneDependency(Payload):
    task_id: UUID
    dependency_id: UUID


class DependenciesOf(Payload):
    task_id: UUID


class Neighbour(Entity):
    """The other task of a dependency."""

    id: UUID
    key: str
    title: str
    completed_at: Timestamp | None
    dependency: Dependency


class Neighbours(Reply):
    waits_for: list[Neighbour]
    blocks: list[Neighbour]


@command("dependency.add", needs="task.edit", rest="POST /tasks/{task_id}/dependencies", status=201)
async def add(tx: Tx, cmd: AddDependency) -> DependencyAdded:
    """Have a task wait for another one of its project. CONFLICT where it would come to wait for itself."""
    ends = await tx.maybe("dependency_ends", cmd)
    if ends is None:
        raise NotFound("There is no such task in this project")
    if ends["related"]:
        raise Conflict("A task and one of its subtasks cannot wait for each other")
    if ends["waits_for"] >= MOST or ends["blocks"] >= MOST:
        raise Conflict(f"A task waits for at most {MOST} others, and blocks as many", details={"limit": MOST})
    await _refuse_cycle(tx, cmd)
    return DependencyAdded.of(await tx.one("add_dependency", cmd, id=cmd.id or new_id()))


@command("dependency.update", needs="task.edit", rest="PUT /tasks/{task_id}/dependencies/{dependency_id}")
async def update(tx: Tx, cmd: UpdateDependency) -> DependencyUpdated:
    """Have a task wait for another one in another way, or longer."""
    row = await tx.maybe("dependency", cmd)
    if row is None:
        raise NotFound("There is no such dependency")
    lag = row["lag_minutes"] if cmd.lag_minutes is None else cmd.lag_minutes
    fresh = await tx.one("update_dependency", cmd, type=cmd.type or row["type"], lag_minutes=lag)
    changed = [name for name in ("type", "lag_minutes") if fresh[name] != row[name]]
    part = DependencyPart(**{name: fresh[name] for name in ("id", *ENDS, "version", *changed)})
    return DependencyUpdated(dependency=part, was=DependencyWas(**{name: row[name] for name in changed}))


@command("dependency.remove", needs="task.edit", rest="DELETE /tasks/{task_id}/dependencies/{dependency_id}")
async def remove(tx: Tx, cmd: OneDependency) -> DependencyRemoved:
    """Have a task wait no more."""
    row = await tx.maybe("remove_dependency", cmd)
    if row is None:
        raise NotFound("There is no such dependency")
    part = DependencyPart(**{name: row[name] for name in ("id", *ENDS)}, removed=True)
    was = DependencyWas(type=row["type"], lag_minutes=row["lag_minutes"])
    return DependencyRemoved(dependency=part, was=was)


@query("dependency.list", needs="project.view", rest="GET /tasks/{task_id}/dependencies")
async def list_dependencies(tx: Tx, ask: DependenciesOf) -> Neighbours:
    """What a task waits for, and what it blocks; at most 200 each."""
    if await tx.maybe("found_task", task_id=ask.task_id) is None:
        raise NotFound("There is no such task")
    rows = await tx.many("dependencies_of_task", ask)
    return Neighbours(
        waits_for=[_neighbour(row) for row in rows if row["task_id"] == ask.task_id],
        blocks=[_neighbour(row) for row in rows if row["depends_on_id"] == ask.task_id],
    )


async def removed_with(tx: Tx, task_ids: Iterable[UUID]) -> list[DependencyPart] | None:
    """The dependencies that go to the trash with their tasks; None for none."""
    rows = await tx.many("dependencies_of_tasks", task_ids=list(task_ids))
    return [DependencyPart(id=row["id"], removed=True) for row in rows] or None


async def back_with(tx: Tx, task_ids: Iterable[UUID]) -> list[Dependency] | None:
    """The dependencies that come back with their tasks; None for none."""
    rows = await tx.many("dependencies_of_tasks", task_ids=list(task_ids))
    return [Dependency.of(row) for row in rows] or None


async def _refuse_cycle(tx: Tx, cmd: AddDependency) -> None:
    behind: dict[UUID, list[UUID]] = {}
    for row in await tx.many("dependencies_behind", cmd):
        behind.setdefault(row["task_id"], []).append(row["depends_on_id"])
    way = _way(behind, cmd.depends_on_id, cmd.task_id)
    if way is not None:
        raise Conflict(
            "The task would wait for itself",
            details={"cycle": [str(task_id) for task_id in (cmd.task_id, *way)]},
        )


def _way(behind: dict[UUID, list[UUID]], start: UUID, goal: UUID) -> list[UUID] | None:
    """The shortest way from one task to another along what they wait for."""
    came_from: dict[UUID, UUID] = {}
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        if here == goal:
            way = [here]
            while way[-1] != start:
                way.append(came_from[way[-1]])
            return way[::-1]
        for there in behind.get(here, ()):
            if there not in came_from and there != start:
                came_from[there] = here
                waiting.append(there)
    return None


def _neighbour(row: Row) -> Neighbour:
    return Neighbour(
        id=row["other_id"], key=row["other_key"], title=row["other_title"],
        completed_at=row["other_completed_at"], dependency=Dependency.of(row),
    )  # fmt: skip

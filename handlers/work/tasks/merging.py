"""Merging duplicates: what was said and planned of one task goes to another one of its project, and it goes to the archive."""

from typing import Any
from uuid import UUID

from pydantic import Field, model_validator

from handlers.context import Tx
from handlers.errors import Conflict, NotFound
from handlers.files.attachments import MOST_ON_A_TASK
from handlers.registry import Event, Payload, command, unique
from handlers.work.planning.sprint_facts import settle
from handlers.work.tasks import dependencies
from handlers.work.tasks.assignments import Assignment, AssignmentEnded, TaskAssigned, TaskUnassigned
from handlers.work.tasks.bulk import MOST_ASSIGNEES, MOST_TAGS
from handlers.work.tasks.checklists import MOST as MOST_CHECKLISTS
from handlers.work.tasks.checklists import MOST_ITEMS
from handlers.work.tasks.dependencies import AddDependency, Dependency, DependencyPart, removed_with
from handlers.work.tasks.links import Link
from handlers.work.tasks.tasks import Task, TaskPart, Was, parents_told, standing
from handlers.work.tasks.watchers import watching
from storage.ids import new_id
from storage.postgres import Row
from storage.rooms import RoomKey


class TaskMerged(Event, name="task.merged"):
    """A task took over what was said and planned of another one, which went to the archive."""

    task: TaskPart
    was: Was
    tasks: list[TaskPart] = Field(
        description="The other task, which is gone from the board, its subtasks, and parents that count otherwise now."
    )
    dependencies: list[Dependency | DependencyPart] | None = None
    link: Link


class MergeTask(Payload):
    task_id: UUID = Field(description="The duplicate.")
    into_id: UUID = Field(description="The task of the same project that stays.")

    @model_validator(mode="after")
    def of_two(self) -> "MergeTask":
        if self.task_id == self.into_id:
            raise ValueError("a task cannot be merged into itself")
        return self


@command("task.merge", needs="task.delete", rest="POST /tasks/{task_id}/merge", versioned=True)
async def merge(tx: Tx, cmd: MergeTask) -> list[TaskMerged | TaskAssigned | TaskUnassigned]:
    """Merge a duplicate into another task: comments, checklists, people, tags, labels, subtasks and dependencies go there.

    The duplicate goes to the archive, linked as one. What would close a circle, or is there already, is left out.
    """
    twin = await standing(tx, cmd.task_id)
    tx.check_version(twin, Task)
    kept = await standing(tx, cmd.into_id)
    if await tx.value("is_below", parent_id=cmd.into_id, task_id=cmd.task_id):
        raise Conflict("A task cannot be merged into one of its subtasks")
    await _check_checklists(tx, kept, twin)
    await _check_subtasks(tx, cmd)
    changes = _taken_over(kept, twin)
    edges = await tx.many("dependencies_of_tasks", task_ids=[cmd.task_id])
    gone = await removed_with(tx, [cmd.task_id]) or []
    moved = await tx.many("merge_task", cmd, **changes, edge_ids=[row["id"] for row in edges])
    fresh = next(row for row in moved if row["id"] == cmd.into_id)
    settle(tx, [twin, kept])
    again = await _dependencies(tx, cmd, edges)
    ends = {"task_id": cmd.task_id, "other_id": cmd.into_id, "type": "duplicates"}
    link = await tx.maybe("link_between", **ends) or await tx.one("add_link", id=new_id(), **ends)
    counted = await parents_told(tx, {cmd.into_id, cmd.task_id, twin["parent_id"]})
    changed = [
        name
        for name in (*changes, "comment_count", "checklist_total", "checklist_done")
        if fresh[name] != kept[name]
    ]
    event = TaskMerged(
        task=TaskPart(**{name: fresh[name] for name in (*changed, "id", "version", "updated_at")}),
        was=Was(**{name: kept[name] for name in changed}),
        tasks=[
            TaskPart(id=cmd.task_id, removed=True),
            *(_child(row) for row in moved if row["parent_id"] == cmd.into_id and row["on_board"]),
            *(part for part in counted if part.id != cmd.task_id),
        ],
        link=Link.of(link),
    )
    told: list[Dependency | DependencyPart] = [*gone, *again]
    if told:
        event.dependencies = told
    return [event, *_given(tx, cmd, kept, twin, fresh)]


def _taken_over(kept: Row, twin: Row) -> dict[str, Any]:
    """The fields that grow by those of the other task, each as long as it may be."""
    lists = {
        name: unique([*kept[name], *twin[name]])[:most]
        for name, most in (
            ("assignee_ids", MOST_ASSIGNEES),
            ("tags", MOST_TAGS),
            ("label_ids", MOST_TAGS),
            ("file_ids", MOST_ON_A_TASK),
        )
    }
    return {**lists, "watcher_ids": watching(kept, twin["watcher_ids"])}


async def _check_checklists(tx: Tx, kept: Row, twin: Row) -> None:
    """CONFLICT where the checklists of both are more than one task may have."""
    if kept["checklist_total"] + twin["checklist_total"] > MOST_ITEMS:
        raise Conflict(
            f"A task has at most {MOST_ITEMS} items in its checklists", details={"limit": MOST_ITEMS}
        )
    both = [await tx.many("checklists_of", task_id=row["id"]) for row in (kept, twin)]
    if all(both) and sum(map(len, both)) > MOST_CHECKLISTS:
        raise Conflict(f"A task has at most {MOST_CHECKLISTS} checklists", details={"limit": MOST_CHECKLISTS})


async def _check_subtasks(tx: Tx, cmd: MergeTask) -> None:
    """CONFLICT where a subtask of the duplicate and what it would become part of wait for each other."""
    for row in await tx.many("subtasks_of", cmd):
        if await tx.value("waits_for_parent", parent_id=cmd.into_id, task_id=row["id"]):
            raise Conflict(
                "A task and one of its subtasks cannot wait for each other", details={"task_id": row["id"]}
            )


async def _dependencies(tx: Tx, cmd: MergeTask, edges: list[Row]) -> list[Dependency]:
    """The dependencies of the duplicate for the task that stays, but for those that there are or cannot be."""
    there = await tx.many("dependencies_of_tasks", task_ids=[cmd.into_id])
    pairs = {(row["task_id"], row["depends_on_id"]) for row in there}
    again = []
    for row in edges:
        ends = [cmd.into_id if end == cmd.task_id else end for end in (row["task_id"], row["depends_on_id"])]
        if ends[0] == ends[1] or tuple(ends) in pairs:
            continue
        wanted = AddDependency(
            task_id=ends[0], depends_on_id=ends[1], type=row["type"], lag_minutes=row["lag_minutes"]
        )
        try:
            again.append((await dependencies.add(tx, wanted)).dependency)
        except (Conflict, NotFound):
            continue
    return again


def _child(row: Row) -> TaskPart:
    return TaskPart(
        id=row["id"], parent_id=row["parent_id"], version=row["version"], updated_at=row["updated_at"]
    )


def _given(tx: Tx, cmd: MergeTask, kept: Row, twin: Row, fresh: Row) -> list[TaskAssigned | TaskUnassigned]:
    """What those hear to whom the tasks are given: who has the one that stays now, and that the other is gone."""
    told: list[TaskAssigned | TaskUnassigned] = []
    for user_id in fresh["assignee_ids"]:
        if user_id not in kept["assignee_ids"]:
            given = Assignment(id=cmd.into_id, project_id=tx.room.id)
            told.append(TaskAssigned(assignment=given).to(RoomKey(tx.room.tenant_id, "user", user_id)))
    for user_id in twin["assignee_ids"]:
        ended = AssignmentEnded(id=cmd.task_id, removed=True)
        told.append(TaskUnassigned(assignment=ended).to(RoomKey(tx.room.tenant_id, "user", user_id)))
    return told

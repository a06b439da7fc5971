"""The archive of a project: tasks that are put away. They are on no board and in no snapshot, and lists find them.

Subtasks go along, to any depth, and come back with the task with which they went. A task in the archive is not changed
and not commented on: it is taken out first. To the trash it may go from there.
"""

from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import Conflict, NotFound
from handlers.registry import Event, Outcome, Payload, command
from handlers.work.planning.sprint_facts import settle
from handlers.work.tasks.bulk import BulkReply, Many, TaskOutcome, refused, summed
from handlers.work.tasks.dependencies import Dependency, DependencyPart, back_with, removed_with
from handlers.work.tasks.rules import OverLimit
from handlers.work.tasks.tasks import OneTask, Task, TaskPart, put_back, standing


class TaskArchived(Event, name="task.archived"):
    """A task went to the archive, and its subtasks with it."""

    task: TaskPart
    tasks: list[TaskPart] | None = Field(None, description="The subtasks that went with it.")
    dependencies: list[DependencyPart] | None = Field(None, description="What waited for them, or they for.")


class TaskUnarchived(Event, name="task.unarchived"):
    """A task came out of the archive, and the subtasks that had gone with it."""

    task: Task
    tasks: list[Task] | None = Field(None, description="The subtasks that came with it.")
    dependencies: list[Dependency] | None = Field(
        None, description="What waits for them again, or they for: where the other task stands."
    )
    over_limit: OverLimit | None = Field(None, description="The column where it holds more than it should.")


class TasksArchived(Event, name="tasks.archived"):
    """Several tasks went to the archive at once, and their subtasks with them."""

    tasks: list[TaskPart]
    dependencies: list[DependencyPart] | None = Field(None, description="What waited for them, or they for.")


class ArchiveTasks(Payload):
    project_id: UUID
    task_ids: Many = Field(description="At most 1,000 tasks of this project.")


@command("task.archive", needs="task.edit", rest="POST /tasks/{task_id}/archive", versioned=True)
async def archive(tx: Tx, cmd: OneTask) -> TaskArchived:
    """Put a task and its subtasks into the archive: off the board, and findable in lists."""
    tx.check_version(await standing(tx, cmd.task_id), Task)
    rows = await tx.many("archive_tasks", task_ids=[cmd.task_id])
    settle(tx, rows)
    gone = [row["id"] for row in rows]
    event = TaskArchived(task=TaskPart(id=cmd.task_id, removed=True))
    if below := [TaskPart(id=task_id, removed=True) for task_id in gone if task_id != cmd.task_id]:
        event.tasks = below
    if edges := await removed_with(tx, gone):
        event.dependencies = edges
    return event


@command("task.unarchive", needs="task.edit", rest="POST /tasks/{task_id}/unarchive")
async def unarchive(tx: Tx, cmd: OneTask) -> TaskUnarchived:
    """Take a task out of the archive, with the subtasks that went with it, to the end of its column."""
    row = await tx.maybe("archived_task", cmd)
    if row is None:
        raise NotFound("There is no such task in the archive")
    if row["parent_archived_at"] is not None:
        raise Conflict(
            "Its parent task is in the archive: take that one out", details={"task_id": row["parent_id"]}
        )
    back, over = await put_back(tx, await tx.many("archived_with", cmd))
    event = TaskUnarchived(task=next(task for task in back if task.id == cmd.task_id))
    if below := [task for task in back if task.id != cmd.task_id]:
        event.tasks = below
    if over:
        event.over_limit = over
    if edges := await back_with(tx, [task.id for task in back]):
        event.dependencies = edges
    return event


@command("tasks.archive", needs="task.edit", rest="POST /projects/{project_id}/tasks/archive")
async def archive_many(tx: Tx, cmd: ArchiveTasks) -> Outcome[TasksArchived, BulkReply]:
    """Put up to 1,000 tasks of a project and their subtasks into the archive at once."""
    rows = await tx.many("archive_tasks", cmd)
    settle(tx, rows)
    gone = {row["id"] for row in rows}
    outcomes = [
        TaskOutcome(id=task_id, outcome="done")
        if task_id in gone
        else refused(task_id, NotFound("There is no such task on the board"))
        for task_id in cmd.task_ids
    ]
    if not gone:
        return Outcome([], summed(outcomes))
    event = TasksArchived(tasks=[TaskPart(id=task_id, removed=True) for task_id in sorted(gone)])
    if edges := await removed_with(tx, gone):
        event.dependencies = edges
    return Outcome([event], summed(outcomes))

"""Taking a task to another project of the tenant, with all that is below it and all that was said of it.

It keeps its id, its comments, checklists, reminders and links, and gets a new key; the old one still leads to it. Statuses
become those of the same name or category, labels those of the same name. What belongs to the project it left stays there:
its parent, and dependencies on tasks that do not come along. Whoever cannot see the new project is not given it any more.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from pydantic import Field

from handlers.context import Tx
from handlers.errors import ValidationFailed
from handlers.files.files import File
from handlers.registry import Entity, Event, Gone, Outcome, Payload, Reply, command
from handlers.work.planning.sprint_facts import settle
from handlers.work.projects.labels import LabelCreated
from handlers.work.tasks.assignments import Assignment, AssignmentEnded, TaskAssigned, TaskUnassigned
from handlers.work.tasks.dependencies import Dependency, DependencyPart
from handlers.work.tasks.label_match import LEFT, match_labels
from handlers.work.tasks.places import Places, family, places_in, rights_there
from handlers.work.tasks.tasks import Task, TaskPart, parents_told, unapproved
from storage.postgres import Row
from storage.rooms import RoomKey


class Transfer(Entity):
    """From where to where a task went; `id` is the task's."""

    id: UUID
    from_project_id: UUID
    to_project_id: UUID


class TaskLeft(Event, name="task.left"):
    """A task went to another project, and its subtasks with it."""

    task: TaskPart
    tasks: list[TaskPart] | None = Field(
        None, description="The subtasks that went with it, and the parent that has one less."
    )
    dependencies: list[DependencyPart] | None = Field(None, description="What waited for them, or they for.")
    files: list[Gone] | None = Field(None, description="Their files that went with them.")
    transfer: Transfer


class TaskArrived(Event, name="task.arrived"):
    """A task came from another project, and its subtasks with it."""

    task: Task
    tasks: list[Task] | None = Field(None, description="The subtasks that came with it.")
    dependencies: list[Dependency] | None = Field(None, description="Those among them.")
    files: list[File] | None = Field(None, description="The files that came with them.")
    transfer: Transfer


class TransferTask(Payload):
    project_id: UUID = Field(description="The project in which it is.")
    task_id: UUID
    to_project_id: UUID = Field(description="Another project of the tenant, in which one may create tasks.")
    column_id: UUID | None = Field(
        None, description="The column there. Unset: the first that shows its status."
    )


class TransferReply(Reply):
    task: Task
    dropped: list[UUID] = Field(
        description="Dependencies on tasks that did not come along: they are no more."
    )
    left_labels: list[str] = Field(description=LEFT)


@command(
    "task.transfer",
    needs="task.delete",
    rest="POST /projects/{project_id}/tasks/{task_id}/transfer",
    room="tenant",
    within="project_id",
)
async def transfer(
    tx: Tx, cmd: TransferTask
) -> Outcome[TaskLeft | LabelCreated | TaskArrived | TaskAssigned | TaskUnassigned, TransferReply]:
    """Take a task and its subtasks to another project of the tenant; it needs `task.create` there.

    Labels that there are not in the other project are made, with the permission `board.edit` there. Files that nothing
    else has go along: those that one has uploaded, or all with the permission `project.edit`. The others stay.
    """
    if cmd.to_project_id == cmd.project_id:
        raise ValidationFailed.field("to_project_id", "must be another project")
    rights = await rights_there(tx, cmd.to_project_id, "task.create")
    rows = await family(tx, cmd.project_id, cmd.task_id)
    moved = await _moved(tx, cmd, rows, await places_in(tx, cmd.to_project_id))
    may_make = rights.allow("board.edit")
    labels = await match_labels(tx, cmd.project_id, cmd.to_project_id, rows, may_make=may_make)
    for row, one in zip(rows, moved, strict=True):
        one["label_ids"] = labels.of(row)
    task_ids = [row["id"] for row in rows]
    edges = await tx.many("dependencies_of_tasks", task_ids=task_ids)
    inner = [row for row in edges if row["task_id"] in task_ids and row["depends_on_id"] in task_ids]
    dropped = [row["id"] for row in edges if row not in inner]
    may_edit = tx.rights.allow("project.edit")
    going = await tx.many(
        "files_to_transfer", project_id=cmd.project_id, task_ids=task_ids, may_edit=may_edit
    )
    await tx.exec(
        "transfer_tasks",
        tasks=orjson.dumps(moved, default=str).decode(),
        task_ids=task_ids,
        from_project_id=cmd.project_id,
        to_project_id=cmd.to_project_id,
        drop_ids=dropped,
    )
    files = await _take_files(tx, cmd, going, task_ids)
    settle(tx, rows)
    counted = await parents_told(tx, {rows[0]["parent_id"], *task_ids})
    fresh = {row["id"]: row for row in await tx.many("tasks_of_family", task_ids=task_ids)}
    left = [part for part in counted if part.id not in fresh]
    events = _events(tx, cmd, rows, fresh, inner, [row["id"] for row in edges], left)
    if files:
        for event in events:
            if isinstance(event, TaskLeft):
                event.files = [Gone(id=file.id, removed=True) for file in files]
            elif isinstance(event, TaskArrived):
                event.files = files
    events[1:1] = labels.made  # after it has left, before it arrives
    reply = TransferReply(task=Task.of(fresh[cmd.task_id]), dropped=dropped, left_labels=labels.left)
    return Outcome(events, reply)


async def _take_files(tx: Tx, cmd: TransferTask, going: Sequence[Row], task_ids: list[UUID]) -> list[File]:
    """Files that nothing else has go along, as far as the actor may delete them; the others stay, and are taken off."""
    along = [row["id"] for row in going if row["goes"]]
    if left := [row["id"] for row in going if not row["goes"]]:
        await tx.exec("leave_files", task_ids=task_ids, file_ids=left)
    if not along:
        return []
    where = {"from_project_id": cmd.project_id, "to_project_id": cmd.to_project_id}
    return [File.of(row) for row in await tx.many("transfer_files", file_ids=along, **where)]


async def _moved(tx: Tx, cmd: TransferTask, rows: list[Row], places: Places) -> list[dict[str, Any]]:
    """What each task becomes there."""
    old = {row["id"]: row for row in await tx.many("statuses_of", project_id=cmd.project_id)}
    people = {user_id for row in rows for user_id in (*row["assignee_ids"], *row["watcher_ids"])}
    seeing = {
        row["user_id"]
        for row in await tx.many("assignable", project_id=cmd.to_project_id, user_ids=list(people))
    }
    numbered = await tx.one("next_task_numbers", project_id=cmd.to_project_id, count=len(rows))
    asks = bool(await tx.value("requires_approval", project_id=cmd.to_project_id))
    moved = []
    for at, row in enumerate(rows):
        top = row["id"] == cmd.task_id
        status = places.status_like(old[row["status_id"]])
        stands = row["deleted_at"] is None and row["archived_at"] is None
        place = places.put(status["id"], cmd.column_id if top else None, shown=stands)
        done = places.is_done(place["status_id"])
        if done and asks and row["completed_at"] is None and row["approval"] != "approved":
            raise unapproved(row["approval"])
        moved.append(
            {
                **place,
                "id": row["id"],
                "number": numbered["number"] - len(rows) + 1 + at,
                "prefix": numbered["prefix"],
                "parent_id": None if top else row["parent_id"],
                "completed_at": (row["completed_at"] or tx.now) if done else None,
                "assignee_ids": [user_id for user_id in row["assignee_ids"] if user_id in seeing],
                "watcher_ids": [user_id for user_id in row["watcher_ids"] if user_id in seeing],
            }
        )
    return moved


def _events(
    tx: Tx,
    cmd: TransferTask,
    rows: list[Row],
    fresh: dict[UUID, Row],
    inner: list[Row],
    gone: list[UUID],
    parents: list[TaskPart],
) -> list[TaskLeft | LabelCreated | TaskArrived | TaskAssigned | TaskUnassigned]:
    """What each room hears: the project that it left, the one it came to, and those to whom the tasks are given."""
    tenant_id = tx.room.tenant_id
    way = Transfer(id=cmd.task_id, from_project_id=cmd.project_id, to_project_id=cmd.to_project_id)
    standing = [row for row in rows if row["deleted_at"] is None and row["archived_at"] is None]
    below = [row["id"] for row in standing if row["id"] != cmd.task_id]
    left = TaskLeft(task=TaskPart(id=cmd.task_id, removed=True), transfer=way)
    arrived = TaskArrived(task=Task.of(fresh[cmd.task_id]), transfer=way)
    if beside := [TaskPart(id=task_id, removed=True) for task_id in below] + parents:
        left.tasks = beside
    if below:
        arrived.tasks = [Task.of(fresh[task_id]) for task_id in below]
    if gone:
        left.dependencies = [DependencyPart(id=edge_id, removed=True) for edge_id in gone]
    shown = {row["id"] for row in standing}
    if edges := [row for row in inner if row["task_id"] in shown and row["depends_on_id"] in shown]:
        arrived.dependencies = [Dependency.of({**row, "project_id": cmd.to_project_id}) for row in edges]
    events: list[TaskLeft | LabelCreated | TaskArrived | TaskAssigned | TaskUnassigned] = [
        left.to(RoomKey(tenant_id, "project", cmd.project_id)),
        arrived.to(RoomKey(tenant_id, "project", cmd.to_project_id)),
    ]
    for row in standing:
        for user_id in row["assignee_ids"]:
            room = RoomKey(tenant_id, "user", user_id)
            if user_id in fresh[row["id"]]["assignee_ids"]:
                given = Assignment(id=row["id"], project_id=cmd.to_project_id)
                events.append(TaskAssigned(assignment=given).to(room))
            else:
                ended = AssignmentEnded(id=row["id"], removed=True)
                events.append(TaskUnassigned(assignment=ended).to(room))
    return events

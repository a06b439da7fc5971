"""Copies of tasks: what they say, without what happened to them. A copy begins anew, open, in the first column or a named one."""

from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, Field

from handlers.context import Tx
from handlers.registry import Event, Outcome, Payload, Reply, Title, command
from handlers.work.projects.labels import LabelCreated
from handlers.work.tasks.assignments import Assignment, TaskAssigned
from handlers.work.tasks.label_match import LEFT, Match, match_labels
from handlers.work.tasks.places import Places, family, places_in, rights_there
from handlers.work.tasks.rules import check_entry
from handlers.work.tasks.tasks import Task, TaskPart, parents_told, unapproved
from storage.ids import new_id
from storage.postgres import Row
from storage.rooms import RoomKey

Part = Literal["subtasks", "assignees", "dates", "checklists"]
Parts = Annotated[list[Part], Field(max_length=4), AfterValidator(lambda parts: list(dict.fromkeys(parts)))]


class TaskCopied(Event, name="task.copied"):
    """A task came to be as a copy of another one, and its subtasks with it."""

    task: Task
    tasks: list[Task | TaskPart] | None = Field(
        None, description="The copies of its subtasks, and the parent that has one more."
    )


class CopyTask(Payload):
    project_id: UUID = Field(description="The project in which it is.")
    task_id: UUID
    to_project_id: UUID | None = Field(
        None, description="Another project of the tenant, in which one may create tasks. Unset: the same."
    )
    column_id: UUID | None = Field(None, description="The column there. Unset: the first.")
    title: Title | None = Field(None, description="Unset: the same.")
    include: Parts = Field(
        ["subtasks", "assignees", "dates", "checklists"], description="What is copied as well."
    )


class CopyReply(Reply):
    task: Task
    tasks: list[Task | TaskPart] | None = Field(
        description="The copies of its subtasks, and the parent that has one more."
    )
    left_labels: list[str] = Field(description=LEFT)


@command(
    "task.copy",
    needs="task.create",
    rest="POST /projects/{project_id}/tasks/{task_id}/copy",
    room="tenant",
    within="project_id",
    status=201,
)
async def copy(tx: Tx, cmd: CopyTask) -> Outcome[LabelCreated | TaskCopied | TaskAssigned, CopyReply]:
    """Copy a task, with its subtasks and more if wanted, within its project or to another one.

    Labels that there are not in another project are made, with the permission `board.edit` there.
    """
    to_id = cmd.to_project_id or cmd.project_id
    away = to_id != cmd.project_id
    rights = await rights_there(tx, to_id, "task.create") if away else tx.rights
    below = "subtasks" in cmd.include
    rows = _wanted(await family(tx, cmd.project_id, cmd.task_id), below=below)
    places = await places_in(tx, to_id)
    copies = await _copies(tx, cmd, to_id, rows, places)
    labels = Match()
    if away:
        may_make = rights.allow("board.edit")
        labels = await match_labels(tx, cmd.project_id, to_id, rows, may_make=may_make)
    for row, one in zip(rows, copies, strict=True):
        one["label_ids"] = labels.of(row) if away else row["label_ids"]
    fresh_of = {one["from_id"]: one["id"] for one in copies}
    await tx.exec("copy_family", tasks=orjson.dumps(copies, default=str).decode(), to_project_id=to_id)
    if "checklists" in cmd.include:
        for row in rows:
            if row["checklist_total"]:
                await tx.exec(
                    "copy_task_checklists", from_id=row["id"], task_id=fresh_of[row["id"]], project_id=to_id
                )
    parents = await parents_told(tx, {one["parent_id"] for one in copies})
    fresh = {row["id"]: row for row in await tx.many("tasks_of_family", task_ids=list(fresh_of.values()))}
    statuses = {status["id"]: status for status in places.statuses}
    for row in fresh.values():
        check_entry(row, statuses[row["status_id"]])
    event = TaskCopied(task=Task.of(fresh.pop(fresh_of[cmd.task_id])))
    outside = [part for part in parents if part.id not in fresh_of.values()]
    beside: list[Task | TaskPart] = [Task.of(row) for row in fresh.values()]
    beside += outside
    if beside:
        event.tasks = beside
    room = RoomKey(tx.room.tenant_id, "project", to_id)
    reply = CopyReply(task=event.task, tasks=event.tasks, left_labels=labels.left)
    return Outcome([*labels.made, event.to(room), *_assigned(tx, copies, to_id)], reply)


def _wanted(rows: list[Row], *, below: bool) -> list[Row]:
    """The first task, and those below it that stand, and stand below what is copied."""
    kept, ids = rows[:1], {rows[0]["id"]}
    for row in rows[1:] if below else []:
        if row["parent_id"] in ids and row["deleted_at"] is None and row["archived_at"] is None:
            kept.append(row)
            ids.add(row["id"])
    return kept


async def _copies(
    tx: Tx, cmd: CopyTask, to_id: UUID, rows: list[Row], places: Places
) -> list[dict[str, Any]]:
    """What will be written of each copy; the rest it has from its original."""
    fresh_of = {row["id"]: new_id() for row in rows}
    people = (
        {user_id for row in rows for user_id in row["assignee_ids"]} if "assignees" in cmd.include else set()
    )
    found = await tx.many("assignable", project_id=to_id, user_ids=list(people))
    seeing = {row["user_id"] for row in found}
    numbered = await tx.one("next_task_numbers", project_id=to_id, count=len(fresh_of))
    first = numbered["number"] - len(fresh_of) + 1
    keeps_parent = to_id == cmd.project_id
    asks = bool(await tx.value("requires_approval", project_id=to_id))
    copies: list[dict[str, Any]] = []
    for row in rows:
        top = row["id"] == cmd.task_id
        dates = "dates" in cmd.include
        place = places.put(places.first_status(cmd.column_id), cmd.column_id)
        done = places.is_done(place["status_id"])
        if done and asks:
            raise unapproved("none")
        copies.append(
            {
                **place,
                "completed_at": tx.now if done else None,
                "from_id": row["id"],
                "id": fresh_of[row["id"]],
                "number": first + len(copies),
                "prefix": numbered["prefix"],
                "title": cmd.title if top and cmd.title else row["title"],
                "parent_id": (row["parent_id"] if keeps_parent else None)
                if top
                else fresh_of[row["parent_id"]],
                "assignee_ids": [user_id for user_id in row["assignee_ids"] if user_id in seeing],
                "start_at": row["start_at"] if dates else None,
                "due_at": row["due_at"] if dates else None,
            }
        )
    return copies


def _assigned(tx: Tx, copies: list[dict[str, Any]], to_id: UUID) -> list[TaskAssigned]:
    return [
        TaskAssigned(assignment=Assignment(id=one["id"], project_id=to_id)).to(
            RoomKey(tx.room.tenant_id, "user", user_id)
        )
        for one in copies
        for user_id in one["assignee_ids"]
    ]

"""What a sprint holds: put tasks into it, take them out, read them in their order."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import AtriumError, Conflict, NotFound
from handlers.paging import decode_cursor, encode_cursor
from handlers.registry import Outcome, Page, Pagination, Paging, Payload, command, query
from handlers.work.planning.sprint_facts import Filling, settle, sprint_to_fill
from handlers.work.planning.sprints import find_sprint
from handlers.work.tasks.bulk import MOST, BulkReply, Many, TaskOutcome, TasksUpdated, refused, summed
from handlers.work.tasks.lists import TaskList
from handlers.work.tasks.tasks import Task, TaskPart, Was
from storage.postgres import Row


class FillSprint(Payload):
    project_id: UUID
    sprint_id: UUID
    task_ids: Many = Field(description="At most 1,000 tasks of the sprint's project.")
    with_subtasks: bool = Field(False, description="Take along all that is below them.")


class TasksOfSprint(Paging):
    project_id: UUID
    sprint_id: UUID


@command("sprint.add_tasks", needs="task.edit", rest="POST /projects/{project_id}/sprints/{sprint_id}/tasks")
async def add(tx: Tx, cmd: FillSprint) -> Outcome[TasksUpdated, BulkReply]:
    """Plan tasks into a sprint, from the backlog or another sprint; they keep their order."""
    filling = await sprint_to_fill(tx, cmd.sprint_id)
    rows = await _named(tx, cmd)
    return await _carry_out(
        tx, rows, {task_id: _may_come(filling, row) for task_id, row in rows.items()}, cmd.sprint_id
    )


@command(
    "sprint.remove_tasks",
    needs="task.edit",
    rest="POST /projects/{project_id}/sprints/{sprint_id}/tasks/remove",
)
async def remove(tx: Tx, cmd: FillSprint) -> Outcome[TasksUpdated, BulkReply]:
    """Take tasks out of a sprint that is not completed, back to the backlog."""
    await sprint_to_fill(tx, cmd.sprint_id)
    rows = await _named(tx, cmd)
    return await _carry_out(
        tx, rows, {task_id: _may_go(cmd.sprint_id, row) for task_id, row in rows.items()}, None
    )


@query("sprint.tasks", needs="project.view", rest="GET /projects/{project_id}/sprints/{sprint_id}/tasks")
async def list_tasks(tx: Tx, ask: TasksOfSprint) -> Page[TaskList]:
    """What a sprint holds, in the order of the backlog."""
    await find_sprint(tx, ask.sprint_id)
    place = decode_cursor(ask.cursor, str) or ("",)
    rows = await tx.many("tasks_of_sprint", ask, after_position=place[0], max_rows=ask.limit + 1)
    return ordered_page(rows, ask.limit)


def ordered_page(rows: list[Row], limit: int) -> Page[TaskList]:
    """A page of tasks in the order of the backlog, of which one row more has been read."""
    tasks = [Task.of(row) for row in rows[:limit]]
    more = encode_cursor(tasks[-1].backlog_position) if len(rows) > limit else None
    return Page(TaskList(tasks=tasks), Pagination(limit=limit, next=more))


async def _named(tx: Tx, cmd: FillSprint) -> dict[UUID, Row | None]:
    """The tasks that are meant, in their order; None for one that there is not."""
    task_ids: Iterable[UUID] = cmd.task_ids
    if cmd.with_subtasks:
        below = await tx.many("tasks_with_subtasks", cmd, max_rows=MOST + 1)
        task_ids = dict.fromkeys([*cmd.task_ids, *(row["id"] for row in below)])
        if len(task_ids) > MOST:
            raise Conflict(f"With their subtasks these are more than {MOST} tasks", details={"limit": MOST})
    rows = {row["id"]: row for row in await tx.many("tasks_by_ids", task_ids=list(task_ids))}
    return {task_id: rows.get(task_id) for task_id in task_ids}


def _may_come(filling: Filling, row: Row | None) -> bool | AtriumError:
    """Whether a task changes by going to a sprint, or why it may not."""
    if row is None:
        return NotFound("There is no such task")
    if row["sprint_id"] == filling.row["id"]:
        return False
    try:
        filling.take()
    except Conflict as error:
        return error
    return True


def _may_go(sprint_id: UUID, row: Row | None) -> bool | AtriumError:
    if row is None:
        return NotFound("There is no such task")
    return bool(row["sprint_id"] == sprint_id)


async def _carry_out(
    tx: Tx, rows: dict[UUID, Row | None], verdicts: dict[UUID, bool | AtriumError], to: UUID | None
) -> Outcome[TasksUpdated, BulkReply]:
    outcomes = [
        refused(task_id, verdict) if isinstance(verdict, AtriumError)
        else TaskOutcome(id=task_id, outcome="done" if verdict else "unchanged")
        for task_id, verdict in verdicts.items()
    ]  # fmt: skip
    before: list[Any] = [rows[task_id] for task_id, verdict in verdicts.items() if verdict is True]
    if not before:
        return Outcome([], summed(outcomes))
    moved = {
        row["id"]: row
        for row in await tx.many("to_sprint", task_ids=[row["id"] for row in before], to_sprint_id=to)
    }
    settle(tx, [*before, *moved.values()])
    event = TasksUpdated(
        tasks=[TaskPart.of(moved[row["id"]]) for row in before],
        was=[Was(id=row["id"], sprint_id=row["sprint_id"]) for row in before],
    )
    return Outcome([event], summed(outcomes))

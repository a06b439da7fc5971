"""Many tasks at once: one command, one transaction, one event, and of each task what became of it.

What can be done is done; a task that is gone, or for which a column has no room, is told of in the reply and left as it
was. All of it is read, decided and written together, so a thousand tasks take a handful of statements.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, Field, model_validator

from handlers.context import Tx
from handlers.errors import AtriumError, NotFound, ValidationFailed, VersionConflict
from handlers.registry import Entity, Event, Ids, Outcome, Payload, Reply, Version, command, unique
from handlers.work.boards.ends import Ends, ends_of
from handlers.work.planning.sprint_facts import Filling, settle, sprint_to_fill
from handlers.work.projects.labels import MOST_ON_A_TASK, LabelIds, check_labels
from handlers.work.tasks.bulk_values import values_of
from handlers.work.tasks.dates import settled
from handlers.work.tasks.dependencies import DependencyPart, removed_with
from handlers.work.tasks.rules import OverLimit, check_step, next_status, transitions_of
from handlers.work.tasks.subtasks import recount
from handlers.work.tasks.tasks import (
    SharedChanges,
    Tags,
    TaskPart,
    Was,
    check_people,
    parents_told,
    unapproved,
)
from handlers.work.tasks.watchers import watching_with
from storage.postgres import Row

MOST: Final = 1_000
"""Tasks that one command may name (count)."""
MOST_TAGS, MOST_ASSIGNEES = 50, 100
"""What one task may have of each (count), as when it is changed by itself."""

Many = Annotated[list[UUID], Field(min_length=1, max_length=MOST), AfterValidator(unique)]

WRITTEN: Final = (
    "type", "priority", "column_id", "status_id", "position", "assignee_ids", "watcher_ids", "tags",
    "label_ids", "start_at", "due_at", "completed_at", "estimate_minutes", "sprint_id",
    "fields",
)  # fmt: skip


class UpdateTasks(Payload):
    project_id: UUID
    task_ids: Many = Field(description="At most 1,000 tasks of this project.")
    changes: SharedChanges | None = None
    column_id: UUID | None = Field(
        None, description="Move them to the end of this column, in the order in which they are named."
    )
    add_tags: Tags = []
    remove_tags: Tags = []
    add_label_ids: LabelIds = []
    remove_label_ids: LabelIds = []
    add_assignee_ids: Ids = []
    remove_assignee_ids: Ids = []
    versions: Annotated[dict[UUID, Version], Field(max_length=MOST)] = Field(
        {},
        description="Task id -> the version that it is thought to have: where it has another one, it is refused.",
    )

    @model_validator(mode="after")
    def something(self) -> "UpdateTasks":
        lists = (
            self.add_tags, self.remove_tags, self.add_label_ids, self.remove_label_ids,
            self.add_assignee_ids, self.remove_assignee_ids,
        )  # fmt: skip
        if self.changes is None and self.column_id is None and not any(lists):
            raise ValueError("names nothing to do")
        if self.column_id is not None and self.changes is not None and self.changes.status_id is not None:
            raise ValueError("takes column_id or changes.status_id, not both: each decides the other")
        return self


class DeleteTasks(Payload):
    project_id: UUID
    task_ids: Many = Field(description="At most 1,000 tasks of this project.")


class TasksUpdated(Event, name="tasks.updated"):
    """Several tasks changed at once."""

    tasks: list[TaskPart]
    was: list[Was] = Field(description="The values that changed fields had before, each with its task's id.")
    over_limits: list[OverLimit] | None = Field(None, description="Columns that hold more than they should.")


class TasksDeleted(Event, name="tasks.deleted"):
    """Several tasks went to the trash at once, and their subtasks with them."""

    tasks: list[TaskPart]
    dependencies: list[DependencyPart] | None = Field(None, description="What waited for them, or they for.")


class TaskOutcome(Entity):
    """What became of one task."""

    id: UUID
    outcome: Literal["done", "unchanged", "refused"]
    code: str | None = Field(None, description="Why it was refused: an error code, as for a single task.")
    message: str | None = None
    details: dict[str, Any] | None = Field(None, description="Those of the error, as for a single task.")


class BulkReply(Reply):
    outcomes: list[TaskOutcome] = Field(description="One for each task named, in that order.")
    done: int
    unchanged: int
    refused: int
    over_limits: list[OverLimit] = Field([], description="Columns that hold more than they should.")


@dataclass(slots=True)
class _Board:
    """What has to be known of the project to decide where tasks go."""

    columns: Mapping[UUID, Row]
    """In the order of the boards, and on each in its own."""
    statuses: Mapping[UUID, Mapping[str, Any]]
    ends: Ends
    """Of the columns where tasks may go."""
    asks_approval: bool = False
    """Whether a task must be approved before it is done."""
    sprint: Filling | None = None


@dataclass(slots=True)
class Decided:
    """What will be written and told."""

    tasks: list[TaskPart] = field(default_factory=list)
    was: list[Was] = field(default_factory=list)
    written: list[dict[str, Any]] = field(default_factory=list)
    given: list[tuple[UUID, UUID]] = field(default_factory=list)
    taken: list[tuple[UUID, UUID]] = field(default_factory=list)
    parents: set[UUID | None] = field(default_factory=set)
    """Those with a subtask in another status than before."""

    def add(self, row: Row, fresh: dict[str, Any], now: datetime) -> bool:
        """Take a task's new values; False where they are those that it has."""
        changed = {name: value for name, value in fresh.items() if value != row[name]}
        if not changed:
            return False
        part = {"id": row["id"], "version": row["version"] + 1, "updated_at": now, **changed}
        self.tasks.append(TaskPart(**part))
        self.was.append(Was(id=row["id"], **{name: row[name] for name in changed}))
        self.written.append({"id": row["id"], **{name: changed.get(name, row[name]) for name in WRITTEN}})
        if "completed_at" in changed and row["series_id"] is not None:
            self.tasks[-1].series_id = row["series_id"]
        if "status_id" in changed:
            self.parents.add(row["parent_id"])
        if "assignee_ids" in changed:
            before, after = row["assignee_ids"], changed["assignee_ids"]
            self.given += [(row["id"], user_id) for user_id in after if user_id not in before]
            self.taken += [(row["id"], user_id) for user_id in before if user_id not in after]
        return True


@command("tasks.update", needs="task.edit", rest="POST /projects/{project_id}/tasks/update")
async def update(tx: Tx, cmd: UpdateTasks) -> Outcome[TasksUpdated, BulkReply]:
    """Change, move, tag or assign up to 1,000 tasks of a project at once."""
    values = await values_of(tx, cmd.changes.fields if cmd.changes else None)
    await check_people(tx, cmd.add_assignee_ids, "add_assignee_ids")
    await check_labels(tx, cmd.add_label_ids, "add_label_ids")
    board = await _board(tx, cmd)
    if cmd.changes is not None and cmd.changes.sprint_id is not None:
        board.sprint = await sprint_to_fill(tx, cmd.changes.sprint_id)
    rows = {row["id"]: row for row in await tx.many("tasks_by_ids", task_ids=cmd.task_ids)}
    decided, outcomes = Decided(), list[TaskOutcome]()
    for task_id in cmd.task_ids:
        row = rows.get(task_id)
        try:
            if row is None:
                raise NotFound("There is no such task")
            _check_version(cmd, row)
            fresh = _fresh(tx, cmd, board, row, values.changed(row))
            values.tell(row, fresh)
            changed = decided.add(row, fresh, tx.now)
        except AtriumError as error:
            outcomes.append(refused(task_id, error))
        else:
            outcomes.append(TaskOutcome(id=task_id, outcome="done" if changed else "unchanged"))
    write(tx, decided)
    settle(tx, [*decided.written, *(rows[task["id"]] for task in decided.written)])
    await count_parents(tx, decided)
    if not decided.tasks:
        return Outcome([], summed(outcomes))
    event, reply = TasksUpdated(tasks=decided.tasks, was=decided.was), summed(outcomes)
    if over := list(board.ends.over.values()):
        event.over_limits = reply.over_limits = over
    return Outcome([event], reply)


@command("tasks.delete", needs="task.delete", rest="POST /projects/{project_id}/tasks/delete")
async def delete(tx: Tx, cmd: DeleteTasks) -> Outcome[TasksDeleted, BulkReply]:
    """Put up to 1,000 tasks of a project and their subtasks into the trash at once."""
    rows = await tx.many("delete_many_tasks", cmd)
    settle(tx, rows)
    gone = {row["id"] for row in rows}
    outcomes = [
        TaskOutcome(id=task_id, outcome="done")
        if task_id in gone
        else refused(task_id, NotFound("There is no such task"))
        for task_id in cmd.task_ids
    ]
    if not gone:
        return Outcome([], summed(outcomes))
    event = TasksDeleted(tasks=[TaskPart(id=task_id, removed=True) for task_id in sorted(gone)])
    event.tasks += await parents_told(tx, {row["parent_id"] for row in rows} - gone)
    if edges := await removed_with(tx, gone):
        event.dependencies = edges
    return Outcome([event], summed(outcomes))


async def _board(tx: Tx, cmd: UpdateTasks) -> _Board:
    status_id = cmd.changes.status_id if cmd.changes else None
    if cmd.column_id is None and status_id is None:
        return _Board({}, {}, Ends({}, {}, {}))
    columns = {row["id"]: row for row in await tx.many("columns_of")}
    rows = await tx.many("statuses_of")
    statuses = {row["id"]: {**dict(row), "transitions": transitions_of(row)} for row in rows}
    if status_id is not None and status_id not in statuses:
        raise NotFound("There is no such status")
    if cmd.column_id is not None and cmd.column_id not in columns:
        raise NotFound("There is no such column")
    ends = await ends_of(
        tx, (row for row in columns.values() if row["id"] == cmd.column_id or status_id in row["status_ids"])
    )
    return _Board(columns, statuses, ends, bool(await tx.value("requires_approval")))


def _check_version(cmd: UpdateTasks, row: Row) -> None:
    wanted = cmd.versions.get(row["id"], row["version"])
    if wanted != row["version"]:
        raise VersionConflict(
            f"Version {wanted} is old: it is at version {row['version']}", details={"version": row["version"]}
        )


def _fresh(tx: Tx, cmd: UpdateTasks, board: _Board, row: Row, own: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a task is to have, with all its custom ones; an error where it cannot, and no room is taken then."""
    fresh = cmd.changes.model_dump(exclude_unset=True) if cmd.changes else {}
    fresh |= settled(row, fresh)
    fresh |= own
    if cmd.add_tags or cmd.remove_tags:
        fresh["tags"] = _changed(row["tags"], cmd.add_tags, cmd.remove_tags)
        _at_most(MOST_TAGS, fresh["tags"], "tags")
    if cmd.add_label_ids or cmd.remove_label_ids:
        fresh["label_ids"] = _changed(row["label_ids"], cmd.add_label_ids, cmd.remove_label_ids)
        _at_most(MOST_ON_A_TASK, fresh["label_ids"], "labels")
    if cmd.add_assignee_ids or cmd.remove_assignee_ids:
        fresh["assignee_ids"] = _changed(row["assignee_ids"], cmd.add_assignee_ids, cmd.remove_assignee_ids)
        _at_most(MOST_ASSIGNEES, fresh["assignee_ids"], "assignees")
        fresh["watcher_ids"] = watching_with(row, fresh["assignee_ids"])
    planned = board.sprint if board.sprint and row["sprint_id"] != board.sprint.row["id"] else None
    if planned:
        planned.check()
    if cmd.column_id is not None:
        shown = board.columns[cmd.column_id]["status_ids"]
        fresh["status_id"] = next_status(board.statuses[row["status_id"]], shown)
    if "status_id" in fresh:
        status_id = fresh["status_id"]
        check_step(tx, {**dict(row), **fresh}, board.statuses[row["status_id"]], board.statuses[status_id])
        done = board.statuses[status_id]["category"] == "done"
        if done and board.asks_approval and row["completed_at"] is None and row["approval"] != "approved":
            raise unapproved(row["approval"])
        fresh["completed_at"] = (row["completed_at"] or tx.now) if done else None
        fresh |= _placed(cmd, board, row, status_id)
    if planned:
        planned.take()
    return fresh


def _placed(cmd: UpdateTasks, board: _Board, row: Row, status_id: UUID) -> dict[str, Any]:
    """Where a task comes to lie: at the end of the named column, or of one that shows its new status."""
    here = board.columns.get(row["column_id"])
    if cmd.column_id is None and here is not None and status_id in here["status_ids"]:
        return {}
    column_id = cmd.column_id or board.ends.showing(status_id, board_id=here["board_id"] if here else None)
    position = board.ends.take(column_id, counts=row["column_id"] != column_id)
    return {"column_id": column_id, "position": position}


def _changed(values: list[Any], more: list[Any], fewer: list[Any]) -> list[Any]:
    kept = [value for value in values if value not in fewer]
    return kept + [value for value in more if value not in kept and value not in fewer]


def _at_most(most: int, values: list[Any], what: str) -> None:
    if len(values) > most:
        raise ValidationFailed(f"A task has at most {most} {what}")


async def count_parents(tx: Tx, decided: Decided) -> None:
    """Tell of the parents whose subtasks count otherwise after what was written."""
    for parent in await recount(tx, decided.parents):
        decided.tasks.append(TaskPart.of(parent))
        decided.was.append(
            Was(id=parent["id"], subtask_total=parent["had_total"], subtask_done=parent["had_done"])
        )


def write(tx: Tx, decided: Decided) -> None:
    if decided.written:
        tx.defer("update_many_tasks", tasks=orjson.dumps(decided.written, default=str).decode())
    for statement, pairs in (("unassign_many", decided.taken), ("assign_many", decided.given)):
        if pairs:
            tx.defer(
                statement,
                task_ids=[task_id for task_id, _ in pairs],
                user_ids=[user_id for _, user_id in pairs],
            )


def refused(task_id: UUID, error: AtriumError) -> TaskOutcome:
    """The outcome of a task that stays as it was."""
    return TaskOutcome(
        id=task_id,
        outcome="refused",
        code=error.code,
        message=error.message,
        details=error.details or None,
    )


def summed(outcomes: list[TaskOutcome]) -> BulkReply:
    """All outcomes, counted."""

    def count(outcome: str) -> int:
        return sum(one.outcome == outcome for one in outcomes)

    return BulkReply(
        outcomes=outcomes, done=count("done"), unchanged=count("unchanged"), refused=count("refused")
    )

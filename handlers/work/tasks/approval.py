"""Approval: somebody is asked whether a task is good, and says so or says why not.

Who may answer is whoever was asked and sees the project, and whoever has the permission `task.approve`. Without that nobody
approves what she has asked for herself. An API key answers only where its scopes hold `task.approve`. Where the project's
setting `require_approval` is on, no task gets into a status of the category `done` before it is approved, in whatever way.
"""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from handlers.context import Tx
from handlers.errors import Conflict, Forbidden, NotFound
from handlers.registry import Entity, Event, Payload, Reply, Timestamp, command, no_nul, query, unique
from handlers.work.tasks.tasks import ApprovalState, OneTask, Task, TaskPart, Was, check_people, standing
from storage.postgres import Row
from storage.rooms import RoomKey

Approvers = Annotated[list[UUID], Field(min_length=1, max_length=20), AfterValidator(unique)]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=5_000), AfterValidator(no_nul)]
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=5_000), AfterValidator(no_nul)
]


class Approval(Entity):
    """The newest approval that was asked for a task; `id` is the task's."""

    id: UUID
    state: ApprovalState
    approver_ids: list[UUID]
    note: str
    requested_by: UUID
    requested_at: Timestamp
    answer: str
    answered_by: UUID | None
    answered_at: Timestamp | None


class ApprovalRequested(Event, name="task.approval_requested"):
    """Somebody is asked to approve a task."""

    task: TaskPart
    approval: Approval
    was: Was


class TaskApproved(Event, name="task.approved"):
    """A task was found good."""

    task: TaskPart
    approval: Approval
    was: Was


class TaskRejected(Event, name="task.rejected"):
    """A task was not found good yet; the answer says why."""

    task: TaskPart
    approval: Approval
    was: Was


class ApprovalAsked(Event, name="approval.asked"):
    """You are asked to approve a task."""

    approval: Approval


class RequestApproval(Payload):
    task_id: UUID
    approver_ids: Approvers = Field(description="Who may answer; one answer is enough.")
    note: Note = ""


class ApproveTask(Payload):
    task_id: UUID
    note: Note = ""


class RejectTask(Payload):
    task_id: UUID
    note: Reason = Field(description="What has to be done before it is good.")


class ApprovalReply(Reply):
    approval: Approval | None


@command(
    "task.request_approval", needs="task.edit", rest="POST /tasks/{task_id}/request-approval", versioned=True
)
async def request(tx: Tx, cmd: RequestApproval) -> list[ApprovalRequested | ApprovalAsked]:
    """Ask people to approve a task; a new request takes the place of the one before."""
    row = await standing(tx, cmd.task_id)
    tx.check_version(row, Task)
    await check_people(tx, cmd.approver_ids, "approver_ids")
    asked = await tx.one("request_approval", cmd)
    approval, part, was = await _now(tx, row, asked, "requested")
    told = [
        ApprovalAsked(approval=approval).to(RoomKey(tx.room.tenant_id, "user", user_id))
        for user_id in cmd.approver_ids
    ]
    return [ApprovalRequested(task=part, approval=approval, was=was), *told]


@command(
    "task.approve",
    needs="project.view",
    scope="task.approve",
    rest="POST /tasks/{task_id}/approve",
    versioned=True,
)
async def approve(tx: Tx, cmd: ApproveTask) -> TaskApproved:
    """Find a task good: for whoever was asked by somebody else, or has the permission `task.approve`."""
    approval, part, was = await _answer(tx, cmd, "approved")
    return TaskApproved(task=part, approval=approval, was=was)


@command(
    "task.reject",
    needs="project.view",
    scope="task.approve",
    rest="POST /tasks/{task_id}/reject",
    versioned=True,
)
async def reject(tx: Tx, cmd: RejectTask) -> TaskRejected:
    """Say why a task is not good yet: for whoever was asked by somebody else, or has the permission `task.approve`."""
    approval, part, was = await _answer(tx, cmd, "rejected")
    return TaskRejected(task=part, approval=approval, was=was)


@query("task.get_approval", needs="project.view", rest="GET /tasks/{task_id}/approval")
async def get_approval(tx: Tx, ask: OneTask) -> ApprovalReply:
    """Who was asked to approve a task, and what was answered; null where nobody was."""
    row = await tx.maybe("found_task", ask)
    if row is None:
        raise NotFound("There is no such task")
    asked = await tx.maybe("approval", ask)
    return ApprovalReply(approval=None if asked is None else _approval(row["approval"], asked))


async def _answer(
    tx: Tx, cmd: ApproveTask | RejectTask, state: ApprovalState
) -> tuple[Approval, TaskPart, Was]:
    row = await standing(tx, cmd.task_id)
    tx.check_version(row, Task)
    asked = await tx.maybe("approval", cmd)
    if not tx.rights.allow("task.approve") and (asked is None or not _is_asked(asked, tx.actor.user_id)):
        raise Forbidden(
            "Only who was asked by somebody else answers, or who has the permission task.approve",
            details={"permission": "task.approve"},
        )
    if asked is None or row["approval"] == "none":
        raise Conflict("Nobody was asked to approve this task: request it first")
    if row["approval"] == state:
        raise Conflict(f"The task is {state} already")
    return await _now(tx, row, await tx.one("answer_approval", cmd), state)


def _is_asked(asked: Row, user_id: UUID) -> bool:
    return user_id in asked["approver_ids"] and user_id != asked["requested_by"]


async def _now(tx: Tx, row: Row, asked: Row, state: ApprovalState) -> tuple[Approval, TaskPart, Was]:
    fresh = await tx.one("set_approval", task_id=row["id"], approval=state)
    part = TaskPart(id=row["id"], approval=state, version=fresh["version"], updated_at=tx.now)
    return _approval(state, asked), part, Was(approval=row["approval"])


def _approval(state: ApprovalState, asked: Row) -> Approval:
    return Approval.of({**asked, "id": asked["task_id"], "state": state})

"""Files on tasks: attached and taken off again. The task has their ids; `file.get` and `file.list` tell what they are."""

from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import Conflict
from handlers.files.attachments import MOST_ON_A_TASK, Attached, FileIds, check_files
from handlers.registry import Event, Payload, command, unique
from handlers.work.tasks.tasks import standing


class TaskAttached(Event, name="task.attached"):
    """Files were attached to a task."""

    task: Attached


class TaskDetached(Event, name="task.detached"):
    """Files were taken off a task; the project still has them."""

    task: Attached


class AttachFiles(Payload):
    task_id: UUID
    file_ids: FileIds = Field(min_length=1, description="Files of the task's project.")


@command("task.attach", needs="task.edit", rest="POST /tasks/{task_id}/attach")
async def attach(tx: Tx, cmd: AttachFiles) -> TaskAttached:
    """Attach files of the project to a task; those that it has already stay where they are."""
    row = await standing(tx, cmd.task_id)
    await check_files(tx, cmd.file_ids, "file_ids")
    file_ids = unique([*row["file_ids"], *cmd.file_ids])
    if len(file_ids) > MOST_ON_A_TASK:
        raise Conflict(f"A task has at most {MOST_ON_A_TASK} files", details={"limit": MOST_ON_A_TASK})
    return TaskAttached.of(await tx.one("set_task_files", cmd, new_ids=file_ids))


@command("task.detach", needs="task.edit", rest="POST /tasks/{task_id}/detach")
async def detach(tx: Tx, cmd: AttachFiles) -> TaskDetached:
    """Take files off a task; those that it does not have do no harm."""
    row = await standing(tx, cmd.task_id)
    file_ids = [file_id for file_id in row["file_ids"] if file_id not in cmd.file_ids]
    return TaskDetached.of(await tx.one("set_task_files", cmd, new_ids=file_ids))

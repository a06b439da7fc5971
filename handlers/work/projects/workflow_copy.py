"""The workflow, the boards, the labels and the fields of a project, copied into another one."""

from uuid import UUID

from handlers.context import Tx


async def write(tx: Tx, *, source_id: UUID, project_id: UUID, ids: dict[UUID, UUID]) -> None:
    """Copy statuses, boards, columns, labels and fields; `ids` says what each is called in the copy."""
    about = {
        "source_id": source_id,
        "project_id": project_id,
        "old_ids": list(ids),
        "new_ids": list(ids.values()),
    }
    for statement in ("copy_statuses", "copy_boards", "copy_columns", "copy_labels", "copy_fields"):
        await tx.exec(statement, **about)

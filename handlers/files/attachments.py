"""Files as attachments: comments and tasks name files of their project by id."""

from collections.abc import Iterable
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import ValidationFailed
from handlers.registry import Entity, Ids, Timestamp

MOST: Final = 20
"""Files that are attached together, and that one comment has (count)."""
MOST_ON_A_TASK: Final = 50
"""Files of one task (count): the board carries their ids."""

FileIds = Annotated[Ids, Field(max_length=MOST)]


class Attachment(Entity):
    """A file as whatever it is attached to shows it."""

    id: UUID
    name: str
    size: int
    content_type: str


class Attached(Entity):
    """A task with the files that it has now."""

    id: UUID
    file_ids: list[UUID]
    version: int
    updated_at: Timestamp


async def attachments(tx: Tx, file_ids: Iterable[UUID]) -> dict[UUID, Attachment]:
    """Those of some files that are there in this project, by id."""
    wanted = list(dict.fromkeys(file_ids))
    if not wanted:
        return {}
    return {row["id"]: Attachment.of(row) for row in await tx.many("files_by_ids", file_ids=wanted)}


async def check_files(tx: Tx, file_ids: list[UUID], field: str) -> list[Attachment]:
    """These files; VALIDATION_ERROR of a field that names one which the project does not have."""
    found = await attachments(tx, file_ids)
    if strange := [str(file_id) for file_id in file_ids if file_id not in found]:
        raise ValidationFailed.field(field, f"is no file of this project: {', '.join(strange)}")
    return [found[file_id] for file_id in file_ids]

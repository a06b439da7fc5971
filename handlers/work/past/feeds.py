"""Reading the log backwards: of a task, a project, a person, or all that one may see in the tenant."""

from typing import Final
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import NotFound
from handlers.paging import LAST_ID, LAST_MOMENT, decode_cursor, encode_cursor, moment
from handlers.registry import Pagination, Paging, Seq
from handlers.work.past.log import Past
from handlers.work.past.sentences import SILENT
from storage.postgres import Row

LAST_SEQ: Final = 2**63 - 1
TOLD_TWICE: Final = (
    "project.updated", "project.deleted", "project.restored", "project.archived", "project.unarchived", "budget.changed",
)  # fmt: skip
"""Events of a project that the tenant's room has as well: in the tenant's feed that one counts, as it stays."""


class Feed(Paging):
    project_id: UUID | None = Field(None, description="Unset: the project of the task.")
    task_id: UUID | None = Field(None, description="Only what is about this task.")
    user_id: UUID | None = Field(None, description="Only what this person did.")
    since: Seq = Field(
        0, description="Only events of the room after this number: what one has just heard, in words."
    )


class WideFeed(Paging):
    user_id: UUID | None = Field(None, description="Only what this person did.")


async def read_feed(tx: Tx, ask: Feed) -> tuple[list[Past], Pagination]:
    """The events of a project, or of one task, newest first."""
    [before_seq] = decode_cursor(ask.cursor, int) or (LAST_SEQ,)
    await check_task(tx, ask.task_id)
    await _check_person(tx, ask.user_id)
    statement = "task_log" if ask.task_id else "project_log_of" if ask.user_id else "project_log"
    rows = await tx.many(statement, ask, before_seq=before_seq, silent=sorted(SILENT), max_rows=ask.limit + 1)
    more = encode_cursor(rows[ask.limit - 1]["seq"]) if len(rows) > ask.limit else None
    return [Past.of(row) for row in rows[: ask.limit]], Pagination(limit=ask.limit, next=more)


async def read_wide_feed(tx: Tx, ask: WideFeed) -> tuple[list[Past], dict[UUID, str], Pagination]:
    """The events of all rooms that one may see but those of persons, newest first, and the kinds of these rooms."""
    place = decode_cursor(ask.cursor, moment, UUID, int) or (LAST_MOMENT, LAST_ID, LAST_SEQ)
    await _check_person(tx, ask.user_id)
    whole = "person_log" if ask.user_id else "tenant_log"
    statement = whole if tx.rights.every_project else "shared_log"
    rows = await tx.many(
        statement, ask, before_at=place[0], before_room=place[1], before_seq=place[2],
        people=[tx.actor.user_id, *tx.rights.stands_for], sees_tenant=tx.rights.allow("tenant.view"),
        twice=list(TOLD_TWICE), silent=sorted(SILENT), max_rows=ask.limit + 1,
    )  # fmt: skip
    more = encode_cursor(*_place(rows[ask.limit - 1])) if len(rows) > ask.limit else None
    shown = rows[: ask.limit]
    kinds = {row["room_id"]: row["kind"] for row in shown}
    return [Past.of(row) for row in shown], kinds, Pagination(limit=ask.limit, next=more)


async def check_task(tx: Tx, task_id: UUID | None) -> None:
    """NOT_FOUND for a task that never was in the project; one in the trash or the archive has a past."""
    if task_id is not None and not await tx.many("tasks_anywhere", task_ids=[task_id]):
        raise NotFound("There is no such task")


async def _check_person(tx: Tx, user_id: UUID | None) -> None:
    if user_id is not None and not await tx.many("user_names", ids=[user_id]):
        raise NotFound("There is no such member")


def _place(row: Row) -> tuple[object, ...]:
    return row["at"], row["room_id"], row["seq"]

"""Where tasks come to lie in another project: statuses and columns that answer to those they had, rights, and numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from handlers.access import Rights
from handlers.context import Tx
from handlers.entry import read_rights
from handlers.errors import Conflict, Forbidden, NotFound
from handlers.work.boards.ends import Ends, ends_of
from handlers.work.projects.parts import lock_projects
from storage.postgres import Row
from storage.rooms import RoomKey

MOST: Final = 200
"""Tasks that are copied or taken to another project at once, subtasks among them (count)."""


@dataclass(slots=True)
class Places:
    """The boards of a project, filled task by task."""

    columns: list[Row]
    statuses: list[Row]
    ends: Ends

    def status_like(self, old: Mapping[str, Any]) -> Row:
        """The status of the same name, else the first of the same category, else the first of all."""
        named = [row for row in self.statuses if row["name"].casefold() == old["name"].casefold()]
        alike = [row for row in self.statuses if row["category"] == old["category"]]
        return (named or alike or self.statuses)[0]

    def put(self, status_id: UUID, column_id: UUID | None, *, shown: bool = True) -> dict[str, Any]:
        """Column, status and position at the end of a column: of the named one, else of one that shows the status.

        CONFLICT where the column is full, for a task that is shown.
        """
        showing = [row for row in self.columns if status_id in row["status_ids"]]
        named = [row for row in self.columns if row["id"] == column_id]
        if column_id is not None and not named:
            raise NotFound("There is no such column")
        if not self.columns:
            raise Conflict("The project has no column")
        column = (named or showing or self.columns)[0]
        at = status_id if status_id in column["status_ids"] else column["status_ids"][0]
        position = self.ends.take(column["id"], counts=shown)
        return {"column_id": column["id"], "status_id": at, "position": position}

    def first_status(self, column_id: UUID | None) -> UUID:
        """The first status of a column, or of the first one."""
        named = [row for row in self.columns if row["id"] == column_id]
        if not self.columns:
            raise Conflict("The project has no column")
        first: UUID = (named or self.columns)[0]["status_ids"][0]
        return first

    def is_done(self, status_id: UUID) -> bool:
        return any(row["id"] == status_id and row["category"] == "done" for row in self.statuses)


async def places_in(tx: Tx, project_id: UUID) -> Places:
    """The boards of a project as they are."""
    columns = await tx.many("columns_of", project_id=project_id)
    statuses = await tx.many("statuses_of", project_id=project_id)
    return Places(columns, statuses, await ends_of(tx, columns, project_id=project_id))


async def rights_there(tx: Tx, project_id: UUID, permission: str) -> Rights:
    """Lock the room of another project too, and ask for a permission there; NOT_FOUND where one may not see it."""
    room = RoomKey(tx.room.tenant_id, "project", project_id)
    await lock_projects(tx, {project_id})
    rights = await read_rights(tx.session, room, tx.actor)
    standing = await tx.maybe("project_standing", project_id=project_id)
    if standing is None or standing["gone"] or not rights.allow("project.view"):
        raise NotFound("There is no such project")
    if not rights.allow(permission):
        raise Forbidden(
            f"This needs the permission {permission} in the other project", details={"permission": permission}
        )
    if standing["archived"]:
        raise Conflict("The other project is archived", details={"reason": "project_archived"})
    return rights


async def family(tx: Tx, project_id: UUID, task_id: UUID) -> list[Row]:
    """A task of the board and all below it, the trash and the archive among them; from the top down."""
    rows = await tx.many("task_family", project_id=project_id, task_id=task_id, max_rows=MOST + 1)
    if not rows or rows[0]["archived_at"] is not None:
        raise NotFound("There is no such task on the board")
    if len(rows) > MOST:
        raise Conflict(f"At most {MOST} tasks go at once, subtasks among them", details={"limit": MOST})
    return rows

"""What a project is in: portfolios hold programs and projects, programs hold projects. So there are no circles."""

from typing import Final, Literal
from uuid import UUID

from handlers import access
from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed

Type = Literal["standard", "template", "portfolio", "program"]

RANK: Final = {"standard": 0, "template": 0, "program": 1, "portfolio": 2}
"""What is in something has a lower rank than that."""
NAMED: Final = 10
"""How many projects an error names at most (count)."""


async def check_parent(tx: Tx, kind: Type, parent_id: UUID | None, project_id: UUID | None = None) -> None:
    """Refuse a parent that is not there, not to be seen, in the archive, or of a kind that cannot hold this one."""
    if parent_id is None:
        return
    if kind == "template" or parent_id == project_id:
        raise ValidationFailed.field(
            "parent_id", "a template is in nothing" if kind == "template" else "is itself"
        )
    row = await tx.maybe("project", project_id=parent_id)
    if row is None or not await may_in(tx, parent_id, "project.view"):
        raise NotFound("There is no such portfolio or program")
    if RANK[row["type"]] <= RANK[kind]:
        raise ValidationFailed.field("parent_id", f"a {row['type']} holds no {kind} project")
    if row["archived_at"] is not None:
        raise Conflict("That portfolio or program is archived", details={"reason": "project_archived"})


async def check_children(tx: Tx, project_id: UUID, kind: Type) -> None:
    """Refuse another type while there is something in a project that this type cannot hold."""
    held = [
        row for row in await tx.many("children_of", project_id=project_id) if RANK[row["type"]] >= RANK[kind]
    ]
    if held:
        raise Conflict(f"A {kind} cannot hold what is in it", details=_named([row["id"] for row in held]))


async def require_empty(tx: Tx, project_id: UUID) -> None:
    """Refuse to delete what other projects are in."""
    if held := await tx.many("children_of", project_id=project_id):
        raise Conflict(
            "There are projects in it: delete them, or take them out",
            details=_named([row["id"] for row in held]),
        )


async def check_unit(tx: Tx, unit_id: UUID | None) -> None:
    """Refuse a unit that is not there."""
    if unit_id is not None and not await tx.value("is_unit", unit_id=unit_id):
        raise NotFound("There is no such unit")


async def may_in(tx: Tx, project_id: UUID, permission: str) -> bool:
    """Whether the caller has a permission in another project than that of the room."""
    if tx.actor.authority is not None:
        return tx.actor.authority.allow(permission)
    row = await tx.maybe("actor_rights", room_id=project_id)
    rights = access.rights(row, "project", project_id) if row else None
    return rights is not None and rights.within(tx.actor.scopes).allow(permission)


def _named(ids: list[UUID]) -> dict[str, object]:
    return {"project_ids": ids[:NAMED], "count": len(ids)}

"""Who may do what in a room: read from the database at the beginning of every command, query and join."""

from collections.abc import Mapping
from typing import Any, Final

from handlers import access
from handlers.context import Principal, Tx
from handlers.errors import Conflict, Forbidden, NotFound
from handlers.registry import ROOMS_OWN, Spec
from storage.postgres import Row, Session
from storage.rooms import RoomKey

VIEWS: Final = frozenset({"tenant.view", "project.view"})
"""A command that needs no more than this changes what is one's own: how one looks at a project, what one watches. It is for
people in a session, unless it has a `scope`; a key that may only look changes nothing."""

ARCHIVED: Final = "project_archived"
"""Why a command is a CONFLICT with a project that is read-only."""


def permit(tx: Tx, spec: Spec) -> None:
    """The permission that a call needs; what needs none, or no more than to look, is open to an API key only by its `scope`."""
    if spec.needs:
        tx.require(spec.needs)
        if spec.kind != "command" or spec.needs not in VIEWS:
            return
    if tx.actor.scopes is not None:
        if spec.scope is None:
            raise Forbidden("An API key cannot do this", details={"reason": "session_needed"})
        if spec.scope != ROOMS_OWN and spec.scope not in tx.actor.scopes:
            raise Forbidden(
                f"An API key needs the scope {spec.scope} for this", details={"permission": spec.scope}
            )


def require_open(archived: bool) -> None:
    """Refuse to change what is in a project that is archived."""
    if archived:
        raise Conflict(
            "This project is archived: take it out of the archive to change it",
            details={"reason": ARCHIVED},
        )


def rights_in(room: RoomKey, actor: Mapping[str, Any] | None, principal: Principal) -> access.Rights:
    """What a caller may do here, as the database has it now; NOT_FOUND where the room is none of his business."""
    if principal.authority is not None:
        return principal.authority
    rights = actor and access.rights(actor, room.kind, room.id)
    if not rights:
        raise NotFound
    return rights.within(principal.scopes)


async def enter(session: Session, room: RoomKey, principal: Principal) -> tuple[Row, access.Rights]:
    """Where a room stands and what this person may do in it; NOT_FOUND where it is not his to know of."""
    row = await session.maybe("room_for", room_id=room.id, actor_id=principal.user_id)
    if row is None or row["kind"] != room.kind or row["gone"]:
        raise NotFound
    rights = rights_in(room, row, principal)
    access.require_in_use(row["tenant_status"])
    return row, rights


async def read_rights(session: Session, room: RoomKey, principal: Principal) -> access.Rights:
    """The same, read for one person."""
    row = await session.maybe("actor_rights", room_id=room.id, actor_id=principal.user_id)
    return rights_in(room, row, principal)

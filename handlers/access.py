"""Who may do what: one list of permissions, one matrix of roles, one function that decides."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, get_args
from uuid import UUID

Role = Literal["owner", "admin", "manager", "member", "viewer", "client", "guest"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""From most to least; a project role may raise or narrow the tenant role inside that project."""

PERMISSIONS: Final = {
    "tenant.view": "See the tenant, its members and the list of projects.",
    "tenant.manage": "Change the tenant.",
    "project.create": "Create a project.",
    "project.view": "See a project, its board and its tasks.",
    "project.edit": "Rename a project and change its dates, status and description.",
    "project.delete": "Delete a project, or bring it back.",
    "board.edit": "Create boards and columns, change their order and limits.",
    "task.create": "Create a task.",
    "task.edit": "Change, move and assign a task.",
    "task.delete": "Delete a task, or bring it back.",
    "comment.add": "Comment on a task.",
    "presence.share": "Be seen in a room: status, focus, cursor and typing.",
}

_GUEST: Final = frozenset({"project.view", "comment.add", "presence.share"})
_CLIENT: Final = _GUEST
_VIEWER: Final = frozenset({"tenant.view", "project.view", "presence.share"})
_MEMBER: Final = _VIEWER | {"task.create", "task.edit", "task.delete", "comment.add"}
_MANAGER: Final = _MEMBER | {"project.create", "project.edit", "board.edit"}
_ADMIN: Final = _MANAGER | {"project.delete", "tenant.manage"}

MATRIX: Final[dict[Role, frozenset[str]]] = {
    "owner": frozenset(PERMISSIONS),
    "admin": _ADMIN,
    "manager": _MANAGER,
    "member": _MEMBER,
    "viewer": _VIEWER,
    "client": _CLIENT,
    "guest": _GUEST,
}

SEES_EVERY_PROJECT: Final = frozenset({"owner", "admin", "manager", "member", "viewer"})
"""The others see only projects that they are members of."""


def above(role: Role, other: Role) -> bool:
    """Whether a role is higher than another."""
    return ROLES.index(role) < ROLES.index(other)


@dataclass(frozen=True, slots=True)
class Rights:
    """What one person may do in one room."""

    role: Role
    permissions: frozenset[str]

    def allow(self, permission: str) -> bool:
        return permission in self.permissions


def rights(
    *,
    user_id: UUID,
    role: Role,
    project_role: Role | None,
    in_project: bool,
    live: bool,
    room_kind: str,
    room_id: UUID,
) -> Rights | None:
    """The rights in a room, or None where the room is not this person's to know of."""
    if not live or (room_kind == "user" and room_id != user_id):
        return None
    if room_kind == "project" and not in_project and role not in SEES_EVERY_PROJECT:
        return None
    return _rights(role, project_role)


@lru_cache(maxsize=256)
def _rights(role: Role, project_role: Role | None) -> Rights:
    if project_role is None or role in ("owner", "admin"):
        return Rights(role, MATRIX[role])
    return Rights(project_role, MATRIX[project_role])

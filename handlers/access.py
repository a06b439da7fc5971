"""Who may do what: one list of permissions, one matrix of roles, one function that decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, get_args
from uuid import UUID

Role = Literal["owner", "admin", "manager", "member", "viewer", "client", "guest"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""From most to least; a project role may raise or narrow the tenant role inside that project."""

PERMISSIONS: Final = {
    "tenant.view": "See the tenant, its members and the list of projects.",
    "tenant.manage": "Change the tenant: its name, settings and branding.",
    "tenant.delete": "Delete the tenant, or take it out of use.",
    "security.manage": "Decide how people sign in, and manage the API keys of the tenant.",
    "audit.view": "Read and export the audit log.",
    "member.invite": "Invite people, and see and withdraw invitations.",
    "member.manage": "Change, activate, deactivate and remove members.",
    "member.export": "Export the members with their addresses, and import them.",
    "role.manage": "Define roles of one's own and give members permissions beside their role.",
    "team.manage": "Create teams, and say who is in them.",
    "unit.manage": "Create departments, clients and regions, and say who and what belongs to them.",
    "project.create": "Create a project.",
    "project.view": "See a project, its board and its tasks.",
    "project.edit": "Rename a project and change its dates, status and description.",
    "project.delete": "Delete a project, or bring it back.",
    "project.share": "Say who takes part in a project, and as what.",
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
_MANAGER: Final = _MEMBER | {
    "project.create", "project.edit", "project.share", "board.edit", "member.invite", "team.manage",
}  # fmt: skip
_ADMIN: Final = frozenset(PERMISSIONS) - {"tenant.delete"}

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

    def within(self, scopes: frozenset[str] | None) -> "Rights":
        """The part of them that a credential with these scopes may use; None is one without limits."""
        return self if scopes is None else Rights(self.role, self.permissions & scopes)


def rights(actor: Mapping[str, Any], room_kind: str, room_id: UUID) -> Rights | None:
    """The rights in a room, or None where the room is not this person's to know of.

    `actor` is a row of the member as the statements of `sql/log.sql` and `sql/rights.sql` read it: `user_id`, `role`,
    `allowed` and `denied` (permissions beside the role), `project_role`, `in_project` and `live`.
    """
    if not actor["live"] or (room_kind == "user" and str(room_id) != str(actor["user_id"])):
        return None
    if room_kind == "project" and not actor["in_project"] and actor["role"] not in SEES_EVERY_PROJECT:
        return None
    return _rights(
        actor["role"], actor["project_role"], tuple(actor["allowed"] or ()), tuple(actor["denied"] or ())
    )


@lru_cache(maxsize=4096)
def _rights(
    role: Role, project_role: Role | None, allowed: tuple[str, ...], denied: tuple[str, ...]
) -> Rights:
    """A project role replaces the one in the tenant; what is denied to a person is denied everywhere."""
    here = role if project_role is None or role in ("owner", "admin") else project_role
    if role == "owner":
        return Rights(role, MATRIX[role])
    return Rights(here, (MATRIX[here] | set(allowed)) - set(denied))

"""Who may do what: one list of permissions, one matrix of roles, one function that decides."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal, get_args
from uuid import UUID

import orjson

from handlers.errors import Forbidden

Role = Literal["owner", "admin", "manager", "member", "viewer", "client", "guest"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""From most to least; a project role may raise or narrow the tenant role inside that project."""

PERMISSIONS: Final = {
    "tenant.view": "See the tenant, its members and the list of projects.",
    "tenant.manage": "Change the tenant: its name, settings and branding.",
    "tenant.delete": "Delete the tenant, take it out of use, or put it under an organization.",
    "organization.view": "Read across the tenants of an organization.",
    "security.manage": "Decide how people sign in, and manage the API keys of the tenant.",
    "audit.view": "Read and export the audit log.",
    "member.invite": "Invite people, and see and withdraw invitations.",
    "member.manage": "Change, activate, deactivate and remove members.",
    "member.export": "Export the members with their addresses, and import them.",
    "role.manage": "Define roles of one's own and give members permissions beside their role.",
    "team.manage": "Create teams, and say who is in them.",
    "unit.manage": "Create departments, clients and regions, and say who and what belongs to them.",
    "rights.delegate": "Let another member act with one's rights for a time.",
    "project.create": "Create a project.",
    "project.view": "See a project, its board and its tasks.",
    "project.edit": "Rename a project and change its dates, status and description.",
    "project.delete": "Delete a project, or bring it back.",
    "project.share": "Say who takes part in a project, and as what.",
    "board.edit": "Create boards and columns, change their order and limits.",
    "automation.manage": "Make, change and switch the rules of a project, and read what they did.",
    "sprint.manage": "Plan, start and complete sprints.",
    "task.create": "Create a task.",
    "task.edit": "Change, move and assign a task.",
    "task.delete": "Delete a task, or bring it back.",
    "task.approve": "Approve a task, whoever was asked to.",
    "comment.add": "Comment on a task, and upload files.",
    "presence.share": "Be seen in a room: status, focus, cursor and typing.",
}

_GUEST: Final = frozenset({"project.view", "comment.add", "presence.share"})
_CLIENT: Final = _GUEST
_VIEWER: Final = frozenset({"tenant.view", "project.view", "presence.share"})
_MEMBER: Final = _VIEWER | {"task.create", "task.edit", "task.delete", "comment.add", "rights.delegate"}
_MANAGER: Final = _MEMBER | {
    "automation.manage", "board.edit", "member.invite", "project.create", "project.edit", "project.share", "sprint.manage", "task.approve", "team.manage",
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

OUTSIDE: Final = frozenset({"client", "guest"})
"""Roles of people from outside: they see only what is shared with them, whatever permissions they are given."""

STAFF_NOUNS: Final = frozenset({"tenant", "security", "audit", "member", "role", "team", "unit", "rights"})
STAFF_ONLY: Final = frozenset(name for name in PERMISSIONS if name.partition(".")[0] in STAFF_NOUNS) | {
    "project.create", "project.delete", "project.share",
}  # fmt: skip
"""What no permission beside the role gives to people from outside."""


OUT_OF_USE: Final = {
    "inactive": "This tenant is not in use: its owner can put it back into use",
    "suspended": "This tenant is suspended",
    "deleted": "This tenant is deleted: its owner can bring it back for a while",
}
"""Status of a tenant that nobody may enter -> what a member is told."""


def require_in_use(status: str) -> None:
    """Refuse a member of a tenant that is out of use. Tokens stay good, and go on when it is in use again."""
    if status in OUT_OF_USE:
        raise Forbidden(OUT_OF_USE[status], details={"reason": f"tenant_{status}"})


def require_second_factor(lacks: bool) -> None:
    """Refuse a session without a second factor in a tenant that asks for one."""
    if lacks:
        raise Forbidden(
            "This tenant asks for a second factor: add one to your account, or give it at POST /auth/prove",
            details={"reason": "second_factor_required"},
        )


def above(role: Role, other: Role) -> bool:
    """Whether a role is higher than another."""
    return ROLES.index(role) < ROLES.index(other)


@lru_cache(maxsize=4096)
def permissions_of(role: Role, allowed: tuple[str, ...] = (), denied: tuple[str, ...] = ()) -> frozenset[str]:
    """What a role gives, with the permissions beside it; an owner may do everything."""
    if role == "owner":
        return MATRIX[role]
    more = set(allowed) - STAFF_ONLY if role in OUTSIDE else set(allowed)
    return (MATRIX[role] | more) - set(denied)


@dataclass(frozen=True, slots=True)
class Rights:
    """What one person may do in one room."""

    role: Role
    permissions: frozenset[str]
    own_role: Role
    own: frozenset[str]
    """What she may do by herself: without those she acts for, and without limits of the credential."""
    every_project: bool
    """Whether she sees all projects of the tenant; otherwise those that she takes part in."""
    stands_for: tuple[UUID, ...] = ()
    """The members whose rights she has besides, for a time."""

    def allow(self, permission: str) -> bool:
        return permission in self.permissions

    @property
    def to_give(self) -> frozenset[str]:
        """What she may let others do: nobody gives what he does not have, or has only in another's place."""
        return self.permissions & self.own

    def within(self, scopes: frozenset[str] | None) -> "Rights":
        """The part of them that a credential with these scopes may use; None is one without limits."""
        return self if scopes is None else replace(self, permissions=self.permissions & scopes)


OWN: Final = "own"
"""Stands for the role in the tenant where a team or unit takes part in a project without another one."""


def rights(actor: Mapping[str, Any], room_kind: str, room_id: UUID) -> Rights | None:
    """The rights in a room, or None where the room is not this person's to know of.

    `actor` is a row of the member as the statements of `sql/log.sql` and `sql/rights.sql` read it: `user_id`, `role`,
    `allowed` and `denied` (permissions beside the role), `in_project`, `direct` with `project_role`, `shared_roles`
    (her part in the project), `live`, and `stands_for`: the same of those for whom she acts.
    """
    if not actor["live"] or (room_kind == "user" and str(room_id) != str(actor["user_id"])):
        return None
    own = _alone(actor, room_kind)
    others = stands_for(actor)
    if not others:
        return own
    found = [each for each in (own, *(_alone(other, room_kind) for other in others)) if each]
    if not found:
        return None
    return Rights(
        role=min((each.role for each in found), key=ROLES.index),
        permissions=frozenset().union(*(each.permissions for each in found)),
        own_role=own.role if own else actor["role"],
        own=own.permissions if own else frozenset(),
        every_project=any(each.every_project for each in found),
        stands_for=tuple(UUID(str(other["user_id"])) for other in others),
    )


def stands_for(actor: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those for whom somebody acts. People from outside act for nobody: they see what is shared with themselves."""
    listed = actor.get("stands_for")
    if not listed or actor["role"] in OUTSIDE:
        return []
    others: list[dict[str, Any]] = orjson.loads(listed) if isinstance(listed, str) else listed
    return others


def _alone(actor: Mapping[str, Any], room_kind: str) -> Rights | None:
    """The rights that somebody has by herself."""
    found = _rights(
        actor["role"],
        tuple(actor["allowed"] or ()),
        tuple(actor["denied"] or ()),
        bool(actor["direct"]),
        actor["project_role"],
        tuple(actor["shared_roles"] or ()),
    )
    return found if room_kind != "project" or actor["in_project"] or found.every_project else None


def of_role(role: Role) -> Rights:
    """What a role may do by itself, for who acts without being a member."""
    return _rights(role, (), (), False, None, ())


@lru_cache(maxsize=4096)
def _rights(
    role: Role,
    allowed: tuple[str, ...],
    denied: tuple[str, ...],
    direct: bool,
    project_role: Role | None,
    shared_roles: tuple[str, ...],
) -> Rights:
    """A role of one's own in a project replaces the one in the tenant with all that is allowed beside it. Roles through
    teams and units only raise, unless they are the reason why the project is seen at all. What is denied to a person
    is denied everywhere.
    """
    in_tenant = permissions_of(role, allowed, denied)
    every_project = "tenant.view" in in_tenant
    here, permissions = role, in_tenant
    if role not in ("owner", "admin"):
        if direct and project_role is not None:
            here, permissions = project_role, MATRIX[project_role] - set(denied)
        elif shared := highest(shared_roles):
            given = (MATRIX[each] for each in ROLES if each in shared_roles)
            here, permissions = shared, frozenset().union(*given) - set(denied)
            if every_project or direct or OWN in shared_roles:
                here, permissions = min(role, shared, key=ROLES.index), in_tenant | permissions
    return Rights(here, permissions, here, permissions, every_project)


def highest(roles: Iterable[str]) -> Role | None:
    """The highest of some roles; None where there is none but one's own."""
    return min((role for role in ROLES if role in roles), key=ROLES.index, default=None)

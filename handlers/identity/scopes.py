"""Scopes: the permissions that an API key is limited to. With every call it may do what its holder may and they allow."""

from typing import Annotated, Final

from pydantic import Field, WithJsonSchema

from handlers import access
from handlers.access import PERMISSIONS
from handlers.context import Tx
from handlers.errors import Forbidden, ValidationFailed

_READ: Final = frozenset({"tenant.view", "project.view"})

GROUPS: Final[dict[str, frozenset[str]]] = {
    "read": _READ,
    "write": _READ | {
        "project.create", "project.edit", "board.edit", "task.create", "task.edit", "task.delete", "comment.add",
        "presence.share",
    },
}  # fmt: skip
"""Handy names for several permissions at once: to see things, and to work with them. What manages people, security or
the tenant itself is in none of them and has to be named."""

Scopes = Annotated[
    list[Annotated[str, WithJsonSchema({"type": "string", "enum": [*GROUPS, *PERMISSIONS]})]],
    Field(min_length=1, max_length=100),
]


def granted(asked: list[str], own: frozenset[str]) -> list[str]:
    """The permissions that are meant, in one order. Nobody gives a key what he may not do himself.

    Of a group counts what one has oneself; a permission that is named must be one's own.
    """
    unknown = [scope for scope in asked if scope not in GROUPS and scope not in PERMISSIONS]
    if unknown:
        raise ValidationFailed.field("scopes", f"{unknown[0][:50]} is neither a permission nor a group")
    lacking = sorted({scope for scope in asked if scope in PERMISSIONS} - own)
    if lacking:
        raise Forbidden(
            f"Nobody gives a key what he may not do himself: {', '.join(lacking)}",
            details={"permission": lacking[0]},
        )
    meant = {permission for scope in asked for permission in GROUPS.get(scope, {scope})} & own
    if not meant:
        raise ValidationFailed.field("scopes", "hold nothing that you may do yourself")
    return sorted(meant)


async def own_permissions(tx: Tx) -> frozenset[str]:
    """What a person may do anywhere in the tenant: a role in a project may allow more than the one beside it."""
    actor = dict(await tx.one("actor_rights", room_id=tx.room.tenant_id))
    roles = [row["role"] for row in await tx.many("project_roles_of")]
    here = [
        access.rights(
            actor | {"project_role": role, "direct": True, "in_project": True}, "project", tx.room.id
        )
        for role in roles
    ]
    return tx.rights.permissions.union(*(rights.permissions for rights in here if rights))

"""Roles of a tenant's own: one of the seven as the base, and permissions beside it."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from handlers.access import OUTSIDE, PERMISSIONS, ROLES, STAFF_ONLY, Role, permissions_of
from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed, constraint
from handlers.paging import decode_cursor, encode_cursor
from handlers.registry import (
    Entity,
    Event,
    Gone,
    Name,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Text,
    command,
    query,
)
from storage.ids import new_id
from storage.postgres import Row

MOST_ROLES: Final = 200
"""Roles that a tenant may define (count): every snapshot of its room lists them."""

Base = Literal["admin", "manager", "member", "viewer", "client", "guest"]


def _known(name: str) -> str:
    if name not in PERMISSIONS:
        raise ValueError("is not the name of a permission")
    return name


Permission = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(PERMISSIONS)})
]
PermissionList = Annotated[
    list[Permission], Field(max_length=len(PERMISSIONS)), AfterValidator(lambda names: sorted(set(names)))
]
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]
Remark = Annotated[Text, StringConstraints(max_length=1000)]

constraint("custom_roles_name_key", "name", "Another role has this name")
constraint("custom_roles_pkey", "id", "A role with this id exists")


class CustomRole(Entity):
    """A role that a tenant has defined: that of its base, and more or less than it."""

    id: UUID
    name: str
    description: str
    colour: str | None
    base: Base = Field(description="Where it stands among the seven roles.")
    allowed: list[str] = Field(description="What it gives beyond its base.")
    denied: list[str] = Field(description="What it takes away, in projects too.")
    version: int


class CustomRoleWas(Entity):
    """The values that changed fields had before."""

    name: str | None = None
    description: str | None = None
    colour: str | None = None
    base: Base | None = None
    allowed: list[str] | None = None
    denied: list[str] | None = None


class Holder(Entity):
    """A member whose place among the seven roles has changed with a role that she has."""

    id: UUID
    role: Role


class RoleCreated(Event, name="role.created"):
    """The tenant has a role of its own."""

    role: CustomRole


class RoleUpdated(Event, name="role.updated"):
    """A role was changed, for everybody who has it; `members` are those whose base role is another one now."""

    role: CustomRole
    was: CustomRoleWas
    members: list[Holder]


class RoleDeleted(Event, name="role.deleted"):
    """A role that nobody had is no more."""

    role: Gone


class CreateRole(Payload):
    id: UUID | None = Field(None, description="UUID of the new role, where the client makes it.")
    name: Name
    base: Base
    allowed: PermissionList = []
    denied: PermissionList = []
    description: Remark = ""
    colour: Colour | None = Field(None, description="Such as #2f6fed.")


class UpdateRole(Payload):
    role_id: UUID
    name: Name | None = None
    base: Base | None = None
    allowed: PermissionList | None = None
    denied: PermissionList | None = None
    description: Remark | None = None
    colour: Colour | None = None


class DeleteRole(Payload):
    role_id: UUID


class RoleList(Reply):
    roles: list[CustomRole]


@query("role.list", needs="tenant.view", rest="GET /tenants/{tenant_id}/roles", room="tenant")
async def list_roles(tx: Tx, ask: Paging) -> Page[RoleList]:
    """The roles that the tenant has defined, by name; the seven that everybody has are in the permission matrix."""
    after_name, after_id = decode_cursor(ask.cursor, str, UUID) or ("", UUID(int=0))
    rows = await tx.many(
        "custom_roles_page", after_name=after_name, after_id=after_id, max_rows=ask.limit + 1
    )
    last = rows[ask.limit - 1] if len(rows) > ask.limit else None
    more = encode_cursor(last["name"].lower(), last["id"]) if last else None
    return Page(
        RoleList(roles=[CustomRole.of(row) for row in rows[: ask.limit]]),
        Pagination(limit=ask.limit, next=more),
    )


@command(
    "role.create", needs="role.manage", rest="POST /tenants/{tenant_id}/roles", room="tenant", status=201
)
async def create(tx: Tx, cmd: CreateRole) -> RoleCreated:
    """Define a role. Nobody puts a permission into it that he does not have himself."""
    _check(cmd.name, cmd.base, cmd.allowed, cmd.denied)
    tx.may_give(cmd.base, cmd.allowed, cmd.denied)
    if await tx.value("count_custom_roles") >= MOST_ROLES:
        raise Conflict(f"A tenant has at most {MOST_ROLES} roles of its own")
    return RoleCreated.of(await tx.one("create_custom_role", cmd, id=cmd.id or new_id()))


@command(
    "role.update",
    needs="role.manage",
    rest="PUT /tenants/{tenant_id}/roles/{role_id}",
    room="tenant",
    versioned=True,
)
async def update(tx: Tx, cmd: UpdateRole) -> RoleUpdated:
    """Change a role, at once for everybody who has it. None of them may do more than who changes it."""
    row = await custom_role(tx, cmd.role_id)
    tx.check_version(row, CustomRole)
    holders = await tx.many("holders_of_role", cmd)
    tx.may_change(row["base"], row["allowed"], row["denied"])
    for holder in holders:
        tx.may_change(holder["role"], holder["all_allowed"], holder["all_denied"])
    fields = {**dict(row), **_changes(cmd)}
    _check(fields["name"], fields["base"], fields["allowed"], fields["denied"])
    if fields["base"] == "guest" and any(holder["expires_at"] is None for holder in holders):
        raise ValidationFailed.field(
            "base", "cannot be guest while members have it whose membership has no end"
        )
    before = permissions_of(row["base"], tuple(row["allowed"]), tuple(row["denied"]))
    tx.may_give(fields["base"], fields["allowed"], fields["denied"], before=before)
    fresh = await tx.one("update_custom_role", cmd, **fields, actor_id=tx.actor.user_id, now=tx.now)
    roles = {holder["id"]: holder for holder in holders}
    settled = await tx.many("settle_holders", cmd)
    for holder in settled:
        was = roles[holder["id"]]
        before = permissions_of(was["role"], tuple(was["all_allowed"] or ()), tuple(was["all_denied"] or ()))
        tx.may_give(holder["role"], holder["all_allowed"], holder["all_denied"], before=before)
        tx.may_lift(holder["id"], was["all_denied"], holder["all_denied"])
    await tx.rights_changed()
    changed = {name: row[name] for name in CustomRoleWas.model_fields if row[name] != fresh[name]}
    moved = [Holder.of(holder) for holder in settled if holder["role"] != roles[holder["id"]]["role"]]
    return RoleUpdated(role=CustomRole.of(fresh), was=CustomRoleWas(**changed), members=moved)


@command(
    "role.delete", needs="role.manage", rest="DELETE /tenants/{tenant_id}/roles/{role_id}", room="tenant"
)
async def delete(tx: Tx, cmd: DeleteRole) -> RoleDeleted:
    """Delete a role that nobody has: give its holders another one first."""
    row = await custom_role(tx, cmd.role_id)
    tx.may_change(row["base"], row["allowed"], row["denied"])
    if holders := await tx.many("holders_of_role", cmd):
        raise Conflict(
            "Members have this role: give them another one first", details={"members": len(holders)}
        )
    await tx.exec("forget_custom_role", cmd)
    await tx.exec("delete_custom_role", cmd)
    return RoleDeleted(role=Gone(id=cmd.role_id, removed=True))


async def custom_role(tx: Tx, role_id: UUID) -> Row:
    """A role of the tenant, or NOT_FOUND."""
    row = await tx.maybe("custom_role", role_id=role_id)
    if row is None:
        raise NotFound("There is no such role")
    return row


def check_beside(role: Role, allowed: list[str], denied: list[str]) -> None:
    """Permissions beside a role that make sense with it."""
    if both := sorted({*allowed} & {*denied}):
        raise ValidationFailed.field("denied", f"is allowed as well: {', '.join(both)}")
    if role in OUTSIDE and (staff := sorted(STAFF_ONLY & {*allowed})):
        raise ValidationFailed.field("allowed", f"is for staff, not for a {role}: {', '.join(staff)}")


def _check(name: str, base: Role, allowed: list[str], denied: list[str]) -> None:
    if name.casefold() in ROLES:
        raise ValidationFailed.field("name", "is the name of a role that every tenant has")
    check_beside(base, allowed, denied)


def _changes(cmd: UpdateRole) -> dict[str, Any]:
    """What the caller has named; only a colour can be unset."""
    given = cmd.model_dump(exclude_unset=True, exclude={"role_id"})
    return {name: value for name, value in given.items() if value is not None or name == "colour"}

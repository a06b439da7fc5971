"""Members of a tenant: who works here, as what, and until when."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

from pydantic import AfterValidator, EmailStr, Field, StringConstraints, model_validator

from handlers.access import Role, permissions_of
from handlers.context import Tx
from handlers.errors import Conflict, Forbidden, NotFound, ValidationFailed
from handlers.identity.delegations import DelegationRevoked, revoke_all
from handlers.identity.roles import PermissionList, check_beside, custom_role
from handlers.registry import Entity, Event, Gone, Outcome, Payload, Spec, Timestamp, When, command
from handlers.work.projects.members import ProjectMemberRemoved
from storage.postgres import Row
from storage.rooms import RoomKey

CHANGEABLE: Final = ("role", "role_id", "allowed", "denied", "expires_at")
ALREADY: Final = "is a member already"


class Member(Entity):
    """A person inside one tenant, or a program that acts by API key; `id` is the user's."""

    id: UUID
    kind: Literal["person", "service"]
    name: str
    avatar_url: str | None
    role: Role
    role_id: UUID | None = Field(description="The role of the tenant's own that she has; `role` is its base.")
    allowed: list[str] = Field(description="Permissions given to her alone.")
    denied: list[str] = Field(description="Permissions taken from her alone.")
    status: Literal["active", "suspended"] = Field(
        description="Suspended: deactivated, until activated again."
    )
    expires_at: Timestamp | None
    joined_at: Timestamp


class MemberWas(Entity):
    """The values that changed fields had before."""

    name: str | None = None
    avatar_url: str | None = None
    role: Role | None = None
    role_id: UUID | None = None
    allowed: list[str] | None = None
    denied: list[str] | None = None
    expires_at: Timestamp | None = None


class GroupPeople(Entity):
    """A team or unit with the people who are left in it."""

    id: UUID
    member_ids: list[UUID]


class MemberAdded(Event, name="member.added"):
    """Somebody joined the tenant."""

    member: Member


class MemberUpdated(Event, name="member.updated"):
    """A member got another role or another end of the membership, or goes by another name or picture."""

    member: Member
    was: MemberWas


class MemberRemoved(Event, name="member.removed"):
    """Somebody is no member any more, nor in the teams and units of this tenant."""

    member: Gone
    teams: list[GroupPeople] = []
    units: list[GroupPeople] = []


Left: TypeAlias = MemberRemoved | ProjectMemberRemoved | DelegationRevoked
"""What happens when a membership ends."""


class AddMember(Payload):
    email: Annotated[EmailStr, StringConstraints(max_length=254), AfterValidator(str.lower)]
    role: Role = "member"
    expires_at: When | None = Field(None, description="When the membership ends; a guest must have it.")


class UpdateMember(Payload):
    user_id: UUID
    role: Role | None = Field(None, description="One of the seven. Unset: as it is.")
    role_id: UUID | None = Field(
        None, description="A role of the tenant's own, instead of `role`; null: its base."
    )
    allowed: PermissionList | None = Field(
        None, description="Permissions for her alone, beside the role: all of them."
    )
    denied: PermissionList | None = Field(
        None, description="Permissions that she lacks, whatever gives them: all."
    )
    expires_at: When | None = Field(None, description="When the membership ends; null for never.")

    @model_validator(mode="after")
    def one_role(self) -> "UpdateMember":
        if self.role is not None and self.role_id is not None:
            raise ValueError("give role or role_id, not both")
        return self


class RemoveMember(Payload):
    user_id: UUID


@command(
    "member.add", needs="member.manage", rest="POST /tenants/{tenant_id}/members", room="tenant", status=201
)
async def add_member(tx: Tx, cmd: AddMember) -> Outcome[MemberAdded | Left, MemberAdded]:
    """Let somebody join at once who is known here; everybody else is invited.

    Known are those who were members before, or are members of a tenant of the same organization.
    The answer for a stranger's address is NOT_FOUND, whether or not there is an account. Where the server is one
    organisation's own (`ATRIUM_OPEN_DIRECTORY`), everybody who has an account is known. Nobody can give a role above
    his own.
    """
    tx.may_give(cmd.role)
    require_end(cmd.role, cmd.expires_at)
    user = await tx.maybe("known_person", email=cmd.email, open_directory=tx.settings.open_directory)
    if user is None:
        raise NotFound("Nobody with this address is known here: send an invitation")
    events = await admit(tx, user, cmd.role, cmd.expires_at)
    return Outcome(list(events), events[-1])


@command(
    "member.update", needs="member.manage", rest="PUT /tenants/{tenant_id}/members/{user_id}", room="tenant"
)
async def update_member(tx: Tx, cmd: UpdateMember) -> MemberUpdated:
    """Give a member another role, permissions beside it, or another end; it takes effect at once, everywhere."""
    member = await _member(tx, cmd.user_id)
    tx.may_change(member["role"], member["all_allowed"], member["all_denied"])
    wanted = {**dict(member), **await _wanted(tx, cmd, member)}
    _check(tx, cmd, member, wanted)
    if member["role"] == "owner" and (wanted["role"] != "owner" or wanted["expires_at"] is not None):
        await require_another_owner(tx, [cmd.user_id])
    fields = {name: wanted[name] for name in CHANGEABLE}
    fresh = await tx.one("update_member", cmd, **fields)
    tx.may_give(fresh["role"], fresh["all_allowed"], fresh["all_denied"], before=_permissions(member))
    tx.may_lift(cmd.user_id, member["all_denied"], fresh["all_denied"])
    if fresh["role"] == "owner" and member["role"] != "owner":
        # Who manages sign-in is not always an owner, and must not become one by what a provider says.
        await tx.exec("unlink_from_tenant", cmd)
    await tx.rights_changed()
    was = {name: member[name] for name in CHANGEABLE if member[name] != fresh[name]}
    return MemberUpdated(member=Member(**fresh), was=MemberWas(**was))


@command(
    "member.remove",
    needs="member.manage",
    rest="DELETE /tenants/{tenant_id}/members/{user_id}",
    room="tenant",
)
async def remove_member(tx: Tx, cmd: RemoveMember) -> list[Left]:
    """End a membership: the person's sockets in this tenant are closed, and she is in none of its projects."""
    member = await _member(tx, cmd.user_id)
    tx.may_change(member["role"], member["all_allowed"], member["all_denied"])
    if member["role"] == "owner":
        await require_another_owner(tx, [cmd.user_id])
    return await leave(tx, cmd.user_id)


async def leave(tx: Tx, user_id: UUID) -> list[Left]:
    """A membership ends, with all that went with it: parts in projects, places in teams and units, delegations."""
    await tx.many("lock_projects_of", user_id=user_id)
    await tx.exec("remove_member", user_id=user_id)
    await tx.rights_changed()
    gone = Gone(id=user_id, removed=True)
    groups = await tx.many("leave_all_groups", user_id=user_id)
    projects = await tx.many("leave_all_projects", user_id=user_id)
    return [
        MemberRemoved(
            member=gone,
            teams=[GroupPeople.of(row) for row in groups if row["kind"] == "team"],
            units=[GroupPeople.of(row) for row in groups if row["kind"] != "team"],
        ),
        *(
            ProjectMemberRemoved(member=gone).to(RoomKey(tx.room.tenant_id, "project", row["project_id"]))
            for row in projects
        ),
        *await revoke_all(tx, user_id),
    ]


async def admit(
    tx: Tx, user: Row, role: Role, expires_at: datetime | None
) -> tuple[*tuple[Left, ...], MemberAdded]:
    """Make somebody a member, with a room of her own; CONFLICT where she is one already.

    Nothing comes back with somebody whose membership had run out: who lets her in could not give it.
    """
    lapsed = await tx.value("membership_has_lapsed", user_id=user["id"])
    left = await leave(tx, user["id"]) if lapsed else []
    row = await tx.maybe("add_member", user_id=user["id"], role=role, expires_at=expires_at)
    if row is None:
        status = await tx.value("membership_status", user_id=user["id"])
        said = ALREADY if status == "active" else "has a membership that is out of use: it can be activated"
        raise Conflict(f"This person {said}", field_errors={"email": [said]})
    if await tx.maybe("claim_room", id=user["id"], kind="user") is None:
        kept = await tx.one("room_position", room_id=user["id"])
        if kept["kind"] != "user":
            raise Conflict("Another room of this tenant has this person's id")
    return *left, MemberAdded(member=Member(**dict(row), name=user["name"]))


def require_end(role: Role, expires_at: datetime | None) -> None:
    """A guest's membership has an end."""
    if role == "guest" and expires_at is None:
        raise ValidationFailed.field("expires_at", "is needed for a guest")


async def _member(tx: Tx, user_id: UUID) -> Row:
    row = await tx.maybe("member", user_id=user_id)
    if row is None:
        raise NotFound("There is no such member")
    return row


async def _wanted(tx: Tx, cmd: UpdateMember, member: Row) -> dict[str, Any]:
    """What the call changes: a role of either kind replaces the other kind."""
    given = cmd.model_fields_set - {"user_id"}
    if given & {"allowed", "denied"}:
        tx.require("role.manage")
    wanted: dict[str, Any] = {name: getattr(cmd, name) or [] for name in given & {"allowed", "denied"}}
    if "expires_at" in given:
        wanted["expires_at"] = cmd.expires_at
    if cmd.role_id is not None:
        wanted |= {"role_id": cmd.role_id, "role": (await custom_role(tx, cmd.role_id))["base"]}
    elif cmd.role is not None:
        wanted |= {"role_id": None, "role": cmd.role}
    elif "role_id" in given:
        wanted["role_id"] = None
    return wanted


def _check(tx: Tx, cmd: UpdateMember, member: Row, wanted: dict[str, Any]) -> None:
    if cmd.allowed or cmd.denied:
        check_beside(wanted["role"], wanted["allowed"], wanted["denied"])
    if member["kind"] == "service" and wanted["role"] in ("owner", "guest"):
        raise ValidationFailed.field("role", "must not be owner or guest for a service")
    if wanted["role"] == "owner":
        if cmd.allowed or cmd.denied:
            raise ValidationFailed.field("role", "owner may do everything: nothing is beside it")
        wanted |= {"allowed": [], "denied": []}
    if wanted["role"] == "guest" and wanted["expires_at"] is None:
        raise ValidationFailed.field("expires_at", "is needed for a guest")
    ends, ended = wanted["expires_at"], member["expires_at"]
    if member["id"] == tx.actor.user_id and ended is not None and (ends is None or ends > ended):
        raise Forbidden("Nobody extends his own membership")


def _permissions(member: Row) -> frozenset[str]:
    return permissions_of(
        member["role"], tuple(member["all_allowed"] or ()), tuple(member["all_denied"] or ())
    )


async def require_another_owner(tx: Tx, user_ids: list[UUID]) -> None:
    """Refuse to leave a tenant without an owner who can act."""
    if not await tx.value("other_owners", user_ids=user_ids):
        raise Conflict("A tenant needs an owner whose membership does not end")


async def admit_anybody(tx: Tx, cmd: AddMember) -> list[MemberAdded | Left]:
    """Let anybody in who has an account."""
    return list(await admit(tx, await tx.one("user_by_email", email=cmd.email), cmd.role, cmd.expires_at))


ADMIT: Final = Spec(
    kind="command", name="member.admit", payload=AddMember, returns=MemberAdded, handler=admit_anybody, doc="", room="tenant",
)  # fmt: skip
"""A command that no client can send: the demo world is peopled with it."""

"""Members of a tenant: who works here, as what, and until when."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, EmailStr, Field, StringConstraints

from handlers.access import Role
from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed
from handlers.registry import Entity, Event, Payload, Timestamp, When, command
from handlers.work.boards import Gone
from handlers.work.projects import ProjectMemberRemoved
from storage.postgres import Row
from storage.rooms import RoomKey


class Member(Entity):
    """A person inside one tenant; `id` is the user's."""

    id: UUID
    name: str
    avatar_url: str | None
    role: Role
    expires_at: Timestamp | None
    joined_at: Timestamp


class MemberWas(Entity):
    """The values that changed fields had before."""

    name: str | None = None
    avatar_url: str | None = None
    role: Role | None = None
    expires_at: Timestamp | None = None


class MemberAdded(Event, name="member.added"):
    """Somebody joined the tenant."""

    member: Member


class MemberUpdated(Event, name="member.updated"):
    """A member got another role or another end of the membership, or goes by another name or picture."""

    member: Member
    was: MemberWas


class MemberRemoved(Event, name="member.removed"):
    """Somebody is no member any more."""

    member: Gone


class AddMember(Payload):
    email: Annotated[EmailStr, StringConstraints(max_length=254), AfterValidator(str.lower)]
    role: Role = "member"
    expires_at: When | None = Field(None, description="When the membership ends; a guest must have it.")


class UpdateMember(Payload):
    user_id: UUID
    role: Role | None = Field(None, description="Unset: as it is.")
    expires_at: When | None = Field(None, description="When the membership ends; null for never.")


class RemoveMember(Payload):
    user_id: UUID


@command(
    "member.add", needs="member.manage", rest="POST /tenants/{tenant_id}/members", room="tenant", status=201
)
async def add_member(tx: Tx, cmd: AddMember) -> MemberAdded:
    """Let a person who has an account join the tenant. Nobody can give a role above his own."""
    tx.may_give(cmd.role)
    if cmd.role == "guest" and cmd.expires_at is None:
        raise ValidationFailed.field("expires_at", "is needed for a guest")
    user = await tx.maybe("user_by_email", email=cmd.email)
    if user is None:
        raise NotFound("Nobody has an account with this address")
    row = await tx.maybe("add_member", cmd, user_id=user["id"])
    if row is None:
        raise Conflict("This person is a member already", field_errors={"email": ["is a member already"]})
    if await tx.maybe("claim_room", id=user["id"], kind="user") is None:
        kept = await tx.one("room_position", room_id=user["id"])
        if kept["kind"] != "user":
            raise Conflict("Another room of this tenant has this person's id")
    return MemberAdded(member=Member(**dict(row), name=user["name"]))


@command(
    "member.update", needs="member.manage", rest="PUT /tenants/{tenant_id}/members/{user_id}", room="tenant"
)
async def update_member(tx: Tx, cmd: UpdateMember) -> MemberUpdated:
    """Give a member another role or another end of the membership; it takes effect at once, everywhere."""
    member = await _member(tx, cmd.user_id)
    role = cmd.role or member["role"]
    tx.may_give(role)
    tx.may_give(member["role"])
    expires_at = cmd.expires_at if "expires_at" in cmd.model_fields_set else member["expires_at"]
    if role == "guest" and expires_at is None:
        raise ValidationFailed.field("expires_at", "is needed for a guest")
    if member["role"] == "owner" and (role != "owner" or expires_at is not None):
        await _require_another_owner(tx, cmd.user_id)
    fresh = await tx.one("update_member", cmd, role=role, expires_at=expires_at)
    await tx.rights_changed()
    was = {name: member[name] for name in ("role", "expires_at") if member[name] != fresh[name]}
    return MemberUpdated(member=Member(**fresh), was=MemberWas(**was))


@command(
    "member.remove",
    needs="member.manage",
    rest="DELETE /tenants/{tenant_id}/members/{user_id}",
    room="tenant",
)
async def remove_member(tx: Tx, cmd: RemoveMember) -> list[MemberRemoved | ProjectMemberRemoved]:
    """End a membership: the person's sockets in this tenant are closed, and she is in none of its projects."""
    await tx.many("lock_projects_of", cmd)
    member = await _member(tx, cmd.user_id)
    tx.may_give(member["role"])
    if member["role"] == "owner":
        await _require_another_owner(tx, cmd.user_id)
    await tx.exec("remove_member", cmd)
    await tx.rights_changed()
    gone = Gone(id=cmd.user_id, removed=True)
    left = await tx.many("leave_all_projects", cmd)
    return [
        MemberRemoved(member=gone),
        *(
            ProjectMemberRemoved(member=gone).to(RoomKey(tx.room.tenant_id, "project", row["project_id"]))
            for row in left
        ),
    ]


async def _member(tx: Tx, user_id: UUID) -> Row:
    row = await tx.maybe("member", user_id=user_id)
    if row is None:
        raise NotFound("There is no such member")
    return row


async def _require_another_owner(tx: Tx, user_id: UUID) -> None:
    if not await tx.value("other_owners", user_id=user_id):
        raise Conflict("A tenant needs an owner whose membership does not end")

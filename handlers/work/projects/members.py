"""Who takes part in a project, and as what."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import Field, model_validator

from handlers.access import PERMISSIONS, Role, above, highest, rights
from handlers.context import Tx
from handlers.errors import Conflict, Forbidden, NotFound
from handlers.registry import Entity, Event, Gone, Payload, Timestamp, When, command
from storage.postgres import Row


class ProjectMember(Entity):
    """A person who takes part in a project, with the role she has there; `id` is the user's."""

    id: UUID
    name: str
    role: Role | None = Field(
        description="The role inside this project: her own one, else the highest through teams and units; "
        "null: the one in the tenant."
    )
    direct: bool = Field(description="Whether the project is shared with her herself.")
    shared: bool = Field(description="Whether it is shared with a team or unit that she is in.")
    expires_at: Timestamp | None = Field(description="When her part ends, but for teams and units.")
    active: bool = Field(description="False while her membership of the tenant is suspended.")

    @model_validator(mode="before")
    @classmethod
    def from_row(cls, value: Any) -> Any:
        return shown_part(value)


def shown_part(value: Any) -> Any:
    """A row of `project_members` as members see it: what counts of all that reaches a person."""
    if not isinstance(value, Mapping) or "shared_roles" not in value:
        return value
    own = value["role"] if value["direct"] else None
    role = own or highest(value["shared_roles"] or ())
    return {**value, "role": role, "shared": bool(value["shared_roles"])}


class ProjectMemberAdded(Event, name="project.member_added"):
    """Somebody takes part in the project, or got another role in it."""

    member: ProjectMember


class ProjectMemberRemoved(Event, name="project.member_removed"):
    """Somebody takes no part in the project any more."""

    member: Gone


class AddProjectMember(Payload):
    project_id: UUID
    user_id: UUID
    role: Role | None = Field(None, description="Role inside this project. Unset: the role in the tenant.")
    expires_at: When | None = Field(
        None, description="When her part in the project ends by itself. Unset: never."
    )


class RemoveProjectMember(Payload):
    project_id: UUID
    user_id: UUID


@command("project.add_member", needs="project.share", rest="PUT /projects/{project_id}/members/{user_id}")
async def add_member(tx: Tx, cmd: AddProjectMember) -> ProjectMemberAdded:
    """Let a member of the tenant take part, or give her another role or end in this project."""
    before = await _part(tx, cmd.user_id)
    if before["role"] == "guest" and not await tx.value("lets_guests_in"):
        raise closed_to_guests()
    if cmd.role is not None:
        tx.may_give(cmd.role, before=frozenset(PERMISSIONS))
    row = await tx.one("set_project_member", cmd)
    if cmd.expires_at is not None:
        row = await tx.one("end_project_part_at", cmd)
    after = await tx.one("project_actor", cmd)
    _require_own(tx, _permissions(after, tx.room.id) - _permissions(before, tx.room.id))
    await tx.rights_changed()
    return ProjectMemberAdded.of(row)


@command(
    "project.remove_member",
    needs="project.share",
    rest="DELETE /projects/{project_id}/members/{user_id}",
    archived=True,
)
async def remove_member(tx: Tx, cmd: RemoveProjectMember) -> list[ProjectMemberRemoved | ProjectMemberAdded]:
    """End somebody's own part in the project.

    Through a team or unit that it is shared with, she may still be in it: then she is said to be added, with what is
    left.
    """
    before = await _part(tx, cmd.user_id)
    row = await tx.maybe("remove_project_member", cmd)
    if row is None and before["in_project"]:
        raise Conflict("She takes part through a team or unit alone: end that share, or take her out of it")
    if row is None:
        raise NotFound("There is no such member of the project")
    await tx.rights_changed()
    if row["left_it"]:
        return [ProjectMemberRemoved(member=Gone(id=cmd.user_id, removed=True))]
    after = await tx.one("project_actor", cmd)
    _require_own(tx, _permissions(after, tx.room.id) - _permissions(before, tx.room.id))
    return [ProjectMemberAdded.of(row)]


def closed_to_guests() -> Conflict:
    return Conflict("This project is closed to guests", details={"reason": "no_guests"})


async def _part(tx: Tx, user_id: UUID) -> Row:
    """Somebody's part in the project; nobody changes that of somebody whose role in it is above his own."""
    row = await tx.maybe("project_actor", user_id=user_id)
    if row is None:
        raise NotFound("There is no such member")
    if row["in_project"]:
        found = rights(row, "project", tx.room.id)
        if found is not None and above(found.role, tx.rights.own_role):
            raise Forbidden(
                f"Only somebody who is {found.role} can change another", details={"role": found.role}
            )
    return row


def _permissions(actor: Row, project_id: UUID) -> frozenset[str]:
    found = rights(actor, "project", project_id)
    return found.permissions if found else frozenset()


def _require_own(tx: Tx, gained: frozenset[str]) -> None:
    if missing := sorted(gained - tx.rights.to_give):
        raise Forbidden("Nobody gives a permission that he does not have", details={"permissions": missing})

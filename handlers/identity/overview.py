"""What admins of an organization read across its tenants. The database checks every time that they are that."""

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from handlers import access
from handlers.context import Edge, Tx
from handlers.errors import Forbidden, NotFound
from handlers.identity.organizations import admin_of
from handlers.identity.tenants import OneTenant, TenantStatus
from handlers.paging import decode_cursor, encode_cursor
from handlers.registry import (
    SNAPSHOTS,
    Entity,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Text,
    Timestamp,
    endpoint,
    query,
)
from storage.rooms import RoomKey

VIEW = "organization.view"
LONGEST_LIST = 100
"""Requests that are listed at most (count)."""


class ChildTenant(Entity):
    """A tenant of the organization, and how much is in it."""

    id: UUID
    slug: str
    name: str
    status: TenantStatus
    created_at: Timestamp
    members: int
    projects: int
    open_tasks: int
    last_activity_at: Timestamp


class Asking(Entity):
    """A tenant that asks to belong to the organization."""

    id: UUID
    slug: str
    name: str


class ChildProject(Entity):
    """A project of one of the tenants."""

    tenant_id: UUID
    tenant_name: str
    id: UUID
    key: str
    name: str
    status: str
    priority: str
    start_on: date | None
    end_on: date | None
    created_at: Timestamp
    updated_at: Timestamp


class ListChildProjects(Paging):
    child_id: UUID | None = Field(None, description="Of this tenant alone.")
    q: Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = Field(
        None, description="With this in the name, or as the key."
    )


class LookIn(Payload):
    tenant_id: UUID = Field(description="The organization.")
    child_id: UUID
    project_id: UUID | None = Field(None, description="One of its projects; unset: the tenant's own room.")


class ChildList(Reply):
    tenants: list[ChildTenant]


class AskingList(Reply):
    tenants: list[Asking]


class ChildProjectList(Reply):
    projects: list[ChildProject]


class Look(Reply):
    """The state of a room of a child, as a viewer there sees it."""

    room: str
    seq: int
    snapshot: dict[str, object]


@query("organization.tenants", needs=VIEW, rest="GET /tenants/{tenant_id}/children", room="tenant")
async def list_tenants(tx: Tx, ask: Paging) -> Page[ChildList]:
    """The tenants of the organization, the oldest first, with counts of what is in them."""
    await _require_admin(tx)
    place = decode_cursor(ask.cursor, UUID)
    after = place[0] if place else UUID(int=0)
    rows = await tx.many("organization_tenants", user_id=tx.actor.user_id, after=after, most=ask.limit + 1)
    more = encode_cursor(rows[ask.limit - 1]["id"]) if len(rows) > ask.limit else None
    tenants = [ChildTenant.of(row) for row in rows[: ask.limit]]
    return Page(ChildList(tenants=tenants), Pagination(limit=ask.limit, next=more))


@query("organization.requests", needs=VIEW, rest="GET /tenants/{tenant_id}/children/requests", room="tenant")
async def list_requests(tx: Tx, ask: OneTenant) -> AskingList:
    """The tenants that ask to belong to the organization, a hundred at most."""
    await _require_admin(tx)
    rows = await tx.many("organization_requests", user_id=tx.actor.user_id, most=LONGEST_LIST)
    return AskingList(tenants=[Asking.of(row) for row in rows])


@query("organization.projects", needs=VIEW, rest="GET /tenants/{tenant_id}/children/projects", room="tenant")
async def list_projects(tx: Tx, ask: ListChildProjects) -> Page[ChildProjectList]:
    """The projects of all tenants of the organization, the newest first."""
    await _require_admin(tx)
    place = decode_cursor(ask.cursor, UUID, UUID)
    before_id, before_tenant = place or (None, None)
    rows = await tx.many(
        "organization_projects", ask, user_id=tx.actor.user_id, before_id=before_id, before_tenant=before_tenant,
        most=ask.limit + 1,
    )  # fmt: skip
    last = rows[ask.limit - 1] if len(rows) > ask.limit else None
    more = encode_cursor(last["id"], last["tenant_id"]) if last else None
    projects = [ChildProject.of(row) for row in rows[: ask.limit]]
    return Page(ChildProjectList(projects=projects), Pagination(limit=ask.limit, next=more))


@endpoint("organization.look", rest="GET /tenants/{tenant_id}/children/{child_id}/snapshot")
async def look(edge: Edge, ask: LookIn) -> Look:
    """Look into a tenant of the organization, or one of its projects. It can be read in that tenant's audit log."""
    principal = await admin_of(edge, ask.tenant_id, VIEW)
    kind, room_id = ("project", ask.project_id) if ask.project_id else ("tenant", ask.child_id)
    room = RoomKey(ask.child_id, kind, room_id)
    async with edge.db.snapshot(ask.child_id) as session:
        if not await session.value("looks_into", user_id=principal.user_id, parent_id=ask.tenant_id):
            raise NotFound("There is no such tenant in this organization")
        position = await session.maybe("room_position", room_id=room.id)
        if position is None or position["kind"] != kind or position["gone"]:
            raise NotFound("There is no such room")
        tx = Tx(
            session, room, principal, access.of_role("viewer"), position["now"], edge.settings,
            window=edge.settings.snapshot_window,
        )  # fmt: skip
        state = await SNAPSHOTS[kind](tx, tx.window)
    async with edge.db.transaction(ask.child_id) as session:
        await edge.note(session, tenant_id=ask.child_id, resource=room.name)
    return Look(room=room.name, seq=position["head_seq"], snapshot=state.model_dump(mode="json"))


async def _require_admin(tx: Tx) -> None:
    """A permission can be given to anybody; what crosses tenants takes an owner or admin."""
    if not await tx.value("governs", user_id=tx.actor.user_id, parent_id=tx.room.tenant_id):
        raise Forbidden("Only owners and admins of an organization read across its tenants")

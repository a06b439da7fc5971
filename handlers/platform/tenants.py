"""Tenants, as those see them who run the server."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from handlers.access import Role, permissions_of
from handlers.context import Edge
from handlers.errors import NotFound
from handlers.identity.tenant_status import (
    activate_tenant,
    delete_tenant,
    suspend_tenant,
    undelete_tenant,
)
from handlers.identity.tenants import TenantReply
from handlers.paging import decode_cursor, encode_cursor
from handlers.platform.administrators import LAST, Deed, WithReason, deed, note
from handlers.registry import (
    Entity,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Timestamp,
    endpoint,
    no_nul,
)
from storage.postgres import Row

Search = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(no_nul)]


class PlatformTenant(Entity):
    """A tenant, with how much is in it."""

    id: UUID
    slug: str
    name: str
    status: str
    created_at: Timestamp
    people: int = Field(description="Members who are people (count).")
    services: int = Field(description="Members that are programs (count).")
    projects: int = Field(description="Projects that are not in the trash (count).")
    last_activity_at: Timestamp | None = Field(description="When something was last done in it.")


class PlatformMember(Entity):
    """A member of a tenant, of any status; `id` is the account's."""

    id: UUID
    kind: Literal["person", "service"]
    name: str
    email: str
    user_status: str = Field(description="The status of the account.")
    status: str = Field(description="The status of the membership.")
    role: Role
    permissions: list[str] = Field(description="What it may do in the tenant, by role and beside it.")
    expires_at: Timestamp | None
    joined_at: Timestamp
    last_login_at: Timestamp | None


class ListTenants(Paging):
    search: Search = Field("", description="Something that is in the name or in the slug.")
    status: Search | None = Field(None, description="`active`, `inactive`, `suspended` or `deleted`.")


class WhichTenant(Payload):
    tenant_id: UUID


class PageOfTenant(Paging):
    tenant_id: UUID


class ActOnTenant(WithReason):
    tenant_id: UUID


class PlatformTenants(Reply):
    tenants: list[PlatformTenant]


class PlatformTenantReply(Reply):
    tenant: PlatformTenant


class PlatformMembers(Reply):
    members: list[PlatformMember]


class Deeds(Reply):
    entries: list[Deed]


@endpoint("platform.list_tenants", rest="GET /platform/tenants", platform=True)
async def list_tenants(edge: Edge, ask: ListTenants) -> Page[PlatformTenants]:
    """All tenants by name, or those whose name or slug has something in it."""
    place = decode_cursor(ask.cursor, str, UUID) or ("", UUID(int=0))
    async with edge.db.transaction(None) as session:
        rows = await session.many(
            "platform_tenants", ask, caller=edge.signed_in().user_id, after_name=place[0], after_id=place[1],
            max_rows=ask.limit + 1,
        )  # fmt: skip
    pages = page_of(rows, ask.limit, "place", "id")
    return Page(PlatformTenants(tenants=[PlatformTenant.of(row) for row in rows[: ask.limit]]), pages)


@endpoint("platform.get_tenant", rest="GET /platform/tenants/{tenant_id}", platform=True)
async def get_tenant(edge: Edge, ask: WhichTenant) -> PlatformTenantReply:
    """One tenant."""
    async with edge.db.transaction(None) as session:
        row = await session.maybe(
            "platform_tenant", ask, caller=edge.signed_in().user_id, tenant_id=ask.tenant_id
        )
    if row is None:
        raise NotFound("There is no such tenant")
    return PlatformTenantReply(tenant=PlatformTenant.of(row))


@endpoint("platform.list_members", rest="GET /platform/tenants/{tenant_id}/members", platform=True)
async def list_members(edge: Edge, ask: PageOfTenant) -> Page[PlatformMembers]:
    """The members of a tenant, people and services, also those who have left."""
    place = decode_cursor(ask.cursor, UUID) or (UUID(int=0),)
    async with edge.db.transaction(None) as session:
        rows = await session.many(
            "platform_members", caller=edge.signed_in().user_id, tenant_id=ask.tenant_id, after_id=place[0],
            max_rows=ask.limit + 1,
        )  # fmt: skip
    members = [PlatformMember.model_validate({**dict(row), **may(row)}) for row in rows[: ask.limit]]
    return Page(PlatformMembers(members=members), page_of(rows, ask.limit, "id"))


@endpoint("platform.tenant_activity", rest="GET /platform/tenants/{tenant_id}/activity", platform=True)
async def tenant_activity(edge: Edge, ask: PageOfTenant) -> Page[Deeds]:
    """What was done in a tenant, by its audit log, the last first."""
    place = decode_cursor(ask.cursor, UUID) or (LAST,)
    async with edge.db.transaction(None) as session:
        rows = await session.many(
            "platform_activity_in", caller=edge.signed_in().user_id, tenant_id=ask.tenant_id, before_id=place[0],
            max_rows=ask.limit + 1,
        )  # fmt: skip
    return Page(Deeds(entries=[deed(row) for row in rows[: ask.limit]]), page_of(rows, ask.limit, "id"))


@endpoint("platform.suspend_tenant", rest="POST /platform/tenants/{tenant_id}/suspend", platform=True)
async def suspend(edge: Edge, cmd: ActOnTenant) -> TenantReply:
    """Suspend a tenant: everybody is put out of it at once, and its owners are told why by mail. They cannot lift it."""
    return await _done(edge, cmd, await suspend_tenant(edge, cmd.tenant_id, cmd.reason))


@endpoint("platform.activate_tenant", rest="POST /platform/tenants/{tenant_id}/activate", platform=True)
async def activate(edge: Edge, cmd: ActOnTenant) -> TenantReply:
    """Put an inactive or suspended tenant back into use."""
    return await _done(edge, cmd, await activate_tenant(edge, cmd.tenant_id))


@endpoint("platform.delete_tenant", rest="POST /platform/tenants/{tenant_id}/delete", platform=True)
async def delete(edge: Edge, cmd: ActOnTenant) -> TenantReply:
    """Delete a tenant; it can be brought back until its grace is over."""
    return await _done(edge, cmd, await delete_tenant(edge, cmd.tenant_id, by="platform"))


@endpoint("platform.undelete_tenant", rest="POST /platform/tenants/{tenant_id}/undelete", platform=True)
async def undelete(edge: Edge, cmd: ActOnTenant) -> TenantReply:
    """Bring a deleted tenant back, in the status that it had."""
    return await _done(edge, cmd, await undelete_tenant(edge, cmd.tenant_id, by="platform"))


async def _done(edge: Edge, cmd: ActOnTenant, reply: TenantReply) -> TenantReply:
    """Its own log has the change already; this is why, there and in the log of the instance."""
    async with edge.db.transaction(None) as session:
        await note(edge, session, reason=cmd.reason, tenants=[cmd.tenant_id], status=reply.tenant.status)
    return reply


def may(row: Row) -> dict[str, list[str]]:
    """The permissions that a row of a membership amounts to."""
    found = permissions_of(row["role"], tuple(row["allowed"] or ()), tuple(row["denied"] or ()))
    return {"permissions": sorted(found)}


def page_of(rows: list[Row], limit: int, *place: str) -> Pagination:
    """Where the next page begins, of rows that were asked for with one more than a page has."""
    last = rows[limit - 1] if len(rows) > limit else None
    return Pagination(limit=limit, next=encode_cursor(*(last[name] for name in place)) if last else None)

"""Organizations: tenants with children, whose admins read across these. It takes both sides to join, and one to leave.

There are two levels: a tenant with children has no parent. What admins of the organization may do in a child is to
read, to suspend it and to lift that; it ends with the child's leaving, at once, because it is asked for in the database
every time.
"""

from typing import Final
from uuid import UUID

from pydantic import Field

from handlers.context import Edge, Principal, Tx
from handlers.entry import read_rights
from handlers.errors import Conflict, Forbidden, NotFound
from handlers.identity.people import Done
from handlers.identity.tenant_status import insider, outsider
from handlers.identity.tenants import OneTenant, Slug, TenantDetails, TenantUpdated
from handlers.registry import Payload, Spec, command, endpoint
from storage.rooms import RoomKey

NONE_SUCH: Final = "There is no such tenant, or it has not asked to belong here"


class JoinOrganization(Payload):
    slug: Slug = Field(description="The organization's slug.")


class OneChild(Payload):
    tenant_id: UUID = Field(description="The organization.")
    child_id: UUID


class Adopt(Payload):
    parent_id: UUID


@command("organization.join", needs="tenant.delete", rest="POST /tenants/{tenant_id}/parent", room="tenant")
async def join(tx: Tx, cmd: JoinOrganization) -> TenantUpdated:
    """Ask to belong to an organization. Once one of its admins has agreed, they can read everything here."""
    before = await tx.one("lock_tenant")
    if before["parent_id"] is not None:
        raise Conflict("This tenant belongs to an organization already: leave that first")
    if await tx.value("has_children"):
        raise Conflict("A tenant with children cannot belong to another one")
    parent_id = await tx.value("organization_by_slug", cmd)
    if parent_id is None:
        raise NotFound("There is no such organization")
    return TenantUpdated.between(before, await tx.one("ask_parent", parent_id=parent_id))


@command(
    "organization.leave",
    needs="tenant.delete",
    rest="DELETE /tenants/{tenant_id}/parent",
    room="tenant",
    versioned=True,
)
async def leave(tx: Tx, cmd: OneTenant) -> TenantUpdated:
    """Leave the organization, or take the request back. Nobody there sees anything of this tenant from now on."""
    before = await tx.one("tenant")
    tx.check_version(before, TenantDetails)
    if before["parent_id"] is None and before["asked_parent_id"] is None:
        raise NotFound("This tenant belongs to no organization")
    return TenantUpdated.between(before, await tx.one("leave_organization"))


@endpoint("organization.accept", rest="POST /tenants/{tenant_id}/children/{child_id}")
async def accept(edge: Edge, cmd: OneChild) -> Done:
    """Take in a tenant that has asked for it, as an admin of the organization."""
    await admin_of(edge, cmd.tenant_id, "tenant.manage")
    edge.about(tenant_id=cmd.tenant_id, resource=f"tenant:{cmd.child_id}")
    await edge.submit(ADOPT, Adopt(parent_id=cmd.tenant_id), await outsider(edge, cmd.child_id))
    return Done()


@endpoint("organization.remove", rest="DELETE /tenants/{tenant_id}/children/{child_id}")
async def remove(edge: Edge, cmd: OneChild) -> Done:
    """Put a tenant out of the organization, or decline its request. If the organization has suspended it, that ends."""
    await admin_of(edge, cmd.tenant_id, "tenant.manage")
    edge.about(tenant_id=cmd.tenant_id, resource=f"tenant:{cmd.child_id}")
    await edge.submit(RELEASE, Adopt(parent_id=cmd.tenant_id), await outsider(edge, cmd.child_id))
    return Done()


async def adopt(tx: Tx, cmd: Adopt) -> TenantUpdated:
    """The command in the child's room behind `organization.accept`."""
    before = await tx.one("tenant")
    if not await tx.value("adopt", user_id=tx.actor.user_id, parent_id=cmd.parent_id):
        raise NotFound(NONE_SUCH)
    return TenantUpdated.between(before, await tx.one("touch_tenant"))


async def release(tx: Tx, cmd: Adopt) -> TenantUpdated:
    """The command in the child's room behind `organization.remove`."""
    before = await tx.one("lock_tenant")
    governs = await tx.value("governs", user_id=tx.actor.user_id, parent_id=cmd.parent_id)
    if not governs or cmd.parent_id not in (before["parent_id"], before["asked_parent_id"]):
        raise NotFound(NONE_SUCH)
    after = await tx.one("leave_organization")
    if after["status"] != before["status"]:
        await tx.rights_changed()
    return TenantUpdated.between(before, after)


async def admin_of(edge: Edge, tenant_id: UUID, permission: str) -> Principal:
    """Whoever calls, with a permission in an organization; that he is an admin of it the database finds out."""
    principal = await insider(edge, tenant_id)
    async with edge.db.transaction(tenant_id) as session:
        rights = await read_rights(session, RoomKey(tenant_id, "tenant", tenant_id), principal)
        governs = await session.value("governs", user_id=principal.user_id, parent_id=tenant_id)
    if not rights.allow(permission) or not governs:
        raise Forbidden(f"This needs the permission {permission}", details={"permission": permission})
    return principal


ADOPT: Final = Spec(
    kind="command", name="organization.adopt", payload=Adopt, returns=None, handler=adopt, doc="", room="tenant"
)  # fmt: skip
RELEASE: Final = Spec(
    kind="command", name="organization.release", payload=Adopt, returns=None, handler=release, doc="", room="tenant"
)  # fmt: skip
"""Commands that no client can send."""

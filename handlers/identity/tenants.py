"""Tenants: the isolated customers, and how a new one is founded."""

import re
import secrets
import unicodedata
from uuid import UUID

from handlers.context import Tx
from handlers.registry import Entity, Event, Name, Payload, Reply, Timestamp, command, query
from storage.ids import new_id
from storage.postgres import Database


class Tenant(Entity):
    """The isolated customer."""

    id: UUID
    slug: str
    name: str
    status: str
    version: int
    created_at: Timestamp


class TenantUpdated(Event, name="tenant.updated"):
    """The tenant was renamed."""

    tenant: Tenant


class OneTenant(Payload):
    """No fields: the tenant is that of the token."""


class UpdateTenant(Payload):
    name: Name


class TenantReply(Reply):
    tenant: Tenant


@query("tenant.get", needs="tenant.view", rest="GET /tenants/{tenant_id}", room="tenant")
async def get(tx: Tx, ask: OneTenant) -> TenantReply:
    """The tenant."""
    return TenantReply(tenant=Tenant.of(await tx.one("tenant")))


@command(
    "tenant.update", needs="tenant.manage", rest="PUT /tenants/{tenant_id}", room="tenant", versioned=True
)
async def update(tx: Tx, cmd: UpdateTenant) -> TenantUpdated:
    """Rename the tenant."""
    tx.check_version(await tx.one("tenant"), Tenant)
    return TenantUpdated.of(await tx.one("update_tenant", cmd))


async def found_tenant(db: Database, user_id: UUID, name: str) -> Tenant:
    """A new tenant with its first owner, their rooms, and a free slug."""
    tenant_id, slug = new_id(), slug_of(name)
    while True:
        async with db.transaction(tenant_id) as session:
            row = await session.maybe("create_tenant", slug=slug, name=name, user_id=user_id)
            if row is None:
                slug = f"{slug_of(name)}-{secrets.token_hex(3)}"
                continue
            await session.one("add_member", user_id=user_id, role="owner", expires_at=None, actor_id=user_id)
            await session.exec("create_room", id=tenant_id, kind="tenant")
            await session.exec("create_room", id=user_id, kind="user")
            return Tenant.of(row)


def slug_of(name: str) -> str:
    """`Café Zürich` -> `cafe-zurich`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60] or "tenant"

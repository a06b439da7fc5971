"""How tenants come to be."""

import re
import secrets
import unicodedata
from uuid import UUID

import orjson
from pydantic import Field

from handlers.context import Edge
from handlers.errors import Conflict, NotFound, QuotaExceeded
from handlers.identity.entry import AS_COOKIE, SignedIn
from handlers.identity.people import Email, Phone, Preferences
from handlers.identity.signin import renew
from handlers.identity.tenants import RESERVED, TAKEN, Description, PostalAddress, Slug, Tenant
from handlers.registry import Name, Payload, endpoint
from storage.ids import new_id
from storage.postgres import Database, Row, Session


class Founding(Payload):
    """What a new tenant says of itself; all but the name can wait."""

    name: Name
    slug: Slug | None = Field(None, description="Names it in addresses. Unset: made from the name.")
    description: Description = ""
    email: Email | None = None
    phone: Phone | None = None
    address: PostalAddress | None = None
    metadata: Preferences = {}
    parent_id: UUID | None = Field(None, description="The organization to found it in, as an admin of that.")


class CreateTenant(Founding):
    cookie: bool = AS_COOKIE


@endpoint("tenant.create", rest="POST /tenants", status=201)
async def create(edge: Edge, cmd: CreateTenant) -> SignedIn:
    """Found a tenant as its owner; the tokens in the reply name it.

    An account may found so many (`ATRIUM_TENANTS_PER_ACCOUNT`); deleted ones count until they are purged.
    """
    account = edge.signed_in()
    if cmd.cookie:
        edge.require_page()
    tenant = await found_tenant(edge.db, account.user_id, cmd, limit=edge.settings.tenants_per_account)
    edge.about(tenant_id=tenant.id, resource=f"tenant:{tenant.id}")
    async with edge.db.transaction(None) as session:
        user = await session.one("user_by_id", user_id=account.user_id)
    return await renew(edge, user, account.session_id, tenant, cookie=cmd.cookie)


async def found_tenant(
    db: Database, user_id: UUID, founding: Founding | str, *, limit: int | None = None
) -> Tenant:
    """A new tenant with its first owner and their rooms; a name alone says enough."""
    cmd = Founding(name=founding) if isinstance(founding, str) else founding
    tenant_id, slug = new_id(), cmd.slug or slug_of(cmd.name)
    while True:
        async with db.transaction(tenant_id) as session:
            await _may_found(session, user_id, cmd, limit)
            row = await _create(session, user_id, cmd, slug)
            if row is not None:
                await session.one(
                    "add_member", user_id=user_id, role="owner", expires_at=None, actor_id=user_id
                )
                await session.exec("create_room", id=tenant_id, kind="tenant")
                await session.exec("create_room", id=user_id, kind="user")
                return Tenant.of(row)
        if cmd.slug is not None:
            raise Conflict("This slug is taken", field_errors={"slug": [TAKEN]})
        slug = f"{slug_of(cmd.name)[:50]}-{secrets.token_hex(3)}"


def slug_of(name: str) -> str:
    """`Café Zürich` -> `cafe-zurich`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-")
    return slug if len(slug) > 1 and slug not in RESERVED else f"{slug or 'a'}-tenant"


async def _may_found(session: Session, user_id: UUID, cmd: Founding, limit: int | None) -> None:
    """Within the limit, also when many requests come at once; and where it is to be a child, as who may say so."""
    await session.one("lock_user", user_id=user_id)
    if limit is not None and await session.value("tenants_founded_by", user_id=user_id) >= limit:
        raise QuotaExceeded(
            f"An account may found {limit} tenants on this server", details={"limit": limit}
        )  # fmt: skip
    if cmd.parent_id and not await session.value("governs_for_now", user_id=user_id, parent_id=cmd.parent_id):
        raise NotFound("There is no such organization, or it is not yours to add to")


async def _create(session: Session, user_id: UUID, cmd: Founding, slug: str) -> Row | None:
    if not await session.value("slug_is_free", slug=slug):
        return None
    metadata = orjson.dumps(cmd.metadata).decode()
    return await session.maybe("create_tenant", cmd, user_id=user_id, slug=slug, metadata=metadata)

"""API keys of the tenant: programs that are members themselves, and stay when the person who made them goes.

Behind such a key stands a service: an account that nobody can sign in to, with a membership, a role and projects like
everybody's. It leaves with its last key.
"""

from typing import Final, Literal
from uuid import UUID

from pydantic import Field

from handlers.access import Role
from handlers.context import Tx
from handlers.errors import Forbidden, NotFound
from handlers.identity.api_keys import (
    ENDS,
    ONCE,
    ApiKey,
    ApiKeyUse,
    OneKey,
    RotateKey,
    UpdateKey,
    add_key,
    end_of,
    end_old,
    next_end,
    require_room,
    require_session,
    shown,
)
from handlers.identity.invitations import may_share
from handlers.identity.members import Left, Member, MemberAdded, MemberUpdated, MemberWas, leave
from handlers.identity.scopes import Scopes, granted
from handlers.paging import decode_cursor, encode_cursor
from handlers.registry import (
    Entity,
    Event,
    Ids,
    Name,
    Outcome,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    When,
    command,
    query,
)
from handlers.work.projects.members import ProjectMemberAdded
from storage.ids import new_id
from storage.postgres import Row
from storage.rooms import RoomKey

NEEDS: Final = "security.manage"

ServiceRole = Literal["admin", "manager", "member", "viewer", "client"]
"""An owner has to be a person, and a guest's stay ends with its membership, not with its key."""


class KeyMaker(Entity):
    id: UUID
    name: str | None


class TenantKey(ApiKeyUse):
    """A key of the tenant: the service behind it, as what it works here, and who made it."""

    service_id: UUID = Field(description="The member that the key acts as.")
    role: Role
    created_by: KeyMaker


class ServiceId(Entity):
    id: UUID


class TenantKeyChanged(Event, name="tenant_key.changed"):
    """A key of the tenant was replaced, changed or revoked; `member` is the service behind it."""

    member: ServiceId


class CreateTenantKey(Payload):
    name: Name = Field(description="Also the name that the service goes by among the members.")
    scopes: Scopes = Field(description="Permissions, or the groups `read` and `write`.")
    role: ServiceRole = Field(
        "member", description="As what the service is a member; not above one's own role."
    )
    project_ids: Ids = Field(
        default=[],
        description="Projects that it takes part in, which needs project.share there; a client sees no other.",
    )
    expires_at: When | None = ENDS


class TenantKeys(Reply):
    api_keys: list[TenantKey]


class NewTenantKey(Reply):
    """A key of the tenant that was just made."""

    api_key: ApiKey
    member: Member = Field(description="The service that the key acts as.")
    key: str | None = ONCE


@command(
    "tenant_key.create", needs=NEEDS, rest="POST /tenants/{tenant_id}/api-keys", room="tenant", status=201
)
async def create(tx: Tx, cmd: CreateTenantKey) -> Outcome[MemberAdded | ProjectMemberAdded, NewTenantKey]:
    """Make a key of the tenant, and the service that it acts as; only the first reply shows it.

    Nobody gives a key more than he may do himself, or a role above his own. Not for API keys.
    """
    require_session(tx)
    await require_room(tx, "tenant")
    tx.may_give(cmd.role)
    scopes = granted(cmd.scopes, tx.rights.permissions)
    projects = await _locked(tx, cmd.project_ids)
    service_id = new_id()
    # An address under .invalid (RFC 2606): no mail reaches it, and nobody can register it.
    await tx.exec("create_service", cmd, service_id=service_id, email=f"{service_id}@service.invalid")
    await tx.one("add_member", user_id=service_id, role=cmd.role, expires_at=None)
    await tx.one("claim_room", id=service_id, kind="user")
    row, key = await add_key(
        tx, "tenant", service_id, name=cmd.name, scopes=scopes, expires_at=end_of(tx, cmd.expires_at)
    )
    member = await _member(tx, service_id)
    parts = [await _take_part(tx, project_id, service_id) for project_id in projects]
    made = NewTenantKey(api_key=ApiKey(**shown(row)), member=member)
    tx.resource = f"tenant_key:{made.api_key.id}"
    return Outcome([MemberAdded(member=member), *parts], made, made.model_copy(update={"key": key}))


@query("tenant_key.list", needs=NEEDS, rest="GET /tenants/{tenant_id}/api-keys", room="tenant")
async def list_keys(tx: Tx, ask: Paging) -> Page[TenantKeys]:
    """The keys of the tenant, the oldest first, with when each was last used."""
    place = decode_cursor(ask.cursor, UUID) or (UUID(int=0),)
    rows = await tx.many("tenant_api_keys", after_id=place[0], max_rows=ask.limit + 1)
    more = encode_cursor(rows[ask.limit - 1]["id"]) if len(rows) > ask.limit else None
    listed = [_listed(row) for row in rows[: ask.limit]]
    return Page(TenantKeys(api_keys=listed), Pagination(limit=ask.limit, next=more))


@command("tenant_key.update", needs=NEEDS, rest="PUT /tenants/{tenant_id}/api-keys/{key_id}", room="tenant")
async def update(tx: Tx, cmd: UpdateKey) -> list[MemberUpdated | TenantKeyChanged]:
    """Give a key of the tenant another name or other scopes; they count at once, on open sockets too.

    The role of the service is changed as that of any member, by `member.update`.
    """
    require_session(tx)
    old = await _key(tx, cmd.key_id)
    name = cmd.name or old["name"]
    scopes = old["scopes"] if cmd.scopes is None else granted(cmd.scopes, tx.rights.permissions)
    await tx.exec("rename_user", user_id=old["user_id"], name=name)
    await tx.one("update_api_key", cmd, name=name, scopes=scopes)
    await tx.rights_changed()
    member = await _member(tx, old["user_id"])
    was = MemberWas(name=old["name"]) if name != old["name"] else MemberWas()
    return [MemberUpdated(member=member, was=was), _changed(old)]


@command(
    "tenant_key.rotate",
    needs=NEEDS,
    rest="POST /tenants/{tenant_id}/api-keys/{key_id}/rotate",
    room="tenant",
    status=201,
)
async def rotate(tx: Tx, cmd: RotateKey) -> Outcome[TenantKeyChanged, NewTenantKey]:
    """Replace a key of the tenant by a new one for the same service; only the first reply shows it.

    The old one ends at once, or after `overlap`. Needs every permission that the key has: the new one is in the hands
    of whoever asks.
    """
    require_session(tx)
    old = await _key(tx, cmd.key_id)
    scopes = granted(old["scopes"], tx.rights.permissions)
    row, key = await add_key(
        tx, "tenant", old["user_id"], name=old["name"], scopes=scopes, expires_at=next_end(tx, old, cmd)
    )
    await end_old(tx, cmd)
    made = NewTenantKey(api_key=ApiKey(**shown(row)), member=await _member(tx, old["user_id"]))
    return Outcome([_changed(old)], made, made.model_copy(update={"key": key}))


@command(
    "tenant_key.revoke", needs=NEEDS, rest="DELETE /tenants/{tenant_id}/api-keys/{key_id}", room="tenant"
)
async def revoke(tx: Tx, cmd: OneKey) -> list[TenantKeyChanged | Left]:
    """End a key of the tenant, with the sockets that were opened by it; with the last one its service leaves."""
    require_session(tx)
    old = await _key(tx, cmd.key_id)
    service = {"user_id": old["user_id"]}
    await tx.many("lock_projects_of", **service)
    await tx.maybe("revoke_api_key", cmd)
    await tx.rights_changed()
    if await tx.value("service_has_another_key", cmd, **service):
        return [_changed(old)]
    return [_changed(old), *await leave(tx, old["user_id"])]


async def _key(tx: Tx, key_id: UUID) -> Row:
    """A key of the tenant, unless the service behind it may do more than the caller."""
    row = await tx.maybe("tenant_api_key", key_id=key_id)
    if row is None:
        raise NotFound("There is no such key")
    tx.may_change(row["role"], row["allowed"], row["denied"])
    tx.resource = f"tenant_key:{key_id}"
    return row


async def _member(tx: Tx, service_id: UUID) -> Member:
    return Member.of(await tx.one("member_entity", user_id=service_id))


async def _locked(tx: Tx, project_ids: list[UUID]) -> list[UUID]:
    """The projects, their rooms locked before any of their rows."""
    if not project_ids:
        return []
    await tx.many("lock_rooms", room_ids=project_ids)
    found = [row["id"] for row in await tx.many("live_projects", project_ids=project_ids)]
    if len(found) < len(project_ids):
        raise NotFound("There is no such project")
    if not all([await may_share(tx, project_id, None) for project_id in found]):
        raise Forbidden("This project is not yours to share", details={"permission": "project.share"})
    return found


async def _take_part(tx: Tx, project_id: UUID, service_id: UUID) -> ProjectMemberAdded:
    row = await tx.one("set_project_member", project_id=project_id, user_id=service_id, role=None)
    return ProjectMemberAdded.of(row).to(_project(tx, project_id))


def _changed(old: Row) -> TenantKeyChanged:
    return TenantKeyChanged(member=ServiceId(id=old["user_id"]))


def _project(tx: Tx, project_id: UUID) -> RoomKey:
    return RoomKey(tx.room.tenant_id, "project", project_id)


def _listed(row: Row) -> TenantKey:
    maker = KeyMaker(id=row["created_by_id"], name=row["created_by_name"])
    return TenantKey.model_validate({**shown(row), "created_by": maker})

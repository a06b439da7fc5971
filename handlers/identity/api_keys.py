"""Personal API keys: a program acts as oneself in one tenant, within scopes, until the key ends."""

import math
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import structlog
from pydantic import Field

from handlers.context import Edge, Principal, Tx
from handlers.errors import AtriumError, Conflict, Forbidden, NotFound, ValidationFailed
from handlers.identity import keys, mails
from handlers.identity.keys import Kind
from handlers.identity.scopes import Scopes, granted, own_permissions
from handlers.registry import (
    Entity,
    Event,
    Name,
    Outcome,
    Payload,
    Reply,
    Spec,
    Timestamp,
    When,
    command,
    query,
)
from storage.ids import new_id
from storage.postgres import Row

log = structlog.get_logger(__name__)

OVERLAP_MAX: Final = 7 * 86400
"""How long an old key may live on beside the one that replaces it (seconds)."""

ENDS: Final = Field(
    None, description="Unset: it does not end by itself, unless ATRIUM_API_KEY_MAX_DAYS says so."
)
ONCE: Final = Field(None, description="The key itself: shown in this reply, and never again.")


class ApiKey(Entity):
    """A key as lists and events show it; the key itself is shown once, to whoever makes it."""

    id: UUID
    kind: Kind
    name: str
    prefix: str = Field(description="What the key begins with: no secret, and enough to find it.")
    last_four: str
    scopes: list[str] = Field(description="The permissions it is limited to.")
    created_at: Timestamp
    expires_at: Timestamp | None


class ApiKeyUse(ApiKey):
    """A key, and when it was last used, to the minute."""

    last_used_at: Timestamp | None
    last_used_address: str = Field(description="The network address that it was last used from.")


class ApiKeyGone(Entity):
    id: UUID
    removed: Literal[True]


class ApiKeyCreated(Event, name="apikey.created"):
    """You have a new API key."""

    api_key: ApiKey


class ApiKeyUpdated(Event, name="apikey.updated"):
    """One of your API keys has another name, other scopes or another end."""

    api_key: ApiKey


class ApiKeyRevoked(Event, name="apikey.revoked"):
    """One of your API keys has ended."""

    api_key: ApiKeyGone


class CreateKey(Payload):
    name: Name
    scopes: Scopes = Field(description="Permissions, or the groups `read` and `write`.")
    expires_at: When | None = ENDS


class UpdateKey(Payload):
    key_id: UUID
    name: Name | None = Field(None, description="Unset: as it is.")
    scopes: Scopes | None = Field(None, description="Unset: as they are.")


class RotateKey(Payload):
    key_id: UUID
    overlap: int = Field(0, ge=0, le=OVERLAP_MAX, description="How long the old key goes on (seconds).")
    expires_at: When | None = Field(
        None, description="When the new one ends. Unset: it lives as long as the old one was made for."
    )


class OneKey(Payload):
    key_id: UUID


class OwnKeys(Payload):
    """No fields: the keys are the caller's."""


class Forget(Payload):
    key_ids: list[UUID]


class ApiKeys(Reply):
    api_keys: list[ApiKeyUse]


class NewApiKey(Reply):
    """A key that was just made."""

    api_key: ApiKey
    key: str | None = ONCE


Rotated = ApiKeyCreated | ApiKeyUpdated | ApiKeyRevoked


@command("apikey.create", needs=None, rest="POST /users/{user_id}/api-keys", room="user", status=201)
async def create(tx: Tx, cmd: CreateKey) -> Outcome[ApiKeyCreated, NewApiKey]:
    """Make a key that acts as oneself in this tenant; only the first reply shows it. A mail tells that it was made.

    Nobody gives a key more than he may do himself, anywhere in the tenant. Not for API keys.
    """
    require_session(tx)
    await require_room(tx, "personal")
    scopes = granted(cmd.scopes, await own_permissions(tx))
    row, key = await add_key(
        tx, "personal", tx.actor.user_id, name=cmd.name, scopes=scopes, expires_at=end_of(tx, cmd.expires_at)
    )
    await mails.tell(
        tx.session, "api_key_created", tx.actor.email, user_id=tx.actor.user_id,
        tenant_id=tx.room.tenant_id, key=cmd.name, tenant=tx.actor.tenant_name, address=tx.actor.origin.address,
    )  # fmt: skip
    made = ApiKey(**shown(row))
    tx.resource = f"apikey:{made.id}"
    return Outcome([ApiKeyCreated(api_key=made)], NewApiKey(api_key=made), NewApiKey(api_key=made, key=key))


@query("apikey.list", needs=None, rest="GET /users/{user_id}/api-keys", room="user")
async def list_keys(tx: Tx, ask: OwnKeys) -> ApiKeys:
    """One's own keys in this tenant, with when each was last used. Not for API keys."""
    return ApiKeys(api_keys=[ApiKeyUse(**shown(row)) for row in await tx.many("own_api_keys")])


@command("apikey.update", needs=None, rest="PUT /users/{user_id}/api-keys/{key_id}", room="user")
async def update(tx: Tx, cmd: UpdateKey) -> ApiKeyUpdated:
    """Give one of one's keys another name or other scopes; those count at once, on open sockets too."""
    require_session(tx)
    old = await _own(tx, cmd.key_id)
    scopes = old["scopes"] if cmd.scopes is None else granted(cmd.scopes, await own_permissions(tx))
    row = await tx.one("update_api_key", cmd, name=cmd.name or old["name"], scopes=scopes)
    if scopes != old["scopes"]:
        await tx.rights_changed()
    return ApiKeyUpdated(api_key=ApiKey(**shown(row)))


@command(
    "apikey.rotate",
    needs=None,
    rest="POST /users/{user_id}/api-keys/{key_id}/rotate",
    room="user",
    status=201,
)
async def rotate(tx: Tx, cmd: RotateKey) -> Outcome[Rotated, NewApiKey]:
    """Replace one of one's keys by a new one with the same name and scopes; only the first reply shows it.

    The old one ends at once, or after `overlap`.
    """
    require_session(tx)
    old = await _own(tx, cmd.key_id)
    scopes = sorted((await own_permissions(tx)).intersection(old["scopes"]))
    if not scopes:
        raise Forbidden("You may do nothing of what this key is for", details={"reason": "scopes"})
    row, key = await add_key(
        tx, "personal", tx.actor.user_id, name=old["name"], scopes=scopes, expires_at=next_end(tx, old, cmd)
    )
    left = await end_old(tx, cmd)
    made = ApiKey(**shown(row))
    ended = ApiKeyUpdated(api_key=ApiKey(**shown(left))) if left else _revoked(cmd.key_id)
    return Outcome(
        [ApiKeyCreated(api_key=made), ended], NewApiKey(api_key=made), NewApiKey(api_key=made, key=key)
    )


@command("apikey.revoke", needs=None, rest="DELETE /users/{user_id}/api-keys/{key_id}", room="user")
async def revoke(tx: Tx, cmd: OneKey) -> ApiKeyRevoked:
    """End one of one's keys, with the sockets that were opened by it."""
    require_session(tx)
    await _own(tx, cmd.key_id)
    await tx.maybe("revoke_api_key", cmd)
    await tx.rights_changed()
    return _revoked(cmd.key_id)


async def forget(tx: Tx, cmd: Forget) -> list[ApiKeyRevoked]:
    """Tell one's windows of keys that have been ended already."""
    return [_revoked(key_id) for key_id in cmd.key_ids]


FORGET: Final = Spec(
    kind="command", name="apikey.forget", payload=Forget, returns=None, handler=forget, doc="", room="user"
)
"""A command that no client can send: it is run by what stands below."""


async def tell_of_ended_keys(edge: Edge, user_id: UUID, ended: list[Row]) -> None:
    """Tell a person's rooms of keys that have ended with her password; one that cannot be told has old news only."""
    async with edge.db.transaction(None) as session:
        tenants = await session.many("memberships", user_id=user_id)
    for tenant in tenants:
        ids = [row["id"] for row in ended if row["tenant_id"] == tenant["tenant_id"]]
        caller = Principal(
            user_id=user_id, name="", email="", tenant_id=tenant["tenant_id"], tenant_name=tenant["name"],
            tenant_slug=tenant["slug"], role=tenant["role"], session_id=user_id, expires_at=math.inf,
        )  # fmt: skip
        try:
            if ids:
                await edge.submit(FORGET, Forget(key_ids=ids), caller)
        except AtriumError as error:
            log.warning("api_key.not_told", tenant=str(tenant["tenant_id"]), error=error.code)


async def _own(tx: Tx, key_id: UUID) -> Row:
    row = await tx.maybe("own_api_key", key_id=key_id)
    if row is None:
        raise NotFound("There is no such key")
    tx.resource = f"apikey:{key_id}"
    return row


def _revoked(key_id: UUID) -> ApiKeyRevoked:
    return ApiKeyRevoked(api_key=ApiKeyGone(id=key_id, removed=True))


# What personal keys and those of the tenant share.


async def add_key(
    tx: Tx, kind: Kind, user_id: UUID, *, name: str, scopes: list[str], expires_at: datetime | None
) -> tuple[Row, str]:
    """A new key: its row, and itself, of which the row has a hash only."""
    key_id = new_id()
    key = keys.new_key(kind, key_id)
    row = await tx.one(
        "create_api_key", key_id=key_id, user_id=user_id, kind=kind, name=name, secret_hash=keys.hash_key(key),
        last_four=key[-4:], scopes=scopes, expires_at=expires_at,
    )  # fmt: skip
    return row, key


def shown(row: Row) -> dict[str, object]:
    """The fields of `ApiKey` from a row."""
    return {**dict(row), "prefix": keys.prefix(row["kind"], row["id"])}


def require_session(tx: Tx) -> None:
    """Keys are managed by people who are signed in as themselves: neither by a key nor on somebody's behalf."""
    if tx.actor.scopes is not None or tx.actor.impersonator_id is not None:
        raise Forbidden("Sign in to manage API keys", details={"reason": "session_needed"})


async def require_room(tx: Tx, kind: Kind) -> None:
    most = tx.settings.api_keys_max
    if await tx.value("count_api_keys", kind=kind) >= most:
        raise Conflict(f"There are {most} keys already: revoke those that are not needed")


def end_of(tx: Tx, wanted: datetime | None) -> datetime | None:
    """When a new key ends. Refuses an end that has passed, or one later than the settings allow."""
    days = tx.settings.api_key_max_days
    latest = tx.now + timedelta(days=days) if days else None
    if wanted is not None and wanted <= tx.now:
        raise ValidationFailed.field("expires_at", "must be in the future")
    if wanted is not None and latest is not None and wanted > latest:
        raise ValidationFailed.field("expires_at", f"must be within {days} days")
    return wanted or latest


def next_end(tx: Tx, old: Row, cmd: RotateKey) -> datetime | None:
    """When a key that replaces another one ends: as wanted, or after as long as that one was made for."""
    if cmd.expires_at is not None or old["expires_at"] is None:
        return end_of(tx, cmd.expires_at)
    lived: datetime = tx.now + (old["expires_at"] - old["created_at"])
    latest = end_of(tx, None)
    return min(latest, lived) if latest else lived


async def end_old(tx: Tx, cmd: RotateKey) -> Row | None:
    """End the key that was replaced; the row of one that goes on for a while."""
    await tx.rights_changed()
    if cmd.overlap:
        return await tx.one("expire_api_key", cmd, expires_at=tx.now + timedelta(seconds=cmd.overlap))
    await tx.maybe("revoke_api_key", cmd)
    return None

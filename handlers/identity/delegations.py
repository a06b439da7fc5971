"""Delegation: for a time, a member acts with the rights of another beside her own."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from pydantic import Field

from handlers.access import OUTSIDE
from handlers.context import Tx
from handlers.errors import Conflict, Forbidden, NotFound, ValidationFailed, constraint
from handlers.paging import decode_cursor, encode_cursor
from handlers.registry import (
    Entity,
    Event,
    Gone,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Timestamp,
    Title,
    When,
    command,
    query,
)
from storage.ids import new_id
from storage.rooms import RoomKey

LONGEST: Final = timedelta(days=366)
"""How long a delegation may last: it is for absences, and ends by itself."""

MOST: Final = 20
"""Delegations that one member may have given at a time (count)."""

_LAST: Final = UUID(int=2**128 - 1)

constraint("delegations_pkey", "id", "A delegation with this id exists")


class Delegation(Entity):
    """Somebody acts for somebody else, with the rights of both, from a moment to another."""

    id: UUID
    from_id: UUID = Field(description="Whose rights they are.")
    from_name: str
    to_id: UUID = Field(description="Who acts with them.")
    to_name: str
    starts_at: Timestamp
    ends_at: Timestamp
    reason: str
    created_at: Timestamp


class PastDelegation(Delegation):
    """A delegation of whatever time."""

    revoked_at: Timestamp | None
    revoked_by: UUID | None


class DelegationCreated(Event, name="delegation.created"):
    """You act for somebody, or somebody for you; it begins and ends by itself."""

    delegation: Delegation


class DelegationRevoked(Event, name="delegation.revoked"):
    """A delegation has ended before its time."""

    delegation: Gone


class CreateDelegation(Payload):
    id: UUID | None = Field(None, description="UUID of the new delegation, where the client makes it.")
    to_id: UUID = Field(description="The member who is to act for you.")
    starts_at: When | None = Field(None, description="Unset: now.")
    ends_at: When
    reason: Title


class OneDelegation(Payload):
    delegation_id: UUID


class ListDelegations(Paging):
    everybody: bool = Field(False, description="Those of all members; this needs member.manage.")
    ended: bool = Field(False, description="Also those that have ended.")


class DelegationList(Reply):
    delegations: list[PastDelegation]


@command(
    "delegation.create",
    needs="rights.delegate",
    rest="POST /tenants/{tenant_id}/delegations",
    room="tenant",
    status=201,
)
async def create(tx: Tx, cmd: CreateDelegation) -> list[DelegationCreated]:
    """Let another member act with your rights beside her own. She can pass them on to nobody."""
    starts_at = cmd.starts_at or tx.now
    _check(tx, cmd)
    people = {
        row["user_id"]: row
        for row in await tx.many("delegation_sides", user_ids=[tx.actor.user_id, cmd.to_id])
    }
    other = people.get(cmd.to_id)
    if other is None:
        raise NotFound("There is no such member")
    if other["role"] in OUTSIDE:
        raise Conflict(f"A {other['role']} sees only what is shared with her, and acts for nobody")
    if await tx.value("count_delegations") >= MOST:
        raise Conflict(f"At most {MOST} members act for one at a time")
    row = await tx.one("create_delegation", cmd, id=cmd.id or new_id(), starts_at=starts_at)
    await tx.rights_changed()
    names = {"from_name": people[tx.actor.user_id]["name"], "to_name": other["name"]}
    made = Delegation.of({**row, **names})
    return [
        DelegationCreated(delegation=made).to(_room(tx, user_id))
        for user_id in (row["from_id"], row["to_id"])
    ]


@command(
    "delegation.revoke",
    needs=None,
    rest="DELETE /tenants/{tenant_id}/delegations/{delegation_id}",
    room="tenant",
)
async def revoke(tx: Tx, cmd: OneDelegation) -> list[DelegationRevoked]:
    """End a delegation that you have given or received; whoever manages members may end any."""
    row = await tx.maybe("delegation", cmd)
    if row is None or not (
        tx.actor.user_id in (row["from_id"], row["to_id"]) or tx.rights.allow("member.manage")
    ):
        raise NotFound("There is no such delegation")
    await tx.exec("revoke_delegation", cmd)
    await tx.rights_changed()
    gone = DelegationRevoked(delegation=Gone(id=row["id"], removed=True))
    return [gone.model_copy().to(_room(tx, user_id)) for user_id in (row["from_id"], row["to_id"])]


@query(
    "delegation.list",
    needs=None,
    rest="GET /tenants/{tenant_id}/delegations",
    room="tenant",
)
async def list_delegations(tx: Tx, ask: ListDelegations) -> Page[DelegationList]:
    """Delegations given to you and by you, or everybody's; the newest first."""
    if ask.everybody:
        tx.require("member.manage")
    (before_id,) = decode_cursor(ask.cursor, UUID) or (_LAST,)
    rows = await tx.many("delegations_page", ask, before_id=before_id, max_rows=ask.limit + 1)
    more = encode_cursor(rows[ask.limit - 1]["id"]) if len(rows) > ask.limit else None
    listed = [PastDelegation.of(row) for row in rows[: ask.limit]]
    return Page(DelegationList(delegations=listed), Pagination(limit=ask.limit, next=more))


async def revoke_all(tx: Tx, user_id: UUID) -> list[DelegationRevoked]:
    """End what a person has given and received, such as when she is no member any more."""
    rows = await tx.many("revoke_delegations_of", user_id=user_id)
    return [
        DelegationRevoked(delegation=Gone(id=row["id"], removed=True)).to(_room(tx, side))
        for row in rows
        for side in (row["from_id"], row["to_id"])
    ]


def _check(tx: Tx, cmd: CreateDelegation) -> None:
    if cmd.to_id == tx.actor.user_id:
        raise ValidationFailed.field("to_id", "must be somebody else")
    starts_at = max(cmd.starts_at or tx.now, tx.now)
    if cmd.ends_at <= starts_at:
        raise ValidationFailed.field("ends_at", "must lie after the beginning, and ahead")
    if cmd.ends_at - starts_at > LONGEST:
        raise ValidationFailed.field("ends_at", f"must lie within {LONGEST.days} days of the beginning")
    if "rights.delegate" not in tx.rights.own or tx.actor.impersonator_id is not None:
        raise Forbidden("Rights that one has in another's place are not passed on")
    if tx.actor.scopes is not None:
        raise Forbidden("A credential that is limited to some permissions cannot delegate all of them")


def _room(tx: Tx, user_id: UUID) -> RoomKey:
    return RoomKey(tx.room.tenant_id, "user", user_id)

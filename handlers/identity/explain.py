"""Why may she do that? For each permission, what gives it and what takes it away."""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from handlers import access
from handlers.access import MATRIX, OWN, PERMISSIONS, Role
from handlers.context import Tx
from handlers.errors import NotFound
from handlers.registry import ROOMS_OWN, Payload, Reply, Timestamp, query
from handlers.rooms import VIEW
from storage.postgres import Row

Source = Literal[
    "role", "custom_role", "member", "project_role", "team", "department", "client", "region",
    "delegation", "credential",
]  # fmt: skip


class Explain(Payload):
    user_id: UUID | None = Field(None, description="Somebody else; this needs member.manage. Unset: oneself.")


class Because(Reply):
    """One reason why a permission is there, or is not."""

    source: Source = Field(description="`member`: given to or taken from her alone.")
    effect: Literal["gives", "takes"]
    id: UUID | None = Field(None, description="Of the custom role, team, unit or delegation.")
    name: str | None = Field(None, description="Of it, or of whoever has delegated.")
    role: str | None = Field(None, description="The role that counts through it; own: that in the tenant.")
    until: Timestamp | None = None


class Explained(Reply):
    """One permission."""

    name: str
    allowed: bool
    because: list[Because]


class Explanation(Reply):
    """Somebody's rights in a room."""

    room: str
    user_id: UUID
    name: str
    status: str = Field(description="Of the membership: active, suspended, expired, or that of the account.")
    visible: bool = Field(description="Whether the room is hers to know of.")
    role: Role | None = Field(description="The highest that counts here.")
    until: Timestamp | None = Field(description="When the membership ends by itself.")
    permissions: list[Explained]


@dataclass(slots=True)
class _Reason:
    because: dict[str, Any]
    gives: frozenset[str]
    takes: frozenset[str] = frozenset()


@query("permission.explain", needs=None, scope=ROOMS_OWN, rest="GET /rooms/{room}/permissions", room="")
async def explain(tx: Tx, ask: Explain) -> Explanation:
    """What one may do in a room and why: which role, team, unit, exception or delegation gives or takes it."""
    if tx.actor.scopes is not None and (needed := VIEW.get(tx.room.kind)):
        tx.require(needed)
    user_id = ask.user_id or tx.actor.user_id
    if user_id != tx.actor.user_id:
        tx.require("member.manage")
        if tx.room.kind == "user" or not tx.rights.every_project:
            raise NotFound("There is no such member")
    row = await tx.maybe("explained_member", user_id=user_id)
    if row is None:
        raise NotFound("There is no such member")
    rights = access.rights({**row, "live": row["status"] == "active"}, tx.room.kind, tx.room.id)
    scopes = tx.actor.scopes if user_id == tx.actor.user_id else None
    allowed = rights.within(scopes).permissions if rights else frozenset()
    reasons = await _reasons(tx, row, user_id)
    if scopes is not None:
        reasons.append(_Reason({"source": "credential"}, frozenset(), frozenset(PERMISSIONS) - scopes))
    return Explanation(
        room=tx.room.name,
        user_id=user_id,
        name=row["name"],
        status=row["status"],
        visible=rights is not None,
        role=rights.role if rights else None,
        until=row["expires_at"],
        permissions=[
            Explained(name=name, allowed=name in allowed, because=_because(reasons, name))
            for name in PERMISSIONS
        ],
    )


async def _reasons(tx: Tx, row: Row, user_id: UUID) -> list[_Reason]:
    role: Role = row["role"]
    reasons: list[_Reason] = []
    replaced = False
    if tx.room.kind == "project" and role not in ("owner", "admin"):
        parts, replaced = await _parts(tx, row, user_id)
        reasons += parts
    if not replaced:
        reasons += _in_tenant(row)
    reasons += _taken(row)
    others = {UUID(other["delegation_id"]): other for other in access.stands_for(row)}
    for delegation in await tx.many("explained_delegations", delegation_ids=list(others)):
        because = {
            "source": "delegation", "id": delegation["id"], "name": delegation["name"], "until": delegation["ends_at"],
        }  # fmt: skip
        rights = access.rights(others[delegation["id"]], tx.room.kind, _room_of(tx, delegation["from_id"]))
        if rights is not None:
            reasons.append(_Reason(because, rights.permissions))
    return reasons


def _in_tenant(row: Row) -> list[_Reason]:
    """What the role in the tenant gives with what is beside it."""
    role: Role = row["role"]
    reasons = [_Reason({"source": "role", "role": role}, MATRIX[role])]
    beside = access.permissions_of(role, tuple(row["allowed"] or ())) - MATRIX[role]
    own = frozenset(row["own_allowed"] or ())
    if row["role_id"] is not None:
        of_role = beside & frozenset(row["role_allowed"])
        because = {"source": "custom_role", "id": row["role_id"], "name": row["role_name"], "role": role}
        reasons.append(_Reason(because, of_role - own))
    reasons.append(_Reason({"source": "member"}, beside & own))
    return reasons


def _taken(row: Row) -> list[_Reason]:
    """What is denied, by the role or to her alone, counts everywhere; an owner is denied nothing."""
    if row["role"] == "owner":
        return []
    denied, own = frozenset(row["denied"] or ()), frozenset(row["own_denied"] or ())
    because = {"source": "custom_role", "id": row["role_id"], "name": row["role_name"]}
    return [
        _Reason({"source": "member"}, frozenset(), denied & own),
        _Reason(because, frozenset(), denied - own),
    ]


async def _parts(tx: Tx, row: Row, user_id: UUID) -> tuple[list[_Reason], bool]:
    """What the part in the project gives, and whether that replaces the role in the tenant."""
    if row["direct"] and (role := row["project_role"]):
        because = {"source": "project_role", "role": role, "until": row["part_until"]}
        return [_Reason(because, MATRIX[role])], True
    shares = await tx.many("explained_shares", user_id=user_id)
    reasons = [
        _Reason(_through(share), MATRIX[share["role"]]) for share in shares if share["role"] is not None
    ]
    sees_all = "tenant.view" in access.permissions_of(
        row["role"], tuple(row["allowed"] or ()), tuple(row["denied"] or ())
    )
    kept = sees_all or row["direct"] or any(share["role"] is None for share in shares)
    if row["in_project"] and not kept:
        return reasons, True
    own = frozenset(access.permissions_of(row["role"], tuple(row["allowed"] or ())))
    reasons += [_Reason(_through(share), own) for share in shares if share["role"] is None and not sees_all]
    return reasons, False


def _through(share: Row) -> dict[str, Any]:
    return {
        "source": share["kind"], "id": share["id"], "name": share["name"], "role": share["role"] or OWN,
    }  # fmt: skip


def _room_of(tx: Tx, user_id: UUID) -> UUID:
    return user_id if tx.room.kind == "user" else tx.room.id


def _because(reasons: list[_Reason], name: str) -> list[Because]:
    found = [Because(**reason.because, effect="gives") for reason in reasons if name in reason.gives]
    return found + [Because(**reason.because, effect="takes") for reason in reasons if name in reason.takes]

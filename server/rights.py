"""Rights that end at once: connections are checked before any event reaches them that came after a change.

Every command that changes who may do what raises its tenant's number in the same transaction, and every batch
carries the number that its transaction saw. A node that has checked its connections only up to a smaller number
holds the batch, asks the database once for all its connections of that tenant, puts out whoever may no longer be
there, and goes on. So no event of a transaction that began after a change reaches a person whom the change has shut
out, on any node, whatever is lost on the way between them. One that had begun before carries the old number although it
commits after the change: where the message about the change is late or lost as well, its events are still heard.
"""

import asyncio
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog

from handlers import access
from handlers.identity.sessions import clock_ahead
from handlers.rooms import view_needs
from storage.postgres import LOST, Database, Session
from storage.rooms import RoomKey

if TYPE_CHECKING:
    from server.connection import Connection
    from server.gateway import Gateway

log = structlog.get_logger(__name__)

RETRY: Final = 0.5
"""Pause before the database is asked again after it was away (seconds); events wait that long."""


class RightsWatch:
    """Checks the connections of a tenant when its rights have changed."""

    def __init__(self, gateway: "Gateway", db: Database) -> None:
        self._gateway = gateway
        self._db = db
        self._wanted: dict[UUID, int] = {}
        self._checking: set[UUID] = set()

    def want(self, tenant_id: UUID, seq: int) -> None:
        """Check a tenant's connections, unless that has been done up to this change."""
        if seq <= self._gateway.hub.rights.get(tenant_id, seq):
            return
        self._wanted[tenant_id] = max(seq, self._wanted.get(tenant_id, 0))
        if tenant_id not in self._checking:
            self._checking.add(tenant_id)
            self._gateway.keep(asyncio.ensure_future(self._check(tenant_id)))

    def is_checking(self, tenant_id: UUID) -> bool:
        return tenant_id in self._checking

    def known(self, tenant_id: UUID) -> int:
        return self._gateway.hub.rights.get(tenant_id, 0)

    async def _check(self, tenant_id: UUID) -> None:
        try:
            while self._wanted.get(tenant_id, 0) > (before := self.known(tenant_id)):
                # What is wanted is wanted once: a failover may have lost that change, and no reading comes to it then.
                wanted = self._wanted.pop(tenant_id, 0)
                try:
                    seq = await self._check_once(tenant_id)
                except LOST as error:
                    log.warning("rights.check_postponed", tenant=str(tenant_id), error=repr(error))
                    self._wanted[tenant_id] = max(wanted, self._wanted.get(tenant_id, 0))
                    await asyncio.sleep(RETRY)
                    continue
                if not self._gateway.of_tenant(tenant_id):
                    self._gateway.hub.rights.pop(tenant_id, None)
                    return  # who comes next begins with what he has read himself
                if self.known(tenant_id) < before:
                    continue  # another history has begun meanwhile, and counts anew: the number may be of the old one
                self._gateway.hub.rights_checked(tenant_id, seq)
        finally:
            self._wanted.pop(tenant_id, None)
            self._checking.discard(tenant_id)

    async def _check_once(self, tenant_id: UUID) -> int:
        async with self._db.snapshot(tenant_id) as session:
            tenant = await session.one("tenant_rights")
            # Who comes, or joins, from here on reads his rights after this snapshot, and compares them himself. A list
            # that is made before it would miss whoever has read them between the two.
            connections = self._gateway.of_tenant(tenant_id)
            asked = {connection: list(connection.rooms) for connection in connections}
            sessions = {connection: connection.principal.session_id for connection in connections}
            seq: int = tenant["rights_seq"]
            ahead = clock_ahead(tenant["now"])
            rows = await session.many("live_sessions", session_ids=list(set(sessions.values())))
            live = {row["session_id"]: row for row in rows}
            rights = await _rights(session, asked)
        for connection, rooms in asked.items():
            if connection.closed:
                continue
            row = live.get(sessions[connection])
            if row is None:
                connection.end("revoked" if tenant["status"] == "active" else tenant["status"])
                continue
            connection.limit(row["scopes"])
            connection.member_until(row["expires_at"], ahead)
            for room in rooms:
                connection.settle(room, _seen(room, connection, rights))
        return seq


async def _rights(
    session: Session, asked: "dict[Connection, list[RoomKey]]"
) -> dict[tuple[UUID, RoomKey], access.Rights]:
    """What each person may do in each of the rooms he is in; rooms that he may not know of are left out."""
    pairs = list({(c.principal.user_id, room) for c, rooms in asked.items() for room in rooms})
    rows = await session.many(
        "rights_in_rooms", user_ids=[user_id for user_id, _ in pairs], room_ids=[room.id for _, room in pairs]
    )
    found = {(row["user_id"], row["room_id"]): row for row in rows}
    known = ((pair, found.get((pair[0], pair[1].id))) for pair in pairs)
    return {
        pair: rights
        for pair, row in known
        if row and (rights := access.rights(row, pair[1].kind, pair[1].id))
    }


def _seen(
    room: RoomKey, connection: "Connection", rights: dict[tuple[UUID, RoomKey], access.Rights]
) -> access.Rights | None:
    """A connection's rights in a room, within its credential's scopes; None where it may not be there."""
    principal, needed = connection.principal, view_needs(room, connection.principal)
    found = rights.get((principal.user_id, room))
    limited = found.within(principal.scopes) if found else None
    return limited if limited and (needed is None or limited.allow(needed)) else None

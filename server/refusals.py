"""Commands and reads that somebody was refused for want of a permission, written to the audit log beside the busy path.

They changed nothing, so no transaction waits for them; what a node has not written when it is killed is lost.
"""

import asyncio
from typing import Final

import structlog

from handlers import evidence
from handlers.context import Principal
from handlers.errors import Forbidden
from handlers.registry import Payload, Spec
from storage.background import end_tasks
from storage.postgres import LOST, Database, Session
from storage.rooms import RoomKey

log = structlog.get_logger(__name__)

PAUSE: Final = 0.2
"""Between two writings (seconds)."""

MOST: Final = 1000
"""Refusals that wait to be written at most (count); a flood beyond that is counted in the log instead."""

Refused = tuple[Spec, Payload, Principal, RoomKey]


class Refusals:
    """Collects refusals and writes them, a few at a time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: list[Refused] = []
        self._dropped = 0
        self._some = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def note(self, spec: Spec, payload: Payload, principal: Principal, room: RoomKey) -> None:
        if len(self._waiting) >= MOST:
            self._dropped += 1
            return
        self._waiting.append((spec, payload, principal, room))
        self._some.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what waits, and end."""
        async with self._writing:  # what is being written is not cut off
            await end_tasks(self._task)
        try:
            await self.once()
        except LOST as error:
            log.warning("refusals.not_written", count=len(self._waiting), error=repr(error))

    async def once(self) -> int:
        """Write what waits; returns how many they were."""
        async with self._writing:
            return await self._write()

    async def _write(self) -> int:
        some, self._waiting = self._waiting, []
        if not some:
            return 0
        try:
            async with self._db.transaction(None) as session:
                for refused in some:
                    await _write(session, *refused)
        except LOST:
            self._waiting = [*some, *self._waiting][:MOST]
            raise
        if self._dropped:
            log.warning("refusals.dropped", count=self._dropped)
            self._dropped = 0
        return len(some)

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            try:
                await self.once()
            except LOST as error:
                log.warning("refusals.postponed", error=repr(error))
                self._some.set()
            except Exception:
                log.exception("refusals.failed")
            await asyncio.sleep(PAUSE)


async def _write(session: Session, spec: Spec, payload: Payload, principal: Principal, room: RoomKey) -> None:
    await evidence.record(
        session, tenant_id=principal.tenant_id, person=None, action=spec.name, outcome=Forbidden.code,
        actor_id=principal.user_id, impersonator_id=principal.impersonator_id, session_id=principal.session_id,
        resource=evidence.resource(spec.name, payload, (), room),
        address=principal.origin.address, user_agent=principal.origin.user_agent,
        changes=evidence.changes(payload, payload.model_dump_json(exclude_unset=True)),
    )  # fmt: skip

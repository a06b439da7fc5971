"""Keeps the progress of projects up to date, a moment after their tasks have changed.

A node remembers the projects in which its own commands had events, which costs a board nothing, and looks at them a
little later: whatever many moves come to is told once. A node that dies forgets some; the next change, or what
maintenance does, makes up for it.
"""

import asyncio
from typing import Final
from uuid import UUID

import structlog

from handlers.dispatch import Dispatcher
from handlers.errors import AtriumError
from handlers.registry import INTERNAL
from handlers.work.progress import Reckon
from server.deputy import acting_for
from storage.postgres import LOST, Database
from storage.rooms import RoomKey
from storage.settings import Settings

log = structlog.get_logger(__name__)

COMMAND: Final = "project.reckon"
LAST_LOOK: Final = 2.0
"""How long the end of a node may wait for what is left (seconds)."""


class Reckoner:
    """One worker of one node; each looks after what its own node has changed."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._delay = settings.progress_delay
        self._due: dict[RoomKey, UUID] = {}
        self._dispatcher: Dispatcher | None = None
        self._task: asyncio.Task[None] | None = None

    def note(self, room: RoomKey, actor_id: UUID) -> None:
        """A project had an event, which somebody has caused."""
        if self._delay:
            self._due[room] = actor_id

    def start(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        if self._delay:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Look at what is left, as far as there is time for it."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(LAST_LOOK):
                await self.once()
        except (TimeoutError, *LOST) as error:
            log.warning("progress.left", projects=len(self._due), error=repr(error))

    async def once(self) -> int:
        """Look at every project that has changed; returns how many have come to another percent."""
        changed = 0
        for room in list(self._due):
            changed += await self._reckon(room, self._due.pop(room))
        return changed

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._delay)
            try:
                await self.once()
            except LOST as error:
                log.warning("progress.postponed", error=repr(error))
            except Exception as error:
                log.exception("progress.interrupted", error=repr(error))

    async def _reckon(self, room: RoomKey, actor_id: UUID) -> bool:
        """Nobody's lock is taken to find that all is as it was, which is what mostly happens."""
        async with self._db.snapshot(room.tenant_id) as session:
            rows = await session.many("reckon_progress", project_ids=[room.id])
        if all(row["fresh"] == row["progress"] for row in rows):
            return False
        assert self._dispatcher is not None
        tenant = RoomKey(room.tenant_id, "tenant", room.tenant_id)
        try:
            await self._dispatcher.submit(
                INTERNAL[COMMAND], Reckon(project_id=room.id), acting_for(actor_id, room.tenant_id), tenant
            )
        except AtriumError as error:  # the tenant is gone, or the node is ending
            log.warning("progress.left", room=room.name, error=repr(error))
            return False
        return True

"""Keeps the progress of projects up to date, a moment after their tasks have changed.

A node remembers the projects in which its own commands had events, which costs a board nothing, and looks at them a
little later: whatever many moves come to is told once. What fails is tried again, later and later. What a node that died
had noted is found in the log: somebody looks back when a node starts, and once an hour.
"""

import asyncio
import random
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Final
from uuid import UUID

import structlog

from handlers.dispatch import Dispatcher
from handlers.errors import AtriumError, Internal, Unavailable
from handlers.registry import INTERNAL
from handlers.work.projects.progress import Reckon
from server.deputy import acting_for
from storage.background import end_tasks
from storage.postgres import LOST, Database
from storage.rooms import RoomKey
from storage.settings import Settings

log = structlog.get_logger(__name__)

COMMAND: Final = "project.reckon"
LAST_LOOK: Final = 2.0
"""How long the end of a node may wait for what is left (seconds)."""
FIRST_PAUSE: Final = 2.0
"""Before a project that could not be reckoned is looked at again; twice as long each time (seconds)."""
LONGEST_PAUSE: Final = 300.0
"""The longest such pause (seconds)."""
LOOK_BACK: Final = 3600.0
"""How often the log is searched for what others may have forgotten, by whoever comes first (seconds)."""
FIRST_LOOK: Final = 60.0
"""Who starts looks as well, unless somebody has looked so lately, and LOOK_BACK further than the last one (seconds)."""
OVERLAP: Final = 600.0
"""How much further back than the last one the others go: whoever looked then may have died with it (seconds)."""
SPREAD: Final = 60.0
"""What is found is reckoned over so long, so that what has just changed does not wait for it (seconds)."""


@dataclass(frozen=True, slots=True)
class _Due:
    """A project to look at, because of what somebody did."""

    actor_id: UUID
    tries: int = 0
    after: float = 0.0
    """Not before this moment, by the clock of the process."""

    def again(self) -> "_Due":
        pause = min(FIRST_PAUSE * 2**self.tries, LONGEST_PAUSE)
        return _Due(self.actor_id, self.tries + 1, monotonic() + pause)


class Reckoner:
    """One worker of one node; each looks after what its own node has changed."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._delay = settings.progress_delay
        self._due: dict[RoomKey, _Due] = {}
        self._dispatcher: Dispatcher | None = None
        self._task: asyncio.Task[None] | None = None

    def note(self, room: RoomKey, actor_id: UUID) -> None:
        """A project had an event, which somebody has caused."""
        if self._delay:
            self._due[room] = _Due(actor_id)

    def start(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        if self._delay:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Look at what is left, as far as there is time for it."""
        if self._task is None:
            return
        await end_tasks(self._task)
        try:
            async with asyncio.timeout(LAST_LOOK):
                await self.once()
        except (TimeoutError, *LOST) as error:
            log.warning("progress.left", projects=len(self._due), error=repr(error))

    async def once(self) -> int:
        """Look at every project that has changed; returns how many have come to another percent."""
        changed = 0
        for room, due in list(self._due.items()):
            if due.after > monotonic():
                continue
            del self._due[room]  # what happens from here on notes it again
            try:
                changed += await self._reckon(room, due.actor_id)
            except (asyncio.CancelledError, *LOST):
                self._due.setdefault(room, due)
                raise
            except Exception as error:
                self._due.setdefault(room, due.again())
                log.warning("progress.postponed", room=room.name, tries=due.tries + 1, error=repr(error))
        return changed

    async def look_back(self, *, first: bool) -> None:
        """Note every project that had an event since the last look, or shortly before, unless somebody else does."""
        pause, back = (FIRST_LOOK, LOOK_BACK) if first else (LOOK_BACK, OVERLAP)
        async with self._db.transaction(None) as session:
            rows = await session.many(
                "forgotten_projects", pause=timedelta(seconds=pause), back=timedelta(seconds=back)
            )
        for row in rows:
            room = RoomKey(row["tenant_id"], "project", row["room_id"])
            after = monotonic() + random.uniform(0, SPREAD)
            self._due.setdefault(room, _Due(row["actor_id"], after=after))

    async def _run(self) -> None:
        first, look_at = True, monotonic()
        while True:
            await asyncio.sleep(self._delay * random.uniform(0.8, 1.2))
            try:
                await self.once()
                if look_at <= monotonic():
                    await self.look_back(first=first)
                    first, look_at = False, monotonic() + LOOK_BACK * random.uniform(1.0, 1.2)
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
        except (Internal, Unavailable):
            raise
        except AtriumError as error:  # the tenant is gone
            log.warning("progress.left", room=room.name, error=repr(error))
            return False
        return True

"""Sends the alarms that are due: reminders, recurring tasks, rules by the clock.

A node leases what is due, so that others look at something else meanwhile; a node that dies lets its lease run out.
What an alarm does happens in the transaction that takes it away (handlers/alarms.py), so it happens once.
"""

import asyncio
import random
from datetime import timedelta
from typing import Final

import structlog

from handlers.alarms import due
from handlers.dispatch import Dispatcher
from handlers.errors import AtriumError, Internal, Unavailable
from server import metrics
from server.deputy import acting_for
from storage.background import end_tasks
from storage.postgres import LOST, Database, Row
from storage.rooms import RoomKey
from storage.settings import Settings

log = structlog.get_logger(__name__)

AT_ONCE: Final = 50
"""Alarms that one node takes at a time (count)."""
LEASE: Final = timedelta(seconds=60)
"""After so much silence another node takes an alarm."""
FIRST_PAUSE: Final = 2.0
"""Before an alarm that failed is tried again; twice as long each time (seconds)."""


class AlarmClock:
    """One worker of one node; any number of nodes share the work."""

    def __init__(self, db: Database, settings: Settings, dispatcher: Dispatcher) -> None:
        self._db = db
        self._settings = settings
        self._dispatcher = dispatcher
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        await end_tasks(self._task)

    async def once(self) -> int:
        """Send what is due; returns how many alarms that were."""
        async with self._db.transaction(None) as session:
            rows = await session.many("lease_alarms", lease=LEASE, most=AT_ONCE)
        await asyncio.gather(*(self._send(row) for row in rows))
        return len(rows)

    async def _run(self) -> None:
        while True:
            try:
                if await self.once() == AT_ONCE:
                    continue
            except LOST as error:
                log.warning("alarms.postponed", error=repr(error))
            except Exception as error:
                log.exception("alarms.interrupted", error=repr(error))
            await asyncio.sleep(self._settings.alarm_poll * random.uniform(0.8, 1.2))

    async def _send(self, row: Row) -> None:
        outcome = "sent"
        try:
            spec, payload = due(row["name"], row["key"], row["command_id"], row["payload"])
            room = RoomKey(row["tenant_id"], row["kind"], row["room_id"])
            actor = acting_for(row["actor_id"], row["tenant_id"], row["tenant_name"], row["slug"])
            await self._dispatcher.submit(spec, payload, actor, room, command_id=row["command_id"])
        except Unavailable as error:  # the lease runs out, and it is due again
            log.warning("alarm.postponed", name=row["name"], error=repr(error))
            outcome = "postponed"
        except Exception as error:
            outcome = await self._failed(row, error)
        metrics.ALARMS.labels(row["name"], outcome).inc()

    async def _failed(self, row: Row, error: Exception) -> str:
        """What is refused is refused for good; what nobody has foreseen is tried again, later and later."""
        foreseen = isinstance(error, AtriumError) and not isinstance(error, Internal)
        last = foreseen or row["tries"] + 1 >= self._settings.alarm_tries
        outcome = "gone"  # another node was faster, or it was taken back
        about = {"key": row["key"], "command_id": row["command_id"]}
        async with self._db.transaction(row["tenant_id"]) as session:
            if not last:
                pause = timedelta(seconds=FIRST_PAUSE * 2 ** row["tries"] * random.uniform(0.8, 1.2))
                if await session.value("postpone_alarm", pause=pause, **about):
                    outcome = "failed"
            elif await session.value("drop_alarm", **about):
                outcome = "dropped"
            elif await session.value("release_alarm", **about):
                outcome = "asleep"
        said = error.__cause__ or error
        log.warning(
            "alarm.failed", name=row["name"], key=row["key"], tries=row["tries"] + 1, outcome=outcome, error=repr(said)
        )  # fmt: skip
        return outcome

"""Retention: replies and events older than the settings say are removed, once an hour, by one node at a time."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from storage.postgres import Database
from storage.settings import Settings

log = structlog.get_logger(__name__)

INTERVAL: Final = 3600.0
"""Time between two rounds (seconds)."""


class Maintenance:
    """Keeps the log and the remembered replies within their retention."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def once(self, now: datetime | None = None) -> tuple[int, int]:
        """One round; returns how many replies and events it removed."""
        now = now or datetime.now(UTC)
        async with self._db.transaction(None) as session:
            replies = await session.value(
                "purge_applied_commands", older_than=now - timedelta(hours=self._settings.command_retention)
            )
        async with self._db.transaction(None) as session:
            events = await session.value(
                "trim_room_events", older_than=now - timedelta(days=self._settings.log_retention)
            )
        return replies, events

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                replies, events = await self.once()
                log.info("maintenance.done", replies=replies, events=events)
            except Exception:
                log.exception("maintenance.failed")

"""Keeps a node's key ring fresh: learns the keys that others made, and makes a new one when it is due."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from handlers.identity.signing_keys import KeyRing
from storage import statements
from storage.background import end_tasks
from storage.postgres import LOST, Database
from storage.settings import Settings

log = structlog.get_logger(__name__)

INTERVAL: Final = 30.0
"""How often the table of keys is read (seconds): three times before a new key signs."""


class KeyWatch:
    """One worker of one node; of all nodes one makes the new key."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        await end_tasks(self._task)

    async def once(self) -> None:
        """One look: the keys of the others, and a new one if it is time."""
        await self._ring.load()
        if (kid := await self._ring.rotate_if_due()) is not None:
            log.info("keys.rotated", kid=kid)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.once()
            except LOST as error:
                log.warning("keys.postponed", error=repr(error))
            except Exception:
                log.exception("keys.failed")


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[KeyRing]:
    """The ring without a node, for work from the command line."""
    from server.app import instance_secret, open_database

    dsn, password, postgres = await open_database(settings)
    try:
        db = await Database.connect(dsn, statements.load(), settings, password=password)
        try:
            ring = KeyRing(db, (instance_secret(settings), *settings.previous_secrets), settings)
            await ring.open()
            yield ring
        finally:
            await db.close()
    finally:
        if postgres is not None:
            await postgres.stop()

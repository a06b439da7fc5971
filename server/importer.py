"""Carries imports out: portion by portion, each a command of the tenant's room, as whoever began it.

A node leases an import, and every portion renews the lease. A node that dies lets it run out, and another goes on
behind the last portion that was committed. Two nodes at one import do no harm: a portion counts only where it is the
next one, under the room's lock.
"""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from handlers.context import Principal
from handlers.dispatch import Dispatcher, translate
from handlers.errors import AtriumError, Conflict, Forbidden, NotFound, Unavailable
from handlers.identity import import_rows, imports
from storage.background import end_tasks
from storage.postgres import LOST, Database, Row
from storage.rooms import RoomKey
from storage.settings import Settings

log = structlog.get_logger(__name__)

BREATH: Final = 0.02
"""Pause between two portions, in which the room belongs to others (seconds)."""
STOPPED: Final = (NotFound, Forbidden)
"""Whoever began the import has left, or may not import any more."""


class Importer:
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

    async def once(self) -> bool:
        """Carry on with an import that nobody is at; False where there is none."""
        async with self._db.transaction(None) as session:
            leased = await session.maybe("lease_member_import", lease=self._lease)
        if leased is None:
            return False
        await self._carry_on(leased)
        return True

    @property
    def _lease(self) -> timedelta:
        return timedelta(seconds=self._settings.import_lease)

    async def _run(self) -> None:
        while True:
            try:
                if await self.once():
                    continue
            except LOST as error:
                log.warning("import.postponed", error=repr(error))
            except Exception as error:
                log.exception("import.interrupted", error=repr(error))
            await asyncio.sleep(self._settings.import_poll * random.uniform(0.8, 1.2))

    async def _carry_on(self, leased: Row) -> None:
        tenant_id, import_id = leased["tenant_id"], leased["import_id"]
        async with self._db.transaction(tenant_id) as session:
            job = await session.maybe("import_to_run", import_id=import_id)
        if job is None:
            return
        try:
            rows = await asyncio.to_thread(
                import_rows.rows, job["file"], role=job["role"], now=datetime.now(UTC)
            )
            for first in range(job["done"], job["total"], self._settings.import_portion):
                await self._portion(leased, first, rows[first : first + self._settings.import_portion])
                await asyncio.sleep(BREATH)
        except asyncio.CancelledError:
            await self._release(tenant_id, import_id)
            raise
        except Unavailable as error:  # the lease runs out, and the import is due again
            log.warning("import.postponed", import_id=str(import_id), error=repr(error))
        except Conflict as error:
            log.info("import.left", import_id=str(import_id), error=error.message)
        except Exception as error:
            await self._fail(tenant_id, import_id, translate(error))

    async def _portion(self, leased: Row, first: int, rows: list[import_rows.Row]) -> None:
        tenant_id = leased["tenant_id"]
        spec, payload = imports.portion(leased["import_id"], first, rows, self._lease)
        await self._dispatcher.submit(
            spec, payload, _principal(leased), RoomKey(tenant_id, "tenant", tenant_id)
        )

    async def _fail(self, tenant_id: UUID, import_id: UUID, error: AtriumError) -> None:
        """Nothing more comes of it; whoever began it reads why."""
        problem = "Whoever began it may not import any more" if isinstance(error, STOPPED) else error.message
        log.warning("import.failed", import_id=str(import_id), problem=problem, cause=repr(error.__cause__))
        async with self._db.transaction(tenant_id) as session:
            await session.maybe("end_import", import_id=import_id, state="failed", problem=problem)

    async def _release(self, tenant_id: UUID, import_id: UUID) -> None:
        """When this node stops, another need not wait for the lease to run out."""
        async with self._db.transaction(tenant_id) as session:
            await session.exec("release_import", import_id=import_id)


def _principal(leased: Row) -> Principal:
    """Whoever began the import; what he may do is read with each portion."""
    return Principal(
        user_id=leased["created_by"], name="", email="", tenant_id=leased["tenant_id"], tenant_name=leased["name"],
        tenant_slug=leased["slug"], role="guest", session_id=leased["created_by"], expires_at=float("inf"),
        scopes=None if leased["scopes"] is None else frozenset(leased["scopes"]),
    )  # fmt: skip

"""Removes the bytes of files: those that were deleted, whose project or tenant has gone, and what belongs to nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from storage.blobs import Blobs, ids_in, key_of
from storage.postgres import Database, Row
from storage.settings import Settings

log = structlog.get_logger(__name__)

AT_ONCE: Final = 1000
"""Files that are removed together (count)."""


class Sweeper:
    """Bytes go before their row, which sees to it that somebody comes by again; so all of this may be done twice."""

    def __init__(self, db: Database, settings: Settings, blobs: Blobs) -> None:
        self._db = db
        self._settings = settings
        self._blobs = blobs

    async def upload(self, tenant_id: UUID, file_id: UUID, key: str) -> None:
        """Leave nothing of an upload that came to nothing, unless it has become a file after all.

        Bytes that cannot be removed now keep their row, so that `files` comes by.
        """
        if not await self._claim(tenant_id, [file_id]):
            await self._blobs.delete([key])
            await self._forget(tenant_id, [file_id])

    async def files(self, now: datetime | None = None) -> int:
        """Remove files that were deleted, and uploads that nobody finished; returns how many."""
        deleted_before = (now or datetime.now(UTC)) - timedelta(seconds=self._settings.file_grace)
        begun_before = deleted_before - timedelta(seconds=self._settings.file_upload_time)
        removed = 0
        while True:
            async with self._db.transaction(None) as session:
                rows = await session.many(
                    "files_to_remove", deleted_before=deleted_before, begun_before=begun_before, most=AT_ONCE
                )
            for tenant_id in {row["tenant_id"] for row in rows}:
                some = [row for row in rows if row["tenant_id"] == tenant_id]
                kept = await self._claim(tenant_id, [row["id"] for row in some])
                await self._remove(tenant_id, [row for row in some if row["id"] not in kept])
            removed += len(rows)
            if not rows:
                return removed

    async def project(self, tenant_id: UUID, project_id: UUID) -> None:
        """Remove all files of a project that was given up."""
        while True:
            async with self._db.transaction(tenant_id) as session:
                rows = await session.many("files_of_purged", project_id=project_id, most=AT_ONCE)
            if not rows:
                return
            await self._remove(tenant_id, rows)

    async def tenant(self, tenant_id: UUID) -> None:
        """Remove all bytes of a tenant that is no more. Where the store is away, `blobs` finds them."""
        try:
            keys: list[str] = []
            async for one in self._blobs.stored(f"tenant/{tenant_id}/"):
                keys.append(one.key)
                if len(keys) == AT_ONCE:
                    await self._blobs.delete(keys)
                    keys = []
            await self._blobs.delete(keys)
        except OSError as error:
            log.warning("blobs.left", tenant=str(tenant_id), error=repr(error))

    async def blobs(self, now: datetime | None = None) -> int:
        """Remove bytes that belong to no file and are old enough not to be under way; returns how many blobs."""
        wait = self._settings.file_grace + self._settings.file_upload_time
        older_than = ((now or datetime.now(UTC)) - timedelta(seconds=wait)).timestamp()
        await self._blobs.tidy(older_than)
        removed, waiting = 0, dict[UUID, list[UUID]]()
        async for one in self._blobs.stored("tenant/"):
            ids = ids_in(one.key)
            if ids is None or one.at >= older_than:
                continue
            some = waiting.setdefault(ids[0], [])
            some.append(ids[1])
            if len(some) == AT_ONCE:
                removed += await self._remove_strange(ids[0], waiting.pop(ids[0]))
        for tenant_id, some in waiting.items():
            removed += await self._remove_strange(tenant_id, some)
        return removed

    async def _remove(self, tenant_id: UUID, rows: Sequence[Row]) -> None:
        await self._blobs.delete([key_of(tenant_id, row["blob_id"]) for row in rows])
        await self._forget(tenant_id, [row["id"] for row in rows])

    async def _claim(self, tenant_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
        """Give uploads up, so that none becomes a file any more; returns those that have become one already."""
        async with self._db.transaction(tenant_id) as session:
            await session.exec("claim_uploads", ids=ids)
            return {row["id"] for row in await session.many("ready_files", ids=ids)}

    async def _forget(self, tenant_id: UUID, ids: Sequence[UUID]) -> None:
        async with self._db.transaction(tenant_id) as session:
            await session.exec("forget_files", ids=ids)

    async def _remove_strange(self, tenant_id: UUID, blob_ids: list[UUID]) -> int:
        async with self._db.transaction(tenant_id) as session:
            rows = await session.many("strange_blobs", ids=blob_ids)
        if rows:
            await self._blobs.delete([key_of(tenant_id, row["id"]) for row in rows])
            log.warning("blobs.strange", tenant=str(tenant_id), count=len(rows))
        return len(rows)

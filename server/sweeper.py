"""Removes the bytes of files: those that were deleted, whose project or tenant has gone, and what belongs to nothing."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from storage.blobs import Blobs, NotRemoved, ids_in, key_of
from storage.postgres import Database
from storage.settings import Settings

log = structlog.get_logger(__name__)

AT_ONCE: Final = 1000
"""Files that are removed together (count)."""
MOST_STUCK: Final = 100_000
"""Files that one round remembers as such that cannot be removed now (count): no more are tried after them."""
AWAY: Final = 5
"""Tenants of which nothing could be removed, and none of which anything could, after which the store counts as away (count)."""


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
        """Remove files that were deleted, and uploads that nobody finished; returns how many.

        What cannot be removed is left for the next time, and keeps nothing else.
        """
        deleted_before = (now or datetime.now(UTC)) - timedelta(seconds=self._settings.file_grace)
        begun_before = deleted_before - timedelta(seconds=self._settings.file_upload_time)
        removed, stuck, refused = 0, set[UUID](), set[UUID]()
        while len(stuck) < MOST_STUCK and (removed or len(refused) < AWAY):
            async with self._db.transaction(None) as session:
                rows = await session.many(
                    "files_to_remove",
                    deleted_before=deleted_before, begun_before=begun_before, most=AT_ONCE + len(stuck),
                )  # fmt: skip
            due = dict[UUID, dict[UUID, UUID]]()
            for row in rows:
                if row["id"] not in stuck:
                    due.setdefault(row["tenant_id"], {})[row["id"]] = row["blob_id"]
            if not due:
                break
            for tenant_id, blobs in due.items():
                if not removed and len(refused) >= AWAY:
                    break
                gone = await self._given_up(tenant_id, blobs) if tenant_id not in refused else set()
                if not gone:
                    refused.add(tenant_id)
                removed += len(gone)
                stuck |= blobs.keys() - gone
        if stuck:
            log.warning("files.stuck", count=len(stuck), tenants=[str(one) for one in sorted(refused)[:AWAY]])
        return removed

    async def project(self, tenant_id: UUID, project_id: UUID) -> None:
        """Remove all files of a project that was given up."""
        while True:
            async with self._db.transaction(tenant_id) as session:
                rows = await session.many("files_of_purged", project_id=project_id, most=AT_ONCE)
            if not rows:
                return
            blobs = {row["id"]: row["blob_id"] for row in rows}
            if len(await self._remove(tenant_id, blobs)) < len(blobs):
                raise ConnectionError("some files of the project could not be removed")

    async def tenant(self, tenant_id: UUID) -> None:
        """Remove all bytes of a tenant that is no more. What cannot go now, `blobs` finds."""
        try:
            keys: list[str] = []
            async for one in self._blobs.stored(f"tenant/{tenant_id}/"):
                keys.append(one.key)
                if len(keys) == AT_ONCE:
                    await self._delete(tenant_id, keys)
                    keys = []
            await self._delete(tenant_id, keys)
        except OSError as error:
            log.warning("blobs.left", tenant=str(tenant_id), error=repr(error))

    async def blobs(self, now: datetime | None = None) -> int:
        """Remove bytes that belong to no file and are old enough not to be under way; returns how many blobs."""
        wait = self._settings.file_grace + self._settings.file_upload_time
        older_than = ((now or datetime.now(UTC)) - timedelta(seconds=wait)).timestamp()
        try:
            await self._blobs.tidy(older_than)
        except OSError as error:
            log.warning("blobs.untidy", error=repr(error))
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

    async def _given_up(self, tenant_id: UUID, blobs: Mapping[UUID, UUID]) -> set[UUID]:
        """Remove what is no file, of one tenant, whose troubles are its own; returns the ids of those that have gone."""
        try:
            kept = await self._claim(tenant_id, list(blobs))
            return await self._remove(tenant_id, {one: blobs[one] for one in blobs.keys() - kept})
        except (asyncpg.PostgresError, OSError):
            log.exception("files.failed", tenant=str(tenant_id))
            return set()

    async def _remove(self, tenant_id: UUID, blobs: Mapping[UUID, UUID]) -> set[UUID]:
        """Remove bytes, and forget the rows of those that have gone; returns the ids of these."""
        left = await self._delete(tenant_id, [key_of(tenant_id, blob) for blob in blobs.values()])
        gone = {one for one, blob in blobs.items() if key_of(tenant_id, blob) not in left}
        await self._forget(tenant_id, list(gone))
        return gone

    async def _delete(self, tenant_id: UUID, keys: Sequence[str]) -> frozenset[str]:
        """Remove bytes; returns the keys of those that are still there, or may be."""
        try:
            await self._blobs.delete(keys)
        except OSError as error:
            left = error.keys if isinstance(error, NotRemoved) else frozenset(keys)
            log.warning("blobs.left", tenant=str(tenant_id), count=len(left), error=repr(error))
            return left
        return frozenset()

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
        if not rows:
            return 0
        log.warning("blobs.strange", tenant=str(tenant_id), count=len(rows))
        return len(rows) - len(await self._delete(tenant_id, [key_of(tenant_id, row["id"]) for row in rows]))

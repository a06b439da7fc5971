"""Once an hour: replies, events and sessions older than the settings say are removed, and ends are announced."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog

from handlers import evidence
from handlers.dispatch import Dispatcher
from handlers.errors import AtriumError
from handlers.identity import mails
from handlers.registry import INTERNAL
from handlers.work.tasks.trash import ExpireProject
from server.deputy import acting_for
from server.sweeper import Sweeper
from storage.background import end_tasks
from storage.postgres import Database, Row
from storage.rooms import RoomKey
from storage.settings import Settings

log = structlog.get_logger(__name__)

INTERVAL: Final = 3600.0
"""Time between two rounds (seconds)."""

BATCH: Final = 5000
"""Rows that one transaction removes at most (count), so that none holds its locks for long."""
PART: Final = 1000
"""The same for tasks, each of which takes along what belongs to it (count)."""
DAILY: Final = 24
"""Rounds between two looks at all that the store of files holds (count)."""
FOREVER: Final = datetime(1, 1, 1, tzinfo=UTC)
"""Before anything that was ever deleted."""


class Maintenance:
    """Keeps the log and the remembered replies within their retention."""

    def __init__(self, db: Database, settings: Settings, dispatcher: Dispatcher, sweeper: Sweeper) -> None:
        self._db = db
        self._settings = settings
        self._dispatcher = dispatcher
        self.sweeper = sweeper
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        await end_tasks(self._task)

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
        async with self._db.transaction(None) as session:
            await session.value(
                "purge_invitations", older_than=now - timedelta(days=self._settings.invitation_retention)
            )
            await session.value(
                "purge_member_imports", older_than=now - timedelta(days=self._settings.invitation_retention)
            )
            await session.value(
                "purge_rule_runs", older_than=now - timedelta(days=self._settings.rule_history_days)
            )
        return replies, events

    async def sessions(self, now: datetime | None = None) -> int:
        """Forget sessions that have ended, and tokens and keys that no longer count; returns how many sessions and tokens."""
        older_than = (now or datetime.now(UTC)) - timedelta(days=self._settings.session_retention)
        gone = 0
        while True:
            async with self._db.transaction(None) as session:
                some: int = await session.value("purge_sessions", older_than=older_than, most=BATCH)
                some += await session.value("purge_refresh_tokens", older_than=older_than, most=BATCH)
            gone += some
            if some == 0:
                break
        async with self._db.transaction(None) as session:
            lifetime = timedelta(seconds=self._settings.access_token_ttl)
            await session.value("purge_signing_keys", older_than=older_than - lifetime)
        return gone

    async def tenants(self, now: datetime | None = None) -> int:
        """Remove all of the deleted tenants whose grace is over, some rows at a time; returns how many tenants."""
        moment, removed = now or datetime.now(UTC), 0
        while True:
            async with self._db.transaction(None) as session:
                tenant_id: UUID | None = await session.value("tenant_to_purge", moment=moment)
            if tenant_id is None or not await self._purge(tenant_id, moment):
                return removed
            removed += 1

    async def _purge(self, tenant_id: UUID, moment: datetime) -> bool:
        """Remove one tenant; False where another node is at it."""
        rows = 0
        while True:
            async with self._db.transaction(tenant_id) as session:
                some: int = await session.value("purge_some", most=BATCH, moment=moment)
                if some == 0:
                    await session.exec("purge_tenant", moment=moment)
                    await evidence.record(
                        session, tenant_id=evidence.INSTANCE, person=None, action="tenant.purged",
                        resource=f"tenant:{tenant_id}",
                    )  # fmt: skip
            if some < 0:
                return False
            if some == 0:
                await self.sweeper.tenant(tenant_id)
                log.info("tenant.purged", tenant=str(tenant_id), rows=rows)
                return True
            rows += some

    async def trash(self, now: datetime | None = None) -> int:
        """Remove what is in the trash for too long, or was given up; returns how many projects."""
        days = self._settings.trash_days
        older_than = (now or datetime.now(UTC)) - timedelta(days=days) if days else FOREVER
        async with self._db.transaction(None) as session:
            found = await session.many("trash_to_purge", older_than=older_than)
        removed = 0
        for row in found:
            tenant_id, project_id = row["tenant_id"], row["project_id"]
            try:
                if project_id is None:
                    await self._in_parts(tenant_id, "purge_tasks", older_than=older_than)
                else:
                    removed += await self._purge_project(tenant_id, project_id, older_than)
            except (
                asyncpg.PostgresError,
                AtriumError,
                OSError,
            ):  # one that cannot go must not keep the others
                log.exception("trash.stuck", tenant=str(tenant_id), project=str(project_id))
        return removed

    async def _purge_project(self, tenant_id: UUID, project_id: UUID, older_than: datetime) -> bool:
        """Remove one project, some rows at a time; False where another node was faster, or it was restored."""
        about = {"project_id": project_id}
        found = await self._to_purge(tenant_id, project_id)
        if found is not None and not found["given_up"]:
            await self._dispatcher.submit(
                INTERNAL["project.expire"],
                ExpireProject(project_id=project_id, older_than=older_than),
                acting_for(found["updated_by"], tenant_id),
                RoomKey(tenant_id, "tenant", tenant_id),
            )
            found = await self._to_purge(tenant_id, project_id)
        if found is None or not found["given_up"]:
            return False
        await self.sweeper.project(tenant_id, project_id)
        for statement in ("purge_project_tasks", "purge_room_log"):
            await self._in_parts(tenant_id, statement, **about)
        async with self._db.transaction(tenant_id) as session:
            await session.exec("let_go_of_children", **about)
            if await session.value("purge_project", **about) is None:
                return False
            await session.exec("purge_room", **about)
            await evidence.record(
                session,
                tenant_id=tenant_id,
                person=None,
                action="project.purged",
                resource=f"project:{project_id}",
            )
        log.info("project.purged", tenant=str(tenant_id), project=str(project_id))
        return True

    async def _to_purge(self, tenant_id: UUID, project_id: UUID) -> Row | None:
        async with self._db.transaction(tenant_id) as session:
            return await session.maybe("project_to_purge", project_id=project_id)

    async def _in_parts(self, tenant_id: UUID, statement: str, **about: Any) -> None:
        """Have a statement remove rows until there are none."""
        while True:
            async with self._db.transaction(tenant_id) as session:
                if not await session.value(statement, most=PART, **about):
                    return

    async def announce(self) -> int:
        """Queue a mail about each API key that is about to expire; returns how many."""
        async with self._db.transaction(None) as session:
            within = timedelta(days=self._settings.api_key_notice)
            rows = await session.many("notice_expiring_api_keys", within=within)
            for row in rows:
                await mails.tell(
                    session, "api_key_expiring", row["email"], user_id=row["user_id"], key=row["key_name"],
                    tenant=row["tenant_name"], own=row["kind"] == "personal",
                    ends=row["expires_at"].strftime("%d %B %Y, %H:%M UTC"),
                )  # fmt: skip
        return len(rows)

    async def _run(self) -> None:
        # All nodes of a new version start together, and should not look through all blobs together.
        rounds = random.randrange(DAILY)
        while True:
            await asyncio.sleep(INTERVAL)
            await self._round()
            if rounds % DAILY == 0:
                await self._all({"blobs": self.sweeper.blobs})
            rounds += 1

    async def _round(self) -> None:
        await self._all(
            {
                "log": self.once,
                "sessions": self.sessions,
                "announced": self.announce,
                "tenants": self.tenants,
                "projects": self.trash,
                "files": self.sweeper.files,
            }
        )

    async def _all(self, jobs: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
        """Do some jobs, one after the other; one that fails must not keep the others."""
        done = dict[str, object]()
        for name, job in jobs.items():
            try:
                done[name] = await job()
            except Exception:
                log.exception("maintenance.failed", job=name)
        log.info("maintenance.done", **done)

"""A primary and its streaming standby, made with the programs that come with Postgres itself."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import asyncpg

from storage.binaries import find_binaries
from storage.child import account_for, end, exited, spawn
from storage.embedded import EmbeddedPostgres
from tests.world import PATIENCE

OPTIONS: Final = {
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "wal_receiver_status_interval": "1",
    "wal_retrieve_retry_interval": "100ms",
}
"""Nothing here loses its power, so nothing is flushed; a commit still waits for the standby."""


class Pair:
    """A primary under load, and the standby that takes its place."""

    def __init__(self, directory: Path) -> None:
        self.primary = EmbeddedPostgres(directory / "primary", options=OPTIONS)
        self.standby = EmbeddedPostgres(directory / "standby", options=OPTIONS)

    def dsn(self, database: str) -> str:
        """Whichever of the two is the primary, as an operator would write it."""
        hosts = ",".join(_host(server) for server in (self.primary, self.standby))
        return (
            f"postgresql://atrium@/{database}?host={hosts}&port=5432,5432&target_session_attrs=primary"
        )  # fmt: skip

    async def copy(self) -> None:
        """Take a base backup of the primary, and have a standby follow it."""
        directory = self.standby.data_dir
        directory.mkdir(mode=0o711)
        account = account_for(self.primary.data_dir / "postgres")
        target = directory / "postgres"
        target.mkdir(mode=0o700)
        account.give(target)
        with account.handed(target) as (name, descriptors):
            program = str(find_binaries(account) / "pg_basebackup")
            command = [
                program, "--pgdata", name, "--host", _host(self.primary), "--username", "atrium",
                "--write-recovery-conf", "--checkpoint", "fast", "--no-sync",
            ]  # fmt: skip
            process = spawn(command, directory / "basebackup.log", account, signal.SIGTERM, descriptors)
            try:
                assert await exited(process, 60), "pg_basebackup does not end"
            finally:
                await end(process, ((signal.SIGKILL, 5.0),))
        assert process.returncode == 0, (directory / "basebackup.log").read_text()
        await self.standby.start()
        await self._until(
            self.primary, "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'"
        )

    async def wait_for_standby(self) -> None:
        """From here on a commit is acknowledged when the standby has it."""
        await self._run(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        await self._run(self.primary, "SELECT pg_reload_conf()")
        await self._until(
            self.primary, "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
        )

    async def cut_standby_off(self) -> None:
        """The standby gets what has been committed until now, and nothing after."""
        here = await self._run(self.primary, "SELECT pg_current_wal_flush_lsn()::text")
        await self._until(self.standby, f"SELECT pg_last_wal_replay_lsn() >= '{here}'::pg_lsn")
        await self._run(self.standby, "ALTER SYSTEM SET primary_conninfo = ''")
        await self._run(self.standby, "SELECT pg_reload_conf()")
        await self._until(self.primary, "SELECT count(*) = 0 FROM pg_stat_replication")

    async def fail_over(self) -> None:
        """Kill the primary for good, and promote the standby."""
        assert self.primary.pid is not None
        os.kill(self.primary.pid, signal.SIGKILL)
        await self.primary.stop()
        await self._run(self.standby, "SELECT pg_promote()")

    async def stop(self) -> None:
        for server in (self.primary, self.standby):
            await server.stop()

    async def _run(self, server: EmbeddedPostgres, sql: str) -> Any:
        connection = await asyncpg.connect(server.dsn("postgres"))
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    async def _until(self, server: EmbeddedPostgres, sql: str) -> None:
        async with asyncio.timeout(2 * PATIENCE):
            while not await self._run(server, sql):
                await asyncio.sleep(0.02)


def _host(server: EmbeddedPostgres) -> str:
    return parse_qs(urlsplit(server.dsn("postgres")).query)["host"][0]


@asynccontextmanager
async def started(directory: Path) -> AsyncIterator[Pair]:
    """A pair whose primary runs; `copy` makes the standby."""
    pair = Pair(directory)
    await pair.primary.start()
    try:
        yield pair
    finally:
        await pair.stop()

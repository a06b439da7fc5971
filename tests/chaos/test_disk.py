"""Postgres' disk is full: for tables, then for the write-ahead log too. Nothing acknowledged is lost, and it comes back."""

import asyncio
import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from tests.chaos.cluster import ChaosCluster, chaos_cluster
from tests.chaos.simulator import Simulation, simulation

SEED: Final = 7
SPARE: Final = 48 << 20
"""Room that is left beside the data at first (bytes)."""

pytestmark = pytest.mark.xdist_group("chaos")


@asynccontextmanager
async def _small_disk(cluster: ChaosCluster) -> AsyncIterator[Path]:
    """Postgres' files on a file system of their own that is hardly larger than they are; yields where it is."""
    data = cluster.postgres.embedded.data_dir / "postgres"
    disk = data.with_name("disk")
    disk.mkdir()
    await cluster.postgres.stop("fast")
    used = sum(path.stat().st_blocks * 512 for path in data.rglob("*") if path.is_file())
    mount = ["mount", "-t", "tmpfs", "-o", f"size={used + SPARE},mode=755", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"this test has to mount a small file system, as root: {done.stderr}"
    try:
        subprocess.run(["cp", "-a", str(data), str(disk)], check=True)
        shutil.rmtree(data)
        data.symlink_to(disk / "postgres")
        await cluster.postgres.start()
        yield disk
    finally:
        await cluster.postgres.close()
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _fill(disk: Path) -> Path:
    """Take all the room there is."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        piece = b"x" * (1 << 16)
        while piece:
            try:
                file.write(piece)
            except OSError:
                piece = piece[: len(piece) // 2]
    return ballast


async def _refused(sim: Simulation, count: int) -> None:
    """Wait until so many more commands have been answered UNAVAILABLE, or clients turned away."""
    kinds = ("unavailable", "turned away", "connecting")
    goal = len(list(sim.history.of(*kinds))) + count
    async with asyncio.timeout(60):
        while len(list(sim.history.of(*kinds))) < goal:
            await asyncio.sleep(0.02)


async def _use_up_log(cluster: ChaosCluster) -> None:
    """Have Postgres begin one segment of its write-ahead log after another until there is no room for the next."""
    with contextlib.suppress(asyncpg.PostgresError, OSError):
        async with cluster.sql() as db:
            for _ in range(20):
                await db.execute(
                    "CREATE TABLE IF NOT EXISTS filler (); DROP TABLE filler; SELECT pg_switch_wal()"
                )
    log = cluster.postgres.embedded.data_dir / "postgres.log"
    async with asyncio.timeout(30):
        while not re.search(r"(PANIC|FATAL): .*(?:write|pg_wal).*No space left on device", log.read_text()):
            await asyncio.sleep(0.05)


async def _back(cluster: ChaosCluster) -> None:
    """Wait until Postgres serves; it has ended where its recovery found no room."""
    async with asyncio.timeout(60):
        while True:
            if cluster.postgres.embedded.pid is None:
                await cluster.postgres.start()
            with contextlib.suppress(asyncpg.PostgresError, OSError):
                async with cluster.sql() as db:
                    await db.execute("SELECT 1")
                    return
            await asyncio.sleep(0.05)


async def test_a_full_disk_refuses_and_forgets_nothing() -> None:
    with tempfile.TemporaryDirectory(prefix="atrium-disk-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        async with chaos_cluster(directory, nodes=1, durable=False) as cluster, _small_disk(cluster) as disk:
            async with simulation(cluster, SEED) as sim:
                for use_up in (False, True):
                    await sim.answered(20)
                    ballast = await asyncio.to_thread(_fill, disk)
                    if use_up:
                        await _use_up_log(cluster)
                    await _refused(sim, 10)
                    assert "INTERNAL" not in {
                        record.code for record in sim.history.of("refused", "turned away")
                    }
                    ballast.unlink()
                    await _back(cluster)
                await sim.answered(20)
            log = (cluster.postgres.embedded.data_dir / "postgres.log").read_text()
            assert re.search("ERROR: .*No space left on device", log), "a table could not grow"

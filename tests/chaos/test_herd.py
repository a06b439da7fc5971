"""Everybody comes back at once: they share readings of the room, and all of them are in within bounds."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.cluster import ChaosCluster
from tests.chaos.simulator import Client, Simulation, fault, ordeal

SEED: Final = 4
HERD: Final = 240
"""Clients of one room on one node."""
JOINED: Final = 15.0
"""99 of 100 are in within this time, also on a small machine that does other things (seconds)."""
READING: Final = "CROSS JOIN LATERAL"
"""What only the statement `snapshot_tasks` holds."""


@pytest.mark.xdist_group("chaos-rights")
async def test_a_herd_shares_its_readings(chaos: ChaosCluster) -> None:
    await ordeal(chaos, "everybody reconnects at once", SEED)


@asynccontextmanager
async def _statements(cluster: ChaosCluster) -> AsyncIterator[Path]:
    """Postgres logs every statement, and when it has ended."""
    async with cluster.sql() as db:
        for setting in ("log_statement = 'all'", "log_duration = 'on'"):
            await db.execute(f"ALTER SYSTEM SET {setting}")
        await db.execute("SELECT pg_reload_conf()")
        try:
            yield cluster.postgres.embedded.data_dir / "postgres.log"
        finally:
            await db.execute("ALTER SYSTEM RESET ALL")
            await db.execute("SELECT pg_reload_conf()")


def readings(log: str, project_id: str) -> tuple[int, int]:
    """How often a project's cards were read for a snapshot, and how many such readings were under way at once."""
    entries = re.split(r"\n(?=\d{4}-\d\d-\d\d )", log)
    began: set[str] = set()
    count = most = 0
    reading: str | None = None
    for entry in entries:
        found = re.match(r"\S+ \S+ \S+ \[(\d+)\] (\w+): ", entry)
        if found is None:
            continue
        pid, level = found.groups()
        if level == "LOG" and "execute" in entry and READING in entry:
            reading = pid
        elif level == "DETAIL" and reading == pid and project_id in entry:
            count += 1
            began.add(pid)
            most = max(most, len(began))
        elif level == "LOG" and "duration:" in entry:
            began.discard(pid)
    return count, most


@fault("everybody reconnects at once")
async def _herd(cluster: ChaosCluster, sim: Simulation) -> None:
    """A whole room loses its connections in one moment, and each of its clients asks for a snapshot."""
    room = await sim.quiet_room()
    people = ("alice", "bob", "admin")
    node = cluster.urls[0]
    herd = [await sim.visitor(people[number % 3], [room], node) for number in range(HERD)]
    await asyncio.gather(*(client.settle() for client in herd))
    for client in herd:
        assert client.connection is not None
        client.connection.cut()
        client.held.clear()
    async with _statements(cluster) as log:
        offset = log.stat().st_size
        took = sorted(await asyncio.gather(*(_comes_back(sim, client) for client in herd)))
        with log.open("rb") as file:
            file.seek(offset)
            count, most = readings(file.read().decode(errors="replace"), room.partition(":")[2])
    print(
        f"{HERD} back: p50 {took[len(took) // 2]:.2f} s, p99 {took[int(len(took) * 0.99)]:.2f} s, {count} readings"
    )
    assert took[int(len(took) * 0.99)] <= JOINED
    assert most == 1, f"{most} readings of one room at once on one node"
    assert 1 <= count <= HERD / 2, f"{count} readings for {HERD} who joined"


async def _comes_back(sim: Simulation, client: Client) -> float:
    began = sim.now()
    await client.settle()
    return sim.now() - began

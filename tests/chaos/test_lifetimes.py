"""Whoever is gone without a word: a client whose road swallows everything, a node that dies; and clocks that are wrong."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from server.demo import PASSWORD
from tests.chaos.cluster import ChaosCluster, NodeProcess, Relay
from tests.chaos.simulator import Client, Simulation, fault, ordeal
from tests.debian import program

SEED: Final = 6
PING: Final = 1.0
"""Ping interval and ping timeout of nodes whose clients vanish (seconds)."""
LEASE: Final = 3.0
"""How long a node counts as alive that says nothing (seconds)."""
LATE: Final = 3.0
"""What a busy machine may add (seconds)."""
AHEAD: Final = 3600
"""How wrong a clock is (seconds)."""
FORGIVEN: Final = 20
"""By how much two clocks may differ (seconds)."""
HERE: Final = [
    "a client's road swallows everything",
    "a node dies with people on it",
    "a clock is wrong",
]

pytestmark = pytest.mark.xdist_group("chaos")


@pytest.mark.parametrize("name", HERE)
async def test_who_is_gone_is_gone_and_order_needs_no_clock(chaos: ChaosCluster, name: str) -> None:
    await ordeal(chaos, name, SEED)


@asynccontextmanager
async def _with(nodes: list[NodeProcess], **changes: str) -> AsyncIterator[None]:
    """These nodes with other settings; afterwards they are down, and mended as they were."""
    await asyncio.gather(*(node.kill() for node in nodes))
    await asyncio.gather(*(node.start(**changes) for node in nodes))
    try:
        yield
    finally:
        await asyncio.gather(*(node.kill() for node in nodes))


def _presence(sim: Simulation, client: Client, room: str, kind: str, user_id: str) -> list[float]:
    """When a client was told that somebody has `joined` or `left` a room."""
    return [
        record.at
        for record in sim.history.of("told")
        if (record.client, record.room, record.code) == (client.name, room, "presence.changed")
        if user_id in [person["user_id"] for person in orjson.loads(record.text[2:])[1][kind]]
    ]


async def _told(sim: Simulation, client: Client, room: str, kind: str, user_id: str, within: float) -> float:
    async with asyncio.timeout(within):
        while not (times := _presence(sim, client, room, kind, user_id)):
            await asyncio.sleep(0.01)
    return times[0]


async def _room_with(sim: Simulation, ghost_at: str) -> tuple[str, list[Client], Client]:
    """A quiet room: alice watches on both nodes, bob comes by some address."""
    room = await sim.quiet_room()
    watchers = [await sim.visitor("alice", [room], url) for url in sim.cluster.urls]
    for watcher in watchers:
        await watcher.connected()
    ghost = await sim.visitor("bob", [room], ghost_at)
    await ghost.connected()
    for watcher in watchers:
        await _told(sim, watcher, room, "joined", ghost.user_id, within=LEASE + LATE)
    return room, watchers, ghost


@fault("a client's road swallows everything", needs=("redis",))
async def _half_open(cluster: ChaosCluster, sim: Simulation) -> None:
    """Nobody is told: the connection stays open, and only the heartbeat can tell. The others see him leave, once."""
    settings = {"ATRIUM_PING_INTERVAL": str(PING), "ATRIUM_PING_TIMEOUT": str(PING)}
    road = Relay(("127.0.0.1", cluster.nodes[0].port))
    async with _with(cluster.nodes[:1], **settings):
        await road.open()
        try:
            room, watchers, ghost = await _room_with(sim, f"http://127.0.0.1:{road.port}")
            road.blackhole()
            for watcher in watchers:
                await _told(sim, watcher, room, "left", ghost.user_id, within=2 * PING + LATE)
            ghost.node = None
            assert ghost.connection is not None
            ghost.connection.cut()
            road.heal()
            await ghost.connected()
            for watcher in watchers:
                assert len(_presence(sim, watcher, room, "left", ghost.user_id)) == 1
        finally:
            await road.close()


@fault("a node dies with people on it", needs=("redis",))
async def _node_dies(cluster: ChaosCluster, sim: Simulation) -> None:
    """Its people leave when its lease ends, once, for whoever is on the other node."""
    async with _with(cluster.nodes, ATRIUM_PRESENCE_LEASE=str(LEASE)):
        room, watchers, ghost = await _room_with(sim, cluster.urls[1])
        began = sim.now()
        await cluster.nodes[1].kill()
        left = await _told(sim, watchers[0], room, "left", ghost.user_id, within=2 * LEASE + LATE)
        assert left - began > LEASE / 3, "nobody has said so before the lease could end"
        await asyncio.sleep(LEASE)  # in which a second one could come
        assert len(_presence(sim, watchers[0], room, "left", ghost.user_id)) == 1
        ghost.node = watchers[1].node = None


# Clocks.


def _library() -> str:
    """What makes a process believe in another time."""
    assert program("faketime", package="faketime"), "the tests of clocks need the package faketime"
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    return str(library)


async def _sign_in(sim: Simulation, node: NodeProcess) -> str:
    body = {"email": "alice@acme.example", "password": PASSWORD}
    async with sim.http.post(f"{node.url}/api/v1/auth/login", json=body) as response:
        token: str = (await response.json())["data"]["access_token"]
    return token


async def _me(sim: Simulation, node: NodeProcess, token: str) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    async with sim.http.get(f"{node.url}/api/v1/auth/me", headers=headers) as response:
        return await response.json()


@fault("a clock is wrong")
async def _wrong_clock(cluster: ChaosCluster, sim: Simulation) -> None:
    """An hour fast, then an hour slow, then a little fast, while it runs."""
    right, wrong = cluster.nodes
    setting = wrong.log.with_suffix(".clock")
    faked = {
        "LD_PRELOAD": await asyncio.to_thread(_library),
        "FAKETIME_TIMESTAMP_FILE": str(setting),
        "FAKETIME_CACHE_DURATION": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    setting.write_text("+0")
    async with _with([wrong], **faked):
        for early, late, offset in ((wrong, right, AHEAD), (right, wrong, -AHEAD)):
            setting.write_text(f"{offset:+d}")
            await _until_clock(sim, wrong, well=False)
            reply = await _me(sim, late, await _sign_in(sim, early))
            assert reply["error"]["code"] == "UNAUTHORIZED"
            assert reply["error"]["message"] == "The access token is from the future"
            assert (await _me(sim, early, await _sign_in(sim, late)))["success"]
            await _in_order(cluster, sim)
            setting.write_text(f"{FORGIVEN:+d}")
            await _until_clock(sim, wrong, well=True)
        for one, other in ((right, wrong), (wrong, right)):
            assert (await _me(sim, other, await _sign_in(sim, one)))["success"]


async def _until_clock(sim: Simulation, node: NodeProcess, *, well: bool) -> None:
    """Wait until /health/ready says so of the clock."""
    async with asyncio.timeout(10):
        while True:
            async with sim.http.get(f"{node.url}/health/ready") as response:
                if (await response.json())["checks"]["clock"] is well:
                    assert response.status == (200 if well else 503)
                    return
            await asyncio.sleep(0.1)


async def _in_order(cluster: ChaosCluster, sim: Simulation) -> None:
    """Two write in turn through both nodes: numbers and moments are Postgres', whatever the nodes believe."""
    room = await sim.quiet_room()
    writers = [await sim.visitor("alice", [room], node.url) for node in cluster.nodes]
    for writer, node in zip(writers, cluster.nodes, strict=True):
        writer.token = await _sign_in(sim, node)
    began = time.time()
    commands = []
    for _ in range(5):
        for writer in writers:
            connection = await writer.connected()
            commands.append(writer.new_task(room))
            await connection.answers([await writer.send(connection, commands[-1])])
    async with cluster.sql() as db:
        rows = await db.fetch(
            "SELECT command_id::text, extract(epoch FROM at)::float8 AS at FROM room_events "
            "WHERE room_id = $1::uuid AND name = 'task.created' ORDER BY seq",
            room.partition(":")[2],
        )
    assert [row["command_id"] for row in rows] == [command.id for command in commands]
    at = [row["at"] for row in rows]
    assert at == sorted(at)
    assert began - 1 < at[0] <= at[-1] < time.time() + 1
    for writer in writers:
        writer.node = writer.token = None
        assert writer.connection is not None
        writer.connection.cut()

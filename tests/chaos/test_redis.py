"""Redis is killed, emptied, throws its subscribers out, or falls silent for one node: it is only a hint."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from redis.asyncio import Redis

from tests.chaos.cluster import ChaosCluster, NodeProcess
from tests.chaos.simulator import Client, Simulation, fault, ordeal

SEED: Final = 5
REPAIRED: Final = 3.0
"""Whatever Redis has lost is heard within this time (seconds)."""
RECONNECTED: Final = 5.0
"""A node hears Redis again within this time after the road is open (seconds)."""
SILENCE: Final = 5.0
"""ATRIUM_BUS_SILENCE of the standing cluster (seconds)."""
HERE: Final = [
    "redis is killed",
    "redis is killed while somebody is put out",
    "redis forgets everything",
    "redis ends its subscribers' connections",
    "redis throws out a subscriber that lags",
    "redis falls silent for one node",
]

pytestmark = pytest.mark.xdist_group("chaos")


@pytest.mark.parametrize("name", HERE)
async def test_redis_is_only_a_hint(chaos: ChaosCluster, name: str) -> None:
    await ordeal(chaos, name, SEED)


class Across:
    """A quiet room with a writer on the first node and a watcher on the second."""

    def __init__(self, sim: Simulation, room: str, writer: Client, watcher: Client) -> None:
        self.room, self.writer, self.watcher = room, writer, watcher
        self._sim = sim

    @classmethod
    async def of(cls, sim: Simulation) -> "Across":
        room = await sim.quiet_room()
        writer = await sim.visitor("alice", [room], sim.cluster.urls[0])
        watcher = await sim.visitor("bob", [room], sim.cluster.urls[1])
        for client in (writer, watcher):
            await client.connected()
        return cls(sim, room, writer, watcher)

    async def heard(self, within: float = REPAIRED) -> None:
        """The writer writes, and the watcher hears of it in time."""
        command = self.writer.new_task(self.room)
        connection = await self.writer.connected()
        if command.id in self.writer.open:
            await connection.answers([await self.writer.send(connection, command)])
        await self.watcher.hears(self.room, command.id, within)


async def _ready(sim: Simulation, node: NodeProcess) -> Any:
    """What /health/ready says, with its status."""
    async with sim.http.get(f"{node.url}/health/ready") as response:
        return response.status, (await response.json())["checks"]


async def _until_bus(sim: Simulation, node: NodeProcess, *, well: bool, within: float) -> None:
    expected = (200 if well else 503, {"serving": True, "postgres": True, "clock": True, "bus": well})
    async with asyncio.timeout(within):
        while await _ready(sim, node) != expected:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _redis(cluster: ChaosCluster) -> AsyncIterator[Any]:
    async with Redis.from_url(cluster.valkey.url) as client:
        yield client


@fault("redis is killed", needs=("redis",))
async def _killed(cluster: ChaosCluster, sim: Simulation) -> None:
    across = await Across.of(sim)
    await cluster.valkey.kill()
    await across.heard()
    for node in cluster.nodes:
        await _until_bus(sim, node, well=False, within=SILENCE + REPAIRED)
    await across.heard()
    await sim.answered(20)
    await cluster.valkey.start()
    for node in cluster.nodes:
        await _until_bus(sim, node, well=True, within=RECONNECTED)
    await across.heard()


@fault("redis is killed while somebody is put out", needs=("redis",))
async def _put_out(cluster: ChaosCluster, sim: Simulation) -> None:
    """The other node learns of it from the next event, or from the heads, and no later event gets through."""
    across = await Across.of(sim)
    outcast = await sim.visitor("carol", [], cluster.urls[1])
    project, user_id = across.room.partition(":")[2], await sim.user_id("carol")
    await sim.rest("alice", "PUT", f"/projects/{project}/members/{user_id}")
    outcast.wanted[across.room] = None
    await outcast.connected()
    await cluster.valkey.kill()
    await sim.rest("alice", "DELETE", f"/projects/{project}/members/{user_id}")
    removed = sim.history.now()
    del outcast.wanted[across.room]
    await across.heard()
    async with asyncio.timeout(REPAIRED):
        while not _ended(sim, outcast, across.room):
            await asyncio.sleep(0.01)
    (command_id,) = {
        record.command_id
        for record in sim.history.of("event")
        if (record.client, record.room) == (across.watcher.name, across.room)
        and record.at > removed
        and record.data["data"].get("task")
    }
    assert not any(
        record.client == outcast.name and record.command_id == command_id
        for record in sim.history.of("event", "replayed")
    ), "an event after the removal has got through"
    await cluster.valkey.start()


def _ended(sim: Simulation, client: Client, room: str) -> bool:
    return any(
        (record.client, record.room, record.code) == (client.name, room, "room.closed")
        for record in sim.history.of("left")
    )


@fault("redis forgets everything", needs=("redis",))
async def _forgets(cluster: ChaosCluster, sim: Simulation) -> None:
    across = await Across.of(sim)
    async with _redis(cluster) as redis:
        for _ in range(3):
            await redis.flushall()
            await across.heard()
            await sim.answered(5)


@fault("redis ends its subscribers' connections", needs=("redis",))
async def _ends(cluster: ChaosCluster, sim: Simulation) -> None:
    across = await Across.of(sim)
    async with _redis(cluster) as redis:
        for _ in range(4):
            await _subscribed(redis, len(cluster.nodes))
            assert await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub") == len(cluster.nodes)
            await across.heard()
            await sim.answered(5)


async def _subscribed(redis: Any, count: int) -> list[str]:
    """Wait until so many nodes listen; returns their canaries' channels."""
    async with asyncio.timeout(RECONNECTED):
        while True:
            canaries = await redis.pubsub_channels("atrium:canary:*")
            if len(canaries) == count:
                return [channel.decode() for channel in canaries]
            await asyncio.sleep(0.02)


@fault("redis throws out a subscriber that lags", needs=("redis",))
async def _throws_out(cluster: ChaosCluster, sim: Simulation) -> None:
    """A node stands still while more is published than Redis keeps for a subscriber; a canary's channel takes the rest."""
    across = await Across.of(sim)
    async with _redis(cluster) as redis:
        limits = (await redis.config_get("client-output-buffer-limit"))["client-output-buffer-limit"]
        canaries = await _subscribed(redis, len(cluster.nodes))
        await redis.config_set("client-output-buffer-limit", "pubsub 65536 0 0")
        cluster.nodes[1].pause()
        try:
            async with asyncio.timeout(20):
                while len(await redis.pubsub_channels("atrium:canary:*")) == len(cluster.nodes):
                    for channel in canaries:
                        await redis.publish(channel, b"x" * (1 << 20))
            missed = across.writer.new_task(across.room)
            connection = await across.writer.connected()
            if missed.id in across.writer.open:
                await connection.answers([await across.writer.send(connection, missed)])
        finally:
            cluster.nodes[1].resume()
            await redis.config_set("client-output-buffer-limit", limits)
        await across.watcher.hears(across.room, missed.id, REPAIRED)
        await _subscribed(redis, len(cluster.nodes))
    await across.heard()


@fault("redis falls silent for one node", needs=("redis", "relays"))
async def _silent(cluster: ChaosCluster, sim: Simulation) -> None:
    """Its connections stay open and nothing comes: it notices, says so, and lives on the heads of the log."""
    across = await Across.of(sim)
    deaf = cluster.nodes[1]
    assert deaf.to_redis is not None
    deaf.to_redis.blackhole()
    await across.heard()
    await _until_bus(sim, deaf, well=False, within=SILENCE + REPAIRED)
    assert (await _ready(sim, cluster.nodes[0]))[0] == 200
    for _ in range(3):
        await across.heard(within=1.5)  # heads are polled twice a second now
    deaf.to_redis.heal()
    await _until_bus(sim, deaf, well=True, within=RECONNECTED)
    await across.heard()

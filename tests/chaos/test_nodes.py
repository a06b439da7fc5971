"""Nodes and Postgres are killed, stopped, frozen and cut off, under the load of seeded clients; the checker judges."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from tests.chaos.cluster import ChaosCluster
from tests.chaos.simulator import Client, Command, Gone, Simulation, fault, ordeal

SEED: Final = 4
NOTICED: Final = 5.0
"""Others see a commit, and service is back, within this time (seconds)."""
NODES: Final = [
    "a node is killed before its commit",
    "a node is killed inside its commit",
    "a node is killed between commit and publish",
    "a node is killed and started again",
]
POSTGRES: Final = [
    "postgres is killed",
    "postgres is stopped at once",
    "postgres is stopped in order",
    "postgres is frozen",
    "postgres ends all connections",
]
NOBODY: Final = [
    "commands come twice, in another order, on another node",
    "many join in a storm of writes",
]


@pytest.mark.xdist_group("chaos-nodes")
@pytest.mark.parametrize("name", NODES)
async def test_a_node_dies(chaos: ChaosCluster, name: str) -> None:
    await ordeal(chaos, name, SEED)


@pytest.mark.xdist_group("chaos-postgres")
@pytest.mark.parametrize("name", POSTGRES)
async def test_postgres_goes_away(chaos: ChaosCluster, name: str) -> None:
    await ordeal(chaos, name, SEED)


@pytest.mark.xdist_group("chaos-postgres")
@pytest.mark.parametrize("name", NOBODY)
async def test_nobody_dies(chaos: ChaosCluster, name: str) -> None:
    await ordeal(chaos, name, SEED)


# A node dies at one exact point of one command's way.


@asynccontextmanager
async def _held_commits(cluster: ChaosCluster, room: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """COMMITs that write to a room's log wait in Postgres; yields what lets them go. Postgres itself does this."""
    room_id = room.partition(":")[2]
    async with cluster.sql() as holder, cluster.sql() as db:
        await db.execute(
            "CREATE OR REPLACE FUNCTION held_commit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
            "$$ BEGIN PERFORM pg_advisory_xact_lock_shared(1729); RETURN NULL; END $$"
        )
        await db.execute(
            "CREATE CONSTRAINT TRIGGER held_commit AFTER INSERT ON room_events DEFERRABLE INITIALLY DEFERRED "
            f"FOR EACH ROW WHEN (NEW.room_id = '{room_id}') EXECUTE FUNCTION held_commit()"
        )
        await holder.execute("SELECT pg_advisory_lock(1729)")

        async def let_go() -> None:
            await holder.execute("SELECT pg_advisory_unlock_all()")

        try:
            yield let_go
        finally:
            await let_go()
            await db.execute("DROP TRIGGER held_commit ON room_events")
            await db.execute("DROP FUNCTION held_commit")


async def _until(db: Any, query: str, *arguments: Any) -> None:
    async with asyncio.timeout(30):
        while not await db.fetchval(query, *arguments):
            await asyncio.sleep(0.005)


COMMITTING: Final = (
    "SELECT count(*) > 0 FROM pg_stat_activity WHERE query ~ '^(EXECUTE|COMMIT)' AND wait_event_type = 'Lock' "
    "AND wait_event = 'advisory' AND datname = current_database()"
)
IN_LOG: Final = "SELECT count(*) > 0 FROM room_events WHERE command_id = $1::uuid"


async def _pair(sim: Simulation) -> tuple[str, Client, Client]:
    """A quiet room with a writer on the first node and a watcher on the second."""
    room = await sim.quiet_room()
    writer = await sim.visitor("alice", [room], sim.cluster.urls[0])
    watcher = await sim.visitor("bob", [room], sim.cluster.urls[1])
    await writer.connected()
    await watcher.connected()
    return room, writer, watcher


async def _sends_one(writer: Client, room: str) -> Command:
    """A new command is on its way; nobody waits for its answer."""
    connection = await writer.connected()
    command = writer.new_task(room)
    await writer.send(connection, command)
    return command


async def _moves_over(sim: Simulation, writer: Client, command: Command) -> str:
    """The writer asks the second node about its command; returns how that was acknowledged."""
    writer.node = sim.cluster.urls[1]
    while command.id in writer.open:
        try:
            await writer.connected()
        except Gone:
            await asyncio.sleep(0.05)
    (ack,) = (record for record in sim.history.of("ack") if record.command_id == command.id)
    return ack.code


@fault("a node is killed before its commit")
async def _before(cluster: ChaosCluster, sim: Simulation) -> None:
    """The room is locked by somebody else, so the node's transaction waits with nothing written."""
    room, writer, watcher = await _pair(sim)
    async with cluster.sql() as db:
        async with db.transaction():
            await db.execute("SELECT 1 FROM rooms WHERE id = $1::uuid FOR UPDATE", room.partition(":")[2])
            command = await _sends_one(writer, room)
            async with cluster.sql() as other:
                await _until(
                    other,
                    "SELECT count(*) > 0 FROM pg_stat_activity "
                    "WHERE wait_event_type = 'Lock' AND query LIKE '%hold_room(%' || $1 || '%'",
                    room.partition(":")[2],
                )
            await cluster.nodes[0].kill()
        await _until(db, "SELECT NOT " + IN_LOG.removeprefix("SELECT "), command.id)
    assert await _moves_over(sim, writer, command) == "first"
    await watcher.hears(room, command.id, NOTICED)


@fault("a node is killed inside its commit")
async def _inside(cluster: ChaosCluster, sim: Simulation) -> None:
    """COMMIT is under way when the node dies; Postgres carries it out for nobody."""
    room, writer, watcher = await _pair(sim)
    async with cluster.sql() as db, _held_commits(cluster, room) as let_go:
        command = await _sends_one(writer, room)
        await _until(db, COMMITTING)
        await cluster.nodes[0].kill()
        await let_go()
        await _until(db, IN_LOG, command.id)
    await watcher.hears(room, command.id, NOTICED)
    assert await _moves_over(sim, writer, command) == "duplicate"


@fault("a node is killed between commit and publish")
async def _unpublished(cluster: ChaosCluster, sim: Simulation) -> None:
    """The node is frozen inside COMMIT, the commit is completed, and the node dies without having learned of it.

    Nothing of this batch was given to Redis, and nobody writes to the room again: the other node finds it by itself.
    """
    room, writer, watcher = await _pair(sim)
    async with cluster.sql() as db, _held_commits(cluster, room) as let_go:
        command = await _sends_one(writer, room)
        await _until(db, COMMITTING)
        cluster.nodes[0].pause()
        await let_go()
        await _until(db, IN_LOG, command.id)
        await cluster.nodes[0].kill()
    await watcher.hears(room, command.id, NOTICED)
    assert not [record for record in sim.history.of("ack") if record.command_id == command.id]
    assert await _moves_over(sim, writer, command) == "duplicate"


@fault("a node is killed and started again")
async def _killed(cluster: ChaosCluster, sim: Simulation) -> None:
    """Wherever its commands just are."""
    node = sim.random("node").choice(cluster.nodes)
    await node.kill()
    await sim.answered(20)
    await node.start()


# Postgres goes away and comes back.


async def _outage(
    sim: Simulation, down: Callable[[], Awaitable[None]], back: Callable[[], Awaitable[None]]
) -> None:
    """While Postgres is away nothing new is acknowledged; within 5 s of its return something is."""
    await down()
    began = sim.now()
    tries = len(list(sim.history.of("send", "turned away", "connecting")))
    async with asyncio.timeout(60):
        while (
            len(list(sim.history.of("send", "turned away", "connecting"))) < tries + 10
            or sim.now() < began + 1.0
        ):
            await asyncio.sleep(0.02)
    ended = sim.now()
    await back()
    returned = sim.now()
    await sim.answered(1)
    took = sim.now() - returned
    assert took <= NOTICED, f"serving {took:.1f} s after Postgres was back"
    assert not sim.history.acks_of_commands_sent_within(began, ended), "acknowledged without a database"
    await sim.answered(30)


@fault("postgres is killed")
async def _postgres_killed(cluster: ChaosCluster, sim: Simulation) -> None:
    await _outage(sim, cluster.postgres.kill, cluster.postgres.start)


@fault("postgres is stopped at once")
async def _postgres_immediate(cluster: ChaosCluster, sim: Simulation) -> None:
    await _outage(sim, lambda: cluster.postgres.stop("immediate"), cluster.postgres.start)


@fault("postgres is stopped in order")
async def _postgres_fast(cluster: ChaosCluster, sim: Simulation) -> None:
    await _outage(sim, lambda: cluster.postgres.stop("fast"), cluster.postgres.start)


@fault("postgres is frozen")
async def _postgres_frozen(cluster: ChaosCluster, sim: Simulation) -> None:
    async def pause() -> None:
        cluster.postgres.pause()

    async def resume() -> None:
        cluster.postgres.resume()

    await _outage(sim, pause, resume)


@fault("postgres ends all connections")
async def _backends_ended(cluster: ChaosCluster, sim: Simulation) -> None:
    for _ in range(5):
        assert await cluster.postgres.terminate_backends() > 0
        await sim.answered(10)


# Nobody dies.


@fault("commands come twice, in another order, on another node")
async def _twice(cluster: ChaosCluster, sim: Simulation) -> None:
    """One person sends the same commands through both nodes at once, each in an order of its own."""
    room = await sim.quiet_room()
    windows = [await sim.visitor("alice", [room], url) for url in cluster.urls]
    watcher = await sim.visitor("bob", [room])
    connections = [await window.connected() for window in (*windows, watcher)]
    commands = [windows[0].new_task(room) for _ in range(40)]
    waiting: list[asyncio.Future[Any]] = []
    for number, (window, connection) in enumerate(zip(windows, connections, strict=False)):
        order = commands * 2
        sim.random(f"order {number}").shuffle(order)
        waiting += [await window.send(connection, command) for command in order]
    replies = await asyncio.gather(*waiting)
    assert all(reply["success"] for reply in replies), replies
    assert sum(not reply["meta"]["duplicate"] for reply in replies) == len(commands)
    for command in commands:
        await watcher.hears(room, command.id, NOTICED)


@fault("many join in a storm of writes")
async def _joins(cluster: ChaosCluster, sim: Simulation) -> None:
    """Ten clients join, leave and rejoin at random moments of a storm on both nodes; the checker looks at each boundary."""
    room = await sim.quiet_room()
    writers = [await sim.visitor("alice", [room], url) for url in cluster.urls]
    joiners = [
        await sim.visitor(("bob", "admin")[number % 2], [room], cluster.urls[number % 2])
        for number in range(10)
    ]
    over = asyncio.Event()

    async def write(client: Client) -> None:
        connection = await client.connected()
        while not over.is_set():
            await connection.answers([await client.send(connection, client.new_task(room)) for _ in range(3)])

    async def join(client: Client) -> None:
        for _ in range(8):
            connection = await client.connected()
            await asyncio.sleep(client.luck.uniform(0, 0.05))
            if client.luck.random() < 0.5:
                await client.leave(connection, room)
            else:
                connection.cut()
            if client.luck.random() < 0.3:
                client.held.pop(room)  # it has forgotten everything, and takes a snapshot
            await asyncio.sleep(client.luck.uniform(0, 0.05))

    storm = [asyncio.create_task(write(client)) for client in writers]
    try:
        await asyncio.gather(*(join(client) for client in joiners))
    finally:
        over.set()
        await asyncio.gather(*storm)
    boundaries = [
        record for record in sim.history.of("joined") if record.room == room and record.client != "carol"
    ]
    assert len(boundaries) >= 80

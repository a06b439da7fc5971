"""Two nodes in this process, a bus that may lose its messages, and hypothesis deciding who does what next."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import aiohttp
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from storage.bus import CONTROL, Exchange, LocalBus
from tests.chaos.checker import check
from tests.chaos.simulator import Client, Connection, Gone, Simulation
from tests.world import Cluster, World, fresh_world, second_node

CREW: Final = {"acme": ("alice", "alice", "bob"), "rival": ("mallory",)}
EXAMPLES: Final = 8
STEPS: Final = 25
QUICK: Final = {"sweep_interval": 0.2, "sweep_interval_unhealthy": 0.2}
"""A lost message is found missing within 0.2 s."""

people = st.integers(0, 3)
nodes = st.integers(0, 1)
picks = st.floats(0, 1, exclude_max=True)


class LossyBus(LocalBus):
    """A bus that hears nothing of rooms while it is told to."""

    losing = False

    def receive(self, channel: str, message: bytes) -> None:
        if not self.losing or channel == CONTROL:
            super().receive(channel, message)


class TwoNodes:
    """The stage: nodes in this process."""

    def __init__(self, world: World, urls: list[str], bus: LossyBus, http: aiohttp.ClientSession) -> None:
        self.world = world
        self.urls = urls
        self.bus = bus
        self.http = http

    def sql(self) -> AbstractAsyncContextManager[Any]:
        return self.world.sql()

    def output(self) -> str:
        return ""


@asynccontextmanager
async def two_nodes(cluster: Cluster) -> AsyncIterator[TwoNodes]:
    exchange = Exchange()
    bus = LossyBus(exchange)
    async with (
        fresh_world(cluster, bus=LocalBus(exchange), **QUICK) as world,
        second_node(world, cluster, bus=bus, **QUICK) as (_, url),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        yield TwoNodes(world, [world.url, url], bus, http)


class RoomMachine(RuleBasedStateMachine):
    """Windows of three people on two nodes; after every sequence of acts the checker must find nothing."""

    runner: asyncio.Runner
    stage: TwoNodes

    def __init__(self) -> None:
        super().__init__()
        self.sim = Simulation(self.stage, 4, self.stage.http, 1, CREW)
        self.run(self.sim.open())

    def run(self, act: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(act)

    async def at_node(self, person: int, node: int) -> tuple[Client, Connection]:
        """A client, connected there and in its room; what it had open has been answered."""
        client = self.sim.clients[person]
        url = self.stage.urls[node]
        if client.connection is not None and client.connection.node != url:
            client.connection.cut()
        client.node = url
        return client, await client.connected()

    @rule(person=people, node=nodes, pick=picks, count=st.integers(1, 3))
    def command(self, person: int, node: int, pick: float, count: int) -> None:
        """Commands in a row, answered."""

        async def act() -> None:
            client, connection = await self.at_node(person, node)
            commands = [client.next_command(client.rooms[0], (pick + at / 7) % 1) for at in range(count)]
            await connection.answers([await client.send(connection, command) for command in commands])

        self.run(act())

    @rule(person=people, node=nodes, pick=picks)
    def command_and_vanish(self, person: int, node: int, pick: float) -> None:
        """A command whose answer is never read; it is sent again, under the same id, at the next occasion."""

        async def act() -> None:
            client, connection = await self.at_node(person, node)
            command = client.next_command(client.rooms[0], pick)
            client.open[command.id] = command
            await client.send(connection, command)
            connection.cut()

        self.run(act())

    @rule(person=people, node=nodes, pick=picks)
    def again(self, person: int, node: int, pick: float) -> None:
        """A known command once more, on either node."""

        async def act() -> None:
            client, connection = await self.at_node(person, node)
            if client.done:
                command = client.done[int(pick * len(client.done))]
                await connection.answers([await client.send(connection, command)])

        self.run(act())

    @rule(person=people)
    def disconnect(self, person: int) -> None:
        async def act() -> None:
            connection = self.sim.clients[person].connection
            if connection is not None:
                connection.cut()

        self.run(act())

    @rule(person=people, node=nodes, forgetful=st.booleans())
    def reconnect(self, person: int, node: int, forgetful: bool) -> None:
        """With the position it has, or with nothing."""

        async def act() -> None:
            client = self.sim.clients[person]
            if client.connection is not None:
                client.connection.cut()
            if forgetful:
                client.held.clear()
            await self.at_node(person, node)

        self.run(act())

    @rule(person=people, node=nodes)
    def vanish_in_join(self, person: int, node: int) -> None:
        async def act() -> None:
            client = self.sim.clients[person]
            if client.connection is not None:
                client.connection.cut()
            client.node = self.stage.urls[node]
            try:
                await client.connected(vanishing=True)
            except Gone:
                return
            raise AssertionError("it was to vanish")

        self.run(act())

    @rule(person=people, node=nodes)
    def leave(self, person: int, node: int) -> None:
        async def act() -> None:
            client, connection = await self.at_node(person, node)
            await client.leave(connection, client.rooms[0])

        self.run(act())

    @rule(person=people, node=nodes, pick=picks)
    def trespass(self, person: int, node: int, pick: float) -> None:
        async def act() -> None:
            client, connection = await self.at_node(person, node)
            await client.trespass(connection, pick)

        self.run(act())

    @rule(losing=st.booleans())
    def lose_messages(self, losing: bool) -> None:
        self.stage.bus.losing = losing

    def teardown(self) -> None:
        async def finish() -> list[str]:
            try:
                await self.sim.settle()
                return check(self.sim.history, await self.sim.facts())
            finally:
                await self.sim.close()
                self.stage.bus.losing = False

        found = self.run(finish())
        assert not found, "\n".join(found)


def test_whatever_comes_next(cluster: Cluster) -> None:
    """The messages that are being lost at the end stay lost: everybody gets there by the log alone."""
    with asyncio.Runner() as runner:
        stack = two_nodes(cluster)
        RoomMachine.runner, RoomMachine.stage = runner, runner.run(stack.__aenter__())
        try:
            run_state_machine_as_test(
                RoomMachine,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=STEPS,
                    derandomize=True,
                    phases=[Phase.generate],  # an example is short enough; making it shorter takes minutes
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(stack.__aexit__(None, None, None))

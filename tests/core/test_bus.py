"""One suite for every bus; and what Redis alone can do to us."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from storage.bus import CONTROL, OUTBOX, Bus, Exchange, LocalBus, RedisBus
from storage.valkey import EmbeddedValkey
from tests.world import Cluster, fresh_world, second_node, until

SILENCE = 0.6


class Node:
    """What a node hears of its bus."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.heard: list[tuple[str, bytes]] = []
        self.resets = 0

    async def start(self) -> "Node":
        await self.bus.start(lambda channel, message: self.heard.append((channel, message)), self._reset)
        return self

    def _reset(self) -> None:
        self.resets += 1

    def of(self, channel: str) -> list[bytes]:
        return [message for heard, message in self.heard if heard == channel]


@pytest.fixture(scope="module")
async def valkey() -> AsyncIterator[EmbeddedValkey]:
    with tempfile.TemporaryDirectory(prefix="atrium-bus-", ignore_cleanup_errors=True) as name:
        server = EmbeddedValkey(Path(name))
        await server.start()
        yield server
        await server.stop()


Nodes = Callable[[], Awaitable[Node]]


@pytest.fixture(params=["local", "redis"])
async def nodes(request: pytest.FixtureRequest, valkey: EmbeddedValkey) -> AsyncIterator[Nodes]:
    """Makes nodes on one bus."""
    exchange = Exchange()
    async with AsyncExitStack() as stack:

        async def make() -> Node:
            local = request.param == "local"
            bus: Bus = LocalBus(exchange) if local else RedisBus(valkey.url, silence=SILENCE)
            node = await Node(bus).start()
            stack.push_async_callback(bus.stop)
            return node

        yield make


async def test_messages_come_in_the_order_they_were_sent(nodes: Nodes) -> None:
    one, two, three = await nodes(), await nodes(), await nodes()
    for node in (one, two):
        await node.bus.subscribe("room")
    sent = [b"%d" % number for number in range(1000)]
    for message in sent:
        three.bus.publish("room", message)
    for node in (one, two):
        await until(lambda node=node: len(node.of("room")) == len(sent))  # type: ignore[misc]
        assert node.of("room") == sent


async def test_a_node_does_not_hear_itself(nodes: Nodes) -> None:
    one, two = await nodes(), await nodes()
    for node in (one, two):
        await node.bus.subscribe("room")
    one.bus.publish("room", b"mine")
    two.bus.publish("room", b"yours")
    await until(lambda: one.of("room") and two.of("room"))
    assert (one.of("room"), two.of("room")) == ([b"yours"], [b"mine"])


async def test_only_what_was_subscribed_to_is_heard(nodes: Nodes) -> None:
    one, two = await nodes(), await nodes()
    await one.bus.subscribe("room")
    two.bus.publish("another room", b"no")
    two.bus.publish("room", b"yes")
    await until(lambda: one.of("room"))
    one.bus.unsubscribe("room")
    two.bus.publish("room", b"no more")
    two.bus.publish(CONTROL, b"the end")
    await until(lambda: one.of(CONTROL))
    assert [(c, m) for c, m in one.heard if c != CONTROL] == [("room", b"yes")]


async def test_control_reaches_every_node(nodes: Nodes) -> None:
    one, two, three = await nodes(), await nodes(), await nodes()
    one.bus.publish(CONTROL, b"all")
    await until(lambda: two.of(CONTROL) and three.of(CONTROL))
    assert one.of(CONTROL) == []


async def test_a_channel_can_be_left_and_entered_again(nodes: Nodes) -> None:
    one, two = await nodes(), await nodes()
    for turn in range(5):
        await one.bus.subscribe("room")
        two.bus.publish("room", b"%d" % turn)
        await until(lambda turn=turn: len(one.of("room")) == turn + 1)  # type: ignore[misc]
        one.bus.unsubscribe("room")


async def test_any_bytes_may_be_sent(nodes: Nodes) -> None:
    one, two = await nodes(), await nodes()
    await one.bus.subscribe("röom\n$1")
    for message in (b"", b"\r\n", bytes(range(256)), b"x" * 2_000_000):
        two.bus.publish("röom\n$1", message)
        await until(lambda: one.heard)
        assert one.heard.pop() == ("röom\n$1", message)


async def test_publishing_never_blocks_and_a_stopped_bus_is_quiet(nodes: Nodes) -> None:
    one, two = await nodes(), await nodes()
    await one.bus.subscribe("room")
    began = time.monotonic()
    for _ in range(5000):
        two.bus.publish("room", b"x" * 200)
    assert time.monotonic() - began < 1
    await one.bus.stop()
    heard = len(one.heard)
    two.bus.publish("room", b"late")
    await asyncio.sleep(0.05)
    assert len(one.heard) == heard


async def test_it_is_healthy_from_the_start(nodes: Nodes) -> None:
    one = await nodes()
    assert one.bus.healthy


# Redis alone.


async def _nodes_on(valkey: EmbeddedValkey, count: int) -> list[Node]:
    return [await Node(RedisBus(valkey.url, silence=SILENCE)).start() for _ in range(count)]


async def _works(one: Node, two: Node) -> None:
    """Messages get through again; what is lost on the way the log has."""
    deadline = time.monotonic() + 10
    heard = len(one.of("room"))
    while len(one.of("room")) == heard:
        assert time.monotonic() < deadline
        two.bus.publish("room", b"again?")
        await asyncio.sleep(0.05)


async def test_after_a_restart_of_redis_it_goes_on_and_says_so(valkey: EmbeddedValkey) -> None:
    one, two = await _nodes_on(valkey, 2)
    try:
        await one.bus.subscribe("room")
        two.bus.publish("room", b"before")
        await until(lambda: one.of("room"))
        resets, pid = one.resets, valkey.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: valkey.pid not in (None, pid), within=10)
        await _works(one, two)
        assert one.resets > resets, "something may have been missed"
        await until(lambda: one.bus.healthy and two.bus.healthy)
    finally:
        for node in (one, two):
            await node.bus.stop()


async def test_a_redis_that_hangs_is_noticed_and_left(valkey: EmbeddedValkey) -> None:
    one, two = await _nodes_on(valkey, 2)
    pid = valkey.pid
    assert pid is not None
    try:
        await one.bus.subscribe("room")
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        await until(lambda: not one.bus.healthy)
        assert time.monotonic() - began < SILENCE * 1.5
        published = time.monotonic()
        for _ in range(OUTBOX + 10):
            two.bus.publish("room", b"x")
        assert time.monotonic() - published < 1
        await asyncio.wait_for(one.bus.subscribe("another"), 3)
        resets = one.resets
        os.kill(pid, signal.SIGCONT)
        await until(lambda: one.bus.healthy and two.bus.healthy, within=10)
        await _works(one, two)
        assert one.resets > resets
    finally:
        os.kill(pid, signal.SIGCONT)
        for node in (one, two):
            await node.bus.stop()


@dataclass
class _Proxy:
    """In front of a Redis; while it is silent it takes connections, and says nothing on any of them ever."""

    path: str
    silent: bool = True
    url: str = ""
    left: int = 0
    """Silent connections that the client has closed (count)."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.silent:
                await reader.read()  # to the end, which is the client's
                self.left += 1
                return
            others_reader, others_writer = await asyncio.open_unix_connection(self.path)
            await asyncio.gather(_pump(reader, others_writer), _pump(others_reader, writer))
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def _silent_proxy(valkey: EmbeddedValkey) -> AsyncIterator[_Proxy]:
    proxy = _Proxy(valkey.url.removeprefix("unix://").split("?")[0])
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()


async def test_a_connection_that_gets_no_answer_is_left(valkey: EmbeddedValkey) -> None:
    """Redis may fall silent in the midst of a handshake, and nobody resets that connection when it is well again."""
    async with _silent_proxy(valkey) as proxy:
        bus = RedisBus(proxy.url, silence=SILENCE)
        try:
            await bus.start(lambda _channel, _message: None, lambda: None)
            assert not bus.healthy
            proxy.silent = False
            await until(lambda: bus.healthy, within=5)
            await until(lambda: proxy.left >= 2)  # one to publish by, one to hear by
        finally:
            await bus.stop()


async def test_a_message_that_cannot_be_understood_ends_no_connection(valkey: EmbeddedValkey) -> None:
    """While one version replaces another, nodes of both are on the bus."""
    heard: list[bytes] = []
    resets = 0

    def hear(_channel: str, message: bytes) -> None:
        if message == b"of another version":
            raise KeyError("batch")
        heard.append(message)

    def reset() -> None:
        nonlocal resets
        resets += 1

    bus = RedisBus(valkey.url, silence=SILENCE)
    [other] = await _nodes_on(valkey, 1)
    try:
        await bus.start(hear, reset)
        await bus.subscribe("room")
        with capture_logs() as logs:
            for message in (b"of another version", b"of this one"):
                other.bus.publish("room", message)
            await until(lambda: heard)
        assert (heard, resets) == ([b"of this one"], 1)
        assert [(line["event"], line["channel"]) for line in logs] == [("bus.message_failed", "room")]
    finally:
        await bus.stop()
        await other.bus.stop()


async def test_a_killed_subscriber_connection_is_made_anew(valkey: EmbeddedValkey) -> None:
    from redis.asyncio import Redis

    one, two = await _nodes_on(valkey, 2)
    try:
        await one.bus.subscribe("room")
        async with Redis.from_url(valkey.url) as client:
            for kind in ("pubsub", "normal"):
                await client.execute_command(  # type: ignore[no-untyped-call]
                    "CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"
                )
        await _works(one, two)
    finally:
        for node in (one, two):
            await node.bus.stop()


async def test_two_nodes_through_redis_and_through_its_death(
    cluster: Cluster, valkey: EmbeddedValkey
) -> None:
    """Nothing is lost while Redis is away: heads are polled."""
    quick: dict[str, Any] = {"sweep_interval": 1.0, "sweep_interval_unhealthy": 0.2}
    async with (
        fresh_world(cluster, bus=RedisBus(valkey.url, silence=SILENCE), **quick) as world,
        second_node(world, cluster, bus=RedisBus(valkey.url, silence=SILENCE), **quick) as (node, there),
    ):
        alice, bob = await world.person("alice").connect(), await world.person("bob", url=there).connect()
        start = (await alice.join(world.project)).seq
        await bob.join(world.project)
        columns = list(world.columns.values())

        async def move(count: int) -> int:
            seq = 0
            for turn in range(count):
                reply = await alice.send("task.move", task_id=world.tasks[0], column_id=columns[turn % 2])
                seq = reply.meta.seq
            return seq

        seq = await move(20)
        await until(lambda: bob.seqs(world.project)[-1:] == [seq], within=2)
        pid = valkey.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            await until(lambda: not node.bus.healthy)
            assert (await world.request("GET", "/health/ready", url=there)).status == 503
            seq = await move(20)
            await until(lambda: bob.seqs(world.project)[-1:] == [seq], within=3)
        finally:
            os.kill(pid, signal.SIGCONT)
        seq = await move(20)
        await until(lambda: bob.seqs(world.project)[-1:] == [seq], within=10)
        assert bob.seqs(world.project) == list(range(start + 1, start + 61))

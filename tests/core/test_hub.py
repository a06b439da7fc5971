"""The hub: every member hears every event of its rooms in order, without hole or repeat, or is told otherwise."""

import asyncio
import random
import socket
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from server import hub
from server.connection import Connection
from server.fanout import Crowd
from server.hub import BATCH
from storage.bus import Exchange, LocalBus
from storage.rooms import Batch, RoomKey
from tests.core.doings import caught_up, move_about
from tests.raw import Raw
from tests.world import Board, Cluster, Person, World, fresh_world, second_node, until


class BadBus(LocalBus):
    """A bus as the hub must expect it: batches are lost, come twice, or come late."""

    def __init__(self, exchange: Exchange, seed: int, *, lose: float, repeat: float, delay: float) -> None:
        super().__init__(exchange)
        self._random = random.Random(seed)
        self._lose, self._repeat, self._delay = lose, repeat, delay

    def receive(self, channel: str, message: bytes) -> None:
        if message[:1] != BATCH:
            super().receive(channel, message)
            return
        if self._random.random() < self._lose:
            return
        again = 2 if self._random.random() < self._repeat else 1
        for _ in range(again):
            if self._random.random() < self._delay:
                late = self._random.random() * 0.05
                asyncio.get_running_loop().call_later(late, super().receive, channel, message)
            else:
                super().receive(channel, message)


# Two nodes.


async def test_members_on_two_nodes_hear_the_same(pair: tuple[World, str]) -> None:
    world, there = pair
    alice, bob = await world.person("alice").connect(), await world.person("bob", url=there).connect()
    start = (await alice.join(world.project)).seq
    await bob.join(world.project)
    board = Board.of(world)
    await asyncio.gather(move_about(alice, board, 40), move_about(bob, board, 40))
    expected = list(range(start + 1, start + 81))
    for person in (alice, bob):
        await caught_up(person, world.project, start + 80)
        assert person.seqs(world.project) == expected
    assert [data for name, data in alice.journal if name == "task.moved"] == [
        data for name, data in bob.journal if name == "task.moved"
    ]


async def test_a_revoked_session_is_ended_on_every_node(pair: tuple[World, str]) -> None:
    world, there = pair
    here = await world.person("alice").connect()
    other = world.person("alice", url=there)
    other.tokens = here.tokens
    await other.connect()
    await here.rest("POST", "/auth/logout")
    for person in (here, other):
        await asyncio.wait_for(person.disconnected.wait(), 5)


async def test_presence_is_seen_across_nodes(pair: tuple[World, str]) -> None:
    world, there = pair
    alice = await world.person("alice").connect()
    await alice.join(world.project)
    bob = await world.person("bob", url=there).connect()
    await bob.join(world.project)
    while "Bob" not in [p.name for p in (await alice.hears("presence.changed", room=world.project)).joined]:
        pass
    while "Alice" not in [p.name for p in (await bob.hears("presence.changed", room=world.project)).joined]:
        pass
    await bob.send("typing.start", room=world.project)
    assert (await alice.hears("typing")).user_id == bob.id
    await bob.disconnect()
    while [p.user_id for p in (await alice.hears("presence.changed", room=world.project)).left] != [bob.id]:
        pass


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_holes_are_filled_from_the_log(cluster: Cluster, seed: int) -> None:
    exchange = Exchange()
    bad = BadBus(exchange, seed, lose=0.3, repeat=0.3, delay=0.3)
    async with (
        fresh_world(cluster, bus=LocalBus(exchange), group_commit=3) as world,
        second_node(world, cluster, bus=bad, sweep_interval=0.3) as (_, there),
    ):
        alice, bob = await world.person("alice").connect(), await world.person("bob", url=there).connect()
        start = (await alice.join(world.project)).seq
        await bob.join(world.project)
        await move_about(alice, Board.of(world), 150)
        for person in (alice, bob):
            await caught_up(person, world.project, start + 150)
            assert person.seqs(world.project) == list(range(start + 1, start + 151)), f"seed {seed}"


async def test_without_any_bus_the_heads_are_polled(cluster: Cluster) -> None:
    async with (
        fresh_world(cluster) as world,
        second_node(world, cluster, sweep_interval=0.2) as (_, there),
    ):
        alice, bob = await world.person("alice").connect(), await world.person("bob", url=there).connect()
        start = (await alice.join(world.project)).seq
        await bob.join(world.project)
        await move_about(alice, Board.of(world), 20)
        await caught_up(bob, world.project, start + 20)
        assert bob.seqs(world.project) == list(range(start + 1, start + 21))


async def test_another_tenants_room_of_the_same_id_hears_nothing(pair: tuple[World, str]) -> None:
    world, there = pair
    mallory = await world.person("mallory", url=there).connect()
    alice = await world.person("alice").connect()
    for room in (world.project, world.tenant, f"user:{alice.id}"):
        assert (await mallory.send("room.join", room=room)).error.code == "NOT_FOUND"
    await move_about(alice, Board.of(world), 5)
    await alice.send("tenant.update", name="canary-7f3a")
    await mallory.hears_nothing("task.moved")
    assert "canary-7f3a" not in str(mallory.journal)


# Joining.


async def test_joining_under_constant_writing_has_no_hole_and_no_repeat(worlds: Callable[..., Any]) -> None:
    world = await worlds(group_commit=5)
    alice, board = await world.person("alice").connect(), Board.of(world)
    random_ = random.Random(7)
    token = alice.tokens.access_token

    await alice.join(board.room)

    async def arrive() -> tuple[Person, Any]:
        person = await world.person("bob").connect(token=token)
        after = random_.randrange(450)
        await until(lambda: len(alice.seqs(board.room)) >= after, within=30)
        joined = await person.join(board.room)
        return person, joined

    moves = asyncio.create_task(move_about(alice, board, 500))
    arrivals = await asyncio.gather(*(arrive() for _ in range(20)))
    replies = await moves
    last = replies[-1].meta.seq
    for person, joined in arrivals:
        if joined.seq < last:
            await caught_up(person, board.room, last)
        assert person.seqs(board.room) == list(range(joined.seq + 1, last + 1))
    assert len({joined.seq for _, joined in arrivals}) > 3, "they came at different moments"


async def test_two_join_an_empty_room_and_the_later_reader_is_ready_first(world: World, board: Board) -> None:
    """One reads its snapshot, events come, the other reads and goes live: the first must not miss them."""
    alice = await world.person("alice").connect()
    first, second = [await world.person("bob").connect() for _ in range(2)]
    gateway = world.node.gateway
    key = RoomKey(UUID(world.tenant_id), "project", UUID(world.project_id))

    def connection(person: Person) -> Connection:
        return gateway.connections[person.client.get_sid()]

    async def read(person: Person) -> Any:
        here = connection(person)
        await world.node.hub.attach(key, here)
        here.rooms[key] = None
        return await gateway.reader.read(here.principal, key, since=None, window=10, limit=10)

    early = await read(first)
    replies = await move_about(alice, board, 3)
    late = await read(second)
    gateway.enter(connection(second), key, late)
    gateway.enter(connection(first), key, early)
    reply = await alice.send("task.move", task_id=board.second, column_id=board.doing)
    await caught_up(second, board.room, reply.meta.seq)
    await asyncio.sleep(0.2)
    assert second.seqs(board.room) == [reply.meta.seq]
    if "room.resync" not in [name for name, _ in first.journal]:
        missed = [r.meta.seq for r in replies]
        assert first.seqs(board.room) == [*missed, reply.meta.seq], "skipped silently"


async def test_joining_twice_is_harmless(alice: Person, bob: Person, board: Board) -> None:
    again = await bob.join(board.room)
    reply = await alice.send("task.move", task_id=board.first, column_id=board.doing)
    assert again.seq == reply.meta.seq - 1
    await bob.hears("task.moved")
    await bob.hears_nothing("task.moved")


async def test_who_has_left_hears_nothing(alice: Person, bob: Person, board: Board) -> None:
    assert (await bob.send("room.leave", room=board.room)).data == {"room": board.room}
    assert (await bob.send("room.leave", room=board.room)).success, "leaving twice is harmless too"
    await alice.send("task.move", task_id=board.first, column_id=board.doing)
    await bob.hears_nothing("task.moved")


async def test_who_comes_in_the_place_of_somebody_who_has_gone_hears_nothing_of_his_rooms(
    world: World, alice: Person, board: Board
) -> None:
    token = (await world.person("bob").sign_in()).access_token

    async def window() -> Raw:
        raw = Raw(await world.http.ws_connect(f"{world.url}/socket.io/?EIO=4&transport=websocket"))
        await raw.packet()
        await raw.sign_in(token)
        return raw

    def descriptors() -> set[int]:
        return {connection.socket.descriptor for connection in world.node.gateway.connections.values()}

    async def change() -> str:
        reply = await alice.send("task.update", task_id=board.first, changes={"title": str(uuid4())})
        return f'42["task.updated",{{"room":"{board.room}","seq":{reply.meta.seq},'

    members = [await window() for _ in range(12)]
    for member in members:
        await member.call("room.join", {"room": board.room})
    changed = await change()
    for member in members:
        await member.until(changed)
    gone, members = members[:6], members[6:]
    taken = descriptors()
    for one in gone:
        connection: Any = one.ws._response.connection
        connection.transport.abort()
    await until(lambda: len(descriptors()) == len(taken) - 6)
    left = taken - descriptors()
    strangers = [await window() for _ in range(6)]
    assert left & descriptors(), "some have got the descriptors of those before"
    changed = await change()
    for member in members:
        await member.until(changed)
    for stranger in strangers:
        await stranger.still_works()
        assert not any("task.updated" in str(packet) for packet in stranger.heard)


async def test_a_busy_room_is_written_to_less_often(
    world: World, bob: Person, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many events, and the next come so soon after that they leave together; a few are never held up."""
    monkeypatch.setattr(hub, "REST", 0.3)
    joined = await bob.join(board.room)
    key = RoomKey.parse(UUID(world.tenant_id), board.room)
    assert key is not None
    seq, writes = joined.seq, list[int]()
    write = Crowd.write

    def counted(crowd: Crowd, frames: bytes, hard_limit: int) -> list[Any]:
        writes.append(frames.count(b"made.up"))
        return write(crowd, frames, hard_limit)

    monkeypatch.setattr(Crowd, "write", counted)

    def deliver(count: int) -> None:
        nonlocal seq
        name = board.room.encode()
        packets = [b'2["made.up",{"room":"%b","seq":%d,"at":""}]' % (name, seq + n + 1) for n in range(count)]
        world.node.hub.deliver(Batch(key, joined.epoch, seq + 1, packets))
        seq += count

    for count in (1, 2, hub.BUSY, 3, 4):
        deliver(count)
        for _ in range(5):
            await asyncio.sleep(0)
    assert writes == [1, 2, hub.BUSY], "the last have to wait"
    await bob.hears("made.up", seq=seq)
    assert writes == [1, 2, hub.BUSY, 7]
    deliver(5)
    await bob.hears("made.up", seq=seq)
    deliver(hub.BUSY)
    await bob.hears("made.up", seq=seq)
    deliver(1)
    await bob.send("room.leave", room=board.room)
    await bob.hears("made.up", seq=seq)
    assert writes == [1, 2, hub.BUSY, 7, 5, hub.BUSY, 1], "who leaves has got all that was before"
    assert bob.seqs(board.room) == list(range(joined.seq + 1, seq + 1))


async def test_a_room_nobody_is_in_is_forgotten(world: World, alice: Person, bob: Person) -> None:
    assert any(key.kind == "project" for key in world.node.hub.rooms)
    await alice.disconnect()
    await bob.disconnect()
    await until(lambda: not world.node.hub.rooms)
    assert not world.node.gateway.presence._rooms


async def test_a_failed_join_leaves_nothing_behind(world: World, gus: Person) -> None:
    before = set(world.node.hub.rooms)
    for room in (world.tenant, f"project:{uuid4()}", f"user:{world.user_ids['alice']}"):
        assert not (await gus.send("room.join", room=room)).success
    assert set(world.node.hub.rooms) == before


async def test_what_a_join_says(world: World, alice: Person, gus: Person) -> None:
    joined = await gus.join(world.project)
    assert (joined.room, joined.mode) == (world.project, "snapshot")
    assert set(joined.snapshot) >= {"project", "boards", "columns", "tasks", "members", "statuses"}
    assert joined.permissions == ["comment.add", "presence.share", "project.view"]
    assert {member.name for member in joined.presence.members} >= {"Alice"}
    small = await gus.join(world.project, window={"tasks": 2})
    assert len(small.snapshot.tasks) == 2


# Slow members.


async def test_who_does_not_read_is_told_to_join_again_and_holds_nobody_up(
    worlds: Callable[..., Any],
) -> None:
    world = await worlds(send_soft_limit=16_384, send_hard_limit=65_536)
    alice, bob = await world.person("alice").connect(), await world.person("bob").connect()
    await bob.join(world.project)
    token = (await world.person("bob").sign_in()).access_token

    def narrow(info: Any) -> socket.socket:
        made = socket.socket(*info[:3])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        return made

    connector = aiohttp.TCPConnector(socket_factory=narrow)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.ws_connect(f"{world.url}/socket.io/?EIO=4&transport=websocket", max_msg_size=0) as ws,
    ):
        slow = Raw(ws)
        await slow.packet()
        await slow.sign_in(token)
        joined = (await slow.call("room.join", {"room": world.project})).data
        transport: Any = ws._response.connection.transport  # type: ignore[union-attr]
        transport.pause_reading()
        before = max(c.socket.unsent() for c in world.node.gateway.connections.values())
        assert before == 0
        last = 0
        for turn in range(600):
            changes = {"description": f"{turn} " * 5000}
            reply = await alice.send("task.update", task_id=world.tasks[turn % 5], changes=changes)
            last = reply.meta.seq
            unsent = max(c.socket.unsent() for c in world.node.gateway.connections.values())
            assert unsent < 65_536 + 2 * 45_000, "memory per member is bounded"
            if world.node.hub.rooms and len(_members(world)) == 1:
                break
        else:
            pytest.fail("the slow member is still in the room")
        await caught_up(bob, world.project, last)
        assert bob.seqs(world.project) == list(range(joined.seq + 1, last + 1))
        transport.resume_reading()
        seqs: list[int] = []
        while True:
            packet = await slow.packet()
            assert isinstance(packet, str)
            if packet.startswith('42["room.resync"'):
                break
            if f'{{"room":"{world.project}","seq":' in packet:
                seqs.append(int(packet.split('"seq":', 1)[1].split(",", 1)[0]))
        assert seqs == list(range(joined.seq + 1, joined.seq + 1 + len(seqs)))
        since = int(packet.split('"since_seq":', 1)[1].split("}", 1)[0])
        assert since == (seqs or [joined.seq])[-1], "since_seq is what it has got"
        again = await slow.call(
            "room.join", {"room": world.project, "since": {"epoch": joined.epoch, "seq": since}}
        )
        assert again.data.mode == "events"
        assert [event.seq for event in again.data.events] == list(range(since + 1, last + 1))


def _members(world: World) -> list[Any]:
    key = next(key for key in world.node.hub.rooms if key.name == world.project)
    return list(world.node.hub.members(key))


# Draining.


async def test_a_draining_node_says_so(worlds: Callable[..., Any]) -> None:
    world = await worlds(drain_seconds=0.4)
    alice, bob = await world.person("alice").connect(), await world.person("bob").connect()
    draining = asyncio.create_task(world.node.gateway.drain())
    for person in (alice, bob):
        assert 0 <= (await person.hears("server.draining")).reconnect_in_ms <= 200
    assert (await alice.send("task.move", task_id=world.tasks[0], column_id=world.columns["Done"])).success
    await draining
    for person in (alice, bob):
        await asyncio.wait_for(person.disconnected.wait(), 5)


async def test_who_is_led_to_another_node_has_not_left(cluster: Cluster) -> None:
    exchange = Exchange()
    async with (
        fresh_world(cluster, bus=LocalBus(exchange), presence_lease=1.5) as world,
        second_node(world, cluster, bus=LocalBus(exchange), drain_seconds=2.5, presence_lease=1.5) as (
            node,
            there,
        ),
    ):
        alice, bob = await world.person("alice").connect(), await world.person("bob", url=there).connect()
        carol = await world.person("carol", url=there).connect()
        for person in (alice, bob, carol):
            await person.join(world.project)
        await alice.hears("presence.changed", room=world.project, count=3)
        alice.forget()
        draining = asyncio.create_task(node.gateway.drain())
        await bob.hears("server.draining")
        await bob.disconnect()
        await asyncio.sleep(0.3)
        bob.url = world.url
        await bob.connect()
        await bob.join(world.project)
        await draining
        carol.url = world.url
        await carol.connect()
        await carol.join(world.project)
        await asyncio.sleep(2 * world.node.settings.presence_lease)
        changes = [
            data for name, data in alice.journal if name == "presence.changed" and data.room == world.project
        ]
        assert [data.left for data in changes if data.left] == []

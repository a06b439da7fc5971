"""What comes between two steps of a join: another epoch, signals, much that is said."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from server.frames import JSON
from storage.rooms import Batch, Position, RoomKey
from tests.core.doings import caught_up, describe, position_of
from tests.world import World, until


class Listener:
    """A member of the hub alone: it keeps what it gets, as a client that polls does until it comes again."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.lost: list[int] = []
        self.socket: Any = SimpleNamespace(
            codec=JSON, transport=None, closed=False, held_bytes=0, connection=self,
            hold=self.got.append, push=self.got.append, unsent=lambda: 0,
        )  # fmt: skip

    def lost_track(self, _room: RoomKey, since: int) -> None:
        self.lost.append(since)


def _said(number: int) -> bytes:
    return b'2["said",{"seq":%d}]' % number


async def test_a_join_whose_answer_cannot_be_written_holds_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_room: RoomKey) -> Any:
        raise TypeError

    bob = await world.person("bob").connect()
    with monkeypatch.context() as patch:
        patch.setattr(world.node.gateway.presence, "state", broken)
        reply = await bob.call("room.join", {"room": world.project})
    assert reply.error.code == "INTERNAL"
    assert world.project not in {key.name for key in world.node.hub.rooms}
    assert (await bob.join(world.project)).mode == "snapshot"


async def test_who_waits_for_a_room_to_catch_up_hears_of_another_epoch(world: World) -> None:
    """It has a snapshot that the room has not come to yet; the numbers of the next epoch say nothing of that."""
    found, key = world.node.hub, RoomKey(UUID(world.tenant_id), "project", uuid4())
    live, waits = Listener(), Listener()
    for member, position in ((live, 10), (waits, 12)):
        await found.attach(key, member)
        found.release(key, member, Position("first", position))
    assert list(found.rooms[key].waiting) == [waits]
    found.deliver(Batch(key, "second", 3, [_said(3)]))
    assert (live.lost, waits.lost) == ([0], [0])
    await asyncio.sleep(0)
    assert key not in found.rooms


async def test_a_snapshot_that_the_log_has_lost_begins_another_epoch(world: World) -> None:
    """Nobody had been sent those events yet, but somebody has a state that holds them."""
    found, key = world.node.hub, RoomKey(UUID(world.tenant_id), "project", UUID(world.project_id))
    async with world.sql() as db:
        row = await db.fetchrow(
            "SELECT epoch_of(epoch)::text AS epoch, head_seq FROM rooms WHERE id = $1", key.id
        )
    live, waits = Listener(), Listener()
    for member, more in ((live, 0), (waits, 2)):
        await found.attach(key, member)
        found.release(key, member, Position(row["epoch"], row["head_seq"] + more))
    await until(lambda: waits.lost == [0], within=2 * world.node.settings.sweep_interval)
    assert live.lost == [0]


async def test_who_waits_for_a_room_to_catch_up_hears_its_signals(world: World) -> None:
    """Who is there is in the answer to a join, and changes of that are signals: none may be missed after it."""
    found, key = world.node.hub, RoomKey(UUID(world.tenant_id), "project", uuid4())
    live, waits, joins = Listener(), Listener(), Listener()
    for member, position in ((live, 10), (waits, 12)):
        await found.attach(key, member)
        found.release(key, member, Position("first", position))
    await found.attach(key, joins)
    found.signal(key, "presence.changed", b"{}")
    told = [b'2["presence.changed",{}]']
    assert (live.got, waits.got, joins.got) == (told, told, []), "it is still to have its answer"


async def test_a_join_that_fails_leaves_nobody_in_another_epoch(world: World) -> None:
    """Whoever was in the room stays in it when a second join fails, unless all that he had is of another epoch."""
    found, key, member = world.node.hub, RoomKey(UUID(world.tenant_id), "project", uuid4()), Listener()
    await found.attach(key, member)
    found.release(key, member, Position("first", 10))
    await found.attach(key, member)
    found.deliver(Batch(key, "second", 3, [_said(3)]))
    assert found.give_up(key, member)
    assert member.lost == [0]


async def test_a_join_that_fails_changes_nothing_for_who_waits_for_its_room(world: World) -> None:
    """It has joined, and the room has not come to its snapshot yet: the next join, which fails, must not put it out."""
    found, key = world.node.hub, RoomKey(UUID(world.tenant_id), "project", uuid4())
    live, waits = Listener(), Listener()
    for member, position in ((live, 10), (waits, 12)):
        await found.attach(key, member)
        found.release(key, member, Position("first", position))
    await found.attach(key, waits)
    found.deliver(Batch(key, "first", 11, [_said(11)]))
    assert found.give_up(key, waits)
    found.deliver(Batch(key, "first", 12, [_said(12), _said(13)]))
    found.flush()
    assert waits.got == [_said(13)]
    assert not waits.lost


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with another"])
async def test_a_join_takes_long_in_a_room_where_much_is_said(
    worlds: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    """What is held for it is bounded, and it is answered all the same. What is missing then is read from the log where the
    room begins with it; where others are further already, it is told to join again.
    """
    world = await worlds(send_hard_limit=65_536)
    alice, bob = await world.person("alice").connect(), await world.person("bob").connect()
    if not alone:
        await alice.join(world.project)
    reader, has_read, go_on = world.node.gateway.reader, asyncio.Event(), asyncio.Event()
    read = reader.read

    async def slowly(*args: Any, **more: Any) -> Any:
        state = await read(*args, **more)
        has_read.set()
        await go_on.wait()
        return state

    monkeypatch.setattr(reader, "read", slowly)
    joining = await bob.post("room.join", {"room": world.project})
    await has_read.wait()
    for _ in range(8):
        await describe(alice, world, 1)
        [room] = [room for key, room in world.node.hub.rooms.items() if key.name == world.project]
        [waiting] = room.waiting.values()
        held = [*waiting.held.values(), *(packet for batch in room.early for packet in batch.packets)]
        assert sum(map(len, held)) < 65_536
    go_on.set()
    joined = await joining
    assert joined.success, joined
    missed = list(range(joined.data.seq + 1, joined.data.seq + 9))
    if alone:
        await caught_up(bob, world.project, missed[-1])
        assert bob.seqs(world.project) == missed
        return
    assert (await bob.hears("room.resync")).since_seq == joined.data.seq
    again = (await bob.send("room.join", room=world.project, since=position_of(joined.data))).data
    assert [event.seq for event in again.events] == missed

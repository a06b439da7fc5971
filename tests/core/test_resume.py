"""Coming back to a room with a position: what was missed, or a snapshot where that is too much or another history."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.core.doings import caught_up, describe, move_about, position_of
from tests.world import Board, Cluster, Person, World, fresh_world, second_node


async def test_up_to_date_means_current(alice: Person, bob: Person, board: Board) -> None:
    place = position_of(await bob.join(board.room))
    joined = await bob.join(board.room, since=place)
    assert (joined.mode, "snapshot" in joined, "events" in joined) == ("current", False, False)


async def test_a_few_missed_events_come_as_events(alice: Person, bob: Person, board: Board) -> None:
    place = position_of(await bob.join(board.room))
    await bob.send("room.leave", room=board.room)
    replies = await move_about(alice, board, 10)
    joined = await bob.join(board.room, since=place)
    assert joined.mode == "events"
    assert [event.seq for event in joined.events] == [reply.meta.seq for reply in replies]
    await alice.hears("task.moved", seq=replies[-1].meta.seq)
    live = [data for name, data in alice.journal if name == "task.moved"]
    assert joined.events == live, "what is replayed is what was live"
    after = await alice.send("task.move", task_id=board.second, column_id=board.doing)
    assert (await bob.hears("task.moved")).seq == after.meta.seq


async def test_too_many_missed_events_come_as_a_snapshot(worlds: Callable[..., Any]) -> None:
    world = await worlds(resume_limit=5)
    alice, bob = await world.person("alice").connect(), await world.person("bob").connect()
    place = position_of(await bob.join(world.project))
    await move_about(alice, Board.of(world), 5)
    assert (await bob.join(world.project, since=place)).mode == "events"
    await alice.send("task.move", task_id=world.tasks[1], column_id=world.columns["Done"])
    assert (await bob.join(world.project, since=place)).mode == "snapshot"


async def test_too_large_missed_events_come_as_a_snapshot(worlds: Callable[..., Any]) -> None:
    world = await worlds(resume_bytes=131_072)
    alice, bob = await world.person("alice").connect(), await world.person("bob").connect()
    place = position_of(await bob.join(world.project))
    last = await describe(alice, world, 3)
    joined = await bob.join(world.project, since=place)
    assert (joined.mode, joined.seq) == ("events", last)
    last = await describe(alice, world, 2)
    joined = await bob.join(world.project, since=place)
    assert (joined.mode, joined.seq) == ("snapshot", last)


async def test_a_page_of_the_log_is_bounded_in_bytes_and_has_one_event_at_least(
    worlds: Callable[..., Any],
) -> None:
    world = await worlds(resume_bytes=4096)
    alice = await world.person("alice").connect()
    since = (await alice.join(world.project)).seq
    last = await describe(alice, world, 3)
    for seq in range(since + 1, last + 1):
        page = await alice.send("room.events", room=world.project, since=seq - 1)
        assert [event.seq for event in page.data.events] == [seq]
        assert page.meta.pagination.next == (str(seq) if seq < last else None)


async def test_a_hole_of_large_events_is_filled_page_by_page(cluster: Cluster) -> None:
    """A node that hears nothing of another one reads what it missed."""
    async with (
        fresh_world(cluster) as world,
        second_node(world, cluster, sweep_interval=0.2, resume_bytes=4096) as (_, there),
    ):
        alice, bob = await world.person("alice").connect(), await world.person("bob", url=there).connect()
        since = (await bob.join(world.project)).seq
        last = await describe(alice, world, 5)
        await caught_up(bob, world.project, last)
        assert bob.seqs(world.project) == list(range(since + 1, last + 1))


async def test_too_old_a_position_gets_a_snapshot(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    place = position_of(await bob.join(board.room))
    await move_about(alice, board, 3)
    later = position_of(await bob.join(board.room))
    _, trimmed = await world.node.maintenance.once(datetime.now(UTC) + timedelta(days=365))
    assert trimmed > 0
    assert (await bob.join(board.room, since=place)).mode == "snapshot"
    assert (await bob.join(board.room, since=later)).mode == "current"
    await move_about(alice, board, 2)
    assert (await bob.join(board.room, since=later)).mode == "events"


@pytest.mark.parametrize(
    "since", [{"epoch": "01a1fbbc-4635-77dd-aaf3-e151e8b1e9f6", "seq": 1}, {"epoch": "never ours", "seq": 1}]
)
async def test_another_epoch_gets_a_snapshot(bob: Person, board: Board, since: dict[str, Any]) -> None:
    assert (await bob.join(board.room, since=since)).mode == "snapshot"


async def test_a_position_ahead_of_the_log_gets_a_snapshot(bob: Person, board: Board) -> None:
    place = position_of(await bob.join(board.room))
    joined = await bob.join(board.room, since={**place, "seq": place["seq"] + 1})
    assert (joined.mode, joined.seq) == ("snapshot", place["seq"])


async def test_a_new_epoch_makes_everybody_join_again(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    before = await bob.join(board.room)
    async with world.sql() as db:
        await db.execute("UPDATE rooms SET epoch = gen_random_uuid() WHERE id = $1", UUID(board.project))
    reply = await alice.send("task.move", task_id=board.first, column_id=board.doing)
    for person in (alice, bob):
        assert (await person.hears("room.resync")).room == board.room
        await person.hears_nothing("task.moved")
    joined = await bob.join(board.room, since=position_of(before))
    assert (joined.mode, joined.seq) == ("snapshot", reply.meta.seq)
    assert joined.epoch != before.epoch
    after = await alice.send("task.move", task_id=board.first, column_id=board.todo)
    assert (await bob.hears("task.moved")).seq == after.meta.seq

"""The critical path as it changes: told to those who watch it, and to nobody else."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from handlers.dispatch import Dispatcher
from handlers.errors import Unavailable
from tests.work.test_sprints import do
from tests.world import Board, Person, World, until


async def _chain(alice: Person, board: Board) -> None:
    """The third waits for the first, which takes longer than the second; the third for the second too."""
    for task, minutes in zip(board.tasks[:3], (120, 60, 30), strict=True):
        await do(alice, "task.update", task_id=task, changes={"estimate_minutes": minutes})
    for task in board.tasks[:2]:
        await do(alice, "dependency.add", task_id=board.third, depends_on_id=task)


async def test_bob_sees_the_path_change(alice: Person, bob: Person, carol: Person, board: Board) -> None:
    await _chain(alice, board)
    watched = await do(bob, "schedule.watch", room=board.room)
    assert watched.data.schedule == (await do(bob, "project.schedule", project_id=board.project)).data
    assert watched.data.schedule.critical_task_ids == [board.first, board.third]
    await do(carol, "schedule.watch", room=board.room)
    await do(alice, "task.update", task_id=board.second, changes={"estimate_minutes": 240})
    for person in (bob, carol):
        heard = await person.hears("schedule.changed", room=board.room)
        assert (heard.critical_task_ids, heard.critical_count) == ([board.second, board.third], 2)
    fresh = (await do(bob, "project.schedule", project_id=board.project)).data
    assert (heard.finishes_at, heard.starts_at) == (fresh.finishes_at, fresh.starts_at)
    await do(alice, "task.move", task_id=board.second, column_id=board.done)
    assert (await bob.hears("schedule.changed")).critical_task_ids == [board.first, board.third]
    assert "schedule.changed" not in [name for name, _ in alice.journal], "she does not watch it"


async def test_only_other_schedules_are_told(worlds: Callable[..., Any]) -> None:
    world: World = await worlds(schedule_interval=0.05)
    alice, bob, board = world.person("alice"), world.person("bob"), Board.of(world)
    await alice.join(board.room)
    await bob.join(board.room)
    await _chain(alice, board)
    await do(bob, "schedule.watch", room=board.room)
    await do(alice, "task.update", task_id=board.first, changes={"title": "Another name"})
    await do(alice, "comment.add", task_id=board.first, body="Nothing to do with it")
    await bob.hears_nothing("schedule.changed", within=0.5)
    await do(bob, "schedule.unwatch", room=board.room)
    await do(alice, "task.update", task_id=board.first, changes={"estimate_minutes": 5})
    await bob.hears_nothing("schedule.changed", within=0.5)
    await do(bob, "schedule.watch", room=board.room)
    await do(bob, "room.leave", room=board.room)
    await bob.join(board.room)
    await do(alice, "task.update", task_id=board.first, changes={"estimate_minutes": 500})
    await bob.hears_nothing("schedule.changed", within=0.5)
    assert not world.node.gateway.schedules._watches


async def test_many_changes_are_reckoned_a_few_times(
    worlds: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world: World = await worlds(schedule_interval=0.4)
    alice, bob, board = world.person("alice"), world.person("bob"), Board.of(world)
    await bob.join(board.room)
    await _chain(alice, board)
    reckoned: list[str] = []
    query = Dispatcher.query

    async def count(self: Dispatcher, spec: Any, *rest: Any) -> Any:
        reckoned.append(spec.name)
        return await query(self, spec, *rest)

    monkeypatch.setattr(Dispatcher, "query", count)
    await do(alice, "task.update", task_id=board.first, changes={"estimate_minutes": 600})
    assert reckoned == [], "nobody watches"
    await do(bob, "schedule.watch", room=board.room)
    sent = [
        await alice.post("task.update", {"task_id": board.first, "changes": {"estimate_minutes": 600 + at}})
        for at in range(40)
    ]
    await asyncio.gather(*sent)
    last = (await do(bob, "project.schedule", project_id=board.project)).data.finishes_at
    await until(
        lambda: last in [data.get("finishes_at") for name, data in bob.journal if name == "schedule.changed"]
    )
    assert reckoned.count("project.schedule") <= 8


async def test_whoever_may_not_see_it_does_not_watch_it(world: World, alice: Person, board: Board) -> None:
    gus, mallory = await world.person("gus").connect(), await world.person("mallory").connect()
    for person, room in (
        (gus, board.room),
        (mallory, board.room),
        (alice, world.tenant),
        (alice, "nonsense"),
    ):
        reply = await person.send("schedule.watch", room=room)
        assert reply.error.code == "NOT_FOUND", "one watches in a project's room that one has joined"
    await gus.join(board.room)
    await do(gus, "schedule.watch", room=board.room)
    await do(alice, "project.remove_member", project_id=board.project, user_id=world.user_ids["gus"])
    await gus.hears("room.closed")
    await do(alice, "task.update", task_id=board.first, changes={"estimate_minutes": 10})
    await gus.hears_nothing("schedule.changed", within=0.3)


async def test_on_another_node_too(pair: tuple[World, str]) -> None:
    world, url = pair
    board = Board.of(world)
    alice, bob = world.person("alice"), world.person("bob", url=url)
    await bob.join(board.room)
    await _chain(alice, board)
    await do(bob, "schedule.watch", room=board.room)
    await do(alice, "task.update", task_id=board.second, changes={"estimate_minutes": 240})
    assert (await bob.hears("schedule.changed")).critical_task_ids[0] == board.second


async def test_a_change_that_could_not_be_reckoned_at_once_is_told_later(
    worlds: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world: World = await worlds(schedule_interval=0.1)
    alice, bob, board = world.person("alice"), world.person("bob"), Board.of(world)
    await bob.join(board.room)
    await _chain(alice, board)
    await do(bob, "schedule.watch", room=board.room)
    query, failed = Dispatcher.query, 0

    async def away(self: Dispatcher, spec: Any, *rest: Any) -> Any:
        nonlocal failed
        if spec.name == "project.schedule" and failed < 2:
            failed += 1
            raise Unavailable
        return await query(self, spec, *rest)

    monkeypatch.setattr(Dispatcher, "query", away)
    await do(alice, "task.update", task_id=board.second, changes={"estimate_minutes": 240})
    heard = await bob.hears("schedule.changed", within=3)
    assert heard.critical_task_ids == [board.second, board.third]
    assert failed == 2


async def test_the_last_that_is_told_is_how_it_is(
    worlds: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long one reckoning takes, the next does not overtake it."""
    world: World = await worlds(schedule_interval=0.05)
    alice, bob, board = world.person("alice"), world.person("bob"), Board.of(world)
    await bob.join(board.room)
    await _chain(alice, board)
    await do(bob, "schedule.watch", room=board.room)
    query, begun, slow = Dispatcher.query, asyncio.Event(), [0.5]

    async def uneven(self: Dispatcher, spec: Any, *rest: Any) -> Any:
        answer = await query(self, spec, *rest)
        if spec.name == "project.schedule" and slow:
            begun.set()
            await asyncio.sleep(slow.pop())
        return answer

    monkeypatch.setattr(Dispatcher, "query", uneven)
    await do(alice, "task.update", task_id=board.second, changes={"estimate_minutes": 240})
    await begun.wait()
    await do(alice, "task.update", task_id=board.first, changes={"estimate_minutes": 600})
    await asyncio.sleep(0.8)
    told = [data.critical_task_ids for name, data in bob.journal if name == "schedule.changed"]
    assert told[-1] == [board.first, board.third]

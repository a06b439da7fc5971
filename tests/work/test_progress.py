"""How much of a project is done: reckoned a moment after its tasks change, told once, and up to what it is in."""

from collections.abc import Callable
from typing import Any

import pytest

from handlers.errors import Unavailable
from server.reckoner import Reckoner
from tests.contract.examples import NEW_ID, OTHER_ID
from tests.reducer import fold, store_of
from tests.world import Board, Cluster, Person, World, second_node


def _by_hand(world: World) -> Reckoner:
    """The node's own worker, that looks when it is told to."""
    reckoner = world.node.reckoner
    reckoner._delay = 3600  # it notes what changes, and no task of it runs
    return reckoner


async def _progress(person: Person, project_id: str) -> int:
    return int((await person.send("project.get", project_id=project_id)).data.project.progress)


async def test_moves_are_told_once_and_up_to_the_portfolio(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    reckoner = _by_hand(world)
    for name, project_id, kind, parent_id in (
        ("Houses", NEW_ID, "portfolio", None),
        ("Kitchens", OTHER_ID, "program", NEW_ID),
    ):
        made = {"name": name, "id": project_id, "type": kind, "parent_id": parent_id}
        assert (await alice.call("project.create", made)).success
    assert (await alice.send("project.create", name="Empty", parent_id=OTHER_ID)).success
    assert (await alice.send("project.update", project_id=board.project, parent_id=OTHER_ID)).success
    await reckoner.once()
    old = await alice.snapshot(world.tenant)
    await bob.join(board.room)
    for task in board.tasks[:2]:
        assert (await alice.send("task.move", task_id=task, column_id=board.done)).success
    assert await reckoner.once() == 1
    heard = await bob.hears("project.progressed", room=board.room)
    assert heard.data == {"project": {"id": board.project, "progress": 40}, "was": {"progress": 0}}
    assert heard.actor.id == alice.id
    assert [await _progress(alice, one) for one in (board.project, OTHER_ID, NEW_ID)] == [40, 20, 20]
    fresh = await alice.snapshot(world.tenant)
    told = await alice.rest("GET", f"/rooms/{world.tenant}/events", params={"since": old.seq})
    assert fold(store_of(old.snapshot), told.data.events) == store_of(fresh.snapshot)
    version = (await alice.send("project.get", project_id=board.project)).data.project.version
    assert version == 2, "nobody has changed it"
    await reckoner.once()
    assert await reckoner.once() == 0, "its own event changes nothing"
    assert (await alice.send("project.update", project_id=board.project, parent_id=None)).success
    assert [await _progress(alice, one) for one in (OTHER_ID, NEW_ID)] == [0, 0], "it took its part along"


async def test_it_comes_by_itself(worlds: Callable[..., Any]) -> None:
    world: World = await worlds(progress_delay=0.05)
    alice = await world.person("alice").connect()
    assert (await alice.send("task.move", task_id=world.tasks[0], column_id=world.columns["Done"])).success
    assert (await alice.hears("project.progressed", room=world.tenant)).data.project.progress == 20


async def test_a_node_that_ends_looks_once_more(
    world: World, cluster: Cluster, alice: Person, board: Board
) -> None:
    async with second_node(world, cluster, progress_delay=3600) as (_, url):
        there = await world.person("bob", url=url).connect()
        assert (await there.send("task.move", task_id=board.first, column_id=board.done)).success
        await there.disconnect()
    assert await _progress(alice, board.project) == 20


async def test_what_is_counted(world: World, alice: Person, board: Board) -> None:
    """Leaves alone, cancelled ones left out, by estimate where the project says so."""
    reckoner = _by_hand(world)
    first, second, third, fourth, fifth = board.tasks
    below = await alice.send("task.create", room=board.room, title="Below", parent_id=first)
    for task, changes in (
        (second, {"status_id": world.statuses["Completed"], "estimate_minutes": 300}),
        (third, {"status_id": world.statuses["Cancelled"], "estimate_minutes": 1000}),
        (fourth, {"estimate_minutes": 100}),
        (first, {"estimate_minutes": 9999}),
    ):
        assert (await alice.send("task.update", task_id=task, changes=changes)).success
    await reckoner.once()
    assert await _progress(alice, board.project) == 25, (
        "the second, of it, the fourth, the fifth and the one below"
    )
    assert (await alice.send("project.update", project_id=board.project, progress_by="estimate")).success
    await reckoner.once()
    assert await _progress(alice, board.project) == 75, "300 of 400 minutes"
    assert (await alice.send("task.delete", task_id=fourth)).success
    await reckoner.once()
    assert await _progress(alice, board.project) == 100
    assert (await alice.send("task.restore", task_id=fourth)).success
    assert (await alice.send("task.update", task_id=below.data.task.id, changes={"title": "x"})).success
    await reckoner.once()
    assert await _progress(alice, board.project) == 75
    for task in (second, fourth):
        assert (await alice.send("task.update", task_id=task, changes={"estimate_minutes": None})).success
    await reckoner.once()
    assert await _progress(alice, board.project) == 25, f"without estimates by number ({fifth} counts too)"


async def test_an_overview(world: World, alice: Person, bob: Person, carol: Person, board: Board) -> None:
    first, second, third, fourth, _ = board.tasks
    for task, changes in (
        (first, {"due_at": "2020-01-01T00:00:00Z", "assignee_ids": [alice.id]}),
        (second, {"status_id": world.statuses["Completed"], "due_at": "2020-01-01T00:00:00Z"}),
        (third, {"type": "milestone", "due_at": "2100-01-01T00:00:00Z"}),
        (fourth, {"type": "milestone", "due_at": "2050-01-01T00:00:00Z"}),
    ):
        assert (await alice.send("task.update", task_id=task, changes=changes)).success
    assert (await alice.send("budget.set", project_id=board.project, minutes=600)).success
    found = (await alice.send("project.overview", project_id=board.project)).data
    assert {count.category: count.tasks for count in found.categories} == {"done": 1, "todo": 4}
    assert (found.progress, found.open_tasks, found.overdue, found.unassigned) == (20, 4, 1, 3)
    assert [milestone.id for milestone in found.milestones] == [fourth, third]
    assert found.budget.minutes == 600
    for person in (bob, carol):
        assert (await person.send("project.overview", project_id=board.project)).data.budget is None
    program = {"name": "Houses", "id": NEW_ID, "type": "program"}
    assert (await alice.call("project.create", program)).success
    assert (await alice.send("project.update", project_id=board.project, parent_id=NEW_ID)).success
    held = (await alice.send("project.overview", project_id=NEW_ID)).data
    assert [(one.id, one.name) for one in held.projects] == [(board.project, "Kitchen")]


async def test_what_could_not_be_reckoned_is_tried_again(
    world: World, alice: Person, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    reckoner = _by_hand(world)
    monkeypatch.setattr("server.reckoner.FIRST_PAUSE", 0.0)
    assert (await alice.send("task.move", task_id=board.first, column_id=board.done)).success
    submit, tries = world.node.dispatcher.submit, list[Exception]([RuntimeError("x"), Unavailable("x")])

    async def fails_at_first(*given: Any, **more: Any) -> Any:
        if tries:
            raise tries.pop()
        return await submit(*given, **more)

    monkeypatch.setattr(world.node.dispatcher, "submit", fails_at_first)
    assert [await reckoner.once() for _ in range(3)] == [0, 0, 1]
    assert await _progress(alice, board.project) == 20


async def test_what_a_node_that_died_had_noted_is_found_again(
    world: World, alice: Person, board: Board
) -> None:
    reckoner = _by_hand(world)
    assert (await alice.send("task.move", task_id=board.first, column_id=board.done)).success
    reckoner._due.clear()
    assert await reckoner.once() == 0
    await reckoner.look_back()
    assert await reckoner.once() == 1
    assert await _progress(alice, board.project) == 20


async def test_overdue_means_the_same_everywhere(world: World, alice: Person, board: Board) -> None:
    past = {"due_at": "2020-01-01T00:00:00Z"}
    for task, status in zip(board.tasks[:3], ("In progress", "Completed", "Cancelled"), strict=True):
        changes = {**past, "status_id": world.statuses[status]}
        assert (await alice.send("task.update", task_id=task, changes=changes)).success
    asked = {"project_id": board.project}
    shown = (await alice.send("project.overview", **asked)).data.overdue
    listed = (await alice.send("task.list", **asked, overdue=True)).data.tasks
    wanted = {"field": "overdue", "op": "eq", "value": True}
    counted = (await alice.send("tasks.count", **asked, filter=wanted)).data.count
    assert shown == len(listed) == counted == 2

"""Watchers: who comes to watch a task by what she does, and who does not because she has said so."""

from typing import Any

from handlers.work.tasks import watchers
from tests.reducer import fold, store_of
from tests.world import Board, Person, World


async def _watching(person: Person, task_id: str) -> set[str]:
    return set((await person.send("task.get", task_id=task_id)).data.task.watcher_ids)


async def test_who_makes_a_task_or_is_given_it_watches(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    ids = world.user_ids
    made = await alice.send("task.create", room=board.room, title="New", assignee_ids=[ids["bob"]])
    assert set(made.data.task.watcher_ids) == {ids["alice"], ids["bob"]}
    task_id = made.data.task.id
    given = await alice.send("task.update", task_id=task_id, changes={"assignee_ids": [ids["carol"]]})
    assert set(given.data.task.watcher_ids) == {ids["alice"], ids["bob"], ids["carol"]}
    some = {"project_id": board.project, "task_ids": [task_id], "add_assignee_ids": [ids["gus"]]}
    assert (await bob.call("tasks.update", some)).data.done == 1
    assert await _watching(alice, task_id) == {ids[name] for name in ("alice", "bob", "carol", "gus")}


async def test_who_has_had_enough_is_left_alone(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    bob_id = world.user_ids["bob"]
    made = await alice.send("task.create", room=board.room, title="New", assignee_ids=[bob_id])
    task_id = made.data.task.id
    await bob.join(board.room)
    before = store_of((await bob.snapshot(board.room)).snapshot)
    gone = await bob.send("task.unwatch", task_id=task_id)
    assert gone.data.task == {"id": task_id, "watcher_ids": [world.user_ids["alice"]]}
    heard = await bob.hears("task.unwatched")
    assert fold(before, [heard]) == store_of((await bob.snapshot(board.room)).snapshot)
    for people in ([], [bob_id]):
        assert (await alice.send("task.update", task_id=task_id, changes={"assignee_ids": people})).success
    assert bob_id not in await _watching(alice, task_id)
    back = await bob.send("task.watch", task_id=task_id)
    assert bob_id in back.data.task.watcher_ids
    mine = {"field": "watchers", "op": "has_any", "value": ["me"]}
    found = await bob.send("tasks.find", project_id=board.project, filter=mine)
    assert [task.id for task in found.data.tasks] == [task_id]
    again = await bob.send("task.watch", task_id=task_id)
    assert again.data == back.data
    task = (await bob.send("task.get", task_id=task_id)).data.task
    assert task.version == 3, "watching is no change of the task"


async def test_others_watch_by_who_may_edit(
    world: World, alice: Person, bob: Person, gus: Person, board: Board
) -> None:
    ids = world.user_ids
    own = await gus.send("task.watch", task_id=board.first)
    assert ids["gus"] in own.data.task.watcher_ids
    refused = await gus.send("task.watch", task_id=board.first, user_id=ids["bob"])
    assert refused.error.details == {"permission": "task.edit"}
    assert (await gus.send("task.unwatch", task_id=board.first, user_id=ids["bob"])).error.code == "FORBIDDEN"
    assert (await bob.send("task.watch", task_id=board.first, user_id=ids["carol"])).success
    assert (await bob.send("task.unwatch", task_id=board.first, user_id=ids["gus"])).success
    assert await _watching(bob, board.first) == {ids["alice"], ids["carol"]}
    stranger = await bob.send("task.watch", task_id=board.first, user_id=ids["mallory"])
    assert list(stranger.error.field_errors) == ["user_id"]
    other = (await alice.send("project.create", name="Hidden")).data.project.id
    hidden = (await alice.send("task.create", room=f"project:{other}", title="Hidden")).data.task.id
    assert (await gus.send("task.watch", task_id=hidden)).error.code == "NOT_FOUND"
    unseen = await alice.send("task.watch", task_id=hidden, user_id=ids["gus"])
    assert list(unseen.error.field_errors) == ["user_id"]


async def test_so_many_and_no_more(
    world: World, alice: Person, bob: Person, gus: Person, board: Board, monkeypatch: Any
) -> None:
    ids = world.user_ids
    monkeypatch.setattr(watchers, "MOST", 2)
    assert (await bob.send("task.watch", task_id=board.first)).success
    assert (await gus.send("task.watch", task_id=board.first)).error.code == "CONFLICT"
    given = await alice.send("task.update", task_id=board.first, changes={"assignee_ids": [ids["gus"]]})
    assert given.success
    assert await _watching(alice, board.first) == {ids["alice"], ids["bob"]}
    assert (await bob.send("task.watch", task_id=board.first)).success

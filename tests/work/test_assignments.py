"""A person's own room hears what work she is given, wherever it happens."""

from tests.world import Board, Person, World


async def test_the_assignee_hears_it_in_her_own_room(
    world: World, alice: Person, carol: Person, board: Board
) -> None:
    await carol.send("room.leave", room=board.room)
    await alice.send("task.update", task_id=board.first, changes={"assignee_ids": [carol.id]})
    heard = await carol.hears("task.assigned")
    assert heard.room == f"user:{carol.id}"
    assert heard.data == {"assignment": {"id": board.first, "project_id": board.project}}
    assert heard.actor.name == "Alice"
    await alice.send("task.update", task_id=board.first, changes={"assignee_ids": []})
    assert (await carol.hears("task.unassigned")).data == {"assignment": {"id": board.first, "removed": True}}
    await carol.hears_nothing("task.updated")


async def test_only_the_change_is_told(alice: Person, bob: Person, carol: Person, board: Board) -> None:
    await alice.send("task.update", task_id=board.first, changes={"assignee_ids": [bob.id]})
    await bob.hears("task.assigned")
    await alice.send("task.update", task_id=board.first, changes={"assignee_ids": [bob.id, carol.id]})
    await carol.hears("task.assigned")
    await alice.send("task.update", task_id=board.first, changes={"title": "Another title"})
    await bob.hears_nothing("task.assigned")


async def test_nobody_else_hears_it(alice: Person, bob: Person, carol: Person, board: Board) -> None:
    await alice.send("task.update", task_id=board.first, changes={"assignee_ids": [bob.id]})
    await bob.hears("task.assigned")
    await carol.hears_nothing("task.assigned")
    await alice.hears_nothing("task.assigned")


async def test_the_trash_takes_the_assignment_and_gives_it_back(
    alice: Person, bob: Person, board: Board
) -> None:
    await alice.send("task.update", task_id=board.second, changes={"parent_id": board.first})
    await alice.send("task.update", task_id=board.second, changes={"assignee_ids": [bob.id]})
    await bob.hears("task.assigned")
    await alice.send("task.delete", task_id=board.first)
    assert (await bob.hears("task.unassigned")).data.assignment.id == board.second
    await alice.send("task.restore", task_id=board.first)
    assert (await bob.hears("task.assigned")).data.assignment.id == board.second


async def test_my_tasks_are_in_my_rooms_snapshot(alice: Person, bob: Person, board: Board) -> None:
    for task_id in (board.first, board.second):
        await alice.send("task.update", task_id=task_id, changes={"assignee_ids": [bob.id]})
    await alice.send("task.delete", task_id=board.second)
    snapshot = (await bob.snapshot(f"user:{bob.id}")).snapshot
    assert snapshot.assignments == [{"id": board.first, "project_id": board.project}]


async def test_numbers_of_the_own_room_have_no_hole(alice: Person, bob: Person, board: Board) -> None:
    room = f"user:{bob.id}"
    start = (await bob.snapshot(room)).seq
    for turn in range(10):
        people = [bob.id] if turn % 2 == 0 else []
        await alice.send("task.update", task_id=board.first, changes={"assignee_ids": people})
    await bob.hears("task.unassigned", seq=start + 10)
    assert bob.seqs(room) == list(range(start + 1, start + 11))

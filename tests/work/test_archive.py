"""The archive: off the board, findable, whole families, and back."""

from tests.world import Board, Person, World


async def test_an_archived_task_leaves_the_board_and_is_found(
    alice: Person, bob: Person, board: Board, world: World
) -> None:
    task = board.first
    below = (await alice.send("task.create", room=board.room, title="Part", parent_id=task)).data.task.id
    await alice.send("task.update", task_id=below, changes={"assignee_ids": [world.user_ids["bob"]]})
    edge = await alice.send("dependency.add", task_id=board.tasks[1], depends_on_id=task)
    gone = await alice.send("task.archive", task_id=task)
    heard = await bob.hears("task.archived", seq=gone.meta.seq)
    assert heard.data.task == {"id": task, "removed": True}
    assert heard.data.tasks == [{"id": below, "removed": True}]
    assert heard.data.dependencies == [{"id": edge.data.dependency.id, "removed": True}]
    assert (await bob.hears("task.unassigned")).data.assignment.id == below
    snapshot = (await bob.snapshot(board.room)).snapshot
    assert not {task, below} & {shown.id for shown in snapshot.tasks}
    listed = await bob.send("task.list", project_id=board.project)
    assert not {task, below} & {shown.id for shown in listed.data.tasks}
    kept = await bob.send("task.list", project_id=board.project, archived=True)
    assert [shown.id for shown in kept.data.tasks] == [task, below]
    assert kept.data.tasks[0].archived_at is not None
    assert (await bob.send("task.get", task_id=task)).data.task.archived_at is not None


async def test_what_is_archived_is_not_changed(alice: Person, board: Board, world: World) -> None:
    task, other = board.tasks[:2]
    await alice.send("task.archive", task_id=task)
    for name, payload in (
        ("task.update", {"task_id": task, "changes": {"title": "Other"}}),
        ("task.update", {"task_id": other, "changes": {"parent_id": task}}),
        ("task.archive", {"task_id": task}),
    ):
        refused = await alice.call(name, payload)
        assert (refused.error.code, refused.error.details) == ("CONFLICT", {"task_id": task}), name
    for name, payload in (
        ("task.move", {"task_id": task, "column_id": board.doing}),
        ("task.create", {"room": board.room, "title": "Part", "parent_id": task}),
        ("comment.add", {"task_id": task, "body": "Still there?"}),
        ("dependency.add", {"task_id": task, "depends_on_id": other}),
        ("task.unarchive", {"task_id": other}),
    ):
        refused = await alice.call(name, payload)
        assert refused.error.code == "NOT_FOUND", name
    assert (await alice.send("comment.list", task_id=task)).success
    assert (await alice.send("task.delete", task_id=task)).success


async def test_it_comes_back_with_what_went_along(
    alice: Person, bob: Person, board: Board, world: World
) -> None:
    task = board.first
    parts = [
        (await alice.send("task.create", room=board.room, title=title, parent_id=task)).data.task.id
        for title in ("Early", "Late")
    ]
    await alice.send("task.archive", task_id=parts[0])
    await alice.send("task.archive", task_id=task)
    refused = await alice.send("task.unarchive", task_id=parts[1])
    assert (refused.error.code, refused.error.details) == ("CONFLICT", {"task_id": task})
    back = await alice.send("task.unarchive", task_id=task)
    assert [shown.id for shown in back.data.tasks] == [parts[1]]
    assert (back.data.task.archived_at, back.data.task.subtask_total) == (None, 2)
    heard = await bob.hears("task.unarchived")
    assert heard.data == back.data
    assert (await alice.send("task.unarchive", task_id=parts[0])).success


async def test_archived_cards_take_no_room_in_a_column(alice: Person, board: Board) -> None:
    await alice.send("task.move", task_id=board.tasks[0], column_id=board.doing)
    await alice.send("column.set_limit", column_id=board.doing, limit=1)
    assert (
        await alice.send("task.move", task_id=board.tasks[1], column_id=board.doing)
    ).error.code == "CONFLICT"
    many = await alice.send("tasks.archive", project_id=board.project, task_ids=[board.tasks[0]])
    assert many.data.done == 1
    assert (await alice.send("task.move", task_id=board.tasks[1], column_id=board.doing)).success
    full = await alice.send("task.unarchive", task_id=board.tasks[0])
    assert (full.error.code, full.error.details.held) == ("CONFLICT", 1)

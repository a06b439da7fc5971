"""Boards and columns."""

from tests.world import Board, Person, World


async def _columns(person: Person, board: Board) -> list[str]:
    columns = (await person.snapshot(board.room)).snapshot.columns
    return [column.name for column in sorted(columns, key=lambda column: (column.position, column.id))]


async def test_a_new_board_is_empty_and_comes_last(alice: Person, bob: Person, board: Board) -> None:
    made = (await alice.send("board.create", room=board.room, name="Timeline")).data.board
    assert (await bob.hears("board.created")).data.board == made
    boards = (await alice.snapshot(board.room)).snapshot.boards
    assert [b.name for b in sorted(boards, key=lambda b: b.position)] == ["Board", "Timeline"]


async def test_a_new_column_comes_last_and_shows_work_in_progress(
    alice: Person, bob: Person, world: World, board: Board
) -> None:
    made = (await alice.send("column.create", board_id=board.id, name="Waiting")).data.column
    assert (await bob.hears("column.created")).data.column == made
    assert made.status_ids == [world.statuses["In progress"]]
    assert await _columns(alice, board) == ["To do", "In progress", "On hold", "Done", "Waiting"]


async def test_columns_change_places(alice: Person, bob: Person, board: Board) -> None:
    await alice.send("column.move", column_id=board.done, before_id=board.todo)
    assert await _columns(alice, board) == ["Done", "To do", "In progress", "On hold"]
    heard = await bob.hears("column.updated")
    assert list(heard.data.was) == ["position"]
    await alice.send("column.move", column_id=board.done)
    assert await _columns(alice, board) == ["To do", "In progress", "On hold", "Done"]
    nowhere = await alice.send("column.move", column_id=board.done, before_id=board.first)
    assert nowhere.error.code == "NOT_FOUND"
    itself = await alice.send("column.move", column_id=board.done, before_id=board.done)
    assert itself.error.code == "VALIDATION_ERROR"


async def test_a_column_goes_only_when_it_is_empty(alice: Person, bob: Person, board: Board) -> None:
    reply = await alice.send("column.delete", column_id=board.todo)
    assert (reply.error.code, reply.error.details) == ("CONFLICT", {"held": 5})
    assert (await alice.send("column.delete", column_id=board.hold)).success
    assert (await bob.hears("column.deleted")).data == {"column": {"id": board.hold, "removed": True}}
    assert await _columns(alice, board) == ["To do", "In progress", "Done"]
    gone = await alice.send("column.update", column_id=board.hold, name="Back")
    assert gone.error.code == "NOT_FOUND"


async def test_a_task_restored_from_a_gone_column_finds_another(
    alice: Person, world: World, board: Board
) -> None:
    await alice.send("task.move", task_id=board.first, column_id=board.hold)
    await alice.send("task.delete", task_id=board.first)
    assert (await alice.send("column.delete", column_id=board.hold)).success
    await alice.send(
        "column.update",
        column_id=board.doing,
        status_ids=[world.statuses["In progress"], world.statuses["On hold"]],
    )
    restored = await alice.send("task.restore", task_id=board.first)
    assert restored.data.task.column_id == board.doing


async def test_a_limit_is_set_and_lifted(alice: Person, bob: Person, board: Board) -> None:
    await alice.send("column.set_limit", column_id=board.todo, limit=3)
    heard = await bob.hears("column.updated")
    assert (heard.data.column.wip_limit, heard.data.was) == (3, {"wip_limit": None})
    assert len((await alice.snapshot(board.room)).snapshot.tasks) == 5, "what is there may stay"
    await alice.send("column.set_limit", column_id=board.todo, limit=None)
    assert (await bob.hears("column.updated")).data.column.wip_limit is None
    for limit in (0, -1, 10_001):
        reply = await alice.send("column.set_limit", column_id=board.todo, limit=limit)
        assert reply.error.code == "VALIDATION_ERROR"


async def test_statuses_must_be_of_the_project(alice: Person, board: Board) -> None:
    for status_ids, code in (([board.first], "NOT_FOUND"), ([], "VALIDATION_ERROR")):
        reply = await alice.send("column.update", column_id=board.todo, status_ids=status_ids)
        assert reply.error.code == code


async def test_boards_change_places_and_new_tasks_go_to_the_first(
    alice: Person, bob: Person, board: Board
) -> None:
    made = await alice.send("board.create", room=board.room, name="Night shift", like_id=board.id)
    assert [column.name for column in made.data.columns] == ["To do", "In progress", "On hold", "Done"]
    other = made.data.board.id
    assert (await alice.send("board.move", board_id=other, before_id=board.id)).success
    heard = await bob.hears("board.updated")
    assert heard.data.board.position < heard.data.was.position
    task = (await bob.send("task.create", room=board.room, title="x")).data.task
    assert task.column_id == made.data.columns[0].id
    below = await bob.send("task.create", room=board.room, title="y", parent_id=board.first)
    assert below.data.task.column_id == board.todo, "a subtask begins on the board of its parent"
    done = made.data.columns[3]
    moved = await bob.send("task.update", task_id=task.id, changes={"status_id": done.status_ids[0]})
    assert moved.data.task.column_id == done.id, "a status takes a task along its own board"
    many = await bob.send(
        "tasks.update",
        project_id=board.project,
        task_ids=[board.first, task.id],
        changes={"status_id": made.data.columns[2].status_ids[0]},
    )
    assert many.data.done == 2
    tasks = {task.id: task.column_id for task in (await bob.snapshot(board.room)).snapshot.tasks}
    assert (tasks[board.first], tasks[task.id]) == (board.hold, made.data.columns[2].id)


async def test_a_board_goes_when_its_tasks_have_a_place(alice: Person, bob: Person, board: Board) -> None:
    last = await alice.send("board.delete", board_id=board.id)
    assert (last.error.code, last.error.message) == ("CONFLICT", "A project keeps one board")
    made = await alice.send("board.create", room=board.room, name="Night shift", like_id=board.id)
    columns = made.data.columns
    assert (await alice.send("task.move", task_id=board.third, column_id=board.doing)).success
    held = await alice.send("board.delete", board_id=board.id)
    assert (held.error.code, held.error.details) == ("CONFLICT", {"held": 5})
    assert (await alice.send("column.set_limit", column_id=columns[0].id, limit=3)).success
    full = await alice.send("board.delete", board_id=board.id, move_to=made.data.board.id)
    assert full.error.details.rule == "wip_limit"
    warn = await alice.send("column.set_limit", column_id=columns[0].id, limit=3, mode="warn")
    assert warn.data.was == {"limit_mode": "hard"}
    bob.forget()
    gone = await alice.send("board.delete", board_id=board.id, move_to=made.data.board.id)
    assert gone.data.board == {"id": board.id, "removed": True}
    assert {column.id for column in gone.data.columns} == {board.todo, board.doing, board.hold, board.done}
    told = await bob.hears("tasks.updated")
    assert told.data.over_limits == [{"id": columns[0].id, "wip_limit": 3, "held": 4}]
    snapshot = (await alice.snapshot(board.room)).snapshot
    places = sorted((task.column_id, task.position, task.title) for task in snapshot.tasks)
    assert [place[0] for place in places] == [columns[0].id] * 4 + [columns[1].id]
    assert [place[2] for place in places[:2]] == ["Measure the walls", "Choose the tiles"]
    assert [found.id for found in snapshot.boards] == [made.data.board.id]
    assert (await alice.send("board.update", board_id=board.id, name="x")).error.code == "NOT_FOUND"
    assert (await alice.send("column.update", column_id=board.todo, name="x")).error.code == "NOT_FOUND"


async def test_what_went_to_the_trash_before_its_board_comes_back(alice: Person, board: Board) -> None:
    made = await alice.send("board.create", room=board.room, name="Night shift", like_id=board.id)
    await alice.send("task.delete", task_id=board.first)
    assert (await alice.send("board.delete", board_id=board.id, move_to=made.data.board.id)).success
    restored = await alice.send("task.restore", task_id=board.first)
    assert restored.data.task.column_id == made.data.columns[0].id


async def test_a_limit_that_warns_lets_in_and_says_so(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    await alice.send("column.set_limit", column_id=board.doing, limit=1, mode="warn")
    within = await bob.send("task.move", task_id=board.first, column_id=board.doing)
    assert "over_limit" not in within.data
    over = {"id": board.doing, "wip_limit": 1, "held": 2}
    moved = await bob.send("task.move", task_id=board.second, column_id=board.doing)
    assert moved.data.over_limit == over
    assert (await alice.hears("task.moved", seq=moved.meta.seq)).data.over_limit == over
    again = await bob.send("task.move", task_id=board.second, column_id=board.doing, before_id=board.first)
    assert "over_limit" not in again.data, "who is in may move about"
    born = await bob.send("task.create", room=board.room, title="x", column_id=board.doing)
    assert born.data.over_limit == {**over, "held": 3}
    doing = {"status_id": world.statuses["In progress"]}
    updated = await bob.send("task.update", task_id=board.third, changes=doing)
    assert updated.data.over_limit == {**over, "held": 4}
    many = await bob.send(
        "tasks.update", project_id=board.project, task_ids=board.tasks, column_id=board.doing
    )
    assert (many.data.done, many.data.over_limits) == (5, [{**over, "held": 6}])


async def test_a_column_keeps_the_statuses_of_its_tasks(alice: Person, world: World, board: Board) -> None:
    other = {"column_id": board.todo, "status_ids": [world.statuses["On hold"]]}
    reply = await alice.call("column.update", other)
    assert (reply.error.code, reply.error.details) == ("CONFLICT", {"held": 5})
    coloured = await alice.send("column.update", column_id=board.todo, colour="#FC0")
    assert (coloured.data.column.colour, coloured.data.was) == ("#ffcc00", {"colour": None})
    assert (await alice.send("column.update", column_id=board.todo, colour=None)).data.column.colour is None


async def test_lanes_are_a_setting_of_the_board(alice: Person, bob: Person, board: Board) -> None:
    unknown = await alice.send("board.update", board_id=board.id, swimlanes="field:size")
    assert list(unknown.error.field_errors) == ["swimlanes"]
    field = {"key": "size", "name": "Size", "type": "select", "options": ["S", "M"]}
    assert (await alice.call("field.create", {"project_id": board.project, **field})).success
    for lanes in ("assignee", "label", "field:size", "none"):
        reply = await alice.send("board.update", board_id=board.id, swimlanes=lanes)
        assert reply.data.board.swimlanes == lanes
    assert (await bob.hears("board.updated")).data.was == {"swimlanes": "none"}
    wrong = await alice.send("board.update", board_id=board.id, swimlanes="mood")
    assert list(wrong.error.field_errors) == ["swimlanes"]

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

"""Tasks."""

from tests.world import Board, Person


async def test_moving_a_task_tells_the_room(alice: Person, bob: Person, board: Board) -> None:
    reply = await alice.send("task.move", task_id=board.first, column_id=board.doing)
    heard = await bob.hears("task.moved")
    assert heard.seq == reply.meta.seq
    assert heard.data.task.column_id == board.doing

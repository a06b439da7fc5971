"""What tests of rooms have people do in them."""

import asyncio
from typing import Any
from uuid import uuid4

from tests.world import Board, Person, World, until


async def move_about(person: Person, board: Board, count: int) -> list[Any]:
    """Many moves, sent without waiting."""
    sent = [
        await person.post(
            "task.move", {"task_id": board.first, "column_id": (board.todo, board.doing)[n % 2]}
        )
        for n in range(count)
    ]
    replies = await asyncio.gather(*sent)
    assert all(reply.success for reply in replies)
    return replies


async def describe(person: Person, world: World, count: int) -> int:
    """Events of 20,000 bytes, and as many for what was there before; the number of the last one."""
    for _ in range(count):
        changes = {"description": f"{uuid4()} " * 540}
        reply = await person.send("task.update", task_id=world.tasks[0], changes=changes)
    seq: int = reply.meta.seq
    return seq


async def caught_up(person: Person, room: str, last: int) -> None:
    await until(lambda: person.seqs(room)[-1:] == [last], within=10)


def position_of(joined: Any) -> dict[str, Any]:
    return {"epoch": joined.epoch, "seq": joined.seq}

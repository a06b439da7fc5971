"""A member is removed while 200 events per second flow through the room, on two nodes."""

import asyncio
import time
from typing import Any, Final

import pytest

from tests.world import Person, World

RATE: Final = 200
"""Moves per second."""
BEFORE, AFTER = 1.0, 1.0
"""How long they flow before and after the removal (seconds)."""


async def _flow(sender: Person, world: World, over: asyncio.Event) -> list["asyncio.Future[Any]"]:
    """Move cards at the given rate, without waiting for the answers."""
    columns = list(world.columns.values())
    answers: list[asyncio.Future[Any]] = []
    started = time.perf_counter()
    while not over.is_set():
        due = int((time.perf_counter() - started) * RATE)
        while len(answers) < due:
            at = len(answers)
            move = {"task_id": world.tasks[at % 5], "column_id": columns[(at // 5) % 2]}
            answers.append(await sender.post("task.move", move))
        await asyncio.sleep(0.002)
    return answers


@pytest.mark.parametrize("there", [False, True], ids=["same node", "other node"])
async def test_nothing_after_the_removal_reaches_him(pair: tuple[World, str], there: bool) -> None:
    world, other = pair
    alice, admin = await world.person("alice").connect(), await world.person("admin").connect()
    carol = await world.person("carol", url=other).connect()
    bob = await world.person("bob", url=other if there else None).connect()
    for person in (alice, carol, bob):
        await person.join(world.project)
    over = asyncio.Event()
    flowing = asyncio.create_task(_flow(alice, world, over))
    await asyncio.sleep(BEFORE)

    asked = time.perf_counter()
    removed = await admin.send("member.remove", user_id=bob.id)
    acknowledged = time.perf_counter() - asked
    assert removed.success, removed
    refused = await bob.rest("POST", f"/projects/{world.project_id}/tasks", json={"title": "Too late"})
    assert refused.status == 401
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    closed = time.perf_counter() - asked

    await asyncio.sleep(AFTER)
    over.set()
    answers = await asyncio.gather(*await flowing)
    assert all(answer.success for answer in answers)
    assert len(answers) > RATE * (BEFORE + AFTER) / 2, "they did flow"
    # The log says what was committed before the removal: its own event in the project's room carries the number.
    async with world.sql() as db:
        last = await db.fetchval(
            "SELECT seq FROM room_events WHERE room_id = $1::uuid AND name = 'project.member_removed'",
            world.project_id,
        )
        head = await db.fetchval("SELECT head_seq FROM rooms WHERE id = $1::uuid", world.project_id)
    assert last is not None
    assert head > last + RATE * AFTER / 2, "many came after it"
    heard = bob.seqs(world.project)
    assert heard == list(range(heard[0], heard[-1] + 1)), "no hole"
    assert heard[-1] <= last, "nothing numbered after the removal reached him"
    assert carol.seqs(world.project)[-1] >= last
    await asyncio.sleep(0.3)
    assert carol.seqs(world.project)[-1] == head, "everybody else heard all of it"
    print(
        f"removed under {len(answers) / (BEFORE + AFTER + closed):.0f} events/s: acknowledged after "
        f"{1000 * acknowledged:.1f} ms, socket closed after {1000 * closed:.1f} ms, "
        f"his last event {last - heard[-1]} before the removal's own number, {head - last} came after it"
    )

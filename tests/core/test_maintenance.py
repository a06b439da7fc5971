"""Retention: what is older than the settings say goes, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from tests.world import Board, Person, World


async def _age(world: World, table: str, **since: float) -> None:
    async with world.sql() as db:
        await db.execute(f"UPDATE {table} SET at = at - $1::interval", timedelta(**since))


async def _count(world: World, table: str) -> int:
    async with world.sql() as db:
        count: int = await db.fetchval(f"SELECT count(*) FROM {table}")
    return count


async def test_nothing_young_goes(world: World) -> None:
    before = [await _count(world, table) for table in ("room_events", "applied_commands")]
    assert await world.node.maintenance.once() == (0, 0)
    assert [await _count(world, table) for table in ("room_events", "applied_commands")] == before


async def test_replies_go_after_their_hours(world: World, alice: Person, board: Board) -> None:
    command_id = str(uuid4())
    move = {"task_id": board.first, "column_id": board.doing, "command_id": command_id}
    await alice.call("task.move", move)
    await _age(world, "applied_commands", hours=world.node.settings.command_retention - 1)
    assert (await world.node.maintenance.once())[0] == 0
    assert (await alice.call("task.move", move)).meta.duplicate
    await _age(world, "applied_commands", hours=2)
    count = await _count(world, "applied_commands")
    assert await world.node.maintenance.once() == (count, 0)
    assert not (await alice.call("task.move", move)).meta.duplicate


async def test_events_go_after_their_days_and_the_floor_rises(
    world: World, alice: Person, board: Board
) -> None:
    before = await alice.snapshot(board.room)
    await _age(world, "room_events", days=world.node.settings.log_retention, hours=1)
    reply = await alice.send("task.move", task_id=board.first, column_id=board.doing)
    old = await _count(world, "room_events") - 1
    assert await world.node.maintenance.once() == (0, old)
    assert await world.node.maintenance.once() == (0, 0)
    async with world.sql() as db:
        floor = await db.fetchval("SELECT floor_seq FROM rooms WHERE id = $1", UUID(board.project))
    assert floor == before.seq
    refused = await alice.send("room.events", room=board.room, since=floor - 1)
    assert list(refused.error.field_errors) == ["since"]
    kept = await alice.send("room.events", room=board.room, since=floor)
    assert [event.seq for event in kept.data.events] == [reply.meta.seq]
    after = await alice.snapshot(board.room)
    assert after.seq == reply.meta.seq
    assert len(after.snapshot.tasks) == len(before.snapshot.tasks)


async def test_every_tenant_is_kept_tidy(world: World) -> None:
    async with world.sql() as db:
        tenants = await db.fetchval("SELECT count(DISTINCT tenant_id) FROM room_events")
    assert tenants == 2
    everything = await _count(world, "room_events")
    removed: Any = await world.node.maintenance.once(datetime.now(UTC) + timedelta(days=365))
    assert removed[1] == everything
    assert await _count(world, "room_events") == 0

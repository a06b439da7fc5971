"""Retention: what is older than the settings say goes, and nothing else."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

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


async def test_it_locks_rooms_in_the_order_of_everybody_else(world: World, board: Board) -> None:
    """A command that has its project's room, and goes on to that of a person, is in nobody's way."""
    async with world.sql() as db, db.transaction():
        await db.execute("SELECT FROM rooms WHERE id = $1 FOR NO KEY UPDATE", UUID(board.project))
        trimming = asyncio.create_task(world.node.maintenance.once(datetime.now(UTC) + timedelta(days=365)))
        await asyncio.sleep(0.3)
        await db.execute("SELECT FROM rooms WHERE kind = 'user' ORDER BY id FOR UPDATE")
    await trimming


async def test_every_tenant_is_kept_tidy(world: World) -> None:
    async with world.sql() as db:
        tenants = await db.fetchval("SELECT count(DISTINCT tenant_id) FROM room_events")
    assert tenants == 2
    everything = await _count(world, "room_events")
    removed: Any = await world.node.maintenance.once(datetime.now(UTC) + timedelta(days=365))
    assert removed[1] == everything
    assert await _count(world, "room_events") == 0


async def test_what_cannot_be_done_keeps_nothing_else(worlds: Any) -> None:
    world = await worlds(command_timeout=3)
    alice = await world.person("alice").connect()
    for name in ("project.delete", "project.purge"):
        assert (await alice.send(name, project_id=world.project_id)).success
    async with world.sql() as db, db.transaction():
        await db.execute("LOCK TABLE refresh_tokens")
        await world.node.maintenance._round()
        assert not await db.fetchval(
            "SELECT EXISTS (SELECT FROM projects WHERE id = $1)", UUID(world.project_id)
        )


async def test_ended_sessions_are_forgotten_after_their_days(world: World) -> None:
    kept, ended, expired = [await world.person("bob").sign_in() for _ in range(3)]
    headers = {"Authorization": f"Bearer {ended.access_token}"}
    await world.request("POST", "/auth/logout", headers=headers)
    before = await _count(world, "sessions"), await _count(world, "refresh_tokens")
    assert await world.node.maintenance.sessions() == 0
    days = world.node.settings.session_retention
    async with world.sql() as db:
        await db.execute(
            "UPDATE sessions SET revoked_at = now() - make_interval(days => $1, hours => 1) "
            "WHERE revoked_at IS NOT NULL",
            days,
        )
        of_expired = await db.fetchval(
            "SELECT session_id FROM refresh_tokens WHERE token_hash = sha256($1)",
            expired.refresh_token.encode(),
        )
        await db.execute(
            "UPDATE sessions SET expires_at = now() - make_interval(days => $1, hours => 1) WHERE id = $2",
            days,
            of_expired,
        )
    assert await world.node.maintenance.sessions() == 2
    assert await world.node.maintenance.sessions() == 0
    # The refresh tokens went with their sessions.
    assert (await _count(world, "sessions"), await _count(world, "refresh_tokens")) == (
        before[0] - 2,
        before[1] - 2,
    )
    body = {"refresh_token": kept.refresh_token}
    assert (await world.request("POST", "/auth/refresh", json=body)).success


async def test_expired_refresh_tokens_of_a_living_session_go_too(world: World) -> None:
    tokens = await world.person("bob").sign_in()
    body = {"refresh_token": tokens.refresh_token}
    renewed = (await world.request("POST", "/auth/refresh", json=body)).data
    async with world.sql() as db:
        await db.execute(
            "UPDATE refresh_tokens SET expires_at = now() - make_interval(days => $1, hours => 1) "
            "WHERE token_hash = sha256($2)",
            world.node.settings.session_retention,
            tokens.refresh_token.encode(),
        )
    assert await world.node.maintenance.sessions() == 1
    # What is left still works, and what was used before still is no use.
    assert (await world.request("POST", "/auth/refresh", json=body)).status == 401
    body = {"refresh_token": renewed.refresh_token}
    assert (await world.request("POST", "/auth/refresh", json=body)).success


async def test_a_round_that_fails_does_not_keep_the_daily_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    maintenance, looked = world.node.maintenance, asyncio.Event()

    async def broken() -> tuple[int, int]:
        raise ConnectionError("away")

    async def look() -> int:
        looked.set()
        return 0

    await maintenance.stop()
    monkeypatch.setattr("server.maintenance.INTERVAL", 0.01)
    monkeypatch.setattr(maintenance, "once", broken)
    monkeypatch.setattr(maintenance.sweeper, "blobs", look)
    maintenance.start()
    await asyncio.wait_for(looked.wait(), 20)

"""Alarms: a command that the server itself sends, once, when its moment has come."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from handlers.alarms import Alarm, clear_alarms, clear_alarms_under, set_alarms
from handlers.context import Principal, Tx
from handlers.errors import Conflict, Unavailable
from handlers.registry import INTERNAL, Outcome, Payload, Reply, Spec
from handlers.work.boards.boards import BoardUpdated, UpdateBoard, update_board
from server.alarm_clock import LEASE
from storage.ids import new_id
from storage.rooms import RoomKey
from tests.world import Person, World

BY_HAND = {"alarm_poll": 3600.0}
"""The clock of the node sleeps, and the test does its work."""
PAST = datetime(2026, 1, 1, tzinfo=UTC)


class Ring(Payload):
    board_id: UUID
    name: str


class Nothing(Payload):
    pass


async def _ring(tx: Tx, payload: Ring) -> BoardUpdated:
    if payload.name == "refused":
        raise Conflict("Not now")
    if payload.name == "unavailable":
        raise Unavailable
    if payload.name == "broken":
        raise RuntimeError("nobody has foreseen this")
    return await update_board(tx, UpdateBoard(board_id=payload.board_id, name=payload.name))


@pytest.fixture(autouse=True)
def bell() -> Iterator[None]:
    """An internal command that gives a board another name."""
    INTERNAL["test.ring"] = Spec("command", "test.ring", Ring, BoardUpdated, _ring, "", room="project")
    yield
    del INTERNAL["test.ring"]


@pytest.fixture
async def quiet(worlds: Callable[..., Any]) -> World:
    """Its alarms go off by hand alone: not even the look at the start may come in between."""
    world: World = await worlds(**BY_HAND)
    await world.node.alarms.stop()
    return world


async def _joined(world: World) -> Person:
    bob = await world.person("bob").connect()
    await bob.join(world.project)
    return bob


async def _do(world: World, act: Callable[[Tx], Awaitable[None]]) -> None:
    """Run a command of the project's room that does just this."""

    async def handler(tx: Tx, _: Nothing) -> Outcome:
        await act(tx)
        return Outcome([], Reply())

    tenant_id = UUID(world.tenant_id)
    principal = Principal(
        user_id=UUID(world.user_ids["alice"]), name="Alice", email="", tenant_id=tenant_id, tenant_name="Acme",
        tenant_slug="acme", role="owner", session_id=new_id(), expires_at=float("inf"),
    )  # fmt: skip
    spec = Spec("command", "test.do", Nothing, Outcome, handler, "", room="project")
    room = RoomKey(tenant_id, "project", UUID(world.project_id))
    await world.node.dispatcher.submit(spec, Nothing(), principal, room)


def _alarm(world: World, name: str, at: datetime = PAST, key: str = "test:1") -> Alarm:
    return Alarm(key, at, "test.ring", Ring(board_id=UUID(world.board_id), name=name))


async def _set(world: World, *alarms: Alarm) -> None:
    await _do(world, lambda tx: set_alarms(tx, alarms))


async def _left(world: World) -> list[str]:
    async with world.sql() as db:
        return [row["key"] for row in await db.fetch("SELECT key FROM alarms ORDER BY key")]


async def test_an_alarm_is_heard_once_when_its_moment_has_come(quiet: World) -> None:
    bob = await _joined(quiet)
    later = datetime.now(UTC) + timedelta(hours=1)
    await _set(quiet, _alarm(quiet, "Now"), _alarm(quiet, "Later", later, "test:2"))
    assert await quiet.node.alarms.once() == 1
    heard = await bob.hears("board.updated")
    assert (heard.data.board.name, heard.actor.id) == ("Now", quiet.user_ids["alice"])
    assert await _left(quiet) == ["test:2"]
    assert await quiet.node.alarms.once() == 0


async def test_by_itself_and_soon(worlds: Callable[..., Any]) -> None:
    world: World = await worlds(alarm_poll=0.05)
    bob = await _joined(world)
    await _set(world, _alarm(world, "Soon", datetime.now(UTC) + timedelta(seconds=0.3)))
    assert (await bob.hears("board.updated")).data.board.name == "Soon"


async def test_two_nodes_that_take_the_same_apply_it_once(quiet: World) -> None:
    bob = await _joined(quiet)
    await _set(quiet, _alarm(quiet, "Once"))
    clock = quiet.node.alarms
    async with quiet.node.db.transaction(None) as session:
        [row] = await session.many("lease_alarms", lease=LEASE, most=10)
    await asyncio.gather(clock._send(row), clock._send(row))
    await clock._send(row)
    await bob.hears("board.updated")
    await bob.hears_nothing("board.updated")


async def test_one_under_the_same_key_takes_its_place_and_those_taken_back_are_silent(quiet: World) -> None:
    bob = await _joined(quiet)
    await _set(quiet, _alarm(quiet, "First"))
    await _set(
        quiet, _alarm(quiet, "Second"), _alarm(quiet, "x", key="test:2"), _alarm(quiet, "y", key="other:1")
    )
    await _do(quiet, lambda tx: clear_alarms(tx, ["test:2", "test:3"]))
    await _do(quiet, lambda tx: clear_alarms_under(tx, "other:"))
    assert await _left(quiet) == ["test:1"]
    await quiet.node.alarms.once()
    assert (await bob.hears("board.updated")).data.board.name == "Second"
    await bob.hears_nothing("board.updated")


async def test_what_is_refused_is_dropped_and_what_breaks_is_tried_again(worlds: Callable[..., Any]) -> None:
    world: World = await worlds(**BY_HAND, alarm_tries=2)
    await world.node.alarms.stop()
    await _set(world, _alarm(world, "refused"), _alarm(world, "broken", key="test:2"))
    assert await world.node.alarms.once() == 2
    assert await _left(world) == ["test:2"]
    assert await world.node.alarms.once() == 0, "it waits a little first"
    async with world.sql() as db:
        await db.execute("UPDATE alarms SET try_at = now()")
    assert await world.node.alarms.once() == 1
    assert await _left(world) == []


async def test_what_cannot_be_done_now_uses_up_no_tries(worlds: Callable[..., Any]) -> None:
    world: World = await worlds(**BY_HAND, alarm_tries=2)
    await world.node.alarms.stop()
    await _set(world, _alarm(world, "unavailable"))
    async with world.sql() as db:
        for _ in range(3):
            assert await world.node.alarms.once() == 1
            assert await world.node.alarms.once() == 0, "until its lease is over"
            await db.execute("UPDATE alarms SET try_at = now()")
        assert await db.fetchval("SELECT tries FROM alarms") == 0


@pytest.mark.parametrize(
    ("away", "back"), [("project.archive", "project.unarchive"), ("project.delete", "project.restore")]
)
async def test_what_goes_away_between_lease_and_hearing_is_heard_when_it_is_back(
    quiet: World, away: str, back: str
) -> None:
    alice = await quiet.person("alice").connect()
    await _set(quiet, _alarm(quiet, "Later"))
    async with quiet.node.db.transaction(None) as session:
        [row] = await session.many("lease_alarms", lease=LEASE, most=10)
    assert (await alice.send(away, project_id=quiet.project_id)).success
    await quiet.node.alarms._send(row)
    assert await _left(quiet) == ["test:1"]
    assert await quiet.node.alarms.once() == 0
    assert (await alice.send(back, project_id=quiet.project_id)).success
    bob = await _joined(quiet)
    assert await quiet.node.alarms.once() == 1
    assert (await bob.hears("board.updated")).data.board.name == "Later"


async def test_what_is_put_off_while_its_project_comes_back_is_due_at_once(quiet: World) -> None:
    """The search has seen the project away, and ends after it is back."""
    alice = await quiet.person("alice").connect()
    await _set(quiet, _alarm(quiet, "Back"))
    assert (await alice.send("project.archive", project_id=quiet.project_id)).success
    async with quiet.node.db.transaction(None) as session:
        assert await session.many("lease_alarms", lease=LEASE, most=10) == []
        coming = asyncio.create_task(alice.send("project.unarchive", project_id=quiet.project_id))
        await asyncio.wait([coming], timeout=0.5)
    assert (await coming).success
    assert await quiet.node.alarms.once() == 1


@pytest.mark.parametrize("name", ["refused", "broken"])
async def test_what_fails_where_another_node_was_faster_is_told_as_gone(quiet: World, name: str) -> None:
    await _set(quiet, _alarm(quiet, name))
    async with quiet.node.db.transaction(None) as session:
        [row] = await session.many("lease_alarms", lease=LEASE, most=10)
    async with quiet.sql() as db:
        await db.execute("DELETE FROM alarms")
    error = Conflict("Not now") if name == "refused" else RuntimeError("x")
    assert await quiet.node.alarms._failed(row, error) == "gone"


async def test_a_tenant_out_of_use_sleeps(quiet: World) -> None:
    await _set(quiet, _alarm(quiet, "Asleep"))
    alice, tenant = quiet.person("alice"), f"/tenants/{quiet.tenant_id}"
    assert (await alice.rest("POST", f"{tenant}/deactivate")).success
    assert await quiet.node.alarms.once() == 0
    assert (await alice.rest("POST", f"{tenant}/activate")).success
    assert await quiet.node.alarms.once() == 1


async def test_no_client_can_send_one(quiet: World) -> None:
    alice = await quiet.person("alice").connect()
    reply = await alice.call("test.ring", {"board_id": quiet.board_id, "name": "x", "room": quiet.project})
    assert (reply.success, reply.error.code) == (False, "UNKNOWN_COMMAND")


async def test_alarms_that_sleep_are_read_once_and_not_at_each_search(quiet: World) -> None:
    alice = await quiet.person("alice").connect()
    attic = (await alice.send("project.create", name="Attic")).data.project.id
    await _set(quiet, _alarm(quiet, "Awake"))
    async with quiet.sql() as db:
        await db.execute(
            "INSERT INTO alarms SELECT (jsonb_populate_record(a, jsonb_build_object('key', 'asleep:' || n, 'room_id', "
            "$1::uuid, 'command_id', gen_random_uuid(), 'try_at', a.at - interval '1 day', 'at', a.at - interval '1 day'))).* "
            "FROM alarms AS a, generate_series(1, 600) AS n WHERE a.key = 'test:1'",
            UUID(attic),
        )  # fmt: skip
    assert (await alice.send("project.archive", project_id=attic)).success
    assert [await quiet.node.alarms.once() for _ in range(2)] == [0, 1]
    due = "SELECT count(*) FROM alarms WHERE try_at <= now()"
    async with quiet.sql() as db:
        assert await db.fetchval(due) == 0
        assert (await alice.send("project.unarchive", project_id=attic)).success
        assert await db.fetchval(due) == 600
        assert (await alice.send("project.delete", project_id=attic)).success
        assert await quiet.node.alarms.once() == 0
        assert (await alice.send("project.restore", project_id=attic)).success
        assert await db.fetchval(due) == 600

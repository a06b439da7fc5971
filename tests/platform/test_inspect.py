"""Looking into running nodes: by REST for those who run the server, by the command line with the instance's secret."""

import asyncio
import time
from typing import Any

import pytest

from server import looking
from server.inspection import PROOF_LIFE, proof
from tests.platform.operators import operator
from tests.world import Board, Person, World

Pair = tuple[World, str]


async def _asked(world: World, **question: Any) -> list[Any]:
    """All nodes' connections, as an operator sees them."""
    person = await operator(world, f"operator{time.monotonic_ns()}")
    reply = await person.act("GET", "/nodes", **question)
    assert reply.success, reply
    return [one for node in reply.data.nodes for one in node.connection_list]


async def _moves(person: Person, board: Board, count: int) -> int:
    seq = 0
    for n in range(count):
        reply = await person.send(
            "task.move", task_id=board.first, column_id=(board.doing, board.todo)[n % 2]
        )
        seq = reply.meta.seq
    return seq


async def test_two_nodes_tell_their_rooms_and_connections(pair: Pair) -> None:
    world, there = pair
    alice = await world.person("alice").connect()
    bob = await world.person("bob", url=there).connect(path="msgpack/socket.io")
    for person in (alice, bob):
        await person.join(world.project)
    seq = await _moves(alice, Board.of(world), 3)
    await bob.hears("task.moved", seq=seq)
    person = await operator(world)
    reply = await person.act("GET", "/nodes", room=world.project)
    assert reply.success, reply
    assert len(reply.data.nodes) == 2
    for node in reply.data.nodes:
        [room] = node.room_list
        assert (room.room, room.position, room.members, room.joining) == (world.project, seq, 1, 0)
        assert (node.connections, node.bus_healthy, node.draining) == (1, True, False)
    by_user = {one.user_id: one for node in reply.data.nodes for one in node.connection_list}
    assert {name: by_user[world.user_ids[name]].format for name in ("alice", "bob")} == {
        "alice": "json",
        "bob": "msgpack",
    }
    assert by_user[bob.id].rooms[world.project] == seq
    assert by_user[bob.id].transport == "websocket"


async def test_why_somebody_heard_an_event_or_did_not(world: World) -> None:
    board = Board.of(world)
    alice, bob = await world.person("alice").connect(), await world.person("bob").connect()
    await alice.join(world.project)
    before = await _moves(alice, board, 2)
    joined = await bob.join(world.project)
    assert joined.seq == before
    during = await _moves(alice, board, 2)
    await bob.hears("task.moved", seq=during)
    await bob.send("room.leave", room=world.project)
    after = await _moves(alice, board, 2)
    again = await bob.join(world.project, since={"epoch": joined.epoch, "seq": during})
    assert again.mode == "events"

    async def why(event: int) -> tuple[bool | None, str]:
        [one] = await _asked(world, room=world.project, event=event, user=bob.id)
        return one.heard, one.reason

    assert await why(before) == (True, "snapshot")
    assert await why(during) == (True, "live")
    assert await why(after) == (True, "missed_events")
    assert await why(after + 1) == (None, "behind")
    await bob.send("room.leave", room=world.project)
    gone = await _moves(alice, board, 1)
    assert await why(gone) == (False, "not_there")
    await bob.disconnect()
    await asyncio.sleep(0.1)
    [one] = await _asked(world, room=world.project, event=gone, user=bob.id)
    assert (one.heard, one.reason) == (False, "not_there")
    assert one.ended_at
    assert one.ended
    assert [step.what for step in one.steps] == ["snapshot", "left", "events", "left"]


async def test_who_never_was_in_the_room(world: World) -> None:
    bob = await world.person("bob").connect()
    [one] = await _asked(world, room=world.project, event=1, user=bob.id)
    assert (one.heard, one.reason) == (False, "never_joined")


async def test_who_does_not_run_the_server_is_refused(world: World) -> None:
    reply = await world.person("alice").rest("GET", "/platform/nodes")
    assert (reply.status, reply.error.code) == (403, "FORBIDDEN")


async def test_that_somebody_looked_is_in_the_audit_log(world: World) -> None:
    await _asked(world, room=world.project)
    async with world.sql() as db:
        rows = await db.fetch("SELECT resource FROM audit_entries WHERE action = 'platform.inspect'")
    assert [row["resource"] for row in rows] == [world.project]


async def test_the_command_line(world: World) -> None:
    alice = await world.person("alice").connect()
    await alice.join(world.project)
    seq = await _moves(alice, Board.of(world), 1)
    question = {"room": world.project, "event": str(seq)}
    answer = await asyncio.to_thread(looking.ask, world.node.settings, world.url, question)
    text = "\n".join(looking.lines(answer, seq))
    assert f"{world.project}  at {seq}  1 members" in text
    assert f"heard event {seq}: it was sent live" in text


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer x",
        "Atrium-Proof",
        "Atrium-Proof 1.2",
        "Atrium-Proof " + proof("another secret", 1e9),
        "Atrium-Proof é.é",
    ],
)
async def test_without_a_proof_nothing_is_told(shared: World, shown: str) -> None:
    async with shared.http.get(f"{shared.url}/inspect", headers={"Authorization": shown}) as reply:
        assert reply.status == 403


async def test_an_old_proof_counts_no_more(shared: World) -> None:
    assert shared.node.settings.secret_key is not None
    secret = shared.node.settings.secret_key.get_secret_value()
    fresh = f"Atrium-Proof {proof('another secret')}"
    async with shared.http.get(f"{shared.url}/inspect", headers={"Authorization": fresh}) as reply:
        assert reply.status == 403
    for age, status in ((0, 200), (PROOF_LIFE + 5, 403), (-PROOF_LIFE - 5, 403)):
        shown = f"Atrium-Proof {proof(secret, time.time() - age)}"
        async with shared.http.get(f"{shared.url}/inspect", headers={"Authorization": shown}) as reply:
            assert reply.status == status

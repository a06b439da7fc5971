"""Members come, change and go; what they may do ends at once, on every node."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import socketio

from tests.world import Person, World

Pair = tuple[World, str]


async def _people(pair: Pair, *names: str) -> tuple[Any, ...]:
    """The first on this node, the others on the other one; all in the project's room."""
    world, there = pair
    people: list[Person] = []
    for name in names:
        person = await world.person(name, url=there if people else None).connect()
        if name != "mallory":
            await person.join(world.project)
        person.forget()
        people.append(person)
    return tuple(people)


async def test_a_new_member_sees_what_her_role_lets_her_see(world: World, alice: Person, bob: Person) -> None:
    added = await alice.send("member.add", email="mallory@rival.example", role="viewer")
    assert (await bob.hears("member.added")).data == added.data
    mallory = world.person("mallory")
    await mallory.sign_in(tenant_id=world.tenant_id)
    await mallory.connect()
    assert (await mallory.join(world.project)).permissions == [
        "presence.share", "project.view", "tenant.view"
    ]  # fmt: skip
    refused = await mallory.send("task.create", room=world.project, title="x")
    assert refused.error.code == "FORBIDDEN"


async def test_a_removed_member_hears_nothing_that_comes_after(pair: Pair) -> None:
    world, _ = pair
    alice, bob, carol = await _people(pair, "alice", "bob", "carol")
    removed = await alice.send("member.remove", user_id=bob.id)
    moved = await alice.send("task.move", task_id=world.tasks[0], column_id=world.columns["Done"])
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    closed = {event.room: event.reason for name, event in bob.journal if name == "room.closed"}
    assert closed == dict.fromkeys((world.tenant, world.project, f"user:{bob.id}"), "revoked")
    assert (await carol.hears("task.moved")).seq == moved.meta.seq
    assert not [name for name, _ in bob.journal if name == "task.moved"]
    assert max(bob.seqs(world.tenant), default=0) <= removed.meta.seq
    assert (await bob.rest("GET", f"/projects/{world.project_id}")).status == 401
    with pytest.raises(socketio.exceptions.ConnectionError):
        await world.person("bob").connect(token=bob.tokens.access_token)


async def test_a_removed_member_may_come_back(world: World, alice: Person) -> None:
    bob_id = world.user_ids["bob"]
    await alice.send("member.remove", user_id=bob_id)
    again = await alice.send("member.add", email="bob@acme.example", role="viewer")
    assert again.success, again
    bob = await world.person("bob").connect()
    assert (await bob.join(world.project)).permissions == ["presence.share", "project.view", "tenant.view"]


async def test_a_smaller_role_takes_effect_at_once(pair: Pair) -> None:
    world, _ = pair
    alice, bob = await _people(pair, "alice", "bob")
    move = {"task_id": world.tasks[0], "column_id": world.columns["Done"]}
    assert (await bob.call("task.move", move)).success
    changed = await alice.send("member.update", user_id=bob.id, role="viewer")
    assert changed.data.was == {"role": "member"}
    told = await bob.hears("room.permissions", room=world.project)
    assert told.permissions == ["presence.share", "project.view", "tenant.view"]
    assert (await bob.call("task.move", move)).error.code == "FORBIDDEN"
    moved = await alice.call("task.move", {**move, "column_id": world.columns["To do"]})
    assert (await bob.hears("task.moved", seq=moved.meta.seq)).room == world.project


async def test_who_may_not_see_the_tenant_any_more_leaves_its_room(pair: Pair) -> None:
    world, _ = pair
    alice, viewer = await _people(pair, "alice", "viewer")
    await alice.send("member.update", user_id=viewer.id, role="client")
    closed = {(await viewer.hears("room.closed")).room for _ in range(2)}
    assert closed == {world.tenant, world.project}, "a client sees only projects that she takes part in"
    await alice.send("tenant.update", name="canary-51e0")
    await alice.send("task.move", task_id=world.tasks[0], column_id=world.columns["Done"])
    await viewer.hears_nothing("tenant.updated")
    assert "canary-51e0" not in str(viewer.journal)
    assert not viewer.disconnected.is_set()


async def test_a_membership_ends_by_the_clock(pair: Pair) -> None:
    world, _ = pair
    alice, bob = await _people(pair, "alice", "bob")
    soon = (datetime.now(UTC) + timedelta(seconds=0.7)).isoformat()
    assert (await alice.send("member.update", user_id=bob.id, expires_at=soon)).success
    assert (await bob.hears("room.closed")).reason in ("revoked", "expired")
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    await alice.send("task.move", task_id=world.tasks[0], column_id=world.columns["Done"])
    assert not [name for name, _ in bob.journal if name == "task.moved"]


@pytest.mark.parametrize("wrong", [20, -20], ids=["fast", "slow"])
async def test_a_membership_ends_by_the_clock_of_postgres(
    world: World, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    """A node whose clock is a little wrong puts nobody out later, and does not ask again and again until then."""
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + wrong)
    alice, before = await world.person("alice").connect(), await world.person("bob").connect()
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    assert (await alice.send("member.update", user_id=before.id, expires_at=soon)).success
    after = await world.person("bob").connect()
    async with world.sql() as db:
        changes = "SELECT rights_seq FROM tenants WHERE id = $1"
        begun = await db.fetchval(changes, UUID(world.tenant_id))
        for person in (before, after):
            await asyncio.wait_for(person.disconnected.wait(), 4)
        assert await db.fetchval(changes, UUID(world.tenant_id)) - begun <= 4


async def test_there_is_always_an_owner(world: World, alice: Person) -> None:
    soon = "2100-01-01T00:00:00Z"
    for name, more in (
        ("member.remove", {}),
        ("member.update", {"role": "admin"}),
        ("member.update", {"expires_at": soon}),
    ):
        reply = await alice.call(name, {"user_id": alice.id, **more})
        assert reply.error.code == "CONFLICT", (name, more)
    admin = world.user_ids["admin"]
    assert (await alice.send("member.update", user_id=admin, role="owner")).success
    assert (await alice.send("member.update", user_id=alice.id, role="member")).success
    assert (await alice.send("member.update", user_id=admin, role="member")).error.code == "FORBIDDEN"


@pytest.mark.parametrize("name", ["member.update", "member.remove"])
async def test_an_admin_cannot_touch_an_owner(world: World, name: str) -> None:
    admin = await world.person("admin").connect()
    more = {"role": "guest", "expires_at": "2100-01-01T00:00:00Z"} if name == "member.update" else {}
    reply = await admin.call(name, {"user_id": world.user_ids["alice"], **more})
    assert reply.error.code == "FORBIDDEN"
    promoted = await admin.send("member.update", user_id=world.user_ids["admin"], role="owner")
    assert promoted.error.code == "FORBIDDEN"


async def test_what_was_sent_before_the_end_and_read_after_it_is_not_carried_out(
    pair: Pair,
) -> None:
    """A burst of commands races with the removal: what is acknowledged as done was done before it."""
    world, _ = pair
    alice, bob = await _people(pair, "alice", "bob")
    sent = [
        await bob.post("task.create", {"room": world.project, "title": f"Task {n}"}) for n in range(100)
    ]  # fmt: skip
    removed = await alice.send("member.remove", user_id=bob.id)
    assert removed.success
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    done = [reply.result() for reply in sent if reply.done()]
    codes = {reply.error.code for reply in done if not reply.success}
    assert codes <= {"NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN"}
    async with world.sql() as db:
        left = await db.fetchval("SELECT seq FROM room_events WHERE name = 'project.member_removed'")
        late = await db.fetchval(
            "SELECT count(*) FROM room_events WHERE actor_id = $1 AND room_id = $2 AND seq > $3",
            UUID(bob.id), UUID(world.project_id), left,
        )  # fmt: skip
    assert late == 0

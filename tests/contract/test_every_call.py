"""What holds for every command and query there is, and for each that will be."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from handlers.access import MATRIX, ROLES
from handlers.registry import SPECS
from handlers.rooms import VIEW
from tests.contract.examples import CALLS, COMMANDS, EXAMPLES, QUERIES, VERSIONED, example, rest_call
from tests.reducer import fold, store_of
from tests.world import STAFF, Person, World, until

SHOWN_ONCE = {"key"}
"""Fields of a reply that only the first one has; the others have null instead."""

FOR_EVERY_MEMBER = {
    "project.list", "room.snapshot", "room.events", "permission.explain", "delegation.list", "delegation.revoke",
    "reminder.remove",
    "trash.list",
}  # fmt: skip
"""What needs no permission: it shows, or ends, what is one's own."""
OF_ROLE = {role: name for name, role in STAFF.items()}


@pytest.mark.parametrize("name", CALLS)
def test_it_has_an_example(name: str) -> None:
    given = example(name)
    if SPECS[name].kind == "command":
        assert given.another is not None, f"{name}: give the example another payload"
    if SPECS[name].versioned:
        assert given.touch is not None, f"{name} is versioned: give the example a touch"


def test_no_example_is_left_behind() -> None:
    assert set(EXAMPLES) <= set(CALLS)


# Who may.


@pytest.mark.parametrize("name", CALLS)
async def test_a_stranger_finds_nothing(shared: World, name: str) -> None:
    spec, payload = SPECS[name], example(name).payload(shared)
    mallory = await _person(shared, "mallory")
    room = payload.get("room") or (shared.tenant if spec.room == "tenant" else shared.project)
    attempts = [await mallory.call(name, {**payload, "room": room})]
    if any(key.endswith("_id") and key != "client_id" for key in payload):
        attempts.append(await mallory.call(name, {key: payload[key] for key in payload if key != "room"}))
    method, path, more = rest_call(spec, payload)
    attempts.append(await mallory.rest(method, path, **more))
    for reply in attempts:
        assert not reply.success, reply
        assert (reply.error.code, reply.error.details) == ("NOT_FOUND", {})


@pytest.mark.parametrize("name", CALLS)
async def test_who_lacks_the_permission_is_refused(shared: World, name: str) -> None:
    spec, payload = SPECS[name], example(name).payload(shared)
    if spec.needs is None:
        assert name in FOR_EVERY_MEMBER or spec.room == "user"
        return
    lacking = [role for role in ROLES if spec.needs not in MATRIX[role]]
    if name.startswith("file."):  # a file leads to its project only while it is there
        await _prepared(shared, name)
        payload = example(name).payload(shared)
    if not lacking:
        assert all(spec.needs in MATRIX[role] for role in ROLES), "everybody who sees the room may"
        guest, before = await _person(shared, OF_ROLE["guest"]), example(name).before
        if before is not None and spec.kind == "command":
            await before(shared, guest)
            payload = example(name).payload(shared)
        reply = await guest.call(name, payload)
        unknown = (
            before is not None
            and spec.kind == "query"
            and not reply.success
            and reply.error.code == "NOT_FOUND"
        )
        assert reply.success or unknown, reply
        return
    for role in (lacking[0], lacking[-1]):
        person = await _person(shared, OF_ROLE[role])
        reply = await person.call(name, payload)
        assert not reply.success
        assert (reply.error.code, reply.error.details) == ("FORBIDDEN", {"permission": spec.needs})
        method, path, more = rest_call(spec, payload)
        assert (await person.rest(method, path, **more)).status == 403


@pytest.mark.parametrize("name", ["room.snapshot", "room.events"])
async def test_a_room_needs_its_own_permission_to_be_seen(shared: World, name: str) -> None:
    guest = await _person(shared, "gus")
    lacking = VIEW["tenant"]
    assert lacking is not None
    assert lacking not in MATRIX["guest"]
    reply = await guest.send(name, room=shared.tenant)
    assert reply.error.code == "FORBIDDEN"
    assert (await guest.send(name, room=shared.project)).success
    assert (await guest.send(name, room=f"user:{shared.user_ids['alice']}")).error.code == "NOT_FOUND"


@pytest.mark.parametrize("name", CALLS)
async def test_without_credentials(shared: World, name: str) -> None:
    method, path, more = rest_call(SPECS[name], example(name).payload(shared))
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YTpi"}):
        reply = await shared.request(method, path, headers=headers, **more)
        assert (reply.status, reply.error.code) == (401, "UNAUTHORIZED")
        assert reply.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("name", CALLS)
async def test_unknown_fields_are_refused(shared: World, name: str) -> None:
    spec, payload = SPECS[name], example(name).payload(shared)
    alice = await _person(shared, "alice")
    reply = await alice.call(name, {**payload, "surprise": 1})
    assert (reply.error.code, list(reply.error.field_errors)) == ("VALIDATION_ERROR", ["surprise"])
    method, path, more = rest_call(spec, {**payload, "surprise": 1})
    reply = await alice.rest(method, path, **more)
    assert (reply.status, list(reply.error.field_errors)) == (422, ["surprise"])


# What it answers.


@pytest.mark.parametrize("name", QUERIES)
async def test_a_query_answers_the_same_by_socket_and_rest(world: World, name: str) -> None:
    spec, given = SPECS[name], example(name)
    alice = await _prepared(world, name)
    by_socket = await alice.call(name, given.payload(world))
    method, path, more = rest_call(spec, given.payload(world))
    by_rest = await alice.rest(method, path, **more)
    assert by_socket.success
    assert (by_rest.status, by_rest.data, by_rest.meta) == (200, by_socket.data, by_socket.meta)


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_does_the_same_by_socket_and_rest_and_again_nothing(
    world: World, worlds: Callable[..., Any], name: str
) -> None:
    spec, given, command_id = SPECS[name], example(name), str(uuid4())
    other = await worlds()
    alice, alice_there = await _prepared(world, name), await _prepared(other, name)
    by_socket = await alice.call(name, {**given.payload(world), "command_id": command_id})
    assert by_socket.success, by_socket
    assert by_socket.meta.duplicate is False
    method, path, more = rest_call(spec, given.payload(other))
    by_rest = await alice_there.rest(method, path, **more)
    assert by_rest.status == spec.status
    assert _normal(by_rest.data, other) == _normal(by_socket.data, world)
    assert _normal(by_rest.meta, other) == _normal(by_socket.meta, world)
    left = _normal(await alice.snapshot(world.tenant), world)
    assert _normal(await alice_there.snapshot(other.tenant), other) == left
    await _repeated(world, alice, name, command_id, by_socket)


async def _repeated(world: World, alice: Person, name: str, command_id: str, first: Any) -> None:
    """A command that was applied is told of again, changes nothing, and lends its id to no other."""
    spec, given = SPECS[name], example(name)
    before = await _log(world)
    again = await alice.call(name, {**given.payload(world), "command_id": command_id})
    method, path, more = rest_call(spec, given.payload(world))
    by_rest = await alice.rest(method, path, headers={"Idempotency-Key": command_id}, **more)
    for repeated in (again, by_rest):
        assert repeated.success, repeated
        assert repeated.data == {**first.data, **dict.fromkeys(set(first.data) & SHOWN_ONCE)}
        assert repeated.meta == {**first.meta, "duplicate": True}
    assert given.another is not None
    other = await alice.call(name, {**given.another(world), "command_id": command_id})
    assert not other.success
    assert other.error.code == "CONFLICT"
    assert await _log(world) == before
    bob = await _person(world, "bob")
    mine = await bob.call(name, {**given.payload(world), "command_id": command_id})
    assert not (mine.success and mine.meta.duplicate), "a command_id belongs to its sender"


# What others see of it.


@pytest.mark.parametrize("name", COMMANDS)
async def test_old_snapshot_and_events_make_the_new_snapshot(world: World, name: str) -> None:
    given = example(name)
    alice, bob = await _person(world, "alice"), await _person(world, "bob")
    owners = {world.tenant: alice, world.project: alice} | {
        f"user:{world.user_ids[person.name]}": person for person in (alice, bob)
    }
    old = {room: await owner.snapshot(room) for room, owner in owners.items()}
    for room, owner in owners.items():
        await owner.join(room)
    if given.before is not None:
        await given.before(world, alice)
    reply = await alice.call(name, given.payload(world))
    assert reply.success, reply
    told = 0
    for room, owner in owners.items():
        fresh = await owner.rest("GET", f"/rooms/{room}/snapshot")
        if not fresh.success:
            assert name in ("project.delete", "project.purge"), name
            assert (room, fresh.error.code) == (world.project, "NOT_FOUND")
            continue
        asked = await owner.rest(
            "GET", f"/rooms/{room}/events", params={"since": old[room].seq, "limit": 100}
        )
        events = asked.data.events
        told += len(events)
        assert [event.seq for event in events] == list(range(old[room].seq + 1, fresh.data.seq + 1))
        assert fold(store_of(old[room].snapshot), events) == store_of(fresh.data.snapshot), (name, room)
        if "project" in fresh.data.snapshot:
            assert fresh.data.snapshot.project == fresh.data.snapshot.projects[0]
        if room != world.project or not name.startswith("project.restore"):
            await until(partial(_has_heard, owner, room, len(events)))
            heard = owner.events(room)
            assert heard == events, "what is replayed is what was live"
    assert told
    room = reply.meta.room
    assert reply.meta.seq == (await owners[room].snapshot(room)).seq


# Versions.


@pytest.mark.parametrize("name", VERSIONED)
async def test_an_old_version_is_not_overwritten_and_is_told_who_was_faster(world: World, name: str) -> None:
    spec, given = SPECS[name], example(name)
    assert given.touch is not None
    alice, admin = await _prepared(world, name), await _person(world, "admin")
    touch, touched = given.touch
    reply = await admin.call(touch, touched(world))
    assert reply.success, reply
    refused = await alice.call(name, {**given.payload(world), "expected_version": 1})
    assert not refused.success
    assert refused.error.code == "VERSION_CONFLICT"
    method, path, more = rest_call(spec, given.payload(world))
    by_rest = await alice.rest(method, path, headers={"If-Match": '"1"'}, **more)
    assert (by_rest.status, by_rest.error) == (409, refused.error)
    details = refused.error.details
    assert details.current.version == next(iter(reply.data.values())).version > 1
    assert details.current.id == next(iter(reply.data.values())).id
    changed_by = details.changed_by
    assert (changed_by.get("id"), changed_by.get("name")) == (world.user_ids["admin"], "Admin")
    assert _TIME.fullmatch(changed_by.at)
    current = {**given.payload(world), "expected_version": details.current.version}
    assert (await alice.call(name, current)).success


@pytest.mark.parametrize("name", sorted(set(CALLS) - set(VERSIONED)))
async def test_a_version_is_refused_where_nothing_has_one(shared: World, name: str) -> None:
    alice = await _person(shared, "alice")
    reply = await alice.call(name, {**example(name).payload(shared), "expected_version": 1})
    assert (reply.error.code, list(reply.error.field_errors)) == ("VALIDATION_ERROR", ["expected_version"])


@pytest.mark.parametrize("name", COMMANDS)
async def test_reserved_fields_are_checked(shared: World, name: str) -> None:
    alice = await _person(shared, "alice")
    wrong = [("command_id", "7"), ("command_id", 7), ("room", 7), ("room", "kitchen"), ("room", "user:7")]
    for field, value in wrong:
        reply = await alice.call(name, {**example(name).payload(shared), field: value})
        assert (reply.error.code, list(reply.error.field_errors)) == ("VALIDATION_ERROR", [field])


def _has_heard(person: Person, room: str, count: int) -> bool:
    """Events that come after a change of rights wait for the check of every socket, and the reply does not."""
    return len(person.events(room)) >= count


async def _person(world: World, name: str) -> Person:
    """Somebody of a world, connected; the same one each time."""
    for person in world.people:
        if person.name == name:
            return person
    return await world.person(name).connect()


async def _prepared(world: World, name: str) -> Person:
    alice = await _person(world, "alice")
    before = example(name).before
    if before is not None:
        await before(world, alice)
    return alice


async def _log(world: World) -> list[Any]:
    """Everything that a command may change."""
    async with world.sql() as db:
        tables = ("room_events", "applied_commands", "rooms", "tasks", "projects", "board_columns", "boards")
        return [await db.fetch(f"SELECT t::text FROM {table} AS t ORDER BY 1") for table in tables]


_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KEY = re.compile(r"atr_[pt]k_\w+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def _normal(value: Any, world: World) -> Any:
    """What must be the same in two worlds: new ids and times are not."""
    known = {world.project_id, world.tenant_id, world.board_id, *world.tasks, *world.user_ids.values()}
    known |= {*world.columns.values(), *world.statuses.values()}
    if isinstance(value, dict):
        return {
            _normal(key, world): "<new>" if key == "last_four" else _normal(item, world)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_normal(item, world) for item in value]
    if isinstance(value, str):
        value = _KEY.sub("<key>", value)
        return _TIME.sub("<time>", _ID.sub(lambda id_: id_[0] if id_[0] in known else "<new>", value))
    return value

"""The isolation matrix: everything callable, by everybody of one tenant, with the ids of another.

It is made from the registry and the examples, so that a new command is in it the day it is written. Every text of
the foreign tenant holds a canary; no reply, event, log line or message on the bus of the other may hold it, and no
row of the foreign tenant may change.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import redis.asyncio as redis
import structlog
from structlog.testing import LogCapture

from handlers.registry import SPECS
from storage.bus import RedisBus
from storage.valkey import EmbeddedValkey
from tests.contract.examples import CALLS, example, rest_call
from tests.contract.test_schema import tables
from tests.security.foreign import CANARY, Foreign, foreign_tenant, swaps
from tests.world import STAFF, Cluster, Person, World, fresh_world, plain

REFUSALS: Final = {"NOT_FOUND", "FORBIDDEN", "VALIDATION_ERROR", "CONFLICT"}
SEALING: Final = ("audit_pending", "audit_seals")
"""What a node writes by itself about entries of the audit log; the entries are compared."""


@dataclass
class Stage:
    """Acme with all its roles, each in every room that is open to it, and the foreign tenant beside it."""

    world: World
    foreign: Foreign
    everybody: list[Person]


@asynccontextmanager
async def staged(cluster: Cluster) -> AsyncIterator[Stage]:
    async with fresh_world(cluster) as world:
        foreign = await foreign_tenant(world)
        try:
            people = [await world.person(name).connect() for name in STAFF]
            await asyncio.gather(*(person.join(world.project) for person in people))
            yield Stage(world, foreign, people)
        finally:
            for person in foreign.people:
                await person.disconnect()


@pytest.fixture(scope="module")
async def stage(cluster: Cluster) -> AsyncIterator[Stage]:
    """For calls that need nothing to have happened before: what is refused leaves no trace."""
    async with staged(cluster) as stage:
        yield stage


@pytest.fixture
async def stage_of(stage: Stage, cluster: Cluster, name: str) -> AsyncIterator[Stage]:
    """The common stage, or a fresh one on which the foreign tenant has what the call is about."""
    before = example(name).before
    if before is None:
        yield stage
        return
    async with staged(cluster) as fresh:
        await before(fresh.foreign, await fresh.foreign.person("alice").connect())
        yield fresh


async def rows_of(world: World, tenant_id: str) -> dict[str, list[str]]:
    """Every row that a tenant has, table by table."""
    found = {}
    names = [table["name"] for table in await tables(world)]
    async with world.sql() as db:
        for name in (name for name in names if name not in SEALING):
            key = "id" if name == "tenants" else "tenant_id"
            rows = await db.fetch(
                f"SELECT t::text FROM {name} AS t WHERE {key} = $1::uuid ORDER BY 1", tenant_id
            )
            found[name] = [row[0] for row in rows]
    return found


def attempts(name: str, world: World, foreign: Foreign) -> list[dict[str, Any]]:
    """What to try: their payload, ours in one of their rooms, and ours with each id replaced by theirs in turn.

    What holds nothing of theirs would only be done at home, and is left out.
    """
    own, theirs = plain(example(name).payload(world)), plain(example(name).payload(foreign))
    rooms = [foreign.project, foreign.tenant, f"user:{foreign.user_ids['alice']}"]
    found = [theirs, *({**own, "room": room} for room in rooms), *swaps(own, theirs)]
    astray = [payload for payload in found if lead_astray(payload, foreign)]
    return [payload for at, payload in enumerate(astray) if payload not in astray[:at]]


def lead_astray(payload: object, foreign: Foreign) -> bool:
    """Whether a payload holds anything that is the foreign tenant's alone."""
    text = str(payload)
    ids = [foreign.tenant_id, foreign.project_id, foreign.board_id, *foreign.tasks]
    ids += [*foreign.columns.values(), *foreign.statuses.values(), *foreign.user_ids.values()]
    return any(id_ in text for id_ in ids)


def codes(reply: Any, foreign: Foreign) -> set[str]:
    """How a call was refused: a command for many has an outcome for each, and that of a foreign one counts."""
    if not reply.success:
        return {reply.error.code}
    outcomes = reply.data.get("outcomes") or [{}]
    return {
        outcome.get("code") or "done"
        for outcome in outcomes
        if "id" not in outcome or lead_astray(outcome["id"], foreign)
    }


@pytest.mark.parametrize("name", CALLS)
async def test_nothing_of_another_tenant_is_told_or_touched(stage_of: Stage, name: str) -> None:
    world, foreign, everybody = stage_of.world, stage_of.foreign, stage_of.everybody
    before = await rows_of(world, foreign.tenant_id)
    logs, kept = LogCapture(), structlog.get_config()["processors"]
    structlog.configure(processors=[logs])
    try:
        for at, payload in enumerate(attempts(name, world, foreign)):
            # The owner, who may do everything at home, tries them all; whoever may less, the first two.
            for person in everybody if at < 2 else everybody[:1]:
                await _try(person, name, payload, foreign)
    finally:
        structlog.configure(processors=kept)
    assert CANARY not in str(logs.entries)
    for person in everybody:
        assert CANARY not in str(person.journal)
    assert await rows_of(world, foreign.tenant_id) == before


async def _try(person: Person, name: str, payload: dict[str, Any], foreign: Foreign) -> None:
    """By socket, and by REST where its path or body still holds anything of theirs."""
    replies = [await person.call(name, payload)]
    method, path, more = rest_call(SPECS[name], payload)
    if lead_astray((path, more), foreign):
        replies.append(await person.rest(method, path, **more))
    for reply in replies:
        assert CANARY not in str(reply), (person.name, payload, reply)
        assert codes(reply, foreign) <= REFUSALS, (person.name, payload, reply)


async def test_no_room_of_another_tenant_can_be_joined(stage: Stage) -> None:
    world, foreign, everybody = stage.world, stage.foreign, stage.everybody
    rooms = [foreign.tenant, foreign.project, *(f"user:{user_id}" for user_id in foreign.user_ids.values())]
    async with world.sql() as db:
        known = await db.fetch("SELECT kind, id FROM rooms WHERE tenant_id = $1::uuid", foreign.tenant_id)
    assert {f"{row['kind']}:{row['id']}" for row in known} == set(rooms)
    for person in everybody:
        for room in rooms:
            reply = await person.send("room.join", room=room)
            assert (reply.success, reply.error.code) == (False, "NOT_FOUND")
            since = {"epoch": "0199c0de-0000-7000-8000-000000000001", "seq": 0}
            reply = await person.send("room.join", room=room, since=since)
            assert (reply.success, reply.error.code) == (False, "NOT_FOUND")
        tokens = await person.sign_in()
        again = await world.person(person.name).connect(
            token=tokens.access_token, since={room: {"epoch": "x", "seq": 0} for room in rooms}
        )
        greeting = next(data for heard, data in again.journal if heard == "session.ready")
        assert not set(greeting.rooms) & set(rooms)


async def test_signals_do_not_cross(stage: Stage) -> None:
    world, foreign, everybody = stage.world, stage.foreign, stage.everybody
    owner = await foreign.person("alice").connect()
    await owner.join(foreign.project)
    owner.forget()
    for person in everybody:
        for name, spec in SPECS.items():
            if spec.kind == "signal":
                await person.client.emit(name, {"room": foreign.project, "task_id": foreign.tasks[0]})
                await person.client.emit(name, {"room": foreign.tenant})
        await person.send("room.snapshot", room=world.project)  # what was sent before it has been dealt with
    await owner.send("task.get", task_id=foreign.tasks[0])
    heard = str(owner.journal)
    assert not [name for name, user_id in world.user_ids.items() if user_id in heard]


@pytest.fixture
async def by_redis(cluster: Cluster) -> AsyncIterator[tuple[World, "redis.Redis"]]:
    """A world whose node talks to its peers through Redis, and a look into that Redis."""
    with tempfile.TemporaryDirectory(prefix="atrium-isolation-", ignore_cleanup_errors=True) as name:
        valkey = EmbeddedValkey(Path(name))
        await valkey.start()
        client = redis.from_url(valkey.url)
        try:
            async with fresh_world(cluster, bus=RedisBus(valkey.url, silence=5)) as world:
                yield world, client
        finally:
            await client.aclose()
            await valkey.stop()


async def test_what_redis_sees_names_its_tenant(by_redis: tuple[World, "redis.Redis"]) -> None:
    world, client = by_redis
    foreign = await foreign_tenant(world)
    async with client.pubsub() as pubsub:
        await pubsub.psubscribe("*")
        alice, owner = await world.person("alice").connect(), await foreign.person("alice").connect()
        await alice.join(world.project)
        await owner.join(foreign.project)
        for at in range(3):
            move = {"task_id": world.tasks[at], "column_id": world.columns["Done"]}
            assert (await alice.call("task.move", move)).success
            move = {"task_id": foreign.tasks[at], "column_id": foreign.columns["Done"]}
            assert (await owner.call("task.move", move)).success
        heard: dict[str, list[bytes]] = {}
        while message := await pubsub.get_message(timeout=0.5):
            if message["type"] == "pmessage":
                heard.setdefault(message["channel"].decode(), []).append(message["data"])
    ours = {channel for channel in heard if world.tenant_id in channel}
    theirs = {channel for channel in heard if foreign.tenant_id in channel}
    assert ours
    assert theirs
    for channel, messages in heard.items():
        marked = CANARY.encode() in b"".join(messages)
        assert not marked or channel in theirs, channel
        assert not (channel in theirs and world.project_id.encode() in b"".join(messages)), channel
    for key in await client.keys("*"):
        assert CANARY.encode() not in key
        value = await client.dump(key)
        assert CANARY.encode() not in (value or b"")

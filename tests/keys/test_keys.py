"""Personal API keys: what a program can do by one, and when that ends."""

import asyncio
import io
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import socketio
import structlog

from handlers.identity import keys
from handlers.identity.scopes import GROUPS
from server import logs
from storage.ids import new_id
from tests.keys.hands import make_key, program, rest
from tests.world import Cluster, Person, World, fresh_world, second_node

Pair = tuple[World, str]


async def test_a_key_works_over_rest_and_sockets(world: World, bob: Person) -> None:
    made = await make_key(world.person("alice"), "read", "task.create")
    created = await rest(
        world, made.key, "POST", f"/projects/{world.project_id}/tasks", json={"title": "By key"}
    )
    assert created.status == 201
    heard = await bob.hears("task.created")
    assert heard.actor == {"id": world.user_ids["alice"], "name": "Alice"}
    script = await world.person("alice").connect(token=made.key)
    (_, ready), *_ = [entry for entry in script.journal if entry[0] == "session.ready"]
    assert ready.api_key == {
        "id": made.api_key.id, "name": "Script", "scopes": ["project.view", "task.create", "tenant.view"],
        "expires_at": None,
    }  # fmt: skip
    assert ready.session_id == made.api_key.id
    joined = await script.join(world.project)
    assert joined.permissions == ["project.view", "task.create", "tenant.view"]
    assert (await script.send("task.create", room=world.project, title="By socket")).success
    moved = await script.send("task.move", task_id=world.tasks[0], column_id=world.columns["Done"])
    assert (moved.error.code, moved.error.details) == ("FORBIDDEN", {"permission": "task.edit"})


async def test_the_list_shows_everything_but_the_key(world: World) -> None:
    alice = world.person("alice")
    made = await make_key(alice, "read")
    (listed,) = (await alice.rest("GET", f"/users/{alice.id}/api-keys")).data.api_keys
    assert listed == {**made.api_key, "last_used_at": None, "last_used_address": ""}
    assert (listed.prefix, listed.last_four) == (made.key.rpartition("_")[0], made.key[-4:])
    assert made.key.startswith("atr_pk_")
    before = datetime.now(UTC).isoformat()
    for _ in range(3):
        assert (await rest(world, made.key, "GET", f"/tenants/{world.tenant_id}")).success
    await world.node.sessions.close()
    (listed,) = (await alice.rest("GET", f"/users/{alice.id}/api-keys")).data.api_keys
    assert listed.last_used_at >= before[:19]
    assert listed.last_used_address == "127.0.0.1"
    async with world.sql() as db:
        versions = await db.fetchval("SELECT xmin::text FROM api_keys")
        assert (await rest(world, made.key, "GET", f"/tenants/{world.tenant_id}")).success
        await world.node.sessions.close()
        assert await db.fetchval("SELECT xmin::text FROM api_keys") == versions, "at most once a minute"


async def test_others_do_not_see_or_end_it(world: World) -> None:
    alice, admin = world.person("alice"), world.person("admin")
    made = await make_key(alice)
    await admin.sign_in()
    assert (await admin.rest("GET", f"/users/{alice.id}/api-keys")).status == 404
    for whose in (alice.id, admin.id):
        ended = await admin.rest("DELETE", f"/users/{whose}/api-keys/{made.api_key.id}")
        assert (ended.status, ended.error.code) == (404, "NOT_FOUND")
    assert (await rest(world, made.key, "GET", f"/tenants/{world.tenant_id}")).success


async def test_ones_windows_hear_of_keys_and_nothing_secret(world: World, alice: Person, bob: Person) -> None:
    made = await make_key(world.person("alice"))
    heard = await alice.hears("apikey.created")
    assert heard.data == {"api_key": made.api_key}
    assert heard.room == f"user:{world.user_ids['alice']}"
    again = await alice.send("apikey.rotate", key_id=made.api_key.id)
    assert again.data.key != made.key
    assert (await alice.hears("apikey.created")).data.api_key == again.data.api_key
    assert (await alice.hears("apikey.revoked")).data.api_key == {"id": made.api_key.id, "removed": True}
    for person in (alice, bob):
        assert made.key.rpartition("_")[2] not in str(person.journal)
    assert not [name for name, _ in bob.journal if name.startswith("apikey.")]


async def _corpus(world: World) -> dict[str, str]:
    """Strings that must open nothing, most of them well formed."""
    alice, mallory = world.person("alice"), world.person("mallory")
    key = (await make_key(alice)).key
    revoked = await make_key(alice)
    assert (await alice.rest("DELETE", f"/users/{alice.id}/api-keys/{revoked.api_key.id}")).success
    expired = await make_key(alice, expires_at=(datetime.now(UTC) + timedelta(days=1)).isoformat())
    suspended = await make_key(world.person("bob"))
    async with world.sql() as db:
        await db.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", UUID(expired.api_key.id))
        await db.execute("UPDATE users SET status = 'suspended' WHERE email = 'bob@acme.example'")
    own_id = keys.id_of(key)
    rival_id = keys.id_of((await make_key(mallory)).key)
    assert own_id
    assert rival_id
    return {
        "of an unknown id": keys.new_key("personal", new_id()),
        "with another secret": keys.new_key("personal", own_id),
        "with another kind": keys.new_key("tenant", own_id),
        "of another tenant's id": keys.new_key("personal", rival_id),
        "cut off": key[:-1],
        "with a letter more": key + "a",
        "with another checksum": key[:-1] + ("a" if key[-1] != "a" else "b"),
        "in upper case": key.upper(),
        "of its prefix": key.rpartition("_")[0],
        "revoked": revoked.key,
        "expired": expired.key,
        "of a suspended account": suspended.key,
    }


async def test_nothing_else_is_taken_for_a_key(world: World) -> None:
    for what, key in (await _corpus(world)).items():
        for method, path in (
            ("GET", f"/tenants/{world.tenant_id}"),
            ("GET", "/auth/me"),
            ("POST", "/tenants"),
        ):
            reply = await rest(world, key, method, path)
            assert (reply.status, reply.error.code) == (401, "UNAUTHORIZED"), what
            assert key not in str(reply), what
        with pytest.raises(socketio.exceptions.ConnectionError):
            await world.person("alice").connect(token=key)


async def test_a_wrong_key_takes_as_long_as_a_wrong_id(world: World) -> None:
    """One question to the database either way. Asked in turn, and the fastest of many counts: noise only adds."""
    own_id = keys.id_of((await make_key(world.person("alice"))).key)
    assert own_id
    fastest = {own_id: 1.0, new_id(): 1.0}
    for _ in range(150):
        for key_id, least in fastest.items():
            key = keys.new_key("personal", key_id)
            began = time.perf_counter()
            assert (await rest(world, key, "GET", "/auth/me")).status == 401
            fastest[key_id] = min(least, time.perf_counter() - began)
    known, unknown = fastest.values()
    assert 0.5 < known / unknown < 2


async def test_revoking_closes_sockets_on_every_node_at_once(pair: Pair) -> None:
    world, there = pair
    alice, bob = await world.person("alice").connect(), await world.person("bob").connect()
    made = await make_key(world.person("alice"))
    scripts = [await program(world, made.key, url=url) for url in (world.url, there)]
    for person in (alice, bob, *scripts):
        await person.join(world.project)
    assert (await alice.send("apikey.revoke", key_id=made.api_key.id)).success
    created = await bob.send("task.create", room=world.project, title="canary-7731")
    assert created.success
    for script in scripts:
        await asyncio.wait_for(script.disconnected.wait(), 5)
        closed = {data.room: data.reason for name, data in script.journal if name == "room.closed"}
        assert closed[world.project] == "revoked"
        assert "canary-7731" not in str(script.journal)
    assert (await rest(world, made.key, "GET", f"/tenants/{world.tenant_id}")).status == 401
    assert not alice.disconnected.is_set()


async def test_a_key_ends_to_the_second(pair: Pair) -> None:
    world, there = pair
    ends = datetime.now(UTC) + timedelta(seconds=1.2)
    made = await make_key(world.person("alice"), expires_at=ends.isoformat())
    script = await program(world, made.key, url=there)
    await script.join(world.project)
    assert (await script.send("tenant.get")).success
    await asyncio.wait_for(script.disconnected.wait(), 5)
    late = datetime.now(UTC) - ends
    assert timedelta(0) <= late < timedelta(seconds=1)
    assert "session.expiring" not in [name for name, _ in script.journal], "there is nothing to renew"
    assert (await rest(world, made.key, "GET", f"/tenants/{world.tenant_id}")).status == 401


async def test_a_revoked_key_is_out_though_nobody_says_so_and_it_is_in_no_room(cluster: Cluster) -> None:
    """Its node hears nothing of the other one, and has no room of this tenant whose head it would compare."""
    async with (
        fresh_world(cluster) as world,
        second_node(world, cluster, sweep_interval=0.3) as (node, there),
    ):
        alice = world.person("alice")
        made = await make_key(alice, "task.create")
        script = await program(world, made.key, url=there)
        assert (await script.send("task.create", room=world.project, title="x")).success
        assert not node.hub.rooms
        assert (await alice.rest("DELETE", f"/users/{alice.id}/api-keys/{made.api_key.id}")).success
        await asyncio.wait_for(script.disconnected.wait(), 3)


async def test_narrower_scopes_count_at_once(pair: Pair) -> None:
    world, there = pair
    alice = await world.person("alice").connect()
    made = await make_key(alice, "read", "task.create")
    script = await program(world, made.key, url=there)
    await script.join(world.project)
    changed = await alice.send("apikey.update", key_id=made.api_key.id, scopes=["project.view"])
    assert changed.data.api_key.scopes == ["project.view"]
    assert (await script.hears("room.closed")).room == world.tenant
    told = await script.hears("room.permissions", room=world.project)
    assert told.permissions == ["project.view"]
    refused = await script.send("task.create", room=world.project, title="x")
    assert refused.error.details == {"permission": "task.create"}
    wider = await alice.send("apikey.update", key_id=made.api_key.id, scopes=["project.view", "task.create"])
    assert wider.success
    assert (await script.hears("room.permissions", room=world.project)).permissions == [
        "project.view",
        "task.create",
    ]
    assert (await script.send("task.create", room=world.project, title="x")).success
    assert (await alice.send("apikey.update", key_id=made.api_key.id, scopes=["task.create"])).success
    assert (await script.hears("room.closed", room=world.project)).reason == "revoked"
    assert not script.disconnected.is_set()


async def test_a_key_does_no_more_than_its_person_may_now(world: World, alice: Person) -> None:
    made = await make_key(world.person("bob"), "write")
    script = await program(world, made.key)
    await script.join(world.project)
    assert (await script.send("task.create", room=world.project, title="x")).success
    assert (await alice.send("member.update", user_id=world.user_ids["bob"], role="viewer")).success
    told = await script.hears("room.permissions", room=world.project)
    assert told.permissions == ["presence.share", "project.view", "tenant.view"]
    assert (await script.send("task.create", room=world.project, title="x")).error.code == "FORBIDDEN"


async def test_removal_ends_keys_for_good(world: World, alice: Person) -> None:
    made = await make_key(world.person("bob"))
    script = await program(world, made.key)
    bob_id = world.user_ids["bob"]
    assert (await alice.send("member.remove", user_id=bob_id)).success
    await asyncio.wait_for(script.disconnected.wait(), 5)
    assert (await alice.send("member.add", email="bob@acme.example", role="member")).success
    assert (await rest(world, made.key, "GET", f"/tenants/{world.tenant_id}")).status == 401
    again = world.person("bob")
    await again.sign_in()
    assert (await again.rest("GET", f"/users/{bob_id}/api-keys")).data.api_keys == []


async def test_rotation_with_and_without_overlap(world: World, alice: Person) -> None:
    in_ten_days = datetime.now(UTC) + timedelta(days=10)
    first = await make_key(world.person("alice"), "read", expires_at=in_ten_days.isoformat())
    script = await program(world, first.key)
    second = await alice.send("apikey.rotate", key_id=first.api_key.id, overlap=1)
    assert second.data.api_key.scopes == first.api_key.scopes
    assert second.data.api_key.expires_at[:15] == first.api_key.expires_at[:15], (
        "as long as the first was made for"
    )
    for key in (first.key, second.data.key):
        assert (await rest(world, key, "GET", f"/tenants/{world.tenant_id}")).success
    await asyncio.wait_for(script.disconnected.wait(), 5)
    assert (await rest(world, first.key, "GET", f"/tenants/{world.tenant_id}")).status == 401
    third = await alice.send("apikey.rotate", key_id=second.data.api_key.id)
    assert (await rest(world, second.data.key, "GET", f"/tenants/{world.tenant_id}")).status == 401
    assert (await rest(world, third.data.key, "GET", f"/tenants/{world.tenant_id}")).success


async def test_who_may_give_which_scopes(world: World, alice: Person) -> None:
    viewer = world.person("viewer")
    made = await make_key(viewer, "write")
    assert made.api_key.scopes == ["presence.share", "project.view", "tenant.view"], (
        "of a group, what is his own"
    )
    beyond = {"name": "x", "scopes": ["read", "task.edit"]}
    path = f"/users/{viewer.id}/api-keys"
    refused = await viewer.rest("POST", path, json=beyond)
    assert (refused.status, refused.error.details) == (403, {"permission": "task.edit"})
    widened = await viewer.rest("PUT", f"{path}/{made.api_key.id}", json={"scopes": ["task.edit"]})
    assert widened.status == 403
    for scopes in ([], ["nonsense"], ["*"]):
        bad = await viewer.rest("POST", path, json={"name": "x", "scopes": scopes})
        assert (bad.status, list(bad.error.field_errors)) == (422, ["scopes"])
    given = await alice.send(
        "project.add_member", project_id=world.project_id, user_id=viewer.id, role="member"
    )
    assert given.success
    allowed = await make_key(viewer, "task.edit", "project.view")
    move = {"column_id": world.columns["Done"]}
    moved = await rest(world, allowed.key, "POST", f"/tasks/{world.tasks[0]}/move", json=move)
    assert moved.success, "a role in a project may allow more"


@pytest.mark.parametrize("ends", ["2020-01-01T00:00:00Z", "now"])
async def test_an_end_must_lie_ahead(world: World, alice: Person, ends: str) -> None:
    reply = await alice.send("apikey.create", name="x", scopes=["read"], expires_at=ends)
    assert list(reply.error.field_errors) == ["expires_at"]


async def test_the_settings_bound_life_and_number(worlds: Any) -> None:
    world = await worlds(api_key_max_days=30, api_keys_max=2)
    alice = world.person("alice")
    made = await make_key(alice, "read")
    left = datetime.fromisoformat(made.api_key.expires_at) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    path = f"/users/{alice.id}/api-keys"
    late = (datetime.now(UTC) + timedelta(days=31)).isoformat()
    refused = await alice.rest("POST", path, json={"name": "x", "scopes": ["read"], "expires_at": late})
    assert list(refused.error.field_errors) == ["expires_at"]
    await make_key(alice, "read")
    third = await alice.rest("POST", path, json={"name": "x", "scopes": ["read"]})
    assert (third.status, third.error.code) == (409, "CONFLICT")
    assert (await alice.rest("DELETE", f"{path}/{made.api_key.id}")).success
    await make_key(alice, "read")


async def test_a_connection_keeps_its_credential(world: World) -> None:
    alice = await world.person("alice").connect()
    made = await make_key(alice, "read")
    script = await program(world, made.key)
    for person, token in ((script, made.key), (script, alice.tokens.access_token), (alice, made.key)):
        reply = await person.send("session.refresh", token=token)
        assert reply.error.code == "CONFLICT"
    refused = await script.send("task.create", room=world.project, title="x")
    assert refused.error.code == "FORBIDDEN", "still a key"


async def test_ones_own_room_is_open_to_a_key_that_may_see_projects(world: World) -> None:
    alice = world.person("alice")
    room = f"user:{world.user_ids['alice']}"
    narrow = await program(world, (await make_key(alice, "task.create")).key)
    for name in ("room.snapshot", "room.events", "room.join"):
        assert (await narrow.send(name, room=room)).error.code == "FORBIDDEN"
    assert (await narrow.send("project.list")).error.details == {"permission": "project.view"}
    seeing = await program(world, (await make_key(alice, "project.view")).key)
    assert (await seeing.send("room.snapshot", room=room)).success
    assert (await seeing.send("project.list")).success


async def test_a_dump_holds_nothing_that_opens_anything(world: World) -> None:
    alice = world.person("alice")
    made = await make_key(alice)
    again = await alice.rest("POST", f"/users/{alice.id}/api-keys/{made.api_key.id}/rotate", json={})
    assert again.success
    async with world.sql() as db:
        tables = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        dump = str([await db.fetch(f"SELECT t::text FROM {table['tablename']} AS t") for table in tables])
    assert made.api_key.id in dump
    for key in (made.key, again.data.key):
        assert key not in dump
        assert key.rpartition("_")[2] not in dump


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the server would write to its log."""
    before, file = structlog.get_config(), io.StringIO()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.JSONRenderer(serializer=logs.line),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.WriteLoggerFactory(file=file),
        cache_logger_on_first_use=False,
    )
    yield file
    structlog.configure(**before)


async def test_the_log_names_the_key_and_does_not_tell_it(world: World, written: io.StringIO) -> None:
    made = await make_key(world.person("alice"), "read")
    refused = await rest(world, made.key, "GET", f"/tasks/{made.key}")
    assert refused.status == 422
    await rest(world, made.key, "POST", "/tenants", json={"name": made.key})
    script = await program(world, made.key)
    await script.send("task.create", room=world.project, title=made.key)
    assert made.api_key.id in written.getvalue()
    assert made.api_key.prefix in written.getvalue(), "the path of the request"
    assert made.key.rpartition("_")[2] not in written.getvalue()
    assert world.people[0].tokens.access_token not in written.getvalue()


def test_groups_hold_nothing_that_manages() -> None:
    for name in GROUPS["write"]:
        assert name.partition(".")[0] in ("tenant", "project", "board", "task", "comment", "presence")
    assert not {"tenant.manage", "tenant.delete", "project.delete", "project.share"} & GROUPS["write"]
    assert GROUPS["read"] == {"tenant.view", "project.view"}


async def test_a_herd_of_calls_writes_its_use_once(world: World) -> None:
    made = await make_key(world.person("alice"), "read")
    async with world.sql() as db:
        await db.execute("CREATE SEQUENCE writes; GRANT ALL ON SEQUENCE writes TO atrium_app")
        await db.execute(
            "CREATE FUNCTION count_write() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM nextval('writes'); RETURN NEW; END $$"
        )
        await db.execute(
            "CREATE TRIGGER counted BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION count_write()"
        )
    replies = await asyncio.gather(
        *(rest(world, made.key, "GET", f"/tenants/{world.tenant_id}") for _ in range(50))
    )
    assert all(reply.success for reply in replies)
    await world.node.sessions.close()
    async with world.sql() as db:
        assert await db.fetchval("SELECT last_value FROM writes WHERE is_called") == 1

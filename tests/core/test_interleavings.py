"""What comes between two steps of the core: each of these has gone wrong once."""

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from handlers.groups import Group
from server import hub as hub_module
from server import rights as rights_module
from storage.rooms import RoomKey
from tests.raw import raw
from tests.world import Board, Cluster, Person, World, fresh_world, second_node, until


async def test_who_joins_while_a_check_of_rights_waits_for_its_reading(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gus, a guest, joins after a check has begun, and is taken out before it reads: it must know of him."""
    watch, begun, go_on = world.node.gateway.rights, asyncio.Event(), asyncio.Event()
    alice, gus = await world.person("alice").connect(), await world.person("gus").connect()
    await alice.join(world.project)
    snapshot = watch._db.snapshot

    class Busy:
        """The database, with no connection to lend for a while."""

        @asynccontextmanager
        async def snapshot(self, *args: Any) -> AsyncIterator[Any]:
            begun.set()
            await go_on.wait()
            async with snapshot(*args) as session:
                yield session

    monkeypatch.setattr(watch, "_db", Busy())
    rechecked = asyncio.create_task(world.node.gateway.recheck(UUID(world.tenant_id)))
    await begun.wait()
    await gus.join(world.project)
    gone = await alice.send(
        "project.remove_member", project_id=world.project_id, user_id=world.user_ids["gus"]
    )
    assert gone.success, gone
    gus.forget()
    go_on.set()
    await rechecked
    assert (await alice.send("task.create", room=world.project, title="A secret")).success
    await gus.hears("room.closed", room=world.project)
    assert gus.events(world.project) == []


async def test_a_snapshot_is_not_from_after_the_rights_that_it_is_given_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        fresh_world(cluster) as world,
        second_node(world, cluster, sweep_interval=60) as (other, there),
    ):
        alice, gus = await world.person("alice").connect(), await world.person("gus", url=there).connect()
        reader = other.gateway.reader
        shared = reader._shared

        async def late(*args: Any) -> Any:
            monkeypatch.setattr(reader, "_shared", shared)
            gone = await alice.send(
                "project.remove_member", project_id=world.project_id, user_id=world.user_ids["gus"]
            )
            assert gone.success, gone
            assert (await alice.send("task.create", room=world.project, title="A secret")).success
            return await shared(*args)

        monkeypatch.setattr(reader, "_shared", late)
        reply = await gus.send("room.join", room=world.project)
        assert "A secret" not in orjson.dumps(reply).decode()
        assert reply.error.code in ("FORBIDDEN", "NOT_FOUND"), reply


async def test_a_drain_ends_though_clients_go_on_writing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out = Group.carry_out

    async def slowly(self: Group) -> Any:
        await asyncio.sleep(0.02)
        return await carry_out(self)

    monkeypatch.setattr(Group, "carry_out", slowly)
    async with fresh_world(cluster, drain_seconds=0.3) as world:
        people = [await world.person("alice").connect() for _ in range(4)]
        rooms = [world.project_id] + [
            (await people[0].send("project.create", name=f"P{n}", key=f"P{n}X")).data.project.id
            for n in range(3)
        ]
        replies: list[Any] = []

        async def write(person: Person, room: str) -> None:
            """Fifty a second, whether they are answered or not."""
            began, sent = time.monotonic(), 0
            while not over.is_set():
                while sent < (time.monotonic() - began) * 50:
                    replies.append(
                        await person.post("task.create", {"room": f"project:{room}", "title": "x"})
                    )
                    sent += 1
                await asyncio.sleep(0.002)

        over = asyncio.Event()
        writers = [asyncio.create_task(write(*each)) for each in zip(people, rooms, strict=True)]
        await asyncio.sleep(0.3)
        try:
            await asyncio.wait_for(world.node.gateway.drain(), 10)
        finally:
            over.set()
            await asyncio.gather(*writers, return_exceptions=True)
        assert not world.node.dispatcher.queued
        async with world.sql() as db:
            kept = await db.fetchval("SELECT count(*) FROM tasks WHERE title = 'x'")
        answered = [reply.result() for reply in replies if reply.done() and not reply.exception()]
        assert sum(reply.success for reply in answered) <= kept
        assert {reply.error.code for reply in answered if not reply.success} <= {"UNAVAILABLE"}


async def test_a_command_is_known_again_when_its_task_has_gone_elsewhere(
    cluster: Cluster, world: World
) -> None:
    alice, board = await world.person("alice").connect(), Board.of(world)
    bathroom = (await alice.send("project.create", name="Bathroom", key="BATH")).data.project.id
    asked = {"task_id": board.first, "changes": {"title": "Once"}, "command_id": str(uuid4())}
    first = await alice.call("task.update", asked)
    assert first.success
    went = await alice.send(
        "task.transfer", project_id=board.project, task_id=board.first, to_project_id=bathroom
    )
    assert went.success, went
    async with second_node(world, cluster) as (_, url):
        far = world.person("alice", url=url)
        far.tokens = alice.tokens
        again = await far.call("task.update", asked)
        assert (again.success, again.data) == (True, first.data), again
        assert again.meta == {**first.meta, "duplicate": True}
        other = await far.call("task.update", {**asked, "changes": {"title": "Twice"}})
        assert other.error.code == "CONFLICT"


async def test_an_id_is_no_passport_to_another_room(world: World) -> None:
    """Where nothing but the room says where a command belongs, another room is another command."""
    alice = await world.person("alice").connect()
    bathroom = (await alice.send("project.create", name="Bathroom", key="BATH")).data.project.id
    asked = {"title": "Once", "command_id": str(uuid4())}
    assert (await alice.call("task.create", {**asked, "room": world.project})).success
    other = await alice.call("task.create", {**asked, "room": f"project:{bathroom}"})
    assert other.error.code == "CONFLICT"


async def test_commands_that_follow_a_task_keep_their_order(
    cluster: Cluster, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, board = await world.person("alice").connect(), Board.of(world)
    bathroom = (await alice.send("project.create", name="Bathroom", key="BATH")).data.project.id
    async with second_node(world, cluster) as (node, url):
        far = await world.person("alice", url=url).connect()
        assert (await far.send("task.get", task_id=board.first)).success
        went = await alice.send(
            "task.transfer", project_id=board.project, task_id=board.first, to_project_id=bathroom
        )
        assert went.success, went
        fetch, late = node.dispatcher.locator._fetch, [0.1]

        async def uneven(*args: Any) -> Any:
            await asyncio.sleep(late.pop() if late else 0)
            return await fetch(*args)

        monkeypatch.setattr(node.dispatcher.locator, "_fetch", uneven)
        sent = [
            await far.post("task.update", {"task_id": board.first, "changes": {"title": f"{n}"}})
            for n in range(3)
        ]
        replies = await asyncio.gather(*sent)
        assert [reply.success for reply in replies] == [True] * 3
        seqs = [reply.meta.seq for reply in replies]
        assert seqs == sorted(seqs)


@pytest.mark.parametrize("fate", ["project.delete", "project.archive", "project.purge"])
async def test_commands_follow_a_task_out_of_a_project_that_has_gone(
    cluster: Cluster, world: World, fate: str
) -> None:
    alice, board = await world.person("alice").connect(), Board.of(world)
    bathroom = (await alice.send("project.create", name="Bathroom", key="BATH")).data.project.id
    async with second_node(world, cluster) as (_, url):
        far = await world.person("alice", url=url).connect()
        assert (await far.send("task.get", task_id=board.first)).success
        for name, asked in (
            ("task.transfer", {"task_id": board.first, "to_project_id": bathroom}),
            *([("project.delete", {})] if fate == "project.purge" else []),
            (fate, {}),
        ):
            done = await alice.send(name, project_id=board.project, **asked)
            assert done.success, done
        reply = await far.send("task.update", task_id=board.first, changes={"title": "Here"})
        assert reply.success, reply
        assert reply.meta.room == f"project:{bathroom}"


async def test_a_command_follows_its_task_to_where_its_sender_may_do_more(
    cluster: Cluster, world: World
) -> None:
    alice, board = await world.person("alice").connect(), Board.of(world)
    bathroom = (await alice.send("project.create", name="Bathroom", key="BATH")).data.project.id
    async with second_node(world, cluster) as (_, url):
        far = await world.person("bob", url=url).connect()
        assert (await far.send("task.get", task_id=board.first)).success
        for name, asked in (
            ("task.transfer", {"task_id": board.first, "to_project_id": bathroom}),
            ("project.add_member", {"user_id": world.user_ids["bob"], "role": "viewer"}),
        ):
            done = await alice.send(name, project_id=board.project, **asked)
            assert done.success, done
        reply = await far.send("task.update", task_id=board.first, changes={"title": "Here"})
        assert reply.success, reply
        refused = await far.send("task.update", task_id=board.second, changes={"title": "There"})
        assert refused.error.code == "FORBIDDEN"


async def test_a_command_is_known_again_when_its_project_is_in_the_trash(world: World) -> None:
    alice, board = await world.person("alice").connect(), Board.of(world)
    asked = {"task_id": board.first, "changes": {"title": "Once"}, "command_id": str(uuid4())}
    first = await alice.call("task.update", asked)
    assert first.success
    assert (await alice.send("project.delete", project_id=board.project)).success
    again = await alice.call("task.update", asked)
    assert again.success, again
    assert (again.data, again.meta) == (first.data, {**first.meta, "duplicate": True})
    other = await alice.call("task.update", {**asked, "command_id": str(uuid4())})
    assert other.error.code == "NOT_FOUND"


async def test_who_was_taken_out_does_nothing_more_in_the_same_group(world: World) -> None:
    """Commands that wait for a room are carried out together, each with the rights that those before it have left."""
    alice, bob = await world.person("alice").connect(), await world.person("bob").connect()
    board, about = Board.of(world), {"project_id": world.project_id, "user_id": world.user_ids["bob"]}
    async with world.sql() as db, db.transaction():
        await db.execute("SELECT FROM rooms WHERE id = $1 FOR UPDATE", UUID(world.project_id))
        queues = world.node.dispatcher._queues
        sent = [await alice.post("task.update", {"task_id": board.second, "changes": {"title": "Before"}})]
        await until(lambda: list(queues.values()) == [[]])
        sent.append(await alice.post("project.add_member", {**about, "role": "viewer"}))
        await until(lambda: world.node.dispatcher.queued == 1)
        sent.append(await bob.post("task.update", {"task_id": board.first, "changes": {"title": "After"}}))
        await until(lambda: world.node.dispatcher.queued == 2)
    before, given, after = await asyncio.gather(*sent)
    assert (before.success, given.success) == (True, True)
    assert after.error.code == "FORBIDDEN", after


async def test_nothing_is_kept_of_a_tenant_whose_last_client_has_signed_out(world: World) -> None:
    alice = await world.person("alice").connect()
    await alice.rest("POST", "/auth/logout")
    await asyncio.wait_for(alice.disconnected.wait(), 5)
    await world.node.gateway.recheck(UUID(world.tenant_id))
    await asyncio.sleep(0.3)
    assert world.node.gateway.of_tenant(UUID(world.tenant_id)) == []
    assert world.node.hub.rights == {}


async def test_what_waits_for_a_rest_to_end_leaves_before_a_node_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "BUSY", 1)
    monkeypatch.setattr(hub_module, "REST", 60)
    alice = await world.person("alice").connect()
    await alice.join(world.project)
    await asyncio.sleep(0.3)  # presence has been told
    room = world.node.hub.rooms[RoomKey(UUID(world.tenant_id), "project", UUID(world.project_id))]
    for title in ("First", "Second"):
        assert (await alice.send("task.create", room=world.project, title=title)).success
        await asyncio.sleep(0.1)
    assert room.pending
    world.node.hub.flush_all()
    assert not room.pending
    assert room.timer is None


async def test_what_cannot_be_delivered_was_applied_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await world.person("alice").connect()
    await alice.join(world.project)
    deliver = world.node.dispatcher._deliver

    def once(batch: Any) -> None:
        monkeypatch.setattr(world.node.dispatcher, "_deliver", deliver)
        raise RuntimeError("a bug")

    monkeypatch.setattr(world.node.dispatcher, "_deliver", once)
    reply = await alice.send("task.create", room=world.project, title="Kept")
    assert reply.success, reply
    await until(lambda: reply.meta.seq in alice.seqs(world.project))


async def test_a_change_of_rights_that_a_failover_has_lost_is_not_looked_for_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told before it was lost: no reading will ever come to its number."""
    watch, tenant_id, checks = world.node.gateway.rights, UUID(world.tenant_id), 0
    await world.person("alice").connect()
    check_once = watch._check_once

    async def counted(tenant_id: UUID) -> int:
        nonlocal checks
        checks += 1
        return await check_once(tenant_id)

    monkeypatch.setattr(watch, "_check_once", counted)
    watch.want(tenant_id, watch.known(tenant_id) + 1)
    await until(lambda: not watch._checking, within=3)
    assert checks == 1


async def test_a_check_that_has_read_the_old_history_does_not_count_in_the_new_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There were more changes of rights in the old history; those that the new one has again must not be taken for them."""
    watch, hub, tenant_id = world.node.gateway.rights, world.node.hub, UUID(world.tenant_id)
    alice, gus = await world.person("alice").connect(), await world.person("gus").connect()
    await gus.join(world.project)
    check_once = watch._check_once

    async def old(_tenant_id: UUID) -> int:
        monkeypatch.setattr(watch, "_check_once", check_once)
        key = RoomKey(tenant_id, "user", UUID(alice.id))
        hub.behind(key, str(uuid4()), 0)
        return hub.rights.get(tenant_id, 0) + 100

    monkeypatch.setattr(watch, "_check_once", old)
    watch.want(tenant_id, watch.known(tenant_id) + 1)
    await until(lambda: not watch._checking)
    gone = await alice.send(
        "project.remove_member", project_id=world.project_id, user_id=world.user_ids["gus"]
    )
    assert gone.success, gone
    await gus.hears("room.closed", room=world.project, within=2)


async def test_a_token_whose_session_ends_while_it_is_taken_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check that the end of that session causes looks at the session before: the connection must not slip through."""
    sessions, checking = world.node.sessions, asyncio.Event()
    read, may_renew, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()
    alice, other = await world.person("alice").connect(), world.person("alice")
    token, principal, rights = (await other.sign_in()).access_token, sessions.principal, rights_module._rights

    async def slowly(*args: Any) -> Any:
        found = await principal(*args)
        if args[0] == token and not read.is_set():
            read.set()
            await may_renew.wait()
        return found

    async def busy(*args: Any) -> Any:
        checking.set()
        await may_end.wait()
        return await rights(*args)

    monkeypatch.setattr(sessions, "principal", slowly)
    monkeypatch.setattr(rights_module, "_rights", busy)
    renewing = await alice.post("session.refresh", {"token": token})
    await read.wait()
    assert (await other.rest("POST", "/auth/logout")).success
    await checking.wait()
    may_renew.set()
    renewed = await renewing
    may_end.set()
    if renewed.success:
        await asyncio.wait_for(alice.disconnected.wait(), 3)
    else:
        assert renewed.error.code == "UNAVAILABLE"
        assert (await alice.send("tenant.get")).success, "her own session has not ended"


async def test_nothing_is_kept_of_who_goes_while_signing_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where a check of rights has looked at it meanwhile: its membership ends in a year."""
    gateway, begun, go_on = world.node.gateway, asyncio.Event(), asyncio.Event()
    token, own_rooms, kept = await world.token("gus"), gateway._own_rooms, list[Any]()

    async def slowly(connection: Any, since: object) -> Any:
        rooms = await own_rooms(connection, since)
        kept.append(weakref.ref(connection))
        begun.set()
        await go_on.wait()
        return rooms

    monkeypatch.setattr(gateway, "_own_rooms", slowly)
    async with raw(world, name=None) as client:
        await client.text("40" + orjson.dumps({"token": token}).decode())
        await begun.wait()
        await gateway.recheck(UUID(world.tenant_id))
        await until(lambda: not gateway.rights._checking)
        begun.clear()
    await until(lambda: not gateway.engines["/socket.io/"].sockets)
    go_on.set()
    await until(lambda: not gateway._tasks)
    gc.collect()
    assert [one() for one in kept] == [None]


async def test_who_signs_in_while_a_drain_begins_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be told nothing of the drain, and be left behind where that is over before."""
    gateway, begun, go_on = world.node.gateway, asyncio.Event(), asyncio.Event()
    token, principal = await world.token("alice"), world.node.sessions.principal

    async def slowly(*args: Any) -> Any:
        found = await principal(*args)
        begun.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(world.node.sessions, "principal", slowly)
    async with raw(world, name=None) as client:
        await client.text("40" + orjson.dumps({"token": token}).decode())
        await begun.wait()
        await gateway.drain()
        go_on.set()
        while (packet := await client.packet(within=3)) is not None:
            assert not packet.startswith("40"), "signed in by a node that goes away"
    assert not gateway.connections
    assert not gateway.of_tenant(UUID(world.tenant_id))

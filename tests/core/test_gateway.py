"""The gateway against stock clients, odd clients and vandals: no bad input closes a connection."""

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp
import msgpack
import orjson
import pytest
import socketio

from handlers.groups import Group
from tests.raw import raw
from tests.world import PATIENCE, Board, Person, World, until


async def test_the_greeting_says_where_one_stands(world: World) -> None:
    alice = await world.person("alice").connect()
    (greeting,) = [data for name, data in alice.journal if name == "session.ready"]
    assert greeting.user == {"id": alice.id, "name": "Alice", "email": "alice@acme.example"}
    assert (greeting.tenant.slug, greeting.role) == ("acme", "owner")
    assert set(greeting.rooms) == {world.tenant, f"user:{alice.id}"}
    assert greeting.rooms[world.tenant].mode == "current"
    assert greeting.limits.max_payload == world.node.settings.max_payload
    assert abs(time.time() - _seconds(greeting.server_time)) < 5


async def test_a_guest_is_not_let_into_the_tenants_room(world: World, alice: Person, gus: Person) -> None:
    fresh = await world.person("gus").connect()
    (greeting,) = [data for name, data in fresh.journal if name == "session.ready"]
    assert set(greeting.rooms) == {f"user:{fresh.id}"}
    await alice.send("tenant.update", name="Acme Limited")
    await gus.hears_nothing("tenant.updated")


async def test_own_rooms_resume_from_the_connect_payload(world: World) -> None:
    alice, bob = await world.person("alice").connect(), await world.person("bob").connect()
    (greeting,) = [data for name, data in bob.journal if name == "session.ready"]
    place = greeting.rooms[world.tenant]
    await bob.disconnect()
    for name in ("One", "Two"):
        await alice.send("tenant.update", name=name)
    again = await world.person("bob").connect(since={world.tenant: {"epoch": place.epoch, "seq": place.seq}})
    (greeting,) = [data for name, data in again.journal if name == "session.ready"]
    resumed = greeting.rooms[world.tenant]
    assert resumed.mode == "events"
    assert [event.data.tenant.name for event in resumed.events] == ["One", "Two"]
    await alice.send("tenant.update", name="Three")
    assert (await again.hears("tenant.updated")).seq == resumed.seq + 1


@pytest.mark.parametrize(
    "since",
    [None, 7, [], "x", {"tenant": 7}, {"TENANT": {}}, {"TENANT": {"epoch": 7, "seq": 1}},
     {"TENANT": {"epoch": "x\0", "seq": 1}}, {"TENANT": {"epoch": "x", "seq": -1}},
     {"TENANT": {"epoch": "EPOCH", "seq": -(2**62)}}, {"TENANT": {"epoch": "EPOCH", "seq": 2**63}},
     {"TENANT": {"epoch": "EPOCH", "seq": True}}, {"TENANT": {"epoch": "EPOCH", "seq": 1e300}}],
)  # fmt: skip
async def test_an_odd_since_does_no_harm(shared: World, since: Any) -> None:
    async with shared.sql() as db:
        epoch = str(await db.fetchval("SELECT epoch FROM rooms WHERE kind = 'tenant' LIMIT 1"))
    if isinstance(since, dict):
        since = {
            key.replace("TENANT", shared.tenant): (
                {**place, "epoch": epoch}
                if isinstance(place, dict) and place.get("epoch") == "EPOCH"
                else place
            )
            for key, place in since.items()
        }
    alice = await shared.person("alice").connect(since=since)
    assert (await alice.send("tenant.get")).success


# Who gets in.


@pytest.mark.parametrize("auth", [{"token": "nonsense"}, {"token": None}, {"token": 7}, {"token": ""}])
async def test_a_wrong_token_is_a_connect_error_with_a_code(shared: World, auth: dict[str, Any]) -> None:
    person = shared.person("alice")
    with pytest.raises(socketio.exceptions.ConnectionError):
        await person.connect(**auth)
    error = await person.hears("connect_error")
    assert error.data.code == "UNAUTHORIZED"
    assert error.message == error.data.message


async def test_after_a_refusal_the_same_socket_may_try_again(shared: World) -> None:
    async with raw(shared, name=None) as client:
        await client.text('40{"token":"nonsense"}')
        assert '"code":"UNAUTHORIZED"' in await client.until("44{")
        await client.sign_in((await shared.person("alice").sign_in()).access_token)
        await client.still_works()


async def test_a_token_without_a_tenant_is_refused(shared: World) -> None:
    account = {"email": "lone@new.example", "password": "a long password", "name": "Lone"}
    token = (await shared.request("POST", "/auth/register", json=account)).data.access_token
    with pytest.raises(socketio.exceptions.ConnectionError):
        await shared.person("alice").connect(token=token)


async def test_nothing_is_carried_out_before_signing_in(world: World) -> None:
    async with raw(world, name=None) as client:
        await client.text(f'421["tenant.get",{{"room":"{world.tenant}"}}]')
        await client.text(f'422["room.join",{{"room":"{world.tenant}"}}]')
        with pytest.raises(TimeoutError):
            await client.packet(within=0.2)


async def test_who_does_not_sign_in_is_closed(worlds: Callable[..., Any]) -> None:
    world = await worlds(connect_timeout=0.3)
    async with raw(world, name=None) as client:
        began = time.monotonic()
        while await client.packet() is not None:
            pass
        assert 0.2 < time.monotonic() - began < 3
    async with raw(world, name="alice") as client:
        await asyncio.sleep(0.5)
        await client.still_works()


async def test_there_is_one_namespace(shared: World) -> None:
    async with raw(shared) as client:
        await client.text('40/admin,{"token":"x"}')
        refused = await client.until("44/admin,")
        assert '"code":"NOT_FOUND"' in refused
        await client.text('42/admin,1["tenant.get",{}]')
        await client.still_works()


async def test_connecting_twice_on_one_socket_is_harmless(shared: World) -> None:
    token = (await shared.person("alice").sign_in()).access_token
    async with raw(shared) as client:
        await client.text(f'40{{"token":"{token}"}}')
        await client.text(f'40{{"token":"{token}"}}')
        await client.still_works()
        assert not [heard for heard in client.heard if heard.startswith('42["session.ready')][1:]


# Origins: what browsers send, and what a rebound name would send.


@pytest.mark.parametrize(
    ("origin", "host", "let_in"),
    [
        (None, None, True),
        ("{same}", None, True),
        ("null", None, False),
        ("https://evil.example", None, False),
        ("http://127.0.0.1:1", None, False),
        ("http://evil.example:{port}", "evil.example:{port}", False),
        ("http://localhost.evil.example:{port}", "localhost.evil.example:{port}", False),
        ("file://", None, False),
        ("http://[", None, False),
        ("http://]:x", None, False),
        ("\xe9", None, False),
    ],
)
async def test_origins_in_development(
    shared: World, origin: str | None, host: str | None, let_in: bool
) -> None:
    port = shared.url.rpartition(":")[2]
    headers = {}
    if origin is not None:
        headers["Origin"] = origin.format(same=shared.url, port=port)
    if host is not None:
        headers["Host"] = host.format(port=port)
    assert await _gets_in(shared, headers) is let_in
    path = f"{shared.url}/api/v1/auth/me"
    async with shared.http.get(path, headers=headers) as response:
        assert response.status == 401, "REST answers everybody, and lets a browser read it where allowed"
        allowed = response.headers.get("Access-Control-Allow-Origin")
        assert allowed == (headers.get("Origin") if let_in else None)


@pytest.mark.parametrize(
    ("origin", "let_in"),
    [
        (None, True),
        ("https://app.example.com", True),
        ("https://beta.example.com", True),
        ("http://app.example.com", False),
        ("https://app.example.com.evil.example", False),
        ("{same}", False),
        ("null", False),
    ],
)
async def test_origins_with_a_list(listed: World, origin: str | None, let_in: bool) -> None:
    headers = {"Origin": origin.format(same=listed.url)} if origin else {}
    assert await _gets_in(listed, headers) is let_in


@pytest.fixture(scope="module")
async def listed(cluster: Any) -> Any:
    from tests.world import fresh_world

    async with fresh_world(cluster, origins="https://app.example.com, https://beta.example.com/") as world:
        yield world


async def _gets_in(world: World, headers: dict[str, str]) -> bool:
    polling = f"{world.url}/socket.io/?EIO=4&transport=polling"
    async with world.http.get(polling, headers=headers) as response:
        polls = response.status == 200
        assert response.status in (200, 400), "an odd origin is refused, not a fault"
    try:
        async with raw(world, name=None, headers=headers):
            upgrades = True
    except aiohttp.WSServerHandshakeError as refused:
        status, upgrades = refused.status, False
        assert status < 500, "an odd origin is refused, not a fault"
    assert polls == upgrades
    return polls


# Acks and order.


async def test_ack_ids_come_back_as_they_were_sent(shared: World) -> None:
    async with raw(shared) as client:
        for ack_id in ("0", "7", "007", "9999999999"):
            await client.text(f'42{ack_id}["tenant.get",{{}}]')
            assert (await client.until("43")).startswith(f"43{int(ack_id)}[")


async def test_without_an_ack_id_nothing_is_answered(world: World, bob: Person, board: Board) -> None:
    async with raw(world) as client:
        await client.text(f'42["task.move",{{"task_id":"{board.first}","column_id":"{board.doing}"}}]')
        assert (await bob.hears("task.moved")).data.task.id == board.first
        await client.still_works()
        assert [heard for heard in client.heard if heard.startswith("43")][1:] == []


async def test_two_hundred_commands_of_one_connection_keep_their_order(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    sent = [
        await alice.post("task.update", {"task_id": board.first, "changes": {"title": f"Title {n}"}})
        for n in range(200)
    ]
    replies = await asyncio.gather(*sent)
    assert all(reply.success for reply in replies)
    seqs = [reply.meta.seq for reply in replies]
    assert seqs == list(range(seqs[0], seqs[0] + 200))
    await bob.hears("task.updated", seq=seqs[-1])
    titles = [data.data.task.title for name, data in bob.journal if name == "task.updated"]
    assert titles == [f"Title {n}" for n in range(200)]


async def test_a_query_sees_the_commands_sent_before_it(alice: Person, board: Board) -> None:
    for n in range(30):
        moved = await alice.post("task.update", {"task_id": board.first, "changes": {"title": f"Title {n}"}})
        seen = await alice.post("task.get", {"task_id": board.first})
        assert (await seen).data.task.title == f"Title {n}"
        assert (await moved).success


async def test_rooms_of_one_connection_keep_their_order_too(world: World, alice: Person) -> None:
    """Commands alternate between rooms; what was sent first is answered first."""
    attic = (await alice.send("project.create", name="Attic")).data.project
    rooms = [world.project, f"project:{attic.id}", world.tenant]
    answered: list[int] = []
    sent = []
    for n in range(60):
        room = rooms[n % 3]
        name = "tenant.update" if room == world.tenant else "task.create"
        field = {"name": f"Acme {n}"} if room == world.tenant else {"title": f"Task {n}"}
        reply = await alice.post(name, {"room": room, **field})
        reply.add_done_callback(partial(_note, answered, n))
        sent.append(reply)
    assert all(reply.success for reply in await asyncio.gather(*sent))
    assert answered == list(range(60))


def _note(answered: list[int], number: int, _: object) -> None:
    answered.append(number)


async def test_more_than_may_wait_are_not_refused_but_wait(worlds: Callable[..., Any]) -> None:
    world = await worlds(max_pending_commands=8)
    alice = await world.person("alice").connect()
    sent = [
        await alice.post("task.update", {"task_id": world.tasks[0], "changes": {"title": f"Title {n}"}})
        for n in range(100)
    ]
    assert all(reply.success for reply in await asyncio.gather(*sent))


async def test_a_heartbeat_behind_calls_that_wait_is_not_missed(
    worlds: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing more is read from who has sent too much, not even the answer to a heartbeat: that must not end it."""
    world = await worlds(max_pending_commands=4, group_commit=4, ping_interval=0.3, ping_timeout=1.0)
    carry_out = Group.carry_out

    async def slowly(self: Group) -> Any:
        await asyncio.sleep(0.2)
        return await carry_out(self)

    monkeypatch.setattr(Group, "carry_out", slowly)
    async with raw(world) as client:
        for n in range(60):
            payload = {"task_id": world.tasks[0], "changes": {"title": f"Title {n}"}}
            await client.text(f"42{n}" + orjson.dumps(["task.update", payload]).decode())
        for n in range(60):
            assert '"success":true' in await client.until(f"43{n}[")
        await client.still_works()
        async with asyncio.timeout(PATIENCE):  # and who is silent is found out as before
            while not client.ws.closed:
                await client.ws.receive()


# Bad packets.

NOT_CALLS = [
    "4", "42", "421", "42[", "42[]", "42{}", "42[1]", "42nonsense", '42["tenant.get"', "42[null,null]",
    '42["tenant.get",{},{}]', "43", "43[]", "437[1]", "44", "45", "451-", '451-["x",{"_placeholder":true,"num":0}]',
    "46", "461-7[]", "47", "49[]", "4x", "40nonsense", "40{", "40[]", "40,", "4/", "42/,[]", "42/x", "41/x,",
    "6", "2", "2probe", "3", "3probe", "5", "7", "9", "x", "", " ", "0{}", "b", "b!", "bAAAA", "bQQ==", "4\u0000", "\u2603",
    '42\u0663["tenant.get",{}]', '4299999999999["tenant.get",{}]', '42-1["tenant.get",{}]',
    '42["tenant.get",{"room":"\\ud800"}]', '42["\\ud800",{}]', "4" + "2" * 5000, "42" + "[" * 5000,
    "42[" + '{"a":' * 2000 + "1" + "}" * 2000 + "]",
]  # fmt: skip


@pytest.mark.parametrize("frame", NOT_CALLS, ids=lambda frame: repr(frame)[:30])
async def test_a_malformed_text_frame_does_no_harm(shared: World, frame: str) -> None:
    async with raw(shared) as client:
        await client.text(frame)
        await client.still_works()


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0",
        b"42[]",
        b"\xff" * 100,
        msgpack.packb({}),
        msgpack.packb([1, 2]),
        msgpack.packb({"type": 2}),
    ],
    ids=repr,
)
@pytest.mark.parametrize("parser", ["json", "msgpack"])
async def test_a_malformed_binary_frame_does_no_harm(shared: World, parser: str, frame: bytes) -> None:
    async with raw(shared, parser=parser) as client:
        await client.binary(frame)
        await client.still_works()


@pytest.mark.parametrize(
    "packet",
    [
        {"type": 2, "nsp": "/", "id": 5},
        {"type": 2, "nsp": "/", "id": 5, "data": None},
        {"type": 2, "nsp": "/", "id": 5, "data": {}},
        {"type": 2, "nsp": "/", "id": 5, "data": []},
        {"type": 2, "nsp": "/", "id": 5, "data": [7]},
        {"type": 2, "nsp": "/", "id": "5", "data": ["tenant.get", {}]},
        {"type": 2, "nsp": "/", "id": -5, "data": ["tenant.get", {}]},
        {"type": 2, "nsp": "/", "id": 2**63, "data": ["tenant.get", {}]},
        {"type": 2, "nsp": "/", "id": 5, "data": ["tenant.get", {7: 8}]},
        {"type": 2, "nsp": "/", "id": 5, "data": ["tenant.get", {"room": b"x"}]},
        {"type": 2, "nsp": "/", "id": 5, "data": ["tenant.get", msgpack.ExtType(5, b"x")]},
        {"type": 2, "nsp": 7, "id": 5, "data": ["tenant.get", {}]},
        {"type": "2", "nsp": "/", "id": 5, "data": ["tenant.get", {}]},
        {"type": None},
        {"type": 0, "nsp": "/", "data": 7},
        {"type": 0, "nsp": b"/admin", "data": {}},
        {"type": 0, "nsp": "admin", "data": {}},
        {"type": 0, "nsp": "/a,b", "data": {}},
        {"type": 2, "nsp": "/", "id": 5, "data": ["presence.set", {"room": "x", "cursor": {"x": float("nan")}}]},
    ],
    ids=lambda packet: repr(packet)[:60],
)  # fmt: skip
async def test_an_odd_msgpack_packet_does_no_harm(shared: World, packet: Any) -> None:
    async with raw(shared, parser="msgpack") as client:
        await client.send(packet)
        await client.still_works()


@pytest.mark.parametrize("depth", [100, 250, 500, 900, 1000])
async def test_deep_msgpack_does_no_harm(shared: World, depth: int) -> None:
    packer = msgpack.Packer(autoreset=False)
    packer.pack_map_header(4)
    for key, value in (("type", 2), ("nsp", "/"), ("id", 5)):
        packer.pack(key)
        packer.pack(value)
    packer.pack("data")
    packed = packer.bytes() + b"\x91" * depth + b"\x01"
    async with raw(shared, parser="msgpack") as client:
        await client.binary(packed)
        await client.still_works()


async def test_a_binary_event_is_refused_and_its_attachments_are_dropped(shared: World) -> None:
    async with raw(shared) as client:
        await client.text('452-9["task.create",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]')
        await client.binary(b"first")
        await client.binary(b"second")
        refused = await client.until("439[")
        assert '"code":"VALIDATION_ERROR"' in refused
        assert '"request_id":""' not in refused, "an answer without a request id cannot be found in the log"
        await client.still_works()


async def test_a_polling_client_that_has_gone_leaves_nothing(world: World) -> None:
    """What stands behind its goodbye in one POST comes from nobody."""
    polling = f"{world.url}/socket.io/?EIO=4&transport=polling"
    for goodbye in ("1", "41"):
        async with world.http.get(polling) as opening:
            sid = orjson.loads((await opening.text())[1:])["sid"]
        async with world.http.post(f"{polling}&sid={sid}", data=f"{goodbye}\x1e451-[]\x1e40") as response:
            await response.read()
    assert not world.node.gateway._attachments
    assert not world.node.gateway._unauthenticated


async def test_a_client_that_has_gone_leaves_nothing(world: World) -> None:
    """The same over WebSocket, signed in or not, and whoever of the two says goodbye."""
    gateway = world.node.gateway
    for name in (None, "alice"):
        for goodbye in ("1", "41"):
            async with raw(world, name=name) as client:
                for frame in (goodbye, "451-[]", "40"):
                    await client.text(frame)
                assert await client.packet() in ("1", None)
    await until(lambda: not gateway.connections)
    assert not gateway._attachments
    assert not gateway._unauthenticated


async def test_garbage_does_no_harm(shared: World) -> None:
    random_ = random.Random(20261120)
    alphabet = '0123456789[]{}",:/-abtruenl\\ \u0000\u00e9\u2603\U0001f600'
    async with raw(shared) as client:
        for turn in range(300):
            length = random_.randrange(40)
            if turn % 3:
                prefix = random_.choice(["4", "42", "421", "45", "40", "43", "", "b"])
                body = "".join(random_.choice(alphabet) for _ in range(length))
                if (prefix + body)[:1] == "1" or (prefix + body)[:2] == "41":
                    continue  # a goodbye, well said
                await client.text(prefix + body)
            else:
                await client.binary(random_.randbytes(length))
        await client.text("450-[]")
        await client.still_works()


async def test_a_frame_that_is_too_large_is_refused_by_rest_and_socket(worlds: Callable[..., Any]) -> None:
    world = await worlds(max_payload=2048)
    alice = await world.person("alice").connect()
    title = {"title": "x" * 400, "description": "y" * 5000}
    reply = await alice.rest("POST", f"/projects/{world.project_id}/tasks", json=title)
    assert (reply.status, reply.error.code) == (413, "PAYLOAD_TOO_LARGE")
    assert (await alice.send("tenant.get")).success


@pytest.mark.parametrize(
    "name", [None, 7, "", "task", "task.explode", "x" * 10_000, [], {}, "__proto__", "connect"]
)
async def test_unknown_names(shared: World, name: Any) -> None:
    async with raw(shared) as client:
        reply = await client.call(name, {})
        assert (reply.error.code, reply.request_id != "") == ("UNKNOWN_COMMAND", True)


async def test_endpoints_are_not_for_sockets(shared: World) -> None:
    async with raw(shared) as client:
        reply = await client.call("auth.login", {"email": "alice@acme.example", "password": "x"})
        assert reply.error.code == "UNKNOWN_COMMAND"


# Both formats, both transports, one room.


async def test_members_of_both_formats_share_a_room(world: World, board: Board) -> None:
    alice = await world.person("alice").connect()
    bob = await world.person("bob").connect(path="msgpack/socket.io")
    for person in (alice, bob):
        await person.join(board.room)
    reply = await bob.send("task.move", task_id=board.first, column_id=board.doing)
    for person in (alice, bob):
        heard = await person.hears("task.moved")
        assert (heard.seq, heard.data) == (reply.meta.seq, reply.data)


async def test_long_polling_alone_and_with_an_upgrade(world: World, alice: Person, board: Board) -> None:
    for transports in (["polling"], ["polling", "websocket"]):
        client = socketio.AsyncClient(reconnection=False, http_session=world.http)
        heard: asyncio.Queue[Any] = asyncio.Queue()
        client.on("task.moved", heard.put_nowait)
        ready = asyncio.Event()
        client.on("session.ready", lambda _, ready=ready: ready.set())
        token = (await world.person("bob").sign_in()).access_token
        await client.connect(world.url, auth={"token": token}, transports=transports)
        await asyncio.wait_for(ready.wait(), 5)
        joined = await client.call("room.join", {"room": board.room})
        assert joined["success"]
        for column in (board.doing, board.todo):
            reply = await alice.send("task.move", task_id=board.first, column_id=column)
            event = await asyncio.wait_for(heard.get(), 5)
            assert event["seq"] == reply.meta.seq
        await client.disconnect()


# The life of a token.


async def test_a_session_is_warned_and_renewed(world: World) -> None:
    ttl, world.node.tokens.ttl = world.node.tokens.ttl, 2
    alice = await world.person("alice").connect()
    world.node.tokens.ttl = ttl
    warning = await alice.hears("session.expiring", within=3)
    assert 0 < _seconds(warning.expires_at) - time.time() <= 2
    renewed = await alice.send("session.refresh", token=(await world.person("alice").sign_in()).access_token)
    assert _seconds(renewed.data.expires_at) - time.time() > ttl / 2
    other = await alice.send("session.refresh", token=(await world.person("bob").sign_in()).access_token)
    assert other.error.code == "CONFLICT"
    nonsense = await alice.send("session.refresh", token="nonsense")
    assert nonsense.error.code == "UNAUTHORIZED"
    await asyncio.sleep(max(_seconds(warning.expires_at) - time.time(), 0) + 0.1)
    assert (await alice.send("tenant.get")).success


async def test_a_socket_is_closed_some_time_after_its_token_expired(world: World) -> None:
    ttl, world.node.tokens.ttl = world.node.tokens.ttl, 1
    world.node.settings.token_expiry_grace = 0.3
    alice = await world.person("alice").connect()
    world.node.tokens.ttl = ttl
    await alice.hears("session.expiring")
    assert (await alice.send("tenant.get")).success
    await asyncio.wait_for(alice.disconnected.wait(), 4)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await world.person("alice").connect(token=alice.tokens.access_token)
    await until(lambda: not world.node.gateway.connections)


# Presence and typing.


async def test_who_comes_and_goes_is_seen(world: World, alice: Person, board: Board) -> None:
    bob = await world.person("bob").connect()
    joined = await bob.join(board.room)
    assert {member.name for member in joined.presence.members} >= {"Alice"}
    while "Bob" not in [p.name for p in (await alice.hears("presence.changed", room=board.room)).joined]:
        pass
    await bob.send("presence.set", room=board.room, status="busy", focus={"kind": "task", "id": board.first})
    (changed,) = (await alice.hears("presence.changed", room=board.room)).updated
    assert (changed.status, changed.focus.id) == ("busy", board.first)
    await bob.disconnect()
    assert [p.user_id for p in (await alice.hears("presence.changed", room=board.room)).left] == [bob.id]


@pytest.mark.parametrize("nodes", ["one node", "two nodes"])
async def test_of_several_windows_the_last_one_used_shows_the_focus(
    pair: tuple[World, str], nodes: str
) -> None:
    world, there = pair
    room, url = world.project, there if nodes == "two nodes" else None
    alice, *windows = [world.person("alice"), world.person("bob"), world.person("bob", url=url)]
    for person in (alice, *windows):
        await person.join(room)
    for turn in range(4):
        cursor = {"turn": turn}
        assert (await windows[turn % 2].send("presence.set", room=room, cursor=cursor)).success
        async with asyncio.timeout(PATIENCE):
            while True:
                changed = await alice.hears("presence.changed", room=room)
                if cursor in [person.get("cursor") for person in (*changed.joined, *changed.updated)]:
                    break
    again = await alice.join(room)
    (bob,) = [member for member in again.presence.members if member.user_id == windows[0].id]
    assert set(bob) == {"user_id", "name", "status", "cursor"}


async def test_when_a_crowd_has_gone_everybody_is_told_who_is_left(worlds: Callable[..., Any]) -> None:
    """In a crowd there is only a count: who came into it has heard of nobody, and who was there before, of nobody's going."""
    world = await worlds(presence_detail=2)
    alice, bob, carol, gus = (world.person(name) for name in ("alice", "bob", "carol", "gus"))
    for count, person in enumerate((alice, bob, carol), 1):
        await person.join(world.project)
        await alice.hears("presence.changed", room=world.project, count=count)
    joined = await gus.join(world.project)
    assert (joined.presence.members, joined.presence.count) == ([], 3)
    await gus.hears("presence.changed", room=world.project, count=4)
    await bob.disconnect()
    await gus.hears("presence.changed", room=world.project, count=3)
    await carol.disconnect()
    for person in (alice, gus):
        heard = await person.hears("presence.changed", room=world.project, count=2)
        assert {member.user_id for member in heard.joined} == {alice.id, gus.id}
        assert [member.user_id for member in heard.left] == [bob.id]
    assert (await gus.send("presence.set", room=world.project, status="busy")).success
    (changed,) = (await alice.hears("presence.changed", room=world.project, count=2)).updated
    assert changed.user_id == gus.id


async def test_typing_is_told_to_the_others(world: World, alice: Person, bob: Person, board: Board) -> None:
    await bob.send("typing.start", room=board.room)
    heard = await alice.hears("typing")
    assert (heard.user_id, heard.room) == (bob.id, board.room)
    assert 4 < _seconds(heard.until) - time.time() <= 6.5
    await bob.hears_nothing("typing")
    await bob.send("typing.stop", room=board.room)
    assert _seconds((await alice.hears("typing")).until) - time.time() < 1


async def test_signals_need_the_room(world: World, alice: Person) -> None:
    fresh = await world.person("bob").connect()
    for name in ("presence.set", "typing.start", "typing.stop"):
        for room in (world.project, "nonsense", "project:x"):
            assert (await fresh.send(name, room=room)).error.code == "NOT_FOUND"


async def test_a_large_or_deep_cursor_is_refused(shared: World) -> None:
    async with raw(shared) as client:
        await client.call("room.join", {"room": shared.project})
        large = await client.call("presence.set", {"room": shared.project, "cursor": {"x": "y" * 2000}})
        assert large.error.code == "VALIDATION_ERROR"
        for depth in (100, 200, 250, 252, 253, 254, 255, 256, 300, 500, 1000):
            body = '{"a":' * depth + "1" + "}" * depth
            reply = await client.call_text(f'["presence.set",{{"room":"{shared.project}","cursor":{body}}}]')
            assert reply.success or reply.error.code == "VALIDATION_ERROR", (depth, reply.error)
        await client.still_works()


async def test_however_deep_a_cursor_is_others_join_and_are_told(world: World) -> None:
    """What is sent of it has a few levels more around it than what came."""
    alice, bob = await world.person("alice").connect(), world.person("bob")
    await alice.join(world.project)
    async with raw(world, name="gus") as client:
        await client.call("room.join", {"room": world.project})
        deepest = 0
        for depth in range(200, 256):
            body = '{"a":' + "[" * depth + "]" * depth + "}"
            reply = await client.call_text(f'["presence.set",{{"room":"{world.project}","cursor":{body}}}]')
            deepest = depth if reply.success else deepest
        assert (await bob.join(world.project)).presence.count == 2
        told = ""
        while told.count("[") != deepest:
            heard = await alice.hears("presence.changed")
            told = "".join(str(person.get("cursor")) for person in (*heard.joined, *heard.updated))


def _seconds(timestamp: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(timestamp).timestamp()

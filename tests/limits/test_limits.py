"""Limits as clients meet them, by REST and by socket."""

import asyncio
import math
import re
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from handlers.registry import SPECS
from server.app import Refused, check_settings
from storage.settings import Settings
from storage.valkey import EmbeddedValkey
from tests.raw import raw
from tests.world import Board, Cluster, Person, World, second_node, settings_for

Worlds = Callable[..., Any]
GENEROUS = {
    name: "100000/second"
    for name in Settings.model_fields
    if name.startswith("limit_") and name != "limit_commands"
}


@pytest.fixture
def limited(worlds: Worlds) -> Worlds:
    """Worlds with limits, all generous but those a test is about."""

    async def make(**changes: Any) -> World:
        world: World = await worlds(**{**GENEROUS, "rate_limits": True, **changes})
        return world

    return make


async def _statuses(calls: list[Any]) -> list[int]:
    return [reply.status for reply in await asyncio.gather(*calls)]


# By REST.


async def test_500_calls_at_once(limited: Worlds) -> None:
    world = await limited(limit_user="40/minute")
    alice, bob = world.person("alice"), world.person("bob")
    await alice.sign_in()
    statuses = await _statuses([alice.rest("GET", "/auth/me") for _ in range(500)])
    assert (statuses.count(200), statuses.count(429)) == (40, 460)
    assert (await bob.rest("GET", "/auth/me")).status == 200, "a budget is a person's own"


async def test_room_again_after_retry_after(limited: Worlds) -> None:
    world = await limited(limit_user="3/second")
    alice = world.person("alice")
    await alice.sign_in()
    while (reply := await alice.rest("GET", "/auth/me")).status == 200:
        pass
    assert reply.error.code == "RATE_LIMITED"
    assert reply.error.details == {"budget": "user-second", "limit": 3, "seconds": 1}
    assert 0 < reply.error.retry_after <= 2
    assert int(reply.headers["Retry-After"]) == max(1, math.ceil(reply.error.retry_after))
    await asyncio.sleep(reply.error.retry_after)
    assert (await alice.rest("GET", "/auth/me")).status == 200


async def test_the_headers(limited: Worlds) -> None:
    world = await limited(limit_user="5/minute;100/hour")
    alice = world.person("alice")
    await alice.sign_in()
    for call in range(1, 8):
        reply = await alice.rest("GET", "/auth/me", headers={"Origin": world.url})
        headers = reply.headers
        assert headers["X-RateLimit-Limit"] == "5"
        assert headers["X-RateLimit-Remaining"] == str(max(0, 5 - call))
        assert 0 < int(headers["X-RateLimit-Reset"]) <= (60 if call <= 5 else 120)
        assert headers["RateLimit-Policy"] == '"user-minute";q=5;w=60, "user-hour";q=100;w=3600'
        found = re.fullmatch(
            r'"user-minute";r=(\d+);t=(\d+), "user-hour";r=(\d+);t=(\d+)', headers["RateLimit"]
        )
        assert found
        assert int(found[1]) == max(0, 5 - call)
        assert int(found[3]) == max(95, 100 - call)
        exposed = headers["Access-Control-Expose-Headers"].split(", ")
        assert {"Retry-After", "RateLimit", "RateLimit-Policy", "X-RateLimit-Remaining"} <= set(exposed)
        assert ("Retry-After" in headers) == (reply.status == 429) == (call > 5)


async def test_off_is_off(world: World) -> None:
    alice = world.person("alice")
    await alice.sign_in()
    replies = await asyncio.gather(*(alice.rest("GET", "/auth/me") for _ in range(150)))
    assert {reply.status for reply in replies} == {200}
    assert not [name for name in replies[0].headers if "ratelimit" in name.lower()]


async def test_refused_and_repeated_calls_cost_as_well(limited: Worlds) -> None:
    world = await limited(limit_user="6/hour")
    board, alice = Board.of(world), world.person("alice")
    move = {"column_id": board.doing}
    headers = {"Idempotency-Key": str(uuid4())}
    statuses = []
    for path, body in (
        (f"/tasks/{board.first}/move", move), (f"/tasks/{board.first}/move", move),  # applied, and repeated
        (f"/tasks/{board.first}/move", {"bogus": 1}), (f"/tasks/{board.second}/move", move),
    ):  # fmt: skip
        statuses.append((await alice.rest("POST", path, json=body, headers=headers)).status)
    assert statuses == [200, 200, 422, 409]
    reply = await alice.rest("GET", "/auth/me")
    assert reply.headers["X-RateLimit-Remaining"] == "1"


async def test_a_tenant_has_a_budget(limited: Worlds) -> None:
    world = await limited(limit_tenant="10/hour", limit_user="8/hour")
    alice, bob, mallory = (world.person(name) for name in ("alice", "bob", "mallory"))
    for person in (alice, bob, mallory):
        await person.sign_in()
    # Twenty of Alice's calls are refused, and cost the tenant nothing.
    statuses = await _statuses([alice.rest("GET", f"/projects/{world.project_id}") for _ in range(28)])
    assert statuses.count(200) == 8
    replies = [await bob.rest("GET", f"/projects/{world.project_id}") for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[-1].error.details.budget == "tenant-hour"
    assert (await mallory.rest("GET", "/auth/me")).status == 200


async def test_the_instance_has_a_budget(limited: Worlds) -> None:
    world = await limited(limit_instance="12/hour")
    alice, mallory = world.person("alice"), world.person("mallory")
    await alice.sign_in()
    await mallory.sign_in()
    for _ in range(5):
        for person in (alice, mallory):
            assert (await person.rest("GET", "/auth/me")).status == 200
    assert (await alice.rest("GET", "/auth/me")).error.details.budget == "instance-hour"
    assert (await world.request("POST", "/auth/refresh", json={"refresh_token": "x" * 30})).status == 429


async def test_an_address_without_a_sign_in_has_its_own(limited: Worlds) -> None:
    world = await limited(limit_address="20/hour", trusted_proxies="127.0.0.0/8")
    alice = world.person("alice")
    await alice.sign_in()

    async def stranger(address: str, **headers: str) -> Any:
        return await world.request("GET", "/auth/me", headers={"X-Forwarded-For": address, **headers})

    statuses = await _statuses([stranger("198.51.100.1", Authorization=f"Bearer {n}") for n in range(25)])
    assert (statuses.count(401), statuses.count(429)) == (20, 5)
    assert (await stranger("198.51.100.2")).status == 401
    # Somebody who is signed in there is not kept out by strangers.
    bearer = {"Authorization": f"Bearer {await world.token('alice')}"}
    assert (await stranger("198.51.100.1", **bearer)).status == 200
    # A /64 of IPv6 is one customer.
    for number in range(20):
        assert (await stranger(f"2001:db8::{number:x}:1")).status == 401
    assert (await stranger("2001:db8::ffff")).status == 429
    assert (await stranger("2001:db8:0:1::1")).status == 401


@pytest.mark.parametrize(
    ("path", "body", "setting"),
    [
        ("/auth/login", {"email": "alice@acme.example", "password": "wrong guess"}, "limit_sign_in"),
        ("/auth/register", {"email": "new@acme.example", "password": "x"}, "limit_register"),
        ("/auth/forgot-password", {"email": "alice@acme.example"}, "limit_recovery"),
        ("/auth/reset-password", {"token": "x" * 30, "new_password": "long enough indeed"}, "limit_recovery"),
        ("/auth/verify-email", {"token": "x" * 30}, "limit_recovery"),
        ("/auth/resend-verification", {"email": "alice@acme.example"}, "limit_recovery"),
    ],
)
async def test_what_can_be_guessed_at_is_limited_more(
    limited: Worlds, path: str, body: dict[str, str], setting: str
) -> None:
    world = await limited(**{setting: "5/hour"}, trusted_proxies="127.0.0.0/8", login_tries=0)

    async def call(address: str) -> Any:
        return await world.request("POST", path, json=body, headers={"X-Forwarded-For": address})

    statuses = await _statuses([call("198.51.100.1") for _ in range(12)])
    assert statuses.count(429) == 7
    assert (await call("198.51.100.2")).status != 429


def test_no_public_endpoint_that_takes_a_secret_is_forgotten() -> None:
    """Whoever adds one says what its limit is; these are the ones that need none of their own."""
    free = {spec.name for spec in SPECS.values() if spec.public and not spec.limit}
    # A refresh token has 256 bits; branding is for everybody to see.
    assert free <= {"auth.refresh", "branding.get"}, (
        "give the endpoint a limit=, or add it here with a reason"
    )


async def test_a_flood_of_sign_ins_is_stopped_before_any_hash(limited: Worlds) -> None:
    world = await limited(limit_sign_in="10/minute", argon2_memory=19456, argon2_time=2, login_tries=0)
    body = {"email": "alice@acme.example", "password": "wrong guess"}
    started = time.monotonic()
    replies = await asyncio.gather(
        *(world.request("POST", "/auth/login", json=body) for _ in range(300)), return_exceptions=True
    )
    statuses = [reply.status for reply in replies if not isinstance(reply, BaseException)]
    assert (statuses.count(401), statuses.count(429)) == (10, 290)
    assert time.monotonic() - started < 20, "300 hashes would take longer"


async def test_a_call_may_have_a_budget_of_its_own(limited: Worlds) -> None:
    world = await limited(limit_commands="task.move=2/hour, auth.login=3/hour, auth.me=")
    board, bob = Board.of(world), world.person("bob")
    await bob.sign_in()
    columns = [board.doing, board.todo, board.doing]
    replies = [await bob.rest("POST", f"/tasks/{board.first}/move", json={"column_id": to}) for to in columns]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[-1].error.details.budget == "task.move-hour"
    assert (await bob.rest("GET", f"/projects/{board.project}")).status == 200
    body = {"email": "alice@acme.example", "password": "wrong guess"}
    statuses = await _statuses([world.request("POST", "/auth/login", json=body) for _ in range(4)])
    assert statuses.count(429) == 2  # Bob's own was the first


def test_a_budget_for_a_call_that_does_not_exist_is_refused_at_the_start(cluster: Cluster) -> None:
    settings = settings_for(cluster.directory, limit_commands="task.mvoe=2/hour")
    with pytest.raises(Refused, match=r"ATRIUM_LIMIT_COMMANDS: there is no .* task\.mvoe"):
        check_settings(settings)


# By socket.


async def test_by_socket_too(limited: Worlds) -> None:
    world = await limited(limit_socket_commands="10/hour", limit_socket_queries="3/hour")
    board, alice = Board.of(world), world.person("alice")
    await alice.join(board.room)
    replies = [
        await alice.send("task.move", task_id=board.first, column_id=to)
        for to in (board.doing, board.todo) * 6
    ]
    assert [reply.success for reply in replies] == [True] * 10 + [False] * 2
    error = replies[-1].error
    assert (error.code, error.details.budget) == ("RATE_LIMITED", "socket-commands-hour")
    assert 0 < error.retry_after <= 7200
    # Other kinds of calls, and another window of the same person, and other people.
    assert (await alice.send("tenant.get")).success
    again = world.person("alice")
    assert (
        await again.send("task.move", task_id=board.first, column_id=board.todo)
    ).error.code == "RATE_LIMITED"
    bob = world.person("bob")
    assert (await bob.send("task.move", task_id=board.first, column_id=board.todo)).success


async def test_500_calls_at_once_by_socket(limited: Worlds) -> None:
    world = await limited(limit_socket_queries="60/hour")
    windows = [world.person("alice") for _ in range(5)]
    for window in windows:
        await window.connect()
    pending = [await window.post("tenant.get", {}) for _ in range(100) for window in windows]
    replies = await asyncio.gather(*pending)
    assert [reply.success for reply in replies].count(True) == 60


async def test_a_call_by_socket_may_have_its_own_budget(limited: Worlds) -> None:
    world = await limited(limit_commands="presence.set=2/hour", limit_socket_signals="5/hour")
    board, bob = Board.of(world), world.person("bob")
    await bob.join(board.room)
    statuses = [(await bob.send("presence.set", room=board.room)).success for _ in range(3)]
    assert statuses == [True, True, False]
    typing = [(await bob.send("typing.start", room=board.room)).success for _ in range(6)]
    assert typing == [True] * 5 + [False]


async def test_whatever_comes_by_socket_costs(limited: Worlds) -> None:
    world = await limited(limit_socket_controls="4/hour")
    async with raw(world) as client:
        bodies = ['["no.such_call",{}]', "[[],{}]", '["a","b","c"]', "[1", '["room.leave",{"room":"x"}]']
        replies = [await client.call_text(body) for body in bodies]
        assert [reply.error.code for reply in replies] == [
            "UNKNOWN_COMMAND", "UNKNOWN_COMMAND", "VALIDATION_ERROR", "VALIDATION_ERROR", "RATE_LIMITED",
        ]  # fmt: skip
        await client.still_works()


async def test_the_socket_and_rest_pay_from_different_budgets(limited: Worlds) -> None:
    world = await limited(limit_user="2/hour", limit_socket_queries="2/hour")
    alice = world.person("alice")
    await alice.sign_in()
    assert [(await alice.rest("GET", "/auth/me")).status for _ in range(3)] == [200, 200, 429]
    assert [(await alice.send("tenant.get")).success for _ in range(3)] == [True, True, False]


async def test_tenant_and_instance_hold_by_socket_too(limited: Worlds) -> None:
    world = await limited(limit_socket_tenant="4/hour", limit_socket_instance="6/hour")
    alice, bob, mallory = (world.person(name) for name in ("alice", "bob", "mallory"))
    ours = [(await person.send("tenant.get")).success for person in (alice, bob, alice, bob, alice)]
    assert ours == [True] * 4 + [False]
    theirs = [await mallory.send("tenant.get") for _ in range(3)]
    assert [reply.success for reply in theirs] == [True, True, False]
    assert theirs[-1].error.details.budget == "socket-instance-hour"


async def test_an_address_may_not_begin_connections_without_end(limited: Worlds) -> None:
    world = await limited(limit_connections="5/minute")
    url = f"{world.url}/socket.io/?EIO=4&transport=polling"
    answers = []
    for _ in range(7):
        async with world.http.get(url) as answer:
            answers.append((answer.status, answer.headers.get("Retry-After")))
    assert [status for status, _ in answers] == [200] * 5 + [429] * 2
    assert 0 < int(answers[-1][1]) <= 120
    assert len(world.node.gateway.engines["/socket.io/"].sockets) == 5
    async with world.http.get(url.replace("polling", "websocket"), headers=UPGRADE) as answer:
        assert answer.status == 429


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


# On several nodes.


async def test_two_nodes_share_by_redis(limited: Worlds, cluster: Cluster, valkey: EmbeddedValkey) -> None:
    changes: dict[str, Any] = {"redis_url": valkey.url, "limit_user": "30/hour", "rate_limits": True}
    world = await limited(**changes)
    async with second_node(world, cluster, **changes) as (node, url):
        for one in (world.node, node):
            one.limits.shared.patience = 20.0  # a busy machine is no outage
        here, there = world.person("alice"), world.person("alice", url=url)
        await here.sign_in()
        await there.sign_in()
        statuses = await _statuses(
            [person.rest("GET", "/auth/me") for _ in range(50) for person in (here, there)]
        )
        assert statuses.count(200) == 30
        figures = (await world.request("GET", "/metrics")).text
        assert "atrium_limits_shared 1.0" in figures
        assert re.search(r'atrium_rate_limited_total\{budget="user-hour"\} [1-9]', figures)


async def test_nothing_fails_while_redis_is_away(limited: Worlds) -> None:
    world = await limited(redis_url="redis://127.0.0.1:1/0", limit_user="30/hour", bus_silence=0.5)
    alice: Person = world.person("alice")
    await alice.sign_in()
    statuses = await _statuses([alice.rest("GET", "/auth/me") for _ in range(40)])
    assert (statuses.count(200), statuses.count(429)) == (30, 10)
    assert "atrium_limits_shared 0.0" in (await world.request("GET", "/metrics")).text

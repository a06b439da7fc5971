"""Evidence: every command and every endpoint that may change something leaves one entry, and no secret."""

from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from handlers.evidence import INSTANCE
from server.demo import PASSWORD
from tests.contract.examples import COMMANDS, example
from tests.world import Board, Person, World

AGENT = "Mozilla/5.0 (Windows NT 10.0; rv:145.0) Gecko/20100101 Firefox/145.0"


async def entries(world: World, tenant_id: str | None = None, **wanted: Any) -> list[Any]:
    """The entries of a chain with these values, oldest first."""
    async with world.sql() as db:
        rows = await db.fetch(
            "SELECT * FROM audit_entries WHERE tenant_id = $1 ORDER BY id", UUID(tenant_id or world.tenant_id)
        )
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


@pytest.mark.parametrize("name", COMMANDS)
async def test_every_command_leaves_one_entry(world: World, name: str) -> None:
    given = example(name)
    alice = await world.person("alice").connect()
    if given.before is not None:
        await given.before(world, alice)
    before = {row["id"] for row in await entries(world)}
    command_id = str(uuid4())
    for _ in range(2):
        reply = await alice.call(name, {**given.payload(world), "command_id": command_id})
        assert reply.success, reply
    (entry,) = [row for row in await entries(world) if row["id"] not in before]
    assert (entry["action"], entry["outcome"]) == (name, "ok")
    assert str(entry["actor_id"]) == alice.id
    assert str(entry["command_id"]) == command_id
    assert (entry["address"], entry["impersonator_id"]) == ("127.0.0.1", None)
    assert entry["user_agent"]
    assert str(entry["room_id"]) == reply.meta.room.partition(":")[2]
    kind, _, id_ = entry["resource"].partition(":")
    assert kind.isidentifier()
    assert UUID(id_)
    async with world.sql() as db:
        assert await db.fetchval("SELECT user_id FROM sessions WHERE id = $1", entry["session_id"]) == UUID(
            alice.id
        )
        pending = await db.fetch("SELECT unnest(entry_ids) AS id FROM audit_pending")
        sealed = await db.fetch("SELECT entry_id AS id FROM audit_seals")
    assert [row["id"] for row in [*pending, *sealed]].count(entry["id"]) == 1


async def test_an_entry_tells_what_changed(world: World, alice: Person, board: Board) -> None:
    reply = await alice.send("task.update", task_id=board.first, changes={"title": "Measure twice"})
    assert reply.success
    (entry,) = await entries(world, action="task.update")
    assert entry["resource"] == f"task:{board.first}"
    assert orjson.loads(entry["changes"])["changes"] == {"title": "Measure twice"}
    assert orjson.loads(entry["was"]) == {"title": "Measure the walls"}


async def test_long_values_are_cut(world: World, alice: Person, board: Board) -> None:
    long = "A kitchen is never finished. " * 1000
    await alice.send("task.update", task_id=board.first, changes={"description": long})
    (entry,) = await entries(world, action="task.update")
    kept = orjson.loads(entry["changes"])["changes"]["description"]
    assert long.startswith(kept.removesuffix("…"))
    assert 100 < len(kept) < 300


async def test_a_group_keeps_its_order(world: World, alice: Person, board: Board) -> None:
    answers = [await alice.post("task.update", {"task_id": board.first, "changes": {"title": f"Title {n}"}})
               for n in range(30)]  # fmt: skip
    for answer in answers:
        assert (await answer).success
    found = [
        orjson.loads(row["changes"])["changes"]["title"] for row in await entries(world, action="task.update")
    ]
    assert found == [f"Title {n}" for n in range(30)]


async def test_a_sign_in_is_recorded(world: World) -> None:
    reply = await world.request(
        "POST", "/auth/login", json={"email": "bob@acme.example", "password": PASSWORD},
        headers={"User-Agent": AGENT},
    )  # fmt: skip
    assert reply.success, reply
    (entry,) = await entries(world, action="auth.login")
    assert (str(entry["actor_id"]), entry["outcome"]) == (reply.data.user.id, "ok")
    assert (entry["address"], entry["user_agent"]) == ("127.0.0.1", AGENT)
    assert entry["resource"] == f"session:{entry['session_id']}"


async def test_a_failed_sign_in_is_recorded_with_every_tenant_of_the_person(world: World) -> None:
    wrong = {"email": "bob@acme.example", "password": "not this one at all"}
    reply = await world.request("POST", "/auth/login", json=wrong, headers={"User-Agent": AGENT})
    assert reply.status == 401
    (entry,) = await entries(world, action="auth.login")
    assert (entry["actor_id"], entry["outcome"]) == (None, "UNAUTHORIZED")
    assert entry["resource"] == f"user:{world.user_ids['bob']}"
    assert (entry["address"], entry["user_agent"]) == ("127.0.0.1", AGENT)
    assert wrong["password"] not in str(dict(entry))


async def test_a_failed_sign_in_of_nobody_is_in_the_chain_of_the_instance(world: World) -> None:
    wrong = {"email": "nobody@acme.example", "password": "not this one at all"}
    assert (await world.request("POST", "/auth/login", json=wrong)).status == 401
    (entry,) = await entries(world, str(INSTANCE), action="auth.login")
    assert orjson.loads(entry["changes"])["email"] == "nobody@acme.example"
    assert not await entries(world, action="auth.login")


async def test_a_sign_out_is_recorded(world: World) -> None:
    bob = world.person("bob")
    assert (await bob.rest("POST", "/auth/logout")).success
    (entry,) = await entries(world, action="auth.logout")
    assert (str(entry["actor_id"]), entry["outcome"]) == (bob.id, "ok")


async def test_an_endpoint_that_says_nothing_is_noted_all_the_same(world: World) -> None:
    bob = world.person("bob")
    assert (
        await bob.rest("POST", "/auth/change-email", json={"email": "x@y.example", "password": "wrong"})
    ).status == 422
    (entry,) = await entries(world, action="auth.change_email")
    assert (entry["outcome"], orjson.loads(entry["changes"])) == (
        "VALIDATION_ERROR", {"email": "x@y.example", "password": "[hidden]"},
    )  # fmt: skip

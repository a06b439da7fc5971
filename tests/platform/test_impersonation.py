"""Acting as somebody else: what one can do, what one cannot, who sees it, and when it ends."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import socketio

from handlers.evidence import INSTANCE
from handlers.registry import SPECS
from server import admin
from server.demo import PASSWORD
from tests.identity.mailbox import mail_server, text_of
from tests.keys.hands import program, rest
from tests.platform.operators import Operator, operator
from tests.platform.test_managing import entries
from tests.world import Person, World

Pair = tuple[World, str]


async def test_one_works_as_the_person_and_everybody_sees_it(world: World, bob: Person) -> None:
    person = await operator(world)
    alice_id = world.user_ids["alice"]
    acting = await person.impersonate(alice_id, world.tenant_id)
    assert "refresh_token" not in acting
    assert (acting.user_id, acting.tenant_id, acting.expires_in) == (alice_id, world.tenant_id, 900)
    window = await program(world, acting.access_token)
    (_, ready), *_ = [entry for entry in window.journal if entry[0] == "session.ready"]
    assert (ready.user.id, ready.impersonated_by, ready.session_id) == (
        alice_id,
        person.id,
        acting.session_id,
    )
    created = await window.send("task.create", room=world.project, title="On behalf")
    assert created.success
    assert (await bob.hears("task.created")).actor.id == alice_id
    entry = (await entries(world, UUID(world.tenant_id), "task.create"))[-1]
    assert (str(entry["actor_id"]), str(entry["impersonator_id"])) == (alice_id, person.id)
    for chain in (INSTANCE, UUID(world.tenant_id)):
        (begun,) = await entries(world, chain, "platform.impersonate")
        assert begun["changes"] == {"reason": "a ticket", "session_id": acting.session_id}
        assert (str(begun["actor_id"]), begun["resource"]) == (person.id, f"user:{alice_id}")
    listed = (await world.person("alice").rest("GET", "/auth/sessions")).data.sessions
    assert [s.method for s in listed if s.id == acting.session_id] == ["impersonation"]
    own = await world.person("alice").connect()
    (_, ready), *_ = [entry for entry in own.journal if entry[0] == "session.ready"]
    assert ready.impersonated_by is None


ENDPOINTS = sorted(
    name for name, spec in SPECS.items()
    if spec.kind == "endpoint" and not spec.public and name not in ("auth.me", "auth.list_sessions", "auth.logout")
)  # fmt: skip


async def test_the_account_is_left_alone(world: World) -> None:
    person = await operator(world)
    acting = await person.impersonate(world.user_ids["alice"], world.tenant_id)
    for name in ENDPOINTS:
        spec = SPECS[name]
        assert spec.route
        path = spec.route.path
        for parameter in spec.route.params:
            path = path.replace(f"{{{parameter}}}", world.tenant_id)
        reply = await rest(
            world, acting.access_token, spec.route.method, path, json={"new_password": PASSWORD}
        )
        assert (reply.status, reply.error.details) == (403, {"reason": "impersonating"}), name
    assert (await rest(world, acting.access_token, "GET", "/auth/me")).data.user.email == "alice@acme.example"
    window = await program(world, acting.access_token)
    for name in ("apikey.create", "tenant_key.create"):
        refused = await window.send(name, name="x", scopes=["read"])
        assert refused.error.details == {"reason": "session_needed"}
    own = world.person("alice")
    await own.sign_in()
    assert (await window.send("session.refresh", token=own.tokens.access_token)).error.code == "CONFLICT"
    rival = await rest(world, acting.access_token, "POST", f"/tenants/{world.tenant_id}/switch")
    assert rival.status == 403


async def test_whom_one_cannot_act_as(world: World) -> None:
    person, other = await operator(world), await operator(world, "colleague")
    async with world.sql() as db:
        rival = str(await db.fetchval("SELECT id FROM tenants WHERE slug = 'rival'"))
        await db.execute("UPDATE users SET status = 'suspended' WHERE email = 'gus@acme.example'")
        service = await db.fetchval("SELECT gen_random_uuid()")
        await db.execute(
            "INSERT INTO users (id, email, name, kind) VALUES ($1, 's@service.invalid', 'S', 'service')",
            service,
        )
    for user_id, tenant_id, status in (
        (other.id, world.tenant_id, 403),
        (person.id, world.tenant_id, 403),
        (world.user_ids["bob"], rival, 404),
        (world.user_ids["bob"], world.user_ids["bob"], 404),
        (world.tenant_id, world.tenant_id, 404),
        (world.user_ids["gus"], world.tenant_id, 409),
        (str(service), world.tenant_id, 409),
    ):
        reply = await person.act("POST", f"/users/{user_id}/impersonate", tenant_id=tenant_id)
        assert reply.status == status, reply


async def _logout(person: Operator) -> None:
    assert (await person.rest("POST", "/auth/logout")).success


async def _revoke(person: Operator) -> None:
    assert await admin.change(person.world.node, person.email, granted=False)


async def _suspended(person: Operator) -> None:
    other = await operator(person.world, "colleague")
    assert (await other.act("POST", f"/users/{person.id}/suspend")).success


@pytest.mark.parametrize("end", [_logout, _revoke, _suspended])
async def test_it_ends_with_what_it_stands_on(pair: Pair, end: Any) -> None:
    world, there = pair
    person = await operator(world)
    bob = await world.person("bob").connect()
    acting = await person.impersonate(world.user_ids["alice"], world.tenant_id)
    window = await program(world, acting.access_token, url=there)
    await window.join(world.project)
    await end(person)
    assert (await bob.send("task.create", room=world.project, title="canary-9920")).success
    await asyncio.wait_for(window.disconnected.wait(), 5)
    assert "canary-9920" not in str(window.journal)
    assert (await rest(world, acting.access_token, "GET", "/auth/me")).status == 401
    assert (await rest(world, acting.access_token, "GET", f"/tenants/{world.tenant_id}")).status == 401
    with pytest.raises(socketio.exceptions.ConnectionError):
        await program(world, acting.access_token)
    assert (await world.person("alice").connect()).client.connected, "she is not concerned"


async def test_both_can_end_it(world: World) -> None:
    person = await operator(world)
    alice = await world.person("alice").connect()
    for by_herself in (True, False):
        acting = await person.impersonate(alice.id, world.tenant_id)
        window = await program(world, acting.access_token)
        if by_herself:
            assert (await alice.rest("DELETE", f"/auth/sessions/{acting.session_id}")).success
        else:
            assert (await rest(world, acting.access_token, "POST", "/auth/logout")).success
        await asyncio.wait_for(window.disconnected.wait(), 5)
        assert (await rest(world, acting.access_token, "GET", "/auth/me")).status == 401
    assert not alice.disconnected.is_set()


async def test_it_ends_by_the_clock_and_without_grace(world: World) -> None:
    person = await operator(world)
    world.node.settings.impersonation_ttl = 2
    acting = await person.impersonate(world.user_ids["alice"], world.tenant_id)
    window = await program(world, acting.access_token)
    await asyncio.wait_for(window.disconnected.wait(), 5)
    late = datetime.now(UTC) - datetime.fromisoformat(acting.expires_at)
    assert timedelta(seconds=-1) <= late < timedelta(seconds=1)
    assert (await rest(world, acting.access_token, "GET", "/auth/me")).status == 401


@pytest.mark.parametrize("told", [True, False])
async def test_the_person_is_told(worlds: Callable[..., Any], told: bool) -> None:
    async with mail_server() as mailbox:
        world: World = await worlds(smtp_url=mailbox.url, impersonation_mail=told)
        person = await operator(world)
        await mailbox.gets(person.email)
        await person.impersonate(world.user_ids["alice"], world.tenant_id)
        if not told:
            await mailbox.gets_nothing()
            return
        mail = await mailbox.gets("alice@acme.example", "Somebody acts as you in Acme")
        assert "The reason: a ticket" in text_of(mail)
        assert "Operator, who runs this server" in " ".join(text_of(mail).split())

"""Mails about keys, and what a new password does to them."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.demo import PASSWORD
from tests.identity.mailbox import Mailbox, html_of, mail_server, text_of, token_in
from tests.keys.hands import make_key, make_tenant_key, program, rest
from tests.world import World, until

ALICE = "alice@acme.example"


@pytest.fixture
async def posted(worlds: Callable[..., Any]) -> Any:
    async with mail_server() as box:
        world: World = await worlds(smtp_url=box.url, mail_pause=0)
        yield world, box


Posted = tuple[World, Mailbox]


async def test_a_new_key_is_told_to_its_owner(posted: Posted) -> None:
    world, mailbox = posted
    made = await make_key(world.person("alice"), name="<b>Reports</b>")
    mail = await mailbox.gets(ALICE, "A new API key for Acme")
    assert 'named "<b>Reports</b>"' in " ".join(text_of(mail).split())
    assert "&lt;b&gt;Reports" in html_of(mail)
    assert "127.0.0.1" in text_of(mail)
    assert made.key.rpartition("_")[2] not in str(mail)


async def test_an_end_is_announced_once_to_who_can_do_something(posted: Posted) -> None:
    world, mailbox = posted
    in_eight_days = (datetime.now(UTC) + timedelta(days=8)).isoformat()
    in_a_day = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    await make_key(world.person("bob"), name="Own", expires_at=in_eight_days)
    await make_key(world.person("bob"), name="Short", expires_at=in_a_day)
    await make_key(world.person("bob"), name="Endless")
    await make_tenant_key(world.person("admin"), name="By admin", expires_at=in_eight_days)
    revoked = await make_key(world.person("bob"), name="Revoked", expires_at=in_eight_days)
    bob = world.person("bob")
    await bob.sign_in()
    assert (await bob.rest("DELETE", f"/users/{bob.id}/api-keys/{revoked.api_key.id}")).success
    assert await world.node.maintenance.announce() == 0, "there is more than a week"
    await _pass(world, days=2)
    assert await world.node.maintenance.announce() == 2
    world.node.outbox.wake()
    assert await world.node.maintenance.announce() == 0
    told = {}

    def arrived() -> int:
        announced = [mail for mail in mailbox.mails if "about to expire" in mail["Subject"]]
        told.update(
            {mail["To"].addresses[0].addr_spec: " ".join(text_of(mail).split()) for mail in announced}
        )
        return len(told)

    await until(lambda: arrived() == 2)
    assert 'The API key "Own" of your account in Acme ends on' in told["bob@acme.example"]
    assert 'The API key "By admin" of the tenant Acme ends on' in told["admin@acme.example"]


async def test_where_the_maker_has_gone_the_owners_hear_of_it(posted: Posted) -> None:
    world, mailbox = posted
    in_eight_days = (datetime.now(UTC) + timedelta(days=8)).isoformat()
    await make_tenant_key(world.person("admin"), name="Orphan", expires_at=in_eight_days)
    alice = world.person("alice")
    await alice.sign_in()
    gone = await alice.rest("DELETE", f"/tenants/{world.tenant_id}/members/{world.user_ids['admin']}")
    assert gone.success
    await _pass(world, days=2)
    assert await world.node.maintenance.announce() == 1
    world.node.outbox.wake()
    assert '"Orphan" of the tenant Acme' in " ".join(
        text_of(await mailbox.gets(ALICE, "about to expire")).split()
    )


async def test_a_forgotten_password_ends_personal_keys(posted: Posted) -> None:
    world, mailbox = posted
    alice = await world.person("alice").connect()
    own, other = await make_key(alice), await make_tenant_key(alice)
    script = await program(world, own.key)
    assert (await world.request("POST", "/auth/forgot-password", json={"email": ALICE})).success
    token = token_in(await mailbox.gets(ALICE, "Set a new password"))
    password = {"token": token, "new_password": "another long password"}
    assert (await world.request("POST", "/auth/reset-password", json=password)).success
    await asyncio.wait_for(script.disconnected.wait(), 5)
    assert (await rest(world, own.key, "GET", f"/tenants/{world.tenant_id}")).status == 401
    assert (await rest(world, other.key, "GET", f"/tenants/{world.tenant_id}")).success, "it is the tenant's"
    signed_in = await world.request(
        "POST", "/auth/login", json={"email": ALICE, "password": "another long password"}
    )
    again = world.person("alice")
    again.tokens = signed_in.data
    snapshot = await again.snapshot(f"user:{again.id}")
    assert snapshot.snapshot.api_keys == []
    events = await again.rest("GET", f"/rooms/user:{again.id}/events", params={"since": 0})
    told = [event.data.api_key for event in events.data.events if "api_key" in event.data]
    assert told[-1] == {"id": own.api_key.id, "removed": True}


async def test_a_changed_password_does_not(posted: Posted) -> None:
    world, _ = posted
    alice = world.person("alice")
    made = await make_key(alice)
    change = {"current_password": PASSWORD, "new_password": "another long password"}
    assert (await alice.rest("POST", "/auth/change-password", json=change)).success
    assert (await rest(world, made.key, "GET", f"/tenants/{world.tenant_id}")).success


async def _pass(world: World, **time: float) -> None:
    """Let time pass for the keys."""
    async with world.sql() as db:
        await db.execute("UPDATE api_keys SET created_at = created_at - $1::interval", timedelta(**time))
        await db.execute("UPDATE api_keys SET expires_at = expires_at - $1::interval", timedelta(**time))
        await db.execute("UPDATE members SET joined_at = joined_at - $1::interval", timedelta(**time))

"""Tenants that insist on a second factor, and factors that administrators take away."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from server.demo import PASSWORD
from tests.identity.factors import (
    add_passkey,
    bearer,
    begin,
    code_of,
    enable,
    finish,
    first_half,
    second_half,
)
from tests.identity.mailbox import Mailbox, text_of
from tests.identity.test_accounts import login
from tests.world import Person, World

REQUIRED = {"reason": "second_factor_required"}


async def insist(alice: Person, *, on: bool = True) -> Any:
    return await alice.send("tenant.set_security", require_second_factor=on)


@pytest.fixture
async def insisting(world: World) -> World:
    """A world whose tenant acme insists; alice has an app."""
    alice = world.person("alice")
    await enable(alice)
    await alice.connect()
    assert (await insist(alice)).success
    return world


# Insisting on it.


async def test_sessions_without_one_are_put_out_at_once_on_every_node(pair: tuple[World, str]) -> None:
    world, elsewhere = pair
    alice = world.person("alice")
    await enable(alice)
    await alice.connect()
    bob = await world.person("bob").connect()
    carol = await world.person("carol", url=elsewhere).connect()
    kept = await world.person("manager", url=elsewhere).connect()
    await add_passkey(kept)
    for person in (alice, bob, carol, kept):
        await person.join(world.project)
    reply = await insist(alice)
    assert reply.data.tenant.require_second_factor is True
    # What is committed from now on reaches nobody who was shut out.
    made = await alice.send("task.create", room=world.project, title="Later")
    await kept.hears("task.created")
    for person in (bob, carol):
        await asyncio.wait_for(person.disconnected.wait(), 5)
        assert made.meta.seq not in person.seqs(world.project)
        refused = await person.rest("GET", f"/projects/{world.project_id}")
        assert (refused.status, refused.error.code, refused.error.details) == (403, "FORBIDDEN", REQUIRED)
        await person.client.connect(
            person.url, auth={"token": person.tokens.access_token}, transports=["websocket"], wait=False
        )
        error = await person.hears("connect_error")
        assert (error.data.code, error.data.details) == ("FORBIDDEN", REQUIRED)
    assert (await kept.send("tenant.get")).success


async def test_one_enrols_in_the_same_session_and_goes_on(insisting: World) -> None:
    bob = insisting.person("bob")
    reply = await bob.sign_in()
    assert reply.tenant.require_second_factor is True
    assert (await bob.rest("GET", f"/tenants/{insisting.tenant_id}")).error.details == REQUIRED
    me = await bob.rest("GET", "/auth/me")
    assert me.success
    assert me.data.security.second_factor_at is None
    await enable(bob)
    assert (await bob.rest("GET", f"/tenants/{insisting.tenant_id}")).success
    await bob.connect()


async def test_one_who_has_one_proves_it_in_the_same_session(world: World) -> None:
    """A session from before the factor was added, or one that another session added."""
    alice, bob, old = world.person("alice"), world.person("bob"), world.person("bob")
    await old.sign_in()
    await enable(alice)
    secret, _ = await enable(bob)
    await alice.connect()
    assert (await insist(alice)).success
    assert (await bob.rest("GET", f"/tenants/{world.tenant_id}")).success
    assert (await old.rest("GET", f"/tenants/{world.tenant_id}")).status == 403
    assert (await old.rest("POST", "/auth/prove", json={"password": PASSWORD})).success
    assert (await old.rest("GET", f"/tenants/{world.tenant_id}")).status == 403, "the password is the first"
    assert (await old.rest("POST", "/auth/prove", json={"code": code_of(secret)})).success
    assert (await old.rest("GET", f"/tenants/{world.tenant_id}")).success


async def test_a_sign_in_with_two_halves_or_a_passkey_enters(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    secret, _ = await enable(alice)
    device = await add_passkey(bob)
    await alice.connect()
    assert (await insist(alice)).success
    whole = await second_half(world, (await first_half(world)).token, code=code_of(secret))
    by_passkey = await finish(world, device.get(await begin(world)))
    for tokens in (whole.data, by_passkey.data):
        assert (await world.request("GET", f"/tenants/{world.tenant_id}", headers=bearer(tokens))).success


@pytest.mark.parametrize("how", ["app", "passkey"])
async def test_taking_the_last_factor_away_ends_the_entry(insisting: World, how: str) -> None:
    bob = insisting.person("bob")
    if how == "app":
        await enable(bob)
    else:
        await add_passkey(bob)
    await bob.connect()
    if how == "app":
        assert (await bob.rest("POST", "/auth/totp/disable", json={"password": PASSWORD})).success
    else:
        passkey = (await bob.rest("GET", "/auth/passkeys")).data.passkeys[0]
        assert (await bob.rest("DELETE", f"/auth/passkeys/{passkey.id}")).success
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    assert (await bob.rest("GET", f"/tenants/{insisting.tenant_id}")).error.details == REQUIRED
    assert (await bob.rest("GET", "/auth/me")).success


async def test_whoever_turns_it_on_has_one(world: World) -> None:
    alice = await world.person("alice").connect()
    refused = await insist(alice)
    assert (refused.error.code, refused.error.details) == ("FORBIDDEN", REQUIRED)
    assert (await insist(alice, on=False)).success
    await enable(alice)
    assert (await insist(alice)).success
    bob = world.person("bob")
    assert (await bob.rest("GET", f"/tenants/{world.tenant_id}")).status == 403
    assert (await insist(alice, on=False)).success
    assert (await bob.rest("GET", f"/tenants/{world.tenant_id}")).success


async def test_other_tenants_are_not_concerned(insisting: World) -> None:
    mallory = await insisting.person("mallory").connect()
    assert (await mallory.send("tenant.get")).data.tenant.require_second_factor is False
    bob = insisting.person("bob")
    founded = await bob.rest("POST", "/tenants", json={"name": "Bob's own"})
    own = {"Authorization": f"Bearer {founded.data.access_token}"}
    assert (await insisting.request("GET", f"/tenants/{founded.data.tenant.id}", headers=own)).success
    back = await insisting.request("POST", f"/tenants/{insisting.tenant_id}/switch", headers=own, json={})
    assert back.success, "tokens that name it are given"
    entered = await insisting.request("GET", f"/tenants/{insisting.tenant_id}", headers=bearer(back.data))
    assert entered.error.details == REQUIRED, "but they open nothing there"


# Taking them away from somebody.


async def test_a_reset_by_an_administrator(worlds: Callable[..., Any], mailbox: Mailbox) -> None:
    world = await worlds(smtp_url=mailbox.url)
    admin = await world.person("admin").connect()
    bob = world.person("bob")
    _, codes = await enable(bob)
    device = await add_passkey(bob)
    half = await first_half(world, "bob")
    await bob.connect()
    reply = await admin.send("member.reset_second_factor", user_id=bob.id)
    assert reply.data.member == {"id": bob.id}
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    assert (await bob.rest("GET", "/auth/me")).status == 401, "all sessions have ended"
    told = text_of(await mailbox.gets("bob@acme.example", "reset"))
    assert "administrator took" in told
    assert "127.0.0.1" in told
    assert (await finish(world, device.get(await begin(world)))).status == 401
    assert (await second_half(world, half.token, recovery_code=codes[0])).status == 401
    assert (await login(world, "bob@acme.example")).data.access_token, "the password alone opens it"
    async with world.sql() as db:
        for table in ("totps", "passkeys", "recovery_codes", "half_sign_ins", "code_tries"):
            assert await db.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_nobody_resets_one_above_or_himself(world: World) -> None:
    admin = await world.person("admin").connect()
    alice = world.person("alice")
    secret, _ = await enable(alice)
    above = await admin.send("member.reset_second_factor", user_id=alice.id)
    assert above.error.code == "FORBIDDEN"
    oneself = await admin.send("member.reset_second_factor", user_id=admin.id)
    assert (oneself.error.code, oneself.error.details) == ("FORBIDDEN", {"reason": "oneself"})
    nobody = await admin.send("member.reset_second_factor", user_id=world.project_id)
    assert nobody.error.code == "NOT_FOUND"
    assert (await second_half(world, (await first_half(world)).token, code=code_of(secret))).success


async def _works_elsewhere(world: World, bob: Person) -> None:
    assert (await bob.rest("POST", "/tenants", json={"name": "Bob's own"})).success


async def _runs_the_platform(world: World, bob: Person) -> None:
    async with world.sql() as db:
        await db.execute("UPDATE users SET platform_admin = true WHERE email = 'bob@acme.example'")


@pytest.mark.parametrize("make", [_works_elsewhere, _runs_the_platform])
async def test_an_account_that_opens_more_is_not_a_tenants_to_weaken(world: World, make: Any) -> None:
    alice = await world.person("alice").connect()
    bob = world.person("bob")
    await enable(bob)
    await make(world, bob)
    refused = await alice.send("member.reset_second_factor", user_id=bob.id)
    assert (refused.error.code, refused.error.details) == ("FORBIDDEN", {"reason": "works_elsewhere"})
    assert (await first_half(world, "bob")).methods
    async with world.sql() as db:
        await db.execute("UPDATE users SET platform_admin = true WHERE email = 'alice@acme.example'")
    assert (await alice.send("member.reset_second_factor", user_id=bob.id)).success
    assert (await login(world, "bob@acme.example")).data.access_token


# What is written down about it.


async def test_no_log_holds_what_was_given(world: World) -> None:
    alice = world.person("alice")
    secret, codes = await enable(alice)
    half, code = await first_half(world), code_of(secret)
    assert (await second_half(world, half.token, code=code)).success
    half_again = await first_half(world)
    assert (await second_half(world, half_again.token, recovery_code=codes[0])).success
    assert (await alice.rest("POST", "/auth/prove", json={"password": PASSWORD})).success
    async with world.sql() as db:
        rows = [
            str(dict(row)) for row in await db.fetch("SELECT * FROM audit_entries WHERE action LIKE 'auth.%'")
        ]
    text = "\n".join(rows)
    for given in (secret, half.token, half_again.token, codes[0], PASSWORD, f'"{code}"'):
        assert given not in text
    for action in ("auth.totp.confirm", "auth.second_factor", "auth.prove", "auth.login"):
        assert any(f"'{action}'" in row for row in rows), action

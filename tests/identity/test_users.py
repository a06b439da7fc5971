"""People: register, sign in, stay signed in, sign out; and tenants to switch between."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import socketio

from server.demo import PASSWORD
from tests.world import Person, World

NEWCOMER = {"email": "Newcomer@New.Example", "password": "correct horse", "name": " Newcomer "}


async def _refresh(world: World, token: str) -> Any:
    return await world.request("POST", "/auth/refresh", json={"refresh_token": token})


async def _me(world: World, token: str) -> Any:
    return await world.request("GET", "/auth/me", headers={"Authorization": f"Bearer {token}"})


async def test_a_new_account_can_work_at_once(world: World) -> None:
    reply = await world.request("POST", "/auth/register", json={**NEWCOMER, "tenant_name": "Café Zürich"})
    assert reply.status == 201
    assert (reply.data.user.email, reply.data.user.name) == ("newcomer@new.example", "Newcomer")
    assert (reply.data.tenant.slug, reply.data.token_type) == ("cafe-zurich", "Bearer")
    newcomer = Person(world, "newcomer@new.example")
    newcomer.tokens = reply.data
    world.people.append(newcomer)
    await newcomer.connect()
    assert (await newcomer.send("project.create", name="Coffee")).success


@pytest.mark.parametrize("name", ["a\nb", "a\r\nBcc: x", "a\x00b", "a\x1bb", "a\u2028b"])
async def test_a_name_is_one_line(shared: World, name: str) -> None:
    reply = await shared.request("POST", "/auth/register", json={**NEWCOMER, "name": name})
    assert list(reply.error.field_errors) == ["name"]


async def test_without_a_tenant_one_founds_one(world: World) -> None:
    reply = await world.request("POST", "/auth/register", json=NEWCOMER)
    assert reply.data.tenant is None
    refused = await world.request(
        "GET", "/tenants/x", headers={"Authorization": f"Bearer {reply.data.access_token}"}
    )
    assert refused.error.code in ("UNAUTHORIZED", "NOT_FOUND")
    founded = await world.request(
        "POST",
        "/tenants",
        json={"name": "Acme"},
        headers={"Authorization": f"Bearer {reply.data.access_token}"},
    )
    assert founded.status == 201
    assert founded.data.tenant.slug.startswith("acme-"), "the slug acme is taken"
    me = await _me(world, founded.data.access_token)
    assert [(m.name, m.role) for m in me.data.memberships] == [("Acme", "owner")]


async def test_an_address_is_registered_once(world: World) -> None:
    await world.request("POST", "/auth/register", json=NEWCOMER)
    again = await world.request("POST", "/auth/register", json={**NEWCOMER, "email": "newcomer@new.example"})
    assert (again.status, list(again.error.field_errors)) == (409, ["email"])


@pytest.mark.parametrize(
    ("field", "value"),
    [("email", "newcomer"), ("email", "a@b"), ("password", "short"), ("password", "x" * 257), ("name", "  ")],
)
async def test_bad_registrations(shared: World, field: str, value: str) -> None:
    reply = await shared.request("POST", "/auth/register", json={**NEWCOMER, field: value})
    assert (reply.status, list(reply.error.field_errors)) == (422, [field])


async def test_a_wrong_password_and_an_unknown_address_are_one_answer(shared: World) -> None:
    answers = [
        await shared.request("POST", "/auth/login", json={"email": email, "password": password})
        for email, password in (
            ("alice@acme.example", "wrong"),
            ("nobody@acme.example", PASSWORD),
        )
    ]
    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].error == answers[1].error


async def test_a_suspended_account_cannot_sign_in(world: World) -> None:
    async with world.sql() as db:
        await db.execute("UPDATE users SET status = 'suspended' WHERE email = 'bob@acme.example'")
    reply = await world.request(
        "POST", "/auth/login", json={"email": "bob@acme.example", "password": PASSWORD}
    )
    assert reply.status == 401


async def test_a_refresh_token_is_traded_for_a_new_pair(world: World) -> None:
    first = await world.person("alice").sign_in()
    second = await _refresh(world, first.refresh_token)
    assert second.success
    assert second.data.refresh_token != first.refresh_token
    assert second.data.tenant.id == world.tenant_id
    assert (await _me(world, second.data.access_token)).data.user.name == "Alice"
    third = await _refresh(world, second.data.refresh_token)
    assert third.success


async def test_two_tabs_race_within_the_grace(world: World) -> None:
    first = await world.person("alice").sign_in()
    replies = await asyncio.gather(*(_refresh(world, first.refresh_token) for _ in range(8)))
    assert all(reply.success for reply in replies)
    assert len({reply.data.refresh_token for reply in replies}) == 8
    for reply in replies:
        assert (await _refresh(world, reply.data.refresh_token)).success


@pytest.fixture
async def strict(worlds: Callable[..., Any]) -> Any:
    """A world where a used refresh token is stolen at once."""
    return await worlds(refresh_grace=0)


async def test_reuse_after_the_grace_ends_the_session_and_its_sockets(strict: World) -> None:
    alice = await strict.person("alice").connect()
    await alice.join(strict.project)
    elsewhere = await strict.person("alice").connect()
    stolen = alice.tokens.refresh_token
    assert (await _refresh(strict, stolen)).success
    again = await _refresh(strict, stolen)
    assert (again.status, again.error.code) == (401, "UNAUTHORIZED")
    closed = {(await alice.hears("room.closed")).room for _ in range(3)}
    assert closed == {strict.tenant, strict.project, f"user:{alice.id}"}
    await asyncio.wait_for(alice.disconnected.wait(), 5)
    assert (await _me(strict, alice.tokens.access_token)).status == 401
    assert not elsewhere.disconnected.is_set(), "another session of hers goes on"
    assert (await elsewhere.send("tenant.get")).success


async def test_the_child_of_a_stolen_token_is_dead_too(strict: World) -> None:
    first = await strict.person("alice").sign_in()
    child = await _refresh(strict, first.refresh_token)
    await _refresh(strict, first.refresh_token)
    assert (await _refresh(strict, child.data.refresh_token)).status == 401


async def test_logout_ends_the_session_and_its_sockets(world: World) -> None:
    alice = await world.person("alice").connect()
    assert (await alice.rest("POST", "/auth/logout")).success
    assert (await alice.hears("room.closed")).reason == "revoked"
    await asyncio.wait_for(alice.disconnected.wait(), 5)
    assert (await _me(world, alice.tokens.access_token)).status == 401
    assert (await _refresh(world, alice.tokens.refresh_token)).status == 401
    with pytest.raises(socketio.exceptions.ConnectionError):
        await world.person("alice").connect(token=alice.tokens.access_token)


async def test_me(world: World) -> None:
    gus = world.person("gus")
    me = await gus.rest("GET", "/auth/me")
    assert (me.data.user.email, me.data.tenant.slug) == ("gus@acme.example", "acme")
    (membership,) = me.data.memberships
    assert (membership.role, membership.slug) == ("guest", "acme")
    assert membership.expires_at.endswith("Z")
    assert "password_hash" not in me.data.user


async def test_one_switches_to_a_tenant_one_is_a_member_of(world: World) -> None:
    mallory = world.person("mallory")
    refused = await mallory.rest("POST", f"/tenants/{world.tenant_id}/switch")
    assert (refused.status, refused.error.code) == (404, "NOT_FOUND")
    alice = await world.person("alice").connect()
    await alice.send("member.add", email="mallory@rival.example", role="viewer")
    switched = await mallory.rest("POST", f"/tenants/{world.tenant_id}/switch")
    assert switched.data.tenant.id == world.tenant_id
    mallory.tokens = switched.data
    await mallory.connect()
    assert (await mallory.send("project.get", project_id=world.project_id)).success
    assert (await _refresh(world, switched.data.refresh_token)).data.tenant.id == world.tenant_id


async def test_an_expired_membership_is_over(world: World) -> None:
    gus = await world.person("gus").connect()
    async with world.sql() as db:
        await db.execute("UPDATE members SET expires_at = now() - interval '1 second' WHERE role = 'guest'")
    assert (await gus.send("project.get", project_id=world.project_id)).error.code == "NOT_FOUND"
    assert (await gus.rest("GET", f"/projects/{world.project_id}")).status == 401
    assert (await world.person("gus").sign_in()).tenant is None


async def test_a_guest_needs_an_end(world: World) -> None:
    await world.request("POST", "/auth/register", json=NEWCOMER)
    alice = await world.person("alice").connect()
    reply = await alice.send("member.add", email=NEWCOMER["email"], role="guest")
    assert list(reply.error.field_errors) == ["expires_at"]
    reply = await alice.send(
        "member.add", email=NEWCOMER["email"], role="guest", expires_at="2027-01-01T00:00:00Z"
    )
    assert reply.success
    again = await alice.send("member.add", email=NEWCOMER["email"], role="member")
    assert (again.error.code, list(again.error.field_errors)) == ("CONFLICT", ["email"])
    admin = await world.person("admin").connect()
    owner = await admin.send("member.add", email="mallory@rival.example", role="owner")
    assert owner.error.code in ("FORBIDDEN", "VALIDATION_ERROR"), "nobody gives a role above her own"


async def test_nothing_usable_is_stored(world: World) -> None:
    tokens = await world.person("alice").sign_in()
    async with world.sql() as db:
        dump = str(await db.fetch("SELECT t::text FROM refresh_tokens AS t"))
        dump += str(await db.fetch("SELECT u::text FROM users AS u"))
    assert tokens.refresh_token not in dump
    assert PASSWORD not in dump
    assert "$argon2id$" in dump


async def test_a_hash_with_older_parameters_is_renewed_at_sign_in(worlds: Callable[..., Any]) -> None:
    world = await worlds(argon2_time=2)
    await world.person("alice").sign_in()
    async with world.sql() as db:
        hashed = await db.fetchval("SELECT password_hash FROM users WHERE email = 'alice@acme.example'")
    assert "t=2" in hashed
    assert (await world.person("alice").sign_in()).user.name == "Alice"

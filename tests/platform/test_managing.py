"""Managing: accounts and tenants are suspended, let in again, signed out; it is told, and written down with a reason."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
import pytest

from handlers.evidence import INSTANCE
from server import admin
from server.demo import PASSWORD
from tests.identity.factors import enable
from tests.identity.mailbox import Mailbox, mail_server, text_of, token_in
from tests.keys.hands import make_key, program, rest
from tests.platform.operators import operator
from tests.world import World

BOB = "bob@acme.example"


@pytest.fixture
async def posted(worlds: Callable[..., Any]) -> Any:
    async with mail_server() as box:
        world: World = await worlds(smtp_url=box.url, mail_pause=0)
        yield world, box


async def entries(world: World, tenant_id: UUID, action: str) -> list[Any]:
    async with world.sql() as db:
        rows = await db.fetch(
            "SELECT * FROM audit_entries WHERE tenant_id = $1 AND action = $2 ORDER BY id", tenant_id, action
        )
    return [{**row, "changes": orjson.loads(row["changes"] or "{}")} for row in rows]


async def _login(world: World, password: str = PASSWORD) -> Any:
    return await world.request("POST", "/auth/login", json={"email": BOB, "password": password})


async def test_suspending_an_account_ends_everything_at_once(posted: tuple[World, Mailbox]) -> None:
    world, mailbox = posted
    bob = await world.person("bob").connect()
    key = (await make_key(bob)).key
    script = await program(world, key)
    person = await operator(world)
    assert (await person.act("POST", f"/users/{bob.id}/suspend")).success
    for window in (bob, script):
        await asyncio.wait_for(window.disconnected.wait(), 5)
    assert (await bob.rest("GET", "/auth/me")).status == 401
    assert (await rest(world, key, "GET", f"/tenants/{world.tenant_id}")).status == 401
    assert (await _login(world)).status == 401
    assert "Their reason: a ticket" in text_of(await mailbox.gets(BOB, "Your account was suspended"))
    assert (await person.act("POST", f"/users/{bob.id}/suspend")).status == 409
    for chain in (INSTANCE, UUID(world.tenant_id)):
        first = (await entries(world, chain, "platform.suspend_user"))[0]
        assert (first["outcome"], first["resource"]) == ("ok", f"user:{bob.id}")
        assert first["changes"] == {"reason": "a ticket", "status": "suspended"}
        assert str(first["actor_id"]) == person.id
    assert (await person.act("POST", f"/users/{bob.id}/activate")).success
    assert (await _login(world)).success
    assert (await rest(world, key, "GET", f"/tenants/{world.tenant_id}")).success, "its key works again"
    assert "activated" in text_of(await mailbox.gets(BOB, "Your account is active"))


async def test_signing_somebody_out(world: World) -> None:
    bob = await world.person("bob").connect()
    person = await operator(world)
    assert (await person.act("POST", f"/users/{bob.id}/end-sessions")).success
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    assert (await bob.rest("GET", "/auth/me")).status == 401
    assert (await _login(world)).success


async def test_taking_a_password_away(posted: tuple[World, Mailbox]) -> None:
    world, mailbox = posted
    bob = await world.person("bob").connect()
    key = (await make_key(bob)).key
    person = await operator(world)
    assert (await person.act("POST", f"/users/{bob.id}/reset-password")).success
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    assert (await _login(world)).status == 401
    assert (await rest(world, key, "GET", f"/tenants/{world.tenant_id}")).status == 401
    mails = {}
    for _ in range(2):
        mail = await mailbox.gets(BOB)
        while "API key" in mail["Subject"]:
            mail = await mailbox.gets(BOB)
        mails[mail["Subject"]] = mail
    assert "Their reason: a ticket" in text_of(mails.pop("You need a new password"))
    (link,) = mails.values()
    fresh = {"token": token_in(link), "new_password": "another long password"}
    assert (await world.request("POST", "/auth/reset-password", json=fresh)).success
    assert (await _login(world, "another long password")).success


async def test_taking_second_factors_away(posted: tuple[World, Mailbox]) -> None:
    world, mailbox = posted
    bob = await world.person("bob").connect()
    await enable(bob)
    person = await operator(world)
    assert (await person.act("GET", f"/users/{bob.id}")).data.user.second_factor
    assert (await _login(world)).data.second_factor
    assert (await person.act("POST", f"/users/{bob.id}/reset-second-factor")).success
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    assert (await _login(world)).data.access_token
    assert not (await person.act("GET", f"/users/{bob.id}")).data.user.second_factor
    (entry,) = await entries(world, INSTANCE, "platform.reset_second_factor")
    assert entry["changes"] == {"reason": "a ticket"}
    while "factor" not in (await mailbox.gets(BOB))["Subject"]:
        pass


async def test_nobody_does_it_to_himself_or_without_a_reason(world: World) -> None:
    person = await operator(world)
    for verb in ("suspend", "activate", "end-sessions", "reset-password", "reset-second-factor"):
        assert (await person.act("POST", f"/users/{person.id}/{verb}")).status == 409
        for reason in ("", "  x  "):
            reply = await person.act("POST", f"/users/{world.user_ids['bob']}/{verb}", reason=reason)
            assert (reply.status, list(reply.error.field_errors)) == (422, ["reason"])
        assert (await person.act("POST", f"/users/{world.tenant_id}/{verb}")).status == 404
    assert {entry["outcome"] for entry in await entries(world, INSTANCE, "platform.suspend_user")} == {
        "CONFLICT", "NOT_FOUND",
    }  # fmt: skip


async def test_a_tenant_is_suspended_and_let_in_again(world: World) -> None:
    bob = await world.person("bob").connect()
    key = (await make_key(bob)).key
    person = await operator(world)
    path = f"/tenants/{world.tenant_id}"
    assert (await person.act("POST", f"{path}/suspend")).data.tenant.status == "suspended"
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    refused = await rest(world, key, "GET", path)
    assert (refused.status, refused.error.details) == (403, {"reason": "tenant_suspended"})
    assert [t.slug for t in (await person.act("GET", "/tenants", status="suspended")).data.tenants] == [
        "acme"
    ]
    assert (await person.act("POST", f"{path}/activate")).data.tenant.status == "active"
    assert (await rest(world, key, "GET", path)).success
    assert (await person.act("POST", f"{path}/delete")).data.tenant.status == "deleted"
    assert (await person.act("POST", f"{path}/undelete")).data.tenant.status == "active"
    for verb in ("suspend", "activate", "delete", "undelete"):
        for chain in (INSTANCE, UUID(world.tenant_id)):
            (entry,) = await entries(world, chain, f"platform.{verb}_tenant")
            assert entry["changes"]["reason"] == "a ticket"
        assert (await person.act("POST", f"/tenants/{world.user_ids['bob']}/{verb}")).status == 404


async def test_the_command_line_gives_and_takes_the_flag(world: World) -> None:
    bob = world.person("bob")
    assert await admin.tenants(world.node, "") is None, "nobody runs the server"
    assert await admin.change(world.node, "nobody@acme.example", granted=True) is None
    assert await admin.change(world.node, " Bob@Acme.Example ", granted=True) == (
        "Bob <bob@acme.example> runs the server now."
    )
    assert (await bob.rest("GET", "/platform/tenants")).success
    assert [row["email"] for row in await admin.administrators(world.node)] == [BOB]
    assert [row["slug"] for row in await admin.tenants(world.node, "riv") or []] == ["rival"]
    assert [row["email"] for row in await admin.users(world.node, "ali")] == ["alice@acme.example"]
    table = admin.lines(await admin.users(world.node, "Bob"), "email", "name", "last_login_at")
    assert table[0].split() == ["email", "name", "last_login_at"]
    assert table[1].startswith("bob@acme.example  Bob")
    assert "any more" in (await admin.change(world.node, BOB, granted=False) or "")
    assert (await bob.rest("GET", "/platform/tenants")).status == 403
    assert len(await entries(world, INSTANCE, "platform.grant")) == 1
    assert len(await entries(world, INSTANCE, "platform.revoke")) == 1

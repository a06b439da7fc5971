"""A tenant out of use: everybody is out at once, on every node, and back when it is in use again."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
import socketio

from handlers.context import Account, Edge, Origin
from handlers.identity.tenant_status import activate_tenant, suspend_tenant
from server.rest import _submit
from tests.identity.mailbox import Mailbox, html_of, text_of
from tests.world import Person, World

Pair = tuple[World, str]


async def edge_of(world: World, person: Person) -> Edge:
    """What an endpoint is given when somebody calls."""
    node = world.node
    tokens = await person.sign_in()
    async with node.db.transaction(None) as session:
        claims = await node.tokens.check(tokens.access_token)
        assert await session.maybe("session_of", session_id=claims.session_id)
    return Edge(
        db=node.db, settings=node.settings, passwords=node.passwords, tokens=node.tokens,
        account=Account(claims.user_id, claims.session_id, None), origin=Origin(),
        rights_changed=node.gateway.announce_rights,
        submit=lambda spec, payload, principal: _submit(node, spec, payload, principal),
        wake_outbox=node.outbox.wake, oidc=node.oidc, vault=node.vault, inspect=node.inspector.everywhere,
    )  # fmt: skip


async def connected(world: World, there: str, *names: str) -> list[Person]:
    """The first on this node, the others on the other one; all in the project's room."""
    people: list[Person] = []
    for name in names:
        person = await world.person(name, url=there if people else None).connect()
        await person.join(world.project)
        person.forget()
        people.append(person)
    return people


async def is_out(world: World, person: Person, reason: str) -> None:
    """Put out of every room with this reason, disconnected, refused at the door, and heard nothing of it."""
    await asyncio.wait_for(person.disconnected.wait(), 5)
    closed = {event.room: event.reason for name, event in person.journal if name == "room.closed"}
    assert closed == dict.fromkeys((world.tenant, world.project, f"user:{person.id}"), reason)
    assert person.events(world.tenant) == []
    refused = await person.rest("GET", f"/projects/{world.project_id}")
    assert (refused.status, refused.error.code, refused.error.details) == (
        403, "FORBIDDEN", {"reason": f"tenant_{reason}"},
    )  # fmt: skip
    with pytest.raises(socketio.exceptions.ConnectionError):
        await world.person(person.name).connect(token=person.tokens.access_token)


async def test_a_suspended_tenant_is_left_at_once_and_entered_again_with_the_same_tokens(pair: Pair) -> None:
    world, there = pair
    alice, bob = await connected(world, there, "alice", "bob")
    mallory = await world.person("mallory").connect()
    edge = await edge_of(world, world.person("mallory"))
    since = {world.tenant: (await alice.snapshot(world.tenant))["epoch"]}
    head = (await alice.snapshot(world.tenant)).seq
    suspended = await suspend_tenant(edge, UUID(world.tenant_id), "not paid")
    assert suspended.tenant.status == "suspended"
    for person in (alice, bob):
        await is_out(world, person, "suspended")
    assert not mallory.disconnected.is_set(), "other tenants go on"

    renewed = await world.request("POST", "/auth/refresh", json={"refresh_token": bob.tokens.refresh_token})
    assert renewed.data.tenant.status == "suspended", "the session keeps its tenant"
    refused = await bob.rest("POST", f"/tenants/{world.tenant_id}/switch", json={})
    assert refused.error.details == {"reason": "tenant_suspended"}
    refused = await alice.rest("POST", f"/tenants/{world.tenant_id}/activate", json={})
    assert (refused.status, refused.error.code) == (403, "FORBIDDEN"), "an owner cannot lift it"

    await activate_tenant(edge, UUID(world.tenant_id))
    position = {"epoch": since[world.tenant], "seq": head}
    again = world.person("bob")
    await again.connect(token=bob.tokens.access_token, since={world.tenant: position})
    (_, ready) = again.journal[0]
    told = ready.rooms[world.tenant].events
    assert [event.data.tenant.status for event in told] == ["suspended", "active"], "the log tells of it"
    assert [event.data.was for event in told] == [{"status": "active"}, {"status": "suspended"}]
    assert (await again.send("task.create", room=world.project, title="On we go")).success


async def test_commands_that_are_under_way_are_refused(pair: Pair) -> None:
    world, there = pair
    alice, bob = await connected(world, there, "alice", "bob")
    sent = [await bob.post("task.create", {"room": world.project, "title": f"Task {n}"}) for n in range(60)]
    reply = await alice.rest("POST", f"/tenants/{world.tenant_id}/deactivate", json={})
    assert reply.data.tenant.status == "inactive"
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    codes = {answer.result().error.code for answer in sent if answer.done() and not answer.result().success}
    assert codes <= {"FORBIDDEN", "UNAUTHORIZED"}
    async with world.sql() as db:
        left = await db.fetchval("SELECT max(at) FROM room_events WHERE name = 'tenant.updated'")
        late = await db.fetchval(
            "SELECT count(*) FROM room_events WHERE name = 'task.created' AND at > $1::timestamptz + interval '50 ms'",
            left,
        )
    assert late == 0


async def test_an_owner_puts_the_tenant_out_of_use_and_back(pair: Pair) -> None:
    world, there = pair
    alice, bob = await connected(world, there, "alice", "bob")
    for name, status in (("bob", 403), ("admin", 403), ("mallory", 404)):
        person = world.person(name)
        reply = await person.rest("POST", f"/tenants/{world.tenant_id}/deactivate", json={})
        assert reply.status == status, name
    first = await alice.rest("POST", f"/tenants/{world.tenant_id}/deactivate", json={})
    again = await alice.rest("POST", f"/tenants/{world.tenant_id}/deactivate", json={})
    assert (first.data.tenant.status, again.data) == ("inactive", first.data), "once is enough"
    for person in (alice, bob):
        await is_out(world, person, "inactive")
    me = await alice.rest("GET", "/auth/me")
    assert [(m.slug, m.tenant_status) for m in me.data.memberships] == [("acme", "inactive")]
    newcomer = await world.person("bob").sign_in()
    assert newcomer.tenant.status == "inactive", "whoever signs in is told"
    assert (await bob.rest("POST", f"/tenants/{world.tenant_id}/activate", json={})).status == 403
    back = await alice.rest("POST", f"/tenants/{world.tenant_id}/activate", json={})
    assert back.data.tenant.status == "active"
    assert (await bob.rest("GET", f"/projects/{world.project_id}")).success


async def test_a_deleted_tenant_comes_back_as_it_was(worlds: Any, mailbox: Mailbox) -> None:
    world: World = await worlds(smtp_url=mailbox.url, tenant_grace=3)
    alice, admin = world.person("alice"), world.person("admin")
    await alice.rest(
        "PUT", f"/tenants/{world.tenant_id}/members/{world.user_ids['admin']}", json={"role": "owner"}
    )
    path = f"/tenants/{world.tenant_id}"
    refused = await alice.rest("DELETE", path, json={"slug": "acme-inc"})
    assert list(refused.error.field_errors) == ["slug"]
    assert (await world.person("bob").rest("DELETE", path, json={"slug": "acme"})).status == 403
    assert (await world.person("mallory").rest("DELETE", path, json={"slug": "acme"})).status == 404
    await admin.connect()
    deleted = await alice.rest("DELETE", path, json={"slug": "Acme"})
    assert deleted.data.tenant.status == "deleted"
    assert deleted.data.tenant.purge_at is not None
    await asyncio.wait_for(admin.disconnected.wait(), 5)
    refused = await admin.rest("GET", path)
    assert refused.error.details == {"reason": "tenant_deleted"}
    while len(mailbox.mails) < 2:
        await asyncio.sleep(0.02)
    assert {mail["To"] for mail in mailbox.mails} == {"alice@acme.example", "admin@acme.example"}
    for mail in mailbox.mails:
        assert mail["Subject"] == "Acme was deleted"
        assert "Alice deleted the tenant Acme" in text_of(mail)
        assert "can bring it back until" in html_of(mail)
    assert (await alice.rest("POST", f"{path}/activate", json={})).error.code == "CONFLICT"
    back = await admin.rest("POST", f"{path}/undelete", json={})
    assert (back.data.tenant.status, back.data.tenant.purge_at) == ("active", None)
    assert (await alice.rest("GET", path)).success


async def test_a_suspended_tenant_does_not_get_free_by_being_deleted(world: World) -> None:
    alice = world.person("alice")
    edge = await edge_of(world, world.person("mallory"))
    path = f"/tenants/{world.tenant_id}"
    await suspend_tenant(edge, UUID(world.tenant_id), "spam")
    assert (await alice.rest("DELETE", path, json={"slug": "acme"})).success
    assert (await alice.rest("POST", f"{path}/undelete", json={})).data.tenant.status == "suspended"
    assert (await alice.rest("POST", f"{path}/activate", json={})).status == 403
    assert (await alice.rest("POST", f"{path}/deactivate", json={})).status == 403

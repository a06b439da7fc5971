"""Keys of the tenant: services that are members, and stay when the person who made them goes."""

import asyncio

import pytest

from server.demo import PASSWORD
from tests.keys.hands import make_key, make_tenant_key, program, rest
from tests.world import Person, World

Pair = tuple[World, str]


async def test_a_service_is_a_member_of_its_own_kind(world: World, bob: Person) -> None:
    made = await make_tenant_key(world.person("admin"), "write", name="Importer")
    assert made.key.startswith("atr_tk_")
    heard = await bob.hears("member.added")
    assert heard.data.member == made.member
    assert (made.member.kind, made.member.name, made.member.role) == ("service", "Importer", "member")
    members = (await bob.snapshot(world.tenant)).snapshot.members
    assert {member.kind for member in members} == {"person", "service"}
    created = await rest(
        world, made.key, "POST", f"/projects/{world.project_id}/tasks", json={"title": "Imported"}
    )
    assert created.success
    assert (await bob.hears("task.created")).actor == {"id": made.member.id, "name": "Importer"}
    assert made.key.rpartition("_")[2] not in str(bob.journal)
    assert made.api_key.id not in str(bob.journal), "which key it is concerns those who manage keys"


async def test_it_survives_its_maker_and_can_be_given_work(world: World, alice: Person) -> None:
    made = await make_tenant_key(world.person("admin"), "read")
    script = await program(world, made.key)
    assert (await alice.send("member.remove", user_id=world.user_ids["admin"])).success
    assert (await script.send("tenant.get")).success
    changes = {"assignee_ids": [made.member.id]}
    assert (await alice.send("task.update", task_id=world.tasks[0], changes=changes)).success
    assert (await script.hears("task.assigned")).data.assignment.id == world.tasks[0]


async def test_a_client_service_sees_its_projects_only(world: World, alice: Person) -> None:
    other = await alice.send("project.create", name="Secret")
    made = await make_tenant_key(alice, "write", role="client", project_ids=[world.project_id])
    assert made.api_key.scopes == sorted({
        "tenant.view", "project.view", "project.create", "project.edit", "board.edit", "task.create", "task.edit",
        "task.delete", "comment.add", "presence.share",
    })  # fmt: skip
    assert (await alice.hears("project.member_added")).data.member.id == made.member.id
    script = await program(world, made.key)
    assert [p.name for p in (await script.send("project.list")).data.projects] == ["Kitchen"]
    joined = await script.join(world.project)
    assert joined.permissions == ["comment.add", "presence.share", "project.view"], "no more than its role"
    assert (await script.send("room.join", room=f"project:{other.data.project.id}")).error.code == "NOT_FOUND"
    assert (await script.send("room.join", room=world.tenant)).error.code == "FORBIDDEN"


async def test_revoking_the_last_key_lets_the_service_go(pair: Pair) -> None:
    world, there = pair
    alice = await world.person("alice").connect()
    await alice.join(world.project)
    made = await make_tenant_key(alice, "read", project_ids=[world.project_id])
    script = await program(world, made.key, url=there)
    second = await alice.send("tenant_key.rotate", key_id=made.api_key.id, overlap=3600)
    assert second.data.member == made.member
    assert (await alice.hears("tenant_key.changed")).data == {"member": {"id": made.member.id}}
    first = await alice.send("tenant_key.revoke", key_id=made.api_key.id)
    assert first.success
    await asyncio.wait_for(script.disconnected.wait(), 5)
    await alice.hears_nothing("member.removed")
    heir = await program(world, second.data.key, url=there)
    assert (await alice.send("tenant_key.revoke", key_id=second.data.api_key.id)).success
    await asyncio.wait_for(heir.disconnected.wait(), 5)
    gone = {"id": made.member.id, "removed": True}
    assert (await alice.hears("member.removed")).data.member == gone
    assert (await alice.hears("project.member_removed")).data.member == gone
    assert (await alice.send("tenant_key.list")).data.api_keys == []


async def test_removing_the_member_ends_its_keys(pair: Pair) -> None:
    world, there = pair
    alice = await world.person("alice").connect()
    made = await make_tenant_key(alice, "read")
    script = await program(world, made.key, url=there)
    assert (await alice.send("member.remove", user_id=made.member.id)).success
    await asyncio.wait_for(script.disconnected.wait(), 5)
    assert (await rest(world, made.key, "GET", f"/tenants/{world.tenant_id}")).status == 401
    assert (await alice.send("tenant_key.list")).data.api_keys == []
    assert (await alice.send("tenant_key.rotate", key_id=made.api_key.id)).error.code == "NOT_FOUND"


async def test_other_scopes_and_another_name(pair: Pair) -> None:
    world, there = pair
    alice, bob = await world.person("alice").connect(), await world.person("bob", url=there).connect()
    made = await make_tenant_key(alice, "read")
    script = await program(world, made.key, url=there)
    await script.join(world.project)
    changed = await alice.send(
        "tenant_key.update", key_id=made.api_key.id, name="Robot", scopes=["project.view", "task.create"]
    )
    assert changed.data == {"member": {**made.member, "name": "Robot"}, "was": {"name": "Importer"}}
    assert (await bob.hears("member.updated")).data == changed.data
    assert (await script.hears("room.closed")).room == world.tenant
    assert (await script.hears("room.permissions", room=world.project)).permissions == [
        "project.view",
        "task.create",
    ]
    (listed,) = (await alice.send("tenant_key.list")).data.api_keys
    assert (listed.name, listed.scopes, listed.role) == ("Robot", ["project.view", "task.create"], "member")
    assert (listed.service_id, listed.created_by.name) == (made.member.id, "Alice")
    raised = await alice.send("member.update", user_id=made.member.id, role="viewer")
    assert raised.data.member.kind == "service"
    assert (await script.hears("room.permissions", room=world.project)).permissions == ["project.view"]


async def test_who_may_make_them_and_how_far(world: World) -> None:
    body = {"name": "x", "scopes": ["read"]}
    for name in ("manager", "bob", "viewer", "carol", "gus"):
        person = world.person(name)
        await person.sign_in()
        for method, path in (("POST", ""), ("GET", "")):
            reply = await person.rest(method, f"/tenants/{world.tenant_id}/api-keys{path}", json=body)
            assert (reply.status, reply.error.details) == (403, {"permission": "security.manage"}), name
    admin = world.person("admin")
    path = f"/tenants/{world.tenant_id}/api-keys"
    beyond = await admin.rest("POST", path, json={"name": "x", "scopes": ["tenant.delete"]})
    assert (beyond.status, beyond.error.details) == (403, {"permission": "tenant.delete"})
    for role in ("owner", "guest"):
        reply = await admin.rest("POST", path, json={**body, "role": role})
        assert (reply.status, list(reply.error.field_errors)) == (422, ["role"])
    mallory = world.person("mallory")
    await mallory.sign_in()
    assert (await mallory.rest("POST", path, json=body)).status == 404
    assert (await admin.rest("POST", path, json={**body, "project_ids": [mallory.id]})).status == 404


async def test_a_key_beyond_oneself_cannot_be_taken_over(world: World) -> None:
    """Renewing a key shows its successor: an admin gets no hold of what only an owner may do."""
    admin = world.person("admin")
    made = await make_tenant_key(world.person("alice"), "tenant.delete", "read", role="admin")
    path = f"/tenants/{world.tenant_id}/api-keys/{made.api_key.id}"
    refused = await admin.rest("POST", f"{path}/rotate", json={})
    assert (refused.status, refused.error.details) == (403, {"permission": "tenant.delete"})
    assert (await admin.rest("PUT", path, json={"scopes": ["tenant.delete"]})).status == 403
    assert (await rest(world, made.key, "DELETE", path)).error.code == "FORBIDDEN"
    assert (await admin.rest("DELETE", path)).success, "ending it takes nothing from anybody"


@pytest.mark.parametrize("kind", ["own", "tenant"])
async def test_keys_make_no_keys(world: World, kind: str) -> None:
    alice = world.person("alice")
    everything = ["write", "security.manage", "member.manage", "role.manage"]
    made = await (
        make_key(alice, *everything) if kind == "own" else make_tenant_key(alice, *everything, role="admin")
    )
    script = await program(world, made.key)
    key = {"name": "x", "scopes": ["read"]}
    for name, payload in (
        ("apikey.create", key),
        ("apikey.update", {"key_id": made.api_key.id, "scopes": ["audit.view"]}),
        ("apikey.rotate", {"key_id": made.api_key.id}),
        ("tenant_key.create", key),
        ("tenant_key.update", {"key_id": made.api_key.id, "scopes": ["audit.view"]}),
        ("tenant_key.rotate", {"key_id": made.api_key.id}),
        ("tenant_key.revoke", {"key_id": made.api_key.id}),
    ):
        reply = await script.call(name, payload)
        assert (reply.error.code, reply.error.details) == ("FORBIDDEN", {"reason": "session_needed"}), name
    promoted = await script.send("member.update", user_id=world.user_ids["bob"], role="admin")
    assert promoted.error.code == "FORBIDDEN", "nor does it give away what its scopes do not hold"
    given = await script.send("member.update", user_id=world.user_ids["bob"], allowed=["audit.view"])
    assert given.error.code == "FORBIDDEN"


async def test_nobody_signs_in_as_a_service(world: World) -> None:
    made = await make_tenant_key(world.person("alice"))
    async with world.sql() as db:
        email = await db.fetchval("SELECT email FROM users WHERE kind = 'service'")
        assert email == f"{made.member.id}@service.invalid"
        hashed = await db.fetchval("SELECT password_hash FROM users WHERE email = 'alice@acme.example'")
        await db.execute("UPDATE users SET password_hash = $1 WHERE email = $2", hashed, email)
    for path, body in (
        ("/auth/login", {"email": email, "password": PASSWORD}),
        ("/auth/register", {"email": email, "password": PASSWORD, "name": "x"}),
        ("/auth/forgot-password", {"email": email}),
    ):
        reply = await world.request("POST", path, json=body)
        assert reply.status in (401, 422), path
    alice = world.person("alice")
    await alice.sign_in()
    added = await alice.rest("POST", f"/tenants/{world.tenant_id}/members", json={"email": email})
    assert added.status in (404, 422)
    for role in ("owner", "guest"):
        raised = await alice.rest(
            "PUT", f"/tenants/{world.tenant_id}/members/{made.member.id}",
            json={"role": role, "expires_at": "2100-01-01T00:00:00Z"},
        )  # fmt: skip
        assert list(raised.error.field_errors) == ["role"]


async def test_the_list_comes_in_pages(world: World) -> None:
    alice = world.person("alice")
    names = [(await make_tenant_key(alice, name=f"Key {n}")).api_key.name for n in range(5)]
    seen, cursor = [], None
    for _ in range(3):
        asked = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = await alice.rest("GET", f"/tenants/{world.tenant_id}/api-keys", params=asked)
        seen += [key.name for key in page.data.api_keys]
        cursor = page.meta.pagination.next
    assert (seen, cursor) == (names, None)

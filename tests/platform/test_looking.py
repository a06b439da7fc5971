"""Looking at tenants and accounts: lists, search, pages, details, activity."""

from typing import Any

import asyncpg
import pytest

from storage import statements
from storage.postgres import SESSION
from tests.contract.test_schema import logged_in
from tests.keys.hands import make_tenant_key
from tests.platform.operators import Operator, operator
from tests.world import STAFF, World


async def _all(person: Operator, path: str, field: str, **asked: Any) -> list[Any]:
    """A list, page by page."""
    found: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = await person.act("GET", path, limit="2", **cursor, **asked)
        assert page.success, page
        assert len(page.data[field]) <= 2
        found += page.data[field]
        if page.meta.pagination.next is None:
            return found
        cursor = {"cursor": page.meta.pagination.next}


async def test_tenants_with_what_is_in_them(world: World) -> None:
    await make_tenant_key(world.person("alice"))
    person = await operator(world)
    found = await _all(person, "/tenants", "tenants")
    assert [tenant.slug for tenant in found] == ["acme", "rival"]
    acme = found[0]
    assert (acme.people, acme.services, acme.projects, acme.status) == (len(STAFF), 1, 1, "active")
    assert acme.last_activity_at
    one = await person.act("GET", f"/tenants/{world.tenant_id}")
    assert one.data.tenant == acme
    assert [t.slug for t in await _all(person, "/tenants", "tenants", search="CM")] == ["acme"]
    assert await _all(person, "/tenants", "tenants", status="suspended") == []
    assert (await person.act("GET", f"/tenants/{world.user_ids['bob']}")).status == 404


async def test_members_of_both_kinds_and_what_they_may(world: World) -> None:
    made = await make_tenant_key(world.person("alice"), role="viewer")
    person = await operator(world)
    members = {m.id: m for m in await _all(person, f"/tenants/{world.tenant_id}/members", "members")}
    assert len(members) == len(STAFF) + 1
    service = members[made.member.id]
    assert (service.kind, service.permissions) == (
        "service",
        ["presence.share", "project.view", "tenant.view"],
    )
    assert "tenant.delete" in members[world.user_ids["alice"]].permissions
    assert members[world.user_ids["bob"]].email == "bob@acme.example"


async def test_accounts_by_address_name_status_and_kind(world: World) -> None:
    await make_tenant_key(world.person("alice"), name="Importer")
    person = await operator(world)

    async def emails(**asked: str) -> list[str]:
        return [user.email.partition("@")[0] for user in await _all(person, "/users", "users", **asked)]

    assert set(await emails()) >= {*STAFF, "mallory", "operator"}
    assert await emails(email="A") == ["admin", "alice"]
    assert await emails(name="CAR") == ["carol"]
    assert await emails(email="alice", status="suspended") == []
    assert await emails(platform_admin="true") == ["operator"]
    assert [u.name for u in await _all(person, "/users", "users", kind="service")] == ["Importer"]
    assert await emails(status="suspended") == []
    assert await emails(email="a", name="ADM") == ["admin"]
    assert await emails(name="o", platform_admin="true", status="active") == ["operator"]
    assert await emails(name="im", kind="service", email="x") == []
    assert await emails(email="%") == []
    assert await emails(email="_") == []


async def test_one_account(world: World) -> None:
    bob = await world.person("bob").connect()
    person = await operator(world)
    found = (await person.act("GET", f"/users/{bob.id}")).data
    assert (found.user.email, found.user.tenants, found.user.has_password) == ("bob@acme.example", 1, True)
    (membership,) = found.memberships
    assert (membership.slug, membership.role) == ("acme", "member")
    assert "task.edit" in membership.permissions
    assert [session.method for session in found.sessions] == ["password"]
    assert "password_hash" not in str(found)
    assert (await person.act("GET", f"/users/{world.tenant_id}")).status == 404


async def test_what_somebody_did_and_what_was_done_in_a_tenant(world: World) -> None:
    bob = await world.person("bob").connect()
    for number in range(3):
        assert (await bob.send("task.create", room=world.project, title=f"Task {number}")).success
    person = await operator(world)
    done = await _all(person, f"/users/{bob.id}/activity", "entries")
    assert [entry.action for entry in done][:3] == ["task.create"] * 3
    assert {entry.actor_id for entry in done} == {bob.id}
    assert done == sorted(done, key=lambda entry: entry.id, reverse=True)
    here = await _all(person, f"/tenants/{world.tenant_id}/activity", "entries")
    assert {entry.tenant_id for entry in here} == {world.tenant_id}
    assert [entry.id for entry in done if entry.tenant_id] == [e.id for e in here if e.actor_id == bob.id]


LISTS = {
    "users_by_email": "users_email_prefix_idx",
    "users_by_name": "users_name_prefix_idx",
    "users_by_status": "users_status_idx",
    "users_by_kind": "users_kind_idx",
    "users_by_id": "users_pkey",
    "platform_admins": "users_platform_admin_idx",
}


SHORT = ("users_by_status", "users_by_kind", "platform_admins")
"""Lists of what there is little of; they may be sorted."""


@pytest.mark.parametrize("name", LISTS)
async def test_every_list_walks_along_an_index(world: World, name: str) -> None:
    async with world.sql() as db:
        await db.execute(
            "INSERT INTO users (id, email, name, status, kind, platform_admin) "
            "SELECT gen_random_uuid(), 'u' || n || '@many.example', 'User ' || n, "
            "CASE WHEN n % 100 = 0 THEN 'suspended' ELSE 'active' END, "
            "CASE WHEN n % 100 = 1 THEN 'service' ELSE 'person' END, n % 10000 = 2 "
            "FROM generate_series(1, 20000) AS n"
        )
        await db.execute("ANALYZE users")
    statement = statements.load()[name]
    async with logged_in(world) as connection:
        plan = await _generic_plan(connection, statement.sql, len(statement.params))
    assert LISTS[name] in plan, plan
    assert "Seq Scan" not in plan
    assert name in SHORT or "Sort" not in plan, plan


async def _generic_plan(connection: asyncpg.Connection, sql: str, parameters: int) -> str:
    """The plan that the server uses, which knows none of the values."""
    await connection.execute(f"SET LOCAL plan_cache_mode = {SESSION['plan_cache_mode']}")
    await connection.execute(f"PREPARE asked AS {sql}")
    rows = await connection.fetch(f"EXPLAIN EXECUTE asked ({', '.join(['NULL'] * parameters)})")
    return "\n".join(row[0] for row in rows)

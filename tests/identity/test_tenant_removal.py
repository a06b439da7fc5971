"""A deleted tenant is gone when its grace is over: every table of it, and nothing of anybody else."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from server import maintenance
from tests.pictures import picture
from tests.world import World

EVIDENCE = "audit_"
"""Tables that outlive a tenant, until their own retention ends them."""

NAMING_A_TENANT = """
SELECT c.relname FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace ORDER BY 1
"""


async def rows_of(world: World, tenant_id: str) -> dict[str, int]:
    """How many rows of a tenant there are, table by table, by any column that names it."""
    async with world.sql() as db:
        names = [row[0] for row in await db.fetch(NAMING_A_TENANT)]
        return {
            name: await db.fetchval(f"SELECT count(*) FROM {name} WHERE tenant_id = $1", UUID(tenant_id))
            for name in names
        }


async def fill(world: World) -> None:
    """Something in the tables that the named world leaves empty."""
    alice = world.person("alice")
    path = f"/tenants/{world.tenant_id}"
    for method, where, body in (
        ("PUT", "", {"slug": "acme-new"}),
        ("PUT", "/logo", {"image": base64.b64encode(picture()).decode()}),
        ("POST", "/api-keys", {"name": "a key", "scopes": ["read"]}),
        ("POST", "/invitations", {"email": "newcomer@new.example", "role": "viewer"}),
    ):
        reply = await alice.rest(method, path + where, json=body)
        assert reply.success, (where, reply)
    socket = await alice.connect()
    task = world.tasks[0]
    changes = {"assignee_ids": [world.user_ids["bob"]]}
    assert (await socket.send("task.update", task_id=task, changes=changes)).success
    for parent in (task, world.tasks[1]):
        made = await socket.send("task.create", room=world.project, title="Below", parent_id=parent)
        await socket.send("task.create", room=world.project, title="Deeper", parent_id=made.data.task.id)
    await alice.disconnect()


async def delete(world: World) -> datetime:
    slug = (await world.person("alice").rest("GET", f"/tenants/{world.tenant_id}")).data.tenant.slug
    gone = await world.person("alice").rest("DELETE", f"/tenants/{world.tenant_id}", json={"slug": slug})
    assert gone.success, gone
    return datetime.fromisoformat(gone.data.tenant.purge_at)


@pytest.mark.parametrize("portion", [3, 5000])
async def test_every_table_is_emptied(world: World, portion: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "BATCH", portion)
    await fill(world)
    async with world.sql() as db:
        rival = str(await db.fetchval("SELECT id FROM tenants WHERE slug = 'rival'"))
    others = await rows_of(world, rival)
    purge_at = await delete(world)
    assert await world.node.maintenance.tenants(purge_at - timedelta(seconds=1)) == 0, "not before its time"
    before = await rows_of(world, world.tenant_id)
    assert before["tasks"] > 8
    assert before["tenant_logos"] == before["tenant_slugs"] == before["api_keys"] == 1
    assert await world.node.maintenance.tenants(purge_at + timedelta(seconds=1)) == 1
    after = await rows_of(world, world.tenant_id)
    assert {name: count for name, count in after.items() if count and not name.startswith(EVIDENCE)} == {}
    assert after["audit_entries"] > 0, "evidence outlives the tenant"
    assert await rows_of(world, rival) == others
    async with world.sql() as db:
        assert await db.fetchval("SELECT count(*) FROM tenants WHERE id = $1", UUID(world.tenant_id)) == 0
        assert await db.fetchval("SELECT count(*) FROM users WHERE kind = 'service'") == 0
        assert await db.fetchval("SELECT count(*) FROM users WHERE email LIKE '%@acme.example'") == 7
    signed_in = await world.person("bob").sign_in()
    assert signed_in.tenant is None, "people keep their accounts"
    assert await world.node.maintenance.tenants(datetime.now(UTC) + timedelta(days=999)) == 0


async def test_what_came_back_is_not_removed(world: World) -> None:
    purge_at = await delete(world)
    path = f"/tenants/{world.tenant_id}"
    assert (await world.person("alice").rest("POST", f"{path}/undelete", json={})).success
    assert await world.node.maintenance.tenants(purge_at + timedelta(days=1)) == 0
    assert (await world.person("bob").rest("GET", f"/projects/{world.project_id}")).success


async def test_a_tenant_in_use_cannot_be_removed(world: World) -> None:
    later = datetime.now(UTC) + timedelta(days=999)
    for statement in ("purge_some", "purge_tenant"):
        with pytest.raises(Exception, match="is not to be removed"):
            async with world.node.db.transaction(UUID(world.tenant_id)) as session:
                await session.value(statement, most=9, moment=later)


async def test_every_table_can_be_emptied_by_whoever_has_to(world: World) -> None:
    """A table that the login role cannot delete from needs a policy that lets the owner do it."""
    async with world.sql() as db:
        written_once: list[Any] = await db.fetch(
            "SELECT c.relname FROM pg_class AS c "
            "JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped "
            "WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relrowsecurity "
            "AND NOT has_table_privilege('atrium_app', c.oid, 'DELETE') AND c.relname NOT LIKE 'audit\\_%'"
        )
        for table in written_once:
            assert await db.fetchval(
                "SELECT count(*) FROM pg_policies WHERE tablename = $1 AND policyname = 'definer' "
                "AND cmd IN ('ALL', 'DELETE')", table[0]
            ), table[0]  # fmt: skip
    assert {table[0] for table in written_once} >= {"room_events", "applied_commands"}

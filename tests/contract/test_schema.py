"""The catalogue: no row of one tenant can reach another, and the log cannot be rewritten."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from storage.postgres import LOGIN_ROLE
from tests.contract.examples import a_rule, importing, planned
from tests.world import LOGIN_PASSWORD, World

TENANT_TABLES = """
SELECT c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced
FROM pg_class AS c
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
    AND (c.relname = 'tenants' OR EXISTS (
        SELECT 1 FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    ))
    AND c.relname <> ALL($1::text [])
ORDER BY 1
"""
INSTANCE_TABLES = ["refresh_tokens", "half_sign_ins"]
"""They mention a tenant, but belong to a person: sign-in reads them before a tenant is chosen."""

UNPEOPLED = {
    "api_keys", "audit_anchors", "audit_pending", "audit_seals", "custom_roles", "delegations", "group_members",
    "groups", "project_fields", "project_shares", "rule_dues", "sso_domains", "sso_issuers", "task_assignees", "task_keys",
    "task_templates",
    "tenant_logos", "tenant_slugs",
}  # fmt: skip
"""Tables that the named world has no rows in."""


@asynccontextmanager
async def logged_in(world: World, tenant_id: str = "") -> AsyncIterator[Any]:
    """The login role, in a transaction of a tenant or of none."""
    connection = await asyncpg.connect(world.login, password=LOGIN_PASSWORD)
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('atrium.tenant', $1, true)", tenant_id)
            yield connection
    finally:
        await connection.close()


async def tables(world: World) -> list[Any]:
    async with world.sql() as db:
        rows: list[Any] = await db.fetch(TENANT_TABLES, INSTANCE_TABLES)
    assert len(rows) >= 12
    return rows


async def test_every_tenant_table_has_forced_row_security(shared: World) -> None:
    assert [row["name"] for row in await tables(shared) if not (row["enabled"] and row["forced"])] == []


async def test_every_tenant_table_has_one_policy_for_the_login_role(shared: World) -> None:
    async with shared.sql() as db:
        for table in await tables(shared):
            policies = await db.fetch(
                "SELECT * FROM pg_policies WHERE tablename = $1 AND roles && ARRAY[$2, 'public']::name []",
                table["name"], LOGIN_ROLE,
            )  # fmt: skip
            key = "id" if table["name"] == "tenants" else "tenant_id"
            assert [(p["cmd"], p["qual"]) for p in policies] == [("ALL", f"({key} = current_tenant())")], (
                table
            )


async def test_every_primary_key_begins_with_the_tenant(shared: World) -> None:
    async with shared.sql() as db:
        for table in await tables(shared):
            first = await db.fetchval(
                "SELECT a.attname FROM pg_index AS i "
                "JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "
                "WHERE i.indisprimary AND i.indrelid = $1::text::regclass",
                table["name"],
            )
            assert first == ("id" if table["name"] == "tenants" else "tenant_id"), table


async def test_every_unique_key_and_foreign_key_keeps_to_the_tenant(shared: World) -> None:
    """A global unique key, or a key into another tenant's rows, would tell that those rows exist."""
    async with shared.sql() as db:
        for table in await tables(shared):
            constraints = await db.fetch(
                "SELECT conname, contype, confrelid::regclass::text AS target, pg_get_constraintdef(oid) AS says "
                "FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype IN ('u', 'f')",
                table["name"],
            )
            for found in constraints:
                if found["conname"] in ("tenants_slug_key", "tenant_slugs_slug_key") or found["target"] in (
                    "tenants",
                    "users",
                ):
                    continue
                columns = found["says"].split("(", 1)[1]
                assert columns.startswith("tenant_id,"), (table["name"], found["says"])


async def test_the_login_role_is_nobody(shared: World) -> None:
    async with shared.sql() as db:
        role = await db.fetchrow("SELECT * FROM pg_roles WHERE rolname = $1", LOGIN_ROLE)
        assert not any(role[key] for key in (
            "rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication"
        ))  # fmt: skip
        owned = "SELECT count(*) FROM pg_class WHERE relowner = $1::text::regrole"
        assert await db.fetchval(owned, LOGIN_ROLE) == 0
        functions = "SELECT count(*) FROM pg_proc WHERE proowner = $1::text::regrole"
        assert await db.fetchval(functions, LOGIN_ROLE) == 0
        member = "SELECT count(*) FROM pg_auth_members WHERE member = $1::text::regrole"
        assert await db.fetchval(member, LOGIN_ROLE) == 0
        assert not await db.fetchval("SELECT has_schema_privilege($1, 'public', 'CREATE')", LOGIN_ROLE)


async def test_every_function_of_the_owner_has_a_safe_search_path(shared: World) -> None:
    async with shared.sql() as db:
        for function in await db.fetch(
            "SELECT proname, proconfig, prosecdef, has_function_privilege('public', oid, 'EXECUTE') AS open "
            "FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        ):
            assert not function["open"], f"everybody may call {function['proname']}"
            if function["prosecdef"]:
                assert any(s.startswith("search_path=pg_catalog") for s in function["proconfig"]), function


@pytest.mark.parametrize("tenant_id", ["", str(UUID(int=0)), str(UUID(int=7))])
async def test_without_its_tenant_no_row_is_seen(shared: World, tenant_id: str) -> None:
    alice = shared.person("alice")
    await importing(shared, alice)
    if not (await alice.send("rule.list", project_id=shared.project_id)).data.rules:
        assert (await alice.send("rule.create", room=shared.project, **a_rule())).success
        assert (await alice.send("task.create", room=shared.project, title="For the rule")).success
    link = await alice.rest("POST", f"/tenants/{shared.tenant_id}/invitations", json={})
    assert link.success, link
    comment = await alice.send("comment.add", task_id=shared.tasks[0], body="Two coats")
    assert comment.success, comment
    said = {"task_id": shared.tasks[0], "comment_id": comment.data.comment.id, "body": "Three coats"}
    assert (await alice.call("comment.edit", said)).success
    await alice.send("dependency.add", task_id=shared.tasks[1], depends_on_id=shared.tasks[0])  # once for all
    first, second = shared.tasks[:2]
    await alice.send("link.add", project_id=shared.project_id, task_id=first, other_id=second)
    await alice.send("task.request_approval", task_id=first, approver_ids=[shared.user_ids["bob"]])
    await alice.send("reminder.add", task_id=first, before_minutes=5)
    await alice.send("task.update", task_id=first, changes={"due_at": "2150-03-04T17:00:00Z"})
    await alice.send("task.set_recurrence", task_id=first, rule="FREQ=DAILY")
    both = {"project_id": shared.project_id, "task_ids": shared.tasks[3:5], "add_tags": ["late"]}
    assert (await alice.call("tasks.update", both)).success
    assert (await alice.send("history.undo", room=shared.project)).success
    await planned(shared, alice)
    assert (await alice.send("budget.set", project_id=shared.project_id, minutes=60)).success
    assert (await alice.send("column.collapse", column_id=shared.columns["Done"])).success
    assert (await alice.send("view.create", project_id=shared.project_id, name="Mine")).success
    if not (await alice.send("label.list", project_id=shared.project_id)).data.labels:
        assert (await alice.send("label.create", room=shared.project, name="Wet", colour="#00f")).success
        made = await alice.send("checklist.create", task_id=shared.tasks[0], name="Before", items=["Tape"])
        assert made.success, made
    sprint = await alice.send("sprint.create", project_id=shared.project_id, name="First")
    assert sprint.success, sprint
    tasks_of = {
        "project_id": shared.project_id,
        "sprint_id": sprint.data.sprint.id,
        "task_ids": shared.tasks[:2],
    }
    assert (await alice.call("sprint.add_tasks", tasks_of)).success
    assert (await alice.rest("POST", f"/projects/{shared.project_id}/files?name=x", data=b"x")).success
    async with shared.sql() as db:
        await db.execute(
            "INSERT INTO alarms (tenant_id, key, room_id, at, name, payload, actor_id, command_id, try_at) "
            "SELECT tenant_id, 'far', id, 'infinity', '', '{}', id, id, 'infinity' FROM rooms LIMIT 1 ON CONFLICT DO NOTHING"
        )
        counts = {
            t["name"]: await db.fetchval(f"SELECT count(*) FROM {t['name']}") for t in await tables(shared)
        }
    assert {name for name, count in counts.items() if not count} <= UNPEOPLED, "the world is peopled"
    async with logged_in(shared, tenant_id) as connection:
        for name in counts:
            assert await connection.fetchval(f"SELECT count(*) FROM {name}") == 0, name


async def test_a_tenant_sees_its_own_rows_only(shared: World) -> None:
    names = [table["name"] for table in await tables(shared)]
    async with logged_in(shared, shared.tenant_id) as connection:
        for name in names:
            column = "id" if name == "tenants" else "tenant_id"
            seen = {str(row[0]) for row in await connection.fetch(f"SELECT {column} FROM {name}")}
            assert seen <= {shared.tenant_id}, name


async def test_nothing_can_be_written_for_another_tenant(shared: World) -> None:
    async with shared.sql() as db:
        rival = str(await db.fetchval("SELECT id FROM tenants WHERE slug = 'rival'"))
    insert = "INSERT INTO rooms (tenant_id, id, kind) VALUES ($1, $2, 'project')"
    for tenant_id in ("", shared.tenant_id):
        async with logged_in(shared, tenant_id) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await connection.execute(insert, UUID(rival), uuid4())
    async with logged_in(shared, shared.tenant_id) as connection:
        assert await connection.execute(
            "UPDATE projects SET name = 'mine' WHERE tenant_id = $1", UUID(rival)
        ) == ("UPDATE 0")


@pytest.mark.parametrize(
    "table", ["room_events", "applied_commands", "audit_entries", "audit_seals", "audit_anchors"]
)
@pytest.mark.parametrize("verb", ["UPDATE {} SET tenant_id = NULL", "DELETE FROM {}", "TRUNCATE {}"])
async def test_the_log_is_written_once(shared: World, table: str, verb: str) -> None:
    async with logged_in(shared, shared.tenant_id) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            await connection.execute(verb.format(table))


async def test_row_security_cannot_be_switched_off(shared: World) -> None:
    async with logged_in(shared) as connection:
        await connection.execute("SET LOCAL row_security = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM tasks")

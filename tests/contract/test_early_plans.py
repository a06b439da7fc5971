"""Plans that were made while the database was new stay good when it has filled.

A connection keeps the plan of a statement until the planner's figures change, which may be minutes after a start, a
restore or an import. What every command runs must therefore leave the planner no choice that only suits small tables.
"""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import asyncpg
import pytest

from server.scale import Size
from storage.literals import literal
from storage.postgres import SESSION
from storage.statements import load as statements
from tests.contract.test_plans import LARGE, Large, nodes
from tests.world import LOGIN_PASSWORD, Cluster, fresh_world

SIZE: Final = Size(tasks=3_000, projects=300, comments=300)
EVERY: Final = (
    "open_room", "lock_rooms", "append_log", "project_of_task", "open_for_moves", "move_contexts", "move_tasks",
    "room_for", "room_position", "actor_rights",
)  # fmt: skip
"""What every command, query and join runs, and every move."""
FEW: Final = 20
"""Rows that one of them may look at (count)."""


class Early:
    """A tenant that came when a connection had its plans already, and of which the planner has no figures."""

    def __init__(self, tenant: Large, db: Any) -> None:
        self.tenant = tenant
        self.db = db
        self.before: dict[str, int] = {}
        """What a lookup by key looked at before the connection made its plans anew."""

    async def plan(self, name: str) -> dict[str, Any]:
        """How the connection that is there from the beginning carries out a statement: really done, and undone again."""
        statement, values = statements()[name], self.tenant.values(name)
        arguments = ", ".join(literal(values[key]) for key in statement.params)
        transaction = self.db.transaction()
        await transaction.start()
        try:
            await self.db.execute(
                "SELECT set_config('atrium.tenant', $1, true)", str(self.tenant.ids["tenant"])
            )
            text = await self.db.fetchval(
                f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE {name}" + (f"({arguments})" if arguments else "")
            )
        finally:
            await transaction.rollback()
        plan: dict[str, Any] = json.loads(text)[0]["Plan"]
        return plan


async def planned(db: Any, names: Sequence[str]) -> None:
    """Have statements prepared and planned as things are now."""
    for name in names:
        statement = statements()[name]
        await db.execute(f"PREPARE {name} AS {statement.sql}")
        nothing = ", ".join("NULL" for _ in statement.params)
        await db.execute(f"EXPLAIN EXECUTE {name}" + (f"({nothing})" if nothing else ""))


@pytest.fixture(scope="module")
async def early(cluster: Cluster) -> AsyncIterator[Early]:
    execute = asyncpg.Connection.execute

    async def without_figures(connection: Any, query: str, *args: Any, **more: Any) -> Any:
        return None if query.startswith("ANALYZE") else await execute(connection, query, *args, **more)

    async with fresh_world(cluster) as world:
        db = await asyncpg.connect(world.login, password=LOGIN_PASSWORD, server_settings=SESSION)
        try:
            await planned(db, EVERY)
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(asyncpg.Connection, "execute", without_figures)
                tenant = Large(world)
                await tenant.fill(SIZE)
            early = Early(tenant, db)
            early.before = looked_at(await early.plan("project_of_task"))
            await db.execute("DISCARD PLANS")
            yield early
        finally:
            await db.close()


def looked_at(plan: dict[str, Any]) -> dict[str, int]:
    """Rows that were looked at, by large table."""
    found: dict[str, int] = {}
    for node in nodes(plan):
        if (table := node.get("Relation Name")) in LARGE and "Scan" in node["Node Type"]:
            rows = sum(
                node.get(key, 0)
                for key in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
            )
            found[table] = found.get(table, 0) + round(rows * node["Actual Loops"])
    return found


def test_old_plans_read_all_there_is(early: Early) -> None:
    """What this is about: one task is looked up by its id, and all tasks of the tenant are read."""
    assert early.before["tasks"] > SIZE.tasks / 2


@pytest.mark.parametrize("name", EVERY)
async def test_new_ones_look_at_few_rows(early: Early, name: str) -> None:
    plan = await early.plan(name)
    assert max(looked_at(plan).values(), default=0) <= FEW, json.dumps(plan, indent=1)

"""Every way to ask for entries reads them by an index, as the login role, under row-level security."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from handlers.insight.audit import BEYOND, FIRST, LAST
from storage.postgres import SESSION
from storage.statements import load
from tests.world import LOGIN_PASSWORD, World

NONE = dict.fromkeys(("resource", "actor_id", "action", "outcome", "since", "until"))


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "audit_entries_pkey"),
        ({"outcome": "ok"}, "audit_entries_pkey"),
        ({"outcome": "failed"}, "audit_entries_failed_idx"),
        ({"outcome": "FORBIDDEN"}, "audit_entries_failed_idx"),
        ({"actor_id": uuid4()}, "audit_entries_actor_idx"),
        ({"resource": "task:x", "action": "task."}, "audit_entries_resource_idx"),
        ({"action": "task.", "since": datetime(2026, 1, 1, tzinfo=UTC)}, "audit_entries_action_idx"),
    ],
)
async def test_it_is_read_by_its_index(shared: World, filters: dict[str, object], index: str) -> None:
    statement = load()["audit_page"]
    values = {
        **NONE, **filters, "tenant_id": UUID(shared.tenant_id), "after_id": FIRST, "before_id": LAST,
        "beyond": BEYOND, "most": 51,
    }  # fmt: skip
    connection = await asyncpg.connect(shared.login, password=LOGIN_PASSWORD, server_settings=SESSION)
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('atrium.tenant', $1, true)", shared.tenant_id)
            plan = await connection.fetchval(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.sql}",
                *(values[name] for name in statement.params),
            )
    finally:
        await connection.close()
    read = [
        node for node in _nodes(orjson.loads(plan)[0]["Plan"]) if node.get("Relation Name") == "audit_entries"
    ]
    assert all(node["Node Type"] in ("Index Scan", "Index Only Scan", "Bitmap Heap Scan") for node in read)
    used = {node["Index Name"] for node in read if node["Actual Loops"] and "Index Name" in node}
    assert index in used
    assert used <= {index, "audit_entries_pkey"}


def _nodes(plan: dict[str, object]) -> list[dict[str, object]]:
    inner = plan.get("Plans", [])
    assert isinstance(inner, list)
    return [plan, *(node for child in inner for node in _nodes(child))]

"""Exports of members: everybody, with nothing that a spreadsheet would run, and as many as there are."""

import csv
import io
import json
import time
from collections.abc import Callable
from typing import Any

from tests.keys.hands import make_key
from tests.keys.hands import rest as by_key
from tests.world import Person, World


async def export(world: World, person: Person, accept: str = "text/csv") -> str:
    tokens = await person.sign_in()
    headers = {"Authorization": f"Bearer {tokens.access_token}", "Accept": accept}
    url = f"{world.url}/api/v1/tenants/{world.tenant_id}/members.csv"
    async with world.http.get(url, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.text()


def by_address(text: str) -> dict[str, dict[str, str]]:
    return {row["email"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}


async def test_everybody_is_in_it(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    await bob.sign_in()
    await bob.rest("PUT", "/auth/me", json={"name": "=HYPERLINK(1)"})
    async with world.sql() as db:
        await db.execute("UPDATE members SET status = 'suspended' WHERE role = 'viewer'")
        await db.execute("UPDATE members SET expires_at = now() WHERE role = 'guest'")
        await db.execute("UPDATE members SET status = 'removed' WHERE role = 'client'")
    for name in ("Tilers", "Plumbers"):
        team = {"name": name, "member_ids": [world.user_ids["bob"]]}
        assert (await alice.send("team.create", **team)).success
    rows = by_address(await export(world, alice))
    assert rows["bob@acme.example"]["teams"] == "Plumbers; Tilers"
    assert sorted(rows) == sorted(
        f"{name}@acme.example" for name in ("alice", "admin", "manager", "bob", "viewer", "gus")
    )
    told = rows["bob@acme.example"]
    assert (told["id"], told["name"], told["role"]) == (world.user_ids["bob"], "'=HYPERLINK(1)", "member")
    assert told["last_sign_in_at"].endswith("Z")
    assert rows["manager@acme.example"]["last_sign_in_at"] == "", "she has never been here"
    assert {rows[f"{name}@acme.example"]["status"] for name in ("viewer", "gus")} == {"suspended", "expired"}
    listed = json.loads(await export(world, alice, "application/json"))
    assert {item["email"]: item["name"] for item in listed}["bob@acme.example"] == "=HYPERLINK(1)"
    assert {item["email"] for item in listed} == set(rows)


async def test_what_somebody_does_elsewhere_is_not_told(world: World) -> None:
    alice, mallory = await world.person("alice").connect(), world.person("mallory")
    await alice.send("member.add", email="mallory@rival.example", role="viewer")
    await mallory.sign_in()
    assert mallory.tokens.tenant.slug == "rival"
    assert by_address(await export(world, alice))["mallory@rival.example"]["last_sign_in_at"] == ""


async def test_an_export_can_be_imported(world: World) -> None:
    alice = await world.person("alice").connect()
    reply = await alice.send("member.import", csv=await export(world, alice), dry_run=True)
    assert reply.data.job.total == 7


async def test_a_key_needs_the_scope(world: World) -> None:
    alice = world.person("alice")
    path = f"/tenants/{world.tenant_id}/members.csv"
    narrow, wide = (await make_key(alice, "read")).key, (await make_key(alice, "read", "member.export")).key
    assert (await by_key(world, narrow, "GET", path)).status == 403
    assert "alice@acme.example" in (await by_key(world, wide, "GET", path)).text


async def test_fifty_thousand_members(worlds: Callable[..., Any]) -> None:
    world: World = await worlds()
    async with world.sql() as db:
        await db.execute(
            "WITH made AS (INSERT INTO users (id, email, name) SELECT gen_random_uuid(), 'n' || n || '@new.example', "
            "'Person ' || n FROM generate_series(1, 50000) AS n RETURNING id) "
            "INSERT INTO members (tenant_id, user_id, role) SELECT $1, id, 'viewer' FROM made",
            world.tenant_id,
        )
        await db.execute("ANALYZE members, users")
    alice = world.person("alice")
    await alice.sign_in()
    started = time.perf_counter()
    rows = by_address(await export(world, alice))
    print(f"\n50,000 members exported in {time.perf_counter() - started:.1f} s")
    assert len(rows) == 50_007
    assert len({row["id"] for row in rows.values()}) == 50_007

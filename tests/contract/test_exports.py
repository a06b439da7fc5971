"""What holds for every export there is, and for each that will be."""

import csv
import io
import json
import re
from typing import Any

import pytest

from handlers.access import MATRIX, ROLES
from handlers.registry import SPECS
from handlers.sheets import Sheet, as_csv
from tests.contract.examples import NEW_ID, importing
from tests.world import STAFF, World

EXPORTS = sorted(name for name, spec in SPECS.items() if spec.kind == "export")
OF_ROLE = {role: name for name, role in STAFF.items()}


def path_of(world: World, name: str) -> str:
    route = SPECS[name].route
    assert route is not None
    assert route.method == "GET"
    ids = {"tenant_id": world.tenant_id, "project_id": world.project_id, "import_id": NEW_ID}
    return re.sub(r"{(\w+)}", lambda found: ids[found[1]], route.path)


@pytest.fixture(scope="module", autouse=True)
async def imported(shared: World) -> None:
    await importing(shared, shared.person("alice"))


async def download(world: World, person: str, path: str) -> tuple[Any, list[list[str]]]:
    bearer = {"Authorization": f"Bearer {await world.token(person)}"}
    async with world.http.get(f"{world.url}/api/v1{path}", headers=bearer) as response:
        return response, list(csv.reader(io.StringIO(await response.text(), newline="")))


@pytest.mark.parametrize("name", EXPORTS)
async def test_it_is_a_file_for_whoever_may_and_leaves_an_entry(shared: World, name: str) -> None:
    response, rows = await download(shared, "alice", path_of(shared, name))
    assert response.status == 200
    assert response.content_type == "text/csv"
    assert re.fullmatch(
        rf'attachment; filename="{SPECS[name].file}-acme-\d{{4}}-\d\d-\d\d\.csv"',
        response.headers["Content-Disposition"],
    )
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Request-Id"]
    assert len(rows) > 1
    assert {len(row) for row in rows} == {len(rows[0])}
    async with shared.sql() as db:
        entry = await db.fetchrow(
            "SELECT * FROM audit_entries WHERE action = $1 ORDER BY id DESC LIMIT 1", name
        )
    assert str(entry["actor_id"]) == shared.user_ids["alice"]
    assert (str(entry["tenant_id"]), entry["outcome"]) == (shared.tenant_id, "ok")
    assert entry["session_id"] is not None


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/json", "application/json"),
        ("application/json;q=0.9, text/plain", "application/json"),
        ("application/json, text/plain, */*", "text/csv"),
        ("text/csv, application/json", "text/csv"),
        ("", "text/csv"),
    ],
)
async def test_it_is_json_for_who_accepts_nothing_else(
    shared: World, name: str, accept: str, content_type: str
) -> None:
    headers = {"Authorization": f"Bearer {await shared.token('alice')}", "Accept": accept}
    async with shared.http.get(f"{shared.url}/api/v1{path_of(shared, name)}", headers=headers) as response:
        assert (response.status, response.content_type) == (200, content_type)
        text = await response.text()
    if content_type == "application/json":
        _, rows = await download(shared, "alice", path_of(shared, name))
        listed = json.loads(text)
        assert {tuple(item) for item in listed} == {tuple(rows[0])}
        assert response.headers["Content-Disposition"].endswith('.json"')


@pytest.mark.parametrize("name", EXPORTS)
async def test_it_is_not_for_others(shared: World, name: str) -> None:
    needs, path = SPECS[name].needs, path_of(shared, name)
    assert needs is not None
    assert (await shared.person("mallory").rest("GET", path)).error.code == "NOT_FOUND"
    for role in (role for role in ROLES if needs not in MATRIX[role]):
        refused = await shared.person(OF_ROLE[role]).rest("GET", path)
        assert (refused.status, refused.error.details) == (403, {"permission": needs})
    assert (await shared.request("GET", path)).status == 401


@pytest.mark.parametrize("name", EXPORTS)
async def test_it_is_described(shared: World, name: str) -> None:
    document = await shared.request("GET", "/openapi.json")
    route = SPECS[name].route
    assert route is not None
    answer = document["paths"][f"/api/v1{route.path}"]["get"]["responses"]["200"]
    assert sorted(answer["content"]) == ["application/json", "text/csv"]
    assert "Content-Disposition" in answer["headers"]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"), ("+41", "'+41"), ("-2", "'-2"), ("@here", "'@here"), ("\tx", "'\tx"), ("\rx", "'\rx"),
        (-2, "-2"), (None, ""), ("a=b", "a=b"), ('say "hi", twice', 'say "hi", twice'), ("two\nlines", "two\nlines"),
    ],
)  # fmt: skip
def test_no_cell_is_a_formula(value: object, cell: str) -> None:
    text = as_csv(Sheet(("name",), [[value, "x"]]), header=True).decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["name"], [cell, "x"]]

"""Every named statement prepares against the migrated schema, as the role that will run it."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from storage import statements
from storage.statements import SQL_DIR, load, parse
from tests.world import LOGIN_PASSWORD, Cluster

STATEMENTS = load()


@pytest.fixture(scope="module")
async def login(cluster: Cluster) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(cluster.login("empty"), password=LOGIN_PASSWORD)
    yield connection
    await connection.close()


@pytest.mark.parametrize("name", sorted(STATEMENTS))
async def test_it_prepares(login: Any, name: str) -> None:
    statement = STATEMENTS[name]
    prepared = await login.prepare(statement.sql)
    assert len(prepared.get_parameters()) == len(statement.params)
    columns = prepared.get_attributes()
    if statement.kind == "value":
        assert len(columns) == 1
    elif statement.kind != "exec":
        assert columns, f"{name} :{statement.kind} returns nothing"


@pytest.mark.parametrize("name", sorted(STATEMENTS))
async def test_it_knows_whether_it_writes(login: Any, name: str) -> None:
    statement = STATEMENTS[name]
    await login.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE asked AS {statement.sql}")
    nulls = f"({', '.join(['NULL'] * len(statement.params))})" if statement.params else ""
    plan = "\n".join(row[0] for row in await login.fetch(f"EXPLAIN EXECUTE asked{nulls}"))
    await login.execute("DEALLOCATE asked")
    assert statement.writes == bool(re.search(r"\b(Insert|Update|Delete) on ", plan)), plan


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_reader_reads_one_tenant_only(name: str) -> None:
    statement = STATEMENTS[name]
    if re.search(
        r"\b(tasks|projects|boards|board_columns|statuses|rooms|room_events|members)\b", statement.sql
    ):
        assert "tenant_id" in statement.params, f"{name} does not name its tenant"


def test_parameters_become_numbers_and_casts_stay() -> None:
    (found,) = parse("-- find :maybe\nSELECT :b::text, :a, :b -- :c\nWHERE t = :a;\n", "x.sql")
    assert (found.sql, found.params) == ("SELECT $1::text, $2, $1 \nWHERE t = $2", ("b", "a"))


@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        ("SELECT 1 FOR UPDATE", False),
        ("SELECT 1 FOR NO KEY UPDATE", False),
        ("UPDATE tasks SET x = 1", True),
        ("WITH gone AS (DELETE FROM tasks RETURNING 1) SELECT count(*) FROM gone", True),
        ("insert into tasks values (1)", True),
        ("SELECT updated_at FROM tasks", False),
    ],
)
def test_what_counts_as_writing(sql: str, writes: bool) -> None:
    (found,) = parse(f"-- a_name :exec\n{sql};\n", "x.sql")
    assert found.writes is writes


def test_a_name_is_given_once(tmp_path: Path) -> None:
    for name in ("a.sql", "b.sql"):
        (tmp_path / name).write_text("-- same :one\nSELECT 1;\n")
    with pytest.raises(ValueError, match=r"b\.sql: same is also in a\.sql"):
        statements.load(tmp_path)


def test_every_statement_is_asked_for_somewhere() -> None:
    root = SQL_DIR.parent
    code = "\n".join(
        path.read_text() for part in ("handlers", "server", "storage") for path in (root / part).rglob("*.py")
    )
    taken_in = "\n".join(path.read_text() for path in SQL_DIR.rglob("*.sql"))
    unused = [name for name in STATEMENTS if f'"{name}"' not in code and f"{{{name}}}" not in taken_in]
    assert unused == []

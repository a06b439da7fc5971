"""Values as SQL text: Postgres reads back what was meant, and what it cannot hold is refused before it is sent."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from storage.literals import literal
from tests.world import World

NASTY = [
    "",
    "'",
    "''",
    "\\",
    "\\'",
    "'; COMMIT; --",
    '"',
    "{}",
    "{a,b}",
    "NULL",
    "$1",
    "ü😀\u2028",
    "\n\t",
    "E'\\x00'",
]


@pytest.fixture
async def db(world: World) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(world.dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("text", NASTY)
async def test_a_text_comes_back_as_it_was(db: Any, text: str) -> None:
    await db.execute("CREATE TEMP TABLE heard (one text, many text [])")
    await db.execute("PREPARE hear (text, text []) AS INSERT INTO heard VALUES ($1, $2)")
    many = [text, None, *NASTY]
    await db.execute(f"EXECUTE hear ({literal(text)}, {literal(many)})")
    row = await db.fetchrow("SELECT one, many FROM heard")
    assert (row["one"], row["many"]) == (text, many)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "text"),
        (7, "bigint"),
        (-(2**63), "bigint"),
        (True, "boolean"),
        (uuid4(), "uuid"),
        ([uuid4(), uuid4()], "uuid []"),
        ([], "uuid []"),
        (datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC), "timestamptz"),
        ([datetime(2026, 2, 3, tzinfo=UTC), None], "timestamptz []"),
    ],
)
async def test_a_value_comes_back_as_it_was(db: Any, value: object, kind: str) -> None:
    back = await db.fetchval(f"SELECT {literal(value)}::{kind}")
    assert ([UUID(str(v)) for v in back] if kind == "uuid []" else back) == value


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_postgres_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(asyncpg.DataError):
        literal(text)
    with pytest.raises(asyncpg.DataError):
        literal([text])


def test_what_has_no_literal_is_refused() -> None:
    with pytest.raises(TypeError):
        literal(object())

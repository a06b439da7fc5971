"""Migrations: forward only, each once, never edited, one migrator at a time."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog

from server.app import Refused, check_settings, close_node, login_dsn, open_database, open_node
from storage.migrations import MIGRATIONS_DIR, MigrationError, check_login, check_version, load, migrate
from storage.postgres import LOGIN_ROLE
from tests.world import LOGIN_PASSWORD, Cluster, settings_for

NAMES = [migration.name for migration in load()]


@pytest.fixture
async def empty(cluster: Cluster) -> AsyncIterator[str]:
    """The owner's address of a database with nothing in it."""
    async with cluster.database(template="template0") as name:
        yield cluster.postgres.dsn(name)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the migrations that a test may spoil."""
    copy = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS_DIR, copy)
    return copy


async def _apply(dsn: str, directory: Path = MIGRATIONS_DIR) -> list[str]:
    return await migrate(dsn, login_password=LOGIN_PASSWORD, directory=directory)


async def test_each_is_applied_once(empty: str) -> None:
    assert await _apply(empty) == NAMES
    assert await _apply(empty) == []


async def test_an_edited_one_is_refused_by_name(empty: str, directory: Path) -> None:
    await _apply(empty)
    edited = min(directory.glob("*.sql"))
    edited.write_text(edited.read_text() + "\n-- a small correction\n")
    with pytest.raises(MigrationError, match=f"{edited.stem} was edited"):
        await _apply(empty, directory)


async def test_a_newer_database_is_refused_by_name(empty: str, directory: Path) -> None:
    number = len(NAMES) + 1
    (directory / f"{number:04}_from_the_future.sql").write_text("CREATE TABLE future (id integer);")
    assert (await _apply(empty, directory))[-1] == f"{number:04}_from_the_future"
    with pytest.raises(MigrationError, match=rf"newer than this server: it has {number:04}_from_the_future"):
        await _apply(empty)


async def test_a_failing_one_leaves_nothing_behind(empty: str, directory: Path) -> None:
    number = len(NAMES) + 1
    bad = directory / f"{number:04}_bad.sql"
    bad.write_text("CREATE TABLE half (id integer); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await _apply(empty, directory)
    bad.write_text("CREATE TABLE half (id integer);")
    assert await _apply(empty, directory) == [bad.stem]


async def test_two_migrators_at_once(empty: str) -> None:
    done = await asyncio.gather(*(_apply(empty) for _ in range(4)))
    assert sorted(done) == [[], [], [], NAMES]


def test_a_hole_in_the_numbers_is_refused(directory: Path) -> None:
    (directory / f"{len(NAMES) + 2:04}_too_far.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationError, match=f"too_far.sql: expected number {len(NAMES) + 1:04}"):
        load(directory)


@pytest.mark.parametrize(
    ("version", "warned"),
    [("15.14", False), ("15.13", True), ("16.9", True), ("17.6", False), ("18.0", False), ("19.0", False)],
)
def test_a_minor_release_that_leaks_is_warned_about(version: str, warned: bool) -> None:
    with structlog.testing.capture_logs() as lines:
        check_version(*map(int, version.split(".")))
    assert [line["version"] for line in lines] == [version] * warned


def test_a_postgres_that_is_too_old_is_refused() -> None:
    with pytest.raises(MigrationError, match="Postgres 14 is too old"):
        check_version(14, 20)


async def test_the_driver_tells_the_minor_release_where_we_look_for_it(empty: str) -> None:
    connection = await asyncpg.connect(empty)
    version = connection.get_server_version()
    assert await connection.fetchval("SHOW server_version") == f"{version.major}.{version.micro}"
    await connection.close()


async def test_serving_as_the_owner_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    connection = await asyncpg.connect(cluster.postgres.dsn("empty"))
    try:
        with pytest.raises(MigrationError, match="must not log in as atrium, which owns tables"):
            await check_login(connection)
    finally:
        await connection.close()


async def test_a_login_role_that_may_too_much_is_refused(cluster: Cluster, empty: str) -> None:
    owner = await asyncpg.connect(empty)
    try:
        await owner.execute(f"ALTER ROLE {LOGIN_ROLE} BYPASSRLS")
        with pytest.raises(MigrationError, match="can bypass row-level security"):
            await _apply(empty)
    finally:
        await owner.execute(f"ALTER ROLE {LOGIN_ROLE} NOBYPASSRLS")
        await owner.close()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"secret_key": "x" * 40}, "ATRIUM_ORIGINS"),
        ({"origins": "https://a.example", "secret_key": None}, "ATRIUM_SECRET_KEY"),
    ],
)
async def test_production_refuses_defaults(
    cluster: Cluster, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    settings = settings_for(tmp_path, environment="production", **changes)
    with pytest.raises(Refused, match=says):
        await open_node(settings, cluster.login("empty"), LOGIN_PASSWORD)


def test_production_with_everything_set(tmp_path: Path) -> None:
    check_settings(
        settings_for(tmp_path, environment="production", origins="https://a.example", secret_key="x" * 40)
    )


async def test_a_postgres_of_ones_own_is_migrated_and_served_as_the_login_role(
    empty: str, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, database_url=empty)
    dsn, password, embedded = await open_database(settings)
    assert embedded is None
    node = await open_node(settings, dsn, password)
    async with node.db.connection() as connection:
        assert await connection.fetchval("SELECT current_user") == LOGIN_ROLE
    await close_node(node)


async def test_an_owner_of_its_own_migrates_and_the_login_role_serves(empty: str, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, database_url=login_dsn(empty), database_owner_url=empty)
    dsn, password, _ = await open_database(settings)
    assert (dsn, password) == (login_dsn(empty), None)
    node = await open_node(settings, dsn, password)
    async with node.db.connection() as connection:
        assert await connection.fetchval("SELECT current_user") == LOGIN_ROLE
    await close_node(node)

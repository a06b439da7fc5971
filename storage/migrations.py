"""Numbered forward-only SQL files, applied once each, in order, under an advisory lock, with checksums."""

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import structlog

from storage.postgres import LOGIN_ROLE
from storage.statements import SQL_DIR

log = structlog.get_logger(__name__)

MIGRATIONS_DIR: Final = SQL_DIR / "migrations"
LOCK_KEY: Final = 0x61747269756D  # "atrium": one migrator at a time in a database
MINIMUM_VERSION: Final = 15
FIXED_MINORS: Final = {15: 14, 16: 10, 17: 6, 18: 0}
"""First minor releases whose planner does not leak rows past row-level security through statistics."""


class MigrationError(RuntimeError):
    """The database cannot be brought to this version; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str
    checksum: str


def load(directory: Path = MIGRATIONS_DIR) -> list[Migration]:
    """All migrations in order; numbers must run from 1 without a hole."""
    found = []
    for expected, path in enumerate(sorted(directory.glob("*.sql")), 1):
        number = int(path.name.split("_", 1)[0])
        if number != expected:
            raise MigrationError(f"{path.name}: expected number {expected:04}")
        sql = path.read_text()
        found.append(Migration(number, path.stem, sql, hashlib.sha256(sql.encode()).hexdigest()))
    return found


async def migrate(
    owner_dsn: str, *, login_password: str | None, directory: Path = MIGRATIONS_DIR
) -> list[str]:
    """Bring a database up to date as its owner; returns the names of the migrations just applied.

    With `login_password` the login role is created, or given that password, first.
    """
    connection = await asyncpg.connect(
        owner_dsn, timeout=30, server_settings={"application_name": "atrium migrate"}
    )
    try:
        version = connection.get_server_version()
        check_version(version.major, version.micro)  # since Postgres 10 there is no middle number
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
        await connection.execute("SET lock_timeout = '10s'; SET statement_timeout = '15min'")
        if login_password is not None:
            await _ensure_login_role(connection, login_password)
        await _require_login_role(connection)
        return await _apply(connection, load(directory))
    finally:
        await connection.close(timeout=5)


def check_version(major: int, minor: int) -> None:
    """Refuse a Postgres that is too old, and warn of one whose minor release is."""
    if major < MINIMUM_VERSION:
        raise MigrationError(f"Postgres {major} is too old: 15 or later is needed")
    wanted = FIXED_MINORS.get(major, 0)
    if minor < wanted:
        log.warning(
            "postgres.minor_too_old",
            version=f"{major}.{minor}",
            wanted=f"{major}.{wanted}",
            why="row-level security leaks statistics before it",
        )


async def _ensure_login_role(connection: Any, password: str) -> None:
    secret = await connection.fetchval("SELECT quote_literal($1)", password)
    exists = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", LOGIN_ROLE)
    attributes = f"LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOREPLICATION PASSWORD {secret}"
    if not exists:
        await connection.execute(f"CREATE ROLE {LOGIN_ROLE} {attributes}")
    elif not await _password_works(connection, password):
        await connection.execute(f"ALTER ROLE {LOGIN_ROLE} LOGIN PASSWORD {secret}")


async def _password_works(connection: Any, password: str) -> bool:
    """Whether the stored SCRAM verifier was made from this password; an unreadable one counts as no."""
    try:
        verifier = await connection.fetchval(
            "SELECT rolpassword FROM pg_authid WHERE rolname = $1", LOGIN_ROLE
        )
    except asyncpg.InsufficientPrivilegeError:
        return False
    return bool(verifier) and _scram_matches(verifier, password)


def _scram_matches(verifier: str, password: str) -> bool:
    """RFC 5803 verifier as Postgres stores it: SCRAM-SHA-256$iterations:salt$stored:server."""
    import base64

    try:
        _, parameters, keys = verifier.split("$")
        iterations, salt = parameters.split(":")
        stored = keys.split(":")[0]
    except ValueError:
        return False
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    client = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
    return hmac.compare_digest(hashlib.sha256(client).digest(), base64.b64decode(stored))


async def _require_login_role(connection: Any) -> None:
    role = await connection.fetchrow(
        "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = $1", LOGIN_ROLE
    )
    if role is None:
        raise MigrationError(f"the role {LOGIN_ROLE} is missing: CREATE ROLE {LOGIN_ROLE} LOGIN PASSWORD '…'")
    if role["rolsuper"] or role["rolbypassrls"]:
        raise MigrationError(f"the role {LOGIN_ROLE} can bypass row-level security: ALTER ROLE … NOBYPASSRLS")


async def _apply(connection: Any, migrations: list[Migration]) -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        "number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, "
        "applied_at timestamptz NOT NULL DEFAULT now())"
    )
    done = {row["number"]: row for row in await connection.fetch("SELECT * FROM schema_migrations")}
    unknown = set(done) - {migration.number for migration in migrations}
    if unknown:
        raise MigrationError(f"the database is newer than this server: it has {done[max(unknown)]['name']}")
    applied = []
    for migration in migrations:
        if row := done.get(migration.number):
            if row["checksum"] != migration.checksum:
                raise MigrationError(
                    f"{migration.name} was edited after it was applied: restore it and add a new migration instead"
                )
            continue
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)",
                migration.number, migration.name, migration.checksum,
            )  # fmt: skip
        applied.append(migration.name)
        log.info("migration.applied", name=migration.name)
    return applied


async def check_login(connection: Any) -> None:
    """Refuse to serve as a role that owns a table or could see past row-level security."""
    row = await connection.fetchrow(
        "SELECT r.rolname, r.rolsuper OR r.rolbypassrls AS bypass, "
        "EXISTS (SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'public' AND c.relowner = r.oid) AS owns "
        "FROM pg_roles AS r WHERE r.rolname = current_user"
    )
    if row["bypass"] or row["owns"]:
        raise MigrationError(
            f"the server must not log in as {row['rolname']}, which owns tables or bypasses row-level security: "
            f"set DATABASE_OWNER_URL to that role and DATABASE_URL to {LOGIN_ROLE}"
        )

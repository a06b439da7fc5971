"""`python -m server doctor`: would it start, and with what?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from server.app import Refused, check_settings, close_node, open_database, open_node
from storage.child import EmbeddedServerError
from storage.migrations import MigrationError
from storage.postgres import LOST, Database
from storage.settings import Settings

TOLD: Final = 5
"""Tenants that are named where something is wrong with them (count)."""


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    good: bool
    says: str


async def examine(settings: Settings) -> list[Finding]:
    """Check one thing after the other; later ones are left out when an earlier one makes them senseless."""
    findings = [_settings(settings), _page(settings), await _redis(settings)]
    return [*findings, *await _postgres(settings)]


def _settings(settings: Settings) -> Finding:
    try:
        check_settings(settings)
    except Refused as error:
        return Finding("settings", False, str(error))
    return Finding("settings", True, f"{settings.environment}, data in {settings.data_dir.resolve()}")


def _page(settings: Settings) -> Finding:
    root = (
        settings.web_dir
        if settings.web_dir.is_absolute()
        else Path(__file__).parent.parent / settings.web_dir
    )
    built = (root / "index.html").is_file()
    return Finding("web page", built, "built" if built else "not built: run `make setup`")


async def _redis(settings: Settings) -> Finding:
    if settings.redis_url is None:
        return Finding("redis", True, "not set: one process, in-process bus")
    redis = Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=5)
    try:
        version = (await redis.info("server")).get("redis_version", "unknown")
    except (RedisError, OSError) as error:
        return Finding("redis", False, f"{type(error).__name__}: {error}")
    finally:
        await redis.aclose()
    return Finding("redis", True, f"answers, version {version}")


async def _postgres(settings: Settings) -> list[Finding]:
    try:
        dsn, password, embedded = await open_database(settings)
    except (MigrationError, EmbeddedServerError, *LOST) as error:
        return [Finding("postgres", False, f"{type(error).__name__}: {error}")]
    try:
        node = await open_node(settings, dsn, password)
        async with node.db.connection() as connection:
            version = await connection.fetchval("SHOW server_version")
        files = await _files(node.db)
        node.settings.drain_seconds = 0
        await close_node(node)
    finally:
        if embedded is not None:
            await embedded.stop()
    kind = "embedded" if embedded else "answers"
    return [Finding("postgres", True, f"{kind}, version {version}, schema up to date"), files]


async def _files(db: Database) -> Finding:
    """Whether what counts against the quota of each tenant is what its files have."""
    async with db.transaction(None) as session:
        astray = await session.many("file_usage_astray")
    if not astray:
        return Finding("files", True, "the sum of each tenant is that of its files")
    told = ", ".join(f"{row['tenant_id']} has {row['found']} and not {row['kept']}" for row in astray[:TOLD])
    return Finding("files", False, f"the sums of {len(astray)} tenants are wrong (bytes): {told}")

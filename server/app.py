"""Everything that makes a node, wired together in order."""

import hashlib
import hmac
import os
import platform
import secrets
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import structlog
from aiohttp import web

import server.nouns  # noqa: F401  # registers everything callable
from handlers.dispatch import Dispatcher
from handlers.identity.oidc.client import OidcClient
from handlers.identity.passwords import Passwords
from handlers.identity.sessions import Sessions
from handlers.identity.signing_keys import KeyRing
from handlers.identity.tokens import Tokens
from handlers.identity.vault import Vault
from handlers.insight.chain import Signer
from server import docs, fanout, headers, health, logos, metrics, pages, rest, streams
from server.alarm_clock import AlarmClock
from server.describe import VERSION
from server.figures import Figures
from server.gateway import Gateway
from server.hub import Hub
from server.importer import Importer
from server.inspection import Inspector
from server.keys import KeyWatch
from server.lag import LagWatch
from server.limits import Limits, unknown_name
from server.maintenance import Maintenance
from server.node import Node
from server.outbox import Outbox
from server.reckoner import Reckoner
from server.refusals import Refusals
from server.sealing import Sealer
from server.sweeper import Sweeper
from storage import statements
from storage.blobs import open_blobs
from storage.bus import Bus, LocalBus, RedisBus
from storage.embedded import EmbeddedPostgres
from storage.mail import open_mailer
from storage.migrations import check_login, migrate
from storage.outbound import Outbound
from storage.postgres import LOGIN_ROLE, Database
from storage.settings import Settings
from storage.shared_rates import SharedBudgets

log = structlog.get_logger(__name__)

DATABASE: Final = "atrium"


class Refused(RuntimeError):
    """The server does not start like this; the message says what to change."""


async def open_database(settings: Settings) -> tuple[str, str | None, EmbeddedPostgres | None]:
    """Find or start Postgres and migrate it. Returns the login DSN, its password, and the embedded server."""
    secret = instance_secret(settings)
    password = hmac.new(secret.encode(), b"login-role", hashlib.sha256).hexdigest()
    if settings.database_url is None:
        postgres = EmbeddedPostgres(settings.data_dir)
        await postgres.start()
        try:
            await _create_database(postgres.dsn("postgres"))
            await migrate(postgres.dsn(DATABASE), login_password=password)
        except BaseException:
            await postgres.stop()
            raise
        return login_dsn(postgres.dsn(DATABASE)), password, postgres
    url = str(settings.database_url)
    if settings.database_owner_url is not None:
        await migrate(str(settings.database_owner_url), login_password=None)
        return url, None, None
    await migrate(url, login_password=password)
    return login_dsn(url), password, None


async def open_node(settings: Settings, dsn: str, password: str | None, bus: Bus | None = None) -> Node:
    """Wire a node to a migrated database."""
    check_settings(settings)
    db = await Database.connect(dsn, statements.load(), settings, password=password)
    async with db.connection() as connection:
        await check_login(connection)
    if bus is None:
        redis = settings.redis_url
        bus = RedisBus(redis.get_secret_value(), silence=settings.bus_silence) if redis else LocalBus()
    hub = Hub(db, bus, settings)
    secret = instance_secret(settings)
    vault = Vault(secret, settings.previous_secrets)
    outbox = Outbox(db, settings, open_mailer(settings))
    refusals = Refusals(db)
    reckoner = Reckoner(db, settings)
    dispatcher = Dispatcher(
        db, settings, deliver=hub.deliver, behind=hub.behind, mails_queued=outbox.wake, vault=vault,
        refused=refusals.note, transacted=metrics.transacted, changed=reckoner.note,
    )  # fmt: skip
    outbound = Outbound(settings)
    ring = KeyRing(db, (secret, *settings.previous_secrets), settings)
    await ring.open()
    tokens = Tokens(ring, settings)
    sessions = Sessions(db, tokens)
    shared = SharedBudgets(settings.redis_url.get_secret_value() if settings.redis_url else None)
    limits = Limits(settings, shared)
    gateway = Gateway(settings, dispatcher, hub, sessions, limits)
    blobs = await open_blobs(settings)
    maintenance = Maintenance(db, settings, dispatcher, Sweeper(db, settings, blobs))
    node = Node(
        settings,
        db,
        bus,
        hub,
        dispatcher,
        gateway,
        sessions,
        tokens,
        Passwords(settings),
        maintenance,
        outbox,
        Importer(db, settings, dispatcher),
        AlarmClock(db, settings, dispatcher),
        reckoner,
        outbound,
        OidcClient(outbound, settings),
        vault,
        limits,
        refusals,
        KeyWatch(ring),
        Sealer(db, settings, Signer(secret, settings.previous_secrets)),
        Inspector(gateway, bus, secret),
        LagWatch(),
        blobs,
    )
    node.figures = Figures(lambda: health.look(node))
    fanout.use_ring(settings.io_uring)
    by = "io_uring" if fanout.by_ring() else "write"
    metrics.BUILD.labels(VERSION, platform.python_version(), by).set(1)
    log.info("node.fan_out", by=by)
    await hub.start()
    shared.start()
    node.keys.start()
    gateway.presence.start()
    maintenance.start()
    node.outbox.start()
    refusals.start()
    node.importer.start()
    node.alarms.start()
    node.reckoner.start(dispatcher)
    node.sealer.start()
    node.lag.start()
    node.ready = True
    return node


async def close_node(node: Node) -> None:
    """Let clients and commands finish, then let go of everything."""
    node.ready = False
    await node.importer.stop()
    await node.alarms.stop()
    await node.gateway.drain()  # at once, where it has been done
    await node.reckoner.stop()
    await node.outbox.stop()
    await node.refusals.stop()
    await node.sealer.stop()
    await node.lag.stop()
    await node.maintenance.stop()
    await node.gateway.schedules.stop()
    await node.gateway.presence.stop()
    await node.gateway.stop()
    await node.hub.stop()
    await node.outbound.close()
    await node.limits.shared.stop()
    await node.sessions.close()
    await node.keys.stop()
    node.passwords.close()
    await node.blobs.close()
    await node.db.close()


def make_app(node: Node) -> web.Application:
    """The HTTP and Socket.IO doors of a node."""
    app = web.Application(client_max_size=node.settings.max_payload, middlewares=[rest.edge(node)])
    headers.guard(app, node)
    for path, engine in node.gateway.engines.items():
        engine.attach(app, path)
    health.add_routes(app, node)
    rest.add_routes(app, node)
    streams.add_routes(app, node)
    docs.add_routes(app, node)
    logos.add_routes(app, node)
    pages.add_routes(app, node)
    return app


def check_settings(settings: Settings) -> None:
    """Refuse what names nothing, and what is safe on one's own machine only."""
    if (name := unknown_name(settings)) is not None:
        raise Refused(f"ATRIUM_LIMIT_COMMANDS: there is no command, query, signal or endpoint {name}")
    if settings.environment == "production":
        if not settings.allowed_origins:
            raise Refused("set ATRIUM_ORIGINS to the origins that browsers may connect from")
        if settings.secret_key is None:
            raise Refused("set ATRIUM_SECRET_KEY to a random string of at least 32 characters")


def instance_secret(settings: Settings) -> str:
    """The secret of the settings, or one made once and kept in the data directory."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    path = settings.data_dir / "secret"
    try:
        with open(path, "x", opener=_private) as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    return path.read_text().strip()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def login_dsn(dsn: str) -> str:
    """The same database, as the login role."""
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{LOGIN_ROLE}@{host}"))


async def _create_database(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()

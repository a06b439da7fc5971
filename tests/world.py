"""The named world of the tests: real Postgres, a real node on a real port, and people with stock clients.

Tenant acme has alice (owner), an admin, a manager, bob (member), a viewer, carol (client) and gus
(guest); mallory owns the tenant rival. Acme's project Kitchen has the default board and five tasks.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import aiohttp
import asyncpg
import orjson
import socketio
from aiohttp import web, web_app
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from handlers.access import Role
from handlers.context import Principal
from handlers.identity.founding import found_tenant
from handlers.identity.tenants import Tenant
from handlers.registry import SPECS
from server.app import close_node, login_dsn, make_app, open_node
from server.demo import PASSWORD
from server.node import Node
from storage.bus import Bus
from storage.embedded import EmbeddedPostgres
from storage.ids import new_id
from storage.migrations import migrate
from storage.rooms import RoomKey
from storage.settings import Settings

LOGIN_PASSWORD: Final = "the login role's password in tests"
PATIENCE: Final = 10.0
"""How long a person waits for an answer or an event (seconds)."""

STAFF: Final[dict[str, Role]] = {
    "alice": "owner",
    "admin": "admin",
    "manager": "manager",
    "bob": "member",
    "viewer": "viewer",
    "carol": "client",
    "gus": "guest",
}
NO_DIRECTORY: Final = {"open_directory": False}
"""As the default has it: the people of other tenants are strangers."""
TASKS: Final = (
    "Measure the walls",
    "Choose the tiles",
    "Call the plumber",
    "Order the oven",
    "Paint the door",
)


class Attrs(dict[str, Any]):
    """JSON with attribute access: `reply.data.task.id`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name!r} is not among {sorted(self)}") from None


def attrs(value: Any) -> Any:
    if isinstance(value, dict):
        return Attrs({key: attrs(item) for key, item in value.items()})
    return [attrs(item) for item in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """What JSON would make of a payload: ids and times as text."""
    return orjson.loads(orjson.dumps(value))


class Given(Settings):
    """Settings that no environment has a say in: to look for each of them there takes longer than the rest of a start."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def settings_for(directory: Path, **changes: Any) -> Settings:
    """Settings of a node under test: quick to start, quick to stop, cheap passwords."""
    quick: dict[str, Any] = {
        "data_dir": directory,
        "database_url": None,
        "redis_url": None,
        "secret_key": "x" * 40,
        "argon2_time": 1,
        "argon2_memory": 1024,
        "drain_seconds": 0,
        "pool_min": 2,
        "pool_max": 12,
        "rate_limits": False,
        "open_directory": True,
        "progress_delay": 0,
    }
    return Given(**{**quick, **changes})


class Cluster:
    """One Postgres for a whole worker: a template that is migrated and peopled once, and clones of it."""

    def __init__(self, postgres: EmbeddedPostgres, directory: Path) -> None:
        self.postgres = postgres
        self.directory = directory
        self._numbers = itertools.count(1)

    async def prepare(self) -> None:
        await self.create("empty")
        await migrate(self.postgres.dsn("empty"), login_password=LOGIN_PASSWORD)
        await self.create("template_world", template="empty")
        node = await open_node(settings_for(self.directory), self.login("template_world"), LOGIN_PASSWORD)
        await people(node)
        await close_node(node)

    def login(self, database: str) -> str:
        return login_dsn(self.postgres.dsn(database))

    async def create(self, name: str, template: str = "template0") -> None:
        await self._run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")

    async def drop(self, name: str) -> None:
        await self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @asynccontextmanager
    async def database(self, template: str = "template_world") -> AsyncIterator[str]:
        """A clone of a template for one test; yields its name."""
        name = f"world_{next(self._numbers)}"
        await self.create(name, template)
        try:
            yield name
        finally:
            await self.drop(name)

    async def _run(self, sql: str) -> None:
        connection = await asyncpg.connect(self.postgres.dsn("postgres"))
        try:
            await connection.execute(sql)
        finally:
            await connection.close()


async def people(node: Node) -> None:
    """Fill an empty database with the named world."""
    ids = {name: await _account(node, name, "acme") for name in STAFF}
    acme = await found_tenant(node.db, ids["alice"], "Acme")
    alice = _principal(ids["alice"], "Alice", acme)
    for name, role in list(STAFF.items())[1:]:
        expires = datetime.now(UTC) + timedelta(days=365) if role == "guest" else None
        await _command(node, alice, "member.add", email=f"{name}@acme.example", role=role, expires_at=expires)
    members = [ids[name] for name in ("bob", "carol", "gus")]
    kitchen = await _command(
        node, alice, "project.create", name="Kitchen", key="KIT", member_ids=members
    )  # fmt: skip
    room = RoomKey(acme.id, "project", UUID(kitchen["project"]["id"]))
    for title in TASKS:
        await _command(node, alice, "task.create", room=room, title=title)
    mallory = await _account(node, "mallory", "rival")
    rival = await found_tenant(node.db, mallory, "Rival")
    await _command(node, _principal(mallory, "Mallory", rival), "project.create", name="Rival plans")


async def _account(node: Node, name: str, domain: str) -> UUID:
    hashed = await node.passwords.hash(PASSWORD)
    async with node.db.transaction(None) as session:
        row = await session.one(
            "create_user",
            id=new_id(),
            email=f"{name}@{domain}.example",
            name=name.capitalize(),
            password_hash=hashed,
        )
    return UUID(str(row["id"]))


def _principal(user_id: UUID, name: str, tenant: Tenant) -> Principal:
    return Principal(
        user_id=user_id,
        name=name,
        email="",
        tenant_id=tenant.id,
        tenant_name=tenant.name,
        tenant_slug=tenant.slug,
        role="owner",
        session_id=new_id(),
        expires_at=float("inf"),
    )


async def _command(
    node: Node, principal: Principal, name: str, /, room: RoomKey | None = None, **fields: Any
) -> Any:
    spec = SPECS[name]
    payload = spec.payload.model_validate({key: value for key, value in fields.items() if value is not None})
    where = room or await node.dispatcher.locator.room(spec, payload, principal, None)
    return orjson.loads((await node.dispatcher.submit(spec, payload, principal, where)).data)


class Person:
    """Somebody with a stock Socket.IO client and an HTTP client; connects at the first need."""

    def __init__(self, world: "World", email: str, *, url: str | None = None) -> None:
        self.world = world
        self.email = email
        self.url = url or world.url
        self.journal: list[tuple[str, Any]] = []
        """Every event that came, in order."""
        self.client: Any = None
        self.tokens: Any = None
        self._inbox: list[tuple[str, Any]] = []
        self._came = asyncio.Event()
        self.disconnected = asyncio.Event()

    @property
    def name(self) -> str:
        return self.email.split("@")[0]

    # Signing in and connecting.

    async def sign_in(self, **more: Any) -> Any:
        if self.tokens is None or more:
            credentials = {"email": self.email, "password": PASSWORD, **more}
            reply = await self.world.request("POST", "/auth/login", json=credentials, url=self.url)
            assert reply.success, reply
            self.tokens = reply.data
        return self.tokens

    @property
    def id(self) -> str:
        return str(self.tokens.user.id)

    async def connect(self, *, path: str = "socket.io", **auth: Any) -> "Person":
        """Open the socket; `auth` adds to, or replaces, the token."""
        if "token" not in auth:
            auth["token"] = (await self.sign_in()).access_token
        serializer = "msgpack" if path.startswith("msgpack") else "default"
        client = socketio.AsyncClient(
            reconnection=False, http_session=self.world.http, serializer=serializer
        )  # fmt: skip
        self.client = client
        self.disconnected.clear()
        client.on("*", self._event)
        client.on("disconnect", lambda *_: self.disconnected.set())
        client.on("connect_error", lambda data=None: self._event("connect_error", data))
        await client.connect(
            self.url, auth=auth, transports=["websocket"], socketio_path=path, wait_timeout=PATIENCE
        )
        await self.hears("session.ready")
        return self

    async def disconnect(self) -> None:
        if self.client is not None:
            await self.client.disconnect()
            self.client = None

    def _event(self, name: str, data: Any = None) -> None:
        self.journal.append((name, attrs(data)))
        self._inbox.append((name, attrs(data)))
        self._came.set()

    # Speaking and hearing.

    async def send(self, name: str, /, **payload: Any) -> Any:
        """Call by socket; the reply has attributes: `reply.data.task.id`."""
        return await self.call(name, payload)

    async def call(self, name: str, payload: Any, *, patience: float = PATIENCE) -> Any:
        if self.client is None:
            await self.connect()
        return attrs(await self.client.call(name, plain(payload), timeout=patience))

    async def post(self, name: str, payload: Any) -> "asyncio.Future[Any]":
        """Send without waiting; the future gets the reply."""
        if self.client is None:
            await self.connect()
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def answer(reply: Any) -> None:
            if not answered.done():
                answered.set_result(attrs(reply))

        await self.client.emit(name, plain(payload), callback=answer)
        return answered

    async def join(self, room: str, **more: Any) -> Any:
        reply = await self.send("room.join", room=room, **more)
        assert reply.success, reply
        return reply.data

    async def hears(self, name: str, *, within: float = PATIENCE, **fields: Any) -> Any:
        """The next event of this name (with these fields), taken out of the inbox."""
        deadline = time.monotonic() + within
        while True:
            for at, (heard, data) in enumerate(self._inbox):
                if heard == name and all(data.get(key) == value for key, value in fields.items()):
                    del self._inbox[at]
                    return data
            self._came.clear()
            left = deadline - time.monotonic()
            try:
                await asyncio.wait_for(self._came.wait(), left)
            except TimeoutError:
                heard_names = [heard for heard, _ in self._inbox]
                raise AssertionError(
                    f"{self.name} has not heard {name} {fields or ''} but {heard_names}"
                ) from None

    async def hears_nothing(self, name: str, within: float = 0.15) -> None:
        """No event of this name is there or comes."""
        await asyncio.sleep(within)
        assert name not in [heard for heard, _ in self._inbox]

    def forget(self) -> None:
        self._inbox.clear()
        self.journal.clear()

    def seqs(self, room: str) -> list[int]:
        """Numbers of all events heard of a room, as they came."""
        return [data["seq"] for data in self.events(room)]

    def events(self, room: str) -> list[Any]:
        """All events heard of a room, as they came."""
        return [
            data
            for _, data in self.journal
            if isinstance(data, dict) and data.get("room") == room and "seq" in data and "at" in data
        ]

    async def rest(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Any:
        tokens = await self.sign_in()
        bearer = {"Authorization": f"Bearer {tokens.access_token}", **(headers or {})}
        return await self.world.request(method, path, headers=bearer, url=self.url, **more)

    async def snapshot(self, room: str) -> Any:
        reply = await self.rest("GET", f"/rooms/{room}/snapshot")
        assert reply.success, reply
        return reply.data


@dataclass(repr=False)
class World:
    """One node, served, with its people."""

    node: Node
    url: str
    http: aiohttp.ClientSession
    dsn: str
    """The owner's way into the database."""
    login: str
    tenant_id: str = ""
    project_id: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    tasks: list[str] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)
    board_id: str = ""
    user_ids: dict[str, str] = field(default_factory=dict)
    invitations: list[str] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)
    """Ids of what a test has made, by what it calls them."""
    _tokens: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> str:
        return f"project:{self.project_id}"

    @property
    def tenant(self) -> str:
        return f"tenant:{self.tenant_id}"

    def person(self, name: str, *, url: str | None = None) -> Person:
        """A fresh pair of hands of somebody: each call is another window of the same account."""
        domain = "rival" if name == "mallory" else "acme"
        person = Person(self, f"{name}@{domain}.example", url=url)
        self.people.append(person)
        return person

    async def token(self, name: str) -> str:
        """An access token of somebody; the same one each time."""
        if name not in self._tokens:
            self._tokens[name] = (await self.person(name).sign_in()).access_token
        return self._tokens[name]

    async def request(self, method: str, path: str, *, url: str | None = None, **more: Any) -> Any:
        """One HTTP request; the envelope with attributes, and `status` and `headers` beside it."""
        base = url or self.url
        target = base + (path if path.startswith(("/api/", "/health", "/metrics")) else f"/api/v1{path}")
        async with self.http.request(method, target, **{"allow_redirects": False, **more}) as response:
            raw = await response.read()
            body = (
                orjson.loads(raw) if response.content_type == "application/json" else {"text": raw.decode()}
            )
            return attrs({**body, "status": response.status, "headers": response.headers})

    @asynccontextmanager
    async def sql(self) -> AsyncIterator[Any]:
        """The owner's look into the database."""
        connection = await asyncpg.connect(self.dsn)
        try:
            yield connection
        finally:
            await connection.close()

    async def know(self) -> None:
        """Read the ids that tests talk about."""
        async with self.sql() as db:
            project = await db.fetchrow("SELECT * FROM projects WHERE key = 'KIT'")
            self.tenant_id, self.project_id = str(project["tenant_id"]), str(project["id"])
            of = "WHERE project_id = $1 ORDER BY position, id"
            for row in await db.fetch(f"SELECT id, name, board_id FROM board_columns {of}", project["id"]):
                self.columns[row["name"]] = str(row["id"])
                self.board_id = str(row["board_id"])
            for row in await db.fetch(f"SELECT id, name FROM statuses {of}", project["id"]):
                self.statuses[row["name"]] = str(row["id"])
            rows = await db.fetch("SELECT id FROM tasks WHERE project_id = $1 ORDER BY number", project["id"])
            self.tasks = [str(row["id"]) for row in rows]
            for row in await db.fetch("SELECT id, email FROM users"):
                self.user_ids[row["email"].split("@")[0]] = str(row["id"])


@dataclass(frozen=True)
class Board:
    """The board as tests speak of it."""

    room: str
    project: str
    id: str
    todo: str
    doing: str
    hold: str
    done: str
    first: str
    second: str
    third: str
    tasks: list[str]

    @classmethod
    def of(cls, world: World) -> "Board":
        todo, doing, hold, done = world.columns.values()
        first, second, third = world.tasks[:3]
        return cls(
            world.project, world.project_id, world.board_id, todo, doing, hold, done,
            first, second, third, world.tasks,
        )  # fmt: skip


@asynccontextmanager
async def serving(node: Node) -> AsyncIterator[str]:
    """A node's doors on a free port; yields the address."""
    runner = web.AppRunner(make_app(node), access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await close_node(node)
        await runner.cleanup()
        # aiohttp remembers a thousand handlers, and with each the node that it was made for: half a gigabyte.
        web_app._cached_build_middleware.cache_clear()


@asynccontextmanager
async def opened(
    directory: Path, owner_dsn: str, login: str, *, bus: Bus | None = None, **changes: Any
) -> AsyncIterator[World]:
    """A world on a database that has its people already."""
    settings = settings_for(directory, **changes)
    node = await open_node(settings, login, LOGIN_PASSWORD, bus)
    async with aiohttp.ClientSession() as http, serving(node) as url:
        world = World(node, url, http, owner_dsn, login)
        await world.know()
        try:
            yield world
        finally:
            for person in world.people:
                with suppress(Exception):
                    await person.disconnect()


@asynccontextmanager
async def fresh_world(cluster: Cluster, *, bus: Bus | None = None, **changes: Any) -> AsyncIterator[World]:
    """A world on a clone of its own."""
    async with (
        cluster.database() as name,
        opened(
            cluster.directory, cluster.postgres.dsn(name), cluster.login(name), bus=bus, **changes
        ) as world,
    ):
        yield world


@asynccontextmanager
async def second_node(
    world: World, cluster: Cluster, *, bus: Bus | None = None, **changes: Any
) -> AsyncIterator[tuple[Node, str]]:
    """Another node on the database of a world."""
    node = await open_node(settings_for(cluster.directory, **changes), world.login, LOGIN_PASSWORD, bus)
    async with serving(node) as url:
        yield node, url


async def until(true: Callable[[], Any], within: float = PATIENCE, pause: float = 0.01) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "it has not come to be"
        await asyncio.sleep(pause)


async def eventually(
    true: Callable[[], Awaitable[bool]], within: float = PATIENCE, pause: float = 0.05
) -> None:
    """The same for what has to be asked for."""
    deadline = time.monotonic() + within
    while not await true():
        assert time.monotonic() < deadline, "it has not come to be"
        await asyncio.sleep(pause)

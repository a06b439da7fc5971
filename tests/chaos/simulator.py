"""Seeded clients of two tenants who write, vanish at any step, come back elsewhere, and write down all they hear.

    async with simulation(cluster, seed) as sim:     # clients are at work until the end of the block
        await sim.answered(50)                       # 50 more commands have been acknowledged
        await cluster.nodes[0].kill()
        await sim.answered(50)
    # here: every command's outcome is known, everybody has caught up, and tests/chaos/checker.py has found nothing

A fault that `make chaos` may pick, and a test may run by its name:

    @fault("a node is killed")                       # needs=("redis",) or ("redis", "relays") where it needs them
    async def killed(cluster: ChaosCluster, sim: Simulation) -> None: ...

    await ordeal(cluster, "a node is killed", seed)  # runs it under load, then the final check

What each client decides comes from random streams of its own, made from the seed and its name: one for what it plans
to do, one for what it does about mishaps, so that timing changes no plan.
"""

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final, Literal, Protocol
from uuid import uuid4

import aiohttp
import orjson

from server.demo import PASSWORD
from tests.chaos.checker import Facts, History, State, check, facts_of
from tests.chaos.cluster import ChaosCluster
from tests.reducer import Store, fold, store_of
from tests.world import TASKS

PATIENCE: Final = 10.0
"""How long a client waits for an answer before it goes elsewhere (seconds)."""
SETTLING: Final = 60.0
"""How long it may take at the end until everybody knows everything (seconds)."""
MANY: Final = 40
"""Tasks in a room from which on they are rather deleted than created."""
PASSING: Final = {"UNAVAILABLE", "RATE_LIMITED"}
"""Refusals that leave the outcome open: the same command is sent again."""
CREW: Final = {
    "acme": ("alice", "bob", "admin", "alice", "carol"),
    "rival": ("mallory", "mallory"),
}
"""Who is at work in each tenant; a name that comes twice has two windows open."""
LISTENERS: Final = {"carol"}
"""They only listen: clients may not write here."""


def canary(tenant: str, seed: int) -> str:
    """What every text of a tenant holds, and nothing of the other's may."""
    return f"{tenant}-canary-{seed:x}"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a client has planned to do."""

    action: str
    room: float
    count: int
    cut: str
    picks: tuple[float, ...]


@dataclass(slots=True)
class Command:
    """A command whose outcome the client wants to know."""

    id: str
    name: str
    room: str
    payload: dict[str, Any]
    settled: bool = False


@dataclass(slots=True)
class Held:
    """A client's copy of a room."""

    epoch: str
    seq: int
    store: Store | None
    """None for rooms whose state the client has never been given."""


class Stage(Protocol):
    """Where a simulation plays: a ChaosCluster, or nodes in this process."""

    @property
    def urls(self) -> list[str]:
        """Addresses of the nodes."""

    def sql(self) -> AbstractAsyncContextManager[Any]:
        """The owner's connection to the database."""

    def output(self) -> str:
        """What the nodes have printed."""


class Gone(Exception):
    """The connection is no more, or is not where it is wanted."""


class Connection:
    """One WebSocket of a client, until either side ends it."""

    def __init__(self, client: "Client", ws: aiohttp.ClientWebSocketResponse, node: str) -> None:
        self.client = client
        self.ws = ws
        self.node = node
        self.live: set[str] = set()
        self.over = asyncio.Event()
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[asyncio.Future[Any], Callable[[Any, str], None] | None]] = {}
        self._ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())

    async def enter(self, token: str, since: dict[str, Any]) -> None:
        """Sign in; raises Gone, or Refused where the server says no."""
        await self._send("40" + orjson.dumps({"token": token, "since": since}).decode())
        await self._within(self._ready)

    async def call(
        self, name: str, payload: dict[str, Any], heard: Callable[[Any, str], None] | None = None
    ) -> "asyncio.Future[Any]":
        """Send a call; `heard` is called with the reply before anything that comes after it is read."""
        number = next(self._ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer, heard
        await self._send(f"42{number}" + orjson.dumps([name, payload]).decode())
        return answer

    async def ask(
        self, name: str, payload: dict[str, Any], heard: Callable[[Any, str], None] | None = None
    ) -> Any:
        return await self._within(await self.call(name, payload, heard))

    async def answers(self, waiting: list["asyncio.Future[Any]"]) -> None:
        for answer in waiting:
            await self._within(answer)

    def cut(self) -> None:
        """End it at once, without a word."""
        if self.over.is_set():
            return
        self.over.set()
        self._reader.cancel()
        self.ws._response.close()
        for answer in (self._ready, *(answer for answer, _ in self._waiting.values())):
            if not answer.done():
                answer.set_exception(Gone())
            if not answer.cancelled():
                answer.exception()
        self.client.note("cut")

    async def _within(self, answer: "asyncio.Future[Any]") -> Any:
        try:
            async with asyncio.timeout(PATIENCE):
                return await answer
        except TimeoutError:
            self.cut()
            raise Gone from None

    async def _send(self, text: str) -> None:
        if self.over.is_set():
            raise Gone
        try:
            async with asyncio.timeout(PATIENCE):
                await self.ws.send_str(text)
        except (OSError, TimeoutError, aiohttp.ClientError, RuntimeError):
            self.cut()
            raise Gone from None

    async def _read(self) -> None:
        try:
            async for message in self.ws:
                if message.type != aiohttp.WSMsgType.TEXT:
                    break
                await self._take(message.data)
        except (OSError, aiohttp.ClientError):
            pass
        finally:
            self.cut()

    async def _take(self, text: str) -> None:
        if text == "2":
            await self._send("3")
        elif text.startswith("42"):
            name, data = orjson.loads(text[2:])
            if name == "session.ready":
                self.client.ready(self, data, text)
                self._ready.set_result(data)
            else:
                self.client.heard(self, name, data, text)
        elif text.startswith("43"):
            digits, _, rest = text[2:].partition("[")
            answer, heard = self._waiting.pop(int(digits))
            reply = orjson.loads(f"[{rest}")[0]
            if heard is not None:
                heard(reply, text)
            if not answer.done():
                answer.set_result(reply)
        elif text.startswith("44"):
            self.client.note("turned away", code=orjson.loads(text[2:])["data"]["code"], text=text)
            self.cut()


class Client:
    """One window of one person: plans, acts, has mishaps, and insists until it knows what came of it."""

    def __init__(
        self, sim: "Simulation", name: str, person: str, tenant: str, user_id: str, rooms: list[str]
    ) -> None:
        self.sim = sim
        self.name = name
        self.person = person
        self.tenant = tenant
        self.user_id = user_id
        self.listens = person in LISTENERS
        self.rooms = rooms
        self.node: str | None = None
        """Where it connects; None for any node, another one each time."""
        self.token: str | None = None
        """None for the token that all windows of this person share."""
        self.held: dict[str, Held] = {}
        self.wanted: dict[str, None] = dict.fromkeys(self.rooms)
        """Rooms it wants to be in."""
        self.open: dict[str, Command] = {}
        """Commands whose outcome it does not know."""
        self.done: list[Command] = []
        self.connection: Connection | None = None
        self.plan = random.Random(f"{sim.seed}/{name}/plan")
        self.luck = random.Random(f"{sim.seed}/{name}/luck")
        self._numbers = itertools.count(1)

    # What it hears.

    def note(self, kind: str, **more: Any) -> None:
        self.sim.history.add(self.name, self.tenant, kind, **more)

    def ready(self, connection: Connection, data: Any, text: str) -> None:
        self.note("ready", data=data["session_id"], text=text, code=connection.node)
        for room, position in data["rooms"].items():
            self._enter(connection, room, position)

    def heard(self, connection: Connection, name: str, data: Any, text: str) -> None:
        room = data.get("room", "") if isinstance(data, dict) else ""
        if isinstance(data, dict) and "seq" in data and "at" in data:
            self._event(room, data, "event", text)
        elif name in ("room.resync", "room.closed"):
            connection.live.discard(room)
            self.note("left", room=room, code=name, text=text)
            if name == "room.closed":
                self.held.pop(room, None)
        else:
            self.note("told", room=room, code=name, text=text)

    def _event(self, room: str, event: Any, kind: str, text: str = "") -> None:
        self.note(kind, room=room, seq=event["seq"], command_id=event["command_id"], data=event, text=text)
        held = self.held.get(room)
        if held is not None:
            held.seq = event["seq"]
            if held.store is not None:
                fold(held.store, [event])

    def _enter(self, connection: Connection, room: str, data: Any, text: str = "") -> None:
        """Take the reply of a join, or what `session.ready` says of a room."""
        mode = data.get("mode", "snapshot") if room in self.held else "snapshot"
        self.note("joined", room=room, seq=data["seq"], epoch=data["epoch"], code=mode, text=text)
        connection.live.add(room)
        if mode == "snapshot":
            state = data.get("snapshot")
            self.held[room] = Held(data["epoch"], data["seq"], store_of(state) if state else None)
        for event in data.get("events") or ():
            self._event(room, event, "replayed")

    def _answer(self, command: Command) -> Callable[[Any, str], None]:
        def heard(reply: Any, text: str) -> None:
            if reply["success"]:
                meta = reply["meta"]
                self.note(
                    "ack",
                    command_id=command.id,
                    room=meta["room"],
                    seq=meta["seq"],
                    code="duplicate" if meta["duplicate"] else "first",
                    data=reply["data"],
                    text=text,
                )
                self._settle(command)
                self.sim.acknowledged()
            elif (code := reply["error"]["code"]) in PASSING:
                self.note("unavailable", command_id=command.id, room=command.room, code=code, text=text)
            else:
                self.note("refused", command_id=command.id, room=command.room, code=code, text=text)
                self._settle(command)

        return heard

    def _settle(self, command: Command) -> None:
        self.open.pop(command.id, None)
        if not command.settled:
            command.settled = True
            self.done.append(command)

    # What it does.

    async def run(self, over: asyncio.Event) -> None:
        """Act step after step until told to stop, then make everything known."""
        while not over.is_set():
            step = self._next()
            try:
                await self._act(await self.connected(step.cut == "in join"), step)
            except Gone:
                await self._mishap()

    async def settle(self) -> None:
        """Insist until no outcome is open and everything is joined."""
        self.wanted |= dict.fromkeys(self.rooms)
        while True:
            try:
                connection = await self.connected()
                if not self.open and connection.live.issuperset(self.wanted):
                    return
            except Gone:
                pass
            await self._mishap()

    def at_head(self, heads: dict[str, int]) -> bool:
        """Whether it is connected and has heard everything of its rooms."""
        connection = self.connection
        return (
            connection is not None
            and not connection.over.is_set()
            and all(room in connection.live and self.held[room].seq >= heads[room] for room in self.rooms)
        )

    async def _mishap(self) -> None:
        await asyncio.sleep(self.luck.uniform(0.02, 0.25))

    def _next(self) -> Step:
        plan = self.plan
        (action,) = plan.choices(
            ("write", "again", "leave", "vanish", "trespass", "rest"), (60, 8, 5, 8, 3, 16)
        )
        (cut,) = plan.choices(("none", "before", "after", "in join"), (80, 3, 12, 5))
        return Step(
            action, plan.random(), plan.choice((1, 1, 1, 2, 4)), cut, tuple(plan.random() for _ in range(8))
        )

    async def connected(self, vanishing: bool = False) -> Connection:
        """A connection that is in every room it wants, on whatever node; what is open has been sent again."""
        connection = self.connection
        if connection is None or connection.over.is_set():
            connection = self.connection = await self._connect()
        for room in self.wanted:
            if room not in connection.live:
                await self._join(connection, room, vanishing)
        if self.open:
            commands = list(self.open.values())
            self.luck.shuffle(commands)
            await connection.answers([await self.send(connection, command) for command in commands])
        return connection

    async def _connect(self) -> Connection:
        node = self.node or self.luck.choice(self.sim.urls())
        token = self.token or await self.sim.token(self.person, node)
        try:
            async with asyncio.timeout(PATIENCE):
                ws = await self.sim.http.ws_connect(
                    f"{node}/socket.io/?EIO=4&transport=websocket", max_msg_size=0
                )
        except (OSError, TimeoutError, aiohttp.ClientError):
            raise Gone from None
        self.note("connecting", code=node)
        connection = Connection(self, ws, node)
        since = {
            room: {"epoch": held.epoch, "seq": held.seq}
            for room, held in self.held.items()
            if room not in self.rooms
        }
        try:
            await connection.enter(token, since)
        except BaseException:
            connection.cut()
            raise
        return connection

    async def _join(self, connection: Connection, room: str, vanishing: bool = False) -> None:
        payload: dict[str, Any] = {"room": room}
        if (held := self.held.get(room)) is not None:
            payload["since"] = {"epoch": held.epoch, "seq": held.seq}

        def heard(reply: Any, text: str) -> None:
            if reply["success"]:
                self._enter(connection, room, reply["data"], text)
            else:
                self.note("told", room=room, code=reply["error"]["code"], text=text)

        if vanishing:
            await connection.call("room.join", payload, heard)
            await asyncio.sleep(self.luck.uniform(0, 0.005))
            connection.cut()
            raise Gone
        reply = await connection.ask("room.join", payload, heard)
        if reply["success"]:
            return
        if reply["error"]["code"] in PASSING:
            raise Gone  # the connection stays; it tries again after a pause
        raise AssertionError(f"{self.name} may not join {room}: {reply}")

    async def send(self, connection: Connection, command: Command) -> "asyncio.Future[Any]":
        self.note("send", command_id=command.id, room=command.room, code=command.name, data=command.payload)
        payload = {**command.payload, "command_id": command.id}
        return await connection.call(command.name, payload, self._answer(command))

    async def _act(self, connection: Connection, step: Step) -> None:
        room = self.rooms[int(step.room * len(self.rooms))]
        match step.action:
            case "write" if not self.listens:
                commands = [self.next_command(room, pick) for pick in step.picks[: step.count]]
                self.open |= {command.id: command for command in commands}
                if step.cut == "before":
                    connection.cut()
                    return
                waiting = [await self.send(connection, command) for command in commands]
                if step.cut == "after":
                    await asyncio.sleep(self.luck.uniform(0, 0.01))
                    connection.cut()
                    return
                await connection.answers(waiting)
            case "again" if self.done:
                command = self.done[int(step.picks[0] * len(self.done))]
                await connection.answers([await self.send(connection, command)])
            case "leave":
                await self.leave(connection, room)
            case "vanish":
                connection.cut()
            case "trespass":
                await self.trespass(connection, step.picks[0])
            case _:
                await asyncio.sleep(step.picks[0] * 0.05)

    async def leave(self, connection: Connection, room: str) -> None:
        def heard(reply: Any, text: str) -> None:
            connection.live.discard(room)
            self.note("left", room=room, code="room.leave", text=text)

        await connection.ask("room.leave", {"room": room}, heard)

    async def trespass(self, connection: Connection, pick: float) -> None:
        """Try the other tenant's doors; the checker reads what was answered."""
        foreign = [
            room for tenant, rooms in self.sim.rooms.items() if tenant != self.tenant for room in rooms
        ]
        room = foreign[int(pick * len(foreign))]

        def heard(reply: Any, text: str) -> None:
            code = "let in" if reply["success"] else reply["error"]["code"]
            self.note("trespassed", room=room, code=code, text=text)

        await connection.ask("room.join", {"room": room}, heard)
        if not self.listens:
            command = Command(self._uuid(), "task.create", room, {"room": room, "title": self._title()})
            self.open[command.id] = command
            await connection.answers([await self.send(connection, command)])

    def new_task(self, room: str) -> Command:
        """A command that creates a task; its outcome is open until it is known."""
        payload = {"room": room, "id": self._uuid(), "title": self._title()}
        command = Command(self._uuid(), "task.create", room, payload)
        self.open[command.id] = command
        return command

    async def hears(self, room: str, command_id: str, within: float) -> None:
        """Wait until it has heard an event of this command."""
        async with asyncio.timeout(within):
            while not any(
                record.client == self.name and record.command_id == command_id and record.room == room
                for record in self.sim.history.of("event", "replayed")
            ):
                await asyncio.sleep(0.01)

    def next_command(self, room: str, pick: float) -> Command:
        """What to write next: from the plan, and from what the client sees on the board."""
        store = self.held[room].store or {}
        tasks = [task["id"] for task in sorted(store.get("tasks", {}).values(), key=itemgetter("title"))]
        columns = [
            column["id"] for column in sorted(store.get("columns", {}).values(), key=itemgetter("name"))
        ]
        kind = int(pick * 100)
        task = tasks[int(pick * 9973) % len(tasks)] if tasks else None
        if task is None or (kind < 25 and len(tasks) < MANY):
            return Command(
                self._uuid(), "task.create", room, {"room": room, "id": self._uuid(), "title": self._title()}
            )
        if kind < 30:
            return Command(self._uuid(), "task.delete", room, {"task_id": task})
        if kind < 55:
            changes = {"title": self._title(), "description": self._title()}
            return Command(self._uuid(), "task.update", room, {"task_id": task, "changes": changes})
        if kind < 60:  # something that is not there
            return Command(
                self._uuid(),
                "task.move",
                room,
                {"task_id": self._uuid(), "column_id": columns[0], "room": room},
            )
        if kind < 63:
            return Command(self._uuid(), "task.create", room, {"room": room, "title": ""})
        column = columns[int(pick * 7919) % len(columns)]
        return Command(self._uuid(), "task.move", room, {"task_id": task, "column_id": column})

    def _uuid(self) -> str:
        """An id of this run alone: the same seed may run on one database again."""
        return str(uuid4())

    def _title(self) -> str:
        return f"{canary(self.tenant, self.sim.seed)} {self.name} {next(self._numbers)}"


class Simulation:
    """Clients at work on a cluster. Made by `simulation`."""

    def __init__(
        self,
        cluster: Stage,
        seed: int,
        http: aiohttp.ClientSession,
        rooms: int,
        crew: Mapping[str, tuple[str, ...]] = CREW,
    ) -> None:
        self.cluster = cluster
        self.crew = crew
        self.seed = seed
        self.http = http
        self.history = History()
        self.rooms: dict[str, list[str]] = {}
        """Names of the project rooms of each tenant."""
        self.clients: list[Client] = []
        self.visitors: list[Client] = []
        """Clients that act only as a fault has them act."""
        self.departed: list[Client] = []
        """Visitors that are not to settle: they were shut out."""
        self.over = asyncio.Event()
        self.urls: Callable[[], list[str]] = lambda: self.cluster.urls
        """Addresses that clients connect to; a fault may give others, such as those of relays."""
        self._count = rooms
        self._tokens: dict[str, str] = {}
        self._people: dict[str, dict[str, str]] = {}
        self._early: dict[str, Any] = {}
        self._acks = 0
        self._acked = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._wakes: set[asyncio.Task[None]] = set()

    # For faults.

    async def answered(self, count: int, within: float = SETTLING) -> None:
        """Wait until so many more commands have been acknowledged."""
        enough = self._acks + count
        async with asyncio.timeout(within), self._acked:
            await self._acked.wait_for(lambda: self._acks >= enough or self._failed())
        self._raise_failures()

    def now(self) -> float:
        """The clock of the history."""
        return self.history.now()

    async def quiet_room(self, *more: str) -> str:
        """A new project's room of acme, with alice, bob, the admin and whom you name: nobody writes there by himself."""
        others = [await self.user_id(person) for person in ("bob", "admin", *more)]
        body = {"name": f"{canary('acme', self.seed)} quiet", "member_ids": others}
        path = f"/tenants/{await self.tenant_id('alice')}/projects"
        made = await self.rest("alice", "POST", path, json=body)
        return f"project:{made['project']['id']}"

    async def user_id(self, person: str) -> str:
        return (await self._me(person, self.cluster.urls[0]))["id"]

    async def tenant_id(self, person: str) -> str:
        return (await self._me(person, self.cluster.urls[0]))["tenant"]

    async def visitor(
        self, person: str, rooms: list[str], node: str | None = None, *, tenant: str = "acme"
    ) -> Client:
        """One more client of somebody, in these rooms, on this node; it acts as you say, and settles like all."""
        name = f"{person}-visitor-{len(self.visitors) + len(self.departed)}"
        client = Client(self, name, person, tenant, await self.user_id(person), rooms)
        client.node = node
        self.visitors.append(client)
        return client

    def dismiss(self, visitor: Client) -> None:
        """It has been shut out, and need not come back."""
        self.visitors.remove(visitor)
        self.departed.append(visitor)
        if visitor.connection is not None:
            visitor.connection.cut()

    def random(self, what: str) -> random.Random:
        """A random stream for a fault's own decisions."""
        return random.Random(f"{self.seed}/{what}")

    # Its life.

    async def open(self) -> None:
        """Projects for this run in both tenants, a first look at each, and the clients, who are idle yet."""
        node = self.cluster.urls[0]
        for tenant, crew in self.crew.items():
            owner = crew[0]
            people = {person: await self._me(person, node) for person in crew}
            others = [user["id"] for name, user in people.items() if name != owner]
            self.rooms[tenant] = []
            for number in range(self._count):
                project = await self.rest(
                    owner,
                    "POST",
                    f"/tenants/{people[owner]['tenant']}/projects",
                    json={"name": f"{canary(tenant, self.seed)} {number}", "member_ids": others},
                )
                room = f"project:{project['project']['id']}"
                self.rooms[tenant].append(room)
                for title in TASKS[:3]:
                    body = {"title": f"{canary(tenant, self.seed)} {title}"}
                    await self.rest(owner, "POST", f"/projects/{room[8:]}/tasks", json=body)
                self._early[room] = await self.rest(owner, "GET", f"/rooms/{room}/snapshot")
        for tenant, crew in self.crew.items():
            for number, person in enumerate(crew):
                user = await self._me(person, node)
                name = f"{person}-{number}"
                self.clients.append(Client(self, name, person, tenant, user["id"], self.rooms[tenant]))

    def begin(self) -> None:
        """Have the clients at work until `settle`."""
        self._tasks = [asyncio.create_task(client.run(self.over)) for client in self.clients]
        for task in self._tasks:
            task.add_done_callback(lambda _: self._wake())

    async def settle(self) -> None:
        """Stop writing, make every outcome known, and wait until everybody is at the head of every room."""
        self.over.set()
        async with asyncio.timeout(SETTLING):
            await asyncio.gather(*self._tasks)
            everybody = [*self.clients, *self.visitors]
            await asyncio.gather(*(client.settle() for client in everybody))
            heads = await self._heads()
            while not all(client.at_head(heads) for client in everybody):
                await asyncio.sleep(0.02)
                for client in everybody:
                    if client.connection is None or client.connection.over.is_set():
                        await client.settle()

    async def facts(self) -> Facts:
        """What the database and the server say at the end, for the checker."""
        fresh = {
            room: await self.rest(self.crew[tenant][0], "GET", f"/rooms/{room}/snapshot")
            for tenant, rooms in self.rooms.items()
            for room in {
                *rooms,
                *(room for visitor in self.visitors if visitor.tenant == tenant for room in visitor.rooms),
            }
        }
        async with self.cluster.sql() as db:
            facts = await facts_of(db)
        facts.early, facts.fresh = self._early, fresh
        facts.states = [
            State(client.name, room, client.held[room].seq, client.held[room].store or {})
            for client in (*self.clients, *self.visitors)
            for room in client.rooms
        ]
        facts.actors = {
            client.name: client.user_id for client in (*self.clients, *self.visitors, *self.departed)
        }
        facts.canaries = {tenant: canary(tenant, self.seed) for tenant in self.crew}
        facts.output = self.cluster.output()
        return facts

    async def close(self) -> None:
        self.over.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in (*self.clients, *self.visitors):
            if client.connection is not None:
                client.connection.cut()

    def summary(self) -> str:
        kinds = Counter(record.kind for record in self.history.records)
        return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())

    # REST.

    async def token(self, person: str, node: str) -> str:
        """An access token of somebody; Gone while the node cannot give one."""
        if person not in self._tokens:
            self._tokens[person] = await self.sign_in(person, node)
        return self._tokens[person]

    async def sign_in(self, person: str, node: str) -> str:
        """An access token of a new session; Gone while the node cannot give one."""
        domain = "rival" if person == "mallory" else "acme"
        body = {"email": f"{person}@{domain}.example", "password": PASSWORD}
        try:
            async with self.http.post(
                f"{node}/api/v1/auth/login", json=body, timeout=aiohttp.ClientTimeout(PATIENCE)
            ) as response:
                reply = orjson.loads(await response.read())
        except (OSError, TimeoutError, aiohttp.ClientError):
            raise Gone from None
        if not reply["success"]:
            raise Gone
        token: str = reply["data"]["access_token"]
        return token

    async def register(self, person: str, **more: Any) -> None:
        """A new account, whose token is the one of all windows of this person."""
        body = {"email": f"{uuid4()}@new.example", "password": PASSWORD, "name": person, **more}
        async with self.http.post(f"{self.cluster.urls[0]}/api/v1/auth/register", json=body) as response:
            reply = orjson.loads(await response.read())
        assert reply["success"], reply
        self._tokens[person] = reply["data"]["access_token"]

    async def rest(self, person: str, method: str, path: str, node: int = 0, **more: Any) -> Any:
        """The data of one REST call that must succeed."""
        url = self.cluster.urls[node]
        headers = {"Authorization": f"Bearer {await self.token(person, url)}"}
        async with self.http.request(method, f"{url}/api/v1{path}", headers=headers, **more) as response:
            reply = orjson.loads(await response.read())
        assert reply["success"], (path, reply)
        return reply["data"]

    async def _me(self, person: str, node: str) -> dict[str, str]:
        if person not in self._people:
            me = await self.rest(person, "GET", "/auth/me")
            self._people[person] = {"id": me["user"]["id"], "tenant": (me["tenant"] or {"id": ""})["id"]}
        return self._people[person]

    async def _heads(self) -> dict[str, int]:
        async with self.cluster.sql() as db:
            rows = await db.fetch("SELECT kind || ':' || id AS room, head_seq FROM rooms")
        return {row["room"]: row["head_seq"] for row in rows}

    # Keeping watch.

    def acknowledged(self) -> None:
        self._acks += 1
        self._wake()

    def _wake(self) -> None:
        async def notify() -> None:
            async with self._acked:
                self._acked.notify_all()

        task = asyncio.create_task(notify())
        self._wakes.add(task)
        task.add_done_callback(self._wakes.discard)

    def _failed(self) -> bool:
        return any(task.done() and not task.cancelled() and task.exception() for task in self._tasks)

    def _raise_failures(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()


@asynccontextmanager
async def simulation(cluster: Stage, seed: int, *, rooms: int = 2) -> AsyncIterator[Simulation]:
    """Clients at work for as long as the block runs; then they settle, and everything is checked."""
    print(f"seed {seed}")
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        sim = Simulation(cluster, seed, http, rooms)
        try:
            await sim.open()
            sim.begin()
            yield sim
            await sim.settle()
            found = check(sim.history, await sim.facts())
            assert not found, f"seed {seed}:\n" + "\n".join(found[:20])
            print(f"seed {seed}: {sim.summary()}")
        finally:
            await sim.close()


# Faults by name.

Fault = Callable[[ChaosCluster, Simulation], Awaitable[None]]
Need = Literal["redis", "relays"]


@dataclass(frozen=True)
class Hazard:
    """A fault that may happen to a cluster."""

    name: str
    does: Fault
    needs: frozenset[Need] = field(default_factory=frozenset)


HAZARDS: Final[dict[str, Hazard]] = {}


def fault(name: str, *, needs: tuple[Need, ...] = ()) -> Callable[[Fault], Fault]:
    """Enter a fault under a name, for `ordeal` and for `make chaos`."""

    def enter(does: Fault) -> Fault:
        assert name not in HAZARDS, f"two faults are called {name}"
        HAZARDS[name] = Hazard(name, does, frozenset(needs))
        return does

    return enter


async def ordeal(cluster: ChaosCluster, name: str, seed: int) -> None:
    """Let one fault happen under load; mend the cluster; check everything."""
    async with simulation(cluster, seed) as sim:
        await sim.answered(20)
        try:
            await HAZARDS[name].does(cluster, sim)
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await cluster.mend()
        await sim.answered(20)

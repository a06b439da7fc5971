"""A cluster of real processes that a test may hurt: Postgres, Valkey, server nodes, and relays between them.

    async with chaos_cluster(directory, nodes=2, redis=True) as cluster:
        await cluster.nodes[0].kill()          # SIGKILL; also terminate(), pause(), resume()
        await cluster.nodes[0].start()         # on the same port
        await cluster.postgres.kill()          # also stop("fast"), stop("immediate"), pause(), resume()
        await cluster.postgres.start()         # nothing starts it again by itself
        await cluster.valkey.kill()            # also pause(), resume(); start() on the same port, empty
        cluster.nodes[0].to_redis.blackhole()  # with relays=True: also heal(), cut(), reset(), delay = 0.2

Every process is our child, is stopped by its own id at the end, and is killed by the kernel if we die first. The
database holds the named world of tests/world.py.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

import aiohttp
import asyncpg

from bench.processes import free_port
from server.app import login_dsn
from storage.child import LAUNCH, end, exited, ourselves, spawn
from storage.embedded import EmbeddedPostgres, leftovers
from storage.valkey import find_binary
from tests.world import Cluster

ROOT: Final = Path(__file__).parent.parent.parent
START_SECONDS: Final = 60.0
"""A node, or Postgres after a crash, is ready within this time."""
DATABASE: Final = "chaos"


class Relay:
    """A TCP relay on loopback in front of one address, which can delay, swallow or break what goes through it."""

    def __init__(self, target: tuple[str, int] | Path) -> None:
        """`target` is a host and port, or the path of a Unix socket."""
        self.target = target
        self.port = 0
        self.delay = 0.0
        """Seconds that every piece waits, each way."""
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.reset()

    def blackhole(self) -> None:
        """Swallow everything: connections stay open, new ones are taken, nothing arrives, nobody is told."""
        self._flowing.clear()

    def heal(self) -> None:
        """Let everything through again, also what was swallowed, as retransmission would."""
        self._flowing.set()

    def cut(self) -> None:
        """End all connections in order (FIN)."""
        for writer in tuple(self._writers):
            writer.close()

    def reset(self) -> None:
        """Break all connections (RST where something was under way)."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            await self._flowing.wait()
            if isinstance(self.target, Path):
                from_there, there = await asyncio.open_unix_connection(str(self.target))
            else:
                from_there, there = await asyncio.open_connection(*self.target)
            self._writers.add(there)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, there))
                both.create_task(self._pump(from_there, writer))
        except* OSError:
            pass  # whoever sits at the other end is down, or was cut off
        finally:
            for one in (writer, there):
                if one is not None:
                    self._writers.discard(one)
                    one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            await self._flowing.wait()
            if self.delay:
                await asyncio.sleep(self.delay)
            writer.write(piece)
            await writer.drain()
        writer.close()


class ChaosPostgres:
    """Postgres as a direct child that stays down when it is put down."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        safe = {} if durable else {"fsync": "off", "full_page_writes": "off"}
        options = {
            "shared_buffers": "64MB",
            "max_wal_size": "4GB",
            "track_commit_timestamp": "on",  # so that a test can tell what was committed when
            **safe,
        }
        self.embedded = EmbeddedPostgres(directory, options=options, max_connections=150)
        self._process: subprocess.Popen[bytes] | None = None

    async def open(self) -> None:
        await self.embedded.start()
        keeper = self.embedded._keeper
        assert keeper._watcher is not None
        keeper._watcher.cancel()  # it would start Postgres again
        await asyncio.wait({keeper._watcher})

    async def close(self) -> None:
        self._signal_all(signal.SIGCONT)
        await self.embedded.stop()

    @property
    def socket(self) -> Path:
        """The Unix socket it listens on."""
        (host,) = parse_qs(urlsplit(self.embedded.dsn("postgres")).query)["host"]
        return Path(host) / ".s.PGSQL.5432"

    def dsn(self, database: str = DATABASE) -> str:
        """The superuser's address."""
        return self.embedded.dsn(database)

    async def start(self) -> None:
        """Start it again and wait until it answers."""
        await self.embedded._keeper._bring_up(START_SECONDS)

    async def kill(self) -> None:
        """SIGKILL for the postmaster; its backends notice and end."""
        await self._down(signal.SIGKILL)

    async def stop(self, mode: Literal["fast", "immediate"]) -> None:
        """As `pg_ctl stop -m fast` or `-m immediate` does."""
        await self._down(signal.SIGINT if mode == "fast" else signal.SIGQUIT)

    def pause(self) -> None:
        """SIGSTOP for every process of it: connections stay open and silent."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    async def terminate_backends(self) -> int:
        """pg_terminate_backend for every connection of a server node; returns how many there were."""
        connection = await asyncpg.connect(self.dsn())
        try:
            ended: int = await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'atrium'"
            )
            return ended
        finally:
            await connection.close()

    async def _down(self, number: signal.Signals) -> None:
        process = self.embedded._keeper._process
        assert process is not None
        process.send_signal(number)
        assert await exited(process, START_SECONDS), "Postgres does not end"

    def _signal_all(self, number: signal.Signals) -> None:
        postmaster, others = leftovers(self.embedded._cluster)
        for pid in (*postmaster, *others):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


class ChaosValkey:
    """Valkey on a TCP port of loopback; starts empty each time, on the same port."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.log = directory / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        settings = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no"}
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self._process = spawn([str(find_binary()), *words], self.log, ourselves(), signal.SIGKILL)
        await _until_accepts(self.port, self._process)

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await exited(self._process, None)

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def close(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            await end(self._process, ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)))


class NodeProcess:
    """One server node: `python -m server serve` on a port that stays the same."""

    def __init__(self, name: str, directory: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.port = free_port()
        self.log = directory / f"{name}.log"
        self.to_redis: Relay | None = None
        """The way to Redis, where the cluster has relays."""
        self.to_postgres: Relay | None = None
        """The way to Postgres, where the cluster has relays."""
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self, **changes: str) -> None:
        """Start it and wait until it is well; `changes` are variables of its environment for this start."""
        identity = map(str, (os.getpid(), int(signal.SIGKILL), os.geteuid(), os.getegid()))
        command = [sys.executable, "-m", "server", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", LAUNCH, *identity, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**self._environment, **changes},
                cwd=ROOT,
                start_new_session=True,
            )
        await self.well()

    async def well(self, within: float = START_SECONDS) -> None:
        """Wait until /health answers."""
        deadline = time.monotonic() + within
        async with aiohttp.ClientSession() as http:
            while True:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with http.get(f"{self.url}/health", timeout=aiohttp.ClientTimeout(5)) as reply:
                        if reply.status == 200:
                            return
                assert self.running, f"{self.name} has ended:\n{self.output()[-3000:]}"
                assert time.monotonic() < deadline, f"{self.name} is not well:\n{self.output()[-3000:]}"
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        assert self._process is not None
        self._process.kill()
        await exited(self._process, None)

    async def terminate(self) -> None:
        """SIGTERM, and wait for its end."""
        assert self._process is not None
        await end(self._process, ((signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0)))

    def pause(self) -> None:
        """SIGSTOP: sockets stay open and silent."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def output(self) -> str:
        """What it has written so far, over all its starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    async def close(self) -> None:
        if self.running:
            self.resume()
            await self.terminate()


class ChaosCluster:
    """Made by `chaos_cluster`."""

    def __init__(self, postgres: ChaosPostgres, valkey: ChaosValkey | None) -> None:
        self.postgres = postgres
        self._valkey = valkey
        self.nodes: list[NodeProcess] = []

    @property
    def valkey(self) -> ChaosValkey:
        assert self._valkey is not None, "this cluster has no Redis"
        return self._valkey

    @property
    def urls(self) -> list[str]:
        """Addresses of all nodes, also of those that are down."""
        return [node.url for node in self.nodes]

    @asynccontextmanager
    async def sql(self) -> AsyncIterator[Any]:
        """The owner's look into the database."""
        connection = await asyncpg.connect(self.postgres.dsn())
        try:
            yield connection
        finally:
            await connection.close()

    def output(self) -> str:
        """What all nodes have written."""
        return "".join(node.output() for node in self.nodes)

    async def mend(self) -> None:
        """Bring everything up again that is down or paused."""
        self.postgres.resume()
        if self.postgres.embedded.pid is None:
            await self.postgres.start()
        if self._valkey is not None:
            self._valkey.resume()
            if self._valkey._process is not None and self._valkey._process.poll() is not None:
                await self._valkey.start()
        for node in self.nodes:
            for relay in (node.to_redis, node.to_postgres):
                if relay is not None:
                    relay.delay = 0.0
                    relay.heal()
            if node.running:
                node.resume()
            else:
                await node.start()
        for node in self.nodes:
            await node.well()


@asynccontextmanager
async def chaos_cluster(
    directory: Path,
    *,
    nodes: int = 2,
    redis: bool = False,
    relays: bool = False,
    durable: bool = True,
    **settings: str,
) -> AsyncIterator[ChaosCluster]:
    """A cluster with the named world in its database.

    `relays` puts one in front of Redis and of Postgres for each node; `durable` keeps fsync on; `settings` are more
    variables of the nodes' environment (ATRIUM_…).
    """
    directory.chmod(0o755)
    async with AsyncExitStack() as stack:
        postgres = ChaosPostgres(directory, durable=durable)
        stack.push_async_callback(postgres.close)
        await postgres.open()
        world = Cluster(postgres.embedded, directory)
        await world.prepare()
        await world.create(DATABASE, template="template_world")
        valkey = ChaosValkey(directory) if redis else None
        if valkey is not None:
            stack.push_async_callback(valkey.close)
            await valkey.start()
        cluster = ChaosCluster(postgres, valkey)
        for number in range(nodes):
            node = await _node(stack, cluster, f"node-{number}", directory, relays, settings)
            cluster.nodes.append(node)
            stack.push_async_callback(node.close)
        await asyncio.gather(*(node.start() for node in cluster.nodes))
        yield cluster


async def _node(
    stack: AsyncExitStack,
    cluster: ChaosCluster,
    name: str,
    directory: Path,
    relays: bool,
    settings: dict[str, str],
) -> NodeProcess:
    dsn = cluster.postgres.dsn()
    data = directory / name
    data.mkdir()
    environment = {
        **{key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ},
        "DATABASE_URL": login_dsn(dsn),
        "DATABASE_OWNER_URL": dsn,
        "ATRIUM_DATA_DIR": str(data),
        "ATRIUM_SECRET_KEY": "x" * 40,
        "ATRIUM_RATE_LIMITS": "off",
        "ATRIUM_DRAIN_SECONDS": "1",
        "ATRIUM_PROGRESS_DELAY": "0",
        "ATRIUM_ARGON2_TIME": "1",
        "ATRIUM_ARGON2_MEMORY": "1024",
        "ATRIUM_ACCESS_TOKEN_TTL": "86400",
        "ATRIUM_SNAPSHOT_WINDOW": "5000",
        "ATRIUM_COMMAND_TIMEOUT": "5",
        "ATRIUM_POOL_TIMEOUT": "5",
        "ATRIUM_POOL_MAX": "12",
        **settings,
    }
    node = NodeProcess(name, directory, environment)
    if cluster._valkey is not None:
        environment["REDIS_URL"] = cluster.valkey.url
    if relays:
        node.to_postgres = Relay(cluster.postgres.socket)
        await node.to_postgres.open()
        stack.push_async_callback(node.to_postgres.close)
        path = urlsplit(dsn)._replace(
            netloc=f"{cluster.postgres.embedded.superuser}@127.0.0.1:{node.to_postgres.port}"
        )
        environment["DATABASE_URL"] = login_dsn(path._replace(query="").geturl())
        if cluster._valkey is not None:
            node.to_redis = Relay(("127.0.0.1", cluster.valkey.port))
            await node.to_redis.open()
            stack.push_async_callback(node.to_redis.close)
            environment["REDIS_URL"] = f"redis://127.0.0.1:{node.to_redis.port}/0"
    return node


async def _until_accepts(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        assert process.poll() is None, "the process has ended"
        assert time.monotonic() < deadline, "the process does not listen"
        await asyncio.sleep(0.02)

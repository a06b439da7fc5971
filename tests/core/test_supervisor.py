"""Workers and their supervisor, as real processes that are killed and told to go."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from bench.processes import family, free_port, program_of
from server import supervisor
from server.app import Refused
from server.demo import PASSWORD
from server.supervisor import Stop, next_pause, supervise
from storage.child import LAUNCH, EmbeddedServerError, end, exited, ourselves, socket_directory
from tests.raw import Raw
from tests.world import settings_for, until

ROOT: Final = Path(__file__).parents[2]
START: Final = 60.0
"""A server is up, and a worker started again, within this time (seconds)."""
QUICK: Final = 10.0
"""What is told to go at once, or has lost its supervisor, is gone within this time (seconds)."""
HEARD: Final = 15.0
"""Workers hear each other again so long after Valkey has died (seconds)."""
DRAIN: Final = 60
"""ATRIUM_DRAIN_SECONDS of the servers here: far longer than any test waits."""

pytestmark = pytest.mark.xdist_group("supervisor")


# Any command will do as a worker.


def test_pauses_double_up_to_the_longest() -> None:
    pauses = [0.0]
    for _ in range(9):
        pauses.append(next_pause(pauses[-1], lived=1.0))
    assert pauses[1:] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10])
    assert next_pause(10.0, lived=29.9) == 10.0
    assert next_pause(10.0, lived=30.0) == 0.2


class Pretended:
    """A supervisor whose workers are a line of shell each, in which `note` says that they live."""

    def __init__(self, directory: Path, script: str, workers: int) -> None:
        self.stop = Stop()
        self.notes = directory / "notes"
        self.notes.touch()
        words = "$ATRIUM_WORKER $$ $ATRIUM_SUPERVISOR $ATRIUM_WORKERS_DIR"
        settings = settings_for(directory, redis_url="redis://nowhere.invalid")
        command = ["/bin/sh", "-c", f'note() {{ echo "{words}" >> "{self.notes}"; }}; {script}']
        self.task = asyncio.create_task(supervise(settings, command, os.environ, self.stop, workers=workers))

    @property
    def lives(self) -> list[tuple[int, int, int, Path]]:
        """Number, process id, supervisor and directory of every worker so far."""
        rows = [line.split() for line in self.notes.read_text().splitlines()]
        return [(int(number), int(pid), int(ours), Path(where)) for number, pid, ours, where in rows]

    async def ends(self, within: float = QUICK) -> float:
        """Wait for the end of the supervisor; how long it took (seconds)."""
        began = time.monotonic()
        await asyncio.wait_for(asyncio.shield(self.task), within)
        return time.monotonic() - began


Pretend = Callable[..., Pretended]


@pytest.fixture
async def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pretend]:
    """`pretend("note; exec sleep 60", workers=2)`: a supervisor that loses no time with pauses."""
    monkeypatch.setattr(supervisor, "RESTART_PAUSE", (0.01, 0.02))
    made: list[Pretended] = []

    def make(script: str, workers: int = 1) -> Pretended:
        made.append(Pretended(tmp_path, script, workers))
        return made[-1]

    yield make
    for one in made:
        one.stop.asked.set()
        one.stop.now.set()
        with suppress(Refused, EmbeddedServerError):
            await one.task
        assert not [pid for _, pid, *_ in one.lives if alive(pid)]


async def test_a_worker_keeps_its_number(pretend: Pretend, tmp_path: Path) -> None:
    directory = socket_directory(tmp_path, "workers", ourselves(), EmbeddedServerError)
    (directory / "ready-7").touch()
    pretended = pretend("note; exec sleep 60", workers=2)
    await until(lambda: len(pretended.lives) == 2)
    assert {number for number, *_ in pretended.lives} == {1, 2}
    assert {ours for _, _, ours, _ in pretended.lives} == {os.getpid()}
    assert {where for *_, where in pretended.lives} == {directory}
    assert directory.stat().st_mode & 0o777 == 0o700
    assert list(directory.iterdir()) == [], "what an earlier supervisor left is gone"
    for victim in (1, 2):
        count = len(pretended.lives)
        os.kill(next(pid for number, pid, *_ in pretended.lives if number == victim), signal.SIGKILL)
        while len(pretended.lives) == count:
            await asyncio.sleep(0.01)
        assert pretended.lives[-1][0] == victim
    pretended.stop.asked.set()
    await pretended.ends()
    assert not directory.exists()


async def test_who_never_serves_is_given_up(pretend: Pretend) -> None:
    pretended = pretend('note; [ "$ATRIUM_WORKER" = 1 ] && exit 3; exec sleep 60', workers=2)
    with pytest.raises(Refused, match="worker 1 died 5 times, now with exit code 3"):
        await pretended.ends()
    assert sorted(number for number, *_ in pretended.lives) == [1] * supervisor.TRIES + [2]


async def test_who_has_served_once_is_never_given_up(pretend: Pretend) -> None:
    pretended = pretend('note; touch "$ATRIUM_WORKERS_DIR/ready-$ATRIUM_WORKER"; exit 3')
    await until(lambda: len(pretended.lives) > 2 * supervisor.TRIES)
    pretended.stop.asked.set()
    await pretended.ends()


async def test_a_command_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "RESTART_PAUSE", (0.01, 0.02))
    settings = settings_for(tmp_path, redis_url="redis://nowhere.invalid")
    with pytest.raises(Refused, match="No such file"):
        await supervise(settings, [str(tmp_path / "nothing")], os.environ, Stop(), workers=1)


async def test_nothing_starts_any_more_in_a_pause(pretend: Pretend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "RESTART_PAUSE", (60.0, 60.0))
    pretended = pretend("note; exit 3")
    await until(lambda: pretended.lives and not alive(pretended.lives[0][1]))
    await asyncio.sleep(0.1)
    pretended.stop.asked.set()
    assert await pretended.ends() < supervisor.PATIENCE / 2
    assert len(pretended.lives) == 1


async def test_who_does_not_go_is_killed(pretend: Pretend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PATIENCE", 1.0)
    pretended = pretend("trap '' TERM; note; exec sleep 60", workers=2)
    await until(lambda: len(pretended.lives) == 2)
    pretended.stop.asked.set()
    assert 1 <= await pretended.ends() < 5


async def test_the_second_time_they_are_killed_at_once(pretend: Pretend) -> None:
    pretended = pretend("trap '' TERM; note; exec sleep 60", workers=2)
    await until(lambda: len(pretended.lives) == 2)
    pretended.stop.asked.set()
    await asyncio.sleep(0.5)
    assert all(alive(pid) for _, pid, *_ in pretended.lives), "the first time they may take their time"
    pretended.stop.now.set()
    assert await pretended.ends() < supervisor.PATIENCE / 2


async def test_a_second_supervisor_is_kept_out(pretend: Pretend) -> None:
    first = pretend("note; exec sleep 60")
    await until(lambda: first.lives)
    with pytest.raises(EmbeddedServerError, match="in use by another Atrium server"):
        await pretend("note; exec sleep 60").ends()
    assert first.lives[0][3].exists()


# The server itself.


class Server:
    """`python -m server serve` with two workers, on a data directory that outlives it. It goes when we do."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / "server.log"
        self.data = directory / "data"
        self.process: subprocess.Popen[bytes] | None = None
        self.whole = False
        """It runs, and nobody has sent it a signal."""

    async def start(self, workers: int = 2) -> None:
        """Start it, with an empty log, and wait until every worker serves."""
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        command = [
            *(sys.executable, "-m", "server", "serve", *address),
            *("--workers", str(workers), "--demo"),
        ]
        identity = map(str, (os.getpid(), int(signal.SIGKILL), os.geteuid(), os.getegid()))
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", LAUNCH, *identity, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(ATRIUM_DATA_DIR=str(self.data)),
                cwd=ROOT,
                start_new_session=True,
            )
        await until(lambda: len(self.lines("serving")) == workers or not self.running, START, 0.05)
        assert self.running, self.log.read_text()[-3000:]
        self.whole = True

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        self.whole = False
        os.kill(self.pid, number)

    async def ended(self, within: float = QUICK) -> int:
        """Wait for its end; its exit code."""
        assert self.process is not None
        assert await exited(self.process, within), f"it is still there:\n{self.log.read_text()[-3000:]}"
        return self.process.returncode

    def lines(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """Lines of its log about this event, with these fields."""
        found = []
        for text in self.log.read_text(errors="replace").splitlines():
            with suppress(json.JSONDecodeError):
                line = json.loads(text)
                if {"event": event, **fields}.items() <= line.items():
                    found.append(line)
        return found

    def worker(self, number: int) -> int:
        """Process id of the worker with this number, the latest."""
        return int(self.lines("worker.started", number=number)[-1]["pid"])

    def child(self, program: str) -> int:
        """Process id of what runs this program for it."""
        return next(pid for pid in family(self.pid) if program_of(pid) == program)

    async def close(self) -> None:
        if self.process is not None and self.running:
            await end(self.process, ((signal.SIGTERM, 3.0), (signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0)))


def environment(**more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    return {
        **own, "ATRIUM_SECRET_KEY": "x" * 40, "ATRIUM_RATE_LIMITS": "off", "ATRIUM_DRAIN_SECONDS": str(DRAIN), **more,
    }  # fmt: skip


def alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


@pytest.fixture(scope="module")
async def only_server() -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory(prefix="atrium-supervisor-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        server = Server(Path(name))
        try:
            yield server
        finally:
            await server.close()


@pytest.fixture
async def server(only_server: Server) -> Server:
    """The one server of this module, started anew where the test before has ended it."""
    if not only_server.whole:
        await only_server.close()
        await only_server.start()
    return only_server


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_another_takes_the_place_of_a_killed_worker(
    server: Server, http: aiohttp.ClientSession
) -> None:
    victim, other = server.worker(1), server.worker(2)
    os.kill(victim, signal.SIGKILL)
    served = 0
    while not server.lines("serving", pid=server.worker(1)) or server.worker(1) == victim:
        await _answered(http, server.url, within=2.0)
        served += 1
        await asyncio.sleep(0.05)
    assert served > 1, "the other one serves meanwhile"
    (death,) = server.lines("worker.died", pid=victim)
    assert (death["number"], death["code"]) == (1, -signal.SIGKILL)
    assert 0 < death["restart_in"] <= 10
    assert server.worker(2) == other


async def _answered(http: aiohttp.ClientSession, url: str, within: float) -> None:
    """/health answers, on a connection of its own; one that the dead worker had taken already is tried again."""
    async with asyncio.timeout(within):
        while True:
            with suppress(aiohttp.ClientError):
                async with http.get(f"{url}/health", headers={"Connection": "close"}) as response:
                    assert response.status == 200
                    return
            await asyncio.sleep(0.02)


async def test_each_quick_death_doubles_the_pause(server: Server) -> None:
    pauses = []
    for _ in range(3):
        victim = server.worker(2)
        os.kill(victim, signal.SIGKILL)
        while server.worker(2) == victim:
            await asyncio.sleep(0.01)
        pauses += [line["restart_in"] for line in server.lines("worker.died", pid=victim)]
    assert pauses == pytest.approx([pauses[0] * 2**step for step in range(3)])


async def test_workers_talk_through_the_next_valkey(server: Server, http: aiohttp.ClientSession) -> None:
    await until(lambda: server.lines("serving", pid=server.worker(2)), START)
    async with AsyncExitStack() as stack:
        alice = await stack.enter_async_context(_client(server, http, "alice"))
        bob = await stack.enter_async_context(_client(server, http, "bob"))
        while _worker_of(server, bob) == _worker_of(server, alice):
            bob = await stack.enter_async_context(_client(server, http, "bob"))
        room = await _room(alice)
        for person in (alice, bob):
            assert (await person.call("room.join", {"room": room})).success
        await _heard(alice, bob, room)
        valkey = server.child("valkey-server")
        os.kill(valkey, signal.SIGKILL)
        began = time.monotonic()
        await until(lambda: server.lines("embedded server is back", server="Valkey"), HEARD, 0.05)
        await _heard(alice, bob, room)
        assert time.monotonic() - began < HEARD
        assert server.child("valkey-server") != valkey
    assert not server.lines("worker.died", number=1, pid=server.worker(1))
    assert not server.lines("worker.died", number=2, pid=server.worker(2))


async def _room(alice: Raw) -> str:
    """The room of a new project."""
    reply = await alice.call("project.create", {"name": "Across"})
    return f"project:{reply.data.project.id}"


async def _heard(alice: Raw, bob: Raw, room: str) -> None:
    """An event of hers reaches him, and so does that she types, which goes through Valkey alone."""
    async with asyncio.timeout(HEARD):
        while True:
            await alice.call("typing.start", {"room": room})
            with suppress(TimeoutError):
                await bob.until('42["typing"', within=0.5)
                break
        reply = await alice.call("task.create", {"room": room, "title": "Across"})
        await bob.until('42["task.created"', within=HEARD)
        assert reply.data.task.id in bob.heard[-1]


@asynccontextmanager
async def _client(server: Server, http: aiohttp.ClientSession, name: str) -> AsyncIterator[Raw]:
    """Somebody of the demo world on a WebSocket, on the worker that the kernel chose."""
    credentials = {"email": f"{name}@acme.example", "password": PASSWORD}
    async with http.post(f"{server.url}/api/v1/auth/login", json=credentials) as response:
        token = (await response.json())["data"]["access_token"]
    async with http.ws_connect(f"{server.url}/socket.io/?EIO=4&transport=websocket") as ws:
        client = Raw(ws)
        await client.packet()
        await client.sign_in(token)
        yield client


def _worker_of(server: Server, client: Raw) -> int:
    """Process id of the worker that has the other end of this connection."""
    ours, theirs = f":{client.ws.get_extra_info('sockname')[1]:04X}", f":{server.port:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    inode = next(row[9] for row in rows if row[1].endswith(theirs) and row[2].endswith(ours))
    for pid in filter(alive, (server.worker(1), server.worker(2))):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                if str(descriptor.readlink()) == f"socket:[{inode}]":
                    return pid
    raise AssertionError("no worker has this connection")


@asynccontextmanager
async def _held_up(server: Server, http: aiohttp.ClientSession) -> AsyncIterator[Raw]:
    """Somebody who has been told to go, and stays."""
    async with _client(server, http, "alice") as client:
        server.signal(signal.SIGTERM)
        await client.until('42["server.draining"')
        await asyncio.sleep(1)
        assert server.running
        yield client


async def test_sigterm_ends_all(server: Server) -> None:
    everybody = family(server.pid)
    assert {"valkey-server", "postgres"} <= {program_of(pid) for pid in everybody}
    server.signal(signal.SIGTERM)
    assert await server.ended() == 0
    assert not [pid for pid in everybody if alive(pid)]
    assert not server.lines("worker.killed")
    assert len(server.lines("stopped")) == 2
    assert not list(server.data.glob("*.run"))


async def test_the_second_sigterm_ends_workers_that_are_held_up(
    server: Server, http: aiohttp.ClientSession
) -> None:
    everybody = family(server.pid)
    async with _held_up(server, http) as client:
        held = _worker_of(server, client)
        server.signal(signal.SIGTERM)
        assert await server.ended() == 0
        assert [line["pid"] for line in server.lines("worker.killed")] == [held]
    assert not [pid for pid in everybody if alive(pid)]
    assert _last_words_of_postgres(server) == "database system is shut down"


async def test_a_worker_cuts_its_drain_short_the_second_time(
    server: Server, http: aiohttp.ClientSession
) -> None:
    async with _client(server, http, "alice") as client:
        held = _worker_of(server, client)
        os.kill(held, signal.SIGTERM)
        await client.until('42["server.draining"')
        os.kill(held, signal.SIGTERM)
        while await client.packet(QUICK) is not None:
            pass
        assert client.ws.close_code == 1012
    await until(lambda: server.lines("worker.died", pid=held), QUICK)
    assert server.lines("worker.died", pid=held)[0]["code"] == 0
    assert server.running


async def test_nothing_outlives_a_killed_supervisor(server: Server, http: aiohttp.ClientSession) -> None:
    everybody = family(server.pid)
    try:
        async with _client(server, http, "alice"):
            server.signal(signal.SIGKILL)
            await until(lambda: not [pid for pid in everybody if alive(pid)], QUICK, 0.05)
    finally:
        for pid in filter(alive, everybody):
            os.kill(pid, signal.SIGKILL)
    assert await server.ended() == -signal.SIGKILL
    assert len(server.lines("stopped")) == 2, "they went by themselves"


async def test_a_single_process_cuts_its_drain_short_the_second_time(
    only_server: Server, http: aiohttp.ClientSession
) -> None:
    await only_server.close()
    await only_server.start(workers=1)
    everybody = family(only_server.pid)
    async with _held_up(only_server, http):
        only_server.signal(signal.SIGINT)
        assert await only_server.ended() == 0
    assert only_server.lines("stopped")
    assert not [pid for pid in everybody if alive(pid)]
    assert _last_words_of_postgres(only_server) == "database system is shut down"


def _last_words_of_postgres(server: Server) -> str:
    return (server.data / "postgres.log").read_text().splitlines()[-1].partition("LOG:  ")[2]


# A server whose workers cannot start, and a worker without one.

HOPELESS: Final = """
from server import cli, serving

async def database(settings):
    return "postgresql://nowhere.invalid/atrium", None, None

serving.open_database = database
serving.sys.executable = "/bin/false"
cli.cli()
"""


async def test_serve_says_that_no_worker_can_start(tmp_path: Path) -> None:
    ours = environment(ATRIUM_DATA_DIR=str(tmp_path), REDIS_URL="redis://nowhere.invalid")
    code, said = await _run(ours, "-c", HOPELESS, "serve", "--port", "0", "--workers", "2")
    assert code == 1, said
    assert said.splitlines()[-1].startswith("no worker can start: worker")
    assert said.splitlines()[-1].endswith("now with exit code 1")


async def test_a_worker_goes_when_its_supervisor_is_gone() -> None:
    orphan = environment(ATRIUM_SUPERVISOR="1", ATRIUM_WORKER="1")
    code, said = await _run(orphan, "-m", "server", "worker", "--host", "127.0.0.1", "--port", "0")
    assert (code, said) == (1, "a worker is started by `serve --workers`, and ends with it\n")


async def _run(ours: dict[str, str], *arguments: str) -> tuple[int | None, str]:
    """Run Python with these arguments to its end; its exit code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, env=ours,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(process.communicate(), START)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, said.decode()

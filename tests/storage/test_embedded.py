"""The embedded Postgres is run, killed and found again with real processes."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from storage.child import EmbeddedPostgresError
from storage.embedded import EmbeddedPostgres, gone, leftovers

QUICK = {"fsync": "off"}  # a killed process loses nothing without it; only a power cut would

SERVER = """
import asyncio, sys
from pathlib import Path
import storage.child as child
import storage.embedded as embedded

if "--unaware" in sys.argv:  # as on systems that cannot tell a child of its parent's death
    child.LAUNCH = child.LAUNCH.replace("prctl(1, death)", "prctl(1, 0)")

async def serve():
    postgres = embedded.EmbeddedPostgres(Path(sys.argv[1]), options={"fsync": "off"})
    dsn = await postgres.start()
    print("ready", postgres.pid, dsn, flush=True)
    await asyncio.Event().wait()

asyncio.run(serve())
"""


@pytest.fixture
async def open_dir() -> AsyncIterator[Path]:
    """A directory that every user can reach; pytest's own are private."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        await gone(Path(name) / "postgres", 20)  # a killed server's Postgres hears of that from the kernel


@asynccontextmanager
async def running(data_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(data_dir, options=QUICK)
    await postgres.start()
    try:
        yield postgres
    finally:
        await postgres.stop()
        assert leftovers(data_dir / "postgres") == ([], [])


@contextlib.contextmanager
def another_server(data_dir: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """A server process of its own: the process, the pid of its Postgres, the DSN."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(data_dir), *arguments],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = next(line for line in process.stdout if line.startswith("ready"))
        _, pid, dsn = said.split()
        yield process, int(pid), dsn
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def run(dsn: str, sql: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def run_soon(dsn: str, sql: str) -> object:
    """Run as soon as Postgres is back."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return await run(dsn, sql)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def note(dsn: str) -> None:
    await run(dsn, "CREATE TABLE kept AS SELECT 42 AS answer")


async def noted(dsn: str) -> bool:
    return await run(dsn, "SELECT answer FROM kept") == 42


async def test_data_is_kept_over_a_restart(open_dir: Path) -> None:
    async with running(open_dir) as postgres:
        await note(postgres.dsn("postgres"))
    async with running(open_dir) as postgres:
        assert await noted(postgres.dsn("postgres"))


async def test_it_is_postgres_18_durable_and_only_on_a_private_socket(open_dir: Path) -> None:
    postgres = EmbeddedPostgres(open_dir, max_connections=30)
    dsn = await postgres.start()
    try:
        names = [
            "server_version_num",
            "max_connections",
            "fsync",
            "synchronous_commit",
            "listen_addresses",
            "TimeZone",
        ]
        version, *rest = [str(await run(dsn, f"SHOW {name}")) for name in names]
        assert int(version) // 10000 == 18
        assert rest == ["30", "on", "on", "", "UTC"]
        sockets = Path(str(await run(dsn, "SHOW unix_socket_directories")))
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert await run(dsn, "SELECT lower('ÉÖ') || encode(convert_to('é', 'UTF8'), 'hex')") == "éöc3a9"
    finally:
        await postgres.stop()


async def test_it_does_not_run_as_root_and_ctrl_c_does_not_reach_it(open_dir: Path) -> None:
    async with running(open_dir) as postgres:
        assert postgres.pid is not None
        assert (open_dir / "postgres").stat().st_uid != 0
        assert os.getsid(postgres.pid) == postgres.pid


async def test_a_directory_that_only_we_can_reach(tmp_path: Path) -> None:
    data_dir = tmp_path / "private" / "data"
    (tmp_path / "private").mkdir(mode=0o700)
    async with running(data_dir) as postgres:
        await note(postgres.dsn("postgres"))
        assert (data_dir / "postgres" / "PG_VERSION").exists()
    async with running(data_dir) as postgres:
        assert await noted(postgres.dsn("postgres"))


async def test_a_deep_directory_with_odd_characters(open_dir: Path) -> None:
    async with running(open_dir / ("deep, and: with 'ö' %20" * 4) / ("x" * 100)) as postgres:
        assert await run(postgres.dsn("postgres"), "SELECT 1") == 1


async def test_a_killed_postgres_comes_back_with_its_data(open_dir: Path) -> None:
    async with running(open_dir) as postgres:
        dsn, first = postgres.dsn("postgres"), postgres.pid
        assert first is not None
        await note(dsn)
        busy = await asyncpg.connect(dsn)
        os.kill(first, signal.SIGKILL)
        assert await run_soon(dsn, "SELECT answer FROM kept") == 42
        assert postgres.pid not in {first, None}
        busy.terminate()


@pytest.mark.parametrize("pause", [0, 0.15, 0.25])
async def test_stop_wins_over_a_restart(open_dir: Path, pause: float) -> None:
    async with running(open_dir) as postgres:
        first = postgres.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await asyncio.sleep(pause)
        await postgres.stop()
        await asyncio.sleep(0.3)
        assert postgres.pid is None
        assert leftovers(open_dir / "postgres") == ([], [])


@pytest.mark.parametrize("arguments", [[], ["--unaware"]], ids=["told of the death", "left behind"])
async def test_a_killed_server_leaves_its_data_to_the_next(open_dir: Path, arguments: list[str]) -> None:
    with another_server(open_dir, *arguments) as (server, orphan, dsn):
        await note(dsn)
        server.kill()
        server.wait()
        async with running(open_dir) as postgres:
            assert postgres.pid != orphan
            assert await noted(postgres.dsn("postgres"))
            assert leftovers(open_dir / "postgres")[0] == [postgres.pid]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_postgres_ends_with_a_killed_server(open_dir: Path) -> None:
    with another_server(open_dir) as (server, _, _):
        server.kill()
        server.wait()
        deadline = time.monotonic() + 5
        while any(leftovers(open_dir / "postgres")):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def test_it_is_watched_on_whatever_its_start_has_met(open_dir: Path) -> None:
    """A mistake in its configuration, say: whoever mends that need not start the server again."""
    async with running(open_dir) as postgres:
        rules = open_dir / "postgres" / "pg_hba.conf"
        good, first = rules.read_text(), postgres.pid
        assert first is not None
        rules.write_text("local all all reject\n")
        os.kill(first, signal.SIGKILL)
        while postgres.pid in (None, first):
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        rules.write_text(good)
        second = postgres.pid
        assert second is not None
        os.kill(second, signal.SIGKILL)
        assert await run_soon(postgres.dsn("postgres"), "SELECT 1") == 1


async def test_a_second_server_is_refused(open_dir: Path) -> None:
    with another_server(open_dir) as (server, _, dsn):
        second = EmbeddedPostgres(open_dir)
        with pytest.raises(EmbeddedPostgresError, match=f"{open_dir} is in use .*process {server.pid}"):
            await second.start()
        assert await run(dsn, "SELECT 1") == 1


async def test_a_process_id_that_went_to_somebody_else(open_dir: Path) -> None:
    async with running(open_dir) as postgres:
        await note(postgres.dsn("postgres"))
    owner = (open_dir / "postgres").stat().st_uid
    with subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None) as stranger:
        try:
            (open_dir / "postgres" / "postmaster.pid").write_text(f"{stranger.pid}\n")
            async with running(open_dir) as postgres:
                assert await noted(postgres.dsn("postgres"))
            assert stranger.poll() is None
        finally:
            stranger.kill()


async def test_a_failed_start_says_why_and_leaves_nothing(open_dir: Path) -> None:
    broken = EmbeddedPostgres(open_dir, options={**QUICK, "shared_buffers": "plenty"})
    with pytest.raises(EmbeddedPostgresError, match='invalid value for parameter "shared_buffers"'):
        await broken.start()
    assert broken.pid is None
    async with running(open_dir) as postgres:
        assert await run(postgres.dsn("postgres"), "SELECT 1") == 1


async def test_a_cluster_of_another_version_is_refused(open_dir: Path) -> None:
    async with running(open_dir):
        pass
    (open_dir / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedPostgresError, match="not a cluster of Postgres 18"):
        await EmbeddedPostgres(open_dir).start()


async def test_a_start_killed_in_initdb_is_repeated(open_dir: Path) -> None:
    (open_dir / "postgres.init").mkdir()
    (open_dir / "postgres.init" / "PG_VERSION").write_text("18\n")
    async with running(open_dir):
        assert not (open_dir / "postgres.init").exists()

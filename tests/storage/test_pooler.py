"""Behind a real PgBouncer in transaction mode, where the next transaction may have another connection to Postgres."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.processes import free_port
from storage.child import account_for, end, spawn
from tests.debian import program
from tests.world import Board, Cluster, World, eventually, fresh_world, opened

CONFIGURATION = """
[databases]
* = host={host} port=5432 user=atrium_app
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_round_robin = 1
"""


@pytest.fixture(scope="module")
def pgbouncer() -> str:
    found = program("pgbouncer", package="pgbouncer")
    if found is None:
        assert "CI" not in os.environ, "CI must be able to install pgbouncer"
        pytest.skip("no pgbouncer on PATH, and none to be installed")
    return found


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def _pooled(cluster: Cluster, pgbouncer: str) -> AsyncIterator[World]:
    """A world whose node reaches Postgres by way of PgBouncer; its connections there are dealt out in turn."""
    account, port = account_for(), free_port()
    async with cluster.database() as name:
        owner = cluster.postgres.dsn(name)
        with tempfile.TemporaryDirectory(prefix="atrium-pooler-", ignore_cleanup_errors=True) as directory:
            Path(directory).chmod(0o755)  # it does not run as root either
            configuration, output = Path(directory) / "pgbouncer.ini", Path(directory) / "pgbouncer.log"
            socket = owner.partition("?host=")[2].partition("&")[0]
            configuration.write_text(CONFIGURATION.format(host=socket, port=port))
            output.touch()
            process = spawn([pgbouncer, str(configuration)], output, account, signal.SIGTERM)
            try:
                await eventually(lambda: _answers(port))
                login = f"postgresql://atrium_app@127.0.0.1:{port}/{name}"
                async with opened(cluster.directory, owner, login, statement_cache=0, pool_min=4) as world:
                    yield world
            finally:
                await end(process, ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)))


async def test_everything_works_behind_a_pooler(cluster: Cluster, pgbouncer: str) -> None:
    async with _pooled(cluster, pgbouncer) as world:
        alice = await world.person("alice").connect()
        bob = await world.person("bob").connect()
        board = Board.of(world)
        await alice.join(world.project)
        await bob.join(world.project)
        for turn in range(12):
            column = board.doing if turn % 2 else board.todo
            sent = [
                alice.send("task.move", task_id=board.first, column_id=column),
                bob.send("task.create", room=world.project, title=f"Task {turn}"),
                alice.send("tasks.find", project_id=world.project_id),
            ]
            for reply in await asyncio.gather(*sent):
                assert reply.success, reply
        async with world.node.db.transaction(None) as session:
            await session.begin()
            asked = [await session.connection.fetchval(f"SHOW {name}") for name in ("jit", "timezone")]
        assert asked == ["off", "UTC"]
        assert (await world.request("GET", "/health/ready")).status == 200


async def test_deferred_statements_survive_a_change_of_the_server_connection(cluster: Cluster) -> None:
    async with fresh_world(cluster, statement_cache=0, pool_min=2, pool_max=2) as world:
        alice = await world.person("alice").connect()
        board = Board.of(world)
        assert (await alice.send("task.move", task_id=board.first, column_id=board.doing)).success
        async with world.node.db.connection() as one, world.node.db.connection() as other:
            for connection in (one, other):
                await connection.execute("DEALLOCATE ALL")  # as one that somebody else has had
        reply = await alice.send("task.move", task_id=board.first, column_id=board.todo)
        assert reply.success, reply


async def test_without_a_cache_nothing_is_left_prepared(cluster: Cluster) -> None:
    async with fresh_world(cluster, statement_cache=0, pool_min=1, pool_max=2) as world:
        alice = await world.person("alice").connect()
        board = Board.of(world)
        assert (await alice.send("task.move", task_id=board.first, column_id=board.doing)).success
        async with world.node.db.connection() as one, world.node.db.connection() as other:
            for connection in (one, other):
                assert (
                    await connection.fetch("SELECT name FROM pg_prepared_statements WHERE name <> ''") == []
                )

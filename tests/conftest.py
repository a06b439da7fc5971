"""Fixtures: one Postgres per worker, a clone of its peopled template per test, a node on a port, the people."""

import logging
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from _pytest.nodeid import NodeId

from server.node import Node
from server.serving import rest_the_collector
from storage.bus import Exchange, LocalBus
from storage.embedded import EmbeddedPostgres
from tests.s3 import S3, serving_s3
from tests.world import Board, Cluster, Person, World, fresh_world, second_node

MEMORY = Path("/dev/shm")  # only to make directories of one's own in it, with tempfile
ROOM = 4 << 30
"""What has to be free there (bytes)."""

if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM:
    # A database for each test makes and removes many files: a disk under load takes twenty times as long for that.
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

re._MAXCACHE = 8192  # type: ignore[attr-defined]
"""Every node compiles the patterns of some hundred routes, which are the same for all: more than `re` remembers."""

FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "max_wal_size": "1GB",
}


@pytest.fixture(scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    """One Postgres for all tests of this process."""
    with tempfile.TemporaryDirectory(prefix="atrium-tests-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        postgres = EmbeddedPostgres(Path(name), options=FAST, max_connections=200)
        await postgres.start()
        try:
            cluster = Cluster(postgres, Path(name))
            await cluster.prepare()
            yield cluster
        finally:
            await postgres.stop()


@pytest.fixture(scope="session")
async def s3(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[S3]:
    """An S3 service for whichever tests want one."""
    async with serving_s3(tmp_path_factory.mktemp("s3")) as s3:
        yield s3


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Settings of an empty store of blobs, of each kind."""
    return {"data_dir": tmp_path} | (request.getfixturevalue("s3").bucket() if request.param == "s3" else {})


@pytest.fixture
async def world(cluster: Cluster) -> AsyncIterator[World]:
    """A world of one's own: a fresh database and a node that serves it."""
    async with fresh_world(cluster) as world:
        yield world


@pytest.fixture(scope="module")
async def shared(cluster: Cluster) -> AsyncIterator[World]:
    """A world for a whole module, for tests that change nothing or do not mind."""
    async with fresh_world(cluster) as world:
        yield world


@pytest.fixture
async def worlds(cluster: Cluster) -> AsyncIterator[Callable[..., Any]]:
    """More worlds: `await worlds(resume_limit=3)`."""
    async with AsyncExitStack() as stack:

        async def make(**changes: Any) -> World:
            world: AbstractAsyncContextManager[World] = fresh_world(cluster, **changes)
            return await stack.enter_async_context(world)

        yield make


@pytest.fixture
async def pair(cluster: Cluster) -> AsyncIterator[tuple[World, str]]:
    """Two nodes on one database and one bus; yields the world of the first and the address of the second."""
    exchange = Exchange()
    async with (
        fresh_world(cluster, bus=LocalBus(exchange)) as world,
        second_node(world, cluster, bus=LocalBus(exchange)) as (_, url),
    ):
        yield world, url


@pytest.fixture
def node(world: World) -> Node:
    return world.node


@pytest.fixture
def board(world: World) -> Board:
    return Board.of(world)


async def _ready(world: World, name: str) -> Person:
    person = await world.person(name).connect()
    if name != "mallory":
        await person.join(world.project)
    person.forget()
    return person


@pytest.fixture
async def alice(world: World) -> Person:
    """The owner of acme, connected and in the project's room."""
    return await _ready(world, "alice")


@pytest.fixture
async def bob(world: World) -> Person:
    """A member, connected and in the project's room."""
    return await _ready(world, "bob")


@pytest.fixture
async def carol(world: World) -> Person:
    """A client, who sees the project because she takes part in it."""
    return await _ready(world, "carol")


@pytest.fixture
async def gus(world: World) -> Person:
    """A guest."""
    return await _ready(world, "gus")


@pytest.fixture
async def mallory(world: World) -> Person:
    """The owner of another tenant."""
    return await _ready(world, "mallory")


def pytest_configure(config: pytest.Config) -> None:
    """Logs as lines of JSON, for rich tracebacks of deep payloads take seconds."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the cycle collector leave alone what stays: some ten thousand tests and all modules."""
    rest_the_collector()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the groups of --dist loadgroup: pytest-xdist 3.8 writes them where pytest 9.2 no longer reads."""
    if not config.getoption("loadgroup", default=False):
        return
    for item in items:
        if (mark := item.get_closest_marker("xdist_group")) and not item.nodeid.endswith(f"@{mark.args[0]}"):
            item._id = NodeId.parse(f"{item.nodeid}@{mark.args[0]}")

"""One cluster of processes for all chaos tests of a worker, mended between them."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.cluster import ChaosCluster, chaos_cluster


@pytest.fixture(scope="session")
async def standing_cluster() -> AsyncIterator[ChaosCluster]:
    """Two nodes, Postgres that does flush its disk, Redis, and relays; one for each xdist_group("chaos-…")."""
    with tempfile.TemporaryDirectory(prefix="atrium-chaos-", ignore_cleanup_errors=True) as name:
        async with chaos_cluster(Path(name), redis=True, relays=True) as cluster:
            yield cluster


@pytest.fixture
async def chaos(standing_cluster: ChaosCluster) -> AsyncIterator[ChaosCluster]:
    """The standing cluster, whole before and after."""
    await standing_cluster.mend()
    yield standing_cluster
    await standing_cluster.mend()

"""A real Valkey, for counts that nodes share."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.valkey import EmbeddedValkey


@pytest.fixture(scope="module")
async def valkey() -> AsyncIterator[EmbeddedValkey]:
    with tempfile.TemporaryDirectory(prefix="atrium-limits-", ignore_cleanup_errors=True) as name:
        server = EmbeddedValkey(Path(name))
        await server.start()
        yield server
        await server.stop()

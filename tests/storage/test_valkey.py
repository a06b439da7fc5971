"""The embedded Valkey is run and killed with real processes."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Disconnected

from storage.valkey import EmbeddedValkey, EmbeddedValkeyError


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    valkey = EmbeddedValkey(tmp_path)
    await valkey.start()
    yield valkey
    await valkey.stop()


async def test_it_answers_and_listens_on_a_private_socket_only(valkey: EmbeddedValkey) -> None:
    async with Redis.from_url(valkey.url, decode_responses=True) as client:
        assert await client.ping()
        assert (await client.config_get("port", "save", "appendonly")) == {
            "port": "0",
            "save": "",
            "appendonly": "no",
        }
        assert await client.publish("room", "event") == 0
    socket = Path(valkey.url.removeprefix("unix://"))
    assert socket.parent.stat().st_mode & 0o777 == 0o700


async def test_stop_leaves_no_process(valkey: EmbeddedValkey) -> None:
    pid = valkey.pid
    assert pid is not None
    await valkey.stop()
    assert valkey.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_killed_valkey_comes_back_empty(valkey: EmbeddedValkey) -> None:
    first = valkey.pid
    assert first is not None
    async with Redis.from_url(valkey.url) as client:
        await client.set("lease", "alice")
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while valkey.pid in {first, None}:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    async with Redis.from_url(valkey.url) as client:
        while True:
            try:
                assert await client.get("lease") is None
                break
            except Disconnected:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)


async def test_a_second_one_is_refused(valkey: EmbeddedValkey) -> None:
    second = EmbeddedValkey(valkey.data_dir)
    with pytest.raises(EmbeddedValkeyError, match=f"in use .*process {os.getpid()}"):
        await second.start()
    assert valkey.pid is not None


async def test_a_deep_directory(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path / ("x" * 120))
    async with Redis.from_url(await valkey.start()) as client:
        assert await client.ping()
    await valkey.stop()


async def test_it_can_be_started_again(valkey: EmbeddedValkey) -> None:
    await valkey.stop()
    async with Redis.from_url(await valkey.start()) as client:
        assert await client.ping()

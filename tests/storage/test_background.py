"""The end of what goes on in the background."""

import asyncio

import pytest

from storage import background
from storage.background import end_tasks


async def test_nothing_is_left_and_nothing_is_told() -> None:
    async def fails() -> None:
        raise ValueError

    failed = asyncio.create_task(fails())
    await asyncio.sleep(0)
    asleep = asyncio.create_task(asyncio.sleep(3600))
    await end_tasks(None, failed, asleep)
    assert asleep.cancelled()
    await end_tasks()


async def test_a_cancellation_that_a_library_loses_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """As redis-py does, in the one turn in which what it waits for is done: the loop goes on, and sleeps again."""
    monkeypatch.setattr(background, "AGAIN", 0.05)
    sent = asyncio.get_running_loop().create_future()
    rounds = 0

    async def forever() -> None:
        nonlocal rounds
        while True:
            await asyncio.wait_for(sent, 3600) if not rounds else await asyncio.sleep(3600)
            rounds += 1

    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    sent.set_result(None)
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await end_tasks(task)
    assert task.cancelled()

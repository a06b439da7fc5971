"""How late the event loop is: the figure that tells of anything that holds a node up."""

import asyncio
from collections import deque
from typing import Final

from storage.background import end_tasks

INTERVAL: Final = 0.25
"""How often the loop is looked at (seconds)."""

KEPT: Final = 40
"""Looks that are kept (count): ten seconds."""


class LagWatch:
    """Sleeps, and notes how much too late it woke."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=KEPT)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        await end_tasks(self._task)

    @property
    def worst(self) -> float:
        """The longest delay of the last ten seconds (seconds)."""
        return max(self._late, default=0.0)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self._late.append(max(loop.time() - due, 0.0))

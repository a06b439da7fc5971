"""The end of what goes on in the background."""

import asyncio
from typing import Any, Final

AGAIN: Final = 5.0
"""After so long a task that has not ended is cancelled again (seconds)."""


async def end_tasks(*tasks: asyncio.Future[Any] | None) -> None:
    """Cancel tasks and wait until they have ended; what they failed with is not told.

    A library may lose a cancellation: `asyncio.wait_for` of Python 3.11 does where what it waits for is done in the same
    turn of the event loop (CPython issue 86296), and redis-py sends through it. A loop that has not heard it would go
    on for ever, and whoever ends it wait for ever, so it is told again.
    """
    left = {task for task in tasks if task is not None}
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=AGAIN)
        for task in done:
            if not task.cancelled():
                task.exception()  # counts as retrieved

"""Heartbeats of all connections of an engine, by one timer.

Every pause is as long as every other, so whoever began to wait first is due first: a queue in the order of arrival is
in the order of time, and no connection needs a timer of its own.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

Beat = list[Any]
"""A callback that is due after a pause, and when (seconds of the loop's clock); the callback is None once cancelled."""

SLACK: Final = 0.002
"""What is due so soon is called together with what is due now (seconds)."""


class Pauses:
    """Calls back after a pause that is the same for all."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: deque[Beat] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, callback: Callable[[], None]) -> Beat:
        """Wait the pause, then call; what is returned can be given to `cancel`."""
        loop = asyncio.get_running_loop()
        beat: Beat = [callback, loop.time() + self._seconds]
        self._waiting.append(beat)
        if len(self._waiting) == 1 and self._timer is None:
            self._timer = loop.call_at(beat[1], self._call)
        return beat

    def _call(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        waiting, soon = self._waiting, loop.time() + SLACK
        try:
            while waiting and (waiting[0][1] <= soon or waiting[0][0] is None):
                callback, _ = waiting.popleft()
                if callback is not None:
                    callback()
        finally:
            if waiting and self._timer is None:
                self._timer = loop.call_at(waiting[0][1], self._call)


def cancel(beat: Beat | None) -> None:
    """Have a callback not called; what it would have been called on is let go of at once."""
    if beat is not None:
        beat[0] = None

"""Clients that fall silent in the midst of a file. They are cut off; whoever is merely slow is not."""

import asyncio
import fcntl
import struct
import termios
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final, Self

LOOKS: Final = 4
"""How often it is looked, in the time after which a reader is cut off, whether it has taken any byte (count)."""


async def heard(chunks: AsyncIterator[bytes], silence: float) -> AsyncIterator[bytes]:
    """The same chunks; TimeoutError where none comes for so long (seconds)."""
    while True:
        async with asyncio.timeout(silence):
            chunk = await anext(chunks, None)
        if chunk is None:
            return
        yield chunk


class Reader:
    """Whoever takes what is written to a connection; cut off when it takes no byte for so long (seconds).

    That a write has not come to its end says nothing: it holds many bytes, of which a slow reader takes some.
    """

    def __init__(self, transport: asyncio.Transport, silence: float) -> None:
        self._transport = transport
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._given = 0
        self._taken = 0
        self._since = self._loop.time()

    def __enter__(self) -> Self:
        self._look()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def give(self, count: int) -> None:
        """So many bytes are about to be written."""
        self._given += count

    def _look(self) -> None:
        waiting, now = _waiting(self._transport), self._loop.time()
        taken = self._given - waiting
        if not waiting or taken != self._taken:
            self._taken, self._since = taken, now
        elif now - self._since >= self._silence:
            self._transport.abort()
            return
        self._timer = self._loop.call_later(self._silence / LOOKS, self._look)


def _waiting(transport: asyncio.Transport) -> int:
    """Bytes that were written and that the other side has not acknowledged, those that the kernel holds included."""
    if transport.is_closing():
        return 0
    waiting = transport.get_write_buffer_size()
    socket = transport.get_extra_info("socket")
    if socket is not None:
        with suppress(OSError):  # a connection that has gone, or a kernel that does not tell
            waiting += struct.unpack("i", fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    return waiting

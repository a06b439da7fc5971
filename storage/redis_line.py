"""A connection to Redis for the bus: what arrives is handed over at once, what leaves waits for nobody."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from hiredis import Reader, ReplyError, pack_command
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

_MORE: Final = object()
"""What the reader says where a reply is not whole yet."""


class RedisLine(asyncio.Protocol):
    """redis-py makes the connection: address, TLS, authentication, database. From then on it is a transport with a
    parser in C behind it: no task wakes for a reply, and none for what is published.

    It ends by itself on any error, of the connection, of Redis or of who hears the replies; `over` says which.
    """

    def __init__(self, connection: AbstractConnection, replied: Callable[[Any], None]) -> None:
        writer = connection._writer  # noqa: SLF001  # no public way
        assert writer is not None, "it is connected"
        self.over: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.drained: Callable[[], None] = lambda: None
        """Called when it takes more again, after it has not been `ready`."""
        self._connection = connection
        self._transport = writer.transport
        self._replied = replied
        self._reader = Reader(notEnoughData=_MORE)
        self._full = False
        self._transport.set_protocol(self)

    @classmethod
    async def open(cls, redis: Redis, replied: Callable[[Any], None], patience: float) -> "RedisLine":
        """Raises RedisError or OSError where there is no way to Redis, or none within `patience` seconds."""
        connection: AbstractConnection = redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(patience):  # redis-py waits for the replies of its handshake for ever
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            if (writer := connection._writer) is not None:  # noqa: SLF001  # no public way
                writer.transport.abort()
            await connection.disconnect(nowait=True)
            raise
        return cls(connection, replied)

    @property
    def ready(self) -> bool:
        """Whether what is sent leaves soon."""
        return not self._full and not self._transport.is_closing()

    def send(self, *command: str | bytes) -> None:
        """Send a command without waiting for its reply."""
        if not self._transport.is_closing():
            self._transport.write(pack_command(command))  # type: ignore[arg-type]  # one element of many

    def abort(self, error: Exception | None = None) -> None:
        if not self.over.done():
            self.over.set_result(error)
        self._transport.abort()

    async def close(self) -> None:
        self.abort()
        await self._connection.disconnect(nowait=True)

    # The transport's side.

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _MORE:
                if isinstance(reply, ReplyError):
                    raise reply
                self._replied(reply)
        except Exception as error:
            self.abort(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.abort(exc)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self.drained()

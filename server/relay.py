"""Between the workers behind one port: a request about a connection that another worker has goes to that worker.

The kernel gives each TCP connection to whichever worker it likes, and a client that polls opens many. So a session's id
says which worker has it, and a worker that is asked about another's hands over the whole TCP connection: its descriptor
(unix(7), SCM_RIGHTS) and the request as it was read. The other one answers, and keeps the TCP connection; nothing is
copied to and fro afterwards, and no proxy needs to know about sessions.
"""

import asyncio
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from server.websocket import TakenOver, is_between_requests, take_over
from storage.background import end_tasks

log = structlog.get_logger(__name__)

NUMBER_VARIABLE, DIRECTORY_VARIABLE = "ATRIUM_WORKER", "ATRIUM_WORKERS_DIR"
"""How a supervisor tells a worker its number, and where the sockets of all workers are."""

PATIENCE: Final = 5.0
"""How long handing over may take (seconds)."""
ACCEPT_PAUSE: Final = 0.1
"""Pause after a connection of another worker could not be accepted (seconds)."""
SIZE: Final = 8
"""Bytes of the length before a request."""
CHUNK: Final = 65536
TAKEN: Final = b"1"
"""The answer of a worker that has the connection now."""

_OWNED: Final = re.compile(r"w(\d{1,4})\.")
_NOT_PASSED: Final = frozenset({b"content-length", b"transfer-encoding", b"expect"})
"""Headers about how a body was sent; it goes on whole."""


class Relay:
    """One worker's side of it."""

    def __init__(self, directory: Path, number: int) -> None:
        self.directory = directory
        self.number = number
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def of_worker(cls) -> "Relay | None":
        """The relay of a process that a supervisor has started; None for a single one."""
        number, directory = os.environ.get(NUMBER_VARIABLE), os.environ.get(DIRECTORY_VARIABLE)
        return cls(Path(directory), int(number)) if number and directory else None

    @property
    def prefix(self) -> str:
        """How the ids of this worker's sessions begin."""
        return f"w{self.number}."

    def owner(self, sid: str) -> int | None:
        """The other worker whose session this is, as its id says."""
        found = _OWNED.match(sid)
        number = int(found[1]) if found else self.number
        return None if number == self.number else number

    # Giving.

    async def pass_on(self, request: web.Request, number: int) -> web.StreamResponse | None:
        """Hand a request and its TCP connection to another worker; None where that cannot be done."""
        body = await request.read()
        transport = request.transport
        if transport is None or not is_between_requests(request):
            return None
        # Whoever has the connection next may be answered, and hear the client again, before we know that it was taken.
        transport.pause_reading()
        descriptor = os.dup(transport.get_extra_info("socket").fileno())
        try:
            async with asyncio.timeout(PATIENCE):
                await self._give(number, descriptor, _raw(request, body))
        except (OSError, TimeoutError) as error:
            log.info("relay.failed", worker=number, error=repr(error))
            if not transport.is_closing():
                transport.resume_reading()
            return None
        finally:
            os.close(descriptor)
        take_over(request, asyncio.Protocol()).abort()
        return TakenOver()

    async def _give(self, number: int, descriptor: int, raw: bytes) -> None:
        loop = asyncio.get_running_loop()
        data = len(raw).to_bytes(SIZE, "big") + raw
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.setblocking(False)
            await loop.sock_connect(line, str(self._path(number)))
            sent = socket.send_fds(line, [data[:CHUNK]], [descriptor])
            await loop.sock_sendall(line, data[sent:])
            if await loop.sock_recv(line, 1) != TAKEN:
                raise ConnectionError("the other worker did not take it")

    def _path(self, number: int) -> Path:
        return self.directory / f"worker-{number}.sock"

    # Taking.

    def start(self, serve: Callable[[], asyncio.Protocol]) -> None:
        """Take connections from the other workers; `serve` makes the protocol of each, as for a new one."""
        path = self._path(self.number)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._listener.bind(str(path))
        self._listener.listen(1024)
        self._keep(self._accept(self._listener, serve))

    async def stop(self) -> None:
        if self._listener is None:
            return
        await end_tasks(*self._tasks)
        self._listener.close()
        with suppress(OSError):
            self._path(self.number).unlink(missing_ok=True)

    def _keep(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket, serve: Callable[[], asyncio.Protocol]) -> None:
        while True:
            try:
                line, _ = await asyncio.get_running_loop().sock_accept(listener)
            except OSError as error:  # descriptors or buffers have run out (accept(2)), and may come back
                log.warning("relay.cannot_accept", error=repr(error))
                await asyncio.sleep(ACCEPT_PAUSE)
            else:
                self._keep(self._take(line, serve))

    async def _take(self, line: socket.socket, serve: Callable[[], asyncio.Protocol]) -> None:
        loop = asyncio.get_running_loop()
        descriptors: list[int] = []
        try:
            with line:
                async with asyncio.timeout(PATIENCE):
                    await _readable(line)
                    data, descriptors, _, _ = socket.recv_fds(line, CHUNK, 1)
                    while len(data) < SIZE or len(data) < SIZE + int.from_bytes(data[:SIZE], "big"):
                        more = await loop.sock_recv(line, CHUNK)
                        if not more:
                            raise ConnectionError("the other worker has gone")
                        data += more
                    if not descriptors:
                        raise ConnectionError("no connection came with the request")
                    # Said before anything reads from it: a giver that has gone serves the connection itself.
                    await loop.sock_sendall(line, TAKEN)
                    connection = socket.socket(fileno=descriptors.pop())
                    _, protocol = await loop.connect_accepted_socket(serve, connection)
            protocol.data_received(data[SIZE:])
        except (OSError, TimeoutError) as error:
            log.warning("relay.not_taken", error=repr(error))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


async def _readable(line: socket.socket) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(line, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(line)


def _raw(request: web.Request, body: bytes) -> bytes:
    """A request as it could have come, with its body in one piece."""
    lines = [b"%b %b HTTP/1.1" % (request.method.encode(), request.raw_path.encode())]
    lines += [b"%b: %b" % header for header in request.raw_headers if header[0].lower() not in _NOT_PASSED]
    if body or request.method == "POST":
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body

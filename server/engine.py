"""Engine.IO by subclassing: handshake, polling and upgrade are the library's; the socket is ours.

Over WebSocket everything that leaves, events and acks and heartbeats alike, is written straight to the
transport, so there is one order and no writer task. The library's queue serves polling clients, and holds
what is sent while an upgrade is under way. Heartbeats are timers, not tasks. A compressor is never kept:
the stock driver negotiates deflate with every browser, which costs 91 KB a connection.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

import engineio
import structlog
from aiohttp import web
from engineio import async_socket, exceptions, packet

from handlers.errors import RateLimited
from server import fanout
from server.frames import BINARY, JsonCodec, frame
from server.heartbeat import Beat, Pauses, cancel
from server.origin import origin_of
from server.relay import Relay
from server.websocket import NORMAL, TakenOver, WebSocket, accept
from storage.settings import Settings

log = structlog.get_logger(__name__)

UPGRADE_POLL = 0.1
"""How long a poll waits for something to send while a probe is under way (seconds)."""

OVERSIZE = 8
"""A WebSocket message larger than the largest payload, up to so many times, is read and refused with an error;
one that is larger still ends the connection (RFC 6455, close code 1009)."""

MOST_PACKETS = 1000
"""Packets in one POST of a polling client at most (count)."""

PACKETS_PER_TURN = 32
"""Packets of one POST taken in before other connections have their turn (count)."""

UPGRADE_PATIENCE = 10.0
"""A WebSocket that was opened for an upgrade must show its probe within this time (seconds)."""

CLOSE_PATIENCE = 3.0
"""A closed connection whose client takes no more bytes is cut off after this time (seconds)."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class PacketHandler(Protocol):
    """Who gets what clients send: the gateway."""

    def admit(self, address: str) -> None:
        """Raises RateLimited where an address begins too many connections."""

    def opened(self, socket: "EngineSocket") -> None: ...

    def received(self, socket: "EngineSocket", data: str | bytes) -> None: ...

    def too_large(self, socket: "EngineSocket", data: str | bytes) -> None: ...

    def closed(self, socket: "EngineSocket", reason: str) -> None: ...


class Engine(engineio.AsyncServer):  # type: ignore[misc]  # engineio ships no types
    """One Engine.IO endpoint; there is one for JSON and one for msgpack clients."""

    def __init__(self, settings: Settings, codec: JsonCodec, handler: PacketHandler) -> None:
        super().__init__(
            async_mode="aiohttp",
            ping_interval=settings.ping_interval,
            ping_timeout=settings.ping_timeout,
            max_http_buffer_size=settings.max_payload,
            cors_allowed_origins=lambda origin, environ: origin_allowed(
                settings, origin, environ.get("HTTP_HOST", "")
            ),
            monitor_clients=False,
            logger=logging.getLogger("atrium.engine"),
        )
        self.settings = settings
        self.codec = codec
        self.handler = handler
        self.until_ping = Pauses(settings.ping_interval)
        self.until_lost = Pauses(settings.ping_timeout)
        self.leaving: set[EngineSocket] = set()
        """Those that were told goodbye and whose clients have not gone yet."""
        self.relay: Relay | None = None
        """To the other workers behind the same port, where there are any."""

    def generate_id(self) -> str:
        return (self.relay.prefix if self.relay else "") + str(super().generate_id())

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, or have the worker do it that has the connection it is about."""
        if self.relay is not None and request.method in ("GET", "POST"):
            owner = self.relay.owner(request.query.get("sid", ""))
            if owner is not None and (passed := await self.relay.pass_on(request, owner)) is not None:
                return passed
        answer: web.StreamResponse = await super().handle_request(request)
        return answer

    async def _handle_connect(
        self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None
    ) -> Any:
        sid = self.generate_id()
        socket = EngineSocket(self, sid, environ["aiohttp.request"])
        try:
            self.handler.admit(socket.origin.address)
        except RateLimited as error:
            return _too_many(error)
        self.sockets[sid] = socket
        opening = packet.Packet(packet.OPEN, {
            "sid": sid,
            "upgrades": self._upgrades(sid, transport),
            "pingTimeout": int(self.ping_timeout * 1000),
            "pingInterval": int(self.ping_interval * 1000),
            "maxPayload": self.max_http_buffer_size,
        })  # fmt: skip
        await socket.send(opening)
        self.handler.opened(socket)
        socket.schedule_ping()
        if transport == "websocket":
            return await socket.handle_get_request(environ)
        socket.connected = True
        return self._ok(await socket.poll(), jsonp_index=jsonp_index)


class EngineSocket(async_socket.AsyncSocket):  # type: ignore[misc]
    """One client's connection. `transport` is set while frames may be written to it directly."""

    connected: bool
    closed: bool
    upgraded: bool
    upgrading: bool
    queue: Any
    """What waits for a poll; None once a WebSocket is the way out."""

    def __init__(self, server: Engine, sid: str, request: web.Request) -> None:
        super().__init__(server, sid)
        self.codec = server.codec
        self.origin = origin_of(request, server.settings)
        self.transport: asyncio.Transport | None = None
        self.descriptor = -1
        self.held_bytes = 0
        self.connection: Any = None
        self._websocket: WebSocket | None = None
        self._beat: Beat | None = None
        self._pinged = False
        self._held_up = False
        """Whether reading has rested since the last heartbeat: its answer may be among what is not read yet."""
        self._room: asyncio.Event | None = None

    # What leaves.

    def push(self, socketio_packet: bytes) -> None:
        """Send one Socket.IO packet, after everything sent before it."""
        if self.transport is not None:
            self.write(self.codec.frames((socketio_packet,)))
        elif not self.closed:
            self.hold(socketio_packet)

    def write(self, frames: bytes) -> None:
        """Write ready frames; what is sent to a client that is gone is lost."""
        fanout.write(self, frames)

    def hold(self, socketio_packet: bytes) -> None:
        """Queue one packet for the next poll, or for the end of an upgrade."""
        self.held_bytes += len(socketio_packet)
        self.queue.put_nowait(packet.Packet(packet.MESSAGE, self.codec.payload(socketio_packet)))

    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""
        if self.transport is not None:
            return 0 if self.transport.is_closing() else self.transport.get_write_buffer_size()
        return self.held_bytes

    async def send(self, pkt: packet.Packet) -> None:
        """What the library sends by itself: the opening packet, heartbeats, no-ops, goodbyes."""
        self._send_engine_packet(pkt)

    def _send_engine_packet(self, pkt: packet.Packet) -> None:
        if self.transport is None:
            if self.queue is not None:
                self.queue.put_nowait(pkt)
            return
        encoded = pkt.encode()
        self.write(frame(encoded, BINARY) if isinstance(encoded, bytes) else frame(encoded.encode()))

    async def poll(self) -> list[packet.Packet]:
        packets: list[packet.Packet] = await super().poll()
        self.held_bytes = 0
        return packets

    # What arrives.

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        length = int(environ.get("CONTENT_LENGTH", "0"))
        if length > self.server.max_http_buffer_size * (OVERSIZE if self.connection else 1):
            raise exceptions.ContentTooLongError
        content = environ["aiohttp.request"].content  # request.read() would refuse what we want to answer
        try:
            body = (await content.readexactly(length)).decode("utf-8", "replace")
        except asyncio.IncompleteReadError:
            return
        packets = body.split("\x1e", MOST_PACKETS)
        if len(packets) > MOST_PACKETS:
            raise exceptions.ContentTooLongError
        for number, encoded in enumerate(packets, 1):
            if self.closed:  # meanwhile, or by one of these packets
                return
            self._receive(encoded)
            while self._is_full():
                if self._room is None:
                    self._room = asyncio.Event()
                self._held_up = True
                await self._room.wait()
            if number % PACKETS_PER_TURN == 0:
                await asyncio.sleep(0)

    def arrived(self, message: str | bytes) -> None:
        """One message of the WebSocket."""
        if self.transport is None:
            self._probe(message)
        elif not self.closed:
            self._receive(message)
            if self._is_full() and self._websocket is not None:
                self._held_up = True
                self._websocket.hold()

    def _is_full(self) -> bool:
        return self.connection is not None and self.connection.is_full

    def go_on(self) -> None:
        """There is room again for what the client sends."""
        if self._websocket is not None:
            self._websocket.go_on()
        if self._room is not None:
            self._room.set()
            self._room = None

    def _receive(self, data: str | bytes) -> None:
        """One Engine.IO packet; whatever is in it, the connection survives."""
        if len(data) > self.server.max_http_buffer_size:
            self._too_large(data)
        elif isinstance(data, bytes):
            self._hand_over(data)
        elif data[:1] == "4":
            self._hand_over(data[1:])
        elif data[:1] == "3":
            if self._pinged:
                self.schedule_ping()
        elif data[:1] == "b":
            self._receive_base64(data)
        elif data[:1] == "1":
            self.end(self.server.reason.CLIENT_DISCONNECT, abort=True)

    def _too_large(self, data: str | bytes) -> None:
        if isinstance(data, str) and data[:1] == "b":
            with contextlib.suppress(ValueError):
                data = packet.Packet(encoded_packet=data).data
        self.server.handler.too_large(self, data)

    def _receive_base64(self, data: str) -> None:
        try:
            decoded = packet.Packet(encoded_packet=data)
        except ValueError:
            return  # not base64: nothing that could be answered
        self._hand_over(decoded.data)

    def _hand_over(self, data: str | bytes) -> None:
        try:
            self.server.handler.received(self, data)
        except Exception:
            log.exception("engine.packet_failed", sid=self.sid)

    async def _upgrade_websocket(self, environ: dict[str, Any]) -> web.StreamResponse:
        """Take the connection over: as the way out at once for a new client, after the probe for an upgrade."""
        if self._websocket is not None:
            return web.Response(status=400, text="The connection has a WebSocket already")
        limit = OVERSIZE * self.server.max_http_buffer_size
        accepted = accept(environ["aiohttp.request"], self, limit)
        if not isinstance(accepted, WebSocket):
            if not self.connected:
                self.end(self.server.reason.TRANSPORT_ERROR, abort=True)
            return accepted
        self._websocket = accepted
        if self.connected:
            asyncio.get_running_loop().call_later(UPGRADE_PATIENCE, self._give_up_probe, accepted)
        else:
            self._begin(accepted)
        return TakenOver()

    def _begin(self, websocket: WebSocket) -> None:
        """Make the WebSocket the way out. From here on nothing is queued: the queue goes."""
        self.connected = self.upgraded = True
        self.upgrading = False
        self.transport = websocket.transport
        self.descriptor = websocket.transport.get_extra_info("socket").fileno()
        while not self.queue.empty():
            held = self.queue.get_nowait()
            if held is not None and held.packet_type != packet.NOOP:
                self._send_engine_packet(held)
        self.queue = None
        self.held_bytes = 0

    def _probe(self, message: str | bytes) -> None:
        """The handshake of an upgrade. Polling goes on as before until the probe has come, and if it never does."""
        websocket = self._websocket
        if websocket is None or self.closed:
            return
        if message == "2probe" and not self.upgrading:
            self.upgrading = True
            websocket.send_text("3probe")
            self.queue.put_nowait(packet.Packet(packet.NOOP))  # ends the poll that is under way
        elif message == "5" and self.upgrading:
            self._begin(websocket)
        else:
            self._give_up_probe(websocket)

    def _give_up_probe(self, websocket: WebSocket) -> None:
        if self.transport is None and self._websocket is websocket:
            self._websocket, self.upgrading = None, False
            websocket.close()
            asyncio.get_running_loop().call_later(CLOSE_PATIENCE, websocket.transport.abort)

    def lost(self) -> None:
        """The WebSocket has gone: with it the connection, unless it was only being tried."""
        self.server.leaving.discard(self)
        if self.transport is None and self.connected:
            self._websocket, self.upgrading = None, False
        else:
            self.end(self.server.reason.TRANSPORT_CLOSE, abort=True)

    async def handle_get_request(self, environ: dict[str, Any]) -> Any:
        """While a probe is under way polling goes on, in short polls: the WebSocket may never carry anything."""
        if not self.upgrading or environ.get("HTTP_UPGRADE"):
            return await super().handle_get_request(environ)
        if self.queue.empty():
            await asyncio.sleep(UPGRADE_POLL)
        if self.upgraded or self.queue.empty():
            return [packet.Packet(packet.NOOP)]
        return await self.poll()

    # Heartbeat and end.

    def schedule_ping(self) -> None:
        """Called at the start and on every pong: the next ping is due after the interval."""
        self._pinged = False
        self._wait(self.server.until_ping, self._ping)

    def _ping(self) -> None:
        self._pinged = True
        self._held_up = self._is_full()
        self._send_engine_packet(packet.Packet(packet.PING))
        self._wait(self.server.until_lost, self._lost)

    def _lost(self) -> None:
        if self._held_up:
            self._held_up = self._is_full()
            self._wait(self.server.until_lost, self._lost)
            return
        if self.transport is not None:
            self.transport.abort()
        self.end(self.server.reason.PING_TIMEOUT, abort=True)

    def _wait(self, pauses: Pauses, callback: Callable[[], None]) -> None:
        cancel(self._beat)
        self._beat = None if self.closed else pauses.begin(callback)

    async def check_ping_timeout(self) -> bool:
        """The heartbeat sees to that."""
        return not self.closed

    async def close(
        self, wait: bool = True, abort: bool = False, reason: str | None = None, code: int = NORMAL
    ) -> None:
        """As the library calls it; there is nothing to wait for."""
        self.end(reason or self.server.reason.SERVER_DISCONNECT, abort=abort, code=code)

    def end(self, reason: str, *, abort: bool = False, code: int = NORMAL) -> None:
        """End the connection: with a goodbye, unless the client has said its own or is gone (`abort`)."""
        if self.closed:
            return
        self.closing = self.closed = True
        cancel(self._beat)
        self.server.handler.closed(self, reason)
        if not abort:
            self._send_engine_packet(packet.Packet(packet.CLOSE))
        self.transport = None
        fanout.changed()
        self.server.sockets.pop(self.sid, None)
        if self.queue is not None:
            self.queue.put_nowait(None)
        if self._websocket is not None:
            if not self._websocket.over:
                self.server.leaving.add(self)
            self._websocket.close(code)
            asyncio.get_running_loop().call_later(CLOSE_PATIENCE, self._websocket.transport.abort)
        self.go_on()


def _too_many(error: RateLimited) -> dict[str, Any]:
    """An answer to a handshake, before there is a connection. Stock clients try again, later each time."""
    wait = str(max(1, math.ceil(error.retry_after or 0)))
    headers = [("Content-Type", "text/plain"), ("Retry-After", wait)]
    return {"status": "429 TOO MANY REQUESTS", "headers": headers, "response": error.message.encode()}


def origin_allowed(settings: Settings, origin: str | None, host: str) -> bool:
    """An explicit list; without one, in development, a page that this server itself serves on loopback.

    Comparing Origin with Host alone would let a rebound name in (OWASP ASVS 5, 4.4.2), so both must be loopback.
    """
    if not origin:
        return True
    if settings.allowed_origins:
        return origin in settings.allowed_origins
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.hostname in LOOPBACK and parts.netloc == host

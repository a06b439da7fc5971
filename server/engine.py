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
import sys
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

import engineio
import structlog
from aiohttp import WSMsgType, web
from engineio import async_socket, exceptions, packet

from handlers.errors import RateLimited
from server.fanout import fan_out
from server.frames import BINARY, JsonCodec, frame
from server.origin import origin_of
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

    def keep(self, task: asyncio.Future[Any]) -> None: ...


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

    def __init__(self, server: Engine, sid: str, request: web.Request) -> None:
        super().__init__(server, sid)
        self.codec = server.codec
        self.origin = origin_of(request, server.settings)
        self.transport: asyncio.Transport | None = None
        self.descriptor = -1
        self.held_bytes = 0
        self.connection: Any = None
        self.has_room: Callable[[], Any] | None = None
        self._ws: web.WebSocketResponse | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pinged = False

    # What leaves.

    def push(self, socketio_packet: bytes) -> None:
        """Send one Socket.IO packet, after everything sent before it."""
        if self.transport is not None:
            self.write(self.codec.frames((socketio_packet,)))
        elif not self.closed:
            self.hold(socketio_packet)

    def write(self, frames: bytes) -> None:
        """Write ready frames; what is sent to a client that is gone is lost."""
        fan_out((self,), frames, sys.maxsize)

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
            await self._receive(encoded)
            if number % PACKETS_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _receive(self, data: str | bytes) -> None:
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
            await self.close(wait=False, abort=True, reason=self.server.reason.CLIENT_DISCONNECT)
        if self.has_room is not None:
            await self.has_room()

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

    async def _upgrade_websocket(self, environ: dict[str, Any]) -> Any:
        if self._ws is not None:
            return web.Response(status=400, text="The connection has a WebSocket already")
        request: web.Request = environ["aiohttp.request"]
        ws = web.WebSocketResponse(
            max_msg_size=OVERSIZE * self.server.max_http_buffer_size, compress=False, timeout=2.0
        )
        await ws.prepare(request)
        self._ws = ws
        try:
            if await self._begin(ws, request.transport):
                await self._read(ws)
        finally:
            if self.transport is None:
                self._ws, self.upgrading = None, False
            if self.transport is not None or not self.connected:
                await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_CLOSE)
        return ws

    async def _begin(self, ws: web.WebSocketResponse, transport: asyncio.BaseTransport | None) -> bool:
        """Make the WebSocket the way out: at once for a new connection, after the probe for an upgrade."""
        if self.connected and not await self._probe(ws):
            self.upgrading = False
            self._ws = None
            return False
        self.connected = self.upgraded = True
        self.upgrading = False
        if transport is None:
            return False
        if transport.get_extra_info("sslcontext") is not None:
            raise RuntimeError("TLS ends at the proxy: frames are written to the descriptor as they are")
        self.descriptor = transport.get_extra_info("socket").fileno()
        self.transport = transport  # type: ignore[assignment]  # aiohttp's is a writable one
        while not self.queue.empty():
            held = self.queue.get_nowait()
            if held is not None and held.packet_type != packet.NOOP:
                self._send_engine_packet(held)
        self.held_bytes = 0
        return True

    async def _probe(self, ws: web.WebSocketResponse) -> bool:
        """The handshake of an upgrade. Polling goes on as before until the probe has come, and if it never does."""
        try:
            if (await ws.receive(timeout=UPGRADE_PATIENCE)).data != "2probe":
                return False
            self.upgrading = True
            await ws.send_str("3probe")
            self.queue.put_nowait(packet.Packet(packet.NOOP))  # ends the poll that is under way
            return bool((await ws.receive(timeout=UPGRADE_PATIENCE)).data == "5")
        except (TimeoutError, ConnectionError):
            return False

    async def handle_get_request(self, environ: dict[str, Any]) -> Any:
        """While a probe is under way polling goes on, in short polls: the WebSocket may never carry anything."""
        if not self.upgrading or environ.get("HTTP_UPGRADE"):
            return await super().handle_get_request(environ)
        if self.queue.empty():
            await asyncio.sleep(UPGRADE_POLL)
        if self.upgraded or self.queue.empty():
            return [packet.Packet(packet.NOOP)]
        return await self.poll()

    async def _read(self, ws: web.WebSocketResponse) -> None:
        while not self.closed:
            message = await ws.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            await self._receive(message.data)

    # Heartbeat and end.

    def schedule_ping(self) -> None:
        """Called at the start and on every pong: the next ping is due after the interval."""
        self._pinged = False
        self._set_timer(self.server.ping_interval, self._ping)

    def _ping(self) -> None:
        self._pinged = True
        self._send_engine_packet(packet.Packet(packet.PING))
        self._set_timer(self.server.ping_timeout, self._lost)

    def _lost(self) -> None:
        if self.transport is not None:
            self.transport.abort()
        self.server.handler.keep(
            asyncio.ensure_future(self.close(wait=False, abort=True, reason=self.server.reason.PING_TIMEOUT))
        )

    def _set_timer(self, delay: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.closed:
            self._timer = asyncio.get_running_loop().call_later(delay, callback)

    async def check_ping_timeout(self) -> bool:
        """The timers see to that."""
        return not self.closed

    async def close(
        self, wait: bool = True, abort: bool = False, reason: str | None = None, code: int = 1000
    ) -> None:
        if self.closed:
            return
        self.closing = self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.server.handler.closed(self, reason or self.server.reason.SERVER_DISCONNECT)
        if not abort:
            self._send_engine_packet(packet.Packet(packet.CLOSE))
        if self.transport is not None:
            asyncio.get_running_loop().call_later(CLOSE_PATIENCE, self.transport.abort)
        self.transport = None
        self.server.sockets.pop(self.sid, None)
        self.queue.put_nowait(None)
        if self._ws is not None and not self._ws.closed:
            await self._ws.close(code=code)


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

"""The server's side of the WebSocket protocol (RFC 6455) on a connection that aiohttp has accepted.

aiohttp keeps a parser, a request, a response, a queue and two tasks for as long as a WebSocket lives: 13 KiB for
each, and every message wakes a task. Here the handshake ends the request as far as aiohttp is concerned, and what is
left of it is one small object that hands messages over in the turn of the event loop in which they arrive. See
docs/decisions/0023-websockets-without-tasks.md.
"""

import asyncio
import base64
import binascii
from hashlib import sha1
from typing import Final, Protocol

from aiohttp import web

from server.fanout import changed
from server.frames import BINARY, frame

CONTINUATION, CLOSE, PING, PONG = 0x0, 0x8, 0x9, 0xA
FIN, RESERVED, MASKED, LENGTH = 0x80, 0x70, 0x80, 0x7F
CONTROL_LENGTH: Final = 125
"""A control frame's payload is no longer (bytes; RFC 6455, 5.5)."""

NORMAL, PROTOCOL_ERROR, BAD_TEXT, TOO_BIG = 1000, 1002, 1007, 1009
"""Close codes (RFC 6455, 7.4.1)."""

ACCEPT_SUFFIX: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What a handshake's key is hashed with (RFC 6455, 1.3)."""

PONG_LIMIT: Final = 65536
"""Pings of a client that has more than this unsent are not answered (bytes)."""


class Listener(Protocol):
    """Who hears what a client sends."""

    def arrived(self, message: str | bytes) -> None: ...

    def lost(self) -> None:
        """The connection has gone, or is going; said once."""


class WebSocket(asyncio.Protocol):
    """One connection: messages in, as whole as they were sent; out go frames, which anybody may write to
    `transport` directly.
    """

    __slots__ = (
        "_closed",
        "_held",
        "_kind",
        "_limit",
        "_listener",
        "_parts",
        "_rest",
        "_size",
        "over",
        "transport"
    )  # fmt: skip

    def __init__(self, transport: asyncio.Transport, listener: Listener, limit: int) -> None:
        """A message longer than `limit` bytes ends the connection."""
        self.transport = transport
        self._listener = listener
        self._limit = limit
        self._rest: bytearray | None = None
        """The beginning of a frame, or what arrived while reading was held."""
        self._kind = 0
        """The opcode of a message that comes in pieces; 0 between messages."""
        self._parts: list[bytes] | None = None
        self._size = 0
        self._held = False
        self.over = False
        """The client has closed the connection, or lost it: nothing that comes from it counts any more."""
        self._closed = False
        """Our own close frame has been sent."""

    # The transport's side.

    def data_received(self, data: bytes) -> None:
        if self.over:
            return
        if self._rest is None:
            taken = 0 if self._held else self._parse(data)
            if taken < len(data) and not self.over:
                self._rest = bytearray(data[taken:])
            return
        self._rest += data
        self._parse_rest()

    def eof_received(self) -> None:
        """The transport closes itself then."""

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over:
            self._end()

    # Ours.

    def hold(self) -> None:
        """Take nothing in until `go_on`: TCP slows the client down."""
        if not self._held and not self.over:
            self._held = True
            self.transport.pause_reading()

    def go_on(self) -> None:
        if self._held and not self.over:
            self._held = False
            self.transport.resume_reading()
            if self._rest is not None:
                self._parse_rest()

    def send_text(self, text: str) -> None:
        self._write(frame(text.encode()))

    def close(self, code: int = NORMAL) -> None:
        """Begin to close; the client's answer, or its absence for too long, ends the connection."""
        if not self._closed and not self.transport.is_closing():
            self._closed = True
            self._write(frame(code.to_bytes(2, "big"), FIN | CLOSE))
        self.go_on()

    def _write(self, frames: bytes) -> None:
        """By way of the transport, which writes at the end of the turn: until then nobody may write past it."""
        self.transport.write(frames)
        changed()

    # Parsing (RFC 6455, 5.2).

    def _parse_rest(self) -> None:
        rest = self._rest
        assert rest is not None
        if self._held:
            return
        self._rest = None
        taken = self._parse(rest)
        if taken < len(rest) and not self.over:
            del rest[:taken]
            self._rest = rest

    def _parse(self, data: bytes | bytearray) -> int:
        """Take whole frames from the beginning; returns how many bytes they had."""
        at, end = 0, len(data)
        while end - at >= 2 and not self._held and not self.over:
            first, length, start = data[at], data[at + 1], at + 6
            if first & RESERVED or not length & MASKED:
                self._fail(PROTOCOL_ERROR)
                break
            length &= LENGTH
            if first & CLOSE and (length > CONTROL_LENGTH or not first & FIN):
                self._fail(PROTOCOL_ERROR)
                break
            if length > CONTROL_LENGTH:
                start += 2 if length == 126 else 8
                if end < start:
                    break
                length = int.from_bytes(data[at + 2 : start - 4], "big")
            if self._size + length > self._limit:
                self._fail(TOO_BIG)
                break
            if end < start + length:
                break
            at = start + length
            self._take(first & FIN, first & 0xF, _unmasked(data[start - 4 : start], data[start:at]))
        return at

    def _take(self, final: int, opcode: int, payload: bytes) -> None:
        if opcode & CLOSE:
            self._control(opcode, payload)
        elif (opcode == CONTINUATION) != (self._kind != 0) or opcode > 2:
            self._fail(PROTOCOL_ERROR)
        elif final and self._parts is None:
            self._handover(opcode, payload)
        else:
            if self._parts is None:
                self._kind, self._parts = opcode, []
            self._parts.append(payload)
            self._size += len(payload) + 1  # so that endless empty pieces come to an end as well
            if final:
                kind, whole = self._kind, b"".join(self._parts)
                self._kind, self._parts, self._size = 0, None, 0
                self._handover(kind, whole)

    def _handover(self, kind: int, payload: bytes) -> None:
        if kind == BINARY & 0xF:
            self._listener.arrived(payload)
            return
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            self._fail(BAD_TEXT)
            return
        self._listener.arrived(text)

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            if self.transport.get_write_buffer_size() <= PONG_LIMIT:
                self._write(frame(payload, FIN | PONG))
        elif opcode == CLOSE:
            self._fail(_answer_to_close(payload))
        elif opcode != PONG:
            self._fail(PROTOCOL_ERROR)

    def _fail(self, code: int | None) -> None:
        """Send the last frame, where it was not sent yet, and close. None stands for a frame without a code."""
        if not self._closed and not self.transport.is_closing():
            self._closed = True
            said = b"" if code is None else code.to_bytes(2, "big")
            self._write(frame(said, FIN | CLOSE))
        self.transport.close()
        self._end()

    def _end(self) -> None:
        self.over = True
        changed()
        self._rest = self._parts = None
        self._listener.lost()


class TakenOver(web.StreamResponse):
    """The answer of a request whose connection is no longer aiohttp's: there is nothing left to send."""

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


def is_between_requests(request: web.Request) -> bool:
    """Whether a connection is open, and nothing has come on it behind this request that somebody else would answer."""
    protocol, transport = request.protocol, request.transport
    waiting = protocol._messages or protocol._message_tail  # noqa: SLF001  # no public way
    return transport is not None and not transport.is_closing() and not waiting


def take_over(request: web.Request, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
    """Make a connection this protocol's, and have aiohttp forget it; answer the request with TakenOver."""
    former, transport = request.protocol, request.transport
    assert transport is not None
    transport.set_protocol(protocol)
    former.transport = None  # or it would be closed by what comes next
    former.connection_lost(None)
    return transport


def accept(request: web.Request, listener: Listener, limit: int) -> WebSocket | web.Response:
    """Answer a handshake and take the connection over; or the refusal of what is none."""
    key = request.headers.get("Sec-WebSocket-Key", "")
    transport = request.transport
    if transport is None or transport.is_closing():
        return web.Response(status=400, text="The connection has gone")
    if request.headers.get("Sec-WebSocket-Version") != "13":
        headers = {"Sec-WebSocket-Version": "13"}
        return web.Response(status=426, text="The WebSocket protocol has version 13", headers=headers)
    if not _is_key(key) or not is_between_requests(request):  # frames may not come before they are asked for
        return web.Response(status=400, text="This is no WebSocket handshake")
    if transport.get_extra_info("sslcontext") is not None:
        raise RuntimeError("TLS ends at the proxy: frames are written to the descriptor as they are")
    answer = base64.b64encode(sha1(key.encode() + ACCEPT_SUFFIX, usedforsecurity=False).digest())
    websocket = WebSocket(transport, listener, limit)
    take_over(request, websocket)
    transport.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % answer
    )
    return websocket


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _answer_to_close(payload: bytes) -> int | None:
    """The code of the client's own close frame, or of what is wrong with it (RFC 6455, 5.5.1)."""
    if not payload:
        return None
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not _may_be_sent(code):
        return PROTOCOL_ERROR
    return code if _is_text(payload[2:]) else BAD_TEXT


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _may_be_sent(code: int) -> bool:
    """Whether a code may stand in a close frame (RFC 6455, 7.4)."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


def _unmasked(mask: bytes | bytearray, data: bytes | bytearray) -> bytes:
    """All bytes at once, as two long numbers (RFC 6455, 5.3)."""
    length = len(data)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(length, "little")

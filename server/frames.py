"""Bytes on the wire: Engine.IO packets in WebSocket frames, in both formats that clients speak.

A server's frame is not masked (RFC 6455, 5.1), so the same bytes serve every member of a room.
"""

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgpack
import orjson

from storage.rooms import timestamp

TEXT: Final = 0x81
BINARY: Final = 0x82


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One whole, unmasked WebSocket frame (RFC 6455, 5.2)."""
    length = len(payload)
    if length < 126:
        return bytes((opcode, length)) + payload
    if length < 65536:
        return bytes((opcode, 126)) + length.to_bytes(2, "big") + payload
    return bytes((opcode, 127)) + length.to_bytes(8, "big") + payload


class JsonCodec:
    """`42["task.moved",{…}]`: Socket.IO packets as text, for the stock parser."""

    name = "json"

    def frames(self, packets: Iterable[bytes]) -> bytes:
        """Ready frames of some packets, joined."""
        return b"".join([frame(b"4" + packet) for packet in packets])

    def payload(self, packet: bytes) -> str | bytes:
        """The packet as Engine.IO's queue for polling clients wants it."""
        return packet.decode()

    def event(self, name: str, data: bytes) -> bytes:
        return b'2["%b",%b]' % (name.encode(), data)

    def ack(self, ack_id: int, envelope: bytes) -> bytes:
        return b"3%d[%b]" % (ack_id, envelope)

    def connected(self, sid: str) -> bytes:
        return b'0{"sid":"%b"}' % sid.encode()

    def refused(self, error: dict[str, Any], namespace: str = "/") -> bytes:
        prefix = b"" if namespace == "/" else namespace.encode() + b","
        return b"4" + prefix + orjson.dumps(error, default=str)

    def disconnect(self) -> bytes:
        return b"1"


class MsgpackCodec(JsonCodec):
    """The same as binary messages, for `socket.io-msgpack-parser`; packets are made as JSON and converted."""

    name = "msgpack"

    def frames(self, packets: Iterable[bytes]) -> bytes:
        return b"".join([frame(self.payload(packet), BINARY) for packet in packets])

    def payload(self, packet: bytes) -> bytes:
        kind, rest = packet[:1], packet[1:]
        start = next((at for at, char in enumerate(rest) if not 48 <= char <= 57), len(rest))
        message: dict[str, Any] = {"type": int(kind), "nsp": "/"}
        if start:
            message["id"] = int(rest[:start])
        body = rest[start:]
        if body.startswith(b"/"):
            namespace, _, body = body.partition(b",")
            message["nsp"] = namespace.decode()
        if body:
            message["data"] = orjson.loads(body)
        packed: bytes = msgpack.packb(message)
        return packed


JSON: Final = JsonCodec()
MSGPACK: Final = MsgpackCodec()

_UNDEFINED: Final = object()


def unpack(data: bytes) -> Any:
    """A packet of the stock msgpack parser, with what JSON would have made of it: a field that is undefined is
    left out, and a date is text. Its encoder writes both as extension 0, of one byte and of eight.
    """
    return msgpack.unpackb(
        data,
        strict_map_key=False,
        ext_hook=_extension,
        object_hook=lambda entries: {key: value for key, value in entries.items() if value is not _UNDEFINED},
        list_hook=lambda items: [None if item is _UNDEFINED else item for item in items],
    )


def _extension(code: int, data: bytes) -> object:
    if code == 0 and data == b"\x00":
        return _UNDEFINED
    if code == 0 and len(data) == 8:
        milliseconds = int.from_bytes(data, "big", signed=True)
        with contextlib.suppress(OverflowError):
            return timestamp(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds))
    return msgpack.ExtType(code, data)


def holds_bytes(value: object) -> bool:
    """Whether something that came as msgpack holds what JSON has no form for."""
    if isinstance(value, (bytes, msgpack.ExtType, msgpack.Timestamp)):
        return True
    if isinstance(value, dict):
        return any(holds_bytes(key) or holds_bytes(item) for key, item in value.items())
    return isinstance(value, list) and any(map(holds_bytes, value))

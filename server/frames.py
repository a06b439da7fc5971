"""Bytes on the wire: Engine.IO packets in WebSocket frames, in both formats that clients speak.

A server's frame is not masked (RFC 6455, 5.1), so the same bytes serve every member of a room.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgpack
import orjson

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

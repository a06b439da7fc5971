"""Bytes on the wire, against decoders that are not ours: aiohttp's frames, Socket.IO's packets, msgpack."""

import string
import struct
from typing import Any

import msgpack
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from socketio.msgpack_packet import MsgPackPacket
from socketio.packet import Packet

from server.frames import BINARY, JSON, MSGPACK, TEXT, frame

names = st.from_regex(r"[a-z]{1,10}\.[a-z_]{1,10}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip
objects = st.dictionaries(st.text(), values, max_size=4)
quickly = settings(derandomize=True, deadline=None, max_examples=60)


def unframe(data: bytes) -> list[tuple[int, bytes]]:
    """RFC 6455, 5.2, written from the text: (first byte, payload) of each frame."""
    found = []
    at = 0
    while at < len(data):
        first, second = data[at], data[at + 1]
        assert second < 128, "a server's frame is not masked"
        at += 2
        length = second
        if second == 126:
            (length,) = struct.unpack_from(">H", data, at)
            at += 2
            assert length > 125, "the shortest length is used"
        elif second == 127:
            (length,) = struct.unpack_from(">Q", data, at)
            at += 8
            assert length > 65535
        found.append((first, data[at : at + length]))
        assert len(found[-1][1]) == length
        at += length
    return found


@given(st.integers(0, 70_000) | st.sampled_from([0, 125, 126, 65535, 65536]), st.sampled_from([TEXT, BINARY]))
@quickly
def test_a_frame_of_any_length(length: int, opcode: int) -> None:
    payload = b"x" * length
    assert unframe(frame(payload, opcode)) == [(opcode, payload)]


def _stock(text: str) -> Any:
    return Packet(encoded_packet=text)


@given(st.lists(st.tuples(names, objects), min_size=1, max_size=5))
@quickly
def test_events_as_a_stock_parser_reads_them(events: list[tuple[str, Any]]) -> None:
    packets = [JSON.event(name, orjson.dumps(data)) for name, data in events]
    text = unframe(JSON.frames(packets))
    assert [opcode for opcode, _ in text] == [TEXT] * len(events)
    for (name, data), (_, payload) in zip(events, text, strict=True):
        assert payload[:1] == b"4"
        packet = _stock(payload[1:].decode())
        assert (packet.packet_type, packet.namespace or "/", packet.id) == (2, "/", None)
        assert packet.data == [name, data]
    binary = unframe(MSGPACK.frames(packets))
    assert [opcode for opcode, _ in binary] == [BINARY] * len(events)
    for (name, data), (_, payload) in zip(events, binary, strict=True):
        packed = MsgPackPacket(encoded_packet=payload)
        assert (packed.packet_type, packed.namespace, packed.data) == (2, "/", [name, data])


@given(st.integers(0, 10**10 - 1), objects)
@quickly
def test_acks_as_a_stock_parser_reads_them(ack_id: int, envelope: Any) -> None:
    packet = JSON.ack(ack_id, orjson.dumps(envelope))
    read = _stock(packet.decode())
    assert (read.packet_type, read.id, read.data) == (3, ack_id, [envelope])
    packed = MsgPackPacket(encoded_packet=MSGPACK.payload(packet))
    assert (packed.packet_type, packed.id, packed.data) == (3, ack_id, [envelope])


@given(objects, st.text(string.ascii_letters + "/-_", max_size=20))
@quickly
def test_refusals_as_a_stock_parser_reads_them(error: Any, name: str) -> None:
    namespace = f"/{name}"
    packet = JSON.refused(error, namespace)
    read = _stock(packet.decode())
    assert (read.packet_type, read.namespace or "/", read.data) == (4, namespace, error)
    packed = MsgPackPacket(encoded_packet=MSGPACK.payload(packet))
    assert (packed.packet_type, packed.namespace, packed.data) == (4, namespace, error)


def test_the_small_ones() -> None:
    connected = _stock(JSON.connected("abc").decode())
    assert (connected.packet_type, connected.data) == (0, {"sid": "abc"})
    assert _stock(JSON.disconnect().decode()).packet_type == 1
    assert msgpack.unpackb(MSGPACK.payload(JSON.disconnect())) == {"type": 1, "nsp": "/"}

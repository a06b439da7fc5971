"""The server's side of RFC 6455: whatever pieces bytes come in, messages are whole, and what is no frame ends it."""

import asyncio
import base64
import os
from typing import cast

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.heartbeat import Pauses, cancel
from server.websocket import WebSocket
from tests.world import World

LIMIT = 1000
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Line:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = self.paused = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Ear:
    def __init__(self, hold_after: int | None = None) -> None:
        self.line = Line()
        self.websocket = WebSocket(cast(asyncio.Transport, self.line), self, LIMIT)
        self.messages: list[str | bytes] = []
        self.losses = 0
        self._hold_after = hold_after

    def arrived(self, message: str | bytes) -> None:
        self.messages.append(message)
        if len(self.messages) == self._hold_after:
            self.websocket.hold()

    def lost(self) -> None:
        self.losses += 1

    @property
    def close_code(self) -> int | None:
        """The code in the close frame that was sent, which is the last frame."""
        at = self.line.written.rfind(b"\x88")
        return int.from_bytes(self.line.written[at + 2 : at + 4], "big") if at >= 0 else None


def masked(opcode: int, payload: bytes, *, final: bool = True, mask: bytes = b"\x11\x00\xfe\x92") -> bytes:
    length = len(payload)
    if length < 126:
        head = bytes([length | 0x80])
    elif length < 65536:
        head = bytes([126 | 0x80]) + length.to_bytes(2, "big")
    else:
        head = bytes([127 | 0x80]) + length.to_bytes(8, "big")
    body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([opcode | (0x80 if final else 0)]) + head + mask + body


messages = st.lists(st.one_of(st.text(max_size=300), st.binary(max_size=300)), max_size=8)


@given(messages, st.data())
def test_messages_are_whole_however_they_are_cut(sent: list[str | bytes], data: st.DataObject) -> None:
    """Into frames, with pings between the pieces, and into reads of any size."""
    stream = b""
    for message in sent:
        opcode, payload = (TEXT, message.encode()) if isinstance(message, str) else (BINARY, message)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        pieces = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        for number, piece in enumerate(pieces):
            mask = data.draw(st.binary(min_size=4, max_size=4))
            last = number == len(pieces) - 1
            stream += masked(0 if number else opcode, piece, final=last, mask=mask)
            if data.draw(st.booleans()):
                stream += masked(PING, b"?")
    ear = Ear()
    while stream:
        size = data.draw(st.integers(1, max(len(stream), 1)))
        ear.websocket.data_received(stream[:size])
        stream = stream[size:]
    assert ear.messages == sent
    assert ear.losses == 0
    assert not ear.line.is_closing()
    assert set(ear.line.written[0::3] + ear.line.written[1::3]) <= {0x8A, 1}, "nothing but pongs"


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (b"\x81\x02hi", 1002),  # not masked
        (b"\xc1" + masked(TEXT, b"hi")[1:], 1002),  # a reserved bit
        (masked(3, b"hi"), 1002),
        (masked(11, b"hi"), 1002),
        (masked(0, b"hi"), 1002),  # goes on with nothing
        (masked(TEXT, b"a", final=False) + masked(TEXT, b"b"), 1002),
        (masked(PING, b"a", final=False), 1002),
        (masked(PING, b"a" * 126), 1002),
        (masked(TEXT, b"\xff"), 1007),
        (masked(TEXT, b"\xe2\x82", final=False) + masked(0, b"\x28"), 1007),
        (masked(TEXT, b"a" * (LIMIT + 1)), 1009),
        (masked(TEXT, b"a" * 70_000)[:14], 1009),  # before any of it has come
        (masked(TEXT, b"a" * 600, final=False) + masked(0, b"a" * 600), 1009),
        (masked(TEXT, b"", final=False) + masked(0, b"", final=False) * (LIMIT + 1), 1009),
        (b"\x81\xff" + b"\xff" * 12, 1009),
        (masked(CLOSE, b""), None),
        (masked(CLOSE, b"\x03\xe8bye"), 1000),
        (masked(CLOSE, b"\x0f\xa0"), 4000),
        (masked(CLOSE, b"\x03"), 1002),
        (masked(CLOSE, (1005).to_bytes(2, "big")), 1002),
        (masked(CLOSE, (1006).to_bytes(2, "big")), 1002),
        (masked(CLOSE, (2999).to_bytes(2, "big")), 1002),
        (masked(CLOSE, b"\x03\xe8\xff"), 1007),
    ],
)  # fmt: skip
def test_what_is_no_frame_ends_the_connection_with_its_code(stream: bytes, code: int | None) -> None:
    ear = Ear()
    ear.websocket.data_received(stream)
    assert ear.line.closed
    if code is None:
        assert ear.line.written == b"\x88\x00"
    else:
        assert ear.close_code == code
    ear.websocket.data_received(masked(TEXT, b"late"))
    ear.websocket.connection_lost(None)
    assert ear.losses == 1
    assert "late" not in ear.messages


def test_a_ping_is_answered_with_its_own_words() -> None:
    ear = Ear()
    ear.websocket.data_received(masked(PING, b"are you there") + masked(PONG, b"unasked"))
    assert ear.line.written == b"\x8a\x0dare you there"


def test_who_is_held_gets_nothing_until_it_goes_on() -> None:
    ear = Ear(hold_after=2)
    stream = b"".join(masked(TEXT, b"%d" % number) for number in range(6))
    ear.websocket.data_received(stream[:-3])
    assert ear.line.paused
    ear.websocket.data_received(stream[-3:])  # what the transport had read already
    assert ear.messages == ["0", "1"]
    ear.websocket.go_on()
    assert ear.messages == [str(number) for number in range(6)]
    assert not ear.line.paused


def test_a_close_of_ours_waits_for_the_answer() -> None:
    ear = Ear()
    ear.websocket.hold()
    ear.websocket.close(1012)
    ear.websocket.close(1000)
    assert ear.close_code == 1012
    assert not ear.line.paused, "or the answer would not be read"
    assert not ear.line.is_closing()
    ear.websocket.data_received(masked(CLOSE, (1012).to_bytes(2, "big")))
    assert ear.line.closed
    assert ear.losses == 1
    assert ear.line.written.count(b"\x88") == 1


async def _answer(world: World, head: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*world.url.removeprefix("http://").split(":"))
    writer.write(head)
    try:
        return await asyncio.wait_for(reader.read(4096), 5)
    finally:
        writer.close()


def _handshake(**changes: str) -> bytes:
    headers = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **changes,
    }
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(["GET /socket.io/?EIO=4&transport=websocket HTTP/1.1", *lines, "", ""]).encode()


async def test_the_handshake_of_the_specification_has_its_answer(world: World) -> None:
    """The key and its answer are those of RFC 6455, 1.3."""
    answer = await _answer(world, _handshake(**{"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}))
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head.splitlines()
    assert rest == b"" or rest[:1] == b"\x81"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
        ({"Sec-WebSocket-Key": "not base64 at all!"}, 400),
    ],
)
async def test_what_is_no_handshake_is_refused(world: World, changes: dict[str, str], status: int) -> None:
    answer = await _answer(world, _handshake(**changes))
    assert answer.startswith(b"HTTP/1.1 %d " % status)


async def test_who_sends_before_the_handshake_is_answered_is_refused(world: World) -> None:
    """RFC 6455, 4.1: a client waits for the answer."""
    answer = await _answer(world, _handshake() + masked(TEXT, b"40"))
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_an_abandoned_upgrade_leaves_polling_as_it_was(world: World) -> None:
    base = f"{world.url}/socket.io/?EIO=4"
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{base}&transport=polling") as response:
            sid = (await response.text()).partition('"sid":"')[2].partition('"')[0]
        address = f"{base}&sid={sid}"
        for words in (["2probe"], ["nonsense"], ["2probe", "nonsense"]):
            async with http.ws_connect(f"{address}&transport=websocket") as ws:
                for word in words:
                    await ws.send_str(word)
                if words[0] == "2probe":
                    assert (await ws.receive()).data == "3probe"
        async with http.get(f"{address}&transport=polling") as response:
            assert response.status == 200
        async with http.post(f"{address}&transport=polling", data="3") as response:
            assert response.status == 200


async def test_pauses_call_in_order_and_not_what_was_cancelled() -> None:
    pauses, called = Pauses(0.05), list[str]()
    first = pauses.begin(lambda: called.append("first"))

    def second() -> None:
        called.append("second")
        pauses.begin(lambda: called.append("third"))

    pauses.begin(second)
    cancel(first)
    pauses.begin(lambda: called.append("beside"))
    await asyncio.sleep(0.08)
    assert called == ["second", "beside"]
    await asyncio.sleep(0.1)
    assert called == ["second", "beside", "third"]

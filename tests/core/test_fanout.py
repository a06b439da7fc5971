"""Frames to many sockets at once: what each gets, and what happens to those that do not take it."""

import asyncio
import socket
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from server import fanout
from server.fanout import Crowd
from server.ring import BUFFER, Ring, UnavailableError

HARD = 10_000


@dataclass(eq=False)
class Transport:
    """What the fan-out asks of a transport: it keeps what it is given."""

    held: bytes = b""
    closing: bool = False

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return len(self.held)

    def write(self, data: bytes) -> None:
        self.held += data


@dataclass(eq=False)
class Line:
    """One side of a connection on which the fan-out writes, and the other on which the test reads."""

    near: socket.socket
    far: socket.socket
    transport: Any = field(default_factory=Transport)

    @property
    def descriptor(self) -> int:
        return self.near.fileno()

    def reads(self) -> bytes:
        taken = b""
        while True:
            try:
                part = self.far.recv(1 << 20)
            except BlockingIOError:
                return taken
            if not part:
                return taken
            taken += part

    def hang_up(self) -> None:
        self.near.close()
        self.far.close()


def _line() -> Line:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    return Line(near, far)


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    made = [_line() for _ in range(600)]
    yield made
    for line in made:
        line.hang_up()


@pytest.fixture(params=["io_uring", "write"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    fanout.use_ring(request.param == "io_uring")
    if fanout.by_ring() != (request.param == "io_uring"):
        with pytest.raises(UnavailableError):  # the kernel says no, and the server goes on without
            Ring()
    yield request.param
    fanout.use_ring(True)


@pytest.mark.parametrize("count", [1, 3, 5, 64, 511, 512, 513, 600])
def test_everybody_gets_all_of_it_in_order(way: str, lines: list[Line], count: int) -> None:
    for turn in range(7):
        assert fanout.fan_out(lines[:count], b"turn %d of many," % turn, HARD) == []
    expected = b"".join(b"turn %d of many," % turn for turn in range(7))
    assert [line.reads() for line in lines] == [expected] * count + [b""] * (600 - count)


def test_the_memory_shared_with_the_kernel_is_used_round_and_round(way: str, lines: list[Line]) -> None:
    for turn in range(40):
        some = lines[turn : turn + 97]
        fanout.fan_out(some, b"%d" % turn, HARD)
        assert {line.reads() for line in some} == {b"%d" % turn}


def test_crowds_and_lengths_take_turns(way: str, lines: list[Line]) -> None:
    """Each request holds the socket, the place and the length that are its own this time."""
    parts = [lines[:40], lines[20:560], lines[550:]]
    crowds = [Crowd(some) for some in parts]
    for turn, length in enumerate([5, 5, 5, 9, 5, BUFFER, BUFFER + 1, 5, BUFFER + 1, 9, 9]):
        for which in (turn % 3, turn % 2, turn % 2):
            frames = (b"%d," % turn).ljust(length, b".")
            assert crowds[which].write(frames, HARD) == []
            assert {line.reads() for line in parts[which]} == {frames}
            assert sum(len(line.reads()) for line in lines) == 0


def test_what_a_socket_does_not_take_is_its_transports(way: str, lines: list[Line]) -> None:
    some, large = lines[:20], b"x" * 3_000_000
    assert fanout.fan_out(some, large, HARD) == []
    for line in some:
        taken = line.reads()
        assert 0 < len(taken) < len(large)
        assert len(taken) + len(line.transport.held) == len(large)
        line.transport.held = b""
    for line in some[:5]:
        while fanout.fan_out([line], b"y" * 200_000, 10**9) == [] and not line.transport.held:
            pass
        line.transport.held = b""
    assert fanout.fan_out(some, b"next", HARD) == []
    assert [line.transport.held for line in some] == [b"next"] * 5 + [b""] * 15, "five took nothing"


def test_who_has_gone_or_is_slow_troubles_nobody(way: str, lines: list[Line]) -> None:
    some = lines[:30]
    some[3].far.close()
    some[7].transport.closing = True
    some[11].transport.held = b"z" * (HARD + 1)
    some[13].transport.held = b"z"
    some[17].transport = None
    left = fanout.fan_out(some, b"hello", HARD)
    assert left == [some[11], some[17]]
    assert some[13].transport.held == b"zhello"
    well = [line for at, line in enumerate(some) if at not in (3, 7, 11, 13, 17)]
    assert {line.reads() for line in well} == {b"hello"}
    assert some[7].reads() == b""


def test_a_crowd_is_looked_at_anew_when_something_has_changed(way: str, lines: list[Line]) -> None:
    some = lines[:520]
    crowd = fanout.Crowd(some)
    for turn in range(3):
        assert crowd.write(b"%d" % turn, HARD) == []
    assert {line.reads() for line in some} == {b"012"}
    large = b"x" * 3_000_000
    assert crowd.write(large, HARD) == []
    kept = [line.transport.held for line in some]
    assert all(kept), "no socket takes as much at once"
    assert crowd.write(b"y" * HARD, 10**9) == [], "behind what is left"
    assert [line.transport.held for line in some] == [held + b"y" * HARD for held in kept]
    assert crowd.write(b"z", HARD) == some, "now they have too much"
    for line in some:
        line.reads()
        line.transport.held = b""
    assert crowd.write(b"again", HARD) == []
    assert {line.reads() for line in some} == {b"again"}
    some[7].transport = None
    some[9].transport.closing = True
    fanout.changed()
    assert crowd.write(b"hello", HARD) == [some[7]]
    assert [line.reads() for line in some] == [b"" if at in (7, 9) else b"hello" for at in range(520)]


def test_a_closed_descriptor_is_an_error_of_its_own(lines: list[Line]) -> None:
    try:
        ring = Ring()
    except UnavailableError:
        return
    try:
        numbers = [line.descriptor for line in lines[:10]]
        lines[4].near.close()
        odd = ring.send(array("i", numbers), b"hello")
        assert odd == {4: -9}, "EBADF"
        assert [line.reads() for line in lines[:4]] == [b"hello"] * 4
    finally:
        ring.close()


async def test_each_thread_has_a_ring_of_its_own(lines: list[Line]) -> None:
    def elsewhere() -> list[Line]:
        return fanout.fan_out(lines[:100], b"thread", HARD)

    fanout.fan_out(lines[:100], b"loop,", HARD)
    await asyncio.gather(*(asyncio.to_thread(elsewhere) for _ in range(1)))
    assert {line.reads() for line in lines[:100]} == {b"loop,thread"}

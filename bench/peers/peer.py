"""What a server under comparison offers to the load generator."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import msgpack

MOVE: Final = Path(__file__).with_name("move.json")
"""One event and one ack of a card's move as Atrium sends them; peers send the same shape and size."""

NIL: Final = "00000000-0000-0000-0000-000000000000"
"""Stands in a command for the command id, which the load generator fills in."""

Call = Sequence[object]
"""The name of a command and its payload."""


@dataclass(frozen=True)
class Want:
    """What a case asks of a peer: so many rooms with cards to move, or to type in."""

    rooms: int = 1
    signals: bool = False


ONE_ROOM: Final = Want()


@dataclass(frozen=True)
class Script:
    """What members say: one line per packet, used in turn, and the event that all of them count.

    Lines are JSON texts: the auth object, the arguments of the join, the arguments of a command. In msgpack
    they are whole packets in hexadecimal, with room for the ack's number at the end. Join and command l
    belong to room l % rooms.
    """

    auth: Sequence[str]
    join: Sequence[str]
    commands: Sequence[str]
    event: str
    rooms: int = 1
    signals: bool = False
    msgpack: bool = False

    @property
    def path(self) -> str:
        return "/msgpack/socket.io/" if self.msgpack else "/socket.io/"

    @classmethod
    def of(
        cls,
        auth: object,
        rooms: Sequence[str],
        commands: Sequence[Call],
        want: Want,
        *,
        msgpack: bool = False,
    ) -> "Script":
        line = _packed_call if msgpack else _arguments
        return cls(
            auth=[_packed({"type": 0, "nsp": "/", "data": auth}) if msgpack else _text(auth)],
            join=[line(["room.join", {"room": room}]) for room in rooms],
            commands=[line(command) for command in commands],
            event="typing" if want.signals else "task.moved",
            rooms=len(rooms),
            signals=want.signals,
            msgpack=msgpack,
        )


class Peer(Protocol):
    """A server on loopback, started with an empty directory of its own."""

    port: int

    def start(self, directory: Path) -> None:
        """Return when it serves; raise UnavailableError when it cannot."""

    def stop(self) -> None: ...

    def processes(self) -> Mapping[str, Sequence[int]]:
        """Process ids by part; every peer has a part "server"."""

    def script(self, want: Want) -> Script:
        """Rooms, and how to join and move."""

    def rejoins(self, missed: int) -> Sequence[str]:
        """Lines by which members of the first room join again, having missed so many events."""


def move_sample() -> dict[str, Any]:
    sample: dict[str, Any] = json.loads(MOVE.read_text())
    return sample


def echo_script(want: Want, *, msgpack: bool = False) -> Script:
    """Rooms of a peer that stores nothing: a card between two columns, by the sample's ids."""
    event = move_sample()["event"]
    task, was = event["data"]["task"], event["data"]["was"]
    stem = event["room"].removesuffix("a01")
    rooms = [f"{stem}{number:03x}" for number in range(want.rooms)]
    moves = [
        ["task.move", {"room": room, "task_id": task["id"], "column_id": column, "command_id": NIL}]
        for column in (task["column_id"], was["column_id"])
        for room in rooms
    ]
    return Script.of(
        {"token": "none"}, rooms, typings(rooms) if want.signals else moves, want, msgpack=msgpack
    )


def typings(rooms: Sequence[str]) -> list[Call]:
    """Signals that somebody types, told apart by their thread."""
    return [["typing.start", {"room": room, "thread_id": NIL}] for room in rooms]


def rejoin_line(room: str, epoch: str, seq: int) -> str:
    return _arguments(["room.join", {"room": room, "since": {"epoch": epoch, "seq": seq}}])


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _arguments(call: Call) -> str:
    return _text(call)[1:-1]


def _packed(packet: object) -> str:
    packed: bytes = msgpack.packb(packet)
    return packed.hex()


def _packed_call(call: Call) -> str:
    """With the number last, as 32 bits: the load generator writes it there."""
    return _packed({"type": 2, "nsp": "/", "data": call, "id": 2**32 - 1})

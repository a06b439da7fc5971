"""What a server under comparison offers to the load generator."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

MOVE: Final = Path(__file__).with_name("move.json")
"""One event and one ack of a card's move as Atrium sends them; peers send the same shape and size."""

NIL: Final = "00000000-0000-0000-0000-000000000000"
"""Stands in a command for the command id, which the load generator fills in."""


@dataclass(frozen=True)
class Script:
    """What the members of one room say: JSON texts, used in turn, and the event all of them count."""

    auth: Sequence[str]
    join: Sequence[str]
    commands: Sequence[str]
    event: str

    @classmethod
    def of(
        cls, auth: object, join: Sequence[object], commands: Sequence[Sequence[object]], event: str
    ) -> "Script":
        """From the auth object, the arguments of the join, and the arguments of each command."""
        return cls([_text(auth)], [_arguments(join)], [_arguments(command) for command in commands], event)


class Peer(Protocol):
    """A server on loopback, started with an empty directory of its own."""

    port: int

    def start(self, directory: Path) -> None:
        """Return when it serves; raise UnavailableError when it cannot."""

    def stop(self) -> None: ...

    def processes(self) -> Mapping[str, Sequence[int]]:
        """Process ids by part; every peer has a part "server"."""

    def room(self) -> Script:
        """A room with cards to move, and how to join and move."""


def move_sample() -> dict[str, Any]:
    sample: dict[str, Any] = json.loads(MOVE.read_text())
    return sample


def echo_script() -> Script:
    """The room of a peer that stores nothing: twenty cards between two columns, by the sample's ids."""
    event = move_sample()["event"]
    room, task, was = event["room"], event["data"]["task"], event["data"]["was"]
    moves = [
        ["task.move", {"room": room, "task_id": task["id"], "column_id": column, "command_id": NIL}]
        for column in (task["column_id"], was["column_id"])
    ]
    return Script.of({"token": "none"}, ["room.join", {"room": room}], moves, "task.moved")


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _arguments(values: Sequence[object]) -> str:
    return _text(values)[1:-1]

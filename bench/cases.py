"""What is compared. A case is one room on several peers; its shapes run in turn on the same connections."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.load import Shape


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    peers: Sequence[str]
    members: int
    shapes: Sequence[Shape]
    deflate: bool = True
    """Members offer permessage-deflate, as every browser does."""


CASES: Final = [
    Case(
        name="room",
        title="One room, 500 members, card moves: durable on Atrium, echoed from memory by the others",
        peers=("atrium", "node", "floor"),
        members=500,
        shapes=(
            Shape("one at a time", "lockstep"),
            Shape("20 a second", "rate", senders=10, rate=20),
            Shape("10 at once", "closed", senders=10),
            Shape("50 at once", "closed", senders=50),
        ),
    ),
]

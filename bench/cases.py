"""What is compared. A case is a crowd on several peers; its shapes run in turn on the same connections."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from bench.load import Crowd, Shape
from bench.peers.peer import ONE_ROOM, Want

SMALLER: Final = 10
"""Members, senders and rooms of a smoke test are so many times fewer."""
FEWEST: Final = 20


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    peers: Sequence[str]
    crowd: Crowd
    shapes: Sequence[Shape] = ()
    kind: Literal["rounds", "memory", "resume", "herd"] = "rounds"
    """How it is measured: bench/measure.py for rounds of shapes, bench/special.py for the others."""
    want: Want = ONE_ROOM
    missed: int = 0
    """Events that a resuming member has missed."""

    def smaller(self) -> "Case":
        """For a smoke test."""
        crowd = replace(
            self.crowd,
            members=max(self.crowd.members // SMALLER, FEWEST),
            outside=-(-self.crowd.outside // SMALLER),
        )
        senders = crowd.outside or crowd.members
        shapes = [replace(shape, senders=min(shape.senders, senders)) for shape in self.shapes]
        return replace(
            self, crowd=crowd, shapes=shapes, want=replace(self.want, rooms=-(-self.want.rooms // SMALLER))
        )


def _watchers(count: int) -> Case:
    return Case(
        name=f"watch-{count}",
        title=f"One room, {count} watchers; senders of card moves are others",
        peers=("atrium", "node"),
        crowd=Crowd(count, outside=100),
        shapes=tuple(
            Shape(f"{senders} sender{'s' * (senders > 1)}", "closed", senders) for senders in (1, 10, 100)
        ),
    )


CASES: Final = [
    Case(
        name="room",
        title="One room, 500 members, card moves: durable on Atrium, echoed from memory by the others",
        peers=("atrium", "node", "node-redis", "python-socketio", "floor"),
        crowd=Crowd(500),
        shapes=(
            Shape("one at a time", "lockstep"),
            Shape("20 a second", "rate", senders=10, rate=20),
            Shape("10 at once", "closed", senders=10),
            Shape("50 at once", "closed", senders=50),
        ),
    ),
    _watchers(50),
    _watchers(500),
    Case(
        name="rooms",
        title="200 rooms of 10 members, one sender in each",
        peers=("atrium", "node"),
        crowd=Crowd(2000),
        want=Want(rooms=200),
        shapes=(Shape("200 at once", "closed", senders=200),),
    ),
    Case(
        name="workers",
        title="One room, 500 members, spread over one or two processes",
        peers=("atrium", "atrium-2", "node", "node-redis", "node-redis-2"),
        crowd=Crowd(500),
        shapes=(Shape("one at a time", "lockstep"), Shape("50 at once", "closed", senders=50)),
    ),
    Case(
        name="signals",
        title="One room, 100 members who say that they type: not logged",
        peers=("atrium", "node"),
        crowd=Crowd(100),
        want=Want(signals=True),
        shapes=(
            Shape("100 a second", "rate", senders=100, rate=100),
            Shape("100 at once", "closed", senders=100),
        ),
    ),
    Case(
        name="formats",
        title="One room, 500 members with the JSON or the msgpack parser",
        peers=("atrium", "atrium-msgpack", "node", "node-msgpack"),
        crowd=Crowd(500),
        shapes=(Shape("one at a time", "lockstep"), Shape("50 at once", "closed", senders=50)),
    ),
    Case(
        name="polling",
        title="One room, 100 members by long polling",
        peers=("atrium", "node"),
        crowd=Crowd(100, polling=True),
        shapes=(Shape("one at a time", "lockstep"), Shape("10 at once", "closed", senders=10)),
    ),
    Case(
        name="memory",
        title="Memory of 5,000 idle members of one room",
        peers=("atrium", "node"),
        crowd=Crowd(5000),
        kind="memory",
    ),
    Case(
        name="resume",
        title="Joining a room of 20 cards, and after 1,000 missed events",
        peers=("atrium",),
        crowd=Crowd(50),
        kind="resume",
        missed=1000,
    ),
    Case(
        name="herd",
        title="2,000 members lose their connections and return at once",
        peers=("atrium", "node"),
        crowd=Crowd(2000),
        kind="herd",
    ),
]

"""What became of a connection in its rooms: the few facts by which one can say why it heard an event, or did not."""

import time
from dataclasses import dataclass, field
from typing import Final

from storage.rooms import RoomKey

LONGEST: Final = 48
"""Steps kept for one connection (count); the oldest go first."""

Step = tuple[float, RoomKey, str, int, int]
"""When (seconds since 1970), in which room, what, and two numbers of the room: for a join the number after which
events were in its answer (or live), and the number up to which they were; for anything else where the room stood."""

JOINED: Final = ("snapshot", "events", "current")
"""Steps that let events flow: how the join was answered."""


@dataclass(slots=True)
class Trail:
    """The last steps of one connection, in order."""

    steps: list[Step] = field(default_factory=list)
    cut: bool = False
    """Whether older steps have been dropped."""

    def add(self, room: RoomKey, what: str, after: int, upto: int) -> None:
        self.steps.append((time.time(), room, what, after, upto))
        if len(self.steps) > LONGEST:
            del self.steps[0]
            self.cut = True

    def of(self, room: RoomKey) -> list[Step]:
        return [step for step in self.steps if step[1] == room]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a connection heard an event, or did not. `heard` is None where it is still on its way."""

    heard: bool | None
    reason: str
    at: float | None = None
    """When the step that decides it was (seconds since 1970)."""


def explain(trail: Trail, room: RoomKey, event: int, position: int | None) -> Verdict:
    """What a connection was told of an event, by its trail. `position` is how far its node has delivered the room.

    Reasons: `snapshot` (the state that a join was answered with holds it), `missed_events` (it was in the list of a
    join's answer), `known` (the client said that it had it), `live`, `behind` (its node has not delivered it yet),
    `resync` (told to join again before it), `never_joined`, `not_there` (came later, or was out of the room then; the
    steps say why), `forgotten` (too long ago for the trail).
    """
    steps, verdict, live_since = trail.of(room), None, None
    for at, _, what, after, upto in steps:
        if what in JOINED:
            live_since = (at, upto)
            if event <= upto:
                return _in_answer(what, event, after, at)
        elif live_since is not None:
            if live_since[1] < event <= upto:
                return Verdict(True, "live", live_since[0])
            if event > upto:
                verdict = Verdict(False, "resync" if what == "resync" else "not_there", at)
            live_since = None
    if live_since is not None:
        if position is not None and event <= position:
            return Verdict(True, "live", live_since[0])
        return Verdict(None, "behind", live_since[0])
    if verdict is not None:
        return verdict
    return Verdict(False, "forgotten" if trail.cut else "never_joined")


def _in_answer(what: str, event: int, after: int, at: float) -> Verdict:
    if what == "snapshot":
        return Verdict(True, "snapshot", at)
    return Verdict(True, "missed_events" if what == "events" and event > after else "known", at)

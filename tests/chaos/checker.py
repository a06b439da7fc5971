"""The judge of a run: what the clients wrote down against what the database holds.

`check` is a function of a History and the Facts alone and returns what it finds wrong, in words; nothing found means:

- acknowledged: it is in the log, at the acknowledged number, and the stored reply is the acknowledged one;
- each command was applied once or not at all, once if it was acknowledged, and every acknowledgement of it says the same;
- refused: nothing of it is in the database;
- nobody heard a hole, a repeat, an event of a room it was not in, or one that differs from the log;
- the log has no hole either, and holds nothing that nobody sent;
- every client's copy is the fresh snapshot, which is the first snapshot and the log;
- nobody heard a word of another tenant, or came in there, and no text of anybody is in the server's output.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from tests.reducer import Store, fold, store_of

OUTSIDERS: Final = {"NOT_FOUND", "UNAVAILABLE"}
"""What the doors of another tenant may answer."""


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that a client did or heard. Kinds:

    connecting, ready, turned away, cut   its connection; `code` names the node, or why not
    send                                  a command; `code` is its name, `data` its payload
    ack, refused, unavailable             the reply; `seq` is the acknowledged number, `code` first or duplicate, or the error
    joined                                a room at `seq`; `code` is the mode
    replayed, event                       an event in the reply of a join, or live
    left                                  a room; `code` says how
    trespassed                            the answer of another tenant's room
    told                                  anything else
    """

    at: float
    client: str
    tenant: str
    kind: str
    room: str = ""
    seq: int = 0
    epoch: str = ""
    command_id: str = ""
    code: str = ""
    data: Any = None
    text: str = ""
    """The frame as it came."""


class History:
    """Everything that all clients did and heard, in order."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._began = time.monotonic()

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def add(self, client: str, tenant: str, kind: str, **more: Any) -> None:
        self.records.append(Record(self.now(), client, tenant, kind, **more))

    def of(self, *kinds: str) -> Iterator[Record]:
        return (record for record in self.records if record.kind in kinds)

    def acks_of_commands_sent_within(self, begin: float, end: float) -> list[Record]:
        """Acknowledgements that came within a time, of commands that were first sent within it."""
        first: dict[str, float] = {}
        for record in self.of("send"):
            first.setdefault(record.command_id, record.at)
        return [
            record
            for record in self.of("ack")
            if begin <= record.at <= end and first[record.command_id] >= begin
        ]


@dataclass(frozen=True, slots=True)
class LogEvent:
    seq: int
    name: str
    actor_id: str
    command_id: str
    data: Any


@dataclass(frozen=True, slots=True)
class Applied:
    room: str
    seq: int
    reply: Any


@dataclass(slots=True)
class State:
    """What a client holds of a room at the end."""

    client: str
    room: str
    seq: int
    store: Store


@dataclass(slots=True)
class Facts:
    """What the database and the servers say at the end."""

    log: dict[str, list[LogEvent]]
    """Events of every room, by number."""
    bounds: dict[str, tuple[int, int]]
    """Floor and head of every room."""
    applied: dict[tuple[str, str], Applied]
    """By actor and command id."""
    early: dict[str, Any] = field(default_factory=dict)
    """A snapshot of each room of the run from its beginning, with its number."""
    fresh: dict[str, Any] = field(default_factory=dict)
    """The same from the end."""
    states: list[State] = field(default_factory=list)
    actors: dict[str, str] = field(default_factory=dict)
    """User id of each client."""
    canaries: dict[str, str] = field(default_factory=dict)
    """What every text of a tenant holds."""
    output: str = ""
    """What all nodes have printed."""


async def facts_of(db: Any) -> Facts:
    """Read a database as its owner."""
    rooms = await db.fetch("SELECT id, kind, head_seq, floor_seq FROM rooms")
    names = {row["id"]: f"{row['kind']}:{row['id']}" for row in rooms}
    log: dict[str, list[LogEvent]] = {name: [] for name in names.values()}
    for row in await db.fetch("SELECT * FROM room_events ORDER BY room_id, seq"):
        log[names[row["room_id"]]].append(
            LogEvent(
                row["seq"],
                row["name"],
                str(row["actor_id"]),
                str(row["command_id"]),
                orjson.loads(row["data"]),
            )
        )
    applied = {
        (str(row["actor_id"]), str(row["command_id"])): Applied(
            names[row["room_id"]], row["seq"], orjson.loads(row["reply"])
        )
        for row in await db.fetch("SELECT actor_id, command_id, room_id, seq, reply FROM applied_commands")
    }
    bounds = {names[row["id"]]: (row["floor_seq"], row["head_seq"]) for row in rooms}
    return Facts(log, bounds, applied)


def check(history: History, facts: Facts) -> list[str]:
    """Everything that is wrong; empty when nothing is."""
    return [
        *_log_without_holes(facts),
        *_log_holds_what_was_sent(history, facts),
        *_acknowledged(history, facts),
        *_refused(history, facts),
        *_heard(history, facts),
        *_same_state(facts),
        *_no_foreign_word(history, facts),
    ]


def _log_without_holes(facts: Facts) -> Iterator[str]:
    for room, events in facts.log.items():
        floor, head = facts.bounds[room]
        if [event.seq for event in events] != list(range(floor + 1, head + 1)):
            yield f"log of {room}: its numbers are not {floor + 1} to {head}"


def _log_holds_what_was_sent(history: History, facts: Facts) -> Iterator[str]:
    """Every event of the run comes from a command that its actor has sent, in one piece, once."""
    sent: dict[str, str] = {}
    for record in history.of("send"):
        sent[record.command_id] = facts.actors[record.client]
    for room, early in facts.early.items():
        pieces: dict[str, list[LogEvent]] = defaultdict(list)
        for event in facts.log.get(room, []):
            if event.seq > early["seq"]:
                pieces[event.command_id].append(event)
        for command_id, events in pieces.items():
            seqs, names = [event.seq for event in events], [event.name for event in events]
            if any(sent.get(command_id) != event.actor_id for event in events):
                yield f"log of {room}: nobody has sent {command_id} at {seqs}"
            if seqs != list(range(seqs[0], seqs[0] + len(seqs))) or len(set(names)) < len(names):
                yield f"log of {room}: {command_id} was applied more than once: {names} at {seqs}"
            if not any((event.actor_id, command_id) in facts.applied for event in events):
                yield f"log of {room}: {command_id} at {seqs} has no reply in the database"


def _acknowledged(history: History, facts: Facts) -> Iterator[str]:
    first: dict[str, Record] = {}
    firsts: dict[str, int] = defaultdict(int)
    at = {room: {event.seq: event for event in events} for room, events in facts.log.items()}
    for record in history.of("ack"):
        command_id = record.command_id
        before = first.setdefault(command_id, record)
        if (before.room, before.seq, before.data) != (record.room, record.seq, record.data):
            yield f"{record.client}: {command_id} was acknowledged in two ways, {before.seq} and {record.seq}"
        if record.code == "first":
            firsts[command_id] += 1
        applied = facts.applied.get((facts.actors[record.client], command_id))
        if applied is None:
            yield f"{record.client}: {command_id} was acknowledged at {record.seq} and is not in the database"
        elif (applied.room, applied.seq, applied.reply) != (record.room, record.seq, record.data):
            yield f"{record.client}: {command_id} was acknowledged otherwise than the database has it"
        event = at.get(record.room, {}).get(record.seq)
        if event is None or event.command_id != command_id:
            yield f"{record.client}: {command_id} was acknowledged at {record.seq} of {record.room}, where it is not"
    for command_id, count in firsts.items():
        if count > 1:
            yield f"{command_id} was acknowledged as new {count} times"


def _refused(history: History, facts: Facts) -> Iterator[str]:
    written = {event.command_id for events in facts.log.values() for event in events}
    acked = {record.command_id for record in history.of("ack")}
    for record in history.of("refused"):
        if record.code == "INTERNAL":
            yield f"{record.client}: {record.command_id} met a fault of the server: {record.text}"
        actor = facts.actors[record.client]
        if record.command_id in written or (actor, record.command_id) in facts.applied:
            yield f"{record.client}: {record.command_id} was refused ({record.code}) and applied all the same"
        if record.command_id in acked:
            yield f"{record.client}: {record.command_id} was refused ({record.code}) and acknowledged"


@dataclass(slots=True)
class _Place:
    """Where a client is in a room."""

    epoch: str
    seq: int
    live: bool
    upto: int
    """The number that the reply of the join has promised to reach."""


def _heard(history: History, facts: Facts) -> Iterator[str]:
    """Each client's numbers in each room: no hole, no repeat, nothing of where it is not, nothing that the log has not."""
    places: dict[tuple[str, str], _Place] = {}
    at = {room: {event.seq: event for event in events} for room, events in facts.log.items()}
    for record in history.records:
        place = places.get((record.client, record.room))
        match record.kind:
            case "joined":
                yield from _joined(record, place)
                seq = record.seq if record.code == "snapshot" or place is None else place.seq
                places[record.client, record.room] = _Place(record.epoch, seq, True, record.seq)
            case "left":
                if place is not None:
                    place.live = False
            case "cut":
                for (client, _), other in places.items():
                    if client == record.client:
                        other.live = False
            case "event" | "replayed":
                who = f"{record.client} in {record.room}"
                if place is None or not place.live:
                    yield f"{who}: heard {record.seq} without being in the room"
                    continue
                if record.seq != place.seq + 1:
                    yield f"{who}: heard {record.seq} after {place.seq}"
                if record.kind == "event" and place.seq < place.upto:
                    yield f"{who}: the join promised up to {place.upto} and gave up to {place.seq}"
                place.seq = record.seq
                logged = at.get(record.room, {}).get(record.seq)
                said = (record.command_id, record.data["data"], record.data["actor"]["id"])
                if logged is None or said != (logged.command_id, logged.data, logged.actor_id):
                    yield f"{who}: {record.seq} is not what the log says"


def _joined(record: Record, place: _Place | None) -> Iterator[str]:
    who = f"{record.client} in {record.room}"
    if record.code == "snapshot":
        return
    if place is None or place.epoch != record.epoch:
        yield f"{who}: joined without a snapshot what it did not have"
    elif record.code == "current" and place.seq != record.seq:
        yield f"{who}: was told it has everything at {record.seq}, and had {place.seq}"
    elif record.code == "events" and record.seq <= place.seq:
        yield f"{who}: was given events up to {record.seq}, and had {place.seq}"


def _same_state(facts: Facts) -> Iterator[str]:
    fresh = {room: store_of(answer["snapshot"]) for room, answer in facts.fresh.items()}
    for room, early in facts.early.items():
        later = [
            {"name": event.name, "data": event.data} for event in facts.log[room] if event.seq > early["seq"]
        ]
        replayed = fold(store_of(early["snapshot"]), later)
        if replayed != fresh[room]:
            yield f"{room}: the log replayed is not the fresh snapshot: {_difference(replayed, fresh[room])}"
        if facts.fresh[room]["seq"] != facts.bounds[room][1]:
            yield f"{room}: the fresh snapshot is of {facts.fresh[room]['seq']}, the head is {facts.bounds[room][1]}"
    for state in facts.states:
        if state.seq != facts.bounds[state.room][1]:
            yield f"{state.client} in {state.room}: ends at {state.seq}, the head is {facts.bounds[state.room][1]}"
        if state.store != fresh[state.room]:
            difference = _difference(state.store, fresh[state.room])
            yield f"{state.client} in {state.room}: its copy is not the fresh snapshot: {difference}"


def _difference(one: Store, other: Store) -> str:
    for name in sorted(one.keys() | other.keys()):
        here, there = one.get(name, {}), other.get(name, {})
        for key in sorted(here.keys() | there.keys()):
            if here.get(key) != there.get(key):
                return f"{name} {key}: {here.get(key)} instead of {there.get(key)}"
    return "their lists have other names"


def _no_foreign_word(history: History, facts: Facts) -> Iterator[str]:
    for record in history.records:
        heard = record.text or (orjson.dumps(record.data).decode() if record.kind == "replayed" else "")
        for tenant, word in facts.canaries.items():
            if tenant != record.tenant and word in heard:
                yield f"{record.client} of {record.tenant} heard of {tenant}: {record.kind} {record.room}"
        if record.kind == "trespassed" and record.code not in OUTSIDERS:
            yield f"{record.client} of {record.tenant} tried {record.room} and was answered {record.code}"
    for tenant, word in facts.canaries.items():
        if word in facts.output:
            yield f"the server's output holds texts of {tenant}"

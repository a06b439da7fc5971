"""What a room is to the machine: a key, a position, and events that are bytes from the moment they exist."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

import orjson

from storage.ids import parse_id
from storage.postgres import Row, Session

KINDS: Final = ("tenant", "project", "channel", "document", "user")
"""The order in which rooms are locked: a command writes to its own room and to rooms of later kinds."""

KIND_ORDER: Final = {kind: order for order, kind in enumerate(KINDS)}


class RoomKey(NamedTuple):
    """One room of one tenant. `name` is what clients call it, `channel` what the bus calls it."""

    tenant_id: UUID
    kind: str
    id: UUID

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.id}"

    @property
    def channel(self) -> str:
        return f"atrium:{self.tenant_id}:{self.kind}:{self.id}"

    @classmethod
    def parse(cls, tenant_id: UUID, name: str) -> "RoomKey | None":
        """The key behind a client's `project:<uuid>`; None where it is none."""
        kind, _, rest = name.partition(":")
        if kind not in KIND_ORDER:
            return None
        try:
            return cls(tenant_id, kind, parse_id(rest))
        except ValueError:
            return None


class Position(NamedTuple):
    """How far a room's log has come. Another epoch means another history: only a snapshot helps."""

    epoch: str
    seq: int


@dataclass(slots=True)
class Batch:
    """Consecutive events of one room, each encoded once: `2["task.moved",{…}]`, a Socket.IO packet in JSON."""

    room: RoomKey
    epoch: str
    first: int
    packets: list[bytes]
    rights: int = 0
    """The tenant's number of changes of rights that the transaction saw: who knows less must check first."""

    @property
    def last(self) -> int:
        return self.first + len(self.packets) - 1


def timestamp(at: datetime) -> str:
    """`2026-11-20T10:00:00.000Z`: UTC, milliseconds."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    text = orjson.dumps(
        at
    ).decode()  # `"2026-11-20T10:00:00.123456+00:00"`, without fraction where it is zero
    return text[1:24] + "Z" if at.microsecond else text[1:20] + ".000Z"


def encode_event(
    room: RoomKey,
    seq: int,
    at: str,
    actor_id: UUID,
    actor_name: str | None,
    command_id: UUID,
    data: bytes,
) -> bytes:
    """The event as the protocol shows it. `data` is JSON already and is spliced in as it is."""
    return b'{"room":"%b","seq":%d,"at":"%b","actor":{"id":"%b","name":%b},"command_id":"%b","data":%b}' % (
        room.name.encode(), seq, at.encode(), str(actor_id).encode(),
        orjson.dumps(actor_name), str(command_id).encode(), data,
    )  # fmt: skip


def packet(name: str, event: bytes) -> bytes:
    return b'2["%b",%b]' % (name.encode(), event)


def event_of(packet: bytes) -> bytes:
    """The event inside a packet, for replies that list events."""
    return packet[packet.index(b",") + 1 : -1]


def encode_row(room: RoomKey, row: Row) -> bytes:
    """A packet from a row of the log: the same bytes as when it was live."""
    event = encode_event(
        room, row["seq"], timestamp(row["at"]), row["actor_id"], row["actor_name"],
        row["command_id"], row["data"].encode(),
    )  # fmt: skip
    return packet(row["name"], event)


async def read_events(
    session: Session, room: RoomKey, after: int, upto: int, *, limit: int, size: int
) -> list[bytes]:
    """Packets of the events in (after, upto], in order: `limit` at most, of `size` bytes together, or one that is larger."""
    rows = await session.many(
        "events_after", room_id=room.id, after_seq=after, upto_seq=upto, max_events=limit, max_bytes=size
    )
    return [encode_row(room, row) for row in rows]

"""Rooms as such: their snapshot, their events, and the one read behind joining and resuming."""

import asyncio
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import orjson
from pydantic import Field

from handlers.access import Rights
from handlers.context import Principal, Tx
from handlers.entry import enter
from handlers.errors import Forbidden, NotFound, ValidationFailed
from handlers.registry import ROOMS_OWN, SNAPSHOTS, Page, Pagination, Payload, Reply, Seq, query
from storage.postgres import Database, Row, Session
from storage.rooms import Position, RoomKey, event_of, read_events
from storage.settings import Settings

VIEW = {"tenant": "tenant.view", "project": "project.view", "user": None}
"""The permission that seeing a kind of room takes."""
VIEW_BY_KEY = {**VIEW, "user": "project.view"}
"""The same for an API key: a person's own room tells what she works on."""


@dataclass(frozen=True, slots=True)
class RoomState:
    """What a join answers: where the room stands, and how to get there. `body` is JSON already."""

    position: Position
    rights: Rights
    rights_seq: int
    mode: str
    body: bytes
    """`"snapshot":{…}`, `"events":[…]`, or nothing when the client is up to date."""
    after: int = 0
    """With `events`: the number after which they were."""


class ReadSnapshot(Payload):
    window: int | None = Field(None, ge=1, le=5000, description="Tasks per column at most.")


class ReadEvents(Payload):
    since: Seq = Field(0, description="Events after this number.")
    limit: int = Field(50, ge=1, le=100, description="Events per page.")


class RawSnapshot(Reply):
    """A room's position and state."""

    room: str
    epoch: str
    seq: int
    snapshot: dict[str, object]
    permissions: list[str]


class RawEvents(Reply):
    """Consecutive events of a room. The next page begins after the last one's seq."""

    room: str
    epoch: str
    seq: int
    events: list[dict[str, object]]


@query("room.snapshot", needs=None, rest="GET /rooms/{room}/snapshot", room="", scope=ROOMS_OWN)
async def read_snapshot(tx: Tx, ask: ReadSnapshot) -> RawSnapshot:
    """The state of a room at its head: what folding all its events would give."""
    _require_view(tx.room, tx.rights, tx.actor)
    position = await tx.one("room_position")
    state = await SNAPSHOTS[tx.room.kind](tx, ask.window or tx.window)
    return RawSnapshot(
        room=tx.room.name,
        epoch=str(position["epoch"]),
        seq=position["head_seq"],
        snapshot=state.model_dump(mode="json"),
        permissions=sorted(tx.rights.permissions),
    )


@query("room.events", needs=None, rest="GET /rooms/{room}/events", room="", scope=ROOMS_OWN)
async def list_events(tx: Tx, ask: ReadEvents) -> Page[RawEvents]:
    """The events of a room after a number; older ones than the log keeps are refused."""
    _require_view(tx.room, tx.rights, tx.actor)
    position = await tx.one("room_position")
    if ask.since < position["floor_seq"]:
        raise ValidationFailed.field(
            "since", f"the log begins after {position['floor_seq']}: take the snapshot"
        )
    packets = await read_events(
        tx.session, tx.room, ask.since, position["head_seq"], limit=ask.limit, size=tx.settings.resume_bytes
    )
    events = [orjson.loads(event_of(packet)) for packet in packets]
    more = str(events[-1]["seq"]) if events and events[-1]["seq"] < position["head_seq"] else None
    return Page(
        RawEvents(
            room=tx.room.name, epoch=str(position["epoch"]), seq=position["head_seq"], events=events
        ),
        Pagination(limit=ask.limit, next=more),
    )  # fmt: skip


class Shared(NamedTuple):
    """The state of a room as all who join it may have it, and the tenant's number of changes of rights then."""

    position: Position
    rights_seq: int
    body: bytes


class RoomReader:
    """Reads rooms for those who join. When many join at once, they share one reading of the state: whoever
    comes while one is under way waits for the next, which begins after he was attached and so misses nothing.
    """

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._next: dict[tuple[RoomKey, int], asyncio.Future[Shared]] = {}
        self._readings: dict[tuple[RoomKey, int], asyncio.Task[None]] = {}

    async def read(
        self,
        principal: Principal,
        room: RoomKey,
        *,
        since: Position | None,
        window: int,
        limit: int,
        head_only: bool = False,
    ) -> RoomState:
        """Position, rights and state of a room: what was missed since a position, or all of it."""
        while True:
            async with self._db.snapshot(room.tenant_id) as session:
                row, rights = await enter(session, room, principal)
                _require_view(room, rights, principal)
                position = Position(str(row["epoch"]), row["head_seq"])
                if head_only or since == position:
                    return RoomState(position, rights, row["rights_seq"], "current", b"")
                if since is not None and _in_reach(
                    since, position, max(row["floor_seq"], position.seq - limit)
                ):
                    missed = await _missed(session, room, rights, row, since, self._settings.resume_bytes)
                    if missed is not None:
                        return missed
                if room.kind == "user":
                    tx = Tx(session, room, principal, rights, row["now"], self._settings)
                    body = _body(await SNAPSHOTS["user"](tx, window))
                    return RoomState(position, rights, row["rights_seq"], "snapshot", body)
            shared = await self._shared(principal, room, rights, window)
            if shared.rights_seq <= row["rights_seq"]:
                return RoomState(shared.position, rights, row["rights_seq"], "snapshot", shared.body)
            # The state is from after a change of rights that this person's were read before: look at them again.

    async def _shared(self, principal: Principal, room: RoomKey, rights: Rights, window: int) -> Shared:
        key = room, window
        future = self._next.get(key)
        if future is None:
            future = self._next[key] = asyncio.get_running_loop().create_future()
            if key not in self._readings:
                self._readings[key] = asyncio.create_task(self._read_in_turn(key, principal, rights))
        return await asyncio.shield(future)

    async def _read_in_turn(self, key: tuple[RoomKey, int], principal: Principal, rights: Rights) -> None:
        try:
            while future := self._next.pop(key, None):
                try:
                    future.set_result(await self._state(key, principal, rights))
                except Exception as error:
                    future.set_exception(error)
                    future.exception()  # counts as retrieved, should nobody wait any more
        finally:
            del self._readings[key]

    async def _state(self, key: tuple[RoomKey, int], principal: Principal, rights: Rights) -> Shared:
        room, window = key
        async with self._db.snapshot(room.tenant_id) as session:
            row = await session.one("room_position", room_id=room.id)
            if row["gone"]:
                raise NotFound
            tx = Tx(session, room, principal, rights, row["now"], self._settings)
            body = _body(await SNAPSHOTS[room.kind](tx, window))
            return Shared(Position(str(row["epoch"]), row["head_seq"]), row["rights_seq"], body)


def _in_reach(since: Position, position: Position, floor: int) -> bool:
    """Whether the log can lead from one position to the other, in the same epoch and not too far."""
    return since.epoch == position.epoch and floor <= since.seq <= position.seq


def _body(state: Reply) -> bytes:
    return b'"snapshot":' + state.model_dump_json().encode()


async def _missed(
    session: Session, room: RoomKey, rights: Rights, row: Row, since: Position, size: int
) -> RoomState | None:
    """The events after a position; None where several are more than `size` bytes."""
    position = Position(since.epoch, row["head_seq"])
    count = position.seq - since.seq
    packets = await read_events(session, room, since.seq, position.seq, limit=count, size=size)
    if len(packets) < count:
        return None
    body = b'"events":[' + b",".join(event_of(packet) for packet in packets) + b"]"
    return RoomState(position, rights, row["rights_seq"], "events", body, since.seq)


def view_needs(room: RoomKey, principal: Principal) -> str | None:
    """The permission that seeing a room takes; None where it takes none."""
    return (VIEW if principal.scopes is None else VIEW_BY_KEY).get(room.kind)


def _require_view(room: RoomKey, rights: Rights, principal: Principal) -> None:
    permission = view_needs(room, principal)
    if room.kind not in SNAPSHOTS:
        raise NotFound
    if permission is not None and not rights.allow(permission):
        raise Forbidden("This room is not yours to see", details={"permission": permission})


def parse_since(epoch: str, seq: int) -> Position | None:
    """A client's position; one whose epoch was never ours counts as none."""
    try:
        return Position(str(UUID(epoch)), seq)
    except ValueError:
        return None

"""The hub delivers the events of each room to its local members, in order, without hole or repeat.

For every room with members here it keeps the number last delivered. Batches that follow it go out; older ones
are dropped; a hole is filled from the log in Postgres. Where batches come from, this node's own commits or the
bus, makes no difference. Events of one turn of the event loop leave in one write per member.
"""

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from uuid import UUID

import msgpack
import structlog

from server import metrics
from server.engine import EngineSocket
from server.fanout import Crowd
from server.frames import JSON, JsonCodec
from storage.background import end_tasks
from storage.bus import CONTROL, Bus
from storage.postgres import LOST, Database, Row
from storage.rooms import Batch, Position, RoomKey, read_events
from storage.settings import Settings

log = structlog.get_logger(__name__)

FILL_PAGE: Final = 500
"""Events read from the log at once when a hole is filled (count)."""

EARLY: Final = 256
"""Batches kept while a room's position is not known yet (count), of at most SEND_HARD_LIMIT bytes; what is dropped is filled
from the log.
"""

FILL_RETRY: Final = 0.5
"""Pause before the log is asked again after Postgres was away (seconds)."""

RIGHTS_PATIENCE: Final = 0.05
"""Pause before a hole is filled again that waits for a check of rights (seconds)."""

BUSY: Final = 16
"""A write of so many events makes its room a busy one (count)."""

REST: Final = 0.025
"""The next write to a busy room comes no sooner (seconds). Members take fewer and larger writes, and groups of several
nodes that come in turns leave together. See docs/decisions/0039-a-busy-room-rests.md for how long, and why.
"""

UNCHECKED: Final = -1
"""Comes before every change of rights: the connections of a tenant must be checked whatever its number is."""

BATCH, SIGNAL = b"E", b"S"


class Member(Protocol):
    """What the hub needs of a connection."""

    socket: EngineSocket

    def lost_track(self, room: RoomKey, since: int) -> None:
        """Called when the hub has put the member out because it could not be caught up."""


@dataclass(slots=True)
class _Waiting:
    """A member that joins: events are held until its snapshot is on its way, and older ones dropped."""

    held: dict[int, bytes] = field(default_factory=dict)
    held_bytes: int = 0
    after: int | None = None
    before: int | None = None
    """The position up to which it had everything, when it was a member already."""

    def forget(self) -> None:
        self.held.clear()
        self.held_bytes = 0


@dataclass(slots=True, eq=False)
class LiveRoom:
    """A room with members on this node."""

    key: RoomKey
    ready: asyncio.Future[None]
    epoch: str | None = None
    position: int = -1
    live: dict[Member, None] = field(default_factory=dict)
    waiting: dict[Member, _Waiting] = field(default_factory=dict)
    pending: list[bytes] = field(default_factory=list)
    pending_first: int = 0
    rests_until: float = 0.0
    """When it may be written to again, by the event loop's clock."""
    timer: asyncio.TimerHandle | None = None
    early: list[Batch] = field(default_factory=list)
    target: int = -1
    filling: bool = False
    _targets: dict[JsonCodec, Crowd] | None = None

    def add_live(self, member: Member) -> None:
        self.live[member] = None
        self._targets = None

    def drop(self, member: Member) -> None:
        self.live.pop(member, None)
        self.waiting.pop(member, None)
        self._targets = None

    def targets(self) -> dict[JsonCodec, Crowd]:
        """The sockets of the live members by the format they speak."""
        if self._targets is None:
            sockets: dict[JsonCodec, list[EngineSocket]] = {}
            for member in self.live:
                sockets.setdefault(member.socket.codec, []).append(member.socket)
            self._targets = {codec: Crowd(some) for codec, some in sockets.items()}
        return self._targets

    @property
    def seen(self) -> int:
        """The last number that somebody here has: delivered, or in the answer to a join."""
        return max([self.position, *(waiting.after or 0 for waiting in self.waiting.values())])

    @property
    def empty(self) -> bool:
        return not self.live and not self.waiting


class Hub:
    """All rooms with members on this node."""

    def __init__(self, db: Database, bus: Bus, settings: Settings) -> None:
        self.rooms: dict[RoomKey, LiveRoom] = {}
        self._by_channel: dict[str, LiveRoom] = {}
        self._db = db
        self._bus = bus
        self._settings = settings
        self._dirty: dict[LiveRoom, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self.on_signal: Callable[[RoomKey, bytes], None] = lambda _room, _message: None
        self.on_control: Callable[[bytes], None] = lambda _message: None
        self.on_event: Callable[[RoomKey, bytes], None] = lambda _room, _packet: None
        self.rights: dict[UUID, int] = {}
        """Of each tenant with connections here: up to which change of rights they have been checked."""
        self.on_rights: Callable[[UUID, int], None] = lambda _tenant, _seq: None

    async def start(self) -> None:
        await self._bus.start(self._heard, self._missed_something)
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        await end_tasks(self._sweeper, *self._tasks)
        await self._bus.stop()

    @property
    def healthy(self) -> bool:
        return self._bus.healthy

    # Members.

    async def attach(self, key: RoomKey, member: Member) -> None:
        """Begin to hold a room's events for a member; returns when none can be missed any more."""
        room = self.rooms.get(key)
        if room is None:
            room = LiveRoom(key, asyncio.get_running_loop().create_future())
            self.rooms[key] = self._by_channel[key.channel] = room
            room.waiting[member] = _Waiting()
            try:
                await self._bus.subscribe(key.channel)
            finally:
                room.ready.set_result(None)  # without the bus, comparing heads makes up for it
            return
        self._flush_room(room)
        before = room.position if member in room.live else None
        if (waits := room.waiting.get(member)) is not None:
            before = waits.after  # has joined, and its room has not come so far yet
        room.drop(member)
        room.waiting[member] = _Waiting(before=before)
        await asyncio.shield(room.ready)

    def release(self, key: RoomKey, member: Member, position: Position) -> None:
        """Make a held member live from a position on: what was held above it goes out now."""
        room = self.rooms.get(key)
        waiting = room.waiting.get(member) if room else None
        if room is None or waiting is None:
            return
        if room.epoch != position.epoch:
            self._begin(room, position)
        waiting.after = position.seq
        if room.position < position.seq:
            if room.live:
                self.behind(key, position.epoch, position.seq)
            else:
                self._skip_to(room, position.seq)
        self._promote(room)

    def give_up(self, key: RoomKey, member: Member) -> bool:
        """Undo `attach`: a member that was there before stays as it was, any other is put out (False)."""
        room = self.rooms.get(key)
        waiting = room.waiting.get(member) if room else None
        if room is None or waiting is None or waiting.before is None or room.epoch is None:
            self.detach(key, member)
            return False
        self.release(key, member, Position(room.epoch, waiting.before))
        return True

    def detach(self, key: RoomKey, member: Member) -> bool:
        """Stop delivering to a member; False when it was not in the room."""
        room = self.rooms.get(key)
        if room is None or (member not in room.live and member not in room.waiting):
            return False
        self._flush_room(room)
        room.drop(member)
        self._close_if_empty(room)
        return True

    def _close_if_empty(self, room: LiveRoom) -> None:
        if room.empty and self.rooms.get(room.key) is room:
            del self.rooms[room.key], self._by_channel[room.key.channel]
            self._bus.unsubscribe(room.key.channel)

    def position(self, key: RoomKey) -> int:
        """The number up to which a room's events have been delivered here; -1 where nobody is in it."""
        room = self.rooms.get(key)
        return room.position if room else -1

    def members(self, key: RoomKey) -> Iterable[Member]:
        room = self.rooms.get(key)
        return (*room.live, *room.waiting) if room else ()

    # Events.

    def deliver(self, batch: Batch) -> None:
        """Deliver a batch that this node has committed, and tell the other nodes."""
        if not self._bus.alone:
            message = BATCH + msgpack.packb((batch.epoch, batch.first, batch.packets, batch.rights))
            self._bus.publish(batch.room.channel, message)
        room = self.rooms.get(batch.room)
        if room is not None:
            self._offer(room, batch)

    def behind(self, key: RoomKey, epoch: str, head: int) -> None:
        """Hear that a room's log has come to `head`; what is missing here is read from it."""
        room = self.rooms.get(key)
        if room is None or room.epoch is None:
            return
        if room.epoch != epoch:
            self._begin(room, Position(epoch, head))
        elif head > room.position:
            self._fill(room, head)

    def signal(
        self, key: RoomKey, name: str, data: bytes, *, skip: Member | None = None,
        only: Container[Member] | None = None, relay: bool = True,
    ) -> None:  # fmt: skip
        """Send something unlogged to a room, or to some of its members here: who is slow does not get it, nor does anybody
        later.
        """
        room = self.rooms.get(key)
        if relay:
            self._bus.publish(key.channel, SIGNAL + msgpack.packb((name, data)))
        if room is None or room.empty:
            return
        self._flush_room(room)
        packet = JSON.event(name, data)
        frames: dict[str, bytes] = {}
        # Who has the answer to a join, and waits for its room to come as far, has to hear what was not in the answer.
        joined = [member for member, waiting in room.waiting.items() if waiting.after is not None]
        for member in (*room.live, *joined):
            socket = member.socket
            if member is skip or (only is not None and member not in only):
                continue
            if socket.unsent() > self._settings.send_soft_limit:
                metrics.SIGNALS_DROPPED.inc()
                continue
            _send(socket, (packet,), frames)

    def tell_nodes(self, message: bytes) -> None:
        """Send a control message to all other nodes."""
        self._bus.publish(CONTROL, message)

    def relay(self, key: RoomKey, message: bytes) -> None:
        """Send a message about a room to the other nodes that serve it."""
        self._bus.publish(key.channel, SIGNAL + message)

    def _heard(self, channel: str, message: bytes) -> None:
        if channel == CONTROL:
            self.on_control(message)
            return
        room = self._by_channel.get(channel)
        if room is None:
            return
        if message[:1] == BATCH:
            self._offer(room, Batch(room.key, *msgpack.unpackb(message[1:])))
        elif message[:1] == SIGNAL:
            self.on_signal(room.key, message[1:])

    def _offer(self, room: LiveRoom, batch: Batch) -> None:
        if self._outranks(room, batch):
            self._keep_early(room, batch)
            self.on_rights(room.key.tenant_id, batch.rights)
        elif room.epoch is None:
            self._keep_early(room, batch)
        elif batch.epoch != room.epoch:
            self._begin(room, Position(batch.epoch, batch.last))
        elif batch.last <= room.position:
            metrics.REPEATS.inc()
        elif batch.first > room.position + 1:
            self._keep_early(room, batch)
            self._fill(room, batch.last)
        else:
            self._accept(room, batch.packets[room.position + 1 - batch.first :])
            if room.early:
                self._take_early(room)

    def _keep_early(self, room: LiveRoom, batch: Batch) -> None:
        """Keep a batch that cannot go out yet; the oldest make room where it would be too much."""
        room.early.append(batch)
        size = sum(len(packet) for kept in room.early for packet in kept.packets)
        while len(room.early) > 1 and (len(room.early) > EARLY or size > self._settings.send_hard_limit):
            size -= sum(map(len, room.early.pop(0).packets))

    def _outranks(self, room: LiveRoom, batch: Batch) -> bool:
        """Whether a batch comes after a change of rights that the connections have not been checked for."""
        return batch.rights > self.rights.get(room.key.tenant_id, batch.rights)

    def _accept(self, room: LiveRoom, packets: list[bytes]) -> None:
        first = room.position + 1
        room.position += len(packets)
        for waiting in room.waiting.values():
            waiting.held.update(enumerate(packets, first))
            waiting.held_bytes += sum(map(len, packets))
        if room.live:
            if not room.pending:
                room.pending_first = first
                self._schedule(room)
            room.pending.extend(packets)
        if room.waiting:
            self._promote(room)
        if room.key.kind == "project":
            for packet in packets:
                self.on_event(room.key, packet)

    def rights_checked(self, tenant_id: UUID, seq: int) -> None:
        """Hear that the connections of a tenant have been checked; what was held for that goes on."""
        self.rights[tenant_id] = seq
        for room in [room for room in self.rooms.values() if room.key.tenant_id == tenant_id and room.early]:
            self._take_early(room)

    def _take_early(self, room: LiveRoom) -> None:
        """Deliver what had come too early, as far as it follows now."""
        early, room.early = sorted(room.early, key=lambda batch: batch.first), []
        for batch in early:
            if batch.epoch == room.epoch:
                self._offer(room, batch)

    def _promote(self, room: LiveRoom) -> None:
        """Let members go live whose snapshot the room has caught up with."""
        for member, waiting in list(room.waiting.items()):
            if waiting.after is None or room.position < waiting.after:
                if waiting.held_bytes > self._settings.send_hard_limit:
                    waiting.forget()  # what is missing of it then is noticed when the member goes live
                continue
            self._flush_room(room)
            del room.waiting[member]
            room.add_live(member)
            if any(seq not in waiting.held for seq in range(waiting.after + 1, room.position + 1)):
                self._resync(room, member, waiting.after)
                continue
            packets = [waiting.held[seq] for seq in range(waiting.after + 1, room.position + 1)]
            if packets:
                metrics.DELIVERIES.inc(len(packets))
                _send(member.socket, packets, {})

    # Writing.

    def _schedule(self, room: LiveRoom) -> None:
        """Have a room written to, as soon as that may be.

        Two turns later at the earliest, so that the acks go first: who sent has his answer, and can send again, while
        the events go to everybody.
        """
        loop = asyncio.get_running_loop()
        if room.rests_until > loop.time():
            room.timer = loop.call_at(room.rests_until, self._flush, [room])
            return
        if not self._dirty:
            loop.call_soon(loop.call_soon, self.flush)
        self._dirty[room] = None

    def flush(self) -> None:
        """Each room's events since the last time, in one write per member."""
        dirty, self._dirty = self._dirty, {}
        self._flush(dirty)

    def flush_all(self) -> None:
        """The same, also of rooms that rest: nothing waits any more."""
        self._dirty.clear()
        self._flush([room for room in self.rooms.values() if room.pending])

    def _flush(self, rooms: Iterable[LiveRoom]) -> None:
        for room in rooms:
            try:
                self._flush_room(room)
            except Exception:
                log.exception("hub.flush_failed", room=room.key.name)

    def _flush_room(self, room: LiveRoom) -> None:
        packets, room.pending = room.pending, []
        if room.timer is not None:
            room.timer.cancel()
            room.timer = None
        if not packets:
            return
        if len(packets) >= BUSY:
            room.rests_until = asyncio.get_running_loop().time() + REST
        slow: list[EngineSocket] = []
        for codec, crowd in room.targets().items():
            for socket in crowd.write(codec.frames(packets), self._settings.send_hard_limit):
                if socket.transport is not None or socket.held_bytes > self._settings.send_hard_limit:
                    slow.append(socket)
                else:
                    _send(socket, packets, {})
        metrics.DELIVERIES.inc(len(packets) * (len(room.live) - len(slow)))
        for socket in slow:
            self._resync(room, socket.connection, room.pending_first - 1)

    def _resync(self, room: LiveRoom, member: Member, since: int | None) -> None:
        """Put a member out that cannot be caught up from here, and tell it to join again."""
        metrics.RESYNCS.inc()
        room.drop(member)
        since = max(since or 0, 0)
        data = b'{"room":"%b","since_seq":%d}' % (room.key.name.encode(), since)
        member.socket.push(JSON.event("room.resync", data))
        member.lost_track(room.key, since)
        asyncio.get_running_loop().call_soon(self._close_if_empty, room)

    # Catching up with the log.

    def _begin(self, room: LiveRoom, position: Position) -> None:
        """Take a room's position for the first time, or anew after its epoch has changed."""
        if room.epoch is not None:
            metrics.EPOCHS.inc()
            log.warning("hub.epoch_changed", room=room.key.name, epoch=position.epoch)
            room.pending.clear()
            for member in list(room.live):
                self._resync(room, member, 0)
            # In another history the tenant's changes of rights are counted anew as well: check from the beginning.
            self.rights[room.key.tenant_id] = UNCHECKED
            self.on_rights(room.key.tenant_id, 0)
            for member, waiting in list(room.waiting.items()):
                waiting.forget()
                if waiting.after is not None:
                    self._resync(room, member, 0)
                elif waiting.before is not None:
                    waiting.before = -1  # of this history it has nothing
        room.epoch = position.epoch
        self._skip_to(room, position.seq)

    def _skip_to(self, room: LiveRoom, seq: int) -> None:
        """Go on from a number with nobody live behind it. Others may still join from an earlier one: what has come
        of that is kept for them, and if it turns out not to be all, they are told to join again.
        """
        for batch in room.early:
            if batch.epoch == room.epoch and not self._outranks(room, batch):
                for waiting in room.waiting.values():
                    waiting.held.update(enumerate(batch.packets, batch.first))
                    waiting.held_bytes += sum(map(len, batch.packets))
        room.position = seq
        self._take_early(room)

    def _fill(self, room: LiveRoom, upto: int) -> None:
        room.target = max(room.target, upto)
        if room.filling:
            return
        room.filling = True
        task = asyncio.create_task(self._read_log(room))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read_log(self, room: LiveRoom) -> None:
        metrics.FILLS.inc()
        try:
            while room.position < room.target and not room.empty:
                after, epoch = room.position, room.epoch
                try:
                    async with self._db.snapshot(room.key.tenant_id) as session:
                        row = await session.maybe("room_position", room_id=room.key.id)
                        if row is None:
                            return
                        packets = await read_events(
                            session, room.key, after, row["head_seq"],
                            limit=FILL_PAGE, size=self._settings.resume_bytes,
                        )  # fmt: skip
                except LOST as error:
                    log.warning("hub.fill_postponed", room=room.key.name, error=repr(error))
                    await asyncio.sleep(FILL_RETRY)
                    continue
                if str(row["epoch"]) != epoch or row["floor_seq"] > after:
                    self._begin(room, Position(str(row["epoch"]), row["head_seq"]))
                    return
                if row["rights_seq"] > self.rights.get(room.key.tenant_id, row["rights_seq"]):
                    self.on_rights(room.key.tenant_id, row["rights_seq"])
                    await asyncio.sleep(RIGHTS_PATIENCE)
                    continue
                self._offer(room, Batch(room.key, str(row["epoch"]), after + 1, packets))
                if not packets:
                    room.target = min(room.target, room.position)
        finally:
            room.filling = False

    def _missed_something(self) -> None:
        task = asyncio.create_task(self._compare_heads())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sweep(self) -> None:
        """Compare with the log from time to time, quickly while the bus is unhealthy: Redis is only a hint."""
        settings, loop = self._settings, asyncio.get_running_loop()
        swept_at = loop.time()
        while True:
            await asyncio.sleep(min(settings.sweep_interval, settings.sweep_interval_unhealthy))
            if not self.healthy or loop.time() - swept_at >= settings.sweep_interval:
                swept_at = loop.time()
                try:
                    await self._compare_heads()
                except Exception:
                    log.exception("hub.sweep_failed")

    async def _compare_heads(self) -> None:
        rooms = [room for room in self.rooms.values() if room.epoch is not None]
        # Who is in no room, such as a key that may see none, is known by its tenant alone: its rights end all the same.
        bare = self.rights.keys() - {room.key.tenant_id for room in rooms}
        if not rooms and not bare:
            return
        seen = {room: (room.epoch, room.seen) for room in rooms}
        try:
            async with self._db.transaction(None) as session:
                rows = await session.many(
                    "room_heads",
                    tenant_ids=[*(room.key.tenant_id for room in rooms), *bare],
                    room_ids=[*(room.key.id for room in rooms), *bare],  # a tenant's room has its id
                )
            await self._find_lost_history(seen, rows)
        except LOST as error:
            log.warning("hub.cannot_compare", error=repr(error))
            return
        heads: dict[Any, Any] = {(row["tenant_id"], row["id"]): row for row in rows}
        for row in rows:
            self.on_rights(row["tenant_id"], row["rights_seq"])
        for room in rooms:
            head = heads.get((room.key.tenant_id, room.key.id))
            if head is not None:
                self.behind(room.key, str(head["epoch"]), head["head_seq"])

    async def _find_lost_history(
        self, seen: Mapping[LiveRoom, tuple[str | None, int]], rows: Iterable[Row]
    ) -> None:
        """Where a log ends before what somebody has of it, commits are gone: all rooms begin another epoch."""
        heads = {(row["tenant_id"], row["id"]): (str(row["epoch"]), row["head_seq"]) for row in rows}
        for room, (epoch, last) in seen.items():
            now, head = heads.get((room.key.tenant_id, room.key.id), (None, last))
            if now == epoch and head < last:
                log.error("hub.history_lost", room=room.key.name, delivered=last, head=head)
                async with self._db.transaction(None) as session:
                    await session.value(
                        "renew_epochs",
                        witness_tenant=room.key.tenant_id,
                        witness_room=room.key.id,
                        seen_epoch=epoch,
                    )
                self._missed_something()  # the heads with their new epochs
                return


def _send(socket: EngineSocket, packets: Iterable[bytes], frames: dict[str, bytes]) -> None:
    """Send packets to one member; `frames` keeps the ready bytes of each format for the next one."""
    if socket.transport is None:
        if not socket.closed:
            for packet in packets:
                socket.hold(packet)
        return
    codec: JsonCodec = socket.codec
    ready = frames.get(codec.name)
    if ready is None:
        ready = frames[codec.name] = codec.frames(packets)
    socket.write(ready)

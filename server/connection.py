"""One client's connection: who it is, its rooms, and its calls in the order they were sent."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog
from uuid_utils import uuid7

from handlers.access import Rights
from handlers.context import Principal
from handlers.dispatch import translate
from handlers.errors import AtriumError, Conflict, Unavailable
from handlers.groups import Result
from handlers.registry import SPECS
from server import calls, envelope, logs, metrics
from server.engine import EngineSocket
from server.frames import JSON
from server.trail import Trail
from storage.rooms import RoomKey, timestamp

if TYPE_CHECKING:
    from server.gateway import Gateway


UNSENT_PAUSE: Final = 0.05
"""How often a client that has too much unsent is looked at again (seconds)."""

NOTICE_PAUSE: Final = 1.0
"""Least time between a new token and the warning that it expires, where tokens live shorter than that (seconds)."""

CLOCK_SLACK: Final = 0.05
"""How much later than a membership's end the database is asked, whose clock decides (seconds)."""


log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Incoming:
    """One event packet as it came."""

    name: object
    data: object
    ack_id: int | None
    at: float
    checked: calls.Checked | None = None


@dataclass(slots=True)
class Answer:
    """A control's answer; `after` runs when the answer is on its way."""

    data: bytes
    after: Callable[[], None] | None = None


class Connection:
    """A client in one tenant. Calls are carried out in the order sent; consecutive commands of one room go into
    its queue together, so that they can share a transaction, and anything else waits for what came before it.
    """

    def __init__(self, gateway: "Gateway", socket: EngineSocket, sid: str, principal: Principal) -> None:
        self.gateway = gateway
        self.socket = socket
        self.sid = sid
        self.principal = principal
        self.rooms: dict[RoomKey, Rights | None] = {}
        """The rooms it is in, with its rights there as of the last look; None while it joins."""
        self.trail = Trail()
        self.began_at = time.time()
        self.heard_at = self.began_at
        """When it last called something (seconds since 1970)."""
        self.closed = False
        self._queue: deque[Incoming] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._lane: RoomKey | None = None
        self._in_flight: set[asyncio.Future[Result]] = set()
        self._limit = gateway.settings.max_pending_commands
        self._timers: list[asyncio.TimerHandle] = []
        self._membership: asyncio.TimerHandle | None = None

    # Calls.

    def receive(self, name: object, data: object, ack_id: int | None) -> None:
        """Take a call in; it is answered when those before it are."""
        self.heard_at = time.time()
        incoming = Incoming(name, data, ack_id, time.perf_counter())
        if self._worker is not None:
            self._queue.append(incoming)
        elif not self._begun_at_once(incoming):
            self._queue.append(incoming)
            self._worker = asyncio.create_task(self._work())

    def _begun_at_once(self, incoming: Incoming) -> bool:
        """Put a command into its room's queue where there is nothing to wait for, neither before it nor in finding out
        where it belongs: most of them need no task and no turn of the event loop for that.
        """
        if self.socket.unsent() > self.gateway.settings.send_hard_limit:
            return False
        try:
            checked = self._check(incoming)
            if checked.spec.kind != "command":
                return False
            locator = self.gateway.dispatcher.locator
            room = locator.known(checked.spec, checked.payload, self.principal, checked.room)
            if room is None or (room != self._lane and self._in_flight):
                return False
            self._submit(checked, room, incoming, _request_id())
        except Exception as error:
            self._refuse(incoming, _request_id(), translate(error))
        return True

    def _check(self, incoming: Incoming) -> calls.Checked:
        """Charge a call to its sender, and look at it; done once."""
        if incoming.checked is None:
            self.gateway.limits.call(incoming.name, self.principal)
            spec = calls.find(incoming.name, ("command", "query", "signal", "control"))
            incoming.checked = calls.check(spec, incoming.data)
        return incoming.checked

    @property
    def is_full(self) -> bool:
        """Whether too many calls wait. Reading stops then: TCP slows the sender down, and nothing is refused."""
        return len(self._queue) + len(self._in_flight) >= self._limit and not self.closed

    def _make_room(self) -> None:
        if not self.is_full:
            self.socket.go_on()

    async def _work(self) -> None:
        try:
            while self._queue:
                await self._wait_until_taken()
                if not self._queue:
                    break
                incoming = self._queue.popleft()
                await self._carry_out(incoming, _request_id())
                self._make_room()
        finally:
            self._worker = None

    async def _wait_until_taken(self) -> None:
        """Begin nothing for a client that does not take what it was sent; end it if it takes too long."""
        settings, waited = self.gateway.settings, 0.0
        while self.socket.unsent() > settings.send_hard_limit and not self.closed:
            if waited > settings.ping_interval + settings.ping_timeout:
                log.info("connection.stalled", sid=self.sid, unsent=self.socket.unsent())
                self.disconnect()
                return
            await asyncio.sleep(UNSENT_PAUSE)
            waited += UNSENT_PAUSE

    async def _carry_out(self, incoming: Incoming, request_id: str) -> None:
        try:
            checked = self._check(incoming)
            spec = checked.spec
            if spec.kind == "command":
                await self._command(checked, incoming, request_id)
                return
            await self._settled()
            if spec.kind == "query":
                locator = self.gateway.dispatcher.locator
                room = await locator.room(spec, checked.payload, self.principal, checked.room)
                result = await self.gateway.dispatcher.query(spec, checked.payload, self.principal, room)
                self._answer(incoming, request_id, result, spec.kind)
                return
            answer: Answer = await spec.handler(self, checked.payload)
            self._answer(incoming, request_id, Result(answer.data), spec.kind)
            if answer.after is not None:
                answer.after()
        except Exception as error:
            self._refuse(incoming, request_id, translate(error))

    async def _command(self, checked: calls.Checked, incoming: Incoming, request_id: str) -> None:
        dispatcher = self.gateway.dispatcher
        room = await dispatcher.locator.room(checked.spec, checked.payload, self.principal, checked.room)
        if room != self._lane:
            await self._settled()
        self._submit(checked, room, incoming, request_id)

    def _submit(self, checked: calls.Checked, room: RoomKey, incoming: Incoming, request_id: str) -> None:
        self._lane = room
        done = self.gateway.dispatcher.submit(
            checked.spec,
            checked.payload,
            self.principal,
            room,
            command_id=checked.command_id,
            expected_version=checked.expected_version,
        )
        self._in_flight.add(done)

        def finish(future: asyncio.Future[Result]) -> None:
            self._in_flight.discard(future)
            self._make_room()
            error = future.exception()
            if error is None:
                self._answer(incoming, request_id, future.result(), "command")
            else:
                self._refuse(incoming, request_id, translate(error))

        done.add_done_callback(finish)

    async def _settled(self) -> None:
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    def _answer(self, incoming: Incoming, request_id: str, result: Result, kind: str) -> None:
        metrics.COMMANDS.labels(str(incoming.name), "ok").inc()
        seconds = time.perf_counter() - incoming.at
        metrics.LATENCY.labels(kind).observe(seconds)
        if seconds > logs.SLOW_CALL:
            logs.slow(str(incoming.name), seconds, request_id)
        if incoming.ack_id is not None:
            self.socket.push(JSON.ack(incoming.ack_id, envelope.success(result, request_id)))

    def _refuse(self, incoming: Incoming, request_id: str, error: AtriumError) -> None:
        known = incoming.name if isinstance(incoming.name, str) and incoming.name in SPECS else "unknown"
        metrics.COMMANDS.labels(known, error.code).inc()
        logs.refused(
            error, name=known, request_id=request_id,
            tenant=str(self.principal.tenant_id), user=str(self.principal.user_id),
        )  # fmt: skip
        if incoming.ack_id is not None:
            self.socket.push(JSON.ack(incoming.ack_id, envelope.failure(error, request_id)))

    # What the server says by itself.

    def emit(self, name: str, data: dict[str, Any]) -> None:
        self.socket.push(JSON.event(name, envelope.dump(data)))

    def put_out(self, room: RoomKey, reason: str) -> None:
        """Take the connection out of a room and tell it why: `revoked`, `deleted`, `inactive` and so on."""
        if self.gateway.leave(self, room, reason):
            self.emit("room.closed", {"room": room.name, "reason": reason})

    def settle(self, room: RoomKey, rights: Rights | None) -> None:
        """Take note of one's rights in a room after a change: out of it, or with other permissions."""
        if rights is None:
            self.put_out(room, "revoked")
        elif (known := self.rooms.get(room)) is not None and known.permissions != rights.permissions:
            self.rooms[room] = rights
            self.emit("room.permissions", {"room": room.name, "permissions": sorted(rights.permissions)})

    def end(self, reason: str) -> None:
        """Put the connection out of all its rooms and close it."""
        for room in list(self.rooms):
            self.put_out(room, reason)
        self._queue.clear()
        self.disconnect()

    def lost_track(self, room: RoomKey, since: int) -> None:
        """The hub has put this connection out of a room with `room.resync`."""
        self.trail.add(room, "resync", since, since)
        self.rooms.pop(room, None)
        self.gateway.presence.leave(self, room)
        self.gateway.schedules.leave(self, room)

    # The life of its token.

    def watch_expiry(self) -> None:
        """Warn before the token expires, and disconnect some time after it has. A key has no successor to ask for:
        its end is one with that of the membership.
        """
        settings, loop = self.gateway.settings, asyncio.get_running_loop()
        for timer in self._timers:
            timer.cancel()
        if self.principal.key_name is not None:
            return
        notice = settings.token_expiry_notice
        grace = 0.0 if self.principal.impersonator_id else settings.token_expiry_grace
        left = self.principal.expires_at - time.time()
        self._timers = [
            loop.call_later(max(left - notice, min(left / 2, NOTICE_PAUSE), 0), self._expiring),
            loop.call_later(max(left + grace, 0), self._expired),
        ]

    def member_until(self, moment: datetime | None, clock_ahead: float) -> None:
        """Check this tenant's connections again when the membership, or the API key, ends by itself: by the clock of
        Postgres, which is so far ahead of this node's (seconds).
        """
        if self._membership is not None:
            self._membership.cancel()
            self._membership = None
        if moment is not None:
            self._membership = asyncio.get_running_loop().call_later(
                max(moment.timestamp() - time.time() - clock_ahead, 0) + CLOCK_SLACK, self._membership_ended
            )

    def _membership_ended(self) -> None:
        self.gateway.keep(asyncio.ensure_future(self.gateway.recheck(self.principal.tenant_id)))

    def limit(self, scopes: Collection[str] | None) -> None:
        """Take note of the scopes that the connection's API key has now."""
        if scopes is not None:
            self.principal = replace(self.principal, scopes=frozenset(scopes))

    def renew(self, principal: Principal) -> None:
        """Go on with a new token of the same person and tenant."""
        if self.principal.key_name is not None or principal.key_name is not None:
            raise Conflict("An API key needs no renewal: its connection lasts as long as the key")
        if principal.impersonator_id != self.principal.impersonator_id:
            raise Conflict("A connection keeps whoever acts by it: connect anew")
        if (principal.user_id, principal.tenant_id) != (self.principal.user_id, self.principal.tenant_id):
            raise Conflict("A connection keeps its person and its tenant: connect anew for another one")
        rights = self.gateway.rights
        # A check that is under way looks at the session before: whether the new one has ended it does not see.
        unseen = principal.session_id != self.principal.session_id and rights.is_checking(principal.tenant_id)
        if unseen or principal.rights_seq < rights.known(principal.tenant_id):
            raise Unavailable("The rights in this tenant have just changed: try again")
        self.principal = principal
        self.watch_expiry()

    @property
    def expires_at(self) -> str:
        return timestamp(datetime.fromtimestamp(self.principal.expires_at, UTC))

    def _expiring(self) -> None:
        self.emit("session.expiring", {"expires_at": self.expires_at})

    def _expired(self) -> None:
        self.disconnect()

    def disconnect(self) -> None:
        """Say goodbye and close; the client may connect anew with a fresh token."""
        self.socket.push(JSON.disconnect())
        self.socket.end(self.socket.server.reason.SERVER_DISCONNECT)

    def shut(self) -> None:
        """The transport has gone, or it was never let in: forget what has not been started."""
        self.closed = True
        self._queue.clear()
        self._make_room()
        for timer in self._timers:
            timer.cancel()
        if self._membership is not None:
            self._membership.cancel()


def _request_id() -> str:
    return uuid7().hex

"""The Socket.IO gateway: protocol 5, namespace `/`, JSON and msgpack, over the engines.

It yields (connection, name, payload, ack id) and knows nothing of what the names mean.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isinf
from random import uniform
from typing import Any, Final
from uuid import UUID

import orjson
import structlog

from handlers.context import Principal
from handlers.dispatch import Dispatcher, translate
from handlers.errors import (
    AtriumError,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    Unauthorized,
    Unavailable,
    ValidationFailed,
)
from handlers.identity.sessions import Sessions
from handlers.rooms import RoomReader, RoomState, parse_since
from server import envelope, logs, metrics
from server.connection import Connection
from server.engine import CLOSE_PATIENCE, Engine, EngineSocket
from server.frames import JSON, MSGPACK, holds_bytes, unpack
from server.hub import Hub
from server.limits import Limits
from server.presence import Presence
from server.rights import RETRY, RightsWatch
from server.schedules import Schedules
from server.trail import Trail
from storage.background import end_tasks
from storage.ids import new_id
from storage.postgres import LOST
from storage.rooms import Position, RoomKey, timestamp
from storage.settings import Settings

log = structlog.get_logger(__name__)

GONE: Final = 200
"""Ended connections that a node remembers (count)."""

INSPECTION: Final = (b"?", b"!")
"""How the control messages begin by which nodes look into each other: a question, an answer."""

RESTARTING: Final = 1012
"""Close code of a WebSocket whose server goes away (IANA, WebSocket Close Code Number Registry)."""

STALE_PAUSE: Final = 0.02
"""Pause before a room is read again that was read before the last change of rights (seconds)."""

SIGN_IN_TRIES: Final = 20
"""How often a sign-in begins anew because rights changed while it was under way."""

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = range(7)
_EVENT: Final = re.compile(r"(\d{0,10})(?=\[)")
_NAMESPACE: Final = re.compile(r"/[^,\[{?]*")
_ANY: Final = re.compile(r"(?P<attachments>\d{1,3}-)?(?P<namespace>/[^,\[{]*,?)?(?P<id>\d{0,10})")
_DELETED: Final = b'2["project.deleted"'
_NO_BINARY: Final = ValidationFailed("Payloads hold no binary data")


@dataclass(frozen=True, slots=True)
class Gone:
    """A connection that has ended."""

    sid: str
    principal: Principal
    format: str
    trail: Trail
    began_at: float
    ended_at: float
    reason: str

    @classmethod
    def of(cls, connection: Connection, reason: str) -> "Gone":
        return cls(
            connection.sid, connection.principal, connection.socket.codec.name, connection.trail,
            connection.began_at, time.time(), reason,
        )  # fmt: skip


class Gateway:
    """All connections of this node."""

    def __init__(
        self, settings: Settings, dispatcher: Dispatcher, hub: Hub, sessions: Sessions, limits: Limits
    ) -> None:
        self.settings = settings
        self.limits = limits
        self.dispatcher = dispatcher
        self.hub = hub
        self.sessions = sessions
        self.presence = Presence(hub, settings)
        self.schedules = Schedules(hub, dispatcher, settings)
        self.reader = RoomReader(dispatcher.db, settings)
        self.rights = RightsWatch(self, dispatcher.db)
        self.draining = False
        self._tenants: dict[UUID, set[Connection]] = {}
        self.engines = {
            "/socket.io/": Engine(settings, JSON, self),
            "/msgpack/socket.io/": Engine(settings, MSGPACK, self),
        }
        self.connections: dict[str, Connection] = {}
        self._unauthenticated: dict[EngineSocket, asyncio.TimerHandle] = {}
        self._attachments: dict[EngineSocket, int] = {}
        self.gone: deque[Gone] = deque(maxlen=GONE)
        """The connections that ended last, for those who ask what became of them."""
        self.inspected: Callable[[bytes], None] = lambda _message: None
        """Gets the messages of other nodes about looking into each other."""
        self._tasks: set[asyncio.Future[Any]] = set()
        hub.on_signal = self.presence.heard
        hub.on_control = self._control
        hub.on_event = self._on_event
        hub.on_rights = self.rights.want

    # What the engines report.

    def admit(self, address: str) -> None:
        self.limits.connection(address)

    def opened(self, socket: EngineSocket) -> None:
        loop = asyncio.get_running_loop()
        self._unauthenticated[socket] = loop.call_later(
            self.settings.connect_timeout, socket.end, socket.server.reason.SERVER_DISCONNECT
        )

    def closed(self, socket: EngineSocket, reason: str) -> None:
        timer = self._unauthenticated.pop(socket, None)
        if timer is not None:
            timer.cancel()
        self._attachments.pop(socket, None)
        connection: Connection | None = socket.connection
        if connection is None:
            return
        self.connections.pop(connection.sid, None)
        self._forget(connection)
        self.gone.append(Gone.of(connection, reason))
        socket.connection = None
        metrics.CONNECTIONS.labels(socket.codec.name).dec()

    def received(self, socket: EngineSocket, data: str | bytes) -> None:
        """One Socket.IO packet. Whatever is in it, the connection stays; of one that is closed nothing is kept."""
        if socket.closed:
            return
        if isinstance(data, bytes):
            self._received_bytes(socket, data)
        elif data[:1] == "2" and socket.connection is not None and (match := _EVENT.match(data, 1)):
            self._event(socket, match[1], data[match.end() :])
        else:
            self._received_other(socket, data)

    def too_large(self, socket: EngineSocket, data: str | bytes) -> None:
        """Refuse a call that is too large, by its ack id alone; the rest is not looked at."""
        ack_id = _ack_id(data)
        self._answer_bad(
            socket, ack_id, PayloadTooLarge(f"A packet may have {self.settings.max_payload} bytes")
        )

    def _event(self, socket: EngineSocket, ack: str, body: str) -> None:
        ack_id = int(ack) if ack else None
        try:
            arguments = orjson.loads(body)
        except ValueError:
            self._answer_bad(socket, ack_id, ValidationFailed("The packet is not valid JSON"))
            return
        self._call(socket, arguments, ack_id)

    def _call(self, socket: EngineSocket, arguments: Any, ack_id: int | None) -> None:
        if socket.connection is None:
            return
        if not isinstance(arguments, list) or not arguments or len(arguments) > 2:
            self._answer_bad(socket, ack_id, ValidationFailed("An event has a name and one payload"))
            return
        socket.connection.receive(arguments[0], arguments[1] if len(arguments) > 1 else None, ack_id)

    def _received_other(self, socket: EngineSocket, data: str) -> None:
        kind, match = data[:1], _ANY.match(data, 1)
        if not match:
            return
        namespace = (match["namespace"] or "/").rstrip(",").split("?")[0] or "/"
        if kind == str(CONNECT):
            self._connect(socket, namespace, data[match.end() :])
        elif namespace != "/":
            return
        elif kind == str(DISCONNECT):
            socket.end(socket.server.reason.SERVER_DISCONNECT)
        elif kind in (str(BINARY_EVENT), str(BINARY_ACK)):
            self._attachments[socket] = int((match["attachments"] or "0-")[:-1])
            if kind == str(BINARY_EVENT):
                self._answer_bad(socket, int(match["id"]) if match["id"] else None, _NO_BINARY)

    def _received_bytes(self, socket: EngineSocket, data: bytes) -> None:
        if self._attachments.get(socket, 0) > 0:
            self._attachments[socket] -= 1  # of a binary event that has been refused
            return
        if socket.codec is not MSGPACK:
            return
        try:
            packet = unpack(data)
            kind, namespace, ack_id = packet["type"], packet.get("nsp", "/"), packet.get("id")
            has_bytes = holds_bytes(packet.get("data"))
        except Exception:  # msgpack raises a dozen kinds, and none of them can be answered
            log.info("gateway.bad_msgpack")
            return
        if not isinstance(ack_id, int) or not 0 <= ack_id < 2**53:
            ack_id = None
        if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
            return
        if kind == CONNECT:
            self._authenticate(socket, namespace, packet.get("data"))
        elif kind == EVENT and namespace == "/":
            if has_bytes:
                self._answer_bad(socket, ack_id, _NO_BINARY)
            else:
                self._call(socket, packet.get("data"), ack_id)
        elif kind == DISCONNECT:
            socket.end(socket.server.reason.SERVER_DISCONNECT)

    def _answer_bad(self, socket: EngineSocket, ack_id: int | None, error: AtriumError) -> None:
        if socket.connection is None:
            return
        try:
            self.limits.call(None, socket.connection.principal)
        except RateLimited as too_many:
            error = too_many
        if ack_id is not None:
            socket.push(JSON.ack(ack_id, envelope.failure(error, new_id().hex)))

    # Connecting.

    def _connect(self, socket: EngineSocket, namespace: str, body: str) -> None:
        try:
            auth = orjson.loads(body) if body else None
        except ValueError:
            auth = None
        self._authenticate(socket, namespace, auth)

    def _authenticate(self, socket: EngineSocket, namespace: str, auth: object) -> None:
        if namespace != "/":
            socket.push(JSON.refused(_connect_error(NotFound("There is no such namespace")), namespace[:100]))
            if socket.connection is None:
                socket.end(socket.server.reason.SERVER_DISCONNECT)
        elif socket.connection is None and (timer := self._unauthenticated.pop(socket, None)):
            timer.cancel()
            self.keep(asyncio.ensure_future(self._open(socket, auth if isinstance(auth, dict) else {})))

    async def _open(self, socket: EngineSocket, auth: dict[str, Any]) -> None:
        """Sign a client in, let it into its tenant's and its own room, and tell it where they stand."""
        try:
            self._require_staying()
            token = auth.get("token")
            if not isinstance(token, str):
                raise Unauthorized("auth.token is missing")
            connection, rooms = await self._sign_in(socket, token, auth.get("since"))
        except Exception as error:
            refusal = translate(error)
            logs.refused(refusal, name="connect", request_id=socket.sid, address=socket.origin.address)
            if isinstance(refusal, Unavailable):
                # A stock client tries again after this, and never after a connect_error.
                await socket.close(wait=False)
                return
            socket.push(JSON.refused(_connect_error(refusal)))
            self._let_try_again(socket)
            return
        if socket.sid not in socket.server.sockets:  # it left while its rooms were read
            self._forget(connection)
            return
        socket.connection = connection
        self.connections[connection.sid] = connection
        metrics.CONNECTIONS.labels(socket.codec.name).inc()
        socket.push(JSON.connected(connection.sid))
        socket.push(JSON.event("session.ready", self._greeting(connection.principal, rooms)))
        for room, state in rooms.items():
            self.enter(connection, room, state)
        connection.watch_expiry()
        connection.member_until(connection.principal.member_until, connection.principal.clock_ahead)

    def _require_staying(self) -> None:
        if self.draining:
            raise Unavailable("This node is going away: connect again")

    async def _sign_in(
        self, socket: EngineSocket, token: str, since: object
    ) -> tuple[Connection, dict[RoomKey, RoomState]]:
        """A connection in its own rooms, checked up to every change of rights that this node knows of."""
        for _ in range(SIGN_IN_TRIES):
            principal = await self.sessions.principal(token, socket.origin)
            if principal.scopes is not None:
                principal = replace(principal, member_until=await self._key_until(principal))
            connection = Connection(self, socket, socket.sid, principal)
            try:
                if self._remember(connection):
                    rooms = await self._own_rooms(connection, since)
                    self._require_staying()  # who is told nothing of a drain would be left behind at its end
                    # The scopes of a key may open neither room; a person always has her own.
                    whole = bool(rooms) or principal.scopes is not None
                    if whole and all(state.rights_seq == principal.rights_seq for state in rooms.values()):
                        return connection, rooms
            except BaseException:
                self._forget(connection)
                raise
            self._forget(connection)
        raise Unavailable("The rights in this tenant are changing just now: connect again")

    async def _key_until(self, principal: Principal) -> datetime | None:
        """When the rights behind an API key change by themselves; for a session its principal knows."""
        async with self.dispatcher.db.transaction(principal.tenant_id) as session:
            moment = await session.value("next_moment", user_id=principal.user_id)
        return min((at for at in (moment, principal.member_until) if at is not None), default=None)

    def _remember(self, connection: Connection) -> bool:
        """Let changes of rights find the connection; False when it was read before the last one."""
        tenant_id, seq = connection.principal.tenant_id, connection.principal.rights_seq
        if seq < self.hub.rights.setdefault(tenant_id, seq):
            return False
        self._tenants.setdefault(tenant_id, set()).add(connection)
        self.rights.want(tenant_id, seq)
        return True

    def _forget(self, connection: Connection) -> None:
        connection.shut()
        for room in list(connection.rooms):
            self.leave(connection, room)
        connections = self._tenants.get(connection.principal.tenant_id, set())
        connections.discard(connection)
        if not connections:
            self._tenants.pop(connection.principal.tenant_id, None)
            self.hub.rights.pop(connection.principal.tenant_id, None)

    def of_tenant(self, tenant_id: UUID) -> list[Connection]:
        """The connections that this node has in a tenant."""
        return list(self._tenants.get(tenant_id, ()))

    def _let_try_again(self, socket: EngineSocket) -> None:
        if not socket.closed:
            self.opened(socket)

    async def _own_rooms(self, connection: Connection, since: object) -> dict[RoomKey, RoomState]:
        principal = connection.principal
        rooms = {}
        for room in (
            RoomKey(principal.tenant_id, "tenant", principal.tenant_id),
            RoomKey(principal.tenant_id, "user", principal.user_id),
        ):
            known = since.get(room.name) if isinstance(since, dict) else None
            try:
                rooms[room] = await self.read(connection, room, _position(known), head_only=known is None)
            except (Forbidden, NotFound):
                self.leave(connection, room)
        return rooms

    def _greeting(self, principal: Principal, rooms: dict[RoomKey, RoomState]) -> bytes:
        heads = b",".join(
            b'"%b":{"epoch":"%b","seq":%d,"mode":"%b"%b}' % (
                room.name.encode(), state.position.epoch.encode(), state.position.seq, state.mode.encode(),
                b"," + state.body if state.body else b"",
            )
            for room, state in rooms.items()
        )  # fmt: skip
        rest = envelope.dump({
            "session_id": principal.session_id,
            "user": {"id": principal.user_id, "name": principal.name, "email": principal.email},
            "tenant": {"id": principal.tenant_id, "name": principal.tenant_name, "slug": principal.tenant_slug},
            "role": principal.role,
            "api_key": _key(principal),
            "impersonated_by": principal.impersonator_id,
            "server_time": timestamp(datetime.now(UTC)),
            "limits": {
                "max_payload": self.settings.max_payload,
                "max_pending": self.settings.max_pending_commands,
                "resume_events": self.settings.resume_limit,
            },
        })  # fmt: skip
        return rest[:-1] + b',"rooms":{' + heads + b"}}"

    # Rooms.

    async def read(
        self, connection: Connection, room: RoomKey, since: Position | None, *,
        window: int | None = None, head_only: bool = False,
    ) -> RoomState:  # fmt: skip
        """Attach a connection to a room, held, and read where the room stands; `enter` lets events flow."""
        await self.hub.attach(room, connection)
        connection.rooms.setdefault(room, None)
        while True:
            state = await self.reader.read(
                connection.principal,
                room,
                since=since,
                window=window or self.settings.snapshot_window,
                limit=self.settings.resume_limit,
                head_only=head_only,
            )
            if state.rights_seq >= self.rights.known(room.tenant_id):
                break
            await asyncio.sleep(STALE_PAUSE)  # a standby that has taken over may not know of that change
        if room in connection.rooms:
            connection.rooms[room] = state.rights
        return state

    def enter(self, connection: Connection, room: RoomKey, state: RoomState) -> None:
        metrics.JOINS.labels(state.mode).inc()
        connection.trail.add(room, state.mode, state.after, state.position.seq)
        self.hub.release(room, connection, state.position)
        if room in connection.rooms and room.kind != "user":
            self.presence.join(connection, room)

    def give_up(self, connection: Connection, room: RoomKey) -> None:
        """A join that could not be carried out changes nothing: who was in the room stays in it."""
        if not self.hub.give_up(room, connection):
            connection.rooms.pop(room, None)
            self.presence.leave(connection, room)
            self.schedules.leave(connection, room)

    def leave(self, connection: Connection, room: RoomKey, why: str = "left") -> bool:
        """Take a connection out of a room; False when it was not in it."""
        connection.rooms.pop(room, None)
        position = self.hub.position(room)
        if not self.hub.detach(room, connection):
            return False
        connection.trail.add(room, why, position, position)
        self.presence.leave(connection, room)
        self.schedules.leave(connection, room)
        return True

    def _on_event(self, room: RoomKey, packet: bytes) -> None:
        self.schedules.heard(room, packet)
        if room.kind == "project" and packet.startswith(_DELETED):
            asyncio.get_running_loop().call_soon(self._close_room, room, "deleted")

    def _close_room(self, room: RoomKey, reason: str) -> None:
        for member in list(self.hub.members(room)):
            if isinstance(member, Connection):
                member.put_out(room, reason)

    # Changes of rights.

    def announce_rights(self, changes: dict[UUID, int]) -> None:
        """Tell all nodes that rights have changed where no event says so, such as when a session ends."""
        self.hub.tell_nodes(orjson.dumps({str(tenant_id): seq for tenant_id, seq in changes.items()}))
        for tenant_id, seq in changes.items():
            self.rights.want(tenant_id, seq)

    def _control(self, message: bytes) -> None:
        if message[:1] in INSPECTION:
            self.inspected(message)
            return
        for tenant_id, seq in orjson.loads(message).items():
            self.rights.want(UUID(tenant_id), seq)

    async def recheck(self, tenant_id: UUID) -> None:
        """Check a tenant's connections though nothing was changed: a membership has ended by itself."""
        while True:
            try:
                async with self.dispatcher.db.transaction(tenant_id) as session:
                    seq = await session.value("raise_rights")
                break
            except LOST as error:
                log.warning("gateway.recheck_postponed", tenant=str(tenant_id), error=repr(error))
                await asyncio.sleep(RETRY)
        self.announce_rights({tenant_id: seq})

    async def drain(self) -> None:
        """Ask everybody to reconnect elsewhere, spread over the time given, then close."""
        self.draining = self.presence.draining = True
        connections = list(self.connections.values())
        spread = self.settings.drain_seconds
        for connection in connections:
            connection.emit("server.draining", {"reconnect_in_ms": int(uniform(0, spread * 500))})
        deadline = asyncio.get_running_loop().time() + spread
        while self.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
        await self.dispatcher.close()
        self.hub.flush_all()
        for connection in list(self.connections.values()):
            connection.socket.end(connection.socket.server.reason.SERVER_DISCONNECT, code=RESTARTING)
        deadline = asyncio.get_running_loop().time() + CLOSE_PATIENCE
        while self._leaving() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Let go of what goes on beside the connections, such as checks that wait for Postgres to come back."""
        await end_tasks(*self._tasks)

    def _leaving(self) -> bool:
        return any(engine.leaving for engine in self.engines.values())

    def keep(self, task: asyncio.Future[Any]) -> None:
        """Hold on to a task until it is done, and log what goes wrong in it."""
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("gateway.task_failed", exc_info=error)


def _key(principal: Principal) -> dict[str, Any] | None:
    """The API key that a connection was opened by."""
    if principal.key_name is None:
        return None
    return {
        "id": principal.session_id, "name": principal.key_name, "scopes": sorted(principal.scopes or ()),
        "expires_at": None if isinf(principal.expires_at) else timestamp(datetime.fromtimestamp(principal.expires_at, UTC)),
    }  # fmt: skip


def _connect_error(error: AtriumError) -> dict[str, Any]:
    data: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.details:
        data["details"] = error.details
    return {"message": error.message, "data": data}


def _position(since: object) -> Position | None:
    if not isinstance(since, dict):
        return None
    epoch, seq = since.get("epoch"), since.get("seq")
    if not isinstance(epoch, str) or not isinstance(seq, int):
        return None
    return parse_since(epoch, seq)


def _ack_id(data: str | bytes) -> int | None:
    if isinstance(data, str):
        match = _EVENT.match(data, 2) if data[:2] == "42" else None
        return int(match[1]) if match and match[1] else None
    try:
        found = unpack(data)["id"]
    except Exception:  # as above: it cannot be answered
        return None
    return found if isinstance(found, int) and 0 <= found < 2**53 else None

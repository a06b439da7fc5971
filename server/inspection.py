"""A look into running nodes: their rooms and connections, and why somebody heard an event, or did not.

Any node answers for all: it asks the others over the bus, and gathers what comes within `PATIENCE`. Who may ask is the
business of the doors: platform administrators by REST, and `python -m server inspect` by a proof made with the
instance's secret.
"""

import asyncio
import hashlib
import hmac
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson

from handlers.context import Principal
from server.connection import Connection
from server.gateway import Gateway, Gone
from server.hub import LiveRoom
from server.trail import Trail, explain
from storage.bus import Bus
from storage.rooms import RoomKey, timestamp

PATIENCE: Final = 0.5
"""How long the answers of other nodes are gathered (seconds)."""

MOST: Final = 200
"""Rooms, and connections, that a node tells at once (count); the fullest rooms and slowest connections first."""

PROOF_LIFE: Final = 60
"""How old a proof of the command line may be (seconds)."""

Question = Mapping[str, Any]
"""`room` (a room's name) and `event` (a number in it), `connection` (a sid), `user` (an id); all may be missing."""


class Inspector:
    """Looks into this node, and asks the others."""

    def __init__(self, gateway: Gateway, bus: Bus, secret: str) -> None:
        self.node = f"{os.uname().nodename}:{os.getpid()}"
        self._gateway = gateway
        self._bus = bus
        self._secret = secret
        self._asked: dict[str, list[Any]] = {}
        gateway.inspected = self._heard

    def is_proven(self, shown: str) -> bool:
        """Whether a proof was made with the instance's secret, not long ago."""
        at, _, signature = shown.partition(".")
        if not at.isascii() or not at.isdigit() or not signature.isascii():
            return False
        fresh = abs(time.time() - int(at[:15])) <= PROOF_LIFE
        return hmac.compare_digest(_signed(self._secret, at), signature) and fresh

    async def everywhere(self, question: Question) -> list[Any]:
        """What each node that can be reached has to say, this one first."""
        answers = [self.here(question)]
        if not self._bus.alone:
            number = os.urandom(8).hex()
            self._asked[number] = answers
            self._gateway.hub.tell_nodes(b"?" + orjson.dumps([number, question]))
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                del self._asked[number]
        return answers

    def _heard(self, message: bytes) -> None:
        number, content = orjson.loads(message[1:])
        if message[:1] == b"?":
            self._gateway.hub.tell_nodes(b"!" + orjson.dumps([number, self.here(content)]))
        elif number in self._asked:
            self._asked[number].append(content)

    def here(self, question: Question) -> dict[str, Any]:
        """The report of this node, with the rooms and connections that are asked for."""
        hub, gateway = self._gateway.hub, self._gateway
        event, wanted = question.get("event"), question.get("room")
        rooms = [room for room in hub.rooms.values() if wanted in (None, room.key.name)]
        rooms.sort(key=lambda room: -len(room.live) - len(room.waiting))
        live = [one for one in gateway.connections.values() if _asked_for(one, one.principal, question)]
        if question.get("connection") is None and question.get("user") is None and wanted is not None:
            live = [one for one in live if any(room.name == wanted for room in one.rooms)]
        live.sort(key=lambda one: -one.socket.unsent())
        ended = [one for one in gateway.gone if _asked_for(one, one.principal, question)]
        asks_for_one = question.get("connection") is not None or question.get("user") is not None
        return {
            "node": self.node,
            "connections": len(gateway.connections),
            "rooms": len(hub.rooms),
            "unsent_bytes": sum(one.socket.unsent() for one in gateway.connections.values()),
            "queued_commands": gateway.dispatcher.queued,
            "bus_healthy": self._bus.healthy,
            "draining": gateway.draining,
            "room_list": [_room(room) for room in rooms[:MOST]],
            "connection_list": [
                *(self._connection(one, wanted, event) for one in live[:MOST]),
                *(self._gone(one, wanted, event) for one in reversed(ended) if asks_for_one),
            ],
        }

    def _connection(self, connection: Connection, room: str | None, event: int | None) -> dict[str, Any]:
        socket = connection.socket
        return {
            **_who(connection.sid, connection.principal, socket.codec.name, connection.began_at),
            "transport": "websocket" if socket.transport is not None else "polling",
            "last_call_at": _moment(connection.heard_at),
            "unsent_bytes": socket.unsent(),
            "ended_at": None,
            "ended": None,
            "rooms": {key.name: self._gateway.hub.position(key) for key in connection.rooms},
            **self._why(connection.trail, connection.principal.tenant_id, room, event),
        }

    def _gone(self, gone: Gone, room: str | None, event: int | None) -> dict[str, Any]:
        return {
            **_who(gone.sid, gone.principal, gone.format, gone.began_at),
            "transport": None,
            "last_call_at": None,
            "unsent_bytes": 0,
            "ended_at": _moment(gone.ended_at),
            "ended": gone.reason,
            "rooms": {},
            **self._why(gone.trail, gone.principal.tenant_id, room, event),
        }

    def _why(self, trail: Trail, tenant_id: UUID, room: str | None, event: int | None) -> dict[str, Any]:
        key = RoomKey.parse(tenant_id, room) if room else None
        steps = trail.of(key) if key else trail.steps
        told: dict[str, Any] = {
            "steps": [
                {"at": _moment(at), "room": step_room.name, "what": what, "after": after, "upto": upto}
                for at, step_room, what, after, upto in steps
            ],
            "heard": None,
            "reason": None,
            "decided_at": None,
        }
        if key is not None and event is not None:
            verdict = explain(trail, key, event, self._gateway.hub.position(key))
            told |= {"heard": verdict.heard, "reason": verdict.reason, "decided_at": _moment(verdict.at)}
        return told


def _asked_for(one: Connection | Gone, principal: Principal, question: Question) -> bool:
    sid, user = question.get("connection"), question.get("user")
    return (sid is None or one.sid == sid) and (user is None or str(principal.user_id) == user)


def _who(sid: str, principal: Principal, codec: str, began_at: float) -> dict[str, Any]:
    return {
        "sid": sid,
        "tenant_id": str(principal.tenant_id),
        "user_id": str(principal.user_id),
        "session_id": str(principal.session_id),
        "format": codec,
        "began_at": _moment(began_at),
    }


def _room(room: LiveRoom) -> dict[str, Any]:
    return {
        "room": room.key.name,
        "tenant_id": str(room.key.tenant_id),
        "epoch": room.epoch,
        "position": room.position,
        "target": max(room.target, room.position),
        "members": len(room.live),
        "joining": len(room.waiting),
        "early_batches": len(room.early),
    }


def _moment(at: float | None) -> str | None:
    return timestamp(datetime.fromtimestamp(at, UTC)) if at is not None else None


# The proof of the command line: it can read the instance's secret, so it runs the server.


def proof(secret: str, now: float | None = None) -> str:
    """What the command line shows: the time, and a signature over it."""
    at = str(int(time.time() if now is None else now))
    return f"{at}.{_signed(secret, at)}"


def _signed(secret: str, at: str) -> str:
    return hmac.new(secret.encode(), b"inspect " + at.encode(), hashlib.sha256).hexdigest()

"""Signals: what a room hears at once, and nobody later."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import Field, JsonValue, StringConstraints

from handlers.errors import Forbidden, NotFound, ValidationFailed
from handlers.registry import Payload, signal
from server.connection import Answer, Connection
from server.envelope import dump
from storage.rooms import RoomKey, timestamp

CURSOR_BYTES: Final = 1024
"""Largest cursor or focus that is passed on (bytes of JSON)."""

LEVELS: Final = 8
"""So many levels at most stand around an entry in what is sent of it (count): it must not be too deep for the encoder there."""

SHARE: Final = "presence.share"

Status = Literal["online", "away", "busy"]


class Focus(Payload):
    kind: Annotated[str, StringConstraints(max_length=50)]
    id: Annotated[str, StringConstraints(max_length=100)]


class SetPresence(Payload):
    room: str
    status: Status = "online"
    focus: Focus | None = Field(None, description="What one is looking at.")
    cursor: dict[str, JsonValue] | None = Field(None, description="Where; up to 1,024 bytes of JSON.")


class Typing(Payload):
    room: str
    thread_id: UUID | None = None


@signal("presence.set", needs=SHARE)
async def set_presence(connection: Connection, payload: SetPresence) -> Answer:
    """Say how one is there and what one is looking at; the others get presence.changed."""
    entry = payload.model_dump(mode="json", exclude={"room"}, exclude_unset=True)
    if _size(entry) > CURSOR_BYTES:
        raise ValidationFailed.field("cursor", f"must not be larger than {CURSOR_BYTES} bytes")
    connection.gateway.presence.update(connection, _joined(connection, payload.room), entry)
    return Answer(b"{}")


@signal("typing.start", needs=SHARE)
async def start_typing(connection: Connection, payload: Typing) -> Answer:
    """Say that one is typing; it ends by itself unless repeated."""
    return _typing(connection, payload, connection.gateway.settings.typing_ttl)


@signal("typing.stop", needs=SHARE)
async def stop_typing(connection: Connection, payload: Typing) -> Answer:
    """Say that one has stopped typing."""
    return _typing(connection, payload, 0)


def _typing(connection: Connection, payload: Typing, seconds: float) -> Answer:
    room = _joined(connection, payload.room)
    data = {
        "room": room.name,
        "user_id": connection.principal.user_id,
        "thread_id": payload.thread_id,
        "until": timestamp(datetime.now(UTC) + timedelta(seconds=seconds)),
    }
    connection.gateway.hub.signal(room, "typing", dump(data), skip=connection)
    return Answer(b"{}")


def _size(entry: dict[str, object]) -> int:
    sent: object = entry
    for _ in range(LEVELS):
        sent = [sent]
    try:
        return len(dump(sent)) - 2 * LEVELS
    except TypeError:  # too deep for the encoder
        return sys.maxsize


def _joined(connection: Connection, name: str) -> RoomKey:
    room = RoomKey.parse(connection.principal.tenant_id, name)
    if room is None or room not in connection.rooms:
        raise NotFound("Join the room first")
    rights = connection.rooms[room]
    if rights is None or not rights.allow(SHARE):
        raise Forbidden(f"This needs the permission {SHARE}", details={"permission": SHARE})
    return room

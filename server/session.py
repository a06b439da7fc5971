"""Calls about the connection itself: join and leave rooms, renew the token."""

from typing import Annotated

from pydantic import Field

from handlers.errors import Forbidden, NotFound
from handlers.registry import Payload, Seq, Text, control
from handlers.rooms import RoomState, parse_since
from server.connection import Answer, Connection
from server.envelope import dump
from storage.rooms import RoomKey


class Since(Payload):
    epoch: Annotated[Text, Field(max_length=64)]
    seq: Seq


class Window(Payload):
    tasks: int | None = Field(None, ge=1, le=5000, description="Tasks per column at most.")


class Join(Payload):
    room: Annotated[Text, Field(max_length=100)]
    since: Since | None = Field(
        None, description="The position up to which the client has the room's events."
    )
    window: Window | None = Field(None, description="How much of a large room the snapshot may hold.")


class Leave(Payload):
    room: Annotated[Text, Field(max_length=100)]


class Renew(Payload):
    token: Annotated[Text, Field(max_length=8000)]


@control("room.join")
async def join(connection: Connection, cmd: Join) -> Answer:
    """Join a room: its state or what was missed since a position, then every event. Joining twice is harmless."""
    room = _room(connection, cmd.room)
    since = parse_since(cmd.since.epoch, cmd.since.seq) if cmd.since else None
    window = cmd.window.tasks if cmd.window else None
    gateway = connection.gateway
    try:
        state = await gateway.read(connection, room, since, window=window)
        joined = _joined(connection, room, state)
    except (Forbidden, NotFound):
        gateway.leave(connection, room)
        raise
    except BaseException:
        gateway.give_up(connection, room)
        raise
    if connection.closed:
        gateway.leave(connection, room)
        return Answer(b"{}")
    if room not in connection.rooms:  # put out while it was read
        raise NotFound("There is no such room")
    return Answer(joined, after=lambda: gateway.enter(connection, room, state))


@control("room.leave")
async def leave(connection: Connection, cmd: Leave) -> Answer:
    """Leave a room: no more of its events come."""
    connection.gateway.leave(connection, _room(connection, cmd.room))
    return Answer(dump({"room": cmd.room}))


@control("session.refresh")
async def refresh(connection: Connection, cmd: Renew) -> Answer:
    """Go on with a new access token of the same person and tenant, without reconnecting."""
    connection.renew(await connection.gateway.sessions.principal(cmd.token, connection.socket.origin))
    return Answer(dump({"expires_at": connection.expires_at}))


def _room(connection: Connection, name: str) -> RoomKey:
    room = RoomKey.parse(connection.principal.tenant_id, name)
    if room is None:
        raise NotFound("There is no such room")
    return room


def _joined(connection: Connection, room: RoomKey, state: RoomState) -> bytes:
    rest = dump({
        "room": room.name,
        "epoch": state.position.epoch,
        "seq": state.position.seq,
        "mode": state.mode,
        "presence": connection.gateway.presence.state(room),
        "permissions": sorted(state.rights.permissions),
    })  # fmt: skip
    return rest[:-1] + b"," + state.body + b"}" if state.body else rest

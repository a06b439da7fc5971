"""What a client hears beside the events of rooms: the server's own messages, the envelope, answers to controls.

The server writes these bytes by hand where it is fast; the models are their description, in OpenAPI, AsyncAPI
and the reference, and tests hold them against what is really sent.
"""

from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from handlers.access import Role
from handlers.registry import Pagination, Seq, Timestamp
from handlers.work.planning.schedule import Schedule
from server.signals import Focus, Status

MESSAGES: Final[dict[str, type["Message"]]] = {}
"""Every message that the server sends by itself."""


class Wire(BaseModel):
    """Something that the server sends."""

    model_config = ConfigDict(extra="forbid")


# The envelope of an answer: an ack over sockets, the body over REST.


class CommandMeta(Wire):
    room: str = Field(description="The room that the command changed.")
    seq: Seq = Field(description="Number of the command's last event in that room.")
    duplicate: bool = Field(
        description="Whether this command_id was known, and this is its first reply again."
    )


class QueryMeta(Wire):
    room: str = Field(description="The room that was read.")


class PageMeta(QueryMeta):
    pagination: Pagination


class ListMeta(Wire):
    pagination: Pagination


class NoMeta(Wire):
    pass


class ErrorBody(Wire):
    """Why a call was refused; docs/reference/errors.md lists the codes."""

    code: str
    message: str
    details: dict[str, JsonValue]
    field_errors: dict[str, list[str]] = Field(description="Field of the payload -> what is wrong with it.")
    retry_after: float | None = Field(
        description="Trying again helps after this time (seconds); null: never."
    )


class Failure(Wire):
    """The answer to a call that was refused."""

    success: Literal[False]
    error: ErrorBody
    timestamp: Timestamp
    request_id: str


# Events of rooms.


class Actor(Wire):
    id: UUID
    name: str | None


class RoomEvent(Wire):
    """One event of a room: it has the next number in its room, and is the same for everybody who hears it."""

    room: str
    seq: Seq = Field(description="Number in the room, from 1, without a hole.")
    at: Timestamp
    actor: Actor
    command_id: UUID = Field(description="The command that caused it.")
    data: dict[str, JsonValue]


class Snapshot(BaseModel):
    """A room's state: entity lists, by the kind of the room."""


# Presence.


class Present(Wire):
    """One person in a room, however many windows she has."""

    user_id: UUID
    name: str
    status: Status
    focus: Focus | None = None
    cursor: dict[str, JsonValue] | None = None


class Absent(Wire):
    user_id: UUID


class RoomPresence(Wire):
    """Who is in a room; in a large one the count alone."""

    members: list[Present]
    count: int


# Answers to controls and signals.

Mode = Literal["snapshot", "events", "current"]


class RoomHead(Wire):
    """Where a room stands: its state, or what was missed since the client's position, or neither."""

    epoch: UUID
    seq: Seq
    mode: Mode
    snapshot: Snapshot | None = Field(None, description="With mode `snapshot`.")
    events: list[RoomEvent] | None = Field(None, description="With mode `events`.")


class Joined(RoomHead):
    """One is in the room; every event after `seq` will come."""

    room: str
    presence: RoomPresence
    permissions: list[str] = Field(description="What one may do in this room.")


class Left(Wire):
    room: str


class Renewed(Wire):
    expires_at: Timestamp


class Received(Wire):
    """It was received; there is nothing to tell."""


class WatchedSchedule(Wire):
    """The schedule as it is; `schedule.changed` comes with every other one."""

    schedule: Schedule


ANSWERS: Final[dict[str, type[Wire]]] = {
    "room.join": Joined,
    "room.leave": Left,
    "session.refresh": Renewed,
    "presence.set": Received,
    "typing.start": Received,
    "typing.stop": Received,
    "schedule.watch": WatchedSchedule,
    "schedule.unwatch": Left,
}
"""Control or signal -> `data` of its answer."""


# What the server says by itself.


class Message(Wire):
    """A message of the server, named like an event: `class RoomClosed(Message, name="room.closed")`."""

    name: ClassVar[str]

    def __init_subclass__(cls, name: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = name
        MESSAGES[name] = cls

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Takes the class keyword that `__init_subclass__` has used."""


class ReadyUser(Wire):
    id: UUID
    name: str
    email: str


class ReadyTenant(Wire):
    id: UUID
    name: str
    slug: str


class Limits(Wire):
    max_payload: int = Field(description="Largest packet (bytes).")
    max_pending: int = Field(description="Unanswered calls after which the server reads no further (count).")
    resume_events: int = Field(description="Missed events above which a snapshot comes instead (count).")


class ReadyKey(Wire):
    id: UUID
    name: str
    scopes: list[str] = Field(description="The permissions it is limited to.")
    expires_at: Timestamp | None


class SessionReady(Message, name="session.ready"):
    """The connection is signed in; it is in its tenant's and its own room already."""

    session_id: UUID = Field(description="The session, or the API key.")
    user: ReadyUser
    tenant: ReadyTenant
    role: Role
    api_key: ReadyKey | None = Field(
        description="The key that the connection was opened by; null for a session."
    )
    impersonated_by: UUID | None = Field(
        description="Who acts as this person, of those who run the server; null for herself."
    )
    server_time: Timestamp
    limits: Limits
    rooms: dict[str, RoomHead] = Field(description="Room -> where it stands.")


class SessionExpiring(Message, name="session.expiring"):
    """The access token is about to expire: call session.refresh with a new one to stay connected."""

    expires_at: Timestamp


class RoomClosed(Message, name="room.closed"):
    """The connection is not in this room any more."""

    room: str
    reason: Literal["revoked", "expired", "deleted", "inactive", "suspended"]


class RoomPermissions(Message, name="room.permissions"):
    """What the connection may do in a room has changed, and is this now."""

    room: str
    permissions: list[str]


class RoomResync(Message, name="room.resync"):
    """The connection was too slow and is out of this room: join again with `since`."""

    room: str
    since_seq: Seq = Field(description="Number of the last event that was sent.")


class ServerDraining(Message, name="server.draining"):
    """The node is going away: wait so long, then connect anew."""

    reconnect_in_ms: int


class PresenceChanged(Message, name="presence.changed"):
    """Who came, changed or went in a room; in a large one the count alone."""

    room: str
    joined: list[Present]
    updated: list[Present]
    left: list[Absent]
    count: int


class TypingNow(Message, name="typing"):
    """Somebody is typing, until then."""

    room: str
    user_id: UUID
    thread_id: UUID | None
    until: Timestamp


class ScheduleChanged(Message, name="schedule.changed"):
    """A schedule that the connection watches is another one now; `project.schedule` answers all of it."""

    room: str
    starts_at: Timestamp
    finishes_at: Timestamp | None
    critical_task_ids: list[UUID] = Field(
        description="The critical path in the order of its starts: the first 1,000 tasks of it."
    )
    critical_count: int = Field(description="How many tasks are on it.")

"""Running nodes, as those see them who run the server."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from handlers import evidence
from handlers.context import Edge
from handlers.registry import Payload, Reply, Seq, Text, endpoint


class InspectNodes(Payload):
    room: Annotated[Text, Field(max_length=100)] | None = Field(
        None, description="Only this room, such as `project:<id>`, and who is in it."
    )
    event: Seq | None = Field(
        None, description="Say of each connection why it heard this event of the room, or not."
    )
    connection: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        None, description="Only this connection, by the id that its client got; also one that ended lately."
    )
    user: UUID | None = Field(
        None, description="Only the connections of this account; also those that ended lately."
    )


class NodeRoom(Reply):
    """A room with members on a node."""

    room: str
    tenant_id: UUID
    epoch: str | None = Field(description="Null while nobody has come in yet.")
    position: int = Field(description="Number up to which the node has delivered.")
    target: int = Field(
        description="Number up to which it knows that there are events; more than `position`: it reads the log."
    )
    members: int
    joining: int = Field(description="Members whose join is under way (count).")
    early_batches: int = Field(description="Batches of events that wait for others before them (count).")


class Step(Reply):
    """Something that became of a connection in a room."""

    at: str
    room: str
    what: str = Field(
        description="`snapshot`, `events` or `current`: how its join was answered; `left`, `resync`, or why it was put out."
    )
    after: int = Field(description="A join's answer holds the events after this number,")
    upto: int = Field(description="up to this one. For anything else: where the room stood.")


class NodeConnection(Reply):
    """A connection of a node, or one that it had lately."""

    sid: str
    tenant_id: UUID
    user_id: UUID
    session_id: UUID = Field(description="The session, or the API key.")
    format: str = Field(description="`json` or `msgpack`.")
    transport: str | None = Field(description="`websocket` or `polling`; null when it has ended.")
    began_at: str
    last_call_at: str | None
    ended_at: str | None
    ended: str | None = Field(description="Why it has ended.")
    unsent_bytes: int = Field(description="What the client has not taken yet (bytes).")
    rooms: dict[str, int] = Field(
        description="The rooms it is in -> number up to which events were delivered there."
    )
    steps: list[Step]
    heard: bool | None = Field(description="Whether it has the event that is asked for; null: not yet.")
    reason: str | None = Field(
        description="`live`, `snapshot`, `missed_events`, `known`, `behind`, `resync`, `not_there`, `never_joined` or "
        "`forgotten`; see docs/operations.md."
    )
    decided_at: str | None = Field(description="When the step was that decides it.")


class NodeReport(Reply):
    """What one node says of itself."""

    node: str = Field(description="Host and process id.")
    connections: int
    rooms: int
    unsent_bytes: int
    queued_commands: int
    bus_healthy: bool
    draining: bool
    room_list: list[NodeRoom] = Field(description="The 200 fullest.")
    connection_list: list[NodeConnection] = Field(description="The 200 with the most unsent.")


class NodeReports(Reply):
    """Every node that answered within half a second."""

    nodes: list[NodeReport]


@endpoint("platform.inspect", rest="GET /platform/nodes", platform=True)
async def inspect(edge: Edge, ask: InspectNodes) -> NodeReports:
    """Nodes, rooms and connections as they are now, and why a connection heard an event, or did not."""
    async with edge.db.transaction(None) as session:
        await edge.note(session, tenant_id=evidence.INSTANCE, resource=ask.room or "nodes")
    found = await edge.inspect(ask.model_dump(mode="json"))
    return NodeReports.model_validate({"nodes": found})

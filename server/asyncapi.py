"""AsyncAPI 3.0 from the registry: every call with its ack, every event, and the server's own messages.

One Socket.IO event is one channel, named like it. The document speaks for the server: what clients call it
receives, events and messages it sends.
"""

from typing import Any, Final

from handlers.errors import ERRORS
from handlers.registry import EVENTS, Event, Spec
from server.describe import (
    VERSION,
    Schema,
    Schemas,
    details,
    envelope,
    first_line,
    meta,
    needs_room,
    noun,
    nouns,
    pascal,
    prune,
    ref,
    reply,
    schemas,
)
from server.messages import MESSAGES, Failure, Message, RoomEvent

INFO: Final = """\
Socket.IO protocol 5 (any stock client, version 4), namespace `/`, over WebSocket or long polling. Connect with \
`auth: {token}`, and with `auth.since: {room: {epoch, seq}}` to resume the tenant's and one's own room. A refused \
connection gives `connect_error` with `data: {code, message}`. Call with `emit(name, payload, ack)`; the ack gets \
the envelope. Clients of socket.io-msgpack-parser use the path `/msgpack/socket.io/` and share rooms with the others."""

SERVERS: Final[dict[str, Schema]] = {
    kind: {
        "host": "localhost:8080",
        "pathname": path,
        "protocol": "socket.io",
        "protocolVersion": "5",
        "description": f"Packets in {words}.",
        "security": [ref("securitySchemes", "token")],
    }
    for kind, path, words in (
        ("json", "/socket.io/", "JSON"),
        ("msgpack", "/msgpack/socket.io/", "MessagePack"),
    )
}

RESERVED: Final[dict[str, Schema]] = {
    "room": {"type": "string", "description": "The room, where no id in the payload decides it."},
    "command_id": {
        "type": "string",
        "format": "uuid",
        "description": "Sent again, the command changes nothing and returns its first reply.",
    },
    "expected_version": {
        "type": "integer",
        "minimum": 1,
        "description": "Refuse to overwrite any other version.",
    },
}


def asyncapi() -> dict[str, Any]:
    """The whole document; the same registry gives the same bytes."""
    specs = [
        spec
        for listed in nouns().values()
        for spec in listed
        if spec.kind in ("command", "query", "signal", "control")
    ]
    events = [EVENTS[name] for name in sorted(EVENTS)]
    own = [MESSAGES[name] for name in sorted(MESSAGES)]
    found = schemas(
        sent=[spec.payload for spec in specs],
        heard=[Failure, *events, *own, *(model for spec in specs for model in (reply(spec), meta(spec)))],
    )
    messages: dict[str, Schema] = {"refused": _refused(found)}
    channels: dict[str, Schema] = {}
    operations: dict[str, Schema] = {}
    for spec in specs:
        messages |= {spec.name: _call(found, spec), f"{spec.name}.ack": _ack(found, spec)}
        channels[spec.name] = _channel(spec.name, call=spec.name, ack=f"{spec.name}.ack", refused="refused")
        operations[spec.name] = _receive(spec)
    all_heard: list[type[Event | Message]] = [*events, *own]
    for heard in all_heard:
        messages[heard.name] = _event(found, heard) if issubclass(heard, Event) else _message(found, heard)
        channels[heard.name] = _channel(heard.name, event=heard.name)
        operations[heard.name] = _send(heard)
    document = {
        "asyncapi": "3.0.0",
        "info": {"title": "Atrium", "version": VERSION, "description": INFO, "license": {"name": "MIT"}},
        "defaultContentType": "application/json",
        "servers": SERVERS,
        "channels": channels,
        "operations": operations,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "httpApiKey",
                    "name": "token",
                    "in": "query",
                    "description": "An access token as `auth.token` of the Socket.IO handshake, never in the URL.",
                }
            },
            "messages": messages,
            "schemas": found.definitions,
        },
    }
    return prune(document)


def _channel(address: str, **messages: str) -> Schema:
    return {"address": address, "messages": {key: ref("messages", name) for key, name in messages.items()}}


def _in_channel(name: str, *messages: str) -> Schema:
    listed = [{"$ref": f"#/channels/{name}/messages/{message}"} for message in messages]
    return {"channel": {"$ref": f"#/channels/{name}"}, "messages": listed}


def _receive(spec: Spec) -> Schema:
    return {
        "action": "receive",
        "title": spec.name,
        "summary": first_line(spec.doc),
        **({"description": said} if (said := details(spec)) else {}),
        "tags": [{"name": spec.kind}, {"name": noun(spec)}],
        "x-permission": spec.needs,
        **_in_channel(spec.name, "call"),
        "reply": _in_channel(spec.name, "ack", "refused"),
    }


def _send(heard: type[Event | Message]) -> Schema:
    kind = "event" if issubclass(heard, Event) else "message"
    return {
        "action": "send",
        "title": heard.name,
        "summary": first_line(heard.__doc__),
        "tags": [{"name": kind}, {"name": heard.name.partition(".")[0]}],
        **_in_channel(heard.name, "event"),
    }


def _call(found: Schemas, spec: Spec) -> Schema:
    """A payload as a socket sends it: with the reserved fields that this kind of call takes."""
    definition = found.definition(found.sent(spec.payload))
    own = definition.get("properties", {})
    taken = [] if spec.kind in ("signal", "control") else ["room"]
    taken += ["command_id"] if spec.kind == "command" else []
    taken += ["expected_version"] if spec.versioned else []
    required = [*definition.get("required", ()), *(["room"] if needs_room(spec) else [])]
    schema = {**definition, "title": f"{pascal(spec.name)}Call"}
    schema["properties"] = own | {name: RESERVED[name] for name in taken if name not in own}
    if required:
        schema["required"] = required
    found.definitions[schema["title"]] = schema
    return {
        "name": spec.name,
        "title": f"Call {spec.name}",
        "summary": first_line(spec.doc),
        "payload": ref("schemas", schema["title"]),
    }


def _ack(found: Schemas, spec: Spec) -> Schema:
    return {
        "name": f"{spec.name}.ack",
        "title": f"Answer to {spec.name}",
        "summary": first_line(reply(spec).__doc__) or "Done.",
        "payload": envelope(found, spec),
    }


def _refused(found: Schemas) -> Schema:
    codes = {"type": "string", "enum": [error.code for error in ERRORS]}
    return {
        "name": "refused",
        "title": "Answer to any call that was refused",
        "summary": "Nothing was changed; `error.code` says why.",
        "payload": {
            "allOf": [found.heard(Failure), {"properties": {"error": {"properties": {"code": codes}}}}]
        },
    }


def _event(found: Schemas, event: type[Event]) -> Schema:
    data = {"properties": {"data": found.heard(event)}}
    return {
        "name": event.name,
        "title": event.name,
        "summary": first_line(event.__doc__),
        "payload": {"allOf": [found.heard(RoomEvent), data]},
    }


def _message(found: Schemas, message: type[Message]) -> Schema:
    return {
        "name": message.name,
        "title": message.name,
        "summary": first_line(message.__doc__),
        "payload": found.heard(message),
    }

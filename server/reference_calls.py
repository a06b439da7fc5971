"""The two large reference pages: what can be called, and what can be heard."""

import re
from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel

from handlers.registry import EVENTS, SPECS, Event, Spec
from server.describe import ANYWHERE, Schema, Schemas, about, decides_room, errors, first_line, nouns, reply
from server.markdown import anchor, table, type_of
from server.messages import MESSAGES, Message, RoomEvent
from server.rest import BASE

CALLS_HEAD: Final = """\
# Commands, queries and signals

Over Socket.IO: `emit(name, payload, ack)`. Over REST: the route, with the fields that are not in its path in the
JSON body, or in the query string of a query. Unknown fields are refused. Three fields are reserved: `room` (needed
only where it says so below), `command_id` (a UUID; header `Idempotency-Key`) for every command, and
`expected_version` (header `If-Match: "7"`) for what is versioned.

A *command* changes a room. A *query* reads. A *signal* is heard at once and never again, and a *control* is about
the connection: both exist over sockets only. An *endpoint* exists over REST only, and so do an *upload*, which is a command
with bytes as its body and its fields in the query string, and a *download*, which answers bytes.

Any call may end with {anywhere}; its other errors are listed with it. [What they mean](errors.md).
"""
EVENTS_HEAD: Final = """\
# Events and messages

An event belongs to a room, has the next number there, and is in the log. A message is the server's own: it is not
logged, and lost when nobody is there. In the data of an event a singular key holds one whole or partial entity with
its id, and a plural key a list of them; `removed: true` takes it away; `was` holds the old values of changed fields.

Every event comes in this envelope:
"""

# Commands, queries, signals, controls, endpoints.


def commands(found: Schemas) -> str:
    parts = [
        CALLS_HEAD.format(anywhere=", ".join(f"`{error.code}`" for error in ANYWHERE)),
        table(
            ("name", "kind", "what it does"), (_row(spec) for listed in nouns().values() for spec in listed)
        ),
    ]
    for noun, listed in nouns().items():
        parts += [f"## {noun}\n", f"{about(listed)}\n", *(_call(found, spec) for spec in listed)]
    return "\n".join(parts)


def _row(spec: Spec) -> tuple[str, str, str]:
    return f"[`{spec.name}`](#{anchor(spec.name)})", spec.kind, first_line(spec.doc)


def _call(found: Schemas, spec: Spec) -> str:
    facts = [f"Kind: {spec.kind}" + (", versioned" if spec.versioned else "")]
    if spec.route:
        facts.append(f"REST: `{spec.route.method} {BASE}{spec.route.path}` gives {spec.status}")
    facts += [
        f"Room: {decides_room(spec)}",
        f"Permission: {_permission(spec)}",
        f"Answers: {_answer(found, spec)}",
    ]
    if spec.events:
        facts.append(f"Events: {', '.join(_event_link(event) for event in spec.events)}")
    if codes := [f"`{error.code}`" for error in errors(spec) if error not in ANYWHERE]:
        facts.append(f"Errors: {', '.join(codes)}")
    rows = list(_fields(found, found.sent(spec.payload)))
    fields = table(("field", "type", "default", "meaning"), rows) if rows else "No fields.\n"
    said = "\n".join(line.strip() for line in spec.doc.strip().splitlines())
    return f"### {spec.name}\n\n{said}\n\n" + "".join(f"- {fact}\n" for fact in facts) + f"\n{fields}"


def _permission(spec: Spec) -> str:
    if spec.public:
        return "none, no token either"
    if spec.needs:
        return f"[`{spec.needs}`](permissions.md)"
    return "none beyond seeing the room" if spec.kind in ("command", "query") else "none"


def _answer(found: Schemas, spec: Spec) -> str:
    if spec.produces != "application/json":
        json = ", or a JSON list for `Accept: application/json`" if spec.kind == "export" else ""
        return f"a file, `{spec.produces}`{json}"
    definition = found.definition(found.heard(reply(spec)))
    listed = [f"`{name}` {type_of(field)}" for name, field in definition.get("properties", {}).items()]
    return ", ".join(listed) or "nothing"


def _fields(
    found: Schemas, reference: Schema, prefix: str = "", within: tuple[str, ...] = ()
) -> Iterable[tuple[str, str, str, str]]:
    """A row for each field; those of an object within follow it."""
    definition = found.definition(reference)
    for name, field in definition.get("properties", {}).items():
        choices = [field, *field.get("anyOf", ())]
        inner = [choice for choice in _objects(choices) if "properties" in found.definition(choice)]
        listed = any("items" in choice for choice in choices)
        said = field.get("description", "")
        if len(inner) == 1:
            said = said or found.definition(inner[0]).get("description", "")
        kind = type_of(field)
        if inner:
            kind = ("list of objects" if listed else "object") + (" or null" if field.get("anyOf") else "")
        yield f"`{prefix}{name}`", kind, _default(name, field, definition), said
        for one in inner:
            if one["$ref"] not in within:  # else it holds more of its own kind
                under = f"{prefix}{name}{'[]' if listed else ''}."
                yield from _fields(found, one, under, (*within, one["$ref"]))


def _objects(choices: list[Schema]) -> list[Schema]:
    """The objects that a field may hold, in a list or alone; several where one field of theirs says which it is."""
    choices = [*choices, *(choice["items"] for choice in choices if "items" in choice)]
    several = [choice for each in choices for choice in each.get("oneOf", ()) if "$ref" in choice]
    return several or [choice for choice in choices if "$ref" in choice][:1]


def _default(name: str, field: Schema, definition: Schema) -> str:
    if name in definition.get("required", ()):
        return "**required**"
    value = field.get("default")
    if value is None:
        return "unset"
    return f"`{value}`" if value not in ("", [], {}) else "empty"


# Events and the server's own messages.


def events(found: Schemas) -> str:
    named = [EVENTS[name] for name in sorted(EVENTS)]
    own = [MESSAGES[name] for name in sorted(MESSAGES)]
    envelope = found.definition(found.heard(RoomEvent))["properties"]
    parts = [
        EVENTS_HEAD,
        table(
            ("field", "type", "meaning"),
            ((f"`{k}`", type_of(v), v.get("description", "")) for k, v in envelope.items()),
        ),
        "## Events\n",
        *(_heard(found, event) for event in named),
        "## Messages of the server\n",
        *(_heard(found, message) for message in own),
        "## Models\n",
        "What the keys above and the answers of calls hold.\n",
        *(
            _model(found, name)
            for name in _held(found, [*named, *own, *(reply(spec) for spec in SPECS.values())])
        ),
    ]
    return "\n".join(parts)


def _heard(found: Schemas, heard: type[Event | Message]) -> str:
    causes = sorted(spec.name for spec in SPECS.values() if heard in spec.events)
    caused = (
        f"After: {', '.join(f'[`{name}`](commands.md#{anchor(name)})' for name in causes)}\n\n"
        if causes
        else ""
    )
    if not causes and issubclass(heard, Event):
        caused = "After: other events, in the same transaction\n\n"
    return f"### {heard.name}\n\n{(heard.__doc__ or '').strip()}\n\n{caused}{_properties(found.definition(found.heard(heard)))}"


def _held(found: Schemas, heard: Iterable[type[BaseModel]]) -> list[str]:
    """Names of the models that are somewhere in what is heard."""
    waiting = [found.definition(found.heard(model)) for model in heard]
    names: set[str] = set()
    while waiting:
        fresh = set(re.findall(r"#/components/schemas/([\w-]+)", str(waiting.pop()))) - names
        names |= fresh
        waiting += [found.definitions[name] for name in fresh]
    return sorted(name for name in names if "properties" in found.definitions[name])


def _model(found: Schemas, name: str) -> str:
    definition = found.definitions[name]
    said = f"{definition['description']}\n\n" if "description" in definition else ""
    return f"### {name}\n\n{said}{_properties(definition)}"


def _properties(definition: Schema) -> str:
    if choices := definition.get("anyOf"):
        return f"One of: {', '.join(map(type_of, choices))}\n"
    always = definition.get("required", ())
    rows = [
        (
            f"`{name}`",
            type_of(field),
            "" if name in always else "may be missing",
            field.get("description", ""),
        )
        for name, field in definition.get("properties", {}).items()
    ]
    return table(("field", "type", "", "meaning"), rows) if rows else "No fields.\n"


def _event_link(event: type[Event]) -> str:
    return f"[`{event.name}`](events.md#{anchor(event.name)})"

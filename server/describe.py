"""What the descriptions have in common: the registry as JSON schemas, and what can be said of every call."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema

from handlers.errors import (
    AtriumError,
    Conflict,
    Forbidden,
    Internal,
    NotFound,
    PayloadTooLarge,
    QuotaExceeded,
    RateLimited,
    Unauthorized,
    Unavailable,
    ValidationFailed,
    VersionConflict,
)
from handlers.registry import SNAPSHOTS, SPECS, Outcome, Page, Route, Spec, locating
from handlers.rooms import RawEvents, RawSnapshot
from server.messages import (
    ANSWERS,
    CommandMeta,
    ListMeta,
    NoMeta,
    PageMeta,
    QueryMeta,
    Received,
    RoomEvent,
    Snapshot,
    Wire,
)
from storage.rooms import timestamp

VERSION: Final = "0.1.0"
ANYWHERE: Final[tuple[type[AtriumError], ...]] = (
    Unauthorized,
    ValidationFailed,
    RateLimited,
    Internal,
    Unavailable,
)
"""Errors that any call may end with."""

REF: Final = "#/components/schemas/{model}"

Schema = dict[str, Any]
Mode = Literal["validation", "serialization"]


class AnyReply(Wire):
    """A reply whose model the handler's annotation does not tell."""


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas of some models: one reference each, and the definitions behind them."""

    refs: Mapping[tuple[Any, Mode], Schema]
    definitions: dict[str, Schema]

    def sent(self, model: type[BaseModel]) -> Schema:
        """Reference to what a client sends."""
        return self.refs[model, "validation"]

    def heard(self, model: type[BaseModel]) -> Schema:
        """Reference to what a client gets."""
        return self.refs[model, "serialization"]

    def definition(self, reference: Schema) -> Schema:
        return self.definitions[reference["$ref"].rpartition("/")[2]]


class _Plain(GenerateJsonSchema):
    """Without a title for every field, and with the format of our timestamps."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def ser_schema(self, schema: Any) -> JsonSchemaValue | None:
        if schema.get("function") is timestamp:
            return {"type": "string", "format": "date-time"}
        return super().ser_schema(schema)


def schemas(sent: Iterable[type[BaseModel]], heard: Iterable[type[BaseModel]]) -> Schemas:
    """The schemas of models that clients send and of models that they get, definitions by name."""
    states: list[type[BaseModel]] = [get_type_hints(handler)["return"] for handler in SNAPSHOTS.values()]
    got: list[type[BaseModel]] = [*heard, *states, Snapshot, RoomEvent, RawSnapshot, RawEvents]
    models: set[tuple[type[BaseModel], Mode]] = {(model, "validation") for model in sent}
    models |= {(model, "serialization") for model in got}
    wanted = sorted(models, key=lambda pair: (pair[0].__module__, pair[0].__qualname__, pair[1]))
    refs, document = models_json_schema(wanted, ref_template=REF, schema_generator=_Plain)
    found = Schemas(refs, dict(sorted(document["$defs"].items())))
    if alike := [name for name in found.definitions if "__" in name]:  # told apart by their modules
        raise ValueError(f"models of one name: {', '.join(alike)}")
    for definition in list(found.definitions.values()):
        if "$ref" in (changes := definition.get("properties", {}).get("changes", {})):
            _forget_defaults(found.definition(changes))
    # What these hold is JSON already when it is answered, so their models do not know it.
    snapshot, snapshots = found.heard(Snapshot), sorted(found.heard(state)["$ref"] for state in states)
    found.definition(snapshot).update(anyOf=[{"$ref": reference} for reference in snapshots])
    found.definition(found.heard(RawSnapshot))["properties"]["snapshot"] = snapshot
    found.definition(found.heard(RawEvents))["properties"]["events"]["items"] = found.heard(RoomEvent)
    return found


def _forget_defaults(definition: Schema) -> None:
    """A change that is not named changes nothing, whatever default its model needs."""
    for field in definition["properties"].values():
        field.pop("default", None)


def routes() -> list[tuple[Spec, Route]]:
    """Everything that has a route, by path and method."""
    found = [(spec, spec.route) for spec in SPECS.values() if spec.route is not None]
    return sorted(found, key=lambda pair: (pair[1].path, pair[1].method))


def nouns() -> dict[str, list[Spec]]:
    """Everything callable, by noun and name."""
    found: dict[str, list[Spec]] = {}
    for name in sorted(SPECS):
        found.setdefault(noun(SPECS[name]), []).append(SPECS[name])
    return found


def noun(spec: Spec) -> str:
    return spec.name.partition(".")[0]


def about(listed: list[Spec]) -> str:
    """What a noun is about, as the module says that holds it; endpoints may stand elsewhere."""
    spec = next((spec for spec in listed if spec.kind != "endpoint"), listed[0])
    return first_line(sys.modules[spec.handler.__module__].__doc__)


def first_line(doc: str | None) -> str:
    return (doc or "").strip().partition("\n")[0].strip()


def pascal(name: str) -> str:
    """`column.set_limit` -> `ColumnSetLimit`."""
    return "".join(word.capitalize() for word in name.replace(".", "_").split("_"))


def reply(spec: Spec) -> type[BaseModel]:
    """The model of a reply's `data`: the first event, what a page holds, or what is returned."""
    if spec.kind in ("control", "signal"):
        return ANSWERS.get(spec.name, Received)
    if get_origin(spec.returns) is Page:
        model: type[BaseModel] = get_args(spec.returns)[0]
        return model
    if get_origin(spec.returns) is Outcome:
        told: type[BaseModel] = get_args(spec.returns)[1]
        return told
    if spec.events:
        return spec.events[0]
    if isinstance(spec.returns, type) and issubclass(spec.returns, BaseModel):
        return spec.returns
    return AnyReply


def meta(spec: Spec) -> type[Wire]:
    """The model of a reply's `meta`."""
    if spec.kind in ("command", "upload"):
        return CommandMeta
    if spec.kind == "query":
        return PageMeta if get_origin(spec.returns) is Page else QueryMeta
    if get_origin(spec.returns) is Page:
        return ListMeta
    return NoMeta


def envelope(found: Schemas, spec: Spec) -> Schema:
    """The answer to a call that was carried out."""
    return {
        "type": "object",
        "required": ["success", "data", "meta", "timestamp", "request_id"],
        "properties": {
            "success": {"const": True},
            "data": found.heard(reply(spec)),
            "meta": found.heard(meta(spec)),
            "timestamp": {"type": "string", "format": "date-time"},
            "request_id": {"type": "string"},
        },
    }


def errors(spec: Spec) -> list[type[AtriumError]]:
    """The errors that a call may end with, by status and code."""
    found = set(ANYWHERE)
    inside = (
        spec.kind in ("command", "query", "export", "upload", "download", "signal")
        or spec.name == "room.join"
    )
    writing = spec.kind == "endpoint" and spec.route is not None and spec.route.method != "GET"
    if inside or spec.platform:
        found.add(Forbidden)
    if inside or spec.kind == "control" or _names_something(spec):
        found.add(NotFound)
    if spec.kind in ("command", "upload") or writing:
        found |= {Conflict, PayloadTooLarge}
    if writing:
        found.add(Forbidden)
    if spec.kind in ("command", "upload") or (writing and spec.status == 201):
        found.add(QuotaExceeded)
    if spec.name == "session.refresh":
        found.add(Conflict)
    if spec.versioned:
        found.add(VersionConflict)
    return sorted(found, key=lambda error: (error.status, error.code))


def _names_something(spec: Spec) -> bool:
    """Whether a REST call names a thing that may not be there: in its path, or by an id in its payload."""
    if spec.route is None:
        return False
    return bool(spec.route.params) or any(name.endswith("_id") for name in spec.payload.model_fields)


def decides_room(spec: Spec) -> str:
    """How the room of a call is found, and so whether the reserved field `room` is needed."""
    fields = spec.payload.model_fields
    if "room" in fields:
        return "the field `room`"
    if spec.kind in ("endpoint", "control"):
        return "none"
    if spec.room in ("tenant", "user"):
        return f"the caller's `{spec.room}:` room"
    kind = f"`{spec.room}:` room" if spec.room else "room"
    deciding = [name for name in ("project_id", *locating(spec.payload)) if name in fields]
    if any(fields[name].is_required() for name in deciding):
        return f"the {kind} that `{next(name for name in deciding if fields[name].is_required())}` belongs to"
    if deciding:
        either = " or ".join(f"`{name}`" for name in deciding)
        return f"the {kind} named by the reserved field `room`, or the one that {either} belongs to"
    return f"the {kind} named by the reserved field `room`"


def needs_room(spec: Spec) -> bool:
    """Whether a socket has to send the reserved field `room`."""
    return decides_room(spec).endswith("named by the reserved field `room`")


def details(spec: Spec) -> str:
    """What its first line does not say: the rest of its doc, what it needs and causes."""
    said = [rest] if (rest := " ".join(spec.doc.strip().partition("\n")[2].split())) else []
    if spec.needs:
        said.append(f"Needs the permission `{spec.needs}`.")
    if spec.events:
        said.append(f"Event: {', '.join(f'`{event.name}`' for event in spec.events)}.")
    return " ".join(said)


def ref(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def prune(document: Schema) -> Schema:
    """The document with those schemas only that something refers to, in the order of their names."""
    components = document["components"]
    definitions = components.pop("schemas")
    reached: set[str] = set()
    waiting: list[Any] = [document]
    while waiting:
        fresh = {name for name in _named(waiting.pop()) if name in definitions} - reached
        reached |= fresh
        waiting += [definitions[name] for name in fresh]
    components["schemas"] = {name: definitions[name] for name in sorted(reached)}
    return document


def _named(part: Any) -> set[str]:
    """Names of the schemas that a part of a document refers to."""
    if isinstance(part, dict):
        own = {str(part["$ref"]).rpartition("/")[2]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(_named, part.values()))
    return set().union(*map(_named, part)) if isinstance(part, list) else set()

"""OpenAPI 3.1 from the registry: the same split into path, query, headers and body that server/rest.py undoes."""

from typing import Any, Final

from handlers.errors import ERRORS, AtriumError, RateLimited, ValidationFailed
from handlers.registry import Redirect, Route, Spec
from server.describe import (
    VERSION,
    Schema,
    Schemas,
    about,
    details,
    envelope,
    errors,
    first_line,
    meta,
    noun,
    nouns,
    pascal,
    prune,
    ref,
    reply,
    routes,
    schemas,
)
from server.messages import Failure
from server.rest import BASE

INFO: Final = """\
Every command and query has one route here and one Socket.IO event of the same name (`operationId`); both take \
the same fields and answer in the same envelope. `Idempotency-Key` makes a command safe to send again; `If-Match` \
refuses to overwrite what one has not seen. The Socket.IO side is described in \
[asyncapi.json](/api/v1/asyncapi.json)."""

PARAMETERS: Final[dict[str, Schema]] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The command_id: sent again, the command changes nothing and returns its first reply.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The expected_version in quotes: refuse to overwrite any other.",
        "schema": {"type": "string", "pattern": '^(W/)?"[1-9][0-9]{0,17}"$'},
        "example": '"7"',
    },
    "Range": {
        "name": "Range",
        "in": "header",
        "description": "One part of the bytes; several at once are answered with all.",
        "schema": {"type": "string"},
        "example": "bytes=0-1023",
    },
    "IfRange": {
        "name": "If-Range",
        "in": "header",
        "description": "The ETag for which the range is meant: for any other all is sent.",
        "schema": {"type": "string"},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag that one has already.",
        "schema": {"type": "string"},
    },
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Comes back as `request_id`: up to 100 letters, digits and `_.:-`; others are replaced.",
        "schema": {"type": "string"},
    },
}
ROOM: Final[Schema] = {
    "description": "A room, such as `project:<id>`.",
    "type": "string",
    "pattern": "^[a-z]+:[0-9a-f-]{36}$",
}
ROOM_ID: Final[Schema] = {"type": "string", "format": "uuid"}
"""In a path, the id of a room that is no field of the payload: `/tenants/{tenant_id}/projects`."""

HEADERS: Final[dict[str, Schema]] = {
    "RequestId": {"description": "The request's id, for the log.", "schema": {"type": "string"}},
    "RetryAfter": {
        "description": "Wait so long before trying again (seconds).",
        "schema": {"type": "integer"},
    },
    "RateLimit": {
        "description": 'What is left in each of the caller\'s windows: `"user-minute";r=88;t=7`.',
        "schema": {"type": "string"},
    },
    "RateLimitPolicy": {
        "description": 'Size and span (seconds) of each: `"user-minute";q=100;w=60`.',
        "schema": {"type": "string"},
    },
    "Disposition": {
        "description": "Whether to save the file or to show it, and its name.",
        "schema": {"type": "string"},
    },
    "Authenticate": {"description": "How to authenticate.", "schema": {"type": "string", "const": "Bearer"}},
}
RATE_HEADERS: Final = {"RateLimit": "RateLimit", "RateLimit-Policy": "RateLimitPolicy"}
"""Not there while ATRIUM_RATE_LIMITS is off."""
REDIRECT: Final[Schema] = {
    "description": "For browsers: go on at the address in `Location`.",
    "headers": {
        "X-Request-Id": {"$ref": "#/components/headers/RequestId"},
        "Location": {"description": "Where to.", "required": True, "schema": {"type": "string"}},
    },
}
EXTRA_HEADERS: Final = {401: ("WWW-Authenticate", "Authenticate")} | dict.fromkeys(
    (429, 503), ("Retry-After", "RetryAfter")
)


def openapi() -> dict[str, Any]:
    """The whole document; the same registry gives the same bytes."""
    specs = routes()
    found = schemas(
        sent=[spec.payload for spec, _ in specs],
        heard=[Failure, *(model for spec, _ in specs for model in (reply(spec), meta(spec)))],
    )
    paths: dict[str, Schema] = {}
    for spec, route in specs:
        paths.setdefault(BASE + route.path, {})[route.method.lower()] = _operation(found, spec, route)
    tags = {noun(spec) for spec, _ in specs}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Atrium", "version": VERSION, "description": INFO, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [
            *({"name": name, "description": about(nouns()[name])} for name in sorted(tags)),
            {"name": "health", "description": "Is it alive, is it ready, and what has it been doing."},
        ],
        "paths": paths | _health(),
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token, or an API key (`atr_…`); endpoints of the account take a token only.",
                },
                "metrics": {"type": "http", "scheme": "bearer", "description": "ATRIUM_METRICS_TOKEN."},
            },
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "responses": {
                _failed(errors_): _failure(found, errors_) for errors_ in _by_status(ERRORS).values()
            }
            | {"Elsewhere": REDIRECT},
            "schemas": found.definitions,
        },
    }
    return prune(document)


def _operation(found: Schemas, spec: Spec, route: Route) -> Schema:
    definition = found.definition(found.sent(spec.payload))
    fields: dict[str, Schema] = dict(definition.get("properties", {}))
    parameters = [_in_path(name, fields.pop(name, None)) for name in route.params]
    operation: Schema = {
        "operationId": spec.name,
        "tags": [noun(spec)],
        "summary": first_line(spec.doc),
        "description": details(spec),
        "parameters": parameters,
        "x-permission": spec.needs,
    }
    if spec.public:
        operation["security"] = []
    if spec.kind == "upload":
        parameters += [_in_query(name, schema, False) for name, schema in fields.items()]
        operation["requestBody"] = _bytes(fields)
    elif route.method == "GET":
        required = definition.get("required", ())
        parameters += [_in_query(name, schema, name in required) for name, schema in fields.items()]
    elif fields:
        operation["requestBody"] = _body(found, spec, route, definition)
    parameters += [ref("parameters", name) for name in _in_headers(spec)]
    succeeded = {
        "description": first_line(reply(spec).__doc__) or "Done.",
        "headers": {
            name: ref("headers", header)
            for name, header in {"X-Request-Id": "RequestId", **RATE_HEADERS}.items()
        },
        "content": {"application/json": {"schema": envelope(found, spec)}},
    }
    if spec.produces != "application/json":
        succeeded = _file(spec)
    failed = {
        str(status): ref("responses", _failed(those)) for status, those in _by_status(errors(spec)).items()
    }
    if reply(spec) is Redirect:
        operation["responses"] = {"302": ref("responses", "Elsewhere")} | failed
        return operation
    operation["responses"] = {str(spec.status): succeeded} | failed
    if spec.kind == "download":
        operation["responses"] |= _parts(succeeded)
    return operation


def _in_headers(spec: Spec) -> list[str]:
    found = ["IdempotencyKey"] if spec.kind in ("command", "upload") else []
    found += ["IfMatch"] if spec.versioned else []
    found += ["Range", "IfRange", "IfNoneMatch"] if spec.kind == "download" else []
    return [*found, "RequestId"]


def _bytes(fields: dict[str, Schema]) -> Schema:
    """The body of an upload: nothing but the bytes, or a form with them as its last field."""
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {**fields, "file": {"type": "string", "format": "binary"}},
    }
    return {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {"schema": form},
        },
    }


def _parts(whole: Schema) -> Schema:
    """What a download answers to conditions and ranges."""
    return {
        "206": {**whole, "description": "A part of it."},
        "304": {"description": "What one has is what it is."},
        "416": {"description": "Nothing of it lies in this range; `Content-Range` says how long it is."},
    }


def _file(spec: Spec) -> Schema:
    """An answer that is no JSON."""
    schema: Schema = {"type": "string"}
    if not spec.produces.startswith("text/"):
        schema["format"] = "binary"
    content: Schema = {spec.produces.partition(";")[0]: {"schema": schema}}
    if spec.kind == "export":
        content["application/json"] = {"schema": {"type": "array", "items": {"type": "object"}}}
    return {
        "description": "A file.",
        "headers": {
            name: ref("headers", header)
            for name, header in {
                "X-Request-Id": "RequestId",
                "Content-Disposition": "Disposition",
                **RATE_HEADERS,
            }.items()
        },
        "content": content,
    }


def _in_path(name: str, field: Schema | None) -> Schema:
    field = field or (ROOM if name == "room" else ROOM_ID)
    said = {"description": f"The {name.removesuffix('_id')}.", **_said(field)}
    return {"name": name, "in": "path", "required": True, **said}


def _in_query(name: str, field: Schema, required: bool) -> Schema:
    """A field of a query: there is no null in a query string, and a list is separated by commas."""
    schema = dict(field)
    choices = [choice for choice in schema.pop("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        schema |= choices[0]
    elif choices:
        schema["anyOf"] = choices
    if schema.get("default", ...) is None:
        del schema["default"]
    listed = {"style": "form", "explode": False} if schema.get("type") == "array" else {}
    return {"name": name, "in": "query", "required": required, **listed, **_said(schema)}


def _said(field: Schema) -> Schema:
    """A field's description stands beside its schema."""
    said = {"description": field["description"]} if "description" in field else {}
    return {**said, "schema": {key: value for key, value in field.items() if key != "description"}}


def _body(found: Schemas, spec: Spec, route: Route, definition: Schema) -> Schema:
    """The payload without the fields that are in the path."""
    required = [name for name in definition.get("required", ()) if name not in route.params]
    schema = found.sent(spec.payload)
    if not set(route.params).isdisjoint(definition["properties"]):
        rest = {name: field for name, field in definition["properties"].items() if name not in route.params}
        body = {**definition, "title": f"{pascal(spec.name)}Body", "properties": rest, "required": required}
        if not required:
            del body["required"]
        found.definitions[body["title"]] = body
        schema = ref("schemas", body["title"])
    kinds = ("application/json", "application/x-www-form-urlencoded")[: 2 if spec.form else 1]
    return {"required": bool(required), "content": {kind: {"schema": schema} for kind in kinds}}


def _by_status(
    errors_: tuple[type[AtriumError], ...] | list[type[AtriumError]],
) -> dict[int, list[type[AtriumError]]]:
    found: dict[int, list[type[AtriumError]]] = {}
    for error in sorted(errors_, key=lambda error: error.status):
        found.setdefault(error.status, []).append(error)
    return found


def _failed(errors_: list[type[AtriumError]]) -> str:
    """Every error of one status is described in one response, whichever of them can happen."""
    return next(error.__name__ for error in ERRORS if error.status == errors_[0].status)


def _failure(found: Schemas, errors_: list[type[AtriumError]]) -> Schema:
    codes = {"type": "string", "enum": [error.code for error in errors_]}
    error = {"properties": {"code": codes}}
    headers = {"X-Request-Id": ref("headers", "RequestId")}
    if extra := EXTRA_HEADERS.get(errors_[0].status):
        headers[extra[0]] = ref("headers", extra[1])
    if errors_[0] is RateLimited:
        headers |= {name: ref("headers", header) for name, header in RATE_HEADERS.items()}
    schema = {"allOf": [found.heard(Failure), {"properties": {"error": error}}]}
    return {
        "description": " ".join(f"{error.code}: {error.meaning}" for error in errors_),
        "headers": headers,
        "content": {"application/json": {"schema": schema, "example": _example(errors_[0])}},
    }


def _example(error: type[AtriumError]) -> Schema:
    body: Schema = {
        "code": error.code,
        "message": error.meaning,
        "details": {},
        "field_errors": {},
        "retry_after": None,
    }
    if error is ValidationFailed:
        body["field_errors"] = {"title": ["Field required"]}
    if EXTRA_HEADERS.get(error.status, ("",))[0] == "Retry-After":
        body["retry_after"] = 1.0
    return {
        "success": False,
        "error": body,
        "timestamp": "2026-11-20T10:00:00.000Z",
        "request_id": "0199c0de00007000800000000000000a",
    }


def _health() -> dict[str, Schema]:
    """The doors of server/health.py, which stand outside of the API and its envelope."""
    status = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
    checks = {"type": "object", "additionalProperties": {"type": "boolean"}}
    detailed = {
        "type": "object",
        "required": ["status", "checks"],
        "properties": {"status": {"type": "string"}, "checks": checks},
    }
    return {
        "/health": _door("health.alive", "The process answers, and is not going away.", status),
        "/health/ready": _door(
            "health.ready", "The node takes traffic: Postgres answers, the bus is heard.", detailed
        ),
        "/metrics": {
            "get": {
                "operationId": "health.metrics",
                "tags": ["health"],
                "summary": "Figures for Prometheus.",
                "description": "Asks for ATRIUM_METRICS_TOKEN; without one only loopback addresses may read it.",
                "security": [{}, {"metrics": []}],
                "responses": {
                    "200": {
                        "description": "The figures.",
                        "content": {"text/plain": {"schema": {"type": "string"}}},
                    },
                    "403": {"description": "Not yours to read."},
                },
            }
        },
    }


def _door(name: str, summary: str, schema: Schema) -> Schema:
    content = {"application/json": {"schema": schema}}
    return {
        "get": {
            "operationId": name,
            "tags": ["health"],
            "summary": summary,
            "security": [],
            "responses": {
                "200": {"description": "Yes.", "content": content},
                "503": {"description": "No.", "content": content},
            },
        }
    }

"""Payloads that nobody should send, for everything callable: never INTERNAL, never a closed connection."""

import json
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from handlers.registry import SPECS, Spec
from tests import effort
from tests.contract.examples import EXAMPLES
from tests.raw import raw
from tests.world import World

ON_SOCKETS = sorted(
    name for name, spec in SPECS.items() if spec.kind not in ("endpoint", "export", "upload", "download")
)
ON_REST = sorted(name for name, spec in SPECS.items() if spec.route is not None)

few = settings(
    max_examples=effort.EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # shrinking would take minutes, and a found payload says enough
    suppress_health_check=list(HealthCheck),
)

ODD_TEXT = st.sampled_from([
    "", " ", "\0", "a\0b", "\ud800", "\udfff\ud800", "\u202e", "\ufeff", "\U0001f469\u200d\U0001f680", "a" * 60_000,
    "%", "_", "'; DROP TABLE tasks; --", "{}", "null", "NaN", "-0", "1e999", "0x7f", "../..", "<script>",
])  # fmt: skip
ODD_NUMBERS = (
    st.sampled_from(
        [0, -1, 1, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, 1e308, -0.0]
    )
    | st.integers()
)
ODD_TIMES = st.sampled_from([
    "0000-00-00T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30T00:00:00Z",
    "2026-11-20", "2026-11-20T10:00:00", "2026-11-20T24:00:00Z", "1e10", 10**15, -(10**15), 253402300800, "now",
])  # fmt: skip
ODD_IDS = st.sampled_from([
    str(UUID(int=0)), str(UUID(int=2**128 - 1)), "x", "", "{" + str(UUID(int=7)) + "}", f"urn:uuid:{UUID(int=7)}",
    UUID(int=7).hex, str(UUID(int=7)).upper(), "0" * 31 + "_", "\u0661" * 32,
])  # fmt: skip


def _deep(depth: int, shape: str) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if shape == "list" else {"a": value}
    return value


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    ODD_NUMBERS,
    ODD_TEXT,
    ODD_TIMES,
    ODD_IDS,
    st.just([]),
    st.just({}),
    st.just([None] * 200),
    st.builds(_deep, st.sampled_from([2, 50, 254, 300]), st.sampled_from(["list", "dict"])),
    st.dictionaries(ODD_TEXT.map(lambda text: text[:20]), ODD_NUMBERS | ODD_TEXT, max_size=3),
)


class Generator:
    """Values for a JSON schema: mostly right, so that handlers are reached, and of this world."""

    def __init__(self, world: World, spec: Spec) -> None:
        self._schema = spec.payload.model_json_schema()
        self._definitions = self._schema.get("$defs", {})
        self._made: dict[tuple[str, str], st.SearchStrategy[Any]] = {}
        self._ids = st.sampled_from([
            *world.tasks, *world.columns.values(), *world.statuses.values(), *world.user_ids.values(),
            world.project_id, world.board_id, world.tenant_id, str(UUID(int=7)),
        ])  # fmt: skip
        self._rooms = st.sampled_from([
            world.project, world.tenant, f"user:{world.user_ids['alice']}", f"user:{world.user_ids['bob']}",
            f"channel:{UUID(int=7)}", "project:", ":", "project:x", "nonsense", "\0",
        ])  # fmt: skip

    def payloads(self, example: dict[str, Any]) -> st.SearchStrategy[Any]:
        """A right one, the example, one with something odd in it, or something else altogether."""
        right = self._object(self._schema) | st.just(example)
        return st.one_of(right, self._spoilt(right), self._spoilt(right), JUNK)

    def _spoilt(self, right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        keys = [*self._schema.get("properties", {}), "room", "command_id", "expected_version", "surprise"]

        def spoil(payload: dict[str, Any], key: str, value: Any, drop: bool) -> dict[str, Any]:
            rest = {name: item for name, item in payload.items() if name != key}
            return rest if drop else {**rest, key: value}

        return st.builds(spoil, right, st.sampled_from(keys), JUNK | self._rooms | self._ids, st.booleans())

    def _value(self, schema: dict[str, Any], name: str = "") -> st.SearchStrategy[Any]:
        if "$ref" in schema:
            return self._named(schema["$ref"].rpartition("/")[2], name)
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            return st.one_of([self._value(part, name) for part in choices])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if "const" in schema:
            return st.just(schema["const"])
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema)
        if kind == "array":
            return st.lists(self._value(schema.get("items", {}), name), max_size=3)
        if kind == "string":
            return self._text(schema, name)
        plain: dict[Any, st.SearchStrategy[Any]] = {
            "null": st.none(),
            "boolean": st.booleans(),
            "integer": st.integers(schema.get("minimum", -5), schema.get("maximum", 10**9)),
            "number": st.floats(allow_nan=False, allow_infinity=False),
        }
        return plain.get(kind, JUNK)

    def _named(self, definition: str, name: str) -> st.SearchStrategy[Any]:
        """One by its name: it may have more of its own kind inside."""
        if (definition, name) not in self._made:
            made = st.deferred(lambda: self._value(self._definitions[definition], name))
            self._made[definition, name] = made
        return self._made[definition, name]

    def _text(self, schema: dict[str, Any], name: str) -> st.SearchStrategy[Any]:
        if name == "room":
            return self._rooms
        formats: dict[Any, st.SearchStrategy[Any]] = {
            "uuid": self._ids | ODD_IDS,
            "date-time": st.datetimes().map(lambda at: at.isoformat() + "Z") | ODD_TIMES,
            "date": st.dates().map(str) | ODD_TIMES,
            "email": st.sampled_from(["bob@acme.example", "mallory@rival.example", "x@y", "a@b.example\0"]),
        }
        if schema.get("format") in formats:
            return formats[schema["format"]]
        return st.text(max_size=min(schema.get("maxLength", 30), 30)) | ODD_TEXT

    def _object(self, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
        properties = {
            name: self._value(part, name) for name, part in schema.get("properties", {}).items()
        }  # fmt: skip
        required = {name: value for name, value in properties.items() if name in schema.get("required", [])}
        optional = {name: value for name, value in properties.items() if name not in required}
        reserved = {} if "room" in properties else {"room": self._rooms}
        return st.fixed_dictionaries(required, optional={**optional, **reserved})


def _example(world: World, name: str) -> dict[str, Any]:
    return EXAMPLES[name].payload(world) if name in EXAMPLES else {"room": world.project}


def _text(value: Any) -> str:
    """JSON as a careless client would make it: lone surrogates escaped, numbers as large as they come."""
    return json.dumps(value)


@pytest.mark.parametrize("name", ON_SOCKETS)
@few
@given(data=st.data())
async def test_by_socket(world: World, name: str, data: st.DataObject) -> None:
    payload = data.draw(Generator(world, SPECS[name]).payloads(_example(world, name)))
    async with raw(world) as client:
        await client.call("room.join", {"room": world.project})
        reply = await client.call_text(f"[{_text(name)},{_text(payload)}]")
        assert reply.success or reply.error.code not in ("INTERNAL", "UNAVAILABLE", "UNKNOWN_COMMAND"), reply
        await client.still_works()


@pytest.mark.parametrize("name", ON_REST)
@few
@given(data=st.data())
async def test_by_rest(world: World, name: str, data: st.DataObject) -> None:
    spec = SPECS[name]
    assert spec.route is not None
    payload = data.draw(Generator(world, spec).payloads(_example(world, name)))
    path = spec.route.path
    for parameter in spec.route.params:
        value = payload.pop(parameter, None) if isinstance(payload, dict) else None
        known = {"project_id": world.project_id, "tenant_id": world.tenant_id, "room": world.project}
        text = str(value if value is not None else known.get(parameter, "x"))[:200]
        path = path.replace(
            f"{{{parameter}}}", quote(text.encode("utf-8", "surrogatepass"), safe="") or "%20"
        )
    alice = world.person("alice")
    alice.tokens = world.people[0].tokens or (await world.people[0].sign_in())
    if spec.kind in ("query", "export") and spec.route.method == "GET":
        fields = payload if isinstance(payload, dict) else {"q": payload}
        query = "&".join(
            f"{quote(str(key).encode('utf-8', 'surrogatepass'))}={quote(str(item).encode('utf-8', 'surrogatepass'))[:2000]}"
            for key, item in fields.items()
        )
        path = f"{path}?{query}"
        reply = await alice.rest(spec.route.method, path)
    else:
        reply = await alice.rest(spec.route.method, path, data=_text(payload).encode())
    assert reply.status < 500, reply
    if "success" in reply:
        assert reply.success or reply.error.code not in ("INTERNAL", "UNAVAILABLE")
    else:
        assert reply.status == 302 or reply.headers["Content-Type"] == spec.produces
    if name != "auth.logout":
        assert (await alice.rest("GET", "/auth/me")).success
    else:
        world.people[0].tokens = None

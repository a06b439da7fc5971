"""Generated files are fresh, what they describe is complete, and what the server sends is as they say."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from handlers.access import PERMISSIONS
from handlers.errors import ERRORS
from handlers.registry import EVENTS, SPECS
from server import metrics, paths
from server.asyncapi import asyncapi
from server.describe import AnyReply, reply, routes
from server.generate import schema, stale
from server.messages import ANSWERS, MESSAGES
from server.openapi import openapi
from server.reference import UNITS, variable
from server.rest import BASE
from storage.settings import Settings
from tests.contract.examples import EXAMPLES, rest_call
from tests.world import Person, World, plain

ROOT: Final = Path(__file__).parents[2]
METHODS: Final = {"get", "post", "put", "delete"}
COMPONENT: Final = re.compile(r"[A-Za-z0-9._-]+")

OPENAPI: Final = openapi()
ASYNCAPI: Final = asyncapi()


def page(path: str) -> str:
    return (ROOT / path).read_text()


# Fresh.


async def test_everything_generated_is_fresh() -> None:
    assert await stale(ROOT, write=False) == [], "run `make generate`"


async def test_what_is_stale_is_named_and_written(tmp_path: Path) -> None:
    every = await stale(tmp_path, write=False)
    assert {"docs/openapi.json", "docs/asyncapi.json", "docs/settings.md", "sql/schema.sql"} < set(every)
    assert not list(tmp_path.iterdir())
    assert await stale(tmp_path, write=True) == every
    (tmp_path / "docs/settings.md").write_text("edited by hand\n")
    assert await stale(tmp_path, write=False) == ["docs/settings.md"]


async def test_the_schema_has_nothing_that_changes_from_dump_to_dump() -> None:
    text = await schema()
    assert "CREATE TABLE public.room_events" in text
    assert "ROW LEVEL SECURITY" in text
    assert not re.search(r"restrict|Dumped|Owner|OWNER TO|postgres", text)


# OpenAPI.


def test_every_route_is_described() -> None:
    described = {
        (method, path): operation["operationId"]
        for path, item in OPENAPI["paths"].items()
        for method, operation in item.items()
        if path.startswith(BASE)
    }
    assert described == {(route.method.lower(), BASE + route.path): spec.name for spec, route in routes()}


def test_operations_are_whole() -> None:
    seen = set()
    for path, item in OPENAPI["paths"].items():
        assert set(item) <= METHODS
        for operation in item.values():
            assert operation["operationId"] not in seen, "operationIds are unique"
            seen.add(operation["operationId"])
            assert operation["summary"].endswith(".")
            assert any(status.startswith(("2", "3")) for status in operation["responses"])
            parameters = [_resolved(OPENAPI, given) for given in operation.get("parameters", ())]
            named = [(given["in"], given["name"]) for given in parameters]
            assert len(named) == len(set(named))
            in_path = {name for where, name in named if where == "path"}
            assert in_path == set(re.findall(r"{(\w+)}", path))
            assert set(operation["tags"]) <= {tag["name"] for tag in OPENAPI["tags"]}


def test_path_parameters_are_not_in_the_body() -> None:
    for spec, route in routes():
        operation = OPENAPI["paths"][BASE + route.path][route.method.lower()]
        in_path = set(re.findall(r"{(\w+)}", route.path))
        named = {_resolved(OPENAPI, given)["name"] for given in operation["parameters"]}
        body = operation.get("requestBody", {"content": {"application/json": {"schema": {"properties": {}}}}})
        content = body["content"].get("application/json") or body["content"]["multipart/form-data"]
        in_body = set(_resolved(OPENAPI, content["schema"])["properties"])
        assert in_path.isdisjoint(in_body)
        assert set(spec.payload.model_fields) == (in_body | named) & set(spec.payload.model_fields)


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=["openapi", "asyncapi"])
def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in _references(document):
        assert _find(document, reference) is not None, reference
    used = {reference for reference in _references(document) if "/schemas/" in reference}
    assert used == {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    for kind in document["components"].values():
        assert all(COMPONENT.fullmatch(name) for name in kind)


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=["openapi", "asyncapi"])
def test_schemas_are_json_schemas(document: dict[str, Any]) -> None:
    for definition in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(definition)


def test_every_call_has_a_described_answer() -> None:
    listed = [name for name, spec in SPECS.items() if spec.produces == "application/json"]
    assert [name for name in listed if reply(SPECS[name]) is AnyReply] == []
    assert set(ANSWERS) == {name for name, spec in SPECS.items() if spec.kind in ("control", "signal")}


# AsyncAPI.


def test_every_call_and_every_event_is_in_the_asyncapi() -> None:
    actions = {name: operation["action"] for name, operation in ASYNCAPI["operations"].items()}
    calls = {
        name for name, spec in SPECS.items() if spec.kind not in ("endpoint", "export", "upload", "download")
    }
    assert actions == dict.fromkeys(calls, "receive") | dict.fromkeys([*EVENTS, *MESSAGES], "send")
    for name, event in EVENTS.items():
        envelope, own = ASYNCAPI["components"]["messages"][name]["payload"]["allOf"]
        assert envelope["$ref"].endswith("/RoomEvent")
        assert own["properties"]["data"]["$ref"].endswith(f"/{event.__name__}")


def test_operations_speak_of_messages_of_their_own_channel() -> None:
    """AsyncAPI 3.0: an operation's messages are among its channel's, and so are its reply's."""
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    for operation in ASYNCAPI["operations"].values():
        for part in filter(None, (operation, operation.get("reply"))):
            channel = part["channel"]["$ref"]
            assert part["messages"]
            assert all(message["$ref"].startswith(f"{channel}/messages/") for message in part["messages"])
    for channel in ASYNCAPI["channels"].values():
        assert channel["address"]
        assert all(
            message["$ref"].startswith("#/components/messages/") for message in channel["messages"].values()
        )
    for message in ASYNCAPI["components"]["messages"].values():
        assert {"name", "title", "summary", "payload"} <= set(message)


# Reference pages.


def test_every_call_is_in_the_reference() -> None:
    text = page("docs/reference/commands.md")
    assert re.findall(r"^### (\S+)$", text, re.MULTILINE) == [
        name for _, name in sorted((name.partition(".")[0], name) for name in SPECS)
    ]


def test_every_event_and_message_is_in_the_reference() -> None:
    text = page("docs/reference/events.md")
    assert set(re.findall(r"^### ([a-z].*)$", text, re.MULTILINE)) == set(EVENTS) | set(MESSAGES)


def test_links_lead_to_headings() -> None:
    pages = {path.name: path.read_text() for path in (ROOT / "docs/reference").glob("*.md")}
    anchors = {
        name: {
            re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
            for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        }
        for name, text in pages.items()
    }
    for name, text in pages.items():
        for target, anchor in re.findall(r"\]\(([\w.]*)(?:#([\w-]+))?\)", text):
            assert (target or name) in pages
            assert not anchor or anchor in anchors[target or name], f"{name}: {target}#{anchor}"


def test_every_setting_is_documented_with_its_unit() -> None:
    text = page("docs/settings.md")
    for name, field in Settings.model_fields.items():
        assert f"| `{variable(name)}` |" in text
        assert field.description, name
        if field.annotation in (int, float):
            assert any(f"({unit})" in field.description for unit in UNITS), f"{name} has no unit"
    assert variable("database_url") == "DATABASE_URL"
    assert variable("pool_max") == "ATRIUM_POOL_MAX"


def test_every_error_and_permission_is_documented() -> None:
    for error in ERRORS:
        assert f"| `{error.code}` | {error.status} | {error.meaning} |" in page("docs/reference/errors.md")
        assert str(error.status) in {
            status
            for item in OPENAPI["paths"].values()
            for operation in item.values()
            for status in operation["responses"]
        }
    for name in PERMISSIONS:
        assert f"| `{name}` |" in page("docs/reference/permissions.md")
    assert {spec.needs for spec in SPECS.values() if spec.needs} <= set(PERMISSIONS)


def test_every_metric_is_documented() -> None:
    text = page("docs/reference/metrics.md")
    for family in metrics.REGISTRY.collect():
        if family.name.startswith("process_"):
            continue  # of the machine, and explained by the library
        assert f"| `{family.name}" in text
        assert family.documentation.endswith(".")


def test_the_paths_of_the_designs_lead_to_something() -> None:
    for mapped in paths.MAPPED:
        assert mapped.ours in SPECS or mapped.ours in paths.OUTSIDE, mapped
        assert mapped.design in paths.DESIGNS
    assert {path for path in paths.OUTSIDE if path.startswith("/health")} <= set(OPENAPI["paths"])
    assert len({(mapped.design, mapped.theirs) for mapped in paths.MAPPED}) == len(paths.MAPPED)


# What is really sent.


@pytest.mark.parametrize("name", sorted(EXAMPLES))
async def test_answers_are_as_described(world: World, name: str) -> None:
    spec, given = SPECS[name], EXAMPLES[name]
    alice = await world.person("alice").connect()
    if given.before is not None:
        await given.before(world, alice)
    payload = plain(given.payload(world))
    _fits(ASYNCAPI, ASYNCAPI["components"]["messages"][name]["payload"], payload)
    method, path, more = rest_call(spec, payload)
    answer = await alice.rest(method, path, **more)
    assert answer.success, answer
    assert spec.route is not None
    operation = OPENAPI["paths"][BASE + spec.route.path][method.lower()]
    body = {key: value for key, value in answer.items() if key not in ("status", "headers")}
    _fits(OPENAPI, operation["responses"][str(answer.status)]["content"]["application/json"]["schema"], body)
    refused = await alice.call(name, {**payload, "surprise": 1})
    _fits(ASYNCAPI, ASYNCAPI["components"]["messages"]["refused"]["payload"], refused)


async def test_events_and_messages_are_as_described(alice: Person, bob: Person, world: World) -> None:
    carol = await world.person("carol").connect()
    joined = await carol.send("room.join", room=world.project)
    await alice.send("presence.set", room=world.project, status="busy", focus={"kind": "task", "id": "1"})
    await alice.send("typing.start", room=world.project)
    await bob.hears("presence.changed")
    await bob.hears("typing")
    created = await alice.send("task.create", room=world.project, title="Sand the floor")
    task_id = created.data.task.id
    await alice.send("task.update", task_id=task_id, changes={"assignee_ids": [world.user_ids["bob"]]})
    await alice.send("task.delete", task_id=task_id)
    await bob.hears("task.unassigned")
    await carol.hears("task.deleted")
    again = await carol.send(
        "room.join", room=world.project, since={"epoch": joined.data.epoch, "seq": joined.data.seq}
    )
    assert again.data.mode == "events"
    left = await carol.send("room.leave", room=world.project)
    for name, answer in (("room.join", joined), ("room.join", again), ("room.leave", left)):
        _fits(ASYNCAPI, ASYNCAPI["components"]["messages"][f"{name}.ack"]["payload"], answer)
    heard = [*alice.journal, *bob.journal, *carol.journal]
    assert {"session.ready", "presence.changed", "typing", "task.updated", "task.assigned"} <= {
        name for name, _ in heard
    }
    for name, data in heard:
        _fits(ASYNCAPI, ASYNCAPI["components"]["messages"][name]["payload"], data)


def _fits(document: dict[str, Any], fragment: dict[str, Any], value: Any) -> None:
    """The value is as a schema of the document says."""
    whole = {**fragment, "components": document["components"]}
    Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(plain(value))


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for item in part.values():
            yield from _references(item)
    elif isinstance(part, list):
        for item in part:
            yield from _references(item)


def _find(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """The part, or what it refers to."""
    found: dict[str, Any] = _find(document, part["$ref"]) if "$ref" in part else part
    return found

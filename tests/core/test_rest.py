"""The REST edge: envelopes, headers, odd bodies, health and figures."""

import re
import warnings
from typing import Any

import pytest
from aiohttp.web_request import BaseRequest

from handlers.registry import SPECS
from tests.world import Person, World

KEYS = {"success", "timestamp", "request_id", "status", "headers"}


@pytest.fixture
async def owner(shared: World) -> Person:
    for person in shared.people:
        if person.name == "alice":
            return person
    return shared.person("alice")


async def test_the_envelope(shared: World, owner: Person) -> None:
    good = await owner.rest("GET", f"/projects/{shared.project_id}")
    assert set(good) == {*KEYS, "data", "meta"}
    bad = await owner.rest("GET", f"/projects/{shared.tenant_id}")
    assert set(bad) == {*KEYS, "error"}
    assert set(bad.error) == {"code", "message", "details", "field_errors", "retry_after"}


async def test_a_request_id_is_echoed_or_made(shared: World, owner: Person) -> None:
    reply = await owner.rest("GET", "/auth/me", headers={"X-Request-Id": "deploy-7.a:b"})
    assert reply.request_id == reply.headers["X-Request-Id"] == "deploy-7.a:b"
    for odd in ("", "x" * 101, "a b", '"quoted"'):
        reply = await owner.rest("GET", "/auth/me", headers={"X-Request-Id": odd})
        assert reply.success
        assert reply.request_id == reply.headers["X-Request-Id"] != odd


async def test_security_headers(shared: World, owner: Person) -> None:
    reply = await owner.rest("GET", "/auth/me")
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("DELETE", "/auth/login", 404), ("GET", "/projects", 404), ("PATCH", "/tenants/x", 404),
     ("GET", "//", 404), ("GET", "/tasks/%00", 422), ("GET", "/tasks/%ff", 422), ("GET", "/tasks/..%2f..", 422),
     ("GET", "/rooms/nonsense/snapshot", 422), ("GET", "/rooms/project:x/snapshot", 422),
     ("GET", "/tenants/x", 404), ("GET", "/projects/x", 422), ("GET", "/projects/x/tasks", 422)],
)  # fmt: skip
async def test_odd_paths(owner: Person, method: str, path: str, status: int) -> None:
    reply = await owner.rest(method, path)
    assert (reply.status, reply.success) == (status, False)
    assert reply.error.code in ("UNKNOWN_COMMAND", "VALIDATION_ERROR", "NOT_FOUND")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"7",
        b"null",
        b'"x"',
        b"\xff",
        b"{" * 5000,
        b'{"name": NaN}',
        b'{"name": "\\ud800"}',
        b"\0",
    ],
)
async def test_odd_bodies(shared: World, owner: Person, body: bytes) -> None:
    reply = await owner.rest("POST", f"/tenants/{shared.tenant_id}/projects", data=body)
    assert (reply.status, reply.error.code) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_not_encoded_as_it_says(shared: World, owner: Person, encoding: str) -> None:
    path, headers = f"/tenants/{shared.tenant_id}/projects", {"Content-Encoding": encoding}
    reply = await owner.rest("POST", path, data=b'{"name": "Packed"}', headers=headers)
    assert (reply.status, reply.error.code) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("kind", "encoding", "body"),
    [("", "gzip", b"logout_token=x"), ("", "", b"logout_token=\xff"), ("; charset=nonsense", "", b"logout_token=x")],
)  # fmt: skip
async def test_odd_forms(shared: World, kind: str, encoding: str, body: bytes) -> None:
    headers = {"Content-Type": f"application/x-www-form-urlencoded{kind}"}
    headers |= {"Content-Encoding": encoding} if encoding else {}
    path = f"/auth/oidc/{shared.tenant_id}/backchannel-logout"
    reply = await shared.request("POST", path, data=body, headers=headers)
    assert (reply.status, reply.error.code) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize("condition", ["7", '"x"', '"-1"', "*", '"99999999999999999999"', '"0"'])
async def test_an_odd_condition(shared: World, owner: Person, condition: str) -> None:
    reply = await owner.rest(
        "PUT", f"/tasks/{shared.tasks[0]}", json={"changes": {"title": "x"}}, headers={"If-Match": condition}
    )
    assert (reply.status, reply.error.code) == (422, "VALIDATION_ERROR")


async def test_a_version_in_quotes(shared: World, owner: Person) -> None:
    task = (await owner.rest("GET", f"/tasks/{shared.tasks[1]}")).data.task
    for condition in (f'"{task.version}"', f'W/"{task.version + 1}"'):
        reply = await owner.rest(
            "PUT", f"/tasks/{task.id}", json={"changes": {"title": "x"}}, headers={"If-Match": condition}
        )
        assert reply.status == 200, reply


async def test_a_repeated_query_parameter_and_text_numbers(shared: World, owner: Person) -> None:
    path = f"/projects/{shared.project_id}/tasks"
    reply = await owner.rest("GET", f"{path}?limit=2")
    assert len(reply.data.tasks) == reply.meta.pagination.limit == 2
    for bad in ("limit=x", "limit=0", "limit=101", "limit=1e9", "cursor=%00", "assignee_id=x"):
        assert (await owner.rest("GET", f"{path}?{bad}")).status == 422, bad


async def test_a_preflight(shared: World) -> None:
    asks = {"Origin": shared.url, "Access-Control-Request-Method": "PUT"}
    async with shared.http.options(f"{shared.url}/api/v1/tasks/x", headers=asks) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == shared.url
        assert "Idempotency-Key" in response.headers["Access-Control-Allow-Headers"]
    asks["Origin"] = "https://evil.example"
    async with shared.http.options(f"{shared.url}/api/v1/tasks/x", headers=asks) as response:
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_endpoints_need_a_token_unless_they_are_public(shared: World) -> None:
    for spec in SPECS.values():
        if spec.kind != "endpoint" or spec.route is None:
            continue
        path = re.sub(r"{\w+}", shared.tenant_id, spec.route.path)
        reply = await shared.request(spec.route.method, path)
        assert (reply.status == 401) is not spec.public, spec.name


async def test_health_and_figures(shared: World, owner: Person) -> None:
    assert (await shared.request("GET", "/health")).status == 200
    ready = await shared.request("GET", "/health/ready")
    assert ready.checks == {"serving": True, "postgres": True, "clock": True, "bus": True}
    figures = (await shared.request("GET", "/metrics")).text
    for name in ("atrium_commands_total", "atrium_connections", "atrium_bus_healthy 1.0"):
        assert name in figures


async def test_figures_behind_a_token(worlds: Any) -> None:
    world = await worlds(metrics_token="m" * 20)
    for token, status in (("", 403), ("x" * 20, 403), ("\xfc", 403), ("m" * 20, 200)):
        headers = {"Authorization": f"Bearer {token}"}
        assert (await world.request("GET", "/metrics", headers=headers)).status == status


async def test_a_faulty_name_does_not_become_a_metric(shared: World) -> None:
    alice = await shared.person("alice").connect()
    await alice.send("no.such_command_7f3a")
    assert "no.such_command_7f3a" not in (await shared.request("GET", "/metrics")).text


async def test_the_server_causes_no_warning(world: World) -> None:
    alice = world.person("alice")
    BaseRequest._seen_str_keys.clear()  # aiohttp says it once only
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await alice.rest("GET", "/auth/me")
    assert [str(warning.message) for warning in caught] == []


async def test_a_node_that_stops_is_not_ready(world: World) -> None:
    world.node.ready = False
    assert (await world.request("GET", "/health/ready")).status == 503

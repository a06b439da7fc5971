"""No call without its entry, and no secret in any entry: driven over everything that is registered."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final, get_args
from uuid import UUID

import orjson
import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from handlers import evidence
from handlers.context import Edge
from handlers.errors import Conflict
from handlers.identity.people import Done
from handlers.registry import SPECS, Payload, Secret
from storage.ids import parse_id
from tests.insight.test_evidence import AGENT, entries
from tests.world import Cluster, World, fresh_world, second_node

ENDPOINTS: Final = sorted(name for name, spec in SPECS.items() if spec.changes)
PAYLOADS: Final = sorted(name for name, spec in SPECS.items() if spec.kind not in ("signal", "control"))

CANARY: Final = "canary-7f3a9c"
SUSPICIOUS: Final = re.compile(
    r"pass|secret|token|code|otp|pin|credential|signature|assertion|attestation|recovery|cookie|nonce|verifier"
    r"|private|response|proof|answer",
    re.IGNORECASE,
)
HARMLESS: Final = {"require_two_factors"}
"""Fields whose names only sound as if they held a secret."""


class Anything(Payload):
    model_config = ConfigDict(extra="allow")


async def _does(edge: Edge, payload: Anything) -> Done:
    if getattr(payload, "refuse", False):
        raise Conflict("No")
    return Done()


@pytest.fixture(scope="module")
async def stubbed(cluster: Cluster) -> AsyncIterator[tuple[World, str]]:
    """A world, and beside it a node whose endpoints do nothing at all, least of all write evidence."""
    async with fresh_world(cluster) as world:
        async with world.sql() as db:
            await db.execute("UPDATE users SET platform_admin = true WHERE email = 'bob@acme.example'")
        real = {name: SPECS[name] for name in ENDPOINTS}
        for name, spec in real.items():
            SPECS[name] = replace(spec, handler=_does, payload=Anything, bound=True)
        async with AsyncExitStack() as stack:
            try:
                _, url = await stack.enter_async_context(second_node(world, cluster))
            finally:
                SPECS.update(real)
            yield world, url


@pytest.mark.parametrize("name", ENDPOINTS)
async def test_every_endpoint_leaves_an_entry(stubbed: tuple[World, str], name: str) -> None:
    world, url = stubbed
    route = SPECS[name].route
    assert route is not None
    path = re.sub(r"{\w+}", world.project_id, route.path)
    headers = {"Authorization": f"Bearer {await world.token('bob')}", "User-Agent": AGENT}
    for refuse, outcome in ((False, "ok"), (True, "CONFLICT")):
        body: dict[str, Any] = {"json": {"refuse": refuse}}
        if route.method == "GET":
            body = {"params": {"refuse": "yes"} if refuse else {}}
        reply = await world.request(route.method, path, headers=headers, url=url, **body)
        assert (reply.status < 300) is not refuse, reply
        found = [
            entry
            for tenant in (world.tenant_id, str(evidence.INSTANCE))
            for entry in await entries(world, tenant, action=name, outcome=outcome)
        ]
        (entry,) = [entry for entry in found if entry["user_agent"] == AGENT]
        assert entry["address"] == "127.0.0.1"
        if not SPECS[name].public:
            assert str(entry["actor_id"]) == world.user_ids["bob"]
            assert entry["session_id"] is not None


@pytest.mark.parametrize("name", PAYLOADS)
def test_no_secret_reaches_the_log(name: str) -> None:
    model = SPECS[name].payload
    text = evidence.changes(model.model_construct(), orjson.dumps(_filled(model)).decode())
    for field, annotation in _fields(model):
        kept = f"{CANARY} {field}" in text
        by_type = any(isinstance(part, Secret) or part is SecretStr for part in _parts(annotation))
        by_name = bool(SUSPICIOUS.search(field)) and _may_be_text(annotation) and field not in HARMLESS
        if by_type or by_name:
            assert not kept, (
                f"{name}: {field} looks like a secret: mark its type with SECRET, or list it here"
            )


def test_free_objects_are_cleaned_by_their_keys() -> None:
    model = SPECS["auth.update_profile"].payload
    given = {"dashboard_preferences": {"api_token": CANARY, "inner": [{"password": CANARY, "colour": "red"}]}}
    text = evidence.changes(model.model_construct(), orjson.dumps(given).decode())
    assert CANARY not in text
    assert orjson.loads(text)["dashboard_preferences"]["inner"][0]["colour"] == "red"


def test_changes_are_bounded() -> None:
    huge = {f"field {n}": "x" * 10_000 for n in range(5000)} | {"deep": [[["y" * 5000] * 500] * 500]}
    assert len(evidence.bounded(huge)) < 2 * evidence.CHANGES_SIZE
    about = parse_id("0199c0de-0000-7000-8000-0000000000aa")
    assert str(about) in evidence.bounded({"about": about, **huge}), "an id of Postgres's class as well"


def _filled(model: type[BaseModel], within: tuple[type[BaseModel], ...] = ()) -> dict[str, Any]:
    """A payload with a canary in every field, in those of the objects within as well; once, where one holds its like."""
    filled: dict[str, Any] = {}
    for field, info in model.model_fields.items():
        inner = [part for part in _parts(info.annotation) if _is_model(part) and part not in (*within, model)]
        filled[field] = _filled(inner[0], (*within, model)) if inner else f"{CANARY} {field}"
    return filled


def _fields(model: type[BaseModel], within: tuple[type[BaseModel], ...] = ()) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for field, info in model.model_fields.items():
        found.append((field, (info.annotation, *info.metadata)))
        for part in _parts(info.annotation):
            if _is_model(part) and part not in (*within, model):
                found += _fields(part, (*within, model))
    return found


def _is_model(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _parts(annotation: Any) -> list[Any]:
    inner = annotation if isinstance(annotation, tuple) else get_args(annotation)
    return [annotation, *(part for argument in inner for part in _parts(argument))]


def _may_be_text(annotation: Any) -> bool:
    parts = _parts(annotation)
    return str in parts or (UUID not in parts and bool not in parts and int not in parts)

"""The OpenAPI, attacked with what schemathesis makes of it: no 5xx, and nothing that is not described."""

import asyncio
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from server.openapi import openapi
from tests.effort import EXAMPLES
from tests.world import World

SCHEMA: Final = schemathesis.openapi.from_dict(openapi())
OPERATIONS: Final = [found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)]
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
few = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_the_whole_of_it_is_attacked() -> None:
    described = [method for item in openapi()["paths"].values() for method in item]
    assert len(OPERATIONS) == len(described)


# The attack runs in a thread beside the server, whose own use of `random` looks to hypothesis like the strategy's.
@pytest.mark.filterwarnings(
    "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"
)
@pytest.mark.parametrize(
    "operation", OPERATIONS, ids=lambda operation: f"{operation.method} {operation.path}"
)
async def test_an_operation_answers_as_described(world: World, operation: Any) -> None:
    token = await world.token("alice")

    @few
    @given(case=operation.as_strategy())
    def attack(case: Any) -> None:
        if {"authorization"} & {name.lower() for name in case.headers or {}}:
            case.headers = {k: v for k, v in case.headers.items() if k.lower() != "authorization"}
        response = case.call(base_url=world.url, headers={"Authorization": f"Bearer {token}"})
        case.validate_response(response, checks=CHECKS)

    await asyncio.to_thread(attack)

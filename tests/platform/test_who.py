"""Who may: those who run the server, in a session of their own, and nobody else, whatever the call."""

import re
from typing import Any
from uuid import UUID

import pytest

from handlers.registry import SPECS, Spec
from tests.contract.test_schema import logged_in
from tests.identity.factors import enable
from tests.keys.hands import make_key, rest
from tests.platform.operators import operator
from tests.world import STAFF, World

PLATFORM = sorted(
    name for name, spec in SPECS.items() if spec.route and spec.route.path.startswith("/platform")
)


def _path(spec: Spec, world: World) -> str:
    assert spec.route
    ids = {"tenant_id": world.tenant_id, "user_id": world.user_ids["bob"]}
    return re.sub(r"{(\w+)}", lambda match: ids[match[1]], spec.route.path)


def test_there_are_some() -> None:
    assert len(PLATFORM) >= 17


@pytest.mark.parametrize("name", PLATFORM)
async def test_no_role_and_no_stranger_gets_in(shared: World, name: str) -> None:
    spec = SPECS[name]
    assert spec.platform
    assert spec.kind == "endpoint"
    assert spec.route
    path = _path(spec, shared)
    more: dict[str, Any] = {}
    if spec.route.method != "GET":
        more["json"] = {"reason": "curious", "tenant_id": shared.tenant_id}
    for person in (*STAFF, "mallory"):
        token = await shared.token(person)
        reply = await rest(shared, token, spec.route.method, path, **more)
        assert (reply.status, reply.error.details) == (403, {"permission": "platform_admin"}), (name, person)
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        reply = await shared.request(spec.route.method, path, headers=headers, **more)
        assert (reply.status, reply.error.code) == (401, "UNAUTHORIZED")


async def test_neither_does_a_key_nor_whoever_acts_as_somebody(world: World) -> None:
    owner = world.person("alice")
    key = (await make_key(owner, "write")).key
    async with world.sql() as db:
        await db.execute("UPDATE users SET platform_admin = true WHERE email = 'alice@acme.example'")
    assert (await owner.rest("GET", "/platform/users")).success, "the flag counts at once"
    acting = (await (await operator(world)).impersonate(world.user_ids["bob"], world.tenant_id)).access_token
    async with world.sql() as db:
        await db.execute("UPDATE users SET platform_admin = true WHERE email = 'bob@acme.example'")
    for name in PLATFORM:
        spec = SPECS[name]
        assert spec.route
        for credential, reason in ((key, "session_needed"), (acting, "impersonating")):
            reply = await rest(world, credential, spec.route.method, _path(spec, world))
            assert (reply.status, reply.error.details) == (403, {"reason": reason}), name
    async with world.sql() as db:
        await db.execute("UPDATE users SET platform_admin = false")
    assert (await owner.rest("GET", "/platform/users")).status == 403, "and so does its end"


@pytest.mark.parametrize("status", ["suspended", "inactive"])
async def test_the_flag_of_an_account_that_is_not_active_counts_for_nothing(
    world: World, status: str
) -> None:
    person = await operator(world)
    async with world.sql() as db:
        await db.execute("UPDATE users SET status = $1 WHERE email = $2", status, person.email)
    assert (await person.rest("GET", "/platform/users")).status == 401


async def test_who_has_a_second_factor_must_have_given_it(world: World) -> None:
    person = await operator(world)
    _, codes = await enable(person)
    async with world.sql() as db:
        await db.execute("UPDATE sessions SET second_factor_at = NULL")
    refused = await person.act("GET", "/users")
    assert (refused.status, refused.error.details) == (403, {"reason": "second_factor_required"})
    assert (await person.rest("POST", "/auth/prove", json={"recovery_code": codes[0]})).success
    assert (await person.act("GET", "/users")).success


async def test_the_database_asks_for_itself(world: World) -> None:
    """Each function that crosses tenants is called as the server does, in the name of an owner without the flag."""
    person = await operator(world)
    tenant, bob = UUID(world.tenant_id), UUID(world.user_ids["bob"])
    last = UUID(int=2**128 - 1)
    calls = {
        "platform_tenants($1, '', NULL, '', $2, 10)": UUID(int=0),
        "platform_tenant_figures($1, ARRAY[$2::uuid])": tenant,
        "platform_members($1, $2, '00000000-0000-0000-0000-000000000000', 10)": tenant,
        "platform_memberships($1, $2)": bob,
        "platform_membership_counts($1, ARRAY[$2::uuid])": bob,
        f"platform_activity_of($1, $2, '{last}', 10)": UUID(world.user_ids["alice"]),
        f"platform_activity_in($1, $2, '{last}', 10)": tenant,
    }
    async with world.sql() as db:
        functions = await db.fetch("SELECT proname FROM pg_proc WHERE proname LIKE 'platform_%'")
    assert {row["proname"] for row in functions} == {call.partition("(")[0] for call in calls}
    async with logged_in(world) as connection:
        for call, argument in calls.items():
            asked = f"SELECT count(*) FROM {call}"
            assert await connection.fetchval(asked, UUID(world.user_ids["alice"]), argument) == 0, call
            assert await connection.fetchval(asked, UUID(person.id), argument) > 0, call

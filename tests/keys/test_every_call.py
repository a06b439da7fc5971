"""What a key may call, for everything that can be called and whatever will be."""

import pytest

from handlers.access import PERMISSIONS
from handlers.entry import VIEWS
from handlers.identity.scopes import GROUPS
from handlers.registry import ROOMS_OWN, SPECS
from tests.contract.examples import CALLS, COMMANDS, QUERIES, example, rest_call
from tests.keys.hands import make_key, program, rest
from tests.world import Person, World

EXPORTS = sorted(name for name, spec in SPECS.items() if spec.kind == "export")
ENDPOINTS = sorted(name for name, spec in SPECS.items() if spec.kind == "endpoint" and not spec.public)


async def _key(world: World, *scopes: str) -> str:
    """A key of the owner's with these scopes; the same one each time."""
    name = ",".join(scopes)
    if name not in world.made:
        world.made[name] = (await make_key(world.person("alice"), *scopes)).key
    return world.made[name]


async def _script(world: World, *scopes: str) -> Person:
    key = await _key(world, *scopes)
    for person in world.people:
        if person.client is not None and world.made.get(str(id(person))) == key:
            return person
    person = await program(world, key)
    world.made[str(id(person))] = key
    return person


async def _things(world: World, name: str) -> None:
    """Views and files lead to their project only while they are there."""
    before = example(name).before
    if name.startswith(("view.", "file.")) and before is not None:
        await before(world, world.person("alice"))


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_key_that_may_read_changes_nothing(shared: World, name: str) -> None:
    await _things(shared, name)
    spec, payload = SPECS[name], example(name).payload(shared)
    reply = await (await _script(shared, "read")).call(name, payload)
    method, path, more = rest_call(spec, payload)
    for refused in (reply, await rest(shared, await _key(shared, "read"), method, path, **more)):
        assert not refused.success, name
        assert refused.error.code == "FORBIDDEN", refused
        own = spec.needs is None or spec.needs in VIEWS
        needed = spec.scope if own else spec.needs
        expected = {"permission": needed} if needed else {"reason": "session_needed"}
        assert refused.error.details == expected


@pytest.mark.parametrize("name", CALLS)
async def test_the_owner_s_key_without_the_one_permission_is_refused(shared: World, name: str) -> None:
    await _things(shared, name)
    spec, payload = SPECS[name], example(name).payload(shared)
    if spec.needs is None:
        assert spec.scope is None or spec.scope == ROOMS_OWN or spec.scope in PERMISSIONS
        return
    others = sorted({"project.view", "tenant.view", "presence.share"} - {spec.needs})
    reply = await (await _script(shared, *others)).call(name, payload)
    assert not reply.success
    assert (reply.error.code, reply.error.details) == ("FORBIDDEN", {"permission": spec.needs})


@pytest.mark.parametrize("name", QUERIES)
async def test_a_key_reads_what_its_scopes_let_it_read(shared: World, name: str) -> None:
    spec, payload = SPECS[name], example(name).payload(shared)
    readable = (spec.needs or spec.scope) in GROUPS["read"] or spec.scope == ROOMS_OWN
    reply = await (await _script(shared, "read")).call(name, payload)
    assert reply.success or reply.error.code == ("NOT_FOUND" if readable else "FORBIDDEN"), reply
    if name in ("task.get", "project.list", "tenant.get", "room.snapshot", "room.events"):
        assert reply.success


@pytest.mark.parametrize("name", EXPORTS)
async def test_a_key_takes_no_file_that_its_scopes_do_not_hold(shared: World, name: str) -> None:
    spec = SPECS[name]
    assert spec.route
    path = spec.route.path
    for parameter in spec.route.params:
        path = path.replace(f"{{{parameter}}}", shared.tenant_id)
    refused = await rest(shared, await _key(shared, "write"), spec.route.method, path)
    assert (refused.status, refused.error.details) == (403, {"permission": spec.needs})


@pytest.mark.parametrize("name", ENDPOINTS)
async def test_the_account_is_not_for_keys(shared: World, name: str) -> None:
    spec = SPECS[name]
    assert spec.route
    path = spec.route.path
    for parameter in spec.route.params:
        path = path.replace(f"{{{parameter}}}", shared.tenant_id)
    refused = await rest(shared, await _key(shared, "write"), spec.route.method, path)
    assert (refused.status, refused.error.code) == (403, "FORBIDDEN")
    assert refused.error.details == {"reason": "session_needed"}

"""Keys, and the programs that hold them."""

from typing import Any

from tests.world import Person, World


async def make_key(person: Person, *scopes: str, **more: Any) -> Any:
    """A personal key of somebody; the reply's data."""
    await person.sign_in()
    body = {"name": "Script", "scopes": list(scopes) or ["write"], **more}
    reply = await person.rest("POST", f"/users/{person.id}/api-keys", json=body)
    assert reply.status == 201, reply
    return reply.data


async def make_tenant_key(person: Person, *scopes: str, **more: Any) -> Any:
    """A key of the tenant, made by somebody; the reply's data."""
    tokens = await person.sign_in()
    body = {"name": "Importer", "scopes": list(scopes) or ["write"], **more}
    reply = await person.rest("POST", f"/tenants/{tokens.tenant.id}/api-keys", json=body)
    assert reply.status == 201, reply
    return reply.data


async def rest(world: World, key: str, method: str, path: str, **more: Any) -> Any:
    """A request by key."""
    return await world.request(method, path, headers={"Authorization": f"Bearer {key}"}, **more)


async def program(world: World, key: str, *, url: str | None = None) -> Person:
    """A stock client that connects by key."""
    return await world.person("alice", url=url).connect(token=key)

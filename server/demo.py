"""The demo world: tenant acme, an agency, with alice, bob, carol and gus; mallory next door."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson
import structlog

from handlers.context import Principal
from handlers.identity.founding import found_tenant
from handlers.identity.members import ADMIT
from handlers.identity.passwords import Passwords
from handlers.identity.tenants import Tenant
from handlers.registry import SPECS, Spec
from server.agency import Agency
from server.node import Node
from storage.ids import new_id
from storage.rooms import RoomKey

log = structlog.get_logger(__name__)

PASSWORD: Final = "atrium-demo"  # noqa: S105  # printed on the page that offers the demo
PEOPLE: Final = (("alice", "owner"), ("bob", "member"), ("carol", "client"), ("gus", "guest"))
ACCOUNTS: Final = [
    {"email": f"{name}@acme.example", "name": name.capitalize(), "role": role, "password": PASSWORD}
    for name, role in PEOPLE
]


async def load(node: Node) -> bool:
    """Make the demo world where it does not exist yet; False when it does."""
    passwords = node.passwords
    async with node.db.transaction(None) as session:
        if await session.maybe("user_by_email", email=ACCOUNTS[0]["email"]):
            return False
    people = {name: await _account(node, passwords, name, "acme") for name, _ in PEOPLE}
    acme = await found_tenant(node.db, people["alice"], "Acme")
    mallory = await _account(node, passwords, "mallory", "rival")
    rival = await found_tenant(node.db, mallory, "Rival")
    alice = _principal(people["alice"], "Alice", acme)
    for name, role in PEOPLE[1:]:
        expires = datetime.now(UTC) + timedelta(days=365) if role == "guest" else None
        await _send(node, alice, ADMIT, email=f"{name}@acme.example", role=role, expires_at=expires)
    actors = {name: _principal(user_id, name.capitalize(), acme) for name, user_id in people.items()}

    async def send(who: str, command: str, /, room: RoomKey | None = None, **fields: Any) -> Any:
        return await _send(node, actors[who], command, room, **fields)

    await Agency(send, acme.id, people).tell()
    await _send(node, _principal(mallory, "Mallory", rival), "project.create", name="Rival plans")
    log.info("demo.loaded", tenant=acme.slug)
    return True


async def _account(node: Node, passwords: Passwords, name: str, domain: str) -> UUID:
    async with node.db.transaction(None) as session:
        row = await session.one(
            "create_user", id=uuid5(NAMESPACE_URL, f"https://{domain}.example/{name}"),
            email=f"{name}@{domain}.example", name=name.capitalize(), password_hash=await passwords.hash(PASSWORD),
        )  # fmt: skip
    return UUID(str(row["id"]))


def _principal(user_id: UUID, name: str, tenant: Tenant) -> Principal:
    return Principal(
        user_id=user_id, name=name, email="", tenant_id=tenant.id, tenant_name=tenant.name, tenant_slug=tenant.slug,
        role="owner", session_id=new_id(), expires_at=float("inf"),
    )  # fmt: skip


async def _send(
    node: Node, principal: Principal, name: str | Spec, /, room: RoomKey | None = None, **fields: Any
) -> Any:
    """A command, or a query, as a client would send it."""
    spec = SPECS[name] if isinstance(name, str) else name
    payload = spec.payload.model_validate({key: value for key, value in fields.items() if value is not None})
    where: RoomKey = room or await node.dispatcher.locator.room(spec, payload, principal, None)
    run = node.dispatcher.query if spec.kind == "query" else node.dispatcher.submit
    return orjson.loads((await run(spec, payload, principal, where)).data)

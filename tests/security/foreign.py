"""A second tenant beside acme, of the same shape, whose every text holds a canary."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from handlers.identity.founding import found_tenant
from server.demo import PASSWORD
from storage.ids import new_id
from storage.rooms import RoomKey
from tests.world import STAFF, TASKS, Person, World, _command, _principal

CANARY: Final = "canary7f3a"
"""In every name and title of the foreign tenant, and nowhere else."""


@dataclass(repr=False)
class Foreign(World):
    """Canary Works on the node of acme's world: what is `alice` there owns it, `bob` is its member, and so on."""

    def person(self, name: str, *, url: str | None = None) -> Person:
        person = Person(self, f"{name}@canary.example", url=url)
        self.people.append(person)
        return person


async def foreign_tenant(world: World) -> Foreign:
    """Found it, with people of every role, a project, and five tasks."""
    node = world.node
    ids = {name: await _person(world, name) for name in STAFF}
    tenant = await found_tenant(node.db, ids["alice"], f"{CANARY} works")
    owner = _principal(ids["alice"], CANARY, tenant)
    async with world.sql() as db:
        for name, role in list(STAFF.items())[1:]:
            await db.execute(
                "INSERT INTO members (tenant_id, user_id, role, expires_at) "
                "VALUES ($1, $2, $3, CASE WHEN $3 = 'guest' THEN now() + interval '1 year' END)",
                tenant.id, ids[name], role,
            )  # fmt: skip
            await db.execute(
                "INSERT INTO rooms (tenant_id, id, kind) VALUES ($1, $2, 'user')", tenant.id, ids[name]
            )
    members = [ids[name] for name in ("bob", "carol", "gus")]
    made = await _command(
        node, owner, "project.create", name=f"{CANARY} kitchen", key="CAN", description=CANARY, member_ids=members
    )  # fmt: skip
    room = RoomKey(tenant.id, "project", UUID(made["project"]["id"]))
    for title in TASKS:
        await _command(node, owner, "task.create", room=room, title=f"{CANARY} {title}", tags=[CANARY])
    foreign = Foreign(node, world.url, world.http, world.dsn, world.login)
    await _know(foreign, tenant.id, room.id, ids)
    return foreign


async def _person(world: World, name: str) -> UUID:
    hashed = await world.node.passwords.hash(PASSWORD)
    async with world.node.db.transaction(None) as session:
        row = await session.one(
            "create_user", id=new_id(), email=f"{name}@canary.example", name=f"{CANARY} {name}", password_hash=hashed
        )  # fmt: skip
    return UUID(str(row["id"]))


async def _know(foreign: Foreign, tenant_id: UUID, project_id: UUID, ids: dict[str, UUID]) -> None:
    foreign.tenant_id, foreign.project_id = str(tenant_id), str(project_id)
    foreign.user_ids = {name: str(user_id) for name, user_id in ids.items()}
    async with foreign.sql() as db:
        of = "WHERE project_id = $1 ORDER BY position, id"
        for row in await db.fetch(f"SELECT id, name, board_id FROM board_columns {of}", project_id):
            foreign.columns[row["name"]] = str(row["id"])
            foreign.board_id = str(row["board_id"])
        for row in await db.fetch(f"SELECT id, name FROM statuses {of}", project_id):
            foreign.statuses[row["name"]] = str(row["id"])
        rows = await db.fetch("SELECT id FROM tasks WHERE project_id = $1 ORDER BY number", project_id)
        foreign.tasks = [str(row["id"]) for row in rows]


def swaps(own: Any, theirs: Any) -> list[Any]:
    """Every payload that is `own` but for one value, which is theirs; and theirs as a whole."""
    found = [theirs]
    found.extend(_swapped(own, theirs))
    return [payload for at, payload in enumerate(found) if payload != own and payload not in found[:at]]


def _swapped(own: Any, theirs: Any) -> list[Any]:
    if isinstance(own, dict) and isinstance(theirs, dict):
        return [
            {**own, key: value}
            for key in own.keys() & theirs.keys()
            for value in _swapped(own[key], theirs[key])
        ]
    if isinstance(own, list) and isinstance(theirs, list):
        return [
            [*own[:at], value, *own[at + 1 :]]
            for at in range(min(len(own), len(theirs)))
            for value in _swapped(own[at], theirs[at])
        ]
    return [theirs] if own != theirs else []

"""Whatever is done to people, roles, projects, teams, units and delegations: the server allows what the model says.

Every way in which the server reads rights is asked: for commands, for queries, for joins, for open sockets.
"""

import itertools
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import orjson
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from handlers import access
from storage.statements import as_json
from tests.roles.model import ORDER, Custom, Model
from tests.roles.model import Person as Modelled
from tests.world import Person, World

PEOPLE = {"manager": "manager", "bob": "member", "viewer": "viewer", "carol": "client"}
PROJECTS = ("kitchen", "bathroom")
GROUPS = ("team", "upper", "lower")
LATER = datetime.now(UTC) + timedelta(days=30)
BEFORE = datetime.now(UTC) - timedelta(days=1)

SOME = ("tenant.view", "member.export", "audit.view", "board.edit", "task.edit", "project.view")
STEPS = 32
"""Steps of one game (count): enough that roles, shares and delegations come together in one person."""
LOOKS = 4
"""After how many steps everything is compared (count)."""


def steps_of(seed: int) -> list[tuple[Any, ...]]:
    """A game: more that gives than that takes away, so that something is there to be compared."""
    random = Random(seed)

    def one(values: Iterable[Any]) -> Any:
        return random.choice(sorted(values))

    def some() -> set[str]:
        return set(random.sample(SOME, random.choice((0, 1, 1, 2, 3))))

    def role() -> str:
        return random.choice(ORDER[1:-1])

    def maybe_role() -> str | None:
        return random.choice((None, role(), role()))

    kinds: dict[str, tuple[int, Callable[[], tuple[Any, ...]]]] = {
        "role": (3, lambda: (one(PEOPLE), role())),
        "custom": (3, lambda: (one(PEOPLE), one(("one", "two")))),
        "beside": (4, lambda: (one(PEOPLE), some(), some())),
        "change": (3, lambda: (one(("one", "two")), role(), some(), some())),
        "active": (1, lambda: (one(PEOPLE), random.random() < 0.7)),
        "expire": (1, lambda: (one(PEOPLE), random.random() < 0.3)),
        "part": (4, lambda: (one(PROJECTS), one(PEOPLE), maybe_role(), random.random() < 0.3)),
        "no part": (2, lambda: (one(PROJECTS), one(PEOPLE))),
        "join": (6, lambda: (one(GROUPS), one(PEOPLE))),
        "leave": (1, lambda: (one(GROUPS), one(PEOPLE))),
        "share": (5, lambda: (one(PROJECTS), one(GROUPS), maybe_role())),
        "unshare": (1, lambda: (one(PROJECTS), one(GROUPS))),
        "move": (2, lambda: (random.random() < 0.6,)),
        "delegate": (3, lambda: (one(PEOPLE), one(PEOPLE), random.random() < 0.7)),
        "revoke": (1, lambda: (one(PEOPLE), one(PEOPLE))),
    }
    names, weights = list(kinds), [weight for weight, _ in kinds.values()]
    return [(kind, *kinds[kind][1]()) for kind in random.choices(names, weights, k=STEPS)]


class Played:
    """The same steps, done to the server and to the model."""

    def __init__(self, world: World, alice: Person, bathroom: str) -> None:
        self.world, self.alice = world, alice
        self.model = Model({name: Modelled(role) for name, role in PEOPLE.items()})
        self.model.groups = {name: set() for name in GROUPS}
        self.model.above = {"team": None, "upper": None, "lower": "upper"}
        self.projects = {"kitchen": world.project_id, "bathroom": bathroom}
        self.ids: dict[Any, str] = {}

    async def prepare(self) -> None:
        """The world as it was, with empty groups and two roles that nobody has."""
        async with self.world.sql() as db:
            for table in ("project_shares", "delegations", "group_members"):
                await db.execute(f"DELETE FROM {table}")
            await db.execute("DELETE FROM groups WHERE parent_id IS NOT NULL")
            await db.execute("DELETE FROM groups")
            await db.execute("DELETE FROM project_members")
            for name, role in PEOPLE.items():
                await db.execute(
                    "UPDATE members SET role = $2, status = 'active', expires_at = NULL, role_id = NULL, allowed = NULL, "
                    "denied = NULL, own_allowed = NULL, own_denied = NULL, delegated_until = NULL WHERE user_id = $1",
                    UUID(self.world.user_ids[name]), role,
                )  # fmt: skip
            await db.execute("DELETE FROM custom_roles")
        for name in ("one", "two"):
            self.model.customs[name] = Custom("member", set(), set())
            self.ids[name] = (await self._do("role.create", name=name, base="member")).role.id
        self.ids["team"] = (await self._do("team.create", name="team")).team.id
        self.ids["upper"] = (await self._do("unit.create", kind="region", name="upper")).unit.id
        lower = await self._do("unit.create", kind="client", name="lower", parent_id=self.ids["upper"])
        self.ids["lower"] = lower.unit.id

    async def _do(self, name: str, /, **fields: Any) -> Any:
        reply = await self.alice.call(name, fields)
        assert reply.success, (name, fields, reply)
        return reply.data

    async def member(self, name: str, **fields: Any) -> Any:
        return await self.alice.call(
            "member.update", {"user_id": self.world.user_ids[name], **fields}
        )  # fmt: skip

    async def step(self, kind: str, *how: Any) -> None:
        await getattr(self, kind.replace(" ", "_"))(*how)

    async def role(self, name: str, role: str) -> None:
        assert (await self.member(name, role=role)).success
        self.model.people[name].role, self.model.people[name].custom = role, None

    async def custom(self, name: str, custom: str) -> None:
        assert (await self.member(name, role_id=self.ids[custom])).success
        self.model.people[name].custom = custom

    async def beside(self, name: str, plus: set[str], minus: set[str]) -> None:
        plus = plus - minus
        reply = await self.member(name, allowed=sorted(plus), denied=sorted(minus))
        person = self.model.people[name]
        outside = self.model.base(name) in ("client", "guest")
        assert reply.success != (outside and bool(plus & {"tenant.view", "member.export", "audit.view"}))
        if reply.success:
            person.plus, person.minus = plus, minus

    async def change(self, custom: str, base: str, plus: set[str], minus: set[str]) -> None:
        plus = plus - minus - ({"tenant.view", "member.export", "audit.view"} if base == "client" else set())
        await self._do(
            "role.update", role_id=self.ids[custom], base=base, allowed=sorted(plus), denied=sorted(minus)
        )
        self.model.customs[custom] = Custom(base, plus, minus)

    async def active(self, name: str, active: bool) -> None:
        await self._do(
            "member.activate" if active else "member.deactivate", user_id=self.world.user_ids[name]
        )
        self.model.people[name].active = active

    async def expire(self, name: str, expired: bool) -> None:
        person = self.model.people[name]
        assert (await self.member(name, expires_at=BEFORE if expired else LATER)).success
        person.expired = expired

    async def part(self, project: str, name: str, role: str | None, expired: bool) -> None:
        await self._do(
            "project.add_member", project_id=self.projects[project], user_id=self.world.user_ids[name],
            role=role, expires_at=BEFORE if expired else None,
        )  # fmt: skip
        self.model.parts[project, name] = role, expired

    async def no_part(self, project: str, name: str) -> None:
        call = {"project_id": self.projects[project], "user_id": self.world.user_ids[name]}
        reply = await self.alice.call("project.remove_member", call)
        assert reply.success == ((project, name) in self.model.parts), reply
        self.model.parts.pop((project, name), None)

    async def join(self, group: str, name: str) -> None:
        await self._people("add", group, name)
        self.model.groups[group].add(name)

    async def leave(self, group: str, name: str) -> None:
        await self._people("remove", group, name)
        self.model.groups[group].discard(name)

    async def _people(self, verb: str, group: str, name: str) -> None:
        noun = "team" if group == "team" else "unit"
        ids = {f"{noun}_id": self.ids[group], "user_ids": [self.world.user_ids[name]]}
        await self._do(f"{noun}.{verb}_members", **ids)

    async def share(self, project: str, group: str, role: str | None) -> None:
        key = "team_id" if group == "team" else "unit_id"
        fields = {"project_id": self.projects[project], key: self.ids[group], "role": role}
        self.ids[project, group] = (await self._do("project.share", **fields)).share.id
        self.model.shares[project, group] = role

    async def unshare(self, project: str, group: str) -> None:
        if self.model.shares.pop((project, group), self) is not self:
            await self._do(
                "project.unshare", project_id=self.projects[project], share_id=self.ids[project, group]
            )

    async def move(self, below: bool) -> None:
        await self._do(
            "unit.update", unit_id=self.ids["lower"], parent_id=self.ids["upper"] if below else None
        )
        self.model.above["lower"] = "upper" if below else None

    async def delegate(self, giver: str, taker: str, begun: bool) -> None:
        """Written as the command would, for whoever gives: alice cannot delegate for others."""
        if giver == taker or (giver, taker) in self.model.delegations:
            return
        async with self.world.sql() as db:
            people = [UUID(self.world.user_ids[name]) for name in (giver, taker)]
            await db.execute(
                "INSERT INTO delegations (tenant_id, id, from_id, to_id, starts_at, ends_at, reason, created_by, created_at) "
                "VALUES ($1, gen_random_uuid(), $2, $3, $4, $5, 'Away', $2, now())",
                UUID(self.world.tenant_id), *people, BEFORE if begun else LATER, LATER + timedelta(days=1),
            )  # fmt: skip
            await db.execute(
                "UPDATE members SET delegated_until = $2 WHERE user_id = $1",
                people[1],
                LATER + timedelta(days=1),
            )
        self.model.delegations[giver, taker] = begun

    async def revoke(self, giver: str, taker: str) -> None:
        if self.model.delegations.pop((giver, taker), None) is None:
            return
        async with self.world.sql() as db:
            found = await db.fetchval(
                "SELECT id FROM delegations WHERE from_id = $1 AND to_id = $2 AND revoked_at IS NULL",
                UUID(self.world.user_ids[giver]), UUID(self.world.user_ids[taker]),
            )  # fmt: skip
        await self._do("delegation.revoke", delegation_id=str(found))

    async def compare(self, steps: Any) -> None:
        rooms: list[tuple[str | None, str, str]] = [(None, "tenant", self.world.tenant_id)]
        rooms += [(name, "project", project_id) for name, project_id in self.projects.items()]
        for (project, kind, room), name in itertools.product(rooms, PEOPLE):
            expected = self.model.rights(name, project)
            for way, found in (await self._read(kind, UUID(room), name)).items():
                assert found == expected, (steps, way, name, project)
            reply = await self.alice.call(
                "permission.explain", {"room": f"{kind}:{room}", "user_id": self.world.user_ids[name]}
            )
            assert reply.data.visible == (expected is not None)
            for each in reply.data.permissions:
                assert each.allowed == (each.name in (expected or ())), (steps, each, name, project)
                if each.allowed:
                    assert "gives" in {reason.effect for reason in each.because}, (steps, each, name, project)

    async def _read(self, kind: str, room: UUID, name: str) -> dict[str, set[str] | None]:
        """The rights of somebody by each of the statements that the server reads them with."""
        who = UUID(self.world.user_ids[name])
        async with self.world.node.db.transaction(UUID(self.world.tenant_id)) as session:
            opened = await session.one(
                "open_room",
                room_id=room,
                actor_ids=[who],
                asked=as_json([{"actor_id": who, "command_id": who}]),
            )
            rows: dict[str, Any] = {
                "commands": orjson.loads(opened["actors"])[0],
                "queries": await session.one("room_for", room_id=room, actor_id=who),
                "echoes": await session.one("actor_rights", room_id=room, actor_id=who),
                "sockets": (await session.many("rights_in_rooms", user_ids=[who], room_ids=[room]))[0],
            }
        found = {way: access.rights(row, kind, room) for way, row in rows.items()}
        return {way: set(rights.permissions) if rights else None for way, rights in found.items()}


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(0, 2**32))
async def test_the_server_allows_what_the_model_says(shared: World, seed: int) -> None:
    alice = shared.people[0] if shared.people else await shared.person("alice").connect()
    listed = await alice.send("project.list", room=shared.tenant)
    found = {project.name: project.id for project in listed.data.projects}
    if "Bathroom" not in found:
        found["Bathroom"] = (await alice.send("project.create", name="Bathroom")).data.project.id
    played = Played(shared, alice, found["Bathroom"])
    await played.prepare()
    steps = steps_of(seed)
    for number, step in enumerate(steps, 1):
        await played.step(*step)
        if number % LOOKS == 0:
            await played.compare(steps[:number])

"""The key ring: nobody notices a rotation, the table forges nothing, made-up names cost next to nothing."""

import asyncio
import hashlib
import itertools
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jwt
import pytest

from handlers.errors import Unauthorized
from handlers.identity.signing_keys import SLACK, KeyRing, derive, new_kid
from handlers.identity.tokens import Tokens
from server.keys import KeyWatch
from storage.ids import new_id
from tests.world import Cluster, World, second_node

ROOT = Path(__file__).parents[2]
OLD, NEW = "x" * 40, "y" * 40


class Clock:
    """Runs ahead of the real one."""

    ahead = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead


def ring(world: World, *secret_keys: str, **more: Any) -> KeyRing:
    """What another node would have."""
    more = {"spread": 90.0, "settings": world.node.settings, **more}
    return KeyRing(world.node.db, secret_keys or (OLD,), more.pop("settings"), **more)


def tokens(of: KeyRing, world: World) -> Tokens:
    return Tokens(of, world.node.settings)


def issued(of: Tokens) -> str:
    return of.issue(new_id(), new_id(), None)


def kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


async def test_rotation_under_load_on_two_nodes(pair: tuple[World, str]) -> None:
    """Keys change three times while two nodes sign, renew and check: every answer is a good one."""
    world, url = pair
    nodes = (world.url, url)
    rings = world.node.tokens.ring
    rings._spread = 0.3
    statuses: Counter[int] = Counter()
    kids: set[str] = set()
    stop = asyncio.Event()

    async def work(number: int) -> None:
        pair_ = await world.person("bob", url=nodes[number % 2]).sign_in()
        while not stop.is_set():
            for base in nodes:
                bearer = {"Authorization": f"Bearer {pair_.access_token}"}
                statuses[(await world.request("GET", "/auth/me", headers=bearer, url=base)).status] += 1
            body = {"refresh_token": pair_.refresh_token}
            reply = await world.request("POST", "/auth/refresh", json=body, url=nodes[(number + 1) % 2])
            statuses[reply.status] += 1
            pair_ = reply.data
            kids.add(kid(pair_.access_token))

    workers = [asyncio.create_task(work(number)) for number in range(6)]
    for _ in range(3):
        await asyncio.sleep(0.6)
        await rings.rotate()
    await asyncio.sleep(1.5)
    stop.set()
    await asyncio.gather(*workers)
    assert set(statuses) == {200}
    assert statuses[200] > 100
    assert len(kids) >= 3, "the keys did change"


async def test_a_new_key_waits_until_every_node_knows_it(world: World) -> None:
    clock = Clock()
    here = ring(world, clock=clock)
    await here.open()
    mine = tokens(here, world)
    before = issued(mine)
    made = await here.rotate()
    clock.ahead = 80
    assert kid(issued(mine)) == kid(before)
    clock.ahead = 91
    assert kid(issued(mine)) == made
    assert (await mine.check(before)).tenant_id is None


async def test_a_replaced_key_counts_until_its_last_token_has_expired(world: World) -> None:
    clock = Clock()
    here = ring(world, clock=clock)
    await here.open()
    mine = tokens(here, world)
    old = kid(issued(mine))
    await here.rotate()
    lifetime = 90 + world.node.settings.access_token_ttl
    clock.ahead = lifetime + 1
    assert await here.find(old) is not None
    clock.ahead = lifetime + SLACK + 1
    looks = here.looks
    assert await here.find(old) is None
    assert here.looks == looks, "a key that has had its time is not looked up again"
    clock.ahead = 0
    async with world.sql() as db:
        await db.execute("UPDATE signing_keys SET signs_from = signs_from - interval '1 day'")
    assert [key.state for key in await here.listed()] == ["retired", "signing"]


async def test_a_node_that_missed_a_key_looks_it_up(world: World) -> None:
    here, there = ring(world, spread=0.0), ring(world)
    await here.open()
    await there.open()
    await here.rotate()
    token = issued(tokens(here, world))
    assert (await tokens(there, world).check(token)).tenant_id is None


async def test_made_up_names_are_looked_up_once_a_second_together(world: World) -> None:
    here = ring(world)
    await here.open()
    mine, looks = tokens(here, world), here.looks
    good = issued(mine)

    async def forged() -> None:
        with pytest.raises(Unauthorized):
            await mine.check(jwt.encode({}, "k" * 32, headers={"typ": "at+jwt", "kid": new_kid()}))

    flood = [asyncio.create_task(forged()) for _ in range(500)]
    await asyncio.sleep(0)
    async with asyncio.timeout(0.5):
        await mine.check(good)  # is not kept waiting
    await asyncio.gather(*flood)
    assert here.looks - looks <= 3
    for odd in (None, 7, "", "x" * 32, "0" * 31, "0" * 33, "../" * 10, ["0" * 32]):
        assert await here.find(odd) is None
    assert here.looks - looks <= 3, "what cannot be a name is not looked up at all"


async def test_new_keys_are_made_when_it_is_time_by_one_node(world: World) -> None:
    rings = [
        ring(world, settings=world.node.settings.model_copy(update={"key_rotation": 90})) for _ in range(4)
    ]
    for one in rings:
        await one.open()
    assert await asyncio.gather(*(one.rotate_if_due() for one in rings)) == [None] * 4
    async with world.sql() as db:
        await db.execute("UPDATE signing_keys SET signs_from = signs_from - interval '89 days 23 hours'")
    assert await asyncio.gather(*(one.rotate_if_due() for one in rings)) == [None] * 4
    async with world.sql() as db:
        await db.execute("UPDATE signing_keys SET signs_from = signs_from - interval '2 hours'")
    never = ring(world, settings=world.node.settings.model_copy(update={"key_rotation": 0}))
    assert await never.rotate_if_due() is None
    for one in rings:
        await KeyWatch(one).once()
    states = [key.state for key in await rings[0].listed()]
    assert states == ["signing", "waiting"]


async def test_nodes_that_start_together_make_one_first_key(world: World) -> None:
    async with world.sql() as db:
        await db.execute("DELETE FROM signing_keys")
    rings = [ring(world) for _ in range(5)]
    await asyncio.gather(*(one.open() for one in rings))
    assert len({one.signing().kid for one in rings}) == 1


async def test_the_table_forges_nothing(world: World) -> None:
    mine = tokens(world.node.tokens.ring, world)
    claims = jwt.decode(await world.token("alice"), options={"verify_signature": False})
    async with world.sql() as db:
        rows = await db.fetch("SELECT * FROM signing_keys")
    for row in rows:
        words = [row["kid"], row["secret_id"], row["kid"] + row["secret_id"], ""]
        guesses = [word.encode() for word in words] + [bytes.fromhex(row["kid"]), derive(b"", row["kid"])]
        for guess, hashed in itertools.product(guesses, (True, False)):
            key = hashlib.sha256(guess).digest() if hashed else guess.ljust(32, b"\0")
            token = jwt.encode(claims, key, headers={"typ": "at+jwt", "kid": row["kid"]})
            with pytest.raises(Unauthorized):
                await mine.check(token)


async def test_old_keys_are_removed_when_they_are_long_past(world: World) -> None:
    here = ring(world)
    await here.open()
    await here.rotate()
    await world.node.maintenance.sessions()
    assert len(await here.listed()) == 2
    async with world.sql() as db:
        await db.execute("UPDATE signing_keys SET signs_from = signs_from - interval '200 days'")
    await world.node.maintenance.sessions()
    assert len(await here.listed()) == 1
    assert here.signing()


# Another secret.


async def test_what_the_previous_secret_signed_is_accepted_until_it_expires(world: World) -> None:
    clock = Clock()
    before = ring(world)
    await before.open()
    old = issued(tokens(before, world))
    after = ring(world, NEW, OLD, clock=clock)
    await after.open()
    mine = tokens(after, world)
    new = issued(mine)
    assert kid(new) != kid(old)
    assert await mine.check(old)
    assert await mine.check(new)
    clock.ahead = world.node.settings.access_token_ttl + SLACK + 1
    with pytest.raises(Unauthorized):  # though it is not yet time by the clock of the token itself
        await mine.check(old)
    alone = ring(world, NEW)
    await alone.open()
    with pytest.raises(Unauthorized):  # who has the new secret alone takes nothing of the old one
        await tokens(alone, world).check(old)
    assert {key.state for key in await alone.listed()} == {"unknown secret", "signing"}


async def test_two_nodes_may_change_the_secret_one_after_the_other(world: World, cluster: Cluster) -> None:
    """First both know both, then each signs with the new one: no token is refused at any time."""
    bearer = {"Authorization": f"Bearer {await world.token('bob')}"}
    async with second_node(world, cluster, secret_key=OLD, secret_key_previous=NEW) as (_, first):
        assert (await world.request("GET", "/auth/me", headers=bearer, url=first)).status == 200
        async with second_node(world, cluster, secret_key=NEW, secret_key_previous=OLD) as (_, second):
            assert (await world.request("GET", "/auth/me", headers=bearer, url=second)).status == 200
            fresh = (await world.person("bob", url=second).sign_in()).access_token
            bearer = {"Authorization": f"Bearer {fresh}"}
            for url in (first, second):
                assert (await world.request("GET", "/auth/me", headers=bearer, url=url)).status == 200


def test_on_the_command_line(tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.endswith("_URL")},
        "ATRIUM_DATA_DIR": str(tmp_path / "data"),
    }

    def keys(command: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", "server", "keys", command],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.splitlines()

    made = keys("rotate")[0].split()[0]
    lines = [line.split() for line in keys("list")]
    assert [line[-1] for line in lines] == ["signing", "waiting"]
    assert lines[1][0] == made

"""Failing over to a standby: what was acknowledged stays, or everybody is told that there is another history."""

import asyncio
import os
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from server.app import login_dsn
from tests.chaos.standby import Pair, started
from tests.reducer import fold, store_of
from tests.world import Cluster, Person, World, opened

SEED = 20_261_128


@asynccontextmanager
async def _world_with_standby() -> AsyncIterator[tuple[Pair, World]]:
    """The named world on a primary with a standby, served by a node that knows both addresses."""
    with tempfile.TemporaryDirectory(prefix="atrium-standby-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o755)
        async with started(directory) as pair:
            cluster = Cluster(pair.primary, directory)
            await cluster.prepare()
            await pair.copy()
            dsn = pair.dsn("template_world")
            async with opened(directory, dsn, login_dsn(dsn), sweep_interval=0.5, pool_timeout=5) as world:
                yield pair, world


class Mover:
    """Moves tasks about, one after the other; an answer that does not come is asked for again under its id."""

    def __init__(self, world: World, person: Person, seed: int) -> None:
        self.acknowledged: dict[str, int] = {}
        self.sent: dict[str, dict[str, Any]] = {}
        self.stopped = False
        self._world, self._person, self._random = world, person, random.Random(seed)

    async def run(self) -> None:
        columns = list(self._world.columns.values())
        while not self.stopped:
            command_id = str(uuid4())
            move = {
                "task_id": self._random.choice(self._world.tasks),
                "column_id": self._random.choice(columns),
            }
            self.sent[command_id] = {**move, "command_id": command_id}
            self.acknowledged[command_id] = await self.until_applied(command_id)

    async def until_applied(self, command_id: str) -> int:
        while True:
            reply = await self._person.send("task.move", **self.sent[command_id])
            if reply.success:
                return int(reply.meta.seq)
            assert reply.error.code == "UNAVAILABLE", reply
            await asyncio.sleep(0.02)

    async def has(self, count: int) -> None:
        """Wait until so many more have been acknowledged."""
        goal = len(self.acknowledged) + count
        while len(self.acknowledged) < goal:
            await asyncio.sleep(0.01)


async def _log(world: World, after: int) -> list[Any]:
    """The project's events after a number, from the database that is the primary now."""
    async with world.sql() as db:
        rows = await db.fetch(
            "SELECT seq, name, command_id::text FROM room_events WHERE room_id = $1 AND seq > $2 ORDER BY seq",
            UUID(world.project_id), after,
        )  # fmt: skip
    return list(rows)


async def _agreed(world: World, people: list[Person], joined: dict[Person, Any]) -> None:
    """Each one's snapshot and the events since are a fresh snapshot."""
    fresh = await world.person("alice").snapshot(world.project)
    for person in people:
        start = joined[person]
        async with asyncio.timeout(20):
            while (events := _since(person, world.project, start.seq)) and events[-1].seq < fresh.seq:
                await asyncio.sleep(0.01)
        assert [event.seq for event in events] == list(range(start.seq + 1, fresh.seq + 1))
        assert fold(store_of(start.snapshot), events) == store_of(fresh.snapshot)


def _since(person: Person, room: str, seq: int) -> list[Any]:
    """What came after the last time that it was told to join again."""
    begin = max(
        (at for at, (name, data) in enumerate(person.journal) if name == "room.resync" and data.room == room),
        default=-1,
    )
    later = [data for _, data in person.journal[begin + 1 :] if isinstance(data, dict)]
    return [
        event for event in later if event.get("room") == room and event.get("seq", 0) > seq and "at" in event
    ]


async def _join_anew(world: World, people: list[Person], before: dict[Person, Any]) -> dict[Person, Any]:
    """Everybody is told to join again, and gets a snapshot of another epoch, whatever position he shows."""
    after = {}
    for person in people:
        await person.hears("room.resync", room=world.project, within=20)
        place = {"epoch": before[person].epoch, "seq": before[person].seq}
        after[person] = await person.join(world.project, since=place)
        assert after[person].mode == "snapshot"
        assert after[person].epoch != before[person].epoch
    return after


@pytest.mark.parametrize("seed", [SEED])
async def test_a_synchronous_standby_loses_nothing_that_was_acknowledged(seed: int) -> None:
    async with _world_with_standby() as (pair, world):
        await pair.wait_for_standby()
        people = [await world.person(name).connect() for name in ("alice", "bob", "manager")]
        joined = {person: await person.join(world.project) for person in people}
        start = joined[people[0]].seq
        movers = [Mover(world, person, seed + n) for n, person in enumerate(people)]
        tasks = [asyncio.create_task(mover.run()) for mover in movers]
        await movers[0].has(40)
        await pair.fail_over()
        joined = await _join_anew(world, people, joined)
        await movers[0].has(40)
        for mover in movers:
            mover.stopped = True
        await asyncio.gather(*tasks)

        log = await _log(world, start)
        assert [row["seq"] for row in log] == list(range(start + 1, start + 1 + len(log)))
        acknowledged = {key: seq for mover in movers for key, seq in mover.acknowledged.items()}
        assert {row["command_id"]: row["seq"] for row in log} == acknowledged, (
            "each once, under its own number"
        )
        await _agreed(world, people, joined)


@pytest.mark.parametrize("seed", [SEED])
async def test_an_asynchronous_standby_begins_another_history(seed: int) -> None:
    """It lacks moves and a removal that were acknowledged; nobody goes on as if nothing had happened."""
    async with _world_with_standby() as (pair, world):
        alice, bob, gus = [await world.person(name).connect() for name in ("alice", "bob", "gus")]
        people = [alice, bob]
        joined = {person: await person.join(world.project) for person in (*people, gus)}
        start = joined[alice].seq
        movers = [Mover(world, person, seed + n) for n, person in enumerate(people)]
        tasks = [asyncio.create_task(mover.run()) for mover in movers]
        await movers[0].has(20)
        kept = {key for mover in movers for key in mover.acknowledged}
        await pair.cut_standby_off()
        # What is lost has to be more than numbers: a change of rights that this node has already acted upon.
        assert (await alice.send("member.remove", user_id=world.user_ids["gus"])).success
        await gus.hears("room.closed", room=world.project, reason="revoked")
        await movers[0].has(20)
        for mover in movers:
            mover.stopped = True
        await asyncio.gather(*tasks)
        acknowledged = {key: seq for mover in movers for key, seq in mover.acknowledged.items()}
        await pair.fail_over()

        joined = await _join_anew(world, people, joined)
        log = await _log(world, start)
        there = {row["command_id"] for row in log}
        lost = set(acknowledged) - there
        assert len(lost) >= 20, "what the standby did not have is gone"
        assert kept <= there
        head = start + len(log)
        assert joined[alice].seq == head < max(acknowledged.values())

        # The removal is lost too, so gus is a member again; removed once more, he is put out before the next event.
        again = await world.person("gus").connect()
        await again.join(world.project)
        assert (await alice.send("member.remove", user_id=world.user_ids["gus"])).success
        for mover in movers:
            for command_id in lost & set(mover.sent):
                assert await mover.until_applied(command_id) > head, "its number is given anew"
        await again.hears("room.closed", room=world.project, reason="revoked")
        assert again.seqs(world.project) == []

        log = await _log(world, start)
        moved = [row["command_id"] for row in log if row["name"] == "task.moved"]
        assert sorted(moved) == sorted(acknowledged), "each once"
        await _agreed(world, people, joined)


async def test_a_log_that_ends_before_what_was_delivered_begins_another_epoch(
    worlds: Callable[..., Any],
) -> None:
    """The last commits are gone and no promotion says so: a restore beneath a running node, say."""
    world = await worlds(sweep_interval=0.2)
    alice, bob = await world.person("alice").connect(), await world.person("bob").connect()
    people = [alice, bob]
    joined = {person: await person.join(world.project) for person in people}
    for column in world.columns.values():
        reply = await alice.send("task.move", task_id=world.tasks[0], column_id=column)
    await bob.hears("task.moved", seq=reply.meta.seq)
    async with world.sql() as db, db.transaction():
        lost = UUID(world.project_id), reply.meta.seq - 2
        await db.execute("UPDATE rooms SET head_seq = $2 WHERE id = $1", *lost)
        await db.execute("DELETE FROM room_events WHERE room_id = $1 AND seq > $2", *lost)
    joined = await _join_anew(world, people, joined)
    again = await alice.send("task.move", task_id=world.tasks[0], column_id=world.columns["Done"])
    assert again.meta.seq == reply.meta.seq - 1, "its number is given anew"
    await _agreed(world, people, joined)


async def test_an_operator_gives_all_rooms_another_epoch(world: World, alice: Person) -> None:
    before = {alice: await alice.join(world.project)}
    environment = {
        "DATABASE_URL": world.login,
        "DATABASE_OWNER_URL": world.dsn,
        "ATRIUM_SECRET_KEY": "x" * 40,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server", "renew-epochs", env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err
    async with world.sql() as db:
        rooms = await db.fetchval("SELECT count(*) FROM rooms")
    assert out.decode().strip() == f"{rooms} rooms have another epoch."
    await _join_anew(world, [alice], before)

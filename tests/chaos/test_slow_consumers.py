"""A hundred members who do not read, in a busy room: they cost a bounded number of bytes, and nobody else a thing."""

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.browser.server import RestartableServer
from tests.chaos.stalled import Silent, Slow, Stalled, Unpolled, narrow_session
from tests.reducer import Store, fold, store_of
from tests.world import Person, World

SOFT, HARD = 64 << 10, 512 << 10
"""Bytes unsent beyond which a member gets no signals, and beyond which it is told to join again."""

SIZE: Final = 4000
"""Characters of the description in every event, which carries the old one too."""

EVENT: Final = 2 * SIZE + 1500
"""The most that an event may take (bytes)."""

ROUNDS: Final = 26
"""Rounds of four events each that make one part of the test."""


@asynccontextmanager
async def _child(world: World, directory: Path, **settings: str) -> AsyncIterator[RestartableServer]:
    """Another node on a world's database, as a process of its own."""
    server = RestartableServer(directory)
    await server.start(
        DATABASE_URL=world.login, DATABASE_OWNER_URL=world.dsn, ATRIUM_SECRET_KEY="x" * 40, **settings
    )
    try:
        yield server
    finally:
        await server.stop()


class Room:
    """The good members of a busy room, and how long it takes until all of them have what four have sent."""

    def __init__(self, world: World, people: list[Person]) -> None:
        self._world, self._people = world, people
        self._turn = 0
        self.last = 0

    async def busy(self, rounds: int) -> list[float]:
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            replies = await asyncio.gather(*(self._say(person) for person in self._people[:4]))
            self.last = max(reply.meta.seq for reply in replies)
            async with asyncio.timeout(20):
                while not all(self._has_all(person) for person in self._people):
                    await asyncio.sleep(0.001)
            times.append(time.perf_counter() - began)
        return times

    async def _say(self, person: Person) -> Any:
        self._turn += 1
        changes = {"description": f"{self._turn} ".ljust(SIZE, "x")}
        task_id = self._world.tasks[self._turn % len(self._world.tasks)]
        reply = await person.send("task.update", task_id=task_id, changes=changes)
        assert reply.success, reply
        return reply

    def _has_all(self, person: Person) -> bool:
        return any(data.get("seq") == self.last for _, data in reversed(person.journal[-8:]))


def _rss(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10  # type: ignore[index]


def _in_kernel(url: str) -> int:
    """Bytes that the kernel keeps for the clients of a server on this machine."""
    port = f":{int(url.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].partition(":")[0], 16) for row in rows if row[1].endswith(port))


async def _resyncs(world: World, url: str) -> int:
    reply = await world.request("GET", "/metrics", url=url)
    return int(float(re.search(r"^atrium_resyncs_total (\S+)", reply.text, re.MULTILINE)[1]))  # type: ignore[index]


async def test_a_hundred_stalled_members(world: World, tmp_path: Path) -> None:
    async with (
        _child(
            world,
            tmp_path,
            ATRIUM_SEND_SOFT_LIMIT=str(SOFT),
            ATRIUM_SEND_HARD_LIMIT=str(HARD),
            ATRIUM_PING_INTERVAL="2",
            ATRIUM_PING_TIMEOUT="120",
        ) as server,
        narrow_session() as http,
        AsyncExitStack() as stack,
    ):
        names = ["alice", "bob", "admin", "manager"] * 5
        people = [await world.person(name, url=server.url).connect() for name in names]
        starts = [await person.join(world.project) for person in people]
        room = Room(world, people)
        await room.busy(5)
        undisturbed = await room.busy(ROUNDS)
        before = _rss(server.pid)

        token = await world.token("bob")
        stalled: list[Stalled] = [
            *(Silent(http, stack) for _ in range(60)),
            *(Slow(http, stack) for _ in range(20)),
            *(Unpolled(http) for _ in range(20)),
        ]
        for member in stalled:
            await member.join(server.url, token, world.project)

        # Beyond the soft limit, and what the kernel holds, but not beyond the hard one.
        times = await room.busy(12)
        assert await _resyncs(world, server.url) == 0
        await people[0].send("typing.start", room=world.project)
        assert (await people[1].hears("typing")).user_id == people[0].id
        for person in people:
            assert [name for name, _ in person.journal if name == "typing"] == (
                [] if person is people[0] else ["typing"]
            )
        times += await room.busy(ROUNDS)
        for _ in range(4):  # who still takes a little now and then reaches the limit later
            if await _resyncs(world, server.url) == len(stalled):
                break
            times += await room.busy(ROUNDS // 2)
        assert await _resyncs(world, server.url) == len(stalled)
        held = _rss(server.pid)
        assert _in_kernel(server.url) < len(stalled) * (256 << 10), "the kernel's share is bounded as well"
        times += await room.busy(ROUNDS)
        afterwards = _rss(server.pid)
        assert held - before < len(stalled) * (HARD + 4 * EVENT) + (32 << 20)
        assert afterwards - held < 16 << 20, "whoever is out takes up nothing more"
        assert statistics.median(times) < 3 * statistics.median(undisturbed) + 0.02
        print(
            f"kernel {_in_kernel(server.url) >> 10} KiB; per round of four: {statistics.median(undisturbed) * 1000:.1f} ms without, "
            f"{statistics.median(times) * 1000:.1f} ms with; "
            f"memory {before >> 20}, {held >> 20}, {afterwards >> 20} MiB"
        )

        fresh = await world.person("bob", url=server.url).snapshot(world.project)
        state = store_of(fresh.snapshot)
        for person, start in zip(people, starts, strict=True):
            assert person.seqs(world.project) == list(range(start.seq + 1, fresh.seq + 1))
            assert fold(store_of(start.snapshot), person.events(world.project)) == state
        await asyncio.gather(*(_catches_up(member, world.project, fresh.seq, state) for member in stalled))
        assert await _resyncs(world, server.url) == len(stalled), "each was told once"


async def _catches_up(member: Stalled, room: str, head: int, state: Store) -> None:
    """It reads again: what was kept for it, one `room.resync`, and the rest from the log."""
    await member.wake()
    events, since, others = await member.until_resync(room)
    first = member.joined.seq + 1
    assert [event.seq for event in events] == list(range(first, since + 1)), "since_seq is what it has got"
    if not isinstance(member, Slow):
        assert "typing" not in others, "a signal beyond the soft limit is dropped"
    place = {"epoch": member.joined.epoch, "seq": since}
    again = (await member.call("room.join", {"room": room, "since": place})).data
    assert again.mode == "events"
    assert [event.seq for event in again.events] == list(range(since + 1, head + 1))
    assert fold(store_of(member.joined.snapshot), [*events, *again.events]) == state

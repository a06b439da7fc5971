"""Two nodes behind HAProxy are replaced one after the other, while clients of every kind write: nobody notices."""

import asyncio
import random
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from server.demo import PASSWORD
from tests.chaos.balanced import Balancer, Follower, balanced
from tests.chaos.cluster import ChaosCluster, NodeProcess, chaos_cluster
from tests.raw import Raw
from tests.reducer import store_of

SEED: Final = 8
DRAIN: Final = 4
"""ATRIUM_DRAIN_SECONDS."""
KINDS: Final = [
    (transport, parser) for transport in ("websocket", "polling") for parser in ("json", "msgpack")
]

pytestmark = pytest.mark.xdist_group("chaos")


async def test_a_rolling_restart_is_noticed_by_nobody() -> None:
    with tempfile.TemporaryDirectory(prefix="atrium-rolling-", ignore_cleanup_errors=True) as name:
        async with (
            chaos_cluster(
                Path(name),
                redis=True,
                durable=False,
                ATRIUM_DRAIN_SECONDS=str(DRAIN),
                ATRIUM_PING_INTERVAL="2",
            ) as cluster,
            balanced(cluster, Path(name)) as balancer,
            aiohttp.ClientSession() as http,
        ):
            for number in range(2):
                await balancer.until(http, number, "UP")
            await _replace_both(cluster, balancer, http)


async def _replace_both(cluster: ChaosCluster, balancer: Balancer, http: aiohttp.ClientSession) -> None:
    async with cluster.sql() as db:
        project = await db.fetchval("SELECT id FROM projects WHERE key = 'KIT'")
        columns, tasks = [
            [
                str(row["id"])
                for row in await db.fetch(f"SELECT id FROM {table} WHERE project_id = $1", project)
            ]
            for table in ("board_columns", "tasks")
        ]
    room = f"project:{project}"
    tokens = [await _token(http, balancer.url, person) for person in ("alice", "bob", "manager")]
    choice = random.Random(SEED)
    followers = [
        Follower(balancer.url, choice.choice(tokens), room, transport=transport, parser=parser)
        for transport, parser in KINDS * 3
    ]
    over = asyncio.Event()
    async with AsyncExitStack() as stack:
        staying = [asyncio.create_task(follower.stay()) for follower in followers]
        for stay in staying:
            stack.callback(stay.cancel)
        writing = [
            asyncio.create_task(follower.write(choice.sample(tasks, len(tasks)), columns, over))
            for follower in followers
        ]
        for write in writing:
            stack.callback(write.cancel)
        await _more(followers, 3)
        for number, node in enumerate(cluster.nodes):
            await _replace(node, http, room, tokens[0])
            await _more(followers, 3)
            await balancer.until(http, number, "UP")
        await _more(followers, 3)
        over.set()
        async with asyncio.timeout(30):
            await asyncio.gather(*writing)
        await _all_agree(cluster, http, balancer, tokens[0], room, followers)

    waits = [wait for follower in followers for wait in follower.draining]
    assert len(waits) >= len(followers), "everybody was on one of the two"
    assert all(0 <= wait <= DRAIN * 1000 / 2 for wait in waits)
    assert len(set(waits)) > len(waits) / 2, "they come back at different moments"
    for follower in followers:
        assert follower.errors == [], follower.name
        assert follower.gaps == [], follower.name
        assert follower.sessions >= 2, follower.name


async def _token(http: aiohttp.ClientSession, url: str, person: str) -> str:
    body = {"email": f"{person}@acme.example", "password": PASSWORD}
    async with http.post(f"{url}/api/v1/auth/login", json=body) as response:
        token: str = (await response.json())["data"]["access_token"]
    return token


async def _more(followers: list[Follower], count: int) -> None:
    """Wait until each has had so many more commands acknowledged."""
    goals = [len(follower.acknowledged) + count for follower in followers]
    async with asyncio.timeout(60):
        while not all(len(f.acknowledged) >= goal for f, goal in zip(followers, goals, strict=True)):
            await asyncio.sleep(0.02)


async def _replace(node: NodeProcess, http: aiohttp.ClientSession, room: str, token: str) -> None:
    """SIGTERM, and a new one in its place. Somebody who stays to the end is shown the door, with the code 1012."""
    async with http.ws_connect(f"{node.url}/socket.io/?EIO=4&transport=websocket") as ws:
        stubborn = Raw(ws)
        await stubborn.packet()
        await stubborn.sign_in(token)
        assert (await stubborn.call("room.join", {"room": room})).success
        reading = asyncio.create_task(_until_closed(stubborn))
        began = time.monotonic()
        stopping = asyncio.create_task(node.terminate())
        checks = await _not_ready(node, http)
        assert checks["serving"] is False
        await stopping
        assert time.monotonic() - began < DRAIN + 10, "within the time given"
        assert node._process is not None
        assert node._process.returncode == 0, node.output()[-3000:]
        assert await asyncio.wait_for(reading, 10) == 1012
        assert any('"server.draining"' in packet for packet in stubborn.heard)
    await node.start()


async def _until_closed(client: Raw) -> int | None:
    while await client.packet(within=60) is not None:
        pass
    return client.ws.close_code


async def _not_ready(node: NodeProcess, http: aiohttp.ClientSession) -> Any:
    """What /health/ready says once it says no; the door is open as long as people are led out."""
    async with asyncio.timeout(10):
        while True:
            async with http.get(f"{node.url}/health/ready") as response:
                if response.status == 503:
                    return (await response.json())["checks"]
            await asyncio.sleep(0.02)


async def _all_agree(
    cluster: ChaosCluster,
    http: aiohttp.ClientSession,
    balancer: Balancer,
    token: str,
    room: str,
    followers: list[Follower],
) -> None:
    """Each copy is a fresh snapshot; each command is in the log once, under the number that was acknowledged."""
    headers = {"Authorization": f"Bearer {token}"}
    async with http.get(f"{balancer.url}/api/v1/rooms/{room}/snapshot", headers=headers) as response:
        fresh = (await response.json())["data"]
    state = store_of(fresh["snapshot"])
    async with asyncio.timeout(30):
        while not all(f.position is not None and f.position["seq"] == fresh["seq"] for f in followers):
            await asyncio.sleep(0.02)
    for follower in followers:
        assert follower.store == state, follower.name
    acknowledged = {key: seq for follower in followers for key, seq in follower.acknowledged.items()}
    first = min(follower.start for follower in followers if follower.start is not None)
    async with cluster.sql() as db:
        rows = await db.fetch(
            "SELECT seq, command_id::text FROM room_events WHERE room_id = $1::uuid AND seq > $2 ORDER BY seq",
            room.partition(":")[2], first,
        )  # fmt: skip
    assert [row["seq"] for row in rows] == list(range(first + 1, fresh["seq"] + 1))
    assert {row["command_id"]: row["seq"] for row in rows} == {
        key: seq for key, seq in acknowledged.items() if seq > first
    }
    assert len({row["command_id"] for row in rows}) == len(rows)

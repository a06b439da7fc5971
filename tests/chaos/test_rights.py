"""Rights end in the midst of events on two nodes: nothing that was written afterwards is heard."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from tests.chaos.cluster import ChaosCluster
from tests.chaos.simulator import Client, Simulation, fault, ordeal
from tests.world import Person, World

SEED: Final = 4
FLOW: Final = 25
"""Events that come before, and after, the end of somebody's rights (count)."""
MARGIN: Final = timedelta(milliseconds=50)
"""A transaction that began so shortly after the end of the rights may have read them before."""
RIGHTS: Final = [
    "a session is ended in the midst of events",
    "somebody is taken out of a project in the midst of events",
    "a role is taken away in the midst of events",
    "a tenant is suspended in the midst of events",
    "tokens are renewed in the midst of events",
]


@pytest.mark.xdist_group("chaos-rights")
@pytest.mark.parametrize("name", RIGHTS)
async def test_nothing_after_the_end_is_heard(chaos: ChaosCluster, name: str) -> None:
    await ordeal(chaos, name, SEED)


@asynccontextmanager
async def _storm(*writers: Client) -> AsyncIterator[None]:
    """They write until the end of the block, or until they are refused."""
    over = asyncio.Event()

    async def write(client: Client) -> None:
        connection = await client.connected()
        while not over.is_set() and not connection.over.is_set():
            sent = [await client.send(connection, client.new_task(client.rooms[0])) for _ in range(2)]
            replies = await asyncio.gather(*sent, return_exceptions=True)
            if not all(isinstance(reply, dict) and reply["success"] for reply in replies):
                return

    tasks = [asyncio.create_task(write(client)) for client in writers]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*tasks)


async def _until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


def _heard(sim: Simulation, client: Client, room: str) -> list[int]:
    return [
        record.seq
        for record in sim.history.of("event", "replayed")
        if record.client == client.name and record.room == room
    ]


def _is_out(client: Client, room: str) -> bool:
    connection = client.connection
    return connection is None or connection.over.is_set() or room not in connection.live


async def _shut_out(
    cluster: ChaosCluster,
    sim: Simulation,
    room: str,
    victims: list[Client],
    act: Callable[[], Awaitable[None]],
    moment: str,
    *,
    goes_on: bool = True,
) -> None:
    """Do it in the midst of events; `moment` is the SQL that tells when it was committed. Others write on, unless
    nobody may any more.
    """
    for victim in victims:
        await victim.connected()
    await _until(lambda: all(len(_heard(sim, victim, room)) >= FLOW for victim in victims))
    await act()
    await _until(lambda: all(_is_out(victim, room) for victim in victims))
    async with cluster.sql() as db:
        ended = await db.fetchval(moment)
        assert ended is not None
        late = await _later(db, room, ended + MARGIN)
        async with asyncio.timeout(20):
            while goes_on and len(late) < FLOW:
                await asyncio.sleep(0.05)
                late = await _later(db, room, ended + MARGIN)
    await sim.answered(FLOW)
    for victim in victims:
        assert not late & set(_heard(sim, victim, room)), f"{victim.name} heard what came later"
        sim.dismiss(victim)
    assert goes_on or not late, "it was written to after its suspension"


async def _later(db: Any, room: str, moment: datetime) -> set[int]:
    """Numbers of the events of a room whose transactions began after a moment."""
    query = "SELECT seq FROM room_events WHERE room_id = $1::uuid AND at > $2"
    return {row["seq"] for row in await db.fetch(query, room.partition(":")[2], moment)}


async def _room_with(sim: Simulation, person: str) -> tuple[str, list[Client], list[Client]]:
    """A room with two writers, and two windows of somebody, with a session of their own, one on each node."""
    room = await sim.quiet_room(person)
    writers = [await sim.visitor("alice", [room], url) for url in sim.cluster.urls]
    token = await sim.sign_in(person, sim.cluster.urls[0])
    victims = [await sim.visitor(person, [room], url) for url in sim.cluster.urls]
    for victim in victims:
        victim.token = token
    return room, writers, victims


@fault("a session is ended in the midst of events")
async def _session(cluster: ChaosCluster, sim: Simulation) -> None:
    room, writers, victims = await _room_with(sim, "gus")

    async def sign_out() -> None:
        headers = {"Authorization": f"Bearer {victims[0].token}"}
        async with sim.http.post(f"{cluster.urls[0]}/api/v1/auth/logout", headers=headers) as response:
            assert response.status == 200, await response.text()

    moment = (
        "SELECT pg_xact_commit_timestamp(xmin) FROM sessions "
        f"WHERE user_id = '{victims[0].user_id}' AND revoked_at IS NOT NULL ORDER BY revoked_at DESC LIMIT 1"
    )
    async with _storm(*writers):
        await _shut_out(cluster, sim, room, victims, sign_out, moment)


@fault("somebody is taken out of a project in the midst of events")
async def _project(cluster: ChaosCluster, sim: Simulation) -> None:
    room, writers, victims = await _room_with(sim, "gus")

    async def take_out() -> None:
        await sim.rest("alice", "DELETE", f"/projects/{room[8:]}/members/{victims[0].user_id}")

    moment = (
        "SELECT pg_xact_commit_timestamp(xmin) FROM room_events "
        f"WHERE room_id = '{room[8:]}' AND name = 'project.member_removed'"
    )
    async with _storm(*writers):
        await _shut_out(cluster, sim, room, victims, take_out, moment)


@fault("a role is taken away in the midst of events")
async def _role(cluster: ChaosCluster, sim: Simulation) -> None:
    """A viewer, who sees every project of the tenant, becomes a client, who sees those he takes part in."""
    room, writers, _ = await _room_with(sim, "gus")
    for visitor in list(sim.visitors):
        if visitor.person == "gus":
            sim.dismiss(visitor)
    victims = [await sim.visitor("viewer", [room], url) for url in cluster.urls]
    path = f"/tenants/{await sim.tenant_id('alice')}/members/{victims[0].user_id}"

    async def become(role: str) -> None:
        await sim.rest("alice", "PUT", path, json={"role": role})

    moment = (
        "SELECT pg_xact_commit_timestamp(xmin) FROM room_events "
        "WHERE name = 'member.updated' ORDER BY seq DESC LIMIT 1"
    )
    try:
        async with _storm(*writers):
            await _shut_out(cluster, sim, room, victims, lambda: become("client"), moment)
    finally:
        await become("viewer")


@fault("a tenant is suspended in the midst of events")
async def _tenant(cluster: ChaosCluster, sim: Simulation) -> None:
    """A third tenant; there is nothing to hear afterwards, for nobody there can write any more."""
    await sim.register("owner", tenant_name="Third")
    await sim.register("operator")
    async with cluster.sql() as db:
        await db.execute(
            "UPDATE users SET platform_admin = true WHERE id = $1::uuid", await sim.user_id("operator")
        )
    tenant = await sim.tenant_id("owner")
    made = await sim.rest("owner", "POST", f"/tenants/{tenant}/projects", json={"name": "Plans"})
    room = f"project:{made['project']['id']}"
    writers = [await sim.visitor("owner", [room], url, tenant="third") for url in cluster.urls]
    listeners = [await sim.visitor("owner", [room], url, tenant="third") for url in cluster.urls]

    async def suspend() -> None:
        await sim.rest("operator", "POST", f"/platform/tenants/{tenant}/suspend", json={"reason": "a ticket"})

    moment = (
        "SELECT pg_xact_commit_timestamp(xmin) FROM room_events "
        f"WHERE tenant_id = '{tenant}' AND name = 'tenant.updated' ORDER BY seq DESC LIMIT 1"
    )
    async with _storm(*writers):
        await _shut_out(cluster, sim, room, listeners, suspend, moment, goes_on=False)
    for writer in writers:
        sim.dismiss(writer)


@fault("tokens are renewed in the midst of events")
async def _renewed(cluster: ChaosCluster, sim: Simulation) -> None:
    """A socket that is given another token goes on where it is: the checker sees no hole and no repeat."""
    room, writers, windows = await _room_with(sim, "gus")
    async with _storm(*writers):
        for _ in range(3):
            for window in windows:
                connection = await window.connected()
                token = await sim.sign_in("gus", connection.node)
                reply = await connection.ask("session.refresh", {"token": token})
                assert reply["success"] or reply["error"]["code"] == "CONFLICT", reply
            await sim.answered(5)
    joins = [record for record in sim.history.of("joined") if record.client in {w.name for w in windows}]
    assert len([record for record in joins if record.room == room]) == len(windows), (
        "nobody had to join again"
    )


# A token that ends by the clock.


async def test_an_expired_token_ends_the_socket_and_a_new_one_resumes(pair: tuple[World, str]) -> None:
    """On both nodes, under events: who renews hears all; who does not is out, and comes back where he was."""
    world, there = pair
    node = world.node
    node.settings.token_expiry_grace = 0.3
    alice = await world.person("alice").connect()
    for person in (alice, admin := await world.person("admin", url=there).connect()):
        await person.join(world.project)
    ttl, node.tokens.ttl = node.tokens.ttl, 2
    renewing, ending = await world.person("bob").connect(), await world.person("carol").connect()
    node.tokens.ttl = ttl
    for person in (renewing, ending):
        await person.join(world.project)
    over = asyncio.Event()
    flows = [asyncio.create_task(_flow(sender, world, over)) for sender in (alice, admin)]
    await renewing.hears("session.expiring")
    fresh = await world.person("bob").sign_in()
    renewed = await renewing.send("session.refresh", token=fresh.access_token)
    assert renewed.success, renewed
    await asyncio.wait_for(ending.disconnected.wait(), 10)
    had = ending.seqs(world.project)
    again = world.person("carol", url=there)
    await again.connect()
    joined = await again.join(world.project, since={"epoch": (await _epoch(world)), "seq": had[-1]})
    over.set()
    await asyncio.gather(*flows)
    async with world.sql() as db:
        head = await db.fetchval("SELECT head_seq FROM rooms WHERE id = $1::uuid", world.project_id)
    deadline = time.monotonic() + 10
    while [(person.seqs(world.project) or [0])[-1] for person in (renewing, admin)] != [head, head]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert joined.mode in ("events", "current")
    resumed = [event.seq for event in joined.get("events") or []]
    while (resumed + again.seqs(world.project) or had)[-1] < head:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    for heard in (renewing.seqs(world.project), had + resumed + again.seqs(world.project)):
        assert heard == list(range(heard[0], head + 1)), "no hole, no repeat"


async def _flow(sender: Person, world: World, over: asyncio.Event) -> None:
    columns = list(world.columns.values())
    at = 0
    while not over.is_set():
        at += 1
        move = {"task_id": world.tasks[at % 5], "column_id": columns[(at // 5) % 2]}
        assert (await sender.call("task.move", move)).success


async def _epoch(world: World) -> str:
    async with world.sql() as db:
        return str(
            await db.fetchval("SELECT epoch_of(epoch) FROM rooms WHERE id = $1::uuid", world.project_id)
        )

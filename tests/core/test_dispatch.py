"""The life of a command: groups, failures, reactions, order, and what a killed Postgres may not do."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from handlers import registry
from handlers.context import Tx
from handlers.errors import Conflict
from handlers.registry import Entity, Event, Payload, command, reaction
from storage.embedded import EmbeddedPostgres
from storage.rooms import RoomKey
from tests.conftest import FAST
from tests.world import Board, Cluster, Person, World, fresh_world


class Probe(Payload):
    """What a command of these tests should do."""

    say: str = "hello"
    gate: str | None = None
    write: bool = False
    fail: str | None = None


class Said(Entity):
    id: str
    text: str


@dataclass
class Lab:
    """Commands that exist while a test runs."""

    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    running: dict[str, asyncio.Event] = field(default_factory=dict)

    def gate(self, name: str) -> asyncio.Event:
        self.running[name] = asyncio.Event()
        self.gates[name] = asyncio.Event()
        return self.gates[name]


@pytest.fixture
def lab() -> Iterator[Lab]:
    """`lab.say` in a project and `lab.announce` in the tenant; events, reactions; all removed afterwards."""
    tables: list[dict[Any, Any]] = [registry.SPECS, registry.EVENTS, registry.REACTIONS]
    kept = [(table, dict(table)) for table in tables]
    lab = Lab()

    class Happened(Event, name="lab.happened"):
        task: Said

    class Echoed(Event, name="lab.echoed"):
        task: Said

    class EchoedAgain(Event, name="lab.echoed_again"):
        task: Said

    def said(text: str) -> Said:
        return Said(id=str(uuid4()), text=text)

    async def act(tx: Tx, cmd: Probe) -> list[Event]:
        if cmd.gate is not None:
            lab.running[cmd.gate].set()
            await lab.gates[cmd.gate].wait()
        if cmd.write:
            boards = await tx.many("boards_of")
            await tx.one("update_board", **{**boards[0], "name": cmd.say, "now": tx.now})
        if cmd.fail == "clean":
            raise Conflict("as asked")
        if cmd.fail == "crash":
            raise ZeroDivisionError
        if cmd.fail == "sql":
            await tx.exec("create_room", id=tx.room.id, kind="nonsense")
            await tx.exec("create_room", id=uuid4(), kind="nonsense")
        event = Happened(task=said(cmd.say))
        if cmd.fail == "earlier kind":
            return [
                event,
                Echoed(task=said("up")).to(RoomKey(tx.room.tenant_id, "tenant", tx.room.tenant_id)),
            ]
        if cmd.fail == "another project":
            return [event, Echoed(task=said("over")).to(RoomKey(tx.room.tenant_id, "project", uuid4()))]
        return [event]

    @command("lab.say", needs="task.edit", rest="POST /lab/{project_id}")
    async def say(tx: Tx, cmd: Probe) -> list[Happened]:
        """Say something."""
        return await act(tx, cmd)  # type: ignore[return-value]

    @command("lab.announce", needs="tenant.view", rest="POST /lab", room="tenant")
    async def announce(tx: Tx, cmd: Probe) -> list[Happened]:
        """Say something to the tenant."""
        return await act(tx, cmd)  # type: ignore[return-value]

    @reaction(Happened)
    async def echo(tx: Tx, event: Happened) -> list[Event]:
        return [Echoed(task=said("echo"))] if event.task.text == "echo" else []

    @reaction(Echoed)
    async def echo_again(tx: Tx, event: Echoed) -> list[Event]:
        return [EchoedAgain(task=said("echo"))]

    yield lab
    for table, before in kept:
        table.clear()
        table.update(before)


async def _events(world: World, room: str | None = None) -> list[Any]:
    room_id = UUID((room or world.project).partition(":")[2])
    async with world.sql() as db:
        rows: list[Any] = await db.fetch("SELECT * FROM room_events WHERE room_id = $1 ORDER BY seq", room_id)
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1)), "no hole"
    return rows


async def _behind_a_gate(lab: Lab, world: World, alice: Person, *probes: dict[str, Any]) -> list[Any]:
    """Send commands so that they wait for one that is held up, and so make one group; returns their replies."""
    gate = lab.gate("held")
    held = await alice.post("lab.say", {"room": world.project, "gate": "held", "say": "held"})
    await lab.running["held"].wait()
    sent = [await alice.post("lab.say", {"room": world.project, **probe}) for probe in probes]
    while world.node.dispatcher.queued < len(probes):
        await asyncio.sleep(0.005)
    gate.set()
    replies = await asyncio.gather(held, *sent)
    assert replies[0].success
    return list(replies[1:])


# Groups.


async def test_commands_that_wait_share_a_transaction(lab: Lab, world: World, alice: Person) -> None:
    replies = await _behind_a_gate(lab, world, alice, *({"say": f"{n}"} for n in range(20)))
    assert all(reply.success for reply in replies)
    events = (await _events(world))[-20:]
    assert len({event["at"] for event in events}) == 1
    assert [event["seq"] for event in events] == [reply.meta.seq for reply in replies]


async def test_who_comes_while_the_lock_is_waited_for_takes_part(
    world: World, alice: Person, lab: Lab
) -> None:
    """But for the first one that finds the room at rest: he is on his way already."""
    async with world.sql() as db, db.transaction():
        await db.execute("SELECT 1 FROM rooms WHERE id = $1 FOR UPDATE", UUID(world.project[8:]))
        first = await alice.post("lab.say", {"room": world.project, "say": "first"})
        async with world.sql() as other:
            while not await other.fetchval("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)"):
                await asyncio.sleep(0.01)
        later = [await alice.post("lab.say", {"room": world.project, "say": f"{n}"}) for n in range(5)]
        while world.node.dispatcher.queued < 5:
            await asyncio.sleep(0.005)
    replies = await asyncio.gather(first, *later)
    assert all(reply.success for reply in replies)
    moments = [event["at"] for event in (await _events(world))[-6:]]
    assert len(set(moments)) == 2, "two transactions"
    assert len(set(moments[1:])) == 1


async def test_who_waits_for_a_transaction_that_cannot_begin_is_told(
    world: World, alice: Person, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is answered, none is left in the queue."""

    async def refuse(*_: Any) -> Any:
        raise TimeoutError

    with monkeypatch.context() as broken:
        broken.setattr(world.node.db.lender, "borrow", refuse)
        sent = [await alice.post("lab.say", {"room": world.project}) for _ in range(5)]
        replies = await asyncio.gather(*sent)
    assert [reply.error.code for reply in replies] == ["UNAVAILABLE"] * 5
    assert (await alice.send("lab.say", room=world.project)).success


async def test_a_group_has_a_limit(lab: Lab, worlds: Callable[..., Any]) -> None:
    world = await worlds(group_commit=5)
    alice = await world.person("alice").connect()
    await _behind_a_gate(lab, world, alice, *({"say": f"{n}"} for n in range(20)))
    assert len({event["at"] for event in (await _events(world))[-20:]}) == 4


async def test_who_fails_before_writing_fails_alone(lab: Lab, world: World, alice: Person) -> None:
    replies = await _behind_a_gate(
        lab, world, alice, {"say": "one"}, {"fail": "clean"}, {"say": "two", "write": True}
    )
    assert [reply.success for reply in replies] == [True, False, True]
    assert replies[1].error.code == "CONFLICT"
    events = (await _events(world))[-2:]
    assert len({event["at"] for event in events}) == 1, "the group has stayed together"
    assert [event["seq"] for event in events] == [replies[0].meta.seq, replies[2].meta.seq]


@pytest.mark.parametrize(
    ("fault", "code"),
    [("clean", "CONFLICT"), ("crash", "INTERNAL"), ("sql", "CONFLICT")],
)
async def test_who_fails_after_writing_takes_nobody_along(
    lab: Lab, world: World, alice: Person, fault: str, code: str
) -> None:
    replies = await _behind_a_gate(
        lab,
        world,
        alice,
        {"say": "one", "write": True},
        {"say": "spoilt", "write": True, "fail": fault},
        {"say": "two"},
    )
    assert [reply.success for reply in replies] == [True, False, True]
    assert replies[1].error.code == code
    texts = [event["data"] for event in await _events(world)]
    assert sum('"one"' in text for text in texts) == sum('"two"' in text for text in texts) == 1
    assert not any('"spoilt"' in text for text in texts)
    async with world.sql() as db:
        name = await db.fetchval("SELECT name FROM boards WHERE id = $1", UUID(world.board_id))
    assert name == "one", "what the failed one wrote has been rolled back"


@pytest.mark.parametrize("fault", ["earlier kind", "another project"])
async def test_a_command_writes_to_its_own_room_and_to_later_kinds(
    lab: Lab, world: World, alice: Person, fault: str
) -> None:
    before = len(await _events(world, world.tenant))
    replies = await _behind_a_gate(
        lab, world, alice, {"say": "one"}, {"say": "lost", "fail": fault}, {"say": "two"}
    )
    assert replies[1].error.code == "INTERNAL"
    assert len(await _events(world, world.tenant)) == before
    assert not any('"lost"' in event["data"] for event in await _events(world))
    assert [replies[0].success, replies[2].success] == [True, True], "a faulty handler fails alone"


async def test_one_id_in_two_rooms_at_once_takes_nobody_along(
    lab: Lab, world: World, alice: Person, bob: Person
) -> None:
    """The same command_id races in two rooms: one wins, and who shares a group with the loser is not hurt."""
    command_id = str(uuid4())
    elsewhere = await world.person("alice").connect()
    first_gate, second_gate = lab.gate("first"), lab.gate("second")
    announced = await elsewhere.post("lab.announce", {"gate": "first", "command_id": command_id})
    await lab.running["first"].wait()
    held_gate = lab.gate("held")
    held = await alice.post("lab.say", {"room": world.project, "gate": "held"})
    await lab.running["held"].wait()
    loser = await alice.post("lab.say", {"room": world.project, "gate": "second", "command_id": command_id})
    innocent = await bob.post("lab.say", {"room": world.project, "say": "innocent"})
    while world.node.dispatcher.queued < 2:
        await asyncio.sleep(0.005)
    held_gate.set()
    await lab.running["second"].wait()
    first_gate.set()
    assert (await announced).success
    second_gate.set()
    assert (await held).success
    assert (await loser).error.code == "CONFLICT"
    reply = await innocent
    assert reply.success, f"bob's command failed with {reply.error.code} for alice's command_id"


async def test_a_repetition_in_the_same_group_is_noticed(lab: Lab, world: World, alice: Person) -> None:
    command_id = str(uuid4())
    replies = await _behind_a_gate(
        lab, world, alice, *({"say": "once", "command_id": command_id} for _ in range(5))
    )
    assert [reply.meta.duplicate for reply in replies] == [False, True, True, True, True]
    assert len({reply.meta.seq for reply in replies}) == 1
    assert sum('"once"' in event["data"] for event in await _events(world)) == 1


async def test_a_slow_room_does_not_hold_up_another(
    lab: Lab, world: World, alice: Person, bob: Person
) -> None:
    gate = lab.gate("slow")
    slow = await alice.post("lab.say", {"room": world.project, "gate": "slow"})
    await lab.running["slow"].wait()
    assert (await bob.send("lab.announce", say="meanwhile")).success
    assert (await bob.send("task.get", task_id=world.tasks[0])).success, "nor does it hold up a query"
    assert not slow.done()
    gate.set()
    assert (await slow).success


# Reactions.


async def test_reactions_go_one_level_deep(lab: Lab, world: World, alice: Person) -> None:
    reply = await alice.send("lab.say", room=world.project, say="echo")
    events = (await _events(world))[-2:]
    assert [event["name"] for event in events] == ["lab.happened", "lab.echoed"]
    assert len({event["command_id"] for event in events}) == 1
    assert reply.meta.seq == events[-1]["seq"]
    heard = [await alice.hears(name) for name in ("lab.happened", "lab.echoed")]
    assert heard[1].seq == heard[0].seq + 1
    await alice.hears_nothing("lab.echoed_again")


# Faults of Postgres.


@pytest.fixture
async def own_cluster() -> AsyncIterator[Cluster]:
    """A Postgres that may be killed; what it has committed stays."""
    with tempfile.TemporaryDirectory(prefix="atrium-kill-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        options = {**FAST, "synchronous_commit": "on"}
        postgres = EmbeddedPostgres(Path(name), options=options, max_connections=50)
        await postgres.start()
        try:
            cluster = Cluster(postgres, Path(name))
            await cluster.prepare()
            yield cluster
        finally:
            await postgres.stop()


async def _insist(person: Person, world: World, number: int, acked: dict[str, Any]) -> None:
    """One task, sent again under the same id until it is acknowledged."""
    command_id = str(uuid4())
    payload = {"room": world.project, "title": f"Task {number}", "command_id": command_id}
    for _ in range(100):
        reply = await person.call("task.create", payload, patience=20)
        if reply.success:
            acked[command_id] = reply
            return
        assert reply.error.code == "UNAVAILABLE", reply
        assert reply.error.retry_after
        await asyncio.sleep(0.05)
    raise AssertionError("Postgres has not come back")


async def test_a_killed_postgres_loses_and_repeats_nothing(own_cluster: Cluster) -> None:
    async with fresh_world(own_cluster, command_timeout=5, pool_timeout=5) as world:
        people = [await world.person(name).connect() for name in ("alice", "admin", "manager", "bob")]
        watcher = people[0]
        joined = await watcher.join(world.project)
        acked: dict[str, Any] = {}

        async def work(person: Person, lane: int) -> None:
            for number in range(60):
                await _insist(person, world, lane * 1000 + number, acked)

        async def kill() -> None:
            for _ in range(2):
                enough = len(acked) + 30
                while len(acked) < enough:
                    await asyncio.sleep(0.005)
                pid = own_cluster.postgres.pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                while own_cluster.postgres.pid in (None, pid):
                    await asyncio.sleep(0.02)

        await asyncio.gather(kill(), *(work(person, lane) for lane, person in enumerate(people)))
        assert len(acked) == 240
        events = await _events(world)
        created = [event for event in events if event["name"] == "task.created"][5:]
        assert sorted(str(event["command_id"]) for event in created) == sorted(acked)
        for event in created:
            assert acked[str(event["command_id"])].meta.seq == event["seq"]
        async with world.sql() as db:
            assert await db.fetchval("SELECT count(*) FROM tasks WHERE title LIKE 'Task %'") == 240
            assert await db.fetchval(
                "SELECT head_seq FROM rooms WHERE id = $1", UUID(world.project_id)
            ) == len(events)
        last = events[-1]["seq"]
        while (watcher.seqs(world.project) or [0])[-1] < last:
            await asyncio.sleep(0.05)
        assert watcher.seqs(world.project) == list(range(joined.seq + 1, last + 1))


async def test_terminated_backends_are_replaced(world: World, alice: Person, board: Board) -> None:
    command_id = str(uuid4())
    async with world.sql() as db:
        await db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'atrium'"
        )
    for _ in range(50):
        reply = await alice.send(
            "task.move", task_id=board.first, column_id=board.doing, command_id=command_id
        )  # fmt: skip
        if reply.success:
            break
        assert reply.error.code == "UNAVAILABLE"
    assert reply.success
    assert [event["name"] for event in await _events(world)].count("task.moved") == 1

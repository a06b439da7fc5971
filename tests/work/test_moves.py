"""Many moves at once: carried out together, they come out as if one had come after the other."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import pytest

from handlers.registry import TOGETHER, known
from handlers.work.tasks import moves as moving
from handlers.work.tasks.moves import Move
from handlers.work.tasks.tasks import TaskMoved, TaskPart, Was
from tests.world import Board, Person, World

CARDS: Final = 24
MOVES: Final = 60


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many moves were handed over together, each time."""
    seen: list[int] = []
    carry_out = TOGETHER["task.move"]

    async def counted(moves: Sequence[Move]) -> Any:
        seen.append(len(moves))
        return await carry_out(moves)

    monkeypatch.setitem(TOGETHER, "task.move", counted)
    return seen


async def _cards(alice: Person, board: Board) -> list[str]:
    """The first columns filled, one of them with a limit."""
    sent = [
        await alice.post("task.create", {"room": board.room, "title": f"Card {at}", "column_id": column})
        for at, column in enumerate([board.todo, board.doing, board.done] * (CARDS // 3))
    ]
    replies = await asyncio.gather(*sent)
    assert (await alice.send("column.set_limit", column_id=board.doing, limit=CARDS // 3 + 2)).success
    return [reply.data.task.id for reply in replies]


def _moves(
    chance: random.Random, cards: list[Any], columns: list[str], versions: bool
) -> list[dict[str, Any]]:
    moves = []
    for _ in range(MOVES):
        card, anchor = chance.sample(cards, 2)
        move: dict[str, Any] = {"task_id": card, "column_id": chance.choice(columns)}
        beside = chance.choice(["before_id", "after_id", None])
        if beside:
            move[beside] = anchor
        if versions and chance.random() < 0.3:
            move["expected_version"] = chance.choice([1, 2, 3])
        moves.append(move)
    return moves


async def _order(alice: Person, board: Board, column: str) -> list[str]:
    page = await alice.call("task.list", {"project_id": board.project, "column_id": column, "limit": 100})
    return [task.title for task in page.data.tasks]


async def _play(world: World, seed: int, *, at_once: bool) -> tuple[list[str], list[list[str]]]:
    """The same moves of one person: what each was answered, and how the columns look afterwards."""
    alice, board, chance = await world.person("alice").connect(), Board.of(world), random.Random(seed)
    cards = await _cards(alice, board)
    columns = [board.todo, board.doing, board.done]
    wanted = _moves(chance, cards, columns, versions=True)
    if at_once:
        replies = await asyncio.gather(*[await alice.post("task.move", move) for move in wanted])
    else:
        replies = [await alice.call("task.move", move) for move in wanted]
    answers = ["ok" if reply.success else f"{reply.error.code}: {reply.error.message}" for reply in replies]
    return answers, [await _order(alice, board, column) for column in columns]


@pytest.mark.parametrize("seed", range(6))
async def test_together_or_one_by_one_is_the_same(
    worlds: Callable[..., Any], sizes: list[int], seed: int
) -> None:
    one_by_one = await _play(await worlds(), seed, at_once=False)
    assert sizes == []
    together = await _play(await worlds(), seed, at_once=True)
    assert max(sizes) > 10, "they were carried out together"
    assert together == one_by_one
    kinds = {answer.split(":")[0] for answer in together[0]}
    assert kinds == {"ok", "CONFLICT", "VERSION_CONFLICT"}


@pytest.mark.parametrize("seed", range(3))
async def test_every_event_is_right_at_its_place(
    world: World, alice: Person, bob: Person, board: Board, sizes: list[int], seed: int
) -> None:
    """Four people move at once. Folding the events one by one, each card lies where its mover dropped it."""
    cards = await _cards(alice, board)
    admin, manager = [await world.person(name).connect() for name in ("admin", "manager")]
    columns = [board.todo, board.doing, board.done]
    before = await alice.snapshot(board.room)
    chance, sent = random.Random(seed), {}
    for at, move in enumerate(_moves(chance, cards, columns, versions=False)):
        reply = await (alice, bob, admin, manager)[at % 4].post("task.move", move)
        sent[reply] = move
    replies = await asyncio.gather(*sent)
    moved = {
        reply.meta.seq: move for reply, move in zip(replies, sent.values(), strict=True) if reply.success
    }
    assert len(sizes) < len(moved)
    state = {task.id: (task.column_id, task.position, task.id) for task in before.snapshot.tasks}
    asked = await alice.rest("GET", f"/rooms/{board.room}/events", params={"since": before.seq, "limit": 100})
    limit = CARDS // 3 + 2
    for event in asked.data.events:
        move = moved.pop(event.seq)
        for task in [event.data.task, *event.data.get("tasks", [])]:
            column, _, _ = state[task.id]
            state[task.id] = (task.get("column_id", column), task.position, task.id)
        order = [key[2] for key in sorted(state.values()) if key[0] == move["column_id"]]
        at = order.index(move["task_id"])
        if "before_id" in move:
            assert order[at + 1] == move["before_id"]
        elif "after_id" in move:
            assert order[at - 1] == move["after_id"]
        else:
            assert at == len(order) - 1
        assert sum(key[0] == board.doing for key in state.values()) <= limit
        assert len({key[:2] for key in state.values()}) == len(state), "no two cards share a place"
    assert not moved
    fresh = (await alice.snapshot(board.room)).snapshot.tasks
    assert state == {task.id: (task.column_id, task.position, task.id) for task in fresh}


async def _held_up(alice: Person, board: Board) -> asyncio.Future[Any]:
    """A move that waits for the lock of the room, which somebody has: what comes after it makes one group."""
    ahead = await alice.post("task.move", {"task_id": board.tasks[-1], "column_id": board.doing})
    dispatcher = alice.world.node.dispatcher
    while not dispatcher._queues or dispatcher.queued:  # until it is in its transaction
        await asyncio.sleep(0.005)
    return ahead


async def test_a_move_is_read_with_the_opening_of_its_room(
    alice: Person, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was read then is not used after somebody else's writing in the same transaction."""
    read: list[int] = []
    again = moving._read

    async def counted(some: Sequence[Move]) -> Any:
        read.append(len(some))
        return await again(some)

    monkeypatch.setattr(moving, "_read", counted)
    task = board.tasks[0]
    assert (await alice.send("task.move", task_id=task, column_id=board.doing)).success
    missing = await alice.send("task.move", task_id=task[:-12] + "0" * 12, column_id=board.doing)
    assert (missing.error.code, read) == ("NOT_FOUND", [])

    async with alice.world.sql() as db, db.transaction():
        await db.execute("SELECT 1 FROM rooms WHERE id = $1 FOR UPDATE", UUID(board.project))
        ahead = await _held_up(alice, board)
        sent = [
            await alice.post("column.set_limit", {"column_id": board.done, "limit": 1}),
            await alice.post("task.move", {"task_id": task, "column_id": board.done}),
            await alice.post("task.move", {"task_id": board.tasks[1], "column_id": board.done}),
        ]
        while alice.world.node.dispatcher.queued < len(sent):
            await asyncio.sleep(0.005)
    assert (await ahead).success
    replies = await asyncio.gather(*sent)
    assert [reply.success for reply in replies] == [True, True, False]
    assert replies[2].error.code == "CONFLICT", "the limit was set before it, in the same transaction"
    assert read == [2]


async def test_a_command_id_sent_twice_at_once_is_applied_once(
    alice: Person, board: Board, sizes: list[int]
) -> None:
    command_id = "0199c0de-0000-7000-8000-0000000000aa"
    moves = [{"task_id": card, "column_id": board.doing} for card in board.tasks]
    moves[1:1] = [{**moves[0], "command_id": command_id}, {**moves[0], "command_id": command_id}]
    replies = await asyncio.gather(*[await alice.post("task.move", move) for move in moves])
    assert all(reply.success for reply in replies)
    assert [reply.meta.duplicate for reply in replies] == [False, False, True, False, False, False, False]
    assert replies[2].data == replies[1].data
    assert replies[2].meta.seq == replies[1].meta.seq


def test_what_is_known_to_fit_is_told_as_what_was_validated() -> None:
    ids = {"id": UUID(int=1), "column_id": UUID(int=2)}
    part: dict[str, Any] = {
        "version": 2,
        "updated_at": datetime.now(UTC),
        "position": 'a"\\',
        "completed_at": None,
    }
    was = {"column_id": UUID(int=3)}
    made = known(TaskMoved, task=known(TaskPart, **part, **ids), was=known(Was, **was))
    validated = TaskMoved(task=TaskPart(**part, **ids), was=Was(**was))
    for event in (made, validated):
        event.tasks = [validated.task]
    assert made == validated
    assert made.dump() == validated.dump()
    assert made.task.model_dump_json() == validated.task.model_dump_json()


async def test_a_gap_is_widened_among_other_moves(alice: Person, board: Board, sizes: list[int]) -> None:
    one, two, *rest = board.tasks
    assert (await alice.send("task.move", task_id=two, column_id=board.todo, after_id=one)).success
    widened = 0
    for turn in range(20):
        moves = [
            {"task_id": rest[(turn + at) % 3], "column_id": board.todo, "before_id": two} for at in range(30)
        ]
        replies = await asyncio.gather(*[await alice.post("task.move", move) for move in moves])
        assert all(reply.success for reply in replies)
        widened += sum("tasks" in reply.data for reply in replies)
        order = await _order(alice, board, board.todo)
        last = (turn + 29) % 3
        assert order[-2:] == [
            ["Call the plumber", "Order the oven", "Paint the door"][last],
            "Choose the tiles",
        ]
    assert widened, "600 moves into one gap never made it too narrow"


async def test_a_move_that_comes_too_late_hears_who_moved_it_where(
    alice: Person, bob: Person, board: Board
) -> None:
    await alice.send("task.move", task_id=board.first, column_id=board.hold)
    first = await alice.send("task.update", task_id=board.first, changes={"priority": "low"})
    moved = {"task_id": board.first, "column_id": board.doing}
    late = await bob.call("task.move", {**moved, "expected_version": 1})
    thought = await bob.call("task.move", {**moved, "from_column_id": board.todo})
    beside = {"task_id": board.second, "column_id": board.todo, "before_id": board.first}
    neighbour = await bob.call("task.move", beside)
    assert [reply.error.code for reply in (late, thought, neighbour)] == [
        "VERSION_CONFLICT",
        "CONFLICT",
        "CONFLICT",
    ]
    assert late.error.details.current.version == first.data.task.version
    for reply in (late, thought, neighbour):
        details = reply.error.details
        assert (details.moved_by.id, details.moved_by.name) == (alice.id, "Alice")
        assert details.column == {"id": board.hold, "name": "On hold"}
        assert details.position == "a0"
    assert thought.error.details.rule == "from_column"
    assert neighbour.error.details.rule == "neighbour"
    assert (await bob.call("task.move", {**moved, "from_column_id": board.hold})).success
    assert (await alice.send("task.delete", task_id=board.first)).success
    trashed = await bob.call("task.move", beside)
    assert (trashed.error.details.column, trashed.error.details.moved_by.name) == (None, "Alice")


async def test_together_each_late_move_hears_of_the_one_before_it(
    alice: Person, board: Board, sizes: list[int]
) -> None:
    """Also of what was decided in the same transaction a moment before."""
    moves = [
        {"task_id": board.first, "column_id": board.doing},
        {"task_id": board.second, "column_id": board.done},
        {"task_id": board.third, "column_id": board.todo, "before_id": board.second},
        {"task_id": board.first, "column_id": board.done, "from_column_id": board.todo},
    ]
    async with alice.world.sql() as db, db.transaction():
        await db.execute("SELECT 1 FROM rooms WHERE id = $1 FOR UPDATE", UUID(board.project))
        ahead = await _held_up(alice, board)
        sent = [await alice.post("task.move", move) for move in moves]
        while alice.world.node.dispatcher.queued < len(sent):
            await asyncio.sleep(0.005)
    assert (await ahead).success
    replies = await asyncio.gather(*sent)
    assert [reply.success for reply in replies] == [True, True, False, False]
    columns = [reply.error.details.column.id for reply in replies[2:]]
    assert columns == [board.done, board.doing]

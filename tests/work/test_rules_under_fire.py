"""Limits and transitions while fifty sockets on two nodes move at once: no event ever shows a broken rule."""

import asyncio
import random
from collections import Counter
from typing import Any, Final

import pytest

from tests.world import STAFF, Board, Person, World, until

SOCKETS: Final = 50
MOVERS: Final = [name for name, role in STAFF.items() if role in ("owner", "admin", "manager", "member")]
LIMIT: Final = 7


async def _sockets(world: World, there: str) -> list[Person]:
    """Fifty windows of several people, every other one at the other node."""
    people = [world.person(MOVERS[at % len(MOVERS)], url=there if at % 2 else None) for at in range(SOCKETS)]
    tokens = {name: await world.person(name).sign_in() for name in MOVERS}
    for person in people:
        person.tokens = tokens[person.name]
    for some in range(0, SOCKETS, 10):
        await asyncio.gather(*(person.connect() for person in people[some : some + 10]))
    return people


async def _events(alice: Person, room: str, since: int) -> list[Any]:
    found: list[Any] = []
    while True:
        asked = await alice.rest("GET", f"/rooms/{room}/events", params={"since": since, "limit": 100})
        found += asked.data.events
        if asked.meta.pagination.next is None:
            return found
        since = found[-1].seq


async def _cards(alice: Person, board: Board, count: int) -> list[str]:
    sent = [await alice.post("task.create", {"room": board.room, "title": f"Card {n}"}) for n in range(count)]
    return [reply.data.task.id for reply in await asyncio.gather(*sent)]


@pytest.mark.parametrize("seed", range(2))
async def test_no_event_ever_shows_a_broken_rule(pair: tuple[World, str], seed: int) -> None:
    """A column with a limit between two without, and a status that leads to one other alone.

    From "Not started" tasks go to "In progress", which holds seven, and from there on to "Completed"; back from there is
    nothing. Everybody tries everything. Afterwards the log is gone through event by event, and each reply compared
    with what the log said at its number.
    """
    world, there = pair
    board, alice = Board.of(world), await world.person("alice").connect()
    cards = await _cards(alice, board, 30)
    status = world.statuses
    ways = {
        "Not started": ["In progress"],
        "In progress": ["Completed"],
        "Completed": [],
    }
    transitions = [
        {"from_id": status[old], "to": [{"to_id": status[new]} for new in to]} for old, to in ways.items()
    ]
    assert (
        await alice.send("workflow.set_transitions", project_id=board.project, transitions=transitions)
    ).success
    assert (await alice.send("column.set_limit", column_id=board.doing, limit=LIMIT)).success
    before = await alice.snapshot(board.room)
    chance = random.Random(seed)
    people = await _sockets(world, there)
    columns = {board.todo: "Not started", board.doing: "In progress", board.done: "Completed"}
    sent: list[tuple[asyncio.Future[Any], dict[str, Any]]] = []
    for person in people * 4:
        task_id, column_id = chance.choice(cards), chance.choice([board.doing, board.doing, *columns])
        name, payload = "task.move", dict[str, Any](task_id=task_id, column_id=column_id)
        if chance.random() < 0.25:
            changes = {"status_id": status[columns[column_id]]}
            name, payload = "task.update", {"task_id": task_id, "changes": changes}
        sent.append((await person.post(name, payload), payload))
    replies = [(await future, payload) for future, payload in sent]
    names = {status_id: name for name, status_id in status.items()}
    state = {task.id: (task.column_id, names[task.status_id]) for task in before.snapshot.tasks}
    at: dict[int, dict[str, tuple[str, str]]] = {}
    for event in await _events(alice, board.room, before.seq):
        at[event.seq] = dict(state)
        task = event.data.task
        column, old = state[task.id]
        new = names[task.status_id] if "status_id" in task else old
        assert new == old or new in ways[old], f"{event.seq}: {old} to {new}"
        state[task.id] = (task.get("column_id", column), new)
        assert Counter(place for place, _ in state.values())[board.doing] <= LIMIT, event.seq
        assert columns[state[task.id][0]] == new, "a task lies where its status is shown"
    answers = Counter("ok" if reply.success else reply.error.details.get("rule") for reply, _ in replies)
    assert set(answers) == {"ok", "wip_limit", "transition"}, answers
    for reply, payload in replies:
        if reply.success and "column_id" in payload:
            column, old = at[reply.meta.seq][payload["task_id"]]
            target = columns[payload["column_id"]]
            assert column == payload["column_id"] or target in ways[old]
    fresh = await alice.snapshot(board.room)
    assert state == {task.id: (task.column_id, names[task.status_id]) for task in fresh.snapshot.tasks}


async def test_fifty_want_the_last_places(pair: tuple[World, str]) -> None:
    """Each at once, on two nodes: as many get in as there is room for, and every refusal says how full it was."""
    world, there = pair
    board, alice = Board.of(world), await world.person("alice").connect()
    cards = await _cards(alice, board, SOCKETS)
    assert (await alice.send("column.set_limit", column_id=board.doing, limit=LIMIT)).success
    people = await _sockets(world, there)
    watcher = await world.person("bob", url=there).connect()
    await watcher.join(board.room)
    replies = await asyncio.gather(
        *(
            person.send("task.move", task_id=card, column_id=board.doing)
            for person, card in zip(people, cards, strict=True)
        )
    )
    assert sum(reply.success for reply in replies) == LIMIT
    refusals = [reply.error.details for reply in replies if not reply.success]
    assert {(one.rule, one.held, one.wip_limit) for one in refusals} == {("wip_limit", LIMIT, LIMIT)}
    await until(lambda: len([name for name, _ in watcher.journal if name == "task.moved"]) == LIMIT)

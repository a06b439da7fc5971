"""The order of cards: whatever is moved wherever, by one or by many at once, columns are what plain lists would be."""

import asyncio
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.world import Board, Person

CARDS: Final = 9
Move = tuple[int, int, str, int]
"""Which card, to which column, `before`, `after` or at the `end`, and which other card it is dropped beside."""

MOVES: Final = st.lists(
    st.tuples(
        st.integers(0, CARDS - 1),
        st.integers(0, 2),
        st.sampled_from(["before", "after", "end"]),
        st.integers(0, CARDS - 1),
    ),
    min_size=1,
    max_size=14,
)


def expected(columns: list[list[str]], card: str, to: int, where: str, other: str) -> bool:
    """Do a move to plain lists; False, and nothing done, where the server has to refuse it."""
    if where != "end" and (card == other or other not in columns[to]):
        return False
    for column in columns:
        if card in column:
            column.remove(card)
    at = len(columns[to]) if where == "end" else columns[to].index(other) + (where == "after")
    columns[to].insert(at, card)
    return True


async def test_columns_are_plain_lists(alice: Person, board: Board) -> None:
    """Hypothesis makes the moves in a thread of its own; half of the examples are sent without waiting for answers."""
    sent = [
        await alice.post("task.create", {"room": board.room, "title": f"Card {n}"}) for n in range(CARDS - 5)
    ]
    cards = [*board.tasks, *(reply.data.task.id for reply in await asyncio.gather(*sent))]
    places = [board.todo, board.doing, board.done]
    model: list[list[str]] = [list(cards), [], []]
    loop = asyncio.get_running_loop()

    async def play(moves: list[Move], at_once: bool) -> None:
        results, replies = [], []
        for number, to, where, beside in moves:
            card, other = cards[number], cards[beside]
            payload: dict[str, Any] = {"task_id": card, "column_id": places[to]}
            if where != "end":
                payload[f"{where}_id"] = other
            results.append(expected(model, card, to, where, other))
            if at_once:
                replies.append(await alice.post("task.move", payload))
            else:
                replies.append(asyncio.ensure_future(alice.call("task.move", payload)))
                await replies[-1]
        assert [reply.success for reply in await asyncio.gather(*replies)] == results
        found = (await alice.snapshot(board.room)).snapshot.tasks
        order = sorted(found, key=lambda task: (task.position.encode(), task.id))
        assert [[task.id for task in order if task.column_id == place] for place in places] == model

    @given(MOVES, st.booleans())
    @settings(
        max_examples=30,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    def check(moves: list[Move], at_once: bool) -> None:
        asyncio.run_coroutine_threadsafe(play(moves, at_once), loop).result(60)

    await asyncio.to_thread(check)

"""The order of cards: whatever is moved wherever, by one or by many at once, columns are what plain lists would be."""

import asyncio
from typing import Any, Final

from hypothesis import given, settings
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


def examples(count: int) -> list[tuple[list[Move], bool]]:
    """What Hypothesis makes up: moves, and whether they are sent without waiting for answers. Always the same.

    They are made before they are played, for Hypothesis drives no coroutines.
    """
    found: list[tuple[list[Move], bool]] = []

    @given(MOVES, st.booleans())
    @settings(max_examples=count, deadline=None, derandomize=True, database=None)
    def keep(moves: list[Move], at_once: bool) -> None:
        found.append((moves, at_once))

    keep()
    return found


async def test_columns_are_plain_lists(alice: Person, board: Board) -> None:
    sent = [
        await alice.post("task.create", {"room": board.room, "title": f"Card {n}"}) for n in range(CARDS - 5)
    ]
    cards = [*board.tasks, *(reply.data.task.id for reply in await asyncio.gather(*sent))]
    places = [board.todo, board.doing, board.done]
    model: list[list[str]] = [list(cards), [], []]
    for moves, at_once in examples(40):
        results, replies = [], []
        for number, to, where, beside in moves:
            card, other = cards[number], cards[beside]
            payload: dict[str, Any] = {"task_id": card, "column_id": places[to]}
            if where != "end":
                payload[f"{where}_id"] = other
            results.append(expected(model, card, to, where, other))
            replies.append(await alice.post("task.move", payload))
            if not at_once:
                await replies[-1]
        assert [reply.success for reply in await asyncio.gather(*replies)] == results, moves
        found = (await alice.snapshot(board.room)).snapshot.tasks
        order = sorted(found, key=lambda task: (task.position.encode(), task.id))
        columns = [[task.id for task in order if task.column_id == place] for place in places]
        assert columns == model, moves

"""Order keys: a list is cut, filled and shuffled, and its keys always say the same order."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from handlers.work.positions import (
    DIGITS,
    FIRST,
    LONGEST,
    NUMBERS,
    between,
    evenly,
    numbered,
    numbers_below,
    numbers_up_to,
    several,
    spread,
)


class AList(RuleBasedStateMachine):
    """Cards are put anywhere, moved and taken away; the model is a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    @rule(at=st.integers(0, 10**6))
    def insert(self, at: int) -> None:
        self._put(at % (len(self.keys) + 1))

    @rule(where=st.sampled_from(["first", "last", "middle"]), count=st.integers(1, 70))
    def insert_often(self, where: str, count: int) -> None:
        for _ in range(count):
            self._put({"first": 0, "last": len(self.keys), "middle": len(self.keys) // 2}[where])

    @rule(at=st.integers(0, 10**6))
    def remove(self, at: int) -> None:
        if self.keys:
            del self.keys[at % len(self.keys)]

    @rule(start=st.integers(0, 10**6), to=st.integers(0, 10**6))
    def move(self, start: int, to: int) -> None:
        if self.keys:
            del self.keys[start % len(self.keys)]
            self._put(to % (len(self.keys) + 1))

    def _put(self, at: int) -> None:
        lower = self.keys[at - 1] if at else None
        upper = self.keys[at] if at < len(self.keys) else None
        self.keys.insert(at, between(lower, upper))

    @invariant()
    def they_are_in_order_and_unique(self) -> None:
        assert all(one < next_ for one, next_ in zip(self.keys, self.keys[1:], strict=False))

    @invariant()
    def bytes_sort_as_they_do(self) -> None:
        assert sorted(self.keys, key=str.encode) == self.keys

    @invariant()
    def they_are_well_formed(self) -> None:
        for key in self.keys:
            assert set(key) <= set(DIGITS)
            head = key[0]
            integer = ord(head) - ord("a") + 2 if head >= "a" else ord("Z") - ord(head) + 2
            assert len(key) >= integer
            assert len(key) == integer or not key.endswith(DIGITS[0]), f"{key} ends in the lowest digit"


TestAList = AList.TestCase
TestAList.settings = settings(max_examples=60, stateful_step_count=25, deadline=None, derandomize=True)


def test_the_first() -> None:
    assert between(None, None) == FIRST


def test_either_end_grows_slowly() -> None:
    first = last = FIRST
    for _ in range(5000):
        first, last = between(None, first), between(last, None)
    assert max(len(first), len(last)) <= 4


def test_one_gap_fills_up_slowly() -> None:
    lower, upper = between(None, None), between(FIRST, None)
    count = 0
    while len(upper) <= LONGEST:
        upper = between(lower, upper)
        count += 1
    assert count > 150, "a rebalance is rare"


@given(st.integers(0, 300))
@settings(derandomize=True, deadline=None)
def test_spread(count: int) -> None:
    keys = spread(count)
    assert keys == sorted(set(keys))
    assert len(keys) == count


@given(st.data(), st.integers(0, 40))
@settings(derandomize=True, deadline=None)
def test_several_fit_into_a_gap(data: Any, count: int) -> None:
    edges = [None, *spread(20), None]
    at = data.draw(st.integers(0, len(edges) - 2))
    lower, upper = edges[at], edges[at + 1]
    keys = several(lower, upper, count)
    whole = [key for key in (lower, *keys, upper) if key is not None]
    assert whole == sorted(set(whole))


@pytest.mark.parametrize(("lower", "upper"), [("a1", "a1"), ("a2", "a1"), ("a0V", "a0")])
def test_what_is_out_of_order_is_refused(lower: str, upper: str) -> None:
    with pytest.raises(ValueError, match="does not come before"):
        between(lower, upper)


def test_the_ends_of_the_world() -> None:
    assert between(None, "A" + "0" * 26 + "1") < "A" + "0" * 26 + "1"
    top = "z" * 27
    assert between(top, None) > top


def test_what_stands_by_its_number() -> None:
    keys = [numbered(number) for number in (0, 1, 2, 9, 10, 61, 62, 99, 100, 10**9, NUMBERS - 1)]
    assert keys == sorted(keys)
    for lower, upper in pairwise(keys):
        assert lower < between(lower, upper) < upper
    assert between(None, keys[0]) < keys[0]
    for number in (0, 1, 63, 12_345):
        key = numbered(number)
        assert (numbers_below(key), numbers_up_to(key)) == (number, number + 1)
        later = between(key, numbered(number + 1))
        assert (numbers_below(later), numbers_up_to(later)) == (number + 1, number + 1)


@given(st.integers(0, 300))
def test_evenly_spread_keys_are_short(count: int) -> None:
    keys = evenly("l000000000100", "l000000000101", count)
    assert keys == sorted(set(keys))
    assert len(keys) == count
    assert all("l000000000100" < key < "l000000000101" and len(key) <= 18 for key in keys)

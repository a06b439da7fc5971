"""Windows: exactly so many, room again when it was promised, and nothing remembered that is past."""

import random
from typing import Any

import pytest
from pydantic import ValidationError

from storage import rates
from storage.rates import Budgets, Count, Rule, Window, parse_overrides, parse_rates
from storage.settings import Settings


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budgets(clock: Clock) -> Budgets:
    return Budgets(clock)


def rule(text: str, name: str = "test", **more: Any) -> Rule:
    return Rule(name, parse_rates(text), **more)


def test_exactly_so_many_are_admitted(budgets: Budgets) -> None:
    many = rule("100/minute")
    assert [budgets.take((many, "alice")) for _ in range(500)].count(None) == 100


def test_every_subject_has_its_own(budgets: Budgets) -> None:
    one, other = rule("1/minute"), rule("1/minute", "other")
    for pair in ((one, "alice"), (one, "bob"), (other, "alice")):
        assert budgets.take(pair) is None
        assert budgets.take(pair) is not None


def test_all_windows_of_a_budget_hold(budgets: Budgets, clock: Clock) -> None:
    both = rule("5/second;12/minute")
    admitted = 0
    for _ in range(60):
        admitted += sum(budgets.take((both, "alice")) is None for _ in range(10))
        clock.now += 2  # twice the second, so that nothing of the one before weighs
        if admitted == 12:
            break
    full = budgets.take((both, "alice"))
    assert admitted == 12
    assert full is not None
    assert full.name == "test-minute"


def test_who_is_refused_by_one_budget_pays_nothing_from_the_others(budgets: Budgets) -> None:
    narrow, wide = rule("1/minute", "narrow"), rule("10/minute", "wide")
    for _ in range(50):
        budgets.take((narrow, "alice"), (wide, ""))
    assert budgets.of(wide, "")[0].current == 1


@pytest.mark.parametrize("text", ["1/second", "7/second", "100/minute", "1000/hour", "3/15 minute"])
def test_there_is_room_when_it_was_promised_and_not_much_before(
    budgets: Budgets, clock: Clock, text: str
) -> None:
    chance = random.Random(7)
    budget = rule(text)
    (window,) = budgets.of(budget, "alice")
    for _ in range(300):
        while budgets.take((budget, "alice")) is None:
            clock.now += chance.random() * window.span / window.amount / 2
        wait = window.free_in(clock.now)
        assert 0 < wait <= 2 * window.span
        assert window.used(clock.now + wait * 0.98 - 0.002) >= window.amount or wait < 0.01
        clock.now += wait
        assert budgets.take((budget, "alice")) is None


def test_a_full_span_later_as_many_fit_again(budgets: Budgets, clock: Clock) -> None:
    budget = rule("100/minute")
    for _ in range(3):
        assert [budgets.take((budget, "alice")) for _ in range(300)].count(None) == 100
        clock.now += 120


def test_nothing_is_gained_around_the_end_of_a_span(budgets: Budgets, clock: Clock) -> None:
    """A fixed window would let twice as many pass within a moment."""
    budget = rule("100/minute")
    clock.now += 59.9
    budgets.of(budget, "alice")
    clock.now += 59.9
    first = [budgets.take((budget, "alice")) for _ in range(200)].count(None)
    clock.now += 0.2
    assert first + [budgets.take((budget, "alice")) for _ in range(200)].count(None) <= 101


def test_what_others_counted_is_taken_over(clock: Clock) -> None:
    window = Window(rule("10/minute"), parse_rates("10/minute")[0], "alice", clock())
    window.current, window.unsent = 3, 2
    window.learn(Count(0, 7, 60.0), clock())
    assert window.current == 9
    window.learn(Count(0, 1, 60.0), clock())  # an answer that was overtaken by the one before
    assert window.current == 9
    window.learn(
        Count(0, 1, 20.0), clock()
    )  # another span: Redis has lost its memory, or ours was an old one
    assert window.current == 3


def test_what_is_past_is_forgotten(budgets: Budgets, clock: Clock) -> None:
    short, long = rule("5/second", "short"), rule("5/hour", "long")
    for name in ("alice", "bob"):
        budgets.take((short, name))
        budgets.take((long, name))
    assert budgets.tidy() == 0
    clock.now += 3
    assert budgets.tidy() == 2
    clock.now += 7200
    assert budgets.tidy() == 2
    assert len(budgets) == 0


def test_a_flood_of_addresses_is_bounded(budgets: Budgets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_BUDGETS", 100)
    for number in range(1000):
        budgets.take((rule("5/hour"), number))
    assert len(budgets) == 100


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", []),
        ("1000/hour", [(1000, 3600)]),
        ("1000 per hour; 100/minute", [(1000, 3600), (100, 60)]),
        ("3/15 minutes", [(3, 900)]),
    ],
)
def test_the_notation(text: str, pairs: list[tuple[int, int]]) -> None:
    assert [(rate.amount, rate.get_expiry()) for rate in parse_rates(text)] == pairs


@pytest.mark.parametrize("text", ["many", "10", "10/fortnight", "0/hour", "-1/hour", "10/hour;", "10/hour;x"])
def test_what_is_no_notation_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValidationError, match=r"is no limit such as 1000/hour|would let nothing pass"):
        Settings(limit_user=text)
    with pytest.raises(ValidationError):
        Settings(limit_commands=f"task.move={text}")


def test_budgets_of_single_calls() -> None:
    found = parse_overrides("task.move=20/second;600/minute, auth.login=5/minute,")
    assert {name: len(limits) for name, limits in found.items()} == {"task.move": 2, "auth.login": 1}
    for text in ("task.move", "=5/minute", "task.move:5/minute"):
        with pytest.raises(ValidationError, match=r"is not like task\.move="):
            Settings(limit_commands=text)

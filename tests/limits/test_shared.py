"""Counts that nodes share through Redis; and what becomes of them when it is away."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from storage import rates
from storage.rates import Rule, parse_rates
from storage.shared_rates import SharedBudgets
from storage.valkey import EmbeddedValkey
from tests.world import until

NAMES = (f"rule{number}" for number in itertools.count())
"""A rule of its own for each test: they all share one Valkey."""

Nodes = Callable[..., Awaitable[SharedBudgets]]


def rule(text: str, *, exact: bool = True) -> Rule:
    return Rule(next(NAMES), parse_rates(text), exact=exact)


@pytest.fixture
async def nodes(valkey: EmbeddedValkey) -> AsyncIterator[Nodes]:
    """Makes nodes that share what they count; `patience` is long, for a busy machine is no outage."""
    async with AsyncExitStack() as stack:

        async def make(url: str | None = valkey.url, **changes: Any) -> SharedBudgets:
            shared = SharedBudgets(url, **{"patience": 20.0, "interval": 0.1, **changes})
            shared.start()
            stack.push_async_callback(shared.stop)
            return shared

        yield make


async def _admitted(calls: Sequence[Awaitable[object]]) -> int:
    return (await asyncio.gather(*calls)).count(None)


async def test_500_at_once_on_one_node_without_redis(nodes: Nodes) -> None:
    alone, budget = await nodes(None), rule("100/minute;120/hour")
    assert await _admitted([alone.take((budget, "alice")) for _ in range(500)]) == 100


async def test_500_at_once_on_two_nodes_with_redis(nodes: Nodes) -> None:
    one, two, budget = await nodes(), await nodes(), rule("100/minute")
    calls = [node.take((budget, "alice")) for _ in range(250) for node in (one, two)]
    assert await _admitted(calls) == 100
    assert one.healthy
    assert two.healthy
    assert await _admitted([one.take((budget, "bob"))]) == 1


async def test_room_comes_back_when_the_other_node_promised_it(nodes: Nodes) -> None:
    one, two, budget = await nodes(), await nodes(), rule("5/second")
    assert await _admitted([one.take((budget, "alice")) for _ in range(50)]) == 5
    full = await two.take((budget, "alice"))
    assert full is not None
    wait = full.free_in(two.budgets.clock())
    assert 0 < wait <= 2
    await asyncio.sleep(wait + 0.02)
    assert await two.take((budget, "alice")) is None


async def test_what_is_counted_in_memory_reaches_the_others(nodes: Nodes) -> None:
    """Each node tells the others of every eighth of a budget, so two of them let pass an eighth too many at most."""
    one, two, budget = await nodes(), await nodes(), rule("800/minute", exact=False)
    admitted = 0
    for _ in range(40):
        for node in (one, two):
            admitted += [node.budgets.take((budget, "alice")) for _ in range(25)].count(None)
        await one.exchange()
        await two.exchange()
    assert 800 <= admitted <= 900


async def test_a_short_span_stays_on_its_node(nodes: Nodes) -> None:
    one, budget = await nodes(), rule("8/second", exact=False)
    for _ in range(8):
        one.budgets.take((budget, "alice"))
    assert not one.budgets.due


async def test_redis_dies_and_comes_back(nodes: Nodes, valkey: EmbeddedValkey) -> None:
    shared, budget = await nodes(patience=0.3), rule("100/hour")
    assert await _admitted([shared.take((budget, "alice")) for _ in range(30)]) == 30
    pid = valkey.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # answers nothing, refuses nothing: the worst kind
    try:
        started = time.monotonic()
        assert await shared.take((budget, "alice")) is None
        assert time.monotonic() - started < 2
        assert not shared.healthy
        # It goes on alone from what it knew, and asks no more.
        started = time.monotonic()
        assert await _admitted([shared.take((budget, "alice")) for _ in range(500)]) == 69
        assert time.monotonic() - started < 1
    finally:
        os.kill(pid, signal.SIGKILL)  # and everything it had counted is lost
    await until(lambda: shared.healthy, within=20)
    # What was counted alone has been told, so the budget is not given out anew.
    other = await nodes()
    await until(lambda: not shared.budgets.due, within=5)
    assert await _admitted([other.take((budget, "alice")) for _ in range(500)]) <= 30
    assert await shared.take((budget, "alice")) is not None


async def test_a_start_without_redis_holds_nothing_up(nodes: Nodes) -> None:
    shared, budget = await nodes("redis://127.0.0.1:1/0", patience=0.3), rule("10/hour")
    assert await _admitted([shared.take((budget, "alice")) for _ in range(50)]) == 10
    assert not shared.healthy


async def test_what_is_past_is_not_told(nodes: Nodes) -> None:
    """Of calls in a span that is over nobody needs to know when Redis is back: there is room again."""
    one, two, budget = await nodes(interval=600), await nodes(), rule("5/second")
    one.healthy = False
    assert await _admitted([one.take((budget, "alice")) for _ in range(9)]) == 5
    await asyncio.sleep(2.1)
    await one.exchange()
    assert one.healthy
    assert await _admitted([two.take((budget, "alice")) for _ in range(5)]) == 5


async def test_what_waits_for_redis_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_BUDGETS", 100)
    shared, budget, now = SharedBudgets("redis://127.0.0.1:1/0"), rule("5/second"), [0.0]
    shared.budgets.clock = lambda: now[0]
    shared.healthy = False
    for _ in range(300):
        await shared.take((budget, "alice"))
        now[0] += 1
    assert len(shared.budgets.due) == 1
    for number in range(300):
        await shared.take((budget, number))
    assert len(shared.budgets.due) <= 100
    await shared.stop()

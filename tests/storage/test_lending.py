"""Connections on loan: they go from hand to hand, nobody waits beside a free one, and a dead one is replaced."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from storage import lending
from storage.lending import KEPT, Lender
from tests.world import Cluster


@pytest.fixture
async def pool(cluster: Cluster) -> AsyncIterator[Any]:
    pool = await asyncpg.create_pool(cluster.postgres.dsn("empty"), min_size=1, max_size=KEPT + 2)
    yield pool
    pool.terminate()


async def test_a_connection_goes_from_hand_to_hand(pool: Any) -> None:
    lender = Lender(pool, patience=5)
    seen = set()
    for _ in range(5):
        loan = await lender.borrow()
        seen.add(await loan.connection.fetchval("SELECT pg_backend_pid()"))
        await lender.give_back(loan)
    assert len(seen) == 1
    assert lender.idle == pool.get_size()


async def test_who_waits_gets_what_is_given_back(pool: Any) -> None:
    lender = Lender(pool, patience=5)
    loans = [await lender.borrow() for _ in range(KEPT + 2)]
    waiting = [asyncio.create_task(lender.borrow()) for _ in range(3)]
    await asyncio.sleep(0.05)
    for loan in loans:
        await lender.give_back(loan)
    late = await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert {await loan.connection.fetchval("SELECT 1") for loan in late} == {1}
    for loan in late:
        await lender.give_back(loan)
    assert lender.idle == pool.get_size() == KEPT + 2


async def test_nobody_waits_for_ever(pool: Any) -> None:
    loans = [await Lender(pool, patience=30).borrow() for _ in range(KEPT + 2)]
    lender = Lender(pool, patience=0.05)
    with pytest.raises(TimeoutError):
        await lender.borrow()
    await lender.give_back(loans.pop())
    await lender.give_back(await lender.borrow())


async def test_a_dead_connection_is_replaced(pool: Any) -> None:
    lender = Lender(pool, patience=5)
    held, thrown, kept = [await lender.borrow() for _ in range(3)]
    await lender.give_back(kept)
    dead = await kept.connection.fetchval("SELECT pg_backend_pid()")
    await held.connection.execute("SELECT pg_terminate_backend($1)", dead)
    thrown.connection.terminate()
    await lender.give_back(thrown)
    await asyncio.sleep(0.1)
    fresh = [await lender.borrow() for _ in range(KEPT + 1)]
    alive = {await loan.connection.fetchval("SELECT pg_backend_pid()") for loan in [held, *fresh]}
    assert len(alive) == KEPT + 2
    assert dead not in alive


@pytest.mark.parametrize(("kept_for", "replaced"), [(60.0, False), (0.0, True)])
async def test_the_pool_has_them_back_in_time(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, kept_for: float, replaced: bool
) -> None:
    """It replaces connections that are old or much used, which it can only do when it gets them."""
    monkeypatch.setattr(lending, "KEPT_FOR", kept_for)
    async with asyncpg.create_pool(
        cluster.postgres.dsn("empty"), min_size=1, max_size=2, max_queries=3
    ) as pool:
        lender, seen = Lender(pool, patience=5), []
        for _ in range(10):
            loan = await lender.borrow()
            seen.append(await loan.connection.fetchval("SELECT pg_backend_pid()"))
            await lender.give_back(loan)
        await lender.close()
    assert (len(set(seen)) > 1) is replaced


async def test_after_the_end_nothing_is_kept(pool: Any) -> None:
    lender = Lender(pool, patience=5)
    late, kept = await lender.borrow(), await lender.borrow()
    await lender.give_back(kept)
    await lender.close()
    await lender.give_back(late)
    await asyncio.wait_for(pool.close(), 5)

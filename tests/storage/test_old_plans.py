"""A connection does not keep the plans of its statements for ever; see also tests/contract/test_early_plans.py."""

import itertools

from storage.postgres import FRESH, OLD, Plans
from tests.world import World

SAID = "SELECT query FROM pg_stat_activity WHERE pid = $1"


async def age(world: World, seconds: float) -> None:
    """Have the plans of the connection that is lent next be so much older."""
    async with world.node.db.connection() as connection:
        connection.plans.made_at -= seconds


async def opening(world: World) -> str:
    """With what a transaction is opened, as Postgres has heard it."""
    async with world.node.db.transaction(None) as session, world.sql() as owner:
        await session.begin()
        said: str = await owner.fetchval(SAID, session.connection.get_server_pid())
    return said


async def test_they_are_forgotten_when_a_transaction_opens(world: World) -> None:
    await age(world, OLD)
    assert "DISCARD PLANS" in await opening(world)
    assert "DISCARD PLANS" not in await opening(world)


async def test_a_reading_transaction_sees_one_instant_all_the_same(world: World) -> None:
    await age(world, OLD)
    async with world.node.db.snapshot(None) as session:  # type: ignore[arg-type]
        await session.begin()
        db = session.connection
        assert await db.fetchval("SHOW transaction_isolation") == "repeatable read"
        assert await db.fetchval("SHOW transaction_read_only") == "on"


def test_they_grow_older_up_to_a_minute() -> None:
    plans, renewed = Plans(made_at=0), [0.0]
    renewed += [tick / 2 for tick in range(2_000) if plans.are_old(tick / 2)]
    ages = [after - before for before, after in itertools.pairwise(renewed)]
    assert ages[:6] == [FRESH, 2 * FRESH, 4 * FRESH, 8 * FRESH, 16 * FRESH, 32 * FRESH]
    assert set(ages[6:]) == {OLD}

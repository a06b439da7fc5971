"""Transactions that begin with their first statement: in one round trip, with all that a beginning promises."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from storage.lending import Lender
from storage.postgres import BAD_VALUE, Database, _Connection
from storage.statements import parse
from tests.world import World

PROBES = """
-- probe :many
SELECT n, current_setting('atrium.tenant') AS tenant, current_setting('transaction_isolation') AS isolation,
    pg_backend_pid() AS pid
FROM generate_series(1, :most::integer) AS n;

-- probed_rooms :value
SELECT count(*) FROM rooms;

-- head_of :value
SELECT r.head_seq FROM rooms AS r WHERE r.id = :room_id;

-- all_of_it :many
SELECT * FROM probed;

-- keep :exec
INSERT INTO probed (n) VALUES (:n);
"""


@pytest.fixture
def db(world: World) -> Database:
    """The world's own pool, with statements of this test."""
    node = world.node.db
    made = Database(node.pool, {each.name: each for each in parse(PROBES, "test")}, world.node.settings)
    made.lender = node.lender
    return made


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The simple queries of all connections from here on: each is a round trip of its own."""
    heard: list[str] = []
    execute = _Connection.execute

    async def listen(self: Any, query: str, *args: Any, **more: Any) -> Any:
        heard.append(query)
        return await execute(self, query, *args, **more)

    monkeypatch.setattr(_Connection, "execute", listen)
    return heard


def _id(text: str) -> UUID:
    return UUID(text.partition(":")[2] or text)


async def test_the_first_statement_brings_the_beginning_along(
    world: World, db: Database, said: list[str]
) -> None:
    tenant = _id(world.tenant_id)
    for _ in range(3):  # prepared by the first of them
        said.clear()
        async with db.transaction(tenant) as session:
            rows = await session.many("probe", most=2)
        assert [(row["n"], row["tenant"]) for row in rows] == [(1, str(tenant)), (2, str(tenant))]
    assert said == ["COMMIT"]
    async with db.snapshot(tenant) as session:
        assert (await session.many("probe", most=1))[0]["isolation"] == "repeatable read"
    async with db.transaction(None) as session:
        assert await session.value("probed_rooms") == 0, "no tenant, no rooms"
    async with db.transaction(tenant) as session:
        assert await session.value("probed_rooms") > 0
        assert await session.maybe("probe", most=0) is None


async def test_what_runs_nothing_says_nothing(world: World, db: Database, said: list[str]) -> None:
    async with db.transaction(_id(world.tenant_id)):
        pass
    with pytest.raises(RuntimeError):
        async with db.transaction(_id(world.tenant_id)):
            raise RuntimeError
    assert said == []


async def test_the_first_statement_sees_what_was_done_while_it_waited_for_the_lock(
    world: World, db: Database
) -> None:
    tenant, room = _id(world.tenant_id), _id(world.project)
    async with db.transaction(tenant) as session:
        before = await session.value("head_of", room_id=room)

    async def read() -> Any:
        async with db.transaction(tenant, hold=room) as session:
            return await session.value("head_of", room_id=room)

    async with world.sql() as other:
        async with other.transaction():
            await other.execute("UPDATE rooms SET head_seq = head_seq + 5 WHERE id = $1", room)
            waiting = asyncio.create_task(read())
            async with world.sql() as third:
                while not await third.fetchval("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)"):
                    await asyncio.sleep(0.01)
        assert await waiting == before + 5
        await other.execute("UPDATE rooms SET head_seq = head_seq - 5 WHERE id = $1", room)


async def test_a_room_that_is_held_is_held(world: World, db: Database) -> None:
    tenant, room = _id(world.tenant_id), _id(world.project)
    for _ in range(2):
        async with db.transaction(tenant, hold=room) as session:
            await session.many("probe", most=1)
            async with world.sql() as other:
                with pytest.raises(asyncpg.LockNotAvailableError):
                    await other.execute("SELECT 1 FROM rooms WHERE id = $1 FOR NO KEY UPDATE NOWAIT", room)


@pytest.mark.parametrize("statement", ["probe", "head_of"])
async def test_a_beginning_that_is_refused_leaves_the_connection_well(
    world: World, db: Database, statement: str
) -> None:
    tenant, given = _id(world.tenant_id), {"most": 1, "room_id": uuid4()}
    async with db.transaction(tenant) as session:
        await session.many(statement, **given)
        [mine] = await session.many("probe", most=1)
    with pytest.raises(asyncpg.PostgresSyntaxError):
        async with db.transaction(tenant, begin="BEGIN; NONSENSE") as session:
            await session.many(statement, **given)
    async with db.transaction(tenant) as session:
        [again] = await session.many("probe", most=1)
    assert again["pid"] == mine["pid"]
    assert again["tenant"] == str(tenant)


async def test_a_value_that_cannot_be_sent_is_refused_and_nothing_hangs(world: World, db: Database) -> None:
    tenant = _id(world.tenant_id)
    for most in (1, 1, 2**40, 1, 2**40, 1):
        try:
            async with asyncio.timeout(5), db.transaction(tenant) as session:
                assert len(await session.many("probe", most=most)) == 1
        except BAD_VALUE:
            assert most == 2**40


async def test_a_table_that_has_changed_is_read_anew_and_nobody_notices(world: World, db: Database) -> None:
    tenant = _id(world.tenant_id)
    async with world.sql() as owner:
        await owner.execute("CREATE TABLE probed (n integer); GRANT SELECT, INSERT ON probed TO atrium_app")

        async def read() -> Any:
            async with db.transaction(tenant) as session:
                rows = await session.many("all_of_it")
                await asyncio.sleep(0.05)  # so that each has a connection of its own
                return [dict(row) for row in rows]

        for _ in range(2):
            assert await asyncio.gather(*(read() for _ in range(3))) == [[]] * 3
        await owner.execute("ALTER TABLE probed ADD COLUMN more text DEFAULT 'new'")
        await owner.execute("INSERT INTO probed (n) VALUES (1)")
        for _ in range(2):
            assert await asyncio.gather(*(read() for _ in range(3))) == [[{"n": 1, "more": "new"}]] * 3


async def test_what_is_only_deferred_begins_with_the_commit(
    world: World, db: Database, said: list[str]
) -> None:
    tenant = _id(world.tenant_id)
    async with world.sql() as owner:
        await owner.execute("CREATE TABLE probed (n integer UNIQUE); GRANT INSERT ON probed TO atrium_app")
        for n in range(2):
            async with db.transaction(tenant) as session:
                session.defer("keep", n=n)
        assert said[-1].startswith("BEGIN; ")
        with pytest.raises(asyncpg.UniqueViolationError):
            async with db.transaction(tenant) as session:
                session.defer("keep", n=1)
        async with db.transaction(tenant) as session:
            await session.exec("keep", n=2)
        assert await owner.fetchval("SELECT array_agg(n ORDER BY n) FROM probed") == [0, 1, 2]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_is_cut_short_while_it_is_prepared_costs_its_connection(
    world: World, db: Database, monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    tenant, execute = _id(world.tenant_id), _Connection.execute

    async def cut_short(self: Any, query: str, *args: Any, **more: Any) -> Any:
        if not query.startswith("PREPARE"):
            return await execute(self, query, *args, **more)
        async with asyncio.timeout(0.1 if cancelled else None):
            return await execute(self, f"{query}; SELECT pg_sleep(5)", timeout=None if cancelled else 0.1)

    async with world.sql() as owner:
        await owner.execute("CREATE TABLE probed (n integer UNIQUE); GRANT INSERT ON probed TO atrium_app")
        with monkeypatch.context() as patched:
            patched.setattr(_Connection, "execute", cut_short)
            with pytest.raises(TimeoutError):
                async with db.transaction(tenant) as session:
                    session.defer("keep", n=0)
        for n in (1, 2):
            async with db.transaction(tenant) as session:
                session.defer("keep", n=n)
        assert await owner.fetchval("SELECT array_agg(n ORDER BY n) FROM probed") == [1, 2]


async def test_a_rollback_that_is_cancelled_costs_its_connection(
    world: World, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, execute, used = _id(world.tenant_id), _Connection.execute, list[Any]()

    async def cancelled(self: Any, query: str, *args: Any, **more: Any) -> Any:
        if query == "ROLLBACK":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        return await execute(self, query, *args, **more)

    async def fail() -> None:
        async with db.transaction(tenant) as session:
            used.append(session.connection)
            await session.many("probe", most=1)
            raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(_Connection, "execute", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(fail())
    assert used[0].is_closed()
    async with db.transaction(tenant) as session:
        assert len(await session.many("probe", most=1)) == 1


async def test_a_connection_whose_query_was_cut_short_is_not_lent_again(world: World, db: Database) -> None:
    with pytest.raises(TimeoutError):
        async with db.connection() as connection:
            await connection.fetchval("SELECT pg_sleep(5)", timeout=0.1)
    assert connection.is_closed()
    async with db.transaction(_id(world.tenant_id)) as session:
        assert len(await session.many("probe", most=1)) == 1


async def test_statements_of_a_table_that_has_changed_are_closed(world: World, db: Database) -> None:
    tenant = _id(world.tenant_id)
    db.lender = Lender(db.pool, 5)
    async with world.sql() as owner:
        await owner.execute("CREATE TABLE probed (n integer); GRANT SELECT ON probed TO atrium_app")
        held = []
        for n in range(4):
            await owner.execute(f"ALTER TABLE probed ADD COLUMN more_{n} text")
            for _ in range(2):
                async with db.transaction(tenant) as session:
                    await session.many("all_of_it")
                    held.append(await session.connection.fetchval(
                        "SELECT count(*) FROM pg_prepared_statements WHERE statement = $1",
                        db.statements["all_of_it"].sql,
                    ))  # fmt: skip
    await db.lender.close()
    assert held == [1] * 8

"""Too many wrong passwords, old hashes, and a flood of sign-ins."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import bcrypt
import pytest

from server.demo import PASSWORD
from tests.identity.mailbox import Mailbox, token_in
from tests.identity.test_accounts import ALICE, NEW, forgot, login, reset
from tests.world import World


@pytest.fixture
async def wary(worlds: Callable[..., Any], mailbox: Mailbox) -> World:
    """A world that locks an address at the third wrong password, for a second."""
    world: World = await worlds(login_tries=3, login_lock=1, smtp_url=mailbox.url)
    return world


@pytest.mark.parametrize("email", [ALICE, "nobody@acme.example"])
async def test_the_last_try_locks_whoever_it_is(wary: World, email: str) -> None:
    for _ in range(3):
        assert (await login(wary, email, "wrong")).status == 401
    for password in ("wrong", PASSWORD):
        locked = await login(wary, email, password)
        assert (locked.status, locked.error.code) == (429, "RATE_LIMITED")
        assert 0 < locked.error.retry_after <= 1
        assert locked.headers["Retry-After"] == "1"
    assert (await login(wary, "bob@acme.example")).success, "others are not concerned"


async def test_it_unlocks_by_itself_and_counts_anew(wary: World) -> None:
    for _ in range(3):
        await login(wary, password="wrong")
    assert (await login(wary)).status == 429
    await asyncio.sleep(1.05)
    assert (await login(wary, password="wrong")).status == 401
    assert (await login(wary)).success
    for _ in range(2):
        assert (await login(wary, password="wrong")).status == 401
    assert (await login(wary)).success, "the right one starts the count anew"
    async with wary.sql() as db:
        assert await db.fetchval("SELECT count(*) FROM login_failures") == 0


async def test_guesses_at_once_do_not_get_past_the_count(worlds: Callable[..., Any]) -> None:
    world = await worlds(login_tries=3, login_lock=600, argon2_time=16, argon2_memory=19456)
    assert (await login(world)).success, "her hash now takes as long as this world's"
    wrong = [asyncio.create_task(login(world, password="wrong")) for _ in range(8)]
    await asyncio.sleep(0.15)
    right = await login(world)
    assert {reply.status for reply in await asyncio.gather(*wrong)} <= {401, 429}
    assert right.status == 429, (
        "the right one behind too many wrong ones is not told apart, though it was let in"
    )


async def test_a_reset_lifts_the_lock(worlds: Callable[..., Any], mailbox: Mailbox) -> None:
    world = await worlds(login_tries=2, login_lock=600, smtp_url=mailbox.url)
    for _ in range(2):
        await login(world, password="wrong")
    locked = await login(world)
    assert (locked.status, locked.error.retry_after > 500) == (429, True)
    await forgot(world)
    assert (await reset(world, token_in(await mailbox.gets(ALICE)))).success
    assert (await login(world, password=NEW)).success


async def test_the_current_password_cannot_be_guessed_with_a_stolen_session(wary: World) -> None:
    alice = wary.person("alice")
    await alice.sign_in()
    replies = [
        await alice.rest(
            "POST", "/auth/change-password", json={"current_password": guess, "new_password": NEW}
        )
        for guess in ("wrong", "wrong", "wrong", PASSWORD)
    ]
    assert [reply.status for reply in replies] == [422, 422, 422, 429]


async def test_no_lock_where_it_is_switched_off(worlds: Callable[..., Any]) -> None:
    world = await worlds(login_tries=0)
    for _ in range(15):
        assert (await login(world, password="wrong")).status == 401
    assert (await login(world)).success


async def test_made_up_addresses_do_not_stay(wary: World) -> None:
    for number in range(12):
        await login(wary, f"nobody{number}@new.example", "wrong")
    async with wary.sql() as db:
        await db.execute("UPDATE login_failures SET last_at = now() - interval '1 hour'")
        await login(wary, password="wrong")
        await login(wary, "other@new.example", "wrong")
        assert await db.fetchval("SELECT count(*) FROM login_failures") == 2


# Hashes from elsewhere.


@pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
async def test_a_bcrypt_hash_is_accepted_and_replaced(world: World, prefix: bytes) -> None:
    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, b"2b")).replace(b"$2b$", b"$%b$" % prefix)
    async with world.sql() as db:
        await db.execute("UPDATE users SET password_hash = $1 WHERE email = $2", old.decode(), ALICE)
    assert (await login(world, password="wrong")).status == 401
    assert (await login(world)).success
    async with world.sql() as db:
        fresh = await db.fetchval("SELECT password_hash FROM users WHERE email = $1", ALICE)
    assert fresh.startswith("$argon2id$")
    assert (await login(world)).success


async def test_a_long_password_under_bcrypt_counts_as_it_always_did(world: World) -> None:
    long = "ä" * 60
    old = bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4))
    async with world.sql() as db:
        await db.execute("UPDATE users SET password_hash = $1 WHERE email = $2", old.decode(), ALICE)
    assert (await login(world, password=long)).success
    assert (await login(world, password=long[:-1])).status == 401, "from now on all of it counts"


@pytest.mark.parametrize("broken", ["", "$2b$nonsense", "$2y$04$" + "x" * 10, "$argon2id$v=19$x", "plain"])
async def test_a_broken_hash_fits_no_password(world: World, broken: str) -> None:
    async with world.sql() as db:
        await db.execute("UPDATE users SET password_hash = $1 WHERE email = $2", broken, ALICE)
    assert (await login(world)).status == 401


# A flood.


async def test_a_flood_of_sign_ins_does_not_hold_up_the_loop(worlds: Callable[..., Any]) -> None:
    world = await worlds(argon2_time=2, argon2_memory=19456)
    assert (await login(world)).success, "her hash now has the parameters of this world"
    bob = await world.person("bob").connect()
    lags: list[float] = []
    waits: list[float] = []
    over = asyncio.Event()

    async def watch() -> None:
        while not over.is_set():
            started = time.perf_counter()
            await asyncio.sleep(0.005)
            lags.append(time.perf_counter() - started - 0.005)

    async def work() -> None:
        while not over.is_set():
            started = time.perf_counter()
            assert (await bob.send("tenant.get")).success
            waits.append(time.perf_counter() - started)
            await asyncio.sleep(0.01)

    watching = [asyncio.create_task(watch()), asyncio.create_task(work())]
    started = time.perf_counter()
    replies = await asyncio.gather(*(login(world) for _ in range(100)))
    took = time.perf_counter() - started
    over.set()
    await asyncio.gather(*watching)
    assert all(reply.success for reply in replies)
    lags.sort()
    waits.sort()
    print(f"100 sign-ins in {took:.2f} s; loop lag p50 {1000 * lags[len(lags) // 2]:.1f} ms, max {1000 * lags[-1]:.1f} ms; "
          f"a call meanwhile p50 {1000 * waits[len(waits) // 2]:.1f} ms, max {1000 * waits[-1]:.1f} ms")  # fmt: skip
    assert lags[len(lags) // 2] < 0.05
    assert lags[-len(lags) // 100 - 1] < 0.25

"""Accounts: prove an address, move to another, change a password, set a new one by mail."""

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

from server.demo import PASSWORD
from tests.identity.mailbox import Mailbox, text_of, token_in
from tests.world import World

NEWCOMER = {"email": "newcomer@new.example", "password": "correct horse", "name": "Newcomer"}
NEW = "a better password"
ALICE = "alice@acme.example"


async def login(world: World, email: str = ALICE, password: str = PASSWORD, **more: Any) -> Any:
    return await world.request("POST", "/auth/login", json={"email": email, "password": password, **more})


async def forgot(world: World, email: str = ALICE) -> Any:
    return await world.request("POST", "/auth/forgot-password", json={"email": email})


async def reset(world: World, token: str, password: str = NEW) -> Any:
    return await world.request(
        "POST", "/auth/reset-password", json={"token": token, "new_password": password}
    )


async def verify(world: World, token: str) -> Any:
    return await world.request("POST", "/auth/verify-email", json={"token": token})


async def row(world: World, email: str) -> Any:
    async with world.sql() as db:
        return await db.fetchrow("SELECT * FROM users WHERE email = $1", email)


# Proving an address.


async def test_a_new_account_works_at_once_and_is_asked_to_verify(posted: World, mailbox: Mailbox) -> None:
    reply = await posted.request("POST", "/auth/register", json=NEWCOMER)
    assert (reply.data.verify_email, reply.data.user.name) == (False, "Newcomer")
    me = await posted.request(
        "GET", "/auth/me", headers={"Authorization": f"Bearer {reply.data.access_token}"}
    )
    assert me.data.user.email_verified is False
    token = token_in(await mailbox.gets(NEWCOMER["email"], "Confirm"))
    assert (await verify(posted, token)).success
    again = await verify(posted, token)
    assert (again.status, list(again.error.field_errors)) == (422, ["token"])
    me = await posted.request(
        "GET", "/auth/me", headers={"Authorization": f"Bearer {reply.data.access_token}"}
    )
    assert me.data.user.email_verified is True


@pytest.fixture
async def strict(worlds: Callable[..., Any], mailbox: Mailbox) -> World:
    """A world where an address has to be verified first."""
    world: World = await worlds(smtp_url=mailbox.url, mail_pause=0, require_verified_email=True)
    return world


async def test_where_required_an_account_waits_for_its_address(strict: World, mailbox: Mailbox) -> None:
    reply = await strict.request("POST", "/auth/register", json={**NEWCOMER, "tenant_name": "Newcomer's"})
    assert reply.status == 201
    assert (reply.data.user, reply.data.access_token, reply.data.verify_email) == (None, None, True)
    assert (await login(strict, NEWCOMER["email"], "wrong")).status == 401
    early = await login(strict, NEWCOMER["email"], NEWCOMER["password"])
    assert (early.status, early.error.details) == (403, {"reason": "email_not_verified"})
    assert (await verify(strict, token_in(await mailbox.gets(NEWCOMER["email"])))).success
    signed_in = await login(strict, NEWCOMER["email"], NEWCOMER["password"])
    assert signed_in.data.tenant.name == "Newcomer's"
    assert (await login(strict)).success, "accounts that were there before are not asked"


async def test_where_required_registering_does_not_tell_who_is_there(strict: World, mailbox: Mailbox) -> None:
    replies = [
        await strict.request("POST", "/auth/register", json={**NEWCOMER, "email": email})
        for email in (NEWCOMER["email"], ALICE, NEWCOMER["email"])
    ]
    assert [reply.status for reply in replies] == [201] * 3
    assert replies[0].data == replies[1].data == replies[2].data
    assert "already" in text_of(await mailbox.gets(ALICE))
    assert (await login(strict)).success, "the password is still her own"


async def test_another_mail_to_verify(strict: World, mailbox: Mailbox) -> None:
    await strict.request("POST", "/auth/register", json=NEWCOMER)
    first = token_in(await mailbox.gets(NEWCOMER["email"]))
    replies = [
        await strict.request("POST", "/auth/resend-verification", json={"email": email})
        for email in (NEWCOMER["email"], "nobody@new.example")
    ]
    assert replies[0].data == replies[1].data == {}
    second = token_in(await mailbox.gets(NEWCOMER["email"]))
    assert first != second
    assert (await verify(strict, first)).success, "both mails are good, whichever is read"
    assert (await verify(strict, second)).status == 422, "and then neither is"
    await strict.request("POST", "/auth/resend-verification", json={"email": NEWCOMER["email"]})
    await mailbox.gets_nothing()


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "A" * 200])
async def test_an_odd_token(shared: World, token: str) -> None:
    for reply in (await verify(shared, token), await reset(shared, token)):
        assert (reply.status, list(reply.error.field_errors)) == (422, ["token"])


# Moving to another address.


async def test_moving_to_another_address(posted: World, mailbox: Mailbox) -> None:
    alice = posted.person("alice")
    new = {"email": "alice@elsewhere.example", "password": PASSWORD}
    wrong = await alice.rest("POST", "/auth/change-email", json={**new, "password": "wrong"})
    assert (wrong.status, list(wrong.error.field_errors)) == (422, ["password"])
    assert (await alice.rest("POST", "/auth/change-email", json=new)).success
    notice = text_of(await mailbox.gets(ALICE, "about to change"))
    assert new["email"] in notice
    mailbox._read = 0
    token = token_in(await mailbox.gets(new["email"]))
    assert (await login(posted)).success, "nothing has changed yet"
    await forgot(posted)
    old_link = token_in(await mailbox.gets(ALICE, "new password"))
    assert (await verify(posted, token)).success
    await mailbox.gets(ALICE, "was changed")
    assert (await login(posted)).status == 401
    assert (await login(posted, new["email"])).success
    assert (await reset(posted, old_link)).status == 422, "what went to the old address is of no use"
    assert (await verify(posted, token)).status == 422


async def test_an_address_that_is_taken_stays_its_owner_s(posted: World, mailbox: Mailbox) -> None:
    alice = posted.person("alice")
    taken = await alice.rest(
        "POST", "/auth/change-email", json={"email": "bob@acme.example", "password": PASSWORD}
    )
    free = await alice.rest(
        "POST", "/auth/change-email", json={"email": NEWCOMER["email"], "password": PASSWORD}
    )
    assert taken.data == free.data
    token = token_in(await mailbox.gets(NEWCOMER["email"]))
    assert [mail for mail in mailbox.mails if mail["To"] == "bob@acme.example"] == []
    await posted.request("POST", "/auth/register", json=NEWCOMER)
    late = await verify(posted, token)
    assert (late.status, list(late.error.field_errors)) == (409, ["email"])
    assert (await login(posted)).success


# Forgotten passwords.


async def test_a_forgotten_password(posted: World, mailbox: Mailbox) -> None:
    alice = await posted.person("alice").connect()
    assert (await forgot(posted)).data == {}
    mail = await mailbox.gets(ALICE)
    assert "/#/reset-password?token=" in text_of(mail)
    token = token_in(mail)
    short = await reset(posted, token, "short")
    assert (short.status, list(short.error.field_errors)) == (422, ["new_password"])
    assert (await verify(posted, token)).status == 422, "it is for something else"
    assert (await reset(posted, token)).success
    assert (await alice.hears("room.closed")).reason == "revoked"
    await asyncio.wait_for(alice.disconnected.wait(), 5)
    refreshed = await posted.request(
        "POST", "/auth/refresh", json={"refresh_token": alice.tokens.refresh_token}
    )
    assert refreshed.status == 401
    assert (await login(posted)).status == 401
    assert (await login(posted, password=NEW)).success
    await mailbox.gets(ALICE, "was changed")
    assert (await row(posted, ALICE))["email_verified_at"], "whoever reads the mail owns the address"


async def test_a_token_is_good_once_however_many_use_it(posted: World, mailbox: Mailbox) -> None:
    await forgot(posted)
    token = token_in(await mailbox.gets(ALICE))
    replies = await asyncio.gather(*(reset(posted, token, f"{NEW} {number}") for number in range(20)))
    assert sorted(reply.status for reply in replies) == [200] + [422] * 19
    (winner,) = [number for number, reply in enumerate(replies) if reply.success]
    assert (await login(posted, password=f"{NEW} {winner}")).success
    await posted.request("POST", "/auth/register", json=NEWCOMER)
    token = token_in(await mailbox.gets(NEWCOMER["email"]))
    replies = await asyncio.gather(*(verify(posted, token) for _ in range(20)))
    assert sorted(reply.status for reply in replies) == [200] + [422] * 19


async def test_a_token_expires(posted: World, mailbox: Mailbox) -> None:
    await forgot(posted)
    token = token_in(await mailbox.gets(ALICE))
    async with posted.sql() as db:
        await db.execute("UPDATE account_tokens SET expires_at = now()")
    assert (await reset(posted, token)).status == 422
    assert (await login(posted)).success


async def test_using_one_link_spends_the_others(posted: World, mailbox: Mailbox) -> None:
    tokens = []
    for _ in range(2):
        await forgot(posted)
        tokens.append(token_in(await mailbox.gets(ALICE)))
    assert (await reset(posted, tokens[0])).success
    assert (await reset(posted, tokens[1])).status == 422


async def test_asking_again_and_again_sends_one_mail(worlds: Callable[..., Any], mailbox: Mailbox) -> None:
    world = await worlds(smtp_url=mailbox.url)
    await asyncio.gather(*(forgot(world) for _ in range(20)))
    await mailbox.gets(ALICE)
    await forgot(world)
    await mailbox.gets_nothing()


@pytest.mark.parametrize("status", ["suspended", "inactive"])
async def test_who_is_suspended_gets_neither_in_nor_a_link(
    posted: World, mailbox: Mailbox, status: str
) -> None:
    alice = posted.person("alice")
    tokens = await alice.sign_in()
    async with posted.sql() as db:
        await db.execute("UPDATE users SET status = $1 WHERE email = $2", status, ALICE)
    right, wrong = await login(posted), await login(posted, password="wrong")
    assert (right.status, right.error) == (401, wrong.error)
    assert (await alice.rest("GET", "/auth/me")).status == 401
    refreshed = await posted.request("POST", "/auth/refresh", json={"refresh_token": tokens.refresh_token})
    assert refreshed.status == 401
    assert (await forgot(posted)).success
    await mailbox.gets_nothing()


async def test_a_stranger_learns_nothing_from_forgot(posted: World) -> None:
    replies = [await forgot(posted, email) for email in (ALICE, "nobody@new.example")]
    for reply in replies:
        assert (reply.status, reply.data, reply.meta) == (200, {}, {})
    assert set(replies[0].headers) == set(replies[1].headers)


async def test_nothing_in_the_database_opens_an_account(posted: World, mailbox: Mailbox) -> None:
    await forgot(posted)
    token = token_in(await mailbox.gets(ALICE))
    async with posted.sql() as db:
        dump = str(
            [await db.fetch(f"SELECT t::text FROM {t} AS t") for t in ("account_tokens", "outbox_mails")]
        )
    assert ALICE in dump
    assert token not in dump


# Changing a password.


async def test_changing_a_password_ends_the_other_sessions(posted: World, mailbox: Mailbox) -> None:
    here, there = await posted.person("alice").connect(), await posted.person("alice").connect()
    change = {"current_password": PASSWORD, "new_password": NEW}
    wrong = await here.rest("POST", "/auth/change-password", json={**change, "current_password": "wrong"})
    assert (wrong.status, list(wrong.error.field_errors)) == (422, ["current_password"])
    assert (await here.rest("POST", "/auth/change-password", json=change)).success
    assert (await there.hears("room.closed")).reason == "revoked"
    await asyncio.wait_for(there.disconnected.wait(), 5)
    assert (await there.rest("GET", "/auth/me")).status == 401
    assert (await here.send("tenant.get")).success, "this session goes on"
    assert (await here.rest("GET", "/auth/me")).success
    assert (await login(posted)).status == 401
    assert (await login(posted, password=NEW)).success
    await mailbox.gets(ALICE, "was changed")


async def test_changing_a_password_spends_links_that_are_under_way(posted: World, mailbox: Mailbox) -> None:
    alice = posted.person("alice")
    await forgot(posted)
    link = token_in(await mailbox.gets(ALICE))
    await alice.rest("POST", "/auth/change-email", json={"email": NEWCOMER["email"], "password": PASSWORD})
    move = token_in(await mailbox.gets(NEWCOMER["email"]))
    change = {"current_password": PASSWORD, "new_password": NEW}
    assert (await alice.rest("POST", "/auth/change-password", json=change)).success
    assert (await reset(posted, link)).status == 422
    assert (await verify(posted, move)).status == 422


async def test_of_two_who_change_a_password_one_is_told(posted: World) -> None:
    people = [posted.person("alice") for _ in range(4)]
    for person in people:
        await person.sign_in()
    replies = await asyncio.gather(*(
        person.rest("POST", "/auth/change-password", json={"current_password": PASSWORD, "new_password": f"{NEW} {n}"})
        for n, person in enumerate(people)
    ))  # fmt: skip
    assert [reply.success for reply in replies].count(True) == 1
    (winner,) = [n for n, reply in enumerate(replies) if reply.success]
    assert (await login(posted, password=f"{NEW} {winner}")).success
    async with posted.sql() as db:
        alive = await db.fetchval("SELECT count(*) FROM sessions WHERE user_id = (SELECT id FROM users "
                                  "WHERE email = $1) AND revoked_at IS NULL", ALICE)  # fmt: skip
    assert alive == 2, "the winner's and the one just made"


# What the clock tells.


async def test_the_clock_does_not_tell_who_is_there(worlds: Callable[..., Any], mailbox: Mailbox) -> None:
    world = await worlds(smtp_url=mailbox.url, argon2_time=2, argon2_memory=8192, login_tries=100_000)
    assert (await login(world)).success, "her hash now has the parameters of this world"
    calls: dict[str, Callable[[str], Any]] = {
        "login": lambda email: login(world, email, "wrong password"),
        "forgot": lambda email: forgot(world, email),
    }
    for name, call in calls.items():
        times: dict[bool, list[float]] = {True: [], False: []}
        for number in range(80):
            known = number % 2 == 0
            started = time.perf_counter()
            await call(ALICE if known else f"nobody{number}@new.example")
            times[known].append(time.perf_counter() - started)
            await asyncio.sleep(0.005)
        known_ms, unknown_ms = (1000 * statistics.median(times[known]) for known in (True, False))
        print(f"{name}: known {known_ms:.2f} ms, unknown {unknown_ms:.2f} ms")
        assert abs(known_ms - unknown_ms) < 0.35 * max(known_ms, unknown_ms) + 1.5, name

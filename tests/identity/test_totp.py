"""The authenticator app and recovery codes, and the two halves of a sign-in."""

import asyncio
import re
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from server.demo import PASSWORD
from tests.identity.factors import (
    add_passkey,
    age_proof,
    bearer,
    begin,
    code_of,
    enable,
    first_half,
    second_half,
    wrong,
)
from tests.identity.mailbox import Mailbox, text_of, token_in
from tests.identity.test_accounts import ALICE, NEW, forgot, login, reset
from tests.world import World

# Setting it up.


async def test_an_app_is_set_up_and_then_asked_for(posted: World, mailbox: Mailbox) -> None:
    alice = posted.person("alice")
    before = await alice.rest("GET", "/auth/me")
    assert before.data.security.totp is False
    offered = (await alice.rest("POST", "/auth/totp")).data
    assert re.fullmatch("[A-Z2-7]{32}", offered.secret)
    assert offered.qr.startswith("data:image/svg+xml")
    uri = urlsplit(offered.uri)
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/Atrium:alice%40acme.example")
    assert parse_qs(uri.query)["secret"] == [offered.secret]
    assert parse_qs(uri.query)["issuer"] == ["Atrium"]
    assert (await login(posted)).data.access_token, "nothing is asked for before a code has confirmed it"

    refused = await alice.rest("POST", "/auth/totp/confirm", json={"code": wrong(offered.secret)})
    assert (refused.status, list(refused.error.field_errors)) == (422, ["code"])
    confirmed = await alice.rest("POST", "/auth/totp/confirm", json={"code": code_of(offered.secret)})
    codes = confirmed.data.recovery_codes
    assert len(set(codes)) == 10
    assert all(re.fullmatch("([0-9a-z]{4}-){6}[0-9a-z]{4}", code) for code in codes)
    assert "authenticator app was added" in text_of(await mailbox.gets(ALICE, "authenticator app"))

    me = (await alice.rest("GET", "/auth/me")).data.security
    assert (me.password, me.totp, me.passkeys, me.recovery_codes, me.method) == (
        True,
        True,
        0,
        10,
        "password",
    )
    assert me.second_factor_at
    half = await login(posted)
    assert half.data.keys() == {"user", "tenant", "access_token", "expires_in", "token_type", "second_factor"}
    assert (half.data.user, half.data.tenant, half.data.access_token) == (None, None, None)
    assert half.data.second_factor.methods == ["totp", "recovery_code"]
    assert half.data.second_factor.expires_in == 300
    whole = await second_half(posted, half.data.second_factor.token, code=code_of(offered.secret, 1))
    assert whole.data.user.email == ALICE
    assert whole.data.tenant.name == "Acme"
    assert (await posted.request("GET", "/auth/me", headers=bearer(whole.data))).success


async def test_who_has_none_sees_no_change(world: World) -> None:
    reply = await login(world)
    assert set(reply.data) == {"user", "tenant", "access_token", "refresh_token", "expires_in", "token_type"}


async def test_the_secret_is_sealed_and_codes_are_hashed(world: World) -> None:
    secret, codes = await enable(world.person("alice"))
    async with world.sql() as db:
        rows = [
            str(row)
            for table in ("totps", "recovery_codes")
            for row in await db.fetch(f"SELECT * FROM {table}")
        ]
        sealed = await db.fetchval("SELECT secret FROM totps")
    dump = "\n".join(rows)
    assert secret.encode() not in sealed
    for plain in (secret, secret.encode().hex(), *codes):
        assert plain not in dump


async def test_a_new_phone(world: World) -> None:
    alice = world.person("alice")
    old, old_codes = await enable(alice)
    offered = (await alice.rest("POST", "/auth/totp")).data
    half = await first_half(world)
    assert (await second_half(world, half.token, code=code_of(old))).success, (
        "good until the next is confirmed"
    )
    confirmed = await alice.rest("POST", "/auth/totp/confirm", json={"code": code_of(offered.secret)})
    assert confirmed.success
    half = await first_half(world)
    for given in ({"code": code_of(old, 1)}, {"recovery_code": old_codes[0]}):
        assert (await second_half(world, half.token, **given)).status == 401
    assert (await second_half(world, half.token, code=code_of(offered.secret, 1))).success


async def test_an_offer_expires(world: World) -> None:
    alice = world.person("alice")
    secret = (await alice.rest("POST", "/auth/totp")).data.secret
    async with world.sql() as db:
        await db.execute("UPDATE totps SET offered_at = now() - interval '1 hour'")
    assert (await alice.rest("POST", "/auth/totp/confirm", json={"code": code_of(secret)})).status == 422
    assert (await login(world)).data.access_token


async def test_a_foreign_secret_in_the_row_does_not_open(world: World) -> None:
    """A row copied from another person is sealed for that person."""
    alice, bob = world.person("alice"), world.person("bob")
    await enable(alice)
    mine, _ = await enable(bob)
    async with world.sql() as db:
        await db.execute(
            "UPDATE totps SET secret = (SELECT t.secret FROM totps AS t JOIN users AS u ON u.id = t.user_id "
            "WHERE u.email = 'bob@acme.example')"
        )
    half = await first_half(world, "bob")
    assert (await second_half(world, half.token, code=code_of(mine))).success
    half = await first_half(world)
    assert (await second_half(world, half.token, code=code_of(mine))).status == 500


# Codes, each good once.


@pytest.mark.parametrize("steps", [0, 1])
async def test_a_code_is_good_once(world: World, steps: int) -> None:
    secret, _ = await enable(world.person("alice"))
    first, second = await first_half(world), await first_half(world)
    code = code_of(secret, steps)
    assert (await second_half(world, first.token, code=code)).success
    again = await second_half(world, second.token, code=code)
    assert (again.status, again.error.details) == (401, {"reason": "wrong_factor", "tries_left": 4})


async def test_an_earlier_code_is_not_good_after_a_later_one(world: World) -> None:
    secret, _ = await enable(world.person("alice"))
    first, second = await first_half(world), await first_half(world)
    assert (await second_half(world, first.token, code=code_of(secret, 1))).success
    assert (await second_half(world, second.token, code=code_of(secret, 0))).status == 401


@pytest.mark.parametrize("steps", [-3, 3])
async def test_a_code_of_another_time_is_wrong(world: World, steps: int) -> None:
    secret, _ = await enable(world.person("alice"))
    half = await first_half(world)
    assert (await second_half(world, half.token, code=code_of(secret, steps))).status == 401


async def test_a_code_may_have_spaces(world: World) -> None:
    secret, _ = await enable(world.person("alice"))
    code = code_of(secret)
    assert (await second_half(world, (await first_half(world)).token, code=f"{code[:3]} {code[3:]}")).success


async def test_fifty_at_once_with_one_code(worlds: Callable[..., Any]) -> None:
    world = await worlds(code_tries=50)
    secret, _ = await enable(world.person("alice"))
    halves = [await first_half(world) for _ in range(50)]
    code = code_of(secret)
    replies = await asyncio.gather(*(second_half(world, half.token, code=code) for half in halves))
    assert sorted(reply.status for reply in replies) == [200] + [401] * 49
    async with world.sql() as db:
        assert await db.fetchval("SELECT count(*) FROM sessions WHERE second_factor_at IS NOT NULL") == 2


async def test_fifty_at_once_with_one_code_and_one_token(world: World) -> None:
    secret, _ = await enable(world.person("alice"))
    half, code = await first_half(world), code_of(secret)
    replies = await asyncio.gather(*(second_half(world, half.token, code=code) for _ in range(50)))
    assert sorted(reply.status for reply in replies) == [200] + [401] * 49


async def test_fifty_at_once_with_one_recovery_code(world: World) -> None:
    _, codes = await enable(world.person("alice"))
    halves = [await first_half(world) for _ in range(50)]
    replies = await asyncio.gather(
        *(second_half(world, half.token, recovery_code=codes[3]) for half in halves)
    )
    assert sorted(reply.status for reply in replies) == [200] + [401] * 49


async def test_fifty_confirmations_at_once(worlds: Callable[..., Any]) -> None:
    world = await worlds(code_tries=50)
    alice = world.person("alice")
    secret = (await alice.rest("POST", "/auth/totp")).data.secret
    body = {"code": code_of(secret)}
    replies = await asyncio.gather(*(alice.rest("POST", "/auth/totp/confirm", json=body) for _ in range(50)))
    assert sorted(reply.status for reply in replies) == [200] + [422] * 49


async def test_recovery_codes(posted: World, mailbox: Mailbox) -> None:
    alice = posted.person("alice")
    _, codes = await enable(alice)
    await mailbox.gets(ALICE, "authenticator app")
    half = await first_half(posted)
    written = codes[0].upper().replace("-", " ").replace("1", "l").replace("0", "O")
    assert (await second_half(posted, half.token, recovery_code=written)).success
    assert "9 are left" in text_of(await mailbox.gets(ALICE, "recovery code"))
    assert (await alice.rest("GET", "/auth/me")).data.security.recovery_codes == 9
    half = await first_half(posted)
    assert (await second_half(posted, half.token, recovery_code=codes[0])).status == 401
    renewed = (await alice.rest("POST", "/auth/recovery-codes")).data.recovery_codes
    assert set(renewed).isdisjoint(codes)
    assert (await second_half(posted, half.token, recovery_code=codes[1])).status == 401
    assert (await second_half(posted, half.token, recovery_code=renewed[1])).success


async def test_codes_are_of_one_person(world: World) -> None:
    secret, codes = await enable(world.person("alice"))
    await enable(world.person("bob"))
    half = await first_half(world, "bob")
    for given in ({"code": code_of(secret)}, {"recovery_code": codes[0]}):
        assert (await second_half(world, half.token, **given)).status == 401


async def test_no_recovery_codes_without_a_factor(world: World) -> None:
    refused = await world.person("alice").rest("POST", "/auth/recovery-codes")
    assert (refused.status, refused.error.code) == (409, "CONFLICT")


# The token between the halves.


async def test_the_token_is_good_for_nothing_else(world: World) -> None:
    secret, _ = await enable(world.person("alice"))
    token = (await first_half(world)).token
    assert (
        await world.request("GET", "/auth/me", headers={"Authorization": f"Bearer {token}"})
    ).status == 401
    assert (await world.request("POST", "/auth/refresh", json={"refresh_token": token})).status == 401
    for path in ("/auth/verify-email", "/auth/reset-password"):
        body = {"token": token} | ({"new_password": NEW} if "reset" in path else {})
        assert (await world.request("POST", path, json=body)).status == 422
    async with world.sql() as db:
        rows = "".join(str(row) for row in await db.fetch("SELECT * FROM half_sign_ins"))
        assert token not in rows
    assert (await second_half(world, token, code=code_of(secret))).success


async def test_the_token_is_good_once(world: World) -> None:
    secret, codes = await enable(world.person("alice"))
    token = (await first_half(world)).token
    assert (await second_half(world, token, code=code_of(secret))).success
    for given in ({"code": code_of(secret, 1)}, {"recovery_code": codes[0]}):
        again = await second_half(world, token, **given)
        assert (again.status, again.error.details) == (401, {"reason": "sign_in_over"})


async def test_the_token_expires(worlds: Callable[..., Any]) -> None:
    world = await worlds(second_factor_ttl=30)
    secret, _ = await enable(world.person("alice"))
    half = await first_half(world)
    assert half.expires_in == 30
    async with world.sql() as db:
        assert await db.fetchval("SELECT max(expires_at - now()) FROM half_sign_ins") < timedelta(seconds=31)
        await db.execute("UPDATE half_sign_ins SET expires_at = now()")
    late = await second_half(world, half.token, code=code_of(secret))
    assert (late.status, late.error.details) == (401, {"reason": "sign_in_over"})
    await first_half(world)
    async with world.sql() as db:
        assert await db.fetchval("SELECT count(*) FROM half_sign_ins") == 1, "the old one is swept up"


async def test_the_token_ends_after_some_tries(world: World) -> None:
    secret, _ = await enable(world.person("alice"))
    half = await first_half(world)
    left = [(await second_half(world, half.token, code=wrong(secret))).error.details for _ in range(6)]
    assert [details.get("tries_left") for details in left] == [4, 3, 2, 1, 0, None]
    over = await second_half(world, half.token, code=code_of(secret))
    assert over.error.details == {"reason": "sign_in_over"}
    assert (await second_half(world, (await first_half(world)).token, code=code_of(secret))).success


@pytest.mark.parametrize("what", ["reset", "suspend", "disable", "remove"])
async def test_the_token_ends_with_what_it_was_given_for(
    worlds: Callable[..., Any], mailbox: Mailbox, what: str
) -> None:
    world = await worlds(smtp_url=mailbox.url, mail_pause=0)
    alice = world.person("alice")
    secret, codes = await enable(alice)
    half = await first_half(world, **({"tenant_id": world.tenant_id} if what == "remove" else {}))
    if what == "reset":
        await forgot(world)
        assert (await reset(world, token_in(await mailbox.gets(ALICE, "password")))).success
    elif what == "suspend":
        async with world.sql() as db:
            await db.execute("UPDATE users SET status = 'suspended' WHERE email = $1", ALICE)
    elif what == "disable":
        assert (await alice.rest("POST", "/auth/totp/disable", json={"password": PASSWORD})).success
    else:
        async with world.sql() as db:
            await db.execute("UPDATE members SET status = 'removed' WHERE user_id = $1", alice.id)
    for given in ({"code": code_of(secret)}, {"recovery_code": codes[0]}):
        assert (await second_half(world, half.token, **given)).status == 401


async def test_a_reset_of_the_password_does_not_get_around_it(posted: World, mailbox: Mailbox) -> None:
    async with (
        posted.sql() as db
    ):  # whoever proves an address for the first time takes the account over, without it
        await db.execute("UPDATE users SET email_verified_at = now() WHERE email = $1", ALICE)
    await enable(posted.person("alice"))
    await mailbox.gets(ALICE, "authenticator app")
    await forgot(posted)
    assert (await reset(posted, token_in(await mailbox.gets(ALICE)))).success
    reply = await login(posted, password=NEW)
    assert reply.data.access_token is None
    assert reply.data.second_factor


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "A" * 200])
async def test_an_odd_token(shared: World, token: str) -> None:
    reply = await second_half(shared, token, code="123456")
    assert (reply.status, reply.error.details) == (401, {"reason": "sign_in_over"})


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"code": "12345"},
        {"code": "1234567"},
        {"code": "12345a"},
        {"code": "\u0661" * 6},
        {"code": "123456", "recovery_code": "x"},
        {"password": PASSWORD},
    ],
)
async def test_an_odd_factor(shared: World, given: dict[str, str]) -> None:
    assert (await second_half(shared, "A" * 43, **given)).status == 422


async def test_a_page_gets_its_cookie_in_the_second_half(worlds: Callable[..., Any]) -> None:
    world = await worlds()
    secret, _ = await enable(world.person("alice"))
    half = await first_half(world)
    body = {"token": half.token, "code": code_of(secret), "cookie": True}
    assert (await world.request("POST", "/auth/second-factor", json=body)).status == 403
    page = {"Origin": world.url, "X-Requested-With": "fetch"}
    reply = await world.request("POST", "/auth/second-factor", json=body, headers=page)
    assert "refresh_token" not in reply.data
    assert "atrium_refresh=" in reply.headers["Set-Cookie"]


async def test_refresh_keeps_what_was_proven(world: World) -> None:
    secret, _ = await enable(world.person("alice"))
    whole = await second_half(world, (await first_half(world)).token, code=code_of(secret))
    fresh = await world.request("POST", "/auth/refresh", json={"refresh_token": whole.data.refresh_token})
    me = await world.request("GET", "/auth/me", headers=bearer(fresh.data))
    assert me.data.security.second_factor_at


# Guessing.


async def test_wrong_codes_lock_codes_but_not_the_rest(worlds: Callable[..., Any], mailbox: Mailbox) -> None:
    world = await worlds(code_tries=3, login_lock=600, smtp_url=mailbox.url)
    secret, codes = await enable(world.person("alice"))
    await mailbox.gets(ALICE, "authenticator app")
    half = await first_half(world)
    for _ in range(3):
        assert (await second_half(world, half.token, code=wrong(secret))).status == 401
    assert "Codes are refused" in text_of(await mailbox.gets(ALICE, "wrong codes"))
    half = await first_half(world)
    locked = await second_half(world, half.token, code=code_of(secret))
    assert (locked.status, locked.error.code) == (429, "RATE_LIMITED")
    assert 590 < locked.error.retry_after <= 600
    assert (await second_half(world, half.token, recovery_code=codes[0])).success


async def test_the_right_password_does_not_start_the_count_of_codes_anew(worlds: Callable[..., Any]) -> None:
    world = await worlds(code_tries=5, second_factor_tries=1)
    secret, _ = await enable(world.person("alice"))
    statuses = []
    for _ in range(7):
        half = await first_half(world)
        statuses.append((await second_half(world, half.token, code=wrong(secret))).status)
    assert statuses == [401] * 5 + [429] * 2


async def test_locks_grow_until_a_right_code(worlds: Callable[..., Any]) -> None:
    world = await worlds(code_tries=2, login_lock=100, second_factor_tries=20)
    secret, _ = await enable(world.person("alice"))
    half = await first_half(world)
    locks = []
    for _ in range(12):
        for _ in range(2):
            assert (await second_half(world, half.token, code=wrong(secret))).status == 401
        locks.append((await second_half(world, half.token, code=wrong(secret))).error.retry_after)
        async with world.sql() as db:
            await db.execute("UPDATE code_tries SET locked_until = now()")
            await db.execute("UPDATE half_sign_ins SET tries = 0")
    assert [round(lock, -2) for lock in locks[:4]] == [100, 200, 400, 800]
    assert 86300 < locks[-1] <= 86400, "a day at most"
    assert (await second_half(world, half.token, code=code_of(secret))).success
    async with world.sql() as db:
        assert await db.fetchval("SELECT count(*) FROM code_tries") == 0


async def test_guesses_at_once_do_not_get_past_the_count(worlds: Callable[..., Any]) -> None:
    world = await worlds(code_tries=10, second_factor_tries=20)
    secret, _ = await enable(world.person("alice"))
    halves = [await first_half(world) for _ in range(40)]
    bad = wrong(secret)
    replies = await asyncio.gather(*(second_half(world, half.token, code=bad) for half in halves))
    assert sorted(reply.status for reply in replies) == [401] * 10 + [429] * 30


async def test_codes_cannot_be_guessed_within_a_session(worlds: Callable[..., Any]) -> None:
    world = await worlds(code_tries=3)
    alice = world.person("alice")
    secret, _ = await enable(alice)
    offered = (await alice.rest("POST", "/auth/totp")).data.secret
    statuses = [
        (await alice.rest("POST", path, json={"code": wrong(secret)})).status
        for path in ("/auth/prove", "/auth/totp/disable", "/auth/prove", "/auth/prove")
    ]
    assert statuses == [422, 422, 422, 429]
    assert (await alice.rest("POST", "/auth/totp/confirm", json={"code": code_of(offered)})).status == 429


async def test_a_wrong_password_looks_the_same_with_and_without(worlds: Callable[..., Any]) -> None:
    world = await worlds(login_tries=0, argon2_time=2, argon2_memory=19456)
    await enable(world.person("alice"))
    await login(world, "bob@acme.example")
    seconds: dict[str, list[float]] = {ALICE: [], "bob@acme.example": [], "nobody@acme.example": []}
    bodies = set()
    for _ in range(20):
        for email, taken in seconds.items():
            started = time.perf_counter()
            reply = await login(world, email, "wrong")
            taken.append(time.perf_counter() - started)
            bodies.add((reply.status, reply.error.code, reply.error.message, str(reply.error.details)))
    assert len(bodies) == 1
    medians = {email: statistics.median(taken) for email, taken in seconds.items()}
    print({email: f"{1000 * median:.1f} ms" for email, median in medians.items()})
    assert max(medians.values()) < 1.3 * min(medians.values())


# Doing without it, and proofs.


async def test_disabling_needs_a_proof_with_the_call(posted: World, mailbox: Mailbox) -> None:
    alice = posted.person("alice")
    secret, _ = await enable(alice)
    await mailbox.gets(ALICE, "authenticator app")
    assert (await alice.rest("POST", "/auth/totp/disable", json={})).status == 422
    bad = await alice.rest("POST", "/auth/totp/disable", json={"password": "wrong"})
    assert (bad.status, list(bad.error.field_errors)) == (422, ["password"])
    assert (await alice.rest("POST", "/auth/totp/disable", json={"code": code_of(secret)})).success
    assert "taken away" in text_of(await mailbox.gets(ALICE, "authenticator app"))
    assert (await login(posted)).data.access_token
    security = (await alice.rest("GET", "/auth/me")).data.security
    assert (security.totp, security.recovery_codes, security.second_factor_at) == (False, 0, None)
    assert (await alice.rest("POST", "/auth/totp/disable", json={"password": PASSWORD})).status == 404


async def test_a_passkey_keeps_the_second_factor_on(world: World) -> None:
    alice = world.person("alice")
    secret, codes = await enable(alice)
    device = await add_passkey(alice)
    assert (await alice.rest("POST", "/auth/totp/disable", json={"code": code_of(secret)})).success
    half = await first_half(world)
    assert half.methods == ["passkey", "recovery_code"]
    options = await begin(world, token=half.token)
    assert (await second_half(world, half.token, passkey=device.get(options))).success
    assert (await second_half(world, (await first_half(world)).token, recovery_code=codes[0])).success


async def test_what_changes_factors_asks_for_a_recent_proof(world: World) -> None:
    alice = world.person("alice")
    secret, codes = await enable(alice)
    device = await add_passkey(alice)
    passkey_id = (await alice.rest("GET", "/auth/passkeys")).data.passkeys[0].id
    proofs: list[dict[str, Any]] = [
        {"recovery_code": codes[0]},
        {"code": code_of(secret)},
        {"password": PASSWORD},
        {"passkey": device.get(await begin(world))},
    ]
    calls = [
        ("POST", "/auth/totp"),
        ("POST", "/auth/recovery-codes"),
        ("POST", "/auth/passkeys/begin"),
        ("DELETE", f"/auth/passkeys/{passkey_id}"),
    ]
    for (method, path), given in zip(calls, proofs, strict=True):
        await age_proof(world)
        refused = await alice.rest(method, path)
        assert (refused.status, refused.error.details) == (403, {"reason": "proof_needed"}), path
        proven = await alice.rest("POST", "/auth/prove", json=given)
        assert proven.success, proven
        assert (await alice.rest(method, path)).success, path


async def test_a_proof_is_of_ones_own_session(world: World) -> None:
    alice, elsewhere = world.person("alice"), world.person("alice")
    await alice.sign_in()
    await elsewhere.sign_in()
    await age_proof(world)
    assert (await alice.rest("POST", "/auth/prove", json={"password": PASSWORD})).success
    assert (await alice.rest("POST", "/auth/totp")).success
    assert (await elsewhere.rest("POST", "/auth/totp")).status == 403


async def test_the_list_of_sessions_says_how_one_signed_in(world: World) -> None:
    alice = world.person("alice")
    secret, _ = await enable(alice)
    await second_half(world, (await first_half(world)).token, code=code_of(secret))
    sessions = (await alice.rest("GET", "/auth/sessions")).data.sessions
    assert [s.method for s in sessions] == ["password", "password"]
    assert all(s.second_factor_at for s in sessions)

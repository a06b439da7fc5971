"""Passkeys: made, used instead of a password and as a second factor, forged, replayed, taken away."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from handlers.identity.ceremony import relying_party
from handlers.identity.passkeys import MAX_PASSKEYS
from tests.identity.authenticator import ATTESTED, PRESENT, VERIFIED, Authenticator, decode, encode
from tests.identity.factors import add_passkey, bearer, begin, enable, finish, first_half, second_half
from tests.identity.mailbox import Mailbox, text_of
from tests.identity.test_accounts import ALICE, login
from tests.world import World, settings_for

# Making them.


async def test_options_ask_for_a_passkey_that_checks_its_holder(world: World) -> None:
    alice = world.person("alice")
    options = (await alice.rest("POST", "/auth/passkeys/begin")).data.options
    assert options.rp == {"id": "localhost", "name": "Atrium"}
    assert (options.user.name, options.user.displayName) == (ALICE, "Alice")
    assert decode(options.user.id).hex() == alice.id.replace("-", "")
    assert options.attestation == "none"
    assert options.authenticatorSelection.residentKey == "required"
    assert options.authenticatorSelection.userVerification == "required"
    assert len(decode(options.challenge)) >= 16
    device = await add_passkey(alice)
    options = (await alice.rest("POST", "/auth/passkeys/begin")).data.options
    assert [decode(known.id) for known in options.excludeCredentials] == [device.credential_id]
    assert options.excludeCredentials[0].transports == ["usb"], "what the standard does not know is left out"


async def test_making_naming_listing_and_removing(posted: World, mailbox: Mailbox) -> None:
    alice = posted.person("alice")
    options = (await alice.rest("POST", "/auth/passkeys/begin")).data.options
    made = await alice.rest(
        "POST",
        "/auth/passkeys",
        json={"passkey": Authenticator().create(options), "name": " Key <b>ring</b> "},
    )
    assert made.status == 201
    assert made.data.passkey.name == "Key <b>ring</b>"
    assert len(made.data.recovery_codes) == 10, "it is the first factor"
    assert "Key <b>ring</b>" in text_of(await mailbox.gets(ALICE, "passkey was added"))
    options = (await alice.rest("POST", "/auth/passkeys/begin")).data.options
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
    second = await alice.rest(
        "POST",
        "/auth/passkeys",
        json={"passkey": Authenticator().create(options)},
        headers={"User-Agent": firefox},
    )
    assert (second.data.passkey.name, second.data.recovery_codes) == ("Firefox 145 on Linux", None)
    listed = (await alice.rest("GET", "/auth/passkeys")).data.passkeys
    assert [passkey.name for passkey in listed] == ["Key <b>ring</b>", "Firefox 145 on Linux"]
    assert set(listed[0]) == {"id", "name", "backed_up", "created_at", "last_used_at"}
    path = f"/auth/passkeys/{listed[0].id}"
    assert (await alice.rest("PUT", path, json={"name": "Blue"})).data.passkey.name == "Blue"
    assert (await alice.rest("PUT", path, json={"name": "  "})).status == 422
    bob = posted.person("bob")
    for method, body in (("PUT", {"name": "Mine"}), ("DELETE", None)):
        assert (await bob.rest(method, path, json=body)).error.code == "NOT_FOUND"
    assert (await alice.rest("DELETE", path)).success
    assert '"Blue" was taken away' in text_of(await mailbox.gets(ALICE, "taken away"))
    assert (await alice.rest("DELETE", path)).status == 404
    security = (await alice.rest("GET", "/auth/me")).data.security
    assert (security.passkeys, security.recovery_codes) == (1, 10)


@pytest.mark.parametrize(
    "changes",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:8081"},
        {"domain": "evil.example"},
        {"signs": encode(b"c" * 32)},
        {"signs": ""},
        {"flags": PRESENT},
        {"flags": VERIFIED},
    ],
)
async def test_a_passkey_that_was_not_made_as_asked_for(world: World, changes: dict[str, Any]) -> None:
    alice, device = world.person("alice"), Authenticator()
    options = (await alice.rest("POST", "/auth/passkeys/begin")).data.options
    device.flags = changes.pop("flags", device.flags)
    refused = await alice.rest("POST", "/auth/passkeys", json={"passkey": device.create(options, **changes)})
    assert (refused.status, list(refused.error.field_errors)) == (422, ["passkey"])
    assert (await alice.rest("GET", "/auth/passkeys")).data.passkeys == []
    assert (await login(world)).data.access_token


async def test_what_was_made_for_one_is_not_added_to_another(world: World) -> None:
    alice, bob, device = world.person("alice"), world.person("bob"), Authenticator()
    options = (await alice.rest("POST", "/auth/passkeys/begin")).data.options
    made = {"passkey": device.create(options)}
    assert (await bob.rest("POST", "/auth/passkeys", json=made)).status == 422
    assert (await alice.rest("POST", "/auth/passkeys", json=made)).status == 201
    assert (await alice.rest("POST", "/auth/passkeys", json=made)).status == 422, "a challenge is good once"
    options = (await bob.rest("POST", "/auth/passkeys/begin")).data.options
    copied = await bob.rest("POST", "/auth/passkeys", json={"passkey": device.create(options)})
    assert (copied.status, list(copied.error.field_errors)) == (409, ["passkey"])


async def test_a_challenge_for_signing_in_makes_no_passkey(world: World) -> None:
    alice, device = world.person("alice"), Authenticator()
    await alice.sign_in()
    options = await begin(world)
    options["user"] = {"id": encode(b"x")}
    assert (
        await alice.rest("POST", "/auth/passkeys", json={"passkey": device.create(options)})
    ).status == 422


async def test_there_is_a_limit(world: World) -> None:
    alice = world.person("alice")
    for _ in range(MAX_PASSKEYS):
        await add_passkey(alice)
    options = (await alice.rest("POST", "/auth/passkeys/begin")).data.options
    refused = await alice.rest("POST", "/auth/passkeys", json={"passkey": Authenticator().create(options)})
    assert refused.status == 409


# Instead of a password.


@pytest.mark.parametrize("counts", [True, False])
async def test_signing_in_without_address_or_password(world: World, counts: bool) -> None:
    device = await add_passkey(world.person("alice"), Authenticator(counts=counts))
    for _ in range(2):
        options = await begin(world)
        assert options.get("allowCredentials", []) == []
        assert (options.rpId, options.userVerification) == ("localhost", "required")
        reply = await finish(world, device.get(options))
        assert reply.data.user.email == ALICE
        assert reply.data.tenant.name == "Acme"
        assert "second_factor" not in reply.data
    me = (await world.request("GET", "/auth/me", headers=bearer(reply.data))).data.security
    assert (me.method, bool(me.second_factor_at)) == ("passkey", True)
    listed = await world.request("GET", "/auth/passkeys", headers=bearer(reply.data))
    assert listed.data.passkeys[0].last_used_at


async def test_an_app_is_not_asked_for_beside_a_passkey(world: World) -> None:
    alice = world.person("alice")
    await enable(alice)
    device = await add_passkey(alice)
    assert (await finish(world, device.get(await begin(world)))).data.access_token


async def test_a_passkey_for_the_wanted_tenant_and_as_a_cookie(world: World) -> None:
    device = await add_passkey(world.person("alice"))
    page = {"Origin": world.url, "X-Requested-With": "fetch"}
    signed = {"passkey": device.get(await begin(world)), "cookie": True, "tenant_id": world.tenant_id}
    assert (await world.request("POST", "/auth/passkey/finish", json=signed)).status == 403
    reply = await world.request("POST", "/auth/passkey/finish", json=signed, headers=page)
    assert "atrium_refresh=" in reply.headers["Set-Cookie"]
    assert "refresh_token" not in reply.data


@pytest.mark.parametrize(
    "changes",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost.evil.example:8080"},
        {"origin": "https://localhost:8080"},
        {"domain": "evil.example"},
        {"signs": encode(b"c" * 32)},
        {"signs": ""},
        {"type": "webauthn.create"},
        {"flags": PRESENT},
        {"flags": VERIFIED},
        {"flags": 0},
        {"key": ec.generate_private_key(ec.SECP256R1())},
        {"handle": b"somebody else"},
    ],
)
async def test_a_forged_signature(world: World, changes: dict[str, Any]) -> None:
    device = await add_passkey(world.person("alice"))
    options = await begin(world)
    refused = await finish(world, device.get(options, **changes))
    assert (refused.status, refused.error.code) == (401, "UNAUTHORIZED")
    assert refused.error.message == "This passkey opens no account here"
    assert refused.error.details == {}
    if "signs" not in changes:
        again = await finish(world, device.get(options))
        assert again.status == 401, "the challenge is used up"
    assert (await finish(world, device.get(await begin(world)))).success


async def test_the_signed_bytes_count(world: World) -> None:
    device = await add_passkey(world.person("alice"))
    for field in ("signature", "authenticatorData"):
        signed = device.get(await begin(world))
        raw = bytearray(decode(signed["response"][field]))
        raw[-1] ^= 1
        signed["response"][field] = encode(bytes(raw))
        assert (await finish(world, signed)).status == 401
    signed = device.get(await begin(world))
    signed["response"]["clientDataJSON"] = encode(decode(signed["response"]["clientDataJSON"]) + b" ")
    assert (await finish(world, signed)).status == 401


async def test_a_replay(world: World) -> None:
    device = await add_passkey(world.person("alice"))
    signed = device.get(await begin(world))
    assert (await finish(world, signed)).success
    assert (await finish(world, signed)).status == 401


async def test_fifty_replays_at_once(world: World) -> None:
    device = await add_passkey(world.person("alice"), Authenticator(counts=False))
    signed = device.get(await begin(world))
    replies = await asyncio.gather(*(finish(world, signed) for _ in range(50)))
    assert sorted(reply.status for reply in replies) == [200] + [401] * 49


@pytest.mark.parametrize("back", [0, 1, 5])
async def test_a_counter_that_does_not_grow(posted: World, mailbox: Mailbox, back: int) -> None:
    device = Authenticator(counter=7)
    await add_passkey(posted.person("alice"), device)
    assert (await finish(posted, device.get(await begin(posted)))).success
    device.counter -= 1 + back
    assert (await finish(posted, device.get(await begin(posted)))).status == 401
    assert "may have been copied" in text_of(await mailbox.gets(ALICE, "refused"))
    device.counter = 100
    assert (await finish(posted, device.get(await begin(posted)))).success


async def test_a_counter_that_vanishes(world: World) -> None:
    device = Authenticator(counter=7)
    await add_passkey(world.person("alice"), device)
    assert (await finish(world, device.get(await begin(world), counter=0))).status == 401


async def test_a_challenge_expires_and_is_swept_up(worlds: Callable[..., Any]) -> None:
    world = await worlds(second_factor_ttl=30)
    device = await add_passkey(world.person("alice"))
    options = await begin(world)
    assert options.timeout == 30_000
    async with world.sql() as db:
        await db.execute("UPDATE passkey_challenges SET expires_at = now()")
    assert (await finish(world, device.get(options))).status == 401
    await begin(world)
    async with world.sql() as db:
        assert await db.fetchval("SELECT count(*) FROM passkey_challenges") == 1


async def test_a_removed_passkey_and_a_suspended_account_open_nothing(world: World) -> None:
    alice = world.person("alice")
    device, kept = await add_passkey(alice), await add_passkey(alice)
    first = (await alice.rest("GET", "/auth/passkeys")).data.passkeys[0]
    assert (await alice.rest("DELETE", f"/auth/passkeys/{first.id}")).success
    assert (await finish(world, device.get(await begin(world)))).status == 401
    async with world.sql() as db:
        await db.execute("UPDATE users SET status = 'suspended' WHERE email = $1", ALICE)
    refused = await finish(world, kept.get(await begin(world)))
    assert (refused.status, refused.error.message) == (401, "This passkey opens no account here")


@pytest.mark.parametrize(
    "spoil",
    [
        {"id": "AAAA"},
        {"rawId": "AAAA"},
        {"id": "!"},
        {"type": "password"},
        {"response": {}},
        {"response": {"clientDataJSON": "", "authenticatorData": "", "signature": ""}},
        {"response": {"clientDataJSON": "A", "authenticatorData": "A", "signature": "A"}},
        {"response": {"clientDataJSON": encode(b"[]"), "authenticatorData": "AAAA", "signature": "AAAA"}},
        {
            "response": {
                "clientDataJSON": encode(b'{"challenge":7}'),
                "authenticatorData": "",
                "signature": "",
            }
        },
        {"response": {"clientDataJSON": encode(b"\xff"), "authenticatorData": "", "signature": ""}},
    ],
)
async def test_an_odd_answer(world: World, spoil: dict[str, Any]) -> None:
    device = await add_passkey(world.person("alice"))
    refused = await finish(world, {**device.get(await begin(world)), **spoil})
    assert refused.status in (401, 422)


@pytest.mark.parametrize("data", [b"", b"\0", b"\0" * 37, b"\xff" * 300, b"\0" * 36 + b"\x80" * 40])
async def test_odd_authenticator_data(world: World, data: bytes) -> None:
    device = await add_passkey(world.person("alice"))
    signed = device.get(await begin(world))
    signed["response"]["authenticatorData"] = encode(data)
    assert (await finish(world, signed)).status == 401


@pytest.mark.parametrize("data", [b"", b"\xa0", b"\x9f", b"\xff" * 200, b"\xa1\x61\x61\x01", b"\x81" * 2000])
async def test_an_odd_attestation(world: World, data: bytes) -> None:
    alice = world.person("alice")
    options = (await alice.rest("POST", "/auth/passkeys/begin")).data.options
    made = Authenticator(flags=PRESENT | VERIFIED | ATTESTED).create(options)
    made["response"]["attestationObject"] = encode(data)
    assert (await alice.rest("POST", "/auth/passkeys", json={"passkey": made})).status == 422


# As the second factor.


async def test_as_the_second_half_of_a_sign_in(world: World) -> None:
    alice = world.person("alice")
    device = await add_passkey(alice)
    half = await first_half(world)
    assert half.methods == ["passkey", "recovery_code"]
    options = await begin(world, token=half.token)
    assert [decode(known.id) for known in options.allowCredentials] == [device.credential_id]
    reply = await second_half(world, half.token, passkey=device.get(options))
    assert reply.data.user.email == ALICE
    me = (await world.request("GET", "/auth/me", headers=bearer(reply.data))).data.security
    assert (me.method, bool(me.second_factor_at)) == ("password", True)


async def test_the_passkey_of_another_person_is_no_second_factor(world: World) -> None:
    alice = world.person("alice")
    await add_passkey(alice)
    bobs = await add_passkey(world.person("bob"))
    half = await first_half(world)
    for options in (await begin(world, token=half.token), await begin(world)):
        refused = await second_half(world, half.token, passkey=bobs.get(options))
        assert (refused.status, refused.error.details.reason) == (401, "wrong_factor")
    refused = await alice.rest("POST", "/auth/prove", json={"passkey": bobs.get(await begin(world))})
    assert (refused.status, list(refused.error.field_errors)) == (422, ["passkey"])


async def test_a_challenge_for_one_person_signs_nobody_in(world: World) -> None:
    """The challenge of a second half is no key to the first."""
    device = await add_passkey(world.person("alice"))
    half = await first_half(world)
    options = await begin(world, token=half.token)
    assert (await finish(world, device.get(options))).status == 401


async def test_a_challenge_needs_a_live_token(world: World) -> None:
    refused = await world.request("POST", "/auth/passkey/begin", json={"token": "A" * 43})
    assert (refused.status, refused.error.details) == (401, {"reason": "sign_in_over"})


# Domain and origins.


@pytest.mark.parametrize(
    ("changes", "domain", "origins"),
    [
        ({}, "localhost", ["http://127.0.0.1:8080", "http://localhost:8080"]),
        ({"public_url": "http://localhost:9"}, "localhost", ["http://localhost:9"]),
        ({"public_url": "http://[::1]:9"}, "localhost", ["http://[::1]:9", "http://localhost:9"]),
        ({"public_url": "https://Atrium.example/app"}, "atrium.example", ["https://atrium.example"]),
        (
            {
                "public_url": "https://work.atrium.example",
                "passkey_domain": "atrium.example",
                "passkey_origins": "https://desk.atrium.example/, android:apk-key-hash:x",
            },
            "atrium.example",
            ["https://work.atrium.example", "https://desk.atrium.example", "android:apk-key-hash:x"],
        ),
    ],
)
def test_the_domain_and_the_origins(tmp_path: Any, changes: Any, domain: str, origins: list[str]) -> None:
    assert relying_party(settings_for(tmp_path, **changes)) == (domain, origins)

"""Which account a provider signs in: linked, found by a proven address, or new; and who stays outside."""

import asyncio
from typing import Any

import pytest

from server.demo import PASSWORD
from tests.identity.factors import age_proof, code_of, enable, second_half
from tests.identity.mailbox import Mailbox, text_of
from tests.oidc.browser import Browser, told
from tests.oidc.fake import Fake
from tests.world import World

BOB = "bob@acme.example"


async def proven(world: World, *emails: str) -> None:
    """These people have followed the links in their mails."""
    async with world.sql() as db:
        await db.execute(
            "UPDATE users SET email_verified_at = now() WHERE email = ANY($1)", list(emails or [BOB])
        )


async def login(world: World, password: str = PASSWORD, email: str = BOB) -> Any:
    return await world.request("POST", "/auth/login", json={"email": email, "password": password})


def forbidden(reply: Any, reason: str) -> None:
    assert (reply.status, reply.error.code, reply.error.details) == (403, "FORBIDDEN", {"reason": reason}), (
        reply
    )


async def test_a_proven_address_finds_its_account(
    browser: Browser, trusting: World, mailbox: Mailbox
) -> None:
    await proven(trusting)
    reply = await browser.sign_in()
    assert (reply.data.user.id, reply.data.tenant.name) == (trusting.user_ids["bob"], "Acme")
    assert reply.data.user.name == "Bob", "his own name stays"
    assert (await login(trusting)).success, "the password stays"
    assert "Fake" in text_of(await mailbox.gets(BOB, "sign in with Fake"))
    assert (await browser.sign_in()).data.user.id == trusting.user_ids["bob"]
    await mailbox.gets_nothing()


async def test_a_tenant_may_be_chosen(browser: Browser, trusting: World) -> None:
    await proven(trusting)
    reply = await browser.sign_in(tenant_id=trusting.tenant_id)
    assert reply.data.tenant.id == trusting.tenant_id
    async with trusting.sql() as db:
        rival = await db.fetchval("SELECT id FROM tenants WHERE slug = 'rival'")
    assert (await browser.sign_in(tenant_id=str(rival))).status == 401


@pytest.mark.parametrize("said", [False, None, "yes", 0, [], {}])
async def test_an_address_that_the_provider_has_not_proven(
    browser: Browser, trusting: World, fake: Fake, said: Any
) -> None:
    await proven(trusting)
    fake.person["email_verified"] = said
    forbidden(await browser.sign_in(), "email_not_verified")
    fake.person["email"] = "newcomer@new.example"
    forbidden(await browser.sign_in(), "email_not_verified")


@pytest.mark.parametrize("email", [None, "", "bob", "bob@acme.example\nbcc: x", ["bob@acme.example"], 7])
async def test_no_address(browser: Browser, trusting: World, fake: Fake, email: Any) -> None:
    fake.person["email"] = email
    forbidden(await browser.sign_in(), "email_not_verified")


async def test_upper_case_is_the_same_address(browser: Browser, trusting: World, fake: Fake) -> None:
    await proven(trusting)
    fake.person["email"] = "BOB@ACME.example"
    assert (await browser.sign_in()).data.user.id == trusting.user_ids["bob"]


async def test_who_came_first_with_somebody_else_s_address_is_out(
    browser: Browser, trusting: World, fake: Fake
) -> None:
    """Pre-hijacking: an account that was made with an address of somebody else, waiting for its owner to come."""
    async with trusting.sql() as db:
        await db.execute("UPDATE users SET email_verified_at = NULL WHERE email = $1", BOB)
        await db.execute(
            "INSERT INTO identities (id, user_id, provider, subject, label, email) "
            "VALUES (gen_random_uuid(), $1, 'https://other.example', 'intruder', 'Other', 'mallory@rival.example')",
            trusting.user_ids["bob"],
        )
    intruder = await trusting.person("bob").connect()
    await enable(intruder)
    async with trusting.sql() as db:
        await db.execute(
            "INSERT INTO passkeys (id, user_id, credential_id, public_key, sign_count, backed_up, name) "
            "VALUES (gen_random_uuid(), $1, 'x', 'x', 0, false, 'left behind')",
            trusting.user_ids["bob"],
        )
    made = await intruder.send("apikey.create", room=f"user:{intruder.id}", name="Kept", scopes=["read"])
    assert made.success, made
    await trusting.request("POST", "/auth/forgot-password", json={"email": BOB})
    reply = await browser.sign_in()
    assert (reply.success, reply.data.user.id) == (True, trusting.user_ids["bob"])
    assert (await intruder.hears("room.closed")).reason == "revoked"
    await asyncio.wait_for(intruder.disconnected.wait(), 5)
    assert (await intruder.rest("GET", "/auth/me")).status == 401
    refreshed = await trusting.request(
        "POST", "/auth/refresh", json={"refresh_token": intruder.tokens.refresh_token}
    )
    assert refreshed.status == 401
    assert (await login(trusting)).status == 401, "the password of the intruder is gone"
    async with trusting.sql() as db:
        assert await db.fetch("SELECT provider FROM identities") == [(fake.url,)]
        for table in ("totps", "passkeys"):
            assert await db.fetchval(f"SELECT count(*) FROM {table}") == 0
        assert await db.fetchval("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL") == 0
        user = await db.fetchrow("SELECT * FROM users WHERE email = $1", BOB)
        assert (user["password_hash"], user["email_verified_at"] is not None) == (None, True)
    bearer = {"Authorization": f"Bearer {reply.data.access_token}"}
    assert (await trusting.request("GET", "/auth/me", headers=bearer)).success


async def test_an_account_that_waits_for_its_address_is_active_then(
    browser: Browser, trusting: World
) -> None:
    async with trusting.sql() as db:
        await db.execute(
            "UPDATE users SET status = 'pending', email_verified_at = NULL WHERE email = $1", BOB
        )
    assert (await browser.sign_in()).success


@pytest.mark.parametrize("status", ["suspended", "inactive"])
async def test_who_is_suspended_stays_outside(browser: Browser, trusting: World, status: str) -> None:
    await proven(trusting)
    assert (await browser.sign_in()).success
    async with trusting.sql() as db:
        await db.execute("UPDATE users SET status = $1 WHERE email = $2", status, BOB)
    assert (await browser.sign_in()).status == 401
    async with trusting.sql() as db:
        await db.execute("DELETE FROM identities")
    assert (await browser.sign_in()).status == 401


async def test_an_address_that_somebody_else_has_got_at_the_provider(
    browser: Browser, trusting: World, fake: Fake
) -> None:
    """The address was given to a new colleague there: he does not get the account of the old one."""
    await proven(trusting)
    assert (await browser.sign_in()).success
    fake.person["sub"] = "bob-2"
    forbidden(await browser.sign_in(), "other_identity")


async def test_the_identity_counts_and_not_the_address(browser: Browser, trusting: World, fake: Fake) -> None:
    await proven(trusting, BOB, "alice@acme.example")
    assert (await browser.sign_in()).data.user.id == trusting.user_ids["bob"]
    fake.person["email"] = "alice@acme.example"
    assert (await browser.sign_in()).data.user.id == trusting.user_ids["bob"]


async def test_a_service_never_signs_in(browser: Browser, trusting: World) -> None:
    await proven(trusting)
    async with trusting.sql() as db:
        await db.execute("UPDATE users SET kind = 'service' WHERE email = $1", BOB)
    forbidden(await browser.sign_in(), "no_account")


async def test_no_account_where_none_is_made(trusting: World, browser: Browser, fake: Fake) -> None:
    fake.person["email"] = "newcomer@new.example"
    issuer = trusting.node.settings.oidc_issuers[0]
    trusting.node.settings.oidc_issuers = (issuer.model_copy(update={"sign_up": False}),)
    forbidden(await browser.sign_in(), "no_account")
    fake.person["email"] = BOB
    assert (await browser.sign_in()).success


async def test_microsoft_s_claim(trusting: World, browser: Browser, fake: Fake) -> None:
    issuer = trusting.node.settings.oidc_issuers[0]
    trusting.node.settings.oidc_issuers = (issuer.model_copy(update={"email_verified_claim": "xms_edov"}),)
    forbidden(await browser.sign_in(), "email_not_verified")
    for said in (True, 1, "1", "true"):
        fake.person["xms_edov"] = said
        assert (await browser.sign_in()).success


async def test_two_tabs_of_a_newcomer(trusting: World, fake: Fake, browse: Any) -> None:
    fake.person = {"sub": "new-1", "email": "newcomer@new.example", "email_verified": True}
    browsers = [browse(trusting) for _ in range(5)]
    replies = await asyncio.gather(*(browser.sign_in() for browser in browsers))
    assert {reply.data.user.id for reply in replies} == {replies[0].data.user.id}


# Second factors.


async def test_the_account_s_own_second_factor_is_asked_for(
    browser: Browser, trusting: World, fake: Fake
) -> None:
    await proven(trusting)
    secret, _ = await enable(trusting.person("bob"))
    reply = await browser.sign_in()
    assert (reply.data.access_token, reply.data.second_factor.methods) == (None, ["totp", "recovery_code"])
    signed_in = await second_half(trusting, reply.data.second_factor.token, code=code_of(secret))
    assert signed_in.data.user.id == trusting.user_ids["bob"]
    async with trusting.sql() as db:
        found = await db.fetchrow(
            "SELECT s.method, p.provider, p.subject, p.sid FROM sessions AS s "
            "JOIN provider_sessions AS p ON p.session_id = s.id"
        )
    assert tuple(found) == ("oidc", fake.url, "bob-1", "provider-1")
    fake.claims = {"amr": ["pwd", "mfa"]}
    assert (await browser.sign_in()).data.access_token, "the provider has asked for two"


# Linking from within an account.


async def begin(world: World, token: str, issuer: str = "fake") -> Any:
    return await world.request(
        "POST", f"/auth/identities/{issuer}/start", json={"return_to": f"{world.url}/"},
        headers={"Authorization": f"Bearer {token}"},
    )  # fmt: skip


async def link(world: World, token: str, code: str, secret: str) -> Any:
    return await world.request(
        "POST", "/auth/identities", json={"code": code, "secret": secret},
        headers={"Authorization": f"Bearer {token}"},
    )  # fmt: skip


async def identities(world: World, token: str) -> Any:
    reply = await world.request("GET", "/auth/identities", headers={"Authorization": f"Bearer {token}"})
    return reply.data.identities


async def test_linking_another_address(
    browser: Browser, trusting: World, fake: Fake, mailbox: Mailbox
) -> None:
    await proven(trusting)
    token = await trusting.token("bob")
    fake.person = {"sub": "bob-private", "email": "bob@private.example", "email_verified": True}
    began = await begin(trusting, token)
    location = await browser.get(await browser.get(began.data.url))
    assert location.startswith(f"{trusting.url}/#/linked?code=")
    said = told(location)
    wrong_use = await browser.post("/auth/oidc/exchange", code=said["code"], secret=began.data.secret)
    assert wrong_use.status == 422, "a link is no sign-in"
    began = await begin(trusting, token)
    code = told(await browser.get(await browser.get(began.data.url)))["code"]
    assert (await link(trusting, token, code, began.data.secret)).status == 201
    await mailbox.gets(BOB, "sign in with Fake")
    assert [found.email for found in await identities(trusting, token)] == ["bob@private.example"]
    reply = await browser.sign_in()
    assert reply.data.user.id == trusting.user_ids["bob"]


async def test_nobody_links_for_somebody_else(browser: Browser, trusting: World, fake: Fake) -> None:
    await proven(trusting, BOB, "alice@acme.example")
    bob, alice = await trusting.token("bob"), await trusting.token("alice")
    began = await begin(trusting, bob)
    code = told(await browser.get(await browser.get(began.data.url)))["code"]
    assert (await link(trusting, alice, code, began.data.secret)).status == 422
    assert (await identities(trusting, alice), await identities(trusting, bob)) == ([], [])
    said = await browser.back()
    assert (await link(trusting, alice, said["code"], "A" * 43)).status == 422


async def test_who_has_not_proven_his_address_links_nothing(trusting: World) -> None:
    """Else whoever comes first with somebody's address could leave a link behind."""
    forbidden(await begin(trusting, await trusting.token("bob")), "email_not_verified")


async def test_linking_asks_for_a_fresh_proof(browser: Browser, trusting: World) -> None:
    await proven(trusting)
    assert (await browser.sign_in()).success
    token = await trusting.token("bob")
    (found,) = await identities(trusting, token)
    await age_proof(trusting)
    forbidden(await begin(trusting, token), "proof_needed")
    forbidden(
        await trusting.request(
            "DELETE", f"/auth/identities/{found.id}", headers={"Authorization": f"Bearer {token}"}
        ),
        "proof_needed",
    )


async def test_an_identity_is_of_one_account(browser: Browser, trusting: World, fake: Fake) -> None:
    await proven(trusting, BOB, "alice@acme.example")
    assert (await browser.sign_in()).success
    alice = await trusting.token("alice")
    began = await begin(trusting, alice)
    code = told(await browser.get(await browser.get(began.data.url)))["code"]
    assert (await link(trusting, alice, code, began.data.secret)).status == 409


async def test_unlinking(browser: Browser, trusting: World) -> None:
    await proven(trusting)
    reply = await browser.sign_in()
    there, token = reply.data.access_token, await trusting.token("bob")
    (found,) = await identities(trusting, token)
    bearer = {"Authorization": f"Bearer {token}"}
    foreign = await trusting.request(
        "DELETE",
        f"/auth/identities/{found.id}",
        headers={"Authorization": f"Bearer {await trusting.token('alice')}"},
    )
    assert foreign.status == 404
    assert (await trusting.request("DELETE", f"/auth/identities/{found.id}", headers=bearer)).success
    assert await identities(trusting, token) == []
    me = await trusting.request("GET", "/auth/me", headers={"Authorization": f"Bearer {there}"})
    assert me.status == 401, "what it has opened has ended"


async def test_the_last_way_in_stays(browser: Browser, trusting: World, fake: Fake, mailbox: Mailbox) -> None:
    fake.person = {"sub": "new-1", "email": "newcomer@new.example", "email_verified": True}
    reply = await browser.sign_in()
    token = reply.data.access_token
    (found,) = await identities(trusting, token)
    bearer = {"Authorization": f"Bearer {token}"}
    refused = await trusting.request("DELETE", f"/auth/identities/{found.id}", headers=bearer)
    assert refused.status == 409
    assert len(await identities(trusting, token)) == 1
    async with trusting.sql() as db:
        await db.execute("UPDATE users SET password_hash = 'x' WHERE email = 'newcomer@new.example'")
    assert (await trusting.request("DELETE", f"/auth/identities/{found.id}", headers=bearer)).success


# Signing out.


async def test_signing_out_there_too(browser: Browser, trusting: World, fake: Fake) -> None:
    await proven(trusting)
    reply = await browser.sign_in()
    bearer = {"Authorization": f"Bearer {reply.data.access_token}"}
    done = await trusting.request("POST", "/auth/logout", headers=bearer)
    url = done.data.provider_logout_url
    assert url.startswith(f"{fake.url}/end?")
    assert told(url) == {"client_id": "atrium", "post_logout_redirect_uri": f"{trusting.url}/"}
    by_password = await trusting.request(
        "POST", "/auth/logout", headers={"Authorization": f"Bearer {await trusting.token('alice')}"}
    )
    assert by_password.data == {}


async def sign_out_there(world: World, token: str) -> Any:
    return await world.request(
        "POST", "/auth/oidc/fake/backchannel-logout", data={"logout_token": token, "other": "ignored"}
    )


@pytest.mark.parametrize("changes", [{}, {"sid": None}, {"sub": None}])
async def test_the_provider_ends_a_session(
    browser: Browser, trusting: World, fake: Fake, changes: Any
) -> None:
    await proven(trusting)
    reply = await browser.sign_in()
    bob = trusting.person("bob")
    bob.tokens = reply.data
    await bob.connect()
    assert (await sign_out_there(trusting, fake.logout_token(**changes))).success
    assert (await bob.hears("room.closed")).reason == "revoked"
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    assert (await bob.rest("GET", "/auth/me")).status == 401


async def test_it_ends_nothing_else(browser: Browser, trusting: World, fake: Fake) -> None:
    await proven(trusting)
    reply = await browser.sign_in()
    bearer = {"Authorization": f"Bearer {reply.data.access_token}"}
    for changes in ({"sid": "another"}, {"sub": "another", "sid": None}):
        assert (await sign_out_there(trusting, fake.logout_token(**changes))).success
    async with trusting.sql() as db:
        await db.execute(
            "UPDATE sessions SET created_at = now() + interval '5 minutes' WHERE method = 'oidc'"
        )
    assert (await sign_out_there(trusting, fake.logout_token())).success, "an old one, sent again"
    assert (await trusting.request("GET", "/auth/me", headers=bearer)).success
    by_password = {"Authorization": f"Bearer {await trusting.token('bob')}"}
    assert (await trusting.request("GET", "/auth/me", headers=by_password)).success


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"}, {"aud": "another"}, {"iat": 1}, {"iat": 2**35}, {"exp": 1}, {"events": None},
        {"events": {}}, {"nonce": "x"}, {"jti": None}, {"sub": None, "sid": None},
    ],
    ids=str,
)  # fmt: skip
async def test_a_logout_token_that_is_wrong(
    browser: Browser, trusting: World, fake: Fake, changes: Any
) -> None:
    await proven(trusting)
    reply = await browser.sign_in()
    bearer = {"Authorization": f"Bearer {reply.data.access_token}"}
    assert (await sign_out_there(trusting, fake.logout_token(**changes))).status == 422
    assert (await trusting.request("GET", "/auth/me", headers=bearer)).success

"""Providers of tenants: they speak for proven domains, and open sessions in their own tenant only."""

import asyncio
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from server.demo import PASSWORD
from tests.identity.factors import code_of, enable, second_half
from tests.identity.mailbox import Mailbox, text_of
from tests.oidc.browser import Browser, told
from tests.oidc.fake import CLIENT, SECRET, Fake, provider
from tests.oidc.test_accounts import BOB, begin, forbidden, link, login, proven
from tests.world import Person, World

PROVIDER = {"name": "Acme's own", "client_id": CLIENT, "client_secret": SECRET}


async def prove_domain(world: World, person: Person, mailbox: Mailbox, domain: str = "acme.example") -> Any:
    added = await person.send("sso.add_domain", domain=domain)
    assert added.success, added
    code = code_in(await mailbox.gets(f"postmaster@{domain}", "Prove that"))
    reply = await person.send("sso.verify_domain", domain_id=added.data.domain.id, code=code)
    assert reply.success, reply
    return reply.data.domain


def code_in(mail: Any) -> str:
    found = re.search(r"^([\w-]{43})$", text_of(mail), re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture
async def acme(trusting: World, fake: Fake, mailbox: Mailbox) -> Any:
    """Acme has proven its domain and brings its own provider; people who come join as members."""
    trusting.node.settings.oidc_issuers = ()
    admin = await trusting.person("admin").connect()
    await prove_domain(trusting, admin, mailbox)
    reply = await admin.send("sso.create", issuer=fake.url, jit_role="member", **PROVIDER)
    assert reply.success, reply
    await proven(trusting, BOB, "alice@acme.example")
    return reply.data.issuer


async def sign_in(browser: Browser, issuer: Any, **more: Any) -> Any:
    return await browser.sign_in(str(issuer.id), **more)


def bearer(reply: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {reply.data.access_token}"}


async def also_in_rival(world: World, email: str = BOB) -> str:
    async with world.sql() as db:
        rival = await db.fetchval("SELECT id FROM tenants WHERE slug = 'rival'")
        user = await db.fetchval("SELECT id FROM users WHERE email = $1", email)
        await db.execute(
            "INSERT INTO members (tenant_id, user_id, role) VALUES ($1, $2, 'admin')", rival, user
        )
        await db.execute("INSERT INTO rooms (tenant_id, id, kind) VALUES ($1, $2, 'user')", rival, user)
    return str(rival)


# Signing in.


async def test_a_member_signs_in(acme: Any, browser: Browser, trusting: World) -> None:
    reply = await sign_in(browser, acme)
    assert (reply.data.user.id, reply.data.tenant.id) == (trusting.user_ids["bob"], trusting.tenant_id)
    bob = trusting.person("bob")
    bob.tokens = reply.data
    await bob.connect()
    assert (await bob.send("task.create", room=trusting.project, title="By the provider")).success


async def test_a_newcomer_joins_just_in_time(
    acme: Any, browser: Browser, trusting: World, fake: Fake
) -> None:
    alice = await trusting.person("alice").connect()
    await alice.join(trusting.tenant)
    fake.person = {
        "sub": "new-1",
        "email": "newcomer@acme.example",
        "email_verified": True,
        "name": "A newcomer",
    }
    reply = await sign_in(browser, acme)
    heard = await alice.hears("member.added")
    assert (heard.data.member.name, heard.data.member.role) == ("A newcomer", "member")
    assert heard.actor.id == reply.data.user.id
    assert reply.data.tenant.id == trusting.tenant_id
    members = (await alice.snapshot(trusting.tenant)).snapshot.members
    assert heard.data.member in members
    newcomer = Person(trusting, "newcomer@acme.example")
    newcomer.tokens = reply.data
    trusting.people.append(newcomer)
    await newcomer.connect()
    assert (await newcomer.send("tenant.get")).success
    alice.forget()
    assert (await sign_in(browser, acme)).success
    await alice.hears_nothing("member.added")


async def test_nobody_joins_where_that_is_not_wanted(
    acme: Any, browser: Browser, trusting: World, fake: Fake
) -> None:
    admin = trusting.people[0]
    assert (await admin.send("sso.update", sso_id=acme.id, jit_role=None)).success
    fake.person = {"sub": "new-1", "email": "newcomer@acme.example", "email_verified": True}
    forbidden(await sign_in(browser, acme), "no_account")
    await trusting.request(
        "POST",
        "/auth/register",
        json={"email": "newcomer@acme.example", "password": "correct horse", "name": "N"},
    )
    forbidden(await sign_in(browser, acme), "not_a_member")
    assert (await login(trusting, "correct horse", "newcomer@acme.example")).success, (
        "and nothing was changed"
    )


async def test_who_was_put_out_stays_out(acme: Any, browser: Browser, trusting: World) -> None:
    admin = trusting.people[0]
    assert (await admin.send("member.remove", user_id=trusting.user_ids["bob"])).success
    forbidden(await sign_in(browser, acme), "not_a_member")


@pytest.mark.parametrize("role", ["owner", "admin", "guest"])
async def test_nobody_becomes_more_than_a_manager(trusting: World, role: str) -> None:
    admin = await trusting.person("admin").connect()
    reply = await admin.send("sso.create", issuer="https://id.example.com", jit_role=role, **PROVIDER)
    assert (reply.error.code, list(reply.error.field_errors)) == ("VALIDATION_ERROR", ["jit_role"])


# What it must not reach.


@pytest.mark.parametrize(
    "email",
    ["mallory@rival.example", "bob@sub.acme.example", "bob@acme.example.evil", "newcomer@new.example"],
)
async def test_no_address_outside_its_domains(acme: Any, browser: Browser, fake: Fake, email: str) -> None:
    fake.person["email"] = email
    forbidden(await sign_in(browser, acme), "domain_not_allowed")


async def test_at_google_the_organization_must_have_made_the_account(
    acme: Any, browser: Browser, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.identity.oidc.accounts.GOOGLE", fake.url)
    for hosted in (None, "gmail.com", "other.example", 7):
        fake.claims = {"hd": hosted}
        forbidden(await sign_in(browser, acme), "domain_not_allowed")
    fake.claims = {"hd": "acme.example"}
    assert (await sign_in(browser, acme)).success


async def test_no_account_whose_address_has_moved_away(acme: Any, browser: Browser, trusting: World) -> None:
    assert (await sign_in(browser, acme)).success
    async with trusting.sql() as db:
        await db.execute("UPDATE users SET email = 'bob@private.example' WHERE email = $1", BOB)
    forbidden(await sign_in(browser, acme), "domain_not_allowed")


async def test_no_domain_counts_before_it_is_proven(trusting: World, browser: Browser, fake: Fake) -> None:
    admin = await trusting.person("admin").connect()
    await proven(trusting)
    assert (await admin.send("sso.add_domain", domain="acme.example")).success
    reply = await admin.send("sso.create", issuer=fake.url, jit_role="member", **PROVIDER)
    forbidden(await sign_in(browser, reply.data.issuer), "domain_not_allowed")


async def test_only_the_domains_that_it_is_for(acme: Any, browser: Browser, trusting: World) -> None:
    admin = trusting.people[0]
    assert (await admin.send("sso.update", sso_id=acme.id, domains=["other.example"])).success
    forbidden(await sign_in(browser, acme), "domain_not_allowed")
    assert (await admin.send("sso.update", sso_id=acme.id, domains=["ACME.example"])).success
    assert (await sign_in(browser, acme)).success


async def test_its_session_ends_at_the_tenant(acme: Any, browser: Browser, trusting: World) -> None:
    """Acme's provider says who is Bob: that must not open what Bob has in other tenants."""
    rival = await also_in_rival(trusting)
    reply = await sign_in(browser, acme, tenant_id=rival)
    assert reply.data.tenant.id == trusting.tenant_id, "another tenant cannot be asked for"
    headers = bearer(reply)
    me = await trusting.request("GET", "/auth/me", headers=headers)
    assert [found.tenant_id for found in me.data.memberships] == [trusting.tenant_id], "nor be seen"
    switched = await trusting.request("POST", f"/tenants/{rival}/switch", json={}, headers=headers)
    assert switched.status == 404
    same = await trusting.request("POST", f"/tenants/{trusting.tenant_id}/switch", json={}, headers=headers)
    assert same.success
    forged = trusting.node.tokens.issue(UUID(reply.data.user.id), await session_of(trusting), UUID(rival))
    principal = await trusting.request(
        "GET", f"/tenants/{rival}", headers={"Authorization": f"Bearer {forged}"}
    )
    assert principal.status == 401, "and a token for it would be good for nothing"
    refreshed = await trusting.request(
        "POST", "/auth/refresh", json={"refresh_token": reply.data.refresh_token}
    )
    assert refreshed.data.tenant.id == trusting.tenant_id
    admin = trusting.people[0]
    assert (await admin.send("member.remove", user_id=trusting.user_ids["bob"])).success
    refreshed = await trusting.request(
        "POST", "/auth/refresh", json={"refresh_token": refreshed.data.refresh_token}
    )
    assert refreshed.status == 401, "it does not go on in another tenant"


async def test_a_second_factor_does_not_set_it_free(acme: Any, browser: Browser, trusting: World) -> None:
    secret, _ = await enable(trusting.person("bob"))
    rival = await also_in_rival(trusting)
    half = (await sign_in(browser, acme, tenant_id=rival)).data.second_factor
    reply = await second_half(trusting, half.token, code=code_of(secret))
    assert reply.data.tenant.id == trusting.tenant_id
    switched = await trusting.request("POST", f"/tenants/{rival}/switch", json={}, headers=bearer(reply))
    assert switched.status == 404


async def session_of(world: World) -> UUID:
    async with world.sql() as db:
        found: UUID = await db.fetchval(
            "SELECT id FROM sessions WHERE bound_to IS NOT NULL ORDER BY created_at DESC LIMIT 1"
        )
    return found


async def test_its_session_does_not_touch_the_account(acme: Any, browser: Browser, trusting: World) -> None:
    reply = await sign_in(browser, acme)
    headers = bearer(reply)
    own = await trusting.person("bob").sign_in()
    sessions = (await trusting.request("GET", "/auth/sessions", headers=headers)).data.sessions
    assert [session.current for session in sessions] == [True], "the others are not shown"
    other = (
        await trusting.request(
            "GET", "/auth/sessions", headers={"Authorization": f"Bearer {own.access_token}"}
        )
    ).data.sessions
    foreign = next(session.id for session in other if session.current)
    assert (await trusting.request("DELETE", f"/auth/sessions/{foreign}", headers=headers)).status == 404
    for method, path, payload in (
        ("POST", "/auth/change-password", {"current_password": "x", "new_password": "long enough"}),
        ("POST", "/auth/change-email", {"email": "bob@private.example", "password": "x"}),
        ("DELETE", "/auth/sessions", {}), ("GET", "/auth/identities", None), ("POST", "/tenants", {"name": "Mine"}),
        ("POST", f"/auth/identities/{acme.id}/start", {"return_to": "/"}),
        ("POST", "/auth/identities", {"code": "x", "secret": "x"}),
    ):  # fmt: skip
        refused = await trusting.request(method, path, json=payload, headers=headers)
        forbidden(refused, "session_bound")
    assert (await trusting.request("PUT", "/auth/me", json={"theme": "dark"}, headers=headers)).success
    assert (await trusting.request("POST", "/auth/logout", headers=headers)).success


async def test_an_admin_does_not_become_an_owner(
    acme: Any, browser: Browser, trusting: World, fake: Fake
) -> None:
    """Admins may bring a provider along. It must not say that they are the owner."""
    fake.person = {"sub": "alice-1", "email": "alice@acme.example", "email_verified": True}
    forbidden(await sign_in(browser, acme), "link_needed")
    assert (await login(trusting, email="alice@acme.example")).success
    token = await trusting.token("alice")
    began = await begin(trusting, token, acme.id)
    code = told(await browser.get(await browser.get(began.data.url)))["code"]
    assert (await link(trusting, token, code, began.data.secret)).status == 201
    reply = await sign_in(browser, acme)
    assert reply.data.user.id == trusting.user_ids["alice"]


async def test_whoever_becomes_an_owner_is_one_no_more_by_the_provider(
    acme: Any, browser: Browser, trusting: World
) -> None:
    """Bob was linked because a provider said who he is. As an owner he has to link it himself."""
    alice = await trusting.person("alice").connect()
    reply = await sign_in(browser, acme)
    assert reply.data.user.id == trusting.user_ids["bob"]
    raised = await alice.send("member.update", user_id=trusting.user_ids["bob"], role="owner")
    assert raised.success, raised
    assert (await trusting.request("GET", "/auth/me", headers=bearer(reply))).status == 401
    forbidden(await sign_in(browser, acme), "link_needed")
    assert (await login(trusting, email=BOB)).success


async def test_a_provider_s_address_is_for_good(acme: Any, trusting: World) -> None:
    reply = await trusting.people[0].send("sso.update", sso_id=acme.id, issuer="https://evil.example")
    assert (reply.error.code, list(reply.error.field_errors)) == ("VALIDATION_ERROR", ["issuer"])


async def test_the_same_provider_in_two_tenants(
    acme: Any, browser: Browser, trusting: World, fake: Fake, mailbox: Mailbox
) -> None:
    """What was linked by way of one tenant is not known to another, and not to the instance."""
    assert (await sign_in(browser, acme)).success
    mallory = await trusting.person("mallory").connect()
    made = await mallory.send("sso.create", issuer=fake.url, jit_role="member", **PROVIDER)
    forbidden(await sign_in(browser, made.data.issuer), "domain_not_allowed")
    await mallory.send("sso.add_domain", domain="acme.example")
    code = code_in(await mailbox.gets("postmaster@acme.example"))
    listed = (await mallory.send("sso.list")).data
    reply = await mallory.send("sso.verify_domain", domain_id=listed.domains[0].id, code=code)
    assert (reply.error.code, list(reply.error.field_errors)) == ("CONFLICT", ["domain"])
    forbidden(await sign_in(browser, made.data.issuer), "domain_not_allowed")
    foreign = await mallory.send("sso.update", sso_id=acme.id, name="Mine")
    assert foreign.error.code == "NOT_FOUND"


@pytest.mark.parametrize(
    "issuer",
    ["http://id.example.com", "http://10.0.0.1", "https://u:p@id.example.com", "https://id.example.com?x=1",
     "https://id.example.com#x", "ftp://id.example.com", "id.example.com", "https://id example.com", ""],
)  # fmt: skip
async def test_an_odd_issuer(shared: World, issuer: str) -> None:
    reply = await shared.person("alice").rest(
        "POST", f"/tenants/{shared.tenant_id}/sso", json={**PROVIDER, "issuer": issuer}
    )
    assert (reply.status, list(reply.error.field_errors)) == (422, ["issuer"])


async def test_a_tenant_s_provider_is_not_inside(
    worlds: Callable[..., Any], browse: Any, fake: Fake, mailbox: Mailbox
) -> None:
    """The address that an admin types leads to what only this machine can reach: nobody is asked."""
    world: World = await worlds(smtp_url=mailbox.url, mail_pause=0)
    world.node.settings.public_url = world.url
    admin = await world.person("admin").connect()
    await prove_domain(world, admin, mailbox)
    made = await admin.send("sso.create", issuer=fake.url, **PROVIDER)
    assert told(await browse(world).to_provider(made.data.issuer.id)) == {"error": "unavailable"}
    assert fake.asked == []


async def test_the_secret_is_sealed_and_never_shown(acme: Any, trusting: World, fake: Fake) -> None:
    admin = trusting.people[0]
    listed = await admin.send("sso.list")
    assert listed.data.issuers[0].has_secret is True
    assert SECRET not in str(listed)
    async with trusting.sql() as db:
        tables = [
            row["name"]
            for row in await db.fetch(
                "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
        ]
        for table in tables:
            assert SECRET not in str(await db.fetch(f"SELECT t::text FROM {table} AS t")), table
    assert (
        await admin.send("sso.update", sso_id=acme.id, client_secret=None)
    ).data.issuer.has_secret is False


# Insisting on it.


async def test_members_of_the_domain_must_use_it(acme: Any, browser: Browser, trusting: World) -> None:
    bob = await trusting.person("bob").connect()
    owner = await trusting.person("alice").connect()
    carol_outside = "carol@private.example"
    async with trusting.sql() as db:
        await db.execute("UPDATE users SET email = $1 WHERE email = 'carol@acme.example'", carol_outside)
    admin = trusting.people[0]
    assert (await admin.send("sso.update", sso_id=acme.id, required=True)).success
    assert (await bob.hears("room.closed")).reason == "revoked"
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    assert (await bob.rest("GET", f"/tenants/{trusting.tenant_id}")).status == 401
    reply = await login(trusting)
    assert (reply.status, reply.error.details) == (403, {"reason": "sso_required", "issuer": acme.id})
    assert (await login(trusting, "a wrong password")).status == 401, (
        "who does not know the password learns nothing"
    )
    assert (await login(trusting, email=carol_outside)).success, "another domain"
    assert (await owner.send("tenant.get")).success, "owners may always enter"
    assert (await login(trusting, email="alice@acme.example")).success
    assert (await sign_in(browser, acme)).success
    assert (await trusting.request("GET", "/auth/oidc/issuers", params={"email": BOB})).data.issuers == [
        {"id": acme.id, "name": "Acme's own", "required": True}
    ]


async def test_other_tenants_are_open_to_the_password(acme: Any, trusting: World) -> None:
    rival = await also_in_rival(trusting)
    own = await trusting.person("bob").sign_in()
    assert own.tenant.id == trusting.tenant_id
    assert (
        await (await trusting.person("alice").connect()).send("sso.update", sso_id=acme.id, required=True)
    ).success
    reply = await login(trusting)
    assert reply.data.tenant.id == rival
    wanted = {"email": BOB, "password": PASSWORD, "tenant_id": trusting.tenant_id}
    chosen = await trusting.request("POST", "/auth/login", json=wanted)
    forbidden_with_issuer(chosen, acme.id)
    forbidden_with_issuer(
        await trusting.request(
            "POST", f"/tenants/{trusting.tenant_id}/switch", json={}, headers=bearer(reply)
        ),
        acme.id,
    )
    refreshed = await trusting.request("POST", "/auth/refresh", json={"refresh_token": own.refresh_token})
    assert refreshed.data.tenant.id == rival, "a session that was there goes on where it may"


def forbidden_with_issuer(reply: Any, issuer: str) -> None:
    assert (reply.status, reply.error.details) == (403, {"reason": "sso_required", "issuer": issuer})


async def test_another_provider_is_not_enough(
    acme: Any, browser: Browser, trusting: World, browse: Any
) -> None:
    async with provider() as other:
        issuer = (
            type(trusting.node.settings)
            .model_validate(
                {
                    "oidc_issuers": [
                        {"name": "other", "issuer": other.url, "client_id": CLIENT, "client_secret": SECRET}
                    ]
                }
            )
            .oidc_issuers
        )
        trusting.node.settings.oidc_issuers = issuer
        assert (await trusting.people[0].send("sso.update", sso_id=acme.id, required=True)).success
        forbidden_with_issuer(await browse(trusting).sign_in("other"), acme.id)


# Taking it away.


async def test_taking_a_provider_away_ends_its_sessions(acme: Any, browser: Browser, trusting: World) -> None:
    reply = await sign_in(browser, acme)
    bob = trusting.person("bob")
    bob.tokens = reply.data
    await bob.connect()
    own = await trusting.person("bob").connect()
    assert (await trusting.people[0].send("sso.delete", sso_id=acme.id)).success
    assert (await bob.hears("room.closed")).reason == "revoked"
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    assert (await own.send("tenant.get")).success
    assert (await trusting.request("GET", f"/auth/oidc/{acme.id}/start")).status == 404
    async with trusting.sql() as db:
        assert await db.fetchval("SELECT count(*) FROM identities") == 0


async def test_giving_a_domain_up_ends_its_sessions(acme: Any, browser: Browser, trusting: World) -> None:
    reply = await sign_in(browser, acme)
    (domain,) = (await trusting.people[0].send("sso.list")).data.domains
    assert (await trusting.people[0].send("sso.remove_domain", domain_id=domain.id)).success
    assert (await trusting.request("GET", "/auth/me", headers=bearer(reply))).status == 401
    forbidden(await sign_in(browser, acme), "domain_not_allowed")


# Domains.


async def test_a_code_is_good_once_and_for_its_domain(trusting: World, mailbox: Mailbox) -> None:
    admin = await trusting.person("admin").connect()
    first = await admin.send("sso.add_domain", domain="Acme.Example", mailbox="hostmaster")
    assert first.data.domain.domain == "acme.example"
    code = code_in(await mailbox.gets("hostmaster@acme.example", "Prove that acme.example"))
    second = await admin.send("sso.add_domain", domain="other.example")
    wrong = await admin.send("sso.verify_domain", domain_id=second.data.domain.id, code=code)
    assert list(wrong.error.field_errors) == ["code"]
    right = {"domain_id": first.data.domain.id, "code": code}
    assert (await admin.send("sso.verify_domain", **right)).data.domain.verified_at
    assert list((await admin.send("sso.verify_domain", **right)).error.field_errors) == ["code"]
    assert (await admin.send("sso.renew_domain", domain_id=first.data.domain.id)).success
    again = code_in(await mailbox.gets("postmaster@acme.example"))
    assert (await admin.send("sso.verify_domain", domain_id=first.data.domain.id, code=again)).success
    twice = await admin.send("sso.add_domain", domain="acme.example")
    assert (twice.error.code, list(twice.error.field_errors)) == ("CONFLICT", ["domain"])


async def test_a_code_expires(trusting: World, mailbox: Mailbox) -> None:
    admin = await trusting.person("admin").connect()
    added = await admin.send("sso.add_domain", domain="acme.example")
    code = code_in(await mailbox.gets("postmaster@acme.example"))
    async with trusting.sql() as db:
        await db.execute("UPDATE domain_codes SET expires_at = now()")
        assert code not in str(await db.fetch("SELECT o::text FROM outbox_mails AS o"))
    reply = await admin.send("sso.verify_domain", domain_id=added.data.domain.id, code=code)
    assert list(reply.error.field_errors) == ["code"]


async def test_a_domain_that_was_proven_long_ago_changes_hands(
    acme: Any, trusting: World, mailbox: Mailbox
) -> None:
    mallory = await trusting.person("mallory").connect()
    added = await mallory.send("sso.add_domain", domain="acme.example")
    code = code_in(await mailbox.gets("postmaster@acme.example"))
    async with trusting.sql() as db:
        await db.execute(
            "UPDATE sso_domains SET verified_at = now() - interval '399 days' WHERE verified_at IS NOT NULL"
        )
    reply = await mallory.send("sso.verify_domain", domain_id=added.data.domain.id, code=code)
    assert reply.success, reply
    listed = (await trusting.people[0].send("sso.list")).data
    assert listed.domains[0].verified_at is None


@pytest.mark.parametrize(
    "domain",
    [
        "",
        "acme",
        "acme..example",
        "a b.example",
        "@acme.example",
        "acme.example/x",
        "127.0.0.1",
        "[127.0.0.1]",
        "\0",
    ],
)
async def test_an_odd_domain(shared: World, domain: str) -> None:
    reply = await shared.person("alice").rest(
        "POST", f"/tenants/{shared.tenant_id}/sso-domains", json={"domain": domain}
    )
    assert (reply.status, list(reply.error.field_errors)) == (422, ["domain"])

"""oidc-provider, as everybody gets it from npm."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from storage.issuers import InstanceIssuer
from tests.identity.mailbox import Mailbox
from tests.oidc.browser import Browser, told
from tests.oidc.real import fill_in, real_provider, register
from tests.oidc.test_accounts import BOB, proven
from tests.oidc.test_tenants import prove_domain
from tests.world import World

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("oidc"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
async def issuer() -> AsyncIterator[str]:
    async with real_provider() as found:
        yield found


@dataclass
class Real:
    """A world that trusts the provider, and how one signs in there."""

    world: World
    browse: Callable[[World], Browser]
    key: str = "real"

    async def sign_in(self, login: str, browser: Browser | None = None, **more: Any) -> Any:
        browser = browser or self.browse(self.world)
        callback = await fill_in(browser, await browser.to_provider(self.key), login)
        said = told(await browser.get(callback))
        assert "code" in said, said
        return await browser.post("/auth/oidc/exchange", code=said["code"], **more)


@pytest.fixture
async def real(worlds: Callable[..., Any], browse: Any, issuer: str, mailbox: Mailbox) -> Real:
    world: World = await worlds(smtp_url=mailbox.url, mail_pause=0, outbound_networks="127.0.0.0/8")
    world.node.settings.public_url = world.url
    base = f"{world.url}/api/v1/auth/oidc/real"
    client = await register(
        issuer, f"{base}/callback", backchannel_logout_uri=f"{base}/backchannel-logout",
        backchannel_logout_session_required=True, post_logout_redirect_uris=[f"{world.url}/"],
    )  # fmt: skip
    world.node.settings.oidc_issuers = (
        InstanceIssuer(
            name="real", issuer=issuer, client_id=client["client_id"], client_secret=client["client_secret"]
        ),
    )
    return Real(world, browse)


async def test_a_newcomer_signs_in(real: Real) -> None:
    reply = await real.sign_in("newcomer@new.example")
    assert reply.data.user.name == "The real newcomer", reply
    bearer = {"Authorization": f"Bearer {reply.data.access_token}"}
    me = (await real.world.request("GET", "/auth/me", headers=bearer)).data.user
    assert (me.email, me.email_verified, me.language, me.timezone) == (
        "newcomer@new.example", True, "de-CH", "Europe/Zurich",
    )  # fmt: skip
    again = await real.sign_in("newcomer@new.example")
    assert again.data.user.id == reply.data.user.id


async def test_an_account_is_linked_by_its_proven_address(real: Real) -> None:
    await proven(real.world)
    reply = await real.sign_in(BOB, cookie=True)
    assert (reply.data.user.id, reply.data.tenant.name) == (real.world.user_ids["bob"], "Acme")
    bob = real.world.person("bob")
    bob.tokens = reply.data
    await bob.connect()
    assert (await bob.send("task.create", room=real.world.project, title="By the real one")).success


async def test_an_address_that_is_not_proven(real: Real) -> None:
    reply = await real.sign_in("unproven@new.example")
    assert (reply.status, reply.error.details) == (403, {"reason": "email_not_verified"})


async def test_who_says_no_comes_back_with_that(real: Real) -> None:
    browser = real.browse(real.world)
    url = await browser.to_provider("real")
    location = await browser.get(url)
    base = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
    page = location if location.startswith("http") else base + location
    back = await browser.get(f"{page}/abort")
    while "/api/v1/" not in back:
        back = await browser.get(back if back.startswith("http") else base + back)
    assert told(await browser.get(back)) == {"error": "access_denied"}


async def test_a_code_is_not_redeemed_twice(real: Real) -> None:
    """The provider itself notices a code that is used again, and a verifier that is not the right one."""
    browser = real.browse(real.world)
    callback = await fill_in(browser, await browser.to_provider("real"), "newcomer@new.example")
    said = told(await browser.get(callback))
    async with real.world.sql() as db:
        await db.execute("UPDATE sign_in_flows SET provider_code = 'another'")
    reply = await browser.post("/auth/oidc/exchange", code=said["code"])
    assert (reply.status, reply.error.details) == (401, {"reason": "provider_answer"})


async def test_signing_out_at_the_provider_ends_the_session_here(real: Real) -> None:
    await proven(real.world)
    browser = real.browse(real.world)
    reply = await real.sign_in(BOB, browser)
    bob = real.world.person("bob")
    bob.tokens = reply.data
    await bob.connect()
    other = await real.sign_in("newcomer@new.example")
    done = await bob.rest("POST", "/auth/logout")
    assert done.success
    again = await real.sign_in(BOB, browser)
    bob = real.world.person("bob")
    bob.tokens = again.data
    await bob.connect()
    await sign_out_there(browser, done.data.provider_logout_url, real.world)
    assert (await bob.hears("room.closed")).reason == "revoked"
    await asyncio.wait_for(bob.disconnected.wait(), 5)
    bearer = {"Authorization": f"Bearer {other.data.access_token}"}
    assert (await real.world.request("GET", "/auth/me", headers=bearer)).success, "somebody else stays"


async def sign_out_there(browser: Browser, url: str, world: World) -> None:
    """The provider asks whether it is meant; yes, and back to the first page."""
    async with browser.http.get(url) as response:
        page = await response.text()
        assert response.status == 200, page
    found = re.search(r'action="([^"]+)"', page)
    xsrf = re.search(r'name="xsrf" value="([^"]+)"', page)
    assert found, page
    assert xsrf, page
    async with browser.http.post(
        found[1], data={"xsrf": xsrf[1], "logout": "yes"}, allow_redirects=False
    ) as response:
        assert response.headers["Location"] == f"{world.url}/"


async def test_a_tenant_s_own_provider(real: Real, issuer: str, mailbox: Mailbox) -> None:
    world = real.world
    world.node.settings.oidc_issuers = ()
    alice = await world.person("alice").connect()
    await alice.join(world.tenant)
    await prove_domain(world, alice, mailbox)
    client = await register(issuer, "http://127.0.0.1:1/to-be-known-later")
    made = await alice.send(
        "sso.create", name="Acme's own", issuer=issuer, client_id=client["client_id"],
        client_secret=client["client_secret"], jit_role="viewer",
    )  # fmt: skip
    client = await register(issuer, made.data.issuer.redirect_uri)
    changed = await alice.send(
        "sso.update", sso_id=made.data.issuer.id, client_id=client["client_id"],
        client_secret=client["client_secret"],
    )  # fmt: skip
    assert changed.success, changed
    real.key = made.data.issuer.id
    reply = await real.sign_in("newcomer@acme.example")
    assert (reply.data.tenant.id, reply.data.user.name) == (world.tenant_id, "The real newcomer")
    assert (await alice.hears("member.added")).data.member.role == "viewer"
    outside = await real.sign_in("mallory@rival.example")
    assert (outside.status, outside.error.details) == (403, {"reason": "domain_not_allowed"})

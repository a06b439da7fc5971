"""Sign-in at a provider that the operator trusts: there, back, and everything that can be wrong on the way."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from tests.identity.mailbox import Mailbox
from tests.oidc.browser import Browser, told
from tests.oidc.conftest import trusting_world
from tests.oidc.fake import CLIENT, KEYS, NEW_RSA, OTHER_RSA, RSA, SECRET, WEAK_RSA, Fake, b64, signed
from tests.world import World

NEWCOMER = {"sub": "new-1", "email": "newcomer@new.example", "email_verified": True, "name": "A newcomer"}


@pytest.fixture(autouse=True)
def _newcomer(fake: Fake) -> None:
    fake.person = dict(NEWCOMER)


# The good way.


async def test_a_newcomer_signs_in(browser: Browser, fake: Fake, trusting: World) -> None:
    fake.person |= {
        "picture": "https://pictures.example/1.png",
        "locale": "de-ch",
        "zoneinfo": "Europe/Zurich",
    }
    reply = await browser.sign_in()
    assert reply.success, reply
    assert (reply.data.user.email, reply.data.tenant) == (NEWCOMER["email"], None)
    bearer = {"Authorization": f"Bearer {reply.data.access_token}"}
    me = (await trusting.request("GET", "/auth/me", headers=bearer)).data.user
    assert (me.name, me.email_verified, me.language, me.timezone) == (
        NEWCOMER["name"],
        True,
        "de-CH",
        "Europe/Zurich",
    )
    assert me.avatar_url == "https://pictures.example/1.png"
    sessions = (await trusting.request("GET", "/auth/sessions", headers=bearer)).data.sessions
    assert [session.method for session in sessions] == ["oidc"]
    asked = parse_qs(urlsplit(browser.visited[0]).query)
    assert asked["redirect_uri"] == [f"{trusting.url}/api/v1/auth/oidc/fake/callback"]
    assert len(asked["state"][0]) == len(asked["nonce"][0]) == len(asked["code_challenge"][0]) == 43


async def test_what_the_provider_says_later_does_not_change_the_profile(browser: Browser, fake: Fake) -> None:
    await browser.sign_in()
    fake.person["name"] = "Somebody else"
    assert (await browser.sign_in()).data.user.name == NEWCOMER["name"]


async def test_odd_claims_do_not_get_into_a_profile(browser: Browser, fake: Fake, trusting: World) -> None:
    fake.person |= {
        "name": ["no", "text"], "preferred_username": "x" * 500, "picture": "javascript:alert(1)", "locale": "??",
        "zoneinfo": "Nowhere/Town", "sid": 7,
    }  # fmt: skip
    reply = await browser.sign_in()
    bearer = {"Authorization": f"Bearer {reply.data.access_token}"}
    me = (await trusting.request("GET", "/auth/me", headers=bearer)).data.user
    assert (me.name, me.avatar_url, me.language, me.timezone) == ("newcomer", None, "en", "UTC")


async def test_the_refresh_token_may_be_a_cookie(browser: Browser) -> None:
    reply = await browser.sign_in(cookie=True)
    assert "refresh_token" not in reply.data
    assert "atrium_refresh=" in str(reply.headers.getall("Set-Cookie"))
    assert (await browser.post("/auth/refresh")).success


@pytest.mark.parametrize("algorithm", sorted(KEYS))
async def test_each_allowed_algorithm(browser: Browser, fake: Fake, algorithm: str) -> None:
    fake.key, fake.header = KEYS[algorithm], {"alg": algorithm}
    assert (await browser.sign_in()).success


async def test_claims_may_come_from_the_userinfo_endpoint(browser: Browser, fake: Fake) -> None:
    fake.only_userinfo = True
    assert (await browser.sign_in()).data.user.email == NEWCOMER["email"]


async def test_the_userinfo_of_somebody_else(browser: Browser, fake: Fake) -> None:
    fake.only_userinfo, fake.userinfo = True, {"sub": "somebody else"}
    await refused(browser)


@pytest.mark.parametrize(
    "methods", [["client_secret_post"], ["client_secret_basic", "client_secret_post"], None]
)
async def test_the_client_proves_itself_as_the_provider_wants(
    browser: Browser, fake: Fake, methods: Any
) -> None:
    fake.discovery["token_endpoint_auth_methods_supported"] = methods
    assert (await browser.sign_in()).success
    assert ("client_secret" in fake.token_requests[0]) == (methods == ["client_secret_post"])


async def test_a_public_client(worlds: Callable[..., Any], browse: Any, fake: Fake, mailbox: Mailbox) -> None:
    fake.client_secret = None
    world = await trusting_world(worlds, fake, mailbox, issuer={"client_secret": None})
    assert (await browse(world).sign_in()).success


@pytest.mark.parametrize(
    ("counts", "claims", "twice"),
    [
        ("claimed", {}, False), ("claimed", {"amr": ["pwd"]}, False), ("claimed", {"amr": ["pwd", "mfa"]}, True),
        ("claimed", {"acr": "phr"}, True), ("never", {"amr": ["mfa"]}, False), ("always", {}, True),
    ],
)  # fmt: skip
async def test_whether_it_counts_as_two_factors(
    worlds: Callable[..., Any],
    browse: Any,
    fake: Fake,
    mailbox: Mailbox,
    counts: str,
    claims: Any,
    twice: bool,
) -> None:
    world = await trusting_world(worlds, fake, mailbox, issuer={"second_factor": counts})
    fake.claims = claims
    assert (await browse(world).sign_in()).success
    async with world.sql() as db:
        assert [
            (row["at"] is not None)
            for row in await db.fetch("SELECT second_factor_at AS at FROM sessions WHERE method = 'oidc'")
        ] == [twice]


async def test_where_one_can_sign_in(trusting: World) -> None:
    for query in ({}, {"email": "bob@acme.example"}, {"email": "nobody@nowhere.example"}):
        reply = await trusting.request("GET", "/auth/oidc/issuers", params=query)
        assert reply.data.issuers == [{"id": "fake", "name": "Fake", "required": False}]


# The ID token.

TIMES = ("exp", "iat", "nbf")
"""Claims whose numbers count from now on."""


async def refused(browser: Browser) -> None:
    reply = await browser.sign_in()
    assert (reply.status, reply.error.code, reply.error.details) == (
        401, "UNAUTHORIZED", {"reason": "provider_answer"},
    )  # fmt: skip
    async with browser.world.sql() as db:
        assert not await db.fetchval("SELECT count(*) FROM users WHERE email = $1", NEWCOMER["email"])


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"}, {"iss": None}, {"aud": "somebody else"}, {"aud": None}, {"aud": []},
        {"aud": [CLIENT, "another"]}, {"aud": [CLIENT], "azp": "another"}, {"azp": "another"},
        {"exp": -120}, {"exp": None}, {"exp": "soon"}, {"exp": True}, {"iat": 3600}, {"iat": -7200},
        {"iat": None}, {"nbf": 3600}, {"nonce": None}, {"nonce": "of another sign-in"}, {"nonce": 7},
        {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "x" * 256}, {"sub": "a\0b"}, {"at_hash": "wrong"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_claim_that_is_wrong(browser: Browser, fake: Fake, claims: dict[str, Any]) -> None:
    now = int(time.time())
    fake.claims = {
        name: now + value if type(value) is int and name in TIMES else value for name, value in claims.items()
    }
    if "sub" in claims:
        fake.person = {**NEWCOMER, "sub": claims["sub"]}
    await refused(browser)


@pytest.mark.parametrize(
    "claims", [{"aud": [CLIENT, "another"], "azp": CLIENT}, {"aud": [CLIENT]}, {"at_hash": b64(b"")}], ids=str
)
async def test_a_claim_that_is_right(browser: Browser, fake: Fake, claims: dict[str, Any]) -> None:
    if "at_hash" in claims:
        claims = {"at_hash": b64(hashlib.sha256(b"at").digest()[:16])}
    fake.claims = claims
    assert (await browser.sign_in()).success


async def test_a_token_that_nobody_signed(browser: Browser, fake: Fake) -> None:
    for header in ({"alg": "none"}, {"alg": "none", "kid": None}):
        fake.header = header
        await refused(browser)


async def test_a_public_key_is_no_shared_secret(browser: Browser, fake: Fake) -> None:
    """Signed with HS256, and what the whole world knows as the secret: the public key in its usual forms."""
    for secret in (RSA.as_pem(private=False), RSA.as_der(private=False), SECRET.encode()):
        fake.shared = secret
        await refused(browser)
    published = {"kty": "oct", "kid": "rsa-1", "alg": "HS256", "k": b64(SECRET.encode())}
    fake.published = [type("Key", (), {"as_dict": staticmethod(lambda private: published)})]
    await refused(browser)


@pytest.mark.parametrize("alg", ["RS384", "RS512", "ES384", "HS512", "RS1", "rs256", "None", "", 7])
async def test_an_algorithm_that_is_not_allowed(browser: Browser, fake: Fake, alg: Any) -> None:
    head, body = b64(f'{{"alg":{alg!r}}}'.replace("'", '"').encode()), b64(b"{}")
    fake.raw_id_token = f"{head}.{body}.{b64(b'x' * 256)}"
    await refused(browser)


async def test_a_key_of_somebody_else(browser: Browser, fake: Fake) -> None:
    fake.key = OTHER_RSA
    await refused(browser)


async def test_a_token_that_was_changed(browser: Browser, fake: Fake) -> None:
    token = signed({"iss": fake.url, "sub": "x"})
    head, _, signature = token.split(".")
    for odd in (
        f"{head}.{b64(b'{}')}.{signature}",
        f"{head}.{signature}",
        "",
        "a.b.c",
        "....",
        "\u00fc.\u00fc.\u00fc",
    ):
        fake.raw_id_token = odd or " "
        await refused(browser)


async def test_a_token_with_a_demand_that_is_not_understood(browser: Browser, fake: Fake) -> None:
    head, body = b64(b'{"alg":"RS256","kid":"rsa-1","crit":["b64"],"b64":false}'), b64(b"{}")
    fake.raw_id_token = f"{head}.{body}.{b64(b'x' * 256)}"
    await refused(browser)


async def test_a_weak_key(browser: Browser, fake: Fake) -> None:
    fake.published, fake.key = [WEAK_RSA], WEAK_RSA
    await refused(browser)


async def test_a_key_for_encryption_signs_nothing(browser: Browser, fake: Fake, monkeypatch: Any) -> None:
    published = {**RSA.as_dict(private=False), "use": "enc"}
    fake.published = [type("Key", (), {"as_dict": staticmethod(lambda private: published)})]
    await refused(browser)


async def test_a_new_key_is_looked_for(browser: Browser, fake: Fake) -> None:
    assert (await browser.sign_in()).success
    fake.key, fake.published = NEW_RSA, [RSA, NEW_RSA]
    assert (await browser.sign_in()).success
    fake.key, fake.published = RSA, [NEW_RSA]
    assert (await browser.sign_in()).success, "an old key is good while the set is kept"


async def test_but_not_again_and_again(
    worlds: Callable[..., Any], browse: Any, fake: Fake, mailbox: Mailbox
) -> None:
    world = await trusting_world(worlds, fake, mailbox, oidc_keys_pause=60)
    fake.key = OTHER_RSA
    for _ in range(3):
        await refused(browse(world))
    assert fake.asked.count("/keys") == 1


# Coming back.


@pytest.mark.parametrize(
    "answer", [{"iss": "https://evil.example"}, {"iss": None}, {"code": None}, {"code": ""}]
)
async def test_an_answer_that_may_be_of_another_provider(browser: Browser, fake: Fake, answer: Any) -> None:
    fake.answer = answer
    assert await browser.back() == {"error": "provider_error"}
    assert fake.token_requests == []


async def test_an_answer_for_another_provider(
    worlds: Callable[..., Any], browse: Any, fake: Fake, mailbox: Mailbox
) -> None:
    """Two providers, neither of which says who it is: each has a callback of its own."""
    fake.says_issuer = False
    second = {"name": "second", "issuer": f"{fake.url}/", "client_id": CLIENT}
    world = await trusting_world(worlds, fake, mailbox)
    world.node.settings.oidc_issuers += tuple(
        type(world.node.settings.oidc_issuers[0])(**item) for item in [second]
    )
    browser = browse(world)
    callback = await browser.to_callback()
    assert told(await browser.get(callback.replace("/fake/", "/second/"))) == {"error": "expired"}
    assert "code" in told(await browser.get(callback)), "and the right one still works"


async def test_a_callback_counts_once(browser: Browser) -> None:
    callback = await browser.to_callback()
    first, second = told(await browser.get(callback)), told(await browser.get(callback))
    assert (list(first), second) == (["code"], {"error": "expired"})
    reply = await browser.post("/auth/oidc/exchange", code=first["code"])
    assert reply.success
    again = await browser.post("/auth/oidc/exchange", code=first["code"])
    assert (again.status, list(again.error.field_errors)) == (422, ["code"])


@pytest.mark.parametrize("state", ["", "x", "A" * 43])
async def test_an_unknown_state(browser: Browser, trusting: World, state: str) -> None:
    url = f"{trusting.url}/api/v1/auth/oidc/fake/callback?code=x&state={state}"
    assert told(await browser.get(url)) == {"error": "expired"}


async def test_a_sign_in_must_not_take_too_long(browser: Browser, trusting: World) -> None:
    late, later = await browser.to_callback(), await browser.back()
    async with trusting.sql() as db:
        await db.execute("UPDATE sign_in_flows SET expires_at = now()")
    assert told(await browser.get(late)) == {"error": "expired"}
    assert (await browser.post("/auth/oidc/exchange", code=later["code"])).status == 422


async def test_somebody_else_s_sign_in_is_not_mine(browser: Browser, trusting: World, browse: Any) -> None:
    """Login CSRF: the link to a callback, or to the page, is opened in another browser than the one that began."""
    victim = browse(trusting)
    assert told(await victim.get(await browser.to_callback())) == {"error": "expired"}
    said = await browser.back()
    reply = await victim.post("/auth/oidc/exchange", code=said["code"])
    assert (reply.status, list(reply.error.field_errors)) == (422, ["code"])
    reply = await victim.post("/auth/oidc/exchange", code=said["code"], secret="A" * 43)
    assert reply.status == 422
    assert (await browser.post("/auth/oidc/exchange", code=said["code"])).success


async def test_the_cookie_is_for_this_browser_and_goes(browser: Browser, trusting: World) -> None:
    async with browser.http.get(
        f"{trusting.url}/api/v1/auth/oidc/fake/start", allow_redirects=False
    ) as response:
        (cookie,) = response.headers.getall("Set-Cookie")
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Secure" not in cookie
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        said = told(await browser.get(await browser.get(response.headers["Location"])))
    reply = await browser.post("/auth/oidc/exchange", code=said["code"])
    assert "Max-Age=0" in str(reply.headers.getall("Set-Cookie"))
    trusting.node.settings.public_url = "https://atrium.example"
    async with browser.http.get(
        f"{trusting.url}/api/v1/auth/oidc/fake/start", allow_redirects=False
    ) as response:
        (cookie,) = response.headers.getall("Set-Cookie")
        assert cookie.startswith("__Host-atrium_oidc_")
        assert "Secure" in cookie
        assert "Path=/;" in cookie
        assert "Domain" not in cookie


async def test_nothing_in_the_database_finishes_a_sign_in(browser: Browser, trusting: World) -> None:
    said = await browser.back()
    cookies = [cookie.value for cookie in browser.http.cookie_jar]
    async with trusting.sql() as db:
        dump = str(await db.fetch("SELECT f::text FROM sign_in_flows AS f"))
    assert len(cookies) == 1
    assert said["code"] not in dump
    assert cookies[0] not in dump


async def test_the_provider_says_no(browser: Browser, fake: Fake) -> None:
    fake.answer = {"error": "access_denied", "code": None}
    assert await browser.back() == {"error": "access_denied"}
    fake.answer = {"error": "<script>alert(1)</script>", "code": None}
    assert await browser.back() == {"error": "provider_error"}


@pytest.mark.parametrize(
    "return_to",
    [
        "https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "https:evil.example",
        "javascript:alert(1)", "data:text/html,x", "http://127.0.0.1@evil.example/", "/#x", "https://app.example.evil",
        " /", "/\n", "evil", "ftp://127.0.0.1/", "https://app.example:8443/", "http://app.example/", "",
        "com.example.app:/signed-in", "http://[::1", "http://127.0.0.1:x/",
    ],
)  # fmt: skip
async def test_nobody_is_sent_somewhere_else(
    worlds: Callable[..., Any], fake: Fake, mailbox: Mailbox, return_to: str
) -> None:
    world = await trusting_world(worlds, fake, mailbox, origins="https://app.example")
    async with world.http.get(
        f"{world.url}/api/v1/auth/oidc/fake/start", params={"return_to": return_to}, allow_redirects=False
    ) as response:
        assert response.status == 422, response.headers


async def test_a_page_may_be_named(
    worlds: Callable[..., Any], fake: Fake, mailbox: Mailbox, browse: Any
) -> None:
    world = await trusting_world(worlds, fake, mailbox, origins="https://app.example")
    for return_to, page in (
        ("https://app.example/welcome?x=1", "https://app.example/welcome?x=1#/signed-in?code="),
        ("/board", f"{world.url}/board#/signed-in?code="),
    ):
        callback = await browse(world).to_callback(return_to=return_to)
        browser = browse(world)
        location = await browser.get(callback)
        assert location == f"{world.url}/#/signed-in?error=expired"
        browser = browse(world)
        assert (await browser.get(await browser.to_callback(return_to=return_to))).startswith(page)


# Programs and apps.


async def test_a_program_signs_in(trusting: World, browse: Any) -> None:
    reply = await trusting.request(
        "POST", "/auth/oidc/fake/start", json={"return_to": "http://127.0.0.1:7777/done"}
    )
    browser = browse(trusting)
    location = await browser.get(await browser.get(reply.data.url))
    assert location.startswith("http://127.0.0.1:7777/done")
    code = told(location)["code"]
    without = await trusting.request("POST", "/auth/oidc/exchange", json={"code": code})
    assert without.status == 422
    signed_in = await trusting.request(
        "POST", "/auth/oidc/exchange", json={"code": code, "secret": reply.data.secret}
    )
    assert signed_in.data.user.email == NEWCOMER["email"]


async def test_an_app_that_the_operator_knows(
    worlds: Callable[..., Any], fake: Fake, mailbox: Mailbox, browse: Any
) -> None:
    world = await trusting_world(
        worlds, fake, mailbox, app_redirects="com.example.app:/in", origins="https://a.example"
    )
    reply = await world.request("POST", "/auth/oidc/fake/start", json={"return_to": "com.example.app:/in"})
    browser = browse(world)
    location = await browser.get(await browser.get(reply.data.url))
    assert location.startswith("com.example.app:/in?code=")
    for odd in ("com.example.app:/other", "com.evil:/in", "http://10.0.0.1/", "https://127.0.0.1/"):
        reply = await world.request("POST", "/auth/oidc/fake/start", json={"return_to": odd})
        assert (reply.status, list(reply.error.field_errors)) == (422, ["return_to"]), odd


async def test_there_is_no_such_provider(trusting: World) -> None:
    for issuer in ("other", "0199c0de-0000-7000-8000-000000000001"):
        reply = await trusting.request("GET", f"/auth/oidc/{issuer}/start")
        assert reply.status == 404


# A provider in trouble.


@contextmanager
def in_trouble(world: World, fake: Fake, **trouble: Any) -> Iterator[None]:
    """Changes the provider for a while. The world waits shortly for it meanwhile, and only then: a busy machine lets
    an answer that is wanted come late.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in trouble.items():
            patch.setattr(fake, name, value)
        if "delay" in trouble:
            patch.setattr(world.node.outbound, "_timeout", aiohttp.ClientTimeout(total=0.3))
        yield


async def test_a_provider_that_is_down(
    browser: Browser, fake: Fake, trusting: World, monkeypatch: Any
) -> None:
    monkeypatch.setattr("handlers.identity.oidc.client.FAILURE_PAUSE", 0)
    for trouble in ({"down": True}, {"huge": True}, {"delay": 60.0}, {"discovery": {"issuer": "https://other.example"}},
                    {"discovery": {"token_endpoint": None}}, {"discovery": {"jwks_uri": "http://10.0.0.1/\n"}},
                    {"discovery": {"authorization_endpoint": "javascript:alert(1)"}}):  # fmt: skip
        with in_trouble(trusting, fake, **trouble):
            assert told(await browser.to_provider()) == {"error": "unavailable"}, trouble
            reply = await trusting.request("POST", "/auth/oidc/fake/start", json={"return_to": trusting.url})
            assert (reply.status, reply.error.code) == (503, "UNAVAILABLE"), trouble
    assert (await browser.sign_in()).success


async def test_a_provider_that_is_down_is_left_alone_for_a_while(browser: Browser, fake: Fake) -> None:
    fake.down = True
    for _ in range(5):
        assert told(await browser.to_provider()) == {"error": "unavailable"}
    assert len(fake.asked) == 1


async def test_a_provider_that_goes_down_on_the_way(browser: Browser, fake: Fake, trusting: World) -> None:
    for trouble in ({"down": True}, {"huge": True}, {"delay": 60.0}):
        said = await browser.back()
        with in_trouble(trusting, fake, **trouble):
            reply = await browser.post("/auth/oidc/exchange", code=said["code"])
        assert (reply.status, reply.error.code) == (503, "UNAVAILABLE")


async def test_the_configuration_is_kept(browser: Browser, fake: Fake) -> None:
    for _ in range(3):
        assert (await browser.sign_in()).success
    assert fake.asked.count("/.well-known/openid-configuration") == 1
    assert fake.asked.count("/keys") == 1

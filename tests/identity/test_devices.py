"""Where one is signed in, and the cookie of a page."""

import asyncio
from collections.abc import Callable, Mapping
from http.cookies import SimpleCookie
from typing import Any
from uuid import uuid4

import pytest

from handlers.identity.devices import device
from server.demo import PASSWORD
from tests.identity.test_accounts import ALICE
from tests.world import World

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


async def test_the_list_of_sessions(world: World) -> None:
    here, there = world.person("alice"), world.person("alice")
    await here.sign_in()
    reply = await world.request(
        "POST", "/auth/login", json={"email": ALICE, "password": PASSWORD}, headers={"User-Agent": FIREFOX}
    )
    there.tokens = reply.data
    listed = (await here.rest("GET", "/auth/sessions")).data.sessions
    assert [(item.device, item.current) for item in listed] == [
        ("Firefox 145 on Windows", False), (listed[1].device, True),
    ]  # fmt: skip
    assert {item.address for item in listed} == {"127.0.0.1"}
    assert all(item.created_at <= item.last_used_at < item.expires_at for item in listed)
    assert (await here.rest("GET", "/auth/sessions?x=1")).status == 422
    await asyncio.sleep(0.01)
    renewed = await world.request("POST", "/auth/refresh", json={"refresh_token": here.tokens.refresh_token})
    assert renewed.success
    listed = (await here.rest("GET", "/auth/sessions")).data.sessions
    assert [item.current for item in listed] == [True, False], "the last used first"
    assert listed[0].last_used_at > listed[0].created_at


async def test_ending_a_session_closes_its_sockets_at_once(world: World) -> None:
    here, there = await world.person("alice").connect(), await world.person("alice").connect()
    bob = await world.person("bob").connect()
    for person in (here, there, bob):
        await person.join(world.project)
    listed = (await here.rest("GET", "/auth/sessions")).data.sessions
    (other,) = [item.id for item in listed if not item.current]
    refused = await bob.rest("DELETE", f"/auth/sessions/{other}")
    assert (refused.status, refused.error.code) == (404, "NOT_FOUND")
    assert (await here.rest("DELETE", f"/auth/sessions/{other}")).success
    created = await bob.send("task.create", room=world.project, title="After")
    assert created.success
    assert (await there.hears("room.closed")).reason == "revoked"
    await asyncio.wait_for(there.disconnected.wait(), 5)
    await there.hears_nothing("task.created")
    assert (await here.hears("task.created")).seq == created.meta.seq
    assert (await there.rest("GET", "/auth/me")).status == 401
    assert (await here.rest("DELETE", f"/auth/sessions/{other}")).status == 404
    assert (await here.rest("DELETE", f"/auth/sessions/{uuid4()}")).status == 404


async def test_ending_all_others(world: World) -> None:
    windows = [await world.person("alice").connect() for _ in range(4)]
    bob = await world.person("bob").connect()
    assert (await windows[0].rest("DELETE", "/auth/sessions")).success
    for window in windows[1:]:
        await asyncio.wait_for(window.disconnected.wait(), 5)
        assert (await window.rest("GET", "/auth/me")).status == 401
    assert (await windows[0].send("tenant.get")).success
    assert (await bob.send("tenant.get")).success
    assert len((await windows[0].rest("GET", "/auth/sessions")).data.sessions) == 1


async def test_ending_the_session_that_asks(world: World) -> None:
    alice = await world.person("alice").connect()
    (mine,) = (await alice.rest("GET", "/auth/sessions")).data.sessions
    assert (await alice.rest("DELETE", f"/auth/sessions/{mine.id}")).success
    await asyncio.wait_for(alice.disconnected.wait(), 5)


@pytest.mark.parametrize(
    ("user_agent", "said"),
    [
        (FIREFOX, "Firefox 145 on Windows"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/18.1 Safari/605.1.15", "Safari 18 on macOS"),
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {WEBKIT} Version/18.1 Mobile/15E148 Safari/604.1",
         "Safari 18 on iPhone"),
        (f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/131.0.0.0 Mobile Safari/537.36", "Chrome 131 on Android"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
         "Edge 131 on Windows"),
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/131.0.0.0 Safari/537.36 OPR/116.0.0.0", "Opera 116 on Linux"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("python-requests/2.32.3 <script>", "python-requests/2.32.3"),
        ("", "unknown"),
        ("<script>", "unknown"),
    ],
)  # fmt: skip
def test_devices_in_words(user_agent: str, said: str) -> None:
    assert device(user_agent) == said


# Cookies.


def page_of(world: World, **changes: str | None) -> dict[str, str]:
    """The headers of a script of an allowed page."""
    headers = {"Origin": world.url, "X-Requested-With": "atrium", **changes}
    return {name.replace("_", "-"): value for name, value in headers.items() if value is not None}


def cookie_of(reply: Any) -> Any:
    return SimpleCookie(reply.headers.get("Set-Cookie", "")).get("atrium_refresh")


async def sign_in(world: World, headers: Mapping[str, str]) -> Any:
    return await world.request(
        "POST", "/auth/login", json={"email": ALICE, "password": PASSWORD, "cookie": True}, headers=headers
    )


async def refresh(world: World, token: str, headers: Mapping[str, str]) -> Any:
    return await world.request(
        "POST", "/auth/refresh", headers={**headers, "Cookie": f"atrium_refresh={token}"}
    )


async def test_a_page_stays_signed_in_by_cookie(world: World) -> None:
    page = page_of(world)
    reply = await sign_in(world, page)
    assert reply.success
    assert "refresh_token" not in reply.data
    cookie = cookie_of(reply)
    assert (cookie["path"], cookie["samesite"], cookie["httponly"], cookie["secure"]) == (
        "/api/v1/auth", "Strict", True, "",
    )  # fmt: skip
    assert cookie["max-age"] == str(world.node.settings.refresh_token_ttl)
    second = await refresh(world, cookie.value, page)
    assert second.data.tenant.id == world.tenant_id
    assert "refresh_token" not in second.data
    rotated = cookie_of(second)
    assert rotated.value != cookie.value
    by_token = {"Authorization": f"Bearer {second.data.access_token}"}
    assert (await world.request("GET", "/auth/me", headers=by_token)).success
    out = await world.request(
        "POST", "/auth/logout", headers={**page, "Cookie": f"atrium_refresh={rotated.value}"}
    )
    assert out.success
    assert (cookie_of(out).value, cookie_of(out)["max-age"]) == ("", "0")
    assert (await world.request("GET", "/auth/me", headers=by_token)).status == 401
    ended = await refresh(world, rotated.value, page)
    assert ended.status == 401
    assert cookie_of(ended).value == "", "a cookie that is of no use any more is removed"


async def test_the_cookie_is_secure_where_the_server_is(worlds: Callable[..., Any]) -> None:
    world = await worlds(public_url="https://atrium.example")
    assert cookie_of(await sign_in(world, page_of(world)))["secure"] is True


BAD_PAGES: list[dict[str, str | None]] = [
    {"Origin": None},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://rebound.example", "Host": "rebound.example"},
    {"X-Requested-With": None},
    {"X-Requested-With": ""},
    {"Origin": None, "X-Requested-With": None},
]


@pytest.mark.parametrize("changes", BAD_PAGES)
async def test_what_another_site_could_send_is_refused(world: World, changes: dict[str, str | None]) -> None:
    bad = page_of(world, **changes)
    refused = await sign_in(world, bad)
    assert (refused.status, refused.error.code, cookie_of(refused)) == (403, "FORBIDDEN", None)
    token = cookie_of(await sign_in(world, page_of(world))).value
    refused = await refresh(world, token, bad)
    assert (refused.status, refused.error.code, cookie_of(refused)) == (403, "FORBIDDEN", None)
    out = await world.request("POST", "/auth/logout", headers={**bad, "Cookie": f"atrium_refresh={token}"})
    assert (out.status, out.error.code) == (403, "FORBIDDEN")
    assert (await refresh(world, token, page_of(world))).success, "nothing has happened to it"


async def test_the_cookie_opens_nothing_but_refresh_and_logout(world: World) -> None:
    page = page_of(world)
    token = cookie_of(await sign_in(world, page)).value
    for method, path in (("GET", "/auth/me"), ("GET", "/auth/sessions"), ("DELETE", "/auth/sessions"),
                         ("POST", "/auth/change-password"), ("GET", f"/projects/{world.project_id}")):  # fmt: skip
        reply = await world.request(method, path, headers={**page, "Cookie": f"atrium_refresh={token}"})
        assert reply.status == 401, path


async def test_who_sends_the_token_in_the_body_needs_no_page(world: World) -> None:
    tokens = await world.person("alice").sign_in()
    reply = await world.request("POST", "/auth/refresh", json={"refresh_token": tokens.refresh_token})
    assert reply.data.refresh_token
    assert cookie_of(reply) is None
    nothing = await world.request("POST", "/auth/refresh")
    assert (nothing.status, list(nothing.error.field_errors)) == (422, ["refresh_token"])
    out = await world.request(
        "POST", "/auth/logout", json={"refresh_token": reply.data.refresh_token},
        headers={"Authorization": f"Bearer {reply.data.access_token}"},
    )  # fmt: skip
    assert out.success


async def test_registering_founding_and_switching_can_set_the_cookie(world: World) -> None:
    page = page_of(world)
    newcomer = {
        "email": "newcomer@new.example",
        "password": "correct horse",
        "name": "Newcomer",
        "cookie": True,
    }
    assert (await world.request("POST", "/auth/register", json=newcomer)).status == 403
    reply = await world.request("POST", "/auth/register", json=newcomer, headers=page)
    assert "refresh_token" not in reply.data
    signed_in = {**page, "Authorization": f"Bearer {reply.data.access_token}"}
    founded = await world.request(
        "POST", "/tenants", json={"name": "Newcomer's", "cookie": True}, headers=signed_in
    )
    assert (founded.status, "refresh_token" in founded.data) == (201, False)
    switched = await world.request(
        "POST", f"/tenants/{founded.data.tenant.id}/switch", json={"cookie": True}, headers=signed_in
    )
    assert switched.success
    renewed = await refresh(world, cookie_of(switched).value, page)
    assert renewed.data.tenant.id == founded.data.tenant.id


async def test_reuse_of_a_cookie_ends_the_session(worlds: Callable[..., Any]) -> None:
    world = await worlds(refresh_grace=0)
    page = page_of(world)
    first = cookie_of(await sign_in(world, page)).value
    second = cookie_of(await refresh(world, first, page)).value
    assert (await refresh(world, first, page)).status == 401
    assert (await refresh(world, second, page)).status == 401


async def test_credentials_are_allowed_for_allowed_origins_only(world: World) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-requested-with"}
    for origin, allowed in ((world.url, "true"), ("https://evil.example", None)):
        async with world.http.options(
            f"{world.url}/api/v1/auth/refresh", headers={**asked, "Origin": origin}
        ) as response:
            assert response.headers.get("Access-Control-Allow-Credentials") == allowed
            assert ("X-Requested-With" in response.headers.get("Access-Control-Allow-Headers", "")) is bool(
                allowed
            )

"""Requests to addresses that strangers chose: nothing of the inside answers."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from storage.outbound import Outbound, Refused, TooLarge, Unreachable, check_url, is_open
from tests.world import settings_for

CLOSED = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.9.9.9", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1",
    "2001::1", "2001:2::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "3fff::1", "5f00::1",
    "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip
OPEN = [
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "::ffff:8.8.8.8",
    "2606:4700::1111",
    "2a00:1450::1",
]


@pytest.mark.parametrize("address", CLOSED)
def test_what_is_not_of_the_public_internet_is_closed(address: str) -> None:
    assert not is_open(ip_address(address))


@pytest.mark.parametrize("address", OPEN)
def test_the_public_internet_is_open(address: str) -> None:
    assert is_open(ip_address(address))


def test_the_operator_may_open_a_network(tmp_path: Path) -> None:
    allowed = settings_for(tmp_path, outbound_networks="10.1.2.0/24, fd00::/8").outbound_allowed
    assert is_open(ip_address("10.1.2.3"), allowed)
    assert is_open(ip_address("::ffff:10.1.2.3"), allowed)
    assert is_open(ip_address("fd00::7"), allowed)
    assert not is_open(ip_address("10.1.3.3"), allowed)


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.com", "ftp://id.example.com", "file:///etc/passwd", "//id.example.com", "id.example.com",
        "https://user:password@id.example.com", "https://id.example.com/#x", "https://", "http://10.0.0.1", "",
        "gopher://127.0.0.1", "http://127.0.0.1.example.com", "http://[::ffff:a.b]",
    ],
)  # fmt: skip
def test_an_odd_address_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        check_url(url)


class Inside:
    """A server on loopback, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def plain(self, _request: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response({"secret": "of the inside"})

    async def redirect(self, _request: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(status=302, headers={"Location": f"{self.url}/plain"})

    async def huge(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(1000):
                await response.write(b"x" * 65_536)
        except (ConnectionError, aiohttp.ClientError):
            return response
        return response

    async def slow(self, _request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()


@pytest.fixture
async def inside() -> AsyncIterator[Inside]:
    server, app = Inside(), web.Application()
    app.router.add_get("/plain", server.plain)
    app.router.add_get("/redirect", server.redirect)
    app.router.add_get("/huge", server.huge)
    app.router.add_get("/slow", server.slow)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    yield server
    await runner.cleanup()


@asynccontextmanager
async def outbound(tmp_path: Path, **changes: Any) -> AsyncIterator[Outbound]:
    found = Outbound(settings_for(tmp_path, **changes))
    try:
        yield found
    finally:
        await found.close()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]"],
)
async def test_a_stranger_does_not_reach_the_inside(tmp_path: Path, inside: Inside, host: str) -> None:
    async with outbound(tmp_path) as out:
        for scheme in ("http", "https"):
            with pytest.raises((Refused, Unreachable)):
                await out.fetch("GET", f"{scheme}://{host}:{inside.port}/plain")
    assert inside.asked == 0


async def test_a_name_that_leads_inside_is_refused(
    tmp_path: Path, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS may say what it likes, and something else the second time."""
    calls = []

    async def lies(_self: Any, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[Any]:
        calls.append(host)
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": 0,
            }
        ]

    monkeypatch.setattr("aiohttp.resolver.ThreadedResolver.resolve", lies)
    async with outbound(tmp_path) as out:
        with pytest.raises(Refused):
            await out.fetch("GET", f"https://rebinding.example:{inside.port}/plain")
    assert calls == ["rebinding.example"]
    assert inside.asked == 0


async def test_a_trusted_address_may_be_inside(tmp_path: Path, inside: Inside) -> None:
    async with outbound(tmp_path) as out:
        answer = await out.fetch("GET", f"{inside.url}/plain", trusted=True)
        assert (answer.status, answer.content_type) == (200, "application/json")
        with pytest.raises(Refused):
            await out.fetch("GET", f"{inside.url}/plain")
    assert inside.asked == 1, "a connection of the trusted is not lent to others"


async def test_an_allowed_network_may_be_reached(tmp_path: Path, inside: Inside) -> None:
    async with outbound(tmp_path, outbound_networks="127.0.0.0/8") as out:
        assert (await out.fetch("GET", f"{inside.url}/plain")).status == 200


async def test_a_redirect_is_not_followed(tmp_path: Path, inside: Inside) -> None:
    async with outbound(tmp_path) as out:
        assert (await out.fetch("GET", f"{inside.url}/redirect", trusted=True)).status == 302
    assert inside.asked == 1


async def test_a_huge_answer_is_not_read(tmp_path: Path, inside: Inside) -> None:
    async with outbound(tmp_path) as out:
        with pytest.raises(TooLarge):
            await out.fetch("GET", f"{inside.url}/huge", trusted=True)


async def test_a_slow_answer_is_not_waited_for(tmp_path: Path, inside: Inside) -> None:
    async with outbound(tmp_path, outbound_timeout=0.2) as out:
        with pytest.raises(Unreachable):
            await out.fetch("GET", f"{inside.url}/slow", trusted=True)


async def test_nobody_there(tmp_path: Path) -> None:
    async with outbound(tmp_path) as out:
        with pytest.raises(Unreachable):
            await out.fetch("GET", "http://127.0.0.1:9/", trusted=True)

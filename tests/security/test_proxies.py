"""Whose address a request has: what a trusted proxy says, and nothing that anybody else does."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp.web_request import BaseRequest
from pydantic import ValidationError

from server.origin import client_address
from storage.networks import networks
from storage.settings import Settings
from tests.world import World

INSIDE = networks("10.0.0.0/8, fd00::/8, 127.0.0.0/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        # Nobody in between.
        ("203.0.113.9", [], "203.0.113.9"),
        ("2001:DB8::1", [], "2001:db8::1"),
        ("::ffff:203.0.113.9", [], "203.0.113.9"),
        ("", [], ""),
        # Whoever is not trusted says nothing that counts.
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("203.0.113.9", ["10.0.0.1", "127.0.0.1"], "203.0.113.9"),
        ("", ["198.51.100.1"], ""),
        # From the right, past the trusted, to the first who is not.
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 10.2.3.4"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1", "10.2.3.4"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1, 10.2.3.4"], "198.51.100.1"),
        ("10.0.0.1", ["127.0.0.1, 198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        # Everybody is trusted: the first of them asked.
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        # As proxies write addresses.
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["[2001:db8::7]"], "2001:db8::7"),
        ("10.0.0.1", ['"198.51.100.1"'], "198.51.100.1"),
        ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        ("10.0.0.1", ["::FFFF:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["::ffff:10.9.9.9", "10.2.3.4"], "10.9.9.9"),
        # What is no address vouches for nothing left of it.
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense, 10.2.3.4"], "10.2.3.4"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1,"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4.5"], "10.0.0.1"),
        ("10.0.0.1", ["'; DROP TABLE users"], "10.0.0.1"),
        ("10.0.0.1", ["\ud800"], "10.0.0.1"),
    ],
)
def test_the_first_who_is_not_trusted(peer: str, forwarded: list[str], address: str) -> None:
    assert client_address(peer, forwarded, INSIDE) == address


def test_nobody_is_trusted_unless_set() -> None:
    assert Settings().trusted_proxies == ""
    assert client_address("127.0.0.1", ["198.51.100.1"], networks("")) == "127.0.0.1"


@pytest.mark.parametrize("text", ["10.0.0.1/8", "haproxy", "10.0.0.0/33", "10.0.0.0/8;fd00::/8"])
def test_what_is_no_network_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValidationError, match="is no network such as"):
        Settings(trusted_proxies=text)


async def test_a_session_has_the_address_behind_the_proxy(worlds: Callable[..., Any]) -> None:
    world: World = await worlds(trusted_proxies="127.0.0.0/8")
    assert await _address(world, {"X-Forwarded-For": "6.6.6.6, 198.51.100.7"}) == "198.51.100.7"
    assert await _address(world, {}) == "127.0.0.1"


async def test_a_session_has_no_address_of_a_strangers_choice(shared: World) -> None:
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        assert await _address(shared, {name: "198.51.100.7"}) == "127.0.0.1"


async def _address(world: World, headers: dict[str, str]) -> str:
    body = {"email": "bob@acme.example", "password": "atrium-demo"}
    reply = await world.request("POST", "/auth/login", json=body, headers=headers)
    bearer = {"Authorization": f"Bearer {reply.data.access_token}"}
    sessions = (await world.request("GET", "/auth/sessions", headers=bearer)).data.sessions
    return str(next(session.address for session in sessions if session.current))


async def test_a_socket_has_it_too(worlds: Callable[..., Any]) -> None:
    world: World = await worlds(trusted_proxies="127.0.0.0/8")
    headers = {"X-Forwarded-For": "198.51.100.7"}
    url = f"{world.url}/socket.io/?EIO=4&transport=websocket"
    async with world.http.ws_connect(url, headers=headers) as ws:
        await ws.receive()
        (socket,) = world.node.gateway.engines["/socket.io/"].sockets.values()
        assert socket.origin.address == "198.51.100.7"


async def test_figures_are_for_this_machine(
    worlds: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain: World = await worlds()
    behind: World = await worlds(trusted_proxies="127.0.0.0/8")
    for world, headers, status in (
        (plain, {}, 200),
        (plain, {"X-Forwarded-For": "127.0.0.1"}, 403),  # a proxy on this machine, in front of anybody
        (plain, {"Forwarded": "for=127.0.0.1"}, 403),
        (behind, {}, 200),
        (behind, {"X-Forwarded-For": "127.0.0.1"}, 200),
        (behind, {"X-Forwarded-For": "198.51.100.7"}, 403),
        (behind, {"X-Forwarded-For": "127.0.0.1, 198.51.100.7"}, 403),
    ):
        assert (await world.request("GET", "/metrics", headers=headers)).status == status, headers
    monkeypatch.setattr(BaseRequest, "remote", "203.0.113.9")
    for world in (plain, behind):
        for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}):
            assert (await world.request("GET", "/metrics", headers=headers)).status == 403

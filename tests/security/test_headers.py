"""What every answer tells browsers, whatever it is the answer to."""

from collections.abc import Callable
from typing import Any

import pytest

from server.headers import HEADERS
from tests.world import World

ANSWERS = (
    "/",
    "/docs",
    "/health",
    "/health/ready",
    "/metrics",
    "/nowhere",
    "/assets/nothing.js",
    "/socket.io/?EIO=4&transport=polling",
    "/socket.io/?EIO=3",
    "/api/v1/openapi.json",
    "/api/v1/auth/me",
    "/api/v1/nowhere",
)


@pytest.mark.parametrize("path", ANSWERS)
async def test_every_answer_carries_them(shared: World, path: str) -> None:
    async with shared.http.get(shared.url + path) as answer:
        headers = answer.headers
    for name, value in HEADERS.items():
        assert name in headers, f"{name} is missing"
        assert headers[name] == value or name == "Content-Security-Policy"
    policy = headers["Content-Security-Policy"]
    for rule in ("frame-ancestors 'none'", "base-uri 'none'", "default-src"):
        assert rule in policy
    assert "unsafe-eval" not in policy
    assert "script-src" not in policy or "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert headers["Cache-Control"] in ("no-store", "no-cache")
    assert "Server" not in headers
    assert "Strict-Transport-Security" not in headers  # this server is reached by plain HTTP


async def test_https_alone_is_asked_for_where_there_is_https(worlds: Callable[..., Any]) -> None:
    world = await worlds(public_url="https://atrium.example.com")
    for path in ("/", "/health", "/api/v1/auth/me"):
        async with world.http.get(world.url + path) as answer:
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


async def test_it_can_be_left_to_the_proxy(worlds: Callable[..., Any]) -> None:
    world = await worlds(public_url="https://atrium.example.com", hsts="")
    async with world.http.get(world.url + "/health") as answer:
        assert "Strict-Transport-Security" not in answer.headers

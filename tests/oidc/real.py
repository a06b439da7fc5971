"""The provider from npm: how it is installed and started, and how its pages are filled in."""

import asyncio
import fcntl
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.node.conftest import Node, node_of
from tests.oidc.browser import Browser

HERE = Path(__file__).parent
OLDEST_NODE = 22
"""Major version of node that oidc-provider is written for."""
START_TIMEOUT = 60
"""Also for a slow machine (seconds)."""


def install(node: Node) -> None:
    """The packages of the lock file in tests/oidc/node_modules; one process installs, the others wait."""
    with (HERE / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed, wanted = HERE / "node_modules" / ".package-lock.json", HERE / "package-lock.json"
        if installed.exists() and installed.stat().st_mtime >= wanted.stat().st_mtime:
            return
        command = [*node.npm, "ci", "--no-progress", "--loglevel=error"]
        done = subprocess.run(
            command, cwd=HERE, env=node.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.fail(f"npm ci failed:\n{done.stdout}{done.stderr}")


@asynccontextmanager
async def real_provider() -> AsyncIterator[str]:
    """Its address, which is its issuer."""
    node = node_of(OLDEST_NODE)
    await asyncio.to_thread(install, node)
    process = await asyncio.create_subprocess_exec(
        node.node, str(HERE / "provider.mjs"), env={**os.environ, **node.environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT):
            line = await process.stdout.readline()
        assert line, "the provider does not start"
        yield orjson.loads(line)["issuer"]
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def register(issuer: str, redirect_uri: str, **more: Any) -> dict[str, Any]:
    """A client at the provider, as an operator would make one."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(
            f"{issuer}/reg", json={"redirect_uris": [redirect_uri], "client_name": "Atrium", **more}
        ) as response,
    ):
        found: dict[str, Any] = await response.json()
        assert response.status == 201, found
        return found


async def fill_in(browser: Browser, url: str, login: str) -> str:
    """Sign in on the provider's pages and consent; the address that it sends back to."""
    for _ in range(12):
        if "/api/v1/auth/oidc/" in url:
            return url
        async with browser.http.get(url, allow_redirects=False) as response:
            location, page = response.headers.get("Location", ""), await response.text()
            assert response.status in (200, 303), page
        if not location:
            form = (
                {"prompt": "login", "login": login, "password": "x"}
                if 'name="login"' in page
                else {"prompt": "consent"}
            )
            found = re.search(r'action="([^"]+)"', page)
            assert found, page
            async with browser.http.post(found[1], data=form, allow_redirects=False) as response:
                location = response.headers["Location"]
        url = location if location.startswith("http") else f"{url[: url.index('/', 8)]}{location}"
    raise AssertionError(f"it does not come back from {url}")

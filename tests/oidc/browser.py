"""A browser without a screen: it keeps cookies, follows redirects one by one, and shows where it is."""

from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import aiohttp
import orjson

from tests.world import World, attrs


class Browser:
    """One person's browser."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        self.visited: list[str] = []
        self.shown = ""
        """What the last page said."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def get(self, url: str) -> str:
        """Where an address sends the browser; '' where it stays."""
        self.visited.append(url)
        async with self.http.get(url, allow_redirects=False) as response:
            self.shown = f"{response.status} {(await response.text())[:500]}"
            return response.headers.get("Location", "")

    async def led(self, url: str) -> str:
        """Where an address sends the browser, which it has to."""
        location = await self.get(url)
        assert location, f"{url} leads nowhere: {self.shown}"
        return location

    async def to_provider(self, issuer: str = "fake", **query: str) -> str:
        """The address at the provider that a button leads to."""
        async with self.http.get(
            f"{self.world.url}/api/v1/auth/oidc/{issuer}/start", params=query, allow_redirects=False
        ) as response:
            assert response.status == 302, await response.text()
            return response.headers["Location"]

    async def to_callback(self, issuer: str = "fake", **query: str) -> str:
        """As far as the address that the provider sends back to."""
        return await self.led(await self.to_provider(issuer, **query))

    async def back(self, issuer: str = "fake", **query: str) -> dict[str, str]:
        """All the way to the page, and what it is told."""
        return told(await self.led(await self.to_callback(issuer, **query)))

    async def post(self, path: str, **payload: Any) -> Any:
        async with self.http.post(
            f"{self.world.url}/api/v1{path}",
            json=payload,
            headers={"Origin": self.world.url, "X-Requested-With": "test"},
        ) as response:
            body = orjson.loads(await response.read())
            return attrs({**body, "status": response.status, "headers": response.headers})

    async def sign_in(self, issuer: str = "fake", **more: Any) -> Any:
        """The whole way; the answer to the last call."""
        said = await self.back(issuer)
        assert "code" in said, said
        return await self.post("/auth/oidc/exchange", code=said["code"], **more)


def told(url: str) -> dict[str, str]:
    """What an address tells the page it leads to."""
    parts = urlsplit(url)
    query = parts.fragment.partition("?")[2] if parts.fragment else parts.query
    return {name: values[0] for name, values in parse_qs(query).items()}

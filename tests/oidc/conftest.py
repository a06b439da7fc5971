"""Worlds with a provider of identity: one that says what a test wants, and a real one from npm."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.identity.mailbox import Mailbox, mail_server
from tests.oidc.browser import Browser
from tests.oidc.fake import CLIENT, SECRET, Fake, provider
from tests.world import World


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with provider() as found:
        yield found


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with mail_server() as box:
        yield box


@pytest.fixture
async def trusting(worlds: Callable[..., Any], fake: Fake, mailbox: Mailbox) -> World:
    """A world whose operator trusts the fake provider; tenants may use providers on loopback."""
    return await trusting_world(worlds, fake, mailbox)


async def trusting_world(worlds: Callable[..., Any], fake: Fake, mailbox: Mailbox, **more: Any) -> World:
    issuer = {
        "name": "fake", "label": "Fake", "issuer": fake.url, "client_id": CLIENT, "client_secret": SECRET,
        **more.pop("issuer", {}),
    }  # fmt: skip
    settings = {
        "oidc_issuers": [issuer], "outbound_networks": "127.0.0.0/8", "oidc_keys_pause": 0,
        "smtp_url": mailbox.url, "mail_pause": 0, **more,
    }  # fmt: skip
    world: World = await worlds(**settings)
    world.node.settings.public_url = world.url
    return world


@pytest.fixture
async def browse() -> AsyncIterator[Callable[[World], Browser]]:
    """More browsers: `browse(world)`."""
    async with AsyncExitStack() as stack:
        made: list[Browser] = []

        def make(world: World) -> Browser:
            made.append(Browser(world))
            return made[-1]

        yield make
        for browser in made:
            await stack.enter_async_context(browser)


@pytest.fixture
async def browser(trusting: World, browse: Callable[[World], Browser]) -> Browser:
    return browse(trusting)

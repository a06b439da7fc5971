"""A mail server, and a world that sends by it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.identity.mailbox import Mailbox, mail_server
from tests.world import World


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with mail_server() as box:
        yield box


@pytest.fixture
async def posted(worlds: Callable[..., Any], mailbox: Mailbox) -> World:
    """A world that sends by the mail server, and lets one ask for mails as often as one likes."""
    world: World = await worlds(smtp_url=mailbox.url, mail_pause=0)
    return world

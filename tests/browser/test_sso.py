"""Signing in with a provider of identity, from the button to the board."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opener
from tests.browser.server import RestartableServer
from tests.oidc.fake import CLIENT, SECRET, Fake, provider

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with provider() as found:
        yield found


@pytest.fixture
async def trusting(tmp_path: Path, fake: Fake) -> AsyncIterator[RestartableServer]:
    """A server whose operator trusts the fake provider."""
    server = RestartableServer(tmp_path)
    issuer = {
        "name": "fake", "label": "Fake", "issuer": fake.url, "client_id": CLIENT, "client_secret": SECRET,
    }  # fmt: skip
    await server.start(ATRIUM_PUBLIC_URL=server.url, ATRIUM_OIDC_ISSUERS=json.dumps([issuer]))
    yield server
    await server.stop()


async def test_a_provider_signs_in_or_says_no(
    trusting: RestartableServer, fake: Fake, window: Opener
) -> None:
    newcomer = await window(trusting.url, "newcomer", outside=True)
    newcomer.knows_of_refusals = True
    button = newcomer.page.get_by_role("link", name="Sign in with Fake")
    fake.answer = {"code": None, "error": "access_denied"}
    await button.click()
    await expect(newcomer.page.get_by_role("alert")).to_have_text("The sign-in was not completed.")

    fake.answer = {}
    fake.person = {
        "sub": "newcomer-1",
        "email": "newcomer@acme.example",
        "email_verified": True,
        "name": "Newcomer",
    }
    await newcomer.page.get_by_role("link", name="Back to sign-in").click()
    await button.click()
    await expect(newcomer.page.locator(".me .avatar")).to_have_attribute("title", "Newcomer, you")
    await newcomer.reads("You belong to no team at the moment.")
    assert "code=" not in newcomer.page.url

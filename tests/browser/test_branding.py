"""The page in a tenant's own look: name, logo and colours, before sign-in and while one is in it."""

import base64
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, expect

from tests.browser.conftest import Opener
from tests.browser.server import Rest, RestartableServer
from tests.browser.window import Window
from tests.pictures import picture

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

COLOURS = {"primary_color": "#ffcc00", "header_color": "#113344"}


@pytest.fixture
async def owner(server: RestartableServer) -> AsyncIterator[Rest]:
    """REST as Alice, who leaves the tenant as plain as it was."""
    async with Rest(server.url) as rest:
        yield rest
        await rest.put("branding", product_name=None, primary_color=None, header_color=None)


async def test_the_page_wears_what_the_tenant_chose(
    owner: Rest, window: Opener, server: RestartableServer
) -> None:
    bob = await window(server.url, "Bob")
    await expect(bob.page).to_have_title("Atrium")
    await owner.put("branding", product_name="Acme Works", **COLOURS)
    await expect(bob.page).to_have_title("Acme Works")
    bar = bob.page.locator(".top-bar")
    await expect(bar).to_have_css("background-color", "rgb(17, 51, 68)")
    await expect(bar.locator(".home")).to_have_css("color", "rgb(255, 255, 255)")
    await expect(bar.locator(".product")).to_have_text("Acme Works")

    await owner.put("logo", image=base64.b64encode(picture()).decode())
    logo = bar.locator("img.logo")
    await expect(logo).to_be_visible()
    assert await logo.evaluate("image => image.decode().then(() => image.naturalWidth)") == 64

    await bob.page.reload()
    await expect(bob.page).to_have_title("Acme Works")
    await owner.put("branding", product_name=None, primary_color=None, header_color=None)
    await expect(bob.page).to_have_title("Atrium")


async def test_so_does_the_sign_in_page(owner: Rest, browser: Browser, server: RestartableServer) -> None:
    await owner.put("branding", product_name="Acme Works", **COLOURS)
    context = await browser.new_context()
    stranger = Window(await context.new_page(), "nobody yet")
    await stranger.page.goto(f"{server.url}/?tenant=acme")
    await expect(stranger.page.get_by_role("heading", name="Acme Works")).to_be_visible()
    button = stranger.page.get_by_role("button", name="Sign in", exact=True)
    await expect(button).to_have_css("background-color", "rgb(255, 204, 0)")
    await expect(button).to_have_css("color", "rgb(0, 0, 0)")
    await stranger.page.goto(f"{server.url}/?tenant=nobody")
    await expect(stranger.page.get_by_role("heading", name="Atrium")).to_be_visible()
    assert stranger.complaints == []
    await stranger.close()


async def test_a_tenant_out_of_use_says_so_and_comes_back(
    owner: Rest, window: Opener, server: RestartableServer
) -> None:
    bob = await window(server.url, "Bob")
    bob.knows_of_outage = bob.knows_of_refusals = True
    try:
        await owner.post("deactivate")
        await expect(bob.page.get_by_text("This team is out of use")).to_be_visible()
    finally:
        await owner.post("activate")
    await bob.is_live()
    await expect(bob.page.get_by_role("heading", name="Projects")).to_be_visible()

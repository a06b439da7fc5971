"""Signing in with more than a password, and without one."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pyotp
import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opener
from tests.browser.server import PASSWORD, Rest, RestartableServer
from tests.browser.test_passkeys import AUTHENTICATOR
from tests.browser.window import Window

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

STEP = 30


@pytest.fixture
async def named_server(tmp_path: Path) -> AsyncIterator[RestartableServer]:
    """A server that passkeys may be made for: under a name, as a browser wants it."""
    server = RestartableServer(tmp_path)
    server.url = server.url.replace("127.0.0.1", "localhost")
    await server.start(ATRIUM_PUBLIC_URL=server.url)
    yield server
    await server.stop()


async def test_an_authenticator_app_and_recovery_codes(window: Opener, server: RestartableServer) -> None:
    manager, email = await _manager(window, server)
    manager.knows_of_refusals = True
    await manager.go("#/account")
    await manager.press("Set up an authenticator app")
    await expect(manager.page.get_by_role("img", name="QR code")).to_be_visible()
    app = pyotp.TOTP(await manager.page.locator(".secret").inner_text())
    now = time.time()
    await manager.fill(code=app.at(now - STEP))
    await manager.press("Turn on")
    await expect(manager.page.locator(".codes li")).to_have_count(10)
    codes = await manager.page.locator(".codes li").all_inner_texts()
    await expect(manager.page.get_by_role("heading", name="Second factor On")).to_be_visible()

    await manager.press("Sign out")
    await manager.sign_in(email, PASSWORD)
    await manager.fill(code="000000")
    await manager.press("Go on")
    code = manager.page.get_by_label("Code", exact=True)
    await expect(code).to_be_focused()
    await expect(manager.page.locator(".field-error")).to_contain_text("4 tries are left")
    await manager.fill(code=app.at(time.time()))
    await manager.press("Go on")
    await manager.is_in()

    await manager.press("Sign out")
    await manager.sign_in(email, PASSWORD)
    await manager.press("Use a recovery code")
    await manager.fill(recovery_code=codes[0])
    await manager.press("Go on")
    await manager.is_in()

    await manager.go("#/account")
    await manager.reads("9 recovery codes are left.")
    await manager.press("Turn off")
    await manager.fill(password=PASSWORD)
    await manager.press("Turn the second factor off")
    await expect(manager.page.get_by_role("heading", name="Second factor Off")).to_be_visible()


async def test_too_many_tries_say_how_long_to_wait(window: Opener, server: RestartableServer) -> None:
    nobody = {"email": "nobody@acme.example", "password": "a guess"}
    async with aiohttp.ClientSession() as session:
        for _ in range(10):
            await session.post(f"{server.url}/api/v1/auth/login", json=nobody)
    guesser = await window(server.url, "guesser", outside=True)
    guesser.knows_of_refusals = True
    await guesser.sign_in(**nobody)
    await expect(guesser.page.get_by_role("alert")).to_have_text(
        "Too many tries. You can try again in 15 minutes."
    )
    await expect(guesser.page.get_by_role("button", name="Sign in", exact=True)).to_be_disabled()


async def test_a_passkey_instead_of_a_password(named_server: RestartableServer, window: Opener) -> None:
    manager, email = await _manager(window, named_server)
    manager.knows_of_refusals = True  # signing out may overtake a reading of the page before
    devtools = await manager.page.context.new_cdp_session(manager.page)
    await devtools.send("WebAuthn.enable")
    await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    await manager.go("#/account")
    await manager.press("Add a passkey")
    await expect(manager.page.locator(".codes li")).to_have_count(10)
    await expect(manager.page.get_by_role("button", name="Remove Chrome")).to_be_visible()

    await manager.press("Sign out")
    await manager.press("Sign in with a passkey")
    await manager.is_in()

    await manager.press("Sign out")
    await manager.sign_in(email, PASSWORD)
    await manager.press("Use a passkey")
    await manager.is_in()


async def _manager(window: Opener, server: RestartableServer) -> tuple[Window, str]:
    """Somebody with an account of her own, signed in."""
    async with Rest(server.url) as rest:
        email = await rest.register("manager")
    manager = await window(server.url, "manager", outside=True)
    await manager.sign_in(email, PASSWORD)
    await manager.is_in()
    return manager, email

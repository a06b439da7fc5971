"""Whoever is put out is told why, and goes on by herself when the reason is gone."""

from typing import Any

import aiohttp
import pyotp
import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opener
from tests.browser.server import PASSWORD, Rest, RestartableServer

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


async def test_a_tenant_out_of_use_is_told_and_comes_back(window: Opener, server: RestartableServer) -> None:
    async with Rest(server.url) as rest:
        email = await rest.register("admin")
    admin = await window(server.url, "admin", outside=True)
    admin.knows_of_refusals = True
    await admin.sign_in(email, PASSWORD)
    await admin.is_live()
    async with aiohttp.ClientSession(f"{server.url}/api/v1/") as session:
        tenant = await _sign_in(session, email)
        await _send(session, "POST", f"tenants/{tenant}/deactivate")
        await expect(admin.page.get_by_role("heading", name="This team is out of use")).to_be_visible()
        await _send(session, "POST", f"tenants/{tenant}/activate")
    await admin.is_in()
    await admin.is_live()


async def test_a_tenant_that_asks_for_a_second_factor_leads_to_it(
    window: Opener, server: RestartableServer
) -> None:
    async with Rest(server.url) as rest:
        email = await rest.register("admin")
    admin = await window(server.url, "admin", outside=True)
    admin.knows_of_refusals = True
    await admin.sign_in(email, PASSWORD)
    await admin.is_live()
    async with aiohttp.ClientSession(f"{server.url}/api/v1/") as session:
        tenant = await _sign_in(session, email)
        app = pyotp.TOTP((await _send(session, "POST", "auth/totp"))["secret"])
        codes = (await _send(session, "POST", "auth/totp/confirm", code=app.now()))["recovery_codes"]
        await _send(session, "PUT", f"tenants/{tenant}/security", require_second_factor=True)
    await expect(admin.page.get_by_role("heading", name="This team asks for a second factor")).to_be_visible()
    await admin.press("Use my second factor")
    await admin.fill(recovery_code=codes[0])
    await admin.press("Confirm")
    await admin.is_in()
    await admin.is_live()


async def _sign_in(session: aiohttp.ClientSession, email: str) -> str:
    signed_in = await _send(session, "POST", "auth/login", email=email, password=PASSWORD)
    session.headers["Authorization"] = f"Bearer {signed_in['access_token']}"
    return str(signed_in["tenant"]["id"])


async def _send(session: aiohttp.ClientSession, method: str, path: str, **body: object) -> Any:
    async with session.request(method, path, json=body) as response:
        reply = await response.json()
        assert reply["success"], reply
        return reply["data"]

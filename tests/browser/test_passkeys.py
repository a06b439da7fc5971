"""Passkeys with a real browser's WebAuthn, and an authenticator that Chromium simulates (CDP, WebAuthn domain)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.browser.server import RestartableServer

CALL = """
async ([path, body, token]) => {
  const headers = { 'Content-Type': 'application/json' }
  if (token) headers.Authorization = `Bearer ${token}`
  const response = await fetch(`/api/v1${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
  const reply = await response.json()
  if (!reply.success) throw new Error(JSON.stringify(reply.error))
  return reply.data
}
"""
CREATE = """
async (options) => {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options)
  return (await navigator.credentials.create({ publicKey })).toJSON()
}
"""
GET = """
async (options) => {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options)
  return (await navigator.credentials.get({ publicKey })).toJSON()
}
"""
AUTHENTICATOR = {
    "protocol": "ctap2",
    "ctap2Version": "ctap2_1",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
ALICE = {"email": "alice@acme.example", "password": "atrium-demo"}


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[RestartableServer]:
    """A server that passkeys may be made for: under a name, as a browser wants it."""
    server = RestartableServer(tmp_path)
    server.url = server.url.replace("127.0.0.1", "localhost")
    await server.start(ATRIUM_PUBLIC_URL=server.url)
    yield server
    await server.stop()


@pytest.fixture
async def page(browser: Browser, own_server: RestartableServer) -> AsyncIterator[Page]:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(own_server.url)
    cdp = await context.new_cdp_session(page)
    await cdp.send("WebAuthn.enable")
    await cdp.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    yield page
    await context.close()


async def call(page: Page, path: str, body: dict[str, Any] | None = None, token: str = "") -> Any:
    return await page.evaluate(CALL, [path, body or {}, token])


async def test_a_browser_makes_a_passkey_and_signs_in_with_it(page: Page) -> None:
    signed_in = await call(page, "/auth/login", ALICE)
    token = signed_in["access_token"]
    asked = await call(page, "/auth/passkeys/begin", token=token)
    made = await page.evaluate(CREATE, asked["options"])
    added = await call(page, "/auth/passkeys", {"passkey": made}, token)
    assert added["passkey"]["name"].startswith("Chrome")
    assert len(added["recovery_codes"]) == 10

    # Instead of a password, without an address.
    asked = await call(page, "/auth/passkey/begin")
    signed = await page.evaluate(GET, asked["options"])
    alone = await call(page, "/auth/passkey/finish", {"passkey": signed})
    assert alone["user"]["email"] == ALICE["email"]
    with pytest.raises(Exception, match="UNAUTHORIZED"):
        await call(page, "/auth/passkey/finish", {"passkey": signed})

    # As the second factor.
    half = (await call(page, "/auth/login", ALICE))["second_factor"]
    assert half["methods"] == ["passkey", "recovery_code"]
    asked = await call(page, "/auth/passkey/begin", {"token": half["token"]})
    signed = await page.evaluate(GET, asked["options"])
    whole = await call(page, "/auth/second-factor", {"token": half["token"], "passkey": signed})
    assert whole["access_token"]

    # The same device makes no second one for the same account.
    asked = await call(page, "/auth/passkeys/begin", token=whole["access_token"])
    with pytest.raises(Exception, match="InvalidStateError"):
        await page.evaluate(CREATE, asked["options"])

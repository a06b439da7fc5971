"""Where the links in mails lead: an address confirmed, a new password."""

import os

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opener
from tests.browser.mailbox import link_to
from tests.browser.server import PASSWORD, Rest, RestartableServer

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


async def test_a_newcomer_registers_and_confirms_the_address(
    window: Opener, server: RestartableServer
) -> None:
    newcomer = await window(server.url, "newcomer", outside=True)
    email = f"newcomer-{os.urandom(3).hex()}@acme.example"
    await newcomer.page.get_by_role("link", name="Create an account").click()
    await newcomer.fill(name="Newcomer", email=email, password=PASSWORD, tenant_name="Newcomers")
    await newcomer.press("Create account")
    await newcomer.is_in()
    await newcomer.is_live()

    link = await link_to(server, email, "#/verify")
    await newcomer.go(link)
    await newcomer.press("This is my address")
    await newcomer.reads("Your email address is confirmed.")

    newcomer.knows_of_refusals = True
    await newcomer.page.goto(f"{server.url}/{link}")
    await newcomer.page.reload()
    await newcomer.press("This is my address")
    await expect(newcomer.page.get_by_role("alert")).to_have_text(
        "This link was used already, or is too old. Please ask for another one."
    )


async def test_a_field_that_is_refused_says_so_and_gets_the_focus(
    window: Opener, server: RestartableServer
) -> None:
    newcomer = await window(f"{server.url}/#/register", "newcomer", outside=True)
    newcomer.knows_of_refusals = True
    await newcomer.fill(name="Newcomer", email="newcomer@acme.example", password="short")
    await newcomer.press("Create account")
    password = newcomer.page.get_by_label("Password")
    await expect(password).to_have_attribute("aria-invalid", "true")
    await expect(password).to_be_focused()
    await expect(newcomer.page.locator(".field-error")).to_have_text("Needs at least 10 characters.")


async def test_a_forgotten_password_is_replaced_and_open_windows_are_told(
    window: Opener, server: RestartableServer
) -> None:
    async with Rest(server.url) as rest:
        email = await rest.register("latecomer")
    elsewhere = await window(server.url, "latecomer", outside=True)
    await elsewhere.sign_in(email, PASSWORD)
    await elsewhere.is_live()

    latecomer = await window(server.url, "latecomer", outside=True)
    await latecomer.page.get_by_role("link", name="Forgot password?").click()
    await latecomer.fill(email=email)
    await latecomer.press("Send me a link")
    await latecomer.reads("a link for a new password is on its way")
    elsewhere.knows_of_refusals = True
    await latecomer.go(await link_to(server, email, "#/reset-password"))
    await latecomer.fill(new_password="quite another password")
    await latecomer.press("Change password")
    await latecomer.reads("You have been signed out everywhere.")
    await elsewhere.reads("You have been signed out here, from another window or device.")

    await latecomer.page.get_by_role("link", name="Sign in").click()
    await latecomer.sign_in(email, "quite another password")
    await latecomer.is_in()

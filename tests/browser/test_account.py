"""One's own account: what others see of one, and where one is signed in."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opener
from tests.browser.server import PASSWORD, Rest, RestartableServer

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


async def test_a_session_ended_in_another_window_is_told_there(
    window: Opener, server: RestartableServer
) -> None:
    bob, elsewhere = await window(server.url, "Bob"), await window(server.url, "Bob")
    await elsewhere.is_live()
    elsewhere.knows_of_refusals = True
    await bob.page.get_by_role("link", name="Your account").click()
    sessions = bob.page.get_by_role("region", name="Where you are signed in")
    await expect(sessions.get_by_role("listitem").first).to_contain_text("This window")
    await expect(sessions.get_by_role("listitem").first).to_contain_text("127.0.0.1")
    await sessions.get_by_role("button", name="Sign out Chrome").first.click()
    await expect(sessions.locator(".done")).to_contain_text("is signed out.")
    await elsewhere.reads("You have been signed out here, from another window or device.")
    await expect(elsewhere.page.get_by_label("Password")).to_be_visible()
    await bob.is_live()


async def test_name_and_theme_change_in_every_window_of_hers(
    window: Opener, server: RestartableServer
) -> None:
    async with Rest(server.url) as rest:
        email = await rest.register("viewer")
    viewer = await window(server.url, "viewer", outside=True)
    await viewer.sign_in(email, PASSWORD)
    elsewhere = await window(server.url, "viewer", outside=True)
    await elsewhere.sign_in(email, PASSWORD)
    await elsewhere.is_live()

    await viewer.page.get_by_role("link", name="Your account").click()
    await viewer.fill(name="Second Viewer")
    await viewer.page.get_by_label("Theme").select_option("dark")
    await viewer.press("Save")
    await viewer.reads("Saved.")
    for each in (viewer, elsewhere):
        await expect(each.page.locator(".me .avatar")).to_have_attribute("title", "Second Viewer, you")
        await expect(each.page.locator("html")).to_have_attribute("data-theme", "dark")
    scheme = "getComputedStyle(document.body).backgroundColor"
    assert await elsewhere.page.evaluate(scheme) == "rgb(20, 22, 26)"


async def test_account_and_members_fit_a_phone(window: Opener, server: RestartableServer) -> None:
    phone = await window(
        server.url, "Alice", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )  # fmt: skip
    for place, title in (("#/account", "Your account"), ("#/members", "Members")):
        await phone.go(place)
        await expect(phone.page.get_by_role("heading", name=title, exact=True)).to_be_visible()
        wide = await phone.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0

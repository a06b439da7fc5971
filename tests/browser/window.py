"""One person's browser window, and what that person does and sees in it."""

import re
from typing import Any, Final, Self

from playwright.async_api import Browser, ConsoleMessage, Locator, Page, expect

from tests.browser.server import Project

REPORTS_CSP: Final = """
addEventListener('securitypolicyviolation', (event) =>
  console.error(`CSP: ${event.violatedDirective} refused ${event.blockedURI}`))
"""
OUTAGE: Final = re.compile("WebSocket connection to|net::ERR_|Failed to load resource: .* status of 50")
"""What Chromium itself writes to the console when it cannot reach the server."""
REFUSAL: Final = re.compile("Failed to load resource: .* status of 4")
"""What it writes when the server says no."""


class Window:
    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.name = name
        self.complaints: list[str] = []
        self.knows_of_outage = False
        self.knows_of_refusals = False
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    @classmethod
    async def open(cls, browser: Browser, url: str, name: str, **options: Any) -> Self:
        """A new window, signed in as one of the demo's people."""
        window = await cls.outside(browser, url, name, **options)
        await window.page.get_by_role("button", name=name).click()
        await window.is_in()
        return window

    @classmethod
    async def outside(cls, browser: Browser, url: str, name: str, **options: Any) -> Self:
        """A new window in which nobody is signed in."""
        options.setdefault("viewport", {"width": 1280, "height": 800})
        context = await browser.new_context(**options)
        await context.add_init_script(REPORTS_CSP)
        window = cls(await context.new_page(), name)
        await window.page.goto(url)
        return window

    async def is_in(self) -> None:
        await expect(self.page.get_by_role("heading", name="Projects")).to_be_visible()

    async def go(self, place: str) -> None:
        """Follow a link into the page: `#/account`."""
        await self.page.evaluate("(place) => { location.hash = place }", place)

    async def fill(self, **fields: str) -> None:
        """Type into the inputs of these names."""
        for name, text in fields.items():
            await self.page.locator(f"input[name={name}]:visible").fill(text)

    async def press(self, button: str) -> None:
        await self.page.get_by_role("button", name=button, exact=True).click()

    async def reads(self, text: str) -> None:
        await expect(self.page.get_by_text(text).first).to_be_visible()

    async def sign_in(self, email: str, password: str) -> None:
        await self.fill(email=email, password=password)
        await self.press("Sign in")

    async def close(self) -> None:
        await self.page.context.close()

    async def visit(self, project: Project) -> None:
        await self.page.get_by_role("link", name=project.name).click()
        await expect(self.column("To do")).to_be_visible()
        await self.is_live()

    async def is_live(self) -> None:
        await expect(self.page.locator(".connection")).to_have_text("Live", timeout=20_000)

    def column(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name)

    def card(self, title: str) -> Locator:
        return self.page.locator(".card").filter(has=self.page.get_by_role("button", name=title, exact=True))

    def button(self, title: str) -> Locator:
        return self.page.get_by_role("button", name=title, exact=True)

    async def sees(self, column: str, *titles: str) -> None:
        """Exactly these cards stand in a column, in this order, and none of them waits for the server."""
        await expect(self.column(column).locator(".card-open")).to_have_text(list(titles))
        await expect(self.column(column).locator(".card.waiting")).to_have_count(0)

    async def drag(self, title: str, column: str) -> None:
        """Drag a card by mouse to the top of a column."""
        mouse = self.page.mouse
        start = await self.card(title).bounding_box()
        target = await self.column(column).locator(".cards").bounding_box()
        assert start is not None
        assert target is not None
        await mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
        await mouse.down()
        await mouse.move(target["x"] + target["width"] / 2, target["y"] + 30, steps=12)
        await mouse.move(target["x"] + target["width"] / 2, target["y"] + 8, steps=4)
        await mouse.up()

    async def add_card(self, column: str, title: str) -> None:
        await self.column(column).get_by_role("button", name="Add a card").click()
        await self.page.keyboard.type(title)
        await self.page.keyboard.press("Enter")
        await self.page.keyboard.press("Escape")

    async def board(self) -> dict[str, list[str]]:
        """The titles in each column, in order."""
        columns = {}
        for column in await self.page.get_by_role("region").all():
            name = await column.get_by_role("heading").inner_text()
            columns[name] = await column.locator(".card-open").all_inner_texts()
        return columns

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if self.knows_of_outage and OUTAGE.search(message.text):
            return
        if self.knows_of_refusals and REFUSAL.search(message.text):
            return
        self.complaints.append(message.text)

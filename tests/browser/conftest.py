"""A server with the demo world, a browser, and windows of it signed in as the people of that world."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.browser.chromium import FLAGS, executable
from tests.browser.server import Project, Rest, RestartableServer
from tests.browser.window import Window

Opener = Callable[..., Awaitable[Window]]


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RestartableServer]:
    """One server for all tests that leave it running."""
    async with _running(tmp_path_factory.mktemp("atrium")) as server:
        yield server


@pytest.fixture
async def restartable_server(tmp_path: Path) -> AsyncIterator[RestartableServer]:
    """A server of the test's own, to stop and start."""
    async with _running(tmp_path) as server:
        yield server


@contextlib.asynccontextmanager
async def _running(directory: Path) -> AsyncIterator[RestartableServer]:
    server = RestartableServer(directory)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def project(server: RestartableServer) -> Project:
    """A project of the test's own: three cards to do, one in progress."""
    return await a_project(server)


async def a_project(server: RestartableServer) -> Project:
    async with Rest(server.url) as rest:
        return await rest.create_project({"To do": ["Bread", "Milk", "Eggs"], "In progress": ["Tea"]})


@pytest.fixture
async def window(browser: Browser) -> AsyncIterator[Opener]:
    """Opens windows; none of them may have complained when the test is over."""
    windows: list[Window] = []

    async def open_window(
        url: str, name: str, project: Project | None = None, *, outside: bool = False, **options: object
    ) -> Window:
        opened = Window.outside if outside else Window.open
        window = await opened(browser, url, name, **options)
        windows.append(window)
        if project is not None:
            await window.visit(project)
        return window

    yield open_window
    for window in windows:
        await window.close()
    assert {window.name: window.complaints for window in windows if window.complaints} == {}


@pytest.fixture
async def alice(window: Opener, server: RestartableServer, project: Project) -> Window:
    return await window(server.url, "Alice", project)


@pytest.fixture
async def bob(window: Opener, server: RestartableServer, project: Project) -> Window:
    return await window(server.url, "Bob", project)

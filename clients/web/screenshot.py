"""Takes the README's picture of the board: signs in as Alice on a demo server and saves a PNG.

Run as: .venv/bin/python clients/web/screenshot.py http://127.0.0.1:8080 docs/board.png
"""

import argparse
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.browser.chromium import FLAGS, executable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url", help="of a server started with --demo")
    parser.add_argument("png", type=Path, help="where to save the picture")
    parser.add_argument("--project", default="Website relaunch", help="whose board to show")
    parser.add_argument("--dark", action="store_true", help="in the dark colours")
    parser.add_argument("--size", default="1280x800", help="in CSS pixels")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme="dark" if arguments.dark else "light"
        )
        page.goto(arguments.url)
        page.get_by_role("button", name="Alice").click()
        page.get_by_role("link", name=arguments.project).click()
        page.locator(".card[data-task]").first.wait_for()
        page.wait_for_timeout(500)  # the last animation
        page.screenshot(path=arguments.png)
        browser.close()


if __name__ == "__main__":
    main()

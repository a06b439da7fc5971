"""Finds a Chromium to drive, or gets one; that there is none is a failure, never a skip."""

import subprocess
import sys
from functools import cache
from typing import Final

from tests.debian import program

FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES: Final = ("chromium", "chromium-browser", "google-chrome")


@cache
def executable() -> str | None:
    """The path of the browser; None stands for the one that Playwright has installed for itself."""
    if path := program(*NAMES, package="chromium"):
        return path
    subprocess.run(
        [sys.executable, "-m", "playwright", "install", "chromium"], check=True, capture_output=True
    )
    return None

"""Finds a Chromium to drive, or gets one; that there is none is a failure, never a skip."""

import os
import shutil
import subprocess
import sys
from functools import cache
from typing import Final

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
    if path := _on_path():
        return path
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=True, capture_output=True)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "chromium"],
            check=True,
            capture_output=True,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
        if path := _on_path():
            return path
    subprocess.run(
        [sys.executable, "-m", "playwright", "install", "chromium"], check=True, capture_output=True
    )
    return None


def _on_path() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)

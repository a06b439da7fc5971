"""The page's own tests of its live core, which need no browser: reducer, room, outbox, connection."""

import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("browser")]

WEB = Path(__file__).parents[2] / "clients/web"


def test_the_pages_own_tests_pass() -> None:
    run = subprocess.run(
        ["sh", WEB / "npm.sh", "test", "--silent"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr

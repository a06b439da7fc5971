"""Drives the load generator (bench/loadgen/loadgen.c): members join once, then any number of runs."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from bench.build import c_program
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

    @property
    def faults(self) -> list[str]:
        """Why this run does not count: every command must be acknowledged and reach every member once."""
        wrong = {
            "connections lost": self.lost,
            "commands refused": self.failed,
            "commands without an ack": self.sent - self.acked,
            "members with too many or too few events": self.uneven_members,
            "events or acks that nobody waited for": self.stray,
            "deliveries off the product of commands and members": self.deliveries - self.acked * self.members,
        }
        return [f"{count} {what}" for what, count in wrong.items() if count] + (
            [self.complaint] if self.complaint else []
        )


class Load:
    """Members of one room, held by a process of their own."""

    def __init__(self, port: int, members: int, script: Script, directory: Path, *, deflate: bool) -> None:
        options: list[str | Path] = ["--port", str(port), "--members", str(members), "--event", script.event]
        for name, lines in (("auth", script.auth), ("join", script.join), ("commands", script.commands)):
            (directory / name).write_text("\n".join(lines))
            options += [f"--{name}", str(directory / name)]
        command = [c_program("loadgen"), *options, *(["--deflate"] if deflate else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = self._read()
        self.connect_seconds = float(ready["connect_seconds"])
        self.join_p99_ms = float(ready["join_p99_ms"])

    def run(self, shape: Shape, seconds: float) -> Run:
        assert self._process.stdin
        self._process.stdin.write(f"run {shape.kind} {shape.senders} {seconds} {shape.rate}\n")
        self._process.stdin.flush()
        return Run(**self._read())

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

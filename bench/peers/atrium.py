"""Atrium as `python -m server serve` starts it: durable moves, its embedded Postgres."""

import json
import os
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.build import HERE, UnavailableError
from bench.peers.peer import NIL, Call, Script, Want, rejoin_line, typings
from bench.processes import Child, family, free_port, program_of

ROOT: Final = HERE.parent
START_SECONDS: Final = 90
TASKS: Final = 20
PARTS: Final = {"postgres": "postgres", "valkey-server": "redis", "redis-server": "redis"}
NOT_OURS: Final = ("DATABASE_", "REDIS_", "S3_", "ATRIUM_")
"""Settings of the caller that would make this another server than the one described above."""


class Atrium:
    def __init__(self, *, workers: int = 1, msgpack: bool = False) -> None:
        """Several workers share the port and an embedded Valkey."""
        self._workers = workers
        self._msgpack = msgpack

    def start(self, directory: Path) -> None:
        if not (ROOT / "server" / "__main__.py").exists():
            raise UnavailableError("the server is not there: server/__main__.py")
        self.port = free_port()
        env = {name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)}
        env |= {
            "ATRIUM_DATA_DIR": str(directory / "data"),
            "ATRIUM_RATE_LIMITS": "off",
            "ATRIUM_ACCESS_TOKEN_TTL": "86400",
            "ATRIUM_LOG_LEVEL": "warning",
        }
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        command = [sys.executable, "-m", "server", "serve", *address, "--workers", str(self._workers)]
        self._child = Child(command, directory / "log", env, ROOT)
        self._child.wait_for_health(f"http://127.0.0.1:{self.port}/health", START_SECONDS)
        self._token = ""
        self._tenants = 0

    def stop(self) -> None:
        self._child.stop()

    def processes(self) -> Mapping[str, Sequence[int]]:
        parts: dict[str, list[int]] = {"server": [], "postgres": []}
        for pid in family(self._child.pid):
            parts.setdefault(PARTS.get(program_of(pid), "server"), []).append(pid)
        return parts

    def script(self, want: Want) -> Script:
        """A new tenant with a project for each room; every member is its owner, on the same token."""
        self._tenants += 1
        email = f"alice{self._tenants}@acme.example"
        account = {"email": email, "password": "correct horse battery", "name": "Alice"}
        self._token = ""
        registered = self._call("POST", "/auth/register", {**account, "tenant_name": "Bench"})
        self._token = registered["access_token"]
        tenant = registered["tenant"]["id"]
        tasks = TASKS if want.rooms == 1 else 1
        boards = [self._board(tenant, tasks) for _ in range(want.rooms)]
        self._rooms = [room for room, _ in boards]
        moves = [move for turn in zip(*(moves for _, moves in boards), strict=True) for move in turn]
        commands = typings(self._rooms) if want.signals else moves
        return Script.of({"token": self._token}, self._rooms, commands, want, msgpack=self._msgpack)

    def rejoins(self, missed: int) -> Sequence[str]:
        room = self._rooms[0]
        state = self._call("GET", f"/rooms/{room}/snapshot")
        return [rejoin_line(room, state["epoch"], state["seq"] - missed)]

    def _board(self, tenant: str, tasks: int) -> tuple[str, list[Call]]:
        """A project's room, and moves of its tasks there and back."""
        project = self._call("POST", f"/tenants/{tenant}/projects", {"name": "Board"})["project"]["id"]
        room = f"project:{project}"
        snapshot = self._call("GET", f"/rooms/{room}/snapshot")["snapshot"]
        here, there = [column["id"] for column in snapshot["columns"] if not column.get("wip_limit")][:2]
        made = [
            self._call("POST", f"/projects/{project}/tasks", {"title": f"Task {n}", "column_id": here})
            for n in range(tasks)
        ]
        return room, [
            ["task.move", {"task_id": reply["task"]["id"], "column_id": column, "command_id": NIL}]
            for column in (there, here)
            for reply in made
        ]

    def _call(self, method: str, path: str, body: object = None) -> Any:
        """The `data` of a REST reply."""
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers=headers,
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as refusal:
            raise RuntimeError(f"{method} {path}: {refusal.code} {refusal.read(500).decode()}") from refusal

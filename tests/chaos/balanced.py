"""HAProxy as deployed, before nodes of a cluster, and stock clients that follow the protocol across its nodes."""

import asyncio
import contextlib
import csv
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
import socketio

from bench.processes import free_port
from storage.child import end, ourselves, spawn
from tests.chaos.cluster import ROOT, ChaosCluster
from tests.debian import program
from tests.reducer import Store, fold, store_of
from tests.world import PATIENCE, attrs

PAUSE: Final = 0.2
"""Between two attempts to connect (seconds)."""


class Balancer:
    """HAProxy with the configuration of deploy/, but for addresses."""

    def __init__(self, cluster: ChaosCluster, directory: Path) -> None:
        self.port, self._stats = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._file, self._log = directory / "haproxy.cfg", directory / "haproxy.log"
        text = (ROOT / "deploy/haproxy.cfg").read_text()
        text = text.replace("bind :8080", f"bind 127.0.0.1:{self.port}")
        text = text.replace("bind :8404", f"bind 127.0.0.1:{free_port()}")
        text = re.sub(r" resolvers docker init-addr \S+", "", text)
        for number, node in enumerate(cluster.nodes, 1):
            text = text.replace(f"atrium-{number}:8080", f"127.0.0.1:{node.port}")
        text += f"\nfrontend stats\n    bind 127.0.0.1:{self._stats}\n    stats enable\n    stats uri /\n"
        self._file.write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        binary = await asyncio.to_thread(program, "haproxy", package="haproxy")
        assert binary is not None, "this test needs haproxy"
        self._process = spawn([binary, "-f", str(self._file)], self._log, ourselves(), signal.SIGKILL)

    async def stop(self) -> None:
        if self._process is not None:
            await end(self._process, ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)))

    async def until(self, http: aiohttp.ClientSession, number: int, status: str) -> None:
        """Wait until it takes a node (counted from 0) to be UP or DOWN."""
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"http://127.0.0.1:{self._stats}/;csv") as response:
                        rows = csv.DictReader((await response.text()).lstrip("# ").splitlines())
                        found = {(row["pxname"], row["svname"]): row["status"] for row in rows}
                    if found[("engine_sessions", f"atrium-{number + 1}")].startswith(status):
                        return
                await asyncio.sleep(0.05)


@asynccontextmanager
async def balanced(cluster: ChaosCluster, directory: Path) -> AsyncIterator[Balancer]:
    balancer = Balancer(cluster, directory)
    await balancer.start()
    try:
        yield balancer
    finally:
        await balancer.stop()


class Follower:
    """A stock client in one room: writes one command after another, goes elsewhere when told to, keeps a copy."""

    def __init__(self, url: str, token: str, room: str, *, transport: str, parser: str) -> None:
        self.url, self.token, self.room = url, token, room
        self.transport, self.parser = transport, parser
        self.acknowledged: dict[str, int] = {}
        self.draining: list[int] = []
        """How long it was told to wait (milliseconds), each time."""
        self.errors: list[Any] = []
        self.gaps: list[tuple[int, int]] = []
        self.sessions = 0
        self.position: dict[str, Any] | None = None
        self.store: Store = {}
        self.start: int | None = None
        self._joining: list[Any] | None = None
        self._client: Any = None
        self._joined = asyncio.Event()
        self._wanted_elsewhere = asyncio.Event()
        self._gone = asyncio.Event()
        self._free = asyncio.Lock()

    @property
    def name(self) -> str:
        return f"{self.parser} over {self.transport}"

    # Being there.

    async def stay(self) -> None:
        """Keep a connection, until cancelled."""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            try:
                while True:
                    await self._visit(http)
            finally:
                await self._leave()

    async def _visit(self, http: aiohttp.ClientSession) -> None:
        serializer = "msgpack" if self.parser == "msgpack" else "default"
        client = self._client = socketio.AsyncClient(
            reconnection=False, http_session=http, serializer=serializer
        )
        self._gone, self._wanted_elsewhere = asyncio.Event(), asyncio.Event()
        client.on("*", self._heard)
        client.on("disconnect", lambda *_: self._gone.set())
        client.on("connect_error", self._turned_away)
        path = "msgpack/socket.io" if self.parser == "msgpack" else "socket.io"
        try:
            await client.connect(
                self.url, auth={"token": self.token}, transports=[self.transport], socketio_path=path,
                wait_timeout=PATIENCE,
            )  # fmt: skip
            await self._join()
        except (socketio.exceptions.SocketIOError, aiohttp.ClientError, OSError):
            await self._leave()
            await asyncio.sleep(PAUSE)
            return
        self.sessions += 1
        self._joined.set()
        waits = [asyncio.create_task(event.wait()) for event in (self._gone, self._wanted_elsewhere)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if not self._gone.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), self.draining[-1] / 1000)
        self._joined.clear()
        async with self._free:  # what is under way is answered first
            await self._leave()

    async def _leave(self) -> None:
        if self._client is not None and self._client.connected:
            await self._client.disconnect()

    def _turned_away(self, data: Any = None) -> None:
        if isinstance(data, dict):  # the server's own word; a failed attempt has none
            self.errors.append(data)

    async def _join(self) -> None:
        self._joining = []
        reply = await self._client.call(
            "room.join", {"room": self.room, "since": self.position}, timeout=PATIENCE
        )
        if not reply["success"]:
            self.errors.append(reply)
            raise socketio.exceptions.ConnectionError
        data, held, self._joining = reply["data"], self._joining, None
        if data["mode"] == "snapshot":
            self.store, self.position = (
                store_of(data["snapshot"]),
                {"epoch": data["epoch"], "seq": data["seq"]},
            )
            self.start = data["seq"] if self.start is None else self.start
        for event in (*data.get("events", ()), *held):
            self._take(event)

    def _heard(self, name: str, data: Any = None) -> None:
        if name == "server.draining":
            self.draining.append(data["reconnect_in_ms"])
            self._wanted_elsewhere.set()
        elif isinstance(data, dict) and data.get("room") == self.room and "at" in data:
            if self._joining is not None:
                self._joining.append(data)
            else:
                self._take(data)

    def _take(self, event: Any) -> None:
        assert self.position is not None
        if event["seq"] != self.position["seq"] + 1:
            self.gaps.append((self.position["seq"], event["seq"]))
        self.position["seq"] = event["seq"]
        fold(self.store, [event])

    # Writing.

    async def write(self, tasks: list[str], columns: list[str], over: asyncio.Event) -> None:
        """Move tasks until told to stop; what was not answered is sent again under its id."""
        turn = 0
        while not over.is_set():
            turn += 1
            move = {"task_id": tasks[turn % len(tasks)], "column_id": columns[turn % len(columns)]}
            await self._insist({**move, "command_id": str(uuid4())})
            await asyncio.sleep(0.02)

    async def _insist(self, move: dict[str, str]) -> None:
        while True:
            await self._joined.wait()
            async with self._free:
                if not self._joined.is_set():
                    continue
                try:
                    reply = await self._client.call("task.move", move, timeout=PATIENCE)
                except (socketio.exceptions.SocketIOError, aiohttp.ClientError, OSError):
                    await asyncio.sleep(PAUSE)
                    continue
            if reply["success"]:
                self.acknowledged[move["command_id"]] = attrs(reply).meta.seq
                return
            self.errors.append(reply)
            await asyncio.sleep(PAUSE)

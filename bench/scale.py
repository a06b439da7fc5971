"""`python -m bench.scale`: a tenant of 1,000,000 tasks, and how long one waits in it.

Loads the tenant (server/scale.py) into an embedded Postgres where it is not there yet, serves it in a process of its own,
and asks for boards, lists, comments and moves as alice does, one after the other. What is timed is what a client sees.
"""

import asyncio
import itertools
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import asyncpg
import orjson
import socketio
import typer
from rich.console import Console
from rich.table import Table

from bench.build import HERE
from bench.processes import STOP_SECONDS, free_port
from server.app import DATABASE
from server.demo import ACCOUNTS, PASSWORD
from server.scale import SLUG
from storage.embedded import EmbeddedPostgres
from storage.settings import Settings

BUDGET_MS: Final = 100.0
"""What the 95th percentile of everything here must stay below, but for what changes many tasks at once."""
BULK_BUDGET_MS: Final = 2_000.0
MANY: Final = 1_000
"""Tasks that one command changes at once."""
WARM: Final = 20
"""Requests of each kind before those that count."""
START_SECONDS: Final = 90
DEFAULT_WINDOW: Final = Settings.model_fields["snapshot_window"].default
MESSAGE_BYTES: Final = 64 * 1024 * 1024
HUGE: Final = 5_000
"""The widest window that a join may ask for: every card of the big board."""


@dataclass(frozen=True)
class Step:
    """One kind of request, and the budget for it, if there is one."""

    name: str
    ask: Callable[[], Awaitable[Any]]
    bound: bool = True
    budget_ms: float = BUDGET_MS


@dataclass
class Scale:
    """Alice in the tenant, by HTTP and by socket."""

    http: aiohttp.ClientSession
    socket: Any
    tenant_id: str
    boards: dict[str, str]
    tasks: dict[str, list[Any]]
    columns: dict[str, list[str]]

    async def get(self, path: str, **params: object) -> Any:
        async with self.http.get(f"/api/v1{path}", params={k: str(v) for k, v in params.items()}) as response:
            body = orjson.loads(await response.read())
            if not body["success"]:
                raise RuntimeError(f"{path}: {body['error']}")
            return body

    async def call(self, name: str, **payload: object) -> Any:
        reply = await self.socket.call(name, payload, timeout=30)
        if not reply["success"]:
            raise RuntimeError(f"{name}: {reply['error']}")
        return reply["data"]


def main(
    *,
    data: Annotated[
        Path, typer.Option(help="Data directory; the tenant is loaded where it is not there.")
    ] = HERE / "build" / "scale",
    tasks: Annotated[int, typer.Option(help="Tasks of the tenant, when it is loaded.")] = 1_000_000,
    projects: Annotated[int, typer.Option(help="Its projects.")] = 10_000,
    requests: Annotated[int, typer.Option(min=20, help="Requests of each kind.")] = 300,
    out: Annotated[Path, typer.Option(help="Directory of the result files.")] = HERE / "results",
    strict: Annotated[bool, typer.Option("--strict", help="Fail when a figure is above the budget.")] = False,
) -> None:
    """Measure a large tenant; see docs/operations.md."""
    environment = {
        **os.environ,
        "ATRIUM_DATA_DIR": str(data),
        "ATRIUM_RATE_LIMITS": "off",
        "ATRIUM_LOG_LEVEL": "warning",
    }
    size = ["--tasks", str(tasks), "--projects", str(projects)]
    subprocess.run([sys.executable, "-m", "server", "demo", "--scale", *size], env=environment, check=True)
    figures, about = asyncio.run(_measure(environment, requests))
    Console(width=None if Console().is_terminal else 120).print(_table(figures))
    path = _keep(out, figures, about)
    print(path)
    good = all(figure["p95_ms"] < figure["budget_ms"] for figure in figures if figure["bound"])
    raise typer.Exit(1 if strict and not good else 0)


async def _measure(environment: dict[str, str], requests: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    async with _server(environment) as url, _alice(url, await _tenant(environment)) as scale:
        about = {
            "tasks": sum(len(found) for found in scale.tasks.values()),
            "boards": {name: len(found) for name, found in scale.tasks.items()},
        }
        return [await _timed(step, requests) for step in _steps(scale)], about


async def _timed(step: Step, requests: int) -> dict[str, Any]:
    light = step.bound and step.budget_ms == BUDGET_MS
    requests = requests if light else max(20, requests // 10)
    for _ in range(WARM if light else 2):
        await step.ask()
    taken = []
    for _ in range(requests):
        began = time.perf_counter()
        await step.ask()
        taken.append((time.perf_counter() - began) * 1000)
    cuts = statistics.quantiles(taken, n=100, method="inclusive")
    return {
        "name": step.name, "bound": step.bound, "budget_ms": step.budget_ms, "requests": requests, "p50_ms": round(cuts[49], 2), "p95_ms": round(cuts[94], 2),
        "p99_ms": round(cuts[98], 2), "max_ms": round(max(taken), 2),
    }  # fmt: skip


def _steps(scale: Scale) -> list[Step]:
    dice = random.Random(7)
    big, plain = scale.boards["big"], scale.boards["plain"]
    lists, mine = f"/projects/{big}/tasks", f"/tenants/{scale.tenant_id}/tasks"
    talked = scale.tasks["big"][0]["id"]
    now = datetime.now(UTC)
    week = {"due_from": now.isoformat(), "due_before": (now + timedelta(days=7)).isoformat()}
    assignee = next(task["assignee_ids"][0] for task in scale.tasks["big"] if task["assignee_ids"])
    status = scale.tasks["big"][0]["status_id"]

    def join(board: str, **more: object) -> Callable[[], Awaitable[Any]]:
        return lambda: scale.call("room.join", room=f"project:{board}", **more)

    def read(path: str, **params: object) -> Callable[[], Awaitable[Any]]:
        return lambda: scale.get(path, **params)

    def move(board: str) -> Callable[[], Awaitable[Any]]:
        async def one() -> Any:
            task = dice.choice(scale.tasks[board])["id"]
            return await scale.call("task.move", task_id=task, column_id=dice.choice(scale.columns[board]))

        return one

    turns = itertools.count(1)

    def many(**changes: Callable[[int], object]) -> Callable[[], Awaitable[Any]]:
        """Change a thousand tasks of the big board, each time to other values."""

        async def one() -> Any:
            ids = [task["id"] for task in scale.tasks["big"][:MANY]]
            values = {name: value(next(turns)) for name, value in changes.items()}
            reply = await scale.call("tasks.update", project_id=big, task_ids=ids, **values)
            if reply["done"] != len(ids):
                raise RuntimeError(f"tasks.update: {reply['done']} of {len(ids)} are done")
            return reply

        return one

    def comment() -> Awaitable[Any]:
        return scale.call("comment.add", task_id=scale.tasks["plain"][0]["id"], body=f"Remark {next(turns)}")

    cursors: dict[str, str] = {}

    async def deep_page(order: str) -> Any:
        if order not in cursors:
            place = None
            for _ in range(9):
                more: dict[str, object] = {"cursor": place} if place else {}
                page = await scale.get(f"/tasks/{talked}/comments", limit=100, order=order, **more)
                place = page["meta"]["pagination"]["next"] or place
            cursors[order] = str(place)
        return await scale.get(f"/tasks/{talked}/comments", limit=100, order=order, cursor=cursors[order])

    return [
        Step("board of 100 tasks", join(plain)),
        Step("board of 5,000 tasks, window 100", join(big, window={"tasks": 100})),
        Step(f"board of 5,000 tasks, the default window ({DEFAULT_WINDOW})", join(big)),
        Step("board of 5,000 tasks, all of them", join(big, window={"tasks": HUGE}), bound=False),
        Step(
            "the tenant's room, with 10,000 projects",
            lambda: scale.call("room.join", room=f"tenant:{scale.tenant_id}"),
            bound=False,
        ),
        Step("list: by number", read(lists)),
        Step("list: 100 by number", read(lists, limit=100)),
        Step("list: one person's, of one status", read(lists, assignee_id=assignee, status_id=status)),
        Step("list: urgent and open", read(lists, priority="urgent", open=True)),
        Step("list: of one tag", read(lists, tag="round-4")),
        Step("list: text in the title", read(lists, text="ITEM 4999 OF")),
        Step("list: text that nothing has", read(lists, text="no such words")),
        Step("list: due in a week, by due date", read(lists, sort="due_at", **week)),
        Step("list: by due date", read(lists, sort="due_at")),
        Step("list: by last change", read(lists, sort="updated_at")),
        Step("my tasks", read(mine)),
        Step("my tasks: open, due in a week", read(mine, open=True, **week)),
        Step("somebody's tasks", read(mine, assignee_id=assignee, open=True)),
        Step("my tasks in one project", read(mine, project_ids=plain)),
        Step("projects by name", read(f"/tenants/{scale.tenant_id}/projects")),
        Step("comments: the newest 50", read(f"/tasks/{talked}/comments")),
        Step("comments: the oldest 100", read(f"/tasks/{talked}/comments", order="oldest", limit=100)),
        Step("comments: the tenth page of 100", lambda: deep_page("newest")),
        Step("comments: the tenth page, oldest first", lambda: deep_page("oldest")),
        Step("comment on a task", comment),
        Step("move on the board of 100", move("plain")),
        Step("move on the board of 5,000", move("big")),
        Step(
            "change 1,000 tasks at once",
            many(changes=lambda turn: {"priority": ("low", "high")[turn % 2], "estimate_minutes": turn}),
            budget_ms=BULK_BUDGET_MS,
        ),
        Step(
            "move 1,000 tasks at once",
            many(column_id=lambda turn: scale.columns["big"][turn % 3]),
            budget_ms=BULK_BUDGET_MS,
        ),
        Step("missed events of a board", join_missed(scale, plain)),
    ]


def join_missed(scale: Scale, board: str) -> Callable[[], Awaitable[Any]]:
    """Coming back to a board 20 events later."""
    known: dict[str, Any] = {}

    async def one() -> Any:
        if not known:
            known.update(await scale.call("room.join", room=f"project:{board}"))
        since = {"epoch": known["epoch"], "seq": known["seq"] - 20}
        return await scale.call("room.join", room=f"project:{board}", since=since)

    return one


@asynccontextmanager
async def _server(environment: dict[str, str]) -> AsyncIterator[str]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server", "serve", "--port", str(port), env=environment
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await _ready(url, process)
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), STOP_SECONDS)


async def _tenant(environment: dict[str, str]) -> str:
    address = EmbeddedPostgres(Path(environment["ATRIUM_DATA_DIR"])).beside(DATABASE)
    if address is None:
        raise RuntimeError("the server has no Postgres in the data directory")
    connection = await asyncpg.connect(address)
    try:
        return str(await connection.fetchval("SELECT id FROM tenants WHERE slug = $1", SLUG))
    finally:
        await connection.close()


async def _ready(url: str, process: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < deadline and process.returncode is None:
            try:
                async with http.get(f"{url}/health/ready") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    raise RuntimeError("the server does not start")


@asynccontextmanager
async def _alice(url: str, tenant_id: str) -> AsyncIterator[Scale]:
    credentials = {"email": ACCOUNTS[0]["email"], "password": PASSWORD}
    async with aiohttp.ClientSession(url) as http:
        async with http.post("/api/v1/auth/login", json=credentials) as response:
            token = (await response.json())["data"]["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        async with http.post(f"/api/v1/tenants/{tenant_id}/switch") as response:
            token = (await response.json())["data"]["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        # The whole of the big board is more than a client of aiohttp takes by itself (4 MB).
        socket = socketio.AsyncClient(
            reconnection=False, websocket_extra_options={"max_msg_size": MESSAGE_BYTES}
        )
        await socket.connect(url, auth={"token": token}, transports=["websocket"])
        try:
            yield await _look_around(Scale(http, socket, tenant_id, {}, {}, {}))
        finally:
            await socket.disconnect()


async def _look_around(scale: Scale) -> Scale:
    """Find the big board and the plain one, by their keys."""
    place: dict[str, str] = {}
    wanted = {"S1": "big", "S2": "plain"}
    while len(scale.boards) < len(wanted):
        page = await scale.get(f"/tenants/{scale.tenant_id}/projects", limit=100, **place)
        for project in page["data"]["projects"]:
            if name := wanted.get(project["key"]):
                scale.boards[name] = project["id"]
        place = {"cursor": page["meta"]["pagination"]["next"]}
    for name, board in scale.boards.items():
        state = (await scale.call("room.join", room=f"project:{board}", window={"tasks": HUGE}))["snapshot"]
        scale.tasks[name] = state["tasks"]
        scale.columns[name] = [column["id"] for column in state["columns"]]
    scale.tasks["big"].sort(key=lambda task: int(task["key"].partition("-")[2]))
    return scale


def _table(figures: list[dict[str, Any]]) -> Table:
    table = Table("request", "p50 ms", "p95 ms", "p99 ms", "max ms", "p95 in its budget")
    for figure in figures:
        good = figure["p95_ms"] < figure["budget_ms"]
        verdict = f"{'[green]yes' if good else '[red]NO'}[/] ({figure['budget_ms']:,.0f} ms)"
        verdict = verdict if figure["bound"] else "(no budget)"
        cells = [f"{figure[name]:,.1f}" for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")]
        table.add_row(figure["name"], *cells, verdict)
    return table


def _keep(out: Path, figures: list[dict[str, Any]], about: dict[str, Any]) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{datetime.now(UTC):%Y-%m-%d}-scale.json"
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()}
    body = {"at": datetime.now(UTC).isoformat(), "machine": machine, "tenant": about, "figures": figures}
    path.write_text(json.dumps(body, indent=2) + "\n")
    return path


if __name__ == "__main__":
    typer.run(main)

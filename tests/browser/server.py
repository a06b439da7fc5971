"""The real server as a process of its own, and a few REST calls to lay out a board in it."""

import asyncio
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

ROOT: Final = Path(__file__).parents[2]
STARTS_WITHIN: Final = 60.0
STOPS_WITHIN: Final = 30.0
PASSWORD: Final = "a long password of mine"  # of accounts that tests make
ELSEWHERE: Final = ("DATABASE_URL", "REDIS_URL", "S3_")
"""Settings that would lead the server to stores outside its own directory."""


class RestartableServer:
    """`python -m server serve --demo` on a port and a data directory that outlive the process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = _free_port()
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def mail(self) -> Path:
        """Where mails are written, one file each."""
        return self._directory / "data" / "mail"

    async def start(self, **settings: str) -> None:
        """Start it; `settings` go into its environment beside the usual ones."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ELSEWHERE)}
        environment |= {
            "ATRIUM_DATA_DIR": str(self._directory / "data"),
            "ATRIUM_RATE_LIMITS": "off",
            "ATRIUM_DRAIN_SECONDS": "1",
            **settings,
        }
        where = ("--host", "127.0.0.1", "--port", str(self._port))
        command = [sys.executable, "-m", "server", "serve", *where, "--demo"]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        await self._healthy()

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOPS_WITHIN)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise AssertionError(f"the server did not stop on SIGTERM:\n{self._log.read_text()}") from None

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    @property
    def _log(self) -> Path:
        return self._directory / "server.log"

    async def _healthy(self) -> None:
        assert self._process is not None
        deadline = asyncio.get_running_loop().time() + STARTS_WITHIN
        async with aiohttp.ClientSession() as session:
            while asyncio.get_running_loop().time() < deadline:
                if self._process.returncode is not None:
                    break
                try:
                    async with session.get(f"{self.url}/health") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.1)
        raise AssertionError(f"the server did not start:\n{self._log.read_text()}")


@dataclass(frozen=True)
class Project:
    id: str
    name: str


class Rest:
    """REST as Alice."""

    def __init__(self, url: str) -> None:
        self._session = aiohttp.ClientSession(f"{url}/api/v1/")
        self._tenant_id = ""

    async def __aenter__(self) -> Self:
        signed_in = await self._post("auth/login", email="alice@acme.example", password="atrium-demo")
        self._session.headers["Authorization"] = f"Bearer {signed_in['access_token']}"
        self._tenant_id = signed_in["tenant"]["id"]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def register(self, name: str) -> str:
        """A fresh account with a team of its own; gives its address."""
        email = f"{name}-{os.urandom(3).hex()}@acme.example"
        await self._post(
            "auth/register",
            email=email,
            password=PASSWORD,
            name=name.capitalize(),
            tenant_name=f"{name} and friends",
        )
        return email

    async def create_project(self, cards: dict[str, list[str]]) -> Project:
        """A project of the default columns with these cards in them."""
        created = await self._post(f"tenants/{self._tenant_id}/projects", name=f"Board {os.urandom(3).hex()}")
        project = Project(created["project"]["id"], created["project"]["name"])
        columns = await self.columns(project)
        for column, titles in cards.items():
            for title in titles:
                await self._post(f"projects/{project.id}/tasks", title=title, column_id=columns[column])
        return project

    async def columns(self, project: Project) -> dict[str, str]:
        return {column["name"]: column["id"] for column in (await self._snapshot(project))["columns"]}

    async def board(self, project: Project) -> dict[str, list[str]]:
        """The titles in each column, in order, as the server has them."""
        snapshot = await self._snapshot(project)
        tasks = sorted(snapshot["tasks"], key=lambda task: (task["position"], task["id"]))
        return {
            column["name"]: [task["title"] for task in tasks if task["column_id"] == column["id"]]
            for column in sorted(snapshot["columns"], key=lambda column: (column["position"], column["id"]))
        }

    async def _snapshot(self, project: Project) -> dict[str, Any]:
        async with self._session.get(f"rooms/project:{project.id}/snapshot") as response:
            snapshot: dict[str, Any] = (await response.json())["data"]["snapshot"]
            return snapshot

    async def put(self, path: str, **body: object) -> dict[str, Any]:
        """Change something of the tenant."""
        return await self._call("PUT", f"tenants/{self._tenant_id}/{path}", body)

    async def post(self, path: str, **body: object) -> dict[str, Any]:
        """Do something with the tenant."""
        return await self._call("POST", f"tenants/{self._tenant_id}/{path}", body)

    async def _post(self, path: str, **body: object) -> dict[str, Any]:
        return await self._call("POST", path, body)

    async def _call(self, method: str, path: str, body: dict[str, object]) -> dict[str, Any]:
        async with self._session.request(method, path, json=body) as response:
            reply = await response.json()
            assert reply["success"], reply
            data: dict[str, Any] = reply["data"]
            return data


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port

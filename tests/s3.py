"""A real S3 service that checks signatures: `rclone serve s3`, with a directory for each bucket."""

import asyncio
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import botocore.session

ACCESS, SECRET = "atrium-tests", "a secret of tests"


@dataclass(frozen=True)
class S3:
    """A running service."""

    url: str
    root: Path
    client: Any

    def bucket(self) -> dict[str, Any]:
        """A fresh bucket, as settings."""
        name = f"files-{uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name)
        return {
            "s3_bucket": name, "s3_endpoint": self.url, "s3_access_key": ACCESS, "s3_secret_key": SECRET,
            "s3_timeout": 10,
        }  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program() -> str:
    """That of the environment that runs the tests, or of the machine."""
    own = Path(sys.executable).with_name("rclone")
    found = str(own) if own.exists() else shutil.which("rclone")
    assert found, "rclone is missing: make setup"
    return found


@asynccontextmanager
async def serving_s3(root: Path) -> AsyncIterator[S3]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    process = await asyncio.create_subprocess_exec(
        program(), "serve", "s3", f"--addr=127.0.0.1:{port}", f"--auth-key={ACCESS},{SECRET}", "--config=",
        str(root),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await _answers(url)
        keys = {"aws_access_key_id": ACCESS, "aws_secret_access_key": SECRET}
        client = botocore.session.get_session().create_client("s3", "us-east-1", endpoint_url=url, **keys)
        yield S3(url, root, client)
    finally:
        process.terminate()
        await process.wait()


async def _answers(url: str) -> None:
    async with asyncio.timeout(20), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(url):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)

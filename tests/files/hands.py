"""What tests do with files."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote
from uuid import UUID

import aiohttp

from tests.world import World, attrs


async def upload(
    world: World, data: Any, name: str = "notes.txt", *, by: str = "alice", project_id: str | None = None, **more: Any
) -> Any:  # fmt: skip
    """Send bytes as a body; the envelope with `status` and `headers` beside it."""
    bearer = {"Authorization": f"Bearer {await world.token(by)}", **more.pop("headers", {})}
    path = f"/projects/{project_id or world.project_id}/files?name={quote(name, safe='')}"
    body = io.BytesIO(data) if isinstance(data, bytes) else data
    return await world.request("POST", path, data=body, headers=bearer, **more)


async def uploaded(world: World, data: Any = b"Two coats\n", name: str = "notes.txt", **more: Any) -> Any:
    """The file that came of it."""
    reply = await upload(world, data, name, **more)
    assert (reply.status, reply.success) == (201, True), reply
    return reply.data.file


async def fetch(
    world: World, file_id: str, *, by: str = "alice", method: str = "GET", **headers: str
) -> tuple[Any, bytes]:
    """The bytes of a file as they come."""
    bearer = {"Authorization": f"Bearer {await world.token(by)}"}
    bearer |= {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{world.url}/api/v1/files/{file_id}/content"
    async with world.http.request(method, url, headers=bearer) as response:
        return response, await response.read()


async def rows(world: World) -> list[Any]:
    async with world.sql() as db:
        found = await db.fetch("SELECT * FROM files ORDER BY created_at, id")
    return [attrs(dict(row)) for row in found]


async def used(world: World) -> int:
    """What counts against the quota of acme (bytes): all of whose bytes there may be any."""
    async with world.sql() as db:
        counted = await db.fetchval(
            "SELECT bytes FROM file_usage WHERE tenant_id = $1", UUID(world.tenant_id)
        )
        summed = await db.fetchval(
            "SELECT coalesce(sum(size), 0) FROM files WHERE tenant_id = $1", UUID(world.tenant_id)
        )
    assert counted == summed
    return int(counted)


async def blobs(world: World) -> list[str]:
    """The keys of all bytes there are."""
    return sorted([one.key async for one in world.node.blobs.stored("tenant/")])


async def nothing(world: World) -> bool:
    """Whether neither rows nor bytes are there."""
    return not await rows(world) and not await blobs(world)


@contextlib.asynccontextmanager
async def wire(world: World) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of one's own, to be cut off at will."""
    host, port = world.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def form(data: bytes, filename: str | None = "notes.txt", **fields: str) -> aiohttp.FormData:
    """The same as a form."""
    made = aiohttp.FormData(fields)
    made.add_field("file", io.BytesIO(data), filename=filename, content_type="text/html")
    return made

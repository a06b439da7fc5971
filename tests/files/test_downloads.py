"""Bytes come down: to whoever sees the project, in parts if asked, and never as something that a browser would run."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.files.hands import blobs, fetch, uploaded, wire
from tests.pictures import picture
from tests.world import World

DATA = bytes(range(256)) * 4


async def test_what_is_said_of_the_bytes(desk: World) -> None:
    file = await uploaded(desk, DATA, "Übersicht.bin")
    response, data = await fetch(desk, file.id)
    assert data == DATA
    said = response.headers
    assert response.status == 200
    assert said["Content-Length"] == str(len(DATA))
    assert said["Content-Type"] == "application/octet-stream"
    assert said["Content-Disposition"] == (
        "attachment; filename=\"_bersicht.bin\"; filename*=UTF-8''%C3%9Cbersicht.bin"
    )
    assert said["X-Content-Type-Options"] == "nosniff"
    assert said["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert said["Cache-Control"] == "private, no-cache"
    assert said["ETag"] == f'"{file.sha256}"'
    assert said["Accept-Ranges"] == "bytes"
    assert said["X-Request-Id"]
    head, nothing = await fetch(desk, file.id, method="HEAD")
    assert nothing == b""
    assert head.status == 200
    for name in set(said) - {"Date", "X-Request-ID"}:
        assert head.headers[name] == said[name], name


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-9", 206, DATA[:10]),
        ("bytes=1000-", 206, DATA[1000:]),
        ("bytes=-24", 206, DATA[-24:]),
        ("bytes=-9999", 206, DATA),
        ("bytes=1023-9999", 206, DATA[1023:]),
        ("bytes=0-0", 206, DATA[:1]),
        ("bytes=1024-", 416, b""),
        ("bytes=9999-99999", 416, b""),
        ("bytes=-0", 416, b""),
        ("bytes=9-3", 200, DATA),
        ("bytes=0-1,5-6", 200, DATA),
        ("bytes=-", 200, DATA),
        ("bytes=a-b", 200, DATA),
        ("bytes=\u0660-\u0669", 200, DATA),
        ("lines=0-1", 200, DATA),
        ("bytes=" + "9" * 500 + "-", 200, DATA),
    ],
)
async def test_a_part_of_them(shared: World, asked: str, status: int, part: bytes) -> None:
    file = await uploaded(shared, DATA)
    response, data = await fetch(shared, file.id, Range=asked)
    assert (response.status, data) == (status, part)
    if status == 206:
        first, _, rest = response.headers["Content-Range"].removeprefix("bytes ").partition("-")
        assert rest == f"{int(first) + len(part) - 1}/1024"
        assert DATA[int(first) :][: len(part)] == part
    if status == 416:
        assert response.headers["Content-Range"] == "bytes */1024"


async def test_conditions(shared: World) -> None:
    file = await uploaded(shared, DATA)
    tag = f'"{file.sha256}"'
    for condition in (tag, f'"x", W/{tag}', "*"):
        response, data = await fetch(shared, file.id, If_None_Match=condition)
        assert (response.status, data, response.headers["ETag"]) == (304, b"", tag)
    assert (await fetch(shared, file.id, If_None_Match='"x"'))[1] == DATA
    assert (await fetch(shared, file.id, If_Range=tag, Range="bytes=0-3"))[1] == DATA[:4]
    assert (await fetch(shared, file.id, If_Range='"x"', Range="bytes=0-3"))[1] == DATA


async def test_an_empty_file(desk: World) -> None:
    file = await uploaded(desk, b"")
    response, data = await fetch(desk, file.id)
    assert (response.status, data, response.headers["Content-Length"]) == (200, b"", "0")
    assert (await fetch(desk, file.id, Range="bytes=0-"))[0].status == 416


@pytest.mark.parametrize(
    "data",
    [
        b"<!doctype html><script>alert(1)</script>",
        b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        b"alert(1)",
        b"%PDF-1.7\n<script>alert(1)</script>",
        b"BM<script>alert(1)</script>",
    ],
)
async def test_nothing_that_runs_is_shown(shared: World, data: bytes) -> None:
    for name in ("x.html", "x.svg", "x.png"):
        file = await uploaded(shared, data, name, headers={"Content-Type": "image/png"})
        response, _ = await fetch(shared, file.id)
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.headers["Content-Disposition"].startswith("attachment; ")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
async def test_pictures_are_shown_as_pictures_whatever_else_they_are(shared: World, kind: str) -> None:
    """A polyglot: a good picture, with a page behind it."""
    data = picture(kind) + b"<html><script>alert(1)</script></html>"
    file = await uploaded(shared, data, "x.html")
    response, got = await fetch(shared, file.id)
    assert got == data
    assert response.headers["Content-Type"] == f"image/{kind.lower()}"
    assert response.headers["Content-Disposition"].startswith("inline; ")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    ("who", "status"),
    [("admin", 200), ("viewer", 200), ("carol", 200), ("gus", 200), ("mallory", 404)],
)
async def test_whoever_sees_the_project_reads(shared: World, who: str, status: int) -> None:
    file = await uploaded(shared, DATA)
    for method in ("GET", "HEAD"):
        assert (await fetch(shared, file.id, by=who, method=method))[0].status == status
    reply = await shared.person(who).rest("GET", f"/files/{file.id}")
    assert reply.status == status
    assert (await shared.request("GET", f"/files/{file.id}/content")).status == 401


async def test_who_does_not_see_the_project_any_more_does_not_read(plain: World) -> None:
    alice = await plain.person("alice").connect()
    hidden = (await alice.send("project.create", name="Hidden")).data.project.id
    file = await uploaded(plain, DATA, project_id=hidden)
    assert (await fetch(plain, file.id, by="carol"))[0].status == 404
    here = await uploaded(plain, DATA)
    out = {"project_id": plain.project_id, "user_id": plain.user_ids["carol"]}
    assert (await alice.call("project.remove_member", out)).success
    assert (await fetch(plain, here.id, by="carol"))[0].status == 404
    for wrong in (str(uuid4()), "x", "..%2f..%2fsecret"):
        assert (await fetch(plain, wrong))[0].status in (404, 422)


async def test_no_byte_of_another_tenant(plain: World) -> None:
    """The same id, asked for by everybody else: nothing of it, not even that it is there."""
    canary = b"canary-" + os.urandom(8).hex().encode()
    async with plain.sql() as db:
        theirs = str(await db.fetchval("SELECT id FROM projects WHERE name = 'Rival plans'"))
    file = await uploaded(plain, canary, "canary.txt", by="mallory", project_id=theirs)
    [key] = await blobs(plain)
    assert not key.startswith(f"tenant/{plain.tenant_id}/")
    alice = await plain.person("alice").connect()
    for reply in (
        await alice.send("file.get", file_id=file.id),
        await alice.send("file.get", file_id=file.id, room=plain.project),
        await alice.send("file.delete", file_id=file.id, room=plain.project),
        await alice.send("file.rename", file_id=file.id, room=plain.project, name="mine"),
        await alice.send("file.list", project_id=theirs),
    ):
        assert (reply.success, reply.error.code) == (False, "NOT_FOUND")
    response, body = await fetch(plain, file.id)
    assert response.status == 404
    assert canary not in body
    assert b"canary.txt" not in body


async def test_bytes_that_are_not_there_are_told(desk: World) -> None:
    file = await uploaded(desk, DATA)
    await desk.node.blobs.delete(await blobs(desk))
    response, _ = await fetch(desk, file.id)
    assert response.status == 503


async def test_bytes_that_have_all_gone_are_told(plain: World) -> None:
    file = await uploaded(plain, DATA)
    [key] = await blobs(plain)
    os.truncate(plain.node.settings.data_dir / "blobs" / key, 0)
    response, _ = await fetch(plain, file.id)
    assert response.status == 503


async def test_only_get_asks_for_a_part(shared: World) -> None:
    file = await uploaded(shared, DATA)
    for asked in ("bytes=0-9", "bytes=9999-"):
        response, _ = await fetch(shared, file.id, method="HEAD", Range=asked)
        assert (response.status, response.headers["Content-Length"]) == (200, "1024")
        assert "Content-Range" not in response.headers


async def download_by_hand(world: World, file_id: str) -> bytes:
    """What asks for a file, on a connection of one's own."""
    token = await world.token("alice")
    return (
        f"GET /api/v1/files/{file_id}/content HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()


async def test_who_takes_no_more_is_cut_off(
    worlds: Callable[..., Any], s3: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whoever waited for its place has it."""
    monkeypatch.setattr("storage.blobs.DOWNLOADS", 2)
    world = await worlds(data_dir=tmp_path, file_silence=1, **s3.bucket())
    file = await uploaded(world, os.urandom(40_000_000))
    async with wire(world) as (one, first), wire(world) as (two, second):
        for writer in (first, second):  # whose readers take what they hold at most, and then no more
            writer.write(await download_by_hand(world, file.id))
        await asyncio.sleep(0.5)
        response, part = await asyncio.wait_for(fetch(world, file.id, Range="bytes=0-3"), 20)
        assert (response.status, len(part)) == (206, 4)
        taken = await asyncio.wait_for(asyncio.gather(one.read(), two.read()), 20)
        assert min(map(len, taken)) < 40_000_000


async def test_who_takes_little_is_not_cut_off(worlds: Callable[..., Any], tmp_path: Any) -> None:
    """Much less in that time than is written at once."""
    world = await worlds(data_dir=tmp_path, file_silence=1)
    file = await uploaded(world, os.urandom(20_000_000))
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        loop, (host, port) = asyncio.get_running_loop(), world.url.removeprefix("http://").split(":")
        await loop.sock_connect(slow, (host, int(port)))
        await loop.sock_sendall(slow, await download_by_hand(world, file.id))
        for _ in range(30):
            await asyncio.sleep(0.1)
            assert await loop.sock_recv(slow, 4096)
        got = 0
        while some := await asyncio.wait_for(loop.sock_recv(slow, 1 << 20), 20):
            got += len(some)
    assert got > 19_000_000


async def test_bytes_that_have_gone_short_cut_the_connection(
    worlds: Callable[..., Any], tmp_path: Any
) -> None:
    world = await worlds(data_dir=tmp_path)
    file = await uploaded(world, os.urandom(3_000_000))
    [path] = [path for path in (tmp_path / "blobs/tenant").rglob("*") if path.is_file()]
    os.truncate(path, 1_000_000)
    with pytest.raises(Exception, match=r"(?i)payload|closed|reset|disconnected"):
        await fetch(world, file.id)

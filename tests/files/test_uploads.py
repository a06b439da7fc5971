"""Bytes go up: whole or not at all, whatever is sent, and by whomever."""

import asyncio
import gzip
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import storage.blobs
from tests.files.hands import blobs, fetch, form, nothing, rows, upload, uploaded, used, wire
from tests.pictures import picture
from tests.s3 import free_port
from tests.world import World, eventually

LARGE = 20_000_000


async def slowly(data: bytes, at_once: int = 300_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), at_once):
        yield data[at : at + at_once]


@pytest.mark.parametrize("size", [0, 1, LARGE])
async def test_what_goes_up_comes_down(desk: World, size: int) -> None:
    data = os.urandom(size)
    bob = await desk.person("bob").connect()
    await bob.join(desk.project)
    file = await uploaded(desk, slowly(data), "bytes.bin")
    assert (file.size, file.sha256) == (size, hashlib.sha256(data).hexdigest())
    heard = await bob.hears("file.added")
    assert heard.data.file == file
    assert (await fetch(desk, file.id, by="bob"))[1] == data
    [key] = await blobs(desk)
    assert key.startswith(f"tenant/{desk.tenant_id}/files/")
    assert file.id not in key, "another content will be another blob"


async def test_a_form_is_as_good(desk: World) -> None:
    data = os.urandom(3_000_000)
    file = (await upload_form(desk, form(data, "report.pdf"))).data.file
    assert (file.name, file.size) == ("report.pdf", len(data))
    assert (await fetch(desk, file.id))[1] == data
    other = await upload_form(desk, form(b"x", "blob", name="Named.txt"))
    assert other.data.file.name == "Named.txt"


async def upload_form(world: World, data: Any, **headers: str) -> Any:
    bearer = {"Authorization": f"Bearer {await world.token('alice')}", **headers}
    return await world.request("POST", f"/projects/{world.project_id}/files", data=data, headers=bearer)


def part(disposition: str, body: bytes = b"x") -> bytes:
    return f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + body + b"\r\n"


FILE = part('name="file"; filename="x"')
END = b"--b--\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form at all",
        part('name="other"') + END,
        FILE,
        FILE[:-4],
        FILE + FILE + END,
        FILE + part('name="name"') + END,
        part('name="name"', b"x" * 9999) + FILE + END,
        part('name="name"', b"\xff\xfe") + FILE + END,
        part('name="surprise"') + FILE + END,
        part('name="file"') + END,
        part('name="\x17"') + FILE + END,
        part("name=;;=") + FILE + END,
        FILE + part('name="\x17"') + END,
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n" + END,
    ],
)
async def test_a_form_that_cannot_be_read_is_refused(shared: World, body: bytes) -> None:
    before = await rows(shared)
    for kind in ("multipart/form-data; boundary=b", "multipart/form-data"):
        reply = await upload_form(shared, body, **{"Content-Type": kind})
        assert (reply.status, reply.error.code) == (422, "VALIDATION_ERROR"), reply
    assert await rows(shared) == before


async def test_a_form_that_is_not_encoded_as_it_says_is_refused(shared: World) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": "gzip"}
    reply = await upload_form(shared, FILE + END, **kind)
    assert (reply.status, reply.error.code) == (422, "VALIDATION_ERROR"), reply


async def test_a_form_may_come_in_any_pieces(shared: World) -> None:
    """As the network cuts it: in the midst of a field, of a boundary, of the bytes."""
    body = part('name="name"', b"Named.txt") + part('name="file"; filename="x"', b"Two coats") + END
    head = await post_by_hand(shared, len(body))
    for at in (55, 62, len(part('name="name"', b"Named.txt")) + 1, len(body) - 12):
        async with wire(shared) as (reader, writer):
            writer.write(head + body[:at])
            await writer.drain()
            await asyncio.sleep(0.2)
            writer.write(body[at:])
            answer = await asyncio.wait_for(reader.read(), 20)
        assert answer.startswith(b"HTTP/1.1 201"), (at, answer[-400:])
        assert b'"name":"Named.txt"' in answer


async def post_by_hand(world: World, length: int, kind: str = "multipart/form-data; boundary=b") -> bytes:
    """The head of an upload, for a connection of one's own."""
    return (
        f"POST /api/v1/projects/{world.project_id}/files?{'' if 'form' in kind else 'name=x'} HTTP/1.1\r\n"
        f"Host: x\r\nConnection: close\r\nAuthorization: Bearer {await world.token('alice')}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Grüße „an“ alle.txt", "Grüße „an“ alle.txt"),
        ('say "hi".txt', 'say "hi".txt'),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\alice\\plan.pdf", "plan.pdf"),
        ("  spaced.txt ", "spaced.txt"),
        ("🛁 bath.png", "🛁 bath.png"),
        ("a" * 255, "a" * 255),
        (".env", ".env"),
        ("cafe\u0301.txt", "café.txt"),
        ("%2e%2e%2fpasswd", "%2e%2e%2fpasswd"),
        ("=cmd|x;*.txt", "=cmd|x;*.txt"),
    ],
)
async def test_names_are_kept_as_people_wrote_them(shared: World, given: str, name: str) -> None:
    file = await uploaded(shared, b"x", given)
    assert file.name == name
    response, _ = await fetch(shared, file.id)
    assert response.content_disposition.filename == name
    assert response.headers["Content-Disposition"].isascii()
    assert response.content_disposition.type == "attachment"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "  ",
        ".",
        "..",
        "a/",
        "a\nb",
        "a\r\nX-Evil: 1",
        "a\0b",
        "a\x7f",
        "a" * 256,
        "exe\u202egpj.txt",
        "exe\u061cgpj.txt",
    ],
)
async def test_names_that_are_none_are_refused(shared: World, name: str) -> None:
    before = await rows(shared)
    reply = await upload(shared, b"x", name)
    assert (reply.status, list(reply.error.field_errors)) == (422, ["name"])
    assert await rows(shared) == before


async def test_a_name_is_needed_and_nothing_else_is_taken(plain: World) -> None:
    bearer = {"Authorization": f"Bearer {await plain.token('alice')}"}
    path = f"/projects/{plain.project_id}/files"
    for query, field in (("", "name"), ("?name=x&surprise=1", "surprise"), ("?name=x&id=1", "id")):
        reply = await plain.request("POST", path + query, data=b"x", headers=bearer)
        assert (reply.status, list(reply.error.field_errors)) == (422, [field])
    assert await nothing(plain)


# What is too much.


@pytest.mark.parametrize("chunked", [False, True])
async def test_too_large_is_refused_and_leaves_nothing(
    worlds: Callable[..., Any], store: dict[str, Any], chunked: bool
) -> None:
    world = await worlds(**store, file_max_bytes=1_000_000)
    for size, status in ((1_000_000, 201), (1_000_001, 413), (6_000_000, 413)):
        data = os.urandom(size)
        reply = await upload(world, slowly(data) if chunked else data)
        assert reply.status == status
        if status == 413:
            assert (reply.error.code, reply.error.details) == ("PAYLOAD_TOO_LARGE", {"limit": 1_000_000})
    reply = await upload_form(world, form(os.urandom(1_000_001)))
    assert reply.status == 413
    assert (await upload_form(world, form(os.urandom(1_000_000)))).status == 201
    assert len(await rows(world)) == len(await blobs(world)) == 2


async def test_what_is_packed_is_unpacked_and_counted(worlds: Callable[..., Any], tmp_path: Any) -> None:
    world = await worlds(data_dir=tmp_path, file_max_bytes=1_000_000)
    packed = {"Content-Encoding": "gzip"}
    file = (await upload(world, gzip.compress(b"x" * 999_999), headers=packed)).data.file
    assert file.size == 999_999
    bomb = await upload(world, gzip.compress(b"x" * 50_000_000), headers=packed)
    assert (bomb.status, bomb.error.code) == (413, "PAYLOAD_TOO_LARGE")
    broken = await upload(world, b"no gzip at all", headers=packed)
    assert (broken.status, broken.error.code) == (422, "VALIDATION_ERROR")
    assert len(await rows(world)) == len(await blobs(world)) == 1


async def test_a_tenant_has_its_quota(worlds: Callable[..., Any], store: dict[str, Any]) -> None:
    world = await worlds(**store, file_quota=100_000)
    first = await uploaded(world, b"x" * 60_000)
    for data in (b"x" * 40_001, slowly(b"x" * 40_001)):
        reply = await upload(world, data)
        assert (reply.status, reply.error.code) == (402, "QUOTA_EXCEEDED")
        assert reply.error.details == {"quota": 100_000, "used": 60_000}
        assert await used(world) == 60_000
    assert len(await blobs(world)) == 1
    await uploaded(world, b"x" * 40_000)
    assert (await upload(world, b"x")).status == 402
    mallory = await world.person("mallory").sign_in()
    async with world.sql() as db:
        theirs = str(await db.fetchval("SELECT id FROM projects WHERE name = 'Rival plans'"))
    assert mallory
    await uploaded(world, b"x" * 9, by="mallory", project_id=theirs)
    await world.person("alice").rest("DELETE", f"/files/{first.id}")
    assert (await upload(world, b"x")).status == 402, "its bytes are still there"
    assert await used(world) == 100_000
    assert await world.node.maintenance.sweeper.files(datetime.now(UTC) + timedelta(hours=3)) == 1
    assert await used(world) == 40_000
    await uploaded(world, b"x" * 60_000)
    assert await used(world) == 100_000


async def test_to_delete_and_upload_again_does_not_get_past_the_quota(
    worlds: Callable[..., Any], tmp_path: Any
) -> None:
    world = await worlds(data_dir=tmp_path, file_quota=100_000)
    for size in (40_000, 60_000, 1, 50_000):
        reply = await upload(world, b"x" * size)
        if reply.success:
            await world.person("alice").rest("DELETE", f"/files/{reply.data.file.id}")
    kept = [path.stat().st_size for path in (tmp_path / "blobs/tenant").rglob("*") if path.is_file()]
    assert sorted(kept) == [40_000, 60_000]


@pytest.mark.parametrize("room", [0, 40_000])
async def test_what_says_no_length_is_stopped_where_the_quota_ends(
    worlds: Callable[..., Any], store: dict[str, Any], room: int
) -> None:
    world = await worlds(**store, file_quota=100_000)
    await uploaded(world, b"x" * (100_000 - room))
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < LARGE * 5:
            sent += 100_000
            yield b"x" * 100_000

    reply = await upload(world, endless())
    assert (reply.status, reply.error.code) == (402, "QUOTA_EXCEEDED")
    assert reply.error.details == {"quota": 100_000, "used": 100_000 - room}
    assert sent < LARGE
    assert await used(world) == 100_000 - room
    assert len(await blobs(world)) == 1


async def test_somebody_has_so_many_uploads_under_way(worlds: Callable[..., Any], tmp_path: Any) -> None:
    """Else a guest who declares much and sends nothing would hold all of a tenant's quota."""
    world = await worlds(data_dir=tmp_path, file_quota=100_000, file_uploads=2)
    head = (
        f"POST /api/v1/projects/{world.project_id}/files?name=x HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {await world.token('gus')}\r\nContent-Length: 30000\r\n\r\n"
    ).encode()

    async def under_way() -> bool:
        return len(await rows(world)) == 2

    async with wire(world) as (_, first), wire(world) as (_, second):
        first.write(head)
        second.write(head)
        await eventually(under_way)
        for data in (b"x", slowly(b"x")):
            reply = await upload(world, data, by="gus")
            assert (reply.status, reply.error.code) == (429, "RATE_LIMITED")
            assert (reply.error.details, reply.headers["Retry-After"]) == ({"limit": 2}, "5")
        assert await used(world) == 60_000
        await uploaded(world, b"x" * 40_000)
        async with world.sql() as db:
            await db.execute(
                "UPDATE files SET created_at = created_at - interval '2 hours' WHERE status = 'uploading'"
            )
        reply = await upload(world, b"x", by="gus")
        assert reply.error.code == "QUOTA_EXCEEDED", "what a node has left that was killed is not under way"

    async def ended() -> bool:
        return len(await rows(world)) == 1

    await eventually(ended)
    await uploaded(world, b"x", by="gus")


async def test_many_at_once_do_not_get_past_the_quota(worlds: Callable[..., Any], tmp_path: Any) -> None:
    world = await worlds(data_dir=tmp_path, file_quota=100_000)
    await world.token("alice")
    replies = await asyncio.gather(*(upload(world, slowly(os.urandom(30_000), 5000)) for _ in range(8)))
    assert sorted(reply.status for reply in replies) == [201] * 3 + [402] * 5
    assert len(await rows(world)) == len(await blobs(world)) == 3
    assert await used(world) == 90_000


# What breaks off.


@pytest.mark.parametrize("sent", [0, 5, 3_000_000, 12_000_000])
@pytest.mark.parametrize("how", ["length", "chunked", "form"])
async def test_what_is_cut_off_leaves_nothing(desk: World, how: str, sent: int) -> None:
    head = f"POST /api/v1/projects/{desk.project_id}/files?name=x HTTP/1.1\r\nHost: x\r\n"
    head += f"Authorization: Bearer {await desk.token('alice')}\r\n"
    data = os.urandom(sent)
    if how == "chunked":
        head += "Transfer-Encoding: chunked\r\n\r\n"
        data = b"%x\r\n%b\r\n" % (sent, data) if sent else b""
    else:
        head += f"Content-Length: {LARGE}\r\n"
        head += "Content-Type: multipart/form-data; boundary=b\r\n\r\n" if how == "form" else "\r\n"
    if how == "form":
        data = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + data
    async with wire(desk) as (_, writer):
        writer.write(head.encode() + data)
        await writer.drain()

        async def begun() -> bool:
            return bool(await rows(desk))

        await eventually(begun, within=60)

    async def gone() -> bool:
        return await nothing(desk)

    await eventually(gone, within=60)
    assert await used(desk) == 0
    await uploaded(desk, b"x")
    assert await used(desk) == 1


async def test_what_takes_too_long_is_cut_off(worlds: Callable[..., Any], tmp_path: Any) -> None:
    world = await worlds(data_dir=tmp_path, file_upload_time=0.3)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0.05)

    reply = await upload(world, endless())
    assert (reply.status, reply.error.code) == (503, "UNAVAILABLE")
    assert await nothing(world)


@pytest.mark.parametrize("begun", [b"pre\r\n", part('name="name"')[:-1], FILE])
async def test_a_form_has_no_more_time_than_its_file(
    worlds: Callable[..., Any], tmp_path: Any, begun: bytes
) -> None:
    world = await worlds(data_dir=tmp_path, file_upload_time=0.3)
    async with wire(world) as (reader, writer):
        writer.write(await post_by_hand(world, 100_000) + begun)
        answer = await asyncio.wait_for(reader.readline(), 20)
    assert answer.startswith(b"HTTP/1.1 503"), answer
    assert await nothing(world)


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "application/octet-stream"])
@pytest.mark.parametrize("begun", [b"", part('name="name"')[:-1], FILE])
async def test_who_sends_no_more_is_cut_off(
    worlds: Callable[..., Any], tmp_path: Any, kind: str, begun: bytes
) -> None:
    """It must not hold its part of the quota for as long as an upload may take."""
    world = await worlds(data_dir=tmp_path, file_silence=0.3, file_quota=100_000)
    async with wire(world) as (reader, writer):
        writer.write(await post_by_hand(world, 100_000, kind) + begun)
        answer = await asyncio.wait_for(reader.readline(), 20)
    assert answer.startswith(b"HTTP/1.1 503"), answer
    assert await nothing(world)
    await uploaded(world, b"x" * 100_000)


async def test_who_is_slow_is_not_cut_off(worlds: Callable[..., Any], tmp_path: Any) -> None:
    world = await worlds(data_dir=tmp_path, file_silence=1)

    async def trickling() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield b"x"
            await asyncio.sleep(0.3)

    assert (await uploaded(world, trickling())).size == 6


async def test_a_store_that_is_away_is_told(worlds: Callable[..., Any], tmp_path: Any) -> None:
    away = {"s3_bucket": "x", "s3_endpoint": f"http://127.0.0.1:{free_port()}", "s3_timeout": 2}
    world = await worlds(data_dir=tmp_path, **away, s3_access_key="a", s3_secret_key="b")
    for data in (b"x", slowly(os.urandom(12_000_000))):
        reply = await upload(world, data)
        assert (reply.status, reply.error.code) == (503, "UNAVAILABLE")
    assert {row.status for row in await rows(world)} == {"deleted"}, "whether bytes came there is to be seen"
    assert await used(world) == 0
    alice = await world.person("alice").connect()
    assert (await alice.send("task.create", room=world.project, title="Goes on")).success


async def test_a_full_disk_is_told(plain: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("storage.blobs._write_all", full)
        reply = await upload(plain, os.urandom(2_000_000))
    assert (reply.status, reply.error.code) == (503, "UNAVAILABLE")
    assert await nothing(plain)
    assert [path for path in (plain.node.settings.data_dir / "blobs").rglob("*") if path.is_file()] == []


async def test_bytes_put_in_place_too_late_are_removed(
    worlds: Callable[..., Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await worlds(data_dir=tmp_path, file_upload_time=0.5)
    await world.token("alice")
    real = storage.blobs._settle

    def slow(directory: Path) -> None:
        real(directory)
        time.sleep(1)

    with monkeypatch.context() as patched:
        patched.setattr("storage.blobs._settle", slow)
        assert (await upload(world, b"x")).status == 503
    assert await nothing(world)


async def test_a_name_that_may_not_be_on_the_disk_is_taken_back(
    plain: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await uploaded(plain, b"first")

    def broken(_: Any) -> None:
        raise OSError(5, "EIO")

    with monkeypatch.context() as patched:
        patched.setattr("storage.blobs._settle", broken)
        assert (await upload(plain, b"x")).status == 503
    assert len(await rows(plain)) == len(await blobs(plain)) == 1


async def test_bytes_whose_answer_was_lost_are_removed(
    worlds: Callable[..., Any], s3: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await worlds(data_dir=tmp_path, **s3.bucket())
    client = world.node.blobs._client
    real = client.put_object

    async def lost(**given: Any) -> None:
        await real(**given)
        raise TimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(client, "put_object", lost, raising=False)
        assert (await upload(world, b"x")).status == 503
    assert await nothing(world)


async def test_bytes_that_cannot_be_removed_keep_their_row(
    plain: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: Any) -> None:
        raise ConnectionError("away")

    async def cut(key: str, chunks: AsyncIterator[bytes]) -> None:
        await write(key, chunks)
        raise ConnectionResetError

    key, write = {"Idempotency-Key": str(uuid4())}, plain.node.blobs.write
    first = await upload(plain, b"x", headers=key)
    with monkeypatch.context() as patched:
        patched.setattr(plain.node.blobs, "delete", away)
        assert (await upload(plain, b"x", headers=key)).data == first.data
        patched.setattr(plain.node.blobs, "write", cut)
        assert (await upload(plain, b"y")).status == 503
    assert await used(plain) == 1
    assert len(await rows(plain)) == len(await blobs(plain)) > 1
    later = datetime.now(UTC) + timedelta(hours=2)
    await plain.node.maintenance.sweeper.files(later)
    assert len(await rows(plain)) == len(await blobs(plain)) == 1


# Again.


async def test_the_same_upload_again_is_the_same_file(desk: World) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first = await upload(desk, b"Two coats", headers=key)
    again = await upload(desk, b"Two coats", headers=key)
    assert (again.status, again.data) == (201, first.data)
    assert again.meta == {**first.meta, "duplicate": True}
    for data, name in ((b"Three coats", "notes.txt"), (b"Two coats", "other.txt")):
        other = await upload(desk, data, name, headers=key)
        assert (other.status, other.error.code) == (409, "CONFLICT")
    at_once = {"Idempotency-Key": str(uuid4())}
    both = await asyncio.gather(*(upload(desk, b"At once", headers=at_once) for _ in range(4)))
    assert {reply.data.file.id for reply in both} == {both[0].data.file.id}
    assert sorted(reply.meta.duplicate for reply in both) == [False, True, True, True]
    assert len(await rows(desk)) == len(await blobs(desk)) == 2
    assert (await fetch(desk, both[0].data.file.id))[1] == b"At once"
    bad = await upload(desk, b"x", headers={"Idempotency-Key": "7"})
    assert list(bad.error.field_errors) == ["command_id"]


async def test_again_takes_no_space_and_asks_nothing_of_the_store(
    worlds: Callable[..., Any], store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await worlds(**store, file_quota=100_000)
    key = {"Idempotency-Key": str(uuid4())}
    first = await upload(world, b"x" * 60_000, headers=key)
    alice = await world.person("alice").connect()
    assert (await alice.send("project.archive", project_id=world.project_id)).success

    async def away(*_: Any) -> None:
        raise ConnectionError("away")

    with monkeypatch.context() as patched:
        patched.setattr(world.node.blobs, "write", away)
        patched.setattr(world.node.blobs, "delete", away)
        for data in (b"x" * 60_000, slowly(b"x" * 60_000, 5000)):
            again = await upload(world, data, headers=key)
            assert (again.status, again.get("data")) == (201, first.data), again
            assert again.meta.duplicate
        for data, name in ((b"y" * 60_000, "notes.txt"), (b"x" * 60_000, "other.txt")):
            other = await upload(world, data, name, headers=key)
            assert (other.status, other.error.code) == (409, "CONFLICT")
        assert (await upload(world, b"x", by="viewer", headers=key)).status == 403
        assert (await upload(world, b"x", by="bob", headers=key)).error.details == {
            "reason": "project_archived"
        }
    assert await used(world) == 60_000
    assert len(await rows(world)) == len(await blobs(world)) == 1


# Who may.


@pytest.mark.parametrize(
    ("who", "status"),
    [("alice", 201), ("manager", 201), ("bob", 201), ("carol", 201), ("gus", 201), ("viewer", 403), ("mallory", 404)],
)  # fmt: skip
async def test_whoever_may_comment_may_upload(plain: World, who: str, status: int) -> None:
    reply = await upload(plain, slowly(os.urandom(400_000)), by=who)
    assert reply.status == status
    if status == 403:
        assert reply.error.details == {"permission": "comment.add"}
    if status != 201:
        assert await nothing(plain)


async def test_who_is_put_out_meanwhile_has_uploaded_nothing(plain: World) -> None:
    alice = await plain.person("alice").connect()
    going = asyncio.Event()

    async def halting() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        await going.wait()
        yield b"x"

    sending = asyncio.create_task(upload(plain, halting(), by="carol"))

    async def begun() -> bool:
        return bool(await rows(plain))

    await eventually(begun, within=60)
    out = {"project_id": plain.project_id, "user_id": plain.user_ids["carol"]}
    assert (await alice.call("project.remove_member", out)).success
    going.set()
    assert (await sending).status == 404
    assert await nothing(plain)


async def test_an_archived_project_takes_none(plain: World) -> None:
    alice = await plain.person("alice").connect()
    assert (await alice.send("project.archive", project_id=plain.project_id)).success
    reply = await upload(plain, b"x")
    assert (reply.status, reply.error.details) == (409, {"reason": "project_archived"})
    assert await nothing(plain)


async def test_without_credentials_nothing_is_read(plain: World) -> None:
    path = f"/projects/{plain.project_id}/files?name=x"
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        reply = await plain.request("POST", path, data=b"x", headers=headers)
        assert (reply.status, reply.error.code) == (401, "UNAUTHORIZED")
    assert (await upload(plain, b"x", project_id=str(uuid4()))).status == 404
    assert await nothing(plain)


async def test_an_upload_is_in_the_audit_log(plain: World) -> None:
    file = await uploaded(plain, b"Two coats")
    await upload(plain, b"x", by="viewer")
    alice = await plain.person("alice").connect()
    [entry] = (
        await alice.send("audit.list", room=plain.tenant, action="file.upload", outcome="ok")
    ).data.entries
    assert entry.resource == f"file:{file.id}"
    assert (entry.changes.name, entry.changes.size, entry.changes.sha256) == (file.name, 9, file.sha256)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "application/octet-stream"),
        (b"\x00\x01", "application/octet-stream"),
        ("Grüße".encode(), "text/plain"),
        (("ü" * 5000).encode()[:8191] + b"\xbc" + b"x", "text/plain"),
        (b"\xff\xfe\xfa", "application/octet-stream"),
        (picture("PNG"), "image/png"),
        (picture("JPEG"), "image/jpeg"),
        (picture("WEBP"), "image/webp"),
        (picture("GIF"), "image/gif"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"<!DOCTYPE html><script>alert(1)</script>", "text/html"),
        (b" \n<HTML>", "text/html"),
        (
            b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
            "image/svg+xml",
        ),
    ],
)
async def test_a_file_is_what_its_bytes_say(shared: World, data: bytes, kind: str) -> None:
    file = await uploaded(shared, data, "evil.png", headers={"Content-Type": "image/png"})
    assert file.content_type == kind

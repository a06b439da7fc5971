"""The same promises by a directory and by a real S3 service."""

import asyncio
import os
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

import storage.blobs
from storage.blobs import PART, Blobs, DiskBlobs, NotRemoved, S3Blobs, ids_in, key_of, open_blobs
from tests.s3 import S3, free_port
from tests.world import settings_for

TENANT = uuid4()


@pytest.fixture
async def blobs(store: dict[str, Any]) -> AsyncIterator[Blobs]:
    blobs = await open_blobs(settings_for(**{"directory": store["data_dir"], **store}))
    yield blobs
    await blobs.close()


async def some(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def breaking(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise ConnectionResetError("cut")


async def all_of(blobs: Blobs, key: str, size: int, start: int = 0) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(key, start, size)])


async def keys(blobs: Blobs, prefix: str = "tenant/") -> list[str]:
    return sorted([one.key async for one in blobs.stored(prefix)])


def key() -> str:
    return key_of(TENANT, uuid4())


def files_below(path: Path) -> list[Path]:
    return [one for one in path.rglob("*") if one.is_file()]


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART, 20_000_003])
async def test_what_was_written_is_read(blobs: Blobs, size: int) -> None:
    data, where = os.urandom(size), key()
    await blobs.write(where, some(*(data[at : at + 70_000] for at in range(0, size, 70_000))))
    assert await all_of(blobs, where, size) == data
    assert await all_of(blobs, where, min(size, 7), size // 2) == data[size // 2 :][:7]
    assert await keys(blobs) == [where]


async def test_a_large_one_takes_no_memory(blobs: Blobs) -> None:
    chunk, count, where = os.urandom(1 << 20), 64, key()
    tracemalloc.start()
    try:
        await blobs.write(where, some(*[chunk] * count))
        read = 0
        async for part in blobs.read(where, 0, count << 20):
            read += len(part)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == count << 20
    assert peak < 10 * PART, "a part, and what is on its way"


@pytest.mark.parametrize("size", [10, PART + 10, 3 * PART])
async def test_what_breaks_off_is_not_there(blobs: Blobs, store: dict[str, Any], s3: S3, size: int) -> None:
    where = key()
    with pytest.raises(ConnectionResetError):
        await blobs.write(where, breaking(b"x" * size))
    assert await keys(blobs) == []
    with pytest.raises(FileNotFoundError):
        await all_of(blobs, where, 1)
    assert files_below(store["data_dir"]) == []
    if "s3_bucket" in store:
        assert files_below(s3.root / store["s3_bucket"]) == []


async def test_a_writer_who_goes_away_leaves_nothing(blobs: Blobs, store: dict[str, Any]) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 300_000
            await asyncio.sleep(0)

    writing = asyncio.create_task(blobs.write(key(), endless()))
    await asyncio.sleep(0.3)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await keys(blobs) == []
    assert files_below(store["data_dir"]) == []


async def test_a_writer_or_reader_who_goes_away_at_once_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, where, real = DiskBlobs(tmp_path), key(), os.open
    await blobs.write(where, some(b"x"))
    before = len(list(Path("/proc/self/fd").iterdir()))

    def slow(*args: Any) -> int:
        time.sleep(0.2)
        return real(*args)

    with monkeypatch.context() as patched:
        patched.setattr("storage.blobs.os.open", slow)
        for doing in (blobs.write(key(), some(b"x")), all_of(blobs, where, 1)):
            going = asyncio.create_task(doing)
            for _ in range(2):  # the second time while it waits for the thread
                await asyncio.sleep(0.05)
                going.cancel()
            await asyncio.wait({going})
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert [path.name for path in files_below(tmp_path)] == [where.rpartition("/")[2]]


async def test_deleting_takes_what_is_there(blobs: Blobs) -> None:
    wheres = [key() for _ in range(3)]
    for where in wheres:
        await blobs.write(where, some(b"x"))
    await blobs.delete([*wheres[:2], key()])
    assert await keys(blobs) == wheres[2:]
    await blobs.delete([])
    await blobs.delete(wheres)
    assert await keys(blobs) == []
    assert await keys(blobs, "tenant/nobody/") == []


async def test_those_that_stay_are_named_and_the_others_go(
    blobs: Blobs, store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wheres = [key() for _ in range(3)]
    for where in wheres:
        await blobs.write(where, some(b"x"))
    if isinstance(blobs, S3Blobs):
        real = blobs._client.delete_objects

        async def picky(Bucket: str, Delete: Any) -> Any:  # noqa: N803  # as the service spells it
            others = [one for one in Delete["Objects"] if one["Key"] != wheres[0]]
            await real(Bucket=Bucket, Delete={"Objects": others, "Quiet": True})
            return {"Errors": [{"Key": wheres[0], "Code": "AccessDenied"}]}

        monkeypatch.setattr(blobs._client, "delete_objects", picky, raising=False)
    else:
        bad = store["data_dir"] / "blobs" / wheres[0]
        bad.unlink()
        bad.mkdir()
    with pytest.raises(NotRemoved) as told:
        await blobs.delete(wheres)
    assert told.value.keys == {wheres[0]}
    with pytest.raises((FileNotFoundError, IsADirectoryError)):
        await all_of(blobs, wheres[1], 1)
    assert [one for one in await keys(blobs) if one != wheres[0]] == []


async def test_a_prefix_is_a_tenant_s_alone(blobs: Blobs) -> None:
    mine, theirs = key(), key_of(uuid4(), uuid4())
    before = time.time()
    for where in (mine, theirs):
        await blobs.write(where, some(b"x"))
    assert await keys(blobs, f"tenant/{TENANT}/") == [mine]
    [found] = [one async for one in blobs.stored(f"tenant/{TENANT}/")]
    assert before - 2 < found.at < time.time() + 2


async def test_what_is_not_there_is_told(blobs: Blobs) -> None:
    with pytest.raises(FileNotFoundError):
        await all_of(blobs, key(), 1)


async def test_what_is_shorter_than_it_should_be_is_told(blobs: Blobs) -> None:
    where = key()
    await blobs.write(where, some(b"x"))
    for start in (0, 1, 5):
        with pytest.raises(OSError):  # noqa: PT011  # of whatever kind: it is UNAVAILABLE
            await all_of(blobs, where, 9, start)


async def test_leftovers_are_tidied(blobs: Blobs, store: dict[str, Any]) -> None:
    await blobs.tidy(time.time())
    if isinstance(blobs, DiskBlobs):
        incoming = store["data_dir"] / "blobs/incoming"
        incoming.mkdir(parents=True)
        (incoming / "left").touch()
        await blobs.tidy(time.time() - 60)
        assert files_below(incoming)
        await blobs.tidy(time.time() + 60)
        assert files_below(incoming) == []


async def test_an_upload_that_ends_meanwhile_does_not_end_the_tidying(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = await S3Blobs.open(settings_for(tmp_path, **s3.bucket()))
    aborted = []

    async def begun(_: float) -> AsyncIterator[tuple[str, str]]:
        for upload in ("over", "left"):
            yield key(), upload

    async def abort(UploadId: str, **where: Any) -> None:  # noqa: N803  # as the service spells it
        aborted.append(UploadId)
        if UploadId == "over":
            raise ClientError({"Error": {"Code": "NoSuchUpload"}}, "AbortMultipartUpload")

    monkeypatch.setattr(blobs, "_begun", begun)
    monkeypatch.setattr(blobs._client, "abort_multipart_upload", abort, raising=False)
    try:
        await blobs.tidy(time.time())
    finally:
        await blobs.close()
    assert aborted == ["over", "left"]


async def test_nobody_hears_of_a_name_that_is_not_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two first uploads of a tenant: the first has made the directory, and has not yet settled it."""
    blobs, real, where = DiskBlobs(tmp_path / "blobs"), storage.blobs._settle, key()
    tenant = (tmp_path / "blobs" / where).parent.parent
    made, going, settled = threading.Event(), threading.Event(), list[Path]()

    def slow(directory: Path) -> None:
        if directory == tenant.parent and not made.is_set():
            made.set()
            going.wait(20)
        real(directory)
        settled.append(directory)

    monkeypatch.setattr("storage.blobs._settle", slow)
    first = asyncio.create_task(blobs.write(key(), some(b"x")))
    await asyncio.to_thread(made.wait, 20)
    try:
        await blobs.write(where, some(b"x"))
        assert {tenant, tenant.parent, tenant.parent.parent, tmp_path} <= set(settled)
    finally:
        going.set()
        await first
    count = len(settled)
    await blobs.write(key(), some(b"x"))
    assert settled[count:] == [tenant / "files"], "the others are settled once"


async def test_downloads_leave_connections_for_all_else(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.blobs.CONNECTIONS", 3)
    monkeypatch.setattr("storage.blobs.DOWNLOADS", 2)
    blobs = await S3Blobs.open(settings_for(tmp_path, **{**s3.bucket(), "s3_timeout": 2}))
    where, size = key(), 3 * PART
    await blobs.write(where, some(os.urandom(size)))
    slow = [blobs.read(where, 0, size) for _ in range(2)]
    for one in slow:
        await anext(one)
    async with asyncio.timeout(30):  # the test's own
        with pytest.raises(TimeoutError):
            await all_of(blobs, where, 1)
        another = key()
        await blobs.write(another, some(b"x" * (PART + 1)))
        assert await keys(blobs) == sorted([where, another])
        await blobs.delete([another])
        await slow[0].aclose()
        assert len(await all_of(blobs, where, 9)) == 9
        await slow[1].aclose()
    await blobs.close()


async def test_nobody_waits_for_a_connection_without_an_end(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.blobs.CONNECTIONS", 1)
    blobs = await S3Blobs.open(settings_for(tmp_path, **{**s3.bucket(), "s3_timeout": 0.5}))
    where = key()
    await blobs.write(where, some(os.urandom(PART)))
    slow = blobs.read(where, 0, PART)
    await anext(slow)

    async def told(doing: Coroutine[Any, Any, Any]) -> None:
        with pytest.raises(TimeoutError):
            await doing

    async with asyncio.timeout(30):  # the test's own
        await asyncio.gather(
            told(all_of(blobs, where, 1)),
            told(blobs.write(key(), some(b"x"))),
            told(blobs.write(key(), some(b"x" * (PART + 1)))),
            told(blobs.delete([where])),
            told(keys(blobs)),
            told(blobs.tidy(time.time())),
        )
    await slow.aclose()
    await blobs.close()


async def test_a_service_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    gone = {"s3_endpoint": f"http://127.0.0.1:{free_port()}", "s3_access_key": "a", "s3_secret_key": "b"}
    blobs = await S3Blobs.open(settings_for(tmp_path, s3_bucket="files", **gone))
    try:
        for doing in (
            blobs.write(key(), some(b"x")),
            blobs.write(key(), some(b"x" * (PART + 1))),
            all_of(blobs, key(), 1),
            blobs.delete([key()]),
            keys(blobs),
        ):
            with pytest.raises(ConnectionError):
                await doing
    finally:
        await blobs.close()


async def test_a_service_that_falls_silent_is_told_as_such(tmp_path: Path) -> None:
    """It takes connections, and says nothing: neither that it takes the body nor anything else."""
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    silent = {"s3_endpoint": url, "s3_access_key": "a", "s3_secret_key": "b", "s3_timeout": 0.3}
    blobs = await S3Blobs.open(settings_for(tmp_path, s3_bucket="files", **silent))

    async def told(doing: Coroutine[Any, Any, Any]) -> None:
        async with asyncio.timeout(30):  # the test's own, which says nothing of how long it takes
            with pytest.raises((ConnectionError, TimeoutError)):
                await doing

    try:
        await asyncio.gather(
            told(blobs.write(key(), some(b"x"))),
            told(blobs.write(key(), some(b"x" * PART))),
            told(blobs.write(key(), some(b"x" * (PART + 1)))),
            told(all_of(blobs, key(), 1)),
            told(blobs.delete([key()])),
            told(keys(blobs)),
        )
    finally:
        await blobs.close()
        server.close()
        for writer in held:
            writer.close()


async def test_a_wrong_secret_opens_nothing(s3: S3, tmp_path: Path) -> None:
    blobs = await S3Blobs.open(settings_for(tmp_path, **{**s3.bucket(), "s3_secret_key": "wrong"}))
    try:
        with pytest.raises(ConnectionError):
            await blobs.write(key(), some(b"x"))
    finally:
        await blobs.close()


@pytest.mark.parametrize("name", ["../x", "tenant/../../x", "", "/", "incoming/x", "a//b", "a/./b", "a/\0"])
async def test_no_key_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no key"):
        await DiskBlobs(tmp_path / "blobs").write(name, some(b"x"))
    assert files_below(tmp_path) == []


def test_keys_are_told_from_others() -> None:
    blob = uuid4()
    assert ids_in(key_of(TENANT, blob)) == (TENANT, blob)
    for other in ("tenant/x/files/y", f"tenant/{TENANT}/files", f"x/{TENANT}/files/{blob}", ""):
        assert ids_in(other) is None

"""Blobs: bytes under a key, in a directory or with an S3 service. Nothing here knows what they are.

Written whole or not at all, and never changed: another content has another key. Whatever is wrong with the store is a
`ConnectionError` or another `OSError`, so that callers hear UNAVAILABLE.
"""

import asyncio
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Iterator,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, ParamSpec, Protocol, TypeVar
from uuid import UUID, uuid4

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from storage.settings import Settings

PART: Final = 5 * 1024 * 1024
"""The parts of a large upload to an S3 service (bytes): the least that it takes, for each is held, and sent, as a whole."""
PORTION: Final = 1024 * 1024
"""What is written to a disk at a time (bytes)."""
CHUNK: Final = 256 * 1024
"""What is read at a time (bytes)."""
AT_ONCE: Final = 1000
"""Keys that one call deletes at most (count): S3 takes no more."""
_UNDER_WAY: Final = "incoming"
"""Directory, beside those of the keys, in which files are written before they have their place."""

PATIENCE: Final = 3
"""How long one call that sends a body may take, as a multiple of S3_TIMEOUT. aiohttp waits for a service that takes no
bytes, or does not say to go on, without an end: its clock for silence starts when everything is sent."""
CONNECTIONS: Final = 200
"""Connections to an S3 service at most (count): each download that somebody reads slowly holds one."""

Chunks = AsyncIterable[bytes]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored:
    """A key that is there, and since when (seconds since the epoch)."""

    key: str
    at: float


class NotRemoved(ConnectionError):
    """Some blobs are still there; the others that were to go have gone."""

    def __init__(self, keys: Collection[str], why: object) -> None:
        super().__init__(f"{len(keys)} blobs could not be removed: {why}")
        self.keys = frozenset(keys)


class Blobs(Protocol):
    """The same promises by every kind; one suite tests them all."""

    async def write(self, key: str, chunks: Chunks) -> None:
        """Keep what comes under a key, durably. Whatever is raised, by the chunks too, leaves nothing behind.

        But for one thing: where the answer of a service is lost, nobody knows. Whoever chose the key deletes it then.
        """

    def read(self, key: str, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """Bytes of a blob, `length` from `start` on; FileNotFoundError where there is none."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove blobs; those that are not there do no harm. NotRemoved where some stay; of any other error all may."""

    def stored(self, prefix: str) -> AsyncIterator[Stored]:
        """All whose keys begin with a prefix, which ends with a slash."""

    async def tidy(self, older_than: float) -> None:
        """Remove what writers have left that were killed before a moment (seconds since the epoch)."""

    async def close(self) -> None: ...


def key_of(tenant_id: UUID, blob_id: UUID) -> str:
    """Where the bytes of a file are. The server alone chooses keys; each begins with its tenant."""
    return f"tenant/{tenant_id}/files/{blob_id}"


def ids_in(key: str) -> tuple[UUID, UUID] | None:
    """Tenant and blob of a key as `key_of` makes it; None for any other."""
    match key.split("/"):
        case ["tenant", tenant, "files", blob]:
            with suppress(ValueError):
                return UUID(tenant), UUID(blob)
    return None


async def open_blobs(settings: Settings) -> Blobs:
    """The store that the settings name; nothing is asked of it yet."""
    return await S3Blobs.open(settings) if settings.s3_bucket else DiskBlobs(settings.data_dir / "blobs")


class DiskBlobs:
    """A file for each key, below one directory; it may be one that several nodes share."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def write(self, key: str, chunks: Chunks) -> None:
        path = self._path(key)
        incoming = self._root / _UNDER_WAY / uuid4().hex
        left = [incoming]
        try:
            async with _opened(_create, incoming) as file:
                async for part in _parts(chunks, PORTION):
                    await _in_thread(_write_all, file, part)
                left.append(path)  # it may have its name by the time that something fails
                await _in_thread(_put_in_place, file, incoming, path)
        except BaseException:
            await _in_thread(_remove, left)  # what fails here too is not told: the first failure is
            raise

    async def read(self, key: str, start: int, length: int) -> AsyncGenerator[bytes, None]:
        async with _opened(os.open, self._path(key), os.O_RDONLY | os.O_CLOEXEC) as file:
            while length > 0:
                chunk = await _in_thread(os.pread, file, min(CHUNK, length), start)
                if not chunk:
                    raise EOFError(f"{key} is shorter than it was")
                yield chunk
                start, length = start + len(chunk), length - len(chunk)

    async def delete(self, keys: Sequence[str]) -> None:
        if left := await _in_thread(_remove, [self._path(key) for key in keys]):
            names = {path.relative_to(self._root).as_posix(): error for path, error in left.items()}
            raise NotRemoved(names, next(iter(names.values())))

    async def stored(self, prefix: str) -> AsyncIterator[Stored]:
        found = _below(self._root, self._path(prefix))
        while some := await _in_thread(_several, found):
            for one in some:
                yield one

    async def tidy(self, older_than: float) -> None:
        def remove() -> None:
            for path in (self._root / _UNDER_WAY).glob("*"):
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < older_than:
                        path.unlink()

        await _in_thread(remove)

    async def close(self) -> None:
        pass

    def _path(self, key: str) -> Path:
        parts = key.strip("/").split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts) or parts[0] == _UNDER_WAY:
            raise ValueError(f"{key} is no key")
        return self._root.joinpath(*parts)


class S3Blobs:
    """Objects in one bucket; large ones are uploaded in parts."""

    def __init__(self, client: Any, bucket: str, patience: float) -> None:
        self._client = client
        self._bucket = bucket
        self._patience = patience

    @classmethod
    async def open(cls, settings: Settings) -> "S3Blobs":
        from aiobotocore.config import AioConfig  # a quarter of a second, which nobody else should wait
        from aiobotocore.session import get_session

        access, secret = settings.s3_access_key, settings.s3_secret_key
        config = AioConfig(
            signature_version="s3v4",
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=min(5, settings.s3_timeout),
            read_timeout=settings.s3_timeout,
            max_pool_connections=CONNECTIONS,
            retries={"mode": "standard", "max_attempts": 2},
            s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
        )
        context = get_session().create_client(
            "s3",
            region_name=settings.s3_region,
            endpoint_url=settings.s3_endpoint,
            aws_access_key_id=access.get_secret_value() if access else None,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            config=config,
        )
        return cls(await context.__aenter__(), settings.s3_bucket or "", PATIENCE * settings.s3_timeout)

    async def write(self, key: str, chunks: Chunks) -> None:
        async with self._at(key) as (client, where), aclosing(_parts(chunks, PART)) as parts:
            first = await anext(parts, b"")
            second = await anext(parts, None) if len(first) == PART else None
            if second is None:
                async with asyncio.timeout(self._patience):
                    await client.put_object(**where, Body=first)
            else:
                await self._in_parts(client, where, [first, second], parts)

    async def _in_parts(
        self, client: Any, where: dict[str, Any], begun: list[bytes], rest: AsyncIterator[bytes]
    ) -> None:
        made = await client.create_multipart_upload(**where)
        upload = {**where, "UploadId": made["UploadId"]}
        try:
            sent: list[dict[str, Any]] = []

            async def send(part: bytes) -> None:
                number = len(sent) + 1
                async with asyncio.timeout(self._patience):
                    answer = await client.upload_part(**upload, PartNumber=number, Body=part)
                sent.append({"ETag": answer["ETag"], "PartNumber": number})

            while begun:
                await send(begun.pop(0))
            async for part in rest:
                await send(part)
            async with asyncio.timeout(self._patience):
                await client.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent})
        except BaseException:
            with suppress(BotoCoreError, ClientError, OSError):
                await asyncio.shield(client.abort_multipart_upload(**upload))
            raise

    async def read(self, key: str, start: int, length: int) -> AsyncGenerator[bytes, None]:
        if length <= 0:
            return
        async with self._at(key) as (client, where):
            answer = await client.get_object(**where, Range=f"bytes={start}-{start + length - 1}")
            async with answer["Body"] as body:
                while length > 0:
                    chunk = await body.read(min(CHUNK, length))
                    if not chunk:
                        raise EOFError(f"{key} is shorter than it was")
                    length -= len(chunk)
                    yield chunk

    async def delete(self, keys: Sequence[str]) -> None:
        left: list[dict[str, Any]] = []
        async with self._at("") as (client, where):
            for at in range(0, len(keys), AT_ONCE):
                objects = [{"Key": key} for key in keys[at : at + AT_ONCE]]
                async with asyncio.timeout(self._patience):
                    answer = await client.delete_objects(
                        Bucket=where["Bucket"], Delete={"Objects": objects, "Quiet": True}
                    )
                left += [one for one in answer.get("Errors", ()) if one.get("Code") != "NoSuchKey"]
        if left:
            raise NotRemoved([one["Key"] for one in left], left[0])

    async def stored(self, prefix: str) -> AsyncIterator[Stored]:
        async with self._at("") as (client, where):
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=where["Bucket"], Prefix=prefix)
            async for page in pages:
                for one in page.get("Contents", ()):
                    yield Stored(one["Key"], one["LastModified"].timestamp())

    async def tidy(self, older_than: float) -> None:
        with suppress(FileNotFoundError):  # what some services say where nothing is under way
            async for key, upload in self._begun(older_than):
                with suppress(FileNotFoundError):  # it has come to its end meanwhile
                    async with self._at(key) as (client, where):
                        await client.abort_multipart_upload(**where, UploadId=upload)

    async def _begun(self, before: float) -> AsyncIterator[tuple[str, str]]:
        """Uploads in parts that are under way since so long: key and id."""
        async with self._at("") as (client, where):
            uploads = client.get_paginator("list_multipart_uploads")
            async for page in uploads.paginate(Bucket=where["Bucket"], Prefix="tenant/"):
                for one in page.get("Uploads", ()):
                    if one["Initiated"].timestamp() < before:
                        yield one["Key"], one["UploadId"]

    async def close(self) -> None:
        await self._client.close()

    @asynccontextmanager
    async def _at(self, key: str) -> AsyncIterator[tuple[Any, dict[str, Any]]]:
        """The client, and what names an object; its errors are told in the words of all stores."""
        try:
            yield self._client, {"Bucket": self._bucket, "Key": key}
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "NoSuchUpload", "404"):
                raise FileNotFoundError(key) from error
            raise ConnectionError(f"S3: {error}") from error
        except (BotoCoreError, aiohttp.ClientError) as error:
            raise ConnectionError(f"S3: {error}") from error


async def _parts(chunks: Chunks, size: int) -> AsyncGenerator[bytes, None]:
    """The same bytes in portions of one size, but for the last."""
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        while len(held) >= size:
            with memoryview(held) as view:
                part = bytes(view[:size])
            del held[:size]
            yield part
    if held:
        yield bytes(held)


async def _in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Done to its end even where the caller is not there any more: a thread that still writes must not lose its file."""
    return await _to_its_end(asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs)))


async def _to_its_end(work: asyncio.Future[T]) -> T:
    """Wait for it, however often the caller is cancelled meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return work.result()


@asynccontextmanager
async def _opened(opening: Callable[P, int], *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[int]:
    """The descriptor that a function returns; closed in the end, even where nobody waits for it any more when it comes."""
    work = asyncio.ensure_future(asyncio.to_thread(opening, *args, **kwargs))
    try:
        yield await _to_its_end(work)
    finally:
        if work.exception() is None:
            os.close(work.result())


def _create(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _remove(paths: Sequence[Path]) -> dict[Path, OSError]:
    """Remove files; returns those that could not be, and why."""
    left = {}
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            left[path] = error
    return left


def _write_all(file: int, part: bytes) -> None:
    view = memoryview(part)
    while view:
        view = view[os.write(file, view) :]


def _put_in_place(file: int, incoming: Path, path: Path) -> None:
    """On the disk before it has its name, and its name on the disk before anybody hears of it."""
    os.fsync(file)
    _make(path.parent)
    incoming.replace(path)
    _settle(path.parent)


def _make(directory: Path) -> None:
    if not directory.is_dir():
        _make(directory.parent)
        directory.mkdir(exist_ok=True)
        _settle(directory.parent)


def _settle(directory: Path) -> None:
    """Have the names in a directory on the disk."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _below(root: Path, start: Path) -> Iterator[Stored]:
    for directory, _, names in os.walk(start):
        for name in names:
            path = Path(directory, name)
            with suppress(FileNotFoundError):
                yield Stored(path.relative_to(root).as_posix(), path.stat().st_mtime)


def _several(found: Iterator[Stored]) -> list[Stored]:
    return list(islice(found, AT_ONCE))

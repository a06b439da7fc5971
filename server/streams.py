"""Bytes by REST, up and down: as they come, so that a large file takes no more memory than a small one."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import structlog
from aiohttp import BodyPartReader, MultipartReader, web

from handlers.context import Principal
from handlers.errors import ValidationFailed
from handlers.files.files import KeepFile, UploadFile
from handlers.files.intake import Intake
from handlers.files.kinds import ANYTHING, SHOWN
from handlers.files.names import disposition
from handlers.registry import SPECS, Content, Slot, Spec
from server import rest
from server.node import Node
from server.silence import Reader, heard
from storage.blobs import CHUNK
from storage.postgres import LOST

log = structlog.get_logger(__name__)

FIELD: Final = "file"
"""The field of a form that has the bytes."""
FRAME: Final = 8192
"""What a form takes beside its file, at most as far as that is reckoned with (bytes)."""
MOST_FIELDS: Final = 8
LONGEST_FIELD: Final = 4096
"""Of the fields before the file (count, bytes)."""
BAD_FORM: Final = (
    ValueError,
    AssertionError,
    RuntimeError,
    *rest.BAD_BODY,
    aiohttp.BadContentDispositionHeader,  # warnings, where those are errors
    aiohttp.BadContentDispositionParam,
)
"""What aiohttp raises at a form that is none."""
SANDBOX: Final = "default-src 'none'; sandbox"
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def add_routes(app: web.Application, node: Node) -> None:
    for spec in SPECS.values():
        if spec.route is not None and spec.kind in rest.STREAMED:
            path = rest.BASE + spec.route.path
            if spec.kind == "upload":
                app.router.add_post(path, rest.route(node, spec, _upload))
            else:
                app.router.add_get(path, rest.route(node, spec, _download))  # and HEAD


# Up.


@dataclass(frozen=True, slots=True)
class _Body:
    """What a client sends, and what it says of it."""

    chunks: AsyncIterator[bytes]
    fields: dict[str, Any]
    length: int
    """How many bytes there will be at least."""


async def _upload(node: Node, spec: Spec, request: web.Request) -> web.StreamResponse:
    principal = await rest.principal_of(node, spec, request)
    deadline = asyncio.get_running_loop().time() + node.settings.file_upload_time
    async with asyncio.timeout_at(deadline):
        body = await _body(request, node.settings.file_silence)
    data = rest.with_path_and_headers(spec, request, body.fields)
    checked, room = await rest.placed(node, spec, principal, data)
    ask = checked.payload
    assert isinstance(ask, UploadFile)
    slot = await node.dispatcher.begin(spec, ask, principal, room, body.length, checked.command_id)
    try:
        intake = Intake(body.chunks, slot.most, slot.beyond)
        async with asyncio.timeout_at(deadline):
            if slot.repeated:
                await intake.run_dry()
            else:
                await node.blobs.write(slot.key, intake)
        kept = KeepFile(
            project_id=ask.project_id, name=ask.name, id=slot.id, size=intake.size,
            content_type=intake.content_type, sha256=intake.sha256,
        )  # fmt: skip
        result = await node.dispatcher.submit(spec, kept, principal, room, command_id=checked.command_id)
    except BaseException:
        await asyncio.shield(_drop(node, principal, slot))
        raise
    if result.duplicate:
        await _drop(node, principal, slot)
    return rest.done(spec, result, request)


async def _drop(node: Node, principal: Principal, slot: Slot) -> None:
    """Leave nothing of an upload; where that fails, maintenance comes by."""
    if slot.repeated:
        return
    try:
        await node.maintenance.sweeper.upload(principal.tenant_id, slot.id, slot.key)
    except LOST as error:
        log.warning("upload.left", key=slot.key, error=repr(error))


async def _body(request: web.Request, silence: float) -> _Body:
    length = 0 if "Content-Encoding" in request.headers else request.content_length or 0
    if request.content_type != "multipart/form-data":
        chunks = heard(request.content.iter_any(), silence)
        return _Body(_whole(chunks), dict(request.query), length)
    fields = dict(request.query)
    try:
        form = await request.multipart()
        part = await _field(form, fields, silence)
    except BAD_FORM:
        raise ValidationFailed("The form cannot be read") from None
    if part.filename:
        fields.setdefault("name", part.filename)
    chunks = heard(_bytes_of(form, part), silence)
    return _Body(_whole(chunks), fields, max(0, length - FRAME))


async def _field(form: MultipartReader, fields: dict[str, Any], silence: float) -> BodyPartReader:
    """The part with the file; small ones before it are fields of the payload."""
    for _ in range(MOST_FIELDS):
        async with asyncio.timeout(silence):
            part = await form.next()
        if not isinstance(part, BodyPartReader):
            break
        if part.name == FIELD:
            return part
        value = await _small(part, silence)
        if value is None:
            break
        fields[part.name or ""] = value.decode()
    raise ValidationFailed.field(FIELD, "must be the last field of the form")


async def _small(part: BodyPartReader, silence: float) -> bytes | None:
    """All of a field, in as many pieces as the network made of it; None where it is too long."""
    value = b""
    while not part.at_eof():
        async with asyncio.timeout(silence):  # never less than a boundary: aiohttp looks for one in it
            value += await part.read_chunk(LONGEST_FIELD)
        if len(value) > LONGEST_FIELD:
            return None
    return value


async def _bytes_of(form: MultipartReader, part: BodyPartReader) -> AsyncIterator[bytes]:
    try:
        while chunk := await part.read_chunk(CHUNK):
            yield chunk
        if await form.next() is not None:
            raise ValidationFailed.field(FIELD, "must be the last field of the form")
    except BAD_FORM:
        raise ValidationFailed("The form cannot be read") from None


async def _whole(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same; VALIDATION_ERROR where it cannot be read, and a ConnectionError where it breaks off."""
    try:
        async for chunk in chunks:
            yield chunk
    except rest.BAD_BODY:
        raise ValidationFailed(rest.NOT_AS_SAID) from None
    except aiohttp.ClientError as error:
        raise ConnectionResetError("the upload broke off") from error


# Down.


async def _download(node: Node, spec: Spec, request: web.Request) -> web.StreamResponse:
    principal, checked, room = await rest.call(node, spec, request)
    content = await node.dispatcher.content(spec, checked.payload, principal, room)
    tag = f'"{content.sha256}"'
    headers = _headers(content, tag)
    if _matches(request.headers.get("If-None-Match", ""), tag):
        return web.Response(status=304, headers=headers)
    first, last, status = 0, content.size - 1, 200
    asked = request.headers.get("Range") if request.method == "GET" else None  # RFC 9110, 14.2
    if asked and request.headers.get("If-Range", tag) == tag:
        part = _part(asked, content.size)
        if part is not None and part[0] > part[1]:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{content.size}"})
        if part is not None:
            first, last = part
            status, headers["Content-Range"] = 206, f"bytes {first}-{last}/{content.size}"
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = last - first + 1
    if request.method == "HEAD" or not response.content_length:
        rest.finish(node, request, response)
        await response.prepare(request)
        await response.write_eof()
        return response
    return await _send(node, request, response, content.key, first)


async def _send(
    node: Node, request: web.Request, response: web.StreamResponse, key: str, first: int
) -> web.StreamResponse:
    """What cannot be read to its end, after the answer has begun, cuts the connection off."""
    assert response.content_length is not None
    async with aclosing(node.blobs.read(key, first, response.content_length)) as chunks:
        chunk = await anext(chunks)  # so that what is not there is told by a status
        rest.finish(node, request, response)
        await response.prepare(request)
        try:
            if request.transport is None:
                raise ConnectionResetError("the client has gone")
            with Reader(request.transport, node.settings.file_silence) as reader:
                reader.give(len(chunk))
                await response.write(chunk)
                async for chunk in chunks:
                    reader.give(len(chunk))
                    await response.write(chunk)
                await response.write_eof()
        except OSError as error:
            log.warning("download.broken", key=key, error=repr(error), request_id=request[rest.REQUEST_ID])
            if request.transport is not None:
                request.transport.abort()
    return response


def _headers(content: Content, tag: str) -> dict[str, str]:
    shown = content.content_type in SHOWN
    return {
        "Content-Type": content.content_type if shown else ANYTHING,
        "Content-Disposition": disposition(content.name, inline=shown),
        "Content-Security-Policy": SANDBOX,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "bytes",
        "ETag": tag,
    }


def _matches(condition: str, tag: str) -> bool:
    known = {one.strip().removeprefix("W/") for one in condition.split(",")}
    return tag in known or "*" in known


def _part(asked: str, size: int) -> tuple[int, int] | None:
    """The first and last byte of one range (RFC 9110, 14.1.2), in this order if anything is there; None to send all."""
    match = _RANGE.fullmatch(asked.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if not match[1]:
        first, last = max(0, size - int(match[2])), size - 1
    else:
        first, last = int(match[1]), min(int(match[2] or size), size - 1)
        if match[2] and int(match[2]) < first:
            return None
    return first, last

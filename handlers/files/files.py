"""Files of a project: uploaded, listed, renamed, deleted; their bytes are with the blobs.

A file has one content, which never changes. Whoever may comment may upload; whoever uploaded a file, and whoever may edit
the project, renames and deletes it.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.entry import require_open
from handlers.errors import Conflict, NotFound, QuotaExceeded, RateLimited
from handlers.files.attachments import Attached
from handlers.files.intake import too_large
from handlers.files.names import FileName
from handlers.paging import LAST_ID, LAST_MOMENT, decode_cursor, encode_cursor, moment
from handlers.registry import (
    Content,
    Entity,
    Event,
    Gone,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Slot,
    Timestamp,
    command,
    download,
    locator,
    query,
    upload,
)
from storage.blobs import key_of
from storage.ids import new_id
from storage.postgres import Row

locator("file_id", "project_of_file")

GONE: Final = "There is no such file"
MOST_TAKEN: Final = 1_000
"""Tasks that lose a file in one event when it is deleted (count)."""
PAUSE: Final = 5.0
"""When to come back with an upload where too many are under way (seconds)."""


class File(Entity):
    """A file of a project. Its content never changes."""

    id: UUID
    project_id: UUID
    name: str
    size: int = Field(description="In bytes.")
    content_type: str = Field(description="What it is by its first bytes, whatever its name says.")
    sha256: str = Field(description="Of its content, in hexadecimal.")
    version: int
    created_by: UUID
    created_at: Timestamp
    updated_at: Timestamp


class FilePart(Entity):
    """A file as far as it changed."""

    id: UUID
    name: str | None = None
    version: int | None = None
    updated_at: Timestamp | None = None


class FileWas(Entity):
    """The values that changed fields had before."""

    name: str


class FileAdded(Event, name="file.added"):
    """A file was uploaded."""

    file: File


class FileRenamed(Event, name="file.renamed"):
    """A file has another name."""

    file: FilePart
    was: FileWas


class FileDeleted(Event, name="file.deleted"):
    """A file is no more; its bytes are removed a little later. Comments that had it show it no more."""

    file: Gone
    tasks: list[Attached] | None = Field(None, description="The tasks that had it.")


class UploadFile(Payload):
    project_id: UUID
    name: FileName = Field(
        description="Of a path, the last part. A form may give it as its file's `filename`."
    )


class KeepFile(UploadFile):
    """An upload whose bytes are stored."""

    id: UUID = Field(exclude=True)
    size: int
    content_type: str
    sha256: str


class OneFile(Payload):
    file_id: UUID


class RenameFile(OneFile):
    name: FileName


class ListFiles(Paging):
    project_id: UUID


class FileReply(Reply):
    file: File


class FileList(Reply):
    files: list[File]


async def begin(tx: Tx, ask: UploadFile, length: int) -> Slot:
    """Take note of an upload, so that its bytes count and are removed if nothing comes of it.

    One that was carried out before is only compared with what it was: nothing is asked of the quota, nor of the archive.
    """
    slot_id, blob_id, most = new_id(), new_id(), tx.settings.file_max_bytes
    slot = Slot(slot_id, key_of(tx.room.tenant_id, blob_id), most, too_large(most))
    if length > most:
        raise slot.beyond
    if tx.command_id is not None and await tx.value("was_applied", command_id=tx.command_id):
        return replace(slot, repeated=True)
    require_open((await tx.one("project_standing"))["archived"])
    await tx.exec("begin_upload", ask, id=slot_id, blob_id=blob_id, size=length)
    used = await _use(tx, length)
    await _bound_uploads(tx)
    return slot if length else _up_to_the_quota(slot, tx.settings.file_quota, used)


@upload("file.upload", begin=begin, needs="comment.add", rest="POST /projects/{project_id}/files")
async def keep(tx: Tx, cmd: KeepFile) -> FileAdded:
    """Upload a file: its bytes as the body, with its name in the query, or a form with one field `file`.

    Bytes that go on for longer than ATRIUM_FILE_MAX_BYTES are refused, and whatever breaks off leaves nothing behind.
    """
    row = await tx.maybe("keep_upload", cmd)
    if row is None:
        raise NotFound("The upload was given up")
    await _use(tx, row["size"] - row["expected"])
    return FileAdded(file=File.of(row))


@query("file.get", needs="project.view", rest="GET /files/{file_id}")
async def get(tx: Tx, ask: OneFile) -> FileReply:
    """One file, without its bytes."""
    return FileReply(file=File.of(await find_file(tx, ask.file_id)))


@download("file.content", needs="project.view", rest="GET /files/{file_id}/content")
async def content(tx: Tx, ask: OneFile) -> Content:
    """The bytes of a file, or a part of them (`Range`). Pictures may be shown, all else is to be saved."""
    row = await find_file(tx, ask.file_id)
    return Content(
        key=key_of(tx.room.tenant_id, row["blob_id"]), name=row["name"], size=row["size"],
        content_type=row["content_type"], sha256=row["sha256"],
    )  # fmt: skip


@query("file.list", needs="project.view", rest="GET /projects/{project_id}/files")
async def list_files(tx: Tx, ask: ListFiles) -> Page[FileList]:
    """The files of a project, newest first."""
    before_at, before_id = decode_cursor(ask.cursor, moment, UUID) or (LAST_MOMENT, LAST_ID)
    rows = await tx.many(
        "files_of", ask, before_at=before_at, before_id=before_id, max_rows=ask.limit + 1
    )  # fmt: skip
    last = rows[ask.limit - 1] if len(rows) > ask.limit else None
    more = encode_cursor(last["created_at"], last["id"]) if last else None
    files = [File.of(row) for row in rows[: ask.limit]]
    return Page(FileList(files=files), Pagination(limit=ask.limit, next=more))


@command("file.rename", needs="comment.add", rest="PUT /files/{file_id}", versioned=True)
async def rename(tx: Tx, cmd: RenameFile) -> FileRenamed:
    """Give a file another name: whoever uploaded it, or with the permission `project.edit`."""
    row = await _own(tx, cmd.file_id)
    tx.check_version(row, File)
    fresh = await tx.one("rename_file", cmd)
    part = FilePart(**{name: fresh[name] for name in ("id", "name", "version", "updated_at")})
    return FileRenamed(file=part, was=FileWas(name=row["name"]))


@command("file.delete", needs="comment.add", rest="DELETE /files/{file_id}")
async def delete(tx: Tx, cmd: OneFile) -> FileDeleted:
    """Delete a file for good: whoever uploaded it, or with the permission `project.edit`.

    CONFLICT where more than 1,000 tasks have it.
    """
    await _own(tx, cmd.file_id)
    if (held := await tx.value("count_attached", cmd)) > MOST_TAKEN:
        raise Conflict(
            f"{held} tasks have this file: take it off some first",
            details={"held": held, "limit": MOST_TAKEN},
        )
    await tx.exec("delete_file", cmd)
    event = FileDeleted(file=Gone(id=cmd.file_id, removed=True))
    if held and (tasks := [Attached.of(row) for row in await tx.many("take_file_off", cmd) if row["stands"]]):
        event.tasks = tasks
    return event


async def find_file(tx: Tx, file_id: UUID) -> Row:
    row = await tx.maybe("file", file_id=file_id)
    if row is None:
        raise NotFound(GONE)
    return row


async def _own(tx: Tx, file_id: UUID) -> Row:
    row = await find_file(tx, file_id)
    if row["created_by"] != tx.actor.user_id:
        tx.require("project.edit")
    return row


async def _use(tx: Tx, more: int) -> int:
    """Count bytes of the tenant; QUOTA_EXCEEDED where they would be more than it may have. Returns what it has then."""
    quota = tx.settings.file_quota
    used: int | None = None
    if not more > quota > 0:
        used = await tx.value("use_file_space", more=more, quota=quota)
    if used is None:
        raise _full(quota, await tx.value("file_space") or 0)
    return used


def _up_to_the_quota(slot: Slot, quota: int, used: int) -> Slot:
    """The same for an upload that says no length: it is stopped where the quota ends, and not when it is stored."""
    left = quota - used
    if quota == 0 or left >= slot.most:
        return slot
    if left <= 0:
        raise _full(quota, used)
    return replace(slot, most=left, beyond=_full(quota, used))


def _full(quota: int, used: int) -> QuotaExceeded:
    return QuotaExceeded(
        f"The files of this tenant may have {quota} bytes together", details={"quota": quota, "used": used}
    )


async def _bound_uploads(tx: Tx) -> None:
    """RATE_LIMITED where somebody has more under way than he may; the tenant's sum is locked, so that this is exact."""
    most = tx.settings.file_uploads
    since = tx.now - timedelta(seconds=tx.settings.file_upload_time)
    if await tx.value("uploads_under_way", since=since) > most:
        raise RateLimited(
            f"You have {most} uploads under way: wait for one of them to end",
            details={"limit": most},
            retry_after=PAUSE,
        )

"""Comments on tasks: add, edit, delete, and read page by page; threads that are resolved, and the texts of before.

A comment may answer another one of its task, to any depth. Whoever wrote it may edit it; she or whoever may edit the
project may delete it. Answers to a deleted comment stay. The body is Markdown, kept as it was written, and beside it as
HTML that may be shown as it is.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from handlers.context import Tx
from handlers.errors import Conflict, Forbidden, NotFound
from handlers.files.attachments import Attachment, FileIds, attachments, check_files
from handlers.paging import FIRST_ID, FIRST_MOMENT, LAST_ID, LAST_MOMENT, decode_cursor, encode_cursor, moment
from handlers.registry import (
    Entity,
    Event,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Timestamp,
    command,
    no_nul,
    query,
)
from handlers.work.talk.markdown import Reference, rendered, understood
from handlers.work.talk.mentions import CommentMentioned, Mention, Reach, reach, told
from handlers.work.tasks import watchers
from handlers.work.tasks.watchers import watching
from storage.ids import new_id
from storage.postgres import Row


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


BODY = (
    "Markdown. A mention is written `@[Bob](user:<id>)`, `@[Design](team:<id>)` or `@[managers](role:manager)`; "
    "of those who do not see the project it stays text."
)
Body = Annotated[
    str, StringConstraints(max_length=20_000), AfterValidator(no_nul), AfterValidator(_not_blank)
]


def _from_json(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str) else value


class Reaction(Entity):
    """An emoji on a comment, and whose it is."""

    emoji: str
    user_ids: list[UUID]


Mentions = Annotated[list[Mention], BeforeValidator(_from_json)]
Reactions = Annotated[list[Reaction], BeforeValidator(_from_json)]


class Comment(Entity):
    """A remark on a task. `body` is Markdown as it was written."""

    id: UUID
    task_id: UUID
    parent_id: UUID | None = Field(description="The comment that this one answers; it may be deleted by now.")
    author_id: UUID
    author_name: str | None = Field(
        description="As whoever wrote it is called now; null where that is nobody."
    )
    body: str
    body_html: str = Field(description="The same as HTML, safe to be shown as it is.")
    mentions: Mentions = Field(description="Whom it mentions, as far as they see the project.")
    reactions: Reactions
    attachments: list[Attachment] = Field(description="Its files, as far as they are still there.")
    resolved_at: Timestamp | None = Field(description="When the thread that it begins was resolved.")
    resolved_by: UUID | None
    version: int
    created_at: Timestamp
    edited_at: Timestamp | None


class CommentPart(Entity):
    """A comment as far as it changed."""

    id: UUID
    task_id: UUID
    removed: Literal[True] | None = None
    body: str | None = None
    body_html: str | None = None
    mentions: Mentions | None = None
    reactions: Reactions | None = None
    attachments: list[Attachment] | None = None
    resolved_at: Timestamp | None = None
    resolved_by: UUID | None = None
    version: int | None = None
    edited_at: Timestamp | None = None


class CommentWas(Entity):
    """The values that changed fields had before."""

    body: str
    edited_at: Timestamp | None
    attachments: list[Attachment] | None = Field(None, description="Where it has others now.")


class CommentCount(Entity):
    """A task with how many comments it has now."""

    id: UUID
    comment_count: int
    watcher_ids: list[UUID] | None = Field(
        None, description="Who watches it now, where they have become more."
    )


class NowWatched(Entity):
    """A task with who watches it now."""

    id: UUID
    watcher_ids: list[UUID]


class CommentAdded(Event, name="comment.added"):
    """Somebody commented on a task."""

    comment: Comment
    task: CommentCount


class CommentEdited(Event, name="comment.edited"):
    """A comment has another text."""

    comment: CommentPart
    was: CommentWas
    task: NowWatched | None = Field(
        None, description="Where somebody is mentioned who watches it from now on."
    )


class CommentDeleted(Event, name="comment.deleted"):
    """A comment is no more."""

    comment: CommentPart
    task: CommentCount


class CommentResolved(Event, name="comment.resolved"):
    """What a thread was about is settled."""

    comment: CommentPart


class CommentReopened(Event, name="comment.reopened"):
    """What a thread was about is not settled after all."""

    comment: CommentPart


class Revision(Entity):
    """A text that a comment had before."""

    version: int
    body: str
    author_id: UUID
    written_at: Timestamp


class AddComment(Payload):
    task_id: UUID
    body: Body = Field(description=BODY)
    parent_id: UUID | None = Field(None, description="The comment of the same task that this one answers.")
    file_ids: FileIds = Field([], description="Files of the project that are attached to it.")


class EditComment(Payload):
    task_id: UUID
    comment_id: UUID
    body: Body = Field(description=BODY)
    file_ids: FileIds | None = Field(
        None, description="The files that it has from now on. Unset: those that it has."
    )


class OneComment(Payload):
    task_id: UUID
    comment_id: UUID


class ListComments(Paging):
    task_id: UUID
    order: Literal["newest", "oldest"] = Field("newest", description="What comes first.")


class CommentHistory(Paging):
    task_id: UUID
    comment_id: UUID


class CommentList(Reply):
    comments: list[Comment]


class RevisionList(Reply):
    revisions: list[Revision]


@command("comment.add", needs="comment.add", rest="POST /tasks/{task_id}/comments", status=201)
async def add(tx: Tx, cmd: AddComment) -> list[CommentAdded | CommentMentioned]:
    """Comment on a task, or answer a comment. Who does watches the task, and so does whom she mentions by name."""
    if cmd.parent_id is not None:
        await find_comment(tx, cmd.task_id, cmd.parent_id)
    files = await check_files(tx, cmd.file_ids, "file_ids")
    html, found = await _written(tx, cmd.body)
    row = await tx.maybe(
        "add_comment",
        cmd,
        id=new_id(),
        body_html=html,
        mentions=_json(found.mentions),
        more_watchers=[tx.actor.user_id, *found.by_themselves],
        most_watchers=watchers.MOST,
    )
    if row is None:
        raise NotFound("There is no such task")
    task = _count(cmd.task_id, row)
    if row["more_watch"]:
        task.watcher_ids = row["watcher_ids"]
    comment = Comment.of({**dict(row), "attachments": files})
    return [CommentAdded(comment=comment, task=task), *told(tx, row["id"], cmd.task_id, found)]


@command("comment.edit", needs="comment.add", rest="PUT /tasks/{task_id}/comments/{comment_id}")
async def edit(tx: Tx, cmd: EditComment) -> list[CommentEdited | CommentMentioned]:
    """Give one's own comment another text. The one before is kept: see `comment.history`."""
    row = await find_comment(tx, cmd.task_id, cmd.comment_id)
    if row["author_id"] != tx.actor.user_id:
        raise Forbidden("Only whoever wrote a comment edits it", details={"author_id": row["author_id"]})
    files = await check_files(tx, cmd.file_ids or [], "file_ids")
    html, found = await _written(tx, cmd.body)
    fresh = await tx.one("edit_comment", cmd, body_html=html, mentions=_json(found.mentions))
    part = {
        name: fresh[name]
        for name in ("id", "task_id", "body", "body_html", "mentions", "version", "edited_at")
    }
    was = CommentWas(body=row["body"], edited_at=row["edited_at"])
    event = CommentEdited(comment=CommentPart(**part), was=was)
    if cmd.file_ids is not None and cmd.file_ids != row["file_ids"]:
        event.comment.attachments = files
        was.attachments = list((await attachments(tx, row["file_ids"])).values())
    people = watching(row, found.by_themselves)
    if people != row["watcher_ids"]:
        tx.defer("set_watchers", cmd, watcher_ids=people, unwatched_ids=row["unwatched_ids"])
        event.task = NowWatched(id=cmd.task_id, watcher_ids=people)
    before = [Reference(one["kind"], one["id"]) for one in orjson.loads(row["mentions"])]
    return [event, *told(tx, cmd.comment_id, cmd.task_id, found, before)]


@command("comment.delete", needs="comment.add", rest="DELETE /tasks/{task_id}/comments/{comment_id}")
async def delete(tx: Tx, cmd: OneComment) -> CommentDeleted:
    """Delete one's own comment, or anybody's with the permission `project.edit`."""
    row = await find_comment(tx, cmd.task_id, cmd.comment_id)
    if row["author_id"] != tx.actor.user_id:
        tx.require("project.edit")
    left = await tx.one("delete_comment", cmd)
    part = CommentPart(id=cmd.comment_id, task_id=cmd.task_id, removed=True)
    return CommentDeleted(comment=part, task=_count(cmd.task_id, left))


@command("comment.resolve", needs="comment.add", rest="POST /tasks/{task_id}/comments/{comment_id}/resolve")
async def resolve(tx: Tx, cmd: OneComment) -> CommentResolved:
    """Say that what a thread is about is settled. Whoever was first stays the one who did."""
    row = await _thread(tx, cmd)
    by, at = row["resolved_by"] or tx.actor.user_id, row["resolved_at"] or tx.now
    return CommentResolved(comment=_settled(tx, cmd, by, at))


@command("comment.reopen", needs="comment.add", rest="POST /tasks/{task_id}/comments/{comment_id}/reopen")
async def reopen(tx: Tx, cmd: OneComment) -> CommentReopened:
    """Say that what a thread is about is not settled after all."""
    await _thread(tx, cmd)
    return CommentReopened(comment=_settled(tx, cmd, None, None))


@query("comment.history", needs="project.view", rest="GET /tasks/{task_id}/comments/{comment_id}/history")
async def history(tx: Tx, ask: CommentHistory) -> Page[RevisionList]:
    """The texts that a comment had before, the last one first: whose, and when it was written."""
    if await tx.maybe("found_comment", ask) is None:
        raise NotFound("There is no such comment")
    [before_version] = decode_cursor(ask.cursor, int) or (2**63 - 1,)
    rows = await tx.many("comment_revisions_of", ask, before_version=before_version, max_rows=ask.limit + 1)
    more = encode_cursor(rows[ask.limit - 1]["version"]) if len(rows) > ask.limit else None
    revisions = [Revision.of(row) for row in rows[: ask.limit]]
    return Page(RevisionList(revisions=revisions), Pagination(limit=ask.limit, next=more))


@query("comment.list", needs="project.view", rest="GET /tasks/{task_id}/comments")
async def list_comments(tx: Tx, ask: ListComments) -> Page[CommentList]:
    """The comments of a task by time, answers among them; `meta.pagination.total` counts them all."""
    task = await tx.maybe("found_task", task_id=ask.task_id)
    if task is None:
        raise NotFound("There is no such task")
    newest = ask.order == "newest"
    start = (LAST_MOMENT, LAST_ID) if newest else (FIRST_MOMENT, FIRST_ID)
    place_at, place_id = decode_cursor(ask.cursor, moment, UUID) or start
    rows = await tx.many(
        "comments_newest" if newest else "comments_oldest",
        ask, place_at=place_at, place_id=place_id, max_rows=ask.limit + 1,
    )  # fmt: skip
    last = rows[ask.limit - 1] if len(rows) > ask.limit else None
    more = encode_cursor(last["created_at"], last["id"]) if last else None
    files = await attachments(tx, (file_id for row in rows[: ask.limit] for file_id in row["file_ids"]))
    comments = [await _shown(row, files) for row in rows[: ask.limit]]
    return Page(
        CommentList(comments=comments), Pagination(limit=ask.limit, next=more, total=task["comment_count"])
    )


async def find_comment(tx: Tx, task_id: UUID, comment_id: UUID) -> Row:
    """A comment of a task that stands, with who watches that."""
    row = await tx.maybe("comment", task_id=task_id, comment_id=comment_id)
    if row is None:
        raise NotFound("There is no such comment")
    return row


async def _thread(tx: Tx, cmd: OneComment) -> Row:
    row = await find_comment(tx, cmd.task_id, cmd.comment_id)
    if row["parent_id"] is not None:
        raise Conflict(
            "Only the comment that begins a thread is resolved", details={"parent_id": row["parent_id"]}
        )
    return row


def _settled(tx: Tx, cmd: OneComment, by: UUID | None, at: Any) -> CommentPart:
    tx.defer("settle_thread", cmd, resolved_by=by, resolved_at=at)
    return CommentPart(id=cmd.comment_id, task_id=cmd.task_id, resolved_by=by, resolved_at=at)


async def _written(tx: Tx, body: str) -> tuple[str, Reach]:
    """A text as HTML, and whom it mentions."""
    parsed = await understood(body)
    found = await reach(tx, parsed.mentions)
    return await rendered(body, parsed, found.names), found


async def _shown(row: Row, files: Mapping[UUID, Attachment]) -> Comment:
    """A comment as it is read; one from before there was HTML is rendered now."""
    has = {**dict(row), "attachments": [files[file_id] for file_id in row["file_ids"] if file_id in files]}
    if row["body_html"] is None:
        has["body_html"] = await rendered(row["body"], await understood(row["body"]), {})
    return Comment.of(has)


def _json(mentions: Iterable[Mention]) -> str:
    return orjson.dumps([mention.model_dump() for mention in mentions]).decode()


def _count(task_id: UUID, row: Row) -> CommentCount:
    return CommentCount(id=task_id, comment_count=row["comment_count"])

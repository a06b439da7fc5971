"""Comments on tasks: add, edit, delete, and read page by page.

A comment may answer another one of its task, to any depth. Whoever wrote it may edit it; she or whoever may edit the
project may delete it. Answers to a deleted comment stay. The body is Markdown, kept as it was written: whoever shows it
renders it without raw HTML.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from handlers.context import Tx
from handlers.errors import Forbidden, NotFound
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
from storage.ids import new_id
from storage.postgres import Row


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


Body = Annotated[
    str, StringConstraints(max_length=20_000), AfterValidator(no_nul), AfterValidator(_not_blank)
]


class Comment(Entity):
    """A remark on a task. `body` is Markdown as it was written; render it without raw HTML."""

    id: UUID
    task_id: UUID
    parent_id: UUID | None = Field(description="The comment that this one answers; it may be deleted by now.")
    author_id: UUID
    body: str
    version: int
    created_at: Timestamp
    edited_at: Timestamp | None


class CommentPart(Entity):
    """A comment as far as it changed."""

    id: UUID
    task_id: UUID
    removed: Literal[True] | None = None
    body: str | None = None
    version: int | None = None
    edited_at: Timestamp | None = None


class CommentWas(Entity):
    """The values that changed fields had before."""

    body: str
    edited_at: Timestamp | None


class CommentCount(Entity):
    """A task with how many comments it has now."""

    id: UUID
    comment_count: int


class CommentAdded(Event, name="comment.added"):
    """Somebody commented on a task."""

    comment: Comment
    task: CommentCount


class CommentEdited(Event, name="comment.edited"):
    """A comment has another text."""

    comment: CommentPart
    was: CommentWas


class CommentDeleted(Event, name="comment.deleted"):
    """A comment is no more."""

    comment: CommentPart
    task: CommentCount


class AddComment(Payload):
    task_id: UUID
    body: Body = Field(description="Markdown.")
    parent_id: UUID | None = Field(None, description="The comment of the same task that this one answers.")


class EditComment(Payload):
    task_id: UUID
    comment_id: UUID
    body: Body = Field(description="Markdown.")


class OneComment(Payload):
    task_id: UUID
    comment_id: UUID


class ListComments(Paging):
    task_id: UUID
    order: Literal["newest", "oldest"] = Field("newest", description="What comes first.")


class CommentList(Reply):
    comments: list[Comment]


@command("comment.add", needs="comment.add", rest="POST /tasks/{task_id}/comments", status=201)
async def add(tx: Tx, cmd: AddComment) -> CommentAdded:
    """Comment on a task, or answer a comment."""
    if cmd.parent_id is not None:
        await _comment(tx, cmd.task_id, cmd.parent_id)
    row = await tx.maybe("add_comment", cmd, id=new_id())
    if row is None:
        raise NotFound("There is no such task")
    return CommentAdded(comment=Comment.of(row), task=_count(cmd.task_id, row))


@command("comment.edit", needs="comment.add", rest="PUT /tasks/{task_id}/comments/{comment_id}")
async def edit(tx: Tx, cmd: EditComment) -> CommentEdited:
    """Give one's own comment another text."""
    row = await _comment(tx, cmd.task_id, cmd.comment_id)
    if row["author_id"] != tx.actor.user_id:
        raise Forbidden("Only whoever wrote a comment edits it", details={"author_id": row["author_id"]})
    fresh = await tx.one("edit_comment", cmd)
    part = {name: fresh[name] for name in ("id", "task_id", "body", "version", "edited_at")}
    was = CommentWas(body=row["body"], edited_at=row["edited_at"])
    return CommentEdited(comment=CommentPart(**part), was=was)


@command("comment.delete", needs="comment.add", rest="DELETE /tasks/{task_id}/comments/{comment_id}")
async def delete(tx: Tx, cmd: OneComment) -> CommentDeleted:
    """Delete one's own comment, or anybody's with the permission `project.edit`."""
    row = await _comment(tx, cmd.task_id, cmd.comment_id)
    if row["author_id"] != tx.actor.user_id:
        tx.require("project.edit")
    left = await tx.one("delete_comment", cmd)
    part = CommentPart(id=cmd.comment_id, task_id=cmd.task_id, removed=True)
    return CommentDeleted(comment=part, task=_count(cmd.task_id, left))


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
    comments = [Comment.of(row) for row in rows[: ask.limit]]
    return Page(
        CommentList(comments=comments), Pagination(limit=ask.limit, next=more, total=task["comment_count"])
    )


async def _comment(tx: Tx, task_id: UUID, comment_id: UUID) -> Row:
    row = await tx.maybe("comment", task_id=task_id, comment_id=comment_id)
    if row is None:
        raise NotFound("There is no such comment")
    return row


def _count(task_id: UUID, row: Row) -> CommentCount:
    return CommentCount(id=task_id, comment_count=row["comment_count"])

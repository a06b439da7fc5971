"""Reactions to comments: an emoji says what needs no words."""

from functools import cache
from typing import Annotated, Final

import orjson
from emoji import EMOJI_DATA, STATUS
from pydantic import AfterValidator, Field, StringConstraints

from handlers.context import Tx
from handlers.errors import Conflict
from handlers.registry import Event, command
from handlers.work.talk.comments import CommentPart, OneComment, find_comment
from storage.postgres import Row

MOST_EMOJIS: Final = 20
"""Different emojis on one comment (count)."""
MOST: Final = 500
"""Reactions to one comment (count): each event about them has them all."""

_VARIATION: Final = "\ufe0f"
"""Asks for the picture where a character can be text as well; people's keyboards send it or leave it out."""


@cache
def _emojis() -> dict[str, str]:
    """Every emoji that Unicode recommends, without variation selectors -> as it is to be written."""
    known = (emoji for emoji, data in EMOJI_DATA.items() if data["status"] == STATUS["fully_qualified"])
    return {emoji.replace(_VARIATION, ""): emoji for emoji in known}


def _emoji(value: str) -> str:
    found = _emojis().get(value.replace(_VARIATION, ""))
    if found is None:
        raise ValueError("must be one emoji")
    return found


Emoji = Annotated[str, StringConstraints(max_length=32), AfterValidator(_emoji)]


class CommentReacted(Event, name="comment.reacted"):
    """Somebody reacted to a comment."""

    comment: CommentPart


class CommentUnreacted(Event, name="comment.unreacted"):
    """Somebody took a reaction back."""

    comment: CommentPart


class React(OneComment):
    emoji: Emoji = Field(description="One emoji, as Unicode has it.")


@command("comment.react", needs="comment.add", rest="POST /tasks/{task_id}/comments/{comment_id}/react")
async def react(tx: Tx, cmd: React) -> CommentReacted:
    """React to a comment with an emoji; a second time changes nothing."""
    held = _held(await find_comment(tx, cmd.task_id, cmd.comment_id))
    people = held.setdefault(cmd.emoji, [])
    if str(tx.actor.user_id) not in people:
        people.append(str(tx.actor.user_id))
    if len(held) > MOST_EMOJIS:
        raise Conflict(
            f"At most {MOST_EMOJIS} different emojis are on one comment", details={"limit": MOST_EMOJIS}
        )
    if sum(map(len, held.values())) > MOST:
        raise Conflict(f"At most {MOST} reactions are on one comment", details={"limit": MOST})
    return CommentReacted(comment=_write(tx, cmd, held))


@command(
    "comment.unreact",
    needs="comment.add",
    rest="POST /tasks/{task_id}/comments/{comment_id}/unreact",
)
async def unreact(tx: Tx, cmd: React) -> CommentUnreacted:
    """Take one's own reaction back, if it is there."""
    held = _held(await find_comment(tx, cmd.task_id, cmd.comment_id))
    held[cmd.emoji] = [user_id for user_id in held.get(cmd.emoji, ()) if user_id != str(tx.actor.user_id)]
    left = {emoji: people for emoji, people in held.items() if people}
    return CommentUnreacted(comment=_write(tx, cmd, left))


def _held(row: Row) -> dict[str, list[str]]:
    """Emoji -> whose it is, in the order in which they came."""
    return {one["emoji"]: one["user_ids"] for one in orjson.loads(row["reactions"])}


def _write(tx: Tx, cmd: React, held: dict[str, list[str]]) -> CommentPart:
    reactions = orjson.dumps(
        [{"emoji": emoji, "user_ids": people} for emoji, people in held.items()]
    ).decode()
    tx.defer("set_reactions", cmd, reactions=reactions)
    return CommentPart.model_validate({"id": cmd.comment_id, "task_id": cmd.task_id, "reactions": reactions})

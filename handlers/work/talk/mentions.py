"""Mentions: whom a text is about, and who hears of it in her own room.

A person, a team or a role is mentioned as far as people who see the project are behind it. The text shows the name that the
server knows, whatever was written.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from pydantic import Field

from handlers import access
from handlers.access import ROLES
from handlers.context import Tx
from handlers.registry import Entity, Event
from handlers.work.talk.markdown import Kind, Reference
from storage.rooms import RoomKey

MOST_REACHED: Final = 1_000
"""People whom one text tells (count): those mentioned by themselves before those behind teams and roles."""
MOST_CANDIDATES: Final = 5_000
"""People who are looked at for the roles and teams of one text (count)."""


_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Mention(Entity):
    """Whom a text is about."""

    kind: Kind
    id: str = Field(
        description="Of a person or team its id; of a role its name, or its id if it is one of your own."
    )
    name: str = Field(description="As it was when the text was written.")


class MentionedIn(Entity):
    """A comment that mentions you."""

    id: UUID
    task_id: UUID
    project_id: UUID
    author_id: UUID
    kind: Kind = Field(description="Whether it is you yourself, your team or your role.")


class CommentMentioned(Event, name="comment.mentioned"):
    """A comment mentions you, your team or your role. Sent to your own room; snapshots do not hold it."""

    comment: MentionedIn


@dataclass(slots=True)
class Reach:
    """Whom references have turned out to be about, and who is behind each."""

    names: dict[Reference, str] = field(default_factory=dict)
    people: dict[Reference, list[UUID]] = field(default_factory=dict)

    def add(self, reference: Reference, name: str, user_id: UUID) -> None:
        self.names[reference] = name
        self.people.setdefault(reference, []).append(user_id)

    @property
    def mentions(self) -> list[Mention]:
        return [Mention(kind=ref.kind, id=ref.id, name=name) for ref, name in self.names.items()]

    @property
    def by_themselves(self) -> list[UUID]:
        return [user_id for ref, people in self.people.items() if ref.kind == "user" for user_id in people]


async def reach(tx: Tx, references: Iterable[Reference]) -> Reach:
    """Find out whom a text is about. What nobody who sees the project is behind is left out."""
    wanted, found = tuple(references), Reach()
    if user_ids := _ids(wanted, "user"):
        for row in await tx.many("mentioned_people", user_ids=user_ids):
            found.add(Reference("user", str(row["user_id"])), row["name"], row["user_id"])
    if group_ids := _ids(wanted, "team"):
        rows = await tx.many("mentioned_teams", group_ids=group_ids, max_rows=MOST_CANDIDATES)
        for row in rows:
            found.add(Reference("team", str(row["id"])), row["name"], row["user_id"])
    roles, role_ids = (
        [ref.id for ref in wanted if ref.kind == "role" and ref.id in ROLES],
        _ids(wanted, "role"),
    )
    if roles or role_ids:
        await _reach_roles(tx, found, roles, role_ids)
    found.names = {ref: found.names[ref] for ref in wanted if ref in found.names}
    return found


def told(
    tx: Tx, comment_id: UUID, task_id: UUID, found: Reach, before: Iterable[Reference] = ()
) -> list[CommentMentioned]:
    """What the rooms of those hear whom a comment mentions, but for its author, and those it has mentioned before."""
    old = set(before)
    known = {tx.actor.user_id, *(user_id for ref in old for user_id in found.people.get(ref, ()))}
    events: list[CommentMentioned] = []
    for kind in ("user", "team", "role"):
        for ref, people in found.people.items():
            if ref.kind != kind or ref in old:
                continue
            for user_id in people:
                if user_id in known or len(events) == MOST_REACHED:
                    continue
                known.add(user_id)
                comment = MentionedIn(
                    id=comment_id, task_id=task_id, project_id=tx.room.id, author_id=tx.actor.user_id, kind=ref.kind
                )  # fmt: skip
                room = RoomKey(tx.room.tenant_id, "user", user_id)
                events.append(CommentMentioned(comment=comment).to(room))
    return events


async def _reach_roles(tx: Tx, found: Reach, roles: Sequence[str], role_ids: list[UUID]) -> None:
    rows = await tx.many("mentioned_roles", roles=roles, role_ids=role_ids, max_rows=MOST_CANDIDATES)
    for row in rows:
        if row["role_id"] in role_ids:
            found.add(Reference("role", str(row["role_id"])), row["role_name"], row["user_id"])
        rights = access.rights(row, "project", tx.room.id)
        if rights is not None and rights.role in roles:
            found.add(Reference("role", rights.role), rights.role, row["user_id"])


def _ids(references: Iterable[Reference], kind: Kind) -> list[UUID]:
    """The ids among the references of a kind. What is not written as ids are here is nobody's."""
    return [UUID(ref.id) for ref in references if ref.kind == kind and _ID.fullmatch(ref.id)]

"""Labels of tasks that come to another project: those of the same name there, made where there are none and one may."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from handlers.context import Tx
from handlers.work.projects.labels import MOST, LabelCreated
from storage.ids import new_id
from storage.postgres import Row
from storage.rooms import RoomKey

LEFT: Final = (
    "Names of labels that there are not in the other project, and that could not be made there: "
    "one may not, or it has as many as it can."
)


@dataclass(slots=True)
class Match:
    """What labels become in another project."""

    ids: dict[UUID, UUID] = field(default_factory=dict)
    """Those of the old project -> those of the new one."""
    made: list[LabelCreated] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Names of those that stay behind."""

    def of(self, task: Row) -> list[UUID]:
        """The labels that a task has there."""
        return list(dict.fromkeys(self.ids[old] for old in task["label_ids"] if old in self.ids))


async def match_labels(tx: Tx, from_id: UUID, to_id: UUID, rows: Iterable[Row], *, may_make: bool) -> Match:
    """For each label of these tasks the one of the same name there, made where it has to be and may be."""
    match, used = Match(), {label_id for row in rows for label_id in row["label_ids"]}
    if not used:
        return match
    there = {row["name"].lower(): row["id"] for row in await tx.many("labels_of", project_id=to_id)}
    worn = [row for row in await tx.many("labels_of", project_id=from_id) if row["id"] in used]
    lacking = [row for row in worn if row["name"].lower() not in there]
    more = lacking[: max(MOST - len(there), 0)] if may_make else []
    if more:
        fresh = await tx.many(
            "create_labels",
            project_id=to_id,
            ids=[new_id() for _ in more],
            names=[row["name"] for row in more],
            colours=[row["colour"] for row in more],
        )
        room = RoomKey(tx.room.tenant_id, "project", to_id)
        match.made = [LabelCreated.of(row).to(room) for row in fresh]
        there |= {row["name"].lower(): row["id"] for row in fresh}
    match.ids = {row["id"]: there[name] for row in worn if (name := row["name"].lower()) in there}
    match.left = [row["name"] for row in worn if row["id"] not in match.ids]
    return match

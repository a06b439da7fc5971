"""How much of a project is done: reckoned from its tasks a moment after they change, and told when it is another percent.

No command of a board waits for it. `server/reckoner.py` sees which projects had events, and asks here a little later;
see the decisions.
"""

from typing import Literal
from uuid import UUID

from handlers.context import Tx
from handlers.registry import Entity, Event, Outcome, Payload, Reply, internal
from storage.rooms import RoomKey

ProgressBy = Literal["count", "estimate"]


class Progress(Entity):
    """A project with how much of it is done (percent)."""

    id: UUID
    progress: int


class ProgressWas(Entity):
    progress: int


class ProjectProgressed(Event, name="project.progressed"):
    """More or less of a project is done. Its version stays: nobody has changed it."""

    project: Progress
    was: ProgressWas


class Reckon(Payload):
    project_id: UUID


async def settle_above(tx: Tx, project_ids: set[UUID]) -> list[ProjectProgressed]:
    """Reckon the progress of these projects, and of what they are in as far as that changes it. In the tenant's room."""
    if project_ids:  # the rooms of whatever may be written, before any of their rows
        rows = await tx.many("held_by", project_ids=list(project_ids))
        await tx.many("lock_rooms", room_ids=[row["id"] for row in rows])
    events: list[ProjectProgressed] = []
    while project_ids:
        rows = await tx.many("reckon_progress", project_ids=list(project_ids))
        changed = [row for row in rows if row["fresh"] != row["progress"]]
        if changed:
            await tx.exec(
                "set_progress", ids=[row["id"] for row in changed], values=[row["fresh"] for row in changed]
            )
        for row in changed:
            event = ProjectProgressed(
                project=Progress(id=row["id"], progress=row["fresh"]),
                was=ProgressWas(progress=row["progress"]),
            )
            room = RoomKey(tx.room.tenant_id, "project", row["id"])
            events += [event, event.model_copy().to(room)]
        project_ids = {row["parent_id"] for row in changed if row["parent_id"] is not None}
    return events


@internal("project.reckon", room="tenant")
async def reckon(tx: Tx, cmd: Reckon) -> list[ProjectProgressed] | Outcome[ProjectProgressed, Reply]:
    """Reckon how much of a project is done, and of what it is in. Told only where it is another percent."""
    return await settle_above(tx, {cmd.project_id}) or Outcome([], Reply())

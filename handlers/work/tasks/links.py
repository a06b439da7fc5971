"""Links between tasks, of one project or of two: what has to do with what. They say nothing of order or time, as
dependencies do.

A link is told by its ids in the rooms of both projects. What the other task is called is answered to those who may see
its project, and to nobody else is there a link at all.
"""

from typing import Final, Literal
from uuid import UUID

from pydantic import Field, model_validator

from handlers.context import Tx
from handlers.errors import Conflict, NotFound
from handlers.registry import Entity, Event, Payload, Reply, Timestamp, command, query
from handlers.work.projects.parts import lock_projects
from handlers.work.tasks.keys import seen
from handlers.work.tasks.places import rights_there
from storage.ids import new_id
from storage.postgres import Row
from storage.rooms import RoomKey

Type = Literal["relates", "duplicates", "causes", "clones"]
Relation = Literal[
    "relates", "duplicates", "is_duplicated_by", "causes", "is_caused_by", "clones", "is_cloned_by"
]
INVERSE: Final[dict[str, Relation]] = {
    "relates": "relates",
    "duplicates": "is_duplicated_by",
    "causes": "is_caused_by",
    "clones": "is_cloned_by",
}
"""What a link is called from its other end."""
MOST: Final = 100
"""Links that one task may have (count)."""


class Link(Entity):
    """Two tasks that have to do with each other: `task_id` duplicates, causes or clones `other_id`, or relates to it."""

    id: UUID
    task_id: UUID
    other_id: UUID
    type: Type
    created_by: UUID
    created_at: Timestamp


class LinkPart(Entity):
    id: UUID
    task_id: UUID
    other_id: UUID
    removed: Literal[True]


class LinkAdded(Event, name="link.added"):
    """Two tasks have to do with each other."""

    link: Link


class LinkRemoved(Event, name="link.removed"):
    """Two tasks have no longer to do with each other."""

    link: LinkPart


class AddLink(Payload):
    project_id: UUID = Field(description="The project of the first task.")
    task_id: UUID
    other_id: UUID = Field(description="A task of this project, or of another one of the tenant.")
    type: Type = Field("relates", description="What the first task does to the other.")

    @model_validator(mode="after")
    def of_two(self) -> "AddLink":
        if self.task_id == self.other_id:
            raise ValueError("a task cannot be linked to itself")
        return self


class RemoveLink(Payload):
    project_id: UUID = Field(description="The project of one of the tasks.")
    task_id: UUID
    link_id: UUID


class LinksOf(Payload):
    task_id: UUID


class LinkedTask(Entity):
    """A task at the other end of a link."""

    id: UUID
    project_id: UUID
    key: str
    title: str
    completed_at: Timestamp | None
    archived_at: Timestamp | None


class LinkedTo(Entity):
    """A link as one of its tasks sees it."""

    id: UUID
    relation: Relation = Field(description="What the task that was asked for does to the other one.")
    task: LinkedTask
    created_by: UUID
    created_at: Timestamp


class Links(Reply):
    links: list[LinkedTo]


@command(
    "link.add",
    needs="task.edit",
    rest="POST /projects/{project_id}/tasks/{task_id}/links",
    room="tenant",
    within="project_id",
    status=201,
)
async def add(tx: Tx, cmd: AddLink) -> list[LinkAdded]:
    """Link two tasks, of one project or of two. In both one must be allowed to edit tasks."""
    ends = await tx.maybe("link_ends", cmd)
    if ends is None:
        raise NotFound("There is no such task")
    if ends["other_project_id"] != cmd.project_id:
        await _check_other(tx, ends["other_project_id"])
    if ends["linked"]:
        raise Conflict("These tasks are linked so already")
    if ends["links"] >= MOST:
        raise Conflict(f"A task has at most {MOST} links", details={"limit": MOST})
    row = await tx.one("add_link", cmd, id=new_id())
    return [LinkAdded.of(row).to(room) for room in rooms(tx, cmd.project_id, ends["other_project_id"])]


@command(
    "link.remove",
    needs="task.edit",
    rest="DELETE /projects/{project_id}/tasks/{task_id}/links/{link_id}",
    room="tenant",
    within="project_id",
)
async def remove(tx: Tx, cmd: RemoveLink) -> list[LinkRemoved]:
    """Take away a link of a task, from whichever of its ends."""
    row = await tx.maybe("link", cmd)
    if row is None:
        raise NotFound("There is no such link")
    await lock_projects(tx, {row["other_project_id"]} - {cmd.project_id})
    await tx.exec("remove_link", cmd)
    part = LinkPart(id=row["id"], task_id=row["task_id"], other_id=row["other_id"], removed=True)
    return [LinkRemoved(link=part).to(room) for room in rooms(tx, cmd.project_id, row["other_project_id"])]


@query("link.list", needs="project.view", rest="GET /tasks/{task_id}/links")
async def list_links(tx: Tx, ask: LinksOf) -> Links:
    """What a task has to do with other tasks that one may see, at most 100."""
    if await tx.maybe("found_task", ask) is None:
        raise NotFound("There is no such task")
    return Links(
        links=[_seen_from(ask.task_id, row) for row in await tx.many("links_of_task", ask, **seen(tx))]
    )


async def _check_other(tx: Tx, project_id: UUID) -> None:
    """Whether one may edit tasks in another project as well; where it is not seen, its task is none."""
    try:
        await rights_there(tx, project_id, "task.edit")
    except NotFound:
        raise NotFound("There is no such task") from None


def rooms(tx: Tx, *project_ids: UUID) -> list[RoomKey]:
    """The rooms of some projects, each once."""
    return [RoomKey(tx.room.tenant_id, "project", project_id) for project_id in dict.fromkeys(project_ids)]


def _seen_from(task_id: UUID, row: Row) -> LinkedTo:
    relation = row["type"] if row["task_id"] == task_id else INVERSE[row["type"]]
    return LinkedTo(
        id=row["id"], relation=relation, created_by=row["created_by"], created_at=row["created_at"],
        task=LinkedTask(
            id=row["far_id"], project_id=row["far_project_id"], key=row["key"], title=row["title"],
            completed_at=row["completed_at"], archived_at=row["archived_at"],
        ),
    )  # fmt: skip

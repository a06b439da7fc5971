"""The trash of projects and tasks: what goes there, comes back, and is removed for good."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from handlers import access
from handlers.context import Tx
from handlers.errors import NotFound
from handlers.paging import LAST_ID, LAST_MOMENT, decode_cursor, encode_cursor, moment
from handlers.registry import (
    Entity,
    Event,
    Gone,
    Outcome,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Timestamp,
    command,
    internal,
    query,
)
from handlers.work.projects import auto_archive, hierarchy
from handlers.work.projects.progress import ProjectProgressed, settle_above
from handlers.work.projects.projects import OneProject, Project, both, project
from handlers.work.tasks.keys import seen
from storage.postgres import Row


class ProjectDeleted(Event, name="project.deleted"):
    """A project went to the trash."""

    project: Gone


class ProjectRestored(Event, name="project.restored"):
    """A project came back."""

    project: Project


class ProjectPurged(Event, name="project.purged"):
    """A project in the trash is not to come back any more."""

    project: Gone


class TrashedProject(Entity):
    """A project in the trash."""

    id: UUID
    key: str
    name: str
    deleted_at: Timestamp
    deleted_by: UUID


class TrashedTask(Entity):
    """A task in the trash, with its subtasks."""

    id: UUID
    project_id: UUID
    key: str
    title: str
    deleted_at: Timestamp
    deleted_by: UUID


class PurgeProject(Payload):
    project_id: UUID


class ExpireProject(Payload):
    project_id: UUID
    older_than: datetime


class ListTrash(Paging):
    kind: Literal["project", "task"] = "project"
    project_id: UUID | None = Field(None, description="Only tasks of this project.")


class Trash(Reply):
    projects: list[TrashedProject]
    tasks: list[TrashedTask]


@command(
    "project.delete",
    needs="project.delete",
    rest="DELETE /projects/{project_id}",
    room="tenant",
    within="project_id",
    versioned=True,
    archived=True,
)
async def delete(tx: Tx, cmd: OneProject) -> list[ProjectDeleted | ProjectProgressed]:
    """Put a project into the trash, from where it can be restored for a while. One with others in it stays."""
    row = await project(tx, cmd.project_id)
    tx.check_version(row, Project)
    await hierarchy.require_empty(tx, cmd.project_id)
    await tx.one("mark_project_deleted", cmd, deleted_at=tx.now)
    told = both(tx, cmd.project_id, ProjectDeleted(project=Gone(id=cmd.project_id, removed=True)))
    return [*told, *await settle_above(tx, {row["parent_id"]} - {None})]


@command(
    "project.restore",
    needs="project.delete",
    rest="POST /projects/{project_id}/restore",
    room="tenant",
    within="project_id",
    archived=True,
    trashed=True,
)
async def restore(tx: Tx, cmd: OneProject) -> list[ProjectRestored | ProjectProgressed]:
    """Bring a project back from the trash; into what it was in, where that still stands and can hold it."""
    row = await _trashed(tx, cmd.project_id)
    parent = row["parent_id"] and await tx.maybe("project", project_id=row["parent_id"])
    fits = (
        parent
        and parent["archived_at"] is None
        and hierarchy.RANK[parent["type"]] > hierarchy.RANK[row["type"]]
    )
    fresh = await tx.maybe("restore_project", cmd, parent_id=row["parent_id"] if fits else None)
    if fresh is None:  # it was to be removed just now
        raise NotFound("There is no such project in the trash")
    await tx.exec("wake_alarms", cmd)
    await auto_archive.set_alarm(tx, fresh)
    told = both(tx, cmd.project_id, ProjectRestored.of(fresh))
    return [*told, *await settle_above(tx, {fresh["parent_id"]} - {None})]


@command(
    "project.purge",
    needs="project.delete",
    rest="POST /projects/{project_id}/purge",
    room="tenant",
    within="project_id",
    archived=True,
    trashed=True,
)
async def purge(tx: Tx, cmd: PurgeProject) -> list[ProjectPurged]:
    """Give a project in the trash up for good.

    Its rows and its log are removed within the hour; what the audit log says of it stays.
    """
    await _trashed(tx, cmd.project_id)
    if await tx.maybe("give_project_up", cmd, older_than=None) is None:
        raise NotFound("There is no such project in the trash")
    return both(tx, cmd.project_id, ProjectPurged(project=Gone(id=cmd.project_id, removed=True)))


@internal("project.expire", room="tenant")
async def expire(tx: Tx, cmd: ExpireProject) -> list[ProjectPurged] | Outcome[ProjectPurged, Reply]:
    """Give a project up that is in the trash for too long, unless it was restored meanwhile."""
    await tx.many("lock_rooms", room_ids=[cmd.project_id])
    if await tx.maybe("give_project_up", cmd) is None:
        return Outcome([], Reply())
    return both(tx, cmd.project_id, ProjectPurged(project=Gone(id=cmd.project_id, removed=True)))


@query("trash.list", needs=None, scope="project.view", rest="GET /tenants/{tenant_id}/trash", room="tenant")
async def list_trash(tx: Tx, ask: ListTrash) -> Page[Trash]:
    """What one may restore, last deleted first. A page may hold less than was asked for, and still have a next one."""
    before_at, before_id = decode_cursor(ask.cursor, moment, UUID) or (LAST_MOMENT, LAST_ID)
    rows = await tx.many(
        "deleted_projects" if ask.kind == "project" else "deleted_tasks",
        ask,
        before_at=before_at,
        before_id=before_id,
        **seen(tx),
        max_rows=ask.limit + 1,
    )
    last = rows[ask.limit - 1] if len(rows) > ask.limit else None
    more = encode_cursor(last["deleted_at"], last["id"]) if last else None
    mine = await _restorable(tx, rows[: ask.limit], f"{ask.kind}.delete")
    return Page(
        Trash(
            projects=[TrashedProject.of(row) for row in mine if ask.kind == "project"],
            tasks=[TrashedTask.of(row) for row in mine if ask.kind == "task"],
        ),
        Pagination(limit=ask.limit, next=more),
    )


async def _restorable(tx: Tx, rows: Sequence[Row], permission: str) -> list[Row]:
    """Those that the caller may restore: each project has rights of its own."""
    project_ids = list({row["project_id"] for row in rows})
    found = await tx.many(
        "rights_in_rooms", user_ids=[tx.actor.user_id] * len(project_ids), room_ids=project_ids
    )
    allowed = set()
    for actor in found:
        rights = access.rights(actor, "project", actor["room_id"])
        if rights is not None and rights.within(tx.actor.scopes).allow(permission):
            allowed.add(actor["room_id"])
    return [row for row in rows if row["project_id"] in allowed]


async def _trashed(tx: Tx, project_id: UUID) -> Row:
    row = await tx.maybe("deleted_project", project_id=project_id)
    if row is None:
        raise NotFound("There is no such project in the trash")
    return row

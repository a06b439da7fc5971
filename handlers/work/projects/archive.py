"""The archive: projects that are kept to be read, and changed no more."""

from uuid import UUID

from handlers.context import Tx
from handlers.errors import Conflict
from handlers.registry import Event, Outcome, Reply, command, internal
from handlers.work.projects import auto_archive
from handlers.work.projects.projects import OneProject, Project, ProjectPart, ProjectWas, both, project
from storage.postgres import Row


class ProjectArchived(Event, name="project.archived"):
    """A project went to the archive: it is read-only from now on."""

    project: ProjectPart
    was: ProjectWas


class ProjectUnarchived(Event, name="project.unarchived"):
    """A project came back from the archive."""

    project: ProjectPart
    was: ProjectWas


@command(
    "project.archive",
    needs="project.edit",
    rest="POST /projects/{project_id}/archive",
    room="tenant",
    within="project_id",
    versioned=True,
)
async def archive(tx: Tx, cmd: OneProject) -> list[ProjectArchived]:
    """Put a project into the archive: everybody still reads it, and nobody changes it."""
    row = await project(tx, cmd.project_id)
    tx.check_version(row, Project)
    return await put_away(tx, row)


@command(
    "project.unarchive",
    needs="project.edit",
    rest="POST /projects/{project_id}/unarchive",
    room="tenant",
    within="project_id",
    archived=True,
)
async def unarchive(tx: Tx, cmd: OneProject) -> list[ProjectUnarchived]:
    """Take a project out of the archive."""
    row = await project(tx, cmd.project_id)
    if row["archived_at"] is None:
        raise Conflict("This project is not archived")
    fresh = await tx.one("mark_project_archived", cmd, archived_at=None)
    await tx.exec("wake_alarms", cmd)
    part, was = _parts(row, fresh)
    return both(tx, cmd.project_id, ProjectUnarchived(project=part, was=was))


@internal("project.auto_archive", room="tenant")
async def archive_by_itself(
    tx: Tx, cmd: OneProject
) -> list[ProjectArchived] | Outcome[ProjectArchived, Reply]:
    """Put a project into the archive that was completed so long ago as its settings say."""
    await tx.many("lock_rooms", room_ids=[cmd.project_id])
    row = await tx.maybe("project", cmd)
    if row is None or row["archived_at"] is not None or not auto_archive.is_due(row, tx.now):
        return Outcome([], Reply())
    return await put_away(tx, row)


async def put_away(tx: Tx, row: Row) -> list[ProjectArchived]:
    """A project that stands, into the archive."""
    project_id: UUID = row["id"]
    fresh = await tx.one("mark_project_archived", project_id=project_id, archived_at=tx.now)
    part, was = _parts(row, fresh)
    return both(tx, project_id, ProjectArchived(project=part, was=was))


def _parts(row: Row, fresh: Row) -> tuple[ProjectPart, ProjectWas]:
    names = ("id", "archived_at", "version", "updated_at")
    part = ProjectPart.model_validate({name: fresh[name] for name in names})
    return part, ProjectWas(archived_at=row["archived_at"])

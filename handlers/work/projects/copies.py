"""Copies of projects: templates that are kept, projects made from them, and duplicates.

What is copied is read under the lock of its room and written by a few statements, so a copy is of one moment. It begins
afresh: every task that was begun, done or cancelled goes back to the first status, nobody is assigned, nothing is counted.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import Field

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed
from handlers.paging import FIRST_MOMENT, LAST_MOMENT
from handlers.registry import Ids, LongText, Name, Payload, command
from handlers.work import positions
from handlers.work.projects import hierarchy, workflow_copy
from handlers.work.projects.progress import ProjectProgressed, settle_above
from handlers.work.projects.projects import Day, Key, ProjectCreated, create_row, project, take_part
from handlers.work.tasks.dates import shifted
from storage.ids import new_id
from storage.postgres import Row

MOST: Final = 2_000
"""Tasks that are copied at most (count): as many as one transaction writes without holding others up."""
MOST_ITEMS: Final = 10_000
"""Items of their checklists together (count)."""
UNTOUCHED: Final = frozenset({"backlog", "todo"})
"""Categories of status that a copied task stays in."""


class SaveTemplate(Payload):
    project_id: UUID = Field(description="What the template is made from.")
    id: UUID | None = Field(None, description="UUID of the template, where the client makes it.")
    name: Name
    key: Key | None = None
    description: LongText | None = Field(None, description="Unset: that of the project.")
    unit_id: UUID | None = Field(None, description="The client, department or region that it is for.")
    tasks: bool = Field(True, description="Whether its tasks go along, with what they wait for.")


class NewProject(Payload):
    """What a copy is called, and where it belongs."""

    id: UUID | None = Field(None, description="UUID of the new project, where the client makes it.")
    name: Name
    key: Key | None = Field(None, description="Prefix of task keys. Unset: made from the name.")
    parent_id: UUID | None = Field(None, description="The portfolio or program that it is in.")
    owner_id: UUID | None = Field(None, description="Who answers for it, and takes part. Unset: yourself.")
    unit_id: UUID | None = Field(None, description="Unset: that of what it is made from.")
    start_on: Day | None = Field(
        None,
        description="Dates move with it: what was a week after the start of the source is a week after this. Of a "
        "source without a start the first date counts as such.",
    )
    member_ids: Ids = Field([], description="Members of the tenant who take part from the start.")
    tasks: bool = Field(True, description="Whether tasks go along, with what they wait for.")


class FromTemplate(NewProject):
    template_id: UUID


class Duplicate(NewProject):
    project_id: UUID = Field(description="What is copied.")
    members: bool = Field(
        False, description="Whether those who take part themselves do so in the copy, as the same."
    )
    dates: bool = Field(True, description="Whether its dates, and those of its tasks, go along.")


@command(
    "template.save",
    needs="project.create",
    rest="POST /projects/{project_id}/template",
    room="tenant",
    status=201,
)
async def save_template(tx: Tx, cmd: SaveTemplate) -> list[ProjectCreated]:
    """Make a template from a project: its board, workflow, settings and tasks, without people and without comments."""
    source = await _source(tx, cmd.project_id)
    await hierarchy.check_unit(tx, cmd.unit_id)
    copy = await _plan(tx, source, cmd.id, tasks=cmd.tasks, shift=timedelta())
    row = await create_row(
        tx, cmd, project_id=copy.id, name=cmd.name, key=cmd.key, settings=source["settings"],
        **_kept(source), description=source["description"] if cmd.description is None else cmd.description,
        type="template", status="active", parent_id=None, owner_id=None, unit_id=cmd.unit_id,
        start_on=source["start_on"], end_on=source["end_on"],
    )  # fmt: skip
    await copy.write(tx, row["key"])
    await take_part(tx, row, [tx.actor.user_id])
    return [ProjectCreated.of(row)]


@command(
    "project.from_template",
    needs="project.create",
    rest="POST /tenants/{tenant_id}/projects/from-template",
    room="tenant",
    status=201,
)
async def from_template(tx: Tx, cmd: FromTemplate) -> list[ProjectCreated | ProjectProgressed]:
    """Create a project from a template. Without `start_on` it has no dates."""
    source = await _source(tx, cmd.template_id)
    if source["type"] != "template":
        raise NotFound("There is no such template")
    return await _copy(tx, cmd, source, kind="standard", dates=cmd.start_on is not None)


@command(
    "project.duplicate",
    needs="project.create",
    rest="POST /projects/{project_id}/duplicate",
    room="tenant",
    status=201,
)
async def duplicate(tx: Tx, cmd: Duplicate) -> list[ProjectCreated | ProjectProgressed]:
    """Create a project like another one. What is in a portfolio or program stays there."""
    source = await _source(tx, cmd.project_id)
    parts = await tx.many("parts_to_copy", source_id=cmd.project_id) if cmd.members else []
    for role in {part["role"] for part in parts if part["role"] is not None}:
        tx.may_give(role)
    told = await _copy(tx, cmd, source, kind=source["type"], dates=cmd.dates)
    if parts:
        await tx.exec("copy_parts", project_id=told[0].project.id, source_id=cmd.project_id)
        await tx.rights_changed()
    return told


async def _copy(
    tx: Tx, cmd: NewProject, source: Row, *, kind: hierarchy.Type, dates: bool
) -> list[ProjectCreated | ProjectProgressed]:
    await hierarchy.check_parent(tx, kind, cmd.parent_id)
    await hierarchy.check_unit(tx, cmd.unit_id)
    begins = source["start_on"] or await _first_day(tx, source["id"])
    shift = cmd.start_on - begins if dates and cmd.start_on and begins else timedelta()
    start = cmd.start_on or (source["start_on"] if dates else None)
    end = _moved(source["end_on"], shift) if dates else None
    if start and end and end < start:
        raise ValidationFailed.field("start_on", "is after the end that it would have")
    copy = await _plan(tx, source, cmd.id, tasks=cmd.tasks, shift=shift if dates else None)
    row = await create_row(
        tx, cmd, project_id=copy.id, name=cmd.name, key=cmd.key, settings=source["settings"],
        **_kept(source), description=source["description"], type=kind, status="active",
        unit_id=cmd.unit_id or source["unit_id"],
        start_on=start, end_on=end,
    )  # fmt: skip
    await copy.write(tx, row["key"])
    await take_part(tx, row, [tx.actor.user_id, row["owner_id"], *cmd.member_ids])
    above = await settle_above(tx, {cmd.parent_id}) if cmd.parent_id else []
    return [ProjectCreated.of(row), *above]


async def _source(tx: Tx, project_id: UUID) -> Row:
    """What is copied, locked: nobody changes it meanwhile."""
    if not await hierarchy.may_in(tx, project_id, "project.view"):
        raise NotFound("There is no such project")
    await tx.many("lock_rooms", room_ids=[project_id])
    return await project(tx, project_id)


def _kept(source: Row) -> dict[str, object]:
    return {
        "priority": source["priority"], "progress_by": source["progress_by"], "template_id": source["id"], "fields": source["fields"],
    }  # fmt: skip


@dataclass
class _Copy:
    """A copy as it is going to be."""

    id: UUID
    source_id: UUID
    shift: timedelta | None
    """How far dates move; None: they stay behind."""
    ids: dict[UUID, UUID]
    """Statuses, boards, columns and labels -> those of the copy."""
    tasks: list[Row] = field(default_factory=list)
    places: dict[UUID, tuple[UUID, UUID, str]] = field(default_factory=dict)
    """Task -> column, status (both of the source) and position."""
    zone: str = "UTC"
    """Where the days of tasks without a zone are."""

    async def write(self, tx: Tx, key: str) -> None:
        about = {"source_id": self.source_id, "project_id": self.id}
        await workflow_copy.write(tx, **about, ids=self.ids)
        if not self.tasks:
            return
        task_ids = {row["id"]: new_id() for row in self.tasks}
        below = [row["parent_id"] for row in self.tasks]
        counts = Counter(below)
        placed = [self.places[row["id"]] for row in self.tasks]
        await tx.exec(
            "copy_tasks", **about, key=key,
            starts=[self._later(row, "start_at") for row in self.tasks],
            dues=[self._later(row, "due_at") for row in self.tasks],
            old_ids=list(task_ids), new_ids=list(task_ids.values()),
            parent_ids=[task_ids.get(parent) for parent in below],
            subtask_totals=[counts[row["id"]] for row in self.tasks],
            column_ids=[self.ids[column] for column, _, _ in placed],
            status_ids=[self.ids[status] for _, status, _ in placed],
            positions=[position for _, _, position in placed],
            label_ids=list(self.ids), new_label_ids=list(self.ids.values()),
        )  # fmt: skip
        for statement in ("copy_dependencies", "copy_checklists"):
            await tx.exec(statement, **about, old_ids=list(task_ids), new_ids=list(task_ids.values()))

    def _later(self, task: Row, name: str) -> datetime | None:
        """A date of a task in the copy: as many days later, at the same hour by the clock of its zone."""
        moment: datetime | None = task[name]
        if moment is None or self.shift is None:
            return None
        return shifted(moment, self.shift, ZoneInfo(task["time_zone"] or self.zone))


async def _first_day(tx: Tx, project_id: UUID) -> date | None:
    """The day with which a project without a start begins: that of the first date of its tasks."""
    zone = await tx.value("tenant_zone") or "UTC"
    rows = await tx.many("first_moments", source_id=project_id)
    days = (row["moment"].astimezone(ZoneInfo(row["time_zone"] or zone)).date() for row in rows)
    return min(days, default=None)


async def _plan(tx: Tx, source: Row, copy_id: UUID | None, *, tasks: bool, shift: timedelta | None) -> _Copy:
    """Read what is there, and say what goes where; refuses what is too much before anything is written."""
    shape = await tx.many("shape_to_copy", source_id=source["id"])
    copy = _Copy(copy_id or new_id(), source["id"], shift, {row["id"]: new_id() for row in shape})
    _check_dates([source["end_on"]], shift or timedelta())
    if not tasks:
        return copy
    copy.tasks = await tx.many("tasks_to_copy", source_id=source["id"], max_rows=MOST + 1)
    if len(copy.tasks) > MOST:
        raise Conflict("So many tasks cannot be copied at once", details={"limit": MOST})
    if sum(row["checklist_total"] for row in copy.tasks) > MOST_ITEMS:
        raise Conflict("So many items of checklists cannot be copied at once", details={"limit": MOST_ITEMS})
    copy.places = _places(copy.tasks, shape)
    copy.tasks = [row for row in copy.tasks if row["id"] in copy.places]
    _check_dates(_moments(copy.tasks), shift or timedelta())
    copy.zone = await tx.value("tenant_zone") or "UTC"
    return copy


def _places(tasks: list[Row], shape: list[Row]) -> dict[UUID, tuple[UUID, UUID, str]]:
    """Where each task of a copy stands. What was begun goes behind what was not, in the first column of the first status;
    so does what lies on a board that is not copied, or it stays behind.
    """
    copied = {row["id"] for row in shape}
    columns_of = {status_id: row for row in reversed(shape) for status_id in row["status_ids"] or ()}
    shown = [row for row in shape if row["id"] in columns_of]
    first = next((row for row in shown if row["category"] in UNTOUCHED), None) or next(
        (row for row in shown if row["category"] not in ("done", "cancelled")), None
    )
    column = columns_of[first["id"]] if first else None
    columns: dict[UUID, list[tuple[bool, Row]]] = {}
    for task in tasks:
        fresh = task["category"] in UNTOUCHED and task["column_id"] in copied
        goes_back = first is not None and column is not None and not fresh
        column_id = column["id"] if goes_back and column else task["column_id"]
        if column_id not in copied:
            continue
        columns.setdefault(column_id, []).append((goes_back, task))
    places = {}
    for column_id, held in columns.items():
        held.sort(
            key=lambda one: (one[0], one[1]["number"] if one[0] else 0, one[1]["position"], one[1]["id"])
        )
        for (goes_back, task), position in zip(held, positions.spread(len(held)), strict=True):
            status_id = first["id"] if goes_back and first else task["status_id"]
            places[task["id"]] = column_id, status_id, position
    return places


def _moments(tasks: list[Row]) -> Iterable[datetime | None]:
    for task in tasks:
        yield task["start_at"]
        yield task["due_at"]


def _check_dates(days: Iterable[date | None], shift: timedelta) -> None:
    """Refuse a start that would take a date out of every calendar."""
    bounds = FIRST_MOMENT.date(), LAST_MOMENT.date()
    for day in days:
        if day is not None:
            plain = day.date() if isinstance(day, datetime) else day
            if not bounds[0] - plain <= shift < bounds[1] - plain:
                raise ValidationFailed.field("start_on", "would move a date out of the years 1900 to 2200")


def _moved(day: date | None, shift: timedelta) -> date | None:
    return None if day is None else day + shift

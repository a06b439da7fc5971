"""Finding tasks by a filter, in one project or in all that one may see: sorted, page by page, and counted."""

from collections.abc import Mapping
from datetime import UTC
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from handlers.context import Tx
from handlers.errors import ValidationFailed
from handlers.identity.people import Timezone
from handlers.registry import Ids, Page, Pagination, Paging, Payload, Reply, no_nul, query
from handlers.work.finding.fields import LISTS, Known, custom_fields, known_field
from handlers.work.finding.filters import Filter
from handlers.work.finding.sorting import Sort, SortKey, order_of
from handlers.work.finding.sql import Work, condition
from handlers.work.tasks.lists import TaskList
from handlers.work.tasks.tasks import Task
from storage.statements import Clause

MOST_COUNTED: Final = 10_000
"""How far is counted (tasks)."""
MOST_GROUPS: Final = 100
"""Groups that are told, the largest of them (count)."""
GROUPED: Final = ("choice", "id", "person", "boolean", *LISTS)
"""Kinds of fields that can be counted by."""

WHAT: Final = "What must hold. Unset: all tasks. Those in the archive are left out, unless a condition is about `archived`."

Zone = Annotated[
    Timezone | None,
    Field(description="Where days in the filter begin and end (IANA name). Unset: as for the tenant."),
]
By = Annotated[str, StringConstraints(max_length=60), AfterValidator(no_nul)]


class Finding(Paging):
    filter: Filter | None = Field(None, description=WHAT)
    sort: Sort = Field([], description="At most 5 fields; what has nothing in a field comes last.")
    zone: Zone = None
    cursor: Annotated[str, StringConstraints(max_length=5_000), AfterValidator(no_nul)] | None = Field(
        None, description="`meta.pagination.next` of the page before, with the same filter and sort."
    )


class FindTasks(Finding):
    project_id: UUID


class FindEverywhere(Finding):
    project_ids: Ids | None = Field(None, description="Only in these projects.")


class Counting(Payload):
    filter: Filter | None = Field(None, description=WHAT)
    group_by: By | None = Field(
        None, description="A field with few values, such as status_id, priority, assignees or `fields.<key>`."
    )
    zone: Zone = None


class CountTasks(Counting):
    project_id: UUID


class CountEverywhere(Counting):
    project_ids: Ids | None = Field(None, description="Only in these projects.")


class Group(BaseModel):
    """How many tasks have one value."""

    value: str | None = Field(description="An id or a word, as a text; null: those that have none.")
    count: int


class TaskCount(Reply):
    count: int = Field(description="How many there are; 10,000 stands for so many or more.")
    more: bool = Field(description="Whether there are more than were counted.")
    groups: list[Group] = Field([], description="The largest first, at most 100.")


class _Statements(NamedTuple):
    """What is run for one project, or for all."""

    found: str
    counted: str
    grouped: str


_HERE: Final = _Statements("find_tasks", "count_tasks", "group_tasks")
_EVERYWHERE: Final = _Statements("find_tasks_everywhere", "count_tasks_everywhere", "group_tasks_everywhere")


@query("tasks.find", needs="project.view", rest="POST /projects/{project_id}/tasks/find")
async def find(tx: Tx, ask: FindTasks) -> Page[TaskList]:
    """The tasks of a project that a filter holds for, sorted by any fields; by number where none is named."""
    return await _found(tx, _HERE, ask, ask.sort or [SortKey(field="number")], {})


@query(
    "tasks.find_everywhere", needs="project.view", rest="POST /tenants/{tenant_id}/tasks/find", room="tenant"
)
async def find_everywhere(tx: Tx, ask: FindEverywhere) -> Page[TaskList]:
    """The tasks that a filter holds for in all projects that one may see; what is due first at the top."""
    sort = ask.sort or [SortKey(field="due_at")]
    return await _found(tx, _EVERYWHERE, ask, sort, {"visible": _visible(tx, ask.project_ids)})


@query("tasks.count", needs="project.view", rest="POST /projects/{project_id}/tasks/count")
async def count(tx: Tx, ask: CountTasks) -> TaskCount:
    """How many tasks of a project a filter holds for, and how many of them have which value of one field."""
    return await _counted(tx, _HERE, ask, {})


@query(
    "tasks.count_everywhere",
    needs="project.view",
    rest="POST /tenants/{tenant_id}/tasks/count",
    room="tenant",
)
async def count_everywhere(tx: Tx, ask: CountEverywhere) -> TaskCount:
    """The same for all projects that one may see."""
    return await _counted(tx, _EVERYWHERE, ask, {"visible": _visible(tx, ask.project_ids)})


async def _found(
    tx: Tx, run: _Statements, ask: Finding, sort: list[SortKey], scope: Mapping[str, Clause]
) -> Page[TaskList]:
    order = order_of(sort, lambda: _work(tx), await custom_fields(tx, (key.field for key in sort)))
    clauses = {**scope, **order.clauses(ask.cursor), **await _where(tx, ask.filter, ask.zone)}
    rows = await tx.many(run.found, max_rows=ask.limit + 1, **clauses)
    more = order.cursor(rows[ask.limit - 1]) if len(rows) > ask.limit else None
    tasks = [Task.of(row) for row in rows[: ask.limit]]
    return Page(TaskList(tasks=tasks), Pagination(limit=ask.limit, next=more))


async def _counted(tx: Tx, run: _Statements, ask: Counting, scope: Mapping[str, Clause]) -> TaskCount:
    by = {} if ask.group_by is None else _by(tx, ask.group_by, await custom_fields(tx, [ask.group_by]))
    clauses = {**scope, **await _where(tx, ask.filter, ask.zone)}
    [row] = await tx.many(run.counted, most=Clause(str(MOST_COUNTED + 1)), **clauses)
    groups = await tx.many(run.grouped, max_rows=MOST_GROUPS, **clauses, **by) if by else []
    return TaskCount(
        count=min(row["count"], MOST_COUNTED),
        more=row["count"] > MOST_COUNTED,
        groups=[Group(value=group["value"], count=group["count"]) for group in groups],
    )


async def _where(tx: Tx, wanted: Filter | None, zone: str | None) -> dict[str, Clause]:
    """The filter, and whether the archive is left out."""
    if wanted is None:
        return {"where": Clause("true")}
    clause = await condition(tx, wanted, zone=zone)
    if tx.room.kind == "tenant":
        clause = way_in(wanted, tx.actor.user_id, clause)
    named = any(one.field == "archived" for one in wanted.conditions())
    return {"where": clause, **({"standing": Clause("true")} if named else {})}


def way_in(wanted: Filter, me: UUID, clause: Clause) -> Clause:
    """Whose tasks are asked for, where the filter says so, once more as a way in by the index of assignees."""
    for part in wanted.all_of or [wanted]:
        if part.field == "assignees" and part.op in ("has_any", "has_all") and isinstance(part.value, list):
            people = [me if value == "me" else UUID(str(value)) for value in part.value]
            theirs = (
                "t.id IN (SELECT a.task_id FROM task_assignees AS a WHERE a.tenant_id = :tenant_id "
                f"AND a.user_id = ANY(${len(clause.values) + 1}::uuid []))"
            )
            return Clause(f"{clause.sql} AND {theirs}", (*clause.values, people))
    return clause


def _visible(tx: Tx, project_ids: list[UUID] | None) -> Clause:
    people = None if tx.rights.every_project else [tx.actor.user_id, *tx.rights.stands_for]
    return visible(people, project_ids)


def visible(people: list[UUID] | None, project_ids: list[UUID] | None) -> Clause:
    """The tasks of what these people take part in, of the projects that are asked about; None for all."""
    parts, values = list[str](), list[Any]()
    if people is not None:
        values.append(people)
        parts.append(
            "t.project_id IN (SELECT pm.project_id FROM project_parts AS pm "
            f"WHERE pm.tenant_id = :tenant_id AND pm.user_id = ANY(${len(values)}::uuid []))"
        )
    if project_ids is not None:
        values.append(project_ids)
        parts.append(f"t.project_id = ANY(${len(values)}::uuid [])")
    return Clause(" AND ".join(parts) or "true", tuple(values))


def _by(tx: Tx, name: str, custom: Mapping[str, Known]) -> dict[str, Clause]:
    """What is counted by: each value of a list by itself."""
    known = known_field(name, custom, "group_by")
    if known.kind not in GROUPED:
        raise ValidationFailed.field("group_by", "has too many values to count by")
    work = _work(tx)
    place = work.place(known, name)
    if known.kind not in LISTS:
        return {"value": Clause(f"({place})", tuple(work.values))}
    each = Clause(f"LEFT JOIN LATERAL unnest({place}) AS e (value) ON true", tuple(work.values))
    return {"value": Clause("e.value"), "each": each}


def _work(tx: Tx) -> Work:
    return Work(tx.actor.user_id, tx.now, UTC, {})

"""Tasks as they were: many brought back from the trash to their places, many given their old values, each at once."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import orjson
from pydantic import Field

from handlers.context import Tx
from handlers.errors import Conflict, NotFound
from handlers.identity.people import from_json
from handlers.registry import Event
from handlers.work import positions
from handlers.work.planning.sprint_facts import settle, sprint_to_fill
from handlers.work.projects.labels import check_labels
from handlers.work.tasks.archive import TasksArchived, TaskUnarchived
from handlers.work.tasks.bulk import WRITTEN, Decided, TasksUpdated, count_parents, write
from handlers.work.tasks.dependencies import Dependency, back_with
from handlers.work.tasks.rules import OverLimit, check_limit, check_step, transitions_of
from handlers.work.tasks.tasks import Task, TaskPart, TaskRestored, check_people, parents_told, unapproved
from handlers.work.tasks.values import task_fields
from storage.postgres import Row

EVENT_SIZE: Final = 200_000
"""Text of tasks that one event holds (characters): what is more goes into another one."""


class TasksRestored(Event, name="tasks.restored"):
    """Several tasks came back from the trash or the archive at once."""

    tasks: list[Task | TaskPart] = Field(description="Those, and parents whose subtasks count otherwise now.")
    dependencies: list[Dependency] | None = Field(None, description="What waits for them again, or they for.")
    over_limits: list[OverLimit] | None = Field(
        None, description="Columns where they hold more than they should."
    )


async def bring_back(tx: Tx, task_ids: Sequence[str], *, many: bool, archived: bool) -> list[Event]:
    """Bring tasks back from the trash, or from the archive, to where they were; all of them or none.

    What was in the archive when it was deleted is there again. CONFLICT where one is there already, its parent or column is
    gone, or a column is full.
    """
    ids = [UUID(one) for one in task_ids]
    rows = {row["id"]: row for row in await tx.many("tasks_anywhere", task_ids=ids)}
    if len(rows) < len(ids):
        raise NotFound("There is no such task any more")
    for row in rows.values():
        if row["archived_at" if archived else "deleted_at"] is None or (archived and row["deleted_at"]):
            raise Conflict(
                f"{row['key']} is not in the {'archive' if archived else 'trash'} any more",
                details={"task_id": row["id"]},
            )
        gone = row["parent_deleted"] if _stays(row, archived) else row["parent_gone"]
        if gone and row["parent_id"] not in rows:
            raise Conflict(
                f"{row['parent_key']}, its parent task, is not there any more: bring that one back first",
                details={"task_id": row["parent_id"]},
            )
    put_away = {row["id"] for row in rows.values() if _stays(row, archived)}
    shown = [one for one in ids if one not in put_away]
    places = [(one, rows[one]["column_id"], rows[one]["position"]) for one in shown]
    keys, over = await _fitted(tx, places, coming={one: rows[one]["column_id"] for one in shown})
    keys |= {one: rows[one]["position"] for one in put_away}
    back = await tx.many(
        "bring_back_tasks", task_ids=list(keys), positions=list(keys.values()), from_archive=archived
    )
    settle(tx, back)
    tasks = {row["id"]: Task.of(row) for row in back if row["id"] not in put_away}
    parents = await parents_told(tx, {row["parent_id"] for row in back} - {*ids})
    if not shown:
        return [_told_of_archive(ids, parents)]
    edges = await back_with(tx, shown)
    mine = [tasks[one] for one in shown]
    if many:
        events = _told_as_many(mine, parents, edges)
        if over:
            events[-1].over_limits = over
        return list(events)
    event = _told(mine, parents, edges, archived)
    if over:
        event.over_limit = over[-1]
    return [event]


def _stays(row: Row, archived: bool) -> bool:
    """Whether a task that comes back from the trash had been in the archive before: it is there again."""
    return not archived and row["archived_at"] is not None


def _told_of_archive(ids: Sequence[UUID], parents: Sequence[TaskPart]) -> TasksArchived:
    return TasksArchived(tasks=[*(TaskPart(id=one, removed=True) for one in ids), *parents])


def _told(
    tasks: list[Task], parents: list[TaskPart], edges: list[Dependency] | None, archived: bool
) -> TaskUnarchived | TaskRestored:
    if archived:
        event: TaskUnarchived | TaskRestored = TaskUnarchived(task=tasks[0])
        if len(tasks) > 1:
            event.tasks = list(tasks[1:])
    else:
        event = TaskRestored(task=tasks[0])
        if len(tasks) > 1 or parents:
            event.tasks = [*tasks[1:], *parents]
    if edges:
        event.dependencies = edges
    return event


def _told_as_many(
    tasks: list[Task], parents: list[TaskPart], edges: list[Dependency] | None
) -> list[TasksRestored]:
    events = [TasksRestored(tasks=list(part)) for part in _portions(tasks)]
    events[-1].tasks += parents
    if edges:
        events[-1].dependencies = edges
    return events


def _portions(tasks: list[Task]) -> Iterable[list[Task]]:
    size, portion = 0, list[Task]()
    for task in tasks:
        length = len(task.description) + 1_000
        if portion and size + length > EVENT_SIZE:
            yield portion
            size, portion = 0, []
        size, portion = size + length, [*portion, task]
    yield portion


async def set_many(tx: Tx, wanted: Mapping[str, Mapping[str, Any]]) -> TasksUpdated:
    """Give each of many tasks values of its own; all of them or none."""
    fresh = {UUID(one): _typed(values) for one, values in wanted.items()}
    rows = {row["id"]: row for row in await tx.many("tasks_by_ids", task_ids=list(fresh))}
    if len(rows) < len(fresh):
        raise NotFound("There is no such task")
    foreign = {name for values in fresh.values() for name in values} - set(WRITTEN)
    if foreign:
        raise Conflict(f"{', '.join(sorted(foreign))} of many tasks cannot be set at once")
    people = {one for values in fresh.values() for one in values.get("assignee_ids") or ()}
    await check_people(tx, list(people), "assignee_ids")
    labels = {one for values in fresh.values() for one in values.get("label_ids") or ()}
    await check_labels(tx, list(labels), "label_ids")
    await _check_sprints(tx, rows, fresh)
    moved = {one: values for one, values in fresh.items() if {"column_id", "position"} & set(values)}
    places: list[tuple[UUID, UUID, str]] = [
        (
            one,
            values.get("column_id") or rows[one]["column_id"],
            values.get("position") or rows[one]["position"],
        )
        for one, values in moved.items()
    ]
    coming = {one: column_id for one, column_id, _ in places if column_id != rows[one]["column_id"]}
    keys, over = await _fitted(tx, places, coming=coming)
    for one, key in keys.items():
        fresh[one]["position"] = key
    await _check_shown(tx, rows, fresh)
    await _check_fields(tx, rows, fresh)
    decided = Decided()
    for one, values in fresh.items():
        decided.add(rows[one], values, tx.now)
    write(tx, decided)
    settle(tx, [*decided.written, *(rows[task["id"]] for task in decided.written)])
    await count_parents(tx, decided)
    event = TasksUpdated(tasks=decided.tasks, was=decided.was)
    if over:
        event.over_limits = over
    return event


async def _check_sprints(tx: Tx, rows: Mapping[UUID, Row], fresh: Mapping[UUID, dict[str, Any]]) -> None:
    """CONFLICT where a sprint is completed, or has no room for all that come to it."""
    coming = Counter(
        values["sprint_id"] for one, values in fresh.items()
        if values.get("sprint_id") is not None and values["sprint_id"] != rows[one]["sprint_id"]
    )  # fmt: skip
    for sprint_id, count in coming.items():
        (await sprint_to_fill(tx, sprint_id)).take(count)


async def _check_fields(tx: Tx, rows: Mapping[UUID, Row], fresh: Mapping[UUID, dict[str, Any]]) -> None:
    """All values of custom fields of each task, after some were set or, with null, taken away; what has become wrong for
    its field since is refused.
    """
    given = {one: values for one, values in fresh.items() if "fields" in values}
    if not given:
        return
    fields, checked = await task_fields(tx), dict[bytes, dict[str, Any]]()
    for one, values in given.items():
        key = orjson.dumps(values["fields"])
        if key not in checked:
            checked[key] = await fields.allowed(tx, values["fields"], "fields", project_id=tx.room.id)
        before: Any = from_json(rows[one]["fields"])
        after = fields.merged(before, checked[key], "fields")
        values["fields"] = rows[one]["fields"] if after == before else after


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    part = TaskPart.model_validate({"id": UUID(int=0), **values})
    return {name: getattr(part, name) for name in values if name in TaskPart.model_fields}


async def _check_shown(tx: Tx, rows: Mapping[UUID, Row], fresh: Mapping[UUID, dict[str, Any]]) -> None:
    """Every task lies in a column that shows its status, came there by a way that the workflow has, and is done since
    some time where that is a done one.
    """
    if not any({"column_id", "status_id"} & set(values) for values in fresh.values()):
        return
    shows = {row["id"]: row["status_ids"] for row in await tx.many("columns_of")}
    statuses = {
        row["id"]: {**dict(row), "transitions": transitions_of(row)} for row in await tx.many("statuses_of")
    }
    asks = bool(await tx.value("requires_approval"))
    for one, values in fresh.items():
        column_id = values.get("column_id", rows[one]["column_id"])
        status_id = values.get("status_id", rows[one]["status_id"])
        if status_id not in shows.get(column_id, ()):
            raise Conflict("Its column does not show the status any more that it had there")
        row = {**dict(rows[one]), **values}
        check_step(tx, row, statuses[rows[one]["status_id"]], statuses[status_id])
        done = statuses[status_id]["category"] == "done"
        if done and asks and rows[one]["completed_at"] is None and row["approval"] != "approved":
            raise unapproved(row["approval"])
        values["completed_at"] = (row["completed_at"] or tx.now) if done else None


async def _fitted(
    tx: Tx, places: Sequence[tuple[UUID, UUID, str]], *, coming: Mapping[UUID, UUID]
) -> tuple[dict[UUID, str], list[OverLimit]]:
    """A position for each task in its column, as near as can be to the one that it had, and the columns that hold more
    than they should then; `coming` are those that are not in their column yet, for which there must be room.
    """
    if not places:
        return {}, []
    columns = {row["id"]: row for row in await tx.many("columns_of")}
    going = {one: column_id for one, column_id, _ in places}
    held: defaultdict[UUID, int] = defaultdict(int)
    taken: defaultdict[UUID, list[str]] = defaultdict(list)
    over: dict[UUID, OverLimit] = {}
    for row in await tx.many("places_in", column_ids=list({column_id for _, column_id, _ in places})):
        held[row["column_id"]] += going.get(row["id"], row["column_id"]) == row["column_id"]
        if row["id"] not in going:
            taken[row["column_id"]].append(row["position"])
    for column_id in coming.values():
        column = columns.get(column_id)
        if column is None:
            raise Conflict("The column where it was is gone", details={"column_id": column_id})
        if more := check_limit(column, held[column_id]):
            over[column_id] = more
        held[column_id] += 1
    keys: dict[UUID, str] = {}
    ordered = sorted(places, key=lambda place: (place[1], place[2], place[0]))
    for column_id, here in groupby(ordered, key=lambda place: place[1]):
        mine = list(here)
        found = positions.fit(taken[column_id], [position for _, _, position in mine])
        keys |= {one: key for (one, _, _), key in zip(mine, found, strict=True)}
    return keys, list(over.values())

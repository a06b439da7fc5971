"""Burndown and velocity: what sprints came to, from the facts that were written down as it happened.

What a sprint held when it started is what it is measured by. Of every day since, in the tenant's time zone, the facts say
what was added and taken away, estimated anew and done; the ideal goes down on working days alone.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import Field

from handlers.context import Tx
from handlers.registry import Entity, Payload, Reply, Timestamp, query
from handlers.work.planning.sprints import LONGEST, OneSprint, Sprint, find_sprint
from handlers.work.planning.working_calendar import WorkingCalendar, working_calendar

MOST_DAYS: Final = timedelta(days=2 * LONGEST)
"""A sprint that nobody completes is told of for so long."""


class DayOfSprint(Entity):
    """A day, and what was left when it ended: yesterday's, plus what was added, less what was removed and completed, plus
    what estimates changed by. Of days to come there is the ideal alone.
    """

    on: date
    working: bool = Field(description="Whether the tenant works on it.")
    ideal_tasks: float = Field(description="What would be left if as much were done on every working day.")
    ideal_minutes: float
    remaining_tasks: int | None
    remaining_minutes: int | None
    added_tasks: int = 0
    added_minutes: int = 0
    removed_tasks: int = 0
    removed_minutes: int = 0
    reestimated_minutes: int = Field(
        0, description="What the estimates of tasks changed by (minutes); less than 0: downwards."
    )
    completed_tasks: int = Field(0, description="Less those that were opened again.")
    completed_minutes: int = 0


class Burndown(Reply):
    sprint: Sprint
    timezone: str = Field(description="In which the days are days.")
    committed_tasks: int = Field(description="What was open when the sprint started; of a planned one, now.")
    committed_minutes: int
    days: list[DayOfSprint] = Field(
        description="From the day on which it started, or is to, to its last, or to today where it is late; none while "
        "it has no dates."
    )


class VelocityOf(Payload):
    project_id: UUID
    last: int = Field(6, ge=1, le=26, description="Completed sprints to look at (count).")


class SprintResult(Entity):
    """What a completed sprint came to."""

    id: UUID
    name: str
    start_on: date
    end_on: date
    started_at: Timestamp
    completed_at: Timestamp
    committed_tasks: int = Field(description="What was open in it when it started.")
    committed_minutes: int
    completed_tasks: int = Field(description="What was done in it from its start to its completion.")
    completed_minutes: int


class Velocity(Reply):
    sprints: list[SprintResult] = Field(description="The last completed first.")
    average_tasks: float | None = Field(description="Completed in a sprint; null where none is completed.")
    average_minutes: float | None


@query(
    "sprint.burndown", needs="project.view", rest="GET /projects/{project_id}/sprints/{sprint_id}/burndown"
)
async def burndown(tx: Tx, ask: OneSprint) -> Burndown:
    """What was left of a sprint day by day, in tasks and in minutes, beside the ideal."""
    sprint = Sprint.of(await find_sprint(tx, ask.sprint_id))
    calendar = await working_calendar(tx)
    start, *facts = await _facts(tx, ask, calendar.timezone)
    committed = (start["tasks"] - start["done_tasks"], start["minutes"] - start["done_minutes"])
    today = tx.now.astimezone(calendar.timezone).date()
    return Burndown(
        sprint=sprint, timezone=calendar.timezone.key, committed_tasks=committed[0], committed_minutes=committed[1],
        days=_days(sprint, calendar, committed, facts, today),
    )  # fmt: skip


@query("sprint.velocity", needs="project.view", rest="GET /projects/{project_id}/velocity")
async def velocity(tx: Tx, ask: VelocityOf) -> Velocity:
    """What was completed in the last sprints, and on average."""
    results = [SprintResult.of(row) for row in await tx.many("velocity_of_sprints", ask)]
    return Velocity(
        sprints=results,
        average_tasks=_average([result.completed_tasks for result in results]),
        average_minutes=_average([result.completed_minutes for result in results]),
    )


async def _facts(tx: Tx, ask: OneSprint, timezone: ZoneInfo) -> list[dict[str, Any]]:
    """What it held when it started, and then each day of which there is something to tell."""
    rows = [dict(row) for row in await tx.many("sprint_days", ask, timezone=timezone.key)]
    if rows and rows[0]["day"] is None:
        return rows
    return [dict.fromkeys(("tasks", "minutes", "done_tasks", "done_minutes"), 0), *rows]


def _days(
    sprint: Sprint,
    calendar: WorkingCalendar,
    committed: tuple[int, int],
    facts: list[dict[str, Any]],
    today: date,
) -> list[DayOfSprint]:
    """Every day of a sprint, and what was left when it ended."""
    if sprint.start_on is None or sprint.end_on is None:
        return []
    begun, over = _day(sprint.started_at, calendar), _day(sprint.completed_at, calendar)
    first = begun or sprint.start_on
    until = over or today
    last = min(max(sprint.end_on, first, until if begun else first), first + MOST_DAYS)
    changes = {row["day"]: row for row in facts}
    ideal = _ideal(calendar, first, min(max(sprint.end_on, first), first + MOST_DAYS))
    tasks, minutes, days = *committed, list[DayOfSprint]()
    for day in _each(first, last):
        change = changes.get(day)
        if change is not None:
            tasks += change["tasks"] - change["done_tasks"]
            minutes += change["minutes"] - change["done_minutes"]
        known = begun is not None and day <= until
        days.append(
            DayOfSprint(
                on=day, working=calendar.works_on(day),
                ideal_tasks=round(committed[0] * ideal.get(day, 0.0), 2),
                ideal_minutes=round(committed[1] * ideal.get(day, 0.0), 2),
                remaining_tasks=tasks if known else None, remaining_minutes=minutes if known else None,
                **_change(change),
            )
        )  # fmt: skip
    return days


def _change(row: dict[str, Any] | None) -> dict[str, int]:
    """What happened on a day."""
    if row is None:
        return {}
    said = ("added_tasks", "added_minutes", "removed_tasks", "removed_minutes", "reestimated_minutes")
    completed = {"completed_tasks": row["done_tasks"], "completed_minutes": row["done_minutes"]}
    return {name: row[name] for name in said} | completed


def _ideal(calendar: WorkingCalendar, first: date, last: date) -> dict[date, float]:
    """The part that is left in the evening of each day; where no day is a working one, all of them count."""
    days = list(_each(first, last))
    working = {day for day in days if calendar.works_on(day)} or set(days)
    left, parts = len(working), dict[date, float]()
    for day in days:
        left -= day in working
        parts[day] = left / len(working)
    return parts


def _each(first: date, last: date) -> Iterator[date]:
    for at in range((last - first).days + 1):
        yield first + timedelta(days=at)


def _day(moment: datetime | None, calendar: WorkingCalendar) -> date | None:
    return None if moment is None else moment.astimezone(calendar.timezone).date()


def _average(values: Sequence[int]) -> float | None:
    return round(sum(values) / len(values), 2) if values else None

"""Rules by the clock: when the next one is due, and the alarms that say so.

A schedule has one alarm for its next occurrence, which sets the one after that. What is about due dates has one alarm for
the whole project, at the next moment at which a rule has to act on a task: it looks for all that are due by then, and
remembers for which due date each was done.
"""

from calendar import monthrange
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import Field

from handlers.alarms import Alarm, advance_alarm, clear_alarms, set_alarms
from handlers.context import Tx
from handlers.paging import FIRST_MOMENT
from handlers.registry import Event, Payload, When
from handlers.work.bulk import TasksUpdated
from handlers.work.dates import on_day
from handlers.work.rule_triggers import WhenDue, WhenScheduled
from handlers.work.tasks import TaskCreated, TaskPart, TaskRestored, TaskUpdated, Was

DAYS_AHEAD: Final = 62
"""In so many days every schedule comes round."""
LOOK_AGAIN: Final = timedelta(days=1)
"""After so long due dates are looked through anyhow, for what no event has told of."""


class Strike(Payload):
    """One occurrence of a schedule, or the rest of one."""

    rule_id: UUID
    at: When
    after: int = Field(0, ge=0, description="Tasks up to this number have had their turn.")


class LookForDue(Payload):
    """Due dates of the project's tasks, for all of its rules."""


def next_moment(when: WhenScheduled, after: datetime) -> datetime:
    """The first occurrence after a moment.

    An hour that a day does not have, when clocks are put forward, is the next one there is; of one that it has twice
    the first counts.
    """
    zone = ZoneInfo(when.time_zone)
    local = after.astimezone(zone)
    if when.every == "hour":
        return after + timedelta(hours=1) - timedelta(
            minutes=local.minute, seconds=local.second, microseconds=local.microsecond
        )  # fmt: skip
    for ahead in range(DAYS_AHEAD):
        day = local.date() + timedelta(days=ahead)
        moment = on_day(day, time(when.hour), zone)
        if moment > after and _falls_on(when, day):
            return moment
    raise ValueError("no such schedule")


def _falls_on(when: WhenScheduled, day: date) -> bool:
    if when.every == "week":
        return day.isoweekday() in (when.weekdays or [1])
    if when.every == "month":
        return day.day == min(when.day, monthrange(day.year, day.month)[1])
    return True


async def plan_strike(tx: Tx, rule_id: UUID, when: WhenScheduled, after: datetime) -> datetime:
    """Set the alarm for a schedule's next occurrence after a moment; returns when that is."""
    moment = next_moment(when, after)
    await tx.exec("set_next_strike", rule_id=rule_id, next_at=moment)
    await set_alarms(tx, [Alarm(_key(rule_id), moment, "rule.strike", Strike(rule_id=rule_id, at=moment))])
    return moment


async def go_on(tx: Tx, strike: Strike, after: int) -> None:
    """Set an alarm for the tasks that are left of an occurrence."""
    rest = strike.model_copy(update={"after": after})
    await set_alarms(tx, [Alarm(f"{_key(strike.rule_id)}:rest", tx.now, "rule.strike", rest)])


async def forget_strikes(tx: Tx, rule_id: UUID) -> None:
    await clear_alarms(tx, [_key(rule_id), f"{_key(rule_id)}:rest"])


async def look_for_due(tx: Tx, at: datetime) -> None:
    """Have due dates looked through at a moment, or earlier where that is planned."""
    await advance_alarm(tx, Alarm(f"rules-due:{tx.room.id}", at, "rule.look_for_due", LookForDue()))


def due_moments(events: Iterable[Event], rules: Sequence[WhenDue], now: datetime) -> list[datetime]:
    """When rules have to act because of what events tell of due dates; now where they tell of tasks that came back."""
    found = list[datetime]()
    for event in events:
        if isinstance(event, TaskCreated):
            found += _moments(event.task.due_at, rules)
        elif isinstance(event, TaskUpdated):
            found += _changed(event.task, event.was, rules, now)
        elif isinstance(event, TasksUpdated):
            for task, was in zip(event.tasks, event.was, strict=True):
                found += _changed(task, was, rules, now)
        elif isinstance(event, TaskRestored):
            found.append(now)
    return found


def tells_of_due(events: Sequence[Event]) -> bool:
    """Whether events have anything to do with due dates."""
    return bool(due_moments(events, [WhenDue(on="task.due")], FIRST_MOMENT))


def _changed(task: TaskPart, was: Was, rules: Sequence[WhenDue], now: datetime) -> list[datetime]:
    if "completed_at" in was.model_fields_set and task.completed_at is None:
        return [now]
    return _moments(task.due_at, rules) if "due_at" in was.model_fields_set else []


def _moments(due_at: datetime | None, rules: Sequence[WhenDue]) -> list[datetime]:
    return [due_at + timedelta(minutes=when.minutes) for when in rules] if due_at else []


def _key(rule_id: UUID) -> str:
    return f"rule:{rule_id}"

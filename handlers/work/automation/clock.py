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
from handlers.registry import Event, Payload, When, reaction
from handlers.subjects import parts_of
from handlers.work.automation.triggers import WhenDue, WhenScheduled
from handlers.work.tasks.copying import TaskCopied
from handlers.work.tasks.dates import on_day
from handlers.work.tasks.transfer import TaskArrived
from storage.rooms import RoomKey

DAYS_AHEAD: Final = 62
"""In so many days every schedule comes round."""
LOOK_AGAIN: Final = timedelta(days=1)
"""After so long due dates are looked through anyhow, for what no event has told of."""


class Strike(Payload):
    """One occurrence of a schedule, or the rest of one."""

    rule_id: UUID
    at: When
    after: int | None = Field(
        None, ge=0, description="What is left of an occurrence: tasks up to this number have had their turn."
    )


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


async def go_on(tx: Tx, strike: Strike, after: int, at: datetime) -> None:
    """Set an alarm for the tasks that are left of an occurrence."""
    rest = Strike(rule_id=strike.rule_id, at=strike.at, after=after)
    await set_alarms(tx, [Alarm(f"{_key(strike.rule_id)}:rest", at, "rule.strike", rest)])


async def forget_strikes(tx: Tx, rule_id: UUID) -> None:
    await clear_alarms(tx, [_key(rule_id), f"{_key(rule_id)}:rest"])


async def look_for_due(tx: Tx, at: datetime, room: RoomKey | None = None) -> None:
    """Have due dates of a project looked through at a moment, or earlier where that is planned; unset: of this one."""
    room = room or tx.room
    await advance_alarm(tx, Alarm(f"rules-due:{room.id}", at, "rule.look_for_due", LookForDue()), room)


def due_moments(events: Iterable[Event], rules: Sequence[WhenDue], now: datetime) -> list[datetime]:
    """When rules have to act because of what events tell of due dates; now where they tell of tasks opened again."""
    if not rules:
        return []
    found = list[datetime]()
    for part in (part for event in events for part in parts_of(event)):
        told = part.model_fields_set & {"due_at", "completed_at"}
        if not told or part.completed_at is not None:
            continue
        if "due_at" not in told:
            found.append(now)
        elif part.due_at is not None:
            found += [part.due_at + timedelta(minutes=when.minutes) for when in rules]
    return found


def tells_of_due(events: Sequence[Event]) -> bool:
    """Whether events have anything to do with due dates."""
    return bool(due_moments(events, [WhenDue(on="task.due")], FIRST_MOMENT))


async def look_at_what_is_told(tx: Tx, events: Sequence[Event], room: RoomKey) -> None:
    """Have due dates of a project looked through now, where its rules wait for them and events tell of any."""
    if tells_of_due(events) and await tx.value("waits_for_due", room_id=room.id):
        await look_for_due(tx, tx.now, room)


@reaction(TaskArrived)
@reaction(TaskCopied)
async def due_elsewhere(tx: Tx, event: TaskArrived | TaskCopied) -> None:
    """What comes to a project by a command of the tenant may be due there."""
    if event.room is not None and event.room != tx.room:
        await look_at_what_is_told(tx, [event], event.room)


def _key(rule_id: UUID) -> str:
    return f"rule:{rule_id}"

"""Days and zones of tasks: when something that is due on a day is due.

`due_at` is always a moment. With `all_day` it is the last millisecond of the day in the task's own `time_zone`, and
`start_at` the first, so that a day stays that day whoever looks, and "overdue" means the same for both kinds: not
completed, and `due_at` is past.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from handlers.errors import ValidationFailed

FIELDS: Final = ("start_at", "due_at", "time_zone", "all_day")
DAY_BEGINS: Final = time.min
DAY_ENDS: Final = time(23, 59, 59, 999_000)


def settled(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """What changes make of the dates of a task; nothing where they are not about those.

    Where a task that lies on days gets another zone and no other date, it stays on its day.
    VALIDATION_ERROR for a day without a zone.
    """
    if not any(name in changes for name in FIELDS):
        return {}
    now = {name: changes.get(name, before[name]) for name in FIELDS}
    if not now["all_day"]:
        return {}
    if now["time_zone"] is None:
        raise ValidationFailed.field("time_zone", "is needed with all_day: a day begins somewhere")
    zone = ZoneInfo(now["time_zone"])
    found = {}
    for name, at in (("start_at", DAY_BEGINS), ("due_at", DAY_ENDS)):
        moment = now[name]
        if moment is not None:
            moved = name not in changes and before["all_day"] and before["time_zone"] is not None
            found[name] = on_day(_day(moment, ZoneInfo(before["time_zone"]) if moved else zone), at, zone)
    return found


def on_day(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The moment of a time of day in a zone."""
    return datetime.combine(day, at, zone).astimezone(UTC)


def shifted(moment: datetime, days: timedelta, zone: ZoneInfo) -> datetime:
    """So many days later, at the same hour by the clock of a zone."""
    return (moment.astimezone(zone).replace(tzinfo=None) + days).replace(tzinfo=zone).astimezone(UTC)


def _day(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()

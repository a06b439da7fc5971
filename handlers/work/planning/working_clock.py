"""Working minutes since a moment: how many there are until another one, and which moment comes after so many.

A plan is reckoned on this axis as if there were no nights, weekends and holidays; only what is shown is a moment again.
"""

from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from handlers.work.planning.working_calendar import WorkingCalendar

LAST: Final = datetime(9999, 12, 31, tzinfo=UTC)
"""Stands for every moment beyond what is planned for."""
DAYS_BACK: Final = 366
"""How long before the moment from which it counts it knows the calendar (days); what was earlier was then."""
MOST_DAYS: Final = 366 * 10
"""How long after it (days): what a plan says beyond is that it ends with the calendar."""
CHUNK: Final = 64
"""Days that are looked at together (count)."""


class WorkingClock:
    """The working time of a tenant, counted from a moment; a minute that has passed in part counts as not passed."""

    def __init__(self, calendar: WorkingCalendar, begin: datetime) -> None:
        self._calendar = calendar
        self._first = begin.astimezone(calendar.timezone).date()
        self._next = self._first - timedelta(days=DAYS_BACK)
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._before: list[int] = []
        """Working minutes before each span, since the first of them."""
        self._all = 0
        self._look_until(self._first + timedelta(days=1))
        self._origin = 0
        self._origin = self.until(begin)

    def until(self, moment: datetime) -> int:
        """The working minutes from the beginning to a moment; less than 0 for one before it."""
        if moment >= LAST:
            return self._all - self._origin
        self._look_until(moment.astimezone(self._calendar.timezone).date() + timedelta(days=1))
        minute = _minute(moment)
        at = bisect_right(self._starts, minute) - 1
        if at < 0:
            return -self._origin
        return self._before[at] + min(minute, self._ends[at]) - self._starts[at] - self._origin

    def start(self, minutes: int) -> datetime:
        """When something starts after so many working minutes: in the morning rather than the evening before."""
        return self._at(minutes, bisect_right)

    def finish(self, minutes: int) -> datetime:
        """When something is finished after so many: in the evening rather than the next morning."""
        return self._at(minutes, bisect_left)

    def _at(self, minutes: int, find: Any) -> datetime:
        count = minutes + self._origin
        while self._all <= count and self._look_until(self._next + timedelta(days=CHUNK)):
            pass
        at = max(find(self._before, count) - 1, 0)
        if count > self._all or not self._starts:
            return LAST
        return datetime.fromtimestamp((self._starts[at] + count - self._before[at]) * 60, UTC)

    def _look_until(self, day: date) -> bool:
        """Read the calendar up to a day; False where it does not go further."""
        day = min(day, self._first + timedelta(days=MOST_DAYS))
        if self._next >= day:
            return False
        zone = self._calendar.timezone
        while self._next < day:
            for start, end in self._calendar.spans(self._next):
                opens, closes = (
                    _minute(_clock(self._next, minute).replace(tzinfo=zone)) for minute in (start, end)
                )
                if closes > opens:
                    self._starts.append(opens)
                    self._ends.append(closes)
                    self._before.append(self._all)
                    self._all += closes - opens
            self._next += timedelta(days=1)
        return True


def _clock(day: date, minute: int) -> datetime:
    return datetime.combine(day, time()) + timedelta(minutes=minute)


def _minute(moment: datetime) -> int:
    return int(moment.timestamp() // 60)

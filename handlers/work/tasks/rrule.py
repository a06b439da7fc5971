"""When something recurs: rules as iCalendar writes them (RFC 5545), as far as tasks need them.

A rule is about days, in the zone of its task: whatever is meant for 09:00 stays at 09:00 when the clocks change. Where
that hour is left out on a day, it is as much later; where it comes twice, the first one counts.
"""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, StringConstraints

MOST: Final = 1_000
"""Occurrences that a rule may come to (count)."""
YEARS: Final = 10
"""How far a rule reaches from where it begins (years)."""
_NAMES: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY: Final = rf"(?:[+-]?[1-9]\d?)?(?:{'|'.join(_NAMES)})"
_PARTS: Final = {
    "FREQ": r"DAILY|WEEKLY|MONTHLY|YEARLY",
    "INTERVAL": r"[1-9]\d{0,2}",
    "COUNT": r"[1-9]\d{0,2}|1000",
    "UNTIL": r"\d{8}(?:T\d{6}Z)?",
    "BYDAY": rf"{_DAY}(?:,{_DAY}){{0,30}}",
    "BYMONTHDAY": r"-?(?:[1-9]|[12]\d|3[01])(?:,-?(?:[1-9]|[12]\d|3[01])){0,30}",
    "BYMONTH": r"(?:[1-9]|1[0-2])(?:,(?:[1-9]|1[0-2])){0,11}",
    "BYSETPOS": r"-?[1-9]\d?(?:,-?[1-9]\d?){0,9}",
    "WKST": r"MO|SU",
}
"""The parts that a rule may have, and what each may be."""


def _checked(text: str) -> str:
    """A rule in capitals, without what may stand before it; ValueError says what is wrong."""
    rule = text.strip().upper().removeprefix("RRULE:")
    parts: dict[str, str] = {}
    for part in rule.split(";"):
        name, _, value = part.partition("=")
        if name not in _PARTS or name in parts:
            raise ValueError(f"must have each of {', '.join(_PARTS)} at most once, and nothing else")
        if not re.fullmatch(_PARTS[name], value, re.ASCII):
            raise ValueError(f"has a {name} that cannot be")
        parts[name] = value
    if "FREQ" not in parts:
        raise ValueError("must have a FREQ: DAILY, WEEKLY, MONTHLY or YEARLY")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("takes COUNT or UNTIL, not both")
    if parts["FREQ"] in ("DAILY", "WEEKLY") and re.search(r"\d", parts.get("BYDAY", "")):
        raise ValueError("takes days such as 2MO by the month or year alone")
    if "BYMONTHDAY" in parts and parts["FREQ"] == "WEEKLY":
        raise ValueError("takes no BYMONTHDAY by the week")
    if "BYSETPOS" in parts and not {"BYDAY", "BYMONTHDAY", "BYMONTH"} & parts.keys():
        raise ValueError("takes BYSETPOS beside BYDAY, BYMONTHDAY or BYMONTH alone")
    if "UNTIL" in parts:
        _until(parts["UNTIL"])
    return rule


RecurrenceRule = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(_checked)]


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A rule, and the occurrence with which it begins: that one counts as the first, whether the rule names its day or
    not. It ends after 1,000 occurrences or ten years at the latest.
    """

    rule: str
    begins: datetime
    zone: ZoneInfo

    @property
    def count(self) -> int:
        """How many occurrences there are at most, the first one among them."""
        found = re.search(r"COUNT=(\d+)", self.rule)
        return int(found[1]) if found else MOST

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The occurrences after a moment, in UTC; how many of them still count is not known here."""
        local = self.begins.astimezone(self.zone)
        first, hour = local.date(), local.time()
        last = first.replace(year=first.year + YEARS, day=min(first.day, 28))
        until = None
        if found := re.search(r"UNTIL=(\w+)", self.rule):
            until = _until(found[1])
            if "T" not in found[1]:
                last, until = min(last, until.date()), None
        for day in _Days.of(self.rule, first).to(last):
            at = _on(day, hour, self.zone)
            if until is not None and at > until:
                return
            if at > moment:
                yield at


@dataclass(frozen=True, slots=True)
class _Days:
    """What a rule says of days."""

    first: date
    freq: str
    step: int
    monday: int
    """How many days after the beginning of a week it is Monday."""
    weekdays: frozenset[tuple[int, int]]
    """Which one of the month or year, or 0 for each; and the day of the week, 0 for Monday."""
    month_days: frozenset[int]
    months: frozenset[int]
    places: tuple[int, ...]

    @classmethod
    def of(cls, rule: str, first: date) -> "_Days":
        parts = dict(part.split("=") for part in rule.split(";"))
        freq = parts["FREQ"]
        weekdays = {(int(each[:-2] or 0), _NAMES.index(each[-2:])) for each in _each(parts, "BYDAY")}
        month_days, months = (
            {int(each) for each in _each(parts, name)} for name in ("BYMONTHDAY", "BYMONTH")
        )
        if not weekdays and not month_days and freq != "DAILY":
            if freq == "YEARLY":
                months = months or {first.month}
            if freq == "WEEKLY":
                weekdays = {(0, first.weekday())}
            else:
                month_days = {first.day}
        return cls(
            first, freq, int(parts.get("INTERVAL", 1)), 1 if parts.get("WKST") == "SU" else 0,
            frozenset(weekdays), frozenset(month_days), frozenset(months),
            tuple(int(each) for each in _each(parts, "BYSETPOS")),
        )  # fmt: skip

    def to(self, last: date) -> Iterator[date]:
        """The days after the first one. However few a rule names, no more are looked at than there are."""
        for period in self._periods(last):
            days = [day for day in period if self._names(day)]
            if self.places:
                days = sorted({days[at - (at > 0)] for at in self.places if abs(at) <= len(days)})
            yield from (day for day in days if self.first < day <= last)

    def _periods(self, last: date) -> Iterator[list[date]]:
        """All days of every day, week, month or year that counts, from the one in which the first day is."""
        if self.freq in ("DAILY", "WEEKLY"):
            length = 7 if self.freq == "WEEKLY" else 1
            start = self.first - timedelta(days=(self.first.weekday() + self.monday) % length)
            while start <= last:
                yield _run(start, length)
                start += timedelta(days=length * self.step)
            return
        length = 12 if self.freq == "YEARLY" else 1
        month = self.first.year * 12 + (self.first.month - 1) // length * length
        while (start := date(month // 12, month % 12 + 1, 1)) <= last:
            months = [(at // 12, at % 12 + 1) for at in range(month, month + length)]
            yield _run(start, sum(monthrange(*one)[1] for one in months))
            month += length * self.step

    def _names(self, day: date) -> bool:
        if self.months and day.month not in self.months:
            return False
        if self.month_days and not {day.day, day.day - _length(day) - 1} & self.month_days:
            return False
        return not self.weekdays or any(
            weekday == day.weekday() and nth in (0, *self._which(day)) for nth, weekday in self.weekdays
        )

    def _which(self, day: date) -> tuple[int, int]:
        """Which one of its name a day is in its month or year, counted from the beginning and from the end."""
        if self.freq == "YEARLY" and not self.months:
            before, after = (day - date(day.year, 1, 1)).days, (date(day.year, 12, 31) - day).days
        else:
            before, after = day.day - 1, _length(day) - day.day
        return before // 7 + 1, -(after // 7) - 1


def _each(parts: dict[str, str], name: str) -> list[str]:
    return parts[name].split(",") if name in parts else []


def _run(start: date, length: int) -> list[date]:
    return [start + timedelta(days=at) for at in range(length)]


def _length(day: date) -> int:
    """How many days its month has."""
    return monthrange(day.year, day.month)[1]


def _on(day: date, hour: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, hour, zone).astimezone(UTC)


def _until(text: str) -> datetime:
    """The moment that an UNTIL names, or midnight of the day."""
    pattern = "%Y%m%dT%H%M%SZ" if "T" in text else "%Y%m%d"
    try:
        return datetime.strptime(text, pattern).replace(tzinfo=UTC)
    except ValueError:
        raise ValueError("has an UNTIL that is no day") from None

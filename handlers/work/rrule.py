"""When something recurs: rules as iCalendar writes them (RFC 5545), as far as tasks need them.

A rule is about days, in the zone of its task: whatever is meant for 09:00 stays at 09:00 when the clocks change. Where
that hour is left out on a day, it is as much later; where it comes twice, the first one counts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr
from pydantic import AfterValidator, StringConstraints

MOST: Final = 1_000
"""Occurrences that a rule may come to (count)."""
YEARS: Final = 10
"""How far a rule reaches from where it begins (years)."""
_DAY: Final = r"(?:[+-]?[1-9]\d?)?(?:MO|TU|WE|TH|FR|SA|SU)"
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
        until = _on(last, hour, self.zone)
        if found := re.search(r"UNTIL=(\w+)", self.rule):
            until = min(until, _last(found[1], self.zone))
        plain = re.sub(r";?(?:COUNT|UNTIL)=\w+", "", self.rule).strip(";")
        days = rrulestr(f"{plain};UNTIL={last:%Y%m%d}", dtstart=datetime.combine(first, time()))
        for day in days:
            at = _on(day.date(), hour, self.zone)
            if at > until:
                return
            if day.date() > first and at > moment:
                yield at


def _on(day: date, hour: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, hour, zone).astimezone(UTC)


def _last(text: str, zone: ZoneInfo) -> datetime:
    """The last moment that an UNTIL lets be: itself, or the end of the day that it names."""
    until = _until(text)
    return until if "T" in text else datetime.combine(until.date(), time.max, zone).astimezone(UTC)


def _until(text: str) -> datetime:
    """The moment that an UNTIL names, or midnight of the day."""
    pattern = "%Y%m%dT%H%M%SZ" if "T" in text else "%Y%m%d"
    try:
        return datetime.strptime(text, pattern).replace(tzinfo=UTC)
    except ValueError:
        raise ValueError("has an UNTIL that is no day") from None

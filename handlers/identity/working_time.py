"""When a tenant works: hours of each weekday, and holidays."""

import re
from datetime import date
from itertools import pairwise
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from handlers.registry import Payload, Text, in_range

_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")


def _clock(value: str) -> str:
    if not _CLOCK.fullmatch(value):
        raise ValueError("must be a time of day such as 09:00; a day ends at 24:00")
    return value


Clock = Annotated[Text, AfterValidator(_clock)]


class Interval(Payload):
    """From one time of day to a later one, in the tenant's time zone."""

    start: Clock
    end: Clock

    @model_validator(mode="after")
    def ends_after_its_start(self) -> "Interval":
        """Refuse an interval of no or negative length; one over midnight is two."""
        if self.start >= self.end:
            raise ValueError("must end later than it starts")
        return self


def _in_turn(day: list[Interval]) -> list[Interval]:
    ordered = sorted(day, key=lambda interval: interval.start)
    if any(one.end > other.start for one, other in pairwise(ordered)):
        raise ValueError("intervals of a day must not overlap")
    return ordered


Day = Annotated[list[Interval], Field(max_length=6), AfterValidator(_in_turn)]


class WorkingHours(Payload):
    """The intervals of each weekday; a day without any is free."""

    monday: Day = []
    tuesday: Day = []
    wednesday: Day = []
    thursday: Day = []
    friday: Day = []
    saturday: Day = []
    sunday: Day = []

    @classmethod
    def usual(cls) -> "WorkingHours":
        """Nine to five, Monday to Friday."""
        days = ("monday", "tuesday", "wednesday", "thursday", "friday")
        return cls(**{day: [Interval(start="09:00", end="17:00")] for day in days})


class Holiday(Payload):
    """A day on which nobody works: once, or on the same day of every year."""

    on: Annotated[date, AfterValidator(in_range)] = Field(description="The day; of a yearly one, the first.")
    name: Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    yearly: bool = False


def _in_order(holidays: list[Holiday]) -> list[Holiday]:
    if len({(holiday.on, holiday.name) for holiday in holidays}) < len(holidays):
        raise ValueError("the same holiday must not be given twice")
    return sorted(holidays, key=lambda holiday: (holiday.on, holiday.name))


Holidays = Annotated[list[Holiday], Field(max_length=400), AfterValidator(_in_order)]

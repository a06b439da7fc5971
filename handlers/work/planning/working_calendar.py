"""The days and hours on which a tenant works, for what is reckoned in working time."""

from dataclasses import dataclass
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from handlers.context import Tx
from handlers.identity.locale import TenantSettings, whole_settings
from handlers.identity.working_time import Holiday

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

Span = tuple[int, int]
"""From one minute of a day to another."""


@dataclass(frozen=True, slots=True)
class WorkingCalendar:
    """When a tenant works. One without working hours on any day is taken to work always."""

    timezone: ZoneInfo
    week: tuple[tuple[Span, ...], ...]
    """The spans of each weekday, from Monday."""
    once: frozenset[date] = frozenset()
    yearly: tuple[Holiday, ...] = ()

    @classmethod
    def of(cls, settings: TenantSettings) -> "WorkingCalendar":
        week = tuple(
            tuple((_minute(span.start), _minute(span.end)) for span in getattr(settings.working_hours, day))
            for day in WEEKDAYS
        )
        return cls(
            ZoneInfo(settings.timezone),
            week if any(week) else (((0, 24 * 60),),) * 7,
            frozenset(holiday.on for holiday in settings.holidays),
            tuple(holiday for holiday in settings.holidays if holiday.yearly),
        )

    def spans(self, day: date) -> tuple[Span, ...]:
        """When there is work on a day; nothing on a free one."""
        return () if self._holiday(day) else self.week[day.weekday()]

    def works_on(self, day: date) -> bool:
        return bool(self.spans(day))

    def _holiday(self, day: date) -> bool:
        return day in self.once or any(
            (day.month, day.day) == (holiday.on.month, holiday.on.day) and day >= holiday.on
            for holiday in self.yearly
        )


async def working_calendar(tx: Tx) -> WorkingCalendar:
    """The calendar of the tenant."""
    row = await tx.one("tenant")
    return WorkingCalendar.of(TenantSettings.model_validate(whole_settings(row["settings"])))


def _minute(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])

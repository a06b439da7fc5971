"""How much working time there is in a week of a tenant: its hours, without its holidays."""

from datetime import date, timedelta
from typing import Final

from handlers.identity.locale import TenantSettings
from handlers.identity.working_time import Holiday, Interval

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Calendar:
    """The working time of a tenant (minutes)."""

    def __init__(self, settings: TenantSettings) -> None:
        self._minutes = [sum(map(_length, getattr(settings.working_hours, day))) for day in DAYS]
        self._holidays = settings.holidays

    def capacity(self, monday: date) -> int:
        """The working time of the week that begins on a Monday."""
        days = [monday + timedelta(days=at) for at in range(7)]
        return sum(self._minutes[day.weekday()] for day in days if not self._is_free(day))

    def part_of_week(self, monday: date, start: date, end: date | None) -> float:
        """How much of a week lies between two days, by its usual working time (0 to 1); by days, where there is none."""
        days = [monday + timedelta(days=at) for at in range(7)]
        within = [day for day in days if day >= start and (end is None or day <= end)]
        whole = sum(self._minutes)
        if whole == 0:
            return len(within) / 7
        return sum(self._minutes[day.weekday()] for day in within) / whole

    def _is_free(self, day: date) -> bool:
        return any(_falls_on(holiday, day) for holiday in self._holidays)


def _falls_on(holiday: Holiday, day: date) -> bool:
    if holiday.yearly:
        return day >= holiday.on and (day.month, day.day) == (holiday.on.month, holiday.on.day)
    return day == holiday.on


def _length(interval: Interval) -> int:
    return _minutes(interval.end) - _minutes(interval.start)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)

"""Working minutes: what a clock that stands still at night, on weekends and on holidays says."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.identity.locale import TenantSettings
from handlers.work.planning.working_calendar import WorkingCalendar
from handlers.work.planning.working_clock import LAST, WorkingClock
from tests.work.test_sprints import do
from tests.world import Board, Person

FRIDAY = datetime(2026, 12, 4, 15, tzinfo=UTC)


def _clock(begin: datetime = FRIDAY, **settings: Any) -> WorkingClock:
    return WorkingClock(WorkingCalendar.of(TenantSettings.model_validate(settings)), begin)


def test_over_a_weekend() -> None:
    clock = _clock()
    assert clock.finish(120) == datetime(2026, 12, 4, 17, tzinfo=UTC), "in the evening"
    assert clock.start(120) == datetime(2026, 12, 7, 9, tzinfo=UTC), "in the morning of the next working day"
    assert clock.finish(121) == datetime(2026, 12, 7, 9, 1, tzinfo=UTC)
    assert clock.until(datetime(2026, 12, 6, 12, tzinfo=UTC)) == 120
    assert clock.until(datetime(2026, 12, 3, 16, tzinfo=UTC)) == -60 - 360
    assert clock.start(-1) == datetime(2026, 12, 4, 14, 59, tzinfo=UTC)


def test_holidays_and_zones() -> None:
    feast = [{"on": "2026-12-07", "name": "Feast"}]
    assert _clock(holidays=feast).start(120) == datetime(2026, 12, 8, 9, tzinfo=UTC)
    zurich = _clock(timezone="Europe/Zurich")
    assert zurich.finish(60) == datetime(2026, 12, 4, 16, tzinfo=UTC), "five o'clock there"
    assert zurich.start(60).astimezone(ZoneInfo("Europe/Zurich")).hour == 9


def test_who_always_works_has_no_other_clock() -> None:
    clock = _clock(working_hours={})
    for minutes in (-5000, 0, 1, 100_000):
        assert clock.start(minutes) == clock.finish(minutes) == FRIDAY + timedelta(minutes=minutes)


def test_a_plan_beyond_the_calendar_ends_with_it() -> None:
    """Five thousand tasks of two years each, one after the other."""
    assert _clock().finish(5_000 * 1_000_000) == LAST


@settings(deadline=None)
@given(st.integers(-50_000, 300_000), st.integers(0, 10_000))
def test_there_and_back(minutes: int, more: int) -> None:
    clock = _clock()
    for moment in (clock.start(minutes), clock.finish(minutes)):
        assert clock.until(moment) == minutes
    assert clock.finish(minutes) <= clock.start(minutes) <= clock.start(minutes + more)


async def test_a_schedule_knows_weekends(alice: Person, board: Board) -> None:
    await do(alice, "project.update", project_id=board.project, start_on="2026-12-04")
    for task in board.tasks[:2]:
        await do(alice, "task.update", task_id=task, changes={"estimate_minutes": 480})
    await do(alice, "dependency.add", task_id=board.second, depends_on_id=board.first)
    plan = (await do(alice, "project.schedule", project_id=board.project)).data
    first, second = plan.tasks
    assert (first.earliest_finish, second.earliest_start) == (
        "2026-12-04T17:00:00.000Z",
        "2026-12-07T09:00:00.000Z",
    )
    assert plan.finishes_at == "2026-12-07T17:00:00.000Z"

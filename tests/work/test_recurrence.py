"""Recurrence: rules against a reckoning of their own, and series that make one task after the other."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from handlers.work.tasks import rrule
from handlers.work.tasks.rrule import MOST, Recurrence, RecurrenceRule
from tests.world import Board, Person, World, eventually

RULE: TypeAdapter[str] = TypeAdapter(RecurrenceRule)
NAMES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")


@st.composite
def rules(draw: Any) -> tuple[str, Any]:
    """A rule, and whether a day is one of its days, by plain arithmetic."""
    freq = draw(st.sampled_from(("DAILY", "WEEKLY", "MONTHLY")))
    step = draw(st.integers(1, 5))
    days = draw(st.sets(st.integers(0, 6), max_size=3))
    month_days = draw(st.sets(st.integers(1, 31), max_size=3)) if freq == "MONTHLY" and not days else set()
    months = draw(st.sets(st.integers(1, 12), min_size=6, max_size=11)) if draw(st.booleans()) else set()
    parts = [f"FREQ={freq}", f"INTERVAL={step}"]
    if days:
        parts.append("BYDAY=" + ",".join(NAMES[day] for day in sorted(days)))
    if month_days:
        parts.append("BYMONTHDAY=" + ",".join(map(str, sorted(month_days))))
    if months:
        parts.append("BYMONTH=" + ",".join(map(str, sorted(months))))

    def is_one(day: date, first: date) -> bool:
        if months and day.month not in months:
            return False
        if freq == "DAILY":
            return (day - first).days % step == 0 and (not days or day.weekday() in days)
        if freq == "WEEKLY":
            monday, first_monday = (each - timedelta(days=each.weekday()) for each in (day, first))
            right = day.weekday() in (days or {first.weekday()})
            return right and ((monday - first_monday).days // 7) % step == 0
        if ((day.year - first.year) * 12 + day.month - first.month) % step:
            return False
        if days:
            return day.weekday() in days
        return day.day in (month_days or {first.day})

    return ";".join(parts), is_one


@settings(max_examples=150, deadline=None)
@given(
    made=rules(),
    first=st.dates(date(2024, 1, 1), date(2027, 12, 31)),
    hour=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    zone=st.sampled_from(ZONES),
)
def test_occurrences_are_those_of_a_calendar(
    made: tuple[str, Any], first: date, hour: time, zone: str
) -> None:
    rule, is_one = made
    place = ZoneInfo(zone)
    begins = datetime.combine(first, hour, place).astimezone(UTC)
    local = begins.astimezone(place)
    first, hour = local.date(), local.time()
    days = [first + timedelta(days=n) for n in range(1, 9 * 365)]
    coming = Recurrence(RULE.validate_python(rule), begins, place).after(begins)
    found = [at for at in islice(coming, 20) if at.astimezone(place).date() <= days[-1]]
    expected = list(islice((day for day in days if is_one(day, first)), 20))
    assert [at.astimezone(place).date() for at in found] == expected
    for at, day in zip(found, expected, strict=True):
        shown = at.astimezone(place)
        exists = datetime.combine(day, hour, place).astimezone(UTC).astimezone(place).time() == hour
        assert shown.time() == hour or not exists, "the hour stays, whatever the clocks do"


@st.composite
def written(draw: Any) -> str:
    """Whatever the grammar lets be, sensible or not."""

    def some(values: Any, most: int = 4) -> str:
        return ",".join(map(str, draw(st.lists(values, min_size=1, max_size=most, unique=True))))

    nth = st.sampled_from(["", "", "1", "+2", "4", "5", "-1", "-5", "+9", "53", "60", "-99"])
    days = st.tuples(nth, st.sampled_from(NAMES)).map("".join)
    parts = {
        "INTERVAL": st.builds(str, st.integers(1, 999)),
        "BYDAY": st.builds(lambda: some(days)),
        "BYMONTHDAY": st.builds(lambda: some(st.integers(-31, 31))),
        "BYMONTH": st.builds(lambda: some(st.integers(1, 12))),
        "BYSETPOS": st.builds(lambda: some(st.integers(-99, 99))),
        "WKST": st.sampled_from(["MO", "SU"]),
        "COUNT": st.just("3"),
        "UNTIL": st.sampled_from(
            ["00010101", "99991231", "20280229T235959Z", "99991231T235959Z", "20260230"]
        ),
    }
    named = draw(st.sets(st.sampled_from(sorted(parts)), max_size=4))
    freq = draw(st.sampled_from(("DAILY", "WEEKLY", "MONTHLY", "YEARLY")))
    return ";".join([f"FREQ={freq}", *(f"{name}={draw(parts[name])}" for name in sorted(named))])


@settings(max_examples=300, deadline=None)
@given(rule=written(), first=st.dates(date(1900, 1, 1), date(2200, 12, 31)), zone=st.sampled_from(ZONES))
def test_what_is_accepted_comes_to_an_end(rule: str, first: date, zone: str) -> None:
    try:
        RULE.validate_python(rule)
    except ValidationError:
        return
    begins = datetime.combine(first, time(9), UTC)
    found = list(Recurrence(rule, begins, ZoneInfo(zone)).after(begins))
    assert len(found) <= 10 * 366
    assert all(one < other for one, other in zip([begins, *found], found, strict=False))


@settings(max_examples=150, deadline=None)
@given(
    freq=st.sampled_from(("MONTHLY", "YEARLY")),
    nth=st.lists(st.sampled_from((-5, -2, -1, 1, 2, 5)), min_size=1, max_size=3, unique=True),
    plain=st.booleans(),
    weekdays=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
    months=st.sets(st.integers(1, 12), max_size=4),
    places=st.lists(st.sampled_from((-2, -1, 1, 3)), max_size=2, unique=True),
    first=st.dates(date(2024, 1, 1), date(2027, 12, 31)),
)
def test_days_of_months_and_years_are_those_of_others(
    freq: str,
    nth: list[int],
    plain: bool,
    weekdays: list[str],
    months: set[int],
    places: list[int],
    first: date,
) -> None:
    """As dateutil has them: the second Monday, the last but one of the days of May."""
    days = weekdays if plain else [f"{at}{name}" for at in nth for name in weekdays]
    parts = [f"FREQ={freq}", "BYDAY=" + ",".join(days)]
    parts += ["BYMONTH=" + ",".join(map(str, sorted(months)))] if months else []
    parts += ["BYSETPOS=" + ",".join(map(str, places))] if places else []
    rule, begins = RULE.validate_python(";".join(parts)), datetime.combine(first, time(), UTC)
    found = [f"{at:%Y-%m-%d}" for at in islice(Recurrence(rule, begins, ZoneInfo("UTC")).after(begins), 20)]
    others = (day for day in rrulestr(rule, dtstart=datetime.combine(first, time())) if day.date() > first)
    assert [f"{at:%Y-%m-%d}" for at in islice(others, len(found))] == found


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31", "FREQ=DAILY;BYSETPOS=2;BYDAY=MO", "FREQ=WEEKLY;BYSETPOS=8;BYDAY=MO",
        "FREQ=DAILY;INTERVAL=7;BYDAY=TU", "FREQ=MONTHLY;BYDAY=53MO", "FREQ=MONTHLY;BYDAY=+9TU", "FREQ=YEARLY;BYDAY=60MO",
        "FREQ=DAILY;UNTIL=00010101",
    ],
)  # fmt: skip
async def test_a_rule_that_names_no_day_is_refused(alice: Person, board: Board, rule: str) -> None:
    await alice.send("task.update", task_id=board.first, changes={"due_at": "2150-03-04T17:00:00Z"})
    refused = await alice.send(
        "task.set_recurrence", task_id=board.first, rule=rule, time_zone="America/New_York"
    )
    assert (refused.error.code, list(refused.error.field_errors)) == ("VALIDATION_ERROR", ["rule"])


def test_no_day_is_looked_at_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    looked, names = [], rrule._Days._names

    def counted(days: Any, day: date) -> bool:
        looked.append(day)
        return names(days, day)

    monkeypatch.setattr(rrule._Days, "_names", counted)
    begins = datetime(2026, 1, 31, 9, tzinfo=UTC)
    for freq in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY"):
        looked.clear()
        rule = f"FREQ={freq};BYDAY=MO;BYSETPOS=99"
        assert list(Recurrence(rule, begins, ZoneInfo("UTC")).after(begins)) == []
        assert len(looked) == len(set(looked)) <= 11 * 366


def test_nine_stays_nine_when_the_clocks_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    begins = datetime(2026, 10, 23, 9, tzinfo=berlin).astimezone(UTC)
    coming = islice(Recurrence("FREQ=DAILY", begins, berlin).after(begins), 3)
    assert [f"{at:%d %H:%M}" for at in coming] == ["24 07:00", "25 08:00", "26 08:00"]


@pytest.mark.parametrize(
    ("rule", "coming"),
    [
        ("FREQ=MONTHLY;BYDAY=-1FR", ["2026-02-27", "2026-03-27"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", ["2026-02-27", "2026-03-31"]),
        ("FREQ=MONTHLY", ["2026-03-31", "2026-05-31"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", ["2028-02-29", "2032-02-29"]),
        ("rrule:freq=weekly;until=20260214", ["2026-02-07", "2026-02-14"]),
        ("FREQ=DAILY;UNTIL=20260202T090000Z", ["2026-02-01", "2026-02-02"]),
        ("FREQ=DAILY;UNTIL=20260202T085959Z", ["2026-02-01"]),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", []),
    ],
)
def test_rules_that_people_use(rule: str, coming: list[str]) -> None:
    begins = datetime(2026, 1, 31, 9, tzinfo=UTC)
    found = islice(Recurrence(RULE.validate_python(rule), begins, ZoneInfo("UTC")).after(begins), 2)
    assert [f"{at:%Y-%m-%d}" for at in found] == coming


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=HOURLY", "FREQ=SECONDLY;INTERVAL=1", "INTERVAL=2", "FREQ=DAILY;FREQ=DAILY", "FREQ=DAILY;BYHOUR=9",
        "FREQ=DAILY;COUNT=1001", "FREQ=DAILY;COUNT=2;UNTIL=20270101", "FREQ=DAILY;UNTIL=20271332", "FREQ=WEEKLY;BYDAY=2MO",
        "FREQ=WEEKLY;BYMONTHDAY=3", "FREQ=DAILY;INTERVAL=0", "FREQ=MONTHLY;BYSETPOS=1", "FREQ=DAILY\nDTSTART:20260101",
        "FREQ=DAILY;INTERVAL=٣", "FREQ=MONTHLY;BYDAY=", "",
    ],
)  # fmt: skip
def test_other_rules_are_refused(rule: str) -> None:
    with pytest.raises(ValidationError):
        RULE.validate_python(rule)


def test_a_rule_without_an_end_ends() -> None:
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    recurrence = Recurrence("FREQ=YEARLY", begins, ZoneInfo("UTC"))
    assert (len(list(recurrence.after(begins))), recurrence.count) == (10, MOST)


async def _weekly(alice: Person, board: Board, **more: Any) -> Any:
    dates = {"start_at": "2150-03-02T08:00:00Z", "due_at": "2150-03-04T17:00:00Z"}
    await alice.send("task.update", task_id=board.first, changes=dates)
    made = await alice.send(
        "task.set_recurrence",
        task_id=board.first,
        **{"rule": "FREQ=WEEKLY", "time_zone": "Europe/Berlin", **more},
    )
    assert made.success, made
    return made.data


async def test_the_next_one_is_made_when_this_one_is_done(
    alice: Person, bob: Person, board: Board, world: World
) -> None:
    people = [world.user_ids["bob"], world.user_ids["alice"]]
    parent = board.second
    changes = {"assignee_ids": people, "tags": ["often"], "estimate_minutes": 30, "parent_id": parent}
    await alice.send("task.update", task_id=board.first, changes=changes)
    await alice.send("reminder.add", task_id=board.first, before_minutes=15)
    await alice.send("checklist.create", task_id=board.first, name="Before", items=["Tape", "Cover"])
    made = await _weekly(alice, board)
    await bob.join(f"user:{world.user_ids['bob']}")
    done = await alice.send("task.move", task_id=board.first, column_id=board.done)
    assert done.data.task.series_id == made.series.id
    heard = await bob.hears("task.created")
    task = heard.data.task
    assert (task.title, task.tags, task.assignee_ids) == ("Measure the walls", ["often"], people)
    assert (task.start_at, task.due_at) == ("2150-03-09T08:00:00.000Z", "2150-03-11T17:00:00.000Z")
    assert (task.column_id, task.completed_at, task.series_id) == (board.todo, None, made.series.id)
    assert heard.data.tasks == [{"id": parent, "subtask_total": 2, "subtask_done": 1}]
    given = [(await bob.hears("task.assigned")).data.assignment.id for _ in range(2)]
    assert given == [board.first, task.id]
    assert (task.checklist_total, task.checklist_done) == (2, 0)
    kept = (await alice.send("reminder.list", task_id=task.id)).data.reminders
    assert [reminder.fires_at for reminder in kept] == ["2150-03-11T16:45:00.000Z"]
    again = (await alice.send("task.get_recurrence", task_id=board.first)).data
    assert (again.series.task_id, again.series.made) == (task.id, 2)
    assert again.next[0] == "2150-03-18T17:00:00.000Z"


async def test_a_task_that_is_done_twice_has_one_that_follows(
    alice: Person, board: Board, world: World
) -> None:
    await _weekly(alice, board)
    await alice.send("task.move", task_id=board.first, column_id=board.done)
    await alice.hears("task.created")
    await alice.send("task.move", task_id=board.first, column_id=board.todo)
    await alice.send("task.move", task_id=board.first, column_id=board.done)
    await _heard_all(world)
    assert not [name for name, _ in alice._inbox if name == "task.created"]


async def test_by_schedule_the_next_one_waits_for_its_day(alice: Person, board: Board, world: World) -> None:
    """Done long before its day: the series looks again when that is there, and makes nothing before."""
    made = await _weekly(alice, board, mode="on_schedule")
    await alice.send("task.move", task_id=board.first, column_id=board.done)
    async with world.sql() as db:
        key = f"series:{made.series.id}"
        at = "SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') FROM alarms WHERE key = $1"

        async def looks_again() -> bool:
            return bool(await db.fetchval(at, key) == "2150-03-04 17:00")

        await eventually(looks_again)
        await db.execute("UPDATE series SET occurs_at = now() - interval '20 days'")
        await db.execute("UPDATE alarms SET try_at = now(), at = now() WHERE key = $1", key)
    heard = await alice.hears("task.created")
    assert heard.data.task.due_at > "2150-03-04", "what was missed is not made up for"
    assert (await alice.send("task.get_recurrence", task_id=board.first)).data.series.made == 2


async def test_skip_stop_and_the_end(alice: Person, bob: Person, board: Board, world: World) -> None:
    await _weekly(alice, board, rule="FREQ=WEEKLY;COUNT=3")
    skipped = await alice.send("task.skip_occurrence", task_id=board.first)
    assert (skipped.data.task.start_at, skipped.data.task.due_at) == (
        "2150-03-09T08:00:00.000Z",
        "2150-03-11T17:00:00.000Z",
    )
    assert (await bob.hears("task.updated", seq=skipped.meta.seq)).data == skipped.data
    assert (await alice.send("task.skip_occurrence", task_id=board.first)).success
    assert (await alice.send("task.skip_occurrence", task_id=board.first)).error.code == "CONFLICT"
    await alice.send("task.move", task_id=board.first, column_id=board.done)
    assert (await bob.hears("task.recurrence_stopped")).data.series.made == 3
    again = await alice.send("task.set_recurrence", task_id=board.first, rule="FREQ=DAILY;INTERVAL=2")
    assert again.error.code == "CONFLICT", "it is done"
    await alice.send("task.move", task_id=board.first, column_id=board.todo)
    await _weekly(alice, board, rule="FREQ=DAILY;INTERVAL=2")
    stopped = await alice.send("task.stop_recurrence", task_id=board.first)
    assert stopped.data.series.ended_at is not None
    assert (await alice.send("task.stop_recurrence", task_id=board.first)).error.code == "CONFLICT"
    dateless = await alice.send("task.set_recurrence", task_id=board.second, rule="FREQ=DAILY")
    assert dateless.error.code == "CONFLICT"


async def _heard_all(world: World) -> None:
    async def none_left() -> bool:
        async with world.sql() as db:
            return not await db.fetchval("SELECT count(*) FROM alarms WHERE key LIKE 'series:%'")

    await eventually(none_left)

"""Days and zones: a day stays a day, whoever looks, and what is overdue."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.work.tasks.dates import settled
from tests.world import Board, Person

ZONES = [
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "UTC",
]
NOTHING: dict[str, Any] = {"start_at": None, "due_at": None, "time_zone": None, "all_day": False}


@given(
    moment=st.integers(631_152_000, 4_102_444_800).map(lambda at: datetime.fromtimestamp(at, UTC)),
    zone=st.sampled_from(ZONES),
    other=st.sampled_from(ZONES),
)
def test_a_day_stays_that_day(moment: datetime, zone: str, other: str) -> None:
    made = NOTHING | {"due_at": moment, "time_zone": zone, "all_day": True}
    made |= settled(NOTHING, made)
    day = moment.astimezone(ZoneInfo(zone)).date()
    assert made["due_at"].astimezone(ZoneInfo(zone)).date() == day
    assert (made["due_at"] + timedelta(milliseconds=1)).astimezone(ZoneInfo(zone)).date() == day + timedelta(
        days=1
    )
    moved = made | settled(made, {"time_zone": other}) | {"time_zone": other}
    assert moved["due_at"].astimezone(ZoneInfo(other)).date() == day


async def test_due_on_a_day_somewhere(alice: Person, bob: Person, board: Board) -> None:
    made = await alice.send(
        "task.create", room=board.room, title="Send it", due_at="2026-12-01T07:00:00Z", time_zone="Europe/Berlin",
        all_day=True,
    )  # fmt: skip
    task = made.data.task
    assert (task.due_at, task.time_zone, task.all_day) == ("2026-12-01T22:59:59.999Z", "Europe/Berlin", True)
    west = await alice.send("task.update", task_id=task.id, changes={"time_zone": "America/New_York"})
    assert west.data.task.due_at == "2026-12-02T04:59:59.999Z"
    assert west.data.was == {"time_zone": "Europe/Berlin", "due_at": "2026-12-01T22:59:59.999Z"}
    many = await alice.send(
        "tasks.update",
        project_id=board.project,
        task_ids=[task.id],
        changes={"due_at": "2026-12-24T12:00:00Z"},
    )
    assert many.data.done == 1
    assert (await bob.send("task.get", task_id=task.id)).data.task.due_at == "2026-12-25T04:59:59.999Z"


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"all_day": True}, "time_zone"), ({"time_zone": "Mars/Olympus"}, "changes.time_zone")],
)
async def test_a_day_needs_a_zone_that_there_is(
    alice: Person, board: Board, changes: dict[str, object], field: str
) -> None:
    refused = await alice.send("task.update", task_id=board.first, changes=changes)
    assert (refused.error.code, list(refused.error.field_errors)) == ("VALIDATION_ERROR", [field])


async def test_overdue_is_past_and_open(alice: Person, board: Board) -> None:
    late, done, early = board.tasks[:3]
    for task, due in (
        (late, "2020-01-01T00:00:00Z"),
        (done, "2020-01-01T00:00:00Z"),
        (early, "2150-01-01T00:00:00Z"),
    ):
        await alice.send("task.update", task_id=task, changes={"due_at": due})
    await alice.send("task.move", task_id=done, column_id=board.done)
    listed = await alice.send("task.list", project_id=board.project, overdue=True)
    assert [task.id for task in listed.data.tasks] == [late]
    others = await alice.send("task.list", project_id=board.project, overdue=False)
    assert {done, early} < {task.id for task in others.data.tasks}


def test_a_task_with_hours_keeps_its_moment() -> None:
    assert settled(NOTHING, {"due_at": datetime(2026, 12, 1, tzinfo=UTC), "time_zone": "Asia/Tokyo"}) == {}
    assert settled(NOTHING | {"all_day": True, "time_zone": "UTC"}, {"title": "Other"}) == {}

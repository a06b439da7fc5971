"""Burndown and velocity, against what can be reckoned from the log of the room alone."""

from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import strategies as st

from handlers.identity.locale import TenantSettings
from handlers.work.planning.burndown import MOST_DAYS, _ideal
from handlers.work.planning.working_calendar import WorkingCalendar
from storage.postgres import Session
from tests.reducer import fold, store_of
from tests.scripts import play
from tests.work.test_sprints import do
from tests.world import Board, Cluster, Person, World

ZONE = "Pacific/Kiritimati"
"""Fourteen hours ahead: for most of the day it is another day there."""
COUNTS = ("tasks", "minutes", "done_tasks", "done_minutes")
STEP = st.tuples(
    st.sampled_from(("next day", "add", "add", "remove", "estimate", "estimate", "move", "move", "move", "many", "delete", "archive", "restore", "create")),
    st.integers(0, 99),
    st.integers(0, 500),
)  # fmt: skip


def test_it_is_what_the_log_says(cluster: Cluster) -> None:
    """Whatever is done with a sprint's tasks, on whatever day."""
    scripts = (
        st.lists(STEP, max_size=12),
        st.lists(STEP, min_size=25, max_size=45),
        st.lists(STEP, max_size=8),
    )
    play(cluster, _play, *scripts, examples=6, prepare=_far_east)


async def _far_east(world: World, alice: Person) -> None:
    await do(alice, "tenant.update_settings", room=world.tenant, timezone=ZONE)


async def _play(world: World, alice: Person, before: list[Any], during: list[Any], after: list[Any]) -> None:
    team = Team(world, alice)
    await team.begin()
    await team.work(before)
    await do(alice, "sprint.start", **team.sprint)
    await team.work(during)
    await team.check()
    await do(alice, "sprint.complete", **team.sprint)
    await team.work(after)
    await team.check()


class Team:
    """A project with two sprints, whose days pass when it says so."""

    def __init__(self, world: World, alice: Person) -> None:
        self.world, self.alice = world, alice
        self.tasks: list[str] = []
        self.trash: list[tuple[str, str]] = []
        """What is away, and how it comes back."""

    async def begin(self) -> None:
        project = (await do(self.alice, "project.create", name="Team")).data.project.id
        self.project = {"project_id": project}
        self.room = f"project:{project}"
        dates = {"start_on": "2026-11-23", "end_on": "2026-12-31"}
        for name in ("Other", "Sprint"):
            made = await do(self.alice, "sprint.create", **self.project, name=name, **dates)
            self.sprint, other = (
                {**self.project, "sprint_id": made.data.sprint.id},
                getattr(self, "sprint", None),
            )
        assert other is not None
        self.other = other
        self.start = await self.alice.snapshot(self.room)
        self.columns = [column.id for column in self.start.snapshot.columns]
        self.cancelled = next(s.id for s in self.start.snapshot.statuses if s.category == "cancelled")
        for _ in range(6):
            await self.create(0, 60)

    async def work(self, steps: list[Any]) -> None:
        for what, at, amount in steps:
            if what == "next day":
                await self.pass_a_day()
            elif what == "create":
                await self.create(at, amount)
            elif what == "restore":
                if self.trash:
                    task, back = self.trash.pop(0)
                    await do(self.alice, back, task_id=task)
                    self.tasks.append(task)
            elif len(self.tasks) > 2:
                await getattr(self, what)(at, amount)

    async def create(self, at: int, amount: int) -> None:
        made = await do(
            self.alice, "task.create", room=self.room, title="A task", estimate_minutes=amount or None
        )
        self.tasks.append(made.data.task.id)

    async def add(self, at: int, amount: int) -> None:
        into = self.sprint if at % 5 else self.other
        some = [self.tasks[(at + more) % len(self.tasks)] for more in range(3)]
        await self.alice.call("sprint.add_tasks", {**into, "task_ids": some})  # refused where it is over

    async def remove(self, at: int, amount: int) -> None:
        await self.alice.call(
            "sprint.remove_tasks", {**self.sprint, "task_ids": [self.tasks[at % len(self.tasks)]]}
        )

    async def estimate(self, at: int, amount: int) -> None:
        minutes = amount if amount % 7 else None
        changes: dict[str, Any] = {"estimate_minutes": minutes}
        if amount % 11 == 0:
            changes["status_id"] = self.cancelled
        await do(self.alice, "task.update", task_id=self.tasks[at % len(self.tasks)], changes=changes)

    async def move(self, at: int, amount: int) -> None:
        to = self.columns[-1] if amount % 3 else self.columns[amount % 4]
        await do(self.alice, "task.move", task_id=self.tasks[at % len(self.tasks)], column_id=to)

    async def many(self, at: int, amount: int) -> None:
        some = [self.tasks[(at + more) % len(self.tasks)] for more in range(4)]
        if amount % 2:
            await do(
                self.alice, "tasks.update", **self.project, task_ids=some, column_id=self.columns[amount % 4]
            )
        else:
            await do(
                self.alice,
                "tasks.update",
                **self.project,
                task_ids=some,
                changes={"estimate_minutes": amount},
            )

    async def delete(self, at: int, amount: int) -> None:
        task = self.tasks.pop(at % len(self.tasks))
        self.trash.append((task, "task.restore"))
        if amount % 2:
            await do(self.alice, "task.delete", task_id=task)
        else:
            await do(self.alice, "tasks.delete", **self.project, task_ids=[task])

    async def archive(self, at: int, amount: int) -> None:
        task = self.tasks.pop(at % len(self.tasks))
        self.trash.append((task, "task.unarchive"))
        await do(self.alice, "task.archive", task_id=task)

    async def pass_a_day(self) -> None:
        """What has happened so far was a day earlier."""
        of = UUID(self.project["project_id"])
        async with self.world.sql() as db:
            await db.execute("UPDATE room_events SET at = at - interval '1 day' WHERE room_id = $1", of)
            await db.execute("UPDATE sprint_facts SET at = at - interval '1 day' WHERE project_id = $1", of)
            await db.execute(
                "UPDATE sprints SET started_at = started_at - interval '1 day', "
                "completed_at = completed_at - interval '1 day' WHERE project_id = $1",
                of,
            )

    async def check(self) -> None:
        said = (await do(self.alice, "sprint.burndown", **self.sprint)).data
        assert said.timezone == ZONE
        committed, days = await self.from_the_log()
        assert (said.committed_tasks, said.committed_minutes) == committed
        left = list(committed)
        for day in said.days:
            if day.remaining_tasks is None:
                assert day.on not in days
                continue
            was = days.pop(day.on, {})
            told = {name: value for name, value in day.items() if name.split("_")[0] in KINDS and value}
            assert told == {name: value for name, value in was.items() if value}
            for at, unit in enumerate(("tasks", "minutes")):
                left[at] += was.get(f"added_{unit}", 0) - was.get(f"removed_{unit}", 0)
                left[at] -= was.get(f"completed_{unit}", 0)
            left[1] += was.get("reestimated_minutes", 0)
            assert [day.remaining_tasks, day.remaining_minutes] == left
        assert not days

    async def from_the_log(self) -> tuple[tuple[int, int], dict[str, dict[str, int]]]:
        """What was open when the sprint started, and what happened on each day until it was completed."""
        async with self.world.sql() as db:
            events = await db.fetch(
                "SELECT name, at, data FROM room_events WHERE room_id = $1 AND seq > $2 ORDER BY seq",
                UUID(self.project["project_id"]), self.start.seq,
            )  # fmt: skip
        archive: dict[str, Any] = {}
        store, counted = store_of(self.start.snapshot), dict[str, tuple[int, bool]]()
        committed: tuple[int, int] | None = None
        days: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        for event in events:
            if event["name"] == "sprint.completed":
                break
            data = orjson.loads(event["data"])
            if event["name"] == "task.archived":
                archive[data["task"]["id"]] = store["tasks"][data["task"]["id"]]
            elif event["name"] == "task.unarchived":
                del archive[data["task"]["id"]]
            fold(store, [{"name": event["name"], "data": data}])
            put_away = [task for task in archive.values() if task["completed_at"] is not None]
            before, counted = counted, self.count([*store["tasks"].values(), *put_away])
            if event["name"] == "sprint.started":
                committed = _left(counted)
            if committed is not None:
                day = event["at"].astimezone(ZoneInfo(ZONE)).date().isoformat()
                _tell(days[day], before, counted)
        assert committed is not None
        return committed, {day: dict(told) for day, told in days.items() if any(told.values())}

    def count(self, tasks: list[dict[str, Any]]) -> dict[str, tuple[int, bool]]:
        """The tasks that count: minutes, and whether it is done."""
        return {
            task["id"]: (task["estimate_minutes"] or 0, task["completed_at"] is not None)
            for task in tasks
            if task["sprint_id"] == self.sprint["sprint_id"] and task["status_id"] != self.cancelled
        }


KINDS = ("added", "removed", "completed", "reestimated")


def _left(counted: dict[str, tuple[int, bool]]) -> tuple[int, int]:
    still = [minutes for minutes, done in counted.values() if not done]
    return len(still), sum(still)


def _tell(
    day: dict[str, int], before: dict[str, tuple[int, bool]], after: dict[str, tuple[int, bool]]
) -> None:
    for task in {*before, *after}:
        old, new = before.get(task), after.get(task)
        if old is None and new is not None:
            day["added_tasks"] += 1
            day["added_minutes"] += new[0]
        elif new is None and old is not None:
            day["removed_tasks"] += 1
            day["removed_minutes"] += old[0]
        elif old is not None and new is not None:
            day["reestimated_minutes"] += new[0] - old[0]
        done_before, done_after = old is not None and old[1], new is not None and new[1]
        day["completed_tasks"] += done_after - done_before
        day["completed_minutes"] += (new[0] if new and done_after else 0) - (
            old[0] if old and done_before else 0
        )


async def test_a_small_one_by_hand(world: World, alice: Person, bob: Person, board: Board) -> None:
    here = {"project_id": board.project}
    today = datetime.now(ZoneInfo("UTC")).date()
    dates = {"start_on": str(today), "end_on": str(today + timedelta(days=9))}
    made = await do(alice, "sprint.create", **here, name="By hand", **dates)
    sprint = {**here, "sprint_id": made.data.sprint.id}
    for task, minutes in zip(board.tasks[:3], (100, 50, 30), strict=True):
        await do(alice, "task.update", task_id=task, changes={"estimate_minutes": minutes})
    await do(alice, "sprint.add_tasks", **sprint, task_ids=board.tasks[:2])
    planned = (await do(bob, "sprint.burndown", **sprint)).data
    assert (planned.committed_tasks, planned.committed_minutes, len(planned.days)) == (2, 150, 10)
    assert {day.remaining_tasks for day in planned.days} == {None}
    await do(alice, "sprint.start", **sprint)
    await do(bob, "task.move", task_id=board.first, column_id=board.done)
    await do(alice, "sprint.add_tasks", **sprint, task_ids=[board.third])
    await do(alice, "task.update", task_id=board.second, changes={"estimate_minutes": 80})
    first, second, *_, last = (await do(bob, "sprint.burndown", **sprint)).data.days
    assert (first.on, last.on) == (dates["start_on"], dates["end_on"])
    assert (first.remaining_tasks, first.remaining_minutes) == (2, 110)
    assert (first.completed_minutes, first.added_minutes, first.reestimated_minutes) == (100, 30, 30)
    assert (second.remaining_tasks, last.ideal_tasks, last.ideal_minutes) == (None, 0, 0)
    over = await do(alice, "sprint.complete", **sprint)
    assert len(over.data.tasks) == 2
    velocity = (await do(bob, "sprint.velocity", **here)).data
    assert [(s.committed_minutes, s.completed_tasks, s.completed_minutes) for s in velocity.sprints] == [
        (150, 1, 100)
    ]
    assert (velocity.average_tasks, velocity.average_minutes) == (1, 100)
    await do(alice, "task.move", task_id=board.first, column_id=board.todo)
    await do(alice, "task.delete", task_id=board.first)
    assert (await do(bob, "sprint.velocity", **here)).data == velocity, "what it came to stays"


async def test_what_a_move_costs(
    world: World, alice: Person, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of sprints nothing; in one, a statement that goes with the commit."""
    deferred: list[str] = []
    defer = Session.defer

    def note(session: Session, name: str, *rest: Any, **more: Any) -> None:
        deferred.append(name)
        defer(session, name, *rest, **more)

    monkeypatch.setattr(Session, "defer", note)
    await do(alice, "task.move", task_id=board.first, column_id=board.done)
    assert deferred == ["move_tasks", "append_log"]
    made = await do(alice, "sprint.create", project_id=board.project, name="Sprint")
    sprint = {"project_id": board.project, "sprint_id": made.data.sprint.id}
    await do(alice, "sprint.add_tasks", **sprint, task_ids=board.tasks[:1])
    deferred.clear()
    await do(alice, "task.move", task_id=board.first, column_id=board.todo)
    assert deferred == ["move_tasks", "settle_sprint_facts", "append_log"]
    deferred.clear()
    await do(alice, "task.move", task_id=board.first, column_id=board.todo)
    assert deferred == ["move_tasks", "append_log"], "it stays as open as it was"


async def test_what_a_status_means_counts(alice: Person, board: Board) -> None:
    """A status that comes to mean done, and one that is taken away with its tasks going to another."""
    here = {"project_id": board.project}
    made = await do(alice, "sprint.create", **here, name="Sprint", start_on="2026-11-23", end_on="2026-12-04")
    sprint = {**here, "sprint_id": made.data.sprint.id}
    await do(alice, "sprint.add_tasks", **sprint, task_ids=board.tasks[:3])
    await do(alice, "sprint.start", **sprint)
    statuses = {s.category: s.id for s in (await alice.snapshot(board.room)).snapshot.statuses}
    await do(alice, "status.update", status_id=statuses["todo"], category="done")
    assert await _remaining(alice, sprint) == 0
    await do(alice, "status.delete", status_id=statuses["todo"], replace_with=statuses["in_progress"])
    assert await _remaining(alice, sprint) == 3


async def _remaining(alice: Person, sprint: dict[str, Any]) -> int:
    days = (await do(alice, "sprint.burndown", **sprint)).data.days
    found: int = [day.remaining_tasks for day in days if day.remaining_tasks is not None][-1]
    return found


def test_the_ideal_goes_down_on_working_days() -> None:
    holiday = {"on": "2020-12-08", "name": "Feast", "yearly": True}
    calendar = WorkingCalendar.of(TenantSettings.model_validate({"holidays": [holiday]}))
    ideal = _ideal(calendar, date(2026, 12, 4), date(2026, 12, 9))  # Friday to Wednesday
    assert [round(part, 3) for part in ideal.values()] == [0.667, 0.667, 0.667, 0.333, 0.333, 0.0]
    weekend = _ideal(calendar, date(2026, 12, 5), date(2026, 12, 6))
    assert list(weekend.values()) == [0.5, 0.0], "a sprint of free days alone has no other"


async def test_what_ends_far_away_is_told_of_as_far_as_its_days(alice: Person, board: Board) -> None:
    """It was planned for another century, and is begun today."""
    dates = {"start_on": "2199-01-01", "end_on": "2199-12-31"}
    made = await do(alice, "sprint.create", project_id=board.project, name="Far", **dates)
    sprint = {"project_id": board.project, "sprint_id": made.data.sprint.id}
    await do(alice, "sprint.add_tasks", **sprint, task_ids=board.tasks[:2])
    await do(alice, "sprint.start", **sprint)
    days = (await do(alice, "sprint.burndown", **sprint)).data.days
    assert len(days) == MOST_DAYS.days + 1
    assert (days[0].ideal_tasks > days[300].ideal_tasks > 0, days[-1].ideal_tasks) == (True, 0)

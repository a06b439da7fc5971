"""Rules by the clock: schedules come round once, and due dates are acted upon once each."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from handlers.work.automation.clock import next_moment
from handlers.work.automation.triggers import WhenScheduled
from tests.world import Board, Person, World

TAG = {"do": "tag", "add": ["seen"]}
NO_TAGS = {"field": "tags", "op": "is_empty"}


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "after", "moments"),
    [
        ({"every": "hour"}, "2026-11-29T10:20:30", ["2026-11-29T11:00", "2026-11-29T12:00"]),
        (
            {"every": "hour", "time_zone": "Asia/Kolkata"},
            "2026-11-29T10:00:00",
            ["2026-11-29T10:30", "2026-11-29T11:30"],
        ),
        ({"every": "day", "hour": 9}, "2026-11-29T09:00:00", ["2026-11-30T09:00", "2026-12-01T09:00"]),
        (
            {"every": "day", "hour": 9, "time_zone": "Europe/Zurich"},
            "2026-10-24T00:00:00",
            ["2026-10-24T07:00", "2026-10-25T08:00"],  # clocks go back between them
        ),
        # The clocks go forward from two to three: it happens at three, and once.
        (
            {"every": "day", "hour": 2, "time_zone": "Europe/Zurich"},
            "2026-03-28T02:00:00",
            ["2026-03-29T01:00", "2026-03-30T00:00"],
        ),
        # They go back from three to two, so that there are two hours of that name: it happens in the first.
        (
            {"every": "day", "hour": 2, "time_zone": "Europe/Zurich"},
            "2026-10-24T01:00:00",
            ["2026-10-25T00:00", "2026-10-26T01:00"],
        ),
        (
            {"every": "week", "weekdays": [1, 5], "hour": 8},
            "2026-11-29T00:00:00",
            ["2026-11-30T08:00", "2026-12-04T08:00", "2026-12-07T08:00"],
        ),
        ({"every": "week", "hour": 0}, "2026-11-30T00:00:00", ["2026-12-07T00:00"]),
        (
            {"every": "month", "day": 31, "hour": 6},
            "2027-01-31T07:00:00",
            ["2027-02-28T06:00", "2027-03-31T06:00", "2027-04-30T06:00"],
        ),
    ],
)
def test_when_a_schedule_comes_round(when: dict[str, Any], after: str, moments: list[str]) -> None:
    schedule, moment = WhenScheduled.model_validate({"on": "schedule", **when}), _at(after)
    for expected in moments:
        moment = next_moment(schedule, moment)
        assert moment == _at(expected)


@pytest.fixture
async def quiet(worlds: Callable[..., Any]) -> World:
    """A world whose clock is wound by hand."""
    world: World = await worlds(alarm_poll=3600.0)
    await world.node.alarms.stop()  # not even the look at the start may come in between
    return world


async def _ring(world: World) -> None:
    """Let the moment of every alarm have come."""
    async with world.sql() as db:
        await db.execute(
            "UPDATE alarms SET at = now() - interval '1 second', try_at = now() - interval '1 second'"
        )
    await world.node.alarms.once()


async def _rule(alice: Person, board: Board, when: dict[str, Any], *then: dict[str, Any], **more: Any) -> Any:
    made = await alice.send("rule.create", room=board.room, name="A rule", when=when, then=list(then), **more)
    assert made.success, made
    return made.data.rule


async def _seen(alice: Person, board: Board) -> list[bool]:
    tasks = {task.id: task for task in (await alice.snapshot(board.room)).snapshot.tasks}
    return [tasks[task_id].tags == ["seen"] for task_id in board.tasks]


async def _runs(alice: Person, board: Board) -> list[Any]:
    runs: list[Any] = (await alice.send("rule.runs", project_id=board.project)).data.runs
    return runs


DAILY = {"on": "schedule", "every": "day", "hour": 7, "time_zone": "Europe/Zurich"}


async def test_a_schedule_acts_once_for_each_occurrence(quiet: World) -> None:
    alice, board = await quiet.person("alice").connect(), Board.of(quiet)
    await alice.join(board.room)
    rule = await _rule(alice, board, DAILY, {"do": "create_task", "title": "Sweep"})
    first = rule.next_at
    async with quiet.sql() as db:
        alarm = await db.fetchrow("SELECT * FROM alarms WHERE name = 'rule.strike'")
    assert alarm["at"] == datetime.fromisoformat(first)
    await _ring(quiet)
    created = await alice.hears("task.created")
    assert (created.data.task.title, created.actor.name) == ("Sweep", "Alice")
    [rule] = (await alice.send("rule.list", project_id=board.project)).data.rules
    assert datetime.fromisoformat(rule.next_at) - datetime.fromisoformat(first) in (
        timedelta(hours=23), timedelta(hours=24), timedelta(hours=25),
    )  # fmt: skip
    async with quiet.sql() as db:  # the same alarm once more, as from a node that had it too
        await db.execute(
            "INSERT INTO alarms SELECT a.tenant_id, 'again', a.room_id, a.at, a.name, $1, a.actor_id, gen_random_uuid(), "
            "a.try_at FROM alarms AS a WHERE name = 'rule.strike'",
            alarm["payload"],
        )
        await db.execute("UPDATE alarms SET try_at = now() WHERE key = 'again'")
    await quiet.node.alarms.once()
    assert [run.cause_id for run in await _runs(alice, board)] == [None]
    assert (await alice.send("rule.disable", rule_id=rule.id)).success
    async with quiet.sql() as db:
        assert await db.fetchval("SELECT count(*) FROM alarms WHERE name = 'rule.strike'") == 0


async def test_a_schedule_takes_the_tasks_of_its_condition_a_portion_at_a_time(
    worlds: Callable[..., Any],
) -> None:
    world = await worlds(alarm_poll=3600.0, rule_runs_per_command=2)
    alice, board = await world.person("alice").connect(), Board.of(world)
    await _rule(alice, board, DAILY, TAG, condition=NO_TAGS)
    assert (await alice.send("task.update", task_id=board.first, changes={"tags": ["other"]})).success
    seen = []
    for _ in range(3):
        await _ring(world)
        seen.append(sum(await _seen(alice, board)))
        async with world.sql() as db:  # the next occurrence waits for its day
            await db.execute(
                "UPDATE alarms SET at = 'infinity', try_at = 'infinity' WHERE key NOT LIKE '%:rest'"
            )
    assert seen == [2, 4, 4]
    assert len(await _runs(alice, board)) == 4


async def test_due_dates_are_acted_upon_once_each(quiet: World) -> None:
    alice, board = await quiet.person("alice").connect(), Board.of(quiet)
    now = datetime.now(UTC)
    soon, far = now + timedelta(minutes=30), now + timedelta(days=3)

    async def due(task: str, at: datetime | None) -> None:
        changes = {"due_at": at.isoformat() if at else None}
        assert (await alice.send("task.update", task_id=task, changes=changes)).success

    async def planned() -> datetime:
        async with quiet.sql() as db:
            at: datetime = await db.fetchval("SELECT at FROM alarms WHERE name = 'rule.look_for_due'")
        return at

    await due(board.tasks[4], now - timedelta(hours=2))
    await _rule(alice, board, {"on": "task.due", "minutes": -60}, TAG)
    await _ring(quiet)
    assert await _seen(alice, board) == [False] * 5, "what was due before the rule is past"
    assert now + timedelta(hours=23) < await planned() < now + timedelta(hours=25)
    await due(board.first, far)
    assert await planned() > now + timedelta(hours=23), "not before it is looked through anyhow"
    await due(board.second, now + timedelta(minutes=90))
    assert await planned() == now + timedelta(minutes=30)
    async with quiet.sql() as db:
        await db.execute("UPDATE rules SET enabled_at = enabled_at - interval '1 hour'")
    await due(board.third, soon)
    assert await planned() <= datetime.now(UTC)
    await _ring(quiet)
    assert await _seen(alice, board) == [False, False, True, False, False]
    await _ring(quiet)
    assert len(await _runs(alice, board)) == 1, "once for one due date"
    await due(board.third, soon + timedelta(minutes=1))
    await _ring(quiet)
    assert len(await _runs(alice, board)) == 2, "another due date is another matter"
    assert (await alice.send("task.move", task_id=board.first, column_id=board.done)).success
    await due(board.first, soon)
    await _ring(quiet)
    assert len(await _runs(alice, board)) == 2, "what is done is not due"
    assert (await alice.send("task.move", task_id=board.first, column_id=board.todo)).success
    await due(board.second, soon)
    await _ring(quiet)
    assert len(await _runs(alice, board)) == 4


DUE: Final = {"on": "task.due"}


async def _planned(world: World, project_id: str) -> datetime | None:
    """When due dates of a project are looked through next."""
    async with world.sql() as db:
        found: datetime | None = await db.fetchval(
            "SELECT at FROM alarms WHERE name = 'rule.look_for_due' AND room_id = $1::uuid", project_id
        )
    return found


async def _later(world: World) -> None:
    """Whatever is planned is planned for a far day."""
    async with world.sql() as db:
        await db.execute("UPDATE alarms SET at = '2100-01-01', try_at = '2100-01-01'")


async def test_whatever_makes_a_task_due_again_sets_the_clock(quiet: World) -> None:
    """Opened again by a move, back from the trash and the archive, one or many, and copied: the alarm says when."""
    alice, board = await quiet.person("alice").connect(), Board.of(quiet)
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    task = {"task_id": board.first}
    some = {"project_id": board.project, "task_ids": [board.first]}
    assert (await alice.send("task.update", **task, changes={"due_at": soon.isoformat()})).success
    await _rule(alice, board, DUE, TAG)

    async def plans(name: str, payload: dict[str, Any]) -> bool:
        await _later(quiet)
        reply = await alice.call(name, payload)
        assert reply.success, reply
        planned = await _planned(quiet, board.project)
        return planned is not None and planned <= soon

    assert not await plans("task.move", {**task, "column_id": board.done})
    assert await plans("task.move", {**task, "column_id": board.todo})
    assert not await plans("task.delete", task)
    assert await plans("task.restore", task)
    assert not await plans("task.archive", task)
    assert await plans("task.unarchive", task)
    assert not await plans("tasks.archive", some)
    assert await plans("tasks.unarchive", some)
    assert not await plans("history.undo", {"project_id": board.project})
    assert await plans("history.redo", {"project_id": board.project})
    copied = {"room": quiet.tenant, "project_id": board.project, **task}
    assert await plans("task.copy", copied)


async def test_what_comes_from_another_project_is_due_there(quiet: World) -> None:
    alice, board = await quiet.person("alice").connect(), Board.of(quiet)
    soon = datetime.now(UTC) + timedelta(hours=2)
    assert (
        await alice.send("task.update", task_id=board.first, changes={"due_at": soon.isoformat()})
    ).success
    there = (await alice.send("project.create", room=quiet.tenant, name="Bathroom")).data.project.id
    asked = {"project_id": board.project, "task_id": board.first, "to_project_id": there}
    assert (await alice.send("task.copy", **asked)).success
    assert await _planned(quiet, there) is None, "nobody waits for it"
    made = await alice.send("rule.create", room=f"project:{there}", name="A rule", when=DUE, then=[TAG])
    assert made.success
    await _later(quiet)
    assert (await alice.send("task.transfer", **asked)).success
    planned = await _planned(quiet, there)
    assert planned is not None
    assert planned <= soon


async def test_what_had_no_turn_has_it_in_the_next_round(worlds: Callable[..., Any]) -> None:
    """Due dates and occurrences of a schedule alike: two tasks in a minute, and then the others."""
    world = await worlds(alarm_poll=3600.0, rule_runs_per_minute=2)
    alice, board = await world.person("alice").connect(), Board.of(world)
    due = datetime.now(UTC) + timedelta(minutes=1)
    many = {"project_id": board.project, "task_ids": board.tasks}
    assert (await alice.call("tasks.update", {**many, "changes": {"due_at": due.isoformat()}})).success
    await _rule(alice, board, {"on": "task.due", "minutes": -1}, TAG)
    async with world.sql() as db:
        await db.execute("UPDATE rules SET enabled_at = enabled_at - interval '1 hour'")
        assert await _rounds(world, alice, board) == [2, 4, 5, 5]
        await db.execute("DELETE FROM rules")
        await db.execute("UPDATE tasks SET tags = '{}'")
    await _rule(alice, board, DAILY, TAG, condition=NO_TAGS)
    assert await _rounds(world, alice, board) == [2, 4, 5, 5]


async def _rounds(world: World, alice: Person, board: Board) -> list[int]:
    """How many tasks were seen after each of four rounds, a minute apart."""
    seen = []
    for _ in range(4):
        await _ring(world)
        seen.append(sum(await _seen(alice, board)))
        async with world.sql() as db:
            await db.execute("DELETE FROM alarms WHERE name = 'rule.strike' AND key NOT LIKE '%:rest'")
            await db.execute("UPDATE rules SET minute_at = minute_at - interval '2 minutes'")
    return seen


async def test_what_follows_uses_up_no_turns_for_good(worlds: Callable[..., Any]) -> None:
    """Each task that the clock has tagged is tagged again by another rule: two deeds for one turn."""
    world = await worlds(alarm_poll=3600.0, rule_runs_per_command=4)
    alice, board = await world.person("alice").connect(), Board.of(world)
    await _rule(alice, board, DAILY, {"do": "set", "priority": "high"}, condition=NO_TAGS)
    await _rule(alice, board, {"on": "task.changed", "fields": ["priority"]}, TAG)
    assert await _rounds(world, alice, board) == [2, 4, 5, 5]


async def test_what_says_nothing_of_due_dates_leaves_the_clock_alone(quiet: World) -> None:
    """Events that show of a task only how many comments, ticks or labels it has, or who watches it."""
    alice, board = await quiet.person("alice").connect(), Board.of(quiet)
    await _rule(alice, board, DUE, TAG)
    label = (await alice.send("label.create", room=board.room, name="Wet", colour="#00f")).data.label.id
    assert (await alice.send("task.update", task_id=board.first, changes={"label_ids": [label]})).success
    await _later(quiet)
    sent: list[tuple[str, dict[str, Any]]] = [
        ("comment.add", {"task_id": board.first, "body": "Hm"}),
        ("checklist.create", {"task_id": board.first, "name": "Tools", "items": ["Saw"]}),
        ("task.unwatch", {"task_id": board.first}),
        ("label.delete", {"label_id": label, "project_id": board.project}),
    ]
    for name, payload in sent:
        reply = await alice.call(name, payload)
        assert reply.success, (name, reply)
    planned = await _planned(quiet, board.project)
    assert planned is not None
    assert planned.year == 2100


async def test_a_rule_that_waits_for_another_moment_acts_again(quiet: World) -> None:
    alice, board = await quiet.person("alice").connect(), Board.of(quiet)
    soon = datetime.now(UTC) + timedelta(minutes=30)
    assert (
        await alice.send("task.update", task_id=board.first, changes={"due_at": soon.isoformat()})
    ).success
    rule = await _rule(alice, board, {"on": "task.due", "minutes": -60}, TAG)
    async with quiet.sql() as db:
        for minutes, runs in ((-60, 1), (-45, 2), (-45, 2)):
            when = {"on": "task.due", "minutes": minutes}
            assert (await alice.send("rule.update", rule_id=rule.id, when=when)).success
            await db.execute("UPDATE rules SET enabled_at = enabled_at - interval '1 hour'")
            await _ring(quiet)
            assert len(await _runs(alice, board)) == runs


async def test_another_name_leaves_the_clock_alone(quiet: World) -> None:
    """What was due before the new name is still acted upon, and what is left of an occurrence goes on."""
    alice, board = await quiet.person("alice").connect(), Board.of(quiet)
    rule = await _rule(alice, board, DUE, TAG)
    daily = await _rule(alice, board, DAILY, TAG, condition=NO_TAGS)
    async with quiet.sql() as db:
        await db.execute("UPDATE rules SET enabled_at = enabled_at - interval '1 hour'")
        before = await db.fetch("SELECT key, at FROM alarms WHERE name = 'rule.strike'")
        just = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        assert (await alice.send("task.update", task_id=board.first, changes={"due_at": just})).success
        assert (await alice.send("rule.update", rule_id=rule.id, name="Another name")).success
        renamed = await alice.send("rule.update", rule_id=daily.id, name="Another name")
        assert (await alice.send("rule.enable", rule_id=daily.id)).success
        assert renamed.data.rule.next_at == daily.next_at
        [_, listed] = (await alice.send("rule.list", project_id=board.project)).data.rules
        assert listed.next_at == daily.next_at
        assert await db.fetch("SELECT key, at FROM alarms WHERE name = 'rule.strike'") == before
        await db.execute("UPDATE alarms SET try_at = now() WHERE name = 'rule.look_for_due'")
    await quiet.node.alarms.once()
    assert await _seen(alice, board) == [True, False, False, False, False]
    later = await alice.send("rule.update", rule_id=daily.id, when={**DAILY, "hour": 8})
    assert later.data.rule.next_at != daily.next_at


async def test_a_condition_on_what_is_gone_ends_no_schedule(quiet: World) -> None:
    alice, board = await quiet.person("alice").connect(), Board.of(quiet)
    field = {"project_id": board.project, "key": "size", "name": "Size", "type": "number"}
    field_id = (await alice.send("field.create", **field)).data.field.id
    large = {"field": "fields.size", "op": "gt", "value": 3}
    rule = await _rule(alice, board, DAILY, TAG, condition=large)
    assert (await alice.send("field.delete", project_id=board.project, field_id=field_id)).success
    await _ring(quiet)
    [run] = await _runs(alice, board)
    assert (run.outcome, run.reason) == ("failed", "VALIDATION_ERROR")
    [now] = (await alice.send("rule.list", project_id=board.project)).data.rules
    assert now.next_at > rule.next_at
    asked = {"room": board.room, "rule_id": rule.id, "task_id": board.first}
    tried = (await alice.call("rule.test", asked)).data
    assert [one.reason for one in tried.hindrances] == ["VALIDATION_ERROR"]
    assert (await alice.send("field.create", **field)).success
    assert (await alice.send("task.update", task_id=board.first, changes={"fields": {"size": 5}})).success
    await _ring(quiet)
    assert await _seen(alice, board) == [True, False, False, False, False]


async def test_what_the_clock_does_has_other_rules_follow(quiet: World) -> None:
    alice, bob, board = (
        await quiet.person("alice").connect(),
        await quiet.person("bob").connect(),
        Board.of(quiet),
    )
    await _rule(alice, board, DAILY, {"do": "create_task", "title": "Sweep", "assignee_ids": [bob.id]})
    await _rule(alice, board, {"on": "task.created"}, TAG)
    await _ring(quiet)
    assert await bob.hears("task.assigned")
    await bob.hears_nothing("task.assigned")
    assert [(run.trigger, run.outcome) for run in await _runs(alice, board)] == [
        ("task.created", "did"), ("schedule", "did"),
    ]  # fmt: skip


async def test_a_project_that_comes_back_has_its_schedules(quiet: World) -> None:
    """In the archive and in the trash they sleep; what was missed is made up once."""
    alice, board = await quiet.person("alice").connect(), Board.of(quiet)
    await _rule(alice, board, DAILY, {"do": "create_task", "title": "Sweep"})
    for away, back in (("project.archive", "project.unarchive"), ("project.delete", "project.restore")):
        reply = await alice.send(away, project_id=board.project)
        assert reply.success, reply
        await _ring(quiet)
        reply = await alice.send(back, project_id=board.project)
        assert reply.success, reply
        before = len(await _runs(alice, board))
        await quiet.node.alarms.once()
        assert len(await _runs(alice, board)) == before + 1

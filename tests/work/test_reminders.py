"""Reminders: told once, to whom they are for, and only of what is still to be done."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.world import Board, Person, World, eventually


def _soon(seconds: float = 1.0) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def _own_room(person: Person, world: World) -> None:
    await person.join(f"user:{world.user_ids[person.name]}")


async def test_one_for_oneself_is_told_to_oneself_alone(
    alice: Person, bob: Person, board: Board, world: World
) -> None:
    await _own_room(alice, world)
    await _own_room(bob, world)
    made = await bob.send("reminder.add", task_id=board.first, at=_soon())
    assert made.success, made
    assert (await bob.hears("reminder.added")).data == made.data
    heard = await bob.hears("reminder.fired")
    assert (heard.data.reminder.id, heard.data.reminder.task_id) == (made.data.reminder.id, board.first)
    assert (await alice.send("reminder.list", task_id=board.first)).data.reminders == []
    theirs = {"task_id": board.first, "reminder_id": made.data.reminder.id}
    assert (await alice.call("reminder.remove", theirs)).error.code == "NOT_FOUND"
    assert not [name for name, _ in alice.journal if name.startswith("reminder.")]
    listed = (await bob.send("reminder.list", task_id=board.first)).data.reminders
    assert listed[0].fired_at is not None
    assert await _alarms(world) == 0


async def test_one_for_all_reaches_who_is_given_the_task_then(
    alice: Person, bob: Person, board: Board, world: World
) -> None:
    manager = await world.person("manager").connect()
    await _own_room(manager, world)
    await _own_room(bob, world)
    made = await alice.send("reminder.add", task_id=board.first, before_minutes=60, audience="all")
    assert made.data.reminder.fires_at is None, "it is due at no time yet"
    changes: dict[str, Any] = {"assignee_ids": [world.user_ids["bob"], world.user_ids["carol"]]}
    await alice.send("task.update", task_id=board.first, changes=changes)
    due = _soon(3601)
    await alice.send(
        "tasks.update", project_id=board.project, task_ids=[board.first], changes={"due_at": due}
    )
    assert (await bob.hears("reminder.fired")).data.reminder.task_id == board.first
    assert (await alice.hears("reminder.fired")).data.reminder.task_id == board.first, (
        "she made the task, and watches it"
    )
    assert not [name for name, _ in manager.journal if name == "reminder.fired"]
    guest = await world.person("gus").connect()
    refused = await guest.send("reminder.add", task_id=board.first, before_minutes=60, audience="all")
    assert refused.error.details == {"permission": "task.edit"}


async def test_what_is_done_or_due_later_is_not_told(alice: Person, board: Board, world: World) -> None:
    """The alarms of three tasks come at once; the one that is left as it was says that they have come."""
    await _own_room(alice, world)
    done, archived, plain = board.tasks[:3]
    await alice.send("task.update", task_id=board.tasks[3], changes={"due_at": _soon(600)})
    await alice.send("reminder.add", task_id=board.tasks[3], before_minutes=9)
    for task in (done, archived, plain):
        await alice.send("reminder.add", task_id=task, at=_soon(1.0))
    await alice.send("task.move", task_id=done, column_id=board.done)
    await alice.send("task.archive", task_id=archived)
    await alice.send("task.update", task_id=board.tasks[3], changes={"due_at": None})
    assert (await alice.hears("reminder.fired")).data.reminder.task_id == plain

    async def all_heard() -> bool:
        return await _alarms(world) == 0

    await eventually(all_heard)
    told = [data.data.reminder.task_id for name, data in alice.journal if name == "reminder.fired"]
    assert told == [plain]


async def _alarms(world: World) -> int:
    async with world.sql() as db:
        return int(await db.fetchval("SELECT count(*) FROM alarms WHERE key LIKE 'reminder:%'"))


async def test_there_are_at_most_five(alice: Person, board: Board) -> None:
    for minutes in range(5):
        assert (await alice.send("reminder.add", task_id=board.first, before_minutes=minutes)).success
    refused = await alice.send("reminder.add", task_id=board.first, before_minutes=5)
    assert (refused.error.code, refused.error.details) == ("CONFLICT", {"limit": 5})
    past = await alice.send("reminder.add", task_id=board.second, at="2020-01-01T00:00:00Z")
    assert list(past.error.field_errors) == ["at"]

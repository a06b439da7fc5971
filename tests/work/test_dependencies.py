"""Dependencies: who waits for whom, what is refused, what goes with a task, and the schedule that follows."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from handlers.work.tasks.dependencies import MOST
from tests.world import Board, Person, World


async def _wait(person: Person, task: str, other: str, **more: object) -> str:
    reply = await person.send("dependency.add", task_id=task, depends_on_id=other, **more)
    assert reply.success, reply
    return str(reply.data.dependency.id)


async def test_both_sides_see_it_and_everybody_hears_it(alice: Person, bob: Person, board: Board) -> None:
    await bob.join(board.room)
    first, second = board.tasks[:2]
    made = await alice.send("dependency.add", task_id=second, depends_on_id=first, lag_minutes=30)
    heard = await bob.hears("dependency.added", seq=made.meta.seq)
    assert heard.data.dependency == made.data.dependency
    assert (made.data.dependency.type, made.data.dependency.lag_minutes) == ("finish_start", 30)
    waiting = (await bob.send("dependency.list", task_id=second)).data
    blocking = (await bob.send("dependency.list", task_id=first)).data
    assert [other.id for other in waiting.waits_for] == [first]
    assert [other.id for other in blocking.blocks] == [second]
    assert waiting.blocks == blocking.waits_for == []
    assert waiting.waits_for[0].key.endswith("-1")
    snapshot = (await bob.snapshot(board.room)).snapshot
    assert snapshot.dependencies == [made.data.dependency]


async def test_it_changes_and_ends(alice: Person, bob: Person, board: Board) -> None:
    first, second = board.tasks[:2]
    edge = await _wait(alice, second, first)
    changed = await bob.send("dependency.update", task_id=second, dependency_id=edge, type="start_start")
    ends = {"task_id": second, "depends_on_id": first}
    assert changed.data.dependency == {"id": edge, "type": "start_start", "version": 2, **ends}
    assert changed.data.was == {"type": "finish_start"}
    nothing = await bob.send("dependency.update", task_id=second, dependency_id=edge)
    assert nothing.error.code == "VALIDATION_ERROR"
    other = {"task_id": first, "dependency_id": edge}
    for call in ("dependency.update", "dependency.remove"):
        more = {"lag_minutes": 5} if call.endswith("update") else {}
        assert (await bob.call(call, {**other, **more})).error.code == "NOT_FOUND", "it is not of that task"
    assert (await bob.send("dependency.remove", task_id=second, dependency_id=edge)).success
    again = await bob.send("dependency.remove", task_id=second, dependency_id=edge)
    assert again.error.code == "NOT_FOUND"
    assert (await bob.snapshot(board.room)).snapshot.dependencies == []


async def test_what_makes_no_sense_is_refused(world: World, alice: Person, board: Board) -> None:
    first, second, third = board.tasks[:3]
    await _wait(alice, second, first)
    await _wait(alice, third, second)
    twice = await alice.send("dependency.add", task_id=second, depends_on_id=first, type="start_start")
    assert twice.error.code == "CONFLICT"
    itself = await alice.send("dependency.add", task_id=first, depends_on_id=first)
    assert itself.error.code == "VALIDATION_ERROR"
    circle = await alice.send("dependency.add", task_id=first, depends_on_id=third)
    assert circle.error.code == "CONFLICT"
    assert circle.error.details.cycle == [first, third, second, first]
    other = await alice.send("project.create", name="Bathroom")
    room = f"project:{other.data.project.id}"
    elsewhere = (await alice.send("task.create", room=room, title="Elsewhere")).data.task.id
    for task, depends_on in ((first, elsewhere), (elsewhere, first), (first, first[:-12] + "0" * 12)):
        reply = await alice.send("dependency.add", task_id=task, depends_on_id=depends_on)
        assert reply.error.code == "NOT_FOUND"
    below = await alice.send("task.create", room=board.room, title="Below", parent_id=first)
    deeper = await alice.send("task.create", room=board.room, title="Deeper", parent_id=below.data.task.id)
    for task, depends_on in ((first, deeper.data.task.id), (deeper.data.task.id, first)):
        reply = await alice.send("dependency.add", task_id=task, depends_on_id=depends_on)
        assert reply.error.code == "CONFLICT"
    await _wait(alice, deeper.data.task.id, third)
    for task, parent in ((second, first), (below.data.task.id, third)):
        changes = {"parent_id": parent}
        reply = await alice.send("task.update", task_id=task, changes=changes)
        assert reply.error.code == "CONFLICT", "a task that becomes part of one that it has to do with"
    viewer = await world.person("viewer").connect()
    assert (await viewer.send("dependency.add", task_id=third, depends_on_id=first)).error.code == "FORBIDDEN"
    mallory = await world.person("mallory").connect()
    assert (await mallory.send("dependency.list", task_id=first)).error.code == "NOT_FOUND"


async def test_what_goes_to_the_trash_comes_back(alice: Person, bob: Person, board: Board) -> None:
    first, second, third = board.tasks[:3]
    edges = [await _wait(alice, second, first), await _wait(alice, third, second)]
    before = (await alice.snapshot(board.room)).snapshot
    gone = await alice.send("task.delete", task_id=second)
    assert {part.id for part in gone.data.dependencies} == set(edges)
    assert (await alice.snapshot(board.room)).snapshot.dependencies == []
    assert (await bob.send("dependency.list", task_id=first)).data.blocks == []
    assert "dependencies" not in (await alice.send("task.delete", task_id=third)).data
    back = await alice.send("task.restore", task_id=second)
    assert [edge.id for edge in back.data.dependencies] == edges[:1], "the third is still in the trash"
    back = await alice.send("task.restore", task_id=third)
    assert [edge.id for edge in back.data.dependencies] == edges[1:]
    assert (await alice.snapshot(board.room)).snapshot.dependencies == before.dependencies


async def test_a_circle_through_the_trash_is_one(alice: Person, board: Board) -> None:
    """Else it would be there when the task comes back."""
    first, second, third = board.tasks[:3]
    await _wait(alice, second, first)
    await _wait(alice, third, second)
    assert (await alice.send("task.delete", task_id=second)).success
    circle = await alice.send("dependency.add", task_id=first, depends_on_id=third)
    assert circle.error.details.cycle == [first, third, second, first]


async def test_people_who_link_at_once_make_no_circle(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    chance, people = random.Random(5), [alice, bob, await world.person("manager").connect()]
    sent = []
    for at in range(60):
        task, other = chance.sample(board.tasks, 2)
        sent.append(await people[at % 3].post("dependency.add", {"task_id": task, "depends_on_id": other}))
    replies = await asyncio.gather(*sent)
    assert {reply.error.code for reply in replies if not reply.success} == {"CONFLICT"}
    edges = [reply.data.dependency for reply in replies if reply.success]
    assert len(edges) <= 10, "among five tasks there is no room for more"
    schedule = await alice.send("project.schedule", project_id=board.project)
    assert schedule.success, "a circle would have no order"
    assert (await bob.snapshot(board.room)).snapshot.dependencies == sorted(edges, key=lambda edge: edge.id)


async def test_there_is_a_most(world: World, alice: Person, board: Board) -> None:
    async with world.sql() as db:
        await db.execute(
            "INSERT INTO tasks SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'number', "
            "1000 + n, 'key', 'X-' || n))).* FROM tasks AS t, generate_series(1, $2) AS n WHERE t.id = $1",
            UUID(board.first), MOST,
        )  # fmt: skip
        others = await db.fetch("SELECT id FROM tasks WHERE number > 1000")
    sent = [
        await alice.post("dependency.add", {"task_id": board.first, "depends_on_id": str(row["id"])})
        for row in others
    ]
    assert all(reply.success for reply in await asyncio.gather(*sent))
    more = await alice.send("dependency.add", task_id=board.first, depends_on_id=board.tasks[1])
    assert (more.error.code, more.error.details.limit) == ("CONFLICT", MOST)
    assert len((await alice.send("dependency.list", task_id=board.first)).data.waits_for) == MOST


# The schedule.


async def _estimate(alice: Person, task: str, **changes: object) -> None:
    assert (await alice.send("task.update", task_id=task, changes=changes)).success


async def test_the_critical_path(alice: Person, bob: Person, board: Board) -> None:
    assert (await alice.send("project.update", project_id=board.project, start_on="2026-12-01")).success
    walls, floor, paint, move_in, unplanned = board.tasks[:5]
    for task, minutes in ((walls, 600), (floor, 240), (paint, 120)):
        await _estimate(alice, task, estimate_minutes=minutes)
    await _estimate(alice, move_in, type="milestone", estimate_minutes=5, due_at="2026-12-01T12:00:00Z")
    await _wait(alice, paint, walls, lag_minutes=60)
    await _wait(alice, move_in, paint)
    await _wait(alice, move_in, floor)
    plan = (await bob.send("project.schedule", project_id=board.project)).data
    begin = datetime(2026, 12, 1, 9, tzinfo=UTC)

    def at(minutes: int) -> str:
        """A moment after so many working minutes: eight hours a day, from Tuesday to Friday."""
        days, rest = divmod(minutes, 480)
        moment = begin + timedelta(days=days, minutes=rest)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    assert (plan.starts_at, plan.finishes_at) == ("2026-12-01T00:00:00.000Z", at(780))
    assert plan.critical_task_ids == [walls, paint, move_in]
    slots = {slot.id: slot for slot in plan.tasks}
    assert unplanned not in slots
    assert (slots[paint].earliest_start, slots[paint].latest_finish) == (at(660), at(780))
    assert (slots[floor].slack_minutes, slots[floor].latest_start) == (540, at(540))
    assert (slots[move_in].late_minutes, slots[walls].late_minutes) == (600, None)

    done = next(
        column.id for column in (await alice.snapshot(board.room)).snapshot.columns if column.name == "Done"
    )
    assert (await alice.send("task.move", task_id=walls, column_id=done)).success
    later = (await bob.send("project.schedule", project_id=board.project)).data
    assert walls not in {slot.id for slot in later.tasks}, "what is done is planned no more"


@pytest.mark.parametrize("kind", ["finish_start", "start_start", "finish_finish", "start_finish"])
async def test_each_kind_is_kept(alice: Person, board: Board, kind: str) -> None:
    await _wait(alice, board.tasks[1], board.tasks[0], type=kind, lag_minutes=-10)
    [edge] = (await alice.snapshot(board.room)).snapshot.dependencies
    assert (edge.type, edge.lag_minutes) == (kind, -10)
    odd = await alice.send(
        "dependency.add", task_id=board.tasks[2], depends_on_id=board.tasks[0], type="sometime"
    )
    assert odd.error.code == "VALIDATION_ERROR"

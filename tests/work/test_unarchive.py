"""Many tasks out of the archive: what they took along comes with them, in order, as far as there is room."""

import asyncio
import time

from tests.reducer import fold, store_of
from tests.work.test_sprints import do, plan
from tests.world import Board, Person


async def test_families_come_back_as_far_as_there_is_room(alice: Person, bob: Person, board: Board) -> None:
    one, two, three, four, five = board.tasks
    below = await alice.send("task.create", room=board.room, title="Below", parent_id=two)
    project = {"project_id": board.project}
    assert (await alice.call("tasks.archive", {**project, "task_ids": [five]})).data.done == 1
    assert (await alice.call("task.update", {"task_id": four, "changes": {"parent_id": three}})).success
    assert (await alice.call("tasks.archive", {**project, "task_ids": [four]})).data.done == 1
    assert (await alice.call("tasks.archive", {**project, "task_ids": [one, two, three]})).data.done == 3
    assert (await alice.send("column.set_limit", column_id=board.todo, limit=4)).success
    alone = await alice.call("tasks.unarchive", {**project, "task_ids": [four, board.hold]})
    assert [one.code for one in alone.data.outcomes] == ["CONFLICT", "NOT_FOUND"]
    assert alone.data.outcomes[0].details == {"task_id": three}
    old = await bob.snapshot(board.room)
    back = await alice.call("tasks.unarchive", {**project, "task_ids": [four, one, two, three, five]})
    outcomes = {one.id: one.outcome for one in back.data.outcomes}
    assert list(outcomes) == [four, one, two, three, five]
    assert outcomes == {four: "refused", one: "done", two: "done", three: "done", five: "refused"}
    heard = await bob.hears("tasks.unarchived")
    assert {task.id for task in heard.data.tasks} == {one, two, three, below.data.task.id}
    fresh = await bob.snapshot(board.room)
    asked = await bob.rest("GET", f"/rooms/{board.room}/events", params={"since": old.seq})
    assert fold(store_of(old.snapshot), asked.data.events) == store_of(fresh.snapshot)
    order = sorted(fresh.snapshot.tasks, key=lambda task: (task.position, task.id))
    assert [task.column_id for task in order] == [board.todo] * 4


async def test_a_thousand_at_once(alice: Person, board: Board) -> None:
    sent = [await alice.post("task.create", {"room": board.room, "title": f"Card {n}"}) for n in range(1_000)]
    ids = [reply.data.task.id for reply in await asyncio.gather(*sent)]
    many = {"project_id": board.project, "task_ids": ids}
    assert (await alice.call("tasks.archive", many)).data.done == 1_000
    began = time.monotonic()
    back = await alice.call("tasks.unarchive", many)
    assert back.data.done == 1_000
    assert time.monotonic() - began < 10, "it takes a handful of statements"
    events = [await alice.hears("tasks.unarchived") for _ in range(10)]
    assert {len(event.data.tasks) for event in events} == {100}


async def test_sprints_count_them_again(alice: Person, board: Board) -> None:
    sprint = {"project_id": board.project, "sprint_id": await plan(alice, board, tasks=board.tasks[:2])}
    await do(alice, "sprint.start", **sprint)
    some = {"project_id": board.project, "task_ids": board.tasks[:2]}
    for name, left in (("tasks.archive", 0), ("tasks.unarchive", 2)):
        await do(alice, name, **some)
        days = (await do(alice, "sprint.burndown", **sprint)).data.days
        assert [day.remaining_tasks for day in days if day.remaining_tasks is not None][-1] == left

"""Subtasks: what a parent says of them, in whatever way they change, and the tree below a task."""

import random
from typing import Any
from uuid import UUID

import orjson

from storage.statements import load
from tests.reducer import fold, store_of
from tests.world import Board, Person, World


async def _below(person: Person, board: Board, parent: str, count: int = 1) -> list[str]:
    made = [
        await person.send("task.create", room=board.room, title=f"Part {n}", parent_id=parent)
        for n in range(count)
    ]
    return [reply.data.task.id for reply in made]


async def _counts(person: Person, task_id: str) -> tuple[int, int]:
    task = (await person.send("task.get", task_id=task_id)).data.task
    return task.subtask_done, task.subtask_total


async def test_a_parent_says_how_far_its_subtasks_are(
    alice: Person, bob: Person, board: Board, world: World
) -> None:
    parent = board.tasks[0]
    first, second, third = await _below(alice, board, parent, 3)
    moved = await alice.send("task.move", task_id=first, column_id=world.columns["Done"])
    heard = await bob.hears("task.moved")
    assert heard.data.tasks == moved.data.tasks == [{"id": parent, "subtask_total": 3, "subtask_done": 1}]
    assert await _counts(alice, parent) == (1, 3)
    await alice.send("task.update", task_id=second, changes={"status_id": world.statuses["Cancelled"]})
    assert await _counts(alice, parent) == (1, 2), "a cancelled one is neither to do nor done"
    gone = await alice.send("task.delete", task_id=third)
    assert gone.data.tasks == [{"id": parent, "subtask_total": 1, "subtask_done": 1}]
    back = await alice.send("task.restore", task_id=third)
    assert back.data.tasks == [{"id": parent, "subtask_total": 2, "subtask_done": 1}]
    other = board.tasks[1]
    await alice.send("task.update", task_id=first, changes={"parent_id": other})
    assert (await _counts(alice, parent), await _counts(alice, other)) == ((0, 1), (1, 1))
    many = await alice.send(
        "tasks.update", project_id=board.project, task_ids=[second, third],
        changes={"status_id": world.statuses["Completed"]},
    )  # fmt: skip
    assert many.data.done == 2
    assert await _counts(alice, parent) == (2, 2)


async def test_a_move_without_a_parent_tells_of_no_other_task(alice: Person, board: Board) -> None:
    moved = await alice.send("task.move", task_id=board.first, column_id=board.doing)
    assert "tasks" not in moved.data


async def test_whatever_happens_the_counts_are_right(alice: Person, board: Board, world: World) -> None:
    """Many changes by chance, several at once: the board that events make is the one that is read anew, and every
    count is that of the tasks there."""
    chance = random.Random(20261129)
    old = await alice.snapshot(board.room)
    tasks = list(board.tasks)
    for parent in board.tasks:
        tasks += await _below(alice, board, parent, 2)
    for _ in range(12):
        await _at_random(alice, board, world, tasks, chance)
    fresh = await alice.snapshot(board.room)
    events: list[Any] = []
    while len(events) < fresh.seq - old.seq:
        asked = {"since": old.seq + len(events), "limit": 100}
        events += (await alice.rest("GET", f"/rooms/{board.room}/events", params=asked)).data.events
    assert fold(store_of(old.snapshot), events) == store_of(fresh.snapshot)
    async with world.sql() as db:
        wrong = await db.fetch(
            "SELECT p.key FROM tasks AS p WHERE p.deleted_at IS NULL AND (p.subtask_total, p.subtask_done) <> (SELECT count(*), "
            "count(*) FILTER (WHERE s.category = 'done') FROM tasks AS t JOIN statuses AS s ON s.id = t.status_id "
            "WHERE t.parent_id = p.id AND t.deleted_at IS NULL AND s.category <> 'cancelled')"
        )
        assert await db.fetchval("SELECT sum(subtask_total) FROM tasks") > 0
    assert wrong == []


async def _at_random(
    person: Person, board: Board, world: World, tasks: list[str], chance: random.Random
) -> None:
    columns, statuses = list(world.columns.values()), list(world.statuses.values())
    waiting = []
    for _ in range(8):
        task, other = chance.sample(tasks, 2)
        some = {"project_id": board.project, "task_ids": chance.sample(tasks, 3)}
        acts: list[tuple[str, dict[str, Any]]] = [
            ("task.move", {"task_id": task, "column_id": chance.choice(columns)}),
            ("task.move", {"task_id": task, "column_id": chance.choice(columns)}),
            ("task.update", {"task_id": task, "changes": {"parent_id": other}}),
            ("task.update", {"task_id": task, "changes": {"status_id": chance.choice(statuses)}}),
            ("task.delete", {"task_id": task}),
            ("task.restore", {"task_id": task}),
            ("task.archive", {"task_id": task}),
            ("task.unarchive", {"task_id": task}),
            ("tasks.update", {**some, "changes": {"status_id": chance.choice(statuses)}}),
            ("tasks.archive", some),
            ("tasks.delete", some),
        ]
        waiting.append(await person.post(*chance.choice(acts)))
    for answer in waiting:
        reply = await answer
        assert reply.success or reply.error.code in ("CONFLICT", "NOT_FOUND"), reply


async def test_a_tree_goes_to_any_depth(alice: Person, board: Board, world: World) -> None:
    top, path = board.tasks[0], []
    parent = top
    for _ in range(12):
        [parent] = await _below(alice, board, parent)
        path.append(parent)
    await alice.send("task.update", task_id=path[-1], changes={"status_id": world.statuses["Completed"]})
    tree = (await alice.send("task.tree", task_id=top)).data
    assert [task.id for task in tree.tasks] == [top, *path]
    assert [task.depth for task in tree.tasks] == list(range(13))
    assert (tree.done, tree.total, tree.more) == (1, 12, False)
    refused = await alice.send("task.update", task_id=top, changes={"parent_id": path[-1]})
    assert refused.error.code == "CONFLICT"


async def test_counting_reads_no_more_where_nobody_has_analyzed(
    world: World, alice: Person, board: Board
) -> None:
    """A new database has no statistics: without them a plan may read every task for each task, which nobody notices in
    a large one that has."""
    async with world.sql() as db:
        await db.execute(
            "INSERT INTO tasks (tenant_id, project_id, id, number, key, title, column_id, status_id, position, parent_id, "
            "created_by, created_at, updated_by, updated_at) "
            "SELECT t.tenant_id, t.project_id, gen_random_uuid(), 1000 + n, 'KIT-' || 1000 + n, 'Step', t.column_id, "
            "t.status_id, 'b' || n, t.id, t.created_by, t.created_at, t.updated_by, t.updated_at "
            "FROM tasks AS t, generate_series(1, 300) AS n WHERE t.id = $1::uuid",
            board.first,
        )
        statement = load()["recount_subtasks"]
        values = {"tenant_id": UUID(world.tenant_id), "parent_ids": [UUID(board.first)]}
        await db.execute("SET plan_cache_mode = force_generic_plan")
        plan = await db.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.sql}",
            *(values[name] for name in statement.params),
        )
    root = orjson.loads(plan)[0]["Plan"]
    assert root["Shared Hit Blocks"] + root["Shared Read Blocks"] < 3_000, "a few for each of 300 subtasks"
    assert (await alice.send("task.create", room=board.room, title="One more", parent_id=board.first)).success
    [parent] = (await alice.send("task.tree", task_id=board.first)).data.tasks[:1]
    assert parent.subtask_total == 301

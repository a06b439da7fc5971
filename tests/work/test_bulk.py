"""Many tasks at once: the outcome of each is that of the same change alone, and a thousand take a moment."""

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest

from handlers.work.planning.sprint_facts import MOST_TASKS
from handlers.work.tasks.bulk import MOST
from tests.reducer import fold, store_of
from tests.world import Board, Person, World


async def _tasks(alice: Person, board: Board) -> dict[str, Any]:
    return {task.id: task for task in (await alice.snapshot(board.room)).snapshot.tasks}


async def test_one_event_and_an_outcome_for_each(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    await bob.join(board.room)
    missing = board.first[:-12] + "0" * 12
    assert (await alice.send("task.update", task_id=board.tasks[1], changes={"priority": "urgent"})).success
    ask = {
        "project_id": board.project,
        "task_ids": [*board.tasks[:3], missing],
        "changes": {"priority": "urgent", "due_at": "2026-12-24T10:00:00Z"},
        "add_tags": ["tiles"],
        "add_assignee_ids": [world.user_ids["bob"]],
    }
    reply = await alice.call("tasks.update", ask)
    assert (reply.data.done, reply.data.unchanged, reply.data.refused) == (3, 0, 1)
    assert [one.outcome for one in reply.data.outcomes] == ["done"] * 3 + ["refused"]
    assert (reply.data.outcomes[3].id, reply.data.outcomes[3].code) == (missing, "NOT_FOUND")
    heard = await bob.hears("tasks.updated", seq=reply.meta.seq)
    assert [task.id for task in heard.data.tasks] == board.tasks[:3]
    assert "priority" not in heard.data.tasks[1], "it was urgent before"
    assert heard.data.was[0] == {
        "id": board.first, "priority": "medium", "due_at": None, "tags": [], "assignee_ids": [],
        "watcher_ids": [world.user_ids["alice"]],
    }  # fmt: skip
    assigned = {(await bob.hears("task.assigned")).data.assignment.id for _ in range(3)}
    assert assigned == set(board.tasks[:3])
    again = await alice.call("tasks.update", {**ask, "task_ids": board.tasks[:3]})
    assert (again.data.done, again.data.unchanged) == (0, 3)
    tasks = await _tasks(alice, board)
    assert {tasks[task].version for task in board.tasks[:3]} == {2, 3}


async def test_the_audit_log_has_what_was(alice: Person, board: Board) -> None:
    ask = {"project_id": board.project, "task_ids": board.tasks[:2], "changes": {"priority": "low"}}
    assert (await alice.call("tasks.update", ask)).success
    page = await alice.send("audit.list", action="tasks.update")
    [entry] = page.data.entries
    assert entry.was == {"each": [{"id": task, "priority": "medium"} for task in board.tasks[:2]]}
    assert entry.changes["changes"] == {"priority": "low"}


async def test_moving_fills_a_column_up_to_its_limit(alice: Person, board: Board) -> None:
    assert (await alice.send("column.set_limit", column_id=board.doing, limit=2)).success
    ask = {"project_id": board.project, "task_ids": board.tasks, "column_id": board.doing}
    reply = await alice.call("tasks.update", ask)
    done = [one.id for one in reply.data.outcomes if one.outcome == "done"]
    assert done == board.tasks[:2]
    assert {one.code for one in reply.data.outcomes if one.outcome == "refused"} == {"CONFLICT"}
    tasks = await _tasks(alice, board)
    assert sorted(done, key=lambda task: tasks[task].position) == done
    column = await alice.send("task.list", project_id=board.project, column_id=board.doing)
    assert [task.id for task in column.data.tasks] == done


async def test_a_status_takes_tasks_to_its_column(alice: Person, board: Board) -> None:
    snapshot = (await alice.snapshot(board.room)).snapshot
    done = next(column for column in snapshot.columns if column.id == board.done)
    ask = {"project_id": board.project, "task_ids": board.tasks, "changes": {"status_id": done.status_ids[0]}}
    assert (await alice.call("tasks.update", ask)).data.done == len(board.tasks)
    tasks = await _tasks(alice, board)
    assert {task.column_id for task in tasks.values()} == {board.done}
    assert all(task.completed_at for task in tasks.values())
    order = [task.id for task in sorted(tasks.values(), key=lambda task: (task.position, task.id))]
    assert order == board.tasks
    back = {"project_id": board.project, "task_ids": board.tasks[:1], "column_id": board.todo}
    assert (await alice.call("tasks.update", back)).data.done == 1
    assert (await _tasks(alice, board))[board.first].completed_at is None


async def test_what_makes_no_sense_is_refused_whole(world: World, alice: Person, board: Board) -> None:
    some = {"project_id": board.project, "task_ids": board.tasks[:2]}
    status = (await alice.snapshot(board.room)).snapshot.statuses[0].id
    unknown = board.first[:-12] + "0" * 12
    for more, code in (
        ({}, "VALIDATION_ERROR"),
        ({"changes": None, "add_tags": []}, "VALIDATION_ERROR"),
        ({"changes": {}}, "VALIDATION_ERROR"),
        ({"changes": {"priority": None}}, "VALIDATION_ERROR"),
        ({"changes": {"title": "All alike"}}, "VALIDATION_ERROR"),
        ({"column_id": board.done, "changes": {"status_id": status}}, "VALIDATION_ERROR"),
        ({"add_assignee_ids": [world.user_ids["mallory"]]}, "VALIDATION_ERROR"),
        ({"task_ids": [], "add_tags": ["x"]}, "VALIDATION_ERROR"),
        ({"task_ids": [unknown] * (MOST + 1), "add_tags": ["x"]}, "VALIDATION_ERROR"),
        ({"column_id": unknown}, "NOT_FOUND"),
        ({"changes": {"status_id": unknown}}, "NOT_FOUND"),
        ({"project_id": unknown, "add_tags": ["x"]}, "NOT_FOUND"),
    ):
        assert (await alice.call("tasks.update", {**some, **more})).error.code == code, more
    viewer = await world.person("viewer").connect()
    for call in ("tasks.update", "tasks.delete"):
        more = {"add_tags": ["x"]} if call == "tasks.update" else {}
        assert (await viewer.call(call, {**some, **more})).error.code == "FORBIDDEN"
    assert {task.version for task in (await _tasks(alice, board)).values()} == {1}


async def test_nothing_of_another_project_is_touched(alice: Person, board: Board) -> None:
    other = await alice.send("project.create", name="Bathroom")
    room = f"project:{other.data.project.id}"
    elsewhere = (await alice.send("task.create", room=room, title="Elsewhere")).data.task.id
    for call, more in (("tasks.update", {"add_tags": ["x"]}), ("tasks.delete", {})):
        reply = await alice.call(call, {"project_id": board.project, "task_ids": [elsewhere], **more})
        assert reply.data.outcomes[0].code == "NOT_FOUND"
        assert reply.data.refused == 1
    assert (await alice.send("task.get", task_id=elsewhere)).data.task.version == 1


async def test_deleting_takes_subtasks_along_and_each_comes_back(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    """A task that was named beside the one it is part of goes with that one."""
    people = {"assignee_ids": [world.user_ids["bob"]]}
    below = await alice.send("task.create", room=board.room, title="Below", parent_id=board.first, **people)
    deeper = await alice.send(
        "task.create", room=board.room, title="Deeper", parent_id=below.data.task.id, **people
    )
    edge = await alice.send("dependency.add", task_id=board.tasks[2], depends_on_id=board.tasks[1])
    before = await alice.snapshot(board.room)
    named = [deeper.data.task.id, board.first, board.tasks[1]]
    reply = await alice.call("tasks.delete", {"project_id": board.project, "task_ids": named})
    assert (reply.data.done, reply.data.refused) == (3, 0)
    heard = await bob.hears("tasks.deleted", seq=reply.meta.seq)
    gone = {*named, below.data.task.id}
    assert {task.id for task in heard.data.tasks} == gone
    assert [part.id for part in heard.data.dependencies] == [edge.data.dependency.id]
    ended = {(await bob.hears("task.unassigned")).data.assignment.id for _ in range(2)}
    assert ended == {below.data.task.id, deeper.data.task.id}
    assert gone.isdisjoint(await _tasks(alice, board))
    for task in (board.first, board.tasks[1]):
        assert (await alice.send("task.restore", task_id=task)).success
    after = await alice.snapshot(board.room)
    assert {task.id for task in after.snapshot.tasks} == {task.id for task in before.snapshot.tasks}
    assert after.snapshot.dependencies == before.snapshot.dependencies


@pytest.mark.parametrize("seed", range(4))
async def test_it_is_what_the_same_changes_one_by_one_make(
    world: World, alice: Person, board: Board, seed: int
) -> None:
    """And the events fold into the state that the database has."""
    chance = random.Random(seed)
    start = await alice.join(board.room)
    people = [world.user_ids[name] for name in ("alice", "bob", "manager")]
    for _ in range(8):
        ask: dict[str, Any] = {"project_id": board.project, "task_ids": chance.sample(board.tasks, 3)}
        if chance.random() < 0.5:
            ask["column_id"] = chance.choice([board.todo, board.doing, board.done])
        else:
            ask["changes"] = {
                "priority": chance.choice(["low", "high"]),
                "estimate_minutes": chance.choice([None, 5]),
            }
        ask["add_tags"] = chance.sample(["a", "b", "c"], 2)
        ask["remove_tags"] = chance.sample(["a", "b", "c"], 1)
        ask["add_assignee_ids"] = chance.sample(people, 1)
        ask["remove_assignee_ids"] = chance.sample(people, 1)
        before = await _tasks(alice, board)
        reply = await alice.call("tasks.update", ask)
        assert reply.success, reply
        after = await _tasks(alice, board)
        for task in ask["task_ids"]:
            tags = [tag for tag in before[task].tags if tag not in ask["remove_tags"]]
            tags += [tag for tag in ask["add_tags"] if tag not in tags and tag not in ask["remove_tags"]]
            assert after[task].tags == tags
            assert set(after[task].assignee_ids) == (
                set(before[task].assignee_ids) | set(ask["add_assignee_ids"])
            ) - set(ask["remove_assignee_ids"])
            if "column_id" in ask:
                assert after[task].column_id == ask["column_id"]
                assert (after[task].completed_at is not None) == (ask["column_id"] == board.done)
    fresh = await alice.snapshot(board.room)
    await alice.hears("tasks.updated", seq=fresh.seq)
    assert fold(store_of(start.snapshot), alice.events(board.room)) == store_of(fresh.snapshot)
    async with world.sql() as db:
        rows = await db.fetch(
            "SELECT t.id, t.assignee_ids, array(SELECT user_id FROM task_assignees AS a WHERE a.task_id = t.id) AS given "
            "FROM tasks AS t WHERE t.project_id = $1",
            UUID(board.project),
        )
    assert all(set(row["assignee_ids"]) == set(row["given"]) for row in rows)


async def test_a_thousand_at_once_beside_other_commands(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    async with world.sql() as db:
        await db.execute(
            "INSERT INTO tasks SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'number', "
            "1000 + n, 'key', 'X-' || n, 'position', 'b0' || lpad(n::text, 4, '0') || '1'))).* "
            "FROM tasks AS t, generate_series(1, $2) AS n WHERE t.id = $1",
            UUID(board.first), MOST,
        )  # fmt: skip
        ids = [str(row["id"]) for row in await db.fetch("SELECT id FROM tasks WHERE number > 1000")]
    everything = {
        "project_id": board.project, "task_ids": ids, "column_id": board.done, "add_tags": ["all"],
        "changes": {"priority": "low"}, "add_assignee_ids": [world.user_ids["bob"]],
    }  # fmt: skip
    sent = [
        await bob.post("task.move", {"task_id": board.tasks[1], "column_id": board.doing}),
        await alice.post("tasks.update", everything),
        await bob.post("task.move", {"task_id": board.tasks[1], "column_id": board.todo}),
    ]
    replies = await asyncio.gather(*sent)
    assert all(reply.success for reply in replies)
    assert replies[1].data.done == MOST
    async with world.sql() as db:
        row = await db.fetchrow(
            "SELECT count(*) FILTER (WHERE column_id = $2 AND tags = '{all}' AND completed_at IS NOT NULL) AS moved, "
            "count(DISTINCT position) AS places FROM tasks WHERE number > 1000 AND project_id = $1",
            UUID(board.project), UUID(board.done),
        )  # fmt: skip
    assert (row["moved"], row["places"]) == (MOST, MOST)
    gone = await alice.call("tasks.delete", {"project_id": board.project, "task_ids": ids})
    assert gone.data.done == MOST


async def test_required_custom_fields_are_those_that_a_task_will_have(
    world: World, alice: Person, board: Board
) -> None:
    """What is stored counts beside what is sent with the new status."""
    for key in ("size", "colour"):
        made = await alice.send("field.create", project_id=board.project, key=key, name=key, type="text")
        assert made.success, made
    asked = {"required_fields": ["fields.size", "fields.colour"]}
    assert (await alice.send("status.update", status_id=world.statuses["Completed"], **asked)).success
    assert (await alice.send("task.update", task_id=board.first, changes={"fields": {"size": "L"}})).success
    changes = {"status_id": world.statuses["Completed"], "fields": {"colour": "red"}}
    ask = {"project_id": board.project, "task_ids": board.tasks[:2], "changes": changes}
    outcomes = (await alice.call("tasks.update", ask)).data.outcomes
    assert [one.outcome for one in outcomes] == ["done", "refused"]
    assert outcomes[1].details.missing == ["fields.size"]
    gone = {"status_id": world.statuses["In progress"], "fields": {"size": None}}
    back = {"required_fields": ["fields.size"]}
    assert (await alice.send("status.update", status_id=world.statuses["In progress"], **back)).success
    [outcome] = (
        await alice.call("tasks.update", {**ask, "task_ids": [board.first], "changes": gone})
    ).data.outcomes
    assert outcome.details.missing == ["fields.size"]


async def test_what_is_refused_takes_no_place_in_a_sprint(world: World, alice: Person, board: Board) -> None:
    made = await alice.send("sprint.create", project_id=board.project, name="Tight")
    sprint_id = made.data.sprint.id
    async with world.sql() as db:
        await db.execute(
            "INSERT INTO tasks SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'number', "
            "100 + n, 'key', 'F-' || n, 'sprint_id', $2::uuid))).* FROM tasks AS t, generate_series(1, $3) AS n "
            "WHERE t.id = $1",
            UUID(board.first), UUID(sprint_id), MOST_TASKS - 1,
        )  # fmt: skip
    ways = {"from_id": world.statuses["On hold"], "to": []}
    assert (await alice.send("task.move", task_id=board.first, column_id=world.columns["On hold"])).success
    ruled = await alice.send("workflow.set_transitions", project_id=board.project, transitions=[ways])
    assert ruled.success, ruled
    changes = {"status_id": world.statuses["In progress"], "sprint_id": sprint_id}
    ask = {"project_id": board.project, "task_ids": board.tasks[:3], "changes": changes}
    outcomes = (await alice.call("tasks.update", ask)).data.outcomes
    assert [one.outcome for one in outcomes] == ["refused", "done", "refused"]
    assert outcomes[2].details.held == MOST_TASKS

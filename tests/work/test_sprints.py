"""Sprints: planned, started and completed, what they may hold, and where what is left over goes."""

from typing import Any
from uuid import UUID

from handlers.work.planning.sprint_facts import MOST_TASKS
from tests.reducer import fold, store_of
from tests.world import Board, Person, World

DATES = {"start_on": "2026-11-23", "end_on": "2026-12-04"}


async def do(person: Person, name: str, /, **payload: Any) -> Any:
    reply = await person.call(name, payload)
    assert reply.success, reply
    return reply


async def plan(
    person: Person, board: Board, name: str = "First", tasks: list[str] | None = None, **more: Any
) -> str:
    """A planned sprint with tasks in it."""
    made = await do(person, "sprint.create", project_id=board.project, name=name, **DATES, **more)
    sprint_id = str(made.data.sprint.id)
    if tasks:
        await do(person, "sprint.add_tasks", project_id=board.project, sprint_id=sprint_id, task_ids=tasks)
    return sprint_id


async def sprint_of(person: Person, board: Board, task: str) -> str | None:
    found: str | None = (await do(person, "task.get", task_id=task)).data.task.sprint_id
    return found


async def test_from_plan_to_completion(alice: Person, bob: Person, board: Board) -> None:
    here = {"project_id": board.project}
    first = await plan(alice, board, tasks=board.tasks[:3])
    second = await plan(alice, board, "Second")
    heard = await bob.hears("tasks.updated")
    assert [(task.id, task.sprint_id) for task in heard.data.tasks] == [
        (task, first) for task in board.tasks[:3]
    ]
    assert heard.data.was[0] == {"id": board.first, "sprint_id": None}
    started = await do(alice, "sprint.start", **here, sprint_id=first, end_on="2026-12-02")
    assert (started.data.sprint.status, started.data.sprint.end_on) == ("active", "2026-12-02")
    assert (await bob.hears("sprint.started", seq=started.meta.seq)).data == started.data
    another = await alice.call("sprint.start", {**here, "sprint_id": second})
    assert (another.error.code, another.error.details) == ("CONFLICT", {"limit": 1, "active": 1})
    await do(bob, "task.move", task_id=board.first, column_id=board.done)
    cancelled = next(
        s.id for s in (await bob.snapshot(board.room)).snapshot.statuses if s.category == "cancelled"
    )
    await do(bob, "task.update", task_id=board.second, changes={"status_id": cancelled})
    over = await do(alice, "sprint.complete", **here, sprint_id=first)
    assert [(task.id, task.sprint_id) for task in over.data.tasks] == [(board.third, second)], (
        "what is open goes on"
    )
    assert [await sprint_of(bob, board, task) for task in board.tasks[:4]] == [first, first, second, None]
    for call in ("sprint.complete", "sprint.start", "sprint.delete"):
        assert (await alice.call(call, {**here, "sprint_id": first})).error.code == "CONFLICT", "it is over"
    late = await alice.call("sprint.add_tasks", {**here, "sprint_id": first, "task_ids": board.tasks[4:]})
    assert late.error.code == "CONFLICT"
    assert (
        await alice.send("task.update", task_id=board.third, changes={"sprint_id": first})
    ).error.code == "CONFLICT"


async def test_where_open_tasks_go(alice: Person, board: Board) -> None:
    here = {"project_id": board.project}
    first = await plan(alice, board, tasks=board.tasks[:2])
    await do(alice, "sprint.start", **here, sprint_id=first)
    itself = await alice.call("sprint.complete", {**here, "sprint_id": first, "to_sprint_id": first})
    assert list(itself.error.field_errors) == ["to_sprint_id"]
    done = await do(alice, "sprint.complete", **here, sprint_id=first)
    assert {task.sprint_id for task in done.data.tasks} == {None}, "no other sprint is planned"
    second = await plan(alice, board, "Second", tasks=board.tasks[:2])
    third, fourth = await plan(alice, board, "Third"), await plan(alice, board, "Fourth")
    earlier = {"start_on": "2026-11-22"}
    await do(alice, "sprint.update", **here, sprint_id=fourth, **earlier)
    await do(alice, "sprint.start", **here, sprint_id=second)
    done = await do(alice, "sprint.complete", **here, sprint_id=second)
    assert {task.sprint_id for task in done.data.tasks} == {fourth}, "the next one by its start"
    await do(alice, "sprint.start", **here, sprint_id=fourth)
    done = await do(alice, "sprint.complete", **here, sprint_id=fourth, to_sprint_id=third)
    assert {task.sprint_id for task in done.data.tasks} == {third}
    await do(alice, "sprint.start", **here, sprint_id=third)
    done = await do(alice, "sprint.complete", **here, sprint_id=third, carry_over="backlog")
    assert {task.sprint_id for task in done.data.tasks} == {None}


async def test_snapshots_hold_the_last_three_completed(alice: Person, bob: Person, board: Board) -> None:
    here, made = {"project_id": board.project}, []
    start = await bob.join(board.room)
    for at in range(5):
        made.append(await plan(alice, board, f"Sprint {at}"))
        await do(alice, "sprint.start", **here, sprint_id=made[-1])
        over = await do(alice, "sprint.complete", **here, sprint_id=made[-1])
        assert [gone.id for gone in over.data.get("sprints", [])] == (made[at - 3 : at - 2] if at > 2 else [])
    back = await do(alice, "sprint.reopen", **here, sprint_id=made[3])
    assert [shown.id for shown in back.data.sprints] == [made[1]]
    fresh = await bob.snapshot(board.room)
    assert {sprint.id for sprint in fresh.snapshot.sprints} == set(made[1:])
    renamed = await do(alice, "sprint.update", **here, sprint_id=made[0], name="Long ago")
    assert renamed.data.sprints == [{"id": made[0], "removed": True}]
    shown = await do(alice, "sprint.update", **here, sprint_id=made[4], name="Lately")
    assert "sprints" not in shown.data
    await do(alice, "sprint.complete", **here, sprint_id=made[3])
    whole = await do(alice, "sprint.reopen", **here, sprint_id=made[0])
    assert [(one.id, one.name) for one in whole.data.sprints] == [(made[0], "Long ago")]
    fresh = await bob.snapshot(board.room)
    assert {sprint.id for sprint in fresh.snapshot.sprints} == {made[0], *made[2:]}
    await bob.hears("sprint.reopened", seq=whole.meta.seq)
    assert fold(store_of(start.snapshot), bob.events(board.room)) == store_of(fresh.snapshot)
    listed, cursor = [], None
    while True:
        page = await bob.call("sprint.list", {**here, "limit": 2, "cursor": cursor, "status": "completed"})
        listed += [sprint.id for sprint in page.data.sprints]
        cursor = page.meta.pagination.next
        if cursor is None:
            break
    assert listed == [made[4], made[3], made[2], made[1]]


async def test_what_makes_no_sense_is_refused(world: World, alice: Person, bob: Person, board: Board) -> None:
    here = {"project_id": board.project}
    odd = {"start_on": "2026-12-04", "end_on": "2026-12-03"}
    reply = await alice.call("sprint.create", {**here, "name": "Backwards", **odd})
    assert list(reply.error.field_errors) == ["end_on"]
    reply = await alice.call(
        "sprint.create", {**here, "name": "Long", "start_on": "2026-01-01", "end_on": "2027-01-02"}
    )
    assert list(reply.error.field_errors) == ["end_on"]
    stranger = [{"user_id": world.user_ids["mallory"], "minutes": 60}]
    reply = await alice.call("sprint.create", {**here, "name": "Strange", "capacities": stranger})
    assert list(reply.error.field_errors) == ["capacities"]
    bare = (await do(alice, "sprint.create", **here, name="Bare")).data.sprint.id
    reply = await alice.call("sprint.start", {**here, "sprint_id": bare})
    assert list(reply.error.field_errors) == ["start_on"]
    await do(alice, "sprint.start", **here, sprint_id=bare, **DATES)
    reply = await alice.call("sprint.update", {**here, "sprint_id": bare, "end_on": None})
    assert reply.error.code == "CONFLICT", "an active one has dates"
    assert (await bob.call("sprint.complete", {**here, "sprint_id": bare})).error.code == "FORBIDDEN"
    await do(bob, "sprint.add_tasks", **here, sprint_id=bare, task_ids=[board.first])
    other = (await do(alice, "project.create", name="Bathroom")).data.project.id
    for person, project, code in (
        (alice, other, "NOT_FOUND"),
        (await world.person("mallory").connect(), other, "NOT_FOUND"),
    ):
        for call, more in (
            ("sprint.get", {}),
            ("sprint.complete", {}),
            ("sprint.add_tasks", {"task_ids": [board.first]}),
        ):
            reply = await person.call(call, {"project_id": project, "sprint_id": bare, **more})
            assert reply.error.code == code
    elsewhere = (await do(alice, "task.create", room=f"project:{other}", title="Elsewhere")).data.task.id
    reply = await alice.send("task.update", task_id=elsewhere, changes={"sprint_id": bare})
    assert reply.error.code == "NOT_FOUND", "it is of another project"
    reply = await do(
        alice, "sprint.add_tasks", **here, sprint_id=bare, task_ids=[elsewhere, board.first, board.second]
    )
    assert [one.outcome for one in reply.data.outcomes] == ["refused", "unchanged", "done"]


async def test_tasks_come_and_go_in_every_way(alice: Person, board: Board) -> None:
    here = {"project_id": board.project}
    sprint = await plan(alice, board)
    made = await do(alice, "task.create", room=board.room, title="In it", sprint_id=sprint)
    assert made.data.task.sprint_id == sprint
    await do(alice, "task.update", task_id=board.first, changes={"sprint_id": sprint})
    await do(alice, "tasks.update", **here, task_ids=board.tasks[1:3], changes={"sprint_id": sprint})
    below = await do(alice, "task.create", room=board.room, title="Below", parent_id=board.tasks[3])
    assert below.data.task.sprint_id is None, "a subtask is planned by itself"
    taken = await do(
        alice, "sprint.add_tasks", **here, sprint_id=sprint, task_ids=[board.tasks[3]], with_subtasks=True
    )
    assert taken.data.done == 2
    held = await do(alice, "sprint.tasks", **here, sprint_id=sprint, limit=4)
    rest = await do(alice, "sprint.tasks", **here, sprint_id=sprint, cursor=held.meta.pagination.next)
    assert [task.id for task in held.data.tasks + rest.data.tasks] == [
        *board.tasks[:4], made.data.task.id, below.data.task.id
    ]  # fmt: skip
    out = await do(alice, "sprint.remove_tasks", **here, sprint_id=sprint, task_ids=board.tasks)
    assert (out.data.done, out.data.unchanged) == (4, 1)
    gone = await do(alice, "task.delete", task_id=made.data.task.id)
    assert gone.success
    given_up = await do(alice, "sprint.delete", **here, sprint_id=sprint)
    assert [(task.id, task.sprint_id) for task in given_up.data.tasks] == [(below.data.task.id, None)]
    back = await do(alice, "task.restore", task_id=made.data.task.id)
    assert back.data.task.sprint_id is None, "its sprint was given up meanwhile"


async def test_load_against_capacity(world: World, alice: Person, board: Board) -> None:
    here = {"project_id": board.project}
    bob, carol = world.user_ids["bob"], world.user_ids["carol"]
    sprint = await plan(alice, board, tasks=board.tasks[:3], capacities=[{"user_id": bob, "minutes": 600}])
    await do(
        alice,
        "task.update",
        task_id=board.first,
        changes={"estimate_minutes": 100, "assignee_ids": [bob, carol]},
    )
    await do(
        alice, "task.update", task_id=board.second, changes={"estimate_minutes": 45, "assignee_ids": [bob]}
    )
    await do(alice, "task.move", task_id=board.second, column_id=board.done)
    load = (await do(alice, "sprint.get", **here, sprint_id=sprint)).data.load
    assert (load.tasks, load.minutes, load.done_tasks, load.done_minutes, load.unestimated) == (
        3,
        145,
        1,
        45,
        1,
    )
    assert load.capacity_minutes == 600, "as far as it is known of persons"
    people = {
        each.user_id: (each.tasks, each.minutes, each.done_minutes, each.capacity_minutes)
        for each in load.people
    }
    assert people == {bob: (2, 95, 45, 600), carol: (1, 50, 0, None)}
    await do(alice, "sprint.update", **here, sprint_id=sprint, capacity_minutes=480)
    assert (await do(alice, "sprint.get", **here, sprint_id=sprint)).data.load.capacity_minutes == 480


async def test_a_sprint_is_never_larger_than_an_event(world: World, alice: Person, board: Board) -> None:
    here = {"project_id": board.project}
    sprint, other = await plan(alice, board), await plan(alice, board, "Other", tasks=[board.second])
    async with world.sql() as db:
        await db.execute(
            "INSERT INTO tasks SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'number', "
            "1000 + n, 'key', 'X-' || n))).* FROM tasks AS t, generate_series(1, $2) AS n WHERE t.id = $1",
            UUID(board.first), MOST_TASKS,
        )  # fmt: skip
        ids = [
            str(row["id"])
            for row in await db.fetch("SELECT id FROM tasks WHERE number > 1000 ORDER BY number")
        ]
    filled = await do(alice, "sprint.add_tasks", **here, sprint_id=sprint, task_ids=ids)
    assert filled.data.done == MOST_TASKS
    more = await do(alice, "sprint.add_tasks", **here, sprint_id=sprint, task_ids=board.tasks[:1])
    assert more.data.outcomes[0].code == "CONFLICT"
    more = await do(alice, "tasks.update", **here, task_ids=board.tasks[:1], changes={"sprint_id": sprint})
    assert more.data.outcomes[0].code == "CONFLICT"
    assert (
        await alice.send("task.update", task_id=board.first, changes={"sprint_id": sprint})
    ).error.code == "CONFLICT"
    await do(alice, "sprint.start", **here, sprint_id=sprint)
    full = await alice.call("sprint.complete", {**here, "sprint_id": sprint, "to_sprint_id": other})
    assert (full.error.code, full.error.details.held) == ("CONFLICT", 1), (
        "the other has no room for all of them"
    )
    over = await do(alice, "sprint.complete", **here, sprint_id=sprint, carry_over="backlog")
    assert len(over.data.tasks) == MOST_TASKS

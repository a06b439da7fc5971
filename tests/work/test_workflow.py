"""The workflow: its statuses, and the rules that bind whoever changes the status of a task by whatever command."""

import asyncio
import random
from typing import Any, Final

import pytest

from tests.reducer import fold, store_of
from tests.world import Board, Person, World

NAMES: Final = ("Not started", "In progress", "On hold", "Completed", "Cancelled")


async def _set(alice: Person, world: World, **ways: Any) -> Any:
    """Rule where tasks go from a status: `Not_started=["In progress", {"to": "Completed", "roles": ["owner"]}]`."""
    transitions = []
    for name, to in ways.items():
        rules = [one if isinstance(one, dict) else {"to": one} for one in to or ()]
        named = [
            {"to_id": world.statuses[rule["to"]], **{key: rule[key] for key in rule if key != "to"}}
            for rule in rules
        ]
        transitions.append(
            {"from_id": world.statuses[name.replace("_", " ")], "to": None if to is None else named}
        )
    reply = await alice.send("workflow.set_transitions", project_id=world.project_id, transitions=transitions)
    assert reply.success, reply
    return reply.data


async def _task(alice: Person, world: World, task_id: str) -> Any:
    return (await alice.send("task.get", task_id=task_id)).data.task


async def test_every_way_to_another_status_keeps_to_the_rules(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    status = world.statuses
    await _set(alice, world, Not_started=["In progress", "On hold"])
    heard = await bob.hears("workflow.transitions_set")
    assert [to.to_id for to in heard.data.statuses[0].transitions] == [
        status["In progress"],
        status["On hold"],
    ]
    refusal = {
        "rule": "transition",
        "from": status["Not started"],
        "to": status["Completed"],
        "allowed": [status["In progress"], status["On hold"]],
        "missing": [],
    }
    moved = await bob.send("task.move", task_id=board.first, column_id=board.done)
    assert (moved.error.code, moved.error.details) == ("CONFLICT", refusal)
    updated = await bob.send(
        "task.update", task_id=board.first, changes={"status_id": status["Completed"], "priority": "low"}
    )
    assert (updated.error.code, updated.error.details) == ("CONFLICT", refusal)
    for more in ({"column_id": board.done}, {"changes": {"status_id": status["Completed"]}}):
        many = await bob.send(
            "tasks.update", project_id=board.project, task_ids=board.tasks[:2], add_tags=["x"], **more
        )
        assert [(one.outcome, one.code, one.details) for one in many.data.outcomes] == [
            ("refused", "CONFLICT", refusal)
        ] * 2
    first = await _task(alice, world, board.first)
    assert (first.version, first.status_id) == (1, status["Not started"]), "refused is untouched"
    assert (await bob.send("task.move", task_id=board.first, column_id=board.doing)).success
    assert (await bob.send("task.move", task_id=board.first, column_id=board.done)).success, "free from there"
    born = await bob.send("task.create", room=board.room, title="Done already", column_id=board.done)
    assert born.data.task.status_id == status["Completed"], "a task may begin anywhere"
    await _set(alice, world, Not_started=None)
    assert (await bob.send("task.move", task_id=board.second, column_id=board.done)).success


async def test_a_column_of_several_statuses_takes_the_one_that_may_be(
    world: World, alice: Person, board: Board
) -> None:
    await _set(alice, world, Not_started=["Cancelled"])
    moved = await alice.send("task.move", task_id=board.first, column_id=board.done)
    assert moved.data.task.status_id == world.statuses["Cancelled"]
    many = await alice.send(
        "tasks.update", project_id=board.project, task_ids=[board.second], column_id=board.done
    )
    assert many.data.done == 1
    assert (await _task(alice, world, board.second)).status_id == world.statuses["Cancelled"]
    asked = await alice.send(
        "task.move",
        task_id=board.third,
        column_id=board.done,
        status_id=world.statuses["Completed"],
    )
    assert asked.error.details.rule == "transition"
    nowhere = await alice.send(
        "task.move", task_id=board.third, column_id=board.done, status_id=world.statuses["On hold"]
    )
    assert nowhere.error.code == "CONFLICT"
    again = await alice.send(
        "task.move", task_id=board.first, column_id=board.done, status_id=world.statuses["Completed"]
    )
    assert again.data.task.status_id == world.statuses["Completed"], "from a status that rules nothing"
    assert again.data.was.status_id == world.statuses["Cancelled"]


async def test_who_may_and_what_it_takes(world: World, alice: Person, bob: Person, board: Board) -> None:
    status = world.statuses
    await _set(
        alice,
        world,
        Not_started=[
            {"to": "Completed", "roles": ["owner", "manager"]},
            {"to": "On hold", "roles": ["manager"], "user_ids": [world.user_ids["bob"]]},
            {"to": "In progress", "required_fields": ["assignee_ids", "due_at"]},
        ],
    )
    refused = await bob.send("task.move", task_id=board.first, column_id=board.done)
    assert refused.error.details.rule == "transition_permission"
    assert refused.error.details.allowed == [status["On hold"], status["In progress"]], "what bob may"
    assert (await alice.send("task.move", task_id=board.first, column_id=board.done)).success
    assert (await bob.send("task.move", task_id=board.second, column_id=board.hold)).success
    lacking = await bob.send("task.move", task_id=board.third, column_id=board.doing)
    assert (lacking.error.details.rule, lacking.error.details.missing) == (
        "required_fields",
        ["assignee_ids", "due_at"],
    )
    given = {
        "status_id": status["In progress"],
        "assignee_ids": [world.user_ids["bob"]],
        "due_at": "2026-12-24T10:00:00Z",
    }
    at_once = await bob.send("task.update", task_id=board.third, changes=given)
    assert at_once.data.task.column_id == board.doing, "what comes with the same change counts"


async def test_a_status_asks_for_fields_from_everywhere(world: World, alice: Person, board: Board) -> None:
    needs = await alice.send(
        "status.update", status_id=world.statuses["In progress"], required_fields=["estimate_minutes"]
    )
    assert needs.success
    for name, payload in (
        ("task.move", {"task_id": board.first, "column_id": board.doing}),
        ("task.create", {"room": board.room, "title": "x", "column_id": board.doing}),
        ("task.update", {"task_id": board.first, "changes": {"status_id": world.statuses["In progress"]}}),
    ):
        reply = await alice.call(name, payload)
        assert (reply.error.code, reply.error.details.missing) == ("CONFLICT", ["estimate_minutes"]), name
    assert (
        await alice.send("task.create", room=board.room, title="x", column_id=board.doing, estimate_minutes=5)
    ).success
    wrong = await alice.send(
        "status.update", status_id=world.statuses["In progress"], required_fields=["title"]
    )
    assert wrong.error.code == "VALIDATION_ERROR"


async def test_a_field_of_ones_own_may_be_needed(world: World, alice: Person, board: Board) -> None:
    asks = {"status_id": world.statuses["In progress"], "required_fields": ["fields.size"]}
    unknown = await alice.call("status.update", asks)
    assert list(unknown.error.field_errors) == ["required_fields"]
    field = {"key": "size", "name": "Size", "type": "select", "options": ["S", "M"]}
    assert (await alice.call("field.create", {"project_id": board.project, **field})).success
    assert (await alice.call("status.update", asks)).success
    for name, payload in (
        ("task.move", {"task_id": board.first, "column_id": board.doing}),
        ("task.create", {"room": board.room, "title": "x", "column_id": board.doing}),
        ("task.update", {"task_id": board.first, "changes": {"status_id": asks["status_id"]}}),
    ):
        reply = await alice.call(name, payload)
        assert (reply.error.code, reply.error.details.missing) == ("CONFLICT", ["fields.size"]), name
    sized = {"room": board.room, "title": "x", "column_id": board.doing, "fields": {"size": "S"}}
    assert (await alice.call("task.create", sized)).success
    assert (await alice.send("task.update", task_id=board.first, changes={"fields": {"size": "M"}})).success
    assert (await alice.send("task.move", task_id=board.first, column_id=board.doing)).success


async def test_a_status_comes_changes_and_goes(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    made = await alice.send(
        "status.create",
        project_id=board.project,
        name="In review",
        category="in_progress",
        column_id=board.doing,
    )
    heard = await bob.hears("status.created")
    assert heard.data == made.data
    assert made.data.column.status_ids == [world.statuses["In progress"], made.data.status.id]
    taken = await alice.send("status.create", project_id=board.project, name="in REVIEW", category="todo")
    assert list(taken.error.field_errors) == ["name"]
    review = made.data.status.id
    assert (await alice.send("task.update", task_id=board.first, changes={"status_id": review})).success
    assert (await _task(alice, world, board.first)).column_id == board.doing
    first = await alice.send("status.move", status_id=review, before_id=world.statuses["Not started"])
    assert first.data.was.position > first.data.status.position
    held = await alice.send("status.delete", status_id=review)
    assert (held.error.code, held.error.details) == ("CONFLICT", {"held": 1})
    gone = await alice.send("status.delete", status_id=review, replace_with=world.statuses["Completed"])
    assert gone.data.columns[0].status_ids == [world.statuses["In progress"], world.statuses["Completed"]]
    told = await bob.hears("tasks.updated")
    assert told.data.tasks[0].status_id == world.statuses["Completed"]
    task = await _task(alice, world, board.first)
    assert (task.column_id, task.completed_at is not None) == (board.doing, True), "it stays where it lies"


async def test_the_meaning_of_a_status_is_that_of_its_tasks(
    world: World, alice: Person, board: Board
) -> None:
    changed = await alice.send("status.update", status_id=world.statuses["Not started"], category="done")
    assert changed.success, changed
    listed = await alice.send("task.list", project_id=board.project, open=False)
    assert [task.id for task in listed.data.tasks] == board.tasks


async def test_a_status_in_use_elsewhere_is_let_go_of(world: World, alice: Person, board: Board) -> None:
    """Columns, transitions and tasks in the trash never speak of a status that is no more."""
    old = await alice.snapshot(board.room)
    await _set(alice, world, In_progress=["On hold", "Completed"])
    await alice.send("task.move", task_id=board.first, column_id=board.hold)
    await alice.send("task.delete", task_id=board.first)
    alone = await alice.send("status.delete", status_id=world.statuses["On hold"])
    assert alone.error.details.column_ids == [board.hold]
    assert (
        await alice.send(
            "status.delete", status_id=world.statuses["On hold"], replace_with=world.statuses["Not started"]
        )
    ).success
    fresh = await alice.snapshot(board.room)
    asked = await alice.rest("GET", f"/rooms/{board.room}/events", params={"since": old.seq, "limit": 100})
    assert fold(store_of(old.snapshot), asked.data.events) == store_of(fresh.snapshot)
    restored = await alice.send("task.restore", task_id=board.first)
    assert restored.data.task.status_id == world.statuses["Not started"]
    for name in NAMES[1:]:
        if name == "On hold":
            continue
        await alice.send(
            "status.delete", status_id=world.statuses[name], replace_with=world.statuses["Not started"]
        )
    last = await alice.send("status.delete", status_id=world.statuses["Not started"])
    assert (last.error.code, last.error.message) == ("CONFLICT", "A workflow keeps one status")


async def test_whose_project_it_is(world: World, alice: Person, bob: Person, board: Board) -> None:
    other = await alice.send("project.create", name="Attic")
    theirs = (await alice.snapshot(f"project:{other.data.project.id}")).snapshot.statuses
    mixed = [{"from_id": world.statuses["On hold"], "to": [{"to_id": theirs[0].id}]}]
    reply = await alice.send("workflow.set_transitions", project_id=board.project, transitions=mixed)
    assert reply.error.code == "NOT_FOUND"
    reply = await alice.send("status.delete", status_id=world.statuses["On hold"], replace_with=theirs[0].id)
    assert reply.error.code == "NOT_FOUND"
    refused = await bob.send("status.update", status_id=world.statuses["On hold"], name="Mine")
    assert refused.error.code == "FORBIDDEN"


@pytest.mark.parametrize("seed", range(4))
async def test_random_ways_are_those_of_the_model(
    world: World, alice: Person, bob: Person, board: Board, seed: int
) -> None:
    """Random rules, random steps by every command, some of them at once: what is allowed is what a plain dict says."""
    chance = random.Random(seed)
    rules = {
        name: None
        if chance.random() < 0.3
        else chance.sample([o for o in NAMES if o != name], chance.randint(0, 3))
        for name in NAMES
    }
    await _set(alice, world, **{name.replace(" ", "_"): to for name, to in rules.items()})
    model = dict.fromkeys(board.tasks, "Not started")
    names = {status_id: name for name, status_id in world.statuses.items()}
    columns = {"Not started": board.todo, "In progress": board.doing, "On hold": board.hold}
    for _ in range(12):
        wanted = {task_id: chance.choice(NAMES) for task_id in chance.sample(board.tasks, 3)}
        sent = []
        for task_id, to in wanted.items():
            status = world.statuses[to]
            column = columns.get(to, board.done)
            name, payload = chance.choice(
                [
                    ("task.move", {"task_id": task_id, "column_id": column, "status_id": status}),
                    ("task.update", {"task_id": task_id, "changes": {"status_id": status}}),
                    (
                        "tasks.update",
                        {
                            "project_id": board.project,
                            "task_ids": [task_id],
                            "changes": {"status_id": status},
                        },
                    ),
                ]
            )
            sent.append(await chance.choice([alice, bob]).post(name, payload))
        for (task_id, to), reply in zip(wanted.items(), await asyncio.gather(*sent), strict=True):
            now = model[task_id]
            ways = rules[now]
            may = to == now or ways is None or to in ways
            refused = not reply.success or reply.data.get("refused", 0)
            assert bool(refused) is not may, (now, to, rules[now], reply)
            model[task_id] = to if may else now
    tasks = (await alice.snapshot(board.room)).snapshot.tasks
    assert {task.id: names[task.status_id] for task in tasks} == model


async def test_a_copy_has_what_its_status_asks_for(world: World, alice: Person, board: Board) -> None:
    asks = {"status_id": world.statuses["Not started"], "required_fields": ["due_at"]}
    assert (await alice.call("status.update", asks)).success
    copy = {"project_id": board.project, "task_id": board.first}
    refused = await alice.call("task.copy", copy)
    assert (refused.error.code, refused.error.details.missing) == ("CONFLICT", ["due_at"])
    changes = {"due_at": "2150-01-01T00:00:00Z"}
    assert (await alice.send("task.update", task_id=board.first, changes=changes)).success
    assert (await alice.call("task.copy", copy)).success
    undated = await alice.call("task.copy", {**copy, "include": ["subtasks"]})
    assert undated.error.details.missing == ["due_at"], "it leaves its dates behind"


async def test_so_many_tasks_at_rest_keep_a_status_what_it_is(
    world: World, alice: Person, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.work.projects.workflow.MOST_STORED", 1)
    begun, status = world.statuses["In progress"], world.statuses["Not started"]
    assert (await alice.send("task.archive", task_id=board.first)).success
    assert (await alice.send("status.update", status_id=status, category="done")).success
    assert (await alice.send("status.update", status_id=status, category="todo")).success
    assert (await alice.send("task.delete", task_id=board.second)).success
    for name, payload in (
        ("status.update", {"status_id": status, "category": "done"}),
        ("status.delete", {"status_id": status, "replace_with": begun}),
    ):
        refused = await alice.call(name, payload)
        assert (refused.error.code, refused.error.details) == ("CONFLICT", {"most": 1, "held": 2}), name

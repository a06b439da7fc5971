"""Undo and history: what one did comes back as it was, what others did since stays, and the log says who did what."""

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from handlers.work import positions
from handlers.work.past.history import Change, derive
from handlers.work.planning.sprint_facts import MOST_TASKS
from storage.rooms import timestamp
from tests.contract.examples import TEMPLATE
from tests.reducer import fold, store_of
from tests.world import Board, Person, World

SEEDS, STEPS = 3, 50
KINDS = ["update", "update", "move", "many", "create", "delete", *["undo"] * 4, *["redo"] * 2]
AGAIN = (
    "title",
    "priority",
    "tags",
    "due_at",
    "assignee_ids",
    "column_id",
    "status_id",
    "completed_at",
    "removed",
)
"""Fields of a task that undo brings back exactly."""


async def _tasks(person: Person, room: str) -> dict[str, Any]:
    return {task.id: task for task in (await person.snapshot(room)).snapshot.tasks}


async def _order(person: Person, room: str) -> dict[str, list[str]]:
    """Each column's cards in their order."""
    columns: dict[str, list[Any]] = defaultdict(list)
    for task in (await _tasks(person, room)).values():
        columns[task.column_id].append(task)
    return {
        column: [task.id for task in sorted(held, key=lambda task: (task.position, task.id))]
        for column, held in columns.items()
    }


async def _undo(person: Person, board: Board, **more: Any) -> Any:
    return await person.send("history.undo", project_id=board.project, **more)


async def _redo(person: Person, board: Board, **more: Any) -> Any:
    return await person.send("history.redo", project_id=board.project, **more)


async def test_a_move_goes_back_between_its_neighbours(alice: Person, bob: Person, board: Board) -> None:
    before = await _order(alice, board.room)
    await bob.join(board.room)
    assert (await alice.send("task.move", task_id=board.tasks[1], column_id=board.done)).success
    moved = await bob.hears("task.moved")
    assert moved.data.task.completed_at
    reply = await _undo(alice, board)
    assert reply.success, reply
    heard = await bob.hears("task.moved", seq=reply.meta.seq)
    assert (heard.data.task.column_id, heard.data.task.completed_at) == (board.todo, None)
    assert await _order(alice, board.room) == before
    [entry] = reply.data.change.entries
    assert entry.text == "Alice moved KIT-2 from To do to Done"
    assert (reply.data.can_undo, reply.data.can_redo, reply.data.left) == (True, True, [])
    again = await _redo(alice, board)
    assert again.success, again
    task = (await _tasks(alice, board.room))[board.tasks[1]]
    assert (task.column_id, task.completed_at) == (board.done, moved.data.task.completed_at), (
        "done since then"
    )
    nothing = await _redo(alice, board)
    assert (nothing.error.code, nothing.error.details.reason) == ("CONFLICT", "nothing")


async def test_what_somebody_else_has_changed_since_stays(alice: Person, bob: Person, board: Board) -> None:
    task = {"task_id": board.first}
    await alice.send("task.update", **task, changes={"title": "Mine", "priority": "high"})
    await bob.send("task.update", **task, changes={"title": "Yours", "due_at": "2026-12-24T10:00:00Z"})
    refused = await _undo(alice, board)
    assert refused.error.code == "CONFLICT"
    assert "Bob has changed KIT-1 (title) since" in refused.error.message
    [conflict] = refused.error.details.conflicts
    assert (conflict.fields, conflict.current, conflict.by.name) == (["title"], {"title": "Yours"}, "Bob")
    assert (await _tasks(alice, board.room))[board.first].priority == "high", "all of it or nothing"
    assert (await _undo(bob, board)).success
    assert (await _undo(alice, board)).success, "the title is again what she left"
    found = (await _tasks(alice, board.room))[board.first]
    assert (found.title, found.priority, found.due_at) == ("Measure the walls", "medium", None)
    assert (await _redo(bob, board)).error.details.conflicts[0].fields == ["title"]


async def test_it_is_the_same_after_a_reload_and_with_other_hands(world: World, board: Board) -> None:
    first, second = world.person("alice"), world.person("alice")
    for title in ("One", "Two"):
        changes = {"title": title}
        assert (await first.send("task.update", task_id=board.first, changes=changes)).success
    await first.disconnect()
    stack = await second.send("history.stack", project_id=board.project)
    assert stack.data.undo[0].entries[0].text == "Alice renamed KIT-1 from One to Two"
    for at, title in enumerate(("One", "Measure the walls")):
        assert (await _undo(second, board, change_id=stack.data.undo[at].command_id)).success
        assert (await _tasks(second, board.room))[board.first].title == title
    await second.disconnect()
    third = world.person("alice")
    shown = await third.send("history.stack", project_id=board.project)
    assert [len(shown.data.undo), len(shown.data.redo)] == [len(stack.data.undo) - 2, 2]
    wrong = await _redo(third, board, change_id=stack.data.undo[0].command_id)
    assert wrong.error.details.reason == "another"
    assert (await _redo(third, board)).data.change.command_id == stack.data.undo[1].command_id
    await third.send("task.update", task_id=board.first, changes={"title": "Three"})
    assert (await third.send("history.stack", project_id=board.project)).data.redo == [], "as in any editor"


async def test_undo_right_behind_a_change_is_about_that_change(alice: Person, board: Board) -> None:
    waiting = []
    for number in range(5):
        waiting.append(
            await alice.post("task.move", {"task_id": board.tasks[number], "column_id": board.doing})
        )
        waiting.append(await alice.post("history.undo", {"project_id": board.project}))
    replies = [await reply for reply in waiting]
    assert all(reply.success for reply in replies), replies
    assert [one.data.change.entries[0].subject.id for one in replies[1::2]] == board.tasks


async def test_of_one_task_alone(alice: Person, board: Board) -> None:
    await alice.send("task.update", task_id=board.first, changes={"title": "First"})
    await alice.send("task.update", task_id=board.second, changes={"title": "Second"})
    assert (await alice.send("history.undo", task_id=board.first)).success
    tasks = await _tasks(alice, board.room)
    assert (tasks[board.first].title, tasks[board.second].title) == ("Measure the walls", "Second")
    assert (await alice.send("history.redo", task_id=board.second)).error.details.reason == "nothing"
    assert (await alice.send("history.redo", task_id=board.first)).success


async def test_many_at_once_go_back_together(alice: Person, bob: Person, board: Board) -> None:
    below = await alice.send("task.create", room=board.room, title="Below", parent_id=board.first)
    await alice.send("dependency.add", task_id=board.third, depends_on_id=board.first)
    await alice.send("task.update", task_id=board.second, changes={"assignee_ids": [alice.id]})
    before, order = await _tasks(alice, board.room), await _order(alice, board.room)
    await bob.join(board.room)
    many = {"project_id": board.project, "task_ids": board.tasks[:4]}
    await alice.send("tasks.update", **many, column_id=board.done, add_tags=["done"])
    await alice.send("tasks.delete", **many)
    assert (await _undo(alice, board)).success
    back = await bob.hears("tasks.restored")
    assert {task.id for task in back.data.tasks} == {*board.tasks[:4], below.data.task.id}
    assert len(back.data.dependencies) == 1
    await alice.send("task.create", room=board.room, title="In between")
    assert (
        await alice.send("task.delete", task_id=(await _order(alice, board.room))[board.todo][-1])
    ).success
    for _ in range(3):  # the deletion, the creation, and what was done to many
        assert (await _undo(alice, board)).success
    assert await _order(alice, board.room) == order
    after = await _tasks(alice, board.room)
    assert {one: after[one].tags for one in before} == {one: before[one].tags for one in before}
    assert after[board.second].assignee_ids == before[board.second].assignee_ids
    await bob.send("task.update", task_id=board.third, changes={"tags": ["his"]})
    refused = await _redo(alice, board)
    assert [one.fields for one in refused.error.details.conflicts] == [["tags"]]
    assert await _order(alice, board.room) == order


async def test_rules_and_rights_hold_as_ever(world: World, alice: Person, bob: Person, board: Board) -> None:
    assert (await bob.send("task.move", task_id=board.first, column_id=board.doing)).success
    assert (await alice.send("column.set_limit", column_id=board.todo, limit=4)).success
    full = await alice.send("task.move", task_id=board.second, column_id=board.done)
    await alice.send("task.create", room=board.room, title="One more")
    assert full.success
    refused = await _undo(bob, board)
    assert (refused.error.code, refused.error.details.held) == ("CONFLICT", 4)
    made = await bob.send("task.create", room=board.room, column_id=board.hold, title="His")
    denied = await alice.send("member.update", user_id=world.user_ids["bob"], denied=["task.delete"])
    assert denied.success
    lacking = await _undo(bob, board)
    assert (lacking.error.code, lacking.error.details.permission) == ("FORBIDDEN", "task.delete")
    assert made.data.task.id in await _tasks(alice, board.room)
    assert (
        await (await world.person("viewer").connect()).send("history.undo", room=board.room)
    ).error.code == ("FORBIDDEN")


async def test_what_others_built_on_is_not_taken_away(alice: Person, bob: Person, board: Board) -> None:
    made = (await alice.send("task.create", room=board.room, title="New")).data.task.id
    below = await bob.send("task.create", room=board.room, title="Below", parent_id=made)
    refused = await _undo(alice, board)
    assert refused.error.details.conflicts[0].task.id == below.data.task.id
    await bob.send("task.delete", task_id=below.data.task.id)
    comment = await bob.send("comment.add", task_id=made, body="Look")
    assert (await _undo(alice, board)).error.details.conflicts[0].event == "comment.added"
    assert comment.success
    await alice.send("task.update", task_id=board.second, changes={"title": "Mine"})
    await bob.send("task.delete", task_id=board.second)
    gone = await _undo(alice, board)
    assert gone.error.details.conflicts[0].current == {"removed": True}


async def test_dependencies_columns_and_boards(alice: Person, bob: Person, board: Board) -> None:
    async def state() -> Any:
        snapshot = (await alice.snapshot(board.room)).snapshot
        columns = sorted(snapshot.columns, key=lambda column: column.position)
        return (
            [(one.id, one.name, one.wip_limit, one.status_ids) for one in columns],
            snapshot.boards[0].name,
            [(one.id, one.type, one.lag_minutes) for one in snapshot.dependencies],
        )

    states = [await state()]
    edge = {"task_id": board.second, "depends_on_id": board.first}
    made = (await alice.send("dependency.add", **edge)).data.dependency.id
    steps: list[tuple[str, Any]] = [
        ("dependency.update", {"task_id": board.second, "dependency_id": made, "lag_minutes": 60}),
        ("dependency.remove", {"task_id": board.second, "dependency_id": made}),
        ("column.update", {"column_id": board.doing, "name": "Doing"}),
        ("column.set_limit", {"column_id": board.doing, "limit": 3}),
        ("column.move", {"column_id": board.done, "before_id": board.todo}),
        ("column.create", {"board_id": board.id, "name": "Later"}),
        ("column.delete", {"column_id": board.hold}),
        ("board.update", {"board_id": board.id, "name": "Wall"}),
    ]
    for name, payload in steps:
        states.append(await state())
        reply = await alice.send(name, **payload)
        assert reply.success, reply
    states.append(await state())
    for was in reversed(states[:-1]):
        reply = await _undo(alice, board)
        assert reply.success, reply
        assert await state() == was, reply.data.change.entries[0].text
    for now in states[1:]:
        reply = await _redo(alice, board)
        assert reply.success, reply
        assert await state() == now, reply.data.change.entries[0].text
    manager = await alice.world.person("manager").connect()
    assert (await manager.send("board.update", board_id=board.id, name="Other")).success
    refused = await _undo(alice, board)
    assert (refused.error.details.conflicts[0].fields, refused.error.details.conflicts[0].by.name) == (
        ["name"],
        "Manager",
    )


async def test_the_history_has_old_and_new_values(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    await alice.send("task.update", task_id=board.first, changes={"title": "Mine"})
    await bob.send("tasks.update", project_id=board.project, task_ids=board.tasks[:2], add_tags=["his"])
    page = await alice.send("history.list", task_id=board.first)
    bulk, single, created = page.data.history
    assert bulk["values"] == [
        {"type": "task", "id": board.first, "was": {"tags": []}, "now": {"tags": ["his"]}}
    ]
    assert (single["values"][0].was, single["values"][0].now) == (
        {"title": "Measure the walls"},
        {"title": "Mine"},
    )
    assert (created.event, created.actor.name) == ("task.created", "Alice")
    his = await alice.send("history.list", project_id=board.project, user_id=world.user_ids["bob"])
    assert [one.event for one in his.data.history] == ["tasks.updated"]
    seen: list[int] = []
    cursor = None
    while True:
        page = await bob.send("history.list_all", user_id=world.user_ids["alice"], limit=3, cursor=cursor)
        seen += [entry.seq for entry in page.data.history if entry.room == board.room]
        cursor = page.meta.pagination.next
        if cursor is None:
            break
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == 6


# The model: two people at random.


@dataclass
class Step:
    """A change that the model remembers: the fields of each task before and after."""

    fields: dict[tuple[str, str], tuple[Any, Any]]
    moved: set[str]
    at: int


@dataclass
class Model:
    """Who changed which field last and when, and what each person can take back."""

    clock: int = 0
    touched: dict[tuple[str, str], dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    undo: dict[str, list[Step]] = field(default_factory=lambda: defaultdict(list))
    redo: dict[str, list[Step]] = field(default_factory=lambda: defaultdict(list))

    def did(self, who: str, old: dict[str, Any], new: dict[str, Any], moved: set[str]) -> Step:
        """Take note of a change."""
        self.clock += 1
        fields = {
            (task, name): (old[task][name] if task in old else None, new[task][name])
            for task in new
            for name in AGAIN
            if task not in old or old[task][name] != new[task][name]
        }
        for key in [*fields, *((task, "position") for task in moved)]:
            self.touched[key][who] = self.clock
        return Step(fields, moved, self.clock)

    def again(self, who: str, step: Step) -> Step:
        """Take note of a step back or forth."""
        self.clock += 1
        for key in [*step.fields, *((task, "position") for task in step.moved)]:
            self.touched[key][who] = self.clock
        return Step(step.fields, step.moved, self.clock)

    def clashes(self, who: str, step: Step, now: dict[str, Any], *, back: bool) -> bool:
        """Whether somebody else has changed the same since, and it is not what the step left."""

        def foreign(key: tuple[str, str]) -> bool:
            return any(at > step.at for other, at in self.touched[key].items() if other != who)

        whole = {task for (task, name), pair in step.fields.items() if name == "removed" and None in pair}
        gone = {
            task
            for (task, name), pair in step.fields.items()
            if name == "removed" and pair[1 if back else 0] is False
        }
        for task in whole & gone if back else gone:
            if any(foreign((task, name)) for name in (*AGAIN, "position")):
                return True
        for (task, name), pair in step.fields.items():
            if task in whole:
                continue
            left = pair[1 if back else 0]
            if foreign((task, name)) and now[task][name] != left:
                return True
            if name != "removed" and foreign((task, "removed")) and now[task]["removed"]:
                return True
        return any(
            foreign((task, "position")) or (now[task]["removed"] and foreign((task, "removed")))
            for task in step.moved - whole
        )


async def _fields(world: World, room: str) -> dict[str, Any]:
    """All tasks that ever were, by their fields."""
    async with world.sql() as db:
        rows = await db.fetch("SELECT * FROM tasks WHERE project_id = $1::uuid", room[8:])
    return {
        str(row["id"]): {
            **{name: row[name] for name in AGAIN[:-1]},
            "completed_at": row["completed_at"] and timestamp(row["completed_at"]),
            "removed": row["deleted_at"] is not None,
        }
        for row in rows
    }


async def test_two_people_at_random(world: World) -> None:
    """Undo refuses exactly what somebody else has changed since, and brings back everything else as it was."""
    people = {name: await world.person(name).connect() for name in ("manager", "bob")}
    counts = {"done": 0, "refused": 0}
    for seed in range(SEEDS):
        made = await people["manager"].send("project.create", name=f"Random {seed}")
        room = f"project:{made.data.project.id}"
        columns = [column.id for column in (await people["bob"].snapshot(room)).snapshot.columns]
        play = Play(world, room, columns, random.Random(seed), counts)
        for _ in range(STEPS):
            name = play.chance.choice(list(people))
            await play.turn(name, people[name])
    assert counts["done"] >= 20, counts
    assert counts["refused"] >= 2, counts


@dataclass
class Play:
    """A project in which two people do something at random, and a model of what they can take back."""

    world: World
    room: str
    columns: list[str]
    chance: random.Random
    counts: dict[str, int]
    model: Model = field(default_factory=Model)

    async def turn(self, who: str, person: Person) -> None:
        kind = self.chance.choice(KINDS)
        old = await _fields(self.world, self.room)
        if kind in ("undo", "redo"):
            await self.step(who, person, old, back=kind == "undo")
            return
        standing = [task for task, fields in old.items() if not fields["removed"]]
        moved = await self.act(person, kind, standing)
        if moved is not None:
            self.model.redo[who].clear()
            self.model.undo[who].append(self.model.did(who, old, await _fields(self.world, self.room), moved))

    async def step(self, who: str, person: Person, old: dict[str, Any], *, back: bool) -> None:
        stack, other = (self.model.undo, self.model.redo) if back else (self.model.redo, self.model.undo)
        reply = await person.send("history.undo" if back else "history.redo", room=self.room)
        new = await _fields(self.world, self.room)
        if not stack[who]:
            assert reply.error.details.reason == "nothing", reply
            return
        step = stack[who][-1]
        expected = self.model.clashes(who, step, old, back=back)
        assert reply.success is not expected, (who, back, step, reply)
        self.counts["refused" if expected else "done"] += 1
        if expected:
            assert new == old
            return
        for (task, name), pair in step.fields.items():
            if not new[task]["removed"] or name == "removed":
                wanted = pair[0 if back else 1]
                assert new[task][name] == (True if name == "removed" and wanted is None else wanted), (
                    task,
                    name,
                )
        other[who].append(self.model.again(who, stack[who].pop()))

    async def act(self, person: Person, kind: str, standing: list[str]) -> set[str] | None:
        """Something to do; the tasks that it puts elsewhere, or None where it changed nothing."""
        chance = self.chance
        if kind == "create" or len(standing) < 2:
            assert (await person.send("task.create", room=self.room, title=f"New {chance.random()}")).success
            return set()
        task = chance.choice(standing)
        before = (await person.send("task.get", task_id=task)).data.task
        moved: set[str] = set()
        if kind == "update":
            changes = chance.choice([
                {"title": f"Title {chance.random()}"}, {"due_at": f"20{chance.randrange(27, 99)}-12-24T10:00:00Z"},
                {"priority": "low" if before.priority != "low" else "high", "tags": [f"tag{chance.random()}"]},
            ])  # fmt: skip
            reply = await person.send("task.update", task_id=task, changes=changes)
        elif kind == "move":
            column = chance.choice([one for one in self.columns if one != before.column_id])
            reply, moved = await person.send("task.move", task_id=task, column_id=column), {task}
        elif kind == "many":
            ids = chance.sample(standing, 2)
            reply = await person.send("tasks.update", room=self.room, project_id=self.room[8:], task_ids=ids,
                                      add_tags=[f"many{chance.random()}"])  # fmt: skip
        else:
            reply = await person.send("task.delete", task_id=task)
        assert reply.success, reply
        return moved


def _change(first: int, *, counts: bool = True) -> Change:
    return Change(first, first, positions.__name__, counts)  # type: ignore[arg-type]  # the id says nothing here


def test_the_stack_is_that_of_any_editor() -> None:
    """One, two, three; back, back, forth; back; then something new."""

    def step(seq: int, kind: str, target: int | None) -> dict[str, Any]:
        return {"seq": seq, "kind": kind, "target_seq": target}

    steps = [step(4, "undo", 3), step(5, "undo", 2), step(6, "redo", 2), step(7, "undo", 2)]
    seen = [_change(seq) for seq in range(7, 0, -1)]
    stack = derive(seen, steps)
    assert [change.first for change in stack.undo] == [1]
    assert [change.first for change in stack.redo] == [2, 3]
    later = derive([_change(8), *seen], steps)
    assert ([change.first for change in later.undo], later.redo) == ([8, 1], [])
    at_night = derive([_change(8), *seen], [*steps, step(8, "alarm", None)])
    assert (at_night.undo, at_night.redo) == (stack.undo, stack.redo), (
        "what the server does is no change of hers"
    )


async def test_many_come_back_within_the_rules_of_one(world: World, alice: Person, board: Board) -> None:
    """A sprint holds no more than it may, and values are those that their fields still have."""
    here = {"project_id": board.project, "task_ids": board.tasks[:2]}
    fields: list[dict[str, Any]] = [
        {"key": "size", "name": "Size", "type": "select", "applies_to": "task", "options": ["S", "M"]},
        {"key": "hours", "name": "Hours", "type": "number", "applies_to": "task"},
        {"key": "cost", "name": "Cost", "type": "formula", "applies_to": "task", "formula": "hours * 10"},
    ]  # fmt: skip
    assert (await alice.send("tenant.update_settings", room=world.tenant, custom_fields=fields)).success
    for values in ({"size": "S", "hours": 1}, {"size": "M", "hours": 2}):
        assert (await alice.call("tasks.update", {**here, "changes": {"fields": values}})).data.done == 2
    assert (await _undo(alice, board)).success
    assert (await _tasks(alice, board.room))[board.first].fields == {"size": "S", "hours": 1, "cost": 10}
    assert (await _redo(alice, board)).success
    fields[0]["options"] = ["M", "L"]
    assert (await alice.send("tenant.update_settings", room=world.tenant, custom_fields=fields)).success
    refused = await _undo(alice, board)
    assert (refused.error.code, list(refused.error.field_errors)) == ("CONFLICT", ["fields.size"])
    await alice.send("task.update", task_id=board.third, changes={"fields": {"hours": 3}})
    await alice.send("task.update", task_id=board.third, changes={"fields": {"hours": 4}})
    assert (await _undo(alice, board)).success
    assert (await _tasks(alice, board.room))[board.third].fields == {"hours": 3, "cost": 30}
    assert (await _undo(alice, board)).success
    sprint = (await alice.send("sprint.create", project_id=board.project, name="First")).data.sprint.id
    for to in (sprint, None):
        assert (await alice.call("tasks.update", {**here, "changes": {"sprint_id": to}})).data.done == 2
    for held, fits in ((MOST_TASKS - 1, False), (MOST_TASKS - 2, True)):
        async with world.sql() as db:
            await db.execute("DELETE FROM tasks WHERE number > 100")
            await db.execute(
                "INSERT INTO tasks SELECT (t).* FROM (SELECT jsonb_populate_record(t, jsonb_build_object("
                "'id', gen_random_uuid(), 'number', 100 + n, 'key', 'KIT-' || 100 + n, 'sprint_id', $2::uuid)) AS t "
                "FROM tasks AS t, generate_series(1, $3) AS n WHERE t.id = $1) AS made",
                board.third, sprint, held,
            )  # fmt: skip
        step = await _undo(alice, board)
        assert step.success is fits, step
        assert fits or step.error.details.limit == MOST_TASKS


async def test_all_that_rules_have_made_goes_with_a_task(alice: Person, board: Board) -> None:
    then = [{"do": "create_task", "title": title} for title in ("Clean", "Dry")]
    rule = {"room": board.room, "name": "After it", "when": {"on": "task.created"}, "then": then}
    assert (await alice.call("rule.create", rule)).success
    before = set(await _tasks(alice, board.room))
    assert (await alice.send("task.create", room=board.room, title="Plaster")).success
    made = await _tasks(alice, board.room)
    assert len(made) == len(before) + 3
    assert (await _undo(alice, board)).success
    assert set(await _tasks(alice, board.room)) == before
    assert (await _redo(alice, board)).success
    assert set(await _tasks(alice, board.room)) == set(made)


async def test_what_was_in_the_archive_is_there_again(alice: Person, bob: Person, board: Board) -> None:
    first, second = board.first, board.second
    below = (await alice.send("task.create", room=board.room, title="Below", parent_id=second)).data.task.id
    for task in (first, below):
        assert (await alice.send("task.archive", task_id=task)).success
    start = await bob.snapshot(board.room)
    some = {"project_id": board.project, "task_ids": [first, second]}
    for name, payload in (
        ("task.delete", {"task_id": first}), ("task.delete", {"task_id": second}), ("tasks.delete", some),
    ):  # fmt: skip
        assert (await alice.call(name, payload)).success
        undone = await _undo(alice, board)
        assert undone.success, undone
        shown = await bob.snapshot(board.room)
        assert set(await _tasks(bob, board.room)) == {*board.tasks} - {first}
        heard = await bob.rest("GET", f"/rooms/{board.room}/events", params={"since": start.seq})
        assert fold(store_of(start.snapshot), heard.data.events) == store_of(shown.snapshot)
        for task in (first, below):
            assert (await bob.send("task.get", task_id=task)).data.task.archived_at is not None
        assert (await _redo(alice, board)).success
        assert (await _undo(alice, board)).success
    assert (await alice.send("task.unarchive", task_id=below)).success


async def test_a_column_comes_back_to_a_board_that_stands(alice: Person, board: Board) -> None:
    made = await alice.send("board.create", room=board.room, name="Second", like_id=board.id)
    second, column_id = made.data.board.id, made.data.columns[-1].id
    assert (await alice.send("column.delete", column_id=column_id)).success
    manager = await alice.world.person("manager").connect()
    gone = await manager.send("board.delete", board_id=second)
    assert gone.success, gone
    refused = await _undo(alice, board)
    assert (refused.error.code, refused.error.details.reason) == ("CONFLICT", "not_found")


async def test_checklists_labels_and_the_backlog(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    """Each change goes back and comes again, and what others see is what there is."""
    label = await alice.send("label.create", room=board.room, name="Wet", colour="#3b5bdb")
    marked = {"label_ids": [label.data.label.id]}
    assert (await alice.send("task.update", task_id=board.second, changes=marked)).success
    task = {"task_id": board.first}
    made = (
        await alice.send("checklist.create", **task, name="Before", items=["Tape", "Cover", "Sweep"])
    ).data
    tape, cover, sweep = [item.id for item in made.checklist_items]
    later = (await alice.send("checklist.create", **task, name="After")).data.checklist.id
    before = {**task, "checklist_id": made.checklist.id}

    async def state() -> Any:
        snapshot = (await alice.snapshot(board.room)).snapshot
        lists = (await alice.send("checklist.list", **task)).data
        backlog = (await alice.send("backlog.list", project_id=board.project)).data.tasks
        return (
            [(one.id, one.name, one.colour) for one in snapshot.labels],
            {one.id: (one.label_ids, one.checklist_total, one.checklist_done) for one in snapshot.tasks},
            [(one.id, one.name) for one in lists.checklists],
            sorted((one.checklist_id, one.position, one.id, one.text, one.done_at, one.done_by) for one in lists.checklist_items),
            [one.id for one in backlog],
        )  # fmt: skip

    states: list[Any] = []
    steps: list[tuple[str, Any]] = [
        ("checklist.tick", {**task, "item_id": tape}), ("checklist.untick", {**task, "item_id": tape}),
        ("checklist.update_item", {**task, "item_id": cover, "text": "Cover all"}),
        ("checklist.move_item", {**task, "item_id": sweep, "before_id": tape}),
        ("checklist.move_item", {**task, "item_id": sweep, "checklist_id": later}),
        ("checklist.add_item", {**before, "text": "Last"}), ("checklist.tick", {**task, "item_id": cover}),
        ("checklist.remove_item", {**task, "item_id": cover}), ("checklist.convert_item", {**task, "item_id": sweep}),
        ("checklist.update", {**before, "name": "First"}), ("checklist.move", before),
        ("checklist.tick", {**task, "item_id": tape}), ("checklist.delete", before),
        ("checklist.create", {**task, "name": "New", "items": ["One"]}),
        ("backlog.move", {"task_id": board.tasks[4], "before_id": board.first}),
        ("backlog.move", {"task_id": board.first}),
        ("label.update", {"project_id": board.project, "label_id": label.data.label.id, "name": "Damp"}),
        ("label.delete", {"project_id": board.project, "label_id": label.data.label.id}),
        ("label.create", {"room": board.room, "name": "Dry", "colour": "#ffffff"}),
    ]  # fmt: skip
    start = await bob.join(board.room)
    for name, payload in steps:
        states.append(await state())
        assert (await alice.call(name, payload)).success, name
    states.append(await state())
    for (name, _), was in zip(reversed(steps), reversed(states[:-1]), strict=True):
        reply = await _undo(alice, board)
        assert reply.success, (name, reply)
        assert await state() == was, name
    for (name, _), now in zip(steps, states[1:], strict=True):
        reply = await _redo(alice, board)
        assert reply.success, (name, reply)
        assert await state() == now, name
    await bob.hears("label.created", seq=reply.meta.seq)
    fresh = await bob.snapshot(board.room)
    assert fold(store_of(start.snapshot), bob.events(board.room)) == store_of(fresh.snapshot)


async def test_what_others_have_done_with_a_list_stays(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    task = {"task_id": board.first}
    made = (await alice.send("checklist.create", **task, name="Before", items=["Tape"])).data
    item = {**task, "item_id": made.checklist_items[0].id}
    assert (await bob.send("checklist.tick", **item)).success
    refused = await _undo(alice, board)
    assert refused.error.details.conflicts[0].by.name == "Bob"
    assert (await alice.send("checklist.update_item", **item, text="Tape it")).success
    assert (await bob.send("checklist.update_item", **item, text="Tape all")).success
    assert (await _undo(alice, board)).error.details.conflicts[0].fields == ["text"]
    assert (await alice.send("backlog.move", task_id=board.second, before_id=board.first)).success
    assert (await bob.send("backlog.move", task_id=board.second)).success
    assert (await _undo(alice, board)).error.details.conflicts[0].fields == ["backlog_position"]
    label = (await alice.send("label.create", room=board.room, name="Wet", colour="#3b5bdb")).data.label
    assert (await bob.send("task.update", task_id=board.third, changes={"label_ids": [label.id]})).success
    kept = await _undo(alice, board)
    assert (kept.error.code, kept.error.message) == ("CONFLICT", "Tasks have this label by now")


async def test_a_label_that_came_with_a_task_does_not_bar_undo(alice: Person, board: Board) -> None:
    """In the project to which tasks went, or were copied, with a label that had to be made there."""
    made = await alice.send("project.create", name="Bathroom", key="BATH")
    there = f"project:{made.data.project.id}"
    label = await alice.send("label.create", room=board.room, name="Wet", colour="#3b5bdb")
    other = await alice.send("label.create", room=board.room, name="Dry", colour="#3b5bdb")
    for task, one in zip(board.tasks, (label, other), strict=False):
        marked = {"label_ids": [one.data.label.id]}
        assert (await alice.send("task.update", task_id=task, changes=marked)).success
    before = await alice.send("task.create", room=there, title="Tiles")
    about = {"task_id": before.data.task.id}
    assert (await alice.send("task.update", **about, changes={"priority": "high"})).success
    for call, task in zip(("task.transfer", "task.copy"), board.tasks, strict=False):
        way = {"project_id": board.project, "to_project_id": made.data.project.id}
        came = await alice.send(call, task_id=task, **way)
        assert (came.success, len(came.data.task.label_ids)) == (True, 1), came
    undone = await alice.send("history.undo", project_id=made.data.project.id)
    assert undone.success, undone
    assert (await alice.send("task.get", **about)).data.task.priority == before.data.task.priority
    assert len((await alice.snapshot(there)).snapshot.labels) == 2


async def test_what_a_template_made_goes_and_comes_with_its_checklists(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    made = await alice.send("task_template.create", room=world.tenant, name="Wall", tasks=TEMPLATE)
    template = {"project_id": board.project, "template_id": made.data.template.id}
    root = (await alice.send("task.create_from_template", **template)).data.task.id

    async def items() -> list[str]:
        listed = await alice.send("checklist.list", task_id=root)
        return [item.text for item in listed.data.checklist_items]

    had = await items()
    assert had == ["Tape", "Brush"]
    assert (await _undo(alice, board)).success
    await alice.hears_nothing("checklist.deleted")
    assert (await _redo(alice, board)).success
    assert await items() == had
    assert (await _undo(alice, board)).success
    assert (await alice.send("task.restore", task_id=root)).success
    assert await items() == had
    root = (await alice.send("task.create_from_template", **template)).data.task.id
    item = (await bob.send("checklist.list", task_id=root)).data.checklist_items[0].id
    assert (await bob.send("checklist.tick", task_id=root, item_id=item)).success
    refused = await _undo(alice, board)
    assert refused.error.details.conflicts[0].task.id == root, "others have worked on a list of it"

"""Rules: what they wait for, what they do, what stops them, and that they never spoil what caused them."""

from collections.abc import Callable
from typing import Any

from tests.contract.examples import TEMPLATE
from tests.world import Board, Person, World

Definition = dict[str, Any]


async def _rule(person: Person, room: str, when: Definition, *then: Definition, **more: Any) -> str:
    made = await person.send("rule.create", room=room, name="A rule", when=when, then=list(then), **more)
    assert made.success, made
    return str(made.data.rule.id)


async def _runs(person: Person, room: str, **more: Any) -> list[Any]:
    """What rules did, the newest first."""
    answer = await person.send("rule.runs", project_id=room.partition(":")[2], **more)
    assert answer.success, answer
    runs: list[Any] = answer.data.runs
    return runs


async def _task(person: Person, task_id: str) -> Any:
    return (await person.send("task.get", task_id=task_id)).data.task


CREATED = {"on": "task.created"}
TAG = {"do": "tag", "add": ["seen"]}


async def test_a_rule_acts_in_the_command_that_caused_it(alice: Person, bob: Person, board: Board) -> None:
    rule = await _rule(alice, board.room, {"on": "task.completed"}, TAG, {"do": "set", "priority": "low"})
    await bob.hears("rule.created")
    reply = await bob.send("task.move", task_id=board.first, column_id=board.done)
    moved = await bob.hears("task.moved")
    ran = await bob.hears("rule.ran", command_id=moved.command_id)
    assert (ran.data.run.rule_id, ran.data.run.task_id, ran.data.run.outcome) == (rule, board.first, "did")
    first = await bob.hears("task.updated", command_id=moved.command_id)
    second = await bob.hears("task.updated", command_id=moved.command_id)
    assert [moved.seq, ran.seq, first.seq, second.seq] == list(range(moved.seq, moved.seq + 4))
    assert reply.meta.seq == second.seq
    assert (moved.actor.name, first.actor.name) == ("Bob", "Alice"), "a rule acts as its owner"
    assert first.data.task.tags == ["seen"]
    task = await _task(bob, board.first)
    assert (task.tags, task.priority, task.version) == (["seen"], "low", second.data.task.version)
    [run] = await _runs(alice, board.room)
    assert (run.outcome, run.trigger, run.cause_id) == ("did", "task.completed", bob.id)
    assert [(deed.do, deed.outcome) for deed in run.actions] == [("tag", "done"), ("set", "done")]
    replayed = await bob.send("room.events", room=board.room, since=moved.seq - 1)
    assert [event.actor.name for event in replayed.data.events] == ["Bob", "Alice", "Alice", "Alice"]


WAITED_FOR: list[tuple[Definition, str, Definition]] = [
    (CREATED, "task.create", {"title": "New"}),
    ({"on": "task.moved", "to_column_ids": ["done"], "from_column_ids": ["todo"]}, "task.move", {"column_id": "done"}),
    ({"on": "task.completed"}, "task.move", {"column_id": "done"}),
    ({"on": "task.completed"}, "tasks.update", {"column_id": "done"}),
    ({"on": "task.changed", "fields": ["title", "priority"]}, "task.update", {"changes": {"priority": "high"}}),
    (
        {"on": "task.changed", "fields": ["priority"], "was": ["medium"], "becomes": ["urgent", "high"]},
        "task.update", {"changes": {"priority": "high"}},
    ),
    ({"on": "task.changed", "fields": ["tags"], "becomes": ["b"]}, "task.update", {"changes": {"tags": ["a", "b"]}}),
    ({"on": "task.changed", "fields": ["due_at"], "was": [""]}, "task.update", {"changes": {"due_at": "2030-01-01T00:00:00Z"}}),
    ({"on": "task.assigned"}, "task.update", {"changes": {"assignee_ids": ["bob"]}}),
    ({"on": "task.assigned", "user_ids": ["bob"]}, "task.create", {"title": "New", "assignee_ids": ["bob"]}),
    ({"on": "comment.added"}, "comment.add", {"body": "Hello"}),
]  # fmt: skip
NOT_WAITED_FOR: list[tuple[Definition, str, Definition]] = [
    ({"on": "task.moved", "to_column_ids": ["done"]}, "task.move", {"column_id": "doing"}),
    ({"on": "task.moved", "from_column_ids": ["doing"]}, "task.move", {"column_id": "done"}),
    ({"on": "task.moved"}, "task.move", {"column_id": "todo"}),
    ({"on": "task.reopened"}, "task.move", {"column_id": "done"}),
    ({"on": "task.changed", "fields": ["title"]}, "task.update", {"changes": {"priority": "high"}}),
    (
        {"on": "task.changed", "fields": ["priority"], "was": ["low"], "becomes": ["high"]},
        "task.update", {"changes": {"priority": "high"}},
    ),
    ({"on": "task.assigned", "user_ids": ["alice"]}, "task.update", {"changes": {"assignee_ids": ["bob"]}}),
    (CREATED, "comment.add", {"body": "Hello"}),
]  # fmt: skip


async def test_what_rules_wait_for(world: World, alice: Person, board: Board) -> None:
    for acts, cases in ((True, WAITED_FOR), (False, NOT_WAITED_FOR)):
        for when, name, payload in cases:
            task = (await alice.send("task.create", room=board.room, title="One")).data.task.id
            rule = await _rule(alice, board.room, _named(world, board, when), {"do": "tag", "add": ["seen"]})
            sent = _named(world, board, payload)
            if name == "tasks.update":
                sent |= {"project_id": board.project, "task_ids": [task]}
            elif name != "task.create":
                sent["task_id"] = task
            assert (await alice.call(name, {"room": board.room, **sent})).success
            outcomes = [run.outcome for run in await _runs(alice, board.room)]
            assert outcomes == ["did"] * acts, (when, name, payload)
            assert (await alice.send("rule.delete", rule_id=rule)).success


def _named(world: World, board: Board, value: Any) -> Any:
    """The same with the ids of columns and people in place of their names."""
    if isinstance(value, dict):
        return {key: _named(world, board, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(world, board, item) for item in value]
    columns = {"todo": board.todo, "doing": board.doing, "done": board.done}
    return {**columns, **{name: world.user_ids[name] for name in ("alice", "bob")}}.get(value, value)


async def test_what_rules_do(world: World, alice: Person, bob: Person, board: Board) -> None:
    ids = world.user_ids
    await _rule(
        alice, board.room, {"on": "task.moved", "to_column_ids": [board.doing]},
        {"do": "set", "priority": "urgent", "due_in_minutes": 60, "estimate_minutes": 30},
        {"do": "assign", "user_ids": [ids["manager"]], "roles": ["actor"]},
        {"do": "unassign", "user_ids": [ids["manager"]]},
        {"do": "tag", "add": ["a", "b"], "remove": ["b"]},
        {"do": "comment", "body": "{key} is begun: {title}"},
        {"do": "notify", "roles": ["creator", "assignees"], "text": "{key}!"},
        {"do": "create_task", "title": "Check {key}", "below": True, "column_id": board.todo, "due_in_minutes": 5},
        {"do": "set", "clear": ["estimate_minutes"]},
        {"do": "move", "column_id": board.done},
    )  # fmt: skip
    reply = await bob.send("task.move", task_id=board.first, column_id=board.doing)
    assert reply.success
    notice = (await bob.hears("rule.notified")).data.notice
    task = await _task(bob, board.first)
    assert (notice.task_id, notice.text) == (board.first, f"{task.key}!")
    await alice.hears("rule.notified")
    assert (task.priority, task.column_id, task.assignee_ids) == ("urgent", board.done, [bob.id])
    assert (task.tags, task.estimate_minutes, task.comment_count) == (["a", "b"], None, 1)
    assert task.due_at is not None
    assert await bob.hears("task.assigned"), "what follows from an assignment follows here as well"
    [comment] = (await bob.send("comment.list", task_id=board.first)).data.comments
    assert (comment.body, comment.author_id) == (f"{task.key} is begun: {task.title}", ids["alice"])
    created = (await bob.hears("task.created")).data.task
    assert (created.title, created.parent_id, created.column_id) == (
        f"Check {task.key}",
        board.first,
        board.todo,
    )
    [run] = await _runs(alice, board.room)
    assert {deed.outcome for deed in run.actions} == {"done"}


async def test_rules_label_watch_and_create_from_templates(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    label = (await alice.send("label.create", room=board.room, name="Wet", colour="#00f")).data.label.id
    template = await alice.send("task_template.create", room=world.tenant, name="Wall", tasks=TEMPLATE)
    await _rule(
        alice, board.room, {"on": "comment.added"},
        {"do": "label", "add": [label]}, {"do": "watch", "user_ids": [world.user_ids["manager"]], "roles": ["actor"]},
        {"do": "create_from_template", "template_id": template.data.template.id, "title": "As {key}", "below": True},
    )  # fmt: skip
    assert (await bob.send("comment.add", task_id=board.first, body="Paint it")).success
    task = await _task(bob, board.first)
    assert (task.label_ids, task.subtask_total) == ([label], 1)
    assert set(task.watcher_ids) >= {world.user_ids["manager"], bob.id}
    created = (await bob.hears("task.created")).data.task
    assert (created.title, created.parent_id) == (f"As {task.key}", board.first)
    [run] = await _runs(alice, board.room)
    assert [deed.outcome for deed in run.actions] == ["done"] * 3


async def _sprint(alice: Person, board: Board, *task_ids: str) -> str:
    dates = {"start_on": "2026-12-07", "end_on": "2026-12-18"}
    made = await alice.send("sprint.create", project_id=board.project, name="Tiles", **dates)
    sprint_id = str(made.data.sprint.id)
    if task_ids:
        filled = {"project_id": board.project, "sprint_id": sprint_id, "task_ids": list(task_ids)}
        assert (await alice.send("sprint.add_tasks", **filled)).data.done == len(task_ids)
    return sprint_id


async def test_rules_wait_for_sprints(alice: Person, board: Board) -> None:
    """Once for the sprint, or on each task in it for which a condition holds; what goes on is planned anew."""
    on_hand = {"field": "open", "op": "eq", "value": True}
    await _rule(alice, board.room, {"on": "task.planned"}, {"do": "tag", "add": ["planned"]})
    await _rule(alice, board.room, {"on": "sprint.started"}, {"do": "create_task", "title": "Plan the day"})
    await _rule(
        alice, board.room, {"on": "sprint.started"}, {"do": "tag", "add": ["begun"]}, condition=on_hand
    )
    await _rule(
        alice,
        board.room,
        {"on": "sprint.completed"},
        {"do": "tag", "add": ["over"]},
        condition={"not": on_hand},
    )
    first, following = await _sprint(alice, board, *board.tasks[:2]), await _sprint(alice, board)

    async def tags() -> list[list[str]]:
        return [(await _task(alice, task_id)).tags for task_id in board.tasks[:4]]

    assert (await alice.send("task.create", room=board.room, title="New", sprint_id=first)).success
    assert (await alice.send("task.update", task_id=board.third, changes={"sprint_id": following})).success
    assert await tags() == [["planned"], ["planned"], ["planned"], []]
    assert (await alice.send("task.move", task_id=board.first, column_id=board.done)).success
    which = {"project_id": board.project, "sprint_id": first}
    assert (await alice.send("sprint.start", **which)).success
    assert await tags() == [["planned"], ["planned", "begun"], ["planned"], []]
    assert (await alice.send("task.update", task_id=board.second, changes={"tags": []})).success
    assert (await alice.send("sprint.complete", **which)).success
    assert await tags() == [["planned", "over"], ["planned"], ["planned"], []]
    assert (await _task(alice, board.second)).sprint_id == following
    titles = [task.title for task in (await alice.snapshot(board.room)).snapshot.tasks]
    assert titles.count("Plan the day") == 1
    senseless = {"name": "A rule", "when": {"on": "sprint.started"}, "then": [TAG]}
    assert list((await alice.send("rule.create", room=board.room, **senseless)).error.field_errors) == [
        "then"
    ]


async def test_rules_plan_tasks_into_sprints(alice: Person, board: Board) -> None:
    named = await _sprint(alice, board)
    rule = await _rule(alice, board.room, {"on": "comment.added"}, {"do": "plan"})
    await _rule(alice, board.room, {"on": "task.assigned"}, {"do": "plan", "sprint_id": named})

    async def comment(task_id: str) -> tuple[str | None, str | None]:
        assert (await alice.send("comment.add", task_id=task_id, body="Hm")).success
        [run, *_] = await _runs(alice, board.room, rule_id=rule)
        return (await _task(alice, task_id)).sprint_id, run.message

    assert await comment(board.first) == (None, "No sprint is active")
    mine = {"assignee_ids": [alice.id]}
    assert (await alice.send("task.update", task_id=board.second, changes=mine)).success
    assert (await _task(alice, board.second)).sprint_id == named
    assert (await alice.send("sprint.start", project_id=board.project, sprint_id=named)).success
    assert await comment(board.first) == (named, None)
    unknown = {"name": "A rule", "when": CREATED, "then": [{"do": "plan", "sprint_id": board.first}]}
    assert (await alice.send("rule.create", room=board.room, **unknown)).error.code == "NOT_FOUND"


async def test_what_a_rule_says_is_bounded(alice: Person, bob: Person, board: Board) -> None:
    notice = {"do": "notify", "user_ids": [bob.id], "text": "{title}" * 100}
    await _rule(alice, board.room, CREATED, notice)
    assert (await alice.send("task.create", room=board.room, title="x" * 500)).success
    assert (await bob.hears("rule.notified")).data.notice.text == "x" * 1_000
    long = [{"do": "comment", "body": "x" * 10_000}] * 7
    refused = await alice.send("rule.create", room=board.room, name="Long", when=CREATED, then=long)
    assert list(refused.error.field_errors) == ["then"]


async def test_what_a_rule_does_is_in_the_audit_log(
    alice: Person, bob: Person, world: World, board: Board
) -> None:
    """Under its owner, with whose command it was; what changed nothing, or failed, is in the history alone."""
    rule = await _rule(alice, board.room, {"on": "task.completed"}, TAG, {"do": "set", "priority": "medium"})
    assert (await bob.send("task.move", task_id=board.first, column_id=board.done)).success
    assert (await bob.send("task.move", task_id=board.first, column_id=board.todo)).success
    assert (await bob.send("task.move", task_id=board.first, column_id=board.done)).success
    asked = {"room": world.tenant, "action": "rule.act"}
    [entry] = (await alice.send("audit.list", **asked)).data.entries
    assert (entry.resource, entry.actor_id, entry.outcome) == (f"rule:{rule}", alice.id, "ok")
    assert entry.changes == {
        "trigger": "task.completed", "task_id": board.first, "cause_id": bob.id, "did": ["tag"],
    }  # fmt: skip
    moved = (await alice.send("audit.list", room=world.tenant, action="task.move")).data.entries
    assert entry.command_id == moved[-1].command_id


async def test_a_rule_can_be_tried_out(world: World, alice: Person, board: Board) -> None:
    manager = world.person("manager")
    high = {"field": "priority", "op": "eq", "value": "high"}
    rule = await _rule(
        manager, board.room, CREATED, TAG, {"do": "move", "column_id": board.hold}, condition=high
    )
    asked = {"room": board.room, "rule_id": rule, "task_id": board.first}
    tried = (await alice.call("rule.test", asked)).data
    assert (tried.would_act, [one.reason for one in tried.hindrances]) == (False, ["condition"])
    assert (await alice.send("task.update", task_id=board.first, changes={"priority": "high"})).success
    assert (await alice.call("rule.test", asked)).data.would_act
    on_none = (await alice.call("rule.test", {**asked, "task_id": None})).data
    assert [(one.reason, one.action) for one in on_none.hindrances] == [("NOT_FOUND", 0), ("NOT_FOUND", 1)]
    assert (await alice.send("rule.disable", rule_id=rule)).success
    assert (await alice.send("column.delete", column_id=board.hold)).success
    part = {"project_id": board.project, "user_id": world.user_ids["manager"]}
    tried = (await alice.call("rule.test", asked)).data
    assert [(one.reason, one.action) for one in tried.hindrances] == [("disabled", None), ("NOT_FOUND", 1)]
    assert (await alice.send("project.add_member", **part, role="viewer")).success
    tried = (await alice.call("rule.test", asked)).data
    assert [(one.reason, one.action) for one in tried.hindrances][1:] == [("FORBIDDEN", 0), ("FORBIDDEN", 1)]
    assert (await alice.send("member.deactivate", room=world.tenant, user_id=part["user_id"])).success
    assert (await alice.call("rule.test", asked)).data.hindrances[-1].reason == "owner"
    assert await _runs(alice, board.room) == []


async def test_what_is_so_already_is_left_alone(alice: Person, board: Board) -> None:
    await _rule(
        alice, board.room, {"on": "comment.added"},
        {"do": "set", "priority": "medium"}, {"do": "move", "column_id": board.todo}, {"do": "unassign"},
    )  # fmt: skip
    before = await _task(alice, board.first)
    assert (await alice.send("comment.add", task_id=board.first, body="Hm")).success
    assert (await _task(alice, board.first)).version == before.version
    [run] = await _runs(alice, board.room)
    assert {deed.outcome for deed in run.actions} == {"unchanged"}


async def test_a_failing_action_takes_back_the_others_and_leaves_the_command_whole(
    alice: Person, bob: Person, board: Board
) -> None:
    assert (await alice.send("column.set_limit", column_id=board.hold, limit=1)).success
    assert (await alice.send("task.move", task_id=board.second, column_id=board.hold)).success
    rule = await _rule(
        alice, board.room, {"on": "task.completed"},
        TAG, {"do": "comment", "body": "Done"}, {"do": "move", "column_id": board.hold}, {"do": "unassign"},
    )  # fmt: skip
    await _rule(alice, board.room, {"on": "task.completed"}, {"do": "tag", "add": ["other"]})
    before = (await alice.snapshot(board.room)).seq
    reply = await bob.send("task.move", task_id=board.first, column_id=board.done)
    assert reply.success
    task = await _task(bob, board.first)
    assert (task.column_id, task.tags, task.comment_count) == (board.done, ["other"], 0)
    events = (await bob.send("room.events", room=board.room, since=before)).data.events
    assert [list(event.data) for event in events] == [["task", "was"], ["run"], ["run"], ["task", "was"]]
    assert events[1].data.run.outcome == "failed"
    [run] = await _runs(alice, board.room, rule_id=rule)
    assert (run.outcome, run.reason) == ("failed", "CONFLICT")
    assert "full" in run.message
    assert [deed.outcome for deed in run.actions] == ["undone", "undone", "failed", "not_reached"]


async def test_a_statement_that_fails_spoils_nothing(world: World, alice: Person, board: Board) -> None:
    """An error of Postgres itself, in the middle of a rule."""
    await _rule(alice, board.room, {"on": "task.completed"}, TAG, {"do": "comment", "body": "Done"})
    async with world.sql() as db:
        await db.execute("ALTER TABLE comments ADD CONSTRAINT never CHECK (body <> 'Done')")
    moves = [
        await alice.post("task.move", {"task_id": task, "column_id": board.done}) for task in board.tasks
    ]
    for reply in [await move for move in moves]:
        assert reply.success, reply
    for task in board.tasks:
        now = await _task(alice, task)
        assert (now.column_id, now.tags, now.comment_count) == (board.done, [], 0)
    assert {(run.outcome, run.reason) for run in await _runs(alice, board.room)} == {("failed", "INTERNAL")}


async def test_rules_that_undo_each_other_stop(alice: Person, bob: Person, board: Board) -> None:
    to_done = {"do": "move", "column_id": board.done}
    back = {"do": "move", "column_id": board.todo}
    one = await _rule(alice, board.room, {"on": "task.moved", "to_column_ids": [board.todo]}, to_done)
    other = await _rule(alice, board.room, {"on": "task.moved", "to_column_ids": [board.done]}, back)
    assert (await bob.send("task.move", task_id=board.first, column_id=board.done)).success
    assert (await _task(bob, board.first)).column_id == board.done
    runs = await _runs(alice, board.room)
    assert sorted((run.rule_id, run.outcome, run.reason or "") for run in runs) == sorted(
        [(other, "did", ""), (one, "did", ""), (other, "skipped", "loop")]
    )


async def test_a_rule_that_makes_tasks_of_tasks_stops(alice: Person, board: Board) -> None:
    await _rule(alice, board.room, CREATED, {"do": "create_task", "title": "Another"})
    before = len((await alice.snapshot(board.room)).snapshot.tasks)
    assert (await alice.send("task.create", room=board.room, title="One")).success
    assert len((await alice.snapshot(board.room)).snapshot.tasks) == before + 2
    assert [run.reason for run in await _runs(alice, board.room)] == ["loop", None]


async def test_chains_end_at_a_depth(alice: Person, board: Board) -> None:
    for number in range(5):
        when = (
            CREATED if number == 0 else {"on": "task.changed", "fields": ["tags"], "becomes": [f"t{number}"]}
        )
        await _rule(alice, board.room, when, {"do": "tag", "add": [f"t{number + 1}"]})
    task = (await alice.send("task.create", room=board.room, title="One")).data.task.id
    assert (await _task(alice, task)).tags == ["t1", "t2", "t3"]
    runs = await _runs(alice, board.room)
    assert [run.reason for run in runs] == ["depth", None, None, None]


async def test_a_rule_has_its_owners_rights_and_no_more(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    manager = world.person("manager")
    rule = await _rule(manager, board.room, CREATED, {"do": "set", "priority": "high"})
    part = {"project_id": board.project, "user_id": world.user_ids["manager"]}
    assert (await alice.send("project.add_member", **part, role="viewer")).success
    task = (await bob.send("task.create", room=board.room, title="One")).data.task.id
    assert (await _task(bob, task)).priority == "medium"
    [run] = await _runs(alice, board.room)
    assert (run.outcome, run.reason, run.actions[0].outcome) == ("failed", "FORBIDDEN", "failed")
    assert (await alice.send("member.deactivate", room=world.tenant, user_id=part["user_id"])).success
    await bob.send("task.create", room=board.room, title="Two")
    assert [run.reason for run in await _runs(alice, board.room)] == ["owner", "FORBIDDEN"]
    assert (await alice.send("rule.update", rule_id=rule, name="Mine now")).data.rule.owner_id == alice.id
    task = (await bob.send("task.create", room=board.room, title="Three")).data.task.id
    assert (await _task(bob, task)).priority == "high"


async def test_nobody_has_a_rule_do_what_he_may_not(world: World, alice: Person, board: Board) -> None:
    denied = {"user_id": world.user_ids["manager"], "denied": ["comment.add"]}
    assert (await alice.send("member.update", room=world.tenant, **denied)).success
    manager = world.person("manager")
    made = {"room": board.room, "name": "A rule", "when": CREATED, "then": [{"do": "comment", "body": "Hi"}]}
    assert (await manager.call("rule.create", made)).error.details.permission == "comment.add"
    rule = await _rule(alice, board.room, CREATED, {"do": "comment", "body": "Hi"})
    taken = await manager.send("rule.update", rule_id=rule, name="Taken over")
    assert taken.error.details.permission == "comment.add"


async def test_what_a_rule_names_must_be_there(
    world: World, alice: Person, mallory: Person, board: Board
) -> None:
    stranger = (await mallory.sign_in()).user.id
    missing: list[tuple[Definition, Definition]] = [
        ({"on": "task.moved", "to_column_ids": [board.first]}, TAG),
        (CREATED, {"do": "move", "column_id": board.first}),
        (CREATED, {"do": "set", "status_id": board.first}),
        (CREATED, {"do": "assign", "user_ids": [stranger]}),
        (CREATED, {"do": "notify", "user_ids": [stranger], "text": "Hello"}),
    ]
    for when, action in missing:
        made = await alice.send("rule.create", room=board.room, name="A rule", when=when, then=[action])
        assert made.error.code == "NOT_FOUND", action
    senseless: list[tuple[Definition, list[Definition]]] = [
        ({"on": "never"}, [TAG]),
        (CREATED, []),
        (CREATED, [TAG] * 11),
        (CREATED, [{"do": "set"}]),
        ({"on": "task.changed", "fields": ["title", "tags"], "was": ["x"]}, [TAG]),
        ({"on": "schedule", "every": "day"}, [TAG]),
    ]
    for when, then in senseless:
        made = await alice.send("rule.create", room=board.room, name="A rule", when=when, then=then)
        assert made.error.code == "VALIDATION_ERROR", made


async def test_a_condition_decides(alice: Person, bob: Person, board: Board) -> None:
    of_bob = {"field": "assignees", "op": "has_any", "value": [bob.id]}
    urgent = {"field": "priority", "op": "in", "value": ["high", "urgent"]}
    rule = await _rule(alice, board.room, {"on": "comment.added"}, TAG, condition={"and": [of_bob, urgent]})
    for changes, tags in (
        ({"priority": "high"}, []),
        ({"assignee_ids": [bob.id]}, ["seen"]),
    ):
        assert (await bob.send("task.update", task_id=board.first, changes=changes)).success
        assert (await bob.send("comment.add", task_id=board.first, body="Hm")).success
        assert (await _task(bob, board.first)).tags == tags
    assert [(run.outcome, run.reason) for run in await _runs(alice, board.room)] == [
        ("did", None), ("skipped", "condition"),
    ]  # fmt: skip
    listed = (await alice.send("rule.list", project_id=board.project)).data.rules[0]
    assert listed.condition == {"and": [of_bob, urgent]}
    lifted = await alice.send("rule.update", rule_id=rule, condition=None)
    assert lifted.data.rule.condition is None
    assert (await bob.send("comment.add", task_id=board.second, body="Hm")).success
    assert (await _task(bob, board.second)).tags == ["seen"]
    wrong = await alice.send("rule.update", rule_id=rule, condition={"field": "nothing", "op": "is_empty"})
    assert "condition.field" in wrong.error.field_errors


async def test_off_is_off(alice: Person, board: Board) -> None:
    rule = await _rule(alice, board.room, CREATED, TAG)
    assert (await alice.send("rule.disable", rule_id=rule)).data.rule.enabled is False
    task = await alice.send("task.create", room=board.room, title="One")
    assert (await _task(alice, task.data.task.id)).tags == []
    assert (await alice.send("rule.enable", rule_id=rule)).success
    task = await alice.send("task.create", room=board.room, title="Two")
    assert (await _task(alice, task.data.task.id)).tags == ["seen"]
    assert (await alice.send("rule.delete", rule_id=rule)).success
    task = await alice.send("task.create", room=board.room, title="Three")
    assert (await _task(alice, task.data.task.id)).tags == []
    assert await _runs(alice, board.room) == []


async def test_a_rule_counts_from_the_next_command_of_the_same_group(alice: Person, board: Board) -> None:
    made = {"room": board.room, "name": "A rule", "when": {"on": "task.completed"}, "then": [TAG]}
    replies = [
        await alice.post("task.move", {"task_id": board.first, "column_id": board.done}),
        await alice.post("rule.create", made),
        *[
            await alice.post("task.move", {"task_id": task, "column_id": board.done})
            for task in board.tasks[1:]
        ],
    ]
    assert all([(await reply).success for reply in replies])
    assert [(await _task(alice, task)).tags for task in board.tasks] == [[], *[["seen"]] * 4]


async def test_moves_that_come_together_are_told_in_the_order_of_what_was_done(
    alice: Person, bob: Person, board: Board
) -> None:
    """A rule moves its task back; whoever folds the events has to end where the database does."""
    await _rule(
        alice, board.room, {"on": "task.moved", "to_column_ids": [board.done]}, {"do": "move", "column_id": board.doing}
    )  # fmt: skip
    before = await bob.join(board.room)
    moves = [
        await alice.post("task.move", {"task_id": task, "column_id": board.done}) for task in board.tasks
    ]
    assert all([(await move).success for move in moves])
    events = (await bob.send("room.events", room=board.room, since=before.seq, limit=100)).data.events
    assert len(events) == 3 * len(board.tasks)
    places = {event.data.task.id: event.data.task.position for event in events if "task" in event.data}
    fresh = {task.id: task for task in (await bob.snapshot(board.room)).snapshot.tasks}
    assert {task_id: fresh[task_id].position for task_id in places} == places
    assert {fresh[task_id].column_id for task_id in board.tasks} == {board.doing}


async def test_too_many_at_once_are_too_many(worlds: Callable[..., Any]) -> None:
    world = await worlds(rule_runs_per_command=2)
    alice, board = await world.person("alice").connect(), Board.of(world)
    await _rule(alice, board.room, {"on": "task.completed"}, TAG)
    done = {"project_id": board.project, "task_ids": board.tasks, "column_id": board.done}
    assert (await alice.call("tasks.update", done)).data.done == 5
    assert [(await _task(alice, task)).tags for task in board.tasks] == [["seen"], ["seen"], [], [], []]
    told, *_ = runs = await _runs(alice, board.room)
    assert [run.reason for run in runs] == ["many", None, None]
    assert told.message == "Rules act at most 2 times in one command: it left 3 tasks alone"


async def test_what_a_condition_leaves_out_uses_up_no_turns(worlds: Callable[..., Any]) -> None:
    world = await worlds(rule_runs_per_command=2)
    alice, board = await world.person("alice").connect(), Board.of(world)
    high = {"field": "priority", "op": "eq", "value": "high"}
    await _rule(alice, board.room, {"on": "task.completed"}, TAG, condition=high)
    for task_id in board.tasks[3:]:
        assert (await alice.send("task.update", task_id=task_id, changes={"priority": "high"})).success
    done = {"project_id": board.project, "task_ids": board.tasks, "column_id": board.done}
    assert (await alice.call("tasks.update", done)).data.done == 5
    assert [(await _task(alice, task)).tags for task in board.tasks] == [[], [], [], ["seen"], ["seen"]]
    runs = await _runs(alice, board.room)
    assert [(run.outcome, run.reason) for run in runs] == [
        ("skipped", "condition"),
        ("did", None),
        ("did", None),
    ]
    assert runs[0].message == "Its condition does not hold for 3 tasks that changed together"


async def test_a_condition_counts_as_it_is_when_the_rule_has_its_turn(alice: Person, board: Board) -> None:
    """Of tasks that change together too: what a rule before it has made of one is seen."""
    low = {"field": "priority", "op": "eq", "value": "low"}
    completed = {"on": "task.completed"}
    await _rule(alice, board.room, completed, {"do": "set", "priority": "low"})
    await _rule(alice, board.room, completed, TAG, condition=low)
    done = {"project_id": board.project, "task_ids": board.tasks, "column_id": board.done}
    assert (await alice.call("tasks.update", done)).data.done == 5
    assert [(await _task(alice, task)).tags for task in board.tasks] == [["seen"]] * 5


async def test_too_often_is_told_once(worlds: Callable[..., Any]) -> None:
    world = await worlds(rule_runs_per_minute=2, rule_runs_per_hour=3, project_rule_runs_per_hour=4)
    alice, board = await world.person("alice").connect(), Board.of(world)
    rule = await _rule(alice, board.room, CREATED, TAG)
    assert await _tagged(alice, board, 4) == [True, True, False, False]
    assert [run.reason for run in await _runs(alice, board.room)] == ["rate", None, None]
    async with world.sql() as db:
        later = "UPDATE rules SET minute_at = minute_at - interval '2 minutes', told_at = told_at - interval '2 minutes'"
        await db.execute(later)
        assert await _tagged(alice, board, 2) == [True, False], "one is left in this hour"
        assert (await alice.send("rule.disable", rule_id=rule)).success
        await _rule(alice, board.room, CREATED, TAG)
        assert (await alice.send("rule.enable", rule_id=rule)).success
        assert await _tagged(alice, board, 2) == [True, False], "and one for the whole project"
        await db.execute("UPDATE rules SET hour_at = hour_at - interval '2 hours'")
        await db.execute(later)
        assert await _tagged(alice, board, 1) == [True]


async def _tagged(alice: Person, board: Board, count: int) -> list[bool]:
    """Of so many new tasks, which were tagged."""
    made = [
        (await alice.send("task.create", room=board.room, title="One")).data.task.id for _ in range(count)
    ]
    return [(await _task(alice, task)).tags == ["seen"] for task in made]


async def test_the_history_is_bounded_and_paged(worlds: Callable[..., Any]) -> None:
    world = await worlds(rule_history_rows=3)
    alice, board = await world.person("alice").connect(), Board.of(world)
    await _rule(alice, board.room, {"on": "comment.added"}, TAG)
    for _ in range(5):
        assert (await alice.send("comment.add", task_id=board.first, body="Hm")).success
    first = await alice.send("rule.runs", project_id=board.project, limit=4)
    rest = await alice.send("rule.runs", project_id=board.project, cursor=first.meta.pagination.next)
    assert (len(first.data.runs), len(rest.data.runs), rest.meta.pagination.next) == (4, 1, None)
    async with world.sql() as db:
        await db.execute("UPDATE rules SET minute_at = minute_at - interval '2 hours'")
    assert (await alice.send("comment.add", task_id=board.first, body="Hm")).success
    left = await _runs(alice, board.room)
    assert len(left) == 4, "what is kept, and the one that came with the trimming"
    async with world.sql() as db:
        await db.execute("UPDATE rule_runs SET at = at - interval '40 days' WHERE id <> $1", left[0].id)
    await world.node.maintenance.once()
    assert [run.id for run in await _runs(alice, board.room)] == [left[0].id]


async def test_members_do_not_read_or_write_rules(bob: Person, alice: Person, board: Board) -> None:
    rule = await _rule(alice, board.room, CREATED, TAG)
    for name, payload in (
        ("rule.list", {"project_id": board.project}),
        ("rule.runs", {"project_id": board.project}),
        ("rule.disable", {"rule_id": rule}),
    ):
        assert (await bob.call(name, payload)).error.details.permission == "automation.manage"

"""Task templates: tasks with all that is below them, made in one command; whose they are, and what is refused."""

from datetime import datetime, timedelta
from typing import Any

from handlers.work.tasks.templates import MOST
from tests.contract.examples import TEMPLATE
from tests.world import Board, Person, World


async def _template(person: Person, world: World, tasks: list[dict[str, Any]], **more: Any) -> str:
    made = await person.send("task_template.create", room=world.tenant, name="Wall", tasks=tasks, **more)
    assert made.success, made
    return str(made.data.template.id)


async def test_a_tree_of_tasks_in_one_command(world: World, alice: Person, bob: Person, board: Board) -> None:
    template = await _template(alice, world, TEMPLATE)
    start = "2030-03-01T08:00:00Z"
    made = await bob.send(
        "task.create_from_template", project_id=board.project, template_id=template, title="The north wall", start=start,
        column_id=board.doing, parent_id=board.first, assignee_ids=[bob.id],
    )  # fmt: skip
    assert made.success, made
    assert made.data.created == 3
    heard = [(await alice.hears("task.created")).data.task for _ in range(3)]
    root, below, deepest = heard
    assert made.data.task.id == root.id
    assert (made.data.task.checklist_total, made.data.task.subtask_total) == (2, 1)
    assert (root.title, root.priority, root.column_id, root.parent_id, root.assignee_ids) == (
        "The north wall", "high", board.doing, board.first, [bob.id],
    )  # fmt: skip
    assert datetime.fromisoformat(root.due_at) - datetime.fromisoformat(start) == timedelta(hours=10)
    assert [below.parent_id, deepest.parent_id] == [root.id, below.id]
    assert (below.estimate_minutes, deepest.tags) == (60, ["wait"])
    assert await bob.hears("task.assigned")
    lists = (await bob.send("checklist.list", task_id=root.id)).data
    assert [item.text for item in lists.checklist_items] == ["Tape", "Brush"]
    now = (await bob.send("task.get", task_id=root.id)).data.task
    assert (now.checklist_total, now.subtask_total) == (2, 1)


async def test_a_template_is_the_tenants_or_a_projects(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    await alice.join(world.tenant)
    shared = await _template(alice, world, TEMPLATE[:1])
    assert (await alice.hears("task_template.created")).room == world.tenant
    own = await _template(alice, world, TEMPLATE[:1], project_id=board.project)
    heard = await bob.hears("task_template.created", room=board.room)
    assert heard.data.template.id == own
    other = (await alice.send("project.create", name="Bathroom")).data.project.id
    listed = await bob.send("task_template.list", project_id=board.project)
    assert {template.id for template in listed.data.templates} == {shared, own}
    for name, payload in (
        ("task_template.list", {"project_id": other}), ("task_template.list_shared", {"room": world.tenant}),
    ):  # fmt: skip
        assert [one.id for one in (await alice.call(name, payload)).data.templates] == [shared]
    assert (await alice.send("task.create_from_template", project_id=other, template_id=shared)).success
    assert (
        await alice.send("task.create_from_template", project_id=other, template_id=own)
    ).error.code == "NOT_FOUND"
    for wrong in (
        {"template_id": shared, "project_id": board.project}, {"template_id": own},
        {"template_id": own, "project_id": other},
    ):  # fmt: skip
        for name, more in (("task_template.update", {"name": "X"}), ("task_template.delete", {})):
            reply = await alice.call(name, {"room": world.tenant, **wrong, **more})
            assert reply.error.code == "NOT_FOUND", (name, wrong)


async def test_a_lead_of_a_project_makes_templates_there_alone(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    lead = {"project_id": board.project, "user_id": bob.id, "role": "manager"}
    assert (await alice.send("project.add_member", **lead)).success
    assert await _template(bob, world, TEMPLATE, project_id=board.project)
    refused = await bob.send("task_template.create", room=world.tenant, name="Wall", tasks=TEMPLATE)
    assert refused.error.details.permission == "board.edit"
    assert (await alice.send("project.delete", project_id=board.project)).success
    gone = {"project_id": board.project, "name": "Wall", "tasks": TEMPLATE}
    assert (
        await alice.call("task_template.create", {"room": world.tenant, **gone})
    ).error.code == "NOT_FOUND"


async def test_what_makes_no_tree_is_refused(world: World, alice: Person, board: Board) -> None:
    one = {"title": "One"}
    for tasks in (
        [], [{"title": "First", "below": 0}], [one, {"title": "Two"}], [one, {"title": "Two", "below": 1}],
        [one, *[{"title": "Another", "below": 0}] * MOST], [{"title": " "}],
    ):  # fmt: skip
        made = await alice.send("task_template.create", room=world.tenant, name="Wall", tasks=tasks)
        assert made.error.code == "VALIDATION_ERROR", tasks
    assert await _template(alice, world, [one, *[{"title": "Another", "below": 0}] * (MOST - 1)])


async def test_what_no_task_can_be_is_told(world: World, alice: Person, board: Board) -> None:
    field = {"key": "size", "name": "Size", "type": "number", "applies_to": "task", "required": True}
    assert (await alice.send("tenant.update_settings", room=world.tenant, custom_fields=[field])).success
    bare = await _template(alice, world, [{"title": "One"}])
    ask = {"project_id": board.project}
    refused = await alice.send("task.create_from_template", **ask, template_id=bare)
    assert refused.error.field_errors == {"fields.size": ["is required"]}
    whole = await _template(
        alice, world, [{"title": "One", "fields": {"size": 3}, "due_in_minutes": 1_000_000}]
    )
    made = await alice.send("task.create_from_template", **ask, template_id=whole)
    assert made.data.task.fields == {"size": 3}
    late = await alice.send(
        "task.create_from_template", **ask, template_id=whole, start="2200-12-31T00:00:00Z"
    )
    assert (late.error.code, list(late.error.field_errors)) == ("VALIDATION_ERROR", ["due_at"])
    long = [{"title": "One"}, *[{"title": "Another", "description": "x" * 50_000, "below": 0}] * 6]
    large = await alice.send("task_template.create", room=world.tenant, name="Wall", tasks=long)
    assert list(large.error.field_errors) == ["tasks"]


async def test_it_is_all_or_nothing(world: World, alice: Person, board: Board) -> None:
    """The second task finds no room: then there is none at all."""
    limit = {"column_id": board.hold, "limit": 1}
    assert (await alice.call("column.set_limit", limit)).success
    template = await _template(alice, world, TEMPLATE)
    before = await alice.snapshot(board.room)
    assert (await alice.send("column.update", column_id=board.todo, name="Later")).success
    moved = await alice.send("column.move", column_id=board.hold, before_id=board.todo)
    assert moved.success
    refused = await alice.send("task.create_from_template", project_id=board.project, template_id=template)
    assert refused.error.code == "CONFLICT"
    assert len((await alice.snapshot(board.room)).snapshot.tasks) == len(before.snapshot.tasks)

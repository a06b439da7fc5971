"""Templates, projects made from them, and duplicates: what goes along, what begins afresh, and where dates end up."""

from typing import Any
from uuid import UUID

from tests.reducer import fold, store_of
from tests.world import Board, Person, World


async def _prepared(alice: Person, board: Board) -> None:
    """A project that begins on the first of December, with a subtask, an edge, a label, a checklist and one done."""
    first, second, third = board.tasks[:3]
    started = {"project_id": board.project, "start_on": "2026-12-01", "end_on": "2026-12-31"}
    assert (await alice.call("project.update", started)).success
    label = (await alice.send("label.create", room=board.room, name="Wet", colour="#00f")).data.label
    changes = {
        "due_at": "2026-12-08T15:00:00Z", "label_ids": [label.id], "assignee_ids": [alice.id],
        "estimate_minutes": 90,
    }  # fmt: skip
    assert (await alice.send("task.update", task_id=first, changes=changes)).success
    below = await alice.send("task.create", room=board.room, title="Below", parent_id=first)
    assert below.success
    assert (await alice.send("dependency.add", task_id=second, depends_on_id=first, lag_minutes=30)).success
    assert (
        await alice.send("checklist.create", task_id=second, name="Before", items=["Tape", "Foil"])
    ).success
    assert (await alice.send("task.move", task_id=third, column_id=board.done)).success
    statuses = {status.name: status.id for status in (await _state(alice, board.project)).statuses}
    ways = {
        "from_id": statuses["Not started"], "to": [{"to_id": statuses["In progress"]}, {"to_id": statuses["On hold"]}],
    }  # fmt: skip
    ruled = await alice.send("workflow.set_transitions", project_id=board.project, transitions=[ways])
    assert ruled.success, ruled


async def _state(person: Person, project_id: str) -> Any:
    return (await person.snapshot(f"project:{project_id}")).snapshot


async def test_from_a_project_to_a_template_to_a_project(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    await _prepared(alice, board)
    old = await alice.snapshot(world.tenant)
    saved = await alice.send("template.save", project_id=board.project, name="Any kitchen", key="TPL")
    assert saved.success, saved
    template = saved.data.project
    assert (template.type, template.template_id, template.start_on) == (
        "template",
        board.project,
        "2026-12-01",
    )
    made = await alice.send(
        "project.from_template",
        template_id=template.id,
        name="Smith's kitchen",
        key="SMI",
        start_on="2027-03-01",
    )
    assert made.success, made
    project = made.data.project
    assert (project.type, project.template_id) == ("standard", template.id)
    assert (project.start_on, project.end_on) == ("2027-03-01", "2027-03-31")
    state = await _state(bob, project.id)
    assert [column.name for column in state.columns] == ["To do", "In progress", "On hold", "Done"]
    tasks = {task.title: task for task in state.tasks}
    assert sorted(task.key for task in state.tasks) == [f"SMI-{number}" for number in range(1, 7)]
    first, below = tasks["Measure the walls"], tasks["Below"]
    assert first.due_at == "2027-03-08T15:00:00.000Z", "a week after the start, as before"
    assert (below.parent_id, first.subtask_total, first.estimate_minutes) == (first.id, 1, 90)
    assert (first.assignee_ids, [label.name for label in state.labels]) == ([], ["Wet"])
    assert first.label_ids == [state.labels[0].id]
    [edge] = state.dependencies
    assert (edge.task_id, edge.depends_on_id, edge.lag_minutes) == (
        tasks["Choose the tiles"].id, first.id, 30
    )  # fmt: skip
    [checklist] = (await bob.send("checklist.list", task_id=edge.task_id)).data.checklists
    assert (checklist.name, tasks["Choose the tiles"].checklist_total) == ("Before", 2)
    statuses = {status.name: status for status in state.statuses}
    ways = [way.to_id for way in statuses["Not started"].transitions]
    assert ways == [statuses["In progress"].id, statuses["On hold"].id]
    assert statuses["On hold"].transitions is None
    done = tasks["Call the plumber"]
    assert done.completed_at is None, "what is done there has to be done here"
    assert done.column_id == first.column_id
    ids = {
        entity.id for name in ("tasks", "columns", "statuses", "boards", "labels") for entity in state[name]
    }
    there = await _state(bob, board.project)
    assert not ids & {
        entity.id for name in ("tasks", "columns", "statuses", "boards", "labels") for entity in there[name]
    }
    more = await bob.send("task.create", room=f"project:{project.id}", title="More")
    assert more.data.task.key == "SMI-7"
    moved = await bob.send("task.move", task_id=first.id, column_id=state.columns[1].id)
    assert moved.success, moved
    fresh = await alice.snapshot(world.tenant)
    asked = await alice.rest("GET", f"/rooms/{world.tenant}/events", params={"since": old.seq, "limit": 100})
    assert fold(store_of(old.snapshot), asked.data.events) == store_of(fresh.snapshot)


async def test_a_template_without_a_new_start_has_no_dates(alice: Person, board: Board) -> None:
    await _prepared(alice, board)
    template = (await alice.send("template.save", project_id=board.project, name="Any kitchen")).data.project
    made = await alice.send("project.from_template", template_id=template.id, name="Undated")
    assert (made.data.project.start_on, made.data.project.end_on) == (None, None)
    assert {task.due_at for task in (await _state(alice, made.data.project.id)).tasks} == {None}
    empty = await alice.send("project.from_template", template_id=template.id, name="Empty", tasks=False)
    assert (await _state(alice, empty.data.project.id)).tasks == []
    odd = await alice.send("project.from_template", template_id=board.project, name="x")
    assert odd.error.code == "NOT_FOUND", "a project is no template"
    far = await alice.send(
        "project.from_template", template_id=template.id, name="Far", start_on="2200-12-31"
    )
    assert list(far.error.field_errors) == ["start_on"]


async def test_a_duplicate_takes_people_along_if_asked(
    world: World, alice: Person, carol: Person, board: Board
) -> None:
    await _prepared(alice, board)
    part = {"project_id": board.project, "user_id": world.user_ids["carol"], "role": "member"}
    assert (await alice.call("project.add_member", part)).success
    plain = await alice.send("project.duplicate", project_id=board.project, name="Plain", dates=False)
    assert (plain.data.project.start_on, plain.data.project.end_on) == (None, None)
    assert [member.name for member in (await _state(alice, plain.data.project.id)).members] == ["Alice"]
    assert (await carol.send("project.get", project_id=plain.data.project.id)).error.code == "NOT_FOUND"
    full = await alice.send("project.duplicate", project_id=board.project, name="Full", members=True)
    assert full.success, full
    state = await _state(alice, full.data.project.id)
    assert {(member.name, member.role) for member in state.members} == {
        ("Alice", None), ("Bob", None), ("Carol", "member"), ("Gus", None),
    }  # fmt: skip
    assert full.data.project.start_on == "2026-12-01"
    assert (await carol.hears("project.joined", room=f"user:{world.user_ids['carol']}")).data
    made = await carol.send("task.create", room=f"project:{full.data.project.id}", title="x")
    assert made.success, "her role went along"


async def test_nobody_copies_what_he_does_not_see_or_may_not_give(
    world: World, alice: Person, carol: Person, board: Board
) -> None:
    attic = (await alice.send("project.create", name="Attic")).data.project
    for user, role in (("carol", "manager"), ("bob", "admin")):
        part = {"project_id": board.project, "user_id": world.user_ids[user], "role": role}
        assert (await alice.call("project.add_member", part)).success
    for project_id in (board.project, attic.id):
        refused = await carol.send("project.duplicate", project_id=project_id, name="Mine")
        assert refused.error.code == "FORBIDDEN", "a role in a project makes no projects"
    manager = await world.person("manager").connect()
    refused = await manager.send("project.duplicate", project_id=board.project, name="Mine", members=True)
    assert refused.error.code == "FORBIDDEN", "bob is admin there, and a manager makes no admins"
    mallory = await world.person("mallory").connect()
    for name, payload in (
        ("project.duplicate", {"project_id": board.project, "name": "x"}),
        ("template.save", {"project_id": board.project, "name": "x"}),
        ("project.from_template", {"template_id": board.project, "name": "x"}),
    ):
        assert (await mallory.call(name, payload)).error.code == "NOT_FOUND", name


async def test_two_thousand_tasks_are_copied_at_once(world: World, alice: Person, board: Board) -> None:
    async with world.sql() as db:
        await db.execute(
            "INSERT INTO tasks SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'number', "
            "1000 + n, 'key', 'X-' || n, 'position', 'b' || to_char(n, 'FM00000')))).* "
            "FROM tasks AS t, generate_series(1, 1995) AS n WHERE t.id = $1",
            UUID(board.first),
        )  # fmt: skip
    made = await alice.send("project.duplicate", project_id=board.project, name="Large")
    assert made.success, made
    async with world.sql() as db:
        count = await db.fetchrow(
            "SELECT count(*), count(DISTINCT position), max(number) FROM tasks WHERE project_id = $1",
            UUID(made.data.project.id),
        )
        assert tuple(count) == (2000, 2000, 2000)
    assert (await alice.send("task.create", room=board.room, title="One more")).success
    refused = await alice.send("project.duplicate", project_id=board.project, name="Larger")
    assert (refused.error.code, refused.error.details.limit) == ("CONFLICT", 2000)


async def test_dates_keep_their_day_and_hour_over_a_change_of_the_clocks(
    world: World, alice: Person, board: Board
) -> None:
    """In the zone of each task, or else the tenant's; a project without a start begins on the first day by those."""
    zurich, york = "Europe/Zurich", "America/New_York"
    assert (await alice.send("tenant.update_settings", room=world.tenant, timezone=york)).success
    day = {
        "all_day": True,
        "time_zone": zurich,
        "start_at": "2026-03-02T12:00:00Z",
        "due_at": "2026-03-06T12:00:00Z",
    }
    for task, changes in (
        (board.first, day),
        (board.second, {"time_zone": zurich, "due_at": "2026-03-06T08:00:00Z"}),
        (board.third, {"due_at": "2026-03-06T14:00:00Z"}),
    ):
        assert (await alice.send("task.update", task_id=task, changes=changes)).success
    made = await alice.send(
        "project.duplicate", project_id=board.project, name="Later", start_on="2026-07-06"
    )
    tasks = {task.title: task for task in (await _state(alice, made.data.project.id)).tasks}
    assert (tasks["Measure the walls"].start_at, tasks["Measure the walls"].due_at) == (
        "2026-07-05T22:00:00.000Z", "2026-07-10T21:59:59.999Z",
    )  # fmt: skip
    assert tasks["Choose the tiles"].due_at == "2026-07-10T07:00:00.000Z"
    assert tasks["Call the plumber"].due_at == "2026-07-10T13:00:00.000Z"


async def test_what_was_begun_goes_to_a_status_that_a_column_shows(
    world: World, alice: Person, board: Board
) -> None:
    """Not to the first of the workflow, where no column shows that."""
    idea = await alice.send("status.create", project_id=board.project, name="Idea", category="backlog")
    first = {"status_id": idea.data.status.id, "before_id": world.statuses["Not started"]}
    assert (await alice.call("status.move", first)).success
    assert (await alice.send("task.move", task_id=board.first, column_id=board.done)).success
    made = await alice.send("project.duplicate", project_id=board.project, name="Afresh")
    state = await _state(alice, made.data.project.id)
    statuses = {status.id: status.name for status in state.statuses}
    task = next(task for task in state.tasks if task.title == "Measure the walls")
    assert (statuses[task.status_id], task.completed_at) == ("Not started", None)


async def test_a_copy_ends_after_it_starts_and_in_the_calendar(alice: Person, board: Board) -> None:
    ends = {"project_id": board.project, "end_on": "2026-12-31"}
    assert (await alice.call("project.update", ends)).success
    late = await alice.send("project.duplicate", project_id=board.project, name="Late", start_on="2027-06-01")
    assert list(late.error.field_errors) == ["start_on"]
    begins = {"project_id": board.project, "start_on": "1950-01-01"}
    assert (await alice.call("project.update", begins)).success
    far = {"project_id": board.project, "name": "Far", "start_on": "2190-01-01"}
    for tasks in (True, False):
        refused = await alice.call("project.duplicate", {**far, "tasks": tasks})
        assert list(refused.error.field_errors) == ["start_on"], tasks

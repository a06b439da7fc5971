"""To another project, again, or into one: what comes along, what stays, and who hears what."""

from typing import Any

import pytest

from handlers.work.projects.labels import MOST as MOST_LABELS
from handlers.work.tasks.checklists import MOST as MOST_CHECKLISTS
from tests.reducer import fold, store_of
from tests.world import Board, Cluster, Person, World, second_node

CARRIED = {"approvals", "checklists", "comments", "dependencies", "reminders", "series"}
"""Tables that name the project beside a task, which `transfer_tasks` takes along."""
LEFT = {"rule_runs", "sprint_facts"}
"""Those that stay: what a sprint came to, and what rules of the project did."""
BOUND = {"parent_id", "column_id", "status_id", "label_ids", "sprint_id", "file_ids"}
"""Fields of a task that mean things of its project, which a transfer maps or takes away."""
FREE = {
    "tenant_id", "project_id", "id", "assignee_ids", "watcher_ids", "unwatched_ids", "created_by", "updated_by", "moved_by",
    "deleted_with", "archived_with", "series_id",
}  # fmt: skip
"""The others that hold ids: people, and tasks that go along."""


async def _bathroom(alice: Person, *members: str) -> tuple[str, Any]:
    made = await alice.send("project.create", name="Bathroom", key="BATH", member_ids=list(members))
    assert made.success, made
    project: str = made.data.project.id
    return project, (await alice.snapshot(f"project:{project}")).snapshot


async def test_a_task_goes_with_all_that_belongs_to_it(
    alice: Person, bob: Person, board: Board, world: World
) -> None:
    bathroom, there = await _bathroom(alice, world.user_ids["bob"])
    task, other = board.tasks[:2]
    below = (await alice.send("task.create", room=board.room, title="Part", parent_id=task)).data.task.id
    people = {"assignee_ids": [world.user_ids["bob"], world.user_ids["carol"]]}
    await alice.send("task.update", task_id=task, changes={**people, "parent_id": other})
    await alice.send("comment.add", task_id=task, body="The *left* wall")
    await alice.send("checklist.create", task_id=task, name="Before", items=["Tape"])
    lost = await alice.send("dependency.add", task_id=below, depends_on_id=board.third)
    await alice.send("task.move", task_id=task, column_id=board.doing)
    await bob.join(f"project:{bathroom}")
    bob.forget()
    reply = await alice.send("task.transfer", project_id=board.project, task_id=task, to_project_id=bathroom)
    assert reply.success, reply
    left = await bob.hears("task.left")
    assert left.data.task == {"id": task, "removed": True}
    assert left.data.tasks == [
        {"id": below, "removed": True},
        {"id": other, "subtask_total": 0, "subtask_done": 0},
    ]
    assert left.data.dependencies == [{"id": lost.data.dependency.id, "removed": True}]
    assert reply.data.dropped == [lost.data.dependency.id]
    arrived = await bob.hears("task.arrived")
    assert arrived.room == f"project:{bathroom}"
    moved = arrived.data.task
    assert (moved.key, moved.parent_id, moved.comment_count, moved.checklist_total) == ("BATH-1", None, 1, 1)
    assert (moved.assignee_ids, moved.subtask_total) == ([world.user_ids["bob"]], 1), (
        "carol does not see it there"
    )
    names = {status.id: status.name for status in there.statuses}
    assert names[moved.status_id] == "In progress"
    assert [(part.id, part.parent_id) for part in arrived.data.tasks] == [(below, task)]
    assert len((await bob.send("comment.list", task_id=task)).data.comments) == 1
    for key in ("KIT-1", "BATH-1"):
        found = await bob.send("task.get_by_key", key=key)
        assert found.data.task.id == task, key
    assert (
        await alice.send("task.update", task_id=task, changes={"title": "Here"})
    ).meta.room == f"project:{bathroom}"


async def test_it_is_found_by_nodes_that_knew_it_elsewhere(
    cluster: Cluster, alice: Person, board: Board, world: World
) -> None:
    """A node that has looked a task up follows it: queries, and commands that come at once."""
    bathroom, _ = await _bathroom(alice)
    async with second_node(world, cluster) as (_, url):
        far = await world.person("alice", url=url).connect()
        assert (await far.send("task.get", task_id=board.first)).success
        moved = await alice.send(
            "task.transfer", project_id=board.project, task_id=board.first, to_project_id=bathroom
        )
        assert moved.success, moved
        answers = [
            await far.post("task.update", {"task_id": board.first, "changes": {"title": f"Title {n}"}})
            for n in range(4)
        ]
        assert [(await answer).success for answer in answers] == [True] * 4
        assert (await far.send("task.get", task_id=board.first)).data.task.project_id == bathroom
        here = await far.send("task.get", task_id=board.second)
        assert here.data.task.project_id == board.project


async def test_rights_are_asked_for_there(alice: Person, bob: Person, board: Board, world: World) -> None:
    bathroom, _ = await _bathroom(alice)
    way = {"project_id": board.project, "task_id": board.first, "to_project_id": bathroom}
    gus = await world.person("gus").connect()
    for name, role, code in (("gus", "member", "NOT_FOUND"), ("viewer", "member", "FORBIDDEN")):
        given = {"project_id": board.project, "user_id": world.user_ids[name], "role": role}
        assert (await alice.call("project.add_member", given)).success
        person = gus if name == "gus" else await world.person(name).connect()
        for call in ("task.transfer", "task.copy"):
            assert (await person.call(call, way)).error.code == code, (name, call)
    same = await alice.call("task.transfer", {**way, "to_project_id": board.project})
    assert list(same.error.field_errors) == ["to_project_id"]
    assert (await bob.call("task.copy", way)).success


async def test_a_copy_begins_anew(alice: Person, bob: Person, board: Board, world: World) -> None:
    task = board.first
    changes = {"assignee_ids": [world.user_ids["bob"]], "tags": ["wet"], "due_at": "2150-01-01T00:00:00Z"}
    await alice.send("task.update", task_id=task, changes={**changes, "parent_id": board.second})
    await alice.send("task.create", room=board.room, title="Part", parent_id=task)
    await alice.send("checklist.create", task_id=task, name="Before", items=["Tape", "Cover"])
    await alice.send("task.move", task_id=task, column_id=board.done)
    await bob.hears("task.assigned")
    bob.forget()
    reply = await alice.send("task.copy", project_id=board.project, task_id=task)
    assert reply.success, reply
    heard = await bob.hears("task.copied")
    copy = heard.data.task
    part, parent = heard.data.tasks
    assert (copy.title, copy.completed_at, copy.column_id) == ("Measure the walls", None, board.todo)
    assert (copy.tags, copy.checklist_total, copy.checklist_done, copy.subtask_total) == (["wet"], 2, 0, 1)
    assert (part.title, part.parent_id) == ("Part", copy.id)
    assert parent == {"id": board.second, "subtask_total": 2, "subtask_done": 1}
    assert (await bob.hears("task.assigned")).data.assignment.id == copy.id
    plain = await alice.send("task.copy", project_id=board.project, task_id=task, include=[], title="Plain")
    assert (plain.data.task.title, plain.data.task.due_at, plain.data.task.assignee_ids) == (
        "Plain",
        None,
        [],
    )
    assert (plain.data.task.subtask_total, plain.data.task.checklist_total) == (0, 0)


async def test_a_duplicate_is_merged(alice: Person, bob: Person, board: Board, world: World) -> None:
    twin, kept, before = board.tasks[:3]
    for task in (twin, kept):
        await alice.send("comment.add", task_id=task, body="One")
    await alice.send("dependency.add", task_id=twin, depends_on_id=before)
    await alice.send("dependency.add", task_id=twin, depends_on_id=kept)
    await alice.send("dependency.add", task_id=board.tasks[3], depends_on_id=twin)
    await alice.send("dependency.add", task_id=board.tasks[3], depends_on_id=kept)
    below = (await alice.send("task.create", room=board.room, title="Part", parent_id=twin)).data.task.id
    await alice.send(
        "task.update", task_id=twin, changes={"tags": ["wet"], "assignee_ids": [world.user_ids["bob"]]}
    )
    await bob.hears("task.assigned")
    bob.forget()
    reply = await alice.send("task.merge", task_id=twin, into_id=kept)
    assert reply.success, reply
    heard = await bob.hears("task.merged")
    assert (heard.data.task.tags, heard.data.task.comment_count) == (["wet"], 2)
    assert (await bob.hears("task.assigned")).data.assignment.id == kept
    edges = (await bob.send("dependency.list", task_id=kept)).data
    assert [other.id for other in edges.waits_for] == [before]
    assert [other.id for other in edges.blocks] == [board.tasks[3]]
    links = (await bob.send("link.list", task_id=kept)).data.links
    assert [(link.relation, link.task.id) for link in links] == [("is_duplicated_by", twin)]
    assert (await bob.send("task.get", task_id=below)).data.task.parent_id == kept
    assert (await bob.send("task.get", task_id=twin)).data.task.archived_at is not None
    assert len((await bob.send("comment.list", task_id=kept)).data.comments) == 2
    assert (await alice.send("task.merge", task_id=kept, into_id=below)).error.code == "CONFLICT"


async def test_nothing_of_a_task_is_left_behind(shared: World) -> None:
    """A new table or field that is about tasks has to be thought of here."""
    async with shared.sql() as db:
        tables = await db.fetch(
            "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' "
            "AND column_name IN ('task_id', 'project_id') GROUP BY 1 HAVING count(*) = 2"
        )
        fields = await db.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'tasks' AND udt_name IN ('uuid', '_uuid')"
        )
    assert {row["table_name"] for row in tables} == CARRIED | LEFT
    assert {row["column_name"] for row in fields} == BOUND | FREE


@pytest.mark.parametrize("call", ["task.transfer", "task.copy"])
async def test_labels_become_those_of_the_same_name(
    alice: Person, bob: Person, board: Board, world: World, call: str
) -> None:
    """Those that there are not are made, where the mover may do that, or are left behind and named."""
    bathroom, _ = await _bathroom(alice, world.user_ids["bob"])
    there = await alice.send("label.create", room=f"project:{bathroom}", name="wet", colour="#0f0")
    ids = [
        (await alice.send("label.create", room=board.room, name=name, colour="#00f")).data.label.id
        for name in ("Dry", "Wet")
    ]
    for task in board.tasks[:2]:
        assert (await alice.send("task.update", task_id=task, changes={"label_ids": ids})).success
    way = {"project_id": board.project, "to_project_id": bathroom}
    first = await bob.send(call, task_id=board.first, **way)
    assert (first.data.task.label_ids, first.data.left_labels) == ([there.data.label.id], ["Dry"])
    await bob.join(f"project:{bathroom}")
    old = await bob.snapshot(f"project:{bathroom}")
    second = await alice.send(call, task_id=board.second, **way)
    assert second.data.left_labels == []
    made = (await bob.hears("label.created", room=f"project:{bathroom}")).data.label
    assert (made.name, made.colour, made.project_id) == ("Dry", "#0000ff", bathroom)
    assert second.data.task.label_ids == [made.id, there.data.label.id]
    told = await bob.rest("GET", f"/rooms/project:{bathroom}/events", params={"since": old.seq})
    fresh = await bob.snapshot(f"project:{bathroom}")
    assert fold(store_of(old.snapshot), told.data.events) == store_of(fresh.snapshot)


async def test_no_more_labels_are_made_than_a_project_may_have(
    alice: Person, board: Board, world: World
) -> None:
    bathroom, _ = await _bathroom(alice)
    ids = [
        (await alice.send("label.create", room=board.room, name=name, colour="#00f")).data.label.id
        for name in ("Wet", "Dry", "damp")
    ]
    assert (await alice.send("task.update", task_id=board.first, changes={"label_ids": ids})).success
    async with world.sql() as db:
        await db.execute(
            "INSERT INTO labels (tenant_id, project_id, id, name, colour, created_by, created_at, updated_by, updated_at) "
            "SELECT tenant_id, $1, gen_random_uuid(), 'Label ' || n, colour, created_by, now(), updated_by, now() "
            "FROM labels, generate_series(1, $2) AS n WHERE id = $3",
            bathroom,
            MOST_LABELS - 2,
            ids[0],
        )
    way = {"project_id": board.project, "task_id": board.first, "to_project_id": bathroom}
    reply = await alice.call("task.transfer", way)
    assert reply.data.left_labels == ["Wet"], "by name, as far as there is room"
    named = {one.id: one.name for one in (await alice.send("label.list", project_id=bathroom)).data.labels}
    assert [named[one] for one in reply.data.task.label_ids] == ["Dry", "damp"]
    assert len(named) == MOST_LABELS


@pytest.mark.parametrize("way", [0, 1])
async def test_what_is_linked_already_is_merged_too(alice: Person, board: Board, way: int) -> None:
    ends = board.tasks[:2]
    link = {
        "project_id": board.project,
        "task_id": ends[way],
        "other_id": ends[1 - way],
        "type": "duplicates",
    }
    there = await alice.call("link.add", link)
    merged = await alice.send("task.merge", task_id=ends[0], into_id=ends[1])
    assert merged.success, merged
    assert merged.data.link == there.data.link
    assert len((await alice.send("link.list", task_id=ends[1])).data.links) == 1


async def test_who_has_unwatched_a_task_is_not_brought_back_by_its_twin(
    alice: Person, bob: Person, board: Board, world: World
) -> None:
    twin, kept = board.tasks[:2]
    assert (await bob.send("task.watch", task_id=twin)).success
    assert (await bob.send("task.unwatch", task_id=kept)).success
    carol = {"task_id": twin, "user_id": world.user_ids["carol"]}
    assert (await alice.call("task.watch", carol)).success
    assert (await alice.send("task.merge", task_id=twin, into_id=kept)).success
    found = (await alice.send("task.get", task_id=kept)).data.task.watcher_ids
    assert world.user_ids["bob"] not in found
    assert world.user_ids["carol"] in found


async def test_a_task_does_not_get_more_checklists_than_it_may_have(alice: Person, board: Board) -> None:
    twin, kept = board.tasks[:2]
    for task, count in ((twin, 1), (kept, MOST_CHECKLISTS)):
        for number in range(count):
            assert (await alice.send("checklist.create", task_id=task, name=f"List {number}")).success
    refused = await alice.send("task.merge", task_id=twin, into_id=kept)
    assert (refused.error.code, refused.error.details) == ("CONFLICT", {"limit": MOST_CHECKLISTS})


async def test_a_series_goes_with_its_current_task_alone(alice: Person, board: Board) -> None:
    bathroom, _ = await _bathroom(alice)
    changes = {"due_at": "2150-03-04T17:00:00Z"}
    await alice.send("task.update", task_id=board.first, changes=changes)
    made = await alice.send("task.set_recurrence", task_id=board.first, rule="FREQ=WEEKLY")
    await alice.send("task.move", task_id=board.first, column_id=board.done)
    following = (await alice.hears("task.created")).data.task.id
    way = {"project_id": board.project, "to_project_id": bathroom}
    done = await alice.call("task.transfer", {**way, "task_id": board.first})
    assert done.success, done
    assert (await alice.send("task.get", task_id=board.first)).data.task.series_id is None
    assert (await alice.call("task.transfer", {**way, "task_id": following})).success
    told = (await alice.send("task.get_recurrence", task_id=following)).data.series
    assert (told.id, told.task_id) == (made.data.series.id, following)

"""Labels: made once for a project, put on tasks one by one or in bulk, and gone from all when they go."""

from typing import Any

from handlers.work.projects import labels
from tests.reducer import fold, store_of
from tests.world import Board, Person, World


async def _label(alice: Person, board: Board, name: str = "Wet", colour: str = "#00f") -> str:
    made = await alice.send("label.create", room=board.room, name=name, colour=colour)
    assert made.success, made
    return str(made.data.label.id)


async def _tasks(alice: Person, board: Board) -> dict[str, Any]:
    return {task.id: task for task in (await alice.snapshot(board.room)).snapshot.tasks}


async def test_a_label_is_made_and_changed_for_all(alice: Person, bob: Person, board: Board) -> None:
    made = await alice.send("label.create", room=board.room, name=" Wet ", colour="#00F")
    heard = await bob.hears("label.created")
    assert heard.data == made.data
    assert (heard.data.label.name, heard.data.label.colour) == ("Wet", "#0000ff")
    label_id = made.data.label.id
    assert (
        await alice.send(
            "label.update", project_id=board.project, label_id=label_id, colour="#0000ff", name="Damp"
        )
    ).success
    heard = await bob.hears("label.updated")
    assert heard.data.was == {"name": "Wet"}
    assert "colour" not in heard.data.label
    listed = await bob.send("label.list", project_id=board.project)
    assert listed.data.labels == (await bob.snapshot(board.room)).snapshot.labels
    assert [label.name for label in listed.data.labels] == ["Damp"]


async def test_names_are_used_once(alice: Person, bob: Person, board: Board) -> None:
    first = await _label(alice, board)
    other = await _label(alice, board, "Dry")
    again = await alice.send("label.create", room=board.room, name="wet", colour="#fff")
    assert (again.error.code, list(again.error.field_errors)) == ("CONFLICT", ["name"])
    assert (
        await alice.send("label.update", project_id=board.project, label_id=other, name="WET")
    ).error.code == "CONFLICT"
    assert (await alice.send("label.update", project_id=board.project, label_id=first, name="WET")).success
    refused = await bob.send("label.create", room=board.room, name="Mine", colour="#fff")
    assert refused.error.details == {"permission": "board.edit"}
    bad = await alice.send("label.create", room=board.room, name="x", colour="red")
    assert list(bad.error.field_errors) == ["colour"]


async def test_tasks_take_labels_of_their_project_alone(alice: Person, board: Board) -> None:
    label_id = await _label(alice, board)
    made = await alice.send("task.create", room=board.room, title="New", label_ids=[label_id, label_id])
    assert made.data.task.label_ids == [label_id]
    changed = await alice.send("task.update", task_id=board.first, changes={"label_ids": [label_id]})
    assert changed.data.task.label_ids == [label_id]
    assert changed.data.was == {"label_ids": []}
    other = (await alice.send("project.create", name="Bathroom")).data.project.id
    made = await alice.send("label.create", room=f"project:{other}", name="Wet", colour="#00f")
    foreign = made.data.label.id
    for reply in (
        await alice.send("task.create", room=board.room, title="New", label_ids=[foreign]),
        await alice.send("task.update", task_id=board.first, changes={"label_ids": [label_id, foreign]}),
        await alice.call(
            "tasks.update", {"project_id": board.project, "task_ids": board.tasks, "add_label_ids": [foreign]}
        ),
    ):
        assert reply.error.code == "VALIDATION_ERROR"
        assert foreign in next(iter(reply.error.field_errors.values()))[0]
    assert (await alice.send("task.get", task_id=board.first)).data.task.version == 2


async def test_in_bulk_and_in_lists(alice: Person, board: Board) -> None:
    wet, dry = await _label(alice, board), await _label(alice, board, "Dry")
    some = {"project_id": board.project, "task_ids": board.tasks[:3]}
    assert (await alice.call("tasks.update", {**some, "add_label_ids": [wet, dry]})).data.done == 3
    again = await alice.call("tasks.update", {**some, "add_label_ids": [dry]})
    assert again.data.unchanged == 3
    taken = await alice.call("tasks.update", {**some, "task_ids": [board.first], "remove_label_ids": [wet]})
    assert taken.data.done == 1
    for sort in ("number", "due_at", "updated_at"):
        listed = await alice.send("task.list", project_id=board.project, label_id=wet, sort=sort)
        assert {task.id for task in listed.data.tasks} == set(board.tasks[1:3])
    for field, value in (("labels", [wet]), ("labels", [wet, dry])):
        wanted = {"field": field, "op": "has_all", "value": value}
        found = await alice.send("tasks.find", project_id=board.project, filter=wanted)
        assert {task.id for task in found.data.tasks} == set(board.tasks[1:3])
    listed = await alice.send("task.list", project_id=board.project, column_id=board.todo, label_id=dry)
    assert [task.id for task in listed.data.tasks] == board.tasks[:3]


async def test_a_label_that_goes_leaves_every_task(
    alice: Person, bob: Person, board: Board, world: World
) -> None:
    label_id, kept = await _label(alice, board), await _label(alice, board, "Kept")
    some = {"project_id": board.project, "task_ids": board.tasks[:3], "add_label_ids": [label_id, kept]}
    assert (await alice.call("tasks.update", some)).success
    assert (await alice.send("task.delete", task_id=board.first)).success
    await bob.join(board.room)
    before = store_of((await bob.snapshot(board.room)).snapshot)
    assert (await alice.send("label.delete", project_id=board.project, label_id=label_id)).success
    heard = await bob.hears("label.deleted")
    assert {task.id for task in heard.data.tasks} == set(board.tasks[1:3])
    assert fold(before, [heard]) == store_of((await bob.snapshot(board.room)).snapshot)
    assert (await alice.send("task.restore", task_id=board.first)).data.task.label_ids == [kept]
    assert (
        await alice.send("label.delete", project_id=board.project, label_id=label_id)
    ).error.code == "NOT_FOUND"


async def test_one_on_very_many_tasks_is_not_taken_away_at_once(
    alice: Person, board: Board, monkeypatch: Any
) -> None:
    label_id = await _label(alice, board)
    some = {"project_id": board.project, "task_ids": board.tasks[:3], "add_label_ids": [label_id]}
    assert (await alice.call("tasks.update", some)).success
    monkeypatch.setattr(labels, "MOST_TAKEN", 2)
    refused = await alice.send("label.delete", project_id=board.project, label_id=label_id)
    assert (refused.error.code, refused.error.details) == ("CONFLICT", {"held": 3, "limit": 2})
    assert (await _tasks(alice, board))[board.first].label_ids == [label_id]


async def test_there_are_so_many(alice: Person, board: Board, monkeypatch: Any) -> None:
    monkeypatch.setattr(labels, "MOST", 1)
    await _label(alice, board)
    refused = await alice.send("label.create", room=board.room, name="One more", colour="#fff")
    assert refused.error.code == "CONFLICT"

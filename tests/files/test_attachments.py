"""Files on comments and tasks: who may attach which, what others hear, and what becomes of them with their tasks."""

from typing import Any
from uuid import uuid4

import pytest

from tests.files.hands import fetch, uploaded
from tests.world import Board, Person, World


def shown(file: Any) -> dict[str, Any]:
    return {name: file[name] for name in ("id", "name", "size", "content_type")}


async def _commented(person: Person, task_id: str, *files: Any) -> Any:
    reply = await person.send(
        "comment.add", task_id=task_id, body="See", file_ids=[file.id for file in files]
    )
    assert reply.success, reply
    return reply.data.comment


async def test_a_comment_shows_its_files(world: World, alice: Person, carol: Person, board: Board) -> None:
    first, second = await uploaded(world, name="1.txt", by="carol"), await uploaded(world, name="2.txt")
    comment = await _commented(carol, board.first, second, first)
    assert comment.attachments == [shown(second), shown(first)]
    heard = await alice.hears("comment.added")
    assert heard.data.comment == comment
    assert (await alice.send("comment.list", task_id=board.first)).data.comments == [comment]
    plain = await _commented(alice, board.first)
    assert plain.attachments == []
    assert (await fetch(world, second.id, by="carol"))[0].status == 200


async def test_an_edit_changes_them_or_leaves_them(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    first, second = await uploaded(world, name="1.txt"), await uploaded(world, name="2.txt")
    comment = await _commented(bob, board.first, first)
    about = {"task_id": board.first, "comment_id": comment.id}
    same = await bob.send("comment.edit", **about, body="Other words")
    assert "attachments" not in same.data.comment
    await alice.hears("comment.edited")
    edited = await bob.send("comment.edit", **about, body="Others", file_ids=[second.id])
    assert edited.data.comment.attachments == [shown(second)]
    heard = await alice.hears("comment.edited")
    assert heard.data.was.attachments == [shown(first)]
    none = await bob.send("comment.edit", **about, body="None", file_ids=[])
    assert none.data.comment.attachments == []
    [listed] = (await alice.send("comment.list", task_id=board.first)).data.comments
    assert listed.attachments == []


async def test_only_files_of_the_project_are_attached(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    other = (await alice.send("project.create", name="Bathroom")).data.project.id
    elsewhere = await uploaded(world, project_id=other)
    async with world.sql() as db:
        theirs = str(await db.fetchval("SELECT id FROM projects WHERE name = 'Rival plans'"))
    stranger = await uploaded(world, by="mallory", project_id=theirs)
    gone, here = await uploaded(world), await uploaded(world)
    assert (await alice.send("file.delete", file_id=gone.id)).success
    comment = await _commented(alice, board.first)
    for file_id in (elsewhere.id, stranger.id, gone.id, str(uuid4())):
        ids = {"task_id": board.first, "file_ids": [here.id, file_id]}
        for name, more in (
            ("comment.add", {"body": "See"}),
            ("comment.edit", {"body": "See", "comment_id": comment.id}),
            ("task.attach", {}),
        ):
            reply = await alice.call(name, {**ids, **more})
            assert reply.error.field_errors == {"file_ids": [f"is no file of this project: {file_id}"]}, name
    many = [str(uuid4()) for _ in range(21)]
    for bad in (many, "x", ["x"], None):
        reply = await bob.send("comment.add", task_id=board.first, body="See", file_ids=bad)
        assert reply.error.code == "VALIDATION_ERROR"
    assert (await bob.send("task.attach", task_id=board.first, file_ids=[])).error.code == "VALIDATION_ERROR"


async def test_another_name_and_the_end_show_at_once(world: World, alice: Person, board: Board) -> None:
    kept, gone = await uploaded(world, name="kept.txt"), await uploaded(world, name="gone.txt")
    await _commented(alice, board.first, kept, gone)
    assert (await alice.send("file.rename", file_id=kept.id, name="renamed.txt")).success
    assert (await alice.send("file.delete", file_id=gone.id)).success
    [comment] = (await alice.send("comment.list", task_id=board.first)).data.comments
    assert [one.name for one in comment.attachments] == ["renamed.txt"]


# Tasks.


async def test_files_are_attached_to_a_task_and_taken_off(
    world: World, alice: Person, bob: Person, carol: Person, board: Board
) -> None:
    first, second = await uploaded(world), await uploaded(world)
    attached = await bob.send("task.attach", task_id=board.first, file_ids=[second.id, first.id])
    task = attached.data.task
    assert (task.id, task.file_ids, task.version) == (board.first, [second.id, first.id], 2)
    assert (await alice.hears("task.attached")).data == attached.data
    again = await alice.send("task.attach", task_id=board.first, file_ids=[first.id])
    assert again.data.task.file_ids == [second.id, first.id]
    refused = await carol.send("task.attach", task_id=board.first, file_ids=[first.id])
    assert refused.error.details == {"permission": "task.edit"}
    off = await alice.send("task.detach", task_id=board.first, file_ids=[second.id, str(uuid4())])
    assert off.data.task.file_ids == [first.id]
    task = (await bob.send("task.get", task_id=board.first)).data.task
    assert (task.file_ids, task.version) == ([first.id], 4)
    snapshot = (await bob.snapshot(board.room)).snapshot.tasks
    assert next(one for one in snapshot if one.id == board.first).file_ids == [first.id]
    told = (await bob.send("activity.list", task_id=board.first, limit=3)).data.entries
    assert [entry.text for entry in told][::2] == [
        "Alice took files off KIT-1",
        "Bob attached files to KIT-1",
    ]


async def test_a_task_has_so_many(world: World, alice: Person, board: Board) -> None:
    files = [await uploaded(world, name=f"{n}.txt") for n in range(51)]
    for at in (0, 20, 40):
        reply = await alice.send(
            "task.attach", task_id=board.first, file_ids=[file.id for file in files[at : at + 20]][:10]
        )
        assert reply.success
    for at in (10, 30):
        ids = [file.id for file in files[at : at + 10]]
        assert (await alice.send("task.attach", task_id=board.first, file_ids=ids)).success
    full = await alice.send("task.attach", task_id=board.first, file_ids=[files[50].id])
    assert (full.error.code, full.error.details) == ("CONFLICT", {"limit": 50})


async def test_a_deleted_file_leaves_its_tasks_in_the_same_event(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    file, other = await uploaded(world), await uploaded(world)
    for task_id in board.tasks[:3]:
        ids = {"task_id": task_id, "file_ids": [file.id, other.id]}
        assert (await alice.call("task.attach", ids)).success
    assert (await alice.send("task.delete", task_id=board.third)).success
    assert (await alice.send("file.delete", file_id=file.id)).success
    heard = await bob.hears("file.deleted")
    assert {task.id: task.file_ids for task in heard.data.tasks} == {
        board.first: [other.id],
        board.second: [other.id],
    }
    restored = await alice.send("task.restore", task_id=board.third)
    assert restored.data.task.file_ids == [other.id]


async def test_the_trash_and_the_end_of_a_task_leave_its_files(
    world: World, alice: Person, board: Board
) -> None:
    file = await uploaded(world)
    await alice.send("task.attach", task_id=board.first, file_ids=[file.id])
    assert (await alice.send("task.delete", task_id=board.first)).success
    assert (await alice.send("file.list", project_id=board.project)).data.files == [file]
    assert (await fetch(world, file.id))[0].status == 200
    assert (await alice.send("task.restore", task_id=board.first)).data.task.file_ids == [file.id]


async def test_a_copy_has_the_same_files_in_its_project_and_none_in_another(
    world: World, alice: Person, board: Board
) -> None:
    other = (await alice.send("project.create", name="Bathroom")).data.project.id
    file = await uploaded(world)
    await alice.send("task.attach", task_id=board.first, file_ids=[file.id])
    about = {"project_id": board.project, "task_id": board.first}
    assert (await alice.send("task.copy", **about)).data.task.file_ids == [file.id]
    assert (await alice.send("task.copy", **about, to_project_id=other)).data.task.file_ids == []
    copied = await alice.send("project.duplicate", project_id=board.project, name="Again")
    assert copied.success, copied
    tasks = (await alice.send("task.list", project_id=copied.data.project.id)).data.tasks
    assert [task.file_ids for task in tasks if task.file_ids] == []


async def test_a_merge_keeps_both_tasks_files(world: World, alice: Person, board: Board) -> None:
    first, second = await uploaded(world), await uploaded(world)
    await alice.send("task.attach", task_id=board.first, file_ids=[first.id])
    await alice.send("task.attach", task_id=board.second, file_ids=[second.id, first.id])
    said = await _commented(alice, board.second, second)
    merged = await alice.send("task.merge", task_id=board.second, into_id=board.first)
    assert merged.data.task.file_ids == [first.id, second.id]
    [comment] = (await alice.send("comment.list", task_id=board.first)).data.comments
    assert (comment.id, comment.attachments) == (said.id, [shown(second)])


async def test_a_task_takes_its_own_files_to_another_project(
    world: World, alice: Person, carol: Person, board: Board
) -> None:
    other = (await alice.send("project.create", name="Bathroom")).data.project.id
    room = f"project:{other}"
    await alice.join(room)
    own, said, shared_one = [await uploaded(world, name=f"{name}.txt") for name in ("own", "said", "shared")]
    await alice.send("task.attach", task_id=board.first, file_ids=[own.id, shared_one.id])
    await alice.send("task.attach", task_id=board.second, file_ids=[shared_one.id])
    await _commented(alice, board.first, said, shared_one)
    for file in (own, said):
        assert (await fetch(world, file.id))[0].status == 200, "so that the node remembers where it was"
    gone = {"project_id": board.project, "task_id": board.first, "to_project_id": other}
    moved = await alice.call("task.transfer", gone)
    assert moved.data.task.file_ids == [own.id]
    left = await carol.hears("task.left")
    assert {file.id for file in left.data.files} == {own.id, said.id}
    arrived = await alice.hears("task.arrived")
    assert {(file.id, file.project_id) for file in arrived.data.files} == {(own.id, other), (said.id, other)}
    [comment] = (await alice.send("comment.list", task_id=board.first)).data.comments
    assert [one.name for one in comment.attachments] == ["said.txt"]
    listed = (await alice.send("file.list", project_id=board.project)).data.files
    assert [file.id for file in listed] == [shared_one.id]
    for file in (own, said):
        assert (await fetch(world, file.id))[0].status == 200
        assert (await fetch(world, file.id, by="carol"))[0].status == 404, "she does not see that project"
    assert (await fetch(world, shared_one.id, by="carol"))[0].status == 200
    assert (await alice.send("file.rename", file_id=own.id, name="there.txt")).meta.room == room


@pytest.mark.parametrize("role", ["member", "manager"])
async def test_nobody_takes_a_file_away_that_he_may_not_delete(
    world: World, alice: Person, bob: Person, board: Board, role: str
) -> None:
    """With a task alone somebody would have a file of others in a project of his own, and delete it there."""
    at_home = {"project_id": board.project, "user_id": world.user_ids["bob"], "role": role}
    assert (await alice.send("project.add_member", **at_home)).success
    other = (await alice.send("project.create", name="Bathroom")).data.project.id
    there = {"project_id": other, "user_id": world.user_ids["bob"], "role": "manager"}
    assert (await alice.send("project.add_member", **there)).success
    theirs, own = await uploaded(world, name="contract.pdf"), await uploaded(world, by="bob")
    said = await uploaded(world, name="said.txt")
    below = (await bob.send("task.create", room=board.room, title="Part", parent_id=board.first)).data.task.id
    await bob.send("task.attach", task_id=board.first, file_ids=[theirs.id, own.id])
    await bob.send("task.attach", task_id=below, file_ids=[theirs.id])
    await _commented(bob, board.first, said, own)
    gone = {"project_id": board.project, "task_id": board.first, "to_project_id": other}
    alice.forget()
    moved = await bob.call("task.transfer", gone)
    assert moved.success, moved
    goes = [theirs.id, own.id] if role == "manager" else [own.id]
    assert moved.data.task.file_ids == goes
    assert (await bob.send("task.get", task_id=below)).data.task.file_ids == goes[:-1]
    left = await alice.hears("task.left")
    assert {file.id for file in left.data.files} == {*goes, *([said.id] if role == "manager" else [])}
    stay = {file.id for file in (await alice.send("file.list", project_id=board.project)).data.files}
    assert stay == (set() if role == "manager" else {theirs.id, said.id})
    [comment] = (await bob.send("comment.list", task_id=board.first)).data.comments
    assert [one.id for one in comment.attachments] == [said.id, own.id][len(stay) // 2 :]
    assert (await bob.send("file.delete", file_id=theirs.id)).success == (role == "manager")


@pytest.mark.parametrize("name", ["task.attach", "task.detach"])
async def test_a_task_in_the_archive_stays_as_it_is(
    world: World, alice: Person, board: Board, name: str
) -> None:
    file = await uploaded(world)
    assert (await alice.send("task.archive", task_id=board.first)).success
    reply = await alice.call(name, {"task_id": board.first, "file_ids": [file.id]})
    assert reply.error.code == "CONFLICT"

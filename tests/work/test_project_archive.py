"""The archive and the trash of projects: what is refused there, what goes there by itself, and what comes back."""

from collections.abc import Callable
from typing import Any

from tests.world import Board, Person, World


async def test_what_is_archived_is_read_and_not_changed(alice: Person, bob: Person, board: Board) -> None:
    await bob.join(board.room)
    gone = await alice.send("project.archive", project_id=board.project)
    assert gone.success, gone
    heard = await bob.hears("project.archived", room=board.room)
    assert heard.data.project.archived_at is not None
    assert heard.data.was == {"archived_at": None}
    for name, payload in (
        ("task.create", {"room": board.room, "title": "x"}),
        ("task.move", {"task_id": board.first, "column_id": board.doing}),
        ("comment.add", {"task_id": board.first, "body": "x"}),
        ("column.set_limit", {"column_id": board.doing, "limit": 3}),
        ("project.update", {"project_id": board.project, "name": "x"}),
        ("project.archive", {"project_id": board.project}),
        ("budget.set", {"project_id": board.project, "minutes": 60}),
        ("project.add_member", {"project_id": board.project, "user_id": alice.id}),
    ):
        reply = await alice.call(name, payload)
        assert (reply.error.code, reply.error.details) == ("CONFLICT", {"reason": "project_archived"}), name
    viewer = await alice.world.person("viewer").connect()
    refused = await viewer.send("task.create", room=board.room, title="x")
    assert refused.error.code == "FORBIDDEN", "who may not anyway is told so"
    assert len((await bob.snapshot(board.room)).snapshot.tasks) == 5
    assert (await bob.send("task.list", project_id=board.project)).success
    assert (await alice.send("project.list")).data.projects == []
    left = await alice.send(
        "project.remove_member", project_id=board.project, user_id=alice.world.user_ids["gus"]
    )
    assert left.success, "rights end in the archive too"
    assert (await bob.send("project.unarchive", project_id=board.project)).error.code == "FORBIDDEN"
    assert (await alice.send("project.unarchive", project_id=board.project)).success
    assert (await bob.hears("project.unarchived", room=board.room)).data.project.archived_at is None
    assert (await bob.send("task.move", task_id=board.first, column_id=board.doing)).success
    assert (await alice.send("project.unarchive", project_id=board.project)).error.code == "CONFLICT"


async def test_an_archived_project_can_be_deleted_and_comes_back_archived(
    alice: Person, board: Board
) -> None:
    assert (await alice.send("project.archive", project_id=board.project)).success
    assert (await alice.send("project.delete", project_id=board.project)).success
    back = await alice.send("project.restore", project_id=board.project)
    assert back.data.project.archived_at is not None


async def test_moves_of_many_people_are_refused_together(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    """Moves are carried out several at once: each of them hears that the project is archived."""
    assert (await alice.send("project.archive", project_id=board.project)).success
    sent = [await bob.post("task.move", {"task_id": task, "column_id": board.doing}) for task in board.tasks]
    assert {(await reply).error.code for reply in sent} == {"CONFLICT"}


async def test_a_completed_project_goes_to_the_archive_by_itself(
    worlds: Callable[..., Any],
) -> None:
    world: World = await worlds(alarm_poll=3600)
    alice = await world.person("alice").connect()
    project_id = world.project_id
    settings = {"auto_archive_days": 3}
    assert (await alice.send("project.update", project_id=project_id, settings=settings)).success
    assert (await alice.send("project.update", project_id=project_id, status="completed")).success
    assert await world.node.alarms.once() == 0, "not for three days"
    async with world.sql() as db:
        key = f"archive:{project_id}"
        waits = await db.fetchval(
            "SELECT extract(epoch FROM a.at - p.completed_at) / 86400 FROM alarms AS a, projects AS p "
            "WHERE a.key = $1 AND p.id::text = $2",
            key, project_id,
        )  # fmt: skip
        assert waits == 3
        await db.execute("UPDATE alarms SET try_at = now() WHERE key = $1", key)
        assert await world.node.alarms.once() == 1
        assert (await alice.send("project.get", project_id=project_id)).data.project.archived_at is None
        await db.execute("UPDATE projects SET completed_at = completed_at - interval '4 days'")
    again = {"auto_archive_days": 2}
    assert (await alice.send("project.update", project_id=project_id, settings=again)).success
    assert await world.node.alarms.once() == 1
    assert (await alice.hears("project.archived")).data.project.id == project_id
    assert (await alice.send("project.unarchive", project_id=project_id)).success
    assert (await alice.send("project.update", project_id=project_id, name="To be read again")).success
    assert await world.node.alarms.once() == 0, "what was taken out does not go back by itself"


async def test_the_trash_has_what_one_may_restore(
    world: World, alice: Person, bob: Person, carol: Person, board: Board
) -> None:
    attic = (await alice.send("project.create", name="Attic")).data.project
    assert (await alice.send("project.delete", project_id=attic.id)).success
    below = await alice.send("task.create", room=board.room, title="Below", parent_id=board.first)
    for task_id in board.tasks[:2]:
        assert (await alice.send("task.delete", task_id=task_id)).success
    projects = (await alice.send("trash.list")).data
    assert [(row.id, row.name, row.deleted_by) for row in projects.projects] == [
        (attic.id, "Attic", alice.id)
    ]
    first = await bob.send("trash.list", kind="task", limit=1)
    second = await bob.send("trash.list", kind="task", limit=1, cursor=first.meta.pagination.next)
    assert [first.data.tasks[0].id, second.data.tasks[0].id] == [board.second, board.first]
    assert second.meta.pagination.next is None, f"{below.data.task.id} went with its parent"
    assert (await bob.send("trash.list")).data == {"projects": [], "tasks": []}, (
        "a member restores no project"
    )
    assert (await carol.send("trash.list", kind="task")).data.tasks == [], "a client restores nothing"
    mallory = await world.person("mallory").connect()
    assert (await mallory.send("trash.list", kind="task")).data.tasks == []
    assert (await alice.send("task.restore", task_id=board.first)).success
    left = await bob.send("trash.list", kind="task", project_id=board.project)
    assert [task.id for task in left.data.tasks] == [board.second]
    assert (await bob.send("trash.list", kind="task", project_id=attic.id)).data.tasks == []


async def test_what_is_given_up_does_not_come_back(world: World, alice: Person, board: Board) -> None:
    early = await alice.send("project.purge", project_id=board.project)
    assert early.error.code == "NOT_FOUND", "only what is in the trash"
    assert (await alice.send("project.delete", project_id=board.project)).success
    manager = await world.person("manager").connect()
    assert (await manager.send("project.purge", project_id=board.project)).error.code == "FORBIDDEN"
    assert (await alice.send("project.purge", project_id=board.project)).success
    assert (await alice.send("trash.list")).data.projects == []
    for name in ("project.restore", "project.purge"):
        assert (await alice.send(name, project_id=board.project)).error.code == "NOT_FOUND", name


async def test_what_comes_back_is_in_nothing_that_is_archived(alice: Person, board: Board) -> None:
    program = (await alice.send("project.create", name="Houses", type="program")).data.project.id
    assert (await alice.send("project.update", project_id=board.project, parent_id=program)).success
    assert (await alice.send("project.delete", project_id=board.project)).success
    assert (await alice.send("project.archive", project_id=program)).success
    back = await alice.send("project.restore", project_id=board.project)
    assert back.data.project.parent_id is None

"""What is too long in the trash, or was given up, is removed: rows and log, in one tenant alone; the evidence stays."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.reducer import fold, store_of
from tests.world import LOGIN_PASSWORD, Board, Person, World

LOGS = ("room_events", "event_tasks", "history_steps")


async def _left(world: World, project_id: str) -> dict[str, int]:
    """How many rows of a project there are, by table."""
    found = {}
    async with world.sql() as db:
        for row in await db.fetch(
            "SELECT c.relname AS name FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid "
            "WHERE a.attname = 'project_id' AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
        ):
            found[row["name"]] = await db.fetchval(
                f"SELECT count(*) FROM {row['name']} WHERE project_id = $1", UUID(project_id)
            )
        for name, key in (("projects", "id"), ("rooms", "id"), *((log, "room_id") for log in LOGS)):
            found[name] = await db.fetchval(f"SELECT count(*) FROM {name} WHERE {key} = $1", UUID(project_id))
    return {name: count for name, count in found.items() if count}


async def _filled(world: World, alice: Person, board: Board) -> None:
    below = await alice.send("task.create", room=board.room, title="Below", parent_id=board.first)
    assert below.success
    for name, payload in (
        ("dependency.add", {"task_id": board.second, "depends_on_id": board.first}),
        ("comment.add", {"task_id": board.first, "body": "x"}),
        ("label.create", {"room": board.room, "name": "Wet", "colour": "#00f"}),
        ("checklist.create", {"task_id": board.first, "name": "Before", "items": ["Tape"]}),
        ("budget.set", {"project_id": board.project, "minutes": 60}),
        ("tasks.update", {"project_id": board.project, "task_ids": board.tasks, "add_tags": ["x"]}),
        ("history.undo", {"project_id": board.project}),
    ):
        reply = await alice.call(name, payload)
        assert reply.success, reply
    assert (await alice.rest("POST", f"/projects/{board.project}/files?name=x", data=b"x")).success


async def test_a_project_that_was_given_up_is_gone_for_good(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    await _filled(world, alice, board)
    kept = (await alice.send("project.create", name="Kept")).data.project
    assert (await alice.send("project.delete", project_id=board.project)).success
    assert await world.node.maintenance.trash() == 0, "it may still be restored"
    assert (await alice.send("project.purge", project_id=board.project)).success
    assert await world.node.maintenance.trash() == 1
    assert await _left(world, board.project) == {}
    assert (await _left(world, kept.id))["projects"] == 1
    assert await world.node.maintenance.trash() == 0
    for name, payload in (
        ("task.get", {"task_id": board.first}),
        ("room.join", {"room": board.room}),
        ("project.restore", {"project_id": board.project}),
    ):
        assert (await alice.call(name, payload)).error.code == "NOT_FOUND", name
    audit = (await alice.send("audit.list", room=world.tenant, limit=100)).data.entries
    assert {"project.create", "project.delete", "project.purge", "project.purged"} <= {
        entry.action for entry in audit if board.project in str(entry)
    }
    again = await alice.send("project.create", name="Kitchen", key="KIT", id=board.project)
    assert again.success, "its key and its id are free"


async def test_what_is_in_the_trash_is_neither_changed_nor_taken_out(
    world: World, alice: Person, board: Board
) -> None:
    kept = (await alice.send("project.create", name="Kept")).data.project
    team = (await alice.send("team.create", name="Tilers")).data.team
    allocation = (
        await alice.send(
            "allocation.add",
            project_id=board.project,
            user_id=alice.id,
            minutes_per_week=60,
            start_on="2026-12-01",
        )
    ).data.allocation
    assert (await alice.send("project.delete", project_id=board.project)).success
    before = await _left(world, board.project)
    for name, payload in (
        ("task.copy", {"task_id": board.first, "to_project_id": kept.id}),
        ("task.copy", {"task_id": board.first}),
        ("link.add", {"task_id": board.first, "other_id": board.second}),
        ("project.share", {"team_id": team.id}),
        ("allocation.remove", {"allocation_id": allocation.id}),
        ("task.transfer", {"task_id": board.first, "to_project_id": kept.id}),
    ):
        reply = await alice.send(name, project_id=board.project, **payload)
        assert not reply.success, name
        assert reply.error.code == "NOT_FOUND", reply
    assert await _left(world, board.project) == before
    assert (await alice.send("project.restore", project_id=board.project)).success


async def test_the_trash_is_emptied_after_its_days(world: World, alice: Person, board: Board) -> None:
    """What went with a task goes with it, and what was restored meanwhile stays."""
    below = await alice.send("task.create", room=board.room, title="Below", parent_id=board.first)
    attic = (await alice.send("project.create", name="Attic")).data.project
    late = (await alice.send("project.create", name="Late")).data.project
    for task_id in board.tasks[:2]:
        assert (await alice.send("task.delete", task_id=task_id)).success
    for project_id in (attic.id, late.id):
        assert (await alice.send("project.delete", project_id=project_id)).success
    assert (await alice.send("task.restore", task_id=board.second)).success
    assert (await alice.send("project.restore", project_id=late.id)).success
    now = datetime.now(UTC)
    assert await world.node.maintenance.trash(now + timedelta(days=29)) == 0
    assert len((await alice.send("trash.list", kind="task")).data.tasks) == 1
    assert await world.node.maintenance.trash(now + timedelta(days=31)) == 1
    assert await _left(world, attic.id) == {}
    assert (await alice.send("trash.list", kind="task")).data.tasks == []
    async with world.sql() as db:
        ids = [UUID(board.first), UUID(below.data.task.id), UUID(board.second)]
        assert [row["id"] for row in await db.fetch("SELECT id FROM tasks WHERE id = ANY($1)", ids)] == ids[
            2:
        ]
    assert len((await alice.snapshot(board.room)).snapshot.tasks) == 4


async def test_nobody_else_can_remove_a_log(world: World, alice: Person, board: Board) -> None:
    """The function asks itself whether the project was given up, in the tenant of the transaction."""

    async def remove(tenant_id: str) -> Any:
        db = await asyncpg.connect(world.login, password=LOGIN_PASSWORD)
        try:
            async with db.transaction():
                await db.execute("SELECT set_config('atrium.tenant', $1, true)", tenant_id)
                return await db.fetchval("SELECT purge_room_log($1, 10)", UUID(board.project))
        finally:
            await db.close()

    async with world.sql() as db:
        rival = str(await db.fetchval("SELECT id FROM tenants WHERE slug = 'rival'"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await remove(world.tenant_id)
    assert (await alice.send("project.delete", project_id=board.project)).success
    assert (await alice.send("project.purge", project_id=board.project)).success
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await remove(rival)
    assert await remove(world.tenant_id) > 0


async def test_whoever_had_much_of_it_hears_so_in_portions(
    alice: Person, bob: Person, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.work.projects.parts.MOST_GONE", 2)
    given = {"assignee_ids": [bob.id]}
    for task in board.tasks:
        assert (await alice.send("task.update", task_id=task, changes=given)).success
    assert (await bob.send("view.create", project_id=board.project, name="Mine")).success
    own = f"user:{bob.id}"
    old = await bob.snapshot(own)
    assert (await alice.send("project.delete", project_id=board.project)).success
    assert (await alice.send("project.purge", project_id=board.project)).success
    told = await bob.rest("GET", f"/rooms/{own}/events", params={"since": old.seq})
    left = [event.data for event in told.data.events if "participation" in event.data]
    gone = [sum(len(ids) for ids in one.values() if isinstance(ids, list)) for one in left]
    assert gone == [2, 2, 2]
    assert all(one.participation == {"id": board.project, "removed": True} for one in left)
    fresh = await bob.snapshot(own)
    assert fold(store_of(old.snapshot), told.data.events) == store_of(fresh.snapshot)


@pytest.mark.parametrize("by_hand", [True, False])
async def test_what_people_had_of_it_leaves_their_own_rooms(
    world: World, alice: Person, bob: Person, board: Board, by_hand: bool
) -> None:
    """Old snapshot and events make the fresh one, whether it was given up or was there for too long."""
    given = {"assignee_ids": [bob.id]}
    assert (await alice.send("task.update", task_id=board.first, changes=given)).success
    assert (await bob.send("view.create", project_id=board.project, name="Mine")).success
    assert (await bob.send("column.collapse", column_id=board.doing)).success
    own = f"user:{bob.id}"
    old = await bob.snapshot(own)
    assert all(old.snapshot[name] for name in ("assignments", "participations", "views", "board_layouts"))
    assert (await alice.send("project.delete", project_id=board.project)).success
    if by_hand:
        assert (await alice.send("project.purge", project_id=board.project)).success
    else:
        assert await world.node.maintenance.trash(datetime.now(UTC) + timedelta(days=31)) == 1
    told = await bob.rest("GET", f"/rooms/{own}/events", params={"since": old.seq})
    fresh = await bob.snapshot(own)
    assert not any(
        fresh.snapshot[name] for name in ("assignments", "participations", "views", "board_layouts")
    )
    assert fold(store_of(old.snapshot), told.data.events) == store_of(fresh.snapshot)
    left = (await bob.hears("project.left")).data
    assert left.participation == {"id": board.project, "removed": True}
    await world.node.maintenance.trash()
    assert (await bob.snapshot(own)).snapshot == fresh.snapshot

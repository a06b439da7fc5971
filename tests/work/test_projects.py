"""Projects: create, change, trash; and who may take part."""

import pytest

from tests.world import Board, Person, World


async def test_a_project_comes_with_a_workflow_and_a_board(alice: Person, bob: Person) -> None:
    made = await alice.send("project.create", name="Garden shed")
    project = made.data.project
    assert (project.key, project.status, project.version) == ("GS", "active", 1)
    assert (await bob.hears("project.created")).data.project == project
    snapshot = (await bob.join(f"project:{project.id}")).snapshot
    assert [status.name for status in snapshot.statuses] == [
        "Not started", "In progress", "On hold", "Completed", "Cancelled",
    ]  # fmt: skip
    assert [column.name for column in snapshot.columns] == ["To do", "In progress", "On hold", "Done"]
    assert [member.name for member in snapshot.members] == ["Alice"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Kitchen", "KITC"),
        ("x", "PX"),
        ("2026 budget", "P2B"),
        ("Überraschung", "BERR"),
        ("日本", "PRO"),
        ("a b c d e f", "ABCD"),
        ("42", "P42"),
    ],
)
async def test_a_key_is_made_from_the_name(shared: World, name: str, key: str) -> None:
    alice = shared.people[0] if shared.people else await shared.person("alice").connect()
    first = await alice.send("project.create", name=name)
    second = await alice.send("project.create", name=name)
    assert (first.data.project.key, second.data.project.key) == (key, f"{key}2")


async def test_a_taken_key_is_a_conflict(alice: Person) -> None:
    reply = await alice.send("project.create", name="Another kitchen", key="KIT")
    assert (reply.error.code, list(reply.error.field_errors)) == ("CONFLICT", ["key"])


async def test_a_project_changes_for_the_tenant_and_for_itself(
    alice: Person, bob: Person, board: Board
) -> None:
    reply = await alice.send("project.update", project_id=board.project, name="Big kitchen", status="on_hold")
    assert reply.success, reply
    heard = [await bob.hears("project.updated") for _ in range(2)]
    assert {event.room.partition(":")[0] for event in heard} == {"tenant", "project"}
    assert heard[0].data == heard[1].data == reply.data
    assert heard[0].data.was == {"name": "Kitchen", "status": "active"}
    fresh = (await alice.send("project.get", project_id=board.project)).data.project
    assert (fresh.name, fresh.status, fresh.version) == ("Big kitchen", "on_hold", 2)


async def test_a_deleted_project_closes_its_room_and_comes_back(
    alice: Person, bob: Person, board: Board
) -> None:
    await bob.send("task.update", task_id=board.first, changes={"title": "Before"})
    bob.forget()
    await alice.send("project.delete", project_id=board.project)
    await bob.hears("project.deleted", room=board.room)
    assert await bob.hears("room.closed") == {"room": board.room, "reason": "deleted"}
    assert (await bob.send("room.join", room=board.room)).error.code == "NOT_FOUND"
    for name, payload in (
        ("task.create", {"room": board.room, "title": "x"}),
        ("task.get", {"task_id": board.first}),
        ("task.move", {"task_id": board.first, "column_id": board.doing}),
        ("project.get", {"project_id": board.project}),
        ("project.update", {"project_id": board.project, "name": "x"}),
        ("room.events", {"room": board.room}),
    ):
        assert (await alice.call(name, payload)).error.code == "NOT_FOUND", name
    assert (await alice.send("project.restore", project_id=board.project)).success
    assert (await bob.hears("project.restored")).data.project.id == board.project
    joined = await bob.join(board.room)
    assert len(joined.snapshot.tasks) == 5
    reply = await alice.send("task.move", task_id=board.first, column_id=board.doing)
    assert (await bob.hears("task.moved")).seq == reply.meta.seq


async def test_who_sees_which_projects(world: World, alice: Person, carol: Person) -> None:
    await alice.send("project.create", name="Attic")
    seen = {
        name: [p.name for p in (await person.send("project.list")).data.projects]
        for name, person in (("alice", alice), ("carol", carol))
    }
    assert seen == {"alice": ["Attic", "Kitchen"], "carol": ["Kitchen"]}


async def test_a_project_that_is_not_hers_does_not_exist_for_a_client(alice: Person, carol: Person) -> None:
    attic = (await alice.send("project.create", name="Attic")).data.project
    for name, payload in (
        ("project.get", {"project_id": attic.id}),
        ("room.join", {"room": f"project:{attic.id}"}),
        ("room.snapshot", {"room": f"project:{attic.id}"}),
        ("project.update", {"project_id": attic.id, "name": "x"}),
        ("project.delete", {"project_id": attic.id}),
    ):
        assert (await carol.call(name, payload)).error.code == "NOT_FOUND", name


async def test_a_part_in_a_project_gives_its_role_there_only(
    world: World, alice: Person, carol: Person, board: Board
) -> None:
    refused = await carol.send("task.create", room=board.room, title="x")
    assert refused.error.code == "FORBIDDEN"
    await alice.send(
        "project.add_member", project_id=board.project, user_id=world.user_ids["carol"], role="member"
    )
    assert (await carol.hears("project.member_added")).data.member.role == "member"
    assert (await carol.send("task.create", room=board.room, title="x")).success
    await alice.send("project.remove_member", project_id=board.project, user_id=world.user_ids["carol"])
    assert (await carol.send("task.create", room=board.room, title="x")).error.code == "NOT_FOUND"


async def test_who_takes_no_part_any_more_is_put_out_of_the_room(
    world: World, alice: Person, carol: Person, board: Board
) -> None:
    await alice.send("project.remove_member", project_id=board.project, user_id=world.user_ids["carol"])
    assert await carol.hears("room.closed") == {"room": board.room, "reason": "revoked"}
    await alice.send("task.move", task_id=board.first, column_id=board.doing)
    await carol.hears_nothing("task.moved")


@pytest.mark.parametrize("role", ["owner", "admin"])
async def test_nobody_gives_a_role_above_her_own(world: World, board: Board, role: str) -> None:
    manager = await world.person("manager").connect()
    await manager.send(
        "project.add_member", project_id=board.project, user_id=world.user_ids["manager"], role=role
    )
    reply = await manager.send("project.delete", project_id=board.project)
    assert not reply.success, f"a manager made himself {role} and deleted the project"
    assert reply.error.code == "FORBIDDEN"


@pytest.mark.parametrize("whose", ["the tenant's", "bob's"])
async def test_an_id_cannot_take_over_another_room(
    world: World, alice: Person, bob: Person, whose: str
) -> None:
    """Room ids are of one space: a project with the id of another room must not shadow it."""
    taken = world.tenant_id if whose == "the tenant's" else world.user_ids["bob"]
    made = await alice.send("project.create", name="Trojan", id=taken)
    assert not made.success, "a project has the id of another room"
    assert made.error.code == "CONFLICT"


async def test_a_shadowed_room_stays_open(world: World, alice: Person, bob: Person) -> None:
    await alice.send("project.create", name="Trojan", id=bob.id)
    await alice.send("project.delete", project_id=bob.id)
    assert (await bob.send("room.join", room=f"user:{bob.id}")).success, (
        "deleting a project has closed bob's own room"
    )


async def test_dates_run_forwards(alice: Person, board: Board) -> None:
    reply = await alice.send("project.create", name="x", start_on="2026-12-02", end_on="2026-12-01")
    assert reply.error.code == "VALIDATION_ERROR"
    reply = await alice.send(
        "project.update", project_id=board.project, start_on="2026-12-02", end_on="2026-12-01"
    )
    assert reply.error.code == "VALIDATION_ERROR"

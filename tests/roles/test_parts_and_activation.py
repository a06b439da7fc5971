"""A part in a project for a time; members deactivated and activated, one and many."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import socketio

from tests.roles.test_custom_roles import changed, code, connected
from tests.roles.test_groups import bathroom, permissions, team_of
from tests.world import Person, World

Pair = tuple[World, str]


async def test_a_guest_of_a_project_for_a_time(pair: Pair) -> None:
    """The part ends to the second on a live socket of another node, though nobody does anything."""
    world, there = pair
    alice = await world.person("alice").connect()
    gus = await world.person("gus", url=there).connect()
    project = await bathroom(alice)
    ends = datetime.now(UTC) + timedelta(seconds=1.2)
    await alice.send("project.add_member", project_id=project, user_id=gus.id, expires_at=ends.isoformat())
    told = (await gus.hears("project.joined", within=5)).data.participation
    assert (told.id, told.expires_at is not None) == (project, True)
    await gus.join(f"project:{project}")
    closed = await gus.hears("room.closed", room=f"project:{project}")
    assert closed.reason == "revoked"
    assert -0.05 < time.time() - ends.timestamp() < 1
    await alice.send("task.create", room=f"project:{project}", title="canary-e1f0")
    assert code(await gus.send("room.join", room=f"project:{project}")) == "NOT_FOUND"
    assert code(await gus.send("task.list", project_id=project)) == "NOT_FOUND"
    listed = (await gus.send("project.list", room=world.tenant)).data.projects
    assert [each.id for each in listed] == [world.project_id]
    assert "canary-e1f0" not in str(gus.journal)
    refused = await alice.send(
        "task.create", room=f"project:{project}", title="For gus", assignee_ids=[gus.id]
    )
    assert list(refused.error.field_errors) == ["assignee_ids"]


async def test_a_part_that_ends_leaves_the_one_of_the_team(
    world: World, alice: Person, carol: Person
) -> None:
    project, team = await bathroom(alice), await team_of(alice, "carol")
    await alice.send("project.share", project_id=project, team_id=team, role="viewer")
    soon = (datetime.now(UTC) + timedelta(seconds=0.8)).isoformat()
    await alice.send(
        "project.add_member", project_id=project, user_id=carol.id, role="manager", expires_at=soon
    )
    assert "board.edit" in (await carol.join(f"project:{project}")).permissions
    left = await carol.hears("room.permissions", room=f"project:{project}")
    assert left.permissions == ["presence.share", "project.view", "tenant.view"]
    assert code(await carol.send("board.create", room=f"project:{project}", name="Late")) == "FORBIDDEN"


async def test_sharing_with_one_person_is_heard_in_her_own_room(
    world: World, alice: Person, gus: Person
) -> None:
    project = await bathroom(alice)
    await alice.send("project.add_member", project_id=project, user_id=gus.id)
    assert (await gus.hears("project.joined")).data.participation.id == project
    mine = (await gus.snapshot(f"user:{gus.id}")).snapshot.participations
    assert {each.id for each in mine} == {project, world.project_id}
    await alice.send("project.remove_member", project_id=project, user_id=gus.id)
    assert (await gus.hears("project.left")).data.participation.id == project


async def test_deactivated_is_out_at_once_and_comes_back_with_everything(pair: Pair) -> None:
    world, there = pair
    alice = await world.person("alice").connect()
    await alice.join(world.project)
    bob = await connected(world, "bob")
    elsewhere = await world.person("bob", url=there).connect()
    await changed(alice, "bob", allowed=["board.edit"])
    before = await bob.snapshot(world.project)
    told = await alice.send("member.deactivate", user_id=bob.id)
    assert told.data.members == [{"id": bob.id, "status": "suspended"}]
    for window in (bob, elsewhere):
        await asyncio.wait_for(window.disconnected.wait(), 5)
    assert (await bob.rest("GET", f"/projects/{world.project_id}")).status == 401
    with pytest.raises(socketio.exceptions.ConnectionError):
        await world.person("bob").connect(token=bob.tokens.access_token)
    event = await alice.hears("project.members_changed")
    assert event.data.members == [{"id": bob.id, "active": False}]
    seen = {each.id: each for each in (await alice.snapshot(world.tenant)).snapshot.members}
    assert (seen[bob.id].status, seen[bob.id].allowed) == ("suspended", ["board.edit"])
    part = {each.id: each for each in (await alice.snapshot(world.project)).snapshot.members}[bob.id]
    assert part.active is False
    refused = await alice.send("task.create", room=world.project, title="For bob", assignee_ids=[bob.id])
    assert list(refused.error.field_errors) == ["assignee_ids"]
    assert (await alice.send("member.activate", user_id=bob.id)).success
    after = await world.person("bob").snapshot(world.project)
    assert (after.permissions, after.snapshot.members) == (before.permissions, before.snapshot.members)


async def test_many_at_once_with_an_outcome_each(world: World, alice: Person) -> None:
    admin = await connected(world, "admin")
    names = ("bob", "carol", "alice", "admin")
    people = [world.user_ids[name] for name in names]
    stranger = world.user_ids["mallory"]
    alice.forget()
    reply = await admin.send("member.deactivate_many", user_ids=[*people, stranger, people[0]])
    outcomes = [(each.ok, each.code) for each in reply.data.outcomes]
    assert outcomes == [
        (True, None), (True, None), (False, "FORBIDDEN"), (False, "CONFLICT"), (False, "NOT_FOUND")
    ]  # fmt: skip
    event = await alice.hears("member.deactivated")
    assert {each.id for each in event.data.members} == set(people[:2])
    again = await admin.send("member.deactivate_many", user_ids=people[:2])
    assert [each.ok for each in again.data.outcomes] == [True, True]
    back = await admin.send("member.activate_many", user_ids=people[:2])
    assert [each.ok for each in back.data.outcomes] == [True, True]
    async with world.sql() as db:
        counted = await db.fetch(
            "SELECT name, count(*) FROM room_events WHERE name LIKE 'member.%activated' GROUP BY name ORDER BY name"
        )
    assert [tuple(row) for row in counted] == [("member.activated", 1), ("member.deactivated", 1)]


async def test_a_thousand_in_one_command(world: World, alice: Person) -> None:
    """A thousand members of one project, out and back; the figure goes to the log of the test."""
    async with world.sql() as db:
        made = await db.fetch(
            "INSERT INTO users (id, email, name) SELECT gen_random_uuid(), 'crowd' || n || '@acme.example', 'Crowd' "
            "FROM generate_series(1, 1000) AS n RETURNING id"
        )
        people = [str(row["id"]) for row in made]
        await db.execute(
            "INSERT INTO members (tenant_id, user_id, role) SELECT $1, unnest($2::uuid []), 'member'",
            alice.world.tenant_id, people,
        )  # fmt: skip
        await db.execute(
            "INSERT INTO project_members (tenant_id, project_id, user_id) SELECT $1, $2, unnest($3::uuid [])",
            world.tenant_id, world.project_id, people,
        )  # fmt: skip
    started = time.perf_counter()
    reply = await alice.send("member.deactivate_many", user_ids=people)
    seconds = time.perf_counter() - started
    assert all(each.ok for each in reply.data.outcomes)
    assert len(reply.data.outcomes) == 1000
    print(f"1,000 members deactivated in {seconds:.2f} s")
    assert seconds < 5
    too_many = await alice.send("member.activate_many", user_ids=[*people, world.user_ids["bob"]])
    assert code(too_many) == "VALIDATION_ERROR"


async def test_one_who_can_act_remains(world: World, alice: Person) -> None:
    assert code(await alice.send("member.deactivate", user_id=alice.id)) == "CONFLICT"
    await changed(alice, "bob", role="owner")
    bob = await connected(world, "bob")
    soon: dict[str, Any] = {"expires_at": "2100-01-01T00:00:00Z"}
    assert (await changed(alice, "bob", **soon)).success
    assert code(await bob.send("member.deactivate", user_id=alice.id)) == "CONFLICT", (
        "the last without an end"
    )
    admin = await connected(world, "admin")
    assert code(await admin.send("member.deactivate", user_id=alice.id)) == "FORBIDDEN"


async def test_nobody_is_both_deactivated_and_lost(world: World, alice: Person) -> None:
    """What is done with a deactivated member: another role, out of a project, and gone for good."""
    bob = world.user_ids["bob"]
    await alice.send("member.deactivate", user_id=bob)
    assert (await changed(alice, "bob", role="viewer")).data.member.status == "suspended"
    assert (await alice.send("project.remove_member", project_id=world.project_id, user_id=bob)).success
    assert await permissions_after_return(world, alice, bob) == [
        "presence.share",
        "project.view",
        "tenant.view",
    ]
    await alice.send("member.deactivate", user_id=bob)
    assert (await alice.send("member.remove", user_id=bob)).success
    assert code(await alice.send("member.activate", user_id=bob)) == "NOT_FOUND"


async def permissions_after_return(world: World, alice: Person, user_id: str) -> Any:
    assert (await alice.send("member.activate", user_id=user_id)).success
    found = await permissions(world, "bob", world.project_id)
    return sorted(found or ())

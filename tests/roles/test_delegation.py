"""Acting for somebody for a time: from the second it begins to the second it ends, and never more than she may."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.access import MATRIX, PERMISSIONS
from tests.roles.test_custom_roles import changed, code, connected
from tests.world import Person, World

Pair = tuple[World, str]


def at(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def delegated(person: Person, to: str, **more: Any) -> str:
    """The id of a delegation that has begun."""
    fields = {"to_id": person.world.user_ids[to], "ends_at": at(3600), "reason": "Away", **more}
    reply = await person.call("delegation.create", fields)
    assert reply.success, reply
    return str(reply.data.delegation.id)


async def test_the_delegate_has_the_rights_of_both_and_both_hear(
    world: World, alice: Person, bob: Person
) -> None:
    manager = await connected(world, "manager")
    delegation = await delegated(manager, "bob", reason="On leave")
    for person in (manager, bob):
        told = (await person.hears("delegation.created")).data.delegation
        assert (told.id, told.from_name, told.to_name, told.reason) == (
            delegation,
            "Manager",
            "Bob",
            "On leave",
        )
    assert set((await bob.hears("room.permissions", room=world.project)).permissions) == MATRIX["manager"]
    made = await bob.send("project.create", name="In her place")
    assert made.success
    async with world.sql() as db:
        actor = await db.fetchval("SELECT created_by FROM projects WHERE name = 'In her place'")
    assert str(actor) == bob.id, "who has done it is who did it"
    listed = (await bob.snapshot(f"user:{bob.id}")).snapshot.delegations
    assert [each.id for each in listed] == [delegation]
    assert (await manager.send("delegation.revoke", delegation_id=delegation)).success
    await bob.hears("delegation.revoked")
    assert code(await bob.send("project.create", name="Too late")) == "FORBIDDEN"
    assert set((await bob.hears("room.permissions", room=world.project)).permissions) == MATRIX["member"]


async def test_it_begins_and_ends_to_the_second_on_live_sockets(pair: Pair) -> None:
    """Nobody does anything: the delegate's socket, on another node, hears of both moments by itself."""
    world, there = pair
    manager = await world.person("manager").connect()
    bob = await world.person("bob", url=there).connect()
    await bob.join(world.project)
    begins, ends = time.time() + 1.0, time.time() + 2.5
    bob.forget()
    await delegated(manager, "bob", starts_at=at(1.0), ends_at=at(2.5))
    assert code(await bob.send("board.create", room=world.project, name="Early")) == "FORBIDDEN"
    told = await bob.hears("room.permissions", room=world.project)
    began = time.time()
    assert set(told.permissions) == MATRIX["manager"]
    assert (await bob.send("board.create", room=world.project, name="In time")).success
    told = await bob.hears("room.permissions", room=world.project)
    ended = time.time()
    assert set(told.permissions) == MATRIX["member"]
    assert code(await bob.send("board.create", room=world.project, name="Late")) == "FORBIDDEN"
    assert -0.05 < began - begins < 1
    assert -0.05 < ended - ends < 1


async def test_it_lets_in_and_puts_out(world: World, alice: Person) -> None:
    """Who is limited to her projects sees those of whom she acts for, and is put out of them at the end."""
    other = f"project:{(await alice.send('project.create', name='Bathroom')).data.project.id}"
    await changed(alice, "bob", denied=["tenant.view"])
    bob = await world.person("bob").connect()
    assert code(await bob.send("room.join", room=other)) == "NOT_FOUND"
    delegation = await delegated(await connected(world, "manager"), "bob")
    await bob.join(other)
    await bob.join(world.tenant)
    listed = (await bob.send("project.list", room=world.tenant)).data.projects
    assert {project.name for project in listed} == {"Bathroom", "Kitchen"}
    assert (await bob.send("delegation.revoke", delegation_id=delegation)).success, "one may give it back"
    closed = {(await bob.hears("room.closed")).room for _ in range(2)}
    assert closed == {other, world.tenant}
    await alice.send("tenant.update", name="canary-77d1")
    await bob.hears_nothing("tenant.updated")


async def test_it_ends_with_the_membership_and_sleeps_with_it(
    world: World, alice: Person, bob: Person
) -> None:
    manager = await connected(world, "manager")
    await delegated(manager, "bob")
    assert set((await bob.hears("room.permissions", room=world.project)).permissions) == MATRIX["manager"]
    await alice.send("member.deactivate", user_id=manager.id)
    assert set((await bob.hears("room.permissions", room=world.project)).permissions) == MATRIX["member"]
    await alice.send("member.activate", user_id=manager.id)
    assert set((await bob.hears("room.permissions", room=world.project)).permissions) == MATRIX["manager"]
    await alice.send("member.remove", user_id=manager.id)
    assert set((await bob.hears("room.permissions", room=world.project)).permissions) == MATRIX["member"]
    await bob.hears("delegation.revoked")
    await alice.send("member.add", email="manager@acme.example", role="manager")
    assert set((await bob.snapshot(world.project)).permissions) == MATRIX["member"], "it does not come back"


async def test_it_ends_when_the_membership_does_by_the_clock(pair: Pair) -> None:
    world, there = pair
    alice, manager = await world.person("alice").connect(), await world.person("manager").connect()
    bob = await world.person("bob", url=there).connect()
    await bob.join(world.project)
    await delegated(manager, "bob")
    assert set((await bob.hears("room.permissions", room=world.project)).permissions) == MATRIX["manager"]
    await changed(alice, "manager", expires_at=at(0.8))
    await manager.disconnect()  # so that no socket of hers, and no timer of it, is there to notice
    assert set((await bob.hears("room.permissions", room=world.project)).permissions) == MATRIX["member"]


async def test_it_is_never_more_than_she_has(world: World, alice: Person, bob: Person) -> None:
    manager = await connected(world, "manager")
    await delegated(manager, "bob")
    await changed(alice, "manager", role="viewer")
    assert set((await bob.snapshot(world.project)).permissions) == MATRIX["member"]
    await changed(alice, "manager", role="manager", denied=["project.create"])
    assert set((await bob.snapshot(world.project)).permissions) == MATRIX["manager"] - {"project.create"}


# As an attacker would.


async def test_it_is_not_passed_on(world: World, alice: Person, bob: Person) -> None:
    await delegated(alice, "bob")
    await delegated(bob, "viewer")
    viewer = world.person("viewer")
    assert set((await viewer.snapshot(world.project)).permissions) == MATRIX["member"]
    await changed(alice, "bob", denied=["rights.delegate"])
    refused = await bob.call(
        "delegation.create", {"to_id": world.user_ids["admin"], "ends_at": at(60), "reason": "x"}
    )
    assert code(refused) == "FORBIDDEN", "what one may only in another's place is not enough to delegate"


async def test_nothing_lasting_is_given_in_anothers_place(world: World, alice: Person, bob: Person) -> None:
    """An owner's stand-in does her work, but makes nobody more than he could himself: not even himself."""
    await delegated(alice, "bob")
    other = str((await alice.send("project.create", name="Bathroom")).data.project.id)
    viewer, mine = world.user_ids["viewer"], world.user_ids["bob"]
    attempts = [
        await bob.send("member.update", user_id=mine, role="owner"),
        await bob.send("member.update", user_id=mine, allowed=["audit.view"]),
        await bob.send("member.update", user_id=viewer, role="admin"),
        await bob.send("member.update", user_id=world.user_ids["admin"], role="viewer"),
        await bob.send("member.remove", user_id=world.user_ids["alice"]),
        await bob.send("member.deactivate", user_id=world.user_ids["manager"]),
        await bob.send("member.add", email="mallory@rival.example", role="admin"),
        await bob.send("role.create", name="Door", base="admin"),
        await bob.send("project.add_member", project_id=other, user_id=mine, role="manager"),
        await bob.send("project.add_member", project_id=other, user_id=viewer, role="admin"),
    ]
    assert [code(reply) for reply in attempts] == ["FORBIDDEN"] * len(attempts)
    team = (await bob.send("team.create", name="Door", member_ids=[viewer])).data.team.id
    assert code(await bob.send("project.share", project_id=other, team_id=team, role="admin")) == "FORBIDDEN"
    assert (await bob.send("member.update", user_id=viewer, role="member")).success, "what he may himself"
    assert (await bob.send("tenant.update", name="In her place")).success


async def test_a_limited_member_lets_nobody_in_in_anothers_place(world: World, alice: Person) -> None:
    """Bob sees one project of his own; what he sees for alice he may show to nobody, himself included, for longer."""
    other = str((await alice.send("project.create", name="Bathroom")).data.project.id)
    await changed(alice, "bob", denied=["tenant.view"])
    await delegated(alice, "bob")
    bob = await world.person("bob").connect()
    for name in ("bob", "carol"):
        reply = await bob.send("project.add_member", project_id=other, user_id=world.user_ids[name])
        assert code(reply) == "FORBIDDEN", name


async def test_people_from_outside_act_for_nobody(
    world: World, alice: Person, bob: Person, carol: Person
) -> None:
    for name in ("carol", "gus"):
        refused = await alice.call(
            "delegation.create", {"to_id": world.user_ids[name], "ends_at": at(60), "reason": "x"}
        )
        assert code(refused) == "CONFLICT"
    await delegated(alice, "bob")
    await changed(alice, "bob", role="client")
    assert set((await bob.snapshot(world.project)).permissions) == MATRIX["client"], (
        "also if she became one later"
    )
    refused = await carol.call("delegation.create", {"to_id": bob.id, "ends_at": at(60), "reason": "x"})
    assert code(refused) == "FORBIDDEN"


async def test_times_and_people_must_make_sense(world: World, alice: Person) -> None:
    bob = world.user_ids["bob"]
    for fields, field in (
        ({"ends_at": at(-5)}, "ends_at"),
        ({"starts_at": at(60), "ends_at": at(30)}, "ends_at"),
        ({"ends_at": at(400 * 86400)}, "ends_at"),
        ({"to_id": alice.id}, "to_id"),
        ({"reason": "  "}, "reason"),
    ):
        reply = await alice.call(
            "delegation.create", {"to_id": bob, "ends_at": at(60), "reason": "Away", **fields}
        )
        assert (reply.error.code, list(reply.error.field_errors)) == ("VALIDATION_ERROR", [field])


async def test_who_sees_and_ends_delegations(world: World, alice: Person, bob: Person) -> None:
    delegation = await delegated(alice, "bob")
    admin, viewer = await connected(world, "admin"), await connected(world, "viewer")
    assert (await viewer.send("delegation.list", room=world.tenant)).data.delegations == []
    assert code(await viewer.send("delegation.list", room=world.tenant, everybody=True)) == "FORBIDDEN"
    assert code(await viewer.send("delegation.revoke", delegation_id=delegation)) == "NOT_FOUND"
    for person, everybody in ((alice, False), (bob, False), (admin, True)):
        listed = await person.send("delegation.list", room=world.tenant, everybody=everybody)
        assert [each.id for each in listed.data.delegations] == [delegation]
    assert (await admin.send("delegation.revoke", delegation_id=delegation)).success
    ended = (await bob.send("delegation.list", room=world.tenant, ended=True)).data.delegations
    assert [each.revoked_by for each in ended] == [admin.id]
    assert set(PERMISSIONS) > set((await bob.snapshot(world.project)).permissions)

"""Why somebody may do what she may do: every way, by name."""

from typing import Any

from handlers.access import MATRIX, PERMISSIONS
from tests.roles.test_custom_roles import changed, code, connected, made
from tests.roles.test_delegation import delegated
from tests.roles.test_groups import bathroom, team_of, unit_of
from tests.world import Person, World


async def explained(person: Person, room: str, **more: Any) -> Any:
    reply = await person.send("permission.explain", room=room, **more)
    assert reply.success, reply
    return reply.data


def because(explanation: Any, permission: str) -> list[tuple[Any, ...]]:
    """The reasons of one permission, without what they do not say."""
    found = next(each for each in explanation.permissions if each.name == permission)
    return [(each.source, each.effect, each.name or each.role) for each in found.because]


def allowed(explanation: Any) -> set[str]:
    return {each.name for each in explanation.permissions if each.allowed}


async def test_it_says_what_the_room_says(world: World) -> None:
    for name in ("alice", "admin", "manager", "bob", "viewer", "carol", "gus"):
        person = await connected(world, name)
        explanation = await explained(person, world.project)
        assert allowed(explanation) == set((await person.snapshot(world.project)).permissions)
        assert len(explanation.permissions) == len(PERMISSIONS)


async def test_every_way_has_its_name(world: World, alice: Person) -> None:
    project = await bathroom(alice)
    lead = await made(alice, name="Lead", base="member", allowed=["board.edit"], denied=["task.delete"])
    await changed(alice, "bob", role_id=lead, allowed=["audit.view"], denied=["comment.add"])
    team, unit = await team_of(alice, "bob"), await unit_of(alice, "Upper")
    await unit_of(alice, "Lower", "bob", parent=unit)
    await alice.send("project.share", project_id=project, team_id=team, role="manager")
    await alice.send("project.share", project_id=project, unit_id=unit)
    await delegated(alice, "bob")
    found = await explained(alice, f"project:{project}", user_id=world.user_ids["bob"])
    assert because(found, "task.edit")[0] == ("team", "gives", "Team of ('bob',)")
    assert because(found, "board.edit") == [
        ("team", "gives", "Team of ('bob',)"),
        ("custom_role", "gives", "Lead"),
        ("delegation", "gives", "Alice"),
    ]
    assert ("member", "gives", None) in because(found, "audit.view")
    assert ("member", "takes", None) in because(found, "comment.add")
    assert ("custom_role", "takes", "Lead") in because(found, "task.delete")
    assert ("role", "gives", "member") in because(found, "task.delete")
    assert because(found, "tenant.delete") == [("delegation", "gives", "Alice")]


async def test_a_part_of_ones_own_and_its_end(world: World, alice: Person) -> None:
    await alice.send(
        "project.add_member", project_id=world.project_id, user_id=world.user_ids["bob"],
        role="viewer", expires_at="2100-01-01T00:00:00Z",
    )  # fmt: skip
    bob = await connected(world, "bob")
    found = await explained(bob, world.project)
    assert allowed(found) == MATRIX["viewer"]
    assert because(found, "project.view") == [("project_role", "gives", "viewer")]
    assert because(found, "task.edit") == [], "the role in the tenant does not count here"
    view = next(each for each in found.permissions if each.name == "project.view")
    assert view.because[0].until == "2100-01-01T00:00:00.000Z"


async def test_somebody_who_cannot_act_has_nothing(world: World, alice: Person) -> None:
    bob, project = world.user_ids["bob"], await bathroom(alice)
    await alice.send("member.deactivate", user_id=bob)
    found = await explained(alice, world.project, user_id=bob)
    assert (found.status, found.visible, allowed(found)) == ("suspended", False, set())
    carol = await explained(alice, f"project:{project}", user_id=world.user_ids["carol"])
    assert (carol.status, carol.visible, allowed(carol)) == ("active", False, set())


async def test_of_others_only_who_manages_members_may_ask(
    world: World, alice: Person, mallory: Person
) -> None:
    bob = await connected(world, "bob")
    assert code(await bob.send("permission.explain", room=world.project, user_id=alice.id)) == "FORBIDDEN"
    await alice.send(
        "project.add_member", project_id=world.project_id, user_id=world.user_ids["carol"], role="admin"
    )
    carol = await connected(world, "carol")
    reply = await carol.send("permission.explain", room=world.project, user_id=alice.id)
    assert code(reply) == "NOT_FOUND", "an admin of a project from outside learns nothing of the staff"
    assert code(await alice.send("permission.explain", room=world.project, user_id=mallory.id)) == "NOT_FOUND"

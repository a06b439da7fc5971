"""Teams and units: who is in one takes part in what is shared with it, and hears of it at once."""

from typing import Any

import pytest

from handlers.access import MATRIX
from tests.roles.test_custom_roles import changed, code, connected
from tests.world import Person, World


async def team_of(person: Person, *names: str, **more: Any) -> str:
    people = [person.world.user_ids[name] for name in names]
    reply = await person.send("team.create", name=f"Team of {names}", member_ids=people, **more)
    assert reply.success, reply
    return str(reply.data.team.id)


async def unit_of(person: Person, name: str, *names: str, parent: str | None = None) -> str:
    people = [person.world.user_ids[each] for each in names]
    reply = await person.send("unit.create", name=name, kind="client", member_ids=people, parent_id=parent)
    assert reply.success, reply
    return str(reply.data.unit.id)


async def bathroom(alice: Person) -> str:
    """The id of a project that nobody but alice takes part in."""
    return str((await alice.send("project.create", name="Bathroom")).data.project.id)


async def permissions(world: World, name: str, project_id: str) -> frozenset[str] | None:
    reply = await world.person(name).rest("GET", f"/rooms/project:{project_id}/snapshot")
    return frozenset(reply.data.permissions) if reply.success else None


async def test_a_team_takes_part_and_hears_of_it(world: World, alice: Person, carol: Person) -> None:
    project = await bathroom(alice)
    assert code(await carol.send("room.join", room=f"project:{project}")) == "NOT_FOUND"
    team = await team_of(alice, "carol")
    shared = await alice.send("project.share", project_id=project, team_id=team, role="member")
    told = await carol.hears("project.joined")
    assert told.data.participation == {
        "id": project, "role": "member", "direct": False, "expires_at": None
    }  # fmt: skip
    assert set((await carol.join(f"project:{project}")).permissions) == MATRIX["member"]
    assert (await carol.send("task.create", room=f"project:{project}", title="Mine")).success
    await alice.send("project.unshare", project_id=project, share_id=shared.data.share.id)
    assert (await carol.hears("room.closed", room=f"project:{project}")).reason == "revoked"
    assert (await carol.hears("project.left")).data.participation == {"id": project, "removed": True}
    assert code(await carol.send("task.create", room=f"project:{project}", title="Late")) == "NOT_FOUND"


async def test_who_comes_and_goes_takes_part_and_does_not(world: World, alice: Person, carol: Person) -> None:
    project, team = await bathroom(alice), await team_of(alice)
    await alice.send("project.share", project_id=project, team_id=team)
    await alice.join(f"project:{project}")
    added = await alice.send("team.add_members", team_id=team, user_ids=[carol.id])
    assert added.data.team.member_ids == [carol.id]
    assert (await alice.hears("project.member_added")).data.member.id == carol.id
    assert await permissions(world, "carol", project) == MATRIX["client"]
    await carol.join(f"project:{project}")
    await alice.send("team.remove_members", team_id=team, user_ids=[carol.id])
    await carol.hears("room.closed", room=f"project:{project}")
    assert await permissions(world, "carol", project) is None


async def test_a_unit_reaches_down(world: World, alice: Person) -> None:
    """A project of a region is one of its departments'; a project of a department is not the region's."""
    project, other = (
        await bathroom(alice),
        str((await alice.send("project.create", name="Attic")).data.project.id),
    )
    region = await unit_of(alice, "Region", "gus")
    department = await unit_of(alice, "Department", "carol", parent=region)
    await alice.send("project.share", project_id=project, unit_id=region)
    await alice.send("project.share", project_id=other, unit_id=department)
    seen = {
        name: [await permissions(world, name, each) is not None for each in (project, other)]
        for name in ("carol", "gus")
    }
    assert seen == {"carol": [True, True], "gus": [True, False]}
    moved = await alice.send("unit.update", unit_id=department, parent_id=None)
    assert moved.data.was == {"parent_id": region}
    assert await permissions(world, "carol", project) is None
    await alice.send("unit.update", unit_id=department, parent_id=region)
    assert await permissions(world, "carol", project) == MATRIX["client"]
    listed = (await alice.send("project.list", room=world.tenant, shared_with=region)).data.projects
    assert [each.id for each in listed] == [project]


async def test_units_make_no_circle_and_keep_what_is_below(world: World, alice: Person) -> None:
    upper = await unit_of(alice, "Upper")
    lower = await unit_of(alice, "Lower", parent=upper)
    assert code(await alice.send("unit.update", unit_id=upper, parent_id=lower)) == "CONFLICT"
    assert code(await alice.send("unit.update", unit_id=upper, parent_id=upper)) == "CONFLICT"
    assert code(await alice.send("unit.delete", unit_id=upper)) == "CONFLICT"
    team = await team_of(alice)
    for name, fields in (("unit.delete", {"unit_id": team}), ("team.delete", {"team_id": upper})):
        assert code(await alice.call(name, fields)) == "NOT_FOUND"
    assert (await alice.send("unit.delete", unit_id=lower)).success


async def test_a_department_sees_its_own_projects(world: World, alice: Person) -> None:
    """Who is denied the tenant is limited to her units; there she is what her role says."""
    project, unit = await bathroom(alice), await unit_of(alice, "Department", "viewer", "bob")
    await changed(alice, "bob", denied=["tenant.view"])
    assert await permissions(world, "bob", project) is None
    await alice.send("project.share", project_id=project, unit_id=unit)
    assert await permissions(world, "bob", project) == MATRIX["member"] - {"tenant.view"}
    assert await permissions(world, "viewer", project) == MATRIX["viewer"]


async def test_a_share_only_raises_who_sees_the_project_anyway(world: World, alice: Person) -> None:
    project, team = await bathroom(alice), await team_of(alice, "bob", "carol", "viewer")
    shared = await alice.send("project.share", project_id=project, team_id=team, role="viewer")
    assert await permissions(world, "bob", project) == MATRIX["member"]
    assert await permissions(world, "carol", project) == MATRIX["viewer"]
    again = await alice.send("project.share", project_id=project, team_id=team, role="manager")
    assert again.data.share.id == shared.data.share.id
    assert await permissions(world, "bob", project) == MATRIX["manager"]
    assert await permissions(world, "viewer", project) == MATRIX["manager"] | MATRIX["viewer"]


async def test_a_direct_part_outweighs_a_team_and_leaves_it_behind(world: World, alice: Person) -> None:
    project, team = await bathroom(alice), await team_of(alice, "carol")
    carol = world.user_ids["carol"]
    await alice.send("project.share", project_id=project, team_id=team, role="member")
    await alice.send("project.add_member", project_id=project, user_id=carol, role="viewer")
    assert await permissions(world, "carol", project) == MATRIX["viewer"]
    left = await alice.send("project.remove_member", project_id=project, user_id=carol)
    assert (left.data.member.role, left.data.member.direct, left.data.member.shared) == (
        "member",
        False,
        True,
    )
    assert await permissions(world, "carol", project) == MATRIX["member"]
    refused = await alice.send("project.remove_member", project_id=project, user_id=carol)
    assert code(refused) == "CONFLICT"


async def test_a_direct_part_without_a_role_keeps_nothing_from_the_team(world: World, alice: Person) -> None:
    """Carol is in the kitchen herself, as what she is; her team makes her more there, and less in nothing."""
    team = await team_of(alice, "carol")
    await alice.send("project.share", project_id=world.project_id, team_id=team, role="member")
    assert await permissions(world, "carol", world.project_id) == MATRIX["member"]
    seen = {each.id: each for each in (await alice.snapshot(world.project)).snapshot.members}
    carol = seen[world.user_ids["carol"]]
    assert (carol.role, carol.direct, carol.shared) == ("member", True, True)
    await alice.send("project.share", project_id=world.project_id, team_id=team, role="viewer")
    assert await permissions(world, "carol", world.project_id) == MATRIX["viewer"] | MATRIX["client"]


async def test_several_ways_give_the_highest(world: World, alice: Person) -> None:
    project = await bathroom(alice)
    team, unit = await team_of(alice, "carol"), await unit_of(alice, "Client", "carol")
    await alice.send("project.share", project_id=project, team_id=team, role="viewer")
    await alice.send("project.share", project_id=project, unit_id=unit, role="member")
    assert await permissions(world, "carol", project) == MATRIX["member"]


async def test_a_team_of_one_project(world: World, alice: Person) -> None:
    project = await bathroom(alice)
    team = await team_of(alice, "carol", project_id=project)
    assert await permissions(world, "carol", project) == MATRIX["client"]
    refused = await alice.send("project.share", project_id=world.project_id, team_id=team)
    assert code(refused) == "CONFLICT"
    deleted = await alice.send("team.delete", team_id=team)
    assert len(deleted.data.shares) == 1
    assert await permissions(world, "carol", project) is None


async def test_whoever_is_removed_is_in_no_team_when_she_comes_back(world: World, alice: Person) -> None:
    project, team = await bathroom(alice), await team_of(alice, "carol", "bob")
    await alice.send("project.share", project_id=project, team_id=team)
    removed = await alice.send("member.remove", user_id=world.user_ids["carol"])
    assert removed.data.teams == [{"id": team, "member_ids": [world.user_ids["bob"]]}]
    await alice.send("member.add", email="carol@acme.example", role="client")
    assert await permissions(world, "carol", project) is None
    assert (
        await world.person("carol").snapshot(f"user:{world.user_ids['carol']}")
    ).snapshot.participations == []


# As an attacker would.


async def narrowed_manager(world: World, alice: Person, project: str) -> Person:
    """A manager who is only a viewer in a project."""
    manager = world.user_ids["manager"]
    await alice.send("project.add_member", project_id=project, user_id=manager, role="viewer")
    return await connected(world, "manager")


async def test_nobody_gives_through_a_team_what_he_does_not_have(world: World, alice: Person) -> None:
    project, team = await bathroom(alice), await team_of(alice)
    await alice.send("project.share", project_id=project, team_id=team, role="member")
    manager = await narrowed_manager(world, alice, project)
    refused = await manager.send("team.add_members", team_id=team, user_ids=[world.user_ids["carol"]])
    assert refused.error.code == "FORBIDDEN"
    assert "task.edit" in refused.error.details.permissions
    assert await permissions(world, "carol", project) is None
    assert (
        code(await manager.send("project.share", project_id=project, team_id=team, role="admin"))
        == "FORBIDDEN"
    )
    bob = world.user_ids["bob"]
    assert (await manager.send("team.add_members", team_id=team, user_ids=[bob])).success, (
        "bob may do it anyway"
    )


async def test_nobody_gives_through_a_unit_or_its_place_what_he_does_not_have(
    world: World, alice: Person
) -> None:
    project = await bathroom(alice)
    upper, lower = await unit_of(alice, "Upper"), await unit_of(alice, "Lower", "carol")
    await alice.send("project.share", project_id=project, unit_id=upper, role="admin")
    await changed(alice, "bob", role="admin", denied=["member.export"])
    bob = await connected(world, "bob")
    attempts = [
        await bob.send("unit.update", unit_id=lower, parent_id=upper),
        await bob.send("unit.add_members", unit_id=upper, user_ids=[world.user_ids["carol"]]),
        await bob.send(
            "unit.create", kind="region", name="In", parent_id=upper, member_ids=[world.user_ids["gus"]]
        ),
        await bob.send("project.share", project_id=project, unit_id=lower, role="admin"),
    ]
    assert [code(reply) for reply in attempts] == ["FORBIDDEN"] * 4
    assert await permissions(world, "carol", project) is None
    assert (await bob.send("project.share", project_id=project, unit_id=lower, role="member")).success


async def test_nobody_gives_in_a_project_what_he_does_not_have(world: World, alice: Person) -> None:
    await changed(alice, "bob", allowed=["project.share"])
    bob = await connected(world, "bob")
    carol = world.user_ids["carol"]
    share = {"project_id": world.project_id, "user_id": carol}
    for role in ("manager", "admin", "owner"):
        assert code(await bob.call("project.add_member", {**share, "role": role})) == "FORBIDDEN"
    assert (await bob.call("project.add_member", {**share, "role": "member"})).success
    above = {"project_id": world.project_id, "user_id": world.user_ids["manager"], "role": "viewer"}
    assert (await alice.call("project.add_member", {**above, "role": "manager"})).success
    assert code(await bob.call("project.add_member", above)) == "FORBIDDEN"


@pytest.mark.parametrize("name", ["team.create", "unit.create", "project.share", "delegation.create"])
async def test_ids_of_others_lead_nowhere(world: World, alice: Person, mallory: Person, name: str) -> None:
    """A stranger's people, groups and projects are not found, whichever of them a call names."""
    stranger, project = mallory.id, await bathroom(alice)
    theirs = str((await mallory.send("team.create", name="Theirs")).data.team.id)
    calls: dict[str, dict[str, Any]] = {
        "team.create": {"name": "T", "member_ids": [stranger]},
        "unit.create": {"name": "U", "kind": "client", "parent_id": theirs},
        "project.share": {"project_id": project, "team_id": theirs},
        "delegation.create": {"to_id": stranger, "ends_at": "2027-03-01T00:00:00Z", "reason": "x"},
    }
    assert code(await alice.call(name, calls[name])) == "NOT_FOUND"

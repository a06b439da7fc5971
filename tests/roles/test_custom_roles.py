"""Roles of a tenant's own and permissions for one person: what they give, what they take, and who may give them."""

from typing import Any

import pytest

from handlers.access import MATRIX, PERMISSIONS, STAFF_ONLY, permissions_of
from tests.world import Person, World


async def made(person: Person, **fields: Any) -> str:
    """The id of a new role."""
    reply = await person.send("role.create", **fields)
    assert reply.success, reply
    return str(reply.data.role.id)


async def changed(person: Person, name: str, **fields: Any) -> Any:
    return await person.send("member.update", user_id=person.world.user_ids[name], **fields)


async def connected(world: World, name: str) -> Person:
    person = await world.person(name).connect()
    await person.join(world.project)
    return person


def code(reply: Any) -> str:
    return "ok" if reply.success else str(reply.error.code)


async def test_a_role_gives_and_takes_at_once(world: World, alice: Person, bob: Person) -> None:
    lead = await made(alice, name="Lead", base="member", allowed=["board.edit"], denied=["task.delete"])
    given = await changed(alice, "bob", role_id=lead)
    assert (given.data.member.role, given.data.member.role_id) == ("member", lead)
    told = await bob.hears("room.permissions", room=world.project)
    assert set(told.permissions) == (MATRIX["member"] | {"board.edit"}) - {"task.delete"}
    assert (await bob.send("board.create", room=world.project, name="Mine")).success
    assert code(await bob.send("task.delete", task_id=world.tasks[0])) == "FORBIDDEN"


async def test_changing_a_role_changes_everybody_who_has_it(world: World, alice: Person, bob: Person) -> None:
    lead = await made(alice, name="Lead", base="member")
    await changed(alice, "bob", role_id=lead, allowed=["task.delete"])
    bob.forget()
    changed_role = await alice.send("role.update", role_id=lead, base="viewer", allowed=["board.edit"])
    assert changed_role.data.members == [{"id": bob.id, "role": "viewer"}]
    assert changed_role.data.was.base == "member"
    told = await bob.hears("room.permissions", room=world.project)
    assert set(told.permissions) == MATRIX["viewer"] | {"board.edit", "task.delete"}
    assert (await bob.send("board.create", room=world.project, name="Mine")).success


async def test_what_is_hers_alone_outweighs_the_role(world: World, alice: Person) -> None:
    lead = await made(alice, name="Lead", base="member", allowed=["board.edit"], denied=["task.delete"])
    await changed(alice, "bob", role_id=lead, allowed=["task.delete"], denied=["board.edit"])
    bob = world.person("bob")
    assert set((await bob.snapshot(world.project)).permissions) == MATRIX["member"]
    await changed(alice, "bob", allowed=[], denied=[])
    now = set((await bob.snapshot(world.project)).permissions)
    assert now == (MATRIX["member"] | {"board.edit"}) - {"task.delete"}


async def test_a_role_in_a_project_replaces_the_custom_one_and_what_is_denied_stays(
    world: World, alice: Person
) -> None:
    lead = await made(alice, name="Lead", base="member", allowed=["board.edit"], denied=["comment.add"])
    await changed(alice, "bob", role_id=lead)
    await alice.send(
        "project.add_member", project_id=world.project_id, user_id=world.user_ids["bob"], role="viewer"
    )
    bob = world.person("bob")
    assert set((await bob.snapshot(world.project)).permissions) == MATRIX["viewer"]
    await alice.send(
        "project.add_member", project_id=world.project_id, user_id=world.user_ids["bob"], role="manager"
    )
    assert set((await bob.snapshot(world.project)).permissions) == MATRIX["manager"] - {"comment.add"}


async def test_another_role_replaces_the_custom_one(world: World, alice: Person) -> None:
    lead = await made(alice, name="Lead", base="viewer")
    assert (await changed(alice, "bob", role_id=lead)).data.member.role == "viewer"
    back = (await changed(alice, "bob", role_id=None)).data
    assert (back.member.role, back.member.role_id, back.was) == ("viewer", None, {"role_id": lead})
    await changed(alice, "bob", role_id=lead)
    assert (await changed(alice, "bob", role="member")).data.member.role_id is None
    assert code(await changed(alice, "bob", role="member", role_id=lead)) == "VALIDATION_ERROR"


async def test_nothing_comes_back_with_somebody_who_was_removed(world: World, alice: Person) -> None:
    lead = await made(alice, name="Lead", base="member", allowed=["board.edit"])
    await changed(alice, "bob", role_id=lead, allowed=["tenant.manage"])
    await alice.send("member.remove", user_id=world.user_ids["bob"])
    assert (await alice.send("role.delete", role_id=lead)).success
    await alice.send("member.add", email="bob@acme.example", role="member")
    assert set((await world.person("bob").snapshot(world.tenant)).permissions) == MATRIX["member"]


async def test_whom_one_is_denied_the_tenant_sees_only_her_projects(world: World, alice: Person) -> None:
    other = await alice.send("project.create", name="Bathroom")
    bob = await connected(world, "bob")
    assert (await changed(alice, "bob", denied=["tenant.view"])).success
    assert (await bob.hears("room.closed", room=world.tenant)).reason == "revoked"
    assert code(await bob.send("room.join", room=f"project:{other.data.project.id}")) == "NOT_FOUND"
    listed = (await bob.send("project.list", room=world.tenant)).data.projects
    assert [project.id for project in listed] == [world.project_id]
    assert (await bob.send("task.create", room=world.project, title="Still here")).success


async def test_a_role_is_deleted_when_nobody_has_it(world: World, alice: Person) -> None:
    lead = await made(alice, name="Lead", base="admin", denied=["audit.view"])
    await changed(alice, "bob", role_id=lead)
    refused = await alice.send("role.delete", role_id=lead)
    assert (refused.error.code, refused.error.details) == ("CONFLICT", {"members": 1})
    await changed(alice, "bob", role="member")
    assert (await alice.send("role.delete", role_id=lead)).success
    assert code(await changed(alice, "bob", role_id=lead)) == "NOT_FOUND"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "Admin"}, "name"),
        ({"base": "owner"}, "base"),
        ({"allowed": ["task.fly"]}, "allowed.0"),
        ({"allowed": ["task.edit"], "denied": ["task.edit"]}, "denied"),
        ({"base": "client", "allowed": ["tenant.view"]}, "allowed"),
        ({"base": "guest", "allowed": ["member.export"]}, "allowed"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_role_must_make_sense(shared: World, fields: dict[str, Any], field: str) -> None:
    alice = await shared.person("alice").connect()
    reply = await alice.call("role.create", {"name": "Odd", "base": "member", **fields})
    assert (reply.error.code, list(reply.error.field_errors)) == ("VALIDATION_ERROR", [field])


async def test_a_name_is_taken_in_any_spelling(world: World, alice: Person) -> None:
    await made(alice, name="Lead", base="member")
    again = await alice.send("role.create", name="LEAD", base="member")
    assert (again.error.code, list(again.error.field_errors)) == ("CONFLICT", ["name"])


# As an attacker would.


async def limited_admin(world: World, alice: Person, *denied: str) -> Person:
    """Bob is an admin who lacks something."""
    role = await made(alice, name="Limited", base="admin", denied=list(denied))
    assert (await changed(alice, "bob", role_id=role)).success
    return await connected(world, "bob")


async def test_nobody_gives_what_he_does_not_have(world: World, alice: Person) -> None:
    bob = await limited_admin(world, alice, "audit.view")
    viewer, carol = world.user_ids["viewer"], world.user_ids["carol"]
    role = await made(bob, name="Small", base="member")
    attempts = [
        await bob.send("role.create", name="Auditor", base="member", allowed=["audit.view"]),
        await bob.send("role.create", name="Deputy", base="admin"),
        await bob.send("role.update", role_id=role, allowed=["audit.view"]),
        await bob.send("role.update", role_id=role, base="admin"),
        await bob.send("member.update", user_id=viewer, allowed=["audit.view"]),
        await bob.send("member.update", user_id=viewer, role="admin"),
        await bob.send("member.update", user_id=viewer, role="owner"),
        await bob.send("member.update", user_id=carol, role="admin"),
        await bob.send("member.add", email="mallory@rival.example", role="admin"),
    ]
    assert [code(reply) for reply in attempts] == ["FORBIDDEN"] * len(attempts)
    assert attempts[0].error.details == {"permissions": ["audit.view"]}
    assert (await bob.send("member.update", user_id=viewer, role="manager")).success


async def test_nobody_gives_himself_more(world: World, alice: Person) -> None:
    bob = await limited_admin(world, alice, "audit.view", "member.export")
    mine = (await world.person("bob").snapshot(world.tenant)).snapshot.members
    own_role = next(member.role_id for member in mine if member.name == "Bob")
    attempts = [
        await changed(bob, "bob", allowed=["audit.view"]),
        await changed(bob, "bob", role="admin"),
        await changed(bob, "bob", role_id=None),
        await bob.send("role.update", role_id=own_role, denied=[]),
        await bob.send("role.update", role_id=own_role, denied=["audit.view"]),
    ]
    assert [code(reply) for reply in attempts] == ["FORBIDDEN"] * len(attempts)
    assert "audit.view" not in (await world.person("bob").snapshot(world.tenant)).permissions


async def test_nobody_touches_who_may_do_more(world: World, alice: Person) -> None:
    """An admin who lacks something is below an admin who lacks nothing, though both are admins."""
    bob = await limited_admin(world, alice, "audit.view")
    admin, role = world.user_ids["admin"], await made(alice, name="Whole", base="admin")
    attempts = [
        await bob.send("member.update", user_id=admin, role="viewer"),
        await bob.send("member.update", user_id=admin, denied=["task.edit"]),
        await bob.send("member.update", user_id=admin, expires_at="2100-01-01T00:00:00Z"),
        await bob.send("member.remove", user_id=admin),
        await bob.send("member.remove", user_id=world.user_ids["alice"]),
        await bob.send("role.update", role_id=role, denied=["task.edit"]),
        await bob.send("role.delete", role_id=role),
    ]
    assert [code(reply) for reply in attempts] == ["FORBIDDEN"] * len(attempts)


async def test_nobody_edits_the_role_of_somebody_above(world: World, alice: Person) -> None:
    """The role itself is harmless; whoever has it has more beside it, and would be cut down by the edit."""
    small = await made(alice, name="Small", base="member")
    await changed(alice, "viewer", role_id=small, allowed=["audit.view"])
    bob = await limited_admin(world, alice, "audit.view")
    assert code(await bob.send("role.update", role_id=small, denied=["task.edit"])) == "FORBIDDEN"
    await changed(alice, "viewer", allowed=[])
    assert (await bob.send("role.update", role_id=small, denied=["task.edit"])).success


async def test_lifting_a_denial_for_a_role_is_giving(world: World, alice: Person) -> None:
    """The role denies what its editor lacks; without the denial its holders would have it again."""
    small = await made(alice, name="Small", base="admin", denied=["audit.view", "member.export"])
    await changed(alice, "viewer", role_id=small)
    bob = await limited_admin(world, alice, "audit.view")
    assert code(await bob.send("role.update", role_id=small, denied=["member.export"])) == "FORBIDDEN"
    assert (await bob.send("role.update", role_id=small, denied=["audit.view"])).success


async def test_permissions_for_one_person_need_their_own_permission(world: World, alice: Person) -> None:
    bob = await limited_admin(world, alice, "role.manage")
    refused = await changed(bob, "viewer", allowed=["task.edit"])
    assert refused.error.details == {"permission": "role.manage"}
    assert (await changed(bob, "viewer", role="member")).success


async def test_an_owner_is_never_cut_down(world: World, alice: Person) -> None:
    assert code(await changed(alice, "alice", denied=["task.edit"])) == "VALIDATION_ERROR"
    await changed(alice, "bob", denied=["task.edit"], allowed=["audit.view"])
    made_owner = await changed(alice, "bob", role="owner")
    assert (made_owner.data.member.allowed, made_owner.data.member.denied) == ([], [])
    assert set((await world.person("bob").snapshot(world.project)).permissions) == set(PERMISSIONS)


async def test_nobody_extends_his_own_membership(world: World, alice: Person) -> None:
    await changed(alice, "admin", expires_at="2100-01-01T00:00:00Z")
    admin = await connected(world, "admin")
    for later in (None, "2101-01-01T00:00:00Z"):
        assert code(await changed(admin, "admin", expires_at=later)) == "FORBIDDEN"
    assert (await changed(admin, "admin", expires_at="2099-01-01T00:00:00Z")).success


async def test_people_from_outside_get_nothing_of_the_staff(world: World, alice: Person) -> None:
    """What is given to a member alone counts for nothing while she is a client, also if it was given before."""
    await changed(alice, "bob", allowed=["member.export", "task.delete"])
    await changed(alice, "bob", role="client")
    bob = world.person("bob")
    assert set((await bob.snapshot(world.project)).permissions) == MATRIX["client"] | {"task.delete"}
    refused = await changed(alice, "carol", allowed=["tenant.view"])
    assert list(refused.error.field_errors) == ["allowed"]
    for role in ("client", "guest"):
        assert not permissions_of(role, tuple(PERMISSIONS)) & STAFF_ONLY

"""Organizations: both sides agree, admins of the parent read, nobody else sees anything, and it ends at once."""

from typing import Any
from uuid import UUID

import pytest

from tests.world import World


class Group:
    """Acme as an organization, and rival as its child."""

    def __init__(self, world: World, rival_id: str, project_id: str) -> None:
        self.world = world
        self.rival_id = rival_id
        self.rival_project = project_id
        self.children = f"/tenants/{world.tenant_id}/children"

    async def ask(self, name: str, path: str, **params: str) -> Any:
        return await self.world.person(name).rest("GET", f"{self.children}{path}", params=params)

    async def look(self, name: str, **params: str) -> Any:
        return await self.ask(name, f"/{self.rival_id}/snapshot", **params)


@pytest.fixture
async def unlinked(world: World) -> Group:
    async with world.sql() as db:
        rival = await db.fetchval("SELECT id FROM tenants WHERE slug = 'rival'")
        project = await db.fetchval("SELECT id FROM projects WHERE tenant_id = $1", rival)
    return Group(world, str(rival), str(project))


@pytest.fixture
async def group(unlinked: Group) -> Group:
    world = unlinked.world
    mallory = world.person("mallory")
    asked = await mallory.rest("POST", f"/tenants/{unlinked.rival_id}/parent", json={"slug": "acme"})
    assert asked.data.tenant.asked_parent_id == world.tenant_id, asked
    accepted = await world.person("admin").rest("POST", f"{unlinked.children}/{unlinked.rival_id}", json={})
    assert accepted.success, accepted
    return unlinked


async def test_it_takes_both_sides(unlinked: Group) -> None:
    world = unlinked.world
    path = f"{unlinked.children}/{unlinked.rival_id}"
    alone = await world.person("alice").rest("POST", path, json={})
    assert (alone.status, alone.error.code) == (404, "NOT_FOUND"), "it has not asked"
    mallory = world.person("mallory")
    await mallory.rest("POST", f"/tenants/{unlinked.rival_id}/parent", json={"slug": "acme"})
    assert (await unlinked.look("alice")).status == 404, "asking gives nothing away yet"
    listed = await unlinked.ask("alice", "/requests")
    assert [(t.slug, t.name) for t in listed.data.tenants] == [("rival", "Rival")]
    for name, status in (("manager", 403), ("viewer", 403), ("mallory", 404)):
        assert (await world.person(name).rest("POST", path, json={})).status == status, name
    assert (await world.person("alice").rest("POST", path, json={})).success
    assert (
        await mallory.rest("GET", f"/tenants/{unlinked.rival_id}")
    ).data.tenant.parent_id == world.tenant_id
    declined = await world.person("alice").rest("POST", path, json={})
    assert declined.status == 404, "once is enough"


async def test_a_request_can_be_declined_and_taken_back(unlinked: Group) -> None:
    world, mallory = unlinked.world, unlinked.world.person("mallory")
    parent = f"/tenants/{unlinked.rival_id}/parent"
    for take_back in (True, False):
        await mallory.rest("POST", parent, json={"slug": "acme"})
        if take_back:
            gone = await mallory.rest("DELETE", parent, json={})
        else:
            gone = await world.person("alice").rest(
                "DELETE", f"{unlinked.children}/{unlinked.rival_id}", json={}
            )
        assert gone.success, gone
        assert (await unlinked.ask("alice", "/requests")).data.tenants == []
        late = await world.person("alice").rest("POST", f"{unlinked.children}/{unlinked.rival_id}", json={})
        assert late.status == 404


async def test_admins_of_the_organization_read_across(group: Group) -> None:
    for name in ("alice", "admin"):
        (child,) = (await group.ask(name, "")).data.tenants
        assert (child.slug, child.members, child.projects, child.open_tasks) == ("rival", 1, 1, 0)
        (project,) = (await group.ask(name, "/projects")).data.projects
        assert (project.name, project.tenant_name) == ("Rival plans", "Rival")
        assert (await group.ask(name, "/projects", q="PLANS")).data.projects == [project]
        assert (await group.ask(name, "/projects", q="%")).data.projects == []
        assert (await group.ask(name, "/projects", child_id=group.world.tenant_id)).data.projects == []
        tenant = (await group.look(name)).data.snapshot
        assert [project.name for project in tenant.projects] == ["Rival plans"]
        inside = await group.look(name, project_id=group.rival_project)
        assert inside.data.room == f"project:{group.rival_project}"
        assert inside.data.snapshot.project.name == "Rival plans"
    seen = await group.look("alice", project_id=group.world.project_id)
    assert seen.status == 404, "only rooms of the child"
    async with group.world.sql() as db:
        entries = await db.fetch(
            "SELECT actor_id, resource FROM audit_entries WHERE tenant_id = $1 AND action = 'organization.look' "
            "AND outcome = 'ok' ORDER BY id",
            UUID(group.rival_id),
        )
    assert [entry["resource"] for entry in entries] == [
        f"tenant:{group.rival_id}", f"project:{group.rival_project}",
    ] * 2  # fmt: skip
    assert str(entries[0]["actor_id"]) == group.world.user_ids["alice"]


async def test_open_tasks_are_counted(group: Group) -> None:
    mallory = await group.world.person("mallory").connect()
    room = f"project:{group.rival_project}"
    for title in ("One", "Two"):
        made = await mallory.send("task.create", room=room, title=title)
    await mallory.join(room)
    snapshot = await mallory.snapshot(room)
    done = next(column.id for column in snapshot.snapshot.columns if column.name == "Done")
    await mallory.send("task.move", task_id=made.data.task.id, column_id=done)
    (child,) = (await group.ask("alice", "")).data.tenants
    assert child.open_tasks == 1


@pytest.mark.parametrize("name", ["manager", "bob", "viewer", "carol", "gus", "mallory"])
async def test_nobody_else_reads_across(group: Group, name: str) -> None:
    refusals = (403, 404) if name in ("carol", "gus") else ((404,) if name == "mallory" else (403,))
    for path in ("", "/projects", "/requests", f"/{group.rival_id}/snapshot"):
        assert (await group.ask(name, path)).status in refusals, path


async def test_a_permission_alone_does_not_cross_tenants(group: Group) -> None:
    world, alice = group.world, group.world.person("alice")
    given = await alice.rest(
        "PUT", f"/tenants/{world.tenant_id}/members/{world.user_ids['viewer']}",
        json={"allowed": ["organization.view"]},
    )  # fmt: skip
    assert given.success, given
    assert (await group.ask("viewer", "")).status == 403
    assert (await group.look("viewer")).status == 403


async def test_a_child_sees_nothing_of_its_parent_and_siblings(group: Group) -> None:
    world, mallory = group.world, group.world.person("mallory")
    sibling = await world.person("alice").rest(
        "POST", "/tenants", json={"name": "Sibling canary", "parent_id": world.tenant_id}
    )
    assert sibling.status == 201, sibling
    sibling_id = sibling.data.tenant.id
    assert [t.slug for t in (await group.ask("alice", "")).data.tenants] == ["rival", "sibling-canary"]
    own = f"/tenants/{group.rival_id}/children"
    assert (await mallory.rest("GET", own)).status == 403, "a child is no organization"
    for tenant_id in (world.tenant_id, sibling_id):
        assert (await mallory.rest("GET", f"/tenants/{tenant_id}")).status == 404
        assert (await mallory.rest("GET", f"{own}/{tenant_id}/snapshot")).status == 403
        assert (await mallory.rest("POST", f"/tenants/{tenant_id}/suspend", json={})).status == 404
    everything = str(await mallory.snapshot(f"tenant:{group.rival_id}"))
    assert "canary" not in everything
    assert "Kitchen" not in everything


async def test_nothing_of_a_child_becomes_writable(group: Group) -> None:
    alice = await group.world.person("alice").connect()
    room = f"project:{group.rival_project}"
    assert (await alice.send("task.create", room=room, title="x")).error.code == "NOT_FOUND"
    assert (await alice.send("room.join", room=room)).error.code == "NOT_FOUND"
    assert (await alice.rest("PUT", f"/tenants/{group.rival_id}", json={"name": "x"})).status == 404
    assert (await alice.rest("POST", f"/tenants/{group.rival_id}/switch", json={})).status == 404


@pytest.mark.parametrize("by", ["child", "parent", "demotion"])
async def test_reading_ends_at_once(group: Group, by: str) -> None:
    world = group.world
    assert (await group.look("admin")).success
    if by == "child":
        ended = await world.person("mallory").rest("DELETE", f"/tenants/{group.rival_id}/parent", json={})
    elif by == "parent":
        ended = await world.person("alice").rest("DELETE", f"{group.children}/{group.rival_id}", json={})
    else:
        ended = await world.person("alice").rest(
            "PUT", f"/tenants/{world.tenant_id}/members/{world.user_ids['admin']}", json={"role": "manager"}
        )
    assert ended.success, ended
    assert (await group.look("admin")).status in (403, 404)
    projects = await group.ask("admin", "/projects")
    assert projects.status == 403 if by == "demotion" else projects.data.projects == []


async def test_two_levels_and_no_more(group: Group) -> None:
    world = group.world
    alice, mallory = world.person("alice"), world.person("mallory")
    below = await alice.rest("POST", f"/tenants/{world.tenant_id}/parent", json={"slug": "rival"})
    assert below.error.code == "CONFLICT", "a tenant with children has no parent"
    third = await mallory.rest("POST", "/tenants", json={"name": "Third", "parent_id": group.rival_id})
    assert third.status == 404, "a child has no children"
    fourth = (await mallory.rest("POST", "/tenants", json={"name": "Fourth"})).data.tenant.id
    refused = await mallory.rest("POST", f"/tenants/{fourth}/switch", json={})
    headers = {"Authorization": f"Bearer {refused.data.access_token}"}
    for slug in ("rival", "fourth", "nowhere"):
        asked = await world.request("POST", f"/tenants/{fourth}/parent", json={"slug": slug}, headers=headers)
        assert (asked.status, asked.error.code) == (404, "NOT_FOUND"), slug
    again = await mallory.rest("POST", f"/tenants/{group.rival_id}/parent", json={"slug": "acme"})
    assert again.error.code == "CONFLICT"
    kept = await alice.rest("DELETE", f"/tenants/{world.tenant_id}", json={"slug": "acme"})
    assert kept.error.code == "CONFLICT", "an organization with tenants is not deleted"


async def test_an_organization_suspends_its_tenant_and_lifts_that(group: Group) -> None:
    world, alice = group.world, group.world.person("alice")
    mallory = await world.person("mallory").connect()
    path = f"/tenants/{group.rival_id}"
    for name, status in (("viewer", 404), ("manager", 404), ("mallory", 404)):
        assert (await world.person(name).rest("POST", f"{path}/suspend", json={})).status == status, name
    suspended = await alice.rest("POST", f"{path}/suspend", json={"reason": "late"})
    assert suspended.data.tenant.status == "suspended"
    closed = await mallory.hears("room.closed")
    assert closed.reason == "suspended"
    assert (await mallory.rest("POST", f"{path}/activate", json={})).status == 403
    assert (await alice.rest("POST", f"{path}/activate", json={})).data.tenant.status == "active"
    await alice.rest("POST", f"{path}/suspend", json={"reason": "late"})
    assert (await alice.rest("DELETE", f"{group.children}/{group.rival_id}", json={})).success
    freed = await mallory.rest("GET", path)
    assert (freed.data.tenant.status, freed.data.tenant.parent_id) == ("active", None)
    assert (await alice.rest("POST", f"{path}/suspend", json={})).status == 404


async def test_the_functions_trust_nobody(group: Group) -> None:
    """As the login role, with any person and any tenant: only an admin in the organization's own transaction."""
    world = group.world
    acme, rival = UUID(world.tenant_id), UUID(group.rival_id)
    async with world.sql() as db:
        mallory = await db.fetchval("SELECT id FROM users WHERE email = 'mallory@rival.example'")
    people = {name: UUID(user_id) for name, user_id in world.user_ids.items()}
    zero = UUID(int=0)
    for where, person, count in (
        (acme, people["alice"], 1), (acme, people["viewer"], 0), (acme, mallory, 0), (rival, people["alice"], 0),
        (None, people["alice"], 0),
    ):  # fmt: skip
        async with world.node.db.transaction(where) as session:
            assert (
                len(await session.many("organization_tenants", user_id=person, after=zero, most=9)) == count
            )
            rows = await session.many(
                "organization_projects", user_id=person, child_id=None, q=None, before_id=None, before_tenant=None,
                most=9,
            )  # fmt: skip
            assert len(rows) == count
            assert not await session.value("looks_into", user_id=person, parent_id=rival)

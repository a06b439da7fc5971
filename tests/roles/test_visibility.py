"""Clients, guests and limited members learn nothing of what is not shared with them, whatever they ask or hear."""

from typing import Any

import pytest

from handlers.registry import SPECS
from tests.contract.examples import QUERIES, example
from tests.roles.test_custom_roles import changed
from tests.roles.test_groups import team_of, unit_of
from tests.world import Person, World

CANARY = "canary-6a3b"
OUTSIDERS = ("carol", "gus", "bob")
"""A client, a guest, and a member who is denied the tenant."""
TENANT_WIDE = {"tenant.get", "role.list", "team.list", "unit.list"}


async def hide(world: World, alice: Person) -> dict[str, Any]:
    """A project that none of them takes part in, full of canaries, with all that hangs on it."""
    await changed(alice, "bob", denied=["tenant.view"])
    made = await alice.send("project.create", name=f"Secret {CANARY}", description=CANARY)
    project_id = made.data.project.id
    room = f"project:{project_id}"
    task = await alice.send(
        "task.create", room=room, title=CANARY, description=CANARY, assignee_ids=[alice.id], tags=[CANARY]
    )
    team = await team_of(alice, "manager", description=CANARY)
    unit = await unit_of(alice, f"Other client {CANARY}", "viewer")
    await alice.send("project.share", project_id=project_id, team_id=team)
    await alice.send("project.share", project_id=project_id, unit_id=unit, role="member")
    await alice.send("role.create", name=f"Role {CANARY}", base="member", description=CANARY)
    await alice.send(
        "delegation.create", to_id=world.user_ids["admin"], ends_at="2027-03-01T00:00:00Z", reason=CANARY
    )
    return {"project_id": project_id, "task_id": task.data.task.id, "room": room, "shared_with": team}


@pytest.mark.parametrize("name", QUERIES)
async def test_no_query_tells_of_what_is_not_shared(world: World, alice: Person, name: str) -> None:
    """Each query as its example asks it, and with every id in it led to the hidden project."""
    hidden = await hide(world, alice)
    payload = example(name).payload(world)
    led_there = {key: hidden.get(key, value) for key, value in payload.items() if key != "room"}
    asks = [payload, {**payload, **led_there}]
    if SPECS[name].room in ("", "project"):
        asks.append({**payload, "room": hidden["room"]})
    if "shared_with" in SPECS[name].payload.model_fields:
        asks.append({**payload, "shared_with": hidden["shared_with"]})
    for outsider in OUTSIDERS:
        person = await world.person(outsider).connect()
        for ask in asks:
            reply = await person.call(name, ask)
            assert CANARY not in str(reply), (outsider, ask, reply)
            assert hidden["project_id"] not in str(reply.get("data")), (outsider, ask, reply)
            if name in TENANT_WIDE:
                assert reply.error.code == "FORBIDDEN", (outsider, reply)
            if name == "project.list" and reply.success:
                assert {project.id for project in reply.data.projects} <= {world.project_id}
                assert reply.meta.pagination.total in (None, 1)


async def test_no_room_tells_of_what_is_not_shared(world: World, alice: Person) -> None:
    """Live, by snapshot and by replay: whatever happens elsewhere in the tenant reaches none of them."""
    people = []
    for outsider in OUTSIDERS:
        person = await world.person(outsider).connect()
        await person.join(world.project)
        people.append(person)
    hidden = await hide(world, alice)
    room, manager = hidden["room"], await world.person("manager").connect()
    await manager.join(room)
    await alice.send("task.update", task_id=hidden["task_id"], changes={"title": f"{CANARY} again"})
    await manager.send("presence.set", room=room, status="busy", focus=None)
    await alice.send("member.deactivate", user_id=world.user_ids["viewer"])
    await alice.send("tenant.update", name=f"Acme {CANARY}")
    await alice.send("task.update", task_id=world.tasks[0], changes={"title": "The last"})
    for person in people:
        await person.hears("task.updated")
        rooms = [world.project, f"user:{person.id}"]
        seen = [await person.snapshot(each) for each in rooms]
        for each in rooms:
            replayed = await person.rest("GET", f"/rooms/{each}/events", params={"since": 0, "limit": 100})
            seen.append(replayed.data.events)
        for each in (room, world.tenant):
            for what in ("snapshot", "events"):
                refused = await person.rest("GET", f"/rooms/{each}/{what}")
                assert refused.status in (403, 404), (person.name, each, what)
                seen.append(refused)
            joined = await person.send("room.join", room=each)
            assert joined.error.code in ("NOT_FOUND", "FORBIDDEN")
        for found in (*seen, person.journal):
            assert CANARY not in str(found), person.name
            assert hidden["project_id"] not in str(seen[:4])
        present = (await person.join(world.project)).presence
        assert world.user_ids["manager"] not in str(present), "who is in another room is not counted here"


async def test_what_is_shared_later_is_seen_from_then_on(world: World, alice: Person) -> None:
    hidden = await hide(world, alice)
    carol = await world.person("carol").connect()
    await alice.send("project.add_member", project_id=hidden["project_id"], user_id=world.user_ids["carol"])
    told = await carol.hears("project.joined")
    assert CANARY not in str(told), "the event says which, and she asks for the rest"
    assert CANARY in str(await carol.join(f"project:{told.data.participation.id}"))
    listed = (await carol.send("project.list", room=world.tenant)).data.projects
    assert {project.id for project in listed} == {hidden["project_id"], world.project_id}

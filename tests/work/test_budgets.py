"""Budgets, which nobody from outside ever sees, and allocations, against the working time of the tenant."""

import re

import orjson
import pytest

from tests.world import Board, Person, World

MONEY = 7_654_321
RATE = 12_345
ID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")
"""Ids may hold any digits."""


async def _set(person: Person, board: Board) -> None:
    reply = await person.send(
        "budget.set", project_id=board.project, minutes=6000, amount=MONEY, currency="chf", hourly_rate=RATE
    )
    assert reply.success, reply


async def test_a_budget_is_set_and_read(world: World, alice: Person, bob: Person, board: Board) -> None:
    empty = (await alice.send("budget.get", project_id=board.project)).data.budget
    assert (empty.minutes, empty.amount, empty.used, empty.spent_minutes) == (None, None, None, 0)
    await bob.join(board.room)
    await alice.send("task.update", task_id=board.first, changes={"estimate_minutes": 90})
    await _set(alice, board)
    budget = (await alice.send("budget.get", project_id=board.project)).data.budget
    assert (budget.minutes, budget.amount, budget.currency, budget.hourly_rate) == (6000, MONEY, "CHF", RATE)
    assert (budget.planned_minutes, budget.used) == (90, 0)
    taken = {"actual_minutes": 3000}
    assert (await alice.send("task.update", task_id=board.first, changes=taken)).success
    budget = (await alice.send("budget.get", project_id=board.project)).data.budget
    assert (budget.spent_minutes, budget.spent_amount) == (3000, 50 * RATE)
    assert budget.used == 100 * 50 * RATE // MONEY
    heard = await bob.hears("budget.changed", room=board.room)
    assert heard.data == {"project": {"id": board.project, "budget_version": 1}}
    assert (await alice.send("budget.set", project_id=board.project)).success, "nothing is set any more"
    assert (await alice.send("budget.get", project_id=board.project)).data.budget.amount is None
    odd = await alice.send("budget.set", project_id=board.project, amount=5)
    assert odd.error.code == "VALIDATION_ERROR", "money needs a currency"


@pytest.mark.parametrize("role", [None, "manager", "owner"])
@pytest.mark.parametrize("name", ["carol", "gus"])
async def test_people_from_outside_never_see_money(
    world: World, alice: Person, board: Board, name: str, role: str | None
) -> None:
    """By no call, no event, no snapshot and no replay, whatever role they have in the project."""
    person = await world.person(name).connect()
    user_id = world.user_ids[name]
    assert (
        await alice.send("project.add_member", project_id=board.project, user_id=user_id, role=role)
    ).success
    since = (await person.join(board.room)).seq
    own = f"user:{user_id}"
    await person.join(own)
    await _set(alice, board)
    planned = {"user_id": world.user_ids["bob"], "minutes_per_week": 1234, "start_on": "2026-12-01"}
    assert (await alice.send("allocation.add", project_id=board.project, **planned)).success
    await person.hears("budget.changed", room=board.room)
    refused = await person.send("budget.get", project_id=board.project)
    assert refused.error.code == "FORBIDDEN"
    got = [refused, await person.rest("GET", f"/projects/{board.project}/budget")]
    for call, payload in (
        ("budget.set", {"project_id": board.project, "minutes": 1}),
        ("allocation.add", {"project_id": board.project, **planned}),
        ("allocation.list", {}),
        ("allocation.report", {}),
        ("audit.list", {}),
        ("project.get", {"project_id": board.project}),
        ("project.list", {}),
        ("project.schedule", {"project_id": board.project}),
        ("room.snapshot", {"room": board.room}),
        ("room.snapshot", {"room": own}),
        ("room.events", {"room": board.room, "since": since}),
        ("room.join", {"room": world.tenant}),
        ("room.snapshot", {"room": world.tenant}),
    ):
        got.append(await person.call(call, payload))
    text = ID.sub("<id>", orjson.dumps([got, person.journal], default=str).decode())
    for secret in (str(MONEY), str(RATE), "CHF", "1234", "6000"):
        assert secret not in text, secret


async def test_who_is_planned_for_too_much(world: World, alice: Person, bob: Person, board: Board) -> None:
    await bob.join(world.tenant)
    attic = (await alice.send("project.create", name="Attic")).data.project
    user_id = world.user_ids["bob"]
    first = await alice.send(
        "allocation.add",
        project_id=board.project,
        user_id=user_id,
        minutes_per_week=1500,
        start_on="2026-11-30",
    )
    assert (await bob.hears("allocation.added")).data == first.data
    late = await alice.send(
        "allocation.add", project_id=attic.id, user_id=user_id, minutes_per_week=1200, start_on="2026-12-09",
        end_on="2026-12-20",
    )  # fmt: skip
    holiday = [{"on": "2026-12-25", "name": "Christmas", "yearly": True}]
    assert (await alice.send("tenant.update_settings", room=world.tenant, holidays=holiday)).success
    asked = {"from_on": "2026-12-03", "weeks": 4}
    [person] = (await bob.send("allocation.report", **asked)).data.people
    assert (person.name, person.over) == ("Bob", True)
    assert [
        (week.week_on, week.planned_minutes, week.capacity_minutes, week.over) for week in person.weeks
    ] == [
        ("2026-11-30", 1500, 2400, False),
        ("2026-12-07", 1500 + 720, 2400, False),  # three of five days
        ("2026-12-14", 2700, 2400, True),
        ("2026-12-21", 1500, 1920, False),
    ]
    assert {share.project_id for share in person.weeks[2].projects} == {board.project, attic.id}
    less = await alice.send(
        "allocation.update", project_id=attic.id, allocation_id=late.data.allocation.id, minutes_per_week=600
    )
    assert less.data.was == {"minutes_per_week": 1200}
    assert not (await bob.send("allocation.report", **asked)).data.people[0].over
    other = {"project_id": board.project, "allocation_id": late.data.allocation.id}
    assert (await alice.send("allocation.remove", **other)).error.code == "NOT_FOUND"
    listed = await bob.send("allocation.list", project_id=attic.id)
    assert [allocation.id for allocation in listed.data.allocations] == [late.data.allocation.id]
    assert (await alice.send("project.archive", project_id=attic.id)).success
    [person] = (await bob.send("allocation.report", **asked)).data.people
    assert [week.planned_minutes for week in person.weeks] == [1500] * 4, "the archive needs nobody"
    refused = await bob.send("allocation.remove", **{**other, "allocation_id": first.data.allocation.id})
    assert refused.error.code == "FORBIDDEN"


async def test_only_who_sees_a_project_is_planned_for_it(world: World, alice: Person, board: Board) -> None:
    attic = (await alice.send("project.create", name="Attic")).data.project
    plan = {"project_id": attic.id, "minutes_per_week": 60, "start_on": "2026-12-01"}
    for user_id in (world.user_ids["carol"], attic.id):
        assert (await alice.send("allocation.add", user_id=user_id, **plan)).error.code == "NOT_FOUND"
    backwards = await alice.send("allocation.add", user_id=alice.id, end_on="2026-11-01", **plan)
    assert list(backwards.error.field_errors) == ["end_on"]


async def test_allocations_of_a_project_in_the_trash_rest(world: World, alice: Person, board: Board) -> None:
    planned = {"user_id": world.user_ids["bob"], "minutes_per_week": 60, "start_on": "2026-12-01"}
    added = await alice.send("allocation.add", project_id=board.project, **planned)
    one = {"project_id": board.project, "allocation_id": added.data.allocation.id}
    assert (await alice.send("project.delete", project_id=board.project)).success
    for name, payload in (
        ("allocation.update", {**one, "minutes_per_week": 90}),
        ("allocation.remove", one),
    ):
        assert (await alice.call(name, payload)).error.code == "NOT_FOUND", name
    assert (await alice.send("project.restore", project_id=board.project)).success
    assert (await alice.call("allocation.remove", one)).success

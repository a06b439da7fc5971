"""Portfolios, programs and what is in them; status, owner, settings and the filters of the list."""

from typing import Any

import pytest

from tests.world import Board, Person, World


async def _make(person: Person, name: str, **fields: Any) -> Any:
    reply = await person.send("project.create", name=name, **fields)
    assert reply.success, reply
    return reply.data.project


async def test_a_portfolio_holds_programs_and_these_hold_projects(alice: Person, board: Board) -> None:
    portfolio = await _make(alice, "Houses", type="portfolio")
    program = await _make(alice, "Kitchens", type="program", parent_id=portfolio.id)
    inside = await alice.send("project.update", project_id=board.project, parent_id=program.id)
    assert inside.data.project.parent_id == program.id
    assert inside.data.was == {"parent_id": None}
    listed = await alice.send("project.list", parent_id=program.id)
    assert [project.id for project in listed.data.projects] == [board.project]
    for project_id, parent_id in (
        (portfolio.id, program.id),
        (portfolio.id, portfolio.id),
        (program.id, program.id),
        (program.id, board.project),
    ):
        reply = await alice.send("project.update", project_id=project_id, parent_id=parent_id)
        assert (reply.error.code, list(reply.error.field_errors)) == ("VALIDATION_ERROR", ["parent_id"])
    template = await alice.send("project.create", name="T", type="template", parent_id=portfolio.id)
    assert template.error.code == "VALIDATION_ERROR"
    smaller = await alice.send("project.update", project_id=portfolio.id, type="program")
    assert (smaller.error.code, smaller.error.details.project_ids) == ("CONFLICT", [program.id])
    out = await alice.send("project.update", project_id=board.project, parent_id=None)
    assert (out.data.project.parent_id, out.data.was.parent_id) == (None, program.id)


async def test_what_others_are_in_stays(alice: Person, board: Board) -> None:
    program = await _make(alice, "Kitchens", type="program")
    assert (await alice.send("project.update", project_id=board.project, parent_id=program.id)).success
    refused = await alice.send("project.delete", project_id=program.id)
    assert (refused.error.code, refused.error.details.project_ids) == ("CONFLICT", [board.project])
    assert (await alice.send("project.delete", project_id=board.project)).success
    assert (await alice.send("project.delete", project_id=program.id)).success
    back = await alice.send("project.restore", project_id=board.project)
    assert back.data.project.parent_id is None, "what it was in is in the trash"
    assert (await alice.send("project.archive", project_id=board.project)).success
    assert (await alice.send("project.restore", project_id=program.id)).success
    assert (await alice.send("project.archive", project_id=program.id)).success
    late = await alice.send("project.create", name="Late", parent_id=program.id)
    assert (late.error.code, late.error.details) == ("CONFLICT", {"reason": "project_archived"})


async def test_a_stranger_to_the_portfolio_learns_nothing_of_it(
    world: World, alice: Person, carol: Person, board: Board
) -> None:
    program = await _make(alice, "Secret", type="program")
    await alice.send(
        "project.add_member", project_id=board.project, user_id=world.user_ids["carol"], role="manager"
    )
    reply = await carol.send("project.update", project_id=board.project, parent_id=program.id)
    assert reply.error.code == "NOT_FOUND"


async def test_completion_has_a_moment(alice: Person, board: Board) -> None:
    done = await alice.send("project.update", project_id=board.project, status="completed")
    at = done.data.project.completed_at
    assert at is not None
    again = await alice.send("project.update", project_id=board.project, status="completed", name="Done")
    assert "completed_at" not in again.data.project
    back = await alice.send("project.update", project_id=board.project, status="active")
    assert (back.data.project.completed_at, back.data.was.completed_at) == (None, at)


async def test_an_owner_is_somebody_who_sees_it(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    attic = await _make(alice, "Attic", owner_id=world.user_ids["bob"])
    assert attic.owner_id == world.user_ids["bob"]
    members = (await alice.snapshot(f"project:{attic.id}")).snapshot.members
    assert {member.name for member in members} == {"Alice", "Bob"}
    carol = await alice.send("project.update", project_id=attic.id, owner_id=world.user_ids["carol"])
    assert list(carol.error.field_errors) == ["owner_id"]
    nobody = await alice.send("project.update", project_id=attic.id, owner_id=attic.id)
    assert list(nobody.error.field_errors) == ["owner_id"]
    assert (await alice.send("project.update", project_id=attic.id, owner_id=alice.id)).success
    assert (await bob.hears("project.updated")).data.was == {"owner_id": world.user_ids["bob"]}


async def test_without_guest_access_guests_are_out(
    world: World, alice: Person, carol: Person, gus: Person, board: Board
) -> None:
    await gus.join(board.room)
    closed = await alice.send(
        "project.update", project_id=board.project, settings={"allow_guest_access": False}
    )
    assert closed.success, closed
    assert await gus.hears("room.closed") == {"room": board.room, "reason": "revoked"}
    assert (await gus.send("project.get", project_id=board.project)).error.code == "NOT_FOUND"
    assert (await gus.send("task.list", project_id=board.project)).error.code == "NOT_FOUND"
    assert (await gus.send("project.list")).data.projects == []
    assert (await carol.send("project.get", project_id=board.project)).success, "a client is no guest"
    added = await alice.send("project.add_member", project_id=board.project, user_id=world.user_ids["gus"])
    assert (added.error.code, added.error.details) == ("CONFLICT", {"reason": "no_guests"})
    opened = await alice.send(
        "project.update", project_id=board.project, settings={"allow_guest_access": True}
    )
    assert opened.success
    assert (await gus.send("project.get", project_id=board.project)).success


async def test_settings_change_one_by_one(alice: Person, board: Board) -> None:
    first = await alice.send("project.update", project_id=board.project, settings={"require_approval": True})
    assert first.data.project.settings == {
        "allow_guest_access": True, "require_approval": True, "auto_archive_days": None,
        "notifications": {"assigned": True, "due": True, "commented": True, "status_changed": True},
    }  # fmt: skip
    more = {"auto_archive_days": 7, "notifications": {"due": False}}
    assert (await alice.send("project.update", project_id=board.project, settings=more)).success
    settings = (await alice.send("project.get", project_id=board.project)).data.project.settings
    assert (settings.require_approval, settings.auto_archive_days) == (True, 7)
    assert (settings.notifications.due, settings.notifications.assigned) == (False, True)
    odd = await alice.send("project.update", project_id=board.project, settings={"auto_archive_days": 0})
    assert odd.error.code == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, ["Attic", "Cellar", "Houses", "Kitchen"]),
        ({"archived": "with"}, ["Attic", "Cellar", "Houses", "Kitchen", "Old"]),
        ({"archived": "only"}, ["Old"]),
        ({"type": "template"}, ["Plan"]),
        ({"type": "program"}, ["Houses"]),
        ({"status": "on_hold"}, ["Cellar"]),
        ({"status": "on_hold", "type": "template"}, []),
    ],
)
async def test_the_list_is_narrowed(shared: World, asked: dict[str, Any], names: list[str]) -> None:
    alice = shared.people[0] if shared.people else await shared.person("alice").connect()
    listed = await alice.send("project.list", archived="with")
    if len(listed.data.projects) == 1:
        await _make(alice, "Attic", owner_id=shared.user_ids["bob"])
        await _make(alice, "Cellar", status="on_hold")
        await _make(alice, "Houses", type="program")
        await _make(alice, "Plan", type="template")
        old = await _make(alice, "Old")
        assert (await alice.send("project.archive", project_id=old.id)).success
    listed = await alice.send("project.list", **asked)
    assert [project.name for project in listed.data.projects] == names
    if not asked:
        owned = await alice.send("project.list", owner_id=shared.user_ids["bob"])
        assert [project.name for project in owned.data.projects] == ["Attic"]


async def test_a_unit_with_projects_stays(alice: Person) -> None:
    unit = (await alice.send("unit.create", kind="client", name="Big client")).data.unit
    attic = await _make(alice, "Attic", unit_id=unit.id)
    listed = await alice.send("project.list", unit_id=unit.id)
    assert [project.id for project in listed.data.projects] == [attic.id]
    assert (await alice.send("unit.delete", unit_id=unit.id)).error.code == "CONFLICT"
    nowhere = await alice.send("project.update", project_id=attic.id, unit_id=attic.id)
    assert nowhere.error.code == "NOT_FOUND"
    assert (await alice.send("project.delete", project_id=attic.id)).success
    assert (await alice.send("unit.delete", unit_id=unit.id)).success
    back = await alice.send("project.restore", project_id=attic.id)
    assert back.data.project.unit_id is None


async def test_a_new_project_that_is_closed_to_guests_takes_none(
    world: World, alice: Person, board: Board
) -> None:
    closed = {"allow_guest_access": False}
    guests = {"member_ids": [world.user_ids["gus"]]}
    made = await alice.send("project.create", name="Closed", settings=closed, **guests)
    assert (made.error.code, made.error.details) == ("CONFLICT", {"reason": "no_guests"})
    assert (await alice.send("project.create", name="Closed", settings=closed)).success
    assert (await alice.send("project.update", project_id=board.project, settings=closed)).success
    copied = await alice.send("project.duplicate", project_id=board.project, name="Copy", **guests)
    assert (copied.error.code, copied.error.details) == ("CONFLICT", {"reason": "no_guests"})

"""Views that people keep, and what each has collapsed: shared ones reach everybody, one's own nobody else."""

from typing import Any
from uuid import uuid4

import pytest
from orjson import dumps

from handlers.work.finding.views import MOST_OWN, SHARED_SIZE
from tests.world import Board, Person, World


def _own(person: Person) -> str:
    return f"user:{person.id}"


async def _views(person: Person, room: str) -> list[str]:
    return [view.name for view in (await person.snapshot(room)).snapshot.views]


async def test_a_private_view_reaches_its_owner_alone(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    """Not the room, not the owner of the tenant, not the audit log; but the owner's other devices."""
    phone = await world.person("bob").connect()
    kept = await bob.send(
        "view.create",
        project_id=board.project,
        name="Secret",
        filter={"field": "title", "op": "contains", "value": "raise"},
    )
    assert (await phone.hears("view.created")).data == kept.data
    view = kept.data.view
    await alice.hears_nothing("view.created")
    assert await _views(alice, board.room) == []
    assert await _views(bob, _own(bob)) == ["Secret"]
    listed = await alice.send("view.list", project_id=board.project)
    assert listed.data.views == []
    for name, more in (("view.update", {"name": "Mine"}), ("view.delete", {})):
        reply = await alice.call(name, {"view_id": view.id, **more})
        assert reply.error.code == "NOT_FOUND", name
    assert (await bob.send("view.update", view_id=view.id, name="Renamed secret")).success
    page = await alice.send("audit.list", limit=100)
    told = [entry for entry in page.data.entries if entry.action.startswith("view.")]
    assert len(told) == 2
    assert "ecret" not in str(told)
    assert "raise" not in str(told)
    assert (await bob.send("view.delete", view_id=view.id)).success
    assert (await phone.hears("view.deleted")).data.view == {"id": view.id, "removed": True}


async def test_a_shared_view_is_the_projects(alice: Person, bob: Person, board: Board) -> None:
    refused = await bob.send("view.create", project_id=board.project, name="Ours", shared=True)
    assert refused.error.details == {"permission": "board.edit"}
    kept = await alice.send(
        "view.create", project_id=board.project, name="Ours", shared=True, sort=[{"field": "due_at"}]
    )
    assert (await bob.hears("view.created")).data.view == kept.data.view
    assert await _views(bob, board.room) == ["Ours"]
    changed = await bob.send("view.update", view_id=kept.data.view.id, name="Mine")
    assert changed.error.code == "FORBIDDEN"


async def test_a_view_changes_hands_between_rooms(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    view = (await alice.send("view.create", project_id=board.project, name="Mine")).data.view
    assert (await alice.send("view.update", view_id=view.id, shared=True, name="Ours")).success
    assert (await bob.hears("view.updated")).data.view.name == "Ours"
    assert await _views(alice, _own(alice)) == []
    admin = await world.person("admin").connect()
    foreign = await admin.send("view.update", view_id=view.id, shared=False)
    assert foreign.error.code == "FORBIDDEN", "nobody takes what others share for himself, or for them"
    back = await alice.send("view.update", view_id=view.id, shared=False, expected_version=2)
    assert (back.data.view.name, back.data.view.version) == ("Ours", 3)
    assert (await bob.hears("view.deleted")).data.view.id == view.id
    assert (await _views(bob, board.room), await _views(alice, _own(alice))) == ([], ["Ours"])


async def test_they_are_listed_in_pages(alice: Person, bob: Person, board: Board) -> None:
    for name in ("c", "a", "b"):
        for shared in (True, False):
            await alice.send("view.create", project_id=board.project, name=name, shared=shared)
    await bob.send("view.create", project_id=board.project, name="aa")
    seen: list[tuple[str, bool]] = []
    cursor: str | None = None
    while True:
        page = await alice.send("view.list", project_id=board.project, limit=2, cursor=cursor)
        seen += [(view.name, view.shared) for view in page.data.views]
        cursor = page.meta.pagination.next
        if cursor is None:
            break
    assert sorted(seen) == [(name, shared) for name in "abc" for shared in (False, True)]
    assert [name for name, _ in seen] == list("aabbcc")
    own = await alice.send("view.list", project_id=board.project, shared=False)
    assert [view.shared for view in own.data.views] == [False] * 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"sort": [{"field": "colour"}]},
        {"fields": ["number\x00"]},
        {"swimlanes": "mood"},
        {"filter": {"field": "text", "op": "contains", "value": "x" * 20_000}},
        {"filter": {"field": "mood", "op": "eq", "value": "x"}},
        {"filter": {"or": [{"field": "title", "op": "in", "value": ["x" * 999] * 20}] * 2}},
        {"name": ""},
    ],
)
async def test_what_makes_no_sense_is_refused(alice: Person, board: Board, wrong: dict[str, Any]) -> None:
    reply = await alice.call("view.create", {"project_id": board.project, "name": "x", **wrong})
    assert reply.error.code == "VALIDATION_ERROR"
    assert next(iter(wrong)) in next(iter(reply.error.field_errors))


async def test_a_view_is_sought_where_it_is_and_not_where_its_board_is(alice: Person, board: Board) -> None:
    """Of two ids in a payload, the one that it has to have says which room it belongs to."""
    view = (await alice.send("view.create", project_id=board.project, name="Ours", shared=True)).data.view
    bath = (await alice.send("project.create", name="Bathroom", key="BATH")).data.project
    elsewhere = (await alice.snapshot(f"project:{bath.id}")).snapshot.boards[0]
    reply = await alice.call("view.update", {"view_id": view.id, "board_id": elsewhere.id})
    assert (reply.error.code, reply.error.message) == ("NOT_FOUND", "There is no such board")


async def test_what_is_collapsed_follows_to_another_device(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    phone = await world.person("bob").connect()
    head = (await bob.snapshot(board.room)).seq
    assert (await bob.send("column.collapse", column_id=board.done)).success
    heard = await phone.hears("column.collapsed")
    assert heard.room == _own(bob)
    assert heard.data.board_layout == {
        "id": board.id,
        "project_id": board.project,
        "collapsed_column_ids": [board.done],
        "collapsed_lanes": [],
    }
    assert (await bob.send("lane.collapse", board_id=board.id, lane="urgent")).success
    assert (await phone.hears("lane.collapsed")).data.board_layout.collapsed_lanes == ["urgent"]
    await alice.hears_nothing("column.collapsed")
    assert (await bob.snapshot(board.room)).seq == head, "the others' room does not move for it"
    layouts = (await bob.snapshot(_own(bob))).snapshot.board_layouts
    assert [(one.id, one.collapsed_lanes) for one in layouts] == [(board.id, ["urgent"])]
    assert (await alice.snapshot(_own(alice))).snapshot.board_layouts == []
    await bob.send("column.expand", column_id=board.done)
    await bob.send("lane.expand", board_id=board.id, lane="urgent")
    await phone.hears("column.expanded")
    assert (await phone.hears("lane.expanded")).data.board_layout.collapsed_lanes == []
    missing = await bob.send("column.collapse", column_id=board.first, room=board.room)
    assert missing.error.code == "NOT_FOUND"


async def test_views_of_a_project_in_the_trash_leave_room_for_others(alice: Person, board: Board) -> None:
    attic = (await alice.send("project.create", name="Attic")).data.project.id
    for number in range(MOST_OWN):
        assert (await alice.send("view.create", project_id=attic, name=f"{number}")).success
    more = {"project_id": board.project, "name": "More"}
    assert (await alice.call("view.create", more)).error.code == "CONFLICT"
    assert (await alice.send("project.delete", project_id=attic)).success
    assert (await alice.call("view.create", more)).success


async def test_shared_views_are_not_larger_than_a_snapshot_should_be(alice: Person, board: Board) -> None:
    ids = {"field": "id", "op": "in", "value": [str(uuid4()) for _ in range(100)]}
    shared = {"project_id": board.project, "shared": True, "filter": {"and": [ids, ids]}}
    made = [await alice.call("view.create", {**shared, "name": f"{number}"}) for number in range(30)]
    refused = [reply for reply in made if not reply.success]
    assert {reply.error.details.limit for reply in refused} == {SHARED_SIZE}
    assert (
        SHARED_SIZE - 20_000
        < sum(len(dumps(one.data.view.filter)) for one in made if one.success)
        < SHARED_SIZE
    )
    small = await alice.call("view.create", {**shared, "name": "Small", "filter": None})
    assert small.success
    grown = await alice.send("view.update", view_id=small.data.view.id, filter=shared["filter"])
    assert grown.error.details.limit == SHARED_SIZE
    renamed = await alice.send("view.update", view_id=made[0].data.view.id, name="Another name")
    assert renamed.success
    assert (await alice.call("view.create", {**shared, "name": "Mine", "shared": False})).success


@pytest.mark.parametrize(("text", "limit"), [("п" * 900, 7_000), ('"' * 900, 3_800)])
async def test_views_weigh_the_same_before_and_after_they_are_kept(
    alice: Person, board: Board, monkeypatch: pytest.MonkeyPatch, text: str, limit: int
) -> None:
    """In bytes: a letter of another alphabet has two, and so has a quote."""
    monkeypatch.setattr("handlers.work.finding.views.SHARED_SIZE", limit)
    said = {"field": "title", "op": "contains", "value": text}
    shared = {"project_id": board.project, "shared": True, "filter": {"and": [said, said]}}
    first = await alice.call("view.create", {**shared, "name": "First"})
    assert first.success, "some 3,700 bytes"
    assert (await alice.call("view.create", {**shared, "name": "Second"})).error.details.limit == limit
    kept = {"view_id": first.data.view.id, "filter": shared["filter"]}
    assert (await alice.send("view.update", **kept)).success
    monkeypatch.setattr("handlers.work.finding.views.SHARED_SIZE", 3_600)
    assert (await alice.send("view.update", **kept)).error.details.limit == 3_600
    assert (await alice.send("view.update", view_id=kept["view_id"], filter=None)).success


async def test_a_filter_is_measured_in_bytes(alice: Person, board: Board) -> None:
    said = {"field": "title", "op": "contains", "value": "п" * 800}
    kept = {"project_id": board.project, "name": "Long"}
    assert (await alice.call("view.create", {**kept, "filter": {"and": [said] * 5}})).success
    refused = await alice.call("view.create", {**kept, "filter": {"and": [said] * 7}})
    assert "10,000 bytes" in refused.error.field_errors.filter[0]

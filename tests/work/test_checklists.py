"""Checklists: their order under any moves, who ticked what, and what the task counts."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.work.tasks import checklists
from handlers.work.tasks.checklists import _place
from tests.world import Board, Person, World


async def _made(person: Person, task_id: str, *items: str, name: str = "Before") -> Any:
    reply = await person.send("checklist.create", task_id=task_id, name=name, items=list(items))
    assert reply.success, reply
    return reply.data


async def _listed(person: Person, task_id: str) -> list[tuple[str, list[str]]]:
    """The checklists in their order, with the texts of their items in theirs."""
    found = (await person.send("checklist.list", task_id=task_id)).data
    return [
        (one.name, [item.text for item in found.checklist_items if item.checklist_id == one.id])
        for one in found.checklists
    ]


async def test_it_is_made_with_its_items_and_counted(alice: Person, bob: Person, board: Board) -> None:
    made = await alice.send("checklist.create", task_id=board.first, name="Before", items=["Tape", "Foil"])
    heard = await bob.hears("checklist.created")
    assert heard.data == made.data
    assert heard.data.task == {"id": board.first, "checklist_total": 2, "checklist_done": 0}
    assert await _listed(bob, board.first) == [("Before", ["Tape", "Foil"])]
    task = (await alice.send("task.get", task_id=board.first)).data.task
    assert (task.checklist_total, task.version) == (2, 1)
    assert "checklists" not in (await alice.snapshot(board.room)).snapshot


async def test_ticking_tells_who_and_when(world: World, alice: Person, bob: Person, board: Board) -> None:
    item = (await _made(alice, board.first, "Tape", "Foil")).checklist_items[1]
    one = {"task_id": board.first, "item_id": item.id}
    ticked = (await bob.call("checklist.tick", one)).data
    assert (ticked.checklist_item.done_by, ticked.task.checklist_done) == (world.user_ids["bob"], 1)
    again = (await alice.call("checklist.tick", one)).data
    assert again.checklist_item == ticked.checklist_item, "who was first did it"
    unticked = (await alice.call("checklist.untick", one)).data
    assert unticked.checklist_item.done_at is None
    assert unticked.task == {"id": board.first, "checklist_total": 2, "checklist_done": 0}
    listed = (await bob.send("checklist.list", task_id=board.first)).data.checklist_items
    assert [(item.done_at, item.done_by) for item in listed] == [(None, None)] * 2


async def test_items_go_where_they_are_put(alice: Person, bob: Person, board: Board) -> None:
    first, other = (
        await _made(alice, board.first, "a", "b", "c"),
        await _made(alice, board.first, name="After"),
    )
    a, b, c = (item.id for item in first.checklist_items)
    on = {"task_id": board.first}
    assert (await alice.call("checklist.move_item", {**on, "item_id": c, "before_id": a})).success
    assert (await alice.call("checklist.move_item", {**on, "item_id": a})).success
    assert await _listed(bob, board.first) == [("Before", ["c", "b", "a"]), ("After", [])]
    elsewhere = {"checklist_id": other.checklist.id}
    moved = await alice.call("checklist.move_item", {**on, "item_id": b, **elsewhere})
    assert moved.data.was.checklist_id == first.checklist.id
    added = {**on, **elsewhere, "text": "z", "before_id": b}
    assert (await alice.call("checklist.add_item", added)).data.task.checklist_total == 4
    ahead = {**on, **elsewhere, "before_id": first.checklist.id}
    assert (await alice.call("checklist.move", ahead)).success
    assert await _listed(bob, board.first) == [("After", ["z", "b"]), ("Before", ["c", "a"])]
    renamed = {**on, **elsewhere, "name": "Later"}
    assert (await alice.call("checklist.update", renamed)).data.was == {"name": "After"}
    assert (await alice.call("checklist.update_item", {**on, "item_id": b, "text": "B"})).success
    assert await _listed(bob, board.first) == [("Later", ["z", "B"]), ("Before", ["c", "a"])]
    for wrong in ({"item_id": a, "before_id": b}, {"item_id": a, "before_id": a}):
        assert not (await alice.call("checklist.move_item", {**on, **wrong})).success
    gone = await alice.call("checklist.delete", {**on, **elsewhere})
    assert gone.data.task.checklist_total == 2
    assert (await alice.call("checklist.tick", {**on, "item_id": b})).error.code == "NOT_FOUND"


async def test_an_item_becomes_a_subtask(
    alice: Person, bob: Person, gus: Person, board: Board, world: World
) -> None:
    item = (await _made(alice, board.first, "Tape", "Foil")).checklist_items[0]
    one = {"task_id": board.first, "item_id": item.id}
    assert (await gus.call("checklist.convert_item", one)).error.code == "FORBIDDEN"
    made = await alice.call("checklist.convert_item", one)
    assert (made.data.task.title, made.data.task.parent_id) == ("Tape", board.first)
    assert (await bob.hears("task.created", seq=made.meta.seq - 1)).data.task == made.data.task
    gone = await bob.hears("checklist.item_removed")
    assert gone.data.checklist_item.id == item.id
    assert gone.data.task.checklist_total == 1
    assert (await alice.call("checklist.convert_item", one)).error.code == "NOT_FOUND"
    assert await _listed(bob, board.first) == [("Before", ["Foil"])]


async def test_they_go_and_come_back_with_their_task(alice: Person, board: Board) -> None:
    made = await _made(alice, board.first, "Tape")
    one = {"task_id": board.first, "item_id": made.checklist_items[0].id}
    assert (await alice.call("checklist.tick", one)).success
    assert (await alice.send("task.delete", task_id=board.first)).success
    on_list = {"task_id": board.first, "checklist_id": made.checklist.id}
    for call, ask in (
        ("checklist.list", {"task_id": board.first}),
        ("checklist.create", {"task_id": board.first, "name": "x"}),
        ("checklist.untick", one),
        ("checklist.remove_item", one),
        ("checklist.add_item", {**on_list, "text": "x"}),
        ("checklist.delete", on_list),
    ):
        assert (await alice.call(call, ask)).error.code == "NOT_FOUND", call
    back = (await alice.send("task.restore", task_id=board.first)).data.task
    assert (back.checklist_total, back.checklist_done) == (1, 1)


async def test_what_belongs_elsewhere_is_not_found(alice: Person, board: Board) -> None:
    here, there = await _made(alice, board.first, "a"), await _made(alice, board.second, "b")
    one = {"task_id": board.first, "item_id": here.checklist_items[0].id}
    for call, ask in (
        ("checklist.tick", {**one, "item_id": there.checklist_items[0].id}),
        ("checklist.move_item", {**one, "checklist_id": there.checklist.id}),
        ("checklist.move_item", {**one, "before_id": there.checklist_items[0].id}),
        ("checklist.delete", {"task_id": board.first, "checklist_id": there.checklist.id}),
    ):
        assert (await alice.call(call, ask)).error.code == "NOT_FOUND", call


async def test_there_is_an_end_to_it(alice: Person, board: Board, monkeypatch: Any) -> None:
    monkeypatch.setattr(checklists, "MOST", 1)
    monkeypatch.setattr(checklists, "MOST_ITEMS", 2)
    on = {"task_id": board.first}
    full = await alice.call("checklist.create", {**on, "name": "x", "items": ["a", "b", "c"]})
    assert full.error.code == "CONFLICT"
    made = await _made(alice, board.first, "a", "b")
    more = {**on, "checklist_id": made.checklist.id, "text": "c"}
    assert (await alice.call("checklist.add_item", more)).error.details == {"held": 2, "limit": 2}
    assert (await alice.call("checklist.create", {**on, "name": "x"})).error.details == {"limit": 1}
    assert await _listed(alice, board.first) == [("Before", ["a", "b"])]


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=200))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_moves_leave_the_order_that_was_asked_for(moves: list[tuple[int, int]]) -> None:
    """The places that are told and written always sort as the list does, also where keys have to be made anew."""
    order: list[Any] = []
    place: dict[Any, str] = {}
    for number, (what, where) in enumerate(moves):
        moved = order.pop(what % len(order)) if order and what % 3 else number
        before = order[where % len(order)] if order and where % 5 else None
        rows: list[Any] = [{"id": one, "position": place[one]} for one in order]
        place[moved], others = _place(rows, before, "item")
        place |= others
        order.insert(order.index(before) if before is not None else len(order), moved)
        assert sorted(order, key=lambda one: place[one]) == order
        assert len({place[one] for one in order}) == len(order)


def test_keys_that_get_too_long_are_made_anew() -> None:
    order, place = ["end"], {"end": "a0"}
    spread = 0
    for number in range(400):
        rows: list[Any] = [{"id": one, "position": place[one]} for one in order]
        place[str(number)], others = _place(rows, order[-1], "item")  # type: ignore[arg-type]
        place |= others  # type: ignore[arg-type]
        spread += bool(others)
        order.insert(len(order) - 1, str(number))
        assert sorted(order, key=lambda one: place[one]) == order
    assert spread

"""Tasks: create, change, move, trash, and the limits and rules on the way."""

import asyncio
from uuid import uuid4

from tests.reducer import fold, store_of
from tests.world import Board, Person, World


async def _order(person: Person, board: Board, column_id: str) -> list[str]:
    """The cards of a column as a client sorts them."""
    tasks = (await person.snapshot(board.room)).snapshot.tasks
    held = [task for task in tasks if task.column_id == column_id]
    return [task.id for task in sorted(held, key=lambda task: (task.position, task.id))]


async def test_moving_a_task_tells_the_room(alice: Person, bob: Person, board: Board) -> None:
    reply = await alice.send("task.move", task_id=board.first, column_id=board.doing)
    heard = await bob.hears("task.moved")
    assert heard.seq == reply.meta.seq
    assert heard.data.task.column_id == board.doing
    assert heard.data.was.column_id == board.todo


async def test_the_mover_hears_it_too(alice: Person, board: Board) -> None:
    reply = await alice.send("task.move", task_id=board.first, column_id=board.doing)
    heard = await alice.hears("task.moved")
    assert (heard.seq, heard.data) == (reply.meta.seq, reply.data)
    assert heard.actor == {"id": alice.id, "name": "Alice"}


async def test_a_task_goes_to_the_end_of_its_column(alice: Person, bob: Person, board: Board) -> None:
    reply = await alice.send("task.create", room=board.room, title="  Sharpen the knives ")
    task = reply.data.task
    assert (task.title, task.key, task.version) == ("Sharpen the knives", "KIT-6", 1)
    assert (await bob.hears("task.created")).data.task == task
    assert await _order(alice, board, board.todo) == [*board.tasks, task.id]


async def test_cards_go_before_after_and_to_the_end(alice: Person, board: Board) -> None:
    one, two, three, four, five = board.tasks
    await alice.send("task.move", task_id=five, column_id=board.todo, before_id=one)
    assert await _order(alice, board, board.todo) == [five, one, two, three, four]
    await alice.send("task.move", task_id=five, column_id=board.todo, after_id=two)
    assert await _order(alice, board, board.todo) == [one, two, five, three, four]
    await alice.send("task.move", task_id=one, column_id=board.todo)
    assert await _order(alice, board, board.todo) == [two, five, three, four, one]
    await alice.send("task.move", task_id=one, column_id=board.todo, before_id=two)
    assert await _order(alice, board, board.todo) == [one, two, five, three, four]
    await alice.send("task.move", task_id=one, column_id=board.todo, after_id=four)
    assert await _order(alice, board, board.todo) == [two, five, three, four, one]


async def test_a_thousand_drops_into_one_gap(world: World, alice: Person, board: Board) -> None:
    """Keys grow until the server spreads the column anew; the order is what was asked for all the while."""
    one, two, *rest = board.tasks
    expected = [one, two, *rest]
    for turn in range(240):
        dropped = expected[-1]
        reply = await alice.send("task.move", task_id=dropped, column_id=board.todo, after_id=one)
        assert reply.success, reply
        expected = [one, dropped, *expected[1:-1]]
        if turn % 40 == 39:
            assert await _order(alice, board, board.todo) == expected
    tasks = (await alice.snapshot(board.room)).snapshot.tasks
    assert max(len(task.position) for task in tasks) <= 41


async def test_the_drop_beside_a_card_that_has_gone_is_a_conflict(alice: Person, board: Board) -> None:
    await alice.send("task.move", task_id=board.second, column_id=board.done)
    reply = await alice.send(
        "task.move", task_id=board.first, column_id=board.todo, before_id=board.second
    )  # fmt: skip
    assert reply.error.code == "CONFLICT"


async def test_moving_takes_the_status_of_the_column(alice: Person, world: World, board: Board) -> None:
    done = (await alice.send("task.move", task_id=board.first, column_id=board.done)).data.task
    assert done.status_id == world.statuses["Completed"]
    assert done.completed_at
    back = (await alice.send("task.move", task_id=board.first, column_id=board.todo)).data.task
    assert back.completed_at is None
    assert back.version == 3


async def test_a_status_takes_the_task_to_its_column(alice: Person, world: World, board: Board) -> None:
    changes = {"status_id": world.statuses["Completed"]}
    reply = await alice.send("task.update", task_id=board.first, changes=changes)
    assert reply.data.task.column_id == board.done
    assert reply.data.task.completed_at


async def test_a_status_of_another_column_is_refused(alice: Person, world: World, board: Board) -> None:
    reply = await alice.send(
        "task.create",
        room=board.room,
        title="x",
        column_id=board.todo,
        status_id=world.statuses["Completed"],
    )
    assert reply.error.code == "CONFLICT"


async def test_what_is_named_changes_and_the_rest_stays(alice: Person, bob: Person, board: Board) -> None:
    before = (await alice.send("task.get", task_id=board.first)).data.task
    changes = {"title": "Measure it again", "tags": ["a", "b", "a"], "due_at": "2026-12-24T10:00:00+02:00"}
    await alice.send("task.update", task_id=board.first, changes=changes)
    heard = await bob.hears("task.updated")
    assert heard.data.was == {"title": before.title, "tags": [], "due_at": None}
    after = (await alice.send("task.get", task_id=board.first)).data.task
    assert (after.title, after.tags, after.due_at) == (
        "Measure it again", ["a", "b"], "2026-12-24T08:00:00.000Z"
    )  # fmt: skip
    assert after == {**before, **heard.data.task}


async def test_nothing_to_change_is_refused(alice: Person, board: Board) -> None:
    reply = await alice.send("task.update", task_id=board.first, changes={})
    assert reply.error.code == "VALIDATION_ERROR"
    reply = await alice.send("task.update", task_id=board.first, changes={"status_id": None})
    assert reply.error.code == "VALIDATION_ERROR"


async def test_a_circle_of_parents_is_refused(alice: Person, board: Board) -> None:
    one, two, three, *_ = board.tasks
    for child, parent in ((two, one), (three, two)):
        changes = {"parent_id": parent}
        assert (await alice.send("task.update", task_id=child, changes=changes)).success
    for parent in (one, two, three):
        reply = await alice.send("task.update", task_id=one, changes={"parent_id": parent})
        assert reply.error.code == "CONFLICT", parent


async def test_the_trash_takes_subtasks_along_and_gives_them_back(
    alice: Person, bob: Person, board: Board
) -> None:
    one, two, three, *_ = board.tasks
    await alice.send("task.update", task_id=two, changes={"parent_id": one})
    await alice.send("task.update", task_id=three, changes={"parent_id": two})
    await alice.send("task.delete", task_id=one)
    heard = await bob.hears("task.deleted")
    assert heard.data.task == {"id": one, "removed": True}
    assert {task.id for task in heard.data.tasks} == {two, three}
    assert (await alice.send("task.get", task_id=three)).error.code == "NOT_FOUND"
    assert (await alice.send("task.restore", task_id=two)).error.code == "CONFLICT"
    await alice.send("task.restore", task_id=one)
    heard = await bob.hears("task.restored")
    assert {task.id for task in heard.data.tasks} == {two, three}
    assert (await alice.send("task.get", task_id=three)).success


async def test_a_subtask_deleted_before_stays_in_the_trash(alice: Person, board: Board) -> None:
    one, two, *_ = board.tasks
    await alice.send("task.update", task_id=two, changes={"parent_id": one})
    await alice.send("task.delete", task_id=two)
    await alice.send("task.delete", task_id=one)
    await alice.send("task.restore", task_id=one)
    assert (await alice.send("task.get", task_id=two)).error.code == "NOT_FOUND"


async def test_a_client_makes_the_id_only_once(alice: Person, board: Board) -> None:
    task_id = str(uuid4())
    assert (
        await alice.send("task.create", room=board.room, id=task_id, title="Mine")
    ).data.task.id == task_id
    again = await alice.send("task.create", room=board.room, id=task_id, title="Mine")
    assert again.error.code == "CONFLICT"
    assert "id" in again.error.field_errors


async def test_assignees_must_see_the_project(alice: Person, world: World, board: Board) -> None:
    mallory = world.user_ids["mallory"]
    reply = await alice.send("task.create", room=board.room, title="x", assignee_ids=[mallory])
    assert list(reply.error.field_errors) == ["assignee_ids"]
    other = await alice.send("project.create", name="Attic")
    changes = {"room": f"project:{other.data.project.id}", "title": "x"}
    reply = await alice.send("task.create", **changes, assignee_ids=[world.user_ids["carol"]])
    assert list(reply.error.field_errors) == ["assignee_ids"], "a client takes no part in that project"


async def test_a_full_column_takes_nothing(alice: Person, board: Board) -> None:
    await alice.send("column.set_limit", column_id=board.doing, limit=1)
    assert (await alice.send("task.move", task_id=board.first, column_id=board.doing)).success
    for name, payload in (
        ("task.move", {"task_id": board.second}),
        ("task.create", {"room": board.room, "title": "x"}),
    ):
        reply = await alice.send(name, column_id=board.doing, **payload)
        details = {"rule": "wip_limit", "column_id": board.doing, "wip_limit": 1, "held": 1}
        assert (reply.error.code, reply.error.details) == ("CONFLICT", details)
    within = await alice.send("task.move", task_id=board.first, column_id=board.doing)
    assert within.success, "who is in may move about"


async def test_a_limit_holds_under_fifty_moves_at_once(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    created = [await alice.post("task.create", {"room": board.room, "title": f"Card {n}"}) for n in range(45)]
    cards = [*board.tasks, *(reply.data.task.id for reply in await asyncio.gather(*created))]
    assert len(cards) == 50
    await alice.send("column.set_limit", column_id=board.doing, limit=7)
    admin, manager = [await world.person(name).connect() for name in ("admin", "manager")]
    hands = (alice, bob, admin, manager)
    sent = [
        await hands[n % 4].post("task.move", {"task_id": card, "column_id": board.doing})
        for n, card in enumerate(cards)
    ]
    replies = await asyncio.gather(*sent)
    assert sum(reply.success for reply in replies) == 7
    assert {reply.error.code for reply in replies if not reply.success} == {"CONFLICT"}
    assert len(await _order(alice, board, board.doing)) == 7
    assert len(await _order(alice, board, board.todo)) == 43


async def test_pages_by_number_and_by_place(alice: Person, board: Board) -> None:
    for more in ({}, {"column_id": board.todo}):
        seen: list[str] = []
        cursor = None
        while True:
            asked = {"project_id": board.project, "limit": 2, "cursor": cursor, **more}
            page = await alice.call("task.list", asked)
            seen += [task.id for task in page.data.tasks]
            cursor = page.meta.pagination.next
            if cursor is None:
                break
        assert seen == board.tasks
    for bad in ("x", "MQ", "bm9uZQ", "W10", "WzFd", "e30"):
        for more in ({}, {"column_id": board.todo}):
            reply = await alice.send("task.list", project_id=board.project, cursor=bad, **more)
            assert reply.success or list(reply.error.field_errors) == ["cursor"]


async def test_filters(alice: Person, world: World, board: Board) -> None:
    await alice.send("task.update", task_id=board.first, changes={"assignee_ids": [world.user_ids["bob"]]})
    await alice.send("task.update", task_id=board.second, changes={"parent_id": board.first})
    for filters, expected in (
        ({"assignee_id": world.user_ids["bob"]}, [board.first]),
        ({"parent_id": board.first}, [board.second]),
        ({"status_id": world.statuses["Completed"]}, []),
    ):
        for more in ({}, {"column_id": board.todo}):
            reply = await alice.send("task.list", project_id=board.project, **filters, **more)
            assert [task.id for task in reply.data.tasks] == expected


async def test_a_snapshot_shows_a_window_and_where_it_goes_on(alice: Person, board: Board) -> None:
    reply = await alice.rest("GET", f"/rooms/{board.room}/snapshot", params={"window": "2"})
    assert [task.id for task in reply.data.snapshot.tasks] == board.tasks[:2]
    cursor = reply.data.snapshot.more[board.todo]
    rest = await alice.send("task.list", project_id=board.project, column_id=board.todo, cursor=cursor)
    assert [task.id for task in rest.data.tasks] == board.tasks[2:]


async def test_ids_of_two_projects_do_not_mix(alice: Person, board: Board) -> None:
    """A task of one project cannot be put into a column of another, whatever room the call names."""
    made = await alice.send("project.create", name="Attic")
    other = f"project:{made.data.project.id}"
    snapshot = (await alice.snapshot(other)).snapshot
    column_id = snapshot.columns[0].id
    for room in (None, board.room, other):
        reply = await alice.send("task.move", task_id=board.first, column_id=column_id, room=room)
        assert reply.error.code == "NOT_FOUND"
    status = await alice.send(
        "task.update", task_id=board.first, changes={"status_id": snapshot.statuses[0].id}
    )
    assert status.error.code == "NOT_FOUND"
    parent = await alice.send("task.create", room=other, title="x", parent_id=board.first)
    assert parent.error.code == "NOT_FOUND"


async def test_a_gap_that_gets_too_narrow_is_widened_in_the_same_move(alice: Person, board: Board) -> None:
    """Two cards take turns in one gap, until the server spreads the column anew: the order stays, the fold holds."""
    one, two, three, four, five = board.tasks
    old = await alice.snapshot(board.room)
    widened = None
    for turn in range(400):
        card = (two, three)[turn % 2]
        reply = await alice.send("task.move", task_id=card, column_id=board.todo, before_id=four)
        assert reply.success, reply
        if reply.data.get("tasks"):
            widened = reply
            break
    assert widened is not None, "400 moves into one gap never made it too narrow"
    assert {task.id for task in widened.data.tasks} <= set(board.tasks) - {widened.data.task.id}
    other = three if widened.data.task.id == two else two
    assert await _order(alice, board, board.todo) == [one, other, widened.data.task.id, four, five]
    fresh = await alice.snapshot(board.room)
    assert max(len(task.position) for task in fresh.snapshot.tasks) == 2
    store, seq = store_of(old.snapshot), old.seq
    while seq < fresh.seq:
        asked = await alice.rest("GET", f"/rooms/{board.room}/events", params={"since": seq, "limit": 100})
        store, seq = fold(store, asked.data.events), asked.data.events[-1].seq
    assert store == store_of(fresh.snapshot)


async def test_a_list_is_narrowed_and_sorted(alice: Person, board: Board, world: World) -> None:
    bob = world.user_ids["bob"]
    changes = {
        board.first: {"priority": "urgent", "due_at": "2026-12-02T00:00:00Z", "tags": ["wet"]},
        board.second: {"priority": "urgent", "due_at": "2026-12-01T00:00:00Z", "assignee_ids": [bob]},
        board.third: {"type": "bug", "status_id": world.statuses["Completed"]},
    }
    for task_id, change in changes.items():
        assert (await alice.send("task.update", task_id=task_id, changes=change)).success
    asked: list[tuple[dict[str, object], list[str]]] = [
        ({"priority": "urgent"}, [board.first, board.second]),
        ({"priority": "urgent", "assignee_id": bob}, [board.second]),
        ({"tag": "wet"}, [board.first]),
        ({"tag": "dry"}, []),
        ({"open": False}, [board.third]),
        ({"type": "bug"}, [board.third]),
        ({"due_from": "2026-12-01T00:00:00Z", "due_before": "2026-12-02T00:00:00Z"}, [board.second]),
        ({"text": "PLUMBER"}, [board.third]),
        ({"text": "%"}, []),
        ({"updated_since": "2199-01-01T00:00:00Z"}, []),
        ({"sort": "due_at"}, [board.second, board.first, *board.tasks[2:]]),
        ({"sort": "updated_at"}, [board.third, board.second, board.first, *board.tasks[:2:-1]]),
        ({"sort": "number", "column_id": board.todo}, [*board.tasks[:2], *board.tasks[3:]]),
    ]
    for ask, expected in asked:
        found: list[str] = []
        cursor: dict[str, str] = {}
        while cursor is not None:
            page = await alice.send("task.list", project_id=board.project, limit=2, **ask, **cursor)
            assert page.success, (ask, page)
            found += [task.id for task in page.data.tasks]
            if page.meta.pagination.next is None:
                break
            cursor = {"cursor": page.meta.pagination.next}
        assert found == expected, ask


async def test_what_somebody_was_given_across_projects(
    alice: Person, bob: Person, carol: Person, board: Board, world: World
) -> None:
    other = await alice.send("project.create", name="Bathroom", member_ids=[world.user_ids["bob"]])
    room = f"project:{other.data.project.id}"
    given = {"assignee_ids": [world.user_ids["bob"]], "due_at": "2026-12-01T00:00:00Z"}
    there = (await alice.send("task.create", room=room, title="Mirror", **given)).data.task.id
    mine = {"assignee_ids": [world.user_ids["bob"]]}
    assert (await alice.send("task.update", task_id=board.first, changes=mine)).success

    async def listed(person: Person, **ask: object) -> list[str]:
        reply = await person.send("task.list_assigned", room=world.tenant, **ask)
        assert reply.success, reply
        return [task.id for task in reply.data.tasks]

    assert await listed(bob) == [there, board.first]
    assert await listed(bob, project_ids=[board.project]) == [board.first]
    assert await listed(bob, due_from="2026-01-01T00:00:00Z") == [there]
    assert await listed(alice) == []
    assert await listed(alice, assignee_id=world.user_ids["bob"]) == [there, board.first]
    assert await listed(carol, assignee_id=world.user_ids["bob"]) == [board.first]
    first = await bob.send("task.list_assigned", room=world.tenant, limit=1)
    assert await listed(bob, limit=1, cursor=first.meta.pagination.next) == [board.first]
    assert (await alice.send("project.delete", project_id=other.data.project.id)).success
    assert await listed(bob) == [board.first]

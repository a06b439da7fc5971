"""The backlog: what is in it, and its order, which is that of a list whatever is done to it."""

from typing import Any

import pytest
from hypothesis import strategies as st

from handlers.work import positions
from tests.reducer import fold, store_of
from tests.scripts import play
from tests.work.test_sprints import do, plan, sprint_of
from tests.world import Board, Cluster, Person, World


async def _order(person: Person, project: str, limit: int = 100, **more: Any) -> list[str]:
    """The whole backlog, page by page."""
    found: list[str] = []
    ask = {"project_id": project, "limit": limit, **more}
    while True:
        page = await person.call("backlog.list", ask)
        found += [task.id for task in page.data.tasks]
        if page.meta.pagination.next is None:
            return found
        ask["cursor"] = page.meta.pagination.next


async def test_what_is_in_it(alice: Person, board: Board) -> None:
    here = {"project_id": board.project}
    assert await _order(alice, board.project) == board.tasks
    sprint = await plan(alice, board, tasks=board.tasks[:2])
    await do(alice, "task.move", task_id=board.third, column_id=board.done)
    below = (
        await do(alice, "task.create", room=board.room, title="Below", parent_id=board.tasks[3])
    ).data.task.id
    assert await _order(alice, board.project) == [*board.tasks[3:], below]
    assert await _order(alice, board.project, subtasks=False) == board.tasks[3:]
    await do(alice, "sprint.start", **here, sprint_id=sprint)
    await do(alice, "task.move", task_id=board.first, column_id=board.done)
    await do(alice, "sprint.complete", **here, sprint_id=sprint)
    assert await _order(alice, board.project, subtasks=False) == [board.second, *board.tasks[3:]]
    await do(alice, "task.move", task_id=board.first, column_id=board.todo)
    assert await sprint_of(alice, board, board.first) == sprint
    assert (await _order(alice, board.project))[0] == board.first, (
        "what is open again after its sprint is not lost"
    )


async def test_one_order_for_backlog_and_sprints(alice: Person, bob: Person, board: Board) -> None:
    a, b, c, d, e = board.tasks
    moved = await do(alice, "backlog.move", task_id=e, before_id=a)
    heard = await bob.hears("backlog.moved", seq=moved.meta.seq)
    assert heard.data == moved.data
    assert set(heard.data.task) == {"id", "backlog_position", "version", "updated_at"}
    assert heard.data.was == {"backlog_position": positions.numbered(5)}
    await do(alice, "backlog.move", task_id=b)
    assert await _order(alice, board.project) == [e, a, c, d, b]
    sprint = await plan(alice, board, tasks=[b, c, e])
    held = await do(alice, "sprint.tasks", project_id=board.project, sprint_id=sprint)
    assert [task.id for task in held.data.tasks] == [e, c, b], "a task keeps its place when it is planned"
    await do(alice, "backlog.move", task_id=b, after_id=e)
    held = await do(alice, "sprint.tasks", project_id=board.project, sprint_id=sprint)
    assert [task.id for task in held.data.tasks] == [e, b, c]
    new = (await do(alice, "task.create", room=board.room, title="New")).data.task
    assert await _order(alice, board.project) == [a, d, new.id], "a new task comes at the end"
    gone = await alice.send("backlog.move", task_id=a, before_id=a[:-12] + "0" * 12)
    assert gone.error.code == "NOT_FOUND"
    old = await alice.call("backlog.move", {"task_id": a, "expected_version": 7})
    assert old.error.code == "VERSION_CONFLICT"


MOVE = st.tuples(
    st.sampled_from("mmmmmmcpdg"),
    st.integers(0, 99),
    st.integers(0, 99),
    st.sampled_from(["before", "after", "end"]),
)


def test_it_is_a_list(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moves, new tasks, sprints, deletions in any turn, with keys that may hardly grow: the order is that of a list."""
    monkeypatch.setattr(positions, "LONGEST", 15)
    play(cluster, _play, st.lists(MOVE, min_size=30, max_size=60), examples=5)


async def _play(_world: World, alice: Person, script: list[Any]) -> None:
    project = (await do(alice, "project.create", name="List")).data.project.id
    room, order, planned = f"project:{project}", list[str](), set[str]()
    sprint = (await do(alice, "sprint.create", project_id=project, name="S")).data.sprint.id
    for at in range(4):
        order.append((await do(alice, "task.create", room=room, title=f"Task {at}")).data.task.id)
    for what, one, other, way in script:
        task, anchor = order[one % len(order)], order[other % len(order)]
        if what == "c":
            order.append((await do(alice, "task.create", room=room, title="More")).data.task.id)
        elif what == "p":
            call = "sprint.remove_tasks" if task in planned else "sprint.add_tasks"
            await do(alice, call, project_id=project, sprint_id=sprint, task_ids=[task])
            planned ^= {task}
        elif what == "d":
            await do(alice, "task.delete", task_id=task)
            await do(alice, "task.restore", task_id=task)
        elif what == "g" and len(order) > 3:
            await do(alice, "task.delete", task_id=task)
            order.remove(task)
            planned.discard(task)
        elif task != anchor or way == "end":
            order.remove(task)
            beside = {} if way == "end" else {f"{way}_id": anchor}
            await do(alice, "backlog.move", task_id=task, **beside)
            at = len(order) if way == "end" else order.index(anchor) + (way == "after")
            order.insert(at, task)
    assert await _order(alice, project, limit=3) == [task for task in order if task not in planned]
    held = await do(alice, "sprint.tasks", project_id=project, sprint_id=sprint, limit=100)
    assert [task.id for task in held.data.tasks] == [task for task in order if task in planned]
    keys = [
        task.backlog_position
        for task in (await do(alice, "task.list", project_id=project, limit=100)).data.tasks
    ]
    assert len(set(keys)) == len(keys)


async def test_a_narrow_gap_is_widened(
    alice: Person, bob: Person, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same gap again and again: keys stay short, and the few others that move for it are told."""
    monkeypatch.setattr(positions, "LONGEST", 28)
    start = await bob.join(board.room)
    anchor, *others = board.tasks
    for at in range(200):
        reply = await do(alice, "backlog.move", task_id=others[at % 2], after_id=anchor)
        assert len(reply.data.task.backlog_position) <= 28
        if "tasks" in reply.data:
            break
    assert 50 < at < 199, "after as many as fit"
    assert len(reply.data.task.backlog_position) <= 14
    order = [anchor, others[at % 2], others[1 - at % 2], *others[2:]]
    assert await _order(alice, board.project) == order
    await bob.hears("backlog.moved", seq=reply.meta.seq)
    fresh = store_of((await bob.snapshot(board.room)).snapshot)
    assert fold(store_of(start.snapshot), bob.events(board.room)) == fresh

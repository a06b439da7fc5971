"""The audit log as people read it: newest first, filtered, as a file, and nobody else's."""

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handlers import sheets
from handlers.insight import audit
from tests.world import Board, Person, World, until


async def log(person: Person, **filters: Any) -> list[Any]:
    reply = await person.send("audit.list", **filters)
    assert reply.success, reply
    entries: list[Any] = reply.data.entries
    return entries


@pytest.fixture
async def busy(world: World, alice: Person, bob: Person, board: Board) -> World:
    """A world where alice and bob have done something."""
    for n in range(3):
        assert (await bob.send("task.update", task_id=board.first, changes={"title": f"Title {n}"})).success
    assert (await alice.send("task.move", task_id=board.second, column_id=board.doing)).success
    assert (await bob.send("project.update", project_id=board.project, name="x")).error.code == "FORBIDDEN"
    await world.node.refusals.once()
    return world


async def test_the_newest_comes_first(busy: World, alice: Person, board: Board) -> None:
    entries = await log(alice, action="task.", limit=4)
    assert [entry.action for entry in entries] == ["task.move", "task.update", "task.update", "task.update"]
    move = entries[0]
    assert (move.actor_name, move.actor_id, move.outcome) == ("Alice", alice.id, "ok")
    assert (move.resource, move.room) == (f"task:{board.second}", board.room)
    assert move.changes == {"task_id": board.second, "column_id": board.doing}
    assert entries[1].changes["changes"] == {"title": "Title 2"}
    assert entries[1].was == {"title": "Title 1"}


async def test_a_refusal_that_is_being_written_is_kept_when_the_node_ends(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    await bob.connect()
    refusals = world.node.refusals
    async with world.sql() as db, db.transaction():
        await db.execute("LOCK TABLE audit_pending IN EXCLUSIVE MODE")
        assert (
            await bob.send("project.update", project_id=board.project, name="x")
        ).error.code == "FORBIDDEN"
        await until(lambda: not refusals._waiting)
        stopping = asyncio.create_task(refusals.stop())
        await asyncio.sleep(0.1)
    await stopping
    assert [entry.actor_id for entry in await log(alice, outcome="FORBIDDEN")] == [bob.id]


async def test_filters(busy: World, alice: Person, bob: Person, board: Board) -> None:
    by_bob = await log(alice, actor_id=bob.id)
    assert {entry.actor_id for entry in by_bob} == {bob.id}
    assert {"auth.login", "task.update"} <= {entry.action for entry in by_bob}
    assert len(await log(alice, actor_id=bob.id, action="task.update")) == 3
    about = await log(alice, resource=f"task:{board.first}")
    assert len(about) == 4, "made once and changed three times"
    assert len(await log(alice, resource=f"task:{board.first}", actor_id=bob.id)) == 3
    assert len(await log(alice, resource=f"task:{board.first}", action="task.create")) == 1
    assert {entry.action for entry in await log(alice, action="task.u")} == {"task.update"}
    assert await log(alice, action="nothing.") == []
    assert {entry.outcome for entry in await log(alice, outcome="ok")} == {"ok"}
    failed = await log(alice, outcome="failed")
    assert [(entry.action, entry.outcome) for entry in failed] == [("project.update", "FORBIDDEN")]
    assert await log(alice, outcome="FORBIDDEN") == failed
    assert await log(alice, outcome="FORBIDDEN", actor_id=alice.id) == []


async def test_dates(busy: World, alice: Person) -> None:
    everything = await log(alice, limit=100)
    middle = everything[3].at
    since, until = await log(alice, since=middle, limit=100), await log(alice, until=middle, limit=100)
    assert [entry.id for entry in since] + [entry.id for entry in until] == [entry.id for entry in everything]
    assert {entry.id for entry in everything[:3]} <= {entry.id for entry in since}
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert await log(alice, since=later) == []
    assert (await alice.send("audit.list", since="yesterday")).error.code == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    "filters", [{}, {"action": "t"}, {"outcome": "ok"}, {"action": "task.", "outcome": "ok"}]
)
async def test_pages(busy: World, alice: Person, filters: dict[str, str]) -> None:
    everything = await log(alice, limit=100, **filters)
    assert len(everything) > 6
    seen, cursor = [], None
    while True:
        reply = await alice.send("audit.list", limit=2, **filters, **({"cursor": cursor} if cursor else {}))
        seen += reply.data.entries
        cursor = reply.meta.pagination.next
        if cursor is None:
            break
    assert [entry.id for entry in seen] == [entry.id for entry in everything]


async def test_nothing_of_another_tenant(busy: World, alice: Person, mallory: Person) -> None:
    hers = await log(mallory, limit=100)
    assert hers
    assert {entry.actor_name for entry in hers} == {"Mallory"}
    assert "Alice" in {entry.actor_name for entry in await log(alice, limit=100)}
    assert await log(mallory, actor_id=alice.id) == []
    assert await log(mallory, resource=f"project:{busy.project_id}") == []
    refused = await mallory.rest("GET", f"/tenants/{busy.tenant_id}/audit")
    assert (refused.status, refused.error.code) == (404, "NOT_FOUND")


async def test_the_file_holds_everything(busy: World, alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE", 3)
    listed = await log(alice, limit=100)
    text = (await alice.rest("GET", f"/tenants/{busy.tenant_id}/audit.csv")).text
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["id"] for row in rows] == [entry.id for entry in listed]
    assert [row["at"] for row in rows] == [entry.at for entry in listed]
    assert sheets.PAGE > 3
    again = await log(alice, limit=1)
    assert again[0].action == "audit.export", "reading the file is in the log itself"
    some = (await alice.rest("GET", f"/tenants/{busy.tenant_id}/audit.csv?action=task.move")).text
    assert len(list(csv.DictReader(io.StringIO(some, newline="")))) == 1

"""Activity: sentences with parts, for whoever may see what they tell of, and live behind the events."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import server.nouns  # noqa: F401  # registers every event
from handlers.registry import EVENTS
from handlers.work.past.entries import _unknown
from handlers.work.past.log import Past
from handlers.work.past.sentences import SENTENCES, SILENT
from tests.world import Board, Person, World


def _past(name: str, **data: Any) -> Past:
    some = uuid4()
    return Past(some, 1, name, datetime.now(UTC), some, "Alice", some, None, data)


def test_every_event_has_its_sentence() -> None:
    """A new event gets a line in handlers/work/past/sentences.py: words, or `silent`."""
    assert set(EVENTS) - set(SENTENCES) - SILENT == set()
    assert not set(SENTENCES) & SILENT


def test_what_has_no_sentence_is_told_by_its_name() -> None:
    assert _unknown(_past("sprint.begun"), "sprint") == "{actor}: sprint begun"
    assert _unknown(_past("sprint.begun", sprint={"id": "1", "name": "One"}), "sprint") == (
        "{actor}: sprint begun ({sprint})"
    )


async def test_a_move_in_words_behind_its_event(alice: Person, bob: Person, board: Board) -> None:
    await bob.join(board.room)
    feed = await bob.send("activity.list", project_id=board.project, limit=1)
    newest = feed.data.entries[0].seq
    await alice.send("task.move", task_id=board.tasks[3], column_id=board.done)
    heard = await bob.hears("task.moved")
    reply = await bob.send("activity.list", project_id=board.project, since=newest)
    [entry] = [one for one in reply.data.entries if one.seq == heard.seq]
    assert (entry.room, entry.command_id, entry.event) == (board.room, heard.command_id, "task.moved")
    assert entry.text == "Alice moved KIT-4 from To do to Done"
    assert "".join(part.text for part in entry.parts) == entry.text
    linked = {part.text: (part.type, part.id) for part in entry.parts if part.type}
    assert linked == {
        "Alice": ("user", alice.id), "KIT-4": ("task", board.tasks[3]), "To do": ("column", board.todo),
        "Done": ("column", board.done),
    }  # fmt: skip
    assert (entry.verb, entry.actor.name, entry.subject.name, entry.subject.title) == (
        "moved",
        "Alice",
        "KIT-4",
        "Order the oven",
    )
    column = next(change for change in entry.changes if change.field == "column_id")
    assert (column.was, column.was_text, column.now_text) == (board.todo, "To do", "Done")


async def test_the_feed_of_a_task(world: World, alice: Person, bob: Person, board: Board) -> None:
    first = {"task_id": board.first}
    await alice.send("task.update", **first, changes={"assignee_ids": [world.user_ids["bob"]]})
    await alice.send("task.update", **first, changes={"title": "Line one\nline {two}", "priority": "high"})
    await bob.send("comment.add", **first, body="Fine")
    await alice.send("dependency.add", task_id=board.second, depends_on_id=board.first)
    await bob.send("tasks.update", project_id=board.project, task_ids=board.tasks[:3], add_tags=["wet"])
    await bob.send("tasks.delete", project_id=board.project, task_ids=board.tasks[:2])
    texts: list[str] = []
    cursor = None
    while True:
        page = await alice.send("activity.list", **first, limit=2, cursor=cursor)
        texts += [entry.text for entry in page.data.entries]
        cursor = page.meta.pagination.next
        if cursor is None:
            break
    assert texts == [
        "Bob deleted KIT-1",
        "Bob changed the tags of KIT-1 from nothing to wet",
        "Alice made KIT-2 wait for KIT-1",
        "Bob commented on KIT-1",
        "Alice changed the title and the priority of KIT-1",
        "Alice changed the assignees of KIT-1 from nothing to Bob",
        "Alice created KIT-1 in To do",
    ]
    project = await alice.send("activity.list", project_id=board.project, user_id=world.user_ids["bob"])
    assert [entry.text for entry in project.data.entries] == [
        "Bob deleted 2 tasks",
        "Bob changed the tags of 3 tasks",
        "Bob commented on KIT-1",
    ]


async def test_nobody_reads_of_what_he_may_not_see(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    made = await alice.send("project.create", name="Secret plans")
    hidden = f"project:{made.data.project.id}"
    assert (await alice.send("task.create", room=hidden, title="Hide it")).success
    await alice.send("task.update", task_id=board.first, changes={"assignee_ids": [world.user_ids["bob"]]})
    gus, mallory = await world.person("gus").connect(), await world.person("mallory").connect()
    for person, asked in ((bob, {}), (gus, {}), (gus, {"user_id": world.user_ids["alice"]})):
        seen = []
        cursor = None
        while True:
            page = await person.send("activity.list_all", **asked, limit=5, cursor=cursor)
            seen += page.data.entries
            cursor = page.meta.pagination.next
            if cursor is None:
                break
        rooms = {entry.room for entry in seen}
        assert board.room in rooms
        assert not any(room.startswith("user:") for room in rooms)
        assert (hidden in rooms) is (person is bob), "a guest sees what is shared with him"
        assert (world.tenant in rooms) is (person is bob)
        places = [(entry.room, entry.seq) for entry in seen]
        assert len(set(places)) == len(places)
        assert [entry.at for entry in seen] == sorted((entry.at for entry in seen), reverse=True)
    assert (await gus.send("activity.list", room=hidden)).error.code == "NOT_FOUND"
    assert (await mallory.send("activity.list", task_id=board.first)).error.code == "NOT_FOUND"
    foreign = await mallory.send("activity.list_all", user_id=world.user_ids["alice"])
    assert foreign.error.code == "NOT_FOUND"
    await alice.send("project.update", project_id=board.project, name="Kitchen, new")
    told = [
        entry
        for entry in (await bob.send("activity.list_all")).data.entries
        if entry.event == "project.updated"
    ]
    assert [entry.text for entry in told] == [
        "Alice changed the name of the project Kitchen, new from Kitchen to Kitchen, new"
    ]


async def test_tasks_of_projects_that_one_does_not_see_have_no_names(
    world: World, alice: Person, board: Board
) -> None:
    """Links are told in both rooms, and what goes to another project is called otherwise there."""
    bathroom = (await alice.send("project.create", name="Bathroom", key="BATH")).data.project.id
    secret = (await alice.send("task.create", room=f"project:{bathroom}", title="Secret tiles")).data.task.id
    link = {"project_id": board.project, "task_id": board.first, "other_id": secret}
    assert (await alice.call("link.add", link)).success
    way = {"project_id": board.project, "task_id": board.second, "to_project_id": bathroom}
    assert (await alice.call("task.transfer", way)).success
    assert (await alice.send("task.update", task_id=board.second, changes={"title": "Hidden oven"})).success
    carol = await world.person("carol").connect()
    for ask in ({"project_id": board.project}, {}):
        feed = await carol.call("activity.list" if ask else "activity.list_all", {**ask, "limit": 50})
        for hidden in ("BATH", "Secret", "Hidden"):
            assert hidden not in str(feed.data.entries), (ask, hidden)
        assert "Alice linked KIT-1 with a task" in [entry.text for entry in feed.data.entries]
    seen = (await alice.send("activity.list", project_id=board.project)).data.entries
    assert "Alice linked KIT-1 with BATH-1" in [entry.text for entry in seen]
    of_other = (await alice.send("activity.list", task_id=secret)).data.entries
    assert of_other[0].text == "Alice linked KIT-1 with BATH-1", "it is in the feed of both"

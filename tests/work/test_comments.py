"""Comments: who may write them, what others hear, how pages go on, and what the task counts."""

from uuid import uuid4

import pytest

from tests.world import Board, Person, World


async def _say(person: Person, task_id: str, body: str = "Is it dry?", **more: object) -> str:
    reply = await person.send("comment.add", task_id=task_id, body=body, **more)
    assert reply.success, reply
    return str(reply.data.comment.id)


async def _pages(person: Person, task_id: str, **ask: object) -> list[str]:
    """The bodies of all comments, page by page."""
    found: list[str] = []
    cursor = None
    while True:
        reply = await person.send(
            "comment.list", task_id=task_id, **ask, **({"cursor": cursor} if cursor else {})
        )
        assert reply.success, reply
        found += [comment.body for comment in reply.data.comments]
        cursor = reply.meta.pagination.next
        if cursor is None:
            return found


async def test_a_comment_is_heard_and_counted(alice: Person, bob: Person, board: Board) -> None:
    reply = await alice.send("comment.add", task_id=board.first, body="Is the *left* wall dry?\n")
    heard = await bob.hears("comment.added")
    assert heard.seq == reply.meta.seq
    assert heard.data == reply.data
    assert heard.data.comment.body == "Is the *left* wall dry?\n"
    assert heard.data.task == {"id": board.first, "comment_count": 1}
    task = (await bob.send("task.get", task_id=board.first)).data.task
    assert (task.comment_count, task.version) == (1, 1)


async def test_clients_and_guests_comment_where_it_is_shared(
    carol: Person, gus: Person, world: World, board: Board, alice: Person
) -> None:
    for person in (carol, gus):
        await _say(person, board.first, person.name)
    assert await _pages(gus, board.first, order="oldest") == ["carol", "gus"]
    other = await alice.send("project.create", name="Hidden")
    task = await alice.send("task.create", room=f"project:{other.data.project.id}", title="Hidden")
    for call, more in (("comment.add", {"body": "x"}), ("comment.list", {})):
        reply = await carol.send(call, task_id=task.data.task.id, **more)
        assert reply.error.code == "NOT_FOUND"


async def test_viewers_read_and_do_not_write(world: World, alice: Person, board: Board) -> None:
    await _say(alice, board.first)
    viewer = await world.person("viewer").connect()
    assert await _pages(viewer, board.first) == ["Is it dry?"]
    assert (await viewer.send("comment.add", task_id=board.first, body="x")).error.code == "FORBIDDEN"


async def test_only_the_author_edits(alice: Person, bob: Person, board: Board) -> None:
    comment_id = await _say(bob, board.first)
    mine = {"task_id": board.first, "comment_id": comment_id, "body": "Is it wet?"}
    assert (await alice.call("comment.edit", mine)).error.code == "FORBIDDEN"
    edited = (await bob.call("comment.edit", mine)).data.comment
    assert (edited.body, edited.version) == ("Is it wet?", 2)
    heard = await alice.hears("comment.edited")
    assert heard.data.comment == edited
    assert heard.data.was == {"body": "Is it dry?", "edited_at": None}
    listed = (await alice.send("comment.list", task_id=board.first)).data.comments[0]
    assert listed.edited_at == edited.edited_at
    assert listed.edited_at >= listed.created_at


async def test_the_author_or_whoever_runs_the_project_deletes(
    alice: Person, bob: Person, carol: Person, board: Board
) -> None:
    first, second = await _say(bob, board.first), await _say(bob, board.first)
    one = {"task_id": board.first, "comment_id": first}
    refused = await carol.call("comment.delete", one)
    assert (refused.error.code, refused.error.details) == ("FORBIDDEN", {"permission": "project.edit"})
    assert (await alice.call("comment.delete", one)).data.task.comment_count == 1
    heard = await carol.hears("comment.deleted")
    assert heard.data.comment == {"id": first, "task_id": board.first, "removed": True}
    assert (await bob.call("comment.delete", {**one, "comment_id": second})).data.task.comment_count == 0
    for call, more in (("comment.delete", {}), ("comment.edit", {"body": "x"})):
        assert (await bob.call(call, {**one, **more})).error.code == "NOT_FOUND"
    assert await _pages(bob, board.first) == []


async def test_answers_stay_when_what_they_answer_goes(alice: Person, board: Board) -> None:
    asked = await _say(alice, board.first, "Question")
    answer = await _say(alice, board.first, "Answer", parent_id=asked)
    await _say(alice, board.first, "Thanks", parent_id=answer)
    assert (await alice.send("comment.delete", task_id=board.first, comment_id=asked)).success
    listed = (await alice.send("comment.list", task_id=board.first, order="oldest")).data.comments
    assert [(comment.body, comment.parent_id) for comment in listed] == [
        ("Answer", asked),
        ("Thanks", answer),
    ]
    late = await alice.send("comment.add", task_id=board.first, body="Late", parent_id=asked)
    assert late.error.code == "NOT_FOUND"


async def test_an_answer_belongs_to_the_same_task(alice: Person, board: Board) -> None:
    elsewhere = await _say(alice, board.second)
    reply = await alice.send("comment.add", task_id=board.first, body="x", parent_id=elsewhere)
    assert reply.error.code == "NOT_FOUND"
    edited = await alice.send("comment.edit", task_id=board.first, comment_id=elsewhere, body="x")
    assert edited.error.code == "NOT_FOUND"


async def test_pages_go_on_from_either_end(alice: Person, board: Board) -> None:
    said = [f"Remark {n}" for n in range(23)]
    answers = [await alice.post("comment.add", {"task_id": board.first, "body": body}) for body in said]
    assert all([(await answer).success for answer in answers])
    assert await _pages(alice, board.first, order="oldest", limit=5) == said
    assert await _pages(alice, board.first, limit=5) == said[::-1]
    assert await _pages(alice, board.first, limit=23) == said[::-1]
    page = await alice.send("comment.list", task_id=board.first, limit=5)
    assert page.meta.pagination.total == len(said)


@pytest.mark.parametrize("body", ["", " \n\t", "x" * 20_001, "a\x00b", None])
async def test_what_is_no_comment(alice: Person, board: Board, body: object) -> None:
    reply = await alice.send("comment.add", task_id=board.first, body=body)
    assert list(reply.error.field_errors) == ["body"]


@pytest.mark.parametrize("cursor", ["nonsense", "WyIxIiwiMiJd", "WyIwMDAxLTAxLTAxIiwieCJd"])
async def test_a_cursor_of_elsewhere_is_refused(alice: Person, board: Board, cursor: str) -> None:
    reply = await alice.send("comment.list", task_id=board.first, cursor=cursor)
    assert list(reply.error.field_errors) == ["cursor"]


async def test_a_task_in_the_trash_takes_its_comments_along(alice: Person, board: Board) -> None:
    await _say(alice, board.first)
    assert (await alice.send("task.delete", task_id=board.first)).success
    for call, more in (("comment.add", {"body": "x"}), ("comment.list", {})):
        assert (await alice.send(call, task_id=board.first, **more)).error.code == "NOT_FOUND"
    back = await alice.send("task.restore", task_id=board.first)
    assert back.data.task.comment_count == 1
    assert await _pages(alice, board.first) == ["Is it dry?"]
    assert (await alice.send("comment.list", task_id=uuid4())).error.code == "NOT_FOUND"


async def test_the_board_does_not_hold_them(alice: Person, board: Board, world: World) -> None:
    await _say(alice, board.first, "x" * 20_000)
    state = (await alice.snapshot(board.room)).snapshot
    assert "comments" not in state
    assert {task.id: task.comment_count for task in state.tasks}[board.first] == 1

"""What goes on around comments: mentions and who hears of them, reactions, threads that are settled, texts of before."""

from typing import Any
from uuid import uuid4

import pytest

from handlers.work.talk import mentions, reactions
from tests.world import Board, Person, World


async def _say(person: Person, task_id: str, body: str, **more: object) -> Any:
    reply = await person.send("comment.add", task_id=task_id, body=body, **more)
    assert reply.success, reply
    return reply.data


def _at(world: World, name: str) -> str:
    return f"@[{name.title()}](user:{world.user_ids[name]})"


# What it looks like.


async def test_it_is_heard_and_read_as_html(world: World, alice: Person, bob: Person, board: Board) -> None:
    made = await _say(alice, board.first, "Is it *dry*? <script>")
    assert made.comment.body == "Is it *dry*? <script>"
    assert made.comment.body_html == "<p>Is it <em>dry</em>? &lt;script&gt;</p>"
    assert (await bob.hears("comment.added")).data == made
    edit = {"task_id": board.first, "comment_id": made.comment.id, "body": "**Wet.**"}
    edited = (await alice.call("comment.edit", edit)).data
    assert edited.comment.body_html == "<p><strong>Wet.</strong></p>"
    async with world.sql() as db:
        await db.execute("UPDATE comments SET body_html = NULL")  # as one from before there was HTML
    listed = (await bob.send("comment.list", task_id=board.first)).data.comments[0]
    assert listed.body_html == "<p><strong>Wet.</strong></p>"


# Mentions.


async def test_whom_a_comment_mentions_hears_of_it(
    world: World, alice: Person, bob: Person, gus: Person, board: Board
) -> None:
    made = await _say(
        alice, board.first, f"{_at(world, 'bob')} and {_at(world, 'gus')} and {_at(world, 'alice')}"
    )
    for person in (bob, gus):
        heard = await person.hears("comment.mentioned")
        assert heard.room == f"user:{person.id}"
        assert heard.data.comment == {
            "id": made.comment.id, "task_id": board.first, "project_id": board.project,
            "author_id": world.user_ids["alice"], "kind": "user",
        }  # fmt: skip
    assert [mention.name for mention in made.comment.mentions] == ["Bob", "Gus", "Alice"]
    assert set(made.task.watcher_ids) == {world.user_ids[name] for name in ("alice", "bob", "gus")}
    await alice.hears_nothing("comment.mentioned")


async def test_who_does_not_see_the_project_is_text(world: World, alice: Person, board: Board) -> None:
    hidden = (await alice.send("project.create", name="Hidden")).data.project.id
    task = (await alice.send("task.create", room=f"project:{hidden}", title="Hidden")).data.task.id
    gus, mallory = world.user_ids["gus"], world.user_ids["mallory"]
    body = (
        f"@[Gus](user:{gus}) @[M](user:{mallory}) @[T](team:{uuid4()}) @[R](role:{uuid4()}) @[X](role:king)"
    )
    made = await _say(alice, task, body)
    assert made.comment.mentions == []
    assert made.comment.body_html == "<p>@Gus @M @T @R @X</p>"
    guest = await world.person("gus").connect()
    await guest.hears_nothing("comment.mentioned")


async def test_a_team_and_a_role_reach_those_behind_them(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    ids = world.user_ids
    team = await alice.send("team.create", name="Design", member_ids=[ids["bob"], ids["gus"]])
    assert team.success, team
    role = await alice.send(
        "role.create", room=world.tenant, name="Lead", base="member", allowed=[], denied=[]
    )
    given = await alice.send("member.update", user_id=ids["bob"], role_id=role.data.role.id)
    assert given.success, given
    manager = await world.person("manager").connect()
    body = f"@[d](team:{team.data.team.id}), @[l](role:{role.data.role.id}) @[m](role:manager) {_at(world, 'gus')}"
    made = await _say(alice, board.first, body)
    assert [(one.kind, one.name) for one in made.comment.mentions] == [
        ("team", "Design"), ("role", "Lead"), ("role", "manager"), ("user", "Gus"),
    ]  # fmt: skip
    assert "@Design</span>" in made.comment.body_html
    assert (await bob.hears("comment.mentioned")).data.comment.kind == "team"
    assert (await manager.hears("comment.mentioned")).data.comment.kind == "role"
    await bob.hears_nothing("comment.mentioned")
    assert set(made.task.watcher_ids) == {ids["alice"], ids["gus"]}, "teams and roles do not watch"


async def test_an_edit_tells_those_who_are_new(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    made = await _say(alice, board.first, _at(world, "bob"))
    assert (await bob.hears("comment.mentioned")).data.comment.id == made.comment.id
    gus = await world.person("gus").connect()
    body = f"{_at(world, 'bob')} and {_at(world, 'gus')}"
    edited = await alice.call(
        "comment.edit", {"task_id": board.first, "comment_id": made.comment.id, "body": body}
    )
    assert [mention.name for mention in edited.data.comment.mentions] == ["Bob", "Gus"]
    assert world.user_ids["gus"] in edited.data.task.watcher_ids
    assert (await gus.hears("comment.mentioned")).data.comment.id == made.comment.id
    await bob.hears_nothing("comment.mentioned")


async def test_who_does_not_want_to_watch_is_told_all_the_same(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    assert (await bob.send("task.unwatch", task_id=board.first)).success
    made = await _say(alice, board.first, _at(world, "bob"))
    assert "watcher_ids" not in made.task, "nobody has come to watch who did not"
    assert (await bob.hears("comment.mentioned")).data.comment.id == made.comment.id


async def test_so_many_are_told_and_no_more(
    world: World, alice: Person, bob: Person, gus: Person, board: Board, monkeypatch: Any
) -> None:
    monkeypatch.setattr(mentions, "MOST_REACHED", 1)
    made = await _say(alice, board.first, f"@[g](role:guest) {_at(world, 'bob')}")
    assert (await bob.hears("comment.mentioned")).data.comment.id == made.comment.id
    await gus.hears_nothing("comment.mentioned")


# Reactions.


async def test_reactions_come_and_go(world: World, alice: Person, bob: Person, board: Board) -> None:
    one = {"task_id": board.first, "comment_id": (await _say(alice, board.first, "Dry")).comment.id}
    assert (await alice.call("comment.react", {**one, "emoji": "👍"})).success
    assert (await bob.call("comment.react", {**one, "emoji": "❤"})).success
    reacted = await bob.call("comment.react", {**one, "emoji": "👍"})
    again = await bob.call("comment.react", {**one, "emoji": "👍"})
    ids = world.user_ids
    thumbs = {"emoji": "👍", "user_ids": [ids["alice"], ids["bob"]]}
    assert again.data.comment.reactions == reacted.data.comment.reactions
    assert again.data.comment.reactions == [thumbs, {"emoji": "❤️", "user_ids": [ids["bob"]]}]
    heard = await alice.hears("comment.reacted", seq=reacted.meta.seq)
    assert heard.data == reacted.data
    gone = await alice.call("comment.unreact", {**one, "emoji": "👍"})
    assert gone.data.comment.reactions[0] == {"emoji": "👍", "user_ids": [ids["bob"]]}
    assert (await bob.call("comment.unreact", {**one, "emoji": "👍"})).success
    assert (await bob.call("comment.unreact", {**one, "emoji": "🎉"})).success
    listed = (await bob.send("comment.list", task_id=board.first)).data.comments[0]
    assert listed.reactions == [{"emoji": "❤️", "user_ids": [ids["bob"]]}]
    assert listed.version == 1


@pytest.mark.parametrize("emoji", ["👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "👍🏽", "1️⃣", "❤", "☺️", "🫨"])
def test_what_is_one_emoji(emoji: str) -> None:
    assert reactions._emoji(emoji)


@pytest.mark.parametrize(
    "emoji", ["", "a", "👍👍", "👍a", "1", "️", "‍", "🏽", "🇩", "👍\x00", "<b>", "é", 1, None, "x" * 40]
)
async def test_what_is_no_emoji(alice: Person, board: Board, emoji: object) -> None:
    one = {"task_id": board.first, "comment_id": str(uuid4()), "emoji": emoji}
    reply = await alice.call("comment.react", one)
    assert list(reply.error.field_errors) == ["emoji"]


async def test_there_is_an_end_to_reactions(
    alice: Person, bob: Person, board: Board, monkeypatch: Any
) -> None:
    one = {"task_id": board.first, "comment_id": (await _say(alice, board.first, "Dry")).comment.id}
    monkeypatch.setattr(reactions, "MOST_EMOJIS", 1)
    assert (await alice.call("comment.react", {**one, "emoji": "👍"})).success
    assert (await alice.call("comment.react", {**one, "emoji": "🎉"})).error.details == {"limit": 1}
    monkeypatch.setattr(reactions, "MOST", 1)
    assert (await bob.call("comment.react", {**one, "emoji": "👍"})).error.details == {"limit": 1}


# Threads and history.


async def test_a_thread_is_settled_and_taken_up_again(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    asked = (await _say(alice, board.first, "Dry?")).comment.id
    answer = (await _say(bob, board.first, "Yes", parent_id=asked)).comment.id
    one = {"task_id": board.first, "comment_id": asked}
    settled = await bob.call("comment.resolve", one)
    assert settled.data.comment.resolved_by == world.user_ids["bob"]
    assert (await alice.hears("comment.resolved")).data == settled.data
    again = await alice.call("comment.resolve", one)
    assert again.data == settled.data, "whoever was first did it"
    refused = await alice.call("comment.resolve", {**one, "comment_id": answer})
    assert (refused.error.code, refused.error.details) == ("CONFLICT", {"parent_id": asked})
    listed = (await alice.send("comment.list", task_id=board.first, order="oldest")).data.comments
    assert [bool(comment.resolved_at) for comment in listed] == [True, False]
    reopened = await alice.call("comment.reopen", one)
    assert (reopened.data.comment.resolved_at, reopened.data.comment.resolved_by) == (None, None)
    viewer = await world.person("viewer").connect()
    assert (await viewer.call("comment.resolve", one)).error.code == "FORBIDDEN"


async def test_the_texts_of_before_are_kept(alice: Person, bob: Person, board: Board) -> None:
    made = (await _say(alice, board.first, "Text 1")).comment
    one = {"task_id": board.first, "comment_id": made.id}
    for number in range(2, 6):
        assert (await alice.call("comment.edit", {**one, "body": f"Text {number}"})).success
    found: list[Any] = []
    cursor = None
    while True:
        page = await bob.call(
            "comment.history", {**one, "limit": 3, **({"cursor": cursor} if cursor else {})}
        )
        found += page.data.revisions
        cursor = page.meta.pagination.next
        if cursor is None:
            break
    assert [(each.version, each.body) for each in found] == [(n, f"Text {n}") for n in (4, 3, 2, 1)]
    assert found[-1].written_at == made.created_at
    assert {each.author_id for each in found} == {made.author_id}
    assert (await alice.call("comment.delete", one)).success
    assert (await bob.call("comment.history", one)).error.code == "NOT_FOUND"

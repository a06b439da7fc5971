"""Links: both ends, both projects, and what is not told to who may not see the other one."""

from tests.world import Board, Person, World


async def _other_project(alice: Person, *members: str) -> tuple[str, str]:
    made = await alice.send("project.create", name="Bathroom", key="BATH", member_ids=list(members))
    project = made.data.project.id
    task = await alice.send("task.create", room=f"project:{project}", title="Secret tiles")
    return project, task.data.task.id


async def test_each_end_reads_it_its_own_way(alice: Person, bob: Person, board: Board) -> None:
    made = await alice.send(
        "link.add", project_id=board.project, task_id=board.first, other_id=board.second, type="causes"
    )
    assert made.success, made
    heard = await bob.hears("link.added")
    assert heard.data.link == made.data.link
    one = (await bob.send("link.list", task_id=board.first)).data.links
    two = (await bob.send("link.list", task_id=board.second)).data.links
    assert [(link.relation, link.task.id) for link in one] == [("causes", board.second)]
    assert [(link.relation, link.task.id) for link in two] == [("is_caused_by", board.first)]
    twice = await alice.send(
        "link.add", project_id=board.project, task_id=board.second, other_id=board.first, type="causes"
    )
    assert twice.error.code == "CONFLICT"
    gone = await alice.send(
        "link.remove", project_id=board.project, task_id=board.second, link_id=made.data.link.id
    )
    assert gone.success, gone
    assert (await bob.send("link.list", task_id=board.first)).data.links == []


async def test_a_link_to_another_project_tells_nothing_of_it(
    alice: Person, bob: Person, board: Board, world: World
) -> None:
    """Carol sees the kitchen alone: of its link to the bathroom she hears ids, and is shown nothing."""
    project, task = await _other_project(alice)
    carol = await world.person("carol").connect()
    await carol.join(board.room)
    await alice.join(f"project:{project}")
    made = await alice.send("link.add", project_id=board.project, task_id=board.first, other_id=task)
    assert made.success, made
    heard = await carol.hears("link.added")
    assert set(heard.data.link) == {"id", "task_id", "other_id", "type", "created_by", "created_at"}
    assert (await alice.hears("link.added", room=f"project:{project}")).data == made.data
    assert (await carol.send("link.list", task_id=board.first)).data.links == []
    assert (await bob.send("link.list", task_id=board.first)).data.links[0].task.title == "Secret tiles"


async def test_rights_are_asked_for_on_both_sides(alice: Person, board: Board, world: World) -> None:
    _, task = await _other_project(alice)
    gus, viewer = await world.person("gus").connect(), await world.person("viewer").connect()
    assert (
        await alice.send(
            "project.add_member", project_id=board.project, user_id=world.user_ids["gus"], role="member"
        )
    ).success
    link = {"project_id": board.project, "task_id": board.first, "other_id": task}
    assert (await gus.call("link.add", link)).error.code == "NOT_FOUND", "he does not see the other project"
    assert (
        await alice.send(
            "project.add_member", project_id=board.project, user_id=world.user_ids["viewer"], role="member"
        )
    ).success
    refused = await viewer.call("link.add", link)
    assert (refused.error.code, refused.error.details) == ("FORBIDDEN", {"permission": "task.edit"})


async def test_an_archived_project_is_linked_to_no_more(alice: Person, board: Board, world: World) -> None:
    project, task = await _other_project(alice)
    gus = await world.person("gus").connect()
    part = {"project_id": board.project, "user_id": world.user_ids["gus"], "role": "member"}
    assert (await alice.call("project.add_member", part)).success
    link = {"project_id": board.project, "task_id": board.first, "other_id": task}
    unseen, none = [(await gus.call("link.add", {**link, "other_id": one})).error for one in (task, project)]
    assert (unseen.code, unseen.message) == (none.code, none.message), "not there and not seen is one answer"
    assert (await alice.send("project.archive", project_id=project)).success
    refused = await alice.call("link.add", link)
    assert (refused.error.code, refused.error.details) == ("CONFLICT", {"reason": "project_archived"})

"""Approval: who is asked, who answers, and what has to wait for it."""

from typing import Any

import pytest

from tests.keys.hands import make_key, make_tenant_key, program
from tests.world import Board, Person, World


async def _ask(alice: Person, task: str, *people: str) -> Any:
    asked = await alice.send("task.request_approval", task_id=task, approver_ids=list(people), note="Good?")
    assert asked.success, asked
    return asked


async def test_a_client_approves_what_she_is_asked_for(
    alice: Person, bob: Person, board: Board, world: World
) -> None:
    carol = await world.person("carol").connect()
    await carol.join(f"user:{world.user_ids['carol']}")
    refused = await carol.send("task.approve", task_id=board.first)
    assert (refused.error.code, refused.error.details) == ("FORBIDDEN", {"permission": "task.approve"})
    await _ask(alice, board.first, world.user_ids["carol"])
    assert (await bob.hears("task.approval_requested")).data.task.approval == "requested"
    assert (await carol.hears("approval.asked")).data.approval.id == board.first
    assert (await carol.send("task.reject", task_id=board.first, note=" ")).error.code == "VALIDATION_ERROR"
    rejected = await carol.send("task.reject", task_id=board.first, note="The left one is crooked")
    assert rejected.success, rejected
    approved = await carol.send("task.approve", task_id=board.first)
    assert (approved.data.task.approval, approved.data.was.approval) == ("approved", "rejected")
    told = (await bob.send("task.get_approval", task_id=board.first)).data.approval
    assert (told.state, told.answered_by) == ("approved", world.user_ids["carol"])
    assert (await carol.send("task.approve", task_id=board.first)).error.code == "CONFLICT"


async def test_others_need_the_permission(alice: Person, bob: Person, board: Board, world: World) -> None:
    await _ask(alice, board.first, world.user_ids["carol"])
    assert (await bob.send("task.approve", task_id=board.first)).error.code == "FORBIDDEN"
    manager = await world.person("manager").connect()
    assert (await manager.send("task.approve", task_id=board.first)).success
    assert (await manager.send("task.approve", task_id=board.second)).error.code == "CONFLICT", (
        "nobody was asked"
    )
    stranger = await alice.send("task.request_approval", task_id=board.first, approver_ids=[board.second])
    assert list(stranger.error.field_errors) == ["approver_ids"]


@pytest.mark.parametrize("way", ["move", "update", "bulk_status", "bulk_column", "create"])
async def test_what_must_be_approved_is_not_done_before(
    alice: Person, board: Board, world: World, way: str
) -> None:
    async with world.sql() as db:
        await db.execute(
            "UPDATE projects SET settings = '{\"require_approval\": true}' WHERE id = $1", board.project
        )
    done, some = world.statuses["Completed"], {"project_id": board.project, "task_ids": [board.first]}
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "move": ("task.move", {"task_id": board.first, "column_id": board.done}),
        "update": ("task.update", {"task_id": board.first, "changes": {"status_id": done}}),
        "bulk_status": ("tasks.update", {**some, "changes": {"status_id": done}}),
        "bulk_column": ("tasks.update", {**some, "column_id": board.done}),
        "create": ("task.create", {"room": board.room, "title": "At once", "status_id": done}),
    }
    name, payload = calls[way]
    refused = await alice.call(name, payload)
    if way.startswith("bulk"):
        assert [(one.outcome, one.code) for one in refused.data.outcomes] == [("refused", "CONFLICT")]
    else:
        assert (refused.error.code, refused.error.details) == ("CONFLICT", {"approval": "none"})
    assert (await alice.send("task.get", task_id=board.first)).data.task.completed_at is None
    if way == "create":
        return
    await _ask(alice, board.first, world.user_ids["alice"])
    assert (await alice.send("task.approve", task_id=board.first)).success
    assert (await alice.call(name, payload)).success
    assert (await alice.send("task.get", task_id=board.first)).data.task.completed_at is not None


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_copy_is_not_done_before_it_is_approved_either(
    alice: Person, board: Board, world: World, elsewhere: bool
) -> None:
    bathroom = (await alice.send("project.create", name="Bathroom", key="BATH")).data.project.id
    to_id = bathroom if elsewhere else board.project
    columns = (await alice.snapshot(f"project:{to_id}")).snapshot.columns
    copy = {
        "project_id": board.project, "task_id": board.first, "to_project_id": to_id,
        "column_id": next(column.id for column in columns if column.name == "Done"),
    }  # fmt: skip
    assert (await alice.call("task.copy", copy)).data.task.completed_at is not None
    asks = {"project_id": to_id, "settings": {"require_approval": True}}
    assert (await alice.call("project.update", asks)).success
    refused = await alice.call("task.copy", copy)
    assert (refused.error.code, refused.error.details) == ("CONFLICT", {"approval": "none"})


async def test_nobody_answers_what_she_has_asked_for_herself(
    alice: Person, bob: Person, board: Board, world: World
) -> None:
    await _ask(bob, board.first, world.user_ids["bob"], world.user_ids["viewer"])
    for call, more in (("task.approve", {}), ("task.reject", {"note": "No"})):
        refused = await bob.call(call, {"task_id": board.first, **more})
        assert (refused.error.code, refused.error.details) == ("FORBIDDEN", {"permission": "task.approve"})
    viewer = await world.person("viewer").connect()
    assert (await viewer.send("task.approve", task_id=board.first)).success, "whoever is asked answers"
    await _ask(alice, board.second, world.user_ids["bob"])
    assert (await bob.send("task.approve", task_id=board.second)).success
    await _ask(alice, board.third, world.user_ids["alice"])
    assert (await alice.send("task.approve", task_id=board.third)).success, "she has the permission"


@pytest.mark.parametrize("some", [1, 2])
async def test_an_undo_does_not_bring_it_about(alice: Person, board: Board, some: int) -> None:
    tasks = {"project_id": board.project, "task_ids": board.tasks[:some]}
    for column in (board.done, board.todo):
        assert (await alice.call("tasks.update", {**tasks, "column_id": column})).data.done == some
    asks = {"project_id": board.project, "settings": {"require_approval": True}}
    assert (await alice.call("project.update", asks)).success
    refused = await alice.send("history.undo", task_id=board.first)
    assert (refused.error.code, refused.error.details.get("approval")) == ("CONFLICT", "none")
    assert (await alice.send("task.get", task_id=board.first)).data.task.completed_at is None


async def test_no_change_of_the_workflow_makes_unapproved_tasks_done(
    alice: Person, board: Board, world: World
) -> None:
    assert (
        await alice.send("project.update", project_id=board.project, settings={"require_approval": True})
    ).success
    begun, done = world.statuses["In progress"], world.statuses["Completed"]
    for task in board.tasks[:2]:
        assert (await alice.send("task.move", task_id=task, column_id=board.doing)).success
    await _ask(alice, board.first, alice.id)
    assert (await alice.send("task.approve", task_id=board.first)).success
    assert (await alice.send("task.archive", task_id=board.second)).success
    for name, payload in (
        ("status.update", {"status_id": begun, "category": "done"}),
        ("status.delete", {"status_id": begun, "replace_with": done}),
    ):
        refused = await alice.call(name, payload)
        assert (refused.error.code, refused.error.details) == ("CONFLICT", {"unapproved": 1}), name
    copied = await alice.send(
        "task.copy", project_id=board.project, task_id=board.first, column_id=board.done
    )
    assert (copied.error.code, copied.error.details) == ("CONFLICT", {"approval": "none"})
    assert (await alice.send("task.unarchive", task_id=board.second)).success
    await _ask(alice, board.second, alice.id)
    assert (await alice.send("task.approve", task_id=board.second)).success
    assert (await alice.send("status.update", status_id=begun, category="done")).success


@pytest.mark.parametrize("many", [False, True])
async def test_undoing_makes_nothing_done_that_must_be_approved(
    alice: Person, board: Board, many: bool
) -> None:
    some = {"project_id": board.project, "task_ids": board.tasks[:2]}
    for column in (board.done, board.doing):
        if many:
            assert (await alice.call("tasks.update", {**some, "column_id": column})).success
        else:
            assert (await alice.send("task.move", task_id=board.first, column_id=column)).success
    assert (
        await alice.send("project.update", project_id=board.project, settings={"require_approval": True})
    ).success
    undone = await alice.send("history.undo", project_id=board.project)
    assert (undone.error.code, undone.error.details) == ("CONFLICT", {"approval": "none"})


async def test_a_key_answers_with_the_scope_alone(alice: Person, board: Board, world: World) -> None:
    """An owner's key, and one of a service that was asked; without the scope neither does."""
    looking = ["project.view", "comment.add"]
    mute = await program(world, (await make_key(alice, *looking)).key)
    await _ask(alice, board.first, alice.id)
    for name, more in (("task.approve", {}), ("task.reject", {"note": "Crooked"})):
        refused = await mute.send(name, task_id=board.first, **more)
        assert (refused.error.code, refused.error.details) == ("FORBIDDEN", {"permission": "task.approve"})
    bot = await program(world, (await make_key(alice, *looking, "task.approve")).key)
    assert (await bot.send("task.reject", task_id=board.first, note="Crooked")).success
    assert (await bot.send("task.approve", task_id=board.first)).success
    made = await make_tenant_key(alice, *looking, "task.approve", role="viewer")
    service = await program(world, made.key)
    unasked = await service.send("task.reject", task_id=board.first, note="Crooked")
    assert (unasked.error.code, unasked.error.details) == ("FORBIDDEN", {"permission": "task.approve"})
    await _ask(alice, board.first, made.member.id)
    assert (await service.send("task.approve", task_id=board.first)).success

"""One example of every command and query. A new one is covered by the whole contract the day it is added here."""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from handlers.identity.tokens import hash_token
from handlers.registry import SPECS, Spec
from tests.pictures import picture
from tests.world import Person, World

Payload = dict[str, Any]
NEW_ID: Final = "0199c0de-0000-7000-8000-000000000001"
OTHER_ID: Final = "0199c0de-0000-7000-8000-000000000002"
UNIT_ID: Final = "0199c0de-0000-7000-8000-000000000003"
INNER_ID: Final = "0199c0de-0000-7000-8000-000000000004"


@dataclass(frozen=True)
class Example:
    """A call that alice may make in a fresh world."""

    payload: Callable[[World], Payload]
    """What she sends, with `room` where no id says where it belongs."""
    another: Callable[[World], Payload] | None = None
    """Another good payload, for a command: what differs must be noticed under one command_id."""
    before: Callable[[World, Person], Awaitable[object]] | None = None
    """What has to have happened before."""
    touch: tuple[str, Callable[[World], Payload]] | None = None
    """For a versioned command: another command that gives the same entity its second version."""


async def _part_of_another(world: World, alice: Person) -> None:
    part = {"parent_id": world.tasks[1]}
    assert (await alice.send("task.update", task_id=world.tasks[0], changes=part)).success


async def _trash_task(world: World, alice: Person) -> None:
    await _chain(world, alice)
    await alice.send("task.create", room=world.project, title="Below", parent_id=world.tasks[1])
    await alice.send("task.update", task_id=world.tasks[1], changes={"assignee_ids": [world.user_ids["bob"]]})
    assert (await alice.send("task.delete", task_id=world.tasks[1])).success
    assert (await alice.send("task.delete", task_id=world.tasks[0])).success


async def _trash_projects(world: World, alice: Person) -> None:
    other = await alice.send("project.create", name="Bathroom", id=NEW_ID)
    assert other.success, other
    for project_id in (world.project_id, NEW_ID):
        assert (await alice.send("project.delete", project_id=project_id)).success


async def _two_projects(world: World, alice: Person) -> None:
    assert (await alice.send("project.create", name="Bathroom", id=NEW_ID)).success


async def _program(world: World, alice: Person) -> None:
    """A program with the second of two projects in it."""
    program = {"name": "Houses", "id": OTHER_ID, "type": "program"}
    assert (await alice.call("project.create", program)).success
    assert (await alice.send("project.create", name="Bathroom", id=NEW_ID, parent_id=OTHER_ID)).success


async def _template(world: World, alice: Person) -> None:
    await _families(world, alice)
    saved = await alice.send("template.save", project_id=world.project_id, name="Any kitchen")
    assert saved.success, saved
    world.made["template"] = saved.data.project.id


async def _archived_projects(world: World, alice: Person) -> None:
    await _two_projects(world, alice)
    for project_id in (world.project_id, NEW_ID):
        assert (await alice.send("project.archive", project_id=project_id)).success


async def _trash(world: World, alice: Person) -> None:
    """Two projects in the trash, beside the one that everything is about."""
    for project_id in (NEW_ID, OTHER_ID):
        assert (await alice.send("project.create", name="Bathroom", id=project_id)).success
        assert (await alice.send("project.delete", project_id=project_id)).success


async def _budgeted(world: World, alice: Person) -> None:
    budget = {"minutes": 6000, "amount": 1_000_000, "currency": "EUR", "hourly_rate": 9500}
    assert (await alice.send("budget.set", project_id=world.project_id, **budget)).success


async def planned(world: World, alice: Person) -> None:
    """Bob planned twice for the project."""
    for name, minutes in (("allocation", 1200), ("second allocation", 1800)):
        planned = {"user_id": world.user_ids["bob"], "minutes_per_week": minutes, "start_on": "2026-12-01"}
        made = await alice.send("allocation.add", project_id=world.project_id, **planned)
        assert made.success, made
        world.made[name] = made.data.allocation.id


async def _families(world: World, alice: Person) -> None:
    """Tasks with subtasks and assignees: what a deletion takes along."""
    await _chain(world, alice)
    people = [world.user_ids["bob"], world.user_ids["alice"]]
    assert (
        await alice.send(
            "task.create",
            room=world.project,
            title="Below",
            parent_id=world.tasks[0],
            assignee_ids=people,
        )
    ).success
    assert (
        await alice.send("task.update", task_id=world.tasks[0], changes={"assignee_ids": people[:1]})
    ).success


async def _asked(world: World, person: Person) -> None:
    """The owner asks whoever is to answer."""
    alice = world.person("alice")
    for task_id in world.tasks[:2]:
        people = {"approver_ids": [world.user_ids[person.name]]}
        assert (await alice.send("task.request_approval", task_id=task_id, **people)).success
    await alice.disconnect()


async def _recurring(world: World, alice: Person) -> None:
    for task_id in world.tasks[:2]:
        due = {"due_at": "2150-03-04T17:00:00Z"}
        assert (await alice.send("task.update", task_id=task_id, changes=due)).success
        made = await alice.send("task.set_recurrence", task_id=task_id, rule="FREQ=WEEKLY")
        assert made.success, made


async def _due(world: World, alice: Person) -> None:
    for task_id in world.tasks[:2]:
        due = {"due_at": "2150-03-04T17:00:00Z"}
        assert (await alice.send("task.update", task_id=task_id, changes=due)).success


async def _reminders(world: World, alice: Person) -> None:
    for name, audience in (("reminder", "me"), ("next_reminder", "all")):
        made = await alice.send("reminder.add", task_id=world.tasks[0], before_minutes=30, audience=audience)
        assert made.success, made
        world.made[name] = made.data.reminder.id


async def _linked(world: World, alice: Person) -> None:
    """The first task is linked to the second, and to one of another project."""
    await _two_projects(world, alice)
    other = await alice.send("task.create", room=f"project:{NEW_ID}", id=OTHER_ID, title="Elsewhere")
    assert other.success, other
    for name, other_id in (("link", OTHER_ID), ("next_link", world.tasks[1])):
        made = await alice.send(
            "link.add", project_id=world.project_id, task_id=world.tasks[0], other_id=other_id
        )
        assert made.success, made
        world.made[name] = made.data.link.id


async def _far_family(world: World, alice: Person) -> None:
    await _families(world, alice)
    await _two_projects(world, alice)
    made = await alice.send("checklist.create", task_id=world.tasks[0], name="Before", items=["Tape"])
    assert made.success, made


async def _archived(world: World, alice: Person) -> None:
    await _families(world, alice)
    for task_id in world.tasks[:2]:
        assert (await alice.send("task.archive", task_id=task_id)).success


async def _assigned(world: World, alice: Person) -> None:
    for task_id in world.tasks[:2]:
        mine = {"assignee_ids": [world.user_ids["alice"]]}
        assert (await alice.send("task.update", task_id=task_id, changes=mine)).success


async def _own_field(world: World, alice: Person) -> None:
    ask = {"project_id": world.project_id, "type": "number"}
    assert (await alice.send("field.create", **ask, id=NEW_ID, key="hours", name="Hours")).success
    assert (await alice.send("field.create", **ask, id=OTHER_ID, key="rate", name="Rate")).success


async def _uncomputed(world: World, alice: Person) -> None:
    """A formula that is younger than the value it needs."""
    await _own_field(world, alice)
    for task_id in world.tasks[:2]:
        assert (await alice.send("task.update", task_id=task_id, changes={"fields": {"hours": 4}})).success
    ask = {
        "project_id": world.project_id,
        "key": "days",
        "name": "Days",
        "type": "formula",
        "formula": "hours / 8",
    }
    assert (await alice.send("field.create", **ask)).success


async def _chain(world: World, alice: Person) -> None:
    """The second task waits for the first, the third for the second."""
    for name, at in (("edge", 1), ("next_edge", 2)):
        made = await alice.send("dependency.add", task_id=world.tasks[at], depends_on_id=world.tasks[at - 1])
        assert made.success, made
        world.made[name] = made.data.dependency.id


async def _changed(world: World, alice: Person) -> None:
    """Two changes of hers, the last of which is about the first task."""
    for at in (1, 0):
        made = await alice.send("task.update", task_id=world.tasks[at], changes={"title": f"Renamed {at}"})
        assert made.success, made


async def _taken_back(world: World, alice: Person) -> None:
    await _changed(world, alice)
    for _ in range(2):
        assert (await alice.send("history.undo", room=world.project)).success


async def _many_archived(world: World, alice: Person) -> None:
    """Two tasks, one of them with a subtask, and columns that warn when they hold four."""
    await _families(world, alice)
    limit = {"column_id": world.columns["To do"], "limit": 4, "mode": "warn"}
    assert (await alice.call("column.set_limit", limit)).success
    ask = {"project_id": world.project_id, "task_ids": [world.tasks[1], world.tasks[0]]}
    assert (await alice.call("tasks.archive", ask)).success


async def _second_board(world: World, alice: Person) -> None:
    """A board like the first one, whose columns warn when they hold more than one task."""
    made = await alice.send("board.create", room=world.project, name="Night shift", like_id=world.board_id)
    assert made.success, made
    world.made["board"] = made.data.board.id
    for column in made.data.columns:
        limit = {"column_id": column.id, "limit": 1, "mode": "warn"}
        assert (await alice.call("column.set_limit", limit)).success


async def _folded(world: World, person: Person) -> None:
    for name, fold in (
        ("column.collapse", {"column_id": world.columns["Done"]}),
        ("lane.collapse", {"board_id": world.board_id, "lane": "low"}),
    ):
        assert (await person.call(name, fold)).success


async def _views(world: World, person: Person) -> None:
    """Two views of somebody's: where she may a shared one, else a private one, and another one."""
    for name, shared in (("view", False), ("other view", False), ("view", True)):
        made = await person.send("view.create", project_id=world.project_id, name=name, shared=shared)
        if made.success:
            world.made[name] = made.data.view.id


async def _workflow(world: World, alice: Person) -> None:
    """Transitions to and from the first status, and a task in the trash that has it."""
    ways = [
        {"from_id": world.statuses["In progress"], "to": [{"to_id": world.statuses["Not started"]}]},
        {"from_id": world.statuses["On hold"], "to": []},
    ]
    ruled = await alice.send("workflow.set_transitions", project_id=world.project_id, transitions=ways)
    assert ruled.success, ruled
    assert (await alice.send("task.delete", task_id=world.tasks[4])).success


async def _comments(world: World, alice: Person) -> None:
    """A comment, an answer to it, and another one that was edited twice, reacted to, and resolved."""
    for name, parent in (("comment", None), ("answer", "comment"), ("settled", None)):
        made = await alice.send(
            "comment.add", task_id=world.tasks[0], body=name, parent_id=parent and world.made[parent]
        )
        assert made.success, made
        world.made[name] = made.data.comment.id
    assert (await alice.call("comment.resolve", _on_comment("settled")(world))).success
    assert (await alice.call("comment.react", _on_comment("settled", emoji="👍")(world))).success
    for body in ("once", "twice"):
        assert (await alice.call("comment.edit", _on_comment("settled", body=body)(world))).success


async def _files(world: World, alice: Person) -> None:
    for name in ("file", "other_file"):
        path = f"/projects/{world.project_id}/files?name={name}.txt"
        made = await alice.rest("POST", path, data=name.encode())
        assert made.success, made
        world.made[name] = made.data.file.id


async def _attached(world: World, alice: Person) -> None:
    await _files(world, alice)
    both = [world.made["file"], world.made["other_file"]]
    assert (await alice.send("task.attach", task_id=world.tasks[0], file_ids=both)).success


def _attaching(made: str) -> Callable[[World], Payload]:
    return lambda w: {"task_id": w.tasks[0], "file_ids": [w.made.get(made, NEW_ID)]}


def _on_file(made: str, **more: Any) -> Callable[[World], Payload]:
    return lambda w: {"file_id": w.made.get(made, NEW_ID), **more}


def _on_comment(made: str, **more: Any) -> Callable[[World], Payload]:
    return lambda w: {"task_id": w.tasks[0], "comment_id": w.made.get(made, NEW_ID), **more}


TEMPLATE: Final[list[Payload]] = [
    {"title": "Paint the wall", "priority": "high", "due_in_minutes": 600, "checklist": ["Tape", "Brush"]},
    {"title": "First coat", "below": 0, "estimate_minutes": 60},
    {"title": "Dry", "below": 1, "tags": ["wait"]},
]
"""A task with a subtask, which has one as well."""


async def _templates(world: World, alice: Person) -> None:
    """A template of the tenant, and one of the project."""
    for template_id, project_id in ((NEW_ID, None), (OTHER_ID, world.project_id)):
        made = await alice.send(
            "task_template.create", room=world.tenant, id=template_id, project_id=project_id, name="Wall",
            tasks=TEMPLATE,
        )  # fmt: skip
        assert made.success, made


def a_rule(**more: Any) -> Payload:
    """A rule about new tasks."""
    return {
        "name": "Mark what is new", "when": {"on": "task.created"}, "then": [{"do": "tag", "add": ["new"]}], **more
    }  # fmt: skip


async def _rules(world: World, alice: Person) -> None:
    """Two rules, of which the first has acted."""
    for rule_id, more in ((NEW_ID, {}), (OTHER_ID, {"when": {"on": "comment.added"}})):
        made = await alice.send("rule.create", room=world.project, id=rule_id, **a_rule(**more))
        assert made.success, made
    assert (await alice.send("task.create", room=world.project, title="Sand the floor")).success


async def _sprints(world: World, alice: Person) -> None:
    """Two planned sprints: in the first a task with its estimate and one that is done, in the second another one."""
    for name, sprint_id in (("First", NEW_ID), ("Second", OTHER_ID)):
        await _done(
            alice, "sprint.create", id=sprint_id, project_id=world.project_id, name=name, start_on="2026-11-23",
            end_on="2026-12-04",
        )  # fmt: skip
    await _done(alice, "task.update", task_id=world.tasks[0], changes={"estimate_minutes": 90})
    await _done(
        alice, "sprint.add_tasks", project_id=world.project_id, sprint_id=NEW_ID, task_ids=world.tasks[:2]
    )
    await _done(
        alice, "sprint.add_tasks", project_id=world.project_id, sprint_id=OTHER_ID, task_ids=world.tasks[2:3]
    )
    await _done(alice, "task.move", task_id=world.tasks[1], column_id=world.columns["Done"])


async def _active_sprint(world: World, alice: Person) -> None:
    """The first is active, after four that are completed."""
    await _sprints(world, alice)
    for _ in range(4):
        made = await _done(
            alice,
            "sprint.create",
            project_id=world.project_id,
            name="Old",
            start_on="2026-11-09",
            end_on="2026-11-20",
        )
        sprint_id = made.data.sprint.id
        await _done(alice, "sprint.start", project_id=world.project_id, sprint_id=sprint_id)
        await _done(alice, "sprint.complete", project_id=world.project_id, sprint_id=sprint_id)
        world.made["old_sprint"] = sprint_id
    await _done(alice, "sprint.start", project_id=world.project_id, sprint_id=NEW_ID)


async def _completed_sprint(world: World, alice: Person) -> None:
    await _active_sprint(world, alice)
    await _done(alice, "sprint.complete", project_id=world.project_id, sprint_id=NEW_ID)


async def _done(person: Person, name: str, /, **payload: Any) -> Any:
    reply = await person.call(name, payload)
    assert reply.success, reply
    return reply


async def _labels(world: World, alice: Person) -> None:
    """Two labels, one of them on two tasks, of which one is in the trash."""
    for name in ("label", "other_label"):
        made = await alice.send("label.create", room=world.project, name=name, colour="#3b5bdb")
        assert made.success, made
        world.made[name] = made.data.label.id
    marked = {"project_id": world.project_id, "add_label_ids": [world.made["label"]]}
    assert (await alice.call("tasks.update", {**marked, "task_ids": world.tasks[:2]})).success
    assert (await alice.send("task.delete", task_id=world.tasks[1])).success


async def _checklists(world: World, alice: Person) -> None:
    """Two checklists of a task, with two items each, of which one is ticked."""
    for name in ("list", "other_list"):
        made = await alice.send("checklist.create", task_id=world.tasks[0], name=name, items=["a", "b"])
        assert made.success, made
        world.made[name] = made.data.checklist.id
        for letter, item in zip("ab", made.data.checklist_items, strict=True):
            world.made[f"{name}_{letter}"] = item.id
    ticked = await alice.send("checklist.tick", task_id=world.tasks[0], item_id=world.made["list_a"])
    assert ticked.success, ticked


def _on_list(made: str, **more: Any) -> Callable[[World], Payload]:
    return lambda w: {"task_id": w.tasks[0], "checklist_id": w.made.get(made, NEW_ID), **more}


def _on_item(made: str, **more: Any) -> Callable[[World], Payload]:
    return lambda w: {"task_id": w.tasks[0], "item_id": w.made.get(made, NEW_ID), **more}


async def _watched(world: World, alice: Person) -> None:
    assert (await alice.send("task.watch", task_id=world.tasks[0])).success


async def _newcomers(world: World, _alice: Person) -> None:
    for name in ("newcomer", "latecomer"):
        account = {"email": f"{name}@new.example", "password": "a long password", "name": name}
        assert (await world.request("POST", "/auth/register", json=account)).success


async def _free_roles(world: World, alice: Person) -> None:
    for role_id, name in ((NEW_ID, "Lead"), (OTHER_ID, "Helper")):
        lead = {"id": role_id, "name": name, "base": "member", "allowed": ["project.share"]}
        assert (await alice.call("role.create", lead)).success


async def _a_role(world: World, alice: Person) -> None:
    """A role that somebody has, with a permission of her own beside it."""
    await _free_roles(world, alice)
    given = await alice.send(
        "member.update", user_id=world.user_ids["bob"], role_id=NEW_ID, allowed=["project.edit"]
    )
    assert given.success, given


async def _invited(world: World, alice: Person) -> None:
    for name in ("newcomer", "latecomer"):
        reply = await alice.send("invitation.create", email=f"{name}@new.example", role="viewer")
        assert reply.success, reply
        world.invitations.append(reply.data.invitation.id)


async def importing(world: World, _alice: Person) -> None:
    """An import that another node has at hand, with what is wrong in two rows."""
    async with world.sql() as db:
        await db.execute(
            "INSERT INTO member_imports (tenant_id, id, mode, dry_run, role, message, file, state, total, done, failed, "
            "lease_until, created_by, created_at) VALUES ($1, $2, 'invite', false, 'member', '', 'email', 'running', "
            "3, 2, 2, now() + interval '1 hour', $3, now()) ON CONFLICT DO NOTHING",
            world.tenant_id, NEW_ID, world.user_ids["alice"],
        )  # fmt: skip
        await db.execute(
            "INSERT INTO member_import_errors (tenant_id, import_id, line, field, message, value) "
            "SELECT $1, $2, n, 'email', 'is not an address', 'x' FROM generate_series(2, 3) AS n ON CONFLICT DO NOTHING",
            world.tenant_id, NEW_ID,
        )  # fmt: skip


def _invitation(world: World, number: int) -> str:
    """An invitation of a world, once somebody is invited there."""
    return world.invitations[number] if world.invitations else NEW_ID


async def _keys(world: World, alice: Person) -> None:
    """Two keys of alice's own, and two of the tenant."""
    user_id = world.user_ids["alice"]
    for number in ("first", "second"):
        for kind, path in (("own", f"/users/{user_id}"), ("tenant", f"/tenants/{world.tenant_id}")):
            made = await alice.rest("POST", f"{path}/api-keys", json={"name": number, "scopes": ["read"]})
            assert made.success, made
            world.made[f"{number} {kind} key"] = made.data.api_key.id


def _own_room(world: World) -> str:
    return f"user:{world.user_ids['alice']}"


async def _asked_parent(world: World, alice: Person) -> None:
    assert (await alice.send("organization.join", slug="rival")).success


async def _logo(world: World, alice: Person) -> None:
    image = base64.b64encode(picture()).decode()
    reply = await alice.rest("PUT", f"/tenants/{world.tenant_id}/logo", json={"image": image})
    assert reply.success, reply


async def _everybody_has_a_second_factor(world: World, _alice: Person) -> None:
    for name in ("alice", "bob", "admin"):
        await world.token(name)
    async with world.sql() as db:
        await db.execute("UPDATE sessions SET second_factor_at = now()")


async def _sso(world: World, alice: Person) -> None:
    """Two providers and two domains, and the codes that prove them."""
    for name in ("first", "second"):
        made = await alice.send(
            "sso.create", name=name, issuer=f"https://{name}.example.com", client_id="atrium"
        )
        added = await alice.send("sso.add_domain", domain=f"{name}.example")
        assert made.success, made
        assert added.success, added
        world.made[f"{name} provider"], world.made[f"{name}.example"] = (
            made.data.issuer.id,
            added.data.domain.id,
        )
        async with world.sql() as db:
            await db.execute(
                "INSERT INTO domain_codes (code_hash, domain_id, claimed_by, expires_at) "
                "VALUES ($1, $2, $3, now() + interval '1 hour')",
                hash_token(f"the code of {name}"), added.data.domain.id, world.tenant_id,
            )  # fmt: skip


def _of_sso(world: World, name: str) -> str:
    return world.made.get(name, NEW_ID)


async def _deactivated(world: World, alice: Person) -> None:
    people = [world.user_ids[name] for name in ("carol", "gus", "viewer")]
    assert (await alice.send("member.deactivate_many", user_ids=people)).success


async def _groups(world: World, alice: Person) -> None:
    """Two teams and a unit with one below it; the first team and the upper unit take part in the project."""
    people = [world.user_ids["viewer"], world.user_ids["bob"]]
    for group_id, name in ((NEW_ID, "Fitters"), (OTHER_ID, "Painters")):
        team = {"id": group_id, "name": name, "member_ids": people}
        assert (await alice.call("team.create", team)).success
    upper = {"id": UNIT_ID, "kind": "region", "name": "North"}
    inner = {
        "id": INNER_ID,
        "kind": "department",
        "name": "Kitchens",
        "parent_id": UNIT_ID,
        "member_ids": people[:1],
    }
    for unit in (upper, inner):
        assert (await alice.call("unit.create", unit)).success
    shared = await alice.send("project.share", project_id=world.project_id, team_id=NEW_ID, role="manager")
    assert shared.success, shared
    world.made["share"] = shared.data.share.id
    assert (await alice.send("project.share", project_id=world.project_id, unit_id=UNIT_ID)).success


async def _delegated(world: World, alice: Person) -> None:
    for delegation_id, name in ((NEW_ID, "bob"), (OTHER_ID, "manager")):
        given = {"id": delegation_id, "to_id": world.user_ids[name], "reason": "Away"}
        assert (await alice.call("delegation.create", {**given, "ends_at": "2027-03-01T00:00:00Z"})).success


_TOUCH_TASK = ("task.update", lambda w: {"task_id": w.tasks[0], "changes": {"title": "Touched"}})
_TOUCH_VIEW = ("view.update", lambda w: {"view_id": w.made.get("view", NEW_ID), "name": "Touched"})
_TOUCH_STATUS = ("status.update", lambda w: {"status_id": w.statuses["On hold"], "name": "Touched"})
_TOUCH_BOARD = ("board.update", lambda w: {"board_id": w.board_id, "name": "Touched"})
_TOUCH_COLUMN = ("column.update", lambda w: {"column_id": w.columns["On hold"], "name": "Touched"})
_TOUCH_PROJECT = ("project.update", lambda w: {"project_id": w.project_id, "name": "Touched"})
_TOUCH_LABEL = (
    "label.update",
    lambda w: {"project_id": w.project_id, "label_id": w.made.get("label", NEW_ID), "name": "Touched"},
)
_TOUCH_TENANT = ("tenant.update", lambda w: {"room": w.tenant, "name": "Touched"})

EXAMPLES: Final[dict[str, Example]] = {
    # Tasks.
    "task.create": Example(
        lambda w: {
            "room": w.project,
            "title": "Buy a sink",
            "description": "The deep one",
            "column_id": w.columns["In progress"],
            "assignee_ids": [w.user_ids["bob"], w.user_ids["carol"]],
            "tags": ["water", "water", "shop"],
            "due_at": "2026-12-24T10:00:00+01:00",
            "estimate_minutes": 90,
        },
        another=lambda w: {"room": w.project, "title": "Buy a tap", "sprint_id": NEW_ID},
        before=_sprints,
    ),
    "task.get": Example(lambda w: {"task_id": w.tasks[0]}),
    "task.list": Example(lambda w: {"project_id": w.project_id, "limit": 2}),
    "task.update": Example(
        lambda w: {
            "task_id": w.tasks[0],
            "changes": {
                "title": "Measure twice",
                "status_id": w.statuses["Completed"],
                "assignee_ids": [w.user_ids["bob"]],
                "parent_id": w.tasks[1],
                "due_at": "2026-12-24T10:00:00Z",
                "sprint_id": OTHER_ID,
            },
        },
        another=lambda w: {"task_id": w.tasks[0], "changes": {"title": "Measure once"}},
        before=_sprints,
        touch=_TOUCH_TASK,
    ),
    "task.move": Example(
        lambda w: {
            "task_id": w.tasks[0],
            "column_id": w.columns["Done"],
            "from_column_id": w.columns["To do"],
            "status_id": w.statuses["Cancelled"],
        },
        another=lambda w: {"task_id": w.tasks[0], "column_id": w.columns["On hold"]},
        before=_part_of_another,
        touch=_TOUCH_TASK,
    ),
    "task.delete": Example(
        lambda w: {"task_id": w.tasks[0]},
        another=lambda w: {"task_id": w.tasks[1]},
        before=_families,
        touch=_TOUCH_TASK,
    ),
    "task.restore": Example(
        lambda w: {"task_id": w.tasks[1]},
        another=lambda w: {"task_id": w.tasks[0]},
        before=_trash_task,
    ),
    "task.list_assigned": Example(lambda w: {"room": w.tenant, "limit": 1}, before=_assigned),
    "field.list": Example(lambda w: {"project_id": w.project_id}, before=_own_field),
    "field.create": Example(
        lambda w: {
            "project_id": w.project_id,
            "id": NEW_ID,
            "key": "size",
            "name": "Size",
            "type": "select",
            "options": ["S", "L"],
        },
        another=lambda w: {"project_id": w.project_id, "key": "hours", "name": "Hours", "type": "number"},
    ),
    "field.update": Example(
        lambda w: {"project_id": w.project_id, "field_id": NEW_ID, "name": "Time", "required": True},
        another=lambda w: {"project_id": w.project_id, "field_id": NEW_ID, "name": "Work"},
        before=_own_field,
        touch=("field.update", lambda w: {"project_id": w.project_id, "field_id": NEW_ID, "name": "Toil"}),
    ),
    "field.delete": Example(
        lambda w: {"project_id": w.project_id, "field_id": NEW_ID},
        another=lambda w: {"project_id": w.project_id, "field_id": OTHER_ID},
        before=_own_field,
        touch=("field.update", lambda w: {"project_id": w.project_id, "field_id": NEW_ID, "name": "Toil"}),
    ),
    "field.compute": Example(
        lambda w: {"project_id": w.project_id},
        another=lambda w: {"project_id": w.project_id, "after_number": 1},
        before=_uncomputed,
    ),
    "tasks.find": Example(
        lambda w: {
            "project_id": w.project_id,
            "filter": {
                "and": [
                    {"field": "open", "op": "eq", "value": True},
                    {
                        "or": [
                            {"field": "text", "op": "contains", "value": "e"},
                            {"field": "due_at", "op": "is_empty"},
                        ]
                    },
                    {"not": {"field": "priority", "op": "in", "value": ["urgent"]}},
                ]
            },
            "sort": [{"field": "priority", "order": "desc"}, {"field": "title"}],
            "limit": 2,
        },
    ),
    "tasks.find_everywhere": Example(
        lambda w: {
            "room": w.tenant,
            "filter": {"field": "assignees", "op": "has_any", "value": ["me"]},
            "limit": 1,
        },
        before=_assigned,
    ),
    "tasks.count": Example(lambda w: {"project_id": w.project_id, "group_by": "status_id"}),
    "tasks.count_everywhere": Example(
        lambda w: {"room": w.tenant, "group_by": "assignees"}, before=_assigned
    ),
    "tasks.update": Example(
        lambda w: {
            "project_id": w.project_id,
            "task_ids": [*w.tasks[:3], NEW_ID],
            "changes": {"priority": "high"},
            "add_tags": ["kitchen"],
            "add_assignee_ids": [w.user_ids["bob"]],
            "remove_assignee_ids": [w.user_ids["alice"]],
            "versions": {w.tasks[1]: 1, w.tasks[2]: 7},
        },
        another=lambda w: {"project_id": w.project_id, "task_ids": w.tasks[3:], "add_tags": ["bath"]},
        before=_families,
    ),
    "tasks.delete": Example(
        lambda w: {"project_id": w.project_id, "task_ids": [w.tasks[1], w.tasks[0], NEW_ID]},
        another=lambda w: {"project_id": w.project_id, "task_ids": [w.tasks[2]]},
        before=_families,
    ),
    # Watchers, labels, checklists.
    "task.watch": Example(
        lambda w: {"task_id": w.tasks[0]},
        another=lambda w: {"task_id": w.tasks[1]},
    ),
    "task.unwatch": Example(
        lambda w: {"task_id": w.tasks[0]},
        another=lambda w: {"task_id": w.tasks[1]},
        before=_watched,
    ),
    "label.create": Example(
        lambda w: {"room": w.project, "id": NEW_ID, "name": "Water", "colour": "#3b5bdb"},
        another=lambda w: {"room": w.project, "name": "Fire", "colour": "#f03"},
    ),
    "label.update": Example(
        lambda w: {
            "project_id": w.project_id,
            "label_id": w.made.get("label", NEW_ID),
            "name": "Fire",
            "colour": "#f03",
        },
        another=lambda w: {
            "project_id": w.project_id,
            "label_id": w.made.get("label", NEW_ID),
            "colour": "#0ff",
        },
        before=_labels,
        touch=_TOUCH_LABEL,
    ),
    "label.delete": Example(
        lambda w: {"project_id": w.project_id, "label_id": w.made.get("label", NEW_ID)},
        another=lambda w: {"project_id": w.project_id, "label_id": w.made.get("other_label", NEW_ID)},
        before=_labels,
        touch=_TOUCH_LABEL,
    ),
    "label.list": Example(lambda w: {"project_id": w.project_id}, before=_labels),
    "checklist.create": Example(
        lambda w: {"task_id": w.tasks[0], "id": NEW_ID, "name": "Before", "items": ["Tape", "Foil"]},
        another=lambda w: {"task_id": w.tasks[0], "name": "After"},
    ),
    "checklist.update": Example(
        _on_list("list", name="First"), another=_on_list("list", name="Second"), before=_checklists
    ),
    "checklist.move": Example(_on_list("list"), another=_on_list("other_list"), before=_checklists),
    "checklist.delete": Example(_on_list("list"), another=_on_list("other_list"), before=_checklists),
    "checklist.add_item": Example(
        _on_list("list", id=NEW_ID, text="c"), another=_on_list("list", text="d"), before=_checklists
    ),
    "checklist.update_item": Example(
        _on_item("list_a", text="A"), another=_on_item("list_a", text="B"), before=_checklists
    ),
    "checklist.move_item": Example(_on_item("list_a"), another=_on_item("list_b"), before=_checklists),
    "checklist.tick": Example(_on_item("list_b"), another=_on_item("other_list_a"), before=_checklists),
    "checklist.untick": Example(_on_item("list_a"), another=_on_item("list_b"), before=_checklists),
    "checklist.remove_item": Example(_on_item("list_a"), another=_on_item("list_b"), before=_checklists),
    "checklist.convert_item": Example(_on_item("list_a"), another=_on_item("list_b"), before=_checklists),
    "checklist.list": Example(lambda w: {"task_id": w.tasks[0]}, before=_checklists),
    "task.tree": Example(lambda w: {"task_id": w.tasks[0]}, before=_families),
    "task.get_by_key": Example(lambda w: {"room": w.tenant, "key": "kit-2"}),
    "task.archive": Example(
        lambda w: {"task_id": w.tasks[0]},
        another=lambda w: {"task_id": w.tasks[1]},
        before=_families,
        touch=_TOUCH_TASK,
    ),
    "task.unarchive": Example(
        lambda w: {"task_id": w.tasks[0]},
        another=lambda w: {"task_id": w.tasks[1]},
        before=_archived,
    ),
    "tasks.archive": Example(
        lambda w: {"project_id": w.project_id, "task_ids": [w.tasks[1], w.tasks[0], NEW_ID]},
        another=lambda w: {"project_id": w.project_id, "task_ids": [w.tasks[2]]},
        before=_families,
    ),
    # Links and approval.
    "link.add": Example(
        lambda w: {
            "project_id": w.project_id,
            "task_id": w.tasks[1],
            "other_id": w.tasks[2],
            "type": "duplicates",
        },
        another=lambda w: {"project_id": w.project_id, "task_id": w.tasks[1], "other_id": w.tasks[3]},
    ),
    "link.remove": Example(
        lambda w: {
            "project_id": w.project_id,
            "task_id": w.tasks[0],
            "link_id": w.made.get("link", NEW_ID),
        },
        another=lambda w: {
            "project_id": w.project_id,
            "task_id": w.tasks[0],
            "link_id": w.made.get("next_link", NEW_ID),
        },
        before=_linked,
    ),
    "link.list": Example(lambda w: {"task_id": w.tasks[0]}, before=_linked),
    "task.request_approval": Example(
        lambda w: {
            "task_id": w.tasks[0],
            "approver_ids": [w.user_ids["carol"], w.user_ids["bob"]],
            "note": "Good?",
        },
        another=lambda w: {"task_id": w.tasks[1], "approver_ids": [w.user_ids["bob"]]},
        touch=_TOUCH_TASK,
    ),
    "task.approve": Example(
        lambda w: {"task_id": w.tasks[0], "note": "Well done"},
        another=lambda w: {"task_id": w.tasks[1]},
        before=_asked,
        touch=_TOUCH_TASK,
    ),
    "task.reject": Example(
        lambda w: {"task_id": w.tasks[0], "note": "The left one is crooked"},
        another=lambda w: {"task_id": w.tasks[1], "note": "So is this"},
        before=_asked,
        touch=_TOUCH_TASK,
    ),
    "task.get_approval": Example(lambda w: {"task_id": w.tasks[0]}, before=_asked),
    # Reminders and recurrence.
    "reminder.add": Example(
        lambda w: {"task_id": w.tasks[0], "before_minutes": 30},
        another=lambda w: {"task_id": w.tasks[0], "at": "2150-01-01T00:00:00Z", "audience": "all"},
    ),
    "reminder.remove": Example(
        lambda w: {"task_id": w.tasks[0], "reminder_id": w.made.get("reminder", NEW_ID)},
        another=lambda w: {"task_id": w.tasks[0], "reminder_id": w.made.get("next_reminder", NEW_ID)},
        before=_reminders,
    ),
    "reminder.list": Example(lambda w: {"task_id": w.tasks[0]}, before=_reminders),
    "task.set_recurrence": Example(
        lambda w: {"task_id": w.tasks[0], "rule": "FREQ=MONTHLY;BYDAY=-1FR", "time_zone": "Europe/Berlin"},
        another=lambda w: {"task_id": w.tasks[1], "rule": "FREQ=DAILY", "mode": "on_schedule"},
        before=_due,
        touch=_TOUCH_TASK,
    ),
    "task.skip_occurrence": Example(
        lambda w: {"task_id": w.tasks[0]},
        another=lambda w: {"task_id": w.tasks[1]},
        before=_recurring,
        touch=_TOUCH_TASK,
    ),
    "task.stop_recurrence": Example(
        lambda w: {"task_id": w.tasks[0]},
        another=lambda w: {"task_id": w.tasks[1]},
        before=_recurring,
    ),
    "task.get_recurrence": Example(lambda w: {"task_id": w.tasks[0]}, before=_recurring),
    # To another project, again, or into one.
    "task.transfer": Example(
        lambda w: {"project_id": w.project_id, "task_id": w.tasks[0], "to_project_id": NEW_ID},
        another=lambda w: {"project_id": w.project_id, "task_id": w.tasks[1], "to_project_id": NEW_ID},
        before=_far_family,
    ),
    "task.copy": Example(
        lambda w: {"project_id": w.project_id, "task_id": w.tasks[0], "title": "Measure again"},
        another=lambda w: {"project_id": w.project_id, "task_id": w.tasks[0], "to_project_id": NEW_ID},
        before=_far_family,
    ),
    "task.merge": Example(
        lambda w: {"task_id": w.tasks[0], "into_id": w.tasks[2]},
        another=lambda w: {"task_id": w.tasks[1], "into_id": w.tasks[2]},
        before=_far_family,
        touch=_TOUCH_TASK,
    ),
    "tasks.unarchive": Example(
        lambda w: {"project_id": w.project_id, "task_ids": [w.tasks[1], NEW_ID, w.tasks[0]]},
        another=lambda w: {"project_id": w.project_id, "task_ids": [w.tasks[0]]},
        before=_many_archived,
    ),
    # Comments.
    "comment.add": Example(
        lambda w: {"task_id": w.tasks[0], "body": "Is the *left* wall dry?"},
        another=lambda w: {
            "task_id": w.tasks[0],
            "body": f"And the right one, @[Bob](user:{w.user_ids['bob']})?",
        },
    ),
    "comment.edit": Example(
        lambda w: {"task_id": w.tasks[0], "comment_id": w.made.get("comment", NEW_ID), "body": "Is it dry?"},
        another=lambda w: {
            "task_id": w.tasks[0],
            "comment_id": w.made.get("comment", NEW_ID),
            "body": f"Is it wet, @[Bob](user:{w.user_ids['bob']})?",
        },
        before=_comments,
    ),
    "comment.resolve": Example(_on_comment("comment"), another=_on_comment("settled"), before=_comments),
    "comment.reopen": Example(_on_comment("settled"), another=_on_comment("comment"), before=_comments),
    "comment.react": Example(
        _on_comment("comment", emoji="👍"), another=_on_comment("comment", emoji="❤"), before=_comments
    ),
    "comment.unreact": Example(
        _on_comment("settled", emoji="👍"), another=_on_comment("comment", emoji="👍"), before=_comments
    ),
    "comment.history": Example(_on_comment("settled", limit=1), before=_comments),
    "comment.delete": Example(
        lambda w: {"task_id": w.tasks[0], "comment_id": w.made.get("comment", NEW_ID)},
        another=lambda w: {"task_id": w.tasks[0], "comment_id": w.made.get("answer", NEW_ID)},
        before=_comments,
    ),
    # History and activity.
    "history.undo": Example(
        lambda w: {"project_id": w.project_id},
        another=lambda w: {"project_id": w.project_id, "task_id": w.tasks[1]},
        before=_changed,
    ),
    "history.redo": Example(
        lambda w: {"project_id": w.project_id},
        another=lambda w: {"project_id": w.project_id, "task_id": w.tasks[0]},
        before=_taken_back,
    ),
    "history.stack": Example(lambda w: {"project_id": w.project_id, "task_id": w.tasks[0]}, before=_changed),
    "history.list": Example(lambda w: {"project_id": w.project_id, "limit": 2}, before=_changed),
    "history.list_all": Example(
        lambda w: {"room": w.tenant, "user_id": w.user_ids["alice"], "limit": 2}, before=_changed
    ),
    "activity.list": Example(
        lambda w: {"project_id": w.project_id, "task_id": w.tasks[0], "since": 1}, before=_changed
    ),
    "activity.list_all": Example(lambda w: {"room": w.tenant, "limit": 2}, before=_changed),
    "dependency.add": Example(
        lambda w: {
            "task_id": w.tasks[1],
            "depends_on_id": w.tasks[0],
            "type": "start_start",
            "lag_minutes": -60,
        },
        another=lambda w: {"task_id": w.tasks[2], "depends_on_id": w.tasks[0]},
    ),
    "dependency.update": Example(
        lambda w: {
            "task_id": w.tasks[1],
            "dependency_id": w.made.get("edge", NEW_ID),
            "type": "finish_finish",
        },
        another=lambda w: {
            "task_id": w.tasks[1],
            "dependency_id": w.made.get("edge", NEW_ID),
            "lag_minutes": 90,
        },
        before=_chain,
    ),
    "dependency.remove": Example(
        lambda w: {"task_id": w.tasks[1], "dependency_id": w.made.get("edge", NEW_ID)},
        another=lambda w: {"task_id": w.tasks[2], "dependency_id": w.made.get("next_edge", NEW_ID)},
        before=_chain,
    ),
    "dependency.list": Example(lambda w: {"task_id": w.tasks[1]}, before=_chain),
    "project.schedule": Example(lambda w: {"project_id": w.project_id}, before=_chain),
    "comment.list": Example(lambda w: {"task_id": w.tasks[0], "limit": 1}, before=_comments),
    # Sprints and the backlog.
    "sprint.create": Example(
        lambda w: {
            "project_id": w.project_id,
            "name": "Tiles and taps",
            "goal": "The walls are done",
            "start_on": "2026-12-07",
            "end_on": "2026-12-18",
            "capacity_minutes": 4800,
            "capacities": [{"user_id": w.user_ids["bob"], "minutes": 2400}],
        },
        another=lambda w: {"project_id": w.project_id, "name": "Paint"},
    ),
    "sprint.get": Example(lambda w: {"project_id": w.project_id, "sprint_id": NEW_ID}, before=_sprints),
    "sprint.list": Example(lambda w: {"project_id": w.project_id, "limit": 1}, before=_sprints),
    "sprint.update": Example(
        lambda w: {
            "project_id": w.project_id,
            "sprint_id": NEW_ID,
            "name": "Tiles first",
            "end_on": "2026-12-11",
            "capacities": [],
        },
        another=lambda w: {"project_id": w.project_id, "sprint_id": NEW_ID, "capacity_minutes": 600},
        before=_sprints,
        touch=(
            "sprint.update",
            lambda w: {"project_id": w.project_id, "sprint_id": NEW_ID, "name": "Touched"},
        ),
    ),
    "sprint.delete": Example(
        lambda w: {"project_id": w.project_id, "sprint_id": NEW_ID},
        another=lambda w: {"project_id": w.project_id, "sprint_id": OTHER_ID},
        before=_sprints,
        touch=(
            "sprint.update",
            lambda w: {"project_id": w.project_id, "sprint_id": NEW_ID, "name": "Touched"},
        ),
    ),
    "sprint.start": Example(
        lambda w: {"project_id": w.project_id, "sprint_id": NEW_ID, "end_on": "2026-12-08"},
        another=lambda w: {"project_id": w.project_id, "sprint_id": OTHER_ID},
        before=_sprints,
    ),
    "sprint.complete": Example(
        lambda w: {"project_id": w.project_id, "sprint_id": NEW_ID},
        another=lambda w: {"project_id": w.project_id, "sprint_id": NEW_ID, "carry_over": "backlog"},
        before=_active_sprint,
    ),
    "sprint.reopen": Example(
        lambda w: {"project_id": w.project_id, "sprint_id": NEW_ID},
        another=lambda w: {"project_id": w.project_id, "sprint_id": w.made.get("old_sprint", OTHER_ID)},
        before=_completed_sprint,
    ),
    "sprint.add_tasks": Example(
        lambda w: {
            "project_id": w.project_id,
            "sprint_id": OTHER_ID,
            "task_ids": [w.tasks[0], w.tasks[2], w.tasks[3], w.project_id],
        },
        another=lambda w: {
            "project_id": w.project_id,
            "sprint_id": OTHER_ID,
            "task_ids": w.tasks[:4],
            "with_subtasks": True,
        },
        before=_sprints,
    ),
    "sprint.remove_tasks": Example(
        lambda w: {"project_id": w.project_id, "sprint_id": NEW_ID, "task_ids": w.tasks[:3]},
        another=lambda w: {"project_id": w.project_id, "sprint_id": NEW_ID, "task_ids": w.tasks[:1]},
        before=_sprints,
    ),
    "sprint.tasks": Example(
        lambda w: {"project_id": w.project_id, "sprint_id": NEW_ID, "limit": 1}, before=_sprints
    ),
    "sprint.burndown": Example(
        lambda w: {"project_id": w.project_id, "sprint_id": NEW_ID}, before=_completed_sprint
    ),
    "sprint.velocity": Example(lambda w: {"project_id": w.project_id, "last": 3}, before=_completed_sprint),
    "backlog.list": Example(lambda w: {"project_id": w.project_id, "limit": 1}, before=_sprints),
    "backlog.move": Example(
        lambda w: {"task_id": w.tasks[3], "before_id": w.tasks[0]},
        another=lambda w: {"task_id": w.tasks[3], "after_id": w.tasks[0]},
        touch=("backlog.move", lambda w: {"task_id": w.tasks[3]}),
    ),
    # Boards and columns.
    "board.create": Example(
        lambda w: {"room": w.project, "name": "Second look"},
        another=lambda w: {"room": w.project, "name": "Third look"},
    ),
    "board.update": Example(
        lambda w: {"board_id": w.board_id, "name": "Renamed"},
        another=lambda w: {"board_id": w.board_id, "name": "Renamed again"},
        touch=_TOUCH_BOARD,
    ),
    "board.move": Example(
        lambda w: {"board_id": w.board_id},
        another=lambda w: {"board_id": w.board_id, "before_id": w.made.get("board", NEW_ID)},
        before=_second_board,
        touch=_TOUCH_BOARD,
    ),
    "board.delete": Example(
        lambda w: {"board_id": w.board_id, "move_to": w.made.get("board", NEW_ID)},
        another=lambda w: {"board_id": w.board_id},
        before=_second_board,
        touch=_TOUCH_BOARD,
    ),
    # What one looks at, and how.
    "column.collapse": Example(
        lambda w: {"column_id": w.columns["Done"]}, another=lambda w: {"column_id": w.columns["On hold"]}
    ),
    "column.expand": Example(
        lambda w: {"column_id": w.columns["Done"]},
        another=lambda w: {"column_id": w.columns["On hold"]},
        before=_folded,
    ),
    "lane.collapse": Example(
        lambda w: {"board_id": w.board_id, "lane": "urgent"},
        another=lambda w: {"board_id": w.board_id, "lane": "none"},
        before=_folded,
    ),
    "lane.expand": Example(
        lambda w: {"board_id": w.board_id, "lane": "low"},
        another=lambda w: {"board_id": w.board_id, "lane": "high"},
        before=_folded,
    ),
    "view.create": Example(
        lambda w: {
            "project_id": w.project_id,
            "name": "What I owe",
            "board_id": w.board_id,
            "filter": {
                "and": [
                    {"field": "assignees", "op": "has_any", "value": ["me"]},
                    {"not": {"field": "due_at", "op": "gt", "value": {"days": 7}}},
                ]
            },
            "sort": [{"field": "due_at"}, {"field": "title", "order": "desc"}],
            "swimlanes": "priority",
            "fields": ["title", "due_at"],
        },
        another=lambda w: {"project_id": w.project_id, "name": "All"},
    ),
    "view.update": Example(
        lambda w: {"view_id": w.made.get("view", NEW_ID), "name": "Mine", "layout": "list", "board_id": None},
        another=lambda w: {"view_id": w.made.get("view", NEW_ID), "swimlanes": "assignee"},
        before=_views,
        touch=_TOUCH_VIEW,
    ),
    "view.delete": Example(
        lambda w: {"view_id": w.made.get("view", NEW_ID)},
        another=lambda w: {"view_id": w.made.get("other view", NEW_ID)},
        before=_views,
        touch=_TOUCH_VIEW,
    ),
    "view.list": Example(lambda w: {"project_id": w.project_id, "limit": 1}, before=_views),
    # The workflow.
    "status.create": Example(
        lambda w: {
            "project_id": w.project_id,
            "name": "In review",
            "category": "in_progress",
            "colour": "#fc0",
            "required_fields": ["assignee_ids"],
            "column_id": w.columns["In progress"],
        },
        another=lambda w: {"project_id": w.project_id, "name": "Waiting", "category": "blocked"},
    ),
    "status.update": Example(
        lambda w: {"status_id": w.statuses["Not started"], "category": "done", "colour": "#123456"},
        another=lambda w: {"status_id": w.statuses["Not started"], "required_fields": ["due_at"]},
        touch=(
            "status.update",
            lambda w: {"status_id": w.statuses["Not started"], "name": "Touched"},
        ),
    ),
    "status.move": Example(
        lambda w: {"status_id": w.statuses["On hold"], "before_id": w.statuses["Not started"]},
        another=lambda w: {"status_id": w.statuses["On hold"]},
        touch=_TOUCH_STATUS,
    ),
    "status.delete": Example(
        lambda w: {"status_id": w.statuses["Not started"], "replace_with": w.statuses["On hold"]},
        another=lambda w: {"status_id": w.statuses["Cancelled"]},
        before=_workflow,
        touch=(
            "status.update",
            lambda w: {"status_id": w.statuses["Not started"], "name": "Touched"},
        ),
    ),
    "workflow.set_transitions": Example(
        lambda w: {
            "project_id": w.project_id,
            "transitions": [
                {
                    "from_id": w.statuses["Not started"],
                    "to": [
                        {"to_id": w.statuses["In progress"], "required_fields": ["assignee_ids"]},
                        {"to_id": w.statuses["Cancelled"], "roles": ["owner", "manager"]},
                    ],
                },
                {"from_id": w.statuses["Cancelled"], "to": []},
            ],
        },
        another=lambda w: {
            "project_id": w.project_id,
            "transitions": [{"from_id": w.statuses["Not started"], "to": None}],
        },
        before=_workflow,
    ),
    "column.create": Example(
        lambda w: {"board_id": w.board_id, "name": "Waiting", "wip_limit": 3, "limit_mode": "warn"},
        another=lambda w: {"board_id": w.board_id, "name": "Waiting", "wip_limit": 4},
    ),
    "column.update": Example(
        lambda w: {
            "column_id": w.columns["On hold"],
            "name": "Stuck",
            "status_ids": [w.statuses["On hold"], w.statuses["Cancelled"]],
        },
        another=lambda w: {"column_id": w.columns["On hold"], "name": "Parked"},
        touch=_TOUCH_COLUMN,
    ),
    "column.set_limit": Example(
        lambda w: {"column_id": w.columns["On hold"], "limit": 3},
        another=lambda w: {"column_id": w.columns["On hold"], "limit": None},
        touch=_TOUCH_COLUMN,
    ),
    "column.move": Example(
        lambda w: {"column_id": w.columns["On hold"], "before_id": w.columns["To do"]},
        another=lambda w: {"column_id": w.columns["On hold"]},
        touch=_TOUCH_COLUMN,
    ),
    "column.delete": Example(
        lambda w: {"column_id": w.columns["On hold"]},
        another=lambda w: {"column_id": w.columns["Done"]},
        touch=_TOUCH_COLUMN,
    ),
    # Projects.
    "project.create": Example(
        lambda w: {
            "room": w.tenant,
            "name": "Garden shed",
            "start_on": "2026-12-01",
            "end_on": "2026-12-24",
            "member_ids": [w.user_ids["bob"]],
            "parent_id": OTHER_ID,
            "owner_id": w.user_ids["manager"],
            "progress_by": "estimate",
            "settings": {"auto_archive_days": 30},
        },
        another=lambda w: {"room": w.tenant, "name": "Garden fence"},
        before=_program,
    ),
    "project.get": Example(lambda w: {"project_id": w.project_id}),
    "project.list": Example(lambda w: {"room": w.tenant, "limit": 1}, before=_two_projects),
    "project.update": Example(
        lambda w: {
            "project_id": w.project_id,
            "description": "With an island",
            "status": "completed",
            "parent_id": OTHER_ID,
            "owner_id": w.user_ids["bob"],
            "end_on": "2027-01-31",
            "settings": {"auto_archive_days": 30, "require_approval": True},
        },
        another=lambda w: {"project_id": w.project_id, "end_on": None, "name": "Big kitchen"},
        before=_program,
        touch=_TOUCH_PROJECT,
    ),
    "project.archive": Example(
        lambda w: {"project_id": w.project_id},
        another=lambda w: {"project_id": NEW_ID},
        before=_two_projects,
        touch=_TOUCH_PROJECT,
    ),
    "project.unarchive": Example(
        lambda w: {"project_id": w.project_id},
        another=lambda w: {"project_id": NEW_ID},
        before=_archived_projects,
    ),
    "project.purge": Example(
        lambda w: {"project_id": w.project_id},
        another=lambda w: {"project_id": NEW_ID},
        before=_trash_projects,
    ),
    "project.duplicate": Example(
        lambda w: {"project_id": w.project_id, "name": "Second kitchen", "members": True},
        another=lambda w: {"project_id": w.project_id, "name": "Third kitchen", "tasks": False},
        before=_families,
    ),
    "template.save": Example(
        lambda w: {"project_id": w.project_id, "name": "Any kitchen", "key": "ANY"},
        another=lambda w: {"project_id": w.project_id, "name": "Empty kitchen", "tasks": False},
        before=_families,
    ),
    "project.from_template": Example(
        lambda w: {
            "room": w.tenant,
            "template_id": w.made.get("template", NEW_ID),
            "name": "Garden",
            "start_on": "2027-03-01",
        },
        another=lambda w: {
            "room": w.tenant,
            "template_id": w.made.get("template", NEW_ID),
            "name": "Yard",
            "tasks": False,
        },
        before=_template,
    ),
    "project.overview": Example(lambda w: {"project_id": w.project_id}, before=_budgeted),
    "trash.list": Example(lambda w: {"room": w.tenant, "limit": 1}, before=_trash),
    "budget.get": Example(lambda w: {"project_id": w.project_id}, before=_budgeted),
    "budget.set": Example(
        lambda w: {
            "project_id": w.project_id,
            "minutes": 6000,
            "amount": 1_000_000,
            "currency": "EUR",
            "hourly_rate": 9500,
        },
        another=lambda w: {"project_id": w.project_id, "minutes": 60},
    ),
    "allocation.add": Example(
        lambda w: {
            "project_id": w.project_id,
            "user_id": w.user_ids["bob"],
            "minutes_per_week": 1200,
            "start_on": "2026-12-01",
            "end_on": "2027-01-31",
        },
        another=lambda w: {
            "project_id": w.project_id,
            "user_id": w.user_ids["alice"],
            "minutes_per_week": 600,
            "start_on": "2026-12-01",
        },
    ),
    "allocation.update": Example(
        lambda w: {
            "project_id": w.project_id,
            "allocation_id": w.made.get("allocation", NEW_ID),
            "minutes_per_week": 600,
            "end_on": "2027-01-31",
        },
        another=lambda w: {
            "project_id": w.project_id,
            "allocation_id": w.made.get("allocation", NEW_ID),
            "start_on": "2026-11-30",
        },
        before=planned,
    ),
    "allocation.remove": Example(
        lambda w: {"project_id": w.project_id, "allocation_id": w.made.get("allocation", NEW_ID)},
        another=lambda w: {
            "project_id": w.project_id,
            "allocation_id": w.made.get("second allocation", NEW_ID),
        },
        before=planned,
    ),
    "allocation.list": Example(lambda w: {"room": w.tenant, "limit": 1}, before=planned),
    "allocation.report": Example(
        lambda w: {"room": w.tenant, "from_on": "2026-12-02", "weeks": 2}, before=planned
    ),
    "project.delete": Example(
        lambda w: {"project_id": w.project_id},
        another=lambda w: {"project_id": NEW_ID},
        before=_two_projects,
        touch=_TOUCH_PROJECT,
    ),
    "project.restore": Example(
        lambda w: {"project_id": w.project_id},
        another=lambda w: {"project_id": NEW_ID},
        before=_trash_projects,
    ),
    "project.add_member": Example(
        lambda w: {"project_id": w.project_id, "user_id": w.user_ids["viewer"], "role": "member"},
        another=lambda w: {"project_id": w.project_id, "user_id": w.user_ids["viewer"], "role": "viewer"},
    ),
    "project.remove_member": Example(
        lambda w: {"project_id": w.project_id, "user_id": w.user_ids["carol"]},
        another=lambda w: {"project_id": w.project_id, "user_id": w.user_ids["gus"]},
    ),
    # The tenant.
    "tenant.get": Example(lambda w: {"room": w.tenant}),
    "tenant.update": Example(
        lambda w: {"room": w.tenant, "name": "Acme Limited"},
        another=lambda w: {"room": w.tenant, "name": "Acme Unlimited"},
        touch=_TOUCH_TENANT,
    ),
    "tenant.update_settings": Example(
        lambda w: {
            "room": w.tenant,
            "timezone": "Europe/Zurich",
            "date_format": "DD.MM.YYYY",
            "currency": "CHF",
            "language": "de-CH",
            "working_hours": {
                "monday": [{"start": "08:00", "end": "12:00"}, {"start": "13:00", "end": "17:30"}]
            },
            "holidays": [{"on": "2026-08-01", "name": "National day", "yearly": True}],
            "custom_fields": [
                {"key": "budget", "name": "Budget", "type": "money", "applies_to": "project"},
                {
                    "key": "size",
                    "name": "Size",
                    "type": "select",
                    "applies_to": "task",
                    "options": ["S", "M", "L"],
                },
            ],
        },
        another=lambda w: {"room": w.tenant, "currency": "EUR"},
        touch=_TOUCH_TENANT,
    ),
    "tenant.update_branding": Example(
        lambda w: {
            "room": w.tenant,
            "product_name": "Acme Works",
            "primary_color": "#FFCC00",
            "header_color": "#123",
            "header_text_color": "#ffffff",
            "sender_name": "Acme",
            "reply_to": "hello@acme.example",
        },
        another=lambda w: {"room": w.tenant, "product_name": None, "primary_color": "#3b5bdb"},
        touch=_TOUCH_TENANT,
    ),
    "tenant.remove_logo": Example(
        lambda w: {"room": w.tenant},
        another=lambda w: {"room": w.tenant, "expected_version": 2},
        before=_logo,
        touch=_TOUCH_TENANT,
    ),
    "organization.join": Example(
        lambda w: {"room": w.tenant, "slug": "rival"},
        another=lambda w: {"room": w.tenant, "slug": "another"},
    ),
    "organization.leave": Example(
        lambda w: {"room": w.tenant},
        another=lambda w: {"room": w.tenant, "expected_version": 2},
        before=_asked_parent,
        touch=_TOUCH_TENANT,
    ),
    "organization.tenants": Example(lambda w: {"room": w.tenant, "limit": 1}),
    "organization.requests": Example(lambda w: {"room": w.tenant}),
    "organization.projects": Example(lambda w: {"room": w.tenant, "limit": 1, "q": "kitchen"}),
    "tenant.onboarding": Example(lambda w: {"room": w.tenant}),
    "tenant.dismiss_step": Example(
        lambda w: {"room": w.tenant, "step": "branding"},
        another=lambda w: {"room": w.tenant, "step": "invite"},
    ),
    "tenant.set_security": Example(
        lambda w: {"room": w.tenant, "require_second_factor": True},
        another=lambda w: {"room": w.tenant, "require_second_factor": False},
        before=_everybody_has_a_second_factor,
        touch=_TOUCH_TENANT,
    ),
    "member.add": Example(
        lambda w: {"room": w.tenant, "email": "newcomer@new.example", "role": "member"},
        another=lambda w: {"room": w.tenant, "email": "latecomer@new.example"},
        before=_newcomers,
    ),
    "member.update": Example(
        lambda w: {"room": w.tenant, "user_id": w.user_ids["bob"], "role": "viewer"},
        another=lambda w: {
            "room": w.tenant,
            "user_id": w.user_ids["bob"],
            "expires_at": "2100-01-01T00:00:00Z",
        },
    ),
    "member.remove": Example(
        lambda w: {"room": w.tenant, "user_id": w.user_ids["carol"]},
        another=lambda w: {"room": w.tenant, "user_id": w.user_ids["gus"]},
    ),
    # Roles.
    "role.create": Example(
        lambda w: {
            "room": w.tenant,
            "id": NEW_ID,
            "name": "Lead",
            "base": "member",
            "allowed": ["project.share", "board.edit"],
            "denied": ["task.delete"],
            "colour": "#2f6fed",
        },
        another=lambda w: {"room": w.tenant, "name": "Helper", "base": "client", "allowed": ["task.edit"]},
    ),
    "role.update": Example(
        lambda w: {"room": w.tenant, "role_id": NEW_ID, "base": "viewer", "name": "Looker"},
        another=lambda w: {"room": w.tenant, "role_id": NEW_ID, "denied": ["comment.add"]},
        before=_a_role,
        touch=("role.update", lambda w: {"room": w.tenant, "role_id": NEW_ID, "description": "Touched"}),
    ),
    "role.delete": Example(
        lambda w: {"room": w.tenant, "role_id": NEW_ID},
        another=lambda w: {"room": w.tenant, "role_id": OTHER_ID},
        before=_free_roles,
    ),
    "role.list": Example(lambda w: {"room": w.tenant, "limit": 1}, before=_free_roles),
    "member.reset_second_factor": Example(
        lambda w: {"room": w.tenant, "user_id": w.user_ids["carol"]},
        another=lambda w: {"room": w.tenant, "user_id": w.user_ids["gus"]},
    ),
    # Imports. One without rows is done at once; one with rows is carried on with by a worker.
    "member.import": Example(
        lambda w: {"room": w.tenant, "csv": "email,role\n", "role": "viewer"},
        another=lambda w: {"room": w.tenant, "csv": "email\n"},
    ),
    "import.get": Example(lambda w: {"room": w.tenant, "import_id": NEW_ID, "limit": 1}, before=importing),
    "import.cancel": Example(
        lambda w: {"room": w.tenant, "import_id": NEW_ID},
        another=lambda w: {"room": w.tenant, "import_id": OTHER_ID},
        before=importing,
    ),
    # Task templates.
    "task_template.create": Example(
        lambda w: {"room": w.tenant, "project_id": w.project_id, "name": "A wall", "tasks": TEMPLATE},
        another=lambda w: {"room": w.tenant, "name": "A wall", "tasks": TEMPLATE[:1]},
    ),
    "task_template.list": Example(lambda w: {"project_id": w.project_id, "limit": 1}, before=_templates),
    "task_template.list_shared": Example(lambda w: {"room": w.tenant}, before=_templates),
    "task_template.update": Example(
        lambda w: {"room": w.tenant, "template_id": NEW_ID, "name": "Renamed"},
        another=lambda w: {"room": w.tenant, "template_id": NEW_ID, "tasks": TEMPLATE[:1]},
        before=_templates,
        touch=(
            "task_template.update",
            lambda w: {"room": w.tenant, "template_id": NEW_ID, "tasks": TEMPLATE[:2]},
        ),
    ),
    "task_template.delete": Example(
        lambda w: {"room": w.tenant, "template_id": OTHER_ID, "project_id": w.project_id},
        another=lambda w: {"room": w.tenant, "template_id": NEW_ID},
        before=_templates,
        touch=(
            "task_template.update",
            lambda w: {
                "room": w.tenant,
                "template_id": OTHER_ID,
                "project_id": w.project_id,
                "name": "Touched",
            },
        ),
    ),
    "task.create_from_template": Example(
        lambda w: {"project_id": w.project_id, "template_id": NEW_ID, "assignee_ids": [w.user_ids["bob"]]},
        another=lambda w: {"project_id": w.project_id, "template_id": OTHER_ID, "title": "Another"},
        before=_templates,
    ),
    # Rules.
    "rule.create": Example(
        lambda w: {
            "room": w.project,
            **a_rule(
                when={"on": "task.moved", "to_column_ids": [list(w.columns.values())[1]]},
                then=[
                    {"do": "assign", "roles": ["actor"]},
                    {"do": "notify", "roles": ["creator"], "text": "{key} is begun"},
                ],
            ),
        },
        another=lambda w: {"room": w.project, **a_rule()},
    ),
    "rule.list": Example(lambda w: {"project_id": w.project_id}, before=_rules),
    "rule.runs": Example(lambda w: {"project_id": w.project_id, "limit": 1}, before=_rules),
    "rule.test": Example(
        lambda w: {"room": w.project, "rule_id": NEW_ID, "task_id": w.tasks[0]}, before=_rules
    ),
    "rule.update": Example(
        lambda w: {"room": w.project, "rule_id": NEW_ID, "name": "Renamed", "when": {"on": "comment.added"}},
        another=lambda w: {
            "room": w.project,
            "rule_id": NEW_ID,
            "then": [{"do": "comment", "body": "Welcome, {key}"}],
        },
        before=_rules,
        touch=("rule.disable", lambda w: {"room": w.project, "rule_id": NEW_ID}),
    ),
    "rule.enable": Example(
        lambda w: {"room": w.project, "rule_id": NEW_ID},
        another=lambda w: {"room": w.project, "rule_id": OTHER_ID},
        before=_rules,
    ),
    "rule.disable": Example(
        lambda w: {"room": w.project, "rule_id": NEW_ID},
        another=lambda w: {"room": w.project, "rule_id": OTHER_ID},
        before=_rules,
    ),
    "rule.delete": Example(
        lambda w: {"room": w.project, "rule_id": NEW_ID},
        another=lambda w: {"room": w.project, "rule_id": OTHER_ID},
        before=_rules,
        touch=("rule.disable", lambda w: {"room": w.project, "rule_id": NEW_ID}),
    ),
    # Invitations.
    "invitation.create": Example(
        lambda w: {
            "room": w.tenant,
            "email": "newcomer@new.example",
            "role": "viewer",
            "projects": [{"project_id": w.project_id, "role": "member"}],
            "message": "Come and see",
        },
        another=lambda w: {"room": w.tenant, "max_uses": 2},
    ),
    "invitation.list": Example(lambda w: {"room": w.tenant, "limit": 1}, before=_invited),
    "invitation.resend": Example(
        lambda w: {"room": w.tenant, "invitation_id": _invitation(w, 0)},
        another=lambda w: {"room": w.tenant, "invitation_id": _invitation(w, 1)},
        before=_invited,
    ),
    "invitation.revoke": Example(
        lambda w: {"room": w.tenant, "invitation_id": _invitation(w, 0)},
        another=lambda w: {"room": w.tenant, "invitation_id": _invitation(w, 1)},
        before=_invited,
    ),
    # API keys.
    "apikey.create": Example(
        lambda w: {"room": _own_room(w), "name": "Reports", "scopes": ["read", "task.create"]},
        another=lambda w: {"room": _own_room(w), "name": "Reports", "scopes": ["read"]},
    ),
    "apikey.list": Example(lambda w: {"room": _own_room(w)}, before=_keys),
    "apikey.update": Example(
        lambda w: {
            "room": _own_room(w),
            "key_id": w.made.get("first own key", NEW_ID),
            "scopes": ["write"],
            "name": "New",
        },
        another=lambda w: {
            "room": _own_room(w),
            "key_id": w.made.get("second own key", NEW_ID),
            "name": "Other",
        },
        before=_keys,
    ),
    "apikey.rotate": Example(
        lambda w: {"room": _own_room(w), "key_id": w.made.get("first own key", NEW_ID), "overlap": 3600},
        another=lambda w: {"room": _own_room(w), "key_id": w.made.get("second own key", NEW_ID)},
        before=_keys,
    ),
    "apikey.revoke": Example(
        lambda w: {"room": _own_room(w), "key_id": w.made.get("first own key", NEW_ID)},
        another=lambda w: {"room": _own_room(w), "key_id": w.made.get("second own key", NEW_ID)},
        before=_keys,
    ),
    "tenant_key.create": Example(
        lambda w: {
            "room": w.tenant,
            "name": "Importer",
            "scopes": ["write"],
            "role": "client",
            "project_ids": [w.project_id],
            "expires_at": "2100-01-01T00:00:00Z",
        },
        another=lambda w: {"room": w.tenant, "name": "Exporter", "scopes": ["read"]},
    ),
    "tenant_key.list": Example(lambda w: {"room": w.tenant, "limit": 1}, before=_keys),
    "tenant_key.update": Example(
        lambda w: {
            "room": w.tenant,
            "key_id": w.made.get("first tenant key", NEW_ID),
            "scopes": ["write"],
            "name": "New",
        },
        another=lambda w: {
            "room": w.tenant,
            "key_id": w.made.get("first tenant key", NEW_ID),
            "scopes": ["write"],
        },
        before=_keys,
    ),
    "tenant_key.rotate": Example(
        lambda w: {"room": w.tenant, "key_id": w.made.get("first tenant key", NEW_ID)},
        another=lambda w: {"room": w.tenant, "key_id": w.made.get("second tenant key", NEW_ID)},
        before=_keys,
    ),
    "tenant_key.revoke": Example(
        lambda w: {"room": w.tenant, "key_id": w.made.get("first tenant key", NEW_ID)},
        another=lambda w: {"room": w.tenant, "key_id": w.made.get("second tenant key", NEW_ID)},
        before=_keys,
    ),
    # The audit log.
    "audit.list": Example(lambda w: {"room": w.tenant, "action": "project.", "limit": 1}),
    # Single sign-on.
    "sso.list": Example(lambda w: {"room": w.tenant}, before=_sso),
    "sso.create": Example(
        lambda w: {
            "room": w.tenant,
            "name": "Acme's own",
            "issuer": "https://id.acme.example",
            "client_id": "atrium",
            "client_secret": "a secret that nobody guesses",
            "domains": ["acme.example"],
            "jit_role": "viewer",
            "required": True,
        },
        another=lambda w: {
            "room": w.tenant,
            "name": "Another",
            "issuer": "https://id.example.com/realms/acme",
            "client_id": "x",
        },
    ),
    "sso.update": Example(
        lambda w: {
            "room": w.tenant,
            "sso_id": _of_sso(w, "first provider"),
            "name": "Renamed",
            "jit_role": "member",
        },
        another=lambda w: {"room": w.tenant, "sso_id": _of_sso(w, "first provider"), "required": True},
        before=_sso,
    ),
    "sso.delete": Example(
        lambda w: {"room": w.tenant, "sso_id": _of_sso(w, "first provider")},
        another=lambda w: {"room": w.tenant, "sso_id": _of_sso(w, "second provider")},
        before=_sso,
    ),
    "sso.add_domain": Example(
        lambda w: {"room": w.tenant, "domain": "acme.example", "mailbox": "hostmaster"},
        another=lambda w: {"room": w.tenant, "domain": "other.example"},
    ),
    "sso.renew_domain": Example(
        lambda w: {"room": w.tenant, "domain_id": _of_sso(w, "first.example")},
        another=lambda w: {"room": w.tenant, "domain_id": _of_sso(w, "second.example")},
        before=_sso,
    ),
    "sso.verify_domain": Example(
        lambda w: {"room": w.tenant, "domain_id": _of_sso(w, "first.example"), "code": "the code of first"},
        another=lambda w: {
            "room": w.tenant,
            "domain_id": _of_sso(w, "second.example"),
            "code": "the code of second",
        },
        before=_sso,
    ),
    "sso.remove_domain": Example(
        lambda w: {"room": w.tenant, "domain_id": _of_sso(w, "first.example")},
        another=lambda w: {"room": w.tenant, "domain_id": _of_sso(w, "second.example")},
        before=_sso,
    ),
    # Deactivated and back.
    "member.deactivate": Example(
        lambda w: {"room": w.tenant, "user_id": w.user_ids["carol"]},
        another=lambda w: {"room": w.tenant, "user_id": w.user_ids["gus"]},
    ),
    "member.activate": Example(
        lambda w: {"room": w.tenant, "user_id": w.user_ids["carol"]},
        another=lambda w: {"room": w.tenant, "user_id": w.user_ids["gus"]},
        before=_deactivated,
    ),
    "member.deactivate_many": Example(
        lambda w: {"room": w.tenant, "user_ids": [w.user_ids["carol"]]},
        another=lambda w: {"room": w.tenant, "user_ids": [w.user_ids["viewer"]]},
    ),
    "member.activate_many": Example(
        lambda w: {"room": w.tenant, "user_ids": [w.user_ids["carol"]]},
        another=lambda w: {"room": w.tenant, "user_ids": [w.user_ids["viewer"]]},
        before=_deactivated,
    ),
    # Teams and units.
    "team.create": Example(
        lambda w: {
            "room": w.tenant,
            "name": "Fitters",
            "project_id": w.project_id,
            "member_ids": [w.user_ids["viewer"], w.user_ids["bob"]],
        },
        another=lambda w: {"room": w.tenant, "name": "Painters", "colour": "#00aa00"},
    ),
    "team.update": Example(
        lambda w: {"room": w.tenant, "team_id": NEW_ID, "name": "Renamed"},
        another=lambda w: {"room": w.tenant, "team_id": NEW_ID, "description": "They paint"},
        before=_groups,
        touch=("team.update", lambda w: {"room": w.tenant, "team_id": NEW_ID, "name": "Touched"}),
    ),
    "team.add_members": Example(
        lambda w: {"room": w.tenant, "team_id": NEW_ID, "user_ids": [w.user_ids["manager"]]},
        another=lambda w: {"room": w.tenant, "team_id": NEW_ID, "user_ids": [w.user_ids["admin"]]},
        before=_groups,
    ),
    "team.remove_members": Example(
        lambda w: {
            "room": w.tenant,
            "team_id": NEW_ID,
            "user_ids": [w.user_ids["viewer"], w.user_ids["bob"]],
        },
        another=lambda w: {"room": w.tenant, "team_id": NEW_ID, "user_ids": [w.user_ids["admin"]]},
        before=_groups,
    ),
    "team.delete": Example(
        lambda w: {"room": w.tenant, "team_id": NEW_ID},
        another=lambda w: {"room": w.tenant, "team_id": OTHER_ID},
        before=_groups,
    ),
    "team.list": Example(lambda w: {"room": w.tenant, "limit": 1}, before=_groups),
    "unit.create": Example(
        lambda w: {
            "room": w.tenant,
            "kind": "client",
            "name": "Big client",
            "member_ids": [w.user_ids["carol"]],
        },
        another=lambda w: {"room": w.tenant, "kind": "region", "name": "North"},
    ),
    "unit.update": Example(
        lambda w: {"room": w.tenant, "unit_id": INNER_ID, "parent_id": None, "name": "Alone"},
        another=lambda w: {"room": w.tenant, "unit_id": INNER_ID, "colour": "#112233"},
        before=_groups,
        touch=("unit.update", lambda w: {"room": w.tenant, "unit_id": INNER_ID, "description": "Touched"}),
    ),
    "unit.add_members": Example(
        lambda w: {"room": w.tenant, "unit_id": INNER_ID, "user_ids": [w.user_ids["manager"]]},
        another=lambda w: {"room": w.tenant, "unit_id": INNER_ID, "user_ids": [w.user_ids["admin"]]},
        before=_groups,
    ),
    "unit.remove_members": Example(
        lambda w: {"room": w.tenant, "unit_id": INNER_ID, "user_ids": [w.user_ids["viewer"]]},
        another=lambda w: {"room": w.tenant, "unit_id": INNER_ID, "user_ids": [w.user_ids["admin"]]},
        before=_groups,
    ),
    "unit.delete": Example(
        lambda w: {"room": w.tenant, "unit_id": INNER_ID},
        another=lambda w: {"room": w.tenant, "unit_id": UNIT_ID},
        before=_groups,
    ),
    "unit.list": Example(lambda w: {"room": w.tenant, "limit": 1}, before=_groups),
    "project.share": Example(
        lambda w: {"project_id": w.project_id, "team_id": OTHER_ID, "role": "member"},
        another=lambda w: {"project_id": w.project_id, "unit_id": UNIT_ID},
        before=_groups,
    ),
    "project.unshare": Example(
        lambda w: {"project_id": w.project_id, "share_id": w.made.get("share", NEW_ID)},
        another=lambda w: {"project_id": w.project_id, "share_id": OTHER_ID},
        before=_groups,
    ),
    "project.list_shares": Example(lambda w: {"project_id": w.project_id}, before=_groups),
    # Acting for others.
    "delegation.create": Example(
        lambda w: {
            "room": w.tenant,
            "to_id": w.user_ids["bob"],
            "ends_at": "2027-03-01T00:00:00Z",
            "reason": "Away",
        },
        another=lambda w: {
            "room": w.tenant,
            "to_id": w.user_ids["admin"],
            "starts_at": "2027-01-01T00:00:00Z",
            "ends_at": "2027-03-01T00:00:00Z",
            "reason": "Away",
        },
    ),
    "delegation.revoke": Example(
        lambda w: {"room": w.tenant, "delegation_id": NEW_ID},
        another=lambda w: {"room": w.tenant, "delegation_id": OTHER_ID},
        before=_delegated,
    ),
    "delegation.list": Example(lambda w: {"room": w.tenant, "limit": 1}, before=_delegated),
    "permission.explain": Example(lambda w: {"room": w.project}),
    # Files.
    "file.get": Example(_on_file("file"), before=_files),
    "file.list": Example(lambda w: {"project_id": w.project_id, "limit": 1}, before=_files),
    "file.rename": Example(
        _on_file("file", name="Plan.txt"),
        another=_on_file("file", name="Another plan.txt"),
        before=_files,
        touch=("file.rename", _on_file("file", name="Touched.txt")),
    ),
    "file.delete": Example(_on_file("file"), another=_on_file("other_file"), before=_attached),
    "task.attach": Example(_attaching("file"), another=_attaching("other_file"), before=_files),
    "task.detach": Example(_attaching("file"), another=_attaching("other_file"), before=_attached),
    # Rooms.
    "room.snapshot": Example(lambda w: {"room": w.project}),
    "room.events": Example(lambda w: {"room": w.project, "since": 1, "limit": 2}),
}

CALLS: Final = sorted(name for name, spec in SPECS.items() if spec.kind in ("command", "query"))
COMMANDS: Final = sorted(name for name, spec in SPECS.items() if spec.kind == "command")
QUERIES: Final = sorted(name for name, spec in SPECS.items() if spec.kind == "query")
VERSIONED: Final = sorted(name for name, spec in SPECS.items() if spec.versioned)


def example(name: str) -> Example:
    """The example of a command or query; a missing one fails whatever test asks for it."""
    found = EXAMPLES.get(name)
    assert found is not None, f"{name} has no example: add one to tests/contract/examples.py"
    return found


def rest_call(spec: Spec, payload: Payload) -> tuple[str, str, dict[str, Any]]:
    """Method, path and the rest (json= or params=) of the same call by REST."""
    assert spec.route is not None
    body = dict(payload)
    room = str(body.pop("room", ""))
    path = spec.route.path
    for name in spec.route.params:
        if name == "room":
            value = room
        elif name in spec.payload.model_fields:
            value = str(body.pop(name))
        else:
            value = room.partition(":")[2]
        path = path.replace(f"{{{name}}}", value)
    if spec.route.method == "GET":
        return spec.route.method, path, {"params": {key: str(value) for key, value in body.items()}}
    return spec.route.method, path, {"json": body}

"""Filters: SQL and plain Python agree on every filter, no text gets into SQL, pages follow any order, counts count."""

import base64
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.errors import ValidationFailed
from handlers.paging import LAST_ID, encode_cursor
from handlers.work.finding.fields import FIELDS, OPS
from handlers.work.finding.filters import Filter
from handlers.work.finding.sql import compile_filter
from handlers.work.projects.workflow import Category
from tests.world import Cluster, Person, World, fresh_world

NOW: Final = datetime(2026, 11, 29, 10, tzinfo=UTC)
ZURICH: Final = ZoneInfo("Europe/Zurich")
MOST: Final = 60
"""Tasks that filters are tried on."""
WORDS: Final = ["Tiles", "tiles", "Paint 50%", "o'clock", "a_b", "", "Grün", "back\\slash"]
MOMENTS: Final = [NOW + timedelta(days=n, hours=h) for n in (-8, -1, 0, 1, 7) for h in (-11, 0, 13, 14)]

bounded = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
async def tasks(cluster: Cluster) -> AsyncIterator[tuple[World, list[dict[str, Any]]]]:
    """A world with tasks of all sorts in its project, and these as rows."""
    async with fresh_world(cluster) as world:
        chance = random.Random(7)
        people = [UUID(world.user_ids[name]) for name in ("alice", "bob", "carol")]
        statuses = [UUID(status_id) for status_id in world.statuses.values()]
        column = UUID(next(iter(world.columns.values())))
        async with world.sql() as db:
            for n in range(MOST):
                await db.execute(
                    "INSERT INTO tasks (tenant_id, project_id, id, number, key, title, description, type, priority, "
                    "column_id, status_id, position, assignee_ids, tags, start_at, due_at, completed_at, "
                    "estimate_minutes, created_by, created_at, updated_by, updated_at) VALUES ($1, $2, $3, $4, $5, $6, "
                    "$7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $19, $20)",
                    UUID(world.tenant_id), UUID(world.project_id), uuid4(), 1000 + n, f"KIT-{1000 + n}",
                    chance.choice(WORDS) + chance.choice(WORDS) or "x", chance.choice(WORDS),
                    chance.choice(FIELDS["type"].options), chance.choice(FIELDS["priority"].options),
                    column, chance.choice(statuses), f"z{n:03}", chance.sample(people, chance.randint(0, 3)),
                    chance.sample(WORDS[:5], chance.randint(0, 2)), chance.choice([None, *MOMENTS]),
                    chance.choice([None, *MOMENTS]), chance.choice([None, NOW]), chance.choice([None, 0, 30, 60]),
                    chance.choice(people), chance.choice(MOMENTS),
                )  # fmt: skip
            rows = await db.fetch(
                "SELECT t.*, s.category AS status_category FROM tasks AS t JOIN statuses AS s ON s.id = t.status_id "
                "WHERE t.project_id = $1 AND t.deleted_at IS NULL", UUID(world.project_id),
            )  # fmt: skip
        made = [
            {**row, "open": row["completed_at"] is None, "archived": row["archived_at"] is not None,
             "overdue": row["completed_at"] is None and row["due_at"] is not None and row["due_at"] < NOW,
             "watchers": row["watcher_ids"], "labels": row["label_ids"], "assignees": row["assignee_ids"],
             "text": f"{row['title']}\n{row['description']}"}
            for row in rows
        ]  # fmt: skip
        yield world, made


# The same said in Python.


def holds(one: dict[str, Any], task: dict[str, Any], me: UUID) -> bool:
    if "and" in one:
        return all(holds(part, task, me) for part in one["and"])
    if "or" in one:
        return any(holds(part, task, me) for part in one["or"])
    if "not" in one:
        return not holds(one["not"], task, me)
    kind, has, value = FIELDS[one["field"]].kind, task[one["field"]], one.get("value")
    if one["op"] == "is_empty":
        empty = has is None or has == [] or (kind == "text" and has == "")
        return empty is (value is not False)
    if kind == "moment":
        return has_moment(one["op"], has, value)
    read: Callable[[Any], Any] = lambda item: me if item == "me" else item  # noqa: E731
    wanted = [read(item) for item in value] if isinstance(value, list) else read(value)
    has = [str(item) for item in has] if isinstance(has, list) else str(has) if isinstance(has, UUID) else has
    wanted = [str(item) if isinstance(item, UUID) else item for item in wanted] if isinstance(wanted, list) else (
        str(wanted) if isinstance(wanted, UUID) else wanted
    )  # fmt: skip
    return bool(PLAIN[one["op"]](has, wanted))


PLAIN: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "eq": lambda has, wanted: has == wanted,
    "ne": lambda has, wanted: has != wanted,
    "in": lambda has, wanted: has in wanted,
    "not_in": lambda has, wanted: has not in wanted,
    "lt": lambda has, wanted: has is not None and has < wanted,
    "lte": lambda has, wanted: has is not None and has <= wanted,
    "gt": lambda has, wanted: has is not None and has > wanted,
    "gte": lambda has, wanted: has is not None and has >= wanted,
    "between": lambda has, wanted: has is not None and wanted[0] <= has <= wanted[1],
    "contains": lambda has, wanted: wanted.lower() in has.lower(),
    "has_any": lambda has, wanted: any(item in has for item in wanted),
    "has_all": lambda has, wanted: all(item in has for item in wanted),
}


def has_moment(op: str, has: datetime | None, value: Any) -> bool:
    if has is None:
        return op == "ne"
    if op == "between":
        return has_moment("gte", has, value[0]) and has_moment("lte", has, value[1])
    first, last = span(value)
    return {
        "eq": first <= has <= last, "ne": not first <= has <= last, "lt": has < first, "gte": has >= first,
        "gt": has > last, "lte": has <= last,
    }[op]  # fmt: skip


def span(value: Any) -> tuple[datetime, datetime]:
    """The first and the last moment that are meant."""
    if isinstance(value, dict):
        at = NOW + timedelta(days=value.get("days", 0), hours=value.get("hours", 0))
        return at, at
    if "T" in value:
        at = datetime.fromisoformat(value)
        return at, at
    today = NOW.astimezone(ZURICH).date()
    day = {"today": today, "yesterday": today - timedelta(1), "tomorrow": today + timedelta(1)}.get(value)
    day = day or datetime.fromisoformat(value).date()
    first = datetime(day.year, day.month, day.day, tzinfo=ZURICH)
    return first, first + timedelta(days=1) - timedelta(microseconds=1)


# Filters of all sorts.


def conditions(world: World) -> st.SearchStrategy[dict[str, Any]]:
    people = ["me", *(world.user_ids[name] for name in ("alice", "bob", "carol"))]
    ids = {
        "status_id": list(world.statuses.values()), "column_id": list(world.columns.values()),
        "project_id": [world.project_id, str(UUID(int=7))], "parent_id": world.tasks[:3], "sprint_id": [str(UUID(int=7))], "id": world.tasks[:3],
        "labels": [str(UUID(int=7)), str(UUID(int=8))],
    }  # fmt: skip
    days = ["today", "yesterday", "tomorrow", "2026-11-28", "2026-12-06"]
    moments = st.sampled_from([
        *days, *(at.isoformat() for at in MOMENTS), {"days": 7}, {"days": -1, "hours": 3}, {"hours": 13},
    ])  # fmt: skip
    values: dict[str, Any] = {
        "text": st.sampled_from([*WORDS, "KIT-1003"]), "search": st.sampled_from([*WORDS[:5], "e", "N"]),
        "person": st.sampled_from(people), "people": st.sampled_from(people), "texts": st.sampled_from(WORDS[:5]),
        "number": st.sampled_from([0, 30, 29.5, 60, 1003]), "moment": moments, "boolean": st.booleans(),
    }  # fmt: skip

    def of(name: str) -> st.SearchStrategy[dict[str, Any]]:
        known = FIELDS[name]
        one: Any = st.sampled_from(known.options) if known.options else values.get(known.kind)
        one = st.sampled_from(ids[name]) if known.kind in ("id", "ids") else one
        return st.sampled_from(OPS[known.kind]).flatmap(lambda op: st.fixed_dictionaries(
            {"field": st.just(name), "op": st.just(op), "value": value_of(op, one)}
        ))  # fmt: skip

    return st.sampled_from([*FIELDS]).flatmap(of)


def value_of(op: str, one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    if op == "is_empty":
        return st.sampled_from([None, True, False])
    if op == "between":
        return st.lists(one, min_size=2, max_size=2)
    return st.lists(one, min_size=1, max_size=3) if op in ("in", "not_in", "has_any", "has_all") else one


def filters(world: World) -> st.SearchStrategy[dict[str, Any]]:
    def joined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(inner, min_size=1, max_size=3)
        return st.one_of(
            st.fixed_dictionaries({"and": several}), st.fixed_dictionaries({"or": several}),
            st.fixed_dictionaries({"not": inner}),
        )  # fmt: skip

    inside = conditions(world)
    return st.one_of(inside, joined(inside), joined(joined(inside)), joined(joined(joined(inside))))


@bounded
@given(data=st.data())
async def test_sql_finds_what_python_finds(
    tasks: tuple[World, list[dict[str, Any]]], data: st.DataObject
) -> None:
    world, rows = tasks
    me = UUID(world.user_ids["bob"])
    wanted = data.draw(filters(world))
    clause = compile_filter(Filter.model_validate(wanted), me=me, now=NOW, zone=ZURICH)
    async with world.node.db.transaction(UUID(world.tenant_id)) as session:
        found = await session.many(
            "tasks_matching", project_id=UUID(world.project_id), task_ids=[row["id"] for row in rows], where=clause
        )  # fmt: skip
    assert {row["id"] for row in found} == {row["id"] for row in rows if holds(wanted, row, me)}


@bounded
@given(
    text=st.text(min_size=1, max_size=20).map(lambda text: f"zq'{text}"),
    op=st.sampled_from([op for ops in OPS.values() for op in ops]),
    name=st.sampled_from([*FIELDS, "fields.x", "zq' OR true --"]),
    listed=st.booleans(),
)
def test_no_text_of_a_caller_is_in_the_sql(text: str, op: str, name: str, listed: bool) -> None:
    try:
        wanted = Filter.model_validate({"field": name, "op": op, "value": [text, text] if listed else text})
        clause = compile_filter(wanted, me=UUID(int=1), now=NOW)
    except (ValidationFailed, ValueError):
        return
    assert "zq" not in clause.sql
    assert any("zq" in str(value) for value in clause.values)


@pytest.mark.parametrize(
    ("wanted", "at"),
    [
        ({"field": "colour", "op": "eq", "value": 1}, "filter.field"),
        ({"field": "fields.size", "op": "eq", "value": 1}, "filter.field"),
        ({"field": "title", "op": "lt", "value": "a"}, "filter.op"),
        ({"and": [{"field": "open", "op": "eq", "value": True}, {"field": "open", "op": "eq", "value": 1}]}, "filter.and.1.value"),
        ({"not": {"field": "priority", "op": "in", "value": ["low", "none"]}}, "filter.not.value"),
        ({"field": "due_at", "op": "lt", "value": "soon"}, "filter.value"),
        ({"field": "due_at", "op": "lt", "value": "2026-11-29T10:00:00"}, "filter.value"),
        ({"field": "due_at", "op": "between", "value": ["today"]}, "filter.value"),
        ({"field": "assignees", "op": "has_any", "value": ["you"]}, "filter.value"),
        ({"field": "tags", "op": "has_any", "value": []}, "filter.value"),
        ({"field": "number", "op": "eq", "value": True}, "filter.value"),
        ({"field": "due_at", "op": "is_empty", "value": 0}, "filter.value"),
        ({"and": []}, "filter.and"),
        ({"op": "eq"}, "filter"),
        ({"and": [{"field": "open", "op": "eq", "value": True}], "field": "open", "op": "eq"}, "filter"),
        ({"and": [{"field": "open", "op": "eq", "value": True}] * 51}, "filter.and"),
        ({"and": [{"or": [{"field": "open", "op": "eq", "value": True}] * 26}] * 2}, "filter"),
        ({"not": {"not": {"not": {"not": {"not": {"field": "open", "op": "eq", "value": True}}}}}}, "filter"),
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_told_where(tasks: tuple[World, Any], wanted: Any, at: str) -> None:
    world, _ = tasks
    reply = await world.person("alice").rest(
        "POST", f"/projects/{world.project_id}/tasks/find", json={"filter": wanted}
    )
    assert (reply.status, list(reply.error.field_errors)) == (422, [at]), reply


ORDERS: Final = [
    [],
    [{"field": "number", "order": "desc"}],
    [{"field": "priority", "order": "desc"}, {"field": "due_at"}],
    [{"field": "due_at", "order": "desc"}, {"field": "title"}],
    [{"field": "estimate_minutes"}, {"field": "status_id"}, {"field": "assignees", "order": "desc"}],
    [{"field": "open"}, {"field": "comment_count"}, {"field": "created_at", "order": "desc"}],
]


@pytest.mark.parametrize("sort", ORDERS)
async def test_pages_follow_any_order(
    tasks: tuple[World, list[dict[str, Any]]], sort: list[dict[str, str]]
) -> None:
    world, rows = tasks
    async with world.sql() as db:
        ranks = dict(await db.fetch("SELECT id, position FROM statuses"))
        names = dict(await db.fetch("SELECT id, name FROM users"))
    given: dict[str, Callable[[dict[str, Any]], Any]] = {
        "priority": lambda row: FIELDS["priority"].options.index(row["priority"]),
        "status_id": lambda row: ranks[row["status_id"]],
        "assignees": lambda row: names[row["assignee_ids"][0]] if row["assignee_ids"] else None,
        "title": lambda row: row["title"].lower(),
    }
    expected = sorted(rows, key=lambda row: row["id"])
    for key in reversed(sort or [{"field": "number"}]):
        value = given.get(key["field"], lambda row, name=key["field"]: row[name])
        filled = [row for row in expected if value(row) is not None]
        filled.sort(key=value, reverse=key.get("order") == "desc")
        if key.get("order") == "desc":  # ties stay in the order they had
            filled = sorted([row for row in expected if value(row) is not None], key=value, reverse=True)
        expected = filled + [row for row in expected if value(row) is None]
    alice, found, cursor = world.person("alice"), list[str](), None
    while True:
        page = await alice.send(
            "tasks.find", room=world.project, project_id=world.project_id, sort=sort, limit=13, cursor=cursor
        )
        assert page.success, page
        found += [task.id for task in page.data.tasks]
        cursor = page.meta.pagination.next
        if cursor is None:
            break
    assert found == [str(row["id"]) for row in expected]


async def test_a_cursor_of_another_order_is_refused_or_harmless(tasks: tuple[World, Any]) -> None:
    world, _ = tasks
    alice = world.person("alice")
    page = await alice.send("tasks.find", project_id=world.project_id, limit=1, sort=[{"field": "title"}])
    cursor = page.meta.pagination.next
    other = await alice.send(
        "tasks.find", project_id=world.project_id, sort=[{"field": "due_at"}], cursor=cursor
    )
    assert other.error.field_errors == {"cursor": ["is not a cursor of this list"]}
    other = await alice.send(
        "tasks.find", project_id=world.project_id, sort=[{"field": "all_day"}], cursor=cursor
    )
    assert other.error.field_errors == {"cursor": ["is not a cursor of this list"]}


SORTED: Final = sorted(name for name, known in FIELDS.items() if known.rank or known.kind in (
    "text", "choice", "number", "moment", "boolean",
))  # fmt: skip


async def test_no_cursor_whatever_stands_in_it_breaks_anything(tasks: tuple[World, Any]) -> None:
    """Those of every order, for every other one, and what somebody has made up."""
    world, _ = tasks
    alice = await world.person("alice").connect()

    async def ask(name: str, cursor: str | None = None) -> Any:
        sort = [{"field": name}]
        return await alice.post(
            "tasks.find", {"project_id": world.project_id, "sort": sort, "limit": 1, "cursor": cursor}
        )

    first = [await (await ask(name)) for name in SORTED]
    cursors = {page.meta.pagination.next for page in first}
    cursors |= {encode_cursor(part, LAST_ID) for part in (None, 0, -1, 2**63, "", "x", "NaN", "-1e999")}
    for text in (
        "null",
        "{}",
        "[]",
        "[null]",
        "1",
        '"ab"',
        '[[],"x"]',
        '[{"a":1},null]',
        '{"a":1,"b":2}',
        "[1e400,2]",
        "[true,false]",
    ):
        cursors.add(base64.urlsafe_b64encode(text.encode()).decode().rstrip("="))
    for name in SORTED:
        for future in [await ask(name, cursor) for cursor in cursors]:
            reply = await future
            assert reply.success or reply.error.field_errors == {
                "cursor": ["is not a cursor of this list"]
            }, reply


async def test_every_cursor_of_ours_is_taken_back(world: World, alice: Person) -> None:
    """Long titles of any letters, numbers of any smallness, and what a field that is a day now had as a text."""
    odd = {"key": "odd", "name": "Odd", "applies_to": "task"}
    size = {"key": "size", "name": "Size", "type": "number", "applies_to": "task"}

    async def define(kind: str) -> None:
        defined = await alice.send(
            "tenant.update_settings", room=world.tenant, custom_fields=[{**odd, "type": kind}, size]
        )
        assert defined.success, defined

    await define("text")
    for title in ("\U00010348" * 400, "\x01" * 400):
        changes = {"title": title, "description": title, "fields": {"odd": "x" * 2_000, "size": 1.25e-300}}
        for task_id in world.tasks[:2]:
            assert (await alice.send("task.update", task_id=task_id, changes=changes)).success
        await alice.send("tenant.update_settings", room=world.tenant, custom_fields=[size])
        await define("date")
        ask: dict[str, Any] = {
            "project_id": world.project_id, "limit": 1, "filter": {"field": "title", "op": "eq", "value": title},
            "sort": [{"field": one} for one in ("title", "fields.odd", "fields.size", "description", "number")],
        }  # fmt: skip
        first = await alice.send("tasks.find", **ask)
        second = await alice.send("tasks.find", **ask, cursor=first.meta.pagination.next)
        assert [task.id for page in (first, second) for task in page.data.tasks] == list(world.tasks[:2])
        assert second.meta.pagination.next is None
        await alice.send("tenant.update_settings", room=world.tenant, custom_fields=[size])
        await define("text")


@pytest.mark.parametrize("by", ["status_id", "priority", "assignees", "tags", "open", "parent_id"])
async def test_counts_by_a_field(tasks: tuple[World, list[dict[str, Any]]], by: str) -> None:
    world, rows = tasks
    wanted = {"field": "estimate_minutes", "op": "is_empty", "value": False}
    reply = await world.person("alice").send(
        "tasks.count", project_id=world.project_id, filter=wanted, group_by=by
    )
    some = [row for row in rows if row["estimate_minutes"] is not None]
    assert (reply.data.count, reply.data.more) == (len(some), False)
    counts: dict[str | None, int] = {}
    for row in some:
        for value in (row[by] or [None]) if isinstance(row[by], list) else [row[by]]:
            name = None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            counts[name] = counts.get(name, 0) + 1
    assert {group.value: group.count for group in reply.data.groups} == counts
    assert [group.count for group in reply.data.groups] == sorted(counts.values(), reverse=True)


async def test_what_has_many_values_is_not_counted_by(tasks: tuple[World, Any]) -> None:
    world, _ = tasks
    for name in ("title", "due_at", "nonsense"):
        reply = await world.person("alice").send("tasks.count", project_id=world.project_id, group_by=name)
        assert list(reply.error.field_errors) == ["group_by"]


async def test_everywhere_is_where_one_may_see(world: World, alice: Person, bob: Person) -> None:
    """A guest finds what is his own project's; who sees every project finds the other one's as well."""
    gus = world.person("gus")
    other = (await alice.send("project.create", name="Bathroom")).data.project.id
    hidden = (await alice.send("task.create", room=f"project:{other}", title="Hidden tiles")).data.task.id
    wanted = {"field": "title", "op": "contains", "value": "hidden TILES"}
    ask = {"room": world.tenant, "filter": wanted}
    assert [task.id for task in (await alice.send("tasks.find_everywhere", **ask)).data.tasks] == [hidden]
    assert (await gus.send("tasks.find_everywhere", **ask)).data.tasks == []
    assert (await gus.send("tasks.count_everywhere", **ask)).data.count == 0
    narrow = await alice.send("tasks.find_everywhere", **ask, project_ids=[world.project_id])
    assert narrow.data.tasks == []
    assert (await alice.send("project.delete", project_id=other)).success
    assert (await alice.send("tasks.find_everywhere", **ask)).data.tasks == [], "its project is in the trash"


async def test_mine_is_whose_who_asks(world: World, alice: Person, bob: Person) -> None:
    for task_id, name in zip(world.tasks, ("alice", "bob"), strict=False):
        given = {"assignee_ids": [world.user_ids[name]]}
        assert (await alice.send("task.update", task_id=task_id, changes=given)).success
    wanted = {
        "and": [
            {"field": "assignees", "op": "has_any", "value": ["me"]},
            {"field": "open", "op": "eq", "value": True},
        ]
    }
    for person, at in ((alice, 0), (bob, 1)):
        found = await person.send("tasks.find_everywhere", room=world.tenant, filter=wanted)
        assert [task.id for task in found.data.tasks] == [world.tasks[at]]


def test_categories_are_those_of_statuses() -> None:
    assert FIELDS["status_category"].options == get_args(Category)


async def test_a_filter_leaves_nothing_prepared(world: World) -> None:
    """What every command runs is not pushed out of the connection by filters."""
    tenant = UUID(world.tenant_id)
    async with world.node.db.transaction(tenant) as session:
        for op in ("lt", "gt", "lte", "gte"):
            wanted = Filter.model_validate({"field": "due_at", "op": op, "value": "today"})
            clause = compile_filter(wanted, me=UUID(int=1), now=NOW)
            await session.many("tasks_matching", project_id=UUID(world.project_id), task_ids=[], where=clause)
        kept = await session.connection.fetch("SELECT statement FROM pg_prepared_statements")
    assert [row["statement"] for row in kept if "t.due_at" in row["statement"]] == []

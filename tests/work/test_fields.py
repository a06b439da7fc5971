"""Custom fields: values by type, formulas, fields of a project beside the tenant's, and what a field leaves behind."""

from datetime import date
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.formulas import Call, Name, Node, Number, Truth, evaluate, names, parse, type_of
from handlers.identity.custom_fields import Definition
from handlers.identity.field_values import field_set
from tests.world import Board, Person, World

TENANTS: Final[list[dict[str, Any]]] = [
    {"key": "size", "name": "Size", "type": "select", "applies_to": "task", "options": ["S", "M", "L"]},
    {"key": "hours", "name": "Hours", "type": "number", "applies_to": "task"},
    {"key": "rate", "name": "Rate", "type": "money", "applies_to": "task", "currency": "CHF"},
    {"key": "cost", "name": "Cost", "type": "formula", "applies_to": "task", "formula": "round(hours * rate, 2)"},
    {"key": "from", "name": "From", "type": "date", "applies_to": "task"},
    {"key": "until", "name": "Until", "type": "date", "applies_to": "task"},
    {"key": "nights", "name": "Nights", "type": "formula", "applies_to": "task", "formula": "days(from, until)"},
    {"key": "site", "name": "Site", "type": "url", "applies_to": "task"},
    {"key": "paid", "name": "Paid", "type": "checkbox", "applies_to": "task"},
    {"key": "owner", "name": "Owner", "type": "person", "applies_to": "task"},
    {"key": "kinds", "name": "Kinds", "type": "multi_select", "applies_to": "task", "options": ["a", "b", "c"]},
    {"key": "note", "name": "Note", "type": "text", "applies_to": "task"},
    {"key": "phase", "name": "Phase", "type": "text", "applies_to": "project"},
]  # fmt: skip


async def _define(alice: Person, world: World, fields: list[dict[str, Any]] | None = None) -> None:
    reply = await alice.send("tenant.update_settings", room=world.tenant, custom_fields=fields or TENANTS)
    assert reply.success, reply


async def _set(person: Person, task_id: str, **values: Any) -> Any:
    return await person.send("task.update", task_id=task_id, changes={"fields": values})


async def test_values_are_kept_and_formulas_follow(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    await _define(alice, world)
    await bob.join(board.room)
    values = {
        "size": "M",
        "hours": 1.5,
        "rate": "80.10",
        "paid": False,
        "kinds": ["b", "a", "b"],
        "site": "https://a.example/x",
    }
    made = await alice.send("task.create", room=board.room, title="Tiles", fields=values)
    expected = {**values, "kinds": ["b", "a"], "cost": 120.15}
    assert made.data.task.fields == expected
    changed = await _set(alice, made.data.task.id, hours=2, note="  two  ", kinds=None)
    expected = {**expected, "hours": 2, "cost": 160.2, "note": "  two  "}
    del expected["kinds"]
    heard = await bob.hears("task.updated")
    assert heard.data.task.fields == changed.data.task.fields == expected
    assert heard.data.was.fields["kinds"] == ["b", "a"]
    kept = await bob.send("task.get", task_id=made.data.task.id)
    assert kept.data.task.fields == expected
    gone = await _set(alice, made.data.task.id, rate=None)
    assert "cost" not in gone.data.task.fields, "what a formula needs is not there"
    dates = await _set(alice, made.data.task.id, **{"from": "2026-12-24", "until": "2027-01-02"})
    assert dates.data.task.fields.nights == 9


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", "XL"), ("size", ["M"]), ("hours", "2"), ("hours", True), ("hours", 10**16), ("rate", 80.1),
        ("rate", "80.12345"), ("rate", "1e5"), ("rate", "NaN"), ("from", "2026-02-30"), ("from", "1899-12-31"),
        ("from", "24.12.2026"), ("site", "javascript:alert(1)"), ("site", "https://"), ("paid", "yes"), ("paid", 1),
        ("owner", "bob"), ("kinds", "a"), ("kinds", ["a", "d"]), ("note", 5), ("cost", 5), ("colour", "red"),
        ("phase", "is one of projects"),
    ],
)  # fmt: skip
async def test_what_a_field_cannot_be_is_told_by_its_key(shared: World, key: str, value: Any) -> None:
    alice = shared.person("alice")
    await _define(alice, shared)
    reply = await _set(alice, shared.tasks[0], **{key: value})
    assert list(reply.error.field_errors) == [f"changes.fields.{key}"], reply
    created = await alice.send("task.create", room=shared.project, title="x", fields={key: value})
    assert list(created.error.field_errors) == [f"fields.{key}"]
    many = await alice.send(
        "tasks.update",
        project_id=shared.project_id,
        task_ids=shared.tasks[:2],
        changes={"fields": {key: value}},
    )
    assert list(many.error.field_errors) == [f"changes.fields.{key}"]


@pytest.mark.parametrize("value", ["a\0b", "x" * 2001, {"a": 1}, [[1]], ["a"] * 101])
async def test_what_nothing_can_hold_is_refused(shared: World, value: Any) -> None:
    reply = await _set(shared.person("alice"), shared.tasks[0], note=value)
    assert reply.error.code == "VALIDATION_ERROR"


async def test_a_person_must_see_the_project(world: World, alice: Person, bob: Person, board: Board) -> None:
    await _define(alice, world)
    assert (await _set(alice, board.first, owner=world.user_ids["bob"])).success
    stranger = await _set(alice, board.first, owner=world.user_ids["mallory"])
    assert list(stranger.error.field_errors) == ["changes.fields.owner"]


async def test_what_is_required_is_there_from_the_start(world: World, alice: Person, board: Board) -> None:
    required = [{**field, "required": field["key"] == "size"} for field in TENANTS]
    await _define(alice, world, required)
    bare = await alice.send("task.create", room=board.room, title="x")
    assert bare.error.field_errors == {"fields.size": ["is required"]}
    made = await alice.send("task.create", room=board.room, title="x", fields={"size": "S"})
    taken = await _set(alice, made.data.task.id, size=None)
    assert taken.error.field_errors == {"changes.fields.size": ["is required"]}
    assert (await _set(alice, board.first, note="an older task may go without")).success


async def test_many_at_once(world: World, alice: Person, bob: Person, board: Board) -> None:
    await _define(alice, world)
    await _set(alice, board.first, hours=2, note="stays")
    await bob.join(board.room)
    reply = await alice.send(
        "tasks.update",
        project_id=board.project,
        task_ids=[board.first, board.second],
        changes={"fields": {"rate": "10"}},
    )
    assert reply.data.done == 2
    heard = await bob.hears("tasks.updated")
    told = {task.id: task.fields for task in heard.data.tasks}
    assert told == {
        board.first: {"hours": 2, "note": "stays", "rate": "10", "cost": 20},
        board.second: {"rate": "10"},
    }
    again = await alice.send(
        "tasks.update",
        project_id=board.project,
        task_ids=[board.first, board.second],
        changes={"fields": {"rate": "10"}},
    )
    assert (again.data.done, again.data.unchanged) == (0, 2)


async def test_a_project_has_fields_of_its_own(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    await _define(alice, world)
    await bob.join(board.room)
    made = await alice.send(
        "field.create",
        project_id=board.project,
        key="room",
        name="Room",
        type="select",
        options=["Bath", "Hall"],
    )
    field = made.data.field
    assert (await bob.hears("field.created")).data.field == field
    assert (await bob.snapshot(board.room)).snapshot.fields == [field]
    assert (await _set(alice, board.first, room="Bath")).success
    listed = (await bob.send("field.list", project_id=board.project)).data.fields
    assert {one.key: one.id for one in listed}["room"] == field.id
    assert {one.key: one.gives for one in listed}["cost"] == "number"
    other = (await alice.send("project.create", name="Elsewhere")).data.project.id
    foreign = await alice.send("task.create", room=f"project:{other}", title="x", fields={"room": "Bath"})
    assert list(foreign.error.field_errors) == ["fields.room"]
    twice = await alice.send("field.create", project_id=board.project, key="room", name="Room", type="text")
    assert (twice.error.code, list(twice.error.field_errors)) == ("CONFLICT", ["key"])
    fewer = await alice.send("field.update", project_id=board.project, field_id=field.id, options=["Hall"])
    assert fewer.data.field.version == 2
    assert (await bob.send("task.get", task_id=board.first)).data.task.fields.room == "Bath", (
        "it keeps what it has"
    )
    text = await alice.send("field.update", project_id=board.project, field_id=field.id, currency="CHF")
    assert text.error.code == "VALIDATION_ERROR"


async def test_what_is_gone_comes_back_with_its_key(world: World, alice: Person, board: Board) -> None:
    ask = {"project_id": board.project, "key": "storey", "name": "Storey", "type": "number"}
    field = (await alice.send("field.create", **ask)).data.field
    await _set(alice, board.first, storey=3)
    assert (await alice.send("field.delete", project_id=board.project, field_id=field.id)).success
    by_it = {"filter": {"field": "fields.storey", "op": "eq", "value": 3}}
    assert list((await alice.send("tasks.find", project_id=board.project, **by_it)).error.field_errors) == [
        "filter.field"
    ]
    assert list((await _set(alice, board.first, storey=4)).error.field_errors) == ["changes.fields.storey"]
    other = await alice.send("field.create", **{**ask, "type": "text"})
    assert other.error.details == {"type": "number"}
    back = await alice.send("field.create", **{**ask, "name": "Floor"})
    assert (back.data.field.id, back.data.field.name) == (field.id, "Floor")
    found = await alice.send("tasks.find", project_id=board.project, **by_it)
    assert [task.id for task in found.data.tasks] == [board.first]


async def test_formulas_are_checked_where_they_are_defined(world: World, alice: Person, board: Board) -> None:
    await _define(alice, world)
    ask = {"project_id": board.project, "name": "F", "type": "formula"}
    for formula, said in (
        ("hours * colour", "colour"), ("hours + size", "size"), ("hours +", "needs a value"), ("f1 + 1", "circle"),
        ("days(hours, from)", "days does not take"), ("min(hours)", "min does not take"), ("import os", "does not go on"), ("__class__", "cannot be read"),
    ):  # fmt: skip
        reply = await alice.send("field.create", **ask, key="f1", formula=formula)
        assert said in str(reply.error.field_errors["formula"]), reply
    assert (await alice.send("field.create", **ask, key="f1", formula="cost * 2")).success
    second = await alice.send("field.create", **ask, key="f2", formula="if(paid, f1, 0)")
    f1 = next(
        one
        for one in (await alice.send("field.list", project_id=board.project)).data.fields
        if one.key == "f1"
    )
    circle = await alice.send("field.update", project_id=board.project, field_id=f1.id, formula="f2 + 1")
    assert "f1 needs f2 needs f1" in str(circle.error.field_errors["formula"])
    needed = await alice.send("field.delete", project_id=board.project, field_id=f1.id)
    assert needed.error.details == {"fields": ["f2"]}
    values = await _set(alice, board.first, hours=2, rate="3.5", paid=True)
    assert values.data.task.fields == {"hours": 2, "rate": "3.5", "paid": True, "cost": 7, "f1": 14, "f2": 14}
    # Without the field that it names, the tenant's formula gives nothing any more, and the ones behind it neither.
    await _define(alice, world, [field for field in TENANTS if field["key"] != "cost"])
    broken = await _set(alice, board.first, hours=3)
    assert {"f1", "f2"}.isdisjoint(broken.data.task.fields)
    assert (await alice.send("field.delete", project_id=board.project, field_id=second.data.field.id)).success


async def test_a_new_formula_is_computed_for_what_is_there(
    world: World, alice: Person, bob: Person, board: Board
) -> None:
    await _define(alice, world)
    await _set(alice, board.first, hours=2)
    ask = {
        "project_id": board.project,
        "key": "days",
        "name": "Days",
        "type": "formula",
        "formula": "hours / 8",
    }
    assert (await alice.send("field.create", **ask)).success
    await bob.join(board.room)
    reply = await alice.send("field.compute", project_id=board.project)
    assert reply.data == {"computed": 1, "after_number": None}
    heard = await bob.hears("field.computed")
    assert [(task.id, task.fields) for task in heard.data.tasks] == [
        (board.first, {"hours": 2, "days": 0.25})
    ]
    again = await alice.send("field.compute", project_id=board.project)
    assert again.data.computed == 0
    await bob.hears_nothing("field.computed")


async def test_money_goes_back_to_the_currency_of_the_tenant(alice: Person, board: Board) -> None:
    ask = {"project_id": board.project, "key": "price", "name": "Price", "type": "money", "currency": "CHF"}
    field = (await alice.send("field.create", **ask)).data.field
    which = {"project_id": board.project, "field_id": field.id}
    assert (await alice.send("field.update", **which, name="Cost")).data.field.currency == "CHF"
    assert (await alice.send("field.update", **which, currency=None)).data.field.currency is None


async def test_one_event_tells_of_no_more_than_it_may(
    world: World, alice: Person, bob: Person, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _define(alice, world)
    for task_id in board.tasks[:3]:
        await _set(alice, task_id, hours=2, note="x" * 100)
    ask = {"key": "days", "name": "Days", "type": "formula", "formula": "hours / 8"}
    assert (await alice.send("field.create", project_id=board.project, **ask)).success
    await bob.join(board.room)
    monkeypatch.setattr("handlers.work.projects.fields.MOST_BYTES", 300)
    reply = await alice.send("field.compute", project_id=board.project)
    computed = [reply.data.computed]
    while reply.data.after_number is not None:
        rest = {"project_id": board.project, "after_number": reply.data.after_number}
        reply = await alice.send("field.compute", **rest)
        computed.append(reply.data.computed)
    assert computed == [2, 1]
    heard = [task.id for _ in computed for task in (await bob.hears("field.computed")).data.tasks]
    assert sorted(heard) == sorted(board.tasks[:3])


async def test_projects_and_the_tenant_have_values_too(world: World, alice: Person, bob: Person) -> None:
    fields: list[dict[str, Any]] = [
        {"key": "phase", "name": "Phase", "type": "select", "options": ["A", "B"], "applies_to": "project", "required": True},
        {"key": "boss", "name": "Boss", "type": "person", "applies_to": "project"},
        {"key": "vat", "name": "VAT", "type": "number", "applies_to": "tenant"},
        {"key": "twice", "name": "Twice", "type": "formula", "formula": "vat * 2", "applies_to": "tenant"},
    ]  # fmt: skip
    await _define(alice, world, fields)
    await bob.join(world.tenant)
    bare = await alice.send("project.create", name="Bathroom")
    assert bare.error.field_errors == {"fields.phase": ["is required"]}
    made = await alice.send(
        "project.create", name="Bathroom", fields={"phase": "A", "boss": world.user_ids["bob"]}
    )
    assert made.data.project.fields == {"phase": "A", "boss": world.user_ids["bob"]}
    project_id = made.data.project.id
    changed = await alice.send("project.update", project_id=project_id, fields={"boss": None, "phase": "B"})
    heard = await bob.hears("project.updated")
    assert heard.data.project.fields == changed.data.project.fields == {"phase": "B"}
    assert heard.data.was.fields["phase"] == "A"
    stranger = await alice.send(
        "project.update", project_id=project_id, fields={"boss": world.user_ids["mallory"]}
    )
    assert list(stranger.error.field_errors) == ["fields.boss"]
    taxed = await alice.send("tenant.update", room=world.tenant, fields={"vat": 8.1})
    assert taxed.data.tenant.fields == {"vat": 8.1, "twice": 16.2}
    assert (await bob.hears("tenant.updated", seq=taxed.meta.seq)).data.was.fields == {}
    wrong = await alice.send("tenant.update", room=world.tenant, fields={"phase": "A"})
    assert list(wrong.error.field_errors) == ["fields.phase"]


FOUND: Final = [
    ({"field": "fields.size", "op": "in", "value": ["M", "L"]}, "ab"),
    ({"field": "fields.size", "op": "is_empty"}, "c"),
    ({"field": "fields.hours", "op": "between", "value": [2, 10]}, "b"),
    ({"field": "fields.cost", "op": "gt", "value": 99.5}, "a"),
    ({"field": "fields.rate", "op": "eq", "value": 100}, "a"),
    ({"field": "fields.from", "op": "lte", "value": "2026-12-24"}, "a"),
    ({"field": "fields.paid", "op": "ne", "value": True}, "bc"),
    ({"field": "fields.owner", "op": "eq", "value": "me"}, "a"),
    ({"field": "fields.kinds", "op": "has_all", "value": ["a", "b"]}, "b"),
    ({"not": {"field": "fields.kinds", "op": "has_any", "value": ["b"]}}, "ac"),
    ({"field": "fields.note", "op": "contains", "value": "GREEN"}, "b"),
    ({"field": "fields.site", "op": "is_empty", "value": False}, "c"),
]


async def test_filters_know_them_by_their_types(world: World, alice: Person, board: Board) -> None:
    await _define(alice, world)
    values = {
        "a": {"size": "L", "hours": 1, "rate": "100.00", "from": "2026-12-24", "paid": True, "owner": world.user_ids["alice"]},
        "b": {"size": "M", "hours": 2.5, "kinds": ["a", "b"], "note": "green walls", "from": "2027-01-01"},
        "c": {"site": "http://a.example"},
    }  # fmt: skip
    ids: dict[str, str] = {}
    for name, given_values in values.items():
        made = await alice.send(
            "task.create", room=board.room, title=name, tags=["made"], fields=given_values
        )
        ids[made.data.task.id] = name
    made_here = {"field": "tags", "op": "has_any", "value": ["made"]}
    for wanted, expected in FOUND:
        found = await alice.send("tasks.find", project_id=board.project, filter={"and": [made_here, wanted]})
        assert found.success, (wanted, found)
        assert "".join(ids[task.id] for task in found.data.tasks) == expected, wanted
    for sort, expected in (
        ("size", "bac"),
        ("hours", "abc"),
        ("from", "abc"),
        ("note", "bac"),
        ("paid", "abc"),
    ):
        found = await alice.send(
            "tasks.find_everywhere",
            room=world.tenant,
            filter=made_here,
            sort=[{"field": f"fields.{sort}"}, {"field": "number"}],
        )
        assert "".join(ids[task.id] for task in found.data.tasks) == expected, sort
    counted = await alice.send(
        "tasks.count", project_id=board.project, filter=made_here, group_by="fields.size"
    )
    assert {group.value: group.count for group in counted.data.groups} == {"L": 1, "M": 1, None: 1}
    # A value of another type, left of a field that was replaced, is as good as none.
    await _define(alice, world, [field for field in TENANTS if field["key"] != "size"])
    await _define(alice, world, [{"key": "size", "name": "Size", "type": "number", "applies_to": "task"}])
    found = await alice.send(
        "tasks.find",
        project_id=board.project,
        sort=[{"field": "fields.size"}],
        filter={"and": [made_here, {"field": "fields.size", "op": "is_empty"}]},
    )
    assert len(found.data.tasks) == 3


# Formulas by themselves.


def trees() -> st.SearchStrategy[Node]:
    leaves = st.one_of(
        st.decimals(0, 999, places=2).map(Number), st.sampled_from("ab").map(Name)
    )  # fmt: skip
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(lambda sign, a, b: Call(sign, (a, b)), st.sampled_from("+-*/"), inner, inner),
            st.builds(lambda a, b, c: Call("if", (Call("<", (a, b)), b, c)), inner, inner, inner),
            st.builds(lambda name, a, b: Call(name, (a, b)), st.sampled_from(["min", "max"]), inner, inner),
        ),
        max_leaves=8,
    )


def written(tree: Node) -> str:
    if isinstance(tree, Number):
        return f"{tree.value:f}"
    if isinstance(tree, Truth):
        return str(tree.value).lower()
    if isinstance(tree, Name):
        return tree.key
    parts = [written(part) for part in tree.parts]
    if tree.name.isalpha():
        return f"{tree.name}({', '.join(parts)})"
    return f"({parts[0]} {tree.name} {parts[1]})"


@settings(max_examples=200, deadline=None, derandomize=True)
@given(tree=trees(), a=st.integers(-5, 5), b=st.integers(-5, 5))
def test_a_formula_means_what_is_written(tree: Node, a: int, b: int) -> None:
    parsed = parse(written(tree)) if len(written(tree)) <= 500 else tree
    assert parsed == tree
    assert type_of(parsed, {"a": "number", "b": "number"}) == "number"
    assert names(parsed) <= {"a", "b"}
    found = evaluate(parsed, {"a": Decimal(a), "b": Decimal(b)})
    try:
        expected = _python(tree, {"a": a, "b": b})
    except ZeroDivisionError:
        assert found is None
        return
    assert found is not None
    assert abs(float(found) - expected) <= 1e-5 * max(1, abs(expected))  # type: ignore[arg-type]


def _python(tree: Node, values: dict[str, int]) -> float:
    if isinstance(tree, Number | Truth):
        return float(tree.value)
    if isinstance(tree, Name):
        return values[tree.key]
    if tree.name == "if":
        first = tree.parts[0]
        assert isinstance(first, Call)
        holds = _python(first.parts[0], values) < _python(first.parts[1], values)
        return _python(tree.parts[1 if holds else 2], values)
    a, b = (_python(part, values) for part in tree.parts)
    if tree.name in ("min", "max"):
        return min(a, b) if tree.name == "min" else max(a, b)
    return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b}[tree.name]()


WORDS: Final = [*"ab1+*/(),<=", "if", "if(", "min(", "max(", "round(", "days(", "true"]


def words() -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(WORDS), max_size=12).map("".join)


def calls() -> st.SearchStrategy[str]:
    """Every function with any number of any things."""
    things = st.lists(st.sampled_from(["a", "b", "if", "1"]), min_size=1, max_size=3).map(", ".join)
    return st.builds("{}({})".format, st.sampled_from(["if", "min", "max", "round", "days"]), things)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=st.text(max_size=40) | st.text(alphabet="ab1.+-*/(),<>=! if", max_size=40) | words() | calls())
def test_any_text_is_a_formula_or_is_refused(text: str) -> None:
    try:
        tree = parse(text)
        kind = type_of(tree, {"a": "number", "b": "boolean", "if": "date"})
    except ValueError:
        return
    assert kind in ("number", "boolean", "date")
    evaluate(tree, {"a": Decimal(1), "b": True, "if": date(2026, 12, 24)})


def test_a_broken_formula_breaks_those_alone_that_need_it() -> None:
    """A good one may stand before what it needs; and a long chain of them is no work."""
    chain = {f"c{n}": f"c{n + 1} + hours" for n in range(99)} | {"c99": "hours"}
    found = field_set([
        Definition(key="hours", name="Hours", type="number"),
        *(
            Definition(key=key, name=key, type="formula", formula=formula)
            for key, formula in {
                **chain, "bad": "gone + 1", "behind": "bad * 2", "odd": "min(hours)", "one": "two", "two": "one",
            }.items()
        ),
    ])  # fmt: skip
    assert set(found.computing.order) == set(chain)
    assert found.computed({"hours": 1})["c0"] == 100

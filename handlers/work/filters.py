"""Filters: one small language of conditions over everything that a task has, joined by and, or and not.

    {"and": [{"field": "priority", "op": "in", "value": ["high", "urgent"]},
             {"field": "assignees", "op": "has_any", "value": ["me"]},
             {"not": {"field": "due_at", "op": "is_empty"}}]}

A filter is compiled to SQL over `tasks AS t`. Its text is made of what stands in `FIELDS` and `OPS` alone; whatever the
caller has sent is bound as a value. A condition about an empty field does not hold, so `not` of it does: every task is
either inside or outside of a filter.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Final, Literal, NamedTuple, Self, TypeAlias, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from handlers.context import Tx
from handlers.errors import ValidationFailed
from handlers.identity.custom_fields import Definition
from handlers.identity.field_values import GREATEST, day
from handlers.registry import Payload, in_range, no_nul
from handlers.work.task_values import task_fields
from handlers.work.tasks import Priority, Type
from storage.statements import Clause

DEEPEST: Final = 5
"""How deep and, or and not may stand in one another, with the condition inside (count)."""
MOST_CONDITIONS: Final = 50
"""Conditions in one filter (count)."""
MOST_VALUES: Final = 100
"""Values of one condition (count)."""
MOST_DAYS: Final = 36_500
"""How far from now a relative moment may lie (days)."""

Op = Literal[
    "eq", "ne", "in", "not_in", "lt", "lte", "gt", "gte", "between", "contains", "is_empty", "has_any", "has_all"
]  # fmt: skip
Kind = Literal[
    "text", "search", "choice", "id", "person", "number", "day", "moment", "boolean", "ids", "people", "texts"
]  # fmt: skip

LISTS: Final = ("ids", "people", "texts")
"""Kinds of which a task has several."""
_EQUAL: Final = ("eq", "ne", "in", "not_in")
_ORDERED: Final = ("lt", "lte", "gt", "gte", "between")
_LISTED: Final = ("has_any", "has_all", "is_empty")
OPS: Final[dict[Kind, tuple[str, ...]]] = {
    "text": (*_EQUAL, "contains", "is_empty"),
    "search": ("contains",),
    "choice": (*_EQUAL, "is_empty"),
    "id": (*_EQUAL, "is_empty"),
    "person": (*_EQUAL, "is_empty"),
    "number": (*_EQUAL, *_ORDERED, "is_empty"),
    "day": (*_EQUAL, *_ORDERED, "is_empty"),
    "moment": ("eq", "ne", *_ORDERED, "is_empty"),
    "boolean": ("eq", "ne", "is_empty"),
    "ids": _LISTED,
    "people": _LISTED,
    "texts": _LISTED,
}
"""What may be asked of a field, by its kind."""
TYPES: Final[dict[Kind, str]] = {
    "text": "text", "search": "text", "choice": "text", "id": "uuid", "person": "uuid", "number": "numeric",
    "day": "text", "moment": "timestamptz", "boolean": "boolean", "ids": "uuid", "people": "uuid", "texts": "text",
}  # fmt: skip
"""The SQL type of one value, by kind. A day is its ISO text, which sorts as days do."""


@dataclass(frozen=True, slots=True)
class Known:
    """A field that filters know: its kind, and where a task has it, as SQL over `t`.

    `{key}` in it stands for the key of a custom field, `{now}` for the moment of asking; both are bound.
    """

    kind: Kind
    sql: str
    options: tuple[str, ...] = ()
    """What a choice may be, in its order. Tasks may still have an option of a custom field that is gone."""
    type: str = ""
    """The SQL type of its values, where that is not the one of its kind."""
    always: bool = False
    """Whether every task has it."""
    rank: str = ""
    """What lists are sorted by, as a text compared byte by byte, where that is not the field itself."""

    @property
    def sql_type(self) -> str:
        return self.type or TYPES[self.kind]


FIELDS: Final[dict[str, Known]] = {
    "id": Known("id", "t.id"),
    "project_id": Known(
        "id",
        "t.project_id",
        rank="(SELECT left(p.name, 100) FROM projects AS p WHERE p.tenant_id = t.tenant_id AND p.id = t.project_id)",
    ),
    "number": Known("number", "t.number", type="bigint", always=True),
    "key": Known("text", "t.key", always=True),
    "title": Known("text", "t.title", always=True),
    "description": Known("text", "t.description", always=True),
    "text": Known("search", "t.title || chr(10) || t.description"),
    "type": Known("choice", "t.type", get_args(Type), always=True),
    "priority": Known("choice", "t.priority", get_args(Priority), always=True),
    "column_id": Known(
        "id",
        "t.column_id",
        rank="(SELECT c.position FROM board_columns AS c WHERE c.tenant_id = t.tenant_id AND c.id = t.column_id)",
    ),
    "position": Known("text", "t.position", rank="t.position"),
    "status_id": Known(
        "id",
        "t.status_id",
        rank="(SELECT s.position FROM statuses AS s WHERE s.tenant_id = t.tenant_id AND s.id = t.status_id)",
    ),
    "status_category": Known(
        "choice",
        "(SELECT s.category FROM statuses AS s WHERE s.tenant_id = t.tenant_id AND s.id = t.status_id)",
        ("backlog", "todo", "in_progress", "blocked", "done", "cancelled"),
    ),
    "open": Known("boolean", "(t.completed_at IS NULL)", always=True),
    "parent_id": Known("id", "t.parent_id"),
    "sprint_id": Known("id", "t.sprint_id"),
    "assignees": Known(
        "people",
        "t.assignee_ids",
        rank="(SELECT left(u.name, 100) FROM users AS u WHERE u.id = t.assignee_ids[1])",
    ),
    "watchers": Known("people", "t.watcher_ids"),
    "tags": Known("texts", "t.tags"),
    "labels": Known("ids", "t.label_ids"),
    "start_at": Known("moment", "t.start_at"),
    "due_at": Known("moment", "t.due_at"),
    "completed_at": Known("moment", "t.completed_at"),
    "created_at": Known("moment", "t.created_at", always=True),
    "updated_at": Known("moment", "t.updated_at", always=True),
    "created_by": Known("person", "t.created_by"),
    "updated_by": Known("person", "t.updated_by"),
    "overdue": Known(
        "boolean", "(t.completed_at IS NULL AND t.due_at IS NOT NULL AND t.due_at < {now})", always=True
    ),
    "archived": Known("boolean", "(t.archived_at IS NOT NULL)", always=True),
    "all_day": Known("boolean", "t.all_day", always=True),
    "estimate_minutes": Known("number", "t.estimate_minutes", type="bigint"),
    "actual_minutes": Known("number", "t.actual_minutes", type="bigint"),
    "subtask_total": Known("number", "t.subtask_total", type="bigint", always=True),
    "subtask_done": Known("number", "t.subtask_done", type="bigint", always=True),
    "comment_count": Known("number", "t.comment_count", type="bigint", always=True),
    "checklist_total": Known("number", "t.checklist_total", type="bigint", always=True),
    "checklist_done": Known("number", "t.checklist_done", type="bigint", always=True),
}
"""Every field of a task that a filter may name. A new one takes a line here; custom fields are `fields.<key>`.

What several have together, such as labels in a table of their own, is an array: `ARRAY(SELECT l.label_id FROM …)`.
"""

_TEXT: Final = "(t.fields ->> {key})"
_TEXTS: Final = (
    "ARRAY(SELECT jsonb_array_elements_text(CASE WHEN jsonb_typeof(t.fields -> {key}) = 'array' "
    "THEN t.fields -> {key} ELSE '[]' END))"
)
_NUMBER: Final = Known(
    "number", "(CASE WHEN jsonb_typeof(t.fields -> {key}) = 'number' THEN (t.fields -> {key})::numeric END)"
)
_DAY: Final = Known("day", f'{_TEXT} COLLATE "C"')
_TRUTH: Final = Known(
    "boolean", "(CASE WHEN jsonb_typeof(t.fields -> {key}) = 'boolean' THEN (t.fields -> {key})::boolean END)"
)
_CUSTOM: Final[Mapping[str, Known]] = {
    "text": Known("text", _TEXT),
    "url": Known("text", _TEXT),
    "number": _NUMBER,
    "money": Known(
        "number",
        f"(CASE WHEN {_TEXT} ~ '^-?[0-9]{{1,15}}([.][0-9]{{1,4}})?$' THEN {_TEXT}::numeric END)",
    ),
    "date": _DAY,
    "person": Known("person", _TEXT, type="text"),
    "checkbox": _TRUTH,
}
_GIVEN: Final[Mapping[str, Known]] = {"number": _NUMBER, "date": _DAY, "boolean": _TRUTH}

Whole = Annotated[int, Field(strict=True, ge=-GREATEST, le=GREATEST)]
Decimals = Annotated[float, Field(strict=True, ge=-GREATEST, le=GREATEST, allow_inf_nan=False)]
Words = Annotated[str, StringConstraints(strict=True, max_length=1_000), AfterValidator(no_nul)]


class FromNow(Payload):
    """A moment as far from now as this; before it where it is negative."""

    days: int = Field(0, ge=-MOST_DAYS, le=MOST_DAYS)
    hours: int = Field(0, ge=-MOST_DAYS * 24, le=MOST_DAYS * 24)

    @model_validator(mode="after")
    def one_at_least(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("takes days or hours")
        return self


Value: TypeAlias = StrictBool | Whole | Decimals | Words | FromNow


class Filter(Payload):
    """One of `and`, `or`, `not`, or a condition: a `field`, an `op`, and its `value`."""

    model_config = ConfigDict(serialize_by_alias=True)

    all_of: "list[Filter] | None" = Field(
        None, alias="and", min_length=1, max_length=MOST_CONDITIONS, description="All of these hold."
    )
    any_of: "list[Filter] | None" = Field(
        None, alias="or", min_length=1, max_length=MOST_CONDITIONS, description="One of these holds, or more."
    )
    none_of: "Filter | None" = Field(None, alias="not", description="This does not hold.")
    field: Annotated[str, StringConstraints(max_length=60), AfterValidator(no_nul)] | None = Field(
        None, description="A field of a task, such as priority, or `fields.<key>` for a custom one."
    )
    op: Op | None = None
    value: Annotated[
        Annotated[list[Value], Field(max_length=MOST_VALUES)] | Value | None, WithJsonSchema({})
    ] = Field(
        None,
        description='What it is compared with: a list for in, not_in, between, has_any and has_all. `"me"` is whoever '
        'asks; a moment may be `"today"`, `"tomorrow"`, `"yesterday"`, a day, or as far from now as `{"days": 7}`.',
    )

    @model_validator(mode="after")
    def of_one_form(self) -> Self:
        forms = [self.all_of, self.any_of, self.none_of, self.field]
        if sum(form is not None for form in forms) != 1:
            raise ValueError("takes one of and, or, not and field")
        if (self.field is None) != (self.op is None) or (self.field is None and self.value is not None):
            raise ValueError("takes op and value with field, and op always")
        depth, conditions = self._size()
        if depth > DEEPEST:
            raise ValueError(f"is more than {DEEPEST} deep")
        if conditions > MOST_CONDITIONS:
            raise ValueError(f"has more than {MOST_CONDITIONS} conditions")
        return self

    @property
    def parts(self) -> "list[Filter]":
        """What and, or or not is about; empty for a condition."""
        return self.all_of or self.any_of or ([self.none_of] if self.none_of is not None else [])

    def _size(self) -> tuple[int, int]:
        """How deep it is, and how many conditions it has."""
        sizes = [part._size() for part in self.parts]  # noqa: SLF001  # its own kind
        return 1 + max((depth for depth, _ in sizes), default=0), sum(count for _, count in sizes) or 1

    def conditions(self) -> "list[Filter]":
        """Every condition in it, wherever it stands."""
        return [one for part in self.parts for one in part.conditions()] if self.parts else [self]


def compile_filter(
    wanted: Filter,
    *,
    me: UUID,
    now: datetime,
    zone: tzinfo = UTC,
    custom: Mapping[str, Known] | None = None,
    at: str = "filter",
) -> Clause:
    """A filter as a condition over `tasks AS t`; VALIDATION_ERROR says under `at` what in it makes no sense.

    `me` is whom `"me"` stands for, `zone` where days begin and end, `custom` the custom fields there are, by key.
    """
    work = Work(me, now, zone, custom or {})
    return Clause(work.sql(wanted, at), tuple(work.values))


async def condition(tx: Tx, wanted: Filter, *, zone: str | None = None, at: str = "filter") -> Clause:
    """A filter compiled for whoever acts, in the room of a project or of the tenant.

    Days begin and end where the tenant's do, unless `zone` says otherwise (IANA name).
    """
    conditions = wanted.conditions()
    if zone is None and any(_names_days(one) for one in conditions):
        zone = await tx.value("tenant_zone")
    custom = await custom_fields(tx, (str(one.field) for one in conditions))
    days = ZoneInfo(zone) if zone else UTC
    return compile_filter(wanted, me=tx.actor.user_id, now=tx.now, zone=days, custom=custom, at=at)


async def custom_fields(tx: Tx, names: Iterable[str]) -> dict[str, Known]:
    """The custom fields of the room's tasks by key, where one of these names is about one."""
    if not any(name.startswith("fields.") for name in names):
        return {}
    fields = await task_fields(tx)
    found = {key: _known(field, fields.computing.types.get(key)) for key, field in fields.by_key.items()}
    return {key: known for key, known in found.items() if known is not None}


def _known(field: Definition, gives: str | None) -> Known | None:
    """How a filter sees a custom field; None for a formula that is broken. What is of another type counts as empty."""
    if field.type == "formula":
        return _GIVEN.get(gives or "")
    if field.type == "select":
        return Known("choice", _TEXT, tuple(field.options))
    if field.type == "multi_select":
        return Known("texts", _TEXTS, tuple(field.options))
    return _CUSTOM[field.type]


async def tasks_matching(tx: Tx, wanted: Filter, task_ids: list[UUID], *, at: str = "filter") -> set[UUID]:
    """Those of some tasks of the room's project that a filter holds for.

    VALIDATION_ERROR where it names a custom field that is gone since it was kept.
    """
    rows = await tx.many("tasks_matching", task_ids=task_ids, where=await condition(tx, wanted, at=at))
    return {row["id"] for row in rows}


def known_field(name: str, custom: Mapping[str, Known], at: str) -> Known:
    """The field of this name; VALIDATION_ERROR where there is none."""
    kind, _, key = name.partition(".")
    found = custom.get(key) if kind == "fields" else FIELDS.get(name)
    if found is None:
        raise ValidationFailed.field(at, "names no field of a task")
    return found


def _names_days(one: Filter) -> bool:
    values = one.value if isinstance(one.value, list) else [one.value]
    known = FIELDS.get(one.field or "")
    return known is not None and known.kind == "moment" and any(isinstance(value, str) for value in values)


def key_of(name: str) -> str:
    """The key of the custom field that `fields.<key>` names."""
    return name.removeprefix("fields.")


class _Span(NamedTuple):
    """What a moment in a condition means: an instant, or a day from its first moment to the first of the next one."""

    start: datetime
    end: datetime | None = None


@dataclass(slots=True)
class Work:
    """One filter on its way to SQL."""

    me: UUID
    now: datetime
    zone: tzinfo
    custom: Mapping[str, Known]
    values: list[Any] = field(default_factory=list)

    def sql(self, wanted: Filter, at: str) -> str:
        if wanted.none_of is not None:
            # Not simply NOT: what is unknown inside does not hold.
            return f"({self.sql(wanted.none_of, f'{at}.not')}) IS NOT TRUE"
        if wanted.parts:
            name, joint = ("and", " AND ") if wanted.all_of else ("or", " OR ")
            parts = [self.sql(part, f"{at}.{name}.{n}") for n, part in enumerate(wanted.parts)]
            return f"({joint.join(parts)})"
        return self._condition(wanted, at)

    def bind(self, value: object, sql_type: str) -> str:
        self.values.append(value)
        return f"${len(self.values)}::{sql_type}"

    def _condition(self, wanted: Filter, at: str) -> str:
        name, op, value = str(wanted.field), str(wanted.op), wanted.value
        known = known_field(name, self.custom, f"{at}.field")
        if op not in OPS[known.kind]:
            raise ValidationFailed.field(f"{at}.op", f"{name} takes {', '.join(OPS[known.kind])}")
        try:
            return f"({self._compared(known, self.place(known, name), op, value)})"
        except ValueError as error:
            raise ValidationFailed.field(f"{at}.value", str(error)) from None

    def place(self, known: Known, name: str) -> str:
        """Where a task has a field, with what that binds."""
        sql = known.sql
        if "{now}" in sql:
            sql = sql.replace("{now}", self.bind(self.now, "timestamptz"))
        if "{key}" in sql:
            sql = sql.replace("{key}", self.bind(key_of(name), "text"))
        return sql

    def _compared(self, known: Known, place: str, op: str, value: Any) -> str:
        if op == "is_empty":
            return _emptiness(known, place, value)
        if op == "contains":
            return f"position(lower({self.bind(_text(value), 'text')}) IN lower({place})) > 0"
        if known.kind == "moment":
            return self._moments(place, op, value)
        one = partial(self._value, known)
        if op in ("in", "not_in", "has_any", "has_all"):
            bound = self.bind([one(item) for item in _listed(value)], f"{self._type(known)}[]")
            return _AGAINST_LIST[op].format(place=place, bound=bound)
        if op == "between":
            low, high = (self.bind(one(item), self._type(known)) for item in _pair(value))
            return f"{place} BETWEEN {low} AND {high}"
        return f"{place} {_SIGNS[op]} {self.bind(one(value), self._type(known))}"

    def _type(self, known: Known) -> str:
        # Half an hour is a fair question even where whole minutes are kept.
        return "numeric" if known.kind == "number" else known.sql_type

    def _value(self, known: Known, value: Any) -> Any:
        """A value as it is bound; ValueError where the field cannot have it."""
        if known.kind in ("person", "people") and value == "me":
            value = str(self.me)
        made = _VALUES[known.kind](value)
        if known.options and "{key}" not in known.sql and made not in known.options:
            raise ValueError(f"must be one of {', '.join(known.options)}")
        return str(made) if known.sql_type == "text" else made

    def _moments(self, place: str, op: str, value: Any) -> str:
        if op == "between":
            low, high = (self._span(item) for item in _pair(value))
            return f"{self._moment(place, 'gte', low)} AND {self._moment(place, 'lte', high)}"
        return self._moment(place, op, self._span(value))

    def _moment(self, place: str, op: str, span: _Span) -> str:
        if op in ("eq", "ne") and span.end is not None:
            within = f"{self._moment(place, 'gte', span)} AND {self._moment(place, 'lte', span)}"
            return within if op == "eq" else f"({within}) IS NOT TRUE"
        sign, at = _SIGNS[op], span.start
        if span.end is not None and op in ("gt", "lte"):
            sign, at = (">=" if op == "gt" else "<"), span.end
        return f"{place} {sign} {self.bind(at, 'timestamptz')}"

    def _span(self, value: Any) -> _Span:
        if isinstance(value, FromNow):
            return _Span(_within(self.now + timedelta(days=value.days, hours=value.hours)))
        text = _text(value)
        if text in _DAYS:
            return self._day(self.now.astimezone(self.zone).date() + timedelta(days=_DAYS[text]))
        if len(text) == len("2026-12-24"):
            return self._day(_day(text))
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(_NO_MOMENT) from None
        if found.tzinfo is None:
            raise ValueError(_NO_MOMENT)
        return _Span(_within(found))

    def _day(self, day: date) -> _Span:
        first, next_one = (
            datetime.combine(each, time(), self.zone) for each in (day, day + timedelta(days=1))
        )
        return _Span(_within(first), _within(next_one))


_SIGNS: Final = {
    "eq": "=", "ne": "IS DISTINCT FROM", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=",
}  # fmt: skip
_AGAINST_LIST: Final = {
    "in": "{place} = ANY({bound})",
    "not_in": "({place} = ANY({bound})) IS NOT TRUE",
    "has_any": "{place} && {bound}",
    "has_all": "{place} @> {bound}",
}
_DAYS: Final = {"yesterday": -1, "today": 0, "tomorrow": 1}
_NO_MOMENT: Final = 'must be a moment with a time zone, a day such as 2026-12-24, "today", "tomorrow", "yesterday" or {"days": 7}'


def _emptiness(known: Known, place: str, value: Any) -> str:
    if value is not None and not isinstance(value, bool):
        raise ValueError("must be true or false, or left out")
    if known.kind in LISTS:
        empty = f"cardinality({place}) = 0"
    elif known.kind == "text":
        empty = f"coalesce({place}, '') = ''"
    else:
        empty = f"{place} IS NULL"
    return f"NOT ({empty})" if value is False else empty


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("must be a text")


def _id(value: Any) -> UUID:
    try:
        return UUID(_text(value))
    except ValueError:
        raise ValueError("must be an id") from None


def _number(value: Any) -> Decimal:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    raise ValueError("must be a number")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("must be true or false")


def _day(value: Any) -> date:
    found = day(value)
    if str(found) != value:
        raise ValueError("must be a day such as 2026-12-24")
    return found


def _within(moment: datetime) -> datetime:
    return in_range(moment).astimezone(UTC)


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError("must be a list of one value or more")
    return value


def _pair(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("must be a list of two values: from and to")
    return value


_VALUES: Final[dict[Kind, Callable[[Any], Any]]] = {
    "text": _text, "choice": _text, "texts": _text, "id": _id, "ids": _id, "person": _id, "people": _id,
    "number": _number, "day": _day, "boolean": _boolean,
}  # fmt: skip

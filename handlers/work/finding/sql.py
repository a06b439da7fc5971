"""Filters as SQL over `tasks AS t`: its text is made of what stands in `handlers/work/finding/fields.py` and here alone;
whatever the caller has sent is bound as a value. A condition about an empty field does not hold, so `not` of it does: every
task is either inside or outside of a filter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from handlers.context import Tx
from handlers.errors import ValidationFailed
from handlers.identity.field_values import day
from handlers.registry import in_range
from handlers.work.finding.fields import FIELDS, LISTS, OPS, Kind, Known, custom_fields, key_of, known_field
from handlers.work.finding.filters import Filter, FromNow
from storage.statements import Clause


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


async def tasks_matching(tx: Tx, wanted: Filter, task_ids: list[UUID], *, at: str = "filter") -> set[UUID]:
    """Those of some tasks of the room's project that a filter holds for.

    VALIDATION_ERROR where it names a custom field that is gone since it was kept.
    """
    rows = await tx.many("tasks_matching", task_ids=task_ids, where=await condition(tx, wanted, at=at))
    return {row["id"] for row in rows}


def _names_days(one: Filter) -> bool:
    values = one.value if isinstance(one.value, list) else [one.value]
    known = FIELDS.get(one.field or "")
    return known is not None and known.kind == "moment" and any(isinstance(value, str) for value in values)


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

"""Sorting by several fields, and pages that begin where the one before ended, whatever the order is.

What has nothing in a field comes last, upwards and downwards; ties are told apart by the task's id. The place of a page
is what its last task has in each field, so a page never skips or repeats a task that stayed as it was.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from handlers.errors import ValidationFailed
from handlers.paging import decode_cursor, encode_cursor, moment
from handlers.registry import Payload, no_nul
from handlers.work.finding.fields import Known, known_field
from handlers.work.finding.sql import Work
from storage.postgres import Row
from storage.statements import Clause

MOST: Final = 5
"""Fields that a list is sorted by (count)."""
LETTERS: Final = 100
"""Of a text, what counts for its place (characters)."""
DIGITS: Final = 400
"""Digits of a number in a cursor (count): the smallest that JSON holds has some 340."""


class SortKey(Payload):
    """One field to sort by."""

    field: Annotated[str, StringConstraints(max_length=60), AfterValidator(no_nul)]
    order: Literal["asc", "desc"] = "asc"


Sort = Annotated[list[SortKey], Field(max_length=MOST)]


@dataclass(frozen=True, slots=True)
class _Key:
    """One field of an order."""

    name: str
    known: Known
    descending: bool
    type: str
    read: Callable[[str], Any]
    """Out of a cursor."""

    def sql(self, work: Work) -> str:
        """What is compared, with what it binds."""
        known = self.known
        if known.rank:
            return f'({known.rank}) COLLATE "C"'
        place = work.place(known, self.name)
        if known.kind == "text":
            return f'lower(left({place}, {LETTERS})) COLLATE "C"'
        if known.kind == "day":
            return f'left({place}, {LETTERS}) COLLATE "C"'  # it may be a text, left of another field
        if known.kind == "choice":
            return f"array_position({work.bind(list(known.options), 'text[]')}, {place})"
        return place


@dataclass(frozen=True, slots=True)
class Order:
    """An order of tasks, as the clauses of a statement."""

    keys: tuple[_Key, ...]
    work: Callable[[], Work]

    def clauses(self, cursor: str | None) -> dict[str, Clause]:
        """`order`, `place` and, for a page that is not the first, `after`."""
        made = {"order": self._made(self._order), "place": self._made(self._place)}
        if cursor is not None:
            place = decode_cursor(cursor, *(_or_none(key.read) for key in self.keys), UUID) or ()
            made["after"] = self._made(lambda work: _after(work, self.keys, place))
        return made

    def cursor(self, row: Row) -> str:
        """Where the page after this task begins."""
        return encode_cursor(*row["place"], row["id"])

    def _made(self, text: Callable[[Work], str]) -> Clause:
        work = self.work()
        return Clause(text(work), tuple(work.values))

    def _order(self, work: Work) -> str:
        return ", ".join(
            f"{key.sql(work)} {'DESC' if key.descending else 'ASC'} NULLS LAST" for key in self.keys
        )

    def _place(self, work: Work) -> str:
        return f"ARRAY[{', '.join(f'({key.sql(work)})::text' for key in self.keys)}]"


def order_of(sort: Sequence[SortKey], work: Callable[[], Work], custom: Mapping[str, Known]) -> Order:
    """The order that a caller asks for; VALIDATION_ERROR where a field has none."""
    return Order(tuple(_key(key, custom, f"sort.{n}.field") for n, key in enumerate(sort)), work)


def _key(asked: SortKey, custom: Mapping[str, Known], at: str) -> _Key:
    known = known_field(asked.field, custom, at)
    how = _RANKED if known.rank else _SORTED.get(known.kind)
    if how is None:
        raise ValidationFailed.field(at, "is nothing that can be sorted by")
    kind, read = how
    if known.kind == "number" and known.type == "bigint":
        kind, read = "bigint", int
    return _Key(asked.field, known, asked.order == "desc", kind, read)


def _after(work: Work, keys: Sequence[_Key], place: Sequence[Any]) -> str:
    """What lies behind a place: further in one field, and the same in those before it."""
    ways, same = [], list[str]()
    for key, value in zip(keys, place, strict=False):
        if value is None:
            same.append(f"{key.sql(work)} IS NULL")
            continue
        further = f"{key.sql(work)} {'<' if key.descending else '>'} {work.bind(value, key.type)}"
        if not key.known.always:
            further = f"({further} OR {key.sql(work)} IS NULL)"
        ways.append(" AND ".join([*same, further]))
        same.append(f"{key.sql(work)} = {work.bind(value, key.type)}")
    ways.append(" AND ".join([*same, f"t.id > {work.bind(place[-1], 'uuid')}"]))
    behind = f"({' OR '.join(f'({way})' for way in ways)})"
    first = keys[0]
    if first.known.always:
        # Says nothing new, but an index can begin there.
        sign = "<=" if first.descending else ">="
        return f"{first.sql(work)} {sign} {work.bind(place[0], first.type)} AND {behind}"
    return behind


def _decimal(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise ValueError("is no number") from None
    if not found.is_finite() or len(text) > DIGITS or abs(found.adjusted()) > DIGITS:
        raise ValueError("is no number of ours")
    return found


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return text == "true"


def _or_none(read: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda part: None if part is None else read(part)


_RANKED: Final = ("text", str)
_SORTED: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "text": ("text", str),
    "day": ("text", str),
    "choice": ("bigint", int),
    "number": ("numeric", _decimal),
    "moment": ("timestamptz", moment),
    "boolean": ("boolean", _boolean),
}

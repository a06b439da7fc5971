"""Values of custom fields: checked by their type, put beside those that were there, and formulas computed from them.

As JSON: a text, URL, day (`2026-12-24`), option or person's id is a string, a number a number, money a string such as
`"12.50"`, a checkbox true or false, several options a list. What a formula gives is a number, a day, or true or false.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, WithJsonSchema

from handlers import formulas
from handlers.context import Tx
from handlers.errors import ValidationFailed
from handlers.identity.custom_fields import (
    COMPUTED_WITH,
    MOST,
    AppliesTo,
    Computed,
    CustomField,
    Definition,
    computed,
)
from handlers.identity.people import from_json
from handlers.registry import in_range

MOST_BYTES: Final = 16_384
"""All values of one thing (bytes of JSON)."""
LONGEST: Final = 2_000
"""A text or URL (characters)."""
GREATEST: Final = 10**15
"""The greatest number, up or down."""
MONEY: Final = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,4})?")


def _storable(values: dict[str, Any]) -> dict[str, Any]:
    """What JSON and Postgres can hold, whatever it means."""
    for key, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, list | dict) or (isinstance(one, float) and not math.isfinite(one)):
                raise ValueError(
                    f"{key[:40]!r} must be a string, a number, true, false, null or a list of strings"
                )
            if isinstance(one, str) and ("\0" in one or len(one) > LONGEST):
                raise ValueError(f"{key[:40]!r} must have at most {LONGEST} characters, and not NUL")
        if isinstance(value, list) and len(value) > MOST:
            raise ValueError(f"{key[:40]!r} must have at most {MOST} entries")
    return values


Given = Annotated[
    dict[Annotated[str, Field(max_length=40)], Annotated[JsonValue, WithJsonSchema({})]],
    Field(max_length=2 * MOST),
    AfterValidator(_storable),
]
"""Values in a payload, by key; null takes one away."""
Held = Annotated[dict[str, Annotated[Any, WithJsonSchema({})]], BeforeValidator(from_json)]
"""Values as a row holds them."""


@dataclass(frozen=True, slots=True)
class FieldSet:
    """The fields that one thing may have."""

    by_key: Mapping[str, Definition]
    computing: Computed

    def checked(self, given: Mapping[str, Any], at: str) -> dict[str, Any]:
        """The values that are given, as they are kept; VALIDATION_ERROR of each that cannot be, under `at`."""
        found: dict[str, Any] = {}
        wrong: dict[str, list[str]] = {}
        for key, value in given.items():
            try:
                found[key] = self._value(key, value)
            except ValueError as error:
                wrong[f"{at}.{key}"] = [str(error)]
        if wrong:
            raise _wrong(wrong)
        return found

    def _complete(self, given: Mapping[str, Any], at: str) -> None:
        """VALIDATION_ERROR where a new thing lacks what is required."""
        missing = [key for key, field in self.by_key.items() if field.required and given.get(key) is None]
        if missing:
            raise _wrong({f"{at}.{key}": ["is required"] for key in missing})

    def merged(self, before: Mapping[str, Any], given: Mapping[str, Any], at: str) -> dict[str, Any]:
        """All values afterwards, formulas with them; VALIDATION_ERROR where they are too much."""
        values = {key: value for key, value in {**before, **given}.items() if value is not None}
        values = self.computed({key: value for key, value in values.items() if not self.is_formula(key)})
        if len(orjson.dumps(values)) > MOST_BYTES:
            raise ValidationFailed.field(at, f"must be at most {MOST_BYTES} bytes of JSON together")
        return values

    def computed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The same values with what formulas make of them."""
        known = {key: self._operand(key, values.get(key)) for key in self.computing.types}
        fresh = dict(values)
        for key in self.computing.order:
            known[key] = formulas.evaluate(self.computing.trees[key], known)
            if known[key] is None:
                fresh.pop(key, None)
            else:
                fresh[key] = _told(known[key])
        return fresh

    def is_formula(self, key: str) -> bool:
        return key in self.by_key and self.by_key[key].type == "formula"

    def _people(self, given: Mapping[str, Any]) -> dict[str, UUID]:
        """Those whom checked values name, by key."""
        return {
            key: UUID(value)
            for key, value in given.items()
            if value is not None and self.by_key[key].type == "person"
        }

    async def changed(
        self, tx: Tx, before: object, given: Mapping[str, Any], at: str, *, project_id: UUID | None = None
    ) -> str:
        """All values afterwards, as JSON for a row; VALIDATION_ERROR of each that cannot be, under `at`.

        `before` is what the row had; None for a new thing, which needs what is required.
        """
        if before is None:
            self._complete(given, at)
        checked = await self.allowed(tx, given, at, project_id=project_id)
        held: Any = from_json(before) or {}
        return orjson.dumps(self.merged(held, checked, at)).decode()

    async def allowed(
        self, tx: Tx, given: Mapping[str, Any], at: str, *, project_id: UUID | None = None
    ) -> dict[str, Any]:
        """Checked values; the people in them are members who can see the project, or all of the tenant's projects."""
        checked = self.checked(given, at)
        if people := self._people(checked):
            rows = await tx.many("assignable", user_ids=list(people.values()), project_id=project_id)
            seeing = {row["user_id"] for row in rows}
            if wrong := [key for key, person in people.items() if person not in seeing]:
                raise _wrong({f"{at}.{key}": ["cannot see this"] for key in wrong})
        return checked

    def _value(self, key: str, value: Any) -> Any:
        field = self.by_key.get(key)
        if field is None and value is None:
            return None  # what is left of a field that is gone may go
        if field is None:
            raise ValueError("is no field here")
        if field.type == "formula":
            raise ValueError("is computed")
        kept = None if value is None else _KEPT[field.type](field, value)
        if kept in (None, "", []):
            if field.required:
                raise ValueError("is required")
            return None
        return kept

    def _operand(self, key: str, value: Any) -> formulas.Result:
        """A value as formulas compute with it; None where it is of another type, left of a field that is gone."""
        kind = self.by_key[key].type
        try:
            if kind == "checkbox":
                return value if isinstance(value, bool) else None
            if kind == "date":
                return date.fromisoformat(value) if isinstance(value, str) else None
            if kind == "money":
                return Decimal(value) if isinstance(value, str) and MONEY.fullmatch(value) else None
        except ValueError:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return Decimal(str(value)) if kind == "number" and is_number else None


async def tenant_field_set(tx: Tx, applies_to: AppliesTo) -> FieldSet:
    """The fields of the tenant for its own record, its projects or its tasks."""
    return _tenant_field_set(await tx.value("tenant_fields"), applies_to)


@lru_cache(maxsize=256)
def _tenant_field_set(settings: str | None, applies_to: AppliesTo) -> FieldSet:
    return field_set(tenant_fields(settings, applies_to))


def _wrong(errors: Mapping[str, list[str]]) -> ValidationFailed:
    return ValidationFailed("The payload does not fit", field_errors=errors)


def field_set(definitions: Iterable[Definition]) -> FieldSet:
    """The fields that apply; of one key the last. Formulas that cannot be computed any more give nothing."""
    by_key = {field.key: field for field in definitions}
    try:
        return FieldSet(by_key, computed(by_key.values()))
    except ValueError:
        return FieldSet(by_key, _those_that_stand(by_key))


def _those_that_stand(by_key: Mapping[str, Definition]) -> Computed:
    """The formulas that are right by themselves: another one was broken by a field that is gone, or another one now."""
    types = {key: COMPUTED_WITH[field.type] for key, field in by_key.items() if field.type in COMPUTED_WITH}
    waiting = dict(_read(by_key.values()))
    needed = {key: formulas.names(tree) for key, tree in waiting.items()}
    standing: dict[str, formulas.Node] = {}
    while ready := [key for key in waiting if needed[key] <= types.keys()]:
        for key in ready:
            tree = waiting.pop(key)
            try:
                types[key] = formulas.type_of(tree, types)
            except ValueError:
                continue
            standing[key] = tree
    return Computed(standing, tuple(standing), types)


def _read(fields: Iterable[Definition]) -> Iterator[tuple[str, formulas.Node]]:
    """The formulas that can be read at all."""
    for field in fields:
        if field.formula is not None:
            with suppress(ValueError):
                yield field.key, formulas.parse(field.formula)


def tenant_fields(settings: object, applies_to: AppliesTo) -> list[CustomField]:
    """The tenant's fields for its own record, projects or tasks, out of `custom_fields` of its settings."""
    held: Any = from_json(settings) or []
    return [CustomField.model_validate(one) for one in held if one["applies_to"] == applies_to]


def _told(value: formulas.Result) -> Any:
    """What a formula gives, as JSON."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value) if isinstance(value, date) else value


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("must be a string")


def _text(_: Definition, value: Any) -> str:
    return _string(value)


def _number(_: Definition, value: Any) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= GREATEST:
        return value
    raise ValueError(f"must be a number of at most {GREATEST}, up or down")


def _money(_: Definition, value: Any) -> str:
    if isinstance(value, str) and MONEY.fullmatch(value):
        return value
    raise ValueError(
        'must be an amount as a string such as "12.50", with at most 15 digits and 4 decimal places'
    )


def _day(_: Definition, value: Any) -> str:
    return str(day(value))


def day(value: Any) -> date:
    """A day out of its ISO text; ValueError where it is none, or far away."""
    try:
        found = date.fromisoformat(_string(value))
    except ValueError:
        raise ValueError("must be a day such as 2026-12-24") from None
    return in_range(found)


def _option(field: Definition, value: Any) -> str:
    if value not in field.options:
        raise ValueError(f"must be one of {', '.join(field.options)}")
    return _string(value)


def _options(field: Definition, value: Any) -> list[str]:
    if isinstance(value, list):
        return list(dict.fromkeys(_option(field, one) for one in value))
    raise ValueError("must be a list")


def _person(_: Definition, value: Any) -> str:
    try:
        return str(UUID(_string(value)))
    except ValueError:
        raise ValueError("must be the id of a person") from None


def _url(_: Definition, value: Any) -> str:
    text = _string(value).strip()
    try:
        parts = urlsplit(text)
        right = (
            parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"[\s<>\"]", text)
        )
    except ValueError:
        right = False
    if not right:
        raise ValueError("must be an address that begins with https:// or http://")
    return text


def _truth(_: Definition, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("must be true or false")


_KEPT: Final[Mapping[str, Callable[[Definition, Any], Any]]] = {
    "text": _text, "number": _number, "money": _money, "date": _day, "select": _option, "multi_select": _options,
    "person": _person, "url": _url, "checkbox": _truth,
}  # fmt: skip

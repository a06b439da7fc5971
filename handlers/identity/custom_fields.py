"""Definitions of fields that a tenant adds to its own record, its projects or its tasks, and a project to its tasks."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from handlers import formulas
from handlers.identity.currencies import Currency
from handlers.registry import Payload, Text

FieldType = Literal[
    "text", "number", "money", "date", "select", "multi_select", "person", "url", "checkbox", "formula"
]  # fmt: skip
AppliesTo = Literal["tenant", "project", "task"]

MOST: Final = 100
"""Fields of a tenant, and of a project (count)."""
CHOICES: Final = frozenset({"select", "multi_select"})
"""Types whose values are chosen from options."""
_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")


def _key(value: str) -> str:
    if not _KEY.fullmatch(value):
        raise ValueError("must have 1 to 40 of a-z, 0-9 and _, and begin with a letter")
    return value


def _different(options: list[str]) -> list[str]:
    if len({option.casefold() for option in options}) < len(options):
        raise ValueError("must differ from one another")
    return options


Key = Annotated[Text, AfterValidator(_key)]
Formula = Annotated[Text, StringConstraints(min_length=1, max_length=formulas.LONGEST)]
Label = Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


Options = Annotated[list[Label], Field(max_length=100), AfterValidator(_different)]


class Definition(Payload):
    """What a field is, whoever it belongs to. Its `key` never changes its type, so that values stay what they were."""

    key: Key = Field(description="What names it in payloads and filters.")
    name: Label = Field(description="What people read.")
    type: FieldType
    options: Options = Field(
        default=[],
        description="What one may choose from; for select and multi_select alone, and needed there.",
    )
    required: bool = Field(default=False, description="Whether a new thing must have it; not for a formula.")
    currency: Currency | None = Field(
        default=None, description="Of money: ISO 4217. Unset: the currency of the tenant."
    )
    formula: Formula | None = Field(
        default=None,
        description="How a formula is computed of other fields: `round(hours * rate, 2)`; for that type alone, and "
        "needed there.",
    )

    @model_validator(mode="after")
    def has_what_its_type_needs(self) -> Self:
        """Refuse a choice of nothing, and options, currencies and formulas that nobody would ever see."""
        if bool(self.options) != (self.type in CHOICES):
            raise ValueError("options belong to select and multi_select, and those need them")
        if self.currency is not None and self.type != "money":
            raise ValueError("a currency belongs to money")
        if (self.formula is not None) != (self.type == "formula"):
            raise ValueError("formula belongs to the type formula, and that needs it")
        if self.required and self.type == "formula":
            raise ValueError("a formula is computed: it cannot be required")
        return self


class CustomField(Definition):
    """A field of the tenant, for its own record, all its projects or all its tasks."""

    applies_to: AppliesTo


COMPUTED_WITH: Final[Mapping[str, formulas.Type]] = {
    "number": "number",
    "money": "number",
    "date": "date",
    "checkbox": "boolean",
}
"""Types of fields that formulas may name, and what they are to them."""


@dataclass(frozen=True, slots=True)
class Computed:
    """The formulas among some fields."""

    trees: Mapping[str, formulas.Node]
    order: tuple[str, ...]
    """Their keys, each after those that it needs."""
    types: Mapping[str, formulas.Type]
    """What they give, and what the fields are that they name."""


def computed(fields: Iterable[Definition]) -> Computed:
    """The formulas among fields; ValueError says which one cannot be."""
    known = list(fields)
    trees: dict[str, formulas.Node] = {}
    types = {field.key: COMPUTED_WITH[field.type] for field in known if field.type in COMPUTED_WITH}
    for field in known:
        if field.formula is not None:
            trees[field.key] = _of(field.key, partial(formulas.parse, field.formula))
    try:
        order = formulas.in_order(trees)
    except ValueError as error:
        raise ValueError(f"a formula {error}") from None
    for key in order:
        types[key] = _of(key, partial(formulas.type_of, trees[key], types))
    return Computed(trees, tuple(order), types)


T = TypeVar("T")


def _of(key: str, made: Callable[[], T]) -> T:
    try:
        return made()
    except ValueError as error:
        raise ValueError(f"the formula of {key} {error}") from None


def _sensible(fields: list[CustomField]) -> list[CustomField]:
    if len({(field.applies_to, field.key) for field in fields}) < len(fields):
        raise ValueError("a key may be given once for a tenant, a project and a task each")
    for kind in get_args(AppliesTo):
        computed(field for field in fields if field.applies_to == kind)
    return fields


CustomFields = Annotated[list[CustomField], Field(max_length=MOST), AfterValidator(_sensible)]


def changed_type(before: list[CustomField], after: list[CustomField]) -> str | None:
    """The key of a field that would get another type, if there is one."""
    types = {(field.applies_to, field.key): field.type for field in before}
    changed = (
        field.key for field in after if types.get((field.applies_to, field.key), field.type) != field.type
    )  # fmt: skip
    return next(changed, None)

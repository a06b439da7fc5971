"""Filters: one small language of conditions over everything that a task has, joined by and, or and not.

    {"and": [{"field": "priority", "op": "in", "value": ["high", "urgent"]},
             {"field": "assignees", "op": "has_any", "value": ["me"]},
             {"not": {"field": "due_at", "op": "is_empty"}}]}

What it is to SQL: `handlers/work/finding/sql.py`; which fields there are: `handlers/work/finding/fields.py`.
"""

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from handlers.identity.field_values import GREATEST
from handlers.registry import Payload, no_nul

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

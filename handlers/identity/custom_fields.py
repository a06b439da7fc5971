"""Definitions of fields that a tenant adds to its own record, its projects or its tasks."""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from handlers.registry import Payload, Text

FieldType = Literal[
    "text", "number", "money", "date", "select", "multi_select", "person", "url", "checkbox"
]  # fmt: skip
AppliesTo = Literal["tenant", "project", "task"]

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
Label = Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class CustomField(Payload):
    """One field. Its `key` names it in payloads and never changes its type, so that values stay what they were."""

    key: Key
    name: Label = Field(description="What people read.")
    type: FieldType
    applies_to: AppliesTo
    options: Annotated[list[Label], Field(max_length=100), AfterValidator(_different)] = Field(
        default=[],
        description="What one may choose from; for select and multi_select alone, and needed there.",
    )
    required: bool = False

    @model_validator(mode="after")
    def has_options_where_one_chooses(self) -> Self:
        """Refuse a choice of nothing, and options that nobody would ever see."""
        if bool(self.options) != (self.type in CHOICES):
            raise ValueError("options belong to select and multi_select, and those need them")
        return self


def _unique(fields: list[CustomField]) -> list[CustomField]:
    if len({(field.applies_to, field.key) for field in fields}) < len(fields):
        raise ValueError("a key may be given once for a tenant, a project and a task each")
    return fields


CustomFields = Annotated[list[CustomField], Field(max_length=100), AfterValidator(_unique)]


def changed_type(before: list[CustomField], after: list[CustomField]) -> str | None:
    """The key of a field that would get another type, if there is one."""
    types = {(field.applies_to, field.key): field.type for field in before}
    changed = (
        field.key for field in after if types.get((field.applies_to, field.key), field.type) != field.type
    )  # fmt: skip
    return next(changed, None)

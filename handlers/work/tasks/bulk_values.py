"""Values of custom fields for many tasks at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from handlers.context import Tx
from handlers.errors import ValidationFailed
from handlers.identity.field_values import FieldSet
from handlers.identity.people import from_json
from handlers.work.tasks.values import task_fields
from storage.postgres import Row

MOST_BYTES: Final = 4_000_000
"""Values that one event tells of, old and new (bytes of JSON)."""


@dataclass(slots=True)
class Values:
    """The values that tasks are to have; none where none are changed."""

    fields: FieldSet | None
    given: Mapping[str, Any]
    told: int = 0
    """What the event tells of them so far (bytes of JSON)."""

    def changed(self, row: Row) -> dict[str, Any]:
        """All values of a task; VALIDATION_ERROR where the event would become too large."""
        if self.fields is None:
            return {}
        before: Any = from_json(row["fields"])
        after = self.fields.merged(before, self.given, "changes.fields")
        if after == before:
            return {"fields": row["fields"]}
        if self.told + _size(before, after) > MOST_BYTES:
            raise ValidationFailed.field("task_ids", "are too many for values this large: name fewer of them")
        return {"fields": after}

    def tell(self, row: Row, fresh: Mapping[str, Any]) -> None:
        """Count what the event tells of a task that gets these values."""
        if self.fields is not None and fresh["fields"] != row["fields"]:
            self.told += _size(from_json(row["fields"]), fresh["fields"])


def _size(before: Any, after: Any) -> int:
    return len(orjson.dumps([before, after]))


async def values_of(tx: Tx, given: Mapping[str, Any] | None) -> Values:
    """Values that may be set in tasks of the project; VALIDATION_ERROR where they may not."""
    if given is None:
        return Values(None, {})
    fields = await task_fields(tx)
    return Values(fields, await fields.allowed(tx, given, "changes.fields", project_id=tx.room.id))

"""Which custom fields the tasks of a project have: the tenant's, and the project's own, which win where both have a key."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from handlers.context import Tx
from handlers.errors import ValidationFailed
from handlers.identity.custom_fields import Definition
from handlers.identity.field_values import FieldSet, field_set, tenant_fields
from handlers.identity.people import from_json

DEFINED: Final = tuple(Definition.model_fields)


def fields_in(row: Mapping[str, Any]) -> FieldSet:
    """Out of a row that has `tenant_fields` and `own_fields`."""
    return _field_set(row["tenant_fields"], row["own_fields"])


@lru_cache(maxsize=256)
def _field_set(tenants: str | None, own: str | None) -> FieldSet:
    """Every task that is created asks for it, and definitions hardly ever change: they are read once."""
    held: Any = from_json(own) or []
    return field_set([*tenant_fields(tenants, "task"), *(definition(one) for one in held)])


async def task_fields(tx: Tx) -> FieldSet:
    """Those of the room's project; the tenant's alone in its own room."""
    project_id = tx.room.id if tx.room.kind == "project" else None
    return fields_in(await tx.one("task_fields", project_id=project_id))


async def check_keys(tx: Tx, keys: Iterable[str], at: str) -> None:
    """VALIDATION_ERROR of a field that names custom fields which the tasks of the room's project do not have."""
    wanted = set(keys)
    if wanted and (unknown := sorted(wanted - set((await task_fields(tx)).by_key))):
        raise ValidationFailed.field(at, f"names no custom field of tasks: {', '.join(unknown)}")


def definition(row: Mapping[str, Any]) -> Definition:
    return Definition.model_validate({name: row[name] for name in DEFINED})

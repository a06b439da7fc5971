"""The fields of tasks that filters and orders know: what kind each is, what may be asked of it, and where a task has it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from handlers.context import Tx
from handlers.errors import ValidationFailed
from handlers.identity.custom_fields import Definition
from handlers.work.tasks.tasks import Priority, Type
from handlers.work.tasks.values import task_fields

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


def known_field(name: str, custom: Mapping[str, Known], at: str) -> Known:
    """The field of this name; VALIDATION_ERROR where there is none."""
    kind, _, key = name.partition(".")
    found = custom.get(key) if kind == "fields" else FIELDS.get(name)
    if found is None:
        raise ValidationFailed.field(at, "names no field of a task")
    return found


def key_of(name: str) -> str:
    """The key of the custom field that `fields.<key>` names."""
    return name.removeprefix("fields.")

"""The one small reducer that keeps any client store: a snapshot and events make the next snapshot.

In an event's `data` the singular of an entity holds one whole or partial entity with its id, the plural a list
of them; `"removed": true` takes it away; `was` is for people.
"""

from collections.abc import Iterable
from typing import Any, Final

PLURALS: Final = {
    "api_key": "api_keys",
    "assignment": "assignments",
    "board": "boards",
    "board_layout": "board_layouts",
    "column": "columns",
    "delegation": "delegations",
    "dependency": "dependencies",
    "field": "fields",
    "job": "jobs",
    "label": "labels",
    "member": "members",
    "participation": "participations",
    "project": "projects",
    "role": "roles",
    "share": "shares",
    "sprint": "sprints",
    "status": "statuses",
    "task": "tasks",
    "team": "teams",
    "tenant": "tenants",
    "unit": "units",
    "user": "users",
    "view": "views",
}

BESIDE: Final = frozenset(
    {
        "allocation",
        "approval",
        "checklist",
        "checklist_item",
        "checklist_items",
        "comment",
        "file",
        "files",
        "link",
        "over_limit",
        "over_limits",
        "reminder",
        "series",
        "transfer",
    }
)
"""Entities that are read page by page: events tell of them, and snapshots do not hold them."""
OF_RULES: Final = frozenset({"notice", "rule", "run", "template"})
"""The same of rules and templates."""

Store = dict[str, dict[str, Any]]


def store_of(snapshot: dict[str, Any]) -> Store:
    """The lists of a snapshot by id; what else it holds says the same in another way or is about paging."""
    return {
        name: {entity["id"]: dict(entity) for entity in entities}
        for name, entities in snapshot.items()
        if name in PLURALS.values()
    }


def fold(store: Store, events: Iterable[dict[str, Any]]) -> Store:
    """Apply events in their order."""
    for event in events:
        for key, value in event["data"].items():
            if key == "was" or key in BESIDE | OF_RULES:
                continue
            if key not in PLURALS and key not in PLURALS.values():
                raise AssertionError(f"{event.get('name', event)}: what is {key}?")
            entities = value if isinstance(value, list) else [value]
            held = store.setdefault(PLURALS.get(key, key), {})
            for entity in entities:
                if entity.get("removed"):
                    held.pop(entity["id"], None)
                else:
                    held[entity["id"]] = held.get(entity["id"], {}) | entity
    return store

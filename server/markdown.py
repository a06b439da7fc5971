"""Markdown of the reference pages: tables, anchors, and JSON schemas in a few words."""

import re
from collections.abc import Iterable

from server.describe import Schema


def type_of(field: Schema) -> str:
    """A JSON schema in a few words."""
    if choices := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(type_of(choice) for choice in choices)
    if reference := field.get("$ref"):
        name = reference.rpartition("/")[2]
        return "any JSON" if name == "JsonValue" else f"[{name}](events.md#{anchor(name)})"
    if "const" in field:
        return f"`{_json(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind = field.get("type", "any JSON")
    if kind == "array":
        return _bounded(f"list of {type_of(field['items'])}", field, "Items", "")
    if kind == "object":
        held = field.get("additionalProperties")
        return f"object of {type_of(held)}" if isinstance(held, dict) and held else "object"
    if kind == "string":
        words = field.get("format", "string").replace("date-time", "timestamp")
        words = _bounded(words, field, "Length", " characters")
        return f"{words}, pattern `{field['pattern']}`" if "pattern" in field else words
    return _bounded(kind, field, "imum", "")


def _bounded(words: str, field: Schema, what: str, unit: str) -> str:
    low, high = field.get(f"min{what}"), field.get(f"max{what}")
    if low is not None and high is not None:
        return f"{words}, {low} to {_large(high)}{unit}"
    if high is not None:
        return f"{words}, at most {_large(high)}{unit}"
    return f"{words}, at least {low}{unit}" if low is not None else words


def _large(number: float) -> str:
    return "2^63 - 1" if number == 2**63 - 1 else str(number)


def _json(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def anchor(name: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-")


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)

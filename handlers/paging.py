"""Cursors: where the next page begins, as an opaque string."""

import base64
from collections.abc import Callable
from typing import Any

import orjson

from handlers.errors import ValidationFailed


def encode_cursor(*place: Any) -> str:
    text = orjson.dumps([str(part) if not isinstance(part, int) else part for part in place])
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def decode_cursor(cursor: str | None, *types: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    """The place that a cursor stands for; VALIDATION_ERROR when it is not one of ours."""
    if cursor is None:
        return None
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        place = tuple(of(part) for of, part in zip(types, parts, strict=True))
    except (ValueError, TypeError, AttributeError):
        raise ValidationFailed.field("cursor", "is not a cursor of this list") from None
    if any(isinstance(part, str) and "\x00" in part for part in place):
        raise ValidationFailed.field("cursor", "is not a cursor of this list")
    if any(isinstance(part, int) and not -(2**63) <= part < 2**63 for part in place):
        raise ValidationFailed.field("cursor", "is not a cursor of this list")
    return place

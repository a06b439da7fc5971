"""Cursors: where the next page begins, as an opaque string."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson

from handlers.errors import ValidationFailed

FIRST_MOMENT: Final = datetime(1900, 1, 1, tzinfo=UTC)
LAST_MOMENT: Final = datetime(2201, 1, 1, tzinfo=UTC)
"""Before and after every moment that anything here may have."""
FIRST_ID: Final = UUID(int=0)
LAST_ID: Final = UUID(int=2**128 - 1)


def moment(text: str) -> datetime:
    """A moment out of a cursor."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None or not FIRST_MOMENT <= found <= LAST_MOMENT:
        raise ValueError("is not a moment of ours")
    return found


def encode_cursor(*place: Any) -> str:
    text = orjson.dumps([part if part is None or isinstance(part, int) else str(part) for part in place])
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

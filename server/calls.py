"""One call, from wherever it came: its reserved fields taken out, its payload checked, its room found."""

import re
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic import ValidationError

from handlers.errors import UnknownCommand, ValidationFailed
from handlers.registry import SPECS, Payload, Spec
from storage.ids import parse_id

RESERVED: Final = ("room", "command_id", "expected_version")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Checked:
    """A call that may be carried out."""

    spec: Spec
    payload: Payload
    room: str | None
    command_id: UUID | None
    expected_version: int | None


def find(name: object, kinds: tuple[str, ...]) -> Spec:
    spec = SPECS.get(name) if isinstance(name, str) else None
    if spec is None or spec.kind not in kinds:
        raise UnknownCommand("There is no command, query or signal of this name")
    return spec


def check(spec: Spec, data: object) -> Checked:
    """Split off the reserved fields and validate the rest; VALIDATION_ERROR says which field does not fit."""
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ValidationFailed("The payload must be an object")
    fields = spec.payload.model_fields
    rest = {key: value for key, value in data.items() if key not in RESERVED or key in fields}
    room = None if "room" in fields else _room(data.get("room"))
    command_id = _command_id(data.get("command_id"))
    expected_version = _version(spec, data.get("expected_version"))
    try:
        payload = spec.payload.model_validate(rest)
    except ValidationError as error:
        raise ValidationFailed.of(error) from None
    except (ValueError, OverflowError, RecursionError):
        raise ValidationFailed("The payload does not fit") from None
    return Checked(spec, payload, room, command_id, expected_version)


def _room(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValidationFailed.field("room", "must be a string")
    return value


def _command_id(value: Any) -> UUID | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise ValidationFailed.field("command_id", "must be a UUID")
    return parse_id(value)


def _version(spec: Spec, value: Any) -> int | None:
    if value is None:
        return None
    if not spec.versioned:
        raise ValidationFailed.field("expected_version", f"{spec.name} does not change a versioned entity")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise ValidationFailed.field("expected_version", "must be a positive integer")
    return value

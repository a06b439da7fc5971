"""What the audit log says of a call: whom and what it was about, and which fields got which values.

The log is kept for years and read by people who administer a tenant, so it holds no secret and no long text: values
of secret types, and of fields whose names say so, are hidden, and the rest is cut to a bounded size.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, get_args, get_origin, get_type_hints
from uuid import UUID

import orjson
from pydantic import BaseModel, SecretBytes, SecretStr

from handlers.registry import Event, Payload, Secret
from storage.postgres import Session
from storage.rooms import RoomKey

INSTANCE: Final = UUID(int=2**128 - 1)
"""The tenant_id of the instance's own chain: for what concerns no tenant."""

OK: Final = "ok"
"""The outcome of what was done; any other is the code of the error."""

CHANGES_SIZE: Final = 2000
"""Longest JSON of changed fields (bytes)."""
STRING_LENGTH: Final = 200
LIST_LENGTH: Final = 20
HIDDEN: Final = "[hidden]"

_SECRET_NAME: Final = re.compile(
    r"(^|_)(password|passphrase|passwd|secret|token|code|otp|pin|credential|assertion|attestation|response"
    r"|private_key|api_key|cookie_value|signature)s?$",
    re.IGNORECASE,
)


def resource(name: str, payload: Payload, events: Sequence[Event], room: RoomKey) -> str:
    """What a command was about, such as `task:<id>`: named by its payload, by its first event, or its room."""
    noun = name.partition(".")[0]
    if (named := payload.given(f"{noun}_id")) is not None:
        return f"{noun}:{named}"
    if events:
        field = next(iter(type(events[0]).model_fields), "")
        if (made := getattr(getattr(events[0], field, None), "id", None)) is not None:
            return f"{field}:{made}"
    return room.name


def changes(payload: Payload, body: str) -> str:
    """The fields of a payload and their new values. `body` is the payload as JSON, without what was not set."""
    if len(body) <= CHANGES_SIZE and not _needs_care(type(payload)):
        return body
    return bounded(orjson.loads(body), hidden_fields(type(payload)))


def was(events: Sequence[Event]) -> str | None:
    """The values that the changed fields had before, where the first event tells them."""
    before = events[0].__dict__.get("was") if events else None
    if isinstance(before, list):
        return bounded({"each": [one.model_dump(mode="json", exclude_unset=True) for one in before]})
    if not isinstance(before, BaseModel) or not before.model_fields_set:
        return None
    body = before.__pydantic_serializer__.to_json(before, exclude_unset=True).decode()
    return body if len(body) <= CHANGES_SIZE else bounded(orjson.loads(body))


def bounded(fields: Mapping[str, Any], hidden: frozenset[str] = frozenset()) -> str:
    """Fields as JSON of a bounded size, with nothing secret in it."""
    clean = _clean(fields, hidden)
    text = orjson.dumps(clean, default=str)
    if len(text) > CHANGES_SIZE:
        cut = {name: _cut(value) for name, value in list(clean.items())[:LIST_LENGTH]}
        text = orjson.dumps(cut, default=str)
    return text.decode()


@cache
def hidden_fields(model: type[BaseModel]) -> frozenset[str]:
    """Names of the fields, in a model and in those inside it, that the log must not hold."""
    return frozenset(name for name, annotation in _fields(model) if is_secret(name, annotation))


def is_secret(name: str, annotation: Any) -> bool:
    """Whether a field is secret by its type, or by its name."""
    parts = set(_parts(annotation))
    by_type = bool(parts & {SecretStr, SecretBytes}) or any(isinstance(part, Secret) for part in parts)
    return by_type or bool(_SECRET_NAME.search(name))


@cache
def _needs_care(model: type[BaseModel]) -> bool:
    """Whether anything in a payload may be secret; objects of free form may."""
    free = any(
        part in (Any, object) or part is dict or get_origin(part) is dict
        for _, annotation in _fields(model)
        for part in _parts(annotation)
    )
    return free or bool(hidden_fields(model))


@cache
def _fields(model: type[BaseModel]) -> tuple[tuple[str, Any], ...]:
    hints = get_type_hints(model, include_extras=True)
    own = [(name, hints[name]) for name in model.model_fields]
    inner = (
        part for _, annotation in own for part in _parts(annotation)
        if isinstance(part, type) and issubclass(part, BaseModel) and part is not model
    )  # fmt: skip
    return tuple(own) + tuple(field for part in inner for field in _fields(part))


def _parts(annotation: Any) -> list[Any]:
    """An annotation and everything inside it: members of unions and lists, and what Annotated adds."""
    parts = [annotation]
    if not isinstance(annotation, str):
        for argument in get_args(annotation):
            parts += _parts(argument)
    return [part for part in parts if _hashable(part)]


def _hashable(part: object) -> bool:
    try:
        hash(part)
    except TypeError:
        return False
    return True


def _clean(value: Any, hidden: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            str(key)[:STRING_LENGTH]: HIDDEN
            if item is not None and (key in hidden or _SECRET_NAME.search(str(key)))
            else _clean(item, hidden)
            for key, item in value.items()
        }
    if isinstance(value, str) and len(value) > STRING_LENGTH:
        return value[:STRING_LENGTH] + "…"
    if isinstance(value, (list, tuple)):
        rest = [f"… and {len(value) - LIST_LENGTH} more"] if len(value) > LIST_LENGTH else []
        return [_clean(item, hidden) for item in value[:LIST_LENGTH]] + rest
    return value


def _cut(value: Any) -> Any:
    """A value, or how large it was."""
    size = len(orjson.dumps(value, default=str))
    return value if size <= CHANGES_SIZE // LIST_LENGTH - STRING_LENGTH // 4 else f"[{size} bytes]"


async def record(
    session: Session, *, tenant_id: UUID | None, person: UUID | None, action: str, outcome: str = OK,
    actor_id: UUID | None = None, impersonator_id: UUID | None = None, session_id: UUID | None = None,
    resource: str = "", address: str = "", user_agent: str = "",
    changes: str | None = None, was: str | None = None,
) -> None:  # fmt: skip
    """Write one entry: into the chain of a tenant, of every tenant that a person belongs to, or of the instance."""
    await session.exec(
        "record_audit", tenant=tenant_id, person=person, action=action, outcome=outcome, actor_id=actor_id,
        impersonator_id=impersonator_id, session_id=session_id, resource=resource, address=address,
        user_agent=user_agent, changes=changes, was=was,
    )  # fmt: skip

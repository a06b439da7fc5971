"""People as replies show them, and the fields that many payloads share."""

import re
from functools import lru_cache
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import available_timezones

import orjson
from pydantic import AfterValidator, BeforeValidator, EmailStr, StringConstraints

from handlers.registry import SECRET, Entity, Payload, Reply, Text, Timestamp

PREFERENCES_SIZE: Final = 16_384
"""The most that one object of preferences may hold (bytes of JSON)."""

_USERNAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{1,28}[a-z0-9])")
_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_LANGUAGE: Final = re.compile(
    r"(?P<language>[a-z]{2,3})(?:-(?P<script>[a-z]{4}))?(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<rest>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)"
)


def _fold(email: str) -> str:
    return email.strip().lower()


def _username(value: str) -> str:
    folded = value.strip().lower()
    if not _USERNAME.fullmatch(folded):
        raise ValueError("must have 3 to 30 letters, digits and ._- and begin and end with a letter or digit")
    return folded


def _phone(value: str) -> str:
    plain = re.sub(r"[\s().-]", "", value)
    if not _PHONE.fullmatch(plain):
        raise ValueError("must be a number such as +41441234567 (E.164)")
    return plain


def _timezone(value: str) -> str:
    if value not in _timezones():
        raise ValueError("must be a time zone such as Europe/Zurich (IANA)")
    return value


@lru_cache(maxsize=1)
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


def _language(value: str) -> str:
    match = _LANGUAGE.fullmatch(value.strip().lower().replace("_", "-"))
    if not match:
        raise ValueError("must be a language tag such as de or pt-BR (BCP 47)")
    parts = (match["language"], (match["script"] or "").title(), (match["region"] or "").upper())
    return "-".join(filter(None, parts)) + match["rest"]


def _avatar_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        sound = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        sound = False
    if not sound or re.search(r"[\s\"'<>\\]", value):
        raise ValueError("must be an address that begins with https://")
    return value


def _bounded(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(orjson.dumps(value))
    except (TypeError, ValueError, RecursionError):
        raise ValueError("must be plain JSON, not deeply nested") from None
    if size > PREFERENCES_SIZE:
        raise ValueError(f"must not take more than {PREFERENCES_SIZE} bytes of JSON")
    return value


def from_json(value: object) -> object:
    """A column of JSON, as the driver gives it, as what it holds."""
    return orjson.loads(value) if isinstance(value, str) else value


Email = Annotated[EmailStr, StringConstraints(max_length=254), AfterValidator(_fold)]
Password = Annotated[str, StringConstraints(min_length=1, max_length=256), SECRET]
Token = Annotated[Text, StringConstraints(max_length=200), SECRET]
Username = Annotated[Text, StringConstraints(max_length=100), AfterValidator(_username)]
Phone = Annotated[Text, StringConstraints(max_length=40), AfterValidator(_phone)]
Timezone = Annotated[Text, StringConstraints(max_length=60), AfterValidator(_timezone)]
Language = Annotated[Text, StringConstraints(max_length=35), AfterValidator(_language)]
AvatarUrl = Annotated[Text, StringConstraints(max_length=1000), AfterValidator(_avatar_url)]
Theme = Literal["light", "dark", "auto"]
Preferences = Annotated[dict[str, Any], AfterValidator(_bounded)]


class User(Entity):
    """A person, whatever tenants she works for."""

    id: UUID
    email: str
    name: str
    created_at: Timestamp


class Profile(Entity):
    """Oneself: what one says of oneself and how one likes things. Others see the name and the picture only."""

    id: UUID
    name: str
    email: str
    email_verified: bool
    username: str | None
    avatar_url: str | None
    phone: str | None
    timezone: str
    language: str
    theme: Theme
    notification_preferences: Annotated[dict[str, Any], BeforeValidator(from_json)]
    dashboard_preferences: Annotated[dict[str, Any], BeforeValidator(from_json)]
    created_at: Timestamp


class Membership(Entity):
    """A tenant that one may switch to, and one's role in it."""

    tenant_id: UUID
    tenant_status: str
    slug: str
    name: str
    role: str
    expires_at: Timestamp | None


class Nothing(Payload):
    """No fields."""


class Done(Reply):
    """It is done; there is nothing to tell."""

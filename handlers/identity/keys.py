"""The text of an API key: easy to recognise, checked for typos without asking anybody, stored as a hash alone.

atr_pk_02Rj5KPYc1v0bVyGzG8bEa_fWk3sQm0Zr8…
|   |  |                      30 random characters of base 62 (178 bits), and a checksum of 6
|   |  the key's id, 22 characters
|   pk: a person's, tk: a tenant's
Atrium
"""

import hashlib
import re
import secrets
import string
import zlib
from typing import Final, Literal
from uuid import UUID

Kind = Literal["personal", "tenant"]

MARK: Final = "atr_"
"""What every key begins with, and no access token does."""
MARKS: Final[dict[Kind, str]] = {"personal": "atr_pk_", "tenant": "atr_tk_"}
PATTERN: Final = re.compile(r"atr_[pt]k_(?P<id>[0-9A-Za-z]{22})_[0-9A-Za-z]{30}(?P<checksum>[0-9A-Za-z]{6})")

_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)}
_ID_LENGTH: Final = 22
_SECRET_LENGTH: Final = 30
_CHECKSUM_LENGTH: Final = 6


def new_key(kind: Kind, key_id: UUID) -> str:
    """A key that nobody has seen yet."""
    body = f"{prefix(kind, key_id)}_{''.join(secrets.choice(_DIGITS) for _ in range(_SECRET_LENGTH))}"
    return body + _checksum(body)


def prefix(kind: Kind, key_id: UUID) -> str:
    """The part of a key that is no secret: it tells which one it is."""
    return MARKS[kind] + _base62(key_id.int, _ID_LENGTH)


def id_of(key: str) -> UUID | None:
    """The id in a key; None for what was never one: forged, cut off or mistyped."""
    match = PATTERN.fullmatch(key)
    if match is None or _checksum(key[:-_CHECKSUM_LENGTH]) != match["checksum"]:
        return None
    value = 0
    for digit in match["id"]:
        value = value * len(_DIGITS) + _VALUES[digit]
    return UUID(int=value) if value < 2**128 else None


def hash_key(key: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(value: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        value, rest = divmod(value, len(_DIGITS))
        digits = _DIGITS[rest] + digits
    return digits

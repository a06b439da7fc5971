"""Values as SQL text, for a query that takes no parameters beside it."""

from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

PLAIN: Final = (UUID, int)
"""What looks the same in Python and in SQL, and needs no quoting. A bool is an int."""


def literal(value: object) -> str:
    """A value as SQL text, for what cannot be sent beside it. Raises DataError where Postgres has no form for it."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, PLAIN):
        return f"'{value}'"
    if isinstance(value, (list, tuple)):
        return _quoted("{" + ",".join([_element(one) for one in value]) + "}")
    return "NULL" if value is None else _quoted(_text(value))


def _element(value: object) -> str:
    """One of an array (Postgres manual, 8.15.6)."""
    if value is None:
        return "NULL"
    if isinstance(value, PLAIN):
        return str(value)
    return '"' + _text(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no literal here")


def _quoted(text: str) -> str:
    """A string constant; a backslash in it is a backslash (Postgres manual, 4.1.2.1)."""
    if "\0" in text or not _is_unicode(text):
        raise asyncpg.DataError("a text that UTF-8, or Postgres, cannot hold")
    return "'" + text.replace("'", "''") + "'"


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

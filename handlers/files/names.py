"""Names of files: what a person reads, and a browser saves under. No path on any machine is made of one."""

import re
import unicodedata
from typing import Annotated, Final
from urllib.parse import quote

from pydantic import AfterValidator

from handlers.registry import one_line

LONGEST: Final = 255
"""Characters of a name."""
_TURNS: Final = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Marks that turn the direction of writing: with them `exe.gpj` reads as `jpg.exe`."""
_PLAIN: Final = re.compile(r"[^A-Za-z0-9 ._()+-]")


def _name(value: str) -> str:
    last = unicodedata.normalize("NFC", re.split(r"[/\\]", value)[-1]).strip()
    if not last.strip("."):
        raise ValueError("must be the name of a file")
    if len(last) > LONGEST:
        raise ValueError(f"must have at most {LONGEST} characters")
    if _TURNS.search(last):
        raise ValueError("must not turn the direction of writing")
    last.encode()  # a lone surrogate is no character
    return one_line(last)


FileName = Annotated[str, AfterValidator(_name)]
"""The last part of what may have been a path."""


def disposition(name: str, *, inline: bool) -> str:
    """Content-Disposition for a name (RFC 6266): plain for old programs, and exactly for all others."""
    kind = "inline" if inline else "attachment"
    return f"{kind}; filename=\"{_PLAIN.sub('_', name)}\"; filename*=UTF-8''{quote(name, safe='')}"

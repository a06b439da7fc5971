"""Sheets: what an export answers, page by page, and how it becomes CSV that a spreadsheet may open.

    @export("audit.export", needs="audit.view", rest="GET /tenants/{tenant_id}/audit.csv", room="tenant", file="audit")
    async def as_csv(tx: Tx, ask: Wanted) -> Sheet: ...

The handler is called once for each page, each time in a transaction of its own and with the rights as they are then;
`tx.place` is what the page before gave as `next`, None for the first. That somebody exports is in the audit log before
the first line leaves.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from storage.rooms import timestamp

PAGE: Final = 1000
"""Rows per page of an export (count)."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How a cell begins that a spreadsheet would run."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One page of a table."""

    columns: Sequence[str]
    rows: Iterable[Sequence[object]]
    next: Any = None
    """Where the next page begins; None on the last one."""


def as_csv(sheet: Sheet, *, header: bool) -> bytes:
    """A page as CSV (RFC 4180, UTF-8), with the line of column names or without."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    if header:
        writer.writerow(sheet.columns)
    writer.writerows([_cell(value) for value in row] for row in sheet.rows)
    return text.getvalue().encode()


def as_json(sheet: Sheet, *, first: bool) -> bytes:
    """A page as the items of a JSON list, without its brackets; those of a later page begin with a comma."""
    items = [
        orjson.dumps(dict(zip(sheet.columns, map(_plain, row), strict=True)), default=str)
        for row in sheet.rows
    ]
    return (b"" if first or not items else b",\n") + b",\n".join(items)


def _plain(value: object) -> object:
    return timestamp(value) if isinstance(value, datetime) else value


def _cell(value: object) -> str:
    """What a spreadsheet shows as it is: an apostrophe keeps it from running what somebody typed as a formula."""
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return str(value)
    text = timestamp(value) if isinstance(value, datetime) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text

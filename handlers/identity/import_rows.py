"""The rows of an import: CSV as people write it, and what is wrong with each row by itself.

RFC 4180 with quotes, in UTF-8 with or without a byte order mark, separated by comma, semicolon or tab. The first line
names the columns, in any order and case; columns of other names are passed over, so that an export can be imported.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from pydantic import TypeAdapter, ValidationError

from handlers.access import ROLES, Role
from handlers.errors import ValidationFailed
from handlers.identity.people import Email
from handlers.registry import in_range

COLUMNS: Final = {
    "email": "email", "e mail": "email", "email address": "email", "mail": "email",
    "name": "name", "full name": "name",
    "role": "role",
    "expires at": "expires_at", "expires": "expires_at",
    "projects": "projects", "project": "projects",
}  # fmt: skip
"""Name in the file, in lower case and with spaces for _ and -, -> what it means."""

BOM: Final = "\ufeff"
SEPARATORS: Final = (",", ";", "\t")
NAME_LENGTH: Final = 200
PROJECTS: Final = 100
"""The most projects that one row may name (count)."""
VALUE_LENGTH: Final = 100
"""So much of a wrong cell is shown with its error (characters)."""

_EMAIL: Final[TypeAdapter[str]] = TypeAdapter(Email)


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with one cell."""

    line: int
    field: str
    message: str
    value: str


@dataclass(slots=True)
class Row:
    """One person of an import, as far as the file alone can tell."""

    line: int
    email: str = ""
    name: str = ""
    role: Role = "member"
    expires_at: datetime | None = None
    projects: list[str] = field(default_factory=list)
    """Keys."""
    flaws: list[Flaw] = field(default_factory=list)

    def wrong(self, name: str, message: str, value: str = "") -> None:
        self.flaws.append(Flaw(self.line, name, message, _shown(value)))


def count(text: str) -> int:
    """How many rows there are; VALIDATION_ERROR where the file as such is no good."""
    return sum(1 for _ in _cells(text, _head(text)[1])) - 1


def rows(text: str, *, role: Role, now: datetime) -> list[Row]:
    """The people of an import, with what is wrong with each; `role` is for those who have none in the file."""
    columns, separator = _head(text)
    lines = _cells(text, separator)
    next(lines)
    seen: dict[str, int] = {}
    return [_row(line, _named(columns, cells), role, now, seen) for line, cells in lines]


def _cells(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that hold anything, with their numbers; the first names the columns."""
    reader = csv.reader(io.StringIO(text.removeprefix(BOM), newline=""), delimiter=separator, strict=True)
    begins = 1
    try:
        for cells in reader:
            if any(cells):
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        raise _bad(f"cannot be read from line {begins} on: {error}") from None


def _head(text: str) -> tuple[list[str], str]:
    """The columns by their meaning (or "" for those that have none here), and what separates them."""
    best: tuple[list[str], str] = ([], ",")
    for separator in SEPARATORS:
        try:
            _, cells = next(_cells(text, separator), (1, []))
        except ValidationFailed:
            continue
        columns = [COLUMNS.get(re.sub(r"[\s_-]+", " ", cell.strip().lower()), "") for cell in cells]
        if sum(map(bool, columns)) > sum(map(bool, best[0])):
            best = columns, separator
    named = [column for column in best[0] if column]
    if "email" not in named:
        raise _bad("must begin with a line that names its columns, email among them")
    if len(set(named)) < len(named):
        raise _bad("names a column twice")
    return best


def _named(columns: list[str], cells: list[str]) -> dict[str, str]:
    named = {column: cell.strip() for column, cell in zip(columns, cells, strict=False) if column}
    if len(cells) > len(columns):
        named[""] = cells[len(columns)]
    return named


def _row(line: int, cells: dict[str, str], role: Role, now: datetime, seen: dict[str, int]) -> Row:
    row = Row(line)
    if "" in cells:
        row.wrong("row", "has more cells than the first line", cells[""])
    _read_email(row, cells.get("email", ""), seen)
    row.name = _unescaped(cells.get("name", ""))
    if len(row.name) > NAME_LENGTH:
        row.wrong("name", f"has more than {NAME_LENGTH} characters", row.name)
    row.role = _role(row, cells.get("role", ""), role)
    row.expires_at = _moment(row, cells.get("expires_at", ""), now)
    if row.role == "guest" and not cells.get("expires_at"):
        row.wrong("expires_at", "is needed for a guest")
    row.projects = list(dict.fromkeys(re.findall(r"[^\s,;|]+", cells.get("projects", "").upper())))
    if len(row.projects) > PROJECTS:
        row.wrong("projects", f"names more than {PROJECTS}")
    return row


def _read_email(row: Row, value: str, seen: dict[str, int]) -> None:
    if not value:
        row.wrong("email", "is missing")
        return
    try:
        row.email = _EMAIL.validate_python(value)
    except (ValidationError, ValueError):
        row.wrong("email", "is not an address", value)
        return
    if (first := seen.setdefault(row.email, row.line)) != row.line:
        row.wrong("email", f"is in line {first} already", value)


def _role(row: Row, value: str, default: Role) -> Role:
    role = value.lower()
    if role and role not in ROLES:
        row.wrong("role", f"must be one of {', '.join(ROLES)}", value)
        return default
    return role or default


def _moment(row: Row, value: str, now: datetime) -> datetime | None:
    """A day counts to its end (UTC); a moment needs a time zone."""
    if not value:
        return None
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            day = in_range(date.fromisoformat(value))
            at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        else:
            at = datetime.fromisoformat(value)
            if at.tzinfo is None:
                row.wrong("expires_at", "needs a time zone, such as 2027-01-31T18:00:00Z", value)
                return None
            at = in_range(at).astimezone(UTC)
    except (ValueError, OverflowError):
        row.wrong("expires_at", "must be a day such as 2027-01-31", value)
        return None
    if at <= now:
        row.wrong("expires_at", "must lie in the future", value)
    return at


def _unescaped(cell: str) -> str:
    """Without the apostrophe that an export puts before what a spreadsheet would run."""
    return cell[1:] if re.match(r"'[=+\-@\t\r]", cell) else cell


def _shown(value: str) -> str:
    return value if len(value) <= VALUE_LENGTH else f"{value[:VALUE_LENGTH]}…"


def _bad(message: str) -> ValidationFailed:
    return ValidationFailed.field("csv", message)

"""Named SQL: `sql/<room of the house>/<noun>.sql` holds statements under a line `-- move_task :one`.

Parameters are written `:task_id` and become `$1`; the comment above a statement says why it is as it is.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

SQL_DIR: Final = Path(__file__).resolve().parent.parent / "sql"

Kind = Literal["one", "maybe", "many", "value", "exec"]

_HEADER = re.compile(r"^-- (?P<name>[a-z_0-9]+) :(?P<kind>one|maybe|many|value|exec)[ \t]*$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z_0-9]*)")
_COMMENT = re.compile(r"--[^\n]*")
_WRITE = re.compile(r"\b(INSERT\s+INTO|UPDATE\s+\w|DELETE\s+FROM)", re.IGNORECASE)
_LOCK = re.compile(r"\bFOR\s+(NO\s+KEY\s+)?UPDATE\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One named statement, ready to prepare."""

    name: str
    kind: Kind
    sql: str
    params: tuple[str, ...]
    writes: bool
    source: str


def parse(text: str, source: str) -> list[Statement]:
    """Cut a `.sql` file into its statements."""
    headers = list(_HEADER.finditer(text))
    ends = [header.start() for header in headers[1:]] + [len(text)]
    return [
        _statement(header, text[header.end() : end], source)
        for header, end in zip(headers, ends, strict=True)
    ]


def _statement(header: re.Match[str], body: str, source: str) -> Statement:
    body = _COMMENT.sub("", body).strip().rstrip(";")
    params = tuple(dict.fromkeys(_PARAMETER.findall(body)))
    numbers = {name: f"${index}" for index, name in enumerate(params, 1)}
    return Statement(
        name=header["name"],
        kind=cast("Kind", header["kind"]),
        sql=_PARAMETER.sub(lambda match: numbers[match[1]], body),
        params=params,
        writes=bool(_WRITE.search(_LOCK.sub("", body))),
        source=source,
    )


def load(directory: Path = SQL_DIR) -> dict[str, Statement]:
    """Every statement of the house by name; a name may be given only once."""
    found: dict[str, Statement] = {}
    for path in sorted(directory.rglob("*.sql")):
        if path.parent.name == "migrations" or path.name == "schema.sql":
            continue
        for statement in parse(path.read_text(), str(path.relative_to(directory))):
            if statement.name in found:
                raise ValueError(
                    f"{statement.source}: {statement.name} is also in {found[statement.name].source}"
                )
            found[statement.name] = statement
    return found

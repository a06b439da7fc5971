"""Named SQL: `sql/<room of the house>/<noun>.sql` holds statements under a line `-- move_task :one`.

Parameters are written `:task_id` and become `$1`; the comment above a statement says why it is as it is. A statement
may take in another one, of any file, as a subquery: `FROM ({open_room}) AS opened`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

SQL_DIR: Final = Path(__file__).resolve().parent.parent / "sql"

Kind = Literal["one", "maybe", "many", "value", "exec"]

_HEADER = re.compile(r"^-- (?P<name>[a-z_0-9]+) :(?P<kind>one|maybe|many|value|exec)[ \t]*$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z_0-9]*)")
_TAKEN_IN = re.compile(r"\{([a-z_0-9]+)\}")
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


def parse(text: str, source: str, known: Mapping[str, str] | None = None) -> list[Statement]:
    """Cut a `.sql` file into its statements; `known` are the bodies by name of what they may take in."""
    bodies = _bodies(text)
    return [_statement(header, body, known or {}, source) for header, body in bodies]


def _bodies(text: str) -> list[tuple[re.Match[str], str]]:
    headers = list(_HEADER.finditer(text))
    ends = [header.start() for header in headers[1:]] + [len(text)]
    return [
        (header, _COMMENT.sub("", text[header.end() : end]).strip().rstrip(";"))
        for header, end in zip(headers, ends, strict=True)
    ]


def _statement(header: re.Match[str], body: str, known: Mapping[str, str], source: str) -> Statement:
    body = _TAKEN_IN.sub(lambda match: known[match[1]], body)
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
    texts = {
        str(path.relative_to(directory)): path.read_text()
        for path in sorted(directory.rglob("*.sql"))
        if path.parent.name != "migrations" and path.name != "schema.sql"
    }
    known = {header["name"]: body for text in texts.values() for header, body in _bodies(text)}
    found: dict[str, Statement] = {}
    for source, text in texts.items():
        for statement in parse(text, source, known):
            if statement.name in found:
                raise ValueError(
                    f"{statement.source}: {statement.name} is also in {found[statement.name].source}"
                )
            found[statement.name] = statement
    return found

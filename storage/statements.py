"""Named SQL: `sql/<room of the house>/<noun>.sql` holds statements under a line `-- move_task :one`.

Parameters are written `:task_id` and become `$1`; the comment above a statement says why it is as it is. A statement
may take in another one, of any file, as a subquery: `FROM ({open_room}) AS opened`. Where a part of it is only known
when it runs, it has a place with what stands there otherwise: `AND {where: true}`; a `Clause` is put there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, cast

import orjson

SQL_DIR: Final = Path(__file__).resolve().parent.parent / "sql"

Kind = Literal["one", "maybe", "many", "value", "exec"]

_HEADER = re.compile(r"^-- (?P<name>[a-z_0-9]+) :(?P<kind>one|maybe|many|value|exec)[ \t]*$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z_0-9]*)")
_TAKEN_IN = re.compile(r"\{([a-z_0-9]+)\}")
_PLACE = re.compile(r"\{(?P<name>[a-z_]+): (?P<usual>[^{}]*)\}")
_GIVEN = re.compile(r"\$(\d+)")
_COMMENT = re.compile(r"--[^\n]*")
_WRITE = re.compile(r"\b(INSERT\s+INTO|UPDATE\s+\w|DELETE\s+FROM)", re.IGNORECASE)
_LOCK = re.compile(r"\bFOR\s+(NO\s+KEY\s+)?UPDATE\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of SQL that is made when it is needed, and the values that it binds as `$1`, `$2` and so on.

    Its text is the house's own: nothing that a caller has sent stands in it, but only among the values. `:name` in it
    is a parameter of the statement that it is put into.
    """

    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """One named statement, ready to prepare."""

    name: str
    kind: Kind
    sql: str
    params: tuple[str, ...]
    writes: bool
    source: str
    body: str = ""
    """As it is written."""
    places: tuple[str, ...] = ()
    """Where clauses may be put."""
    given: Mapping[str, Any] | None = None
    """Values that clauses have brought, by the names they got; None where nothing was put into it."""

    def filled(self, clauses: Mapping[str, Clause]) -> "Statement":
        """The same with clauses in its places. Its text is a new one, to be prepared by itself."""
        if self.kind != "many":
            raise TypeError(
                f"{self.name} :{self.kind} takes no clauses: only what is :many is run unprepared"
            )
        given: dict[str, Any] = {}

        def put(place: re.Match[str]) -> str:
            clause, first = clauses.get(place["name"], Clause(place["usual"])), len(given)
            given.update({f"given_{first + n}": value for n, value in enumerate(clause.values, 1)})
            return _GIVEN.sub(lambda number: f":given_{first + int(number[1])}", clause.sql)

        sql, params = _numbered(_PLACE.sub(put, self.body))
        return replace(self, sql=sql, params=params, given=given)


def as_json(value: object) -> str:
    """A value for a parameter of type json; ids of asyncpg's own class as well."""
    return orjson.dumps(value, default=str).decode()


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
    sql, params = _numbered(_PLACE.sub(lambda place: place["usual"], body))
    return Statement(
        name=header["name"],
        kind=cast("Kind", header["kind"]),
        sql=sql,
        params=params,
        writes=bool(_WRITE.search(_LOCK.sub("", body))),
        source=source,
        body=body,
        places=tuple(place["name"] for place in _PLACE.finditer(body)),
    )


def _numbered(body: str) -> tuple[str, tuple[str, ...]]:
    """`:name` as `$1`, and the names in the order of their numbers."""
    params = tuple(dict.fromkeys(_PARAMETER.findall(body)))
    numbers = {name: f"${index}" for index, name in enumerate(params, 1)}
    return _PARAMETER.sub(lambda match: numbers[match[1]], body), params


@cache
def load(directory: Path = SQL_DIR) -> Mapping[str, Statement]:
    """Every statement of the house by name, read once; a name may be given only once."""
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
    return MappingProxyType(found)

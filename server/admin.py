"""`python -m server admin`: who runs the server, and a look at its tenants and accounts."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from handlers.platform.administrators import give_flag
from server.node import Node

MOST: Final = 100
"""Rows that a list shows (count)."""


async def change(node: Node, email: str, *, granted: bool) -> str | None:
    """Give or take the flag; what that amounts to, or None where nobody has the address."""
    async with node.db.transaction(None) as session:
        given = await give_flag(session, email, granted=granted)
    if given is None:
        return None
    user, changes = given
    node.gateway.announce_rights(changes)
    may = "runs the server now" if granted else "does not run the server any more"
    return f"{user['name']} <{user['email']}> {may}."


async def administrators(node: Node) -> list[Mapping[str, Any]]:
    async with node.db.transaction(None) as session:
        return await session.many(
            "platform_admins",
            after_id=UUID(int=0),
            status=None,
            kind=None,
            email=None,
            name=None,
            max_rows=MOST,
        )


async def tenants(node: Node, search: str) -> list[Mapping[str, Any]] | None:
    """The tenants with something in name or slug; None while nobody runs the server, in whose name to ask."""
    known = await administrators(node)
    if not known:
        return None
    async with node.db.transaction(None) as session:
        return await session.many(
            "platform_tenants", caller=known[0]["id"], search=search, status=None, after_name="",
            after_id=UUID(int=0), max_rows=MOST,
        )  # fmt: skip


async def users(node: Node, prefix: str) -> list[Mapping[str, Any]]:
    """The accounts whose address, or else whose name, begins with something."""
    asked = {
        "prefix": prefix, "after_place": "", "after_id": UUID(int=0), "status": None, "kind": None,
        "platform_admin": None, "name": None, "max_rows": MOST,
    }  # fmt: skip
    async with node.db.transaction(None) as session:
        found = await session.many("users_by_email", **asked)
        return found or await session.many("users_by_name", **asked)


def lines(rows: Sequence[Mapping[str, Any]], *columns: str) -> list[str]:
    """Rows as columns of text."""
    cells = [[_text(row[column]) for column in columns] for row in rows]
    widths = [max(len(name), *(len(row[at]) for row in cells)) if cells else len(name)
              for at, name in enumerate(columns)]  # fmt: skip
    table = [list(columns), *cells]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _text(value: object) -> str:
    if value is None:
        return "-"
    return value.strftime("%Y-%m-%d %H:%M") if hasattr(value, "strftime") else str(value)

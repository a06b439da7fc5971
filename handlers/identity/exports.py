"""Exports: the members of a tenant, and the errors of an import, as files."""

from typing import Final
from uuid import UUID

from handlers.context import Tx
from handlers.errors import NotFound
from handlers.registry import Payload, export
from handlers.sheets import PAGE, Sheet

MEMBER_COLUMNS: Final = (
    "id", "name", "email", "role", "custom_role", "status", "joined_at", "expires_at", "last_sign_in_at", "teams",
)  # fmt: skip
ERROR_COLUMNS: Final = ("line", "field", "message", "value")


class AllMembers(Payload):
    """No fields: the tenant is that of the token."""


class ErrorsOfImport(Payload):
    import_id: UUID


@export("member.export", needs="member.export", rest="GET /tenants/{tenant_id}/members.csv", file="members")
async def members(tx: Tx, ask: AllMembers) -> Sheet:
    """The members with their addresses, deactivated and lapsed ones too.

    `last_sign_in_at` is when somebody last came into this tenant; what she does elsewhere is not told. Programs that act
    by API key are not listed.
    """
    rows = await tx.many("members_to_export", after_id=tx.place or UUID(int=0), max_rows=PAGE)
    following = rows[-1]["id"] if len(rows) == PAGE else None
    return Sheet(MEMBER_COLUMNS, [[row[name] for name in MEMBER_COLUMNS] for row in rows], following)


@export(
    "import.errors",
    needs="member.export",
    rest="GET /tenants/{tenant_id}/imports/{import_id}/errors.csv",
    file="import-errors",
)
async def import_errors(tx: Tx, ask: ErrorsOfImport) -> Sheet:
    """What is wrong with which row of an import."""
    if await tx.maybe("member_import", ask) is None:
        raise NotFound("There is no such import")
    line, field = tx.place or (0, "")
    rows = await tx.many("import_errors", ask, after_line=line, after_field=field, max_rows=PAGE)
    following = (rows[-1]["line"], rows[-1]["field"]) if len(rows) == PAGE else None
    return Sheet(ERROR_COLUMNS, [[row[name] for name in ERROR_COLUMNS] for row in rows], following)

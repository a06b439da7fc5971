"""The audit log: what was done in a tenant, by whom, from where, and what changed by it."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from pydantic import BeforeValidator, Field, StringConstraints

from handlers.context import Tx
from handlers.paging import decode_cursor, encode_cursor
from handlers.registry import (
    Entity,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Text,
    Timestamp,
    When,
    export,
    query,
)
from handlers.sheets import PAGE, Sheet
from storage.postgres import Row, Session

FIRST: Final = UUID(int=0)
LAST: Final = UUID(int=2**128 - 1)
BEYOND: Final = "\U0010ffff"
"""Sorts after every action that begins with a prefix."""


def _parsed(value: object) -> object:
    return orjson.loads(value) if isinstance(value, str) else value


class Filters(Payload):
    """Which entries; all that are given must hold."""

    actor_id: UUID | None = Field(None, description="What this person did, or was done in her name.")
    action: Annotated[Text, StringConstraints(max_length=100)] | None = Field(
        None, description="How the action begins: `member.` or `auth.login`."
    )
    resource: Annotated[Text, StringConstraints(max_length=200)] | None = Field(
        None, description="What it was about: `task:<id>`, `user:<id>`, `session:<id>`."
    )
    outcome: Annotated[Text, StringConstraints(max_length=40)] | None = Field(
        None, description="`ok`, the code of an error, or `failed` for every error."
    )
    since: When | None = Field(None, description="From this moment on.")
    until: When | None = Field(None, description="Before this moment.")


class ListAudit(Filters, Paging):
    """Which entries, and how many of them."""


class AuditEntry(Entity):
    """One entry: it was written with what it tells of, and never changes."""

    id: UUID
    at: Timestamp
    action: str = Field(description="The command or endpoint.")
    outcome: str = Field(description="`ok`, or the code of the error that it ended with.")
    actor_id: UUID | None = Field(description="Who did it; null where that was not proven.")
    actor_name: str | None
    impersonator_id: UUID | None = Field(description="The platform administrator who acted as the actor.")
    impersonator_name: str | None
    session_id: UUID | None
    command_id: UUID | None
    room: str | None = Field(description="The room of a command.")
    resource: str = Field(description="What it was about, such as `task:<id>`.")
    address: str
    user_agent: str
    changes: Annotated[dict[str, Any] | None, BeforeValidator(_parsed)] = Field(
        description="Fields and their new values; long ones are cut, secret ones hidden."
    )
    was: Annotated[dict[str, Any] | None, BeforeValidator(_parsed)] = Field(
        description="Values that fields had before, where the event tells them."
    )
    seq: int | None = Field(
        description="Its place in the chain; null until it is sealed, which takes seconds."
    )


class AuditList(Reply):
    """Entries, the newest first."""

    entries: list[AuditEntry]


COLUMNS: Final = tuple(AuditEntry.model_fields)


@query("audit.list", needs="audit.view", rest="GET /tenants/{tenant_id}/audit", room="tenant")
async def list_audit(tx: Tx, ask: ListAudit) -> Page[AuditList]:
    """What was done in the tenant, the newest first."""
    place = decode_cursor(ask.cursor, UUID)
    rows = await read_page(tx.session, ask, place[0] if place else None, ask.limit + 1)
    more = len(rows) > ask.limit
    entries = [AuditEntry.of(row) for row in rows[: ask.limit]]
    following = encode_cursor(entries[-1].id) if more else None
    return Page(AuditList(entries=entries), Pagination(limit=ask.limit, next=following))


@export("audit.export", needs="audit.view", rest="GET /tenants/{tenant_id}/audit.csv", file="audit")
async def export_audit(tx: Tx, ask: Filters) -> Sheet:
    """The same as a file, without an end: CSV, the newest first."""
    return await read_sheet(tx.session, ask, tx.place)


async def read_sheet(session: Session, ask: Filters, before: UUID | None) -> Sheet:
    """A page of the file."""
    rows = await read_page(session, ask, before, PAGE)
    following = rows[-1]["id"] if len(rows) == PAGE else None
    return Sheet(COLUMNS, [[row[name] for name in COLUMNS] for row in rows], following)


async def read_page(session: Session, ask: Filters, before: UUID | None, most: int) -> list[Row]:
    """Entries that fit, from the newest or from a place on. Ids sort by time, so that dates are bounds of ids."""
    after = _floor(ask.since) if ask.since else FIRST
    until = _floor(ask.until + timedelta(milliseconds=1)) if ask.until else LAST
    return await session.many(
        "audit_page",
        ask,
        actor_id=ask.actor_id,
        after_id=after,
        before_id=min(before or LAST, until),
        beyond=BEYOND,
        most=most,
    )


def _floor(at: datetime) -> UUID:
    """The least id of an entry of that millisecond."""
    return UUID(int=int(at.timestamp() * 1000) << 80)

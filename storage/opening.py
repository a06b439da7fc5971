"""How a transaction begins: by a message of its own, or in one message with what it runs first."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID

BIND_AND_EXECUTE: Final = (
    b"B\0\0\0\x0c\0\0\0\0\0\0\0\0"  # no name for portal and statement; no parameters; no formats
    b"E\0\0\0\x09\0\0\0\0\0"  # the same portal, all rows
)
"""Carries out what was parsed without a name (Postgres manual, Message Formats)."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The steps that begin a transaction. None of them returns rows, and none holds what a client has sent as text."""

    steps: tuple[str, ...]
    messages: bytes
    """Messages of the extended query protocol, without the Sync at their end: Postgres goes on to the statement that
    follows them, or to its Sync where one of them fails (Postgres manual, Pipelining).
    """

    @property
    def text(self) -> str:
        """As a simple query."""
        return "; ".join(self.steps)


@lru_cache(maxsize=1024)
def opening(
    tenant_id: UUID | None, begin: str = "BEGIN", hold: UUID | None = None, settings: tuple[str, ...] = ()
) -> Opening:
    """A transaction that sees one tenant, or none; with `hold` the room of this id is locked until its end."""
    tenant = str(tenant_id) if tenant_id else ""
    enter = (
        f"SET LOCAL atrium.tenant = '{tenant}'" if hold is None else f"CALL hold_room('{tenant}', '{hold}')"
    )
    steps = (begin, *settings, enter)
    return Opening(steps, b"".join([_parse(step) + BIND_AND_EXECUTE for step in steps]))


def _parse(step: str) -> bytes:
    text = step.encode()
    return b"P%b\0%b\0\0\0" % ((len(text) + 8).to_bytes(4, "big"), text)

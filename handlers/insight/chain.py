"""The chain of the audit log: what is hashed, in which order, and how the head is signed.

    hash = SHA-256(hash before ‖ seq, 8 bytes ‖ time of sealing in microseconds, 8 bytes ‖ the entry's canonical bytes)

The canonical bytes are a JSON array without spaces: the version of this format, tenant_id and the columns of FIELDS,
ids as text, the time as ISO 8601 in UTC with microseconds, `changes` and `was` as the very text that was written.
The first hash of a chain follows the SHA-256 of `atrium audit ` and the tenant's id. docs/audit.md says the same for
those who verify with means of their own.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final
from uuid import UUID

import orjson

from storage.postgres import Row

FORMAT: Final = 1
FIELDS: Final = (
    "id", "at", "action", "outcome", "actor_id", "impersonator_id", "session_id", "command_id", "room_id",
    "resource", "address", "user_agent", "changes", "was",
)  # fmt: skip
_fields = itemgetter(*FIELDS)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain stands."""

    seq: int
    hash: bytes


def genesis(tenant_id: UUID) -> Head:
    """Where a chain begins."""
    return Head(0, hashlib.sha256(b"atrium audit " + str(tenant_id).encode()).digest())


def follow(head: Head, tenant_id: UUID, entry: Row, sealed_at: datetime) -> Head:
    """The head after one more entry."""
    seq = head.seq + 1
    digest = hashlib.sha256(head.hash)
    digest.update(seq.to_bytes(8, "big"))
    digest.update(_microseconds(sealed_at).to_bytes(8, "big"))
    digest.update(canonical(tenant_id, entry))
    return Head(seq, digest.digest())


def canonical(tenant_id: UUID, entry: Row) -> bytes:
    entry_id, at, *others = _fields(entry)
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    return orjson.dumps([FORMAT, str(tenant_id), entry_id, moment, *others], default=str)


class Signer:
    """Signs heads with a key derived from the instance's secret; also knows the keys of former secrets."""

    def __init__(self, secret: str, former: Sequence[str] = ()) -> None:
        self._keys = [
            hmac.new(one.encode(), b"audit-chain", hashlib.sha256).digest() for one in (secret, *former)
        ]

    def sign(self, use: str, tenant_id: UUID, head: Head) -> bytes:
        """`use` is `head`, or `anchor` for one that retention leaves behind."""
        return _sign(self._keys[0], use, tenant_id, head)

    def signed(self, use: str, tenant_id: UUID, head: Head, signature: bytes) -> bool:
        return any(hmac.compare_digest(_sign(key, use, tenant_id, head), signature) for key in self._keys)


def _sign(key: bytes, use: str, tenant_id: UUID, head: Head) -> bytes:
    said = b"%b %b %d %b" % (use.encode(), str(tenant_id).encode(), head.seq, head.hash)
    return hmac.new(key, said, hashlib.sha256).digest()


def _microseconds(at: datetime) -> int:
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds

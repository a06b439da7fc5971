"""Walks the chains of the audit log and names the first row that is not as it was."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import orjson

from handlers.evidence import INSTANCE
from handlers.insight.chain import Head, Signer, follow, genesis
from storage.postgres import Database, Row
from storage.rooms import timestamp

PAGE: Final = 1000
"""Rows that are read at once (count)."""
PATIENCE: Final = timedelta(minutes=2)
"""An entry that is older than this and not sealed, or younger than now by so much, is not right."""

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Chain:
    tenant_id: UUID
    slug: str | None

    @property
    def name(self) -> str:
        return "instance" if self.tenant_id == INSTANCE else self.slug or str(self.tenant_id)


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing in a chain that is not as it was."""

    chain: Chain
    what: str
    seq: int | None = None
    entry_id: UUID | None = None

    def __str__(self) -> str:
        place = [f"seq {self.seq}" if self.seq else "", f"entry {self.entry_id}" if self.entry_id else ""]
        return f"{self.chain.name}: {', '.join(part for part in place if part) or 'the chain'}: {self.what}"


@dataclass(frozen=True, slots=True)
class Verdict:
    chain: Chain
    entries: int
    head: Head
    finding: Finding | None


@dataclass(slots=True)
class _Walk:
    """One way along a chain."""

    chain: Chain
    signer: Signer
    told: Mapping[int, bytes]
    """Heads that were written elsewhere."""
    head: Head
    vouched: int
    """The last seq that a good signature covers."""
    unvouched: UUID | None = None
    count: int = 0

    def step(self, row: Row) -> Finding | None:
        """Follow the chain by one seal."""
        chain, seq = self.chain, self.head.seq + 1
        if row["seq"] != seq:
            return Finding(chain, "was deleted with its seal", seq)
        if row["id"] is None:
            return Finding(chain, "was deleted", seq, row["entry_id"])
        head = follow(self.head, chain.tenant_id, row, row["sealed_at"])
        if head.hash != row["hash"]:
            what = f"{row['action']} of {timestamp(row['at'])} was edited, or put in another place"
            return Finding(chain, what, seq, row["id"])
        if self.told.get(seq, head.hash) != head.hash:
            return Finding(chain, "the chain was rewritten: another head was written down", seq, row["id"])
        self.head = head
        self.count += 1
        if row["signature"] and self.signer.signed("head", chain.tenant_id, head, row["signature"]):
            self.vouched, self.unvouched = seq, None
        elif self.unvouched is None:
            self.unvouched = row["id"]
        return None

    def end(self) -> Finding | None:
        """Whether the chain ends where it should, signed."""
        lost = max((seq for seq in self.told if seq > self.head.seq), default=None)
        if lost is not None:
            what = f"the end was cut off: a head with seq {lost} was written down"
            return Finding(self.chain, what, self.head.seq + 1)
        if self.vouched < self.head.seq:
            return Finding(self.chain, "is not signed by this instance", self.vouched + 1, self.unvouched)
        return None


class Verifier:
    """Compares what the database holds with the chain, its signatures and the heads that were written elsewhere."""

    def __init__(self, db: Database, signer: Signer, data_dir: Path) -> None:
        self._db = db
        self._signer = signer
        self._heads = read_heads(data_dir)

    async def chains(self, slug: str | None = None) -> list[Chain]:
        """All chains, those that only the file of heads remembers too; or the one of a tenant (`instance`: the own one)."""
        async with self._db.transaction(None) as session:
            rows = await session.many("audit_chains")
        found = [Chain(row["tenant_id"], row["slug"]) for row in rows]
        known = {chain.tenant_id for chain in found}
        found += [Chain(tenant_id, None) for tenant_id in self._heads if tenant_id not in known]
        return [chain for chain in found if slug in (None, chain.name, str(chain.tenant_id))]

    async def length(self, chain: Chain) -> int:
        """About how many entries there are to check."""
        async with self._db.transaction(chain.tenant_id) as session:
            length: int = await session.value("audit_length")
        return length

    async def verify(self, chain: Chain, progress: Progress = lambda _: None) -> Verdict:
        """One chain: up to its first bad row, or to its end."""
        start, finding = await self._start(chain)
        head, walked = start, 0
        if finding is None:
            head, walked, finding = await self._walk(chain, start, progress)
        return Verdict(chain, walked, head, finding or await self._unsealed(chain))

    async def _start(self, chain: Chain) -> tuple[Head, Finding | None]:
        async with self._db.transaction(chain.tenant_id) as session:
            anchor = await session.maybe("audit_anchor")
        if anchor is None:
            return genesis(chain.tenant_id), None
        head = Head(anchor["seq"], anchor["hash"])
        if not self._signer.signed("anchor", chain.tenant_id, head, anchor["signature"]):
            return head, Finding(
                chain, "older entries were removed, and not by this instance's retention", head.seq
            )
        return head, None

    async def _walk(self, chain: Chain, start: Head, progress: Progress) -> tuple[Head, int, Finding | None]:
        walk = _Walk(chain, self._signer, self._heads.get(chain.tenant_id, {}), start, start.seq)
        while rows := await self._page(chain, walk.head):
            for row in rows:
                if (finding := walk.step(row)) is None:
                    continue
                moved, _ = await self._start(chain)
                if moved.seq > start.seq:  # retention has been here meanwhile
                    return await self._walk(chain, moved, progress)
                return walk.head, walk.count, finding
            progress(len(rows))
        return walk.head, walk.count, walk.end()

    async def _page(self, chain: Chain, head: Head) -> list[Row]:
        async with self._db.transaction(chain.tenant_id) as session:
            return await session.many("audit_chain_page", after_seq=head.seq, most=PAGE)

    async def _unsealed(self, chain: Chain) -> Finding | None:
        """The first entry that is outside of the chain and should not be."""
        after = UUID(int=0)
        while True:
            async with self._db.transaction(chain.tenant_id) as session:
                rows = await session.many("audit_entries_page", after_id=after, most=PAGE)
            for row in rows:
                if row["seq"] is None and abs(row["age"]) > PATIENCE:
                    why = (
                        "waits for its seal too long" if row["waits"] else "was inserted: it was never sealed"
                    )
                    return Finding(chain, f"{row['action']} of {timestamp(row['at'])} {why}", None, row["id"])
            if len(rows) < PAGE:
                return None
            after = rows[-1]["id"]


def read_heads(data_dir: Path) -> Mapping[UUID, dict[int, bytes]]:
    """The heads that were written down on this node: of each chain the last one in each file."""
    found: dict[UUID, dict[int, bytes]] = {}
    for path in sorted((data_dir / "audit").glob("heads-*.jsonl")):
        last: dict[UUID, tuple[int, bytes]] = {}
        with path.open("rb") as lines:
            for line in lines:
                try:
                    said = orjson.loads(line)
                except ValueError:  # half of one, which a full disk has left
                    continue
                last[UUID(said["tenant"])] = said["seq"], bytes.fromhex(said["hash"])
        for tenant_id, (seq, digest) in last.items():
            found.setdefault(tenant_id, {})[seq] = digest
    return found

"""Seals the audit log: entries are written unchained, so that rooms do not wait for each other, and chained here.

Any node seals, one at a time in each chain: what waits is in a small table, written with the entries and taken away
with the sealing, so that none is forgotten, and a node that dies loses nothing. The last seal of each sealing is
signed. Heads also go where the database cannot reach: into the log, and into a file under the data directory.
"""

import asyncio
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import orjson
import structlog

from handlers import evidence
from handlers.insight.chain import Head, Signer, follow, genesis
from storage.background import end_tasks
from storage.postgres import LOST, Database, Session
from storage.rooms import timestamp
from storage.settings import Settings

log = structlog.get_logger(__name__)

BATCH: Final = 200
"""Waiting transactions that are sealed at once (count), so that the event loop is not held up."""
CHAINS: Final = 1000
"""Chains that one round looks at (count)."""
TRIM: Final = 2000
"""Entries that retention removes in one transaction (count)."""
TRIM_INTERVAL: Final = 3600.0
"""Between two rounds of retention (seconds)."""


class Sealer:
    """One worker of one node; any number of nodes share the work."""

    def __init__(self, db: Database, settings: Settings, signer: Signer) -> None:
        self._db = db
        self._settings = settings
        self._signer = signer
        self._heads: dict[UUID, tuple[Head, bytes]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Seal what waits, tell the heads, and end."""
        await end_tasks(self._task)
        try:
            await self.once()
            await self.tell_heads()
        except LOST as error:
            log.warning("audit.not_sealed", error=repr(error))

    async def once(self) -> int:
        """Seal everything that waits; returns how many entries that were. A chain that another node seals is left to it."""
        async with self._db.transaction(None) as session:
            rows = await session.many("audit_unsealed", most=CHAINS)
        sealed = 0
        for row in rows:
            more = True
            while more:
                some, more = await self._seal(row["tenant_id"])
                sealed += some
        return sealed

    async def tell_heads(self) -> int:
        """Write the heads that this node has made since the last time; returns how many."""
        heads, self._heads = self._heads, {}
        lines = []
        for tenant_id, (head, signature) in heads.items():
            said = {
                "tenant": str(tenant_id),
                "seq": head.seq,
                "hash": head.hash.hex(),
                "signature": signature.hex(),
            }
            log.info("audit.head", **said)
            lines.append(orjson.dumps({"at": timestamp(datetime.now(UTC)), **said}) + b"\n")
        if lines:
            try:
                await asyncio.to_thread(_append, heads_file(self._settings.data_dir), b"".join(lines))
            except OSError:  # a full disk, say: with the next ones, unless a chain has gone on by then
                self._heads = {**heads, **self._heads}
                raise
        return len(lines)

    async def trim(self, now: datetime | None = None) -> int:
        """Remove what is older than the retention, oldest first; a signed anchor and an entry say so."""
        older_than = (now or datetime.now(UTC)) - timedelta(days=self._settings.audit_retention)
        async with self._db.transaction(None) as session:
            chains = await session.many("audit_old_chains", older_than=older_than)
        gone = 0
        for chain in chains:
            while some := await self._trim(chain["tenant_id"], older_than):
                gone += some
        return gone

    async def _seal(self, tenant_id: UUID) -> tuple[int, bool]:
        """How many entries were sealed, and whether more may wait."""
        async with self._db.transaction(tenant_id) as session:
            lock = await session.one("lock_audit_chain")
            if not lock["locked"]:
                return 0, False
            rows = await session.many("audit_to_seal", most=BATCH)
            pending_ids = list({row["pending_id"] for row in rows})
            head = await head_of(session, tenant_id)
            seqs, entry_ids, hashes = [], [], []
            for row in rows:
                if row["id"] is None:
                    await _missing(session, tenant_id, row["entry_id"])
                elif not row["sealed"]:
                    head = follow(head, tenant_id, row, lock["now"])
                    seqs.append(head.seq)
                    entry_ids.append(row["id"])
                    hashes.append(head.hash)
            signature = self._signer.sign("head", tenant_id, head)
            await session.exec(
                "seal_audit", seqs=seqs, entry_ids=entry_ids, hashes=hashes, last_seq=head.seq,
                signature=signature, now=lock["now"], pending_ids=pending_ids,
            )  # fmt: skip
        if seqs:
            self._heads[tenant_id] = head, signature
        return len(seqs), len(pending_ids) == BATCH

    async def _trim(self, tenant_id: UUID, older_than: datetime) -> int:
        async with self._db.transaction(tenant_id) as session:
            if not (await session.one("lock_audit_chain"))["locked"]:
                return 0
            last = await session.maybe("audit_trim_point", older_than=older_than, most=TRIM)
            if last is None:
                return 0
            head = Head(last["seq"], last["hash"])
            removed: int = await session.value(
                "trim_audit", upto_seq=head.seq, upto_hash=head.hash, older_than=older_than,
                anchor_signature=self._signer.sign("anchor", tenant_id, head),
            )  # fmt: skip
            await evidence.record(
                session, tenant_id=tenant_id, person=None, action="audit.trim", resource=f"tenant:{tenant_id}",
                changes=evidence.bounded({"upto_seq": head.seq, "entries": removed, "older_than": timestamp(older_than)}),
            )  # fmt: skip
        log.info("audit.trimmed", tenant=str(tenant_id), upto_seq=head.seq, entries=removed)
        return removed

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        tell_at = loop.time() + self._settings.audit_head_interval
        trim_at = loop.time() + random.uniform(0, TRIM_INTERVAL)
        while True:
            await asyncio.sleep(self._settings.audit_seal_interval * random.uniform(0.8, 1.2))
            try:
                await self.once()
                if loop.time() >= tell_at:
                    tell_at = loop.time() + self._settings.audit_head_interval
                    await self.tell_heads()
                if loop.time() >= trim_at:
                    await self.trim()
                    trim_at = loop.time() + TRIM_INTERVAL
            except LOST as error:
                log.warning("audit.sealing_postponed", error=repr(error))
            except Exception:
                log.exception("audit.sealing_failed")


async def _missing(session: Session, tenant_id: UUID, entry_id: UUID) -> None:
    """An entry was taken away before it was sealed: that is evidence too."""
    log.error("audit.entry_missing", tenant=str(tenant_id), entry=str(entry_id))
    await evidence.record(
        session, tenant_id=tenant_id, person=None, action="audit.missing", resource=f"entry:{entry_id}"
    )


async def head_of(session: Session, tenant_id: UUID) -> Head:
    """Where a chain stands, or begins."""
    row = await session.maybe("audit_head") or await session.maybe("audit_anchor")
    return Head(row["seq"], row["hash"]) if row else genesis(tenant_id)


def heads_file(data_dir: Path) -> Path:
    """The file of this month: it is only ever appended to."""
    return data_dir / "audit" / f"heads-{datetime.now(UTC):%Y-%m}.jsonl"


def _append(path: Path, lines: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            lines = b"\n" + lines  # a full disk has left half a line
        while lines:
            lines = lines[os.write(file, lines) :]
        os.fsync(file)
    finally:
        os.close(file)

"""`python -m server audit`: the audit log from the command line, also beside a server that runs."""

import getpass
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handlers import evidence
from handlers.insight.audit import Filters, read_sheet
from handlers.insight.chain import Signer
from handlers.sheets import as_csv
from server.app import DATABASE, Refused, instance_secret, login_dsn, open_database
from server.verify import Chain, Verifier
from storage import statements
from storage.child import EmbeddedServerError
from storage.embedded import EmbeddedPostgres
from storage.postgres import Database
from storage.settings import Settings


async def verify_chains(settings: Settings, tenant: str | None, say: Callable[[str], None]) -> bool:
    """Verify one chain or all of them; True when every row is as it was."""
    bars = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    good = True
    async with reached(settings) as db:
        verifier = Verifier(
            db, Signer(instance_secret(settings), settings.previous_secrets), settings.data_dir
        )
        with Progress(*bars, console=Console(stderr=True), transient=True) as progress:
            for chain in await _chains(verifier, tenant):
                task = progress.add_task(chain.name, total=await verifier.length(chain))
                verdict = await verifier.verify(chain, partial(progress.advance, task))
                progress.remove_task(task)
                if verdict.finding is None:
                    say(
                        f"ok  {chain.name}: {verdict.entries} entries, head {verdict.head.seq} {verdict.head.hash.hex()}"
                    )
                else:
                    good = False
                    say(f"BAD {verdict.finding}")
    return good


async def export_chain(settings: Settings, tenant: str, file: Path | None) -> int:
    """Write the entries of a chain as CSV; returns how many."""
    async with reached(settings) as db:
        verifier = Verifier(
            db, Signer(instance_secret(settings), settings.previous_secrets), settings.data_dir
        )
        (chain,) = await _chains(verifier, tenant)
        async with db.transaction(None) as session:
            await evidence.record(
                session, tenant_id=chain.tenant_id, person=None, action="audit.export",
                resource=f"tenant:{chain.tenant_id}", address="command line", user_agent=getpass.getuser(),
            )  # fmt: skip
        if file is None:
            return await _write(db, chain, sys.stdout.buffer)
        with file.open("xb") as out:
            return await _write(db, chain, out)


async def _write(db: Database, chain: Chain, out: BinaryIO) -> int:
    count, place = 0, None
    while True:
        async with db.transaction(chain.tenant_id) as session:
            sheet = await read_sheet(session, Filters(), place)
        rows = list(sheet.rows)
        out.write(as_csv(sheet, header=count == 0))
        count += len(rows)
        if sheet.next is None:
            return count
        place = sheet.next


async def _chains(verifier: Verifier, tenant: str | None) -> list[Chain]:
    chains = await verifier.chains(tenant)
    if not chains:
        raise Refused(f"there is no tenant with the slug {tenant}")
    return chains


@asynccontextmanager
async def reached(settings: Settings) -> AsyncIterator[Database]:
    """The database without a node: as it is set, or the embedded one, also beside a server that runs it."""
    postgres: EmbeddedPostgres | None = None
    password: str | None
    try:
        dsn, password, postgres = await open_database(settings)
    except EmbeddedServerError:
        beside = EmbeddedPostgres(settings.data_dir).beside(DATABASE)
        if beside is None:
            raise
        dsn, password = login_dsn(beside), None
    try:
        db = await Database.connect(dsn, statements.load(), settings, password=password)
        try:
            yield db
        finally:
            await db.close()
    finally:
        if postgres is not None:
            await postgres.stop()

"""Sends what lies in the outbox: at once after a commit on this node, and what other nodes left behind by polling.

A mail is leased, written, handed to the mail server and marked, each on its own, so that no transaction waits for a
mail server. A node that dies in between lets its lease run out, and another one sends: a mail may come twice, with
the same Message-ID, but is not lost.
"""

import asyncio
import random
from datetime import timedelta
from email.message import EmailMessage
from typing import Final

import structlog

from handlers.identity import mails
from handlers.identity.mails import Queued
from storage.background import end_tasks
from storage.mail import Mailer, Undeliverable
from storage.postgres import LOST, Database
from storage.settings import Settings

log = structlog.get_logger(__name__)

AT_ONCE: Final = 8
"""Mails that one node sends at the same time (count)."""
LONGEST_PAUSE: Final = 3600.0
"""Between two tries of one mail (seconds)."""
LONGEST_BREATH: Final = 0.2
"""Pause between two rounds of many mails (seconds)."""
LEASE_SLACK: Final = 30.0
"""A lease is longer than the time for handing over a mail by so much (seconds)."""
PURGE_INTERVAL: Final = 3600.0
"""Between two looks for records that are too old (seconds)."""
ERROR_LENGTH: Final = 500
"""Of an error, so much is kept with its mail (characters)."""


class Outbox:
    """One worker of one node; any number of nodes share the work."""

    def __init__(self, db: Database, settings: Settings, mailer: Mailer) -> None:
        self.mailer = mailer
        self._db = db
        self._settings = settings
        self._awake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        await end_tasks(self._task)

    def wake(self) -> None:
        """Mails have been committed: send them now."""
        self._awake.set()

    async def once(self) -> int:
        """Send what is due; returns how many mails were tried."""
        lease = timedelta(seconds=self._settings.smtp_timeout + LEASE_SLACK)
        async with self._db.transaction(None) as session:
            rows = await session.many("lease_mails", lease=lease, max_mails=AT_ONCE)
        await asyncio.gather(*(self._deliver(Queued.of(row)) for row in rows))
        return len(rows)

    async def purge(self) -> int:
        """Forget mails that were dealt with longer ago than their records are kept, and links as old; how many mails."""
        retention = timedelta(days=self._settings.mail_retention)
        async with self._db.transaction(None) as session:
            await session.exec("purge_account_tokens", retention=retention)
            gone: int = await session.value("purge_mails", retention=retention)
        return gone

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        purge_at = loop.time()
        while True:
            self._awake.clear()
            started = loop.time()
            try:
                if (tried := await self.once()) == AT_ONCE:  # a flood: half of the time belongs to others
                    await asyncio.sleep(min(loop.time() - started, LONGEST_BREATH))
                if tried:
                    continue
                if loop.time() >= purge_at:
                    await self.purge()
                    purge_at = loop.time() + PURGE_INTERVAL
            except LOST as error:
                log.warning("outbox.postponed", error=repr(error))
            except Exception as error:
                log.exception("outbox.failed", error=repr(error))
            try:
                async with asyncio.timeout(self._settings.mail_poll * random.uniform(0.8, 1.2)):
                    await self._awake.wait()
            except TimeoutError:
                pass

    async def _deliver(self, queued: Queued) -> None:
        try:
            mail = await mails.write(self._db, self._settings, queued)
            if mail is None:
                await self._done(queued, "dropped")
                return
            await self._send(queued, mail)
        except LOST as error:  # of Postgres; the lease runs out and the mail is due again
            log.warning("mail.postponed", mail=str(queued.id), error=repr(error))
        except Exception as error:
            log.exception("mail.not_written", mail=str(queued.id), kind=queued.kind)
            await self._try_again(queued, error)

    async def _send(self, queued: Queued, mail: EmailMessage) -> None:
        try:
            await self.mailer.send(mail)
        except Undeliverable as error:
            log.warning("mail.refused", mail=str(queued.id), kind=queued.kind, error=str(error))
            await self._done(queued, "failed", str(error))
        except Exception as error:
            await self._try_again(queued, error)
        else:
            log.info("mail.sent", mail=str(queued.id), kind=queued.kind, tries=queued.tries)
            await self._done(queued, "sent")

    async def _try_again(self, queued: Queued, error: Exception) -> None:
        """Later, and later each time; after the last try the error stays with the mail."""
        said = f"{type(error).__name__}: {error}"
        if queued.tries >= self._settings.mail_tries:
            log.error("mail.given_up", mail=str(queued.id), kind=queued.kind, tries=queued.tries, error=said)
            await self._done(queued, "failed", said)
            return
        pause = min(self._settings.mail_retry * 2 ** (queued.tries - 1), LONGEST_PAUSE) * random.uniform(
            0.5, 1.5
        )
        log.warning(
            "mail.not_sent", mail=str(queued.id), kind=queued.kind, again_in=round(pause, 1), error=said
        )
        async with self._db.transaction(None) as session:
            await session.exec(
                "retry_mail", mail_id=queued.id, pause=timedelta(seconds=pause), error=said[:ERROR_LENGTH]
            )

    async def _done(self, queued: Queued, state: str, error: str | None = None) -> None:
        async with self._db.transaction(None) as session:
            await session.exec(
                "mail_done", mail_id=queued.id, state=state, error=error and error[:ERROR_LENGTH]
            )

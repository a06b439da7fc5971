"""Sending mail: by SMTP, or, where none is set, into files that one can open and read."""

import asyncio
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib
import structlog

from storage.settings import Settings

log = structlog.get_logger(__name__)

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Undeliverable(Exception):
    """The mail server has refused this mail for good: trying again would not help."""


class Mailer(Protocol):
    """Takes a mail to where it is sent from. Any other exception than Undeliverable may be tried again."""

    async def send(self, mail: EmailMessage) -> None: ...


def open_mailer(settings: Settings) -> Mailer:
    if settings.smtp_url is not None:
        return SmtpMailer(settings.smtp_url.get_secret_value(), settings.smtp_timeout)
    return FolderMailer(settings.data_dir / "mail")


class SmtpMailer:
    """One connection per mail. A password is never sent without TLS, except to this very machine."""

    def __init__(self, url: str, timeout: float, *, trusted: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or "localhost"
        self.implicit_tls = parts.scheme == "smtps"
        self.port = parts.port or (465 if self.implicit_tls else 587)
        self.username = unquote(parts.username) if parts.username else None
        self.password = unquote(parts.password) if parts.password else None
        wants_tls = "starttls" in parse_qs(parts.query, keep_blank_values=True)
        needs_tls = self.username is not None and self.host not in LOOPBACK
        self.starttls = None if self.implicit_tls or not (wants_tls or needs_tls) else True
        self._timeout = timeout
        self._trusted = trusted

    async def send(self, mail: EmailMessage) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await aiosmtplib.send(
                    mail,
                    hostname=self.host,
                    port=self.port,
                    username=self.username,
                    password=self.password,
                    use_tls=self.implicit_tls,
                    start_tls=False if self.implicit_tls else self.starttls,
                    tls_context=self._trusted,
                    timeout=self._timeout,
                )
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusals = error.recipients
            if all(refusal.code >= 500 for refusal in refusals):
                raise Undeliverable("; ".join(f"{r.code} {r.message}" for r in refusals)) from error
            raise
        except (aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError) as error:
            if error.code >= 500:
                raise Undeliverable(f"{error.code} {error.message}") from error
            raise


class FolderMailer:
    """Each mail as an .eml file, readable by its owner alone: for a machine of one's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._told = False

    async def send(self, mail: EmailMessage) -> None:
        if not self._told:
            self._told = True
            log.warning("mail.no_smtp", why="ATRIUM_SMTP_URL is not set", folder=str(self.folder))
        path = await asyncio.to_thread(self._write, mail)
        log.info("mail.written", to=mail["To"], subject=mail["Subject"], path=str(path))

    def _write(self, mail: EmailMessage) -> Path:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        path = self.folder / f"{moment}-{mail['Message-ID'].strip('<>').partition('@')[0]}.eml"
        path.touch(mode=0o600)
        path.write_bytes(mail.as_bytes())
        return path

"""Mails: queued in the transaction of the fact they tell of, written when they are sent.

A queued mail says what it is about and to whom it goes. Whether there is an account behind the address, and the token
of its link, is found out when it leaves: so asking for a mail costs the same for every address, and nothing in the
outbox opens an account.
"""

import textwrap
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import jinja2
import orjson

from handlers.identity.mail_looks import MailLooks, looks_for
from handlers.identity.tokens import new_token
from storage.ids import new_id
from storage.postgres import Database, Row, Session
from storage.settings import Settings
from storage.statements import as_json

TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
TEXT_WIDTH: Final = 76
"""Where the lines of a plain mail are broken (characters)."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A mail as it lies in the outbox."""

    id: UUID
    kind: str
    to_address: str
    user_id: UUID | None
    data: Mapping[str, Any]
    tries: int
    created_at: datetime

    @classmethod
    def of(cls, row: Row) -> "Queued":
        return cls(**{**dict(row), "data": orjson.loads(row["data"])})


Values = dict[str, Any]
Letter = Callable[[Session, Settings, Queued], Awaitable[Values | None]]
"""What a template needs, or None where the mail need not be sent any more."""

LETTERS: Final[dict[str, Letter]] = {}
"""Kind of mail -> how it is written; the templates `<kind>.txt` and `<kind>.html` have the same name."""


def letter(kind: str) -> Callable[[Letter], Letter]:
    def add(write: Letter) -> Letter:
        LETTERS[kind] = write
        return write

    return add


async def tell(
    session: Session, kind: str, to_address: str, *, user_id: UUID | None = None, **data: object
) -> UUID:
    """Queue a mail, and return its id. An endpoint calls `edge.wake_outbox()` after the commit, or the mail leaves
    some seconds later; a command need not. With `tenant_id` among the data, it is written in that tenant.
    """
    mail_id = new_id()
    await session.exec(
        "queue_mail", mail_id=mail_id, kind=kind, to_address=to_address, user_id=user_id,
        data=as_json(data),
    )  # fmt: skip
    session.values["mails_queued"] = True
    return mail_id


async def ask(session: Session, kind: str, to_address: str) -> None:
    """Queue a mail that a stranger asks for: the same work whether or not there is an account."""
    await session.exec("ask_for_mail", mail_id=new_id(), kind=kind, to_address=to_address)


async def write(db: Database, settings: Settings, queued: Queued) -> EmailMessage | None:
    """The mail as it goes out; None where it need not be sent any more."""
    tenant_id = UUID(queued.data["tenant_id"]) if queued.data.get("tenant_id") else None
    async with db.transaction(tenant_id) as session:
        values = await LETTERS[queued.kind](session, settings, queued)
    if values is None:
        return None
    brand = await looks_for(db, settings, tenant_id, queued.user_id, queued.to_address)
    values = {
        "public_url": settings.public_url, "to_address": queued.to_address, "brand": brand, **queued.data, **values,
    }  # fmt: skip
    text = TEMPLATES.get_template(f"{queued.kind}.txt").render(values)
    subject, _, text = text.partition("\n")
    values["subject"] = " ".join(subject.removeprefix("Subject:").split())
    return _message(settings, queued, values, text)


def _message(settings: Settings, queued: Queued, values: Values, text: str) -> EmailMessage:
    name, sender = parseaddr(settings.mail_from)
    mail = EmailMessage()
    brand: MailLooks = values["brand"]
    # In the name of a tenant, by the address that this server may send from.
    mail["From"] = Address(brand.sender or values.get("sender_name", name), addr_spec=sender)
    mail["To"] = Address(addr_spec=queued.to_address)
    if brand.reply_to:
        mail["Reply-To"] = Address(addr_spec=brand.reply_to)
    mail["Subject"] = values["subject"]
    mail["Date"] = format_datetime(datetime.now(UTC))
    # The same at every try, so that a mail which came twice is shown once.
    mail["Message-ID"] = f"<{queued.id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_wrapped(text))
    mail.add_alternative(TEMPLATES.get_template(f"{queued.kind}.html").render(values), subtype="html")
    # The same at every try too; the library would take one from the random numbers of the whole process.
    mail.set_boundary(f"=_{queued.id.hex}")
    return mail


def _wrapped(text: str) -> str:
    """Paragraphs in lines of reading length; a link stays whole."""
    lines = (
        textwrap.fill(line, TEXT_WIDTH, break_long_words=False, break_on_hyphens=False)
        for line in text.strip().splitlines()
    )
    return "\n".join(lines) + "\n"


@letter("verify_email")
async def verify_email(session: Session, settings: Settings, queued: Queued) -> Values | None:
    user = await session.maybe("user_by_email", email=queued.to_address)
    if user is None or user["email_verified_at"] or user["status"] not in ("active", "pending"):
        return None
    return await _link(session, settings, queued, user["id"], "verify", settings.verify_token_ttl)


@letter("already_registered")
async def already_registered(session: Session, settings: Settings, queued: Queued) -> Values | None:
    user = await session.maybe("user_by_email", email=queued.to_address)
    return {} if user is not None and user["status"] in ("active", "pending") else None


@letter("reset_password")
async def reset_password(session: Session, settings: Settings, queued: Queued) -> Values | None:
    user = await session.maybe("user_by_email", email=queued.to_address)
    if user is None or user["status"] not in ("active", "pending"):
        return None
    return await _link(session, settings, queued, user["id"], "reset-password", settings.reset_token_ttl)


@letter("change_email")
async def change_email(session: Session, settings: Settings, queued: Queued) -> Values | None:
    if queued.user_id is None or await session.maybe("user_by_email", email=queued.to_address):
        return None
    return await _link(session, settings, queued, queued.user_id, "verify", settings.verify_token_ttl)


@letter("account_activated")
@letter("account_suspended")
@letter("impersonated")
@letter("password_taken_away")
@letter("api_key_created")
@letter("api_key_expiring")
@letter("email_change_asked")
@letter("email_changed")
@letter("password_changed")
@letter("identity_linked")
async def notice(session: Session, settings: Settings, queued: Queued) -> Values:
    return {"at": queued.created_at.strftime("%d %B %Y, %H:%M UTC")}


async def _link(
    session: Session, settings: Settings, queued: Queued, user_id: UUID, page: str, ttl: int
) -> Values | None:
    """A fresh one-time token in a link; None where such a mail has only just been sent."""
    pause = timedelta(seconds=settings.mail_pause)
    asked = {"user_id": user_id, "purpose": queued.kind, "email": queued.to_address}
    await session.one("lock_user", user_id=user_id)  # of two such mails the second waits, and sees the first
    if queued.tries <= 1 and await session.value("recent_account_token", pause=pause, **asked):
        return None
    token, token_hash = new_token()
    expires_at = datetime.now(UTC) + timedelta(seconds=ttl)
    await session.exec("add_account_token", token_hash=token_hash, expires_at=expires_at, **asked)
    return {"link": f"{settings.public_url}/#/{page}?token={token}", "good_for": duration(ttl)}


def duration(seconds: int) -> str:
    """`3600` -> `1 hour`."""
    for name, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            count = seconds // size
            return f"{count} {name}{'s' if count > 1 else ''}"
    return "a minute"

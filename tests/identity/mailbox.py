"""A real mail server on a loopback port, and what it was given."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

PATIENCE = 5.0


class Mailbox:
    """Takes every mail, or refuses as it is told to."""

    def __init__(self) -> None:
        self.url = ""
        self.mails: list[EmailMessage] = []
        self.refusals: list[str] = []
        """Answers to the next recipients, before one is taken."""
        self.tries = 0
        self.logins: list[tuple[bytes, bytes]] = []
        self.over_tls: list[bool] = []
        self._came = asyncio.Event()
        self._read = 0

    async def handle_RCPT(  # noqa: N802  # the library's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        self.tries += 1
        if self.refusals:
            return self.refusals.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert envelope.rcpt_tos == [mail["To"].addresses[0].addr_spec]
        self.mails.append(mail)
        self.over_tls.append(session.ssl is not None)
        self._came.set()
        return "250 OK"

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right:1")

    async def gets(self, to: str, subject: str = "", within: float = PATIENCE) -> EmailMessage:
        """The next mail to somebody, of those not read yet."""
        async with asyncio.timeout(within):
            while True:
                for mail in self.mails[self._read :]:
                    self._read += 1
                    if mail["To"].addresses[0].addr_spec == to and subject in mail["Subject"]:
                        return mail
                self._came.clear()
                await self._came.wait()

    async def gets_nothing(self, within: float = 0.3) -> None:
        await asyncio.sleep(within)
        assert self.mails[self._read :] == []


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def html_of(mail: EmailMessage) -> str:
    part = mail.get_body(("html",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def token_in(mail: EmailMessage) -> str:
    found = re.search(r"\?token=([\w-]{43})$", text_of(mail), re.MULTILINE)
    assert found, text_of(mail)
    assert found[1] in html_of(mail)
    return found[1]


@asynccontextmanager
async def mail_server(*, tls: ssl.SSLContext | None = None, login: bool = False) -> AsyncIterator[Mailbox]:
    box, loop = Mailbox(), asyncio.get_running_loop()

    def make() -> SMTP:
        return SMTP(
            box,
            loop=loop,
            tls_context=tls,
            require_starttls=tls is not None,
            authenticator=box.authenticate if login else None,
            auth_required=login,
            auth_require_tls=False,
            ident="test",
        )

    server = await loop.create_server(make, "127.0.0.1", 0)
    box.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()

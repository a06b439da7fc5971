"""The outbox: real SMTP, retries, shared work, and files where there is no mail server."""

import asyncio
import re
import socket
import ssl
import stat
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from handlers.identity import mails
from handlers.identity.mail_looks import MailLooks
from handlers.identity.mails import LETTERS, TEMPLATES
from server.outbox import Outbox
from storage.mail import SmtpMailer, open_mailer
from storage.settings import Settings
from tests.identity.mailbox import Mailbox, html_of, mail_server, text_of, token_in
from tests.identity.test_accounts import ALICE, NEWCOMER, forgot
from tests.world import World, until

FACTS = "SELECT state, tries, error FROM outbox_mails ORDER BY created_at"


async def facts(world: World) -> list[Any]:
    async with world.sql() as db:
        return [tuple(row) for row in await db.fetch(FACTS)]


async def settled(world: World) -> list[Any]:
    """The records, once no mail waits any more."""
    while any(state == "waiting" for state, *_ in await facts(world)):
        await asyncio.sleep(0.02)
    return await facts(world)


async def queue(world: World, count: int = 1, to: str = "n{}@new.example") -> None:
    async with world.node.db.transaction(None) as session:
        for number in range(count):
            await mails.tell(session, "password_changed", to.format(number), address="192.0.2.1")


async def test_a_mail_as_it_arrives(posted: World, mailbox: Mailbox) -> None:
    await forgot(posted)
    mail = await mailbox.gets(ALICE)
    assert (mail["From"], mail["Auto-Submitted"]) == ("Atrium <atrium@localhost>", "auto-generated")
    assert re.fullmatch(r"<[0-9a-f-]{36}@localhost>", mail["Message-ID"])
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert "within 1 hour" in text_of(mail)
    assert max(len(line) for line in text_of(mail).splitlines() if "?token=" not in line) <= 76
    assert "http://127.0.0.1:8080/#/reset-password?token=" in html_of(mail)
    assert await settled(posted) == [("sent", 1, None)]


@pytest.mark.parametrize("kind", sorted(LETTERS))
def test_every_letter_is_whole(kind: str) -> None:
    values = {
        "public_url": "https://atrium.example", "to_address": "a@b.example", "link": "https://x/?a=1&b=2",
        "good_for": "1 hour", "at": "now", "tenant": "<b>x</b>", "inviter": "<b>x</b>", "role": "member",
        "message": "one\n<b>x</b>", "until": "tomorrow", "email": "<b>x</b>@evil.example", "address": "192.0.2.1",
        "key": "<b>x</b>", "own": True, "ends": "tomorrow", "tenant_name": "<b>x</b>", "actor_name": "<b>x</b>",
        "purge_on": "tomorrow", "reason": "<b>x</b>", "brand": MailLooks(product="<b>x</b>"),
        "subject": "A passkey was added", "told": "On now, <b>x</b> was added.", "advice": "If not:",
        "provider": "<b>x</b>", "domain": "x.example", "code": "123456", "by": "<b>x</b>", "minutes": 15,
    }  # fmt: skip
    text = TEMPLATES.get_template(f"{kind}.txt").render(values)
    subject, blank, _ = text.split("\n", 2)
    assert subject.startswith("Subject: ")
    assert blank == ""
    html = TEMPLATES.get_template(f"{kind}.html").render({**values, "subject": subject})
    assert "<b>x" not in html
    assert "http://" not in html
    assert not re.search(r"<script|<img|<link", html)


def test_buttons_have_the_colours_of_their_mail() -> None:
    templates = Path(TEMPLATES.get_template("layout.html").filename or "").parent
    for path in templates.glob("*.html"):
        text = path.read_text()
        assert "import button" not in text or "import button with context" in text, path.name


async def test_a_mail_leaves_at_once_and_not_only_by_polling(
    worlds: Callable[..., Any], mailbox: Mailbox
) -> None:
    world = await worlds(smtp_url=mailbox.url, mail_poll=3600)
    await forgot(world)
    await mailbox.gets(ALICE, within=3)
    await settled(world)
    await asyncio.sleep(0.1)
    await queue(world)
    await mailbox.gets_nothing()
    world.node.outbox.wake()
    await mailbox.gets("n0@new.example")


async def test_a_fact_that_is_rolled_back_sends_nothing(posted: World, mailbox: Mailbox) -> None:
    with suppress(RuntimeError):
        async with posted.node.db.transaction(None) as session:
            await mails.tell(session, "password_changed", ALICE, address="")
            raise RuntimeError
    posted.node.outbox.wake()
    await mailbox.gets_nothing()


async def test_what_fails_for_now_is_tried_again(worlds: Callable[..., Any], mailbox: Mailbox) -> None:
    world = await worlds(smtp_url=mailbox.url, mail_retry=0.02, mail_poll=0.02)
    mailbox.refusals = ["451 busy", "450 still busy"]
    await forgot(world)
    mail = await mailbox.gets(ALICE)
    assert mailbox.tries == 3
    ((state, tries, error),) = await settled(world)
    assert (state, tries, error) == ("sent", 3, None)
    token_in(mail)


async def test_what_fails_for_good_is_not(worlds: Callable[..., Any], mailbox: Mailbox) -> None:
    world = await worlds(smtp_url=mailbox.url, mail_retry=0.02, mail_poll=0.02)
    mailbox.refusals = ["550 no such person"]
    await forgot(world)
    await until(lambda: mailbox.tries)
    ((state, tries, error),) = await settled(world)
    assert (state, tries, error) == ("failed", 1, "550 no such person")
    await mailbox.gets_nothing()


async def test_it_gives_up_and_keeps_the_error(worlds: Callable[..., Any]) -> None:
    with socket.socket() as deaf:  # has the port, and listens to nobody
        deaf.bind(("127.0.0.1", 0))
        url = f"smtp://127.0.0.1:{deaf.getsockname()[1]}"
        world = await worlds(smtp_url=url, mail_retry=0.01, mail_poll=0.01, mail_tries=3)
        await forgot(world)
        ((state, tries, error),) = await settled(world)
    assert (state, tries) == ("failed", 3)
    assert error.startswith("SMTPConnectError")


async def test_a_mail_server_that_hangs_does_not_hold_up_anything(worlds: Callable[..., Any]) -> None:
    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1)
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    world = await worlds(smtp_url=f"smtp://127.0.0.1:{port}", smtp_timeout=0.1, mail_retry=3600)
    await forgot(world)
    while (fact := (await facts(world))[0])[2] is None:
        await asyncio.sleep(0.02)
    assert fact[0] == "waiting"
    assert "Timeout" in fact[2]
    server.close()


async def test_a_node_that_dies_leaves_its_mails_to_others(
    worlds: Callable[..., Any], mailbox: Mailbox
) -> None:
    world = await worlds(smtp_url=mailbox.url, mail_poll=0.02)
    async with world.sql() as db:  # leased, and its node is gone
        await db.execute(
            "INSERT INTO outbox_mails (id, kind, to_address, data, tries, next_try_at) VALUES "
            "(gen_random_uuid(), 'password_changed', $1, '{\"address\": \"\"}', 1, now() + interval '0.3 s')", ALICE,
        )  # fmt: skip
    await mailbox.gets_nothing(0.1)
    await mailbox.gets(ALICE)
    assert (await settled(world))[0][:2] == ("sent", 2)


async def test_nodes_share_the_work(worlds: Callable[..., Any], mailbox: Mailbox) -> None:
    world = await worlds(smtp_url=mailbox.url, mail_poll=0.01)
    others = [Outbox(world.node.db, world.node.settings, open_mailer(world.node.settings)) for _ in range(3)]
    for other in others:
        other.start()
    await queue(world, 60)
    records = await settled(world)
    for other in others:
        await other.stop()
    assert Counter(state for state, *_ in records) == {"sent": 60}
    assert len(mailbox.mails) == len({mail["To"] for mail in mailbox.mails}) == 60


async def test_old_records_are_forgotten(posted: World, mailbox: Mailbox) -> None:
    await forgot(posted)
    await mailbox.gets(ALICE)
    await settled(posted)
    assert await posted.node.outbox.purge() == 0
    async with posted.sql() as db:
        await db.execute("UPDATE outbox_mails SET done_at = now() - interval '8 days'")
    assert await posted.node.outbox.purge() == 1


async def test_without_a_mail_server_mails_are_files(worlds: Callable[..., Any], tmp_path: Path) -> None:
    with capture_logs() as logs:
        world = await worlds(data_dir=tmp_path, mail_pause=0, public_url="https://atrium.example/team/")
        for _ in range(2):
            await forgot(world)
            await settled(world)
    assert [line["log_level"] for line in logs if line["event"] == "mail.no_smtp"] == ["warning"]
    assert "token=" not in str(logs)
    folder = tmp_path / "mail"
    files = sorted(folder.iterdir())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [(path.suffix, stat.S_IMODE(path.stat().st_mode)) for path in files] == [(".eml", 0o600)] * 2
    mail = message_from_bytes(files[0].read_bytes(), policy=policy.default)
    token_in(mail)
    assert "https://atrium.example/team/#/reset-password?token=" in text_of(mail)


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_signing_in_to_the_mail_server(worlds: Callable[..., Any]) -> None:
    async with mail_server(login=True) as box:
        url = box.url.replace("smtp://", "smtp://me%40here:right%3A1@")
        world = await worlds(smtp_url=url)
        await forgot(world)
        await box.gets(ALICE)
        assert box.logins == [(b"me@here", b"right:1")]


async def test_starttls(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    asked = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]  # fmt: skip
    try:
        subprocess.run(["openssl", *asked], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl to make a certificate")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    trusted = ssl.create_default_context(cafile=str(cert))
    letter = message_from_bytes(
        b"From: a@b.example\r\nTo: n@new.example\r\nSubject: x\r\n\r\nx\r\n", policy=policy.default
    )
    async with mail_server(tls=server) as box:
        await SmtpMailer(f"{box.url}?starttls", 5, trusted=trusted).send(letter)
        assert box.over_tls == [True]
        with pytest.raises(ssl.SSLCertVerificationError):
            await SmtpMailer(f"{box.url}?starttls", 5).send(letter)
    async with mail_server() as box:
        with pytest.raises(Exception, match="STARTTLS"):
            await SmtpMailer(f"{box.url}?starttls", 5, trusted=trusted).send(letter)


@pytest.mark.parametrize(
    ("url", "host", "port", "starttls", "implicit"),
    [
        ("smtp://mail.example", "mail.example", 587, None, False),
        ("smtp://mail.example:25?starttls", "mail.example", 25, True, False),
        ("smtp://me:secret@mail.example", "mail.example", 587, True, False),
        ("smtp://me:secret@127.0.0.1:1025", "127.0.0.1", 1025, None, False),
        ("smtps://me:secret@mail.example", "mail.example", 465, None, True),
    ],
)
def test_addresses_of_mail_servers(
    url: str, host: str, port: int, starttls: bool | None, implicit: bool
) -> None:
    mailer = SmtpMailer(url, 1)
    assert (mailer.host, mailer.port, mailer.starttls, mailer.implicit_tls) == (
        host,
        port,
        starttls,
        implicit,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("smtp_url", "mail.example"), ("smtp_url", "http://mail.example"), ("smtp_url", "smtp://"),
     ("mail_from", "Atrium"), ("mail_from", "a@b.example\nBcc: c@d.example"),
     ("public_url", "atrium.example"), ("public_url", "https://x?y"), ("public_url", "ftp://x")],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({name: value})
    assert [error["loc"] for error in caught.value.errors()] == [(name,)]


async def test_a_strange_name_does_no_harm_in_a_mail(posted: World, mailbox: Mailbox) -> None:
    newcomer = {**NEWCOMER, "name": "Newcomer, Bcc: x@evil.example <b>visit evil.example</b>"}
    assert (await posted.request("POST", "/auth/register", json=newcomer)).success
    mail = await mailbox.gets(NEWCOMER["email"])
    assert "evil" not in mail.as_string()

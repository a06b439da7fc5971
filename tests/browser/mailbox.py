"""The mails that a server has written to files, and the links in them."""

import asyncio
import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Final

from tests.browser.server import RestartableServer

ARRIVES_WITHIN: Final = 20.0
LINK: Final = re.compile(r"https?://\S+?/(#/\S+)")


async def link_to(server: RestartableServer, address: str, place: str) -> str:
    """The part from `#` of the newest link to a place, such as `#/verify`, in a mail to an address."""
    deadline = asyncio.get_running_loop().time() + ARRIVES_WITHIN
    while asyncio.get_running_loop().time() < deadline:
        files = await asyncio.to_thread(
            lambda: sorted(server.mail.glob("*.eml"), key=lambda f: f.stat().st_mtime)
        )
        for file in reversed(files):
            for link in LINK.findall(_text(file, address)):
                if link.startswith(place):
                    return str(link)
        await asyncio.sleep(0.1)
    raise AssertionError(f"no mail to {address} leads to {place}")


def _text(file: Path, address: str) -> str:
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    body = message.get_body(("plain",))
    return str(body.get_content()) if body is not None and address in str(message["To"]) else ""

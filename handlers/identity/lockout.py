"""Wrong passwords are counted for each address, and too many lock it for a while.

They are counted whether or not there is an account behind the address, and a locked address gets RATE_LIMITED
whatever password comes with it. So the answer tells the owner what is the matter and a stranger nothing.
"""

import hashlib
from datetime import timedelta

from handlers.errors import RateLimited
from storage.postgres import Session
from storage.settings import Settings


async def check(session: Session, email: str) -> None:
    """RATE_LIMITED while the address is locked."""
    lock = await session.maybe("login_lock", address_hash=_hash(email))
    if lock is not None:
        raise RateLimited(
            "Too many wrong passwords for this address: wait, or set a new password by mail",
            retry_after=round(lock["seconds"], 1),
        )


async def failed(session: Session, email: str, settings: Settings) -> None:
    """Count a wrong password. It counts for guesses that are still under way too: see `passed`."""
    if settings.login_tries:
        await session.exec(
            "login_failed",
            address_hash=_hash(email),
            login_tries=settings.login_tries,
            login_lock=timedelta(seconds=settings.login_lock),
        )


async def passed(session: Session, email: str) -> None:
    """The password was right: start counting anew, unless guesses beside this one have locked the address."""
    await check(session, email)
    await session.exec("forget_login_failures", address_hash=_hash(email))


async def lift(session: Session, email: str) -> None:
    """The owner has proven himself in another way."""
    await session.exec("forget_login_failures", address_hash=_hash(email))


def _hash(email: str) -> bytes:
    return hashlib.sha256(email.encode()).digest()

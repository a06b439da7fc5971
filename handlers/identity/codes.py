"""Codes: six digits of an authenticator app (TOTP, RFC 6238) and recovery codes. Each is good once."""

import hashlib
import hmac
import re
import secrets
from datetime import timedelta
from typing import Annotated, Final
from uuid import UUID

import pyotp
from pydantic import AfterValidator, StringConstraints

from handlers.context import Edge
from handlers.errors import RateLimited
from handlers.identity.notices import tell
from handlers.registry import SECRET, Text
from storage.postgres import Row, Session

USE: Final = "totp"
"""What the vault seals an app's secret for."""
WINDOW: Final = 1
"""Steps of 30 s that a code may be early or late (RFC 6238, 5.2)."""
SECRET_LENGTH: Final = 32
"""Letters of an app's secret in base32: 160 bits, as long as the hash (RFC 4226, 4)."""
LONGEST_LOCK: Final = timedelta(days=1)
"""What the doubling locks after wrong codes end at."""

RECOVERY_CODES: Final = 10
ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base32: no letter that looks like another or like a digit."""
GROUPS: Final = 7
GROUP: Final = 4
"""A recovery code has 28 letters in groups of 4: 140 bits."""
_LOOKALIKES: Final = str.maketrans("oil", "011")


def _digits(value: str) -> str:
    digits = re.sub(r"[\s-]", "", value)
    if not re.fullmatch(r"[0-9]{6}", digits):
        raise ValueError("must have six digits")
    return digits


Code = Annotated[Text, StringConstraints(max_length=20), AfterValidator(_digits), SECRET]
RecoveryCode = Annotated[Text, StringConstraints(max_length=100), SECRET]


def new_secret() -> str:
    return pyotp.random_base32(SECRET_LENGTH)


def step_of(secret: str, code: str, now: float) -> int | None:
    """The step whose code this is, of those that are near; `now` is in steps."""
    app, found = pyotp.HOTP(secret), None
    for step in range(int(now) - WINDOW, int(now) + WINDOW + 1):
        if hmac.compare_digest(app.at(step), code):
            found = step
    return found


async def is_right(edge: Edge, session: Session, user_id: UUID, code: str) -> bool:
    """Whether it is a code of the account's app that was not used before; from now on it is used."""
    locks = await _count(edge, session, user_id)
    row = await session.maybe("totp", user_id=user_id)
    if row is not None and await _accept(edge, session, user_id, row, code):
        await session.exec("forget_code_tries", user_id=user_id)
        return True
    if locks:
        user = await session.one("user_by_id", user_id=user_id)
        await tell(session, user, "codes_locked", edge.origin)
    return False


async def confirms(edge: Edge, session: Session, user_id: UUID, code: str) -> bool:
    """Whether it proves that an app has the secret it was offered; from now on that is the account's."""
    await _count(edge, session, user_id)
    good_for = timedelta(seconds=edge.settings.proof_ttl)
    row = await session.maybe("offered_totp", user_id=user_id, good_for=good_for)
    step = row and step_of(edge.vault.open(USE, user_id, row["secret"]).decode(), code, row["step"])
    if step is None:
        return False
    await session.exec("enable_totp", user_id=user_id, step=step)
    await session.exec("forget_code_tries", user_id=user_id)
    return True


async def new_recovery_codes(session: Session, user_id: UUID) -> list[str]:
    """Ten fresh recovery codes in place of those before, to be shown once."""
    codes = ["-".join(_group() for _ in range(GROUPS)) for _ in range(RECOVERY_CODES)]
    await session.exec("drop_recovery_codes", user_id=user_id)
    await session.exec("add_recovery_codes", user_id=user_id, code_hashes=[_hash(code) for code in codes])
    return codes


async def use_recovery_code(edge: Edge, session: Session, user_id: UUID, code: str) -> bool:
    """Whether it is one of the account's that was not used before; from now on it is used, and a mail says so."""
    if await session.maybe("use_recovery_code", user_id=user_id, code_hash=_hash(code)) is None:
        return False
    user = await session.one("user_by_id", user_id=user_id)
    left = (await session.one("factors_of", user_id=user_id))["recovery_codes"]
    await tell(session, user, "recovery_code_used", edge.origin, str(left))
    return True


async def _accept(edge: Edge, session: Session, user_id: UUID, row: Row, code: str) -> bool:
    secret = edge.vault.open(USE, user_id, row["secret"])
    step = step_of(secret.decode(), code, row["step"])
    if step is None or await session.maybe("use_totp_step", user_id=user_id, step=step) is None:
        return False
    if not edge.vault.is_current(row["secret"]):
        fresh = edge.vault.seal(USE, user_id, secret)
        await session.exec("reseal_totp", user_id=user_id, secret=row["secret"], fresh=fresh)
    return True


async def _count(edge: Edge, session: Session, user_id: UUID) -> bool:
    """Count a code as wrong before it is looked at, RATE_LIMITED while there is a lock; True if this is the last try.

    The count stays until a right code: with locks that double up to a day, nobody gets through a million codes.
    """
    locked_for = (await session.one("lock_codes", user_id=user_id))["locked_for"]
    if locked_for > 0:
        raise RateLimited(
            "Too many wrong codes for this account: wait, or use a recovery code or a passkey",
            retry_after=round(locked_for, 1),
        )
    counted = await session.one(
        "count_code", user_id=user_id, max_tries=edge.settings.code_tries,
        shortest=timedelta(seconds=edge.settings.login_lock), longest=LONGEST_LOCK,
    )  # fmt: skip
    return bool(counted["locks"])


def _group() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(GROUP))


def _hash(code: str) -> bytes:
    plain = re.sub(r"[\s-]", "", code).lower().translate(_LOOKALIKES)
    return hashlib.sha256(plain.encode(errors="surrogatepass")).digest()

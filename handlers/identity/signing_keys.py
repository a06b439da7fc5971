"""The key ring of access tokens: which key signs, and which are accepted.

A key is derived from the instance's secret and a random name, its kid, which is kept in a table: all nodes have the same
keys, and the table alone forges nothing. A new key signs only after every node has had the time to learn it; the one
before is accepted until the last token it has signed has expired. So nobody notices a rotation.

The instance's secret may change too. Keys of the previous one are accepted for as long, and never sign.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from handlers.errors import Unavailable
from storage.postgres import Database
from storage.settings import Settings

ALGORITHM: Final = "HS256"
"""Of every key in the ring: a token does not choose how it is checked."""

SPREAD: Final = 90.0
"""A new key signs so much later than it is made; nodes look three times meanwhile (seconds)."""

SLACK: Final = 120.0
"""How much longer than a token lives a replaced key is accepted: for clocks, and nodes that learn late (seconds)."""

PAUSE: Final = 1.0
"""Between two looks into the table because of unknown names (seconds)."""

KID: Final = re.compile(r"[0-9a-f]{32}")

State = Literal["waiting", "signing", "accepted", "retired", "unknown secret"]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key. Its moments are of this process's monotonic clock (seconds)."""

    kid: str
    signs_at: float
    until: float
    """Accepted no longer than this; infinity while nothing has replaced it."""
    own: bool
    """Whether it is of today's secret, and not of the previous one."""
    algorithm: str = ALGORITHM
    bits: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """A key as `python -m server keys list` shows it."""

    kid: str
    created_at: datetime
    signs_from: datetime
    state: State


class KeyRing:
    """The keys of this instance, as this node knows them. `secret_keys` are today's secret, then previous ones."""

    def __init__(
        self,
        db: Database,
        secret_keys: Sequence[str],
        settings: Settings,
        *,
        spread: float = SPREAD,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._secrets = {_secret_id(secret): secret.encode() for secret in reversed(secret_keys)}
        self._own = _secret_id(secret_keys[0])
        self._lifetime = settings.access_token_ttl + SLACK
        self._rotation = timedelta(days=settings.key_rotation)
        self._spread = spread
        self.clock = clock
        self._keys: dict[str, SigningKey] = {}
        self._looked_at = -PAUSE
        self._looking: asyncio.Task[None] | None = None
        self.looks = 0
        """How often the table was read."""

    async def open(self) -> None:
        """Learn the keys; make the first, also for a secret that is new. It signs at once: there is no other."""
        async with self._db.transaction(None) as session:
            await session.exec("lock_signing_keys")
            if await session.value("secret_is_new", secret_id=self._own):
                await session.exec("add_signing_key", kid=new_kid(), secret_id=self._own, delay=timedelta(0))
        await self.load()

    async def load(self) -> None:
        """Read the table."""
        self.looks += 1
        async with self._db.transaction(None) as session:
            rows = await session.many("signing_keys")
        now = self.clock()
        known = [row for row in rows if row["secret_id"] in self._secrets]
        keys = {}
        for number, row in enumerate(known):
            # Whoever signs with today's secret has moved on to the next of its keys; whoever still signs with the
            # previous one, to the next of either.
            next_signs_in = next(
                (
                    later["signs_in"]
                    for later in known[number + 1 :]
                    if later["secret_id"] in (row["secret_id"], self._own)
                ),
                float("inf"),
            )
            keys[row["kid"]] = SigningKey(
                kid=row["kid"],
                signs_at=now + row["signs_in"],
                until=now + next_signs_in + self._lifetime,
                own=row["secret_id"] == self._own,
                bits=derive(self._secrets[row["secret_id"]], row["kid"]),
            )
        self._keys = keys

    def signing(self) -> SigningKey:
        """The key that signs now."""
        now = self.clock()
        ready = [key for key in self._keys.values() if key.own and key.signs_at <= now]
        if not ready:
            raise Unavailable
        return max(ready, key=lambda key: (key.signs_at, key.kid))

    async def find(self, kid: object) -> SigningKey | None:
        """The key of this name if it is accepted. A name that is not known is looked up, by all who wait for one
        together and not more than once a second, so that made-up names cost next to nothing.
        """
        if not isinstance(kid, str) or not KID.fullmatch(kid):
            return None
        for _ in range(2):  # the look that is under way may have begun before the key was there
            if kid in self._keys:
                break
            await self._look()
        key = self._keys.get(kid)
        return key if key is not None and self.clock() < key.until else None

    async def rotate(self) -> str:
        """Make a new key, which will sign before long; returns its name."""
        kid = new_kid()
        async with self._db.transaction(None) as session:
            await session.exec("lock_signing_keys")
            await session.exec(
                "add_signing_key", kid=kid, secret_id=self._own, delay=timedelta(seconds=self._spread)
            )
        await self.load()
        return kid

    async def rotate_if_due(self) -> str | None:
        """Make a new key where the last one is old enough: one of all nodes does."""
        if not self._rotation:
            return None
        kid = new_kid()
        async with self._db.transaction(None) as session:
            await session.exec("lock_signing_keys")
            if not await session.value("signing_key_due", secret_id=self._own, age=self._rotation):
                return None
            await session.exec(
                "add_signing_key", kid=kid, secret_id=self._own, delay=timedelta(seconds=self._spread)
            )
        await self.load()
        return kid

    async def listed(self) -> list[Listed]:
        """All keys of the table, the oldest first."""
        await self.load()
        async with self._db.transaction(None) as session:
            rows = await session.many("signing_keys")
        return [
            Listed(row["kid"], row["created_at"], row["signs_from"], self._state(row["kid"])) for row in rows
        ]

    def _state(self, kid: str) -> State:
        key, now = self._keys.get(kid), self.clock()
        if key is None:
            return "unknown secret"
        if now >= key.until:
            return "retired"
        if not key.own:
            return "accepted"
        if key.signs_at > now:
            return "waiting"
        return "signing" if key == self.signing() else "accepted"

    async def _look(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_in_time())
        await asyncio.shield(self._looking)

    async def _look_in_time(self) -> None:
        await asyncio.sleep(max(0.0, self._looked_at + PAUSE - time.monotonic()))
        try:
            await self.load()
        finally:
            self._looked_at = time.monotonic()


def new_kid() -> str:
    return secrets.token_hex(16)


def derive(secret: bytes, kid: str) -> bytes:
    """The 256 bits of a key. Without the secret nobody gets from its name to them."""
    return hmac.new(secret, b"access token 2\0" + kid.encode(), hashlib.sha256).digest()


def _secret_id(secret: str) -> str:
    return hmac.new(secret.encode(), b"signing keys", hashlib.sha256).hexdigest()[:16]

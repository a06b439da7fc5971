"""Passwords: Argon2id in a few threads, so that a flood of sign-ins never holds up the event loop.

A bcrypt hash that came from another system is accepted too, and replaced at the next sign-in.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from storage.settings import Settings

THREADS: Final = 2
"""Hashes computed at once; each takes the memory that the settings name (OWASP ASVS 5, 6.5.1)."""

BCRYPT: Final = ("$2a$", "$2b$", "$2y$")
BCRYPT_BYTES: Final = 72
"""What bcrypt looks at; it has always ignored the rest, and the library refuses it (bytes)."""


class Passwords:
    """Hashes and verifies; a hash made with older parameters is renewed at sign-in."""

    def __init__(self, settings: Settings) -> None:
        self._hasher = PasswordHasher(
            time_cost=settings.argon2_time, memory_cost=settings.argon2_memory, parallelism=1
        )  # fmt: skip
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password is right; without a stored hash it takes as long and says no."""
        verified = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._verify, stored or self._nobody, password
        )
        return verified and stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether a hash that was just verified should be replaced by one of today."""
        return stored.startswith(BCRYPT) or self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            if stored.startswith(BCRYPT):
                return bcrypt.checkpw(password.encode()[:BCRYPT_BYTES], stored.encode())
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError, ValueError):
            return False

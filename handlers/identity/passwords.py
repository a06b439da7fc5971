"""Passwords: Argon2id in a few threads, so that a flood of sign-ins never holds up the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from storage.settings import Settings

THREADS: Final = 2
"""Hashes computed at once; each takes the memory that the settings name (OWASP ASVS 5, 6.5.1)."""


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
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

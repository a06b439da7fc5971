"""Bytes on their way into the store: counted, bounded, and looked at as they pass."""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator

from handlers.errors import AtriumError, PayloadTooLarge
from handlers.files.kinds import LOOKED_AT, content_type


class Intake:
    """What an upload turns out to be, once all of it has passed: `size`, `sha256`, `content_type`."""

    def __init__(self, chunks: AsyncIterable[bytes], most: int, beyond: AtriumError) -> None:
        self._chunks = chunks
        self._most = most
        self._beyond = beyond
        self._hash = hashlib.sha256()
        self._head = bytearray()
        self.size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self.size += len(chunk)
            if self.size > self._most:
                raise self._beyond
            self._hash.update(chunk)
            if len(self._head) < LOOKED_AT:
                self._head += chunk[: LOOKED_AT - len(self._head)]
            yield chunk

    async def run_dry(self) -> None:
        """Let all of it pass without keeping any."""
        async for _ in self:
            pass

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def content_type(self) -> str:
        return content_type(bytes(self._head))


def too_large(most: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"A file may have {most} bytes", details={"limit": most})

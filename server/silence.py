"""Clients that fall silent in the midst of a file. They are cut off; whoever is merely slow is not."""

import asyncio
from collections.abc import AsyncIterator


async def heard(chunks: AsyncIterator[bytes], silence: float) -> AsyncIterator[bytes]:
    """The same chunks; TimeoutError where none comes for so long (seconds)."""
    while True:
        async with asyncio.timeout(silence):
            chunk = await anext(chunks, None)
        if chunk is None:
            return
        yield chunk

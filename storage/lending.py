"""Connections that go from one transaction to the next without a stop at asyncpg's pool.

Handing a connection back to that pool and taking it out again makes a task, a proxy and two timers each time, which is
as much work as a statement. So a few are kept at hand, for seconds; the pool has them often enough to do its upkeep,
and whoever waits for a connection gets one at once.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

KEPT: Final = 4
"""Connections that are kept at hand (count)."""
KEPT_FOR: Final = 10.0
"""How long a connection goes from hand to hand before the pool has it back (seconds)."""


@dataclass(slots=True)
class Loan:
    """A connection that one transaction has."""

    held: Any
    """As the pool has lent it: asyncpg's proxy, which the pool wants back."""
    connection: Any
    """What is behind that; each call by way of the proxy takes two."""
    until: float


class Lender:
    """Lends the connections of a pool."""

    def __init__(self, pool: asyncpg.Pool, patience: float) -> None:
        """`patience`: how long a borrower waits for a connection (seconds)."""
        self._pool = pool
        self._patience = patience
        self._kept: list[Loan] = []
        self._closed = False
        self.waiting = 0
        """Borrowers that wait for a connection (count)."""

    @property
    def idle(self) -> int:
        """Connections that nobody is using (count)."""
        return len(self._kept) + int(self._pool.get_idle_size())

    async def borrow(self) -> Loan:
        """A connection; raises TimeoutError where none is free in time."""
        while self._kept:
            loan = self._kept.pop()
            if not loan.connection.is_closed() and asyncio.get_running_loop().time() < loan.until:
                return loan
            await self._pool.release(loan.held)
        self.waiting += 1
        try:
            async with asyncio.timeout(
                self._patience
            ):  # the pool's own time limit would make a task for each
                held = await self._pool.acquire()
        finally:
            self.waiting -= 1
        behind = held._con  # noqa: SLF001  # no public way
        return Loan(held, behind, asyncio.get_running_loop().time() + KEPT_FOR)

    async def give_back(self, loan: Loan) -> None:
        """Take back a connection that is outside of a transaction, or closed."""
        if self._closed or self.waiting or len(self._kept) >= KEPT or loan.connection.is_closed():
            await self._pool.release(loan.held)
        else:
            self._kept.append(loan)

    async def close(self) -> None:
        """Hand everything kept back to the pool, and keep nothing from now on."""
        self._closed = True
        while self._kept:
            await self._pool.release(self._kept.pop().held)

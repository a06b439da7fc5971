"""The budgets of all nodes together, in Redis.

What must be exact asks Redis with every call. What must be fast counts on its own node and tells Redis now and then. Both
go on alone while Redis is away, from what they knew last, and tell it what it missed when it is back. Nothing here fails
a call, or holds one up for longer than `patience`.
"""

import asyncio
import time
from typing import Any, Final

import structlog
from limits.aio.storage import RedisStorage
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from storage.background import end_tasks
from storage.rates import Budgets, Count, Pair, Window, longest

log = structlog.get_logger(__name__)

AWAY: Final = (RedisError, OSError, TimeoutError)

PATIENCE: Final = 0.5
"""How long a call waits for Redis, once; after that this node counts alone until Redis answers again (seconds)."""

INTERVAL: Final = 1.0
"""How often Redis is told what was counted here, and asked whether it is back (seconds)."""

TIDY_INTERVAL: Final = 60.0
"""How often windows that are past are forgotten (seconds)."""

CONNECTIONS: Final = 32
"""To Redis, at most (count)."""

AT_ONCE: Final = 64
"""Windows told of at the same time (count)."""

NO_LIMIT: Final = 2**53


class SharedBudgets:
    """`Budgets`, shared with other nodes where there is a Redis, and this node's own where there is none."""

    def __init__(self, url: str | None, *, patience: float = PATIENCE, interval: float = INTERVAL) -> None:
        self.budgets = Budgets()
        self.healthy = True
        """Whether the counts are everybody's; always so without a Redis, where there is nobody else."""
        self.patience, self._interval = patience, interval
        self._pool = _pool(url, patience) if url else None
        self._storage = _storage(self._pool) if self._pool else None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        await end_tasks(self._task)
        if self._pool is not None:
            await self._pool.disconnect()

    async def take(self, *pairs: Pair) -> Window | None:
        """As `Budgets.take`, but exact among all nodes. What is known to be used up is refused without asking."""
        budgets = self.budgets
        now = budgets.clock()
        taken = [window for rule, subject in pairs for window in budgets.of(rule, subject)]
        if self._storage is None or not self.healthy or any(not window.left(now) for window in taken):
            return budgets.take(*pairs)
        try:
            async with asyncio.timeout(self.patience):
                admitted = await asyncio.gather(*(self._acquire(self._storage, window) for window in taken))
        except AWAY as error:
            self._lost(error)
            return budgets.take(*pairs)
        full = [window for window, fits in zip(taken, admitted, strict=True) if not fits]
        return longest(full, budgets.clock()) if full else None

    async def exchange(self) -> None:
        """Tell Redis what was counted here alone, and learn what all have counted."""
        if self._storage is None:
            self.budgets.due.clear()
            return
        try:
            async with asyncio.timeout(self.patience):
                await self._storage.get("here")
            while self.budgets.due:
                most = min(AT_ONCE, len(self.budgets.due))
                due = [self.budgets.due.popitem(last=False)[0] for _ in range(most)]
                try:
                    async with asyncio.timeout(self.patience):
                        await asyncio.gather(*(self._tell(self._storage, window) for window in due))
                except AWAY:
                    for window in due:
                        if window.unsent:
                            self.budgets.tell(window)
                    raise
        except AWAY as error:
            self._lost(error)
            return
        if not self.healthy:
            self.healthy = True
            log.info("limits.redis_back")

    async def _acquire(self, storage: RedisStorage, window: Window) -> bool:
        admitted = await storage.acquire_sliding_window_entry(window.key, window.amount, window.span)
        await self._ask(storage, window)
        return admitted

    async def _tell(self, storage: RedisStorage, window: Window) -> None:
        window.used(self.budgets.clock())  # what was counted in a span that is over is not told
        told = window.unsent
        if told:
            await storage.acquire_sliding_window_entry(window.key, NO_LIMIT, window.span, told)
            window.unsent = max(0, window.unsent - told)
        await self._ask(storage, window)
        if window.share_at and window.unsent >= window.share_at:
            self.budgets.tell(window)

    async def _ask(self, storage: RedisStorage, window: Window) -> None:
        previous, _, current, left = await storage.get_sliding_window(window.key, window.span)
        if left > window.span:
            window.learn(Count(previous, current, left - window.span), self.budgets.clock())

    def _lost(self, error: BaseException) -> None:
        if self.healthy:
            self.healthy = False
            log.warning("limits.redis_lost", error=repr(error))

    async def _run(self) -> None:
        tidy_at = time.monotonic() + TIDY_INTERVAL
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.exchange()
                if time.monotonic() >= tidy_at:
                    self.budgets.tidy()
                    tidy_at = time.monotonic() + TIDY_INTERVAL
            except Exception:
                log.exception("limits.exchange_failed")


def _pool(url: str, patience: float) -> BlockingConnectionPool:
    tcp: dict[str, Any] = {} if url.startswith("unix:") else {"socket_connect_timeout": patience}
    once = Retry(NoBackoff(), 0)
    return BlockingConnectionPool.from_url(
        url, max_connections=CONNECTIONS, timeout=patience, socket_timeout=patience, retry=once, **tcp
    )


def _storage(pool: Any) -> RedisStorage:
    return RedisStorage(
        "async+redis://", implementation="redispy", key_prefix="atrium:limits", connection_pool=pool
    )

"""The bus carries hints between nodes: one channel per room. What it loses is found again in the log.

`LocalBus` joins nodes in one process, `RedisBus` nodes anywhere. Neither gives a node its own messages back.
"""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import structlog
from redis.asyncio import Redis

from storage.background import end_tasks
from storage.backlog import Backlog
from storage.redis_line import RedisLine

log = structlog.get_logger(__name__)

CONTROL: Final = "atrium:control"
"""The channel that every node listens to, whatever rooms it serves."""

OUTBOX: Final = 20_000
"""Messages kept for Redis while it is away (count); older ones are dropped, the log has them."""

OUTBOX_BYTES: Final = 64 << 20
"""And no more of them than this (bytes)."""

RECONNECT_PAUSE: Final = 0.2
"""Pause before a lost connection to Redis is made anew (seconds)."""

SUBSCRIBE_PATIENCE: Final = 2.0
"""How long a join waits for its subscription (seconds); after that, polling heads makes up for it."""

Heard = Callable[[str, bytes], None]
Reset = Callable[[], None]


class Bus(Protocol):
    """What a node needs of a bus."""

    @property
    def healthy(self) -> bool:
        """Whether messages come through; while not, the heads of rooms are polled."""

    @property
    def alone(self) -> bool:
        """Whether there is certainly nobody else to hear what is published."""

    @property
    def waiting(self) -> int:
        """Messages that have not been published yet (count)."""

    @property
    def silence(self) -> float:
        """How long the node has not heard itself (seconds); 0 where that cannot be."""

    async def start(self, heard: Heard, reset: Reset) -> None:
        """Begin to listen. `reset` is called whenever messages may have been missed."""

    async def stop(self) -> None: ...

    async def subscribe(self, channel: str) -> None:
        """Returns when the subscription is in force, or when that takes too long."""

    def unsubscribe(self, channel: str) -> None: ...

    def publish(self, channel: str, message: bytes) -> None:
        """Send to all other nodes, in the order of the calls; never blocks, may be lost."""


class Exchange:
    """The place where the `LocalBus`es of one process meet."""

    def __init__(self) -> None:
        self.subscribers: dict[str, set[LocalBus]] = {}


class LocalBus:
    """A bus within one process; alone on its exchange it has nobody to talk to, and costs nothing."""

    healthy = True
    waiting = 0
    silence = 0.0

    def __init__(self, exchange: Exchange | None = None) -> None:
        self._exchange = exchange or Exchange()
        self._heard: Heard = lambda _channel, _message: None

    @property
    def alone(self) -> bool:
        return len(self._exchange.subscribers.get(CONTROL, ())) < 2

    async def start(self, heard: Heard, reset: Reset) -> None:
        self._heard = heard
        await self.subscribe(CONTROL)

    async def stop(self) -> None:
        for channel in list(self._exchange.subscribers):
            self.unsubscribe(channel)

    async def subscribe(self, channel: str) -> None:
        self._exchange.subscribers.setdefault(channel, set()).add(self)

    def unsubscribe(self, channel: str) -> None:
        subscribers = self._exchange.subscribers.get(channel, set())
        subscribers.discard(self)
        if not subscribers:
            self._exchange.subscribers.pop(channel, None)

    def publish(self, channel: str, message: bytes) -> None:
        for other in self._exchange.subscribers.get(channel, ()):
            if other is not self:
                asyncio.get_running_loop().call_soon(other.receive, channel, message)

    def receive(self, channel: str, message: bytes) -> None:
        if self in self._exchange.subscribers.get(channel, ()):
            self._heard(channel, message)


class RedisBus:
    """Redis pub/sub on two connections of its own, watched by a canary.

    redis-py never notices a peer that has silently gone, so every node loops a canary through Redis: when it
    stays away for `silence` seconds, both connections are torn down and made anew.
    """

    def __init__(self, url: str, *, silence: float) -> None:
        tcp: dict[str, Any] = (
            {} if url.startswith("unix:") else {"socket_keepalive": True, "socket_connect_timeout": silence}
        )
        self._redis = Redis.from_url(url, protocol=2, socket_timeout=None, **tcp)
        self._patience = silence
        self._node = os.urandom(8)
        self._canary_channel = f"atrium:canary:{self._node.hex()}"
        self._channels: set[str] = {CONTROL, self._canary_channel}
        self._confirmed: dict[str, asyncio.Future[None]] = {}
        self._outbox = Backlog(OUTBOX, OUTBOX_BYTES)
        self._subscriber: RedisLine | None = None
        self._publisher: RedisLine | None = None
        self._last_canary = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._heard: Heard = lambda _channel, _message: None
        self._reset: Reset = lambda: None

    @property
    def healthy(self) -> bool:
        return time.monotonic() - self._last_canary < self._patience

    @property
    def alone(self) -> bool:
        return False

    @property
    def waiting(self) -> int:
        return len(self._outbox)

    @property
    def silence(self) -> float:
        return time.monotonic() - self._last_canary

    async def start(self, heard: Heard, reset: Reset) -> None:
        self._heard, self._reset = heard, reset
        loops = (
            self._keep(self._receive, self._began_to_hear),
            self._keep(lambda _hearers: None, self._began_to_publish),
            self._watch(),
        )
        self._tasks = [asyncio.create_task(loop) for loop in loops]
        deadline = time.monotonic() + self._patience
        while not self.healthy and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        await end_tasks(*self._tasks)
        await self._redis.aclose()

    async def subscribe(self, channel: str) -> None:
        self._channels.add(channel)
        confirmed = self._confirmed.setdefault(channel, asyncio.get_running_loop().create_future())
        if self._subscriber is not None:
            self._subscriber.send("SUBSCRIBE", channel)
        await asyncio.wait([confirmed], timeout=SUBSCRIBE_PATIENCE if self.healthy else 0.1)

    def unsubscribe(self, channel: str) -> None:
        self._channels.discard(channel)
        self._confirmed.pop(channel, None)
        if self._subscriber is not None:
            self._subscriber.send("UNSUBSCRIBE", channel)

    def publish(self, channel: str, message: bytes) -> None:
        self._outbox.put(channel, self._node + message)
        self._empty_outbox()

    def _empty_outbox(self) -> None:
        while self._outbox and self._publisher is not None and self._publisher.ready:
            self._publisher.send("PUBLISH", *self._outbox.take())

    async def _keep(self, replied: Callable[[Any], None], began: Callable[[RedisLine], None]) -> None:
        """Have a connection to Redis, and another one whenever it ends."""
        while True:
            line: RedisLine | None = None
            try:
                line = await RedisLine.open(self._redis, replied, self._patience)
                began(line)
                error = await line.over
            except Exception as failure:
                error = failure
            finally:
                if line is not None:
                    await line.close()
            log.warning("bus.disconnected", error=repr(error))
            await asyncio.sleep(RECONNECT_PAUSE)

    def _began_to_hear(self, line: RedisLine) -> None:
        self._subscriber = line
        line.send("SUBSCRIBE", *self._channels)
        self.publish(self._canary_channel, b"")
        self._reset()

    def _began_to_publish(self, line: RedisLine) -> None:
        self._publisher = line
        line.drained = self._empty_outbox
        self._empty_outbox()

    def _receive(self, reply: Any) -> None:
        kind, channel, content = reply
        name = channel.decode()
        if kind == b"subscribe":
            if (confirmed := self._confirmed.get(name)) and not confirmed.done():
                confirmed.set_result(None)
        elif kind == b"message":
            if name == self._canary_channel:
                self._last_canary = time.monotonic()
            elif content[:8] != self._node and name in self._channels:
                self._hear(name, content[8:])

    def _hear(self, channel: str, message: bytes) -> None:
        """Hand a message over; one that cannot be taken, such as a newer version's, must not end the connection."""
        try:
            self._heard(channel, message)
        except Exception:
            log.exception("bus.message_failed", channel=channel)

    async def _watch(self) -> None:
        """Send the canary; tear the connections down when it does not come back."""
        cut_at = time.monotonic()
        while True:
            self.publish(self._canary_channel, b"")
            await asyncio.sleep(self._patience / 5)
            quiet_since = max(self._last_canary, cut_at)
            if time.monotonic() - quiet_since > self._patience * 0.8:
                cut_at = time.monotonic()
                for line in (self._subscriber, self._publisher):
                    if line is not None:
                        line.abort(TimeoutError("the canary stays away"))

"""Counting calls against budgets: sliding windows in memory, and what nodes tell each other of them through Redis.

A window weighs the span that has begun and what is left of the one before it: previous * left / span + current. So a
budget can be neither saved up nor spent twice around a full hour, and takes two numbers, whatever its size.

The notation, and counting in Redis, are the library `limits`'. Its store in memory looks at every key with every hit
(1 ms at 10,000 keys), so that one is ours: see docs/decisions/0011.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from limits import RateLimitItem, parse_many

Rates: TypeAlias = tuple[RateLimitItem, ...]

MOST_BUDGETS: Final = 200_000
"""Budgets kept in memory (count, some 100 MB); the oldest is forgotten for a new one, as under a flood of addresses."""

SHARE: Final = 1 / 8
"""The part of a budget that a node counts alone, where it need not be exact, before it tells the others."""

SHORTEST_SHARED: Final = 60
"""A shorter span, where it need not be exact, is counted by each node for itself (seconds)."""

SOON: Final = 0.001
"""Added to the time after which there is room again, so that coming back at that moment is not too early (seconds)."""


def parse_rates(text: str) -> Rates:
    """`1000/hour;100/minute` as limits; empty for none. ValueError says what is wrong."""
    if not text.strip():
        return ()
    try:
        rates = tuple(parse_many(text))
    except ValueError:
        raise ValueError(f"{text.strip()!r} is no limit such as 1000/hour or 1000/hour;100/minute") from None
    if any(rate.amount < 1 for rate in rates):
        raise ValueError(f"{text.strip()!r} would let nothing pass: leave it empty for no limit at all")
    return rates


def parse_overrides(text: str) -> dict[str, Rates]:
    """`task.move=20/second;600/minute, auth.login=5/minute`: a budget of its own for each of these names."""
    found = {}
    for part in filter(str.strip, text.split(",")):
        name, equals, rates = part.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{part.strip()!r} is not like task.move=20/second;600/minute")
        found[name.strip()] = parse_rates(rates)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A kind of budget: how many calls each of its subjects may make, in each of some spans of time."""

    name: str
    rates: Rates
    exact: bool = False
    """Whether all nodes together let exactly so many pass, at the price of asking Redis with every call."""


class Count(NamedTuple):
    """What a window holds, as Redis has it."""

    previous: int
    current: int
    left: float
    """Until the span ends (seconds)."""


class Window:
    """The calls of one subject in one span of time, and in the span before."""

    __slots__ = (
        "amount",
        "current",
        "ends",
        "key",
        "name",
        "previous",
        "share_at",
        "span",
        "tell_at",
        "unsent",
    )

    def __init__(self, rule: Rule, rate: RateLimitItem, subject: Hashable, now: float) -> None:
        self.amount = rate.amount
        self.span = rate.get_expiry()
        self.name = f"{rule.name}-{f'{rate.multiples}-' if rate.multiples > 1 else ''}{rate.GRANULARITY.name}"
        self.key = f"{self.name}/{rate.amount}/{subject}"
        self.previous = 0
        self.current = 0
        self.ends = now + self.span
        self.unsent = 0
        """Of `current`, what Redis has not been told."""
        self.tell_at = now
        """The log is told that it is used up not before then."""
        self.share_at = 1 if rule.exact else _share(rate)
        """So many of `unsent` are enough to tell Redis; 0: it is never told."""

    def used(self, now: float) -> int:
        if now >= self.ends:
            self._roll(now)
        if self.previous:
            return int(self.previous * (self.ends - now) / self.span) + self.current
        return self.current

    def left(self, now: float) -> int:
        """How many calls there is room for."""
        return max(0, self.amount - self.used(now))

    def free_in(self, now: float) -> float:
        """When there is room for a call (seconds from now)."""
        if self.used(now) < self.amount:
            return 0
        left = self.ends - now
        if self.current < self.amount:
            return left - (self.amount - self.current) * self.span / self.previous + SOON
        return left + self.span - self.amount * self.span / self.current + SOON

    def resets_in(self, now: float) -> float:
        """When the span ends, or where it is used up, when there is room again (seconds from now)."""
        return self.free_in(now) or self.ends - now

    def idle(self, now: float) -> bool:
        """Whether all it knows is past."""
        return now >= self.ends + self.span

    def learn(self, count: Count, now: float) -> None:
        """Take over what Redis has, with what it has not been told yet. An answer that was overtaken lowers nothing."""
        current = count.current + self.unsent
        ends = now + count.left
        if abs(ends - self.ends) < min(self.span / 4, 1):
            current = max(current, self.current)
        self.previous, self.current, self.ends = count.previous, current, ends

    def _roll(self, now: float) -> None:
        if now < self.ends + self.span:
            self.previous, self.ends = self.current, self.ends + self.span
        else:
            self.previous, self.ends = 0, now + self.span
        self.current = self.unsent = 0


Pair: TypeAlias = tuple[Rule, Hashable]
"""A rule and whom it is applied to."""


class Budgets:
    """The windows of this node. `due` are those of which the other nodes have to be told."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.due: OrderedDict[Window, None] = OrderedDict()
        self._windows: OrderedDict[tuple[str, Hashable], tuple[Window, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def of(self, rule: Rule, subject: Hashable) -> tuple[Window, ...]:
        """The windows of one subject under one rule."""
        found = self._windows.get((rule.name, subject))
        if found is None:
            now = self.clock()
            found = tuple(Window(rule, rate, subject, now) for rate in rule.rates)
            if len(self._windows) >= MOST_BUDGETS:
                self._windows.popitem(last=False)
            self._windows[rule.name, subject] = found
        return found

    def take(self, *pairs: Pair) -> Window | None:
        """Count one call against all of these budgets, or against none and return the window that has no room."""
        now = self.clock()
        taken: list[Window] = []
        for rule, subject in pairs:
            taken += self._windows.get((rule.name, subject)) or self.of(rule, subject)
        for window in taken:
            # Written out for the common case: every call by socket comes by here.
            quick = now < window.ends and not window.previous
            if (window.current if quick else window.used(now)) >= window.amount:
                return longest(taken, now)
        for window in taken:
            window.current += 1
            window.unsent += 1
            if window.unsent == window.share_at:
                self.tell(window)
        return None

    def tell(self, window: Window) -> None:
        """Have the others told of a window, once; where too many wait for that they do not hear of the oldest."""
        self.due[window] = None
        if len(self.due) > MOST_BUDGETS:
            self.due.popitem(last=False)

    def tidy(self) -> int:
        """Forget what is past; returns how many budgets that was."""
        now = self.clock()
        past = [key for key, windows in self._windows.items() if all(window.idle(now) for window in windows)]
        for key in past:
            del self._windows[key]
        return len(past)


def longest(windows: list[Window], now: float) -> Window:
    """Of several windows the one that has room last."""
    return max(windows, key=lambda window: window.free_in(now))


def _share(rate: RateLimitItem) -> int:
    return max(1, int(rate.amount * SHARE)) if rate.get_expiry() >= SHORTEST_SHARED else 0

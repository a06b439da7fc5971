"""Figures of what happens with every command: plain numbers, which /metrics reads when somebody asks.

prometheus_client's own counters take a lock for each number that they change, and a histogram changes two and looks for
its bucket from the lowest one on. Here one thread counts, that of the event loop.
"""

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

T = TypeVar("T")


class Family(Collector, Generic[T]):
    """Figures of one name, by the values of its labels."""

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self.name: Final = name
        self.documentation: Final = documentation
        self.names: Final = tuple(labels)
        self.found: Final[dict[tuple[str, ...], T]] = {}
        if not labels:
            self.labels()  # 0 is a figure too
        registry.register(self)

    @abstractmethod
    def made(self) -> T:
        """A figure that stands at nothing."""

    def describe(self) -> Iterable[Metric]:
        return self.collect()

    def labels(self, *values: str) -> T:
        found = self.found.get(values)
        if found is None:
            if len(values) != len(self.names):
                raise ValueError(f"{self.name} has the labels {', '.join(self.names) or 'none'}")
            found = self.found[values] = self.made()
        return found


class Tally:
    """How often something has happened."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def inc(self, by: int = 1) -> None:
        self.count += by


class Tallies(Family[Tally]):
    """A counter."""

    def made(self) -> Tally:
        return Tally()

    def inc(self, by: int = 1) -> None:
        """Count where there are no labels."""
        self.labels().inc(by)

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(self.name, self.documentation, labels=self.names)
        for values, tally in self.found.items():
            family.add_metric(values, tally.count)
        yield family


class Spread:
    """How many values were at most as large as each bound."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Spreads(Family[Spread]):
    """A histogram."""

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str] = (), *, buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:  # fmt: skip
        self.bounds: Final = tuple(float(bound) for bound in buckets)
        super().__init__(name, documentation, labels, registry)

    def made(self) -> Spread:
        return Spread(self.bounds)

    def observe(self, value: float) -> None:
        """Take a value in where there are no labels."""
        self.labels().observe(value)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.names)
        for values, spread in self.found.items():
            buckets, sofar = [], 0
            for bound, count in zip((*map(str, self.bounds), "+Inf"), spread.counts, strict=True):
                sofar += count
                buckets.append((bound, sofar))
            family.add_metric(values, buckets, spread.sum)
        yield family

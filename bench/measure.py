"""Measures a case: all its peers up at once, their rounds in turn so that a busy machine troubles all alike."""

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.budgets import compared
from bench.cases import Case
from bench.ground import Ground, Place
from bench.load import Load, Run, Shape

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Pace:
    """How long a shape is measured: so many rounds of so many seconds, after a warm-up."""

    rounds: int
    seconds: float
    warm: float
    more: int
    """Rounds beyond those, for peers whose ratio a budget bounds: the median of nine such ratios may be off by a twentieth."""
    settle: float
    """Seconds in which connections that are idle come to rest before their memory is read."""


@dataclass
class Figures:
    """Medians over the rounds, by peer, shape and metric; and what went wrong."""

    values: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    rounds: dict[str, dict[str, list[dict[str, float]]]] = field(default_factory=dict)
    """What the medians are of: the n-th round of one peer was measured beside the n-th of every other."""
    faults: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)

    def put(self, peer: str, shape: str, rounds: list[dict[str, float]]) -> None:
        self.rounds.setdefault(peer, {})[shape] = rounds
        self.values.setdefault(peer, {})[shape] = {
            metric: round(statistics.median(one[metric] for one in rounds), 4) for metric in rounds[0]
        }


def measure_rounds(case: Case, pace: Pace, ground: Ground, tell: Tell) -> Figures:
    figures = Figures()
    with ground.places(case.peers, case.want, figures.absent) as running, ExitStack() as stack:
        loads = {name: stack.enter_context(place.load(case.crowd)) for name, place in running.items()}
        for shape in case.shapes:
            for load in loads.values():
                load.run(shape, pace.warm)
            rounds: dict[str, list[dict[str, float]]] = {name: [] for name in loads}
            judged = compared(case.name, shape.name) & loads.keys()
            last = pace.rounds + (pace.more if judged else 0)
            for turn in range(last):
                tell(f"{case.name}, {shape.name}: round {turn + 1} of {last}")
                for name, load in loads.items():
                    if turn >= pace.rounds and name not in judged:
                        continue
                    run, metrics = _measured(running[name], load, shape, pace.seconds)
                    rounds[name].append(metrics)
                    wrong = run.faults(signals=load.signals)
                    figures.faults += [f"{name}, {shape.name}: {fault}" for fault in wrong]
            for name, taken in rounds.items():
                figures.put(name, shape.name, taken)
    return figures


def _measured(place: Place, load: Load, shape: Shape, seconds: float) -> tuple[Run, dict[str, float]]:
    before = place.cpu()
    run = load.run(shape, seconds)
    cpu = place.cpu_since(before)
    deliveries, commands, took = max(run.deliveries, 1), max(run.acked, 1), max(run.seconds, 1e-9)
    metrics = {
        "cpu_us_per_delivery": cpu["server"] * 1e6 / deliveries,
        "cpu_us_per_delivery_with_redis": (cpu["server"] + cpu.get("redis", 0)) * 1e6 / deliveries,
        "deliveries_per_s": run.deliveries / took,
        "commands_per_s": run.acked / took,
        "ack_p50_ms": run.ack_p50_ms,
        "ack_p99_ms": run.ack_p99_ms,
        "delivery_p50_ms": run.delivery_p50_ms,
        "delivery_p99_ms": run.delivery_p99_ms,
        "delivered_share": run.deliveries / max(run.expected, 1),
        "event_bytes": run.event_bytes,
        "loadgen_busy": run.loadgen_cpu_seconds / took,
    }
    for part, used in cpu.items():
        metrics[f"{part}_busy"] = used / took
        metrics[f"{part}_cpu_us_per_command"] = used * 1e6 / commands
    return run, metrics

"""Runs a case: all peers up at once, their rounds taken in turn so that a busy machine troubles all alike."""

import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.build import UnavailableError
from bench.cases import Case
from bench.load import Load, Run, Shape
from bench.peers import PEERS, Peer
from bench.processes import cpu_seconds, resident_bytes

WARM_SECONDS = 1.5


@dataclass(frozen=True)
class Pace:
    """How long a shape is measured: so many rounds of so many seconds."""

    rounds: int
    seconds: float


@dataclass
class Figures:
    """Medians over the rounds, by peer, shape and metric; and what went wrong."""

    values: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)


def measure(case: Case, pace: Pace, tell: Callable[[str], None]) -> Figures:
    figures = Figures()
    with ExitStack() as stack:
        rooms: dict[str, _Room] = {}
        for name in case.peers:
            tell(f"{case.name}: starting {name}")
            try:
                rooms[name] = stack.enter_context(_room(name, case))
            except UnavailableError as reason:
                figures.absent[name] = str(reason)
                continue
            figures.values[name] = {"connections": rooms[name].connections()}
        for shape in case.shapes:
            _measure_shape(shape, rooms, pace, figures, tell)
    return figures


def _measure_shape(
    shape: Shape, rooms: "Mapping[str, _Room]", pace: Pace, figures: Figures, tell: Callable[[str], None]
) -> None:
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in rooms}
    for room in rooms.values():
        room.load.run(shape, WARM_SECONDS)
    for turn in range(pace.rounds):
        tell(f"{shape.name}: round {turn + 1} of {pace.rounds}")
        for name, room in rooms.items():
            run, metrics = room.measured(shape, pace.seconds)
            rounds[name].append(metrics)
            figures.faults += [f"{name}, {shape.name}: {fault}" for fault in run.faults]
    for name, taken in rounds.items():
        figures.values[name][shape.name] = {
            metric: round(statistics.median(one[metric] for one in taken), 4) for metric in taken[0]
        }


@dataclass(frozen=True)
class _Room:
    peer: Peer
    load: Load
    empty_bytes: int

    def connections(self) -> dict[str, float]:
        """What it took to connect and hold the members."""
        held = resident_bytes(self.peer.processes()["server"])
        return {
            "connect_seconds": self.load.connect_seconds,
            "join_p99_ms": self.load.join_p99_ms,
            "resident_mb": round(held / 2**20, 1),
            "grown_mb": round((held - self.empty_bytes) / 2**20, 1),
        }

    def measured(self, shape: Shape, seconds: float) -> tuple[Run, dict[str, float]]:
        before = self._cpu()
        run = self.load.run(shape, seconds)
        cpu = {part: after - before[part] for part, after in self._cpu().items()}
        metrics = {
            "cpu_us_per_delivery": cpu["server"] * 1e6 / max(run.deliveries, 1),
            "deliveries_per_s": run.deliveries / run.seconds,
            "commands_per_s": run.acked / run.seconds,
            "ack_p50_ms": run.ack_p50_ms,
            "ack_p99_ms": run.ack_p99_ms,
            "delivery_p50_ms": run.delivery_p50_ms,
            "delivery_p99_ms": run.delivery_p99_ms,
            "event_bytes": run.event_bytes,
            "loadgen_busy": run.loadgen_cpu_seconds / run.seconds,
        }
        for part, used in cpu.items():
            metrics[f"{part}_busy"] = used / run.seconds
            metrics[f"{part}_cpu_us_per_command"] = used * 1e6 / max(run.acked, 1)
        return run, metrics

    def _cpu(self) -> dict[str, float]:
        return {part: cpu_seconds(pids) for part, pids in self.peer.processes().items()}


@contextmanager
def _room(name: str, case: Case) -> Iterator[_Room]:
    """A peer with all members of the case in one room."""
    directory = Path(tempfile.mkdtemp(prefix=f"atrium-bench-{name}-"))
    directory.chmod(0o755)  # the embedded Postgres of a server that runs as root is another user
    peer = PEERS[name]()
    try:
        peer.start(directory)
        try:
            script = peer.room()
            empty = resident_bytes(peer.processes()["server"])
            with Load(peer.port, case.members, script, directory, deflate=case.deflate) as load:
                yield _Room(peer, load, empty)
        finally:
            peer.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)

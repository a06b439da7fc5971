"""Cases that are no rounds of commands: memory of idle connections, joining and resuming, a herd that returns."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from bench.cases import Case
from bench.ground import Ground, Place
from bench.load import Load, Shape
from bench.measure import Figures, Pace, Tell, measure_rounds

WARM_MEMBERS: Final = 50
JOINS: Final = 20
HERDS: Final = 3
"""How often a herd returns at most: each time takes as long as it takes."""
FILL: Final = Shape("fill", "closed", senders=20)
FILL_ROUNDS: Final = 200


def measure_memory(case: Case, pace: Pace, ground: Ground, tell: Tell) -> Figures:
    """Growth of the server's processes by idle members, per member; the server has had members before."""
    figures = Figures()
    for shape, deflate in (("plain", False), ("deflate offered", True)):
        crowd = replace(case.crowd, deflate=deflate)
        with (
            ground.places(case.peers, case.want, figures.absent, fresh=True) as running,
            ExitStack() as stack,
        ):
            for name, place in running.items():
                tell(f"memory, {shape}: {name}")
                with place.load(replace(crowd, members=WARM_MEMBERS)):
                    pass
                time.sleep(pace.settle)
                empty = place.server_bytes()
                load = stack.enter_context(place.load(crowd))
                time.sleep(pace.settle)
                held = place.server_bytes()
                metrics = {
                    "kib_per_connection": (held - empty) / 2**10 / crowd.members,
                    "server_mib": held / 2**20,
                    "connect_seconds": load.joins.seconds,
                }
                figures.put(name, shape, [metrics])
    return figures


def measure_resume(case: Case, pace: Pace, ground: Ground, tell: Tell) -> Figures:
    """One member joins again and again: for the snapshot, and for the events after a position."""
    figures = Figures()
    with ground.places(case.peers, case.want, figures.absent) as running:
        for name, place in running.items():
            with place.load(case.crowd) as load:
                _fill(load, case.missed)
                tell(f"resume: {name}")
                shapes = {
                    "snapshot": (place.script.join, '"snapshot":'),
                    f"{case.missed:,} missed": (place.peer.rejoins(case.missed), '"mode":"events"'),
                }
                for shape, (lines, expect) in shapes.items():
                    load.rejoin(lines, 2, expect)
                    before = place.cpu()
                    joins = load.rejoin(lines, JOINS, expect)
                    if joins.expected != JOINS:
                        figures.faults.append(
                            f"{name}, {shape}: {JOINS - joins.expected} replies were others"
                        )
                    metrics = {
                        "join_p50_ms": joins.join_p50_ms,
                        "join_p99_ms": joins.join_p99_ms,
                        "reply_bytes": joins.reply_bytes,
                        "server_cpu_ms_per_join": place.cpu_since(before)["server"] * 1e3 / JOINS,
                    }
                    figures.put(name, shape, [metrics])
    return figures


def _fill(load: Load, events: int) -> None:
    """Make so many events, at least."""
    for _ in range(FILL_ROUNDS):
        events -= load.run(FILL, 0.5).acked
        if events <= 0:
            return
    raise RuntimeError("the server makes hardly any events")


def measure_herd(case: Case, pace: Pace, ground: Ground, tell: Tell) -> Figures:
    figures = Figures()
    with ground.places(case.peers, case.want, figures.absent) as running, ExitStack() as stack:
        loads = {name: stack.enter_context(place.load(case.crowd)) for name, place in running.items()}
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in loads}
        for turn in range(min(pace.rounds, HERDS)):
            tell(f"herd: round {turn + 1}")
            for name, load in loads.items():
                rounds[name].append(_herd(running[name], load))
        for name, taken in rounds.items():
            figures.put(name, "all return", taken)
    return figures


def _herd(place: Place, load: Load) -> dict[str, float]:
    joins_of = place.peer.rejoins(0)
    before = place.cpu()
    joins = load.herd(joins_of)
    cpu = place.cpu_since(before)
    return {
        "all_joined_s": joins.seconds,
        "join_p50_ms": joins.join_p50_ms,
        "join_p99_ms": joins.join_p99_ms,
        "retries": joins.retries,
        "server_cpu_ms_per_join": cpu["server"] * 1e3 / joins.members,
    }


MEASURES: Final[Mapping[str, Callable[[Case, Pace, Ground, Tell], Figures]]] = {
    "rounds": measure_rounds,
    "memory": measure_memory,
    "resume": measure_resume,
    "herd": measure_herd,
}

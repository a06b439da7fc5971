"""Figures as rows of text, for the terminal and for docs/performance-table.md."""

from collections.abc import Iterator
from typing import Any, Final

COLUMNS: Final = {
    "cpu_us_per_delivery": ("server CPU µs/delivery", ",.2f"),
    "cpu_us_per_delivery_with_redis": ("with Redis µs/delivery", ",.2f"),
    "deliveries_per_s": ("deliveries/s", ",.0f"),
    "commands_per_s": ("commands/s", ",.0f"),
    "ack_p50_ms": ("ack p50 ms", ",.2f"),
    "ack_p99_ms": ("ack p99 ms", ",.2f"),
    "delivery_p50_ms": ("delivery p50 ms", ",.2f"),
    "delivery_p99_ms": ("delivery p99 ms", ",.2f"),
    "delivered_share": ("delivered", ".1%"),
    "event_bytes": ("event bytes", ",.0f"),
    "server_busy": ("server busy", ".0%"),
    "postgres_cpu_us_per_command": ("Postgres µs/command", ",.0f"),
    "loadgen_busy": ("load gen. busy", ".0%"),
    "kib_per_connection": ("KiB/connection", ",.1f"),
    "server_mib": ("server MiB", ",.0f"),
    "connect_seconds": ("connect all s", ",.2f"),
    "all_joined_s": ("all joined s", ",.2f"),
    "join_p50_ms": ("join p50 ms", ",.1f"),
    "join_p99_ms": ("join p99 ms", ",.1f"),
    "retries": ("retries", ",.0f"),
    "reply_bytes": ("reply bytes", ",.0f"),
    "server_cpu_ms_per_join": ("server CPU ms/join", ",.2f"),
}
SPECIAL: Final = {"cpu_us_per_delivery_with_redis": "workers", "delivered_share": "signals"}
"""Metrics that are of interest in one case only."""
RATIO: Final = "cpu_us_per_delivery"
AGAINST: Final = "node"
SATURATED: Final = 0.9
"""A load generator busier than this (share of one core) measures itself."""
VERDICTS: Final = {True: "pass", False: "FAIL", None: "not measured"}

Figures = dict[str, dict[str, dict[str, float]]]


def figures_table(name: str, figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: a row per shape and peer, with the ratio to Node where that was measured."""
    seen = {metric for shapes in figures.values() for values in shapes.values() for metric in values}
    metrics = [metric for metric in COLUMNS if metric in seen and SPECIAL.get(metric, name) == name]
    first = RATIO if RATIO in metrics else metrics[0] if metrics else ""
    heads = ["shape", "peer", f"{COLUMNS[first][0]}, of {AGAINST}"] if first else ["shape", "peer"]
    rows = [
        [shape, peer, _ratio(figures, shape, peer, first), *(_cell(values, metric) for metric in metrics)]
        for shape, peer, values in _by_shape(figures)
    ]
    return heads + [COLUMNS[metric][0] for metric in metrics], rows


def _by_shape(figures: Figures) -> Iterator[tuple[str, str, dict[str, float]]]:
    shapes = dict.fromkeys(shape for measured in figures.values() for shape in measured)
    for shape in shapes:
        for peer, measured in figures.items():
            if shape in measured:
                yield shape, peer, measured[shape]


def _ratio(figures: Figures, shape: str, peer: str, metric: str) -> str:
    theirs = figures.get(AGAINST, {}).get(shape, {}).get(metric)
    ours = figures[peer][shape].get(metric)
    return f"{ours / theirs:.2f}" if theirs and ours is not None else ""


def _cell(values: dict[str, float], metric: str) -> str:
    if metric not in values:
        return ""
    mark = " !" if metric == "loadgen_busy" and values[metric] > SATURATED else ""
    return format(values[metric], COLUMNS[metric][1]) + mark


BUDGET_HEADS: Final = ["case", "shape", "figure", "limit", "seen", ""]


def budget_row(budget: dict[str, Any]) -> list[str]:
    seen = "" if budget["seen"] is None else f"{budget['seen']:,.2f}"
    if spread := budget.get("quartiles"):
        seen += f" ({spread[0]:,.2f} to {spread[1]:,.2f})"
    return [
        budget["case"],
        budget["shape"],
        budget["what"],
        budget["limit"],
        seen,
        VERDICTS[budget["holds"]],
    ]


def remarks(case: dict[str, Any]) -> list[str]:
    """What of a case is missing or does not count."""
    return [f"not measured: {peer}: {reason}" for peer, reason in case["absent"].items()] + [
        f"does not count: {fault}" for fault in case["faults"]
    ]

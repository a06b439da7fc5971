"""Shows figures as tables and keeps them with a description of the machine."""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.budgets import Budget
from bench.build import BUILD, HERE, node
from bench.cases import Case
from bench.measure import Figures, Pace

COLUMNS: Final = {
    "cpu_us_per_delivery": ("server CPU\nµs/delivery", ",.2f"),
    "deliveries_per_s": ("deliveries\nper s", ",.0f"),
    "commands_per_s": ("commands\nper s", ",.0f"),
    "ack_p50_ms": ("ack p50\nms", ",.2f"),
    "ack_p99_ms": ("ack p99\nms", ",.2f"),
    "delivery_p50_ms": ("delivery\np50 ms", ",.2f"),
    "delivery_p99_ms": ("delivery\np99 ms", ",.2f"),
    "server_busy": ("server\nbusy", ".0%"),
    "loadgen_busy": ("load gen.\nbusy", ".0%"),
    "postgres_cpu_us_per_command": ("Postgres\nµs/command", ",.0f"),
    "event_bytes": ("event\nbytes", ",.0f"),
}
SATURATED: Final = 0.9
"""A load generator busier than this (share of one core) measures itself."""


def show(console: Console, case: Case, figures: Figures, budgets: list[Budget]) -> None:
    console.print(f"\n[bold]{case.title}[/bold]")
    console.print(_figures_table(case, figures))
    console.print(_connections_table(figures))
    console.print(_budgets_table(figures, budgets))
    for name, reason in figures.absent.items():
        console.print(f"[yellow]not measured: {name}: {reason}[/yellow]")
    for fault in figures.faults:
        console.print(f"[red]does not count: {fault}[/red]")


def _figures_table(case: Case, figures: Figures) -> Table:
    table = Table("shape", "peer", *(title for title, _ in COLUMNS.values()))
    for shape in case.shapes:
        for peer, shapes in figures.values.items():
            values = shapes[shape.name]
            cells = [
                format(values[metric], form) if metric in values else ""
                for metric, (_, form) in COLUMNS.items()
            ]
            if values["loadgen_busy"] > SATURATED:
                cells[list(COLUMNS).index("loadgen_busy")] += " !"
            table.add_row(shape.name, peer, *cells)
        table.add_section()
    return table


def _connections_table(figures: Figures) -> Table:
    table = Table("peer", "connect\nall, s", "join p99\nms", "resident\nMiB", "of which for\nmembers, MiB")
    for peer, shapes in figures.values.items():
        values = shapes["connections"]
        table.add_row(peer, *(f"{value:,.2f}" for value in values.values()))
    return table


def _budgets_table(figures: Figures, budgets: list[Budget]) -> Table:
    verdicts = {True: "[green]pass[/green]", False: "[red]FAIL[/red]", None: "[yellow]not measured[/yellow]"}
    table = Table("shape", "ratio", "limit", "seen", "")
    for budget in budgets:
        ratio = budget.ratio(figures)
        what = f"{budget.metric}, {budget.peer} / {budget.over}"
        seen = "" if ratio is None else f"{ratio:.2f}"
        table.add_row(budget.shape, what, budget.limit, seen, verdicts[budget.holds(figures)])
    return table


def keep(directory: Path, case: Case, pace: Pace, figures: Figures, budgets: list[Budget]) -> Path:
    """Write <date>-<case>.json."""
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    path = directory / f"{now:%Y-%m-%d}-{case.name}.json"
    content = {
        "case": case.name,
        "title": case.title,
        "at": now.isoformat(timespec="seconds"),
        "members": case.members,
        "rounds": pace.rounds,
        "seconds": pace.seconds,
        "machine": machine(),
        "figures": figures.values,
        "budgets": [
            {
                "shape": budget.shape,
                "metric": budget.metric,
                "ratio": f"{budget.peer} / {budget.over}",
                "limit": budget.limit,
                "seen": budget.ratio(figures),
                "holds": budget.holds(figures),
            }
            for budget in budgets
        ],
        "faults": figures.faults,
        "absent": figures.absent,
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def machine() -> dict[str, object]:
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu[0].partition(":")[2].strip() if cpu else platform.machine(),
        "memory_gib": round(memory / 2**30),
        "kernel": platform.release(),
        "load_average": round(os.getloadavg()[0], 2),
        "python": sys.version.split()[0],
        "node": _node_version(),
        "socket.io": _socketio_version(),
        "commit": _output(["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]),
    }


def _node_version() -> str:
    return _output([str(node()), "--version"])


def _socketio_version() -> str:
    package = BUILD / "node" / "node_modules" / "socket.io" / "package.json"
    return str(json.loads(package.read_text())["version"]) if package.exists() else ""


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""

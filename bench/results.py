"""A run as a file: every case with its figures and faults, the machine, and the verdicts on the budgets."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.budgets import budgets
from bench.cases import Case
from bench.machine import machine
from bench.measure import Figures, Pace

Results = dict[str, Any]


def results_of(measured: list[tuple[Case, Figures]], pace: Pace, *, quick: bool, seconds: float) -> Results:
    rounds = {case.name: figures.rounds for case, figures in measured}
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "took_seconds": round(seconds),
        "pace": asdict(pace),
        "machine": machine(),
        "cases": {
            case.name: {
                "title": case.title,
                "crowd": asdict(case.crowd),
                "rooms": case.want.rooms,
                "figures": figures.values,
                "faults": figures.faults,
                "absent": figures.absent,
            }
            for case, figures in measured
        },
        "budgets": [budget.verdict(rounds[budget.case]) for budget in budgets() if budget.case in rounds],
    }


def keep(directory: Path, results: Results) -> Path:
    """Write <date>.json, or <date>-quick.json."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{results['at'][:10]}{'-quick' if results['quick'] else ''}.json"
    path.write_text(json.dumps(results, indent=2) + "\n")
    return path


def is_good(results: Results) -> bool:
    """No case has a fault or lacks a peer, and no budget is missed."""
    cases = results["cases"].values()
    return not any(case["faults"] or case["absent"] for case in cases) and all(
        budget["holds"] for budget in results["budgets"]
    )

"""`python -m bench`: compare Atrium with its peers in one run, on this machine."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.build import HERE, UnavailableError
from bench.cases import CASES, Case
from bench.ground import Ground
from bench.measure import Figures, Pace
from bench.peers import PEERS
from bench.processes import allow_many_files
from bench.report import show_budgets, show_case, write_docs
from bench.results import is_good, keep, results_of
from bench.special import MEASURES

THOROUGH = Pace(rounds=9, more=16, seconds=1, warm=1, settle=4)
QUICK = Pace(rounds=1, more=0, seconds=0.5, warm=0.2, settle=0.5)


def main(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer members, one short round: a smoke test, no measurement.")
    ] = False,
    cases: Annotated[
        str, typer.Option(help=f"Comma-separated: {', '.join(case.name for case in CASES)}.")
    ] = "",
    peers: Annotated[str, typer.Option(help=f"Only these, of {', '.join(PEERS)}.")] = "",
    out: Annotated[Path, typer.Option(help="Directory of the result files.")] = HERE / "results",
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail when a budget does not hold, or a part is missing or wrong."),
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Measure nothing: write the table and chart of docs/ from this file.")
    ] = None,
) -> None:
    """Compare Atrium with its peers; see bench/cases.py and bench/budgets.toml."""
    console = Console(width=None if Console().is_terminal else 200)
    if report:
        for path in write_docs(json.loads(report.read_text())):
            console.print(path)
        return
    allow_many_files()
    pace, began = QUICK if quick else THOROUGH, time.monotonic()
    measured: list[tuple[Case, Figures]] = []

    def tell(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:4.0f} s  {line}[/dim]")

    with Ground(tell) as ground:
        for case in _chosen(cases, peers):
            try:
                figures = MEASURES[case.kind](case.smaller() if quick else case, pace, ground, tell)
            except (UnavailableError, RuntimeError) as reason:
                figures = Figures(faults=[str(reason)])
            measured.append((case, figures))
            results = results_of(measured, pace, quick=quick, seconds=time.monotonic() - began)
            show_case(console, case.name, results["cases"][case.name])
    show_budgets(console, results)
    console.print(f"{keep(out, results)}, {results['took_seconds']} s")
    raise typer.Exit(1 if strict and not is_good(results) else 0)


def _chosen(cases: str, peers: str) -> list[Case]:
    wanted = cases.split(",") if cases else [case.name for case in CASES]
    known = {case.name: case for case in CASES}
    if unknown := [name for name in wanted if name not in known]:
        raise typer.BadParameter(f"no such case: {', '.join(unknown)}")
    if not peers:
        return [known[name] for name in wanted]
    few = peers.split(",")
    if unknown := [name for name in few if name not in PEERS]:
        raise typer.BadParameter(f"no such peer: {', '.join(unknown)}")
    return [
        replace(known[name], peers=[peer for peer in known[name].peers if peer in few]) for name in wanted
    ]


if __name__ == "__main__":
    typer.run(main)

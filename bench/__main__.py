"""`python -m bench`: compare Atrium with its peers in one run, on this machine."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.budgets import budgets
from bench.build import HERE, UnavailableError
from bench.cases import CASES, Case
from bench.measure import Pace, measure
from bench.peers import PEERS
from bench.report import keep, show

THOROUGH = Pace(rounds=5, seconds=4)
QUICK = Pace(rounds=1, seconds=2)


def main(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="One short round: a smoke test, not a measurement.")
    ] = False,
    cases: Annotated[
        str, typer.Option(help=f"Comma-separated: {', '.join(case.name for case in CASES)}.")
    ] = "",
    peers: Annotated[str, typer.Option(help=f"Only these, of {', '.join(PEERS)}.")] = "",
    out: Annotated[Path, typer.Option(help="Directory of the result files.")] = HERE / "results",
    strict: Annotated[bool, typer.Option("--strict", help="Fail when a budget does not hold.")] = False,
) -> None:
    """Compare Atrium with its peers; see bench/cases.py and bench/budgets.toml."""
    console = Console(width=None if Console().is_terminal else 180)
    pace = QUICK if quick else THOROUGH
    good = True
    for case in _chosen(cases, peers):
        limits = budgets(case.name)
        try:
            figures = measure(case, pace, lambda line: console.print(f"[dim]{line}[/dim]"))
        except UnavailableError as reason:
            raise typer.BadParameter(str(reason)) from reason
        show(console, case, figures, limits)
        console.print(f"[dim]{keep(out, case, pace, figures, limits)}[/dim]")
        good = good and not figures.faults and all(limit.holds(figures) for limit in limits)
    raise typer.Exit(1 if strict and not good else 0)


def _chosen(cases: str, peers: str) -> list[Case]:
    wanted = cases.split(",") if cases else [case.name for case in CASES]
    known = {case.name: case for case in CASES}
    if unknown := [name for name in wanted if name not in known]:
        raise typer.BadParameter(f"no such case: {', '.join(unknown)}")
    if unknown := [name for name in peers.split(",") if peers and name not in PEERS]:
        raise typer.BadParameter(f"no such peer: {', '.join(unknown)}")
    return [replace(known[name], peers=peers.split(",") if peers else known[name].peers) for name in wanted]


if __name__ == "__main__":
    typer.run(main)

"""Shows a run in the terminal, and writes docs/performance-table.md and docs/performance.svg from its file."""

from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.build import HERE
from bench.chart import chart
from bench.results import Results
from bench.tables import BUDGET_HEADS, budget_row, figures_table, remarks

DOCS: Final = HERE.parent / "docs"
COLOURS: Final = {"pass": "green", "FAIL": "red", "not measured": "yellow"}


def show_case(console: Console, name: str, case: dict[str, Any]) -> None:
    console.print(f"\n[bold]{name}: {case['title']}[/bold]")
    heads, rows = figures_table(name, case["figures"])
    table = Table(*(head.replace(" ", "\n", 1) for head in heads))
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for remark in remarks(case):
        console.print(f"[red]{remark}[/red]")


def show_budgets(console: Console, results: Results) -> None:
    console.print("\n[bold]Budgets[/bold]")
    table = Table(*BUDGET_HEADS)
    for budget in results["budgets"]:
        *cells, verdict = budget_row(budget)
        table.add_row(*cells, f"[{COLOURS[verdict]}]{verdict}[/{COLOURS[verdict]}]")
    console.print(table)
    if results["quick"]:
        console.print("[yellow]--quick is a smoke test: its figures say nothing about speed[/yellow]")


def write_docs(results: Results, directory: Path = DOCS) -> list[Path]:
    """Write the table and the chart that docs/performance.md shows."""
    table, picture = directory / "performance-table.md", directory / "performance.svg"
    table.write_text(markdown(results))
    picture.write_text(chart(results["cases"]))
    return [table, picture]


def markdown(results: Results) -> str:
    lines = [
        "<!-- Written by `python -m bench --report`; do not edit. -->",
        "# Figures of a run",
        "",
        _setting(results),
        "",
        "## Budgets",
        "",
        *_rows([*BUDGET_HEADS[:-1], "verdict"], [budget_row(budget) for budget in results["budgets"]]),
    ]
    for name, case in results["cases"].items():
        heads, rows = figures_table(name, case["figures"])
        lines += ["", f"## {name}", "", f"{case['title']}.", "", *_rows(heads, rows)]
        lines += [f"\n**{remark}**" for remark in remarks(case)]
    return "\n".join(lines) + "\n"


def _setting(results: Results) -> str:
    """When, where and with what it was measured."""
    machine = results["machine"]
    return (
        f"{results['at'][:10]}, commit {machine['commit']}: {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}, load {machine['load_average']} at its end; "
        f"Socket.IO {machine['socket.io']} on Node {machine['node']}, python-socketio "
        f"{machine['python-socketio']} on Python {machine['python']}. {_pace(results)} "
        "What each case does: [performance.md](performance.md)."
    )


def _pace(results: Results) -> str:
    pace = results["pace"]
    text = f"Medians over {pace['rounds']} rounds of {pace['seconds']:g} s"
    more = pace.get("more", 0)  # runs that were kept before know none
    text += f", where a budget bounds a ratio {pace['rounds'] + more}." if more else "."
    return f"{text} **A smoke test: these figures say nothing about speed.**" if results["quick"] else text


def _rows(heads: list[str], rows: list[list[str]]) -> list[str]:
    cells = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(row) + " |" for row in cells]

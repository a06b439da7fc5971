"""The comparison's budgets and pages; what they are made from is measured by `make bench` alone."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench.budgets import Budget, budgets
from bench.cases import CASES
from bench.chart import chart
from bench.peers import PEERS
from bench.report import DOCS, markdown
from bench.results import Results, is_good

STORED = max((Path(__file__).parents[2] / "bench" / "results").glob("????-??-??.json"))


@pytest.fixture(scope="module")
def stored() -> Results:
    results: Results = json.loads(STORED.read_text())
    return results


@pytest.mark.parametrize(
    "budget", budgets(), ids=lambda budget: f"{budget.case}-{budget.shape}-{budget.metric}"
)
def test_a_budget_names_what_is_measured(budget: Budget, stored: Results) -> None:
    case = next(case for case in CASES if case.name == budget.case)
    assert {budget.peer, budget.over or budget.peer} <= set(case.peers) <= set(PEERS)
    assert (budget.at_most is None) != (budget.at_least is None)
    figures = stored["cases"][budget.case]["figures"]
    assert budget.metric in figures[budget.peer][budget.shape]
    assert budget.metric in figures[budget.over or budget.peer][budget.shape]


def test_verdicts() -> None:
    most = Budget("", "room", "s", "m", "atrium", "node", at_most=0.5)
    least = Budget("", "room", "s", "m", "atrium", at_least=3)
    rounds = {
        "atrium": {"s": [{"m": 2.0}, {"m": 6.0}, {"m": 1.0}]},
        "node": {"s": [{"m": 4.0}, {"m": 9.0}, {"m": 2.5}]},
    }
    verdict = most.verdict(rounds)
    assert (verdict["seen"], verdict["holds"]) == (0.5, True), (
        "of two rounds side by side, whatever the medians are"
    )
    assert verdict["quartiles"] == [0.45, 0.5833]
    assert most.holds(0.51) is False
    assert least.verdict(rounds)["seen"] == 2.0
    assert least.holds(2.0) is False
    assert least.holds(3.0) is True
    missing = most.verdict({"atrium": rounds["atrium"]})
    assert (missing["seen"], missing["quartiles"], missing["holds"]) == (None, None, None)
    once = least.verdict({"atrium": {"s": [{"m": 3.0}]}})
    assert (once["seen"], once["quartiles"], once["holds"]) == (3.0, None, True)


def test_a_run_with_a_fault_a_gap_or_a_missed_budget_is_not_good() -> None:
    whole: dict[str, Any] = {"faults": [], "absent": {}}
    assert is_good({"cases": {"room": whole}, "budgets": [{"holds": True}]})
    assert not is_good({"cases": {"room": whole}, "budgets": [{"holds": False}]})
    assert not is_good({"cases": {"room": whole}, "budgets": [{"holds": None}]})
    assert not is_good({"cases": {"room": whole | {"faults": ["a command was lost"]}}, "budgets": []})
    assert not is_good({"cases": {"room": whole | {"absent": {"node": "no Node"}}}, "budgets": []})


def test_the_pages_show_the_stored_run(stored: Results) -> None:
    assert not stored["quick"]
    assert (DOCS / "performance-table.md").read_text() == markdown(stored)
    picture = (DOCS / "performance.svg").read_text()
    assert picture == chart(stored["cases"])
    assert ET.fromstring(picture).tag.endswith("svg")

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
    assert budget.seen(stored["cases"][budget.case]["figures"]) is not None


def test_verdicts() -> None:
    most = Budget("", "room", "s", "m", "atrium", "node", at_most=0.5)
    least = Budget("", "room", "s", "m", "atrium", at_least=3)
    values = {"atrium": {"s": {"m": 2.0}}, "node": {"s": {"m": 4.0}}}
    assert most.seen(values) == 0.5
    assert most.holds(0.5) is True
    assert most.holds(0.51) is False
    assert least.seen(values) == 2.0
    assert least.holds(2.0) is False
    assert least.holds(3.0) is True
    assert most.seen({"atrium": values["atrium"]}) is None
    assert most.holds(None) is None


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

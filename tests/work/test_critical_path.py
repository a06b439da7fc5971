"""The critical path, against networkx: longest ways through a graph of starts and ends that knows nothing of our code."""

import itertools
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.work.planning.critical_path import Activity, CycleError, Edge, reckon

KINDS = ("finish_start", "start_start", "finish_finish", "start_finish")


@st.composite
def plans(draw: st.DrawFn) -> tuple[dict[int, Activity], list[Edge[int]]]:
    """Any plan without a cycle: edges go from later numbers to earlier ones, and then the numbers are shuffled."""
    count = draw(st.integers(1, 9))
    minutes = st.integers(0, 500)
    activities = {
        n: Activity(
            draw(minutes),
            draw(st.none() | st.integers(-300, 900)),
            draw(st.none() | st.none() | st.integers(-900, 900)),
        )
        for n in range(count)
    }
    pairs = [pair for pair in itertools.combinations(range(count), 2) if draw(st.booleans())]
    edges = [(b, a, draw(st.sampled_from(KINDS)), draw(st.integers(-200, 200))) for a, b in pairs]
    names = draw(st.permutations(range(count)))
    return (
        {names[n]: activity for n, activity in activities.items()},
        draw(st.permutations([(names[b], names[a], kind, lag) for b, a, kind, lag in edges])),
    )


def _graph(activities: dict[int, Activity], edges: list[Edge[int]]) -> Any:
    """Each activity has a start and an end; an arc of weight w says: at least w later than."""
    graph = nx.MultiDiGraph()
    for n, activity in activities.items():
        if activity.done_at is not None:
            continue
        graph.add_edge("begin", ("start", n), weight=0)
        if activity.not_before is not None:
            graph.add_edge("begin", ("start", n), weight=activity.not_before)
        graph.add_edge(("start", n), ("end", n), weight=activity.minutes)
        graph.add_edge(("end", n), ("start", n), weight=-activity.minutes)
    for waits, other, kind, lag in edges:
        if activities[waits].done_at is not None:
            continue
        ours = ("end" if kind.endswith("finish") else "start", waits)
        done_at = activities[other].done_at
        if done_at is not None:
            graph.add_edge("begin", ours, weight=done_at + lag)
        else:
            graph.add_edge(("end" if kind.startswith("finish") else "start", other), ours, weight=lag)
    return graph


def _longest(graph: Any, source: Any) -> dict[Any, int]:
    turned = nx.MultiDiGraph()
    turned.add_node(source)
    for a, b, weight in graph.edges(data="weight"):
        turned.add_edge(a, b, weight=-weight)
    return {
        node: -length for node, length in nx.single_source_bellman_ford_path_length(turned, source).items()
    }


@settings(max_examples=300, deadline=None)
@given(plans())
def test_it_is_what_networkx_says(plan: tuple[dict[int, Activity], list[Edge[int]]]) -> None:
    activities, edges = plan
    slots = reckon(activities, edges, 0)
    graph = _graph(activities, edges)
    earliest = _longest(graph, "begin") if graph else {}
    still = {n for n, activity in activities.items() if activity.done_at is None}
    assert slots.keys() == still
    for n in still:
        assert slots[n].earliest_start == earliest["start", n]
        assert slots[n].earliest_finish == earliest["end", n]
    finish = max((slot.earliest_finish for slot in slots.values()), default=0)
    graph.add_node("finish")
    for n in still:
        graph.add_edge(("end", n), "finish", weight=0)
    graph.remove_nodes_from(
        ["begin"]
    )  # what nobody may be earlier than says nothing about how late one may be
    back = _longest(graph.reverse(), "finish")
    for n in still:
        assert slots[n].latest_finish == finish - back["end", n]
        assert slots[n].latest_start == finish - back["start", n]
        assert slots[n].slack >= 0


@settings(max_examples=200, deadline=None)
@given(plans(), st.data())
def test_slack_is_what_may_be_lost_and_no_more(
    plan: tuple[dict[int, Activity], list[Edge[int]]], data: st.DataObject
) -> None:
    """A delay within the slack delays nothing at the end; one minute beyond it does, by that minute."""
    activities, edges = plan
    slots = reckon(activities, edges, 0)
    if not slots:
        return
    finish = max(slot.earliest_finish for slot in slots.values())
    one = data.draw(st.sampled_from(sorted(slots)))
    for delay, late in ((slots[one].slack, 0), (slots[one].slack + 1, 1)):
        start = slots[one].earliest_start + delay
        moved = {**activities, one: Activity(activities[one].minutes, start)}
        assert max(slot.earliest_finish for slot in reckon(moved, edges, 0).values()) == finish + late
    assert any(slot.slack == 0 for slot in slots.values()), "something is critical"


@pytest.mark.parametrize("size", [2, 3, 7])
def test_a_circle_is_refused(size: int) -> None:
    activities = {n: Activity(10) for n in range(size + 2)}
    circle = [(n, (n + 1) % size, "start_start", 0) for n in range(size)]
    with pytest.raises(CycleError):
        reckon(activities, [*circle, (size, 0, "finish_start", 0)], 0)
    assert reckon(activities, circle[:-1], 0)


def test_the_four_kinds() -> None:
    def second(kind: str, lag: int = 0) -> tuple[int, int]:
        slot = reckon({"a": Activity(100), "b": Activity(30)}, [("b", "a", kind, lag)], 0)["b"]
        return slot.earliest_start, slot.earliest_finish

    assert second("finish_start") == (100, 130)
    assert second("finish_start", 20) == (120, 150)
    assert second("finish_start", -40) == (60, 90)
    assert second("start_start", 15) == (15, 45)
    assert second("finish_finish") == (70, 100)
    assert second("start_finish", 50) == (20, 50)
    assert second("start_finish") == (0, 30), "nothing begins before the beginning"

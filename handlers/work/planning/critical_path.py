"""The critical path method: how early and how late each activity may be, and which of them nobody may delay.

J. E. Kelley and M. R. Walker, "Critical-Path Planning and Scheduling", Proc. Eastern Joint Computer Conference, 1959;
with the four kinds of precedence and their lags after J. J. Moder, C. R. Phillips and E. W. Davis, "Project Management
with CPM, PERT and Precedence Diagramming", 3rd ed., 1983. Times are whole minutes from any origin.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

Id = TypeVar("Id")

FROM_START: Final = frozenset({"start_start", "start_finish"})
"""Kinds that count from the start of what is waited for; the others from its end."""
TO_FINISH: Final = frozenset({"finish_finish", "start_finish"})
"""Kinds that bound the end of what waits; the others its start."""


class CycleError(ValueError):
    """Activities wait for each other in a circle: there is no order in which they could be done."""


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that takes `minutes`, not before a moment where there is one. What is done lies fixed, at its end."""

    minutes: int
    not_before: int | None = None
    done_at: int | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """When an activity is at the earliest, and at the latest without the whole being later."""

    earliest_start: int
    earliest_finish: int
    latest_start: int
    latest_finish: int

    @property
    def slack(self) -> int:
        """How much it may be delayed (minutes); 0 on the critical path."""
        return self.latest_start - self.earliest_start


Edge = tuple[Id, Id, str, int]
"""Who waits, for whom, in which way, and how many minutes more."""


def reckon(activities: dict[Id, Activity], edges: Sequence[Edge[Id]], begin: int) -> dict[Id, Slot]:
    """The slots of all activities that are not done, none before `begin`. Raises CycleError."""
    waits: defaultdict[Id, list[Edge[Id]]] = defaultdict(list)
    blocks: defaultdict[Id, list[Edge[Id]]] = defaultdict(list)
    for edge in edges:
        waits[edge[0]].append(edge)
        blocks[edge[1]].append(edge)
    order = _in_order(activities, waits, blocks)
    earliest: dict[Id, int] = {}
    for one in order:
        earliest[one] = _earliest(activities, waits[one], earliest, one, begin)
    open_ones = [one for one in order if activities[one].done_at is None]
    finish = max((earliest[one] + activities[one].minutes for one in open_ones), default=begin)
    latest: dict[Id, int] = {}
    for one in reversed(open_ones):
        latest[one] = _latest(activities, blocks[one], latest, one, finish)
    return {
        one: Slot(
            earliest[one], earliest[one] + activities[one].minutes, latest[one], latest[one] + activities[one].minutes
        )
        for one in open_ones
    }  # fmt: skip


def _earliest(
    activities: dict[Id, Activity], waits: Iterable[Edge[Id]], earliest: dict[Id, int], one: Id, begin: int
) -> int:
    """The start of an activity when all that it waits for is as early as can be."""
    activity = activities[one]
    if activity.done_at is not None:
        return activity.done_at
    start = begin if activity.not_before is None else max(begin, activity.not_before)
    for _, other, kind, lag in waits:
        before = activities[other]
        moment = earliest[other] + lag
        if kind not in FROM_START and before.done_at is None:
            moment += before.minutes
        if kind in TO_FINISH:
            moment -= activity.minutes
        start = max(start, moment)
    return start


def _latest(
    activities: dict[Id, Activity], blocks: Iterable[Edge[Id]], latest: dict[Id, int], one: Id, finish: int
) -> int:
    """The start of an activity when all that waits for it is as late as may be."""
    minutes = activities[one].minutes
    start = finish - minutes
    for other, _, kind, lag in blocks:
        if activities[other].done_at is not None:
            continue
        moment = latest[other] - lag
        if kind in TO_FINISH:
            moment += activities[other].minutes
        if kind not in FROM_START:
            moment -= minutes
        start = min(start, moment)
    return start


def _in_order(
    activities: dict[Id, Activity],
    waits: defaultdict[Id, list[Edge[Id]]],
    blocks: defaultdict[Id, list[Edge[Id]]],
) -> list[Id]:
    """All of them, each after what it waits for (A. B. Kahn, "Topological sorting of large networks", CACM 1962)."""
    left = {one: len(waits[one]) for one in activities}
    ready = [one for one, count in left.items() if not count]
    for one in ready:  # it grows meanwhile
        for other, *_ in blocks[one]:
            left[other] -= 1
            if not left[other]:
                ready.append(other)
    if len(ready) < len(activities):
        raise CycleError
    return ready

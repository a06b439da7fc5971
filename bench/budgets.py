"""The budgets of bench/budgets.toml, held against figures."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

from bench.build import HERE

Rounds = Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]
"""Figures of one case: by peer and shape those of each round, by metric, in the order in which they were measured."""


@dataclass(frozen=True)
class Budget:
    why: str
    case: str
    shape: str
    metric: str
    peer: str
    over: str = ""
    """The peer that the figure is divided by; empty for an absolute figure, which belongs to a machine."""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def limit(self) -> str:
        return f"at most {self.at_most:g}" if self.at_most is not None else f"at least {self.at_least:g}"

    @property
    def what(self) -> str:
        return f"{self.metric}, {self.peer} / {self.over}" if self.over else f"{self.metric}, {self.peer}"

    def taken(self, rounds: Rounds) -> list[float]:
        """The figure or ratio of each round, lowest first; none when a part of it was not measured.

        A ratio is that of two rounds side by side: how busy the machine is changes from one minute to the next, and
        troubles both alike.
        """
        ours = [
            one[self.metric] for one in rounds.get(self.peer, {}).get(self.shape, ()) if self.metric in one
        ]
        if not self.over:
            return sorted(ours)
        theirs = [
            one[self.metric] for one in rounds.get(self.over, {}).get(self.shape, ()) if one.get(self.metric)
        ]
        return sorted(a / b for a, b in zip(ours, theirs, strict=False))

    def holds(self, seen: float | None) -> bool | None:
        if seen is None:
            return None
        return (self.at_most is None or seen <= self.at_most) and (
            self.at_least is None or seen >= self.at_least
        )

    def verdict(self, rounds: Rounds) -> dict[str, Any]:
        """The budget with what was seen and whether it holds, as result files keep it: the median of the rounds decides,
        and the quartiles say how sure it is.
        """
        taken = self.taken(rounds)
        seen = median(taken) if taken else None
        return asdict(self) | {
            "what": self.what,
            "limit": self.limit,
            "seen": None if seen is None else round(seen, 4),
            "quartiles": [round(one, 4) for one in quantiles(taken, method="inclusive")[::2]]
            if len(taken) > 1
            else None,
            "holds": self.holds(seen),
        }


def compared(case: str, shape: str) -> set[str]:
    """The peers whose ratios a budget bounds."""
    bounding = [
        budget for budget in budgets() if budget.over and (budget.case, budget.shape) == (case, shape)
    ]
    return {peer for budget in bounding for peer in (budget.peer, budget.over)}


def budgets() -> list[Budget]:
    return [Budget(**entry) for entry in tomllib.loads((HERE / "budgets.toml").read_text())["budget"]]

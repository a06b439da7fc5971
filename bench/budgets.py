"""The budgets of bench/budgets.toml, held against figures."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench.build import HERE

Values = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Figures of one case: by peer, shape and metric."""


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

    def seen(self, values: Values) -> float | None:
        """The figure or ratio; None when a part of it was not measured."""
        ours = values.get(self.peer, {}).get(self.shape, {}).get(self.metric)
        if not self.over or ours is None:
            return ours
        theirs = values.get(self.over, {}).get(self.shape, {}).get(self.metric)
        return ours / theirs if theirs else None

    def holds(self, seen: float | None) -> bool | None:
        if seen is None:
            return None
        return (self.at_most is None or seen <= self.at_most) and (
            self.at_least is None or seen >= self.at_least
        )

    def verdict(self, values: Values) -> dict[str, Any]:
        """The budget with what was seen and whether it holds, as result files keep it."""
        seen = self.seen(values)
        return asdict(self) | {
            "what": self.what,
            "limit": self.limit,
            "seen": None if seen is None else round(seen, 4),
            "holds": self.holds(seen),
        }


def budgets() -> list[Budget]:
    return [Budget(**entry) for entry in tomllib.loads((HERE / "budgets.toml").read_text())["budget"]]

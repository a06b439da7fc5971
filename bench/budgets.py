"""The budgets of bench/budgets.toml, held against figures."""

import tomllib
from dataclasses import dataclass

from bench.build import HERE
from bench.measure import Figures


@dataclass(frozen=True)
class Budget:
    why: str
    case: str
    shape: str
    metric: str
    peer: str
    over: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def limit(self) -> str:
        return f"at most {self.at_most}" if self.at_most is not None else f"at least {self.at_least}"

    def ratio(self, figures: Figures) -> float | None:
        """None when one of the two was not measured."""
        ours, theirs = (
            figures.values.get(name, {}).get(self.shape, {}).get(self.metric)
            for name in (self.peer, self.over)
        )
        return ours / theirs if ours is not None and theirs else None

    def holds(self, figures: Figures) -> bool | None:
        ratio = self.ratio(figures)
        if ratio is None:
            return None
        return (self.at_most is None or ratio <= self.at_most) and (
            self.at_least is None or ratio >= self.at_least
        )


def budgets(case: str) -> list[Budget]:
    declared = [Budget(**entry) for entry in tomllib.loads((HERE / "budgets.toml").read_text())["budget"]]
    return [budget for budget in declared if budget.case == case]

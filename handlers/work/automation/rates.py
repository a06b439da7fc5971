"""The rules of a project that may act, and how often they did lately."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from pydantic import ValidationError

from handlers.context import Tx
from handlers.work.automation.rules import Definition, definition
from storage.postgres import Row
from storage.settings import Settings

log = structlog.get_logger(__name__)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass(slots=True)
class Rated:
    """A rule that may act, and how often it did lately."""

    id: UUID
    owner_id: UUID
    rule: Definition
    minute_at: datetime | None
    minute_runs: int
    hour_at: datetime | None
    hour_runs: int
    told_at: datetime | None
    """When the history last said that it acts too often."""
    fresh_minute: bool = False

    def turn(self, now: datetime) -> None:
        """Begin a new minute or hour where the old one is over."""
        if self.minute_at is None or now - self.minute_at >= MINUTE:
            self.minute_at, self.minute_runs, self.fresh_minute = now, 0, True
        if self.hour_at is None or now - self.hour_at >= HOUR:
            self.hour_at, self.hour_runs = now, 0

    def count(self) -> None:
        self.minute_runs += 1
        self.hour_runs += 1

    def lately(self, now: datetime) -> tuple[int, int]:
        """How often it acted in this minute and hour."""
        minute = self.minute_runs if self.minute_at and now - self.minute_at < MINUTE else 0
        return minute, self.hour_runs if self.hour_at and now - self.hour_at < HOUR else 0


def acts_too_often(rated: Rated, rules: Sequence[Rated], now: datetime, settings: Settings) -> bool:
    """Whether a rule, or all of the project together, acted so often lately that it has to wait."""
    minute, hour = rated.lately(now)
    if minute >= settings.rule_runs_per_minute or hour >= settings.rule_runs_per_hour:
        return True
    all_of_them = [each.lately(now) for each in rules]
    return (
        sum(minute for minute, _ in all_of_them) >= settings.project_rule_runs_per_minute
        or sum(hour for _, hour in all_of_them) >= settings.project_rule_runs_per_hour
    )


async def enabled_rules(tx: Tx) -> list[Rated]:
    """The rules of the project that may act; read once in a transaction."""
    found: list[Rated] | None = tx.session.values.get("rules")
    if found is None:
        found = [each for row in await tx.many("rules_enabled") if (each := _rated(row))]
        tx.session.values["rules"] = found
    return found


def _rated(row: Row) -> Rated | None:
    """A rule as it was stored; None, and a line in the log, where this version cannot read it."""
    try:
        rule = definition(row["definition"])
    except ValidationError as error:
        log.warning("rule.unreadable", rule=str(row["id"]), error=str(error))
        return None
    return Rated(
        row["id"], row["owner_id"], rule, row["minute_at"], row["minute_runs"], row["hour_at"], row["hour_runs"],
        row["told_at"],
    )  # fmt: skip

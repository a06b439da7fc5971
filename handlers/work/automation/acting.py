"""How rules act: in the transaction of the command that caused them, after it and its reactions.

What a rule does is numbered with that command, in the order in which it was written. A rule does all of its actions or
none: they stand under a savepoint, so that one that fails takes back what the others did, is told of in the history,
and the command goes on as if there were no rule. What rules do may have others act, but never in a circle: a rule does
not act because of itself, through however many others, nor twice in one command on one task; and chains end at a depth.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import structlog
from pydantic import ValidationError

from handlers import access
from handlers.context import Tx
from handlers.errors import AtriumError, Internal, ValidationFailed
from handlers.groups import add_reactions
from handlers.registry import Entity, Event, rules
from handlers.subjects import parts_of
from handlers.work.automation.clock import due_moments, look_for_due, tells_of_due
from handlers.work.automation.deeds import Work, perform
from handlers.work.automation.rates import MINUTE, Rated, acts_too_often, enabled_rules
from handlers.work.automation.rules import Definition, RuleDeed
from handlers.work.automation.triggers import Happening, WhenDue, WhenScheduled, fits, happenings
from handlers.work.finding.filters import Filter
from handlers.work.finding.sql import condition, tasks_matching
from storage.ids import new_id
from storage.postgres import BAD_VALUE, LOST, Row
from storage.statements import as_json

log = structlog.get_logger(__name__)

DEEPEST: Final = 3
"""How many rules may follow from each other."""
MOST_TRIED: Final = 1_000
"""How often rules are tried in one command (count), whether they act or their conditions do not hold."""


class RanRule(Entity):
    """A run of a rule; `rule.runs` has the rest."""

    id: UUID
    rule_id: UUID
    task_id: UUID | None
    outcome: Literal["did", "failed"]


class RuleRan(Event, name="rule.ran"):
    """A rule acted, or failed to. The events of the same command that follow are what it did, up to the next of these."""

    run: RanRule


@dataclass(slots=True)
class Chain:
    """What rules do in one command."""

    tx: Tx
    rules: list[Rated]
    by_clock: bool = False
    runs: list[dict[str, Any]] = field(default_factory=list)
    tried: set[tuple[UUID, UUID | None]] = field(default_factory=set)
    """The rules and tasks that had their turn."""
    acted: int = 0
    """How often a rule did what it does, or failed to."""
    left: Counter[UUID] = field(default_factory=Counter)
    """Rule -> how often it had no turn, for too much was done in this command already."""
    out: Counter[UUID] = field(default_factory=Counter)
    """Rule -> for how many tasks that changed together its condition does not hold."""
    touched: set[UUID] = field(default_factory=set)
    """Tasks that rules changed."""
    silenced: set[UUID] = field(default_factory=set)
    """Rules that act too often: they may not act any more in this command."""
    counted: dict[UUID, Rated] = field(default_factory=dict)
    created: int = 0
    owners: dict[UUID, Tx | None] = field(default_factory=dict)
    due: list[datetime] = field(default_factory=list)
    """When rules have to act because of due dates that came to be in this command."""

    async def start(self, turns: Iterable[tuple[Rated, UUID | None]]) -> list[Event]:
        """Have rules act on tasks, or on none, because the clock says so; returns that and all that follows."""
        told = list[Event]()
        for rated, task_id in turns:
            caused = await self.attempt(rated, task_id)
            told += caused
            told += await self.follow(caused, frozenset({rated.id}))
        await self.end()
        return told

    async def follow(self, events: Sequence[Event], led_to: frozenset[UUID] = frozenset()) -> list[Event]:
        """All that follows from some events, in the order in which it was written."""
        told = list[Event]()
        waiting = deque([(events, led_to)])
        dues = [each.rule.when for each in self.rules if isinstance(each.rule.when, WhenDue)]
        while waiting:
            causes, before = waiting.popleft()
            self.due += due_moments(causes, dues, self.tx.now)
            together, holding = list(happenings(causes)), dict[UUID, set[UUID]]()
            for happened in together:
                for rated in self.rules:
                    if not fits(rated.rule.when, happened):
                        continue
                    if await self._is_out(rated, happened.task_id, together, holding):
                        self.out[rated.id] += 1
                        continue
                    for task_id in await self._meant(rated, happened, told):
                        caused = await self.attempt(rated, task_id, before)
                        told += caused
                        waiting.append((caused, before | {rated.id}))
        return told

    async def _meant(self, rated: Rated, happened: Happening, told: list[Event]) -> list[UUID | None]:
        """The tasks on which a rule is to act: of a sprint those for which its condition holds; none where it cannot be
        asked, of which the history tells.
        """
        if happened.sprint_id is None or rated.rule.condition is None:
            return [happened.task_id]
        owner = await self.owner(rated)
        if owner is None:
            return [None]
        try:
            async with owner.session.savepoint():
                where = await condition(owner, rated.rule.condition, at="condition")
                rows = await owner.many("sprint_tasks_for_rule", where=where, sprint_id=happened.sprint_id)
        except Exception as error:
            if isinstance(error, LOST) and not isinstance(error, BAD_VALUE):
                raise
            told += self.fail(rated, said_of(error), owner)
            return []
        return [row["id"] for row in rows]

    async def _is_out(
        self,
        rated: Rated,
        task_id: UUID | None,
        together: Sequence[Happening],
        holding: dict[UUID, set[UUID]],
    ) -> bool:
        """Whether a rule's condition does not hold for a task. It is asked once for all that changed together, and kept in
        `holding`; of what rules have changed since it is not known.
        """
        if len(together) == 1 or task_id is None or task_id in self.touched or rated.rule.condition is None:
            return False
        if rated.id not in holding:
            ids = [each.task_id for each in together if each.task_id and fits(rated.rule.when, each)]
            owner = await self.owner(rated)
            holding[rated.id] = (
                set(ids) if owner is None else await _holding(owner, rated.rule.condition, ids)
            )
        return task_id not in holding[rated.id]

    async def attempt(
        self, rated: Rated, task_id: UUID | None, before: frozenset[UUID] = frozenset()
    ) -> list[Event]:
        """Have a rule act on a task, unless it must not; returns what it did. `before` are the rules that led to it."""
        if rated.id in self.silenced:
            return []
        if refusal := self._refusal(rated, task_id, before):
            self._note(rated, task_id, "skipped", *refusal)
            return []
        if self.acted >= self.tx.settings.rule_runs_per_command or len(self.tried) >= MOST_TRIED:
            self.left[rated.id] += 1
            return []
        if self.too_often(rated):
            self._tell_once(rated, task_id)
            return []
        self.tried.add((rated.id, task_id))
        owner = await self.owner(rated)
        if owner is None:
            self._note(
                rated, task_id, "skipped", "owner", "Its owner does not take part in the project any more"
            )
            return []
        task = await owner.maybe("task", task_id=task_id) if task_id else None
        if task_id and task is None:
            self._note(rated, task_id, "skipped", "gone", "There is no such task any more")
            return []
        return await self._act(rated, owner, task)

    def _refusal(self, rated: Rated, task_id: UUID | None, before: frozenset[UUID]) -> tuple[str, str] | None:
        """Why a rule must not act at all; None where it may."""
        if rated.id in before:
            return "loop", "It would act because of itself"
        if (rated.id, task_id) in self.tried:
            return "loop", "It has acted on this task in the same command"
        if len(before) >= DEEPEST:
            return "depth", f"At most {DEEPEST} rules follow from each other"
        return None

    def _tell_once(self, rated: Rated, task_id: UUID | None) -> None:
        """Once a minute the history says that a rule acts too often; the rest is silence."""
        self.silenced.add(rated.id)
        if rated.told_at is None or self.tx.now - rated.told_at >= MINUTE:
            rated.told_at = self.tx.now
            self.counted[rated.id] = rated
            self._note(
                rated, task_id, "skipped", "rate", "It, or all rules of the project, acted too often lately"
            )

    def too_often(self, rated: Rated) -> bool:
        return acts_too_often(rated, self.rules, self.tx.now, self.tx.settings)

    async def owner(self, rated: Rated) -> Tx | None:
        """A transaction's view for the owner of a rule, with the rights that she has now."""
        if rated.owner_id not in self.owners:
            self.owners[rated.owner_id] = await owner_tx(self.tx, rated.owner_id)
        return self.owners[rated.owner_id]

    async def _act(self, rated: Rated, owner: Tx, task: Row | None) -> list[Event]:
        cause_id = None if self.by_clock else self.tx.actor.user_id
        work = Work(owner, rated.id, task, cause_id, self.created)
        deeds, events, session = list[RuleDeed](), list[Event](), self.tx.session
        task_id = task["id"] if task else None
        try:
            async with session.savepoint():
                if not await holds(owner, rated.rule, task):
                    self._note(rated, task_id, "skipped", "condition", "Its condition does not hold")
                    return []
                for action in rated.rule.then:
                    deeds.append(RuleDeed(do=action.do, outcome="failed"))
                    done = await perform(work, action)
                    await add_reactions(owner, done)
                    events += done
                    deeds[-1].outcome = "done" if done else "unchanged"
                    if done and task_id:
                        work.task = await owner.maybe("task", task_id=task_id)
        except Exception as error:
            if isinstance(error, LOST) and not isinstance(error, BAD_VALUE):
                raise
            self._failed(rated, task_id, deeds, said_of(error))
            return [_ran(self.runs[-1], owner)]
        self.created = work.created
        self.touched |= {part.id for event in events for part in parts_of(event)}
        self._count(rated)
        self._note(rated, task_id, "did", deeds=deeds)
        return [
            _ran(self.runs[-1], owner),
            *(event.by(owner.actor.user_id, owner.actor.name) for event in events),
        ]

    def _failed(self, rated: Rated, task_id: UUID | None, deeds: list[RuleDeed], error: AtriumError) -> None:
        for deed in deeds[:-1]:
            deed.outcome = "undone" if deed.outcome == "done" else deed.outcome
        if deeds:
            deeds[-1].outcome, deeds[-1].message = "failed", error.message
        deeds += [RuleDeed(do=action.do, outcome="not_reached") for action in rated.rule.then[len(deeds) :]]
        self._count(rated)
        self._note(rated, task_id, "failed", error.code, error.message, deeds)

    def _count(self, rated: Rated) -> None:
        self.acted += 1
        rated.turn(self.tx.now)
        rated.count()
        self.counted[rated.id] = rated

    def _note(
        self, rated: Rated, task_id: UUID | None, outcome: str, reason: str | None = None,
        message: str | None = None, deeds: Iterable[RuleDeed] = (),
    ) -> None:  # fmt: skip
        rated.turn(self.tx.now)
        if rated.fresh_minute:
            self.counted[rated.id] = rated
        self.runs.append({
            "id": new_id(), "rule_id": rated.id, "owner_id": rated.owner_id, "task_id": task_id, "trigger": rated.rule.when.on,
            "cause_id": None if self.by_clock else self.tx.actor.user_id, "outcome": outcome, "reason": reason,
            "message": message, "actions": [deed.model_dump(exclude_none=True) for deed in deeds],
        })  # fmt: skip

    def fail(self, rated: Rated, error: AtriumError, owner: Tx) -> list[Event]:
        """A rule cannot even begin: the history says why."""
        self._failed(rated, None, [], error)
        return [_ran(self.runs[-1], owner)]

    def _tell_of_many(self) -> None:
        """What became of the tasks of which the history does not tell one by one; what the clock has left comes again."""
        most = self.tx.settings.rule_runs_per_command
        for rated in self.rules:
            if count := self.out[rated.id]:
                said = f"Its condition does not hold for {count} tasks that changed together"
                self._note(rated, None, "skipped", "condition", said)
            if (count := self.left[rated.id]) and not isinstance(rated.rule.when, WhenDue | WhenScheduled):
                said = f"Rules act at most {most} times in one command: it left {count} tasks alone"
                self._note(rated, None, "skipped", "many", said)

    async def end(self) -> None:
        """Write the history with the commit, and set the clock for due dates."""
        if self.due:
            await look_for_due(self.tx, max(min(self.due), self.tx.now))
        self._tell_of_many()
        if not self.runs:
            return
        counted = list(self.counted.values())
        self.tx.defer(
            "record_rule_runs",
            runs=as_json(self.runs),
            counts=as_json([
                {
                    "id": each.id, "minute_at": each.minute_at, "minute_runs": each.minute_runs,
                    "hour_at": each.hour_at, "hour_runs": each.hour_runs, "told_at": each.told_at,
                }
                for each in counted
            ]),
            trim_ids=[each.id for each in counted if each.fresh_minute],
            keep=self.tx.settings.rule_history_rows,
        )  # fmt: skip
        self._leave_evidence()

    def _leave_evidence(self) -> None:
        """The audit log has an entry for each run that did something, beside that of the command which caused it."""
        did = [
            {
                "rule_id": run["rule_id"],
                "owner_id": run["owner_id"],
                "changes": {name: run[name] for name in ("trigger", "task_id", "cause_id")} | {"did": done},
            }
            for run in self.runs
            if (done := [deed["do"] for deed in run["actions"] if deed["outcome"] == "done"])
        ]
        if did:
            self.tx.defer("audit_rule_runs", command_id=self.tx.command_id, runs=as_json(did))


@rules
async def follow(tx: Tx, events: Sequence[Event], triggers: Sequence[str]) -> list[Event]:
    """What the rules of a project make of a command's events."""
    waited_for = frozenset(triggers)
    if not any(happened.kinds & waited_for for happened in happenings(events)) and not (
        "task.due" in waited_for and tells_of_due(events)
    ):
        return []
    chain = Chain(tx, await enabled_rules(tx))
    told = await chain.follow(events)
    await chain.end()
    return told


async def holds(owner: Tx, rule: Definition, task: Row | None) -> bool:
    """Whether a rule's condition does; without a task there is none to hold."""
    if rule.condition is None or task is None:
        return True
    return bool(await tasks_matching(owner, rule.condition, [task["id"]], at="condition"))


async def _holding(owner: Tx, wanted: Filter, task_ids: list[UUID]) -> set[UUID]:
    """The tasks for which a condition holds; all of them where it cannot be asked, which shows when one is tried."""
    try:
        async with owner.session.savepoint():
            return await tasks_matching(owner, wanted, task_ids, at="condition")
    except Exception as error:
        if isinstance(error, LOST) and not isinstance(error, BAD_VALUE):
            raise
        return set(task_ids)


async def owner_tx(tx: Tx, owner_id: UUID) -> Tx | None:
    """The same transaction for somebody else, with her own rights as they are now; None where she has none here."""
    row = await tx.maybe("actor_rights", actor_id=owner_id)
    rights = row and access.rights(row, tx.room.kind, tx.room.id)
    if not row or not rights:
        return None
    actor = replace(
        tx.actor, user_id=owner_id, name=row["name"], email="", role=row["role"], scopes=None, key_name=None,
        impersonator_id=None, authority=None,
    )  # fmt: skip
    return Tx(tx.session, tx.room, actor, rights, tx.now, tx.settings, vault=tx.vault)


def said_of(error: Exception) -> AtriumError:
    """What the history says of a failure; what nobody has foreseen is in the server's log."""
    if isinstance(error, AtriumError):
        return error
    if isinstance(error, ValidationError):
        return ValidationFailed.of(error)
    if isinstance(error, BAD_VALUE):
        return ValidationFailed("The database cannot hold such a value")
    log.error("rule.failed", error=repr(error), exc_info=error)
    return Internal()


def _ran(run: dict[str, Any], owner: Tx) -> Event:
    event = RuleRan(run=RanRule(**{name: run[name] for name in ("id", "rule_id", "task_id", "outcome")}))
    return event.by(owner.actor.user_id, owner.actor.name)

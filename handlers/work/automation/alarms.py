"""Rules by the clock, when their moment has come: once for each occurrence, and for each due date of a task."""

from datetime import datetime

from handlers.context import Tx
from handlers.errors import AtriumError
from handlers.registry import Event, Outcome, Reply, internal
from handlers.work.automation.acting import Chain
from handlers.work.automation.clock import (
    LOOK_AGAIN,
    LookForDue,
    Strike,
    go_on,
    look_for_due,
    plan_strike,
)
from handlers.work.automation.rates import MINUTE, Rated, enabled_rules
from handlers.work.automation.triggers import WhenScheduled
from handlers.work.finding.sql import condition
from storage.postgres import Row


@internal("rule.strike")
async def strike(tx: Tx, cmd: Strike) -> Outcome[Event, Reply]:
    """A schedule has come round: its rule acts, on each task that its condition is about, a portion at a time."""
    row = await tx.maybe("rule", rule_id=cmd.rule_id)
    if row is None or not row["enabled"] or (cmd.after is None and row["next_at"] != cmd.at):
        return _did([])
    chain = Chain(tx, await enabled_rules(tx), by_clock=True)
    rated = next((each for each in chain.rules if each.id == cmd.rule_id), None)
    if rated is None or not isinstance(rated.rule.when, WhenScheduled):
        return _did([])
    if cmd.after is None:
        await plan_strike(tx, cmd.rule_id, rated.rule.when, max(tx.now, cmd.at))
    owner = await chain.owner(rated)
    if rated.rule.condition is None or owner is None:
        return _did(await chain.start([(rated, None)]))
    return _did(await _on_each(chain, rated, owner, cmd))


async def _on_each(chain: Chain, rated: Rated, owner: Tx, cmd: Strike) -> list[Event]:
    """Act on the next tasks for which the condition holds; those that had no turn have it in the next round."""
    tx = chain.tx
    most, after = tx.settings.rule_runs_per_command, cmd.after or 0
    assert rated.rule.condition is not None
    try:
        where = await condition(owner, rated.rule.condition, at="condition")
    except AtriumError as error:  # it names a field that is gone
        told = chain.fail(rated, error, owner)
        await chain.end()
        return told
    tasks = await tx.many("tasks_for_rule", where=where, after_number=after, max_rows=most)
    told = await chain.start([(rated, task["id"]) for task in tasks])
    left = next(
        (at for at, task in enumerate(tasks) if (rated.id, task["id"]) not in chain.tried), len(tasks)
    )
    if left < len(tasks) or len(tasks) == most:
        await go_on(tx, cmd, tasks[left - 1]["number"] if left else after, _next_round(chain, [rated]))
    return told


@internal("rule.look_for_due")
async def act_on_due(tx: Tx, _: LookForDue) -> Outcome[Event, Reply]:
    """Rules act on the tasks whose moment has come, a portion at a time; then the next moment is planned."""
    chain = Chain(tx, await enabled_rules(tx), by_clock=True)
    rated = {each.id: each for each in chain.rules if each.rule.when.on == "task.due"}
    if not rated:
        return _did([])
    ready = [each.id for each in rated.values() if not chain.too_often(each)]
    most = tx.settings.rule_runs_per_command
    rows = await tx.many("tasks_due_for_rules", rule_ids=ready, max_rows=most + 1)
    due = [row for row in rows[:most] if row["moment"] <= tx.now]
    told = await chain.start([(rated[row["rule_id"]], row["task_id"]) for row in due])
    done = [row for row in due if (row["rule_id"], row["task_id"]) in chain.tried]
    _remember(tx, done)
    later = [row["moment"] for row in rows[len(due) :]]
    if len(done) < len(due) or len(ready) < len(rated):
        later.append(_next_round(chain, list(rated.values())))
    await look_for_due(tx, max(min([*later, tx.now + LOOK_AGAIN]), tx.now))
    return _did(told)


def _next_round(chain: Chain, rules: list[Rated]) -> datetime:
    """When rules may go on with what is left: at once, or a little later where they act too often."""
    return chain.tx.now + MINUTE if any(map(chain.too_often, rules)) else chain.tx.now


def _remember(tx: Tx, due: list[Row]) -> None:
    if due:
        tx.defer(
            "remember_due",
            rule_ids=[row["rule_id"] for row in due],
            task_ids=[row["task_id"] for row in due],
            due_ats=[row["due_at"] for row in due],
        )


def _did(events: list[Event]) -> Outcome[Event, Reply]:
    return Outcome(events, Reply(), settled=True)

"""Rules by the clock, when their moment has come: once for each occurrence, and for each due date of a task."""

from handlers.context import Tx
from handlers.registry import Event, Outcome, Reply, internal
from handlers.work.automation import Chain, enabled_rules
from handlers.work.filters import condition
from handlers.work.rule_clock import (
    LOOK_AGAIN,
    LookForDue,
    Strike,
    go_on,
    look_for_due,
    plan_strike,
)
from handlers.work.rule_triggers import WhenScheduled
from storage.postgres import Row


@internal("rule.strike")
async def strike(tx: Tx, cmd: Strike) -> Outcome[Event, Reply]:
    """A schedule has come round: its rule acts, on each task that its condition is about, a portion at a time."""
    row = await tx.maybe("rule", rule_id=cmd.rule_id)
    if row is None or not row["enabled"] or (cmd.after == 0 and row["next_at"] != cmd.at):
        return _did([])
    chain = Chain(tx, await enabled_rules(tx), by_clock=True)
    rated = next((each for each in chain.rules if each.id == cmd.rule_id), None)
    if rated is None or not isinstance(rated.rule.when, WhenScheduled):
        return _did([])
    if cmd.after == 0:
        await plan_strike(tx, cmd.rule_id, rated.rule.when, max(tx.now, cmd.at))
    owner = await chain.owner(rated)
    if rated.rule.condition is None or owner is None:
        return _did(await chain.start([(rated, None)]))
    most = tx.settings.rule_runs_per_command
    tasks = await tx.many(
        "tasks_for_rule",
        where=await condition(owner, rated.rule.condition),
        after_number=cmd.after,
        max_rows=most,
    )
    told = await chain.start([(rated, task["id"]) for task in tasks])
    if len(tasks) == most:
        await go_on(tx, cmd, tasks[-1]["number"])
    return _did(told)


@internal("rule.look_for_due")
async def act_on_due(tx: Tx, _: LookForDue) -> Outcome[Event, Reply]:
    """Rules act on the tasks whose moment has come, a portion at a time; then the next moment is planned."""
    chain = Chain(tx, await enabled_rules(tx), by_clock=True)
    rated = {each.id: each for each in chain.rules}
    most = tx.settings.rule_runs_per_command
    rows = await tx.many("tasks_due_for_rules", max_rows=most + 1)
    due = [row for row in rows[:most] if row["moment"] <= tx.now]
    _remember(tx, due)
    told = await chain.start(
        [(rated[row["rule_id"]], row["task_id"]) for row in due if row["rule_id"] in rated]
    )
    if any(each.rule.when.on == "task.due" for each in chain.rules):
        later = [row["moment"] for row in rows[len(due) :]]
        await look_for_due(tx, max(min([*later, tx.now + LOOK_AGAIN]), tx.now))
    return _did(told)


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

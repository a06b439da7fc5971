"""Trying a rule out: whether it would act on a task, and why not, without anything being done."""

from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import AtriumError, NotFound
from handlers.registry import Entity, Payload, Reply, query
from handlers.work.automation.acting import holds, owner_tx
from handlers.work.automation.actions import NEEDS, Action, Named, needs_task
from handlers.work.automation.rates import acts_too_often, enabled_rules
from handlers.work.automation.rules import definition
from storage.postgres import Row


class TryRule(Payload):
    rule_id: UUID
    task_id: UUID | None = Field(None, description="Unset: as by the clock, on no task.")


class Hindrance(Entity):
    """Something that keeps a rule from acting."""

    reason: str = Field(
        description="`disabled`, or as in the history: `owner`, `condition`, `rate`, or the code of an error."
    )
    message: str
    action: int | None = Field(None, description="Which action it keeps from being done, from 0; null: all.")


class RuleTest(Reply):
    """What a rule would do if what it waits for happened to the task now."""

    would_act: bool
    hindrances: list[Hindrance] = Field(
        description="As far as it can be told without trying: a column that is full is found out then."
    )


@query("rule.test", needs="automation.manage", rest="GET /projects/{project_id}/rules/{rule_id}/test")
async def test(tx: Tx, ask: TryRule) -> RuleTest:
    """Whether a rule would act on a task if what it waits for happened, and what keeps it from that."""
    row = await tx.maybe("rule", ask)
    if row is None:
        raise NotFound("There is no such rule")
    task = await tx.maybe("task", task_id=ask.task_id) if ask.task_id else None
    if ask.task_id and task is None:
        raise NotFound("There is no such task")
    rule, found = definition(row["definition"]), list[Hindrance]()
    owner = await owner_tx(tx, row["owner_id"])
    if not row["enabled"]:
        found.append(Hindrance(reason="disabled", message="It is switched off"))
    elif await _too_often(tx, ask.rule_id):
        found.append(
            Hindrance(reason="rate", message="It, or all rules of the project, acted too often lately")
        )
    if owner is None:
        found.append(
            Hindrance(reason="owner", message="Its owner does not take part in the project any more")
        )
        return RuleTest(would_act=False, hindrances=found)
    try:
        if not await holds(owner, rule, task):
            found.append(Hindrance(reason="condition", message="Its condition does not hold"))
    except AtriumError as error:  # it names a field that is gone
        found.append(Hindrance(reason=error.code, message=error.message))
    for at, action in enumerate(rule.then):
        found += await _hindrances(owner, action, task, at)
    return RuleTest(would_act=not found, hindrances=found)


async def _too_often(tx: Tx, rule_id: UUID) -> bool:
    rules = await enabled_rules(tx)
    return any(each.id == rule_id and acts_too_often(each, rules, tx.now, tx.settings) for each in rules)


async def _hindrances(owner: Tx, action: Action, task: Row | None, at: int) -> list[Hindrance]:
    if not owner.rights.allow(NEEDS[action.do]):
        return [
            Hindrance(
                reason="FORBIDDEN", message=f"Its owner lacks the permission {NEEDS[action.do]}", action=at
            )
        ]
    if task is None and needs_task(action):
        return [Hindrance(reason="NOT_FOUND", message="There is no task to act on", action=at)]
    named = Named()
    named.add(action)
    missing = await named.missing(owner)
    return [Hindrance(reason="NOT_FOUND", message=missing, action=at)] if missing else []

"""Rules of a project: when something happens, and a condition holds, something else is done.

A rule acts for its owner, whoever wrote it last, with the rights that she has at that moment. What rules do, and why one did
nothing, is in their history. How they run: `handlers/work/automation/acting.py`.
"""

from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

import orjson
from pydantic import Field, JsonValue, model_validator

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed, constraint
from handlers.paging import LAST_ID, LAST_MOMENT, decode_cursor, encode_cursor, moment
from handlers.registry import (
    Entity,
    Event,
    Name,
    Outcome,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Timestamp,
    command,
    locator,
    query,
)
from handlers.work.automation.actions import MOST, NEEDS, Action, Named, needs_task
from handlers.work.automation.clock import forget_strikes, look_for_due, plan_strike
from handlers.work.automation.triggers import OF_NO_TASK, Trigger, WhenDue, WhenMoved, WhenScheduled
from handlers.work.finding.filters import Filter
from handlers.work.finding.sql import condition
from storage.ids import new_id
from storage.postgres import Row

locator("rule_id", "project_of_rule")
constraint("rules_pkey", "id", "A rule with this id exists")

MOST_BYTES: Final = 65_536
"""What a rule waits for, and all that it does (bytes of JSON)."""

Actions = Annotated[list[Action], Field(min_length=1, max_length=MOST)]


class Definition(Payload):
    """What a rule waits for, on which tasks it acts, and what it does."""

    when: Trigger
    condition: Filter | None = None
    then: Actions


class Rule(Entity):
    """A rule, whole."""

    id: UUID
    project_id: UUID
    name: str
    owner_id: UUID = Field(description="With whose rights it acts: whoever wrote it last.")
    enabled: bool
    when: Trigger
    condition: dict[str, JsonValue] | None = Field(None, description="A filter, as it was given.")
    then: Actions
    next_at: Timestamp | None = Field(None, description="Of a schedule: when it comes round next.")
    version: int
    created_by: UUID
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate({**dict(row), **orjson.loads(row["definition"])})


class RulePart(Entity):
    """A rule as far as everybody in the project hears of it."""

    id: UUID
    removed: Literal[True] | None = None
    name: str | None = None
    enabled: bool | None = None
    version: int | None = None


class RuleCreated(Event, name="rule.created"):
    """A rule came to be."""

    rule: RulePart


class RuleUpdated(Event, name="rule.updated"):
    """A rule was changed, or switched on or off."""

    rule: RulePart


class RuleDeleted(Event, name="rule.deleted"):
    """A rule is no more."""

    rule: RulePart


class CreateRule(Payload):
    id: UUID | None = Field(None, description="UUID of the new rule, where the client makes it.")
    name: Name
    enabled: bool = True
    when: Trigger
    condition: Filter | None = Field(
        None, description='Acts only on tasks for which this holds; `"me"` in it is the owner of the rule.'
    )
    then: Actions

    @property
    def definition(self) -> Definition:
        return Definition(when=self.when, condition=self.condition, then=self.then)


class UpdateRule(Payload):
    rule_id: UUID
    name: Name | None = None
    when: Trigger | None = None
    condition: Filter | None = Field(None, description="null takes it away.")
    then: Actions | None = None

    @model_validator(mode="after")
    def something(self) -> "UpdateRule":
        if not self.model_fields_set - {"rule_id"}:
            raise ValueError("names no field to change")
        return self

    def applied_to(self, before: Definition) -> Definition:
        """What a rule becomes."""
        wanted = self.condition if "condition" in self.model_fields_set else before.condition
        return Definition(when=self.when or before.when, condition=wanted, then=self.then or before.then)


class OneRule(Payload):
    rule_id: UUID


class ListRules(Payload):
    project_id: UUID


class ListRuns(Paging):
    project_id: UUID
    rule_id: UUID | None = Field(None, description="Of this rule only.")


class RuleReply(Reply):
    rule: Rule


class RuleList(Reply):
    rules: list[Rule]


class RuleDeed(Entity):
    """What became of one action of a run."""

    do: str
    outcome: Literal["done", "unchanged", "failed", "undone", "not_reached"] = Field(
        description="`undone`: what it did was taken back, for a later action failed."
    )
    message: str | None = None


class RuleRun(Entity):
    """One time that a rule acted, or might have."""

    id: UUID
    rule_id: UUID
    task_id: UUID | None
    at: Timestamp
    trigger: str
    cause_id: UUID | None = Field(description="Whoever caused it; null for the clock.")
    outcome: Literal["did", "skipped", "failed"]
    reason: str | None = Field(
        description="Why it did nothing: `condition`, `owner` (she is no member of the project any more), `gone` (the "
        "task), `loop`, `depth`, `many`, `rate`, or the code of the error with which an action failed."
    )
    message: str | None
    actions: list[RuleDeed]

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate({**dict(row), "actions": orjson.loads(row["actions"])})


class RuleRunList(Reply):
    runs: list[RuleRun]


@command("rule.create", needs="automation.manage", rest="POST /projects/{project_id}/rules", status=201)
async def create(tx: Tx, cmd: CreateRule) -> Outcome[RuleCreated, RuleReply]:
    """Make a rule. Nobody makes one do what he may not do himself."""
    await _check(tx, cmd.definition)
    if await tx.value("count_rules") >= tx.settings.rules_per_project:
        raise Conflict(
            f"A project has at most {tx.settings.rules_per_project} rules",
            details={"limit": tx.settings.rules_per_project},
        )
    row = await tx.one("create_rule", cmd, id=cmd.id or new_id(), **_columns(cmd.definition))
    next_at = await _settle(tx, row)
    return Outcome([RuleCreated(rule=_part(row))], RuleReply(rule=Rule.of({**row, "next_at": next_at})))


@command(
    "rule.update",
    needs="automation.manage",
    rest="PUT /projects/{project_id}/rules/{rule_id}",
    versioned=True,
)
async def update(tx: Tx, cmd: UpdateRule) -> Outcome[RuleUpdated, RuleReply]:
    """Change a rule; whoever does is its owner from then on. What it waits for by the clock goes on, unless that changes."""
    row = await _rule(tx, cmd.rule_id)
    tx.check_version(row, Rule)
    before = definition(row["definition"])
    fresh = cmd.applied_to(before)
    await _check(tx, fresh)
    anew = fresh.when != before.when
    row = await tx.one("update_rule", cmd, name=cmd.name or row["name"], anew=anew, **_columns(fresh))
    next_at = await _settle(tx, row) if anew else row["next_at"]
    tx.session.values.pop("rules", None)
    return Outcome([RuleUpdated(rule=_part(row))], RuleReply(rule=Rule.of({**row, "next_at": next_at})))


@command("rule.enable", needs="automation.manage", rest="POST /projects/{project_id}/rules/{rule_id}/enable")
async def enable(tx: Tx, cmd: OneRule) -> RuleUpdated:
    """Switch a rule on."""
    return await _switch(tx, cmd.rule_id, enabled=True)


@command(
    "rule.disable", needs="automation.manage", rest="POST /projects/{project_id}/rules/{rule_id}/disable"
)
async def disable(tx: Tx, cmd: OneRule) -> RuleUpdated:
    """Switch a rule off."""
    return await _switch(tx, cmd.rule_id, enabled=False)


@command(
    "rule.delete",
    needs="automation.manage",
    rest="DELETE /projects/{project_id}/rules/{rule_id}",
    versioned=True,
)
async def delete(tx: Tx, cmd: OneRule) -> RuleDeleted:
    """Delete a rule, and its history with it."""
    row = await _rule(tx, cmd.rule_id)
    tx.check_version(row, Rule)
    await tx.exec("delete_rule", cmd)
    await _settle(tx, {**row, "enabled": False})
    return RuleDeleted(rule=RulePart(id=cmd.rule_id, removed=True))


@query("rule.list", needs="automation.manage", rest="GET /projects/{project_id}/rules")
async def list_rules(tx: Tx, ask: ListRules) -> RuleList:
    """All rules of a project, in the order in which they were made; that is also the order in which they act."""
    return RuleList(rules=[Rule.of(row) for row in await tx.many("rules_of")])


@query("rule.runs", needs="automation.manage", rest="GET /projects/{project_id}/rules/runs")
async def list_runs(tx: Tx, ask: ListRuns) -> Page[RuleRunList]:
    """What the rules of a project did, and why they did nothing; the newest first."""
    place_at, place_id = decode_cursor(ask.cursor, moment, UUID) or (LAST_MOMENT, LAST_ID)
    if ask.rule_id is not None:
        await _rule(tx, ask.rule_id)
    statement = "runs_of_project" if ask.rule_id is None else "runs_of_rule"
    rows = await tx.many(statement, ask, place_at=place_at, place_id=place_id, max_rows=ask.limit + 1)
    last = rows[ask.limit - 1] if len(rows) > ask.limit else None
    more = encode_cursor(last["at"], last["id"]) if last else None
    return Page(
        RuleRunList(runs=[RuleRun.of(row) for row in rows[: ask.limit]]),
        Pagination(limit=ask.limit, next=more),
    )


@lru_cache(maxsize=2048)
def definition(text: str) -> Definition:
    """What a rule was stored as."""
    return Definition.model_validate_json(text)


async def _check(tx: Tx, rule: Definition) -> None:
    """Whether what a rule names is there, and its owner-to-be may do what it does."""
    if len(_columns(rule)["definition"].encode()) > MOST_BYTES:
        raise ValidationFailed.field("then", f"must be at most {MOST_BYTES} bytes of JSON, all in all")
    for action in rule.then:
        tx.require(NEEDS[action.do])
    if isinstance(rule.when, OF_NO_TASK) and rule.condition is None and any(map(needs_task, rule.then)):
        raise ValidationFailed.field(
            "then", "by the clock or for a sprint, and without a condition, there is no task to act on"
        )
    if rule.condition is not None:
        await condition(tx, rule.condition, at="condition")
    if missing := await names(rule).missing(tx):
        raise NotFound(missing)


def names(rule: Definition) -> Named:
    """What a rule names."""
    found = Named()
    if isinstance(rule.when, WhenMoved):
        found.column_ids += [*rule.when.from_column_ids, *rule.when.to_column_ids]
    for action in rule.then:
        found.add(action)
    return found


async def _switch(tx: Tx, rule_id: UUID, *, enabled: bool) -> RuleUpdated:
    before = await _rule(tx, rule_id)
    row = await tx.one("switch_rule", rule_id=rule_id, enabled=enabled)
    if before["enabled"] != enabled:
        await _settle(tx, row)
    return RuleUpdated(rule=_part(row))


async def _settle(tx: Tx, row: Row) -> datetime | None:
    """Let the room's row say what its rules wait for: without any, nothing is ever asked for them. And set the clock.

    Returns when a rule comes round next.
    """
    tx.session.values["triggers"] = await tx.value("settle_triggers")
    tx.session.values.pop("rules", None)
    await forget_strikes(tx, row["id"])
    await tx.exec("forget_dues", rule_id=row["id"])
    when = definition(row["definition"]).when
    if row["enabled"] and isinstance(when, WhenScheduled):
        return await plan_strike(tx, row["id"], when, tx.now)
    if row["enabled"] and isinstance(when, WhenDue):
        await look_for_due(tx, tx.now)
    return None


async def _rule(tx: Tx, rule_id: UUID) -> Row:
    row = await tx.maybe("rule", rule_id=rule_id)
    if row is None:
        raise NotFound("There is no such rule")
    return row


def _columns(rule: Definition) -> dict[str, Any]:
    body = rule.model_dump_json(include={"when", "condition", "then"}, exclude_unset=True)
    return {"trigger": rule.when.on, "definition": body}


def _part(row: Row) -> RulePart:
    return RulePart(**{name: row[name] for name in ("id", "name", "enabled", "version")})

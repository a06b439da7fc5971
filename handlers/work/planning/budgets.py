"""Budgets: what a project may take, in hours and in money, and what it has taken.

Money is nobody's business outside: people from outside (clients and guests) never get a figure, whatever role they have
in the project. So no event and no snapshot has one; events say that the budget is another one, and who may reads it.
"""

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, model_validator

from handlers.context import Tx
from handlers.errors import Forbidden
from handlers.identity.currencies import Currency
from handlers.registry import Entity, Event, Outcome, Payload, Reply, Timestamp, command, query
from handlers.work.projects.projects import OneProject, ProjectPart, both, project
from storage.postgres import Row

Minutes = Annotated[int, Field(ge=0, le=100_000_000)]
Money = Annotated[int, Field(ge=0, le=10**15)]
"""In the minor units of its currency: cents."""


class BudgetChanged(Event, name="budget.changed"):
    """The budget of a project was set; those who may see it read it again with `budget.get`."""

    project: ProjectPart


class Budget(Entity):
    """What a project may take, and what it has taken; null where nothing is set, or nothing can be reckoned."""

    minutes: int | None = Field(description="Working time that it may take (minutes).")
    amount: int | None = Field(description="Money that it may take, in minor units of the currency (cents).")
    currency: str | None
    hourly_rate: int | None = Field(description="What an hour costs, in minor units of the currency.")
    spent_minutes: int = Field(description="What its tasks have taken (minutes).")
    spent_amount: int | None = Field(description="The same in money, at the hourly rate.")
    planned_minutes: int = Field(
        description="What its tasks are estimated at (minutes), without cancelled ones."
    )
    used: int | None = Field(description="How much of it is spent (percent): of the money, else of the time.")
    updated_at: Timestamp | None


class SetBudget(Payload):
    """The whole budget: what is left out is not set any more."""

    project_id: UUID
    minutes: Minutes | None = Field(None, description="Working time (minutes).")
    amount: Money | None = Field(None, description="Money, in minor units of the currency (cents).")
    currency: Currency | None = Field(None, description="ISO 4217: EUR. Needed with amount or hourly_rate.")
    hourly_rate: Money | None = Field(None, description="What an hour costs, in minor units of the currency.")

    @model_validator(mode="after")
    def names_a_currency(self) -> Self:
        if self.currency is None and (self.amount is not None or self.hourly_rate is not None):
            raise ValueError("money needs a currency")
        return self


class BudgetReply(Reply):
    budget: Budget


@query("budget.get", needs="project.edit", rest="GET /projects/{project_id}/budget")
async def get(tx: Tx, ask: OneProject) -> BudgetReply:
    """The budget of a project, and how much of it is spent. Not for people from outside, whatever their role here."""
    await require_inside(tx)
    return BudgetReply(budget=await read(tx, ask.project_id))


@command(
    "budget.set",
    needs="project.edit",
    rest="PUT /projects/{project_id}/budget",
    room="tenant",
    within="project_id",
)
async def put(tx: Tx, cmd: SetBudget) -> Outcome[BudgetChanged, BudgetReply]:
    """Set the budget of a project. The event has no figures."""
    await require_inside(tx)
    await project(tx, cmd.project_id)
    await tx.exec("set_budget", cmd)
    row = await tx.one("raise_budget_version", cmd)
    part = ProjectPart(id=row["id"], budget_version=row["budget_version"])
    told = both(tx, cmd.project_id, BudgetChanged(project=part))
    return Outcome(told, BudgetReply(budget=await read(tx, cmd.project_id)))


async def read(tx: Tx, project_id: UUID) -> Budget:
    """The budget of a project."""
    return _reckoned(await tx.one("budget", project_id=project_id))


async def is_inside(tx: Tx) -> bool:
    """Whether the caller belongs to the tenant, and is not from outside with a role in a project."""
    return bool(await tx.value("is_inside"))


async def require_inside(tx: Tx) -> None:
    if not await is_inside(tx):
        raise Forbidden("Budgets are not for people from outside", details={"permission": "project.edit"})


def _reckoned(row: Row) -> Budget:
    spent, rate = row["spent_minutes"], row["hourly_rate"]
    cost = None if rate is None else round(spent * rate / 60)
    if row["amount"] and cost is not None:
        used: int | None = 100 * cost // row["amount"]
    else:
        used = 100 * spent // row["minutes"] if row["minutes"] else None
    return Budget.model_validate({**row, "spent_amount": cost, "used": used})

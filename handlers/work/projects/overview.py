"""How a project stands: its tasks by category of status, what is late, what comes next, and for those inside the budget."""

from typing import Final
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.registry import Entity, Reply, Timestamp, query
from handlers.work.planning import budgets
from handlers.work.planning.budgets import Budget
from handlers.work.projects.projects import OneProject, project
from handlers.work.projects.workflow import Category
from storage.postgres import Row

NEXT: Final = 5
"""Milestones that an overview names (count)."""


class CategoryCount(Entity):
    """How many tasks are in statuses of one category."""

    category: Category
    tasks: int


class NextMilestone(Entity):
    """A milestone that is not reached yet; `id` is the task's."""

    id: UUID
    key: str
    title: str
    due_at: Timestamp


class Held(Entity):
    """A project in a portfolio or program."""

    id: UUID
    name: str
    status: str
    progress: int


class Overview(Reply):
    """A project at a glance; what is in the archive or the trash does not count."""

    progress: int = Field(description="How much is done (percent), reckoned now.")
    categories: list[CategoryCount] = Field(description="Those that there are tasks in.")
    open_tasks: int = Field(description="Neither done nor cancelled.")
    overdue: int = Field(description="Tasks not completed that were due by now, as in lists.")
    unassigned: int = Field(description="Open tasks that nobody has.")
    milestones: list[NextMilestone] = Field(description="The next five, overdue ones first.")
    projects: list[Held] = Field(description="Of a portfolio or program: what is in it; at most 100 of them.")
    budget: Budget | None = Field(description="Null for whoever may not see it.")


@query("project.overview", needs="project.view", rest="GET /projects/{project_id}/overview")
async def overview(tx: Tx, ask: OneProject) -> Overview:
    """How a project stands, in figures."""
    row = await project(tx, ask.project_id)
    figures = await tx.many("task_figures")
    [reckoned] = await tx.many("reckon_progress", project_ids=[row["id"]])
    money = tx.rights.allow("project.edit") and await budgets.is_inside(tx)
    return Overview(
        progress=reckoned["fresh"],
        categories=[CategoryCount.of(one) for one in figures],
        open_tasks=sum(one["open"] for one in figures),
        overdue=sum(one["overdue"] for one in figures),
        unassigned=sum(one["unassigned"] for one in figures),
        milestones=[NextMilestone.of(one) for one in await tx.many("next_milestones", max_rows=NEXT)],
        projects=[Held.of(one) for one in await _held(tx)],
        budget=await budgets.read(tx, row["id"]) if money else None,
    )


async def _held(tx: Tx) -> list[Row]:
    """What is in it, as far as the caller sees it."""
    people = [tx.actor.user_id, *tx.rights.stands_for]
    return await tx.many("held_in", sees_all=tx.rights.every_project, people=people)

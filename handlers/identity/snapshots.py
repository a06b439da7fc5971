"""What the rooms of a tenant and of a person hold: one list per kind of thing."""

from pydantic import Field

from handlers.context import Tx
from handlers.identity import imports
from handlers.identity.api_keys import ApiKey, shown
from handlers.identity.delegations import Delegation
from handlers.identity.groups import all_groups
from handlers.identity.imports import Job
from handlers.identity.members import Member
from handlers.identity.onboarding import Onboarding
from handlers.identity.people import Profile
from handlers.identity.roles import CustomRole
from handlers.identity.shares import Share
from handlers.identity.teams import Team
from handlers.identity.tenants import TenantDetails
from handlers.identity.units import Unit
from handlers.registry import Reply, snapshot
from handlers.work.boards.layouts import BoardLayout, layout_of
from handlers.work.finding.views import View
from handlers.work.projects.parts import TakingPart
from handlers.work.projects.projects import Project
from handlers.work.tasks.assignments import Assignment


class TenantSnapshot(Reply):
    """The state of a tenant's room."""

    tenants: list[TenantDetails]
    onboarding: Onboarding
    members: list[Member]
    roles: list[CustomRole]
    teams: list[Team]
    units: list[Unit]
    shares: list[Share]
    projects: list[Project]


class UserSnapshot(Reply):
    """The state of a person's own room."""

    users: list[Profile]
    assignments: list[Assignment]
    api_keys: list[ApiKey]
    jobs: list[Job]
    participations: list[TakingPart]
    delegations: list[Delegation]
    board_layouts: list[BoardLayout]
    views: list[View] = Field(description="One's own private ones.")


@snapshot("tenant")
async def read_tenant(tx: Tx, window: int) -> TenantSnapshot:
    """The tenant, its members, roles, teams and units, its projects, and who takes part in which."""
    return TenantSnapshot(
        tenants=[TenantDetails.of(await tx.one("tenant"))],
        onboarding=Onboarding.of(await tx.one("onboarding")),
        members=[Member.of(row) for row in await tx.many("members_of")],
        roles=[CustomRole.of(row) for row in await tx.many("custom_roles_of")],
        teams=[Team.of(row) for row in await all_groups(tx, teams=True)],
        units=[Unit.of(row) for row in await all_groups(tx, teams=False)],
        shares=[Share.of(row) for row in await tx.many("shares_of_tenant")],
        projects=[Project.of(row) for row in await tx.many("all_projects")],
    )


@snapshot("user")
async def read_user(tx: Tx, window: int) -> UserSnapshot:
    """Oneself, one's work, projects, views, API keys and what is under way, and who acts for whom."""
    assignments = await tx.many("assignments_of")
    return UserSnapshot(
        users=[Profile.of(await tx.one("profile", user_id=tx.actor.user_id))],
        assignments=[Assignment.of(row) for row in assignments],
        api_keys=[ApiKey(**shown(row)) for row in await tx.many("own_api_keys")],
        jobs=await imports.running(tx),
        participations=[TakingPart.of(row) for row in await tx.many("participations_of")],
        delegations=[Delegation.of(row) for row in await tx.many("delegations_of")],
        board_layouts=[layout_of(row) for row in await tx.many("board_layouts_of")],
        views=[View.of(row) for row in await tx.many("own_views_of")],
    )

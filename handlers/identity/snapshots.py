"""What the rooms of a tenant and of a person hold: one list per kind of thing."""

from handlers.context import Tx
from handlers.identity import imports
from handlers.identity.api_keys import ApiKey, shown
from handlers.identity.imports import Job
from handlers.identity.members import Member
from handlers.identity.onboarding import Onboarding
from handlers.identity.people import Profile
from handlers.identity.roles import CustomRole
from handlers.identity.tenants import TenantDetails
from handlers.registry import Reply, snapshot
from handlers.work.assignments import Assignment
from handlers.work.projects import Project


class TenantSnapshot(Reply):
    """The state of a tenant's room."""

    tenants: list[TenantDetails]
    onboarding: Onboarding
    members: list[Member]
    roles: list[CustomRole]
    projects: list[Project]


class UserSnapshot(Reply):
    """The state of a person's own room."""

    users: list[Profile]
    assignments: list[Assignment]
    api_keys: list[ApiKey]
    jobs: list[Job]


@snapshot("tenant")
async def read_tenant(tx: Tx, window: int) -> TenantSnapshot:
    """The tenant, its members, the roles it has defined, and its projects."""
    return TenantSnapshot(
        tenants=[TenantDetails.of(await tx.one("tenant"))],
        onboarding=Onboarding.of(await tx.one("onboarding")),
        members=[Member.of(row) for row in await tx.many("members_of")],
        roles=[CustomRole.of(row) for row in await tx.many("custom_roles_of")],
        projects=[Project.of(row) for row in await tx.many("all_projects")],
    )


@snapshot("user")
async def read_user(tx: Tx, window: int) -> UserSnapshot:
    """Oneself, what one is assigned to, one's API keys, and what one has under way."""
    assignments = await tx.many("assignments_of")
    return UserSnapshot(
        users=[Profile.of(await tx.one("profile", user_id=tx.actor.user_id))],
        assignments=[Assignment.of(row) for row in assignments],
        api_keys=[ApiKey(**shown(row)) for row in await tx.many("own_api_keys")],
        jobs=await imports.running(tx),
    )

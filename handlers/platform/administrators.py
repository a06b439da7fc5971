"""Those who run the server: what their calls have in common, and how the flag is given and taken."""

from typing import Annotated, Final
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from handlers import evidence
from handlers.context import Account, Edge
from handlers.errors import NotFound
from handlers.identity.signin import raise_rights
from handlers.registry import Entity, Payload, Timestamp, no_nul
from storage.postgres import Row, Session

LAST: Final = UUID(int=2**128 - 1)
"""Greater than every id: where a list begins that goes back in time."""

Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500), AfterValidator(no_nul)
]


class WithReason(Payload):
    reason: Reason = Field(description="Why: it is written into the audit log.")


class Deed(Entity):
    """One entry of the audit log."""

    id: UUID
    tenant_id: UUID | None = Field(
        description="The tenant whose log holds it; null for that of the instance."
    )
    at: Timestamp
    action: str
    outcome: str
    resource: str
    address: str
    actor_id: UUID | None
    impersonator_id: UUID | None
    session_id: UUID | None


def deed(row: Row) -> Deed:
    tenant_id = None if row["tenant_id"] == evidence.INSTANCE else row["tenant_id"]
    return Deed.model_validate({**dict(row), "tenant_id": tenant_id})


def caller(edge: Edge, resource: str) -> Account:
    """The administrator who calls; whatever becomes of the call, the instance's audit log has it."""
    account = edge.signed_in()
    edge.about(tenant_id=evidence.INSTANCE, resource=resource)
    return account


async def found_user(session: Session, user_id: UUID) -> Row:
    row = await session.maybe("user_by_id", user_id=user_id)
    if row is None:
        raise NotFound("There is no such account")
    return row


async def note(
    edge: Edge, session: Session, *, reason: str, tenants: list[UUID] | None = None, **changes: object
) -> None:
    """Write down what is done and why: in the instance's log, and in those of the tenants that it concerns."""
    account, facts = edge.signed_in(), {"reason": reason, **changes}
    await edge.note(session, tenant_id=evidence.INSTANCE, changes=facts)
    for tenant_id in tenants or ():
        await evidence.record(
            session, tenant_id=tenant_id, person=None, action=edge.call, actor_id=account.user_id,
            session_id=account.session_id, resource=edge.facts.get("resource", ""), address=edge.origin.address,
            user_agent=edge.origin.user_agent, changes=evidence.bounded(facts),
        )  # fmt: skip


async def tenants_of(session: Session, user_id: UUID) -> list[UUID]:
    return [row["tenant_id"] for row in await session.many("memberships", user_id=user_id)]


async def give_flag(session: Session, email: str, *, granted: bool) -> tuple[Row, dict[UUID, int]] | None:
    """Make somebody an administrator of the server, or end that with all that stands on it; None: no such account."""
    row = await session.maybe("set_platform_admin", email=email.strip().lower(), granted=granted)
    if row is None:
        return None
    action = "platform.grant" if granted else "platform.revoke"
    await evidence.record(
        session, tenant_id=evidence.INSTANCE, person=None, action=action, resource=f"user:{row['id']}",
        changes=evidence.bounded({"by": "command line"}),
    )  # fmt: skip
    return row, await raise_rights(session, row["id"])

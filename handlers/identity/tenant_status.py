"""Whether a tenant is in use: put out of use and back by its owner, suspended and lifted from above, deleted.

Whoever is in a tenant that is out of use is put out of it on every node, before any later event, and cannot come back
until it is in use again; tokens stay good. Each change is a command in the tenant's room, so that it stands in its log
and its audit. It is run for people who may not be members, and while nobody can enter, so what stands here finds out
itself who may.
"""

from datetime import timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from handlers.access import of_role, require_in_use, require_second_factor
from handlers.context import Edge, Principal, Tx
from handlers.errors import Conflict, Forbidden, NotFound, ValidationFailed
from handlers.identity import mails
from handlers.identity.mails import Queued, Values
from handlers.identity.tenants import TenantDetails, TenantReply, TenantUpdated
from handlers.registry import Outcome, Payload, Spec, Text, endpoint
from storage.postgres import Row, Session
from storage.settings import Settings

Power = Literal["platform", "organization"]
"""Who acts upon a tenant from above: those who run the server, or the organization that it belongs to."""

Reason = Annotated[Text, StringConstraints(strip_whitespace=True, max_length=500)]


class Whose(Payload):
    tenant_id: UUID


class WhyWhose(Whose):
    reason: Reason = Field("", description="What its owners are told.")


class DeleteTenant(Whose):
    slug: Text = Field(description="The tenant's slug once more, as a sign that this very one is meant.")


class ChangeStatus(Payload):
    """A change of status, by whom, and why."""

    to: Literal["active", "inactive", "suspended", "deleted", "restored"]
    by: Power | None = None
    """Unset: an owner."""
    reason: str = ""


# By its owner.


@endpoint("tenant.deactivate", rest="POST /tenants/{tenant_id}/deactivate", bound=True)
async def deactivate(edge: Edge, cmd: Whose) -> TenantReply:
    """Put the tenant out of use, as its owner: everybody is signed out of it until it is put back."""
    await _require_owner(edge, cmd.tenant_id)
    return await _change(edge, cmd.tenant_id, ChangeStatus(to="inactive"))


@endpoint("tenant.activate", rest="POST /tenants/{tenant_id}/activate", bound=True)
async def activate(edge: Edge, cmd: Whose) -> TenantReply:
    """Put the tenant back into use: an inactive one as its owner, a suspended one as an admin of its organization."""
    async with edge.db.transaction(cmd.tenant_id) as session:
        tenant = await session.maybe("tenant")
    if tenant is not None and tenant["status"] == "suspended" and await _governs(edge, cmd.tenant_id):
        return await activate_tenant(edge, cmd.tenant_id, by="organization")
    await _require_owner(edge, cmd.tenant_id)
    return await _change(edge, cmd.tenant_id, ChangeStatus(to="active"))


@endpoint("tenant.delete", rest="DELETE /tenants/{tenant_id}", bound=True)
async def delete(edge: Edge, cmd: DeleteTenant) -> TenantReply:
    """Delete the tenant, as its owner.

    It is out of use at once, and can be brought back for some days (`ATRIUM_TENANT_GRACE`); then all of it is
    removed. All owners get a mail.
    """
    row = await _require_owner(edge, cmd.tenant_id)
    if cmd.slug.strip().lower() != row["slug"]:
        raise ValidationFailed.field("slug", "is not the slug of this tenant")
    return await delete_tenant(edge, cmd.tenant_id)


@endpoint("tenant.undelete", rest="POST /tenants/{tenant_id}/undelete", bound=True)
async def undelete(edge: Edge, cmd: Whose) -> TenantReply:
    """Bring a deleted tenant back, as its owner, in the status that it had."""
    await _require_owner(edge, cmd.tenant_id)
    return await undelete_tenant(edge, cmd.tenant_id)


# By its organization.


@endpoint("tenant.suspend", rest="POST /tenants/{tenant_id}/suspend")
async def suspend(edge: Edge, cmd: WhyWhose) -> TenantReply:
    """Suspend a tenant of one's organization, as an admin of that. Its owners are told why by mail."""
    if not await _governs(edge, cmd.tenant_id):
        raise NotFound("There is no such tenant in an organization of yours")
    return await suspend_tenant(edge, cmd.tenant_id, cmd.reason, by="organization")


# By whoever has found out already that he may: `handlers/identity/platform.py` for those who run the server.


async def suspend_tenant(edge: Edge, tenant_id: UUID, reason: str, *, by: Power = "platform") -> TenantReply:
    """Suspend a tenant from above; its owners cannot lift that."""
    return await _change(edge, tenant_id, ChangeStatus(to="suspended", by=by, reason=reason))


async def activate_tenant(edge: Edge, tenant_id: UUID, *, by: Power = "platform") -> TenantReply:
    """Put an inactive or suspended tenant back into use from above."""
    return await _change(edge, tenant_id, ChangeStatus(to="active", by=by))


async def delete_tenant(edge: Edge, tenant_id: UUID, *, by: Power | None = None) -> TenantReply:
    """Delete a tenant, to be purged when its grace is over."""
    return await _change(edge, tenant_id, ChangeStatus(to="deleted", by=by))


async def undelete_tenant(edge: Edge, tenant_id: UUID, *, by: Power | None = None) -> TenantReply:
    """Bring a deleted tenant back in the status that it had."""
    return await _change(edge, tenant_id, ChangeStatus(to="restored", by=by))


async def change(tx: Tx, cmd: ChangeStatus) -> Outcome[TenantUpdated, TenantReply]:
    """The command behind all of them; where nothing would change, nothing is written."""
    before = await tx.one("lock_tenant")
    after = _after(before, cmd)
    if after is None:
        return Outcome(events=[], data=TenantReply(tenant=TenantDetails.of(before)))
    if cmd.to == "deleted" and await tx.value("has_children"):
        raise Conflict("This organization has tenants: put them out of it first")
    grace = timedelta(days=tx.settings.tenant_grace)
    purge_at = (before["purge_at"] or tx.now + grace) if after["status"] == "deleted" else None
    fresh = await tx.one("set_tenant_status", purge_at=purge_at, **after)
    if cmd.to in ("active", "restored"):
        await tx.exec("wake_alarms", project_id=None)
    await tx.rights_changed()
    if cmd.to in ("suspended", "deleted"):
        await _tell_owners(tx, fresh, cmd)
    event = TenantUpdated.between(before, fresh)
    return Outcome(events=[event], data=TenantReply(tenant=event.tenant))


def _after(row: Row, cmd: ChangeStatus) -> dict[str, str | None] | None:
    """The columns of the next status; None where it is so already."""
    status = row["status"]
    held = {name: row[name] for name in ("suspended_by", "status_reason", "restore_status")}
    if cmd.to == "deleted":
        return None if status == "deleted" else {**held, "status": "deleted", "restore_status": status}
    if cmd.to == "restored":
        if status != "deleted":
            return None
        return {**held, "status": row["restore_status"], "restore_status": None}
    if cmd.to == "suspended":
        marks = {"suspended_by": _stronger(row["suspended_by"], cmd.by), "status_reason": cmd.reason}
        if status == "deleted":
            return {**held, **marks, "status": "deleted", "restore_status": "suspended"}
        return {**held, **marks, "status": "suspended"}
    if status == "deleted":
        raise Conflict("This tenant is deleted: bring it back first")
    if status == cmd.to:
        return None
    if status == "suspended" and cmd.by != "platform" and (cmd.to, cmd.by) != ("active", row["suspended_by"]):
        raise Forbidden("This tenant is suspended: only who has suspended it can lift that")
    if status == "inactive" and cmd.by == "organization":
        raise Forbidden("Its owner has put this tenant out of use: only an owner can put it back")
    return {"status": cmd.to, "suspended_by": None, "status_reason": None, "restore_status": None}


def _stronger(now: str | None, by: Power | None) -> str | None:
    return "platform" if "platform" in (now, by) else by


async def _tell_owners(tx: Tx, row: Row, cmd: ChangeStatus) -> None:
    kind = f"tenant_{cmd.to}"
    for owner in await tx.many("owners_of"):
        await mails.tell(
            tx.session, kind, owner["email"], user_id=owner["id"], tenant_name=row["name"], reason=cmd.reason,
            actor_name=tx.actor.name, purge_on=row["purge_at"].strftime("%d %B %Y") if row["purge_at"] else "",
        )  # fmt: skip


@mails.letter("tenant_deleted")
@mails.letter("tenant_suspended")
async def notice(session: Session, settings: Settings, queued: Queued) -> Values:
    return {"at": queued.created_at.strftime("%d %B %Y, %H:%M UTC")}


async def _require_owner(edge: Edge, tenant_id: UUID) -> Row:
    """The tenant, whatever its status, for one of its owners; a stranger finds nothing."""
    account = edge.signed_in()
    async with edge.db.transaction(tenant_id) as session:
        row = await session.maybe("tenant_of_member", user_id=account.user_id, session_id=account.session_id)
    if row is None or account.bound_to not in (None, tenant_id):
        raise NotFound("There is no such tenant")
    if row["role"] != "owner":
        raise Forbidden("Only an owner can do this", details={"permission": "tenant.delete"})
    require_second_factor(row["lacks_second_factor"])
    return row


async def _governs(edge: Edge, tenant_id: UUID) -> bool:
    """Whether one is an admin of the organization that the tenant belongs to, in a session that may enter it."""
    account = edge.signed_in()
    if account.bound_to is not None:
        return False
    async with edge.db.transaction(tenant_id) as session:
        if not await session.value("governs_child", user_id=account.user_id, child_id=tenant_id):
            return False
        parent_id = (await session.one("tenant"))["parent_id"]
    try:
        await insider(edge, parent_id)
    except NotFound:
        return False
    return True


async def _change(edge: Edge, tenant_id: UUID, cmd: ChangeStatus) -> TenantReply:
    """Run the command for whoever calls, with the authority to do this and nothing else."""
    edge.about(tenant_id=tenant_id, resource=f"tenant:{tenant_id}")
    await edge.submit(CHANGE, cmd, await outsider(edge, tenant_id))
    edge.wake_outbox()
    async with edge.db.transaction(tenant_id) as session:
        return TenantReply(tenant=TenantDetails.of(await session.one("tenant")))


async def outsider(edge: Edge, tenant_id: UUID) -> Principal:
    """Whoever calls, as somebody who acts upon a tenant by another right than membership."""
    account = edge.signed_in()
    async with edge.db.transaction(tenant_id) as session:
        user = await session.one("user_by_id", user_id=account.user_id)
        tenant = await session.maybe("tenant")
    if tenant is None:
        raise NotFound("There is no such tenant")
    return Principal(
        user_id=account.user_id, name=user["name"], email=user["email"], tenant_id=tenant_id,
        tenant_name=tenant["name"], tenant_slug=tenant["slug"], role="owner", session_id=account.session_id,
        expires_at=float("inf"), origin=edge.origin, impersonator_id=account.impersonator_id,
        authority=of_role("owner"),
    )  # fmt: skip


async def insider(edge: Edge, tenant_id: UUID) -> Principal:
    """Whoever calls, as a member of a tenant that his session may enter; his rights are read with what he does."""
    account = edge.signed_in()
    async with edge.db.transaction(tenant_id) as session:
        row = await session.maybe("principal", user_id=account.user_id, session_id=account.session_id)
    if row is None:
        raise NotFound("There is no such tenant")
    require_in_use(row["tenant_status"])
    require_second_factor(row["lacks_second_factor"])
    return Principal(
        user_id=account.user_id, name=row["name"], email=row["email"], tenant_id=tenant_id,
        tenant_name=row["tenant_name"], tenant_slug=row["tenant_slug"], role=row["role"],
        session_id=account.session_id, expires_at=float("inf"), origin=edge.origin,
        impersonator_id=account.impersonator_id,
    )  # fmt: skip


CHANGE: Final = Spec(
    kind="command", name="tenant.change_status", payload=ChangeStatus, returns=None, handler=change, doc="",
    room="tenant",
)  # fmt: skip
"""A command that no client can send."""

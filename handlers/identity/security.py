"""What those who run a tenant decide about sign-ins: whether a second factor is needed, and whose is taken away."""

from uuid import UUID

from handlers.context import Tx
from handlers.errors import Forbidden, NotFound
from handlers.identity.factors import reset
from handlers.identity.tenants import TenantDetails, TenantUpdated
from handlers.registry import Entity, Event, Payload, command


class SetSecurity(Payload):
    require_second_factor: bool


class ResetSecondFactor(Payload):
    user_id: UUID


class MemberId(Entity):
    id: UUID


class MemberSignedOut(Event, name="member.signed_out"):
    """Somebody who manages members has ended all sessions of one of them."""

    member: MemberId


@command(
    "tenant.set_security",
    needs="security.manage",
    rest="PUT /tenants/{tenant_id}/security",
    room="tenant",
    versioned=True,
)
async def set_security(tx: Tx, cmd: SetSecurity) -> TenantUpdated:
    """Say whether one enters this tenant with a second factor only.

    Sessions that have not given one are put out at once, on every node, and are FORBIDDEN, `details.reason`
    `second_factor_required`, until they do. Whoever turns it on has to have given one in this session.
    """
    before = await tx.one("tenant")
    tx.check_version(before, TenantDetails)
    if cmd.require_second_factor and not await tx.value("gave_second_factor", session_id=tx.actor.session_id):
        raise Forbidden(
            "Give a second factor in this session first, at POST /auth/prove",
            details={"reason": "second_factor_required"},
        )
    after = await tx.one("set_tenant_security", cmd)
    await tx.rights_changed()
    return TenantUpdated.between(before, after)


@command(
    "member.reset_second_factor",
    needs="member.manage",
    rest="POST /tenants/{tenant_id}/members/{user_id}/reset-second-factor",
    room="tenant",
)
async def reset_second_factor(tx: Tx, cmd: ResetSecondFactor) -> MemberSignedOut:
    """Take every second factor and passkey of a member away, for somebody who has lost them; the password stays.

    All sessions of the person end, and a mail tells her. FORBIDDEN for somebody above oneself, for oneself, and, unless
    one is a platform administrator, for an account that is not this tenant's alone: `details.reason` `works_elsewhere`.
    """
    member = await tx.maybe("member", cmd)
    if member is None:
        raise NotFound("There is no such member")
    tx.may_change(member["role"], member["all_allowed"], member["all_denied"])
    if cmd.user_id == tx.actor.user_id:
        raise Forbidden("Change your own factors in your account", details={"reason": "oneself"})
    user = await tx.one("lock_user", cmd)
    if not (await tx.one("user_by_id", user_id=tx.actor.user_id))["platform_admin"]:
        await _require_ours_alone(tx, cmd.user_id, platform_admin=user["platform_admin"])
    await reset(tx.session, user, tx.actor.origin)
    await tx.rights_changed()
    return MemberSignedOut(member=MemberId(id=cmd.user_id))


async def _require_ours_alone(tx: Tx, user_id: UUID, *, platform_admin: bool) -> None:
    """Nobody weakens an account that opens more than this tenant."""
    elsewhere = [
        row["tenant_id"]
        for row in await tx.many("memberships", user_id=user_id)
        if row["tenant_id"] != tx.room.tenant_id
    ]
    if elsewhere or platform_admin:
        raise Forbidden(
            "This account is not this tenant's alone: only a platform administrator can do that",
            details={"reason": "works_elsewhere"},
        )

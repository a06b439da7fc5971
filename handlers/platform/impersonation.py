"""Acting as somebody else, for a while and for a reason, in the sight of everybody whom it concerns."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from pydantic import Field

from handlers.context import Edge
from handlers.errors import Conflict, Forbidden, NotFound
from handlers.identity import mails
from handlers.platform.administrators import WithReason, caller, found_user, note
from handlers.registry import Reply, Timestamp, endpoint
from storage.ids import new_id
from storage.postgres import Row


class Impersonate(WithReason):
    user_id: UUID
    tenant_id: UUID


class Impersonation(Reply):
    """An access token of somebody else in one tenant. There is no refresh token: it ends, and is not renewed."""

    session_id: UUID
    user_id: UUID
    tenant_id: UUID
    access_token: str
    expires_in: int = Field(description="Seconds.")
    expires_at: Timestamp
    token_type: str = "Bearer"  # noqa: S105  # the scheme's name


@endpoint(
    "platform.impersonate", rest="POST /platform/users/{user_id}/impersonate", platform=True, status=201
)
async def impersonate(edge: Edge, cmd: Impersonate) -> Impersonation:
    """Act as a person in one of her tenants, by an access token that ends after `ATRIUM_IMPERSONATION_TTL`.

    With it one can do there what she can, but nothing to her account, nor manage API keys. It is in her list of
    sessions, in `session.ready` and in every entry of the audit log, and she gets a mail. It ends with one's own
    session, with the flag, or by logging it out. Nobody acts as somebody who runs the server.
    """
    account = caller(edge, f"user:{cmd.user_id}")
    session_id, ttl = new_id(), edge.settings.impersonation_ttl
    expires_at = datetime.now(UTC) + timedelta(seconds=ttl)
    async with edge.db.transaction(None) as session:
        user = await found_user(session, cmd.user_id)
        _require_ordinary(user)
        known = await session.many("platform_memberships", user_id=user["id"], caller=account.user_id)
        tenant = next((row for row in known if row["tenant_id"] == cmd.tenant_id), None)
        if tenant is None or not _open(tenant):
            raise NotFound("This person is no active member of such a tenant in use")
        administrator = await session.one("user_by_id", user_id=account.user_id)
        await session.exec(
            "create_impersonation", session_id=session_id, user_id=user["id"], tenant_id=cmd.tenant_id,
            from_session_id=account.session_id, expires_at=expires_at, user_agent=edge.origin.user_agent,
            address=edge.origin.address,
        )  # fmt: skip
        if edge.settings.impersonation_mail:
            await mails.tell(
                session, "impersonated", user["email"], user_id=user["id"], tenant_id=cmd.tenant_id, by=administrator["name"],
                tenant=tenant["name"], reason=cmd.reason, minutes=max(1, ttl // 60),
            )  # fmt: skip
        await note(edge, session, reason=cmd.reason, tenants=[cmd.tenant_id], session_id=str(session_id))
    edge.wake_outbox()
    return Impersonation(
        session_id=session_id, user_id=user["id"], tenant_id=cmd.tenant_id, expires_in=ttl, expires_at=expires_at,
        access_token=edge.tokens.issue(user["id"], session_id, cmd.tenant_id, ttl=ttl),
    )  # fmt: skip


def _require_ordinary(user: Row) -> None:
    if user["platform_admin"]:
        raise Forbidden("Nobody acts as somebody who runs the server", details={"reason": "platform_admin"})
    if user["kind"] != "person" or user["status"] != "active":
        raise Conflict("Only an active person can be acted as")


def _open(tenant: Row) -> bool:
    ends = tenant["expires_at"]
    in_time = ends is None or ends > datetime.now(UTC)
    return tenant["status"] == "active" and tenant["tenant_status"] == "active" and in_time

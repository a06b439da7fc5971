"""The server acts for somebody: what it does later, because of what she did."""

from uuid import UUID

from handlers.access import of_role
from handlers.context import Principal


def acting_for(user_id: UUID, tenant_id: UUID, tenant_name: str = "", tenant_slug: str = "") -> Principal:
    """Somebody with all rights in a tenant: what she may do now is for the command to ask."""
    return Principal(
        user_id=user_id, name="", email="", tenant_id=tenant_id, tenant_name=tenant_name, tenant_slug=tenant_slug,
        role="owner", session_id=user_id, expires_at=float("inf"), authority=of_role("owner"),
    )  # fmt: skip

"""Signing out at the provider too (OpenID Connect RP-Initiated Logout 1.0)."""

from urllib.parse import urlencode
from uuid import UUID

from handlers.context import Edge
from handlers.errors import Unavailable
from handlers.identity.oidc.providers import find_by_namespace


async def logout_url(edge: Edge, session_id: UUID) -> str | None:
    """Where a browser signs out at the provider that has opened a session; None where there is no such place.

    No token goes into that address, so the provider may ask its user whether it is meant.
    """
    async with edge.db.transaction(None) as session:
        row = await session.maybe("provider_of_session", session_id=session_id)
    if row is None:
        return None
    provider = await find_by_namespace(edge.db, edge.settings, edge.vault, row["provider"])
    if provider is None:
        return None
    try:
        url = (await edge.oidc.configuration(provider)).end_session_endpoint
    except Unavailable:
        return None
    if url is None:
        return None
    query = urlencode({
        "client_id": provider.client_id, "post_logout_redirect_uri": f"{edge.settings.public_url}/",
    })  # fmt: skip
    return f"{url}{'&' if '?' in url else '?'}{query}"

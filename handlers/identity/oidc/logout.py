"""The end of a session at the provider (OpenID Connect Back-Channel Logout 1.0)."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import structlog
from pydantic import ConfigDict, StringConstraints

from handlers.context import Edge
from handlers.errors import ValidationFailed
from handlers.identity.oidc import flows, id_tokens
from handlers.identity.oidc.flows import Key
from handlers.identity.oidc.id_tokens import LEEWAY, BadToken
from handlers.identity.people import Done
from handlers.identity.signin import raise_rights
from handlers.registry import Payload, Text, endpoint

log = structlog.get_logger(__name__)


class LogoutToken(Payload):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    issuer: Key
    logout_token: Annotated[Text, StringConstraints(max_length=16_000)]


@endpoint(
    "oidc.logout", rest="POST /auth/oidc/{issuer}/backchannel-logout", public=True, limit="sign_in", form=True
)
async def logout(edge: Edge, cmd: LogoutToken) -> Done:
    """For providers: somebody has signed out there. His sessions through it end here, with their sockets.

    Register `<ATRIUM_PUBLIC_URL>/api/v1/auth/oidc/{issuer}/backchannel-logout` at the provider. The body is a form with
    `logout_token`, as the standard has it. A token that is sent again ends nothing that is newer than itself.
    """
    provider = await flows.provider_of(edge, cmd.issuer)
    try:
        claims, _ = await edge.oidc.verify(provider, cmd.logout_token)
        id_tokens.check_logout_token(
            claims, id_tokens.token_type(cmd.logout_token), issuer=provider.issuer, client_id=provider.client_id
        )  # fmt: skip
    except BadToken as error:
        log.warning("oidc.bad_logout_token", provider=provider.key, error=str(error))
        raise ValidationFailed.field("logout_token", "is not valid") from None
    issued = datetime.fromtimestamp(claims["iat"], UTC)
    changes: dict[UUID, int] = {}
    async with edge.db.transaction(None) as session:
        ended = await session.many(
            "end_provider_sessions",
            provider=provider.namespace,
            subject=claims.get("sub"),
            sid=claims.get("sid"),
            opened_before=issued + timedelta(seconds=LEEWAY),
            reason="signed out at the provider",
        )
        for user_id in sorted({row["user_id"] for row in ended}):
            changes |= await raise_rights(session, user_id)
    edge.rights_changed(changes)
    log.info("oidc.signed_out_there", provider=provider.key, sessions=len(ended))
    return Done()

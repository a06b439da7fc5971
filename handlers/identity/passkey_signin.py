"""Signing in with a passkey, without address or password."""

from typing import Final
from uuid import UUID

from pydantic import Field

from handlers.context import Edge
from handlers.errors import Unauthorized
from handlers.identity.ceremony import Assertion, Options, request_options, verify_assertion
from handlers.identity.entry import AS_COOKIE, SignInReply, finish_sign_in
from handlers.identity.people import Token
from handlers.identity.second_factor import OVER
from handlers.identity.tokens import hash_token
from handlers.registry import Payload, Reply, endpoint
from storage.postgres import Row

REFUSED: Final = "This passkey opens no account here"
"""The one answer to every passkey that does not hold, whatever the reason."""


class BeginPasskey(Payload):
    token: Token | None = Field(
        None, description="That of `second_factor`, for a passkey as the second half of a sign-in."
    )


class FinishPasskey(Payload):
    passkey: Assertion
    tenant_id: UUID | None = Field(None, description="Unset: the tenant joined first.")
    cookie: bool = AS_COOKIE


class PasskeyOptions(Reply):
    """Options for the browser, in the JSON of the standard (WebAuthn level 3)."""

    options: Options


@endpoint("auth.passkey.begin", rest="POST /auth/passkey/begin", public=True, limit="sign_in")
async def begin(edge: Edge, cmd: BeginPasskey) -> PasskeyOptions:
    """Ask for a challenge that a passkey signs: `navigator.credentials.get({publicKey})`. It is good once.

    Without a token it is for whoever has a passkey here, and says nothing about who that is.
    """
    user_id = None
    async with edge.db.transaction(None) as session:
        if cmd.token is not None:
            half = await session.maybe(
                "half_sign_in",
                token_hash=hash_token(cmd.token),
                max_tries=edge.settings.second_factor_tries,
            )
            if half is None:
                raise Unauthorized(OVER, details={"reason": "sign_in_over"})
            user_id = half["user_id"]
        options = await request_options(edge, session, user_id)
    return PasskeyOptions(options=options)


@endpoint("auth.passkey.finish", rest="POST /auth/passkey/finish", public=True, limit="sign_in")
async def finish(edge: Edge, cmd: FinishPasskey) -> SignInReply:
    """Sign in with the signed challenge. No second factor is asked for: the device has checked who holds it."""
    if cmd.cookie:
        edge.require_page()
    user: Row | None = None
    async with edge.db.transaction(None) as session:
        user_id = await verify_assertion(edge, session, cmd.passkey, None)
        if user_id is not None:
            user = await session.one("user_by_id", user_id=user_id)
    edge.wake_outbox()
    if user is None or user["status"] not in ("active", "pending"):
        raise Unauthorized(REFUSED)
    return await finish_sign_in(
        edge, user, method="passkey", tenant_id=cmd.tenant_id, cookie=cmd.cookie, two_factors=True
    )

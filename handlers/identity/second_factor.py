"""The second half of a sign-in: the token of the first half, and a second factor."""

from typing import Final

import orjson

from handlers.context import Edge
from handlers.errors import Unauthorized
from handlers.identity.entry import AS_COOKIE, Opened, SignedIn, Through, digest, open_tokens, welcome
from handlers.identity.factors import Factor, proves
from handlers.identity.people import Token
from handlers.identity.tokens import hash_token
from handlers.registry import endpoint
from storage.postgres import Row, Session

OVER: Final = "This sign-in is over: begin again"


class SecondHalf(Factor):
    """The token, and one of the others."""

    token: Token
    cookie: bool = AS_COOKIE


@endpoint("auth.second_factor", rest="POST /auth/second-factor", public=True, limit="sign_in")
async def second_factor(edge: Edge, cmd: SecondHalf) -> SignedIn:
    """Finish a sign-in that was answered with `second_factor`.

    What is wrong is UNAUTHORIZED with `details.reason`: `wrong_factor` may be tried again, `sign_in_over` means to
    begin anew, for the token is used, expired, tried too often, or the password has changed. Too many wrong codes
    lock codes for a while: RATE_LIMITED. Recovery codes and passkeys go on then.
    """
    if cmd.cookie:
        edge.require_page()
    token_hash = hash_token(cmd.token)
    opened: Opened | None = None
    async with edge.db.transaction(None) as session:
        half = await session.maybe(
            "try_half_sign_in", token_hash=token_hash, max_tries=edge.settings.second_factor_tries
        )
        if half is None:
            raise Unauthorized(OVER, details={"reason": "sign_in_over"})
        user_id = half["user_id"]
        edge.about(person=user_id, actor_id=user_id, resource=f"user:{user_id}")
        if await proves(edge, session, user_id, cmd):
            await session.exec("end_half_sign_in", token_hash=token_hash)
            opened = await _open(edge, session, half)
    edge.wake_outbox()
    if opened is None:
        left = edge.settings.second_factor_tries - half["tries"]
        raise Unauthorized("That was wrong", details={"reason": "wrong_factor", "tries_left": left})
    return await welcome(edge, opened, cookie=cmd.cookie)


async def _open(edge: Edge, session: Session, half: Row) -> Opened:
    user = await session.one("lock_user", user_id=half["user_id"])
    if digest(user["password_hash"]) != half["verified"] or user["status"] != "active":
        raise Unauthorized(OVER, details={"reason": "sign_in_over"})
    through = Through(**orjson.loads(half["through"])) if half["through"] else None
    return await open_tokens(
        edge,
        session,
        user,
        method=half["method"],
        tenant_id=half["tenant_id"],
        through=through,
        two_factors=True,
    )

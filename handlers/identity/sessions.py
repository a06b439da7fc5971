"""Sessions: from a token to the person behind it, as the database has it now."""

from handlers.context import Account, Origin, Principal
from handlers.errors import Unauthorized
from handlers.identity.tokens import Tokens, hash_token
from storage.postgres import Database


class Sessions:
    """Checks tokens against the sessions and memberships they name."""

    def __init__(self, db: Database, tokens: Tokens) -> None:
        self._db = db
        self._tokens = tokens

    async def principal(self, token: str, origin: Origin) -> Principal:
        """The member behind an access token; UNAUTHORIZED when the session or membership has ended."""
        claims = self._tokens.check(token)
        if claims.tenant_id is None:
            raise Unauthorized("This token names no tenant: create one or switch to one")
        async with self._db.transaction(claims.tenant_id) as session:
            row = await session.maybe("principal", user_id=claims.user_id, session_id=claims.session_id)
        if row is None:
            raise Unauthorized("The session has ended")
        return Principal(
            user_id=claims.user_id,
            name=row["name"],
            email=row["email"],
            tenant_id=claims.tenant_id,
            tenant_name=row["tenant_name"],
            tenant_slug=row["tenant_slug"],
            role=row["role"],
            session_id=claims.session_id,
            expires_at=claims.expires_at,
            member_until=row["expires_at"],
            rights_seq=row["rights_seq"],
            origin=origin,
        )

    async def account(self, token: str) -> Account:
        """The person behind an access token, in whatever tenant or in none."""
        claims = self._tokens.check(token)
        async with self._db.transaction(None) as session:
            row = await session.maybe("session_of", session_id=claims.session_id)
        if row is None:
            raise Unauthorized("The session has ended")
        return Account(claims.user_id, claims.session_id, claims.tenant_id, row["bound_to"])

    async def account_of_refresh(self, token: str) -> Account:
        """The person behind a refresh token, for ending the session it belongs to."""
        async with self._db.transaction(None) as session:
            row = await session.maybe("refresh_token", token_hash=hash_token(token))
            if row is None or await session.maybe("session_of", session_id=row["session_id"]) is None:
                raise Unauthorized("The session has ended")
        return Account(row["user_id"], row["session_id"], row["tenant_id"], row["bound_to"])

"""Sessions: from a token or an API key to the person behind it, as the database has it now."""

import asyncio
import math
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog

from handlers.access import require_in_use, require_second_factor
from handlers.context import Account, Origin, Principal
from handlers.errors import Forbidden, Unauthorized
from handlers.identity import keys
from handlers.identity.tokens import Tokens, hash_token
from storage.postgres import LOST, Database, Row

log = structlog.get_logger(__name__)

TOUCH_PAUSE: Final = 60.0
"""A key's last use is written once in so long (seconds)."""
TOUCHED: Final = 10_000
"""Keys whose last use is remembered as written (count)."""


class Sessions:
    """Checks tokens and keys against the sessions and memberships they name."""

    def __init__(self, db: Database, tokens: Tokens) -> None:
        self._db = db
        self._tokens = tokens
        self._used = LastUse(db)

    async def close(self) -> None:
        await self._used.written()

    async def principal(self, token: str, origin: Origin) -> Principal:
        """The member behind an access token or an API key.

        UNAUTHORIZED when it or the membership has ended; FORBIDDEN while the tenant is out of use, for it goes on
        afterwards.
        """
        if token.startswith(keys.MARK):
            return await self._holder(token, origin)
        claims = await self._tokens.check(token)
        if claims.tenant_id is None:
            raise Unauthorized("This token names no tenant: create one or switch to one")
        async with self._db.transaction(claims.tenant_id) as session:
            row = await session.maybe("principal", user_id=claims.user_id, session_id=claims.session_id)
        if row is None:
            raise Unauthorized("The session has ended")
        require_in_use(row["tenant_status"])
        require_second_factor(row["lacks_second_factor"])
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
            clock_ahead=clock_ahead(row["now"]),
            rights_seq=row["rights_seq"],
            origin=origin,
            impersonator_id=row["impersonator_id"],
        )

    async def account(self, token: str) -> Account:
        """The person behind an access token, in whatever tenant or in none; FORBIDDEN for an API key."""
        if token.startswith(keys.MARK):
            await self._find(token)
            raise Forbidden("An API key cannot do this: sign in", details={"reason": "session_needed"})
        claims = await self._tokens.check(token)
        async with self._db.transaction(None) as session:
            row = await session.maybe("session_of", session_id=claims.session_id)
        if row is None or row["user_id"] != claims.user_id:
            raise Unauthorized("The session has ended")
        return Account(
            claims.user_id, claims.session_id, claims.tenant_id, row["bound_to"], row["impersonator_id"]
        )

    async def require_administrator(self, account: Account) -> None:
        """FORBIDDEN unless somebody who runs the server calls, now, in a session of his own."""
        async with self._db.transaction(None) as session:
            row = await session.maybe("administrator", user_id=account.user_id, session_id=account.session_id)
        if row is None:
            raise Forbidden("This is for those who run the server", details={"permission": "platform_admin"})
        if row["has_second_factor"] and not row["gave_second_factor"]:
            raise Forbidden(
                "Give your second factor first, at POST /auth/prove",
                details={"reason": "second_factor_required"},
            )

    async def account_of_refresh(self, token: str) -> Account:
        """The person behind a refresh token, for ending the session it belongs to."""
        async with self._db.transaction(None) as session:
            row = await session.maybe("refresh_token", token_hash=hash_token(token))
            if row is None or await session.maybe("session_of", session_id=row["session_id"]) is None:
                raise Unauthorized("The session has ended")
        return Account(row["user_id"], row["session_id"], row["tenant_id"], row["bound_to"])

    async def _holder(self, key: str, origin: Origin) -> Principal:
        key_id, row = await self._find(key)
        require_in_use(row["tenant_status"])
        self._used.note(row["tenant_id"], key_id, row["last_used_at"], origin.address)
        ends = [moment for moment in (row["expires_at"], row["member_until"]) if moment is not None]
        return Principal(
            user_id=row["user_id"],
            name=row["name"],
            email=row["email"],
            tenant_id=row["tenant_id"],
            tenant_name=row["tenant_name"],
            tenant_slug=row["tenant_slug"],
            role=row["role"],
            session_id=key_id,
            expires_at=row["expires_at"].timestamp() if row["expires_at"] else math.inf,
            member_until=min(ends, default=None),
            clock_ahead=clock_ahead(row["now"]),
            rights_seq=row["rights_seq"],
            scopes=frozenset(row["scopes"]),
            key_name=row["key_name"],
            origin=origin,
        )

    async def _find(self, key: str) -> tuple[UUID, Row]:
        """Who stands behind a key. A wrong id, a wrong secret and an ended key are one question and one answer."""
        key_id = keys.id_of(key)
        if key_id is None:
            raise Unauthorized("This is not an API key: it is mistyped or cut off")
        async with self._db.transaction(None) as session:
            row = await session.maybe("api_key_holder", key_id=key_id, secret_hash=keys.hash_key(key))
        if row is None:
            raise Unauthorized("The API key is not valid: it was revoked or has expired, or never was one")
        return key_id, row


def clock_ahead(now: datetime) -> float:
    """How far the clock of Postgres, which has just said `now`, is ahead of this node's (seconds)."""
    return now.timestamp() - time.time()


class LastUse:
    """Writes when keys were last used: once a minute each, beside the call and not before its answer."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._noted: OrderedDict[UUID, float] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, tenant_id: UUID, key_id: UUID, last: datetime | None, address: str) -> None:
        now = time.monotonic()
        recent = last is not None and (datetime.now(UTC) - last).total_seconds() < TOUCH_PAUSE
        if recent or now - self._noted.get(key_id, -math.inf) < TOUCH_PAUSE:
            return
        self._noted[key_id] = now
        self._noted.move_to_end(key_id)
        if len(self._noted) > TOUCHED:
            self._noted.popitem(last=False)
        task = asyncio.create_task(self._write(tenant_id, key_id, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def written(self) -> None:
        """Wait until what was noted is written."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _write(self, tenant_id: UUID, key_id: UUID, address: str) -> None:
        try:
            async with self._db.transaction(tenant_id) as session:
                await session.exec("touch_api_key", key_id=key_id, address=address)
        except LOST as error:
            log.warning("api_key.use_not_written", api_key=str(key_id), error=repr(error))

"""Access tokens (JWT); refresh tokens and the tokens of links (random, stored as a hash)."""

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import jwt

from handlers.errors import Unauthorized
from handlers.identity.signing_keys import KeyRing
from storage.ids import parse_id
from storage.settings import Settings

ISSUER: Final = "atrium"
AUDIENCE: Final = "atrium"
TYPE: Final = "at+jwt"
LEEWAY: Final = 30
"""How far the clocks of two nodes may be apart (seconds)."""
REQUIRED: Final = ["exp", "iat", "iss", "aud", "sub", "sid"]


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says. Rights are not in it: they are read from the database with every command."""

    user_id: UUID
    session_id: UUID
    tenant_id: UUID | None
    expires_at: float


class Tokens:
    """Signs and checks access tokens with the keys of a ring."""

    def __init__(self, ring: KeyRing, settings: Settings) -> None:
        self.ring = ring
        self.ttl = settings.access_token_ttl

    def issue(
        self, user_id: UUID, session_id: UUID, tenant_id: UUID | None, *, ttl: int | None = None
    ) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": str(user_id), "sid": str(session_id),
            "iat": now, "exp": now + (ttl or self.ttl),
        }  # fmt: skip
        if tenant_id is not None:
            claims["tid"] = str(tenant_id)
        key = self.ring.signing()
        return jwt.encode(claims, key.bits, algorithm=key.algorithm, headers={"typ": TYPE, "kid": key.kid})

    async def check(self, token: str) -> Claims:
        """The claims of a valid token; UNAUTHORIZED for any other string."""
        try:
            header = jwt.get_unverified_header(token)
            key = await self.ring.find(header.get("kid")) if header.get("typ") == TYPE else None
            if key is None:
                raise Unauthorized("This is not an access token of this server")
            claims = jwt.decode(
                token, key.bits, algorithms=[key.algorithm], audience=AUDIENCE, issuer=ISSUER,
                options={"require": REQUIRED, "verify_iat": False},
            )  # fmt: skip
            if claims["iat"] > time.time() + LEEWAY:
                raise Unauthorized("The access token is from the future")
            tenant = claims.get("tid")
            return Claims(
                parse_id(claims["sub"]),
                parse_id(claims["sid"]),
                parse_id(tenant) if tenant else None,
                float(claims["exp"]),
            )
        except jwt.ExpiredSignatureError:
            raise Unauthorized("The access token has expired") from None
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            raise Unauthorized("The access token is not valid") from None


def new_token() -> tuple[str, bytes]:
    """A token of 256 random bits, and the hash under which it is stored."""
    token = secrets.token_urlsafe(32)
    return token, hash_token(token)


def hash_token(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

"""The authenticator app: a shared secret that makes a code of six digits every 30 seconds (TOTP, RFC 6238)."""

import pyotp
import segno
from pydantic import Field

from handlers.context import Edge
from handlers.errors import NotFound, ValidationFailed
from handlers.identity import proof
from handlers.identity.codes import USE, Code, confirms, new_recovery_codes, new_secret
from handlers.identity.factors import settle
from handlers.identity.notices import tell
from handlers.identity.people import Done, Nothing
from handlers.identity.proof import Proof
from handlers.registry import Payload, Reply, endpoint

QR_SCALE = 5
"""Width of a square of the QR code (pixels)."""


class Confirm(Payload):
    code: Code


class OfferedTotp(Reply):
    """A secret for the app, good for some minutes, until a code confirms it."""

    secret: str = Field(description="In base32, for typing it in.")
    uri: str = Field(description="The same as an otpauth: address.")
    qr: str = Field(description="The same as a QR code: a data: address with an SVG picture, for an <img>.")
    expires_in: int = Field(description="How long it may take to confirm it (seconds).")


class RecoveryCodes(Reply):
    """Codes that each stand in for a second factor once. They are shown this one time."""

    recovery_codes: list[str]


@endpoint("auth.totp.begin", rest="POST /auth/totp")
async def begin(edge: Edge, cmd: Nothing) -> OfferedTotp:
    """Get a secret for an authenticator app. It counts once a code has confirmed it; one before it stays good until then.

    Needs a recent proof: see auth.prove.
    """
    account, secret = edge.signed_in(), new_secret()
    async with edge.db.transaction(None) as session:
        await proof.require(edge, session, account)
        user = await session.one("user_by_id", user_id=account.user_id)
        offered = edge.vault.seal(USE, account.user_id, secret.encode())
        await session.exec("offer_totp", user_id=account.user_id, offered=offered)
    uri = pyotp.TOTP(secret).provisioning_uri(name=user["email"], issuer_name=edge.settings.issuer_name)
    picture = segno.make_qr(uri).svg_data_uri(scale=QR_SCALE)
    return OfferedTotp(secret=secret, uri=uri, qr=picture, expires_in=edge.settings.proof_ttl)


@endpoint("auth.totp.confirm", rest="POST /auth/totp/confirm")
async def confirm(edge: Edge, cmd: Confirm) -> RecoveryCodes:
    """Prove that the app has the secret. From now on a sign-in with a password asks for a code.

    The reply has ten recovery codes in place of any before. This session counts as one with a second factor.
    """
    account, codes = edge.signed_in(), []
    edge.about(person=account.user_id, resource=f"user:{account.user_id}")
    async with edge.db.transaction(None) as session:
        right = await confirms(edge, session, account.user_id, cmd.code)
        if right:
            user = await session.one("user_by_id", user_id=account.user_id)
            codes = await new_recovery_codes(session, account.user_id)
            await session.exec("session_proven", session_id=account.session_id, second_factor=True)
            await tell(session, user, "totp_enabled", edge.origin)
    if not right:
        raise ValidationFailed.field("code", "is wrong, or the secret has expired: begin again")
    edge.wake_outbox()
    return RecoveryCodes(recovery_codes=codes)


@endpoint("auth.totp.disable", rest="POST /auth/totp/disable")
async def disable(edge: Edge, cmd: Proof) -> Done:
    """Do without the authenticator app. Needs the password, a code or another factor with the call itself.

    Where it was the last factor the recovery codes go with it, and sessions can no more enter tenants that insist on
    one.
    """
    account = edge.signed_in()
    await proof.give(edge, account, cmd)
    async with edge.db.transaction(None) as session:
        user = await session.one("user_by_id", user_id=account.user_id)
        dropped = await session.maybe("drop_totp", user_id=account.user_id)
        if dropped is None or dropped["enabled_at"] is None:
            raise NotFound("This account has no authenticator app")
        await tell(session, user, "totp_disabled", edge.origin)
        changes = await settle(session, account.user_id)
    edge.rights_changed(changes)
    edge.wake_outbox()
    return Done()

"""Passwords: change one's own, and set a new one by mail when it is forgotten."""

from uuid import UUID

from handlers.context import Edge
from handlers.errors import Unauthorized, ValidationFailed
from handlers.identity import lockout, mails
from handlers.identity.addresses import BAD_TOKEN
from handlers.identity.api_keys import tell_of_ended_keys
from handlers.identity.oidc.ownership import disown
from handlers.identity.people import Done, Email, Password, Token
from handlers.identity.signin import check_password, end_sessions
from handlers.identity.tokens import hash_token
from handlers.identity.users import require_length
from handlers.registry import Payload, endpoint
from storage.postgres import Session


class ChangePassword(Payload):
    current_password: Password
    new_password: Password


class ForgotPassword(Payload):
    email: Email


class ResetPassword(Payload):
    token: Token
    new_password: Password


@endpoint("auth.change_password", rest="POST /auth/change-password")
async def change_password(edge: Edge, cmd: ChangePassword) -> Done:
    """Change one's password. All other sessions end, with their sockets; this one goes on."""
    account = edge.signed_in()
    require_length(edge, "new_password", cmd.new_password)
    async with edge.db.transaction(None) as session:
        user = await session.one("user_by_id", user_id=account.user_id)
    try:
        verified = await check_password(edge, user["email"], cmd.current_password)
    except Unauthorized:
        raise ValidationFailed.field("current_password", "is wrong") from None
    hashed = await edge.passwords.hash(cmd.new_password)
    async with edge.db.transaction(None) as session:
        user = await session.one("lock_user", user_id=account.user_id)
        if user["password_hash"] != verified["password_hash"]:
            raise ValidationFailed.field("current_password", "is wrong")
        await _set_password(edge, session, user["id"], user["email"], hashed)
        changes = await end_sessions(session, user["id"], "password changed", but=account.session_id)
    edge.rights_changed(changes)
    edge.wake_outbox()
    return Done()


@endpoint("auth.forgot_password", rest="POST /auth/forgot-password", public=True, limit="recovery")
async def forgot_password(edge: Edge, cmd: ForgotPassword) -> Done:
    """Ask for a mail with which to set a new password. The answer does not tell whether there is an account."""
    async with edge.db.transaction(None) as session:
        await mails.ask(session, "reset_password", cmd.email)
    edge.wake_outbox()
    return Done()


@endpoint("auth.reset_password", rest="POST /auth/reset-password", public=True, limit="recovery")
async def reset_password(edge: Edge, cmd: ResetPassword) -> Done:
    """Set a new password with the token of a mail; it is good once. All sessions and personal API keys end.

    Their sockets are closed. It also proves the address and lifts a lock after too many wrong passwords. Where the
    address was never proven before, second factors and passkeys go too: whoever made the account has not been its owner.
    """
    require_length(edge, "new_password", cmd.new_password)
    token_hash = hash_token(cmd.token)
    async with edge.db.transaction(None) as session:
        found = await session.maybe("account_token", token_hash=token_hash)
    if found is None or found["purpose"] != "reset_password":
        raise ValidationFailed.field("token", BAD_TOKEN)
    hashed = await edge.passwords.hash(cmd.new_password)
    async with edge.db.transaction(None) as session:
        user = await session.one("lock_user", user_id=found["user_id"])
        used = await session.maybe("use_account_token", token_hash=token_hash)
        if used is None or user["email"] != used["email"]:
            raise ValidationFailed.field("token", BAD_TOKEN)
        ended = await session.many("revoke_personal_keys_of", user_id=user["id"], reason="password reset")
        if user["email_verified_at"] is None:
            await disown(session, user["id"])
        await session.one("email_verified", user_id=user["id"], email=user["email"])
        await _set_password(edge, session, user["id"], user["email"], hashed)
        changes = await end_sessions(session, user["id"], "password reset")
    edge.rights_changed(changes)
    edge.wake_outbox()
    await tell_of_ended_keys(edge, user["id"], ended)
    return Done()


async def _set_password(edge: Edge, session: Session, user_id: UUID, email: str, hashed: str) -> None:
    await session.exec("set_password", user_id=user_id, password_hash=hashed)
    # Links that are under way were asked for by whoever knew the old password, or feared somebody did.
    await session.exec("drop_account_tokens", user_id=user_id, purposes=["reset_password", "change_email"])
    await lockout.lift(session, email)
    await mails.tell(session, "password_changed", email, user_id=user_id, address=edge.origin.address)

"""Accounts: prove that an address is one's own, and move to another one."""

from handlers.context import Edge
from handlers.errors import Unauthorized, ValidationFailed, constraint
from handlers.identity import mails
from handlers.identity.people import Done, Email, Password, Token
from handlers.identity.signin import check_password, raise_rights
from handlers.identity.tokens import hash_token
from handlers.registry import Payload, endpoint

constraint("users_email_key", "email", "has an account already")

BAD_TOKEN = "is not valid: it has been used or has expired"  # noqa: S105  # a sentence


class VerifyEmail(Payload):
    token: Token


class Resend(Payload):
    email: Email


class ChangeEmail(Payload):
    email: Email
    password: Password


@endpoint("auth.verify_email", rest="POST /auth/verify-email", public=True, limit="recovery")
async def verify_email(edge: Edge, cmd: VerifyEmail) -> Done:
    """Prove that an address is one's own, with the token of a mail; it is good once.

    It ends the wait of a new account, or makes a new address the account's own. CONFLICT when somebody else has got
    an account with the new address meanwhile.
    """
    token_hash = hash_token(cmd.token)
    async with edge.db.transaction(None) as session:
        found = await session.maybe("account_token", token_hash=token_hash)
        if found is None or found["purpose"] == "reset_password":
            raise ValidationFailed.field("token", BAD_TOKEN)
        before = await session.one("lock_user", user_id=found["user_id"])
        moved = found["purpose"] == "verify_email" and before["email"] != found["email"]
        if moved or await session.maybe("use_account_token", token_hash=token_hash) is None:
            raise ValidationFailed.field("token", BAD_TOKEN)
        await session.one("email_verified", user_id=found["user_id"], email=found["email"])
        await session.exec("drop_account_tokens", user_id=found["user_id"], purposes=[found["purpose"]])
        if found["purpose"] == "change_email":
            # A link that went to the old address opens the account no more.
            await session.exec(
                "drop_account_tokens", user_id=found["user_id"], purposes=["verify_email", "reset_password"]
            )
            await mails.tell(
                session, "email_changed", before["email"], user_id=before["id"], email=found["email"]
            )
        # An address may decide about the ways to sign in that a tenant admits.
        changes = await raise_rights(session, found["user_id"])
    edge.rights_changed(changes)
    edge.wake_outbox()
    return Done()


@endpoint("auth.resend_verification", rest="POST /auth/resend-verification", public=True, limit="recovery")
async def resend(edge: Edge, cmd: Resend) -> Done:
    """Ask for another mail that verifies an address. The answer does not tell whether there is an account."""
    async with edge.db.transaction(None) as session:
        await mails.ask(session, "verify_email", cmd.email)
    edge.wake_outbox()
    return Done()


@endpoint("auth.change_email", rest="POST /auth/change-email")
async def change_email(edge: Edge, cmd: ChangeEmail) -> Done:
    """Move to another address: it counts once the link in the mail to it was followed. The old one gets a notice.

    The answer does not tell whether the new address has an account.
    """
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        user = await session.one("user_by_id", user_id=account.user_id)
    try:
        await check_password(edge, user["email"], cmd.password)
    except Unauthorized:
        raise ValidationFailed.field("password", "is wrong") from None
    async with edge.db.transaction(None) as session:
        await mails.tell(session, "change_email", cmd.email, user_id=account.user_id)
        await mails.tell(
            session, "email_change_asked", user["email"], user_id=account.user_id, email=cmd.email
        )
    edge.wake_outbox()
    return Done()

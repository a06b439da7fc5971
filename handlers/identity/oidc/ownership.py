"""An account changes hands: from whoever made it with an address that was never proven, to the owner of the address."""

from typing import Final
from uuid import UUID

from handlers.identity.signin import end_sessions
from storage.postgres import Session

LINKS: Final = ["verify_email", "change_email", "reset_password"]
FACTORS: Final = ("drop_passkeys", "drop_recovery_codes", "forget_code_tries", "end_half_sign_ins_of")


async def disown(session: Session, user_id: UUID) -> dict[UUID, int]:
    """Take away everything by which somebody could sign in to an account, and end its sessions.

    Give the result to `edge.rights_changed` after the commit.
    """
    await session.exec("forget_password", user_id=user_id)
    await session.exec("drop_identities_of", user_id=user_id)
    await session.maybe("drop_totp", user_id=user_id)
    for statement in FACTORS:
        await session.exec(statement, user_id=user_id)
    await session.exec("drop_account_tokens", user_id=user_id, purposes=LINKS)
    await session.many("revoke_personal_keys_of", user_id=user_id, reason="the owner of the address has come")
    return await end_sessions(session, user_id, "the owner of the address has come")

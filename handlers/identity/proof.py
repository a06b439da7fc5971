"""Proof that it is still the same person: what changes an account asks for one that is not long ago."""

from datetime import timedelta

from handlers.context import Account, Edge
from handlers.errors import Forbidden, Unauthorized, ValidationFailed
from handlers.identity.factors import Factor, proves
from handlers.identity.people import Done, Password
from handlers.identity.signin import check_password
from handlers.registry import endpoint
from storage.postgres import Session


class Proof(Factor):
    """One of these, and only one."""

    password: Password | None = None


@endpoint("auth.prove", rest="POST /auth/prove", bound=True)
async def prove(edge: Edge, cmd: Proof) -> Done:
    """Prove again that it is you, within one's session.

    Calls that change an account's factors ask for it where the last proof, such as the sign-in, is too long ago:
    FORBIDDEN, `details.reason` `proof_needed`. A second factor also lets the session enter tenants that insist on one.
    """
    account = edge.signed_in()
    await give(edge, account, cmd)
    return Done()


async def give(edge: Edge, account: Account, given: Proof) -> None:
    """Take a proof, and note it with the session; VALIDATION_ERROR where it is wrong."""
    edge.about(person=account.user_id, resource=f"user:{account.user_id}")
    if given.password is not None:
        await _check_password(edge, account, given.password)
    async with edge.db.transaction(None) as session:
        right = given.password is not None or await proves(edge, session, account.user_id, given)
        if right:
            await session.exec(
                "session_proven", session_id=account.session_id, second_factor=given.password is None
            )
    edge.wake_outbox()
    if not right:
        name = next(name for name in ("code", "recovery_code", "passkey") if getattr(given, name) is not None)
        raise ValidationFailed.field(name, "is wrong, or has been used")


async def require(edge: Edge, session: Session, account: Account) -> None:
    """FORBIDDEN where the last proof is too long ago."""
    edge.about(person=account.user_id, resource=f"user:{account.user_id}")
    good_for = timedelta(seconds=edge.settings.proof_ttl)
    known = await session.one("session_proofs", session_id=account.session_id, good_for=good_for)
    if not known["recent"]:
        raise Forbidden("Prove again that it is you, at POST /auth/prove", details={"reason": "proof_needed"})


async def _check_password(edge: Edge, account: Account, password: str) -> None:
    async with edge.db.transaction(None) as session:
        user = await session.one("user_by_id", user_id=account.user_id)
    try:
        await check_password(edge, user["email"], password)
    except Unauthorized:
        raise ValidationFailed.field("password", "is wrong") from None

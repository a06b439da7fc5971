"""Recovery codes: what stands in for a second factor that is lost."""

from handlers.context import Edge
from handlers.errors import Conflict
from handlers.identity import proof
from handlers.identity.codes import new_recovery_codes
from handlers.identity.people import Nothing
from handlers.identity.totp import RecoveryCodes
from handlers.registry import endpoint


@endpoint("auth.recovery_codes.renew", rest="POST /auth/recovery-codes")
async def renew(edge: Edge, cmd: Nothing) -> RecoveryCodes:
    """Get ten new recovery codes; those before are void. Needs a recent proof: see auth.prove."""
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        await proof.require(edge, session, account)
        factors = await session.one("factors_of", user_id=account.user_id)
        if not (factors["totp"] or factors["passkeys"]):
            raise Conflict("This account has no second factor that a code could stand in for")
        codes = await new_recovery_codes(session, account.user_id)
    return RecoveryCodes(recovery_codes=codes)

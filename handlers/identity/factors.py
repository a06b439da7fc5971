"""Second factors: what an account has beside its password, and whether one of them is given."""

from typing import Final, Self
from uuid import UUID

from pydantic import Field, model_validator

from handlers.context import Edge, Origin
from handlers.identity.ceremony import Assertion, verify_assertion
from handlers.identity.codes import Code, RecoveryCode, is_right, use_recovery_code
from handlers.identity.notices import tell
from handlers.identity.signin import end_sessions, raise_rights
from handlers.registry import Payload
from storage.postgres import Row, Session

GIVEN: Final = ("password", "code", "recovery_code", "passkey")
"""The fields of payloads that prove something."""


class Factor(Payload):
    """One of these, and only one."""

    code: Code | None = Field(None, description="The six digits that the authenticator app shows.")
    recovery_code: RecoveryCode | None = Field(None, description="One of the ten; it is used up.")
    passkey: Assertion | None = Field(
        None, description="The answer to the options of POST /auth/passkey/begin."
    )

    @model_validator(mode="after")
    def exactly_one(self) -> Self:
        """Refuse none, and more than one."""
        possible = [name for name in GIVEN if name in type(self).model_fields]
        if sum(getattr(self, name) is not None for name in possible) != 1:
            raise ValueError(f"needs exactly one of {', '.join(possible)}")
        return self


async def proves(edge: Edge, session: Session, user_id: UUID, given: Factor) -> bool:
    """Whether this is a second factor of that person. It is used up; commit in either case, so that tries count."""
    if given.code is not None:
        return await is_right(edge, session, user_id, given.code)
    if given.recovery_code is not None:
        return await use_recovery_code(edge, session, user_id, given.recovery_code)
    if given.passkey is not None:
        return await verify_assertion(edge, session, given.passkey, user_id) is not None
    return False


async def settle(session: Session, user_id: UUID) -> dict[UUID, int]:
    """After a factor was taken away: where it was the last one, recovery codes and proofs of sessions go with it."""
    left = await session.one("factors_of", user_id=user_id)
    if left["totp"] or left["passkeys"]:
        return {}
    await session.exec("drop_recovery_codes", user_id=user_id)
    await session.exec("end_half_sign_ins_of", user_id=user_id)
    await session.exec("forget_second_factor", user_id=user_id)
    return await raise_rights(session, user_id)


async def reset(session: Session, user: Row, origin: Origin) -> dict[UUID, int]:
    """Take every factor of a person away, end all her sessions, and tell her. For administrators."""
    await session.maybe("drop_totp", user_id=user["id"])
    await session.exec("drop_passkeys", user_id=user["id"])
    await session.exec("drop_recovery_codes", user_id=user["id"])
    await session.exec("forget_code_tries", user_id=user["id"])
    await session.exec("end_half_sign_ins_of", user_id=user["id"])
    await tell(session, user, "second_factor_reset", origin)
    return await end_sessions(session, user["id"], "second factor reset")

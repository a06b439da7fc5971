"""Passkeys of an account: make one, name it, take it away."""

from typing import Annotated, Final
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from handlers.context import Edge
from handlers.errors import Conflict, NotFound, ValidationFailed, constraint
from handlers.identity import proof
from handlers.identity.ceremony import Attestation, creation_options, verify_attestation
from handlers.identity.codes import new_recovery_codes
from handlers.identity.devices import device
from handlers.identity.factors import settle
from handlers.identity.notices import tell
from handlers.identity.passkey_signin import PasskeyOptions
from handlers.identity.people import Done, Nothing
from handlers.registry import Entity, Payload, Reply, Text, Timestamp, endpoint
from storage.ids import new_id
from storage.postgres import Row

constraint("passkeys_credential_key", "passkey", "is there already")

MAX_PASSKEYS: Final = 20
"""What one account may have (count)."""


def _named(value: str) -> str:
    if not (name := value.strip()):
        raise ValueError("must not be empty")
    return name


PasskeyName = Annotated[Text, StringConstraints(max_length=100), AfterValidator(_named)]


class Passkey(Entity):
    """A passkey of one's own. Its private half never leaves the devices that hold it."""

    id: UUID
    name: str
    backed_up: bool = Field(description="Whether it is kept by an account of its maker, on several devices.")
    created_at: Timestamp
    last_used_at: Timestamp | None


class Passkeys(Reply):
    passkeys: list[Passkey]


class AddPasskey(Payload):
    passkey: Attestation
    name: PasskeyName | None = Field(None, description="Unset: the browser and system that made it.")


class RenamePasskey(Payload):
    passkey_id: UUID
    name: PasskeyName


class RemovePasskey(Payload):
    passkey_id: UUID


class PasskeyReply(Reply):
    passkey: Passkey


class PasskeyAdded(Reply):
    """The new passkey; with recovery codes where the account had none. They are shown this one time."""

    passkey: Passkey
    recovery_codes: list[str] | None


@endpoint("auth.passkey.add_begin", rest="POST /auth/passkeys/begin")
async def add_begin(edge: Edge, cmd: Nothing) -> PasskeyOptions:
    """Ask for what a browser needs to make a passkey: `navigator.credentials.create({publicKey})`.

    Needs a recent proof: see auth.prove.
    """
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        await proof.require(edge, session, account)
        user = await session.one("user_by_id", user_id=account.user_id)
        options = await creation_options(edge, session, user)
    return PasskeyOptions(options=options)


@endpoint("auth.passkey.add_finish", rest="POST /auth/passkeys", status=201)
async def add_finish(edge: Edge, cmd: AddPasskey) -> PasskeyAdded:
    """Add the passkey that was made. From now on a sign-in with a password asks for a second factor.

    This session counts as one with a second factor. The first factor of an account comes with recovery codes.
    """
    account = edge.signed_in()
    edge.about(person=account.user_id, resource=f"user:{account.user_id}")
    row: Row | None = None
    codes = None
    async with edge.db.transaction(None) as session:
        user = await session.one("lock_user", user_id=account.user_id)
        factors = await session.one("factors_of", user_id=account.user_id)
        if factors["passkeys"] >= MAX_PASSKEYS:
            raise Conflict(f"An account may have {MAX_PASSKEYS} passkeys")
        made = await verify_attestation(edge, session, cmd.passkey, account.user_id)
        if made is not None:
            row = await session.one(
                "add_passkey", id=new_id(), user_id=account.user_id, credential_id=made.credential_id,
                public_key=made.credential_public_key, sign_count=made.sign_count,
                transports=cmd.passkey.response.transports, backed_up=made.credential_backed_up,
                name=cmd.name or device(edge.origin.user_agent),
            )  # fmt: skip
            if not factors["recovery_codes"]:
                codes = await new_recovery_codes(session, account.user_id)
            await session.exec("session_proven", session_id=account.session_id, second_factor=True)
            await tell(session, user, "passkey_added", edge.origin, row["name"])
    if row is None:
        raise ValidationFailed.field("passkey", "was not made for the options that were asked for last")
    edge.wake_outbox()
    return PasskeyAdded(passkey=Passkey.of(row), recovery_codes=codes)


@endpoint("auth.passkey.list", rest="GET /auth/passkeys")
async def list_passkeys(edge: Edge, ask: Nothing) -> Passkeys:
    """One's passkeys, the oldest first."""
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        rows = await session.many("passkeys_of", user_id=account.user_id)
    return Passkeys(passkeys=[Passkey.of(row) for row in rows])


@endpoint("auth.passkey.rename", rest="PUT /auth/passkeys/{passkey_id}")
async def rename(edge: Edge, cmd: RenamePasskey) -> PasskeyReply:
    """Give a passkey another name."""
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        row = await session.maybe("rename_passkey", cmd, user_id=account.user_id)
    if row is None:
        raise NotFound("There is no such passkey")
    return PasskeyReply(passkey=Passkey.of(row))


@endpoint("auth.passkey.remove", rest="DELETE /auth/passkeys/{passkey_id}")
async def remove(edge: Edge, cmd: RemovePasskey) -> Done:
    """Take a passkey away: it opens nothing any more. Needs a recent proof: see auth.prove.

    Where it was the last factor the recovery codes go with it, and sessions can no more enter tenants that insist on
    one.
    """
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        await proof.require(edge, session, account)
        user = await session.one("lock_user", user_id=account.user_id)
        removed = await session.maybe("remove_passkey", cmd, user_id=account.user_id)
        if removed is None:
            raise NotFound("There is no such passkey")
        if user["password_hash"] is None and not await session.value("other_ways_in", user_id=user["id"]):
            raise Conflict("It is the only way to sign in that is left: set a password first")
        await tell(session, user, "passkey_removed", edge.origin, removed["name"])
        changes = await settle(session, account.user_id)
    edge.rights_changed(changes)
    edge.wake_outbox()
    return Done()

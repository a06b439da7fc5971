"""The two ceremonies of WebAuthn: a device makes a passkey for this server, and later signs a challenge with it."""

import hashlib
import ipaddress
from datetime import timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit
from uuid import UUID

import orjson
import structlog
import webauthn
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import base64url_to_bytes, options_to_json_dict
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from handlers.context import Edge
from handlers.errors import ValidationFailed
from handlers.identity.notices import tell
from handlers.registry import Text
from storage.postgres import Row, Session
from storage.settings import Settings

log = structlog.get_logger(__name__)

CHALLENGE: Final = 32
"""Length of a challenge (bytes); WebAuthn, 13.4.3 asks for 16."""

Purpose = Literal["create", "get"]
Options = dict[str, Any]
Base64 = Annotated[str, StringConstraints(max_length=20_000, pattern="^[A-Za-z0-9_-]*=*$")]


class _FromBrowser(BaseModel):
    """What `credential.toJSON()` gives; fields that are not looked at are let pass, for browsers add some."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class AssertionResponse(_FromBrowser):
    clientDataJSON: Base64  # noqa: N815  # the names of the standard
    authenticatorData: Base64  # noqa: N815
    signature: Base64
    userHandle: Base64 | None = None  # noqa: N815


class Assertion(_FromBrowser):
    """A signed challenge: `(await navigator.credentials.get({publicKey})).toJSON()`."""

    id: Base64
    rawId: Base64  # noqa: N815
    type: Literal["public-key"]
    response: AssertionResponse


class AttestationResponse(_FromBrowser):
    clientDataJSON: Base64  # noqa: N815
    attestationObject: Base64  # noqa: N815
    transports: list[Annotated[Text, StringConstraints(max_length=40)]] = Field([], max_length=20)


class Attestation(_FromBrowser):
    """A new passkey: `(await navigator.credentials.create({publicKey})).toJSON()`."""

    id: Base64
    rawId: Base64  # noqa: N815
    type: Literal["public-key"]
    response: AttestationResponse


def relying_party(settings: Settings) -> tuple[str, list[str]]:
    """The domain that passkeys are for, and the origins whose pages may use them.

    A browser takes no bare address for a domain: a server on loopback is `localhost` to it.
    """
    parts = urlsplit(settings.public_url)
    host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    origins = [f"{parts.scheme}://{parts.netloc.lower()}"]
    if _is_loopback(host):
        host = "localhost"
        origins.append(f"{parts.scheme}://localhost{port}")
    return settings.passkey_domain or host, [*origins, *settings.more_passkey_origins]


async def creation_options(edge: Edge, session: Session, user: Row) -> Options:
    """What a page gives to `navigator.credentials.create`; the challenge in it is good once."""
    known = await session.many("passkeys_of", user_id=user["id"])
    options = webauthn.generate_registration_options(
        rp_id=relying_party(edge.settings)[0],
        rp_name=edge.settings.issuer_name,
        user_id=user["id"].bytes,
        user_name=user["email"],
        user_display_name=user["name"],
        challenge=webauthn.helpers.generate_challenge(),
        timeout=edge.settings.second_factor_ttl * 1000,
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            require_resident_key=True,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[_descriptor(row) for row in known],
    )
    await _remember(edge, session, options.challenge, "create", user["id"])
    return options_to_json_dict(options)


async def request_options(edge: Edge, session: Session, user_id: UUID | None) -> Options:
    """What a page gives to `navigator.credentials.get`: for one person's passkeys, or for whoever has one."""
    known = await session.many("passkeys_of", user_id=user_id) if user_id else []
    options = webauthn.generate_authentication_options(
        rp_id=relying_party(edge.settings)[0],
        challenge=webauthn.helpers.generate_challenge(),
        timeout=edge.settings.second_factor_ttl * 1000,
        allow_credentials=[_descriptor(row) for row in known],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    await _remember(edge, session, options.challenge, "get", user_id)
    return options_to_json_dict(options)


async def verify_attestation(
    edge: Edge, session: Session, given: Attestation, user_id: UUID
) -> VerifiedRegistration | None:
    """The passkey that was made for this person; None where it was not made as it was asked for.

    The challenge is used up either way: commit, and refuse then.
    """
    challenge = await _challenge(session, given.response.clientDataJSON, "create", user_id)
    if challenge is None:
        return None
    domain, origins = relying_party(edge.settings)
    try:
        return webauthn.verify_registration_response(
            credential=given.model_dump(),
            expected_challenge=challenge,
            expected_rp_id=domain,
            expected_origin=origins,
            require_user_verification=True,
        )
    except Exception as error:  # whatever is wrong with bytes from outside, and the library raises many kinds
        log.info("passkey.not_made", user=str(user_id), error=repr(error))
        return None


async def verify_assertion(
    edge: Edge, session: Session, given: Assertion, user_id: UUID | None
) -> UUID | None:
    """Whose passkey has signed, of this person's or of anybody's; None where it does not hold.

    The challenge is used up either way: commit, and refuse then.
    """
    challenge = await _challenge(session, given.response.clientDataJSON, "get", user_id)
    if challenge is None:
        return None
    row = await session.maybe("passkey_by_credential", credential_id=_bytes(given.rawId))
    if row is None or user_id not in (None, row["user_id"]):
        return None
    edge.about(person=row["user_id"], resource=f"user:{row['user_id']}")
    handle = given.response.userHandle
    if handle and _bytes(handle) != row["user_id"].bytes:
        return None
    verified = _verified(edge, given, challenge, row)
    if verified is None:
        return None
    if not await session.maybe(
        "use_passkey", id=row["id"], sign_count=verified.new_sign_count, backed_up=verified.credential_backed_up
    ):  # fmt: skip
        await _tell_of_copy(edge, session, row)
        return None
    found: UUID = row["user_id"]
    return found


def _verified(edge: Edge, given: Assertion, challenge: bytes, row: Row) -> VerifiedAuthentication | None:
    domain, origins = relying_party(edge.settings)
    try:
        return webauthn.verify_authentication_response(
            credential=given.model_dump(),
            expected_challenge=challenge,
            expected_rp_id=domain,
            expected_origin=origins,
            credential_public_key=row["public_key"],
            credential_current_sign_count=0,  # the statement that uses it compares, also with what runs beside
            require_user_verification=True,
        )
    except Exception as error:  # as above
        log.info("passkey.refused", passkey=str(row["id"]), error=repr(error))
        return None


async def _tell_of_copy(edge: Edge, session: Session, row: Row) -> None:
    """A counter that does not grow: two devices hold the same key, or somebody has copied it."""
    log.warning("passkey.counter_went_back", passkey=str(row["id"]), user=str(row["user_id"]))
    user = await session.one("user_by_id", user_id=row["user_id"])
    await tell(session, user, "passkey_copied", edge.origin, row["name"])


async def _remember(
    edge: Edge, session: Session, challenge: bytes, purpose: Purpose, user_id: UUID | None
) -> None:
    await session.exec(
        "add_challenge", challenge_hash=_hash(challenge), purpose=purpose, user_id=user_id,
        good_for=timedelta(seconds=edge.settings.second_factor_ttl),
    )  # fmt: skip


async def _challenge(
    session: Session, client_data: str, purpose: Purpose, user_id: UUID | None
) -> bytes | None:
    """The challenge that was signed, if it is one of ours that nobody has used."""
    try:
        challenge = base64url_to_bytes(str(orjson.loads(_bytes(client_data))["challenge"]))
    except (ValueError, TypeError, KeyError):
        return None
    used = await session.maybe(
        "use_challenge", challenge_hash=_hash(challenge), purpose=purpose, user_id=user_id
    )
    return challenge if used else None


def _bytes(text: str) -> bytes:
    try:
        return base64url_to_bytes(text)
    except ValueError:
        raise ValidationFailed.field("passkey", "is not in base64url") from None


def _descriptor(row: Row) -> PublicKeyCredentialDescriptor:
    known = {transport.value for transport in AuthenticatorTransport}
    transports = [AuthenticatorTransport(name) for name in row["transports"] if name in known]
    return PublicKeyCredentialDescriptor(id=row["credential_id"], transports=transports or None)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hash(challenge: bytes) -> bytes:
    return hashlib.sha256(challenge).digest()

"""ID tokens and logout tokens, checked (OpenID Connect Core 1.0, 3.1.3.7; Back-Channel Logout 1.0, 2.6)."""

import base64
import hashlib
import hmac
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

ALGORITHMS: Final = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "EdDSA": "OKP", "Ed25519": "OKP"}
"""What a signature may be made with, and the kind of key it takes. Never `none`, and nothing with a shared secret:
a public key must not become one."""
EDWARDS: Final = frozenset({"EdDSA", "Ed25519"})
"""The old and the new name of the same (RFC 9864)."""
LEEWAY: Final = 60
"""How far the clocks of a provider and of this server may be apart (seconds)."""
OLDEST: Final = 600
"""A token that was issued longer ago does not belong to this sign-in (seconds)."""
MAX_KEYS: Final = 100
MIN_RSA_BITS: Final = 2048
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
MFA: Final = frozenset({
    "mfa", "http://schemas.openid.net/pape/policies/2007/06/multi-factor",
    "http://schemas.openid.net/pape/policies/2007/06/multi-factor-physical",
    "https://refeds.org/profile/mfa", "phr", "phrh",
})  # fmt: skip
"""Values of acr that stand for more than one factor; in amr `mfa` does (RFC 8176)."""

Claims = dict[str, Any]


class BadToken(ValueError):
    """It does not say what it must, or nobody knows who says so; the text is for the log."""


class UnknownKey(BadToken):
    """It is signed with a key that is not among the known ones: the provider may have a new one."""


def verify(token: str, keys: Sequence[Mapping[str, Any]]) -> tuple[Claims, str]:
    """The claims of a token with a good signature, and its algorithm."""
    header = _header(token)
    algorithm, kid = header.get("alg"), header.get("kid")
    kind = ALGORITHMS.get(algorithm) if isinstance(algorithm, str) else None
    if kind is None or not isinstance(algorithm, str):
        raise BadToken(f"alg {algorithm!r} is not allowed")
    if "crit" in header:
        raise BadToken("crit is not understood")
    fitting = [key for key in keys[:MAX_KEYS] if _fits(key, kind, algorithm, kid)]
    if not fitting:
        raise UnknownKey(f"no key {kid!r} for {algorithm}")
    for key in fitting:
        payload = _payload(token, key, algorithm)
        if payload is not None:
            return payload, algorithm
    raise UnknownKey("the signature is of none of the keys")


def check_id_token(
    claims: Claims, algorithm: str, *, issuer: str, client_id: str, nonce: str, access_token: str | None
) -> None:
    """Everything that the standard asks for, one rule after the other; BadToken says what does not hold."""
    now = time.time()
    _check_addressed(claims, issuer, client_id)
    if _moment(claims, "exp") <= now - LEEWAY:
        raise BadToken("exp: it has expired")
    issued = _moment(claims, "iat")
    if issued > now + LEEWAY:
        raise BadToken("iat: it is from the future")
    if issued < now - OLDEST - LEEWAY:
        raise BadToken("iat: it was issued long ago")
    if "nbf" in claims and _moment(claims, "nbf") > now + LEEWAY:
        raise BadToken("nbf: it is not valid yet")
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise BadToken("nonce: it is of another sign-in")
    if not _text(claims.get("sub"), 255):
        raise BadToken("sub: it names nobody")
    at_hash = claims.get("at_hash")
    if at_hash is not None and access_token is not None and at_hash != half_hash(access_token, algorithm):
        raise BadToken("at_hash: it belongs to another access token")


def check_logout_token(claims: Claims, header_type: str | None, *, issuer: str, client_id: str) -> None:
    """A provider's word that somebody has signed out there."""
    now = time.time()
    if header_type is not None and header_type.lower().removeprefix("application/") not in (
        "logout+jwt", "jwt"
    ):  # fmt: skip
        raise BadToken(f"typ {header_type!r} is of something else")
    _check_addressed(claims, issuer, client_id)
    issued = _moment(claims, "iat")
    if not now - OLDEST - LEEWAY <= issued <= now + LEEWAY:
        raise BadToken("iat: it is not of now")
    if "exp" in claims and _moment(claims, "exp") <= now - LEEWAY:
        raise BadToken("exp: it has expired")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise BadToken("events: it is no logout token")
    if "nonce" in claims:
        raise BadToken("nonce: an ID token is no logout token")
    if not _text(claims.get("jti"), 500):
        raise BadToken("jti is missing")
    if not _text(claims.get("sub"), 255) and not _text(claims.get("sid"), 255):
        raise BadToken("it has neither sub nor sid")


def token_type(token: str) -> str | None:
    """The `typ` of a token's header."""
    found = _header(token).get("typ")
    return found if isinstance(found, str) else None


def half_hash(access_token: str, algorithm: str) -> str:
    """`at_hash`: the left half of the hash that goes with the algorithm (3.1.3.6)."""
    digest = (hashlib.sha512 if algorithm in EDWARDS else hashlib.sha256)(access_token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).decode().rstrip("=")


def says_two_factors(claims: Claims) -> bool:
    """Whether the provider says that it has asked for more than one factor."""
    amr, acr = claims.get("amr"), claims.get("acr")
    return (isinstance(amr, list) and "mfa" in amr) or (isinstance(acr, str) and acr in MFA)


def _check_addressed(claims: Claims, issuer: str, client_id: str) -> None:
    """By whom, and for whom."""
    if claims.get("iss") != issuer:
        raise BadToken(f"iss: {claims.get('iss')!r} is another issuer")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or client_id not in audiences:
        raise BadToken("aud: it is for somebody else")
    authorized = claims.get("azp")
    if (len(audiences) > 1 or authorized is not None) and authorized != client_id:
        raise BadToken("azp: it was issued to somebody else")


def _header(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        raise BadToken("it is not signed in the compact form")
    try:
        header = orjson.loads(base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)))
    except ValueError:
        raise BadToken("its header is not JSON") from None
    if not isinstance(header, dict):
        raise BadToken("its header is not an object")
    return header


def _fits(key: Mapping[str, Any], kind: str, algorithm: str, kid: Any) -> bool:
    """Whether a key of the set may have made this signature."""
    return (
        isinstance(key, Mapping)
        and key.get("kty") == kind
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) in (EDWARDS if kind == "OKP" else {algorithm})
        and (kind != "RSA" or _is_long(key.get("n")))
        and (kind != "EC" or key.get("crv") == "P-256")
        and (kind != "OKP" or key.get("crv") == "Ed25519")
        and (kid is None or key.get("kid") == kid)
    )


def _is_long(modulus: Any) -> bool:
    """Whether an RSA key is long enough; base64 holds six bits in a character."""
    return isinstance(modulus, str) and len(modulus.rstrip("=")) * 6 >= MIN_RSA_BITS


def _payload(token: str, key: Mapping[str, Any], algorithm: str) -> Claims | None:
    """The claims, where this key has signed them."""
    public = {name: value for name, value in key.items() if name in ("kty", "n", "e", "crv", "x", "y")}
    try:
        imported = import_key(public)
        if not isinstance(imported, RSAKey | ECKey | OKPKey):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # of the old name EdDSA
            signed = jws.deserialize_compact(token, imported, algorithms=[algorithm])
        claims = orjson.loads(signed.payload)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return claims if isinstance(claims, dict) else None


def _moment(claims: Claims, name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**40:
        raise BadToken(f"{name}: it is not a time")
    return float(value)


def _text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and "\x00" not in value

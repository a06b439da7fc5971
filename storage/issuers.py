"""The providers of identity that an instance trusts, as its operator writes them down."""

from pathlib import Path
from typing import Annotated, Final, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints
from yarl import URL

SecondFactor = Literal["never", "claimed", "always"]
"""Whether a sign-in counts as made with two factors: never, where the provider says so, or always."""
VerifiedClaim = Literal["email_verified", "xms_edov"]
"""The claim by which a provider says that an address is its owner's: the standard one, or that of Microsoft Entra."""
SCOPES: Final = "openid email profile"


def _issuer(url: str) -> str:
    try:
        parsed = URL(url)
    except ValueError:
        raise ValueError("must be an address such as https://id.example.com") from None
    if parsed.scheme not in ("https", "http") or not parsed.host or parsed.query_string or parsed.fragment:
        raise ValueError("must be an address such as https://id.example.com, without query or fragment")
    if parsed.user is not None or parsed.password is not None:
        raise ValueError("must not hold a user or a password")
    return url


def _scopes(scopes: str) -> str:
    wanted = scopes.split()
    if "openid" not in wanted:
        raise ValueError("must hold openid")
    return " ".join(wanted)


IssuerUrl = Annotated[str, StringConstraints(max_length=500, pattern=r"^[!-~]+$"), AfterValidator(_issuer)]
Scopes = Annotated[
    str, StringConstraints(max_length=500, pattern=r"^[!#-\[\]-~ ]+$"), AfterValidator(_scopes)
]
ClientId = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[ -~]+$")]


class InstanceIssuer(BaseModel):
    """One provider that the whole instance trusts."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,29}$")
    """Stands in addresses: /auth/oidc/<name>/start."""
    label: str = Field("", max_length=100)
    """What the button says; unset: the name."""
    issuer: IssuerUrl
    client_id: ClientId
    client_secret: SecretStr | None = None
    scopes: Scopes = SCOPES
    sign_up: bool = True
    """Whether somebody without an account gets one."""
    second_factor: SecondFactor = "claimed"
    email_verified_claim: VerifiedClaim = "email_verified"


def read_issuers(value: object) -> object:
    """A JSON list, or the path of a file that holds one."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text:
        return ()
    if not text.startswith("["):
        try:
            text = Path(text).read_text()
        except OSError as error:
            raise ValueError(
                f"is neither a JSON list nor a file that can be read: {error.strerror}"
            ) from None
    try:
        return orjson.loads(text)
    except ValueError:
        raise ValueError("is not valid JSON") from None


def with_names_of_their_own(issuers: tuple[InstanceIssuer, ...]) -> tuple[InstanceIssuer, ...]:
    """Refuse two of one name, or one provider twice: an identity is known by its issuer."""
    for what in ("name", "issuer"):
        values = [getattr(issuer, what) for issuer in issuers]
        if len(set(values)) < len(values):
            raise ValueError(f"two entries have the same {what}")
    return issuers

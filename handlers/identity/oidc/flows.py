"""Sign-in at a provider: there, back, and the tokens (OpenID Connect Core 1.0, code flow with PKCE).

A flow is known to the server by the hash of its `state`. Whoever began it holds a secret: a browser as a cookie, a
program in its hands. The nonce and the PKCE verifier are made from that secret, so that nothing in the database opens
anything. The provider's code comes to the callback and waits there; what goes on to the page is a code of our own, and
only both together, this code and the secret, are traded for tokens. A link with somebody else's code in it therefore
signs nobody in.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from handlers.context import Edge
from handlers.errors import NotFound, Unauthorized, ValidationFailed
from handlers.identity.addresses import BAD_TOKEN
from handlers.identity.entry import AS_COOKIE, SignInReply, Through, finish_sign_in
from handlers.identity.oidc import accounts, returns
from handlers.identity.oidc.client import ProviderDown
from handlers.identity.oidc.id_tokens import Claims, says_two_factors
from handlers.identity.oidc.providers import Provider, find_provider
from handlers.identity.people import Email, Token
from handlers.identity.tokens import hash_token, new_token
from handlers.registry import Payload, Redirect, Reply, Text, endpoint
from storage.postgres import Row

ERRORS: Final = frozenset({
    "access_denied", "login_required", "interaction_required", "consent_required", "account_selection_required",
    "temporarily_unavailable", "server_error",
})  # fmt: skip
"""What a provider may say went wrong, and a page is told; everything else is `provider_error`."""

Key = Annotated[Text, StringConstraints(max_length=40)]
Url = Annotated[Text, StringConstraints(max_length=1000)]


class Issuers(Payload):
    email: Email | None = Field(None, description="Also the providers for the domain of this address.")


class Issuer(Reply):
    """A way to sign in, for a button."""

    id: str = Field(description="Stands in the address: /auth/oidc/{issuer}/start.")
    name: str
    required: bool = Field(description="Whether a tenant lets its people in by this way only.")


class IssuerList(Reply):
    issuers: list[Issuer]


class Start(Payload):
    issuer: Key
    return_to: Url | None = Field(
        None, description="A page of an allowed origin, or a path of this server; unset: its first page."
    )


class Begin(Payload):
    issuer: Key
    return_to: Url = Field(
        description="A page of an allowed origin, a loopback address of a program (RFC 8252), or an address of an app "
        "that the settings name."
    )


class Began(Reply):
    """Open `url` in a browser, and keep `secret` until the browser comes back."""

    url: str
    secret: str = Field(description="Goes with the code to POST /auth/oidc/exchange; shown once.")
    expires_in: int = Field(description="How long the sign-in may take (seconds).")


class Callback(Payload):
    """What a provider answers; it may add more, which is not looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    issuer: Key
    state: Annotated[Text, StringConstraints(max_length=200)] = ""
    code: Annotated[Text, StringConstraints(max_length=4000)] = ""
    iss: Annotated[Text, StringConstraints(max_length=500)] | None = None
    error: Annotated[Text, StringConstraints(max_length=200)] | None = None


class Exchange(Payload):
    code: Token = Field(description="The one that came back in the address, as `code`.")
    secret: Token | None = Field(
        None, description="Of POST /auth/oidc/{issuer}/start; unset: the one in the cookie."
    )
    tenant_id: UUID | None = Field(None, description="Unset: the tenant joined first.")
    cookie: bool = AS_COOKIE


@dataclass(frozen=True, slots=True)
class Proven:
    """Who a provider says has come back."""

    provider: Provider
    claims: Claims
    user_id: UUID | None
    """The person who links an identity; None for a sign-in."""


@endpoint("oidc.issuers", rest="GET /auth/oidc/issuers", public=True, limit="sign_in")
async def issuers(edge: Edge, ask: Issuers) -> IssuerList:
    """Where one can sign in: the providers of this server, and with an address those of its domain.

    The answer depends on the domain alone, and tells nothing of who has an account.
    """
    found = [
        Issuer(id=issuer.name, name=issuer.label or issuer.name, required=False)
        for issuer in edge.settings.oidc_issuers
    ]
    if ask.email is not None:
        async with edge.db.transaction(None) as session:
            rows = await session.many("sso_issuers_for", domain=ask.email.rpartition("@")[2])
        found += [Issuer(id=str(row["id"]), name=row["name"], required=row["required"]) for row in rows]
    return IssuerList(issuers=found)


@endpoint("oidc.start", rest="GET /auth/oidc/{issuer}/start", public=True, limit="sign_in")
async def start(edge: Edge, cmd: Start) -> Redirect:
    """For browsers: go to the provider and come back to `return_to`, with `#/signed-in?code=…` added.

    The page trades the code at POST /auth/oidc/exchange. Where it did not work out, `#/signed-in?error=…` is added:
    `access_denied`, `expired`, `unavailable` and others. A cookie ties the sign-in to this browser.
    """
    return_to = returns.page(edge.settings, cmd.return_to)
    provider = await provider_of(edge, cmd.issuer)
    try:
        began, state_hash = await begin(edge, provider, return_to, in_browser=True)
    except ProviderDown:
        return Redirect(location=returns.back(edge.settings, return_to, error="unavailable"))
    edge.new_cookies[_cookie_name(edge, state_hash)] = began.secret, edge.settings.oidc_flow_ttl
    return Redirect(location=began.url)


@endpoint("oidc.begin", rest="POST /auth/oidc/{issuer}/start", public=True, limit="sign_in")
async def begin_anywhere(edge: Edge, cmd: Begin) -> Began:
    """For programs, apps, and pages that keep the secret themselves: where to send the browser.

    It comes back to `return_to` with `code` or `error`: a page in the fragment, as with GET, all others in the query.
    """
    return_to = returns.anywhere(edge.settings, cmd.return_to)
    provider = await provider_of(edge, cmd.issuer)
    began, _ = await begin(edge, provider, return_to, in_browser=False)
    return began


@endpoint("oidc.callback", rest="GET /auth/oidc/{issuer}/callback", public=True, limit="sign_in")
async def callback(edge: Edge, cmd: Callback) -> Redirect:
    """Where providers send browsers back to. Register `<ATRIUM_PUBLIC_URL>/api/v1/auth/oidc/{issuer}/callback` there.

    Each provider has an address of its own, so that the answer of one is never taken for another's (RFC 9700, 4.4).
    """
    state_hash = hash_token(cmd.state)
    async with edge.db.transaction(None) as session:
        flow = await session.maybe("flow_of_state", state_hash=state_hash)
    if flow is None or flow["provider"] != cmd.issuer or not _same_browser(edge, flow):
        return Redirect(location=returns.back(edge.settings, returns.home(edge.settings), error="expired"))
    return_to, linked = flow["return_to"], flow["user_id"] is not None
    provider = await find_provider(edge.db, edge.settings, edge.vault, cmd.issuer)
    if (
        provider is None
        or (cmd.iss is None and flow["names_issuer"])
        or cmd.iss not in (None, provider.issuer)
    ):
        return await _over(edge, provider, state_hash, return_to, "provider_error", linked=linked)
    if cmd.error is not None or not cmd.code:
        said = cmd.error if cmd.error in ERRORS else "provider_error"
        return await _over(edge, provider, state_hash, return_to, said, linked=linked)
    code, code_hash = new_token()
    async with edge.db.transaction(None) as session:
        came = await session.maybe(
            "flow_came_back", state_hash=state_hash, code_hash=code_hash, provider_code=cmd.code
        )
    if came is None:
        return Redirect(location=returns.back(edge.settings, returns.home(edge.settings), error="expired"))
    return Redirect(location=returns.back(edge.settings, return_to, linked=linked, code=code))


@endpoint("oidc.exchange", rest="POST /auth/oidc/exchange", public=True, limit="sign_in")
async def exchange(edge: Edge, cmd: Exchange) -> SignInReply:
    """Trade the code that came back for tokens; it is good once, with the secret or cookie of whoever began.

    UNAUTHORIZED, `details.reason` `provider_answer`, where the provider's answer proves nothing. FORBIDDEN with a
    `reason`: `email_not_verified` (the provider does not say that the address is its owner's), `no_account`,
    `not_a_member`, `domain_not_allowed`, `other_identity` (the account is linked to somebody else there),
    `link_needed` (an owner links the provider of a tenant from within the account first). UNAVAILABLE while the
    provider does not answer.
    """
    if cmd.cookie:
        edge.require_page()
    proven = await finish(edge, cmd.code, cmd.secret)
    edge.about(tenant_id=proven.provider.tenant_id, resource=f"issuer:{proven.provider.key}")
    if proven.user_id is not None:
        raise ValidationFailed.field("code", BAD_TOKEN)
    provider, claims = proven.provider, proven.claims
    user = await accounts.person_behind(edge, provider, claims)
    sid = claims.get("sid")
    return await finish_sign_in(
        edge,
        user,
        method="oidc",
        tenant_id=cmd.tenant_id,
        cookie=cmd.cookie,
        through=Through(
            provider=provider.namespace,
            subject=claims["sub"],
            sid=sid if isinstance(sid, str) and 0 < len(sid) <= 255 else None,
            bound_to=str(provider.tenant_id) if provider.tenant_id else None,
        ),
        two_factors=_two_factors(provider, claims),
    )


async def provider_of(edge: Edge, key: str) -> Provider:
    """The provider that an address names; NOT_FOUND where there is none."""
    provider = await find_provider(edge.db, edge.settings, edge.vault, key)
    if provider is None:
        raise NotFound("There is no such way to sign in")
    return provider


async def begin(
    edge: Edge, provider: Provider, return_to: str, *, in_browser: bool, user_id: UUID | None = None
) -> tuple[Began, bytes]:
    """A new flow: the address at the provider, the secret, and the hash that the flow is known by."""
    configuration = await edge.oidc.configuration(provider)
    state, state_hash = new_token()
    secret, secret_hash = new_token()
    async with edge.db.transaction(None) as session:
        await session.exec(
            "start_flow",
            state_hash=state_hash,
            secret_hash=secret_hash,
            provider=provider.key,
            return_to=return_to,
            in_browser=in_browser,
            names_issuer=configuration.names_issuer,
            user_id=user_id,
            ttl=timedelta(seconds=edge.settings.oidc_flow_ttl),
        )
    challenge = hashlib.sha256(_derived(secret, "verifier", state_hash).encode()).digest()
    query = urlencode({
        "response_type": "code", "client_id": provider.client_id, "scope": provider.scopes, "state": state,
        "redirect_uri": redirect_uri(edge, provider), "nonce": _derived(secret, "nonce", state_hash),
        "code_challenge": _base64(challenge), "code_challenge_method": "S256",
    })  # fmt: skip
    joint = "&" if "?" in configuration.authorization_endpoint else "?"
    url = f"{configuration.authorization_endpoint}{joint}{query}"
    return Began(url=url, secret=secret, expires_in=edge.settings.oidc_flow_ttl), state_hash


async def finish(edge: Edge, code: str, secret: str | None) -> Proven:
    """Redeem what came back; VALIDATION_ERROR where the code is not good, or not in the right hands."""
    code_hash = hash_token(code)
    async with edge.db.transaction(None) as session:
        flow = await session.maybe("flow_of_code", code_hash=code_hash)
        if flow is not None and secret is None:
            name = _cookie_name(edge, flow["state_hash"])
            secret = edge.cookies.get(name)
            edge.new_cookies[name] = "", 0
        if flow is not None and secret is not None:
            flow = await session.maybe("take_flow", code_hash=code_hash, secret_hash=hash_token(secret))
    if flow is None or secret is None:
        raise ValidationFailed.field("code", BAD_TOKEN)
    provider = await find_provider(edge.db, edge.settings, edge.vault, flow["provider"])
    if provider is None:
        raise ValidationFailed.field("code", BAD_TOKEN)
    state_hash = flow["state_hash"]
    tokens = await edge.oidc.redeem(
        provider,
        flow["provider_code"],
        redirect_uri(edge, provider),
        _derived(secret, "verifier", state_hash),
    )
    claims = await edge.oidc.claims(provider, tokens, _derived(secret, "nonce", state_hash))
    return Proven(provider, claims, flow["user_id"])


def redirect_uri(edge: Edge, provider: Provider) -> str:
    """Where the provider sends browsers back to."""
    return f"{edge.settings.public_url}/api/v1/auth/oidc/{provider.key}/callback"


async def _over(
    edge: Edge, provider: Provider | None, state_hash: bytes, return_to: str, error: str, *, linked: bool
) -> Redirect:
    """Back with an error; the audit log gets it too, since a GET leaves no entry by itself."""
    async with edge.db.transaction(None) as session:
        await session.exec("drop_flow", state_hash=state_hash)
        await edge.note(
            session, outcome=Unauthorized.code, tenant_id=provider.tenant_id if provider else None,
            resource=f"issuer:{provider.key}" if provider else "", changes={"error": error},
        )  # fmt: skip
    edge.new_cookies[_cookie_name(edge, state_hash)] = "", 0
    return Redirect(location=returns.back(edge.settings, return_to, linked=linked, error=error))


def _same_browser(edge: Edge, flow: Row) -> bool:
    """Whether the browser that came back is the one that went, where one is tied to the flow."""
    secret = edge.cookies.get(_cookie_name(edge, flow["state_hash"]))
    if not flow["in_browser"]:
        return True
    return secret is not None and hmac.compare_digest(hash_token(secret), flow["secret_hash"])


def _cookie_name(edge: Edge, state_hash: bytes) -> str:
    """One cookie for each flow, so that two tabs do not meet; the prefix keeps neighbouring hosts from setting it."""
    prefix = "__Host-" if edge.settings.public_url.startswith("https:") else ""
    return f"{prefix}atrium_oidc_{state_hash.hex()[:16]}"


def _derived(secret: str, use: str, state_hash: bytes) -> str:
    return _base64(hmac.digest(secret.encode(), use.encode() + b"\0" + state_hash, "sha256"))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _two_factors(provider: Provider, claims: Claims) -> bool:
    if provider.second_factor == "claimed":
        return says_two_factors(claims)
    return provider.second_factor == "always"

"""The client of providers: their configuration and keys, kept for a while; codes traded for tokens."""

import asyncio
import base64
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import orjson
import structlog

from handlers.errors import Unauthorized, Unavailable
from handlers.identity.oidc import id_tokens
from handlers.identity.oidc.id_tokens import BadToken, Claims, UnknownKey
from handlers.identity.oidc.providers import Provider
from storage.outbound import Answer, Outbound, OutboundError, check_url
from storage.settings import Settings

log = structlog.get_logger(__name__)

MOST_PROVIDERS: Final = 500
"""So many configurations are kept; the one that was not used for longest goes first (count)."""
FAILURE_PAUSE: Final = 3.0
"""A provider that did not answer is not asked again for so long (seconds)."""


class ProviderDown(Unavailable):
    """The provider does not answer, or not as it must."""

    def __init__(self) -> None:
        super().__init__("The identity provider does not answer as it should: try again in a moment")


class NotTrusted(Unauthorized):
    """What came from the provider does not prove who somebody is."""

    def __init__(self) -> None:
        super().__init__(
            "The identity provider's answer does not prove who you are: sign in again",
            details={"reason": "provider_answer"},
        )


@dataclass(slots=True)
class Configuration:
    """What a provider says of itself (OpenID Connect Discovery 1.0)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    auth_methods: tuple[str, ...]
    names_issuer: bool
    """Whether its answers say who answers (RFC 9207)."""
    read_at: float
    keys: list[Mapping[str, Any]] = field(default_factory=list)
    keys_at: float = -float("inf")


@dataclass(slots=True)
class _Entry:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    configuration: Configuration | None = None
    failed_at: float = -float("inf")


class OidcClient:
    """Speaks with providers; safe to share."""

    def __init__(self, outbound: Outbound, settings: Settings) -> None:
        self._outbound = outbound
        self._settings = settings
        self._entries: OrderedDict[tuple[str, bool], _Entry] = OrderedDict()

    async def configuration(self, provider: Provider) -> Configuration:
        """The provider's configuration; ProviderDown where it cannot be had or contradicts itself."""
        entry = self._entry(provider)
        async with entry.lock:
            return await self._configuration(provider, entry)

    async def redeem(self, provider: Provider, code: str, redirect_uri: str, verifier: str) -> dict[str, Any]:
        """Trade a code for tokens (RFC 6749, 4.1.3; RFC 7636, 4.5)."""
        configuration = await self.configuration(provider)
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier,
        }  # fmt: skip
        headers = {"Accept": "application/json"}
        if provider.client_secret is None:
            form["client_id"] = provider.client_id
        elif "client_secret_basic" in configuration.auth_methods or not configuration.auth_methods:
            pair = f"{quote(provider.client_id, safe='')}:{quote(provider.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": provider.client_id, "client_secret": provider.client_secret}
        answer = await self._ask(
            provider, "POST", configuration.token_endpoint, headers=headers, data=form
        )  # fmt: skip
        if answer.status in (400, 401, 403):
            log.warning("oidc.code_refused", provider=provider.key, said=_error_of(answer))
            raise NotTrusted
        return self._object(provider, answer)

    async def claims(self, provider: Provider, tokens: Mapping[str, Any], nonce: str) -> Claims:
        """What the ID token says, and the userinfo endpoint where the token has no address."""
        token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(token, str):
            log.warning("oidc.no_id_token", provider=provider.key)
            raise NotTrusted
        if not isinstance(access_token, str):
            access_token = None
        try:
            claims, algorithm = await self.verify(provider, token)
            id_tokens.check_id_token(
                claims, algorithm, issuer=provider.issuer, client_id=provider.client_id, nonce=nonce,
                access_token=access_token,
            )  # fmt: skip
        except BadToken as error:
            log.warning("oidc.bad_id_token", provider=provider.key, error=str(error))
            raise NotTrusted from None
        configuration = await self.configuration(provider)
        if "email" not in claims and access_token and configuration.userinfo_endpoint:
            more = await self._userinfo(provider, configuration.userinfo_endpoint, access_token)
            if more.get("sub") != claims["sub"]:
                log.warning("oidc.bad_userinfo", provider=provider.key)
                raise NotTrusted
            claims = {**more, **claims}
        return claims

    async def verify(self, provider: Provider, token: str) -> tuple[Claims, str]:
        """The claims of a token that the provider has signed, with a look for new keys where none fits."""
        entry = self._entry(provider)
        async with entry.lock:
            configuration = await self._configuration(provider, entry)
            if time.monotonic() - configuration.keys_at > self._settings.oidc_cache:
                await self._read_keys(provider, configuration)
            try:
                return id_tokens.verify(token, configuration.keys)
            except UnknownKey:
                if time.monotonic() - configuration.keys_at < self._settings.oidc_keys_pause:
                    raise
                await self._read_keys(provider, configuration)
                return id_tokens.verify(token, configuration.keys)

    def _entry(self, provider: Provider) -> _Entry:
        key = provider.issuer, provider.trusted
        entry = self._entries.setdefault(key, _Entry())
        self._entries.move_to_end(key)
        while len(self._entries) > MOST_PROVIDERS:
            self._entries.popitem(last=False)
        return entry

    async def _configuration(self, provider: Provider, entry: _Entry) -> Configuration:
        now, found = time.monotonic(), entry.configuration
        if found is not None and now - found.read_at < self._settings.oidc_cache:
            return found
        if now - entry.failed_at < FAILURE_PAUSE:
            raise ProviderDown
        try:
            fresh = await self._discover(provider)
        except ProviderDown:
            entry.failed_at = time.monotonic()
            raise
        if found is not None and found.jwks_uri == fresh.jwks_uri:
            fresh.keys, fresh.keys_at = found.keys, found.keys_at
        entry.configuration = fresh
        return fresh

    async def _discover(self, provider: Provider) -> Configuration:
        url = provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
        found = self._object(provider, await self._ask(provider, "GET", url))
        if found.get("issuer") != provider.issuer:
            log.warning("oidc.other_issuer", provider=provider.key, said=str(found.get("issuer"))[:200])
            raise ProviderDown
        methods = found.get("token_endpoint_auth_methods_supported")
        return Configuration(
            authorization_endpoint=self._endpoint(provider, found, "authorization_endpoint"),
            token_endpoint=self._endpoint(provider, found, "token_endpoint"),
            jwks_uri=self._endpoint(provider, found, "jwks_uri"),
            userinfo_endpoint=self._optional(provider, found, "userinfo_endpoint"),
            end_session_endpoint=self._optional(provider, found, "end_session_endpoint"),
            auth_methods=tuple(m for m in methods if isinstance(m, str)) if isinstance(methods, list) else (),
            names_issuer=found.get("authorization_response_iss_parameter_supported") is True,
            read_at=time.monotonic(),
        )

    async def _read_keys(self, provider: Provider, configuration: Configuration) -> None:
        configuration.keys_at = time.monotonic()  # also when it fails: the pause is for the provider's sake
        found = self._object(provider, await self._ask(provider, "GET", configuration.jwks_uri)).get("keys")
        if not isinstance(found, list):
            raise ProviderDown
        configuration.keys = [key for key in found if isinstance(key, dict)]

    async def _userinfo(self, provider: Provider, url: str, access_token: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        return self._object(provider, await self._ask(provider, "GET", url, headers=headers))

    async def _ask(
        self, provider: Provider, method: str, url: str, *, headers: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        try:
            return await self._outbound.fetch(
                method, url, trusted=provider.trusted, plain=provider.plain, headers=headers, data=data
            )
        except OutboundError as error:
            log.warning("oidc.no_answer", provider=provider.key, url=url, error=str(error))
            raise ProviderDown from None

    def _object(self, provider: Provider, answer: Answer) -> dict[str, Any]:
        try:
            found = orjson.loads(answer.body) if answer.status == 200 else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            log.warning("oidc.odd_answer", provider=provider.key, status=answer.status)
            raise ProviderDown
        return found

    def _endpoint(self, provider: Provider, found: Mapping[str, Any], name: str) -> str:
        url = self._optional(provider, found, name)
        if url is None:
            log.warning("oidc.incomplete", provider=provider.key, missing=name)
            raise ProviderDown
        return url

    def _optional(self, provider: Provider, found: Mapping[str, Any], name: str) -> str | None:
        url = found.get(name)
        if not isinstance(url, str):
            return None
        try:
            check_url(url, plain=provider.plain)
        except OutboundError as error:
            log.warning("oidc.bad_endpoint", provider=provider.key, name=name, error=str(error))
            return None
        return url


def _error_of(answer: Answer) -> str:
    """The error code that a provider names; nothing else of its answer goes into the log."""
    try:
        found = orjson.loads(answer.body)
        return str(found.get("error", ""))[:100] if isinstance(found, dict) else ""
    except ValueError:
        return ""

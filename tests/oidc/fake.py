"""A provider of identity that says whatever a test wants it to say."""

import asyncio
import base64
import hashlib
import hmac
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlencode

import orjson
from aiohttp import web
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

CLIENT = "atrium"
SECRET = "the client's secret: 100% + 1"
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"})
KEYS: dict[str, Any] = {
    "RS256": RSA,
    "PS256": RSA,
    "ES256": ECKey.generate_key("P-256", {"kid": "ec-1"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed-1"}),
}
KEYS["Ed25519"] = KEYS["EdDSA"]
OTHER_RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"})
NEW_RSA = RSAKey.generate_key(2048, {"kid": "rsa-2"})
with warnings.catch_warnings(action="ignore"):
    WEAK_RSA = RSAKey.generate_key(1024, {"kid": "weak"})


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signed(claims: dict[str, Any], key: Any = RSA, **header: Any) -> str:
    """A token as its maker wants it, allowed or not."""
    head = {"alg": "RS256", "kid": key.kid if key else None, "typ": "JWT", **header}
    head = {name: value for name, value in head.items() if value is not None}
    if head["alg"] == "none":
        return f"{b64(orjson.dumps(head))}.{b64(orjson.dumps(claims))}."
    with warnings.catch_warnings(action="ignore"):  # of the old name EdDSA
        return jws.serialize_compact(head, orjson.dumps(claims), key, algorithms=[head["alg"]])


class Fake:
    """Asks nobody anything: whoever comes is signed in as `person`."""

    def __init__(self) -> None:
        self.url = ""
        self.client_secret: str | None = SECRET
        self.person: dict[str, Any] = {
            "sub": "bob-1", "email": "bob@acme.example", "email_verified": True, "name": "Bob at the provider",
        }  # fmt: skip
        self.claims: dict[str, Any] = {}
        """Replaces claims of the ID token; None takes one away."""
        self.header: dict[str, Any] = {}
        self.key: Any = RSA
        self.shared: bytes | None = None
        """Signs with HS256 and this secret."""
        self.published: list[Any] = [RSA, KEYS["ES256"], KEYS["EdDSA"]]
        self.discovery: dict[str, Any] = {}
        self.only_userinfo = False
        self.userinfo: dict[str, Any] = {}
        self.answer: dict[str, Any] = {}
        """Replaces parameters of the answer to the browser; None takes one away."""
        self.raw_id_token: str | None = None
        self.says_issuer = True
        self.delay = 0.0
        self.huge = False
        self.down = False
        self.asked: list[str] = []
        self.token_requests: list[dict[str, str]] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._given = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/.well-known/openid-configuration", self.configuration),
            web.get("/keys", self.keys),
            web.get("/authorize", self.authorize),
            web.post("/token", self.token),
            web.get("/userinfo", self.user),
        ]

    @web.middleware
    async def odd(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path)
        await asyncio.sleep(self.delay)
        if self.down:
            return web.Response(status=500, text="<h1>oops</h1>")
        if self.huge:
            return web.Response(body=b"[" + b" " * 2_000_000 + b"]")
        response: web.StreamResponse = await handler(request)
        return response

    async def configuration(self, _request: web.Request) -> web.Response:
        found = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "end_session_endpoint": f"{self.url}/end",
            "authorization_response_iss_parameter_supported": self.says_issuer,
            **self.discovery,
        }
        return web.json_response({name: value for name, value in found.items() if value is not None})

    async def keys(self, _request: web.Request) -> web.Response:
        return web.json_response({"keys": [key.as_dict(private=False) for key in self.published]})

    async def authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        self._given += 1  # not how many are open: one that is redeemed meanwhile would make two alike
        code = f"code-{self._given}"
        self._codes[code] = asked
        answer = {"code": code, "state": asked["state"], "session_state": "ignored"}
        if self.says_issuer:
            answer["iss"] = self.url
        answer = {name: value for name, value in {**answer, **self.answer}.items() if value is not None}
        return web.Response(status=302, headers={"Location": f"{asked['redirect_uri']}?{urlencode(answer)}"})

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.token_requests.append(form)
        asked = self._codes.pop(form["code"], None)
        verifier = form.get("code_verifier", "")
        challenge = b64(hashlib.sha256(verifier.encode()).digest())
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        if not self._is_client(request, form):
            return web.json_response({"error": "invalid_client"}, status=401)
        return web.json_response({
            "access_token": "at", "token_type": "Bearer", "id_token": self.raw_id_token or self.id_token(asked),
        })  # fmt: skip

    async def user(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer at"
        return web.json_response({**self.person, **self.userinfo})

    def id_token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        person = {"sub": self.person["sub"]} if self.only_userinfo else self.person
        claims = {
            "iss": self.url, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": asked["nonce"], "sid": "provider-1",
            **person, **self.claims,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.shared is not None:  # by hand: the library knows the trick and does not sign so
            head, body = b64(b'{"alg":"HS256","kid":"rsa-1"}'), b64(orjson.dumps(claims))
            return f"{head}.{body}.{b64(hmac.digest(self.shared, f'{head}.{body}'.encode(), 'sha256'))}"
        return signed(claims, self.key, **self.header)

    def logout_token(self, **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 120, "jti": f"jti-{now}", "sid": "provider-1",
            "sub": self.person["sub"], "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
            **changes,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        return signed(claims, self.key, typ="logout+jwt")

    def _is_client(self, request: web.Request, form: dict[str, str]) -> bool:
        header = request.headers.get("Authorization", "")
        if header:
            name, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
            return (unquote(name), unquote(secret)) == (CLIENT, self.client_secret)
        return (form["client_id"], form.get("client_secret")) == (CLIENT, self.client_secret)


@asynccontextmanager
async def provider() -> AsyncIterator[Fake]:
    fake = Fake()
    app = web.Application(middlewares=[fake.odd])
    app.add_routes(fake.routes())
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()

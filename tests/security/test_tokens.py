"""Forged access tokens, by REST and by socket: each is UNAUTHORIZED, and none is more."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from handlers.identity.signing_keys import derive
from tests.raw import raw
from tests.world import World

SECRET = b"x" * 40
"""Of the nodes under test: see tests/world.py."""


class Forger:
    """Knows everything of a server, its secret too, and makes tokens that differ in one thing from good ones."""

    def __init__(self, good: str) -> None:
        self.good = good
        self.header = jwt.get_unverified_header(good)
        self.claims = jwt.decode(good, options={"verify_signature": False})
        self.key = derive(SECRET, self.header["kid"])

    def token(
        self, *, key: bytes = b"", algorithm: str = "HS256", without: str = "", header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:  # fmt: skip
        """Signed by hand: a library would refuse to make most of these."""
        body = {name: value for name, value in {**self.claims, **claims}.items() if name != without}
        head = {**self.header, **(header or {})}
        head = {name: value for name, value in head.items() if value is not None}
        text = ".".join(_base64(json.dumps(part).encode()) for part in (head, body))
        digest = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}[algorithm]
        return f"{text}.{_base64(hmac.new(key or self.key, text.encode(), digest).digest())}"

    def unsigned(self, header: dict[str, Any]) -> str:
        parts = [{**self.header, **header}, self.claims]
        return ".".join(_base64(json.dumps(part).encode()) for part in parts) + "."


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


RSA = rsa.generate_private_key(65537, 2048)
PUBLIC = RSA.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
NOW = int(time.time())

CORPUS: dict[str, Callable[[Forger], str]] = {
    "alg none": lambda f: f.unsigned({"alg": "none"}),
    "alg None": lambda f: f.unsigned({"alg": "None"}),
    "alg empty": lambda f: f.unsigned({"alg": ""}),
    "no signature": lambda f: f.good.rpartition(".")[0] + ".",
    "no signature, no dot": lambda f: f.good.rpartition(".")[0],
    "another algorithm of the same key": lambda f: f.token(key=f.key * 2, algorithm="HS512", header={"alg": "HS512"}),
    "RS256": lambda f: jwt.encode(f.claims, RSA, "RS256", headers={**f.header, "alg": "RS256"}),
    "alg RS256, signed by HMAC": lambda f: f.token(header={"alg": "RS256"}),
    "HMAC with a public key": lambda f: f.token(key=PUBLIC),
    "HMAC with an empty key": lambda f: f.token(key=b"\0"),
    "HMAC with the kid": lambda f: f.token(key=f.header["kid"].encode()),
    "HMAC with the secret itself": lambda f: f.token(key=SECRET),
    "of another instance": lambda f: f.token(key=derive(b"y" * 40, f.header["kid"])),
    "of another instance, with a kid of its own": lambda f: f.token(
        key=derive(b"y" * 40, "0" * 32), header={"kid": "0" * 32}
    ),
    "typ JWT": lambda f: f.token(header={"typ": "JWT"}),
    "no typ": lambda f: f.token(header={"typ": None}),
    "typ of an identity token": lambda f: f.token(header={"typ": "id+jwt"}),
    "no kid": lambda f: f.token(header={"kid": None}),
    "kid a path": lambda f: f.token(header={"kid": "../../../../dev/null"}, key=b"\0"),
    "kid of SQL": lambda f: f.token(header={"kid": "' UNION SELECT 'aaaa' --"}),
    "kid with a NUL": lambda f: f.token(header={"kid": "\0" * 32}),
    "kid an address": lambda f: f.token(header={"kid": "https://evil.example/keys"}),
    "kid in capitals": lambda f: f.token(header={"kid": f.header["kid"].upper() + "A"}),
    "kid very long": lambda f: f.token(header={"kid": "0" * 3000}),
    "kid a number": lambda f: f.unsigned({"kid": 7}),
    "kid a list": lambda f: f.unsigned({"kid": [f.header["kid"]]}),
    "kid an object": lambda f: f.unsigned({"kid": {}}),
    "a key in the header": lambda f: f.token(header={"jwk": {"kty": "oct", "k": _base64(b"k" * 32)}}, key=b"k" * 32),
    "an address of keys in the header": lambda f: f.token(header={"jku": "https://evil.example"}, key=b"k" * 32),
    "critical extension": lambda f: f.token(header={"crit": ["exp"], "exp": 1}),
    "expired": lambda f: f.token(exp=NOW - 60),
    "expired long ago": lambda f: f.token(exp=0),
    "from the future": lambda f: f.token(iat=NOW + 3600, exp=NOW + 7200),
    "not yet": lambda f: f.token(nbf=NOW + 3600),
    "exp a word": lambda f: f.token(exp="tomorrow"),
    "exp a truth": lambda f: f.token(exp=None),
    "exp endless": lambda f: f.token(exp=float("inf")),
    "iat a word": lambda f: f.token(iat="now"),
    **{f"without {name}": lambda f, name=name: f.token(without=name) for name in ("exp", "iat", "iss", "aud", "sub", "sid")},  # type: ignore[misc]
    "aud of another": lambda f: f.token(aud="somebody"),
    "aud a list of others": lambda f: f.token(aud=["somebody"]),
    "iss of another": lambda f: f.token(iss="somebody"),
    "sub a word": lambda f: f.token(sub="nobody"),
    "sub of nobody": lambda f: f.token(sub=str(uuid4())),
    "sid of nothing": lambda f: f.token(sid=str(uuid4())),
    "sid a word": lambda f: f.token(sid="x"),
    "tid a word": lambda f: f.token(tid="x"),
    "tid an object": lambda f: f.token(tid={"$ne": 1}),
    "cut short": lambda f: f.good[:-4],
    "cut in the middle": lambda f: f.good[: len(f.good) // 2],
    "longer": lambda f: f.good + "AAAA",
    "claims of one, signature of another": lambda f: ".".join(
        [*f.token(sub=str(uuid4())).split(".")[:2], f.good.split(".")[2]]
    ),
    "three dots": lambda f: "a.b.c",
    "dots": lambda f: "..",
    "a word": lambda f: "token",
    "braces": lambda f: "{}.{}.{}",
    "null": lambda f: ".".join([_base64(b"null"), _base64(b"null"), ""]),
    "a list": lambda f: ".".join([_base64(b"[]"), _base64(b"[]"), ""]),
    "deep": lambda f: ".".join([_base64(b"[" * 4000), "", ""]),
}  # fmt: skip


@pytest.fixture(scope="module")
async def forger(shared: World) -> Forger:
    return Forger(await shared.token("alice"))


async def test_the_forger_knows_how(shared: World, forger: Forger) -> None:
    """Without a difference his tokens are good: so what is refused below is refused for the difference."""
    assert await _by_rest(shared, forger.token()) == 200
    assert await _by_socket(shared, forger.token()) == "welcome"


@pytest.mark.parametrize("name", CORPUS)
async def test_forged(shared: World, forger: Forger, name: str) -> None:
    token = CORPUS[name](forger)
    assert await _by_rest(shared, token, "/auth/me") == 401
    # A tenant that is none leaves the account alone, where it is not asked for one.
    assert await _by_rest(shared, token) == 401
    assert await _by_socket(shared, token) == "UNAUTHORIZED"


async def test_one_of_another_tenant_is_nobody_there(shared: World, forger: Forger) -> None:
    async with shared.sql() as db:
        rival = await db.fetchval("SELECT id FROM tenants WHERE slug LIKE 'rival%'")
    token = forger.token(tid=str(rival))
    assert await _by_rest(shared, token) == 401
    assert await _by_socket(shared, token) == "UNAUTHORIZED"


async def test_a_refresh_token_opens_nothing_else(shared: World) -> None:
    tokens = await shared.person("bob").sign_in()
    assert await _by_rest(shared, tokens.refresh_token) == 401
    assert await _by_socket(shared, tokens.refresh_token) == "UNAUTHORIZED"


async def test_a_socket_takes_no_forged_one_for_a_new_one(shared: World, forger: Forger) -> None:
    async with raw(shared) as client:
        for name in ("alg none", "expired", "of another instance", "typ JWT", "sid of nothing"):
            reply = await client.call("session.refresh", {"token": CORPUS[name](forger)})
            assert reply.error.code == "UNAUTHORIZED", name
        await client.still_works()


async def _by_rest(world: World, token: str, path: str = "") -> int:
    headers = {"Authorization": f"Bearer {token}"}
    reply = await world.request("GET", path or f"/projects/{world.project_id}", headers=headers)
    assert reply.status == 200 or reply.error.code == "UNAUTHORIZED"
    return int(reply.status)


async def _by_socket(world: World, token: str) -> str:
    async with raw(world, name=None) as client:
        await client.text("40" + json.dumps({"token": token}))
        packet = await client.packet()
        return (
            "welcome"
            if packet.startswith("40{")
            else str(json.loads(packet.removeprefix("44"))["data"]["code"])
        )

"""A security key in Python: makes passkeys and signs challenges, and does both wrongly where it is told to."""

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT: Final = 0x01
VERIFIED: Final = 0x04
ATTESTED: Final = 0x40
ORIGIN: Final = "http://localhost:8080"
DOMAIN: Final = "localhost"


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """One passkey on one device; `counts` says whether it keeps a counter, as synced ones do not."""

    counts: bool = True
    origin: str = ORIGIN
    domain: str = DOMAIN
    flags: int = PRESENT | VERIFIED
    counter: int = 0
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    handle: bytes = b""

    def create(self, options: Any, **changes: Any) -> dict[str, Any]:
        """What a browser's `navigator.credentials.create` would give for these options."""
        self.handle = decode(options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        public = cbor2.dumps(
            {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        )
        attested = b"\0" * 16 + len(self.credential_id).to_bytes(2, "big") + self.credential_id + public
        data = self._data(self.flags | ATTESTED, **changes) + attested
        statement = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options["challenge"], **changes)
        return self._credential(
            clientDataJSON=encode(client), attestationObject=encode(statement), transports=["usb", "future"]
        )

    def get(self, options: Any, **changes: Any) -> dict[str, Any]:
        """What `navigator.credentials.get` would give; `changes` say what is wrong with it."""
        if self.counts:
            self.counter += 1
        data = self._data(changes.pop("flags", self.flags), **changes)
        client = self._client(changes.pop("type", "webauthn.get"), options["challenge"], **changes)
        signed = data + hashlib.sha256(client).digest()
        signature = changes.get("key", self.key).sign(signed, ec.ECDSA(hashes.SHA256()))
        return self._credential(
            clientDataJSON=encode(client),
            authenticatorData=encode(data),
            signature=encode(signature),
            userHandle=encode(changes.get("handle", self.handle)),
        )

    def _data(self, flags: int, **changes: Any) -> bytes:
        domain = hashlib.sha256(changes.get("domain", self.domain).encode()).digest()
        return domain + bytes([flags]) + int(changes.get("counter", self.counter)).to_bytes(4, "big")

    def _client(self, kind: str, challenge: str, **changes: Any) -> bytes:
        told = {
            "type": kind,
            "challenge": changes.get("signs", challenge),
            "origin": changes.get("origin", self.origin),
            "crossOrigin": False,
        }
        return json.dumps(told).encode()

    def _credential(self, **response: Any) -> dict[str, Any]:
        return {
            "id": encode(self.credential_id),
            "rawId": encode(self.credential_id),
            "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "clientExtensionResults": {},
            "response": response,
        }

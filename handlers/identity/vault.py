"""The vault: secrets that the server has to read again, sealed before they are stored.

AES-256-GCM with a random nonce, under a key derived from the instance's secret. A sealed secret names the key it was
sealed with, so that keys can change, and opens only as what it was sealed for: a row that is copied to another
person or another use does not open.
"""

import os
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FORMAT: Final = b"\x01"
KEY_ID: Final = 8
"""Length of the name of a key (bytes)."""
NONCE: Final = 12
"""Length of the nonce (bytes); NIST SP 800-38D, 8.2.2."""


class Sealed(ValueError):
    """A sealed secret does not open: it is damaged, for something else, or its key is gone."""


class Vault:
    """Seals with the key of today's secret; opens what was sealed with it or with one of the previous ones."""

    def __init__(self, secret: str, previous: Sequence[str] = ()) -> None:
        keys = [_derive(one) for one in (secret, *previous)]
        self._current = keys[0][0]
        self._keys = dict(reversed(keys))

    def seal(self, use: str, owner: UUID, secret: bytes) -> bytes:
        """The secret as it may be stored: for this use by this owner only."""
        nonce = os.urandom(NONCE)
        sealed = self._keys[self._current].encrypt(nonce, secret, _bound(use, owner))
        return FORMAT + self._current + nonce + sealed

    def open(self, use: str, owner: UUID, sealed: bytes) -> bytes:
        """The secret; `Sealed` where it does not open."""
        key = self._keys.get(sealed[1 : 1 + KEY_ID]) if sealed[:1] == FORMAT else None
        if key is None:
            raise Sealed("a secret was sealed with a key that is not there")
        nonce, body = sealed[1 + KEY_ID : 1 + KEY_ID + NONCE], sealed[1 + KEY_ID + NONCE :]
        try:
            return key.decrypt(nonce, body, _bound(use, owner))
        except (InvalidTag, ValueError):
            raise Sealed("a sealed secret is damaged, or was sealed for something else") from None

    def is_current(self, sealed: bytes) -> bool:
        """Whether it was sealed with today's key; otherwise seal it anew when it has been opened."""
        return sealed[1 : 1 + KEY_ID] == self._current


def _bound(use: str, owner: UUID) -> bytes:
    return use.encode() + b"\0" + owner.bytes


def _derive(secret: str) -> tuple[bytes, AESGCM]:
    """The name of a secret's key, and the key."""
    made = HKDF(hashes.SHA256(), KEY_ID + 32, salt=None, info=b"atrium vault 1").derive(secret.encode())
    return made[:KEY_ID], AESGCM(made[KEY_ID:])

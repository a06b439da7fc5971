"""The vault: sealed secrets open as what they were sealed for, and keys can change."""

from uuid import uuid4

import pytest

from handlers.identity.vault import Sealed, Vault
from tests.identity.factors import code_of, enable, first_half
from tests.world import Cluster, World, second_node

OWNER = uuid4()


def test_what_is_sealed_opens_again() -> None:
    vault = Vault("x" * 40)
    sealed = vault.seal("totp", OWNER, b"a secret")
    assert b"a secret" not in sealed
    assert vault.open("totp", OWNER, sealed) == b"a secret"
    assert vault.seal("totp", OWNER, b"a secret") != sealed, "a nonce is used once"


def test_it_opens_as_what_it_was_sealed_for_only() -> None:
    vault = Vault("x" * 40)
    sealed = vault.seal("totp", OWNER, b"a secret")
    for use, owner in (("oidc", OWNER), ("totp", uuid4())):
        with pytest.raises(Sealed):
            vault.open(use, owner, sealed)


@pytest.mark.parametrize("at", range(0, 45, 4))
def test_every_byte_counts(at: int) -> None:
    vault = Vault("x" * 40)
    sealed = bytearray(vault.seal("totp", OWNER, b"a secret"))
    sealed[at] ^= 1
    with pytest.raises(Sealed):
        vault.open("totp", OWNER, bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02" * 60, b"\x01" * 10])
def test_rubbish_does_not_open(sealed: bytes) -> None:
    with pytest.raises(Sealed):
        Vault("x" * 40).open("totp", OWNER, sealed)


def test_keys_change() -> None:
    old, new = Vault("x" * 40), Vault("y" * 40, ["x" * 40])
    sealed = old.seal("totp", OWNER, b"a secret")
    assert old.is_current(sealed)
    assert not new.is_current(sealed)
    assert new.open("totp", OWNER, sealed) == b"a secret"
    assert new.is_current(new.seal("totp", OWNER, b"a secret"))
    with pytest.raises(Sealed):
        Vault("y" * 40).open("totp", OWNER, sealed)


async def test_a_secret_is_sealed_anew_when_it_is_used(world: World, cluster: Cluster) -> None:
    secret, _ = await enable(world.person("alice"))
    async with second_node(world, cluster, secret_key="y" * 40, secret_key_previous="x" * 40) as (_, url):
        half = await first_half(world)
        body = {"token": half.token, "code": code_of(secret)}
        assert (await world.request("POST", "/auth/second-factor", json=body, url=url)).success
    async with second_node(world, cluster, secret_key="y" * 40) as (_, url):
        half = await first_half(world)
        body = {"token": half.token, "code": code_of(secret, 1)}
        assert (await world.request("POST", "/auth/second-factor", json=body, url=url)).success

"""The text of a key: typos, forgeries and cuts are refused without asking the database."""

from uuid import UUID, uuid4

import pytest

from handlers.identity.keys import PATTERN, Kind, hash_key, id_of, new_key, prefix
from server.logs import redact
from storage.ids import new_id


@pytest.mark.parametrize("kind", ["personal", "tenant"])
@pytest.mark.parametrize("key_id", [UUID(int=0), UUID(int=2**128 - 1), uuid4(), new_id()])
def test_a_key_tells_its_id(kind: Kind, key_id: UUID) -> None:
    key = new_key(kind, key_id)
    assert PATTERN.fullmatch(key)
    assert id_of(key) == key_id
    assert key.startswith(prefix(kind, key_id) + "_")
    assert len(hash_key(key)) == 32


def test_no_two_are_alike() -> None:
    key_id = new_id()
    assert len({new_key("personal", key_id) for _ in range(1000)}) == 1000


def test_every_typo_is_noticed() -> None:
    key = new_key("personal", new_id())
    for at, character in enumerate(key):
        for other in "0aZ_!" if character not in "0aZ" else "1bY":
            assert id_of(key[:at] + other + key[at + 1 :]) is None or other == character, (at, other)
        assert id_of(key[:at] + key[at + 1 :]) is None
        assert id_of(key[:at]) is None
        swapped = key[:at] + key[at : at + 2][::-1] + key[at + 2 :]
        assert swapped == key or id_of(swapped) is None


@pytest.mark.parametrize("text", [
    "", "atr_", "atr_pk_", "atr_pk__", f"atr_pk_{'z' * 22}_{'z' * 36}", f"atr_xk_{'0' * 22}_{'0' * 36}",
    "atr_pk_\0", "atr_pk_" + "\u0660" * 22 + "_" + "0" * 36, "atr_pk_" + "0" * 100_000,
])  # fmt: skip
def test_what_was_never_a_key(text: str) -> None:
    assert id_of(text) is None


def test_a_line_of_the_log_holds_no_key_and_no_token() -> None:
    key = new_key("tenant", new_id())
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
    line = redact(f'{{"path": "/x/{key}", "error": "Bearer {token} and {key[:-9]}", "port": 8080}}')
    assert key.rpartition("_")[2] not in line
    assert key[:-9].rpartition("_")[2] not in line
    assert token.split(".")[1] not in line
    assert (
        line
        == f'{{"path": "/x/{key.rpartition("_")[0]}***", "error": "Bearer *** and {key.rpartition("_")[0]}***", "port": 8080}}'
    )

"""Order keys: short strings that sort bytewise, with always room for another between two of them.

A key is an integer part and a fraction, in base 62. The first character gives the length of the integer part
(`a` one digit, `b` two, … and downwards `Z` one, `Y` two), so keys at either end grow by a digit only
every 62 insertions; a fraction never ends in the lowest digit. The idea is David Greenspan's
("Implementing Fractional Indexing", 2020). The server alone makes keys, under the room lock, so two
clients that drop a card into one gap never get the same key.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from handlers.errors import NotFound

DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BASE: Final = len(DIGITS)
FIRST: Final = "a0"
LONGEST: Final = 40
"""A key longer than this (characters) makes the server spread the whole list anew."""
NUMBERS: Final = 10**10
"""Numbers that `numbered` has keys for (count)."""


def between(lower: str | None, upper: str | None) -> str:
    """A key after `lower` and before `upper`; None stands for the end of the list on that side."""
    if lower is not None and upper is not None and lower >= upper:
        raise ValueError(f"{lower!r} does not come before {upper!r}")
    if lower is None:
        return FIRST if upper is None else _before(upper)
    if upper is None:
        return _after(lower)
    integer, fraction = _split(lower)
    upper_integer, upper_fraction = _split(upper)
    if integer == upper_integer:
        return integer + _middle(fraction, upper_fraction)
    following = _increment(integer)
    if following is not None and following < upper:
        return following
    return integer + _middle(fraction, None)


def before(others: Sequence[Mapping[str, Any]], before_id: UUID | None, what: str) -> str:
    """A key for what goes before one of some rows in their order, or after them all; NOT_FOUND without that one."""
    at = next((index for index, row in enumerate(others) if row["id"] == before_id), len(others))
    if before_id is not None and at == len(others):
        raise NotFound(f"There is no such {what} to put it before")
    return between(
        others[at - 1]["position"] if at else None, others[at]["position"] if at < len(others) else None
    )


def spread(count: int) -> list[str]:
    """`count` keys in order, as short as can be: what a list gets when it is rebalanced."""
    keys: list[str] = []
    for _ in range(count):
        keys.append(between(keys[-1] if keys else None, None))
    return keys


def several(lower: str | None, upper: str | None, count: int) -> list[str]:
    """`count` keys in order between two others."""
    keys: list[str] = []
    for _ in range(count):
        lower = between(lower, upper)
        keys.append(lower)
    return keys


def fit(taken: list[str], wanted: list[str]) -> list[str]:
    """A key of its own for each of `wanted`, in their order, among those that are taken: itself where it is free, else
    the next place after it. Both lists are sorted.
    """
    keys: list[str] = []
    for key in wanted:
        lower = max(key, keys[-1]) if keys else key
        at = bisect_left(taken, lower)
        clash = (at < len(taken) and taken[at] == lower) or (bool(keys) and keys[-1] == lower)
        if not clash:
            keys.append(lower)
            continue
        after = bisect_right(taken, lower)
        keys.append(between(lower, taken[after] if after < len(taken) else None))
    return keys


def evenly(lower: str | None, upper: str | None, count: int) -> list[str]:
    """`count` keys in order between two others, none of them much longer than the rest."""
    if not count:
        return []
    middle = between(lower, upper)
    left = count // 2
    return [*evenly(lower, middle, left), middle, *evenly(middle, upper, count - left - 1)]


def numbered(number: int) -> str:
    """The key of what stands by its number, with room for thousands before the next: "l" means twelve digits."""
    return f"l{number:010}00"


def numbers_below(key: str) -> int:
    """How many numbers, from 0, have keys before this one."""
    return bisect_left(range(NUMBERS), key, key=numbered)


def numbers_up_to(key: str) -> int:
    """How many numbers, from 0, have keys before this one, or this one."""
    return bisect_right(range(NUMBERS), key, key=numbered)


def _before(upper: str) -> str:
    integer, fraction = _split(upper)
    if fraction:
        return integer
    previous = _decrement(integer)
    return previous if previous is not None else integer + _middle("", fraction)


def _after(lower: str) -> str:
    integer, fraction = _split(lower)
    following = _increment(integer)
    return following if following is not None else integer + _middle(fraction, None)


def _split(key: str) -> tuple[str, str]:
    head = key[0]
    length = ord(head) - ord("a") + 2 if head >= "a" else ord("Z") - ord(head) + 2
    if len(key) < length:
        raise ValueError(f"{key!r} is not a position")
    return key[:length], key[length:]


def _increment(integer: str) -> str | None:
    head, digits = integer[0], list(integer[1:])
    for place in range(len(digits) - 1, -1, -1):
        if digits[place] != DIGITS[-1]:
            digits[place] = DIGITS[DIGITS.index(digits[place]) + 1]
            return head + "".join(digits)
        digits[place] = DIGITS[0]
    if head == "Z":
        return "a" + DIGITS[0]
    if head == "z":
        return None
    grown = chr(ord(head) + 1)
    return grown + DIGITS[0] * (len(digits) + 1 if head >= "a" else len(digits) - 1)


def _decrement(integer: str) -> str | None:
    head, digits = integer[0], list(integer[1:])
    for place in range(len(digits) - 1, -1, -1):
        if digits[place] != DIGITS[0]:
            digits[place] = DIGITS[DIGITS.index(digits[place]) - 1]
            return head + "".join(digits)
        digits[place] = DIGITS[-1]
    if head == "a":
        return "Z" + DIGITS[-1]
    if head == "A":
        return None
    shrunk = chr(ord(head) - 1)
    return shrunk + DIGITS[-1] * (len(digits) - 1 if head >= "a" else len(digits) + 1)


def _middle(lower: str, upper: str | None) -> str:
    """A fraction between two, as short as possible; "" is zero and None is one."""
    shared = 0
    if upper is not None:
        while shared < len(upper) and (lower[shared] if shared < len(lower) else DIGITS[0]) == upper[shared]:
            shared += 1
    if upper is not None and shared:
        return upper[:shared] + _middle(lower[shared:], upper[shared:])
    low = DIGITS.index(lower[0]) if lower else 0
    high = DIGITS.index(upper[0]) if upper else BASE
    if high - low > 1:
        return DIGITS[(low + high + 1) // 2]
    if upper is not None and len(upper) > 1:
        return upper[0]
    return DIGITS[low] + _middle(lower[1:], None)

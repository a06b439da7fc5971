"""Formulas of custom fields: numbers, money, days and checkboxes in, one of these out.

    if(done, 0, round(hours * rate * (100 - discount) / 100, 2))

There are `+ - * /`, comparisons (`= != < <= > >=`), parentheses, `true`, `false`, and `if(condition, then, else)`,
`round(number, digits)`, `min(…)`, `max(…)` and `days(from, to)`. A formula is checked where it is defined: what it names
must be there, types must fit, and no formula may need itself. What has no value makes the whole have none, and so does
a division by zero. Nothing in it depends on when it is computed.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from typing import Final, Literal, TypeAlias

Type = Literal["number", "date", "boolean"]
Result: TypeAlias = Decimal | date | bool | None

LONGEST: Final = 500
"""Characters of a formula (count)."""
DEEPEST: Final = 20
"""How deep parentheses and functions may stand in one another (count)."""
PLACES: Final = 6
"""Decimal places of what a formula gives (count)."""
GREATEST: Final = Decimal(10) ** 15
"""What is greater, up or down, is no value."""
_PRECISION: Final = 40
"""Digits that are computed with (count)."""

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d{1,15}(?:\.\d{1,6})?(?![\w.]))|(?P<name>[a-z][a-z0-9_]*)|(?P<sign><=|>=|!=|[-+*/()<>=,]))"
)
_COMPARISONS: Final = ("=", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class Number:
    value: Decimal


@dataclass(frozen=True, slots=True)
class Truth:
    value: bool


@dataclass(frozen=True, slots=True)
class Name:
    key: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function, or an operator by its sign."""

    name: str
    parts: tuple["Node", ...]


Node: TypeAlias = Number | Truth | Name | Call


def parse(text: str) -> Node:
    """The tree of a formula; ValueError says what is wrong with it."""
    if len(text) > LONGEST:
        raise ValueError(f"must have at most {LONGEST} characters")
    reader = _Reader(list(_tokens(text)))
    tree = reader.whole(0)
    if reader.here is not None:
        raise ValueError(f"does not go on with {reader.here} there")
    return tree


def names(tree: Node) -> set[str]:
    """The keys of the fields that it needs."""
    if isinstance(tree, Name):
        return {tree.key}
    return {key for part in tree.parts for key in names(part)} if isinstance(tree, Call) else set()


def type_of(tree: Node, types: Mapping[str, Type]) -> Type:
    """What it gives, where fields are of these types; ValueError where they do not fit."""
    if isinstance(tree, Number):
        return "number"
    if isinstance(tree, Truth):
        return "boolean"
    if isinstance(tree, Name):
        if tree.key not in types:
            raise ValueError(f"{tree.key} is no number, money, date, checkbox or formula here")
        return types[tree.key]
    return _type_of_call(tree.name, [type_of(part, types) for part in tree.parts])


def evaluate(tree: Node, values: Mapping[str, Result]) -> Result:
    """What it gives for these values of fields; None where it has no value."""
    with localcontext() as context:
        context.prec = _PRECISION
        found = _value(tree, values)
    if not isinstance(found, Decimal):
        return found
    return round(found, PLACES) if abs(found) <= GREATEST else None


def in_order(trees: Mapping[str, Node]) -> list[str]:
    """The keys of formulas, each after those that it needs; ValueError where they go in a circle."""
    done: dict[str, None] = {}
    for key in trees:
        _visit(key, trees, done, ())
    return list(done)


def _visit(key: str, trees: Mapping[str, Node], done: dict[str, None], within: tuple[str, ...]) -> None:
    if key in done:
        return
    if key in within:
        raise ValueError(f"goes in a circle: {' needs '.join([*within[within.index(key) :], key])}")
    for needed in sorted(names(trees[key]) & trees.keys()):
        _visit(needed, trees, done, (*within, key))
    done[key] = None


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"cannot be read from {text[at:].strip()[:10]} on")
        yield found[0].strip()
        at = found.end()


@dataclass(slots=True)
class _Reader:
    """Recursive descent: comparison, sum, product, sign, and what stands by itself."""

    tokens: list[str]
    at: int = 0

    @property
    def here(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, *expected: str) -> str:
        found = self.here
        if found is None or (expected and found not in expected):
            raise ValueError(f"needs {expected[0] if expected else 'a value'} at its end" if found is None
                             else f"needs {expected[0]} instead of {found}")  # fmt: skip
        self.at += 1
        return found

    def whole(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise ValueError(f"must not be more than {DEEPEST} deep")
        left = self._sum(depth)
        if self.here in _COMPARISONS:
            return Call(self.take(), (left, self._sum(depth)))
        return left

    def _sum(self, depth: int) -> Node:
        left = self._product(depth)
        while self.here in ("+", "-"):
            left = Call(self.take(), (left, self._product(depth)))
        return left

    def _product(self, depth: int) -> Node:
        left = self._signed(depth)
        while self.here in ("*", "/"):
            left = Call(self.take(), (left, self._signed(depth)))
        return left

    def _signed(self, depth: int) -> Node:
        if self.here == "-":
            self.take()
            if depth >= DEEPEST:
                raise ValueError(f"must not be more than {DEEPEST} deep")
            return Call("-", (Number(Decimal(0)), self._signed(depth + 1)))
        return self._single(depth)

    def _single(self, depth: int) -> Node:
        word = self.take()
        if word == "(":
            inner = self.whole(depth + 1)
            self.take(")")
            return inner
        if word[0].isdigit():
            return Number(Decimal(word))
        if not word[0].isalpha():
            raise ValueError(f"needs a value instead of {word}")
        if self.here == "(":
            return self._call(word, depth)
        return Truth(word == "true") if word in ("true", "false") else Name(word)

    def _call(self, name: str, depth: int) -> Node:
        if name not in _FUNCTIONS:
            raise ValueError(f"knows no function {name}: there are {', '.join(_FUNCTIONS)}")
        self.take("(")
        parts = [self.whole(depth + 1)]
        while self.here == ",":
            self.take()
            parts.append(self.whole(depth + 1))
        self.take(")")
        return Call(name, tuple(parts))


_FUNCTIONS: Final = ("if", "round", "min", "max", "days")
_EVERY: Final[tuple[Type, ...]] = ("number", "date", "boolean")


def _type_of_call(name: str, types: list[Type]) -> Type:
    if name == "if" and len(types) == 3 and types[0] == "boolean" and types[1] == types[2]:
        return types[1]
    if name in ("min", "max") and len(types) > 1 and len(set(types)) == 1 and types[0] != "boolean":
        return types[0]
    if name in ("=", "!=") and types[0] == types[1]:
        return "boolean"
    if name in _COMPARISONS and types[0] == types[1] != "boolean":
        return "boolean"
    if name in "+-*/" and set(types) == {"number"}:
        return "number"
    if (name, types) in (("round", ["number"]), ("round", ["number", "number"]), ("days", ["date", "date"])):
        return "number"
    raise ValueError(f"{name} does not take {', '.join(types)}")


def _value(tree: Node, values: Mapping[str, Result]) -> Result:
    if isinstance(tree, Number | Truth):
        return tree.value
    if isinstance(tree, Name):
        return values.get(tree.key)
    if tree.name == "if":
        condition = _value(tree.parts[0], values)
        return None if condition is None else _value(tree.parts[1 if condition else 2], values)
    parts = [_value(part, values) for part in tree.parts]
    return None if None in parts else _CARRIED_OUT[tree.name](*parts)


def _divided(a: Decimal, b: Decimal) -> Decimal | None:
    return a / b if b else None


def _rounded(number: Decimal, digits: Decimal = Decimal(0)) -> Decimal:
    """Halves away from zero, as people round."""
    step = Decimal(1).scaleb(-max(0, min(PLACES, int(digits))))
    return number.quantize(step, rounding="ROUND_HALF_UP") if abs(number) <= GREATEST else number


_CARRIED_OUT: Final[dict[str, Callable[..., Result]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divided,
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "round": _rounded,
    "min": min,
    "max": max,
    "days": lambda start, end: Decimal((end - start).days),
}

"""Colours of a brand, and whether text on them can be read."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator

from handlers.registry import Text

READABLE: Final = 4.5
"""Least contrast of text and its ground: level AA of WCAG 2.2, success criterion 1.4.3."""

_HEX: Final = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})")


def _colour(value: str) -> str:
    folded = value.strip().lower()
    if not _HEX.fullmatch(folded):
        raise ValueError("must be a colour such as #3b5bdb")
    return folded if len(folded) == 7 else "#" + "".join(digit * 2 for digit in folded[1:])


Colour = Annotated[Text, AfterValidator(_colour)]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours: from 1, the same, to 21, black on white."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def readable_on(ground: str) -> str:
    """White or black, whichever is easier to read; one of them always passes."""
    return max("#ffffff", "#000000", key=lambda text: contrast(text, ground))


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(share: float) -> float:
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)

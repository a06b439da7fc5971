"""Small pictures to upload."""

import io
from typing import Any

from PIL import Image


def picture(
    kind: str = "PNG", size: tuple[int, int] = (64, 32), colour: str = "#3b5bdb", **more: Any
) -> bytes:
    """A picture of one colour, in some format."""
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind, **more)
    return out.getvalue()

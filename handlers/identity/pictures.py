"""Pictures that people upload: looked at with suspicion, and drawn anew."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageOps

FORMATS: Final = ("PNG", "JPEG", "WEBP")
"""What is read. SVG is not among them: it can hold scripts."""
_THREADS: Final = ThreadPoolExecutor(2, thread_name_prefix="pictures")
"""Pictures drawn at once; the event loop goes on meanwhile."""


class BadPicture(ValueError):
    """What was uploaded cannot be taken; the message says why."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG of our own making: its pixels, and no metadata."""

    png: bytes
    width: int
    height: int


async def redraw(data: bytes, *, max_pixels: int, longest_side: int) -> Picture:
    """Read a picture and draw it anew as PNG, made smaller where a side is longer; BadPicture where that fails."""
    return await asyncio.get_running_loop().run_in_executor(
        _THREADS, _redraw, data, max_pixels, longest_side
    )  # fmt: skip


def _redraw(data: bytes, max_pixels: int, longest_side: int) -> Picture:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            if opened.width * opened.height > max_pixels:  # known before any pixel is unpacked
                raise BadPicture(
                    f"has {opened.width} by {opened.height} pixels, of at most {max_pixels} in all"
                )
            upright = ImageOps.exif_transpose(opened.convert("RGBA"))
    except BadPicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadPicture(f"has more than {max_pixels} pixels") from None
    except Exception as error:  # decoders raise what they like at a file that is broken on purpose
        raise BadPicture("must be a picture as PNG, JPEG or WebP") from error
    upright.thumbnail((longest_side, longest_side))
    bare = Image.frombytes("RGBA", upright.size, upright.tobytes())
    out = io.BytesIO()
    bare.save(out, "PNG", optimize=True)
    return Picture(out.getvalue(), bare.width, bare.height)

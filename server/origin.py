"""Where a request comes from."""

from aiohttp.web import BaseRequest

from handlers.context import Origin


def origin_of(request: BaseRequest) -> Origin:
    """The client's address, and what program it says it is."""
    return Origin(request.remote or "", header_text(request.headers.get("User-Agent", "")))


def header_text(header: str) -> str:
    """A header as text that can be stored: aiohttp keeps bytes that are no UTF-8 as lone surrogates."""
    return header[:300].encode("utf-8", "replace").decode()

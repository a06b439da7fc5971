"""Where a request comes from: the one place that decides whose address it is.

`X-Forwarded-For` is a list that every proxy adds the address of its caller to, at the right. What stands left of the
last proxy that we trust was written by somebody we do not: it is not read.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp.web import BaseRequest

from handlers.context import Origin
from storage.networks import Networks, networks
from storage.settings import Settings

FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP")
"""Headers by which proxies say that they are there."""


def origin_of(request: BaseRequest, settings: Settings) -> Origin:
    """The client's address, and what program it says it is."""
    trusted = _trusted(settings.trusted_proxies)
    peer = request.remote or ""
    address = client_address(peer, request.headers.getall("X-Forwarded-For", []), trusted)
    return Origin(address, header_text(request.headers.get("User-Agent", "")))


def client_address(peer: str, forwarded: list[str], trusted: Networks) -> str:
    """The first address, from the right, that is none of the trusted proxies.

    An entry that is no address ends the search at the proxy that passed it on: it vouches for nothing left of it.
    """
    address = _parse(peer)
    if address is None:
        return peer
    for hop in reversed(",".join(forwarded).split(",") if forwarded else []):
        if not any(address in network for network in trusted):
            break
        before = _parse(hop)
        if before is None:
            break
        address = before
    return str(address)


def is_local(request: BaseRequest, settings: Settings) -> bool:
    """Whether the caller is on this machine. Who comes through a proxy that is not trusted is not."""
    peer = _parse(request.remote or "")
    if any(header in request.headers for header in FORWARDED) and not any(
        peer in network for network in _trusted(settings.trusted_proxies)
    ):
        return False
    address = _parse(origin_of(request, settings).address)
    return address is not None and address.is_loopback


def header_text(header: str) -> str:
    """A header as text that can be stored: aiohttp keeps bytes that are no UTF-8 as lone surrogates."""
    return header[:300].encode("utf-8", "replace").decode()


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it: with a port or without, in brackets, an IPv4 one inside of IPv6."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=8)
def _trusted(text: str) -> Networks:
    return networks(text)

"""Requests to addresses that somebody else chose: providers of identity, webhooks.

Whoever may type an address into a form must not reach what only this machine can reach. So the address is checked where
the socket is made, after the name was resolved: a literal, a name that resolves differently the second time, and an IPv4
address inside an IPv6 one all come by there. No redirect is followed, and time and size of an answer are bounded.
"""

import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from yarl import URL

from storage.networks import Networks
from storage.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PLAIN: Final = re.compile(r"[!-~]+")
MAX_BYTES: Final = 256 * 1024
"""The largest answer that is read (bytes)."""

# The registries of special addresses of IANA, as of 2026. What Python calls global is more than this lets through:
# it has no objection to multicast, 6to4 and NAT64, behind which an address of the inside may stand.
_CLOSED_4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
        "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")
_CLOSED_6: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)


class OutboundError(Exception):
    """The request was not made, or not answered as it must be."""


class Refused(OutboundError):
    """The address is none that may be asked."""


class Unreachable(OutboundError):
    """Nobody answers there, or not in time."""


class TooLarge(OutboundError):
    """The answer is larger than may be read."""


class _Closed(OSError):
    """The address is inside; an OSError, so that the next address of the same name is tried."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    content_type: str
    body: bytes


class Outbound:
    """Asks other servers. `trusted` is for addresses that the operator of this server typed himself, and `plain` for
    those that he typed without https.
    """

    def __init__(self, settings: Settings) -> None:
        self._allowed = settings.outbound_allowed
        self._timeout = aiohttp.ClientTimeout(total=settings.outbound_timeout)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        trusted: bool = False,
        plain: bool = False,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, str] | bytes | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> Answer:
        """One request without redirects. Raises an OutboundError; any status that is answered is an Answer."""
        target = check_url(url, plain=plain)
        try:
            async with self._session(trusted=trusted).request(
                method, target, headers=headers, data=data, allow_redirects=False, timeout=self._timeout
            ) as response:
                body = await _read(response, max_bytes)
                return Answer(response.status, response.content_type, body)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _Closed):
                raise Refused("This address is not open to requests from here") from None
            raise Unreachable(str(error)) from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def _session(self, *, trusted: bool) -> aiohttp.ClientSession:
        """A pool of connections for each kind of trust, so that none is shared between them."""
        session = self._sessions.get(trusted)
        if session is None:
            connector = aiohttp.TCPConnector(socket_factory=None if trusted else self._open_socket)
            session = self._sessions[trusted] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity", "User-Agent": "Atrium"},
            )
        return session

    def _open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        if not is_open(ipaddress.ip_address(str(address[0]).partition("%")[0]), self._allowed):
            raise _Closed("closed")
        return socket.socket(family, kind, protocol)


def is_open(address: Address, allowed: Networks = ()) -> bool:
    """Whether a stranger's request may go to an address: to the public internet, or to what the operator allows."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in allowed):
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _CLOSED_4)
    return address in _GLOBAL_6 and not any(address in network for network in _CLOSED_6)


def check_url(url: str, *, plain: bool = False) -> URL:
    """The address as it may be asked: https, or http to this machine alone unless `plain`."""
    try:
        parsed = URL(url)
    except ValueError:
        raise Refused("This is not an address") from None
    if not _PLAIN.fullmatch(url):
        raise Refused("An address has no spaces and no control characters")
    if not parsed.host or parsed.user is not None or parsed.password is not None or parsed.fragment:
        raise Refused("An address has a host, and neither a user nor a fragment")
    if parsed.scheme != "https" and not (parsed.scheme == "http" and (plain or is_loopback(parsed.host))):
        raise Refused("The address must begin with https://")
    return parsed


def is_loopback(host: str) -> bool:
    """Whether a host as it stands in an address can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(16_384):
        body += chunk
        if len(body) > max_bytes:
            response.close()
            raise TooLarge(f"The answer has more than {max_bytes} bytes")
    return bytes(body)

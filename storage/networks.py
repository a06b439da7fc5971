"""Networks as a setting lists them."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeAlias

Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]


def networks(text: str) -> Networks:
    """`10.0.0.0/8, ::1`: comma-separated; ValueError says which part is none."""
    return tuple(_network(part.strip()) for part in text.split(",") if part.strip())


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text} is no network such as 10.0.0.0/8 or fd00::/8: {error}") from None

"""Where a browser may be sent after a sign-in at a provider: never to wherever a link says."""

import re
from urllib.parse import SplitResult, urlencode, urlsplit

from handlers.errors import ValidationFailed
from storage.outbound import is_loopback
from storage.settings import Settings

_PLAIN = re.compile(r"[!-~]+")
"""What an address is made of; browsers read spaces, controls and backslashes in ways of their own."""


def home(settings: Settings) -> str:
    """The first page of this server."""
    return settings.public_url + "/"


def page(settings: Settings, wanted: str | None) -> str:
    """A page of an allowed origin, or a path of this server; VALIDATION_ERROR for everything else."""
    if wanted is None:
        return home(settings)
    if wanted.startswith("/") and not wanted.startswith("//"):
        wanted = settings.public_url + wanted
    parts = _split(wanted)
    if parts is None or not _is_page(settings, parts):
        raise ValidationFailed.field("return_to", "must be a page of this server or of an allowed origin")
    return wanted


def anywhere(settings: Settings, wanted: str) -> str:
    """Also a program on this machine, or an app that the settings name."""
    apps = {address.strip() for address in settings.app_redirects.split(",") if address.strip()}
    if wanted in apps:
        return wanted
    parts = _split(wanted)
    if parts is not None and parts.scheme == "http" and is_loopback(parts.hostname or ""):
        return wanted
    return page(settings, wanted)


def back(settings: Settings, return_to: str, *, linked: bool = False, **said: str) -> str:
    """The address with what came of it: for a page in the fragment, which no server is sent; else in the query."""
    parts = _split(return_to)
    if parts is not None and _is_page(settings, parts):
        return f"{return_to}#/{'linked' if linked else 'signed-in'}?{urlencode(said)}"
    joint = "&" if "?" in return_to else "?"
    return f"{return_to}{joint}{urlencode(said)}"


def _split(url: str) -> SplitResult | None:
    """The parts of an address that every browser reads alike."""
    if not _PLAIN.fullmatch(url) or "\\" in url or "#" in url:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return None if "@" in parts.netloc or not parts.hostname else parts


def _is_page(settings: Settings, parts: SplitResult) -> bool:
    origin = f"{parts.scheme}://{parts.netloc}"
    own = urlsplit(settings.public_url)
    if origin in settings.allowed_origins or origin == f"{own.scheme}://{own.netloc}":
        return True
    # Without a list, in development, pages are served on loopback, at whatever port.
    return (
        not settings.allowed_origins
        and settings.environment == "development"
        and parts.scheme == "http"
        and is_loopback(parts.hostname or "")
    )

"""What every answer says to browsers, after the OWASP Secure Headers Project.

Set where an answer does not say otherwise: the page has a wider content security policy, its files may be cached.
"""

from typing import Final

from aiohttp import web

from server.node import Node

NOTHING: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""The content security policy of what is no page."""

HEADERS: Final = {
    "Content-Security-Policy": NOTHING,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "accelerometer=(), autoplay=(), camera=(), display-capture=(), "
    "encrypted-media=(), fullscreen=(self), geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), "
    "midi=(), payment=(), publickey-credentials-create=(self), publickey-credentials-get=(self), serial=(), usb=(), "
    "xr-spatial-tracking=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    # Of what other sites embed without CORS. Calls of allowed origins use CORS, which this does not touch.
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Permitted-Cross-Domain-Policies": "none",
}


def guard(app: web.Application, node: Node) -> None:
    """Have every answer carry them, and not name the software behind it."""
    common = dict(HEADERS)
    if node.settings.public_url.startswith("https:") and node.settings.hsts:
        common["Strict-Transport-Security"] = node.settings.hsts

    async def prepare(_request: web.Request, response: web.StreamResponse) -> None:
        if response.status == 101:  # a WebSocket is no document
            return
        for name, value in common.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.pop("Server", None)

    app.on_response_prepare.append(prepare)

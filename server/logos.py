"""The logos of tenants, at addresses that never change what they show."""

from typing import Final
from uuid import UUID

from aiohttp import web

from handlers.identity.logos import read_logo
from server.node import Node

HEADERS: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


def add_routes(app: web.Application, node: Node) -> None:
    async def logo(request: web.Request) -> web.StreamResponse:
        match = request.match_info
        png = await read_logo(node.db, UUID(match["tenant_id"]), match["hash"])
        if png is None:
            raise web.HTTPNotFound
        return web.Response(body=png, content_type="image/png", headers=HEADERS)

    app.router.add_get(
        "/branding/{tenant_id:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}}/logo-{hash:[0-9a-f]{32}}.png", logo
    )

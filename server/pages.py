"""The built web page, and whether demo accounts are there to sign in with."""

from typing import Final

import orjson
from aiohttp import web

from server import demo
from server.node import Node

CSP: Final = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss:; img-src 'self' data:; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'; object-src 'none'"
)
HEADERS: Final = {"Content-Security-Policy": CSP}
"""What a page says beside what every answer does: see server/headers.py."""


def add_routes(app: web.Application, node: Node) -> None:
    root = node.web_dir

    async def page(_request: web.Request) -> web.StreamResponse:
        if not (root / "index.html").is_file():
            return web.Response(
                text="The web page has not been built: run `make setup`. The API is at /api/v1, its docs at /docs.\n"
            )
        return web.FileResponse(root / "index.html", headers={**HEADERS, "Cache-Control": "no-cache"})

    async def asset(request: web.Request) -> web.StreamResponse:
        path = (root / "assets" / request.match_info["name"]).resolve()
        if not path.is_file() or not path.is_relative_to((root / "assets").resolve()):
            raise web.HTTPNotFound
        return web.FileResponse(
            path, headers={**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
        )

    async def accounts(_request: web.Request) -> web.StreamResponse:
        if not node.demo_offered:
            raise web.HTTPNotFound
        body = {"success": True, "data": {"accounts": demo.ACCOUNTS}}
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    app.router.add_get("/", page)
    app.router.add_get("/assets/{name}", asset)
    # Before the catch-all of REST, which was added first: aiohttp prefers plain paths.
    app.router.add_get("/api/v1/demo", accounts)

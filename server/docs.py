"""The machine-readable descriptions, and the page that shows them."""

import orjson
from aiohttp import web

from server.asyncapi import asyncapi
from server.node import Node
from server.openapi import openapi
from server.pages import HEADERS


def add_routes(app: web.Application, node: Node) -> None:
    described = {
        "/api/v1/openapi.json": orjson.dumps(openapi()),
        "/api/v1/asyncapi.json": orjson.dumps(asyncapi()),
    }

    async def description(request: web.Request) -> web.StreamResponse:
        return web.Response(body=described[request.path], content_type="application/json")

    async def page(_request: web.Request) -> web.StreamResponse:
        path = node.web_dir / "docs.html"
        if not path.is_file():
            return web.Response(
                text="Run `make setup` to build this page; the description is at /api/v1/openapi.json\n"
            )
        return web.FileResponse(path, headers={**HEADERS, "Cache-Control": "no-cache"})

    for path in described:
        app.router.add_get(path, description)
    app.router.add_get("/docs", page)

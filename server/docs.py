"""The machine-readable descriptions, and the page that shows them."""

import asyncio
from functools import cache
from typing import Final

import orjson
from aiohttp import web

from server.asyncapi import asyncapi
from server.node import Node
from server.openapi import openapi
from server.pages import HEADERS


@cache
def _openapi() -> bytes:
    return orjson.dumps(openapi())


@cache
def _asyncapi() -> bytes:
    return orjson.dumps(asyncapi())


DESCRIPTIONS: Final = {"/api/v1/openapi.json": _openapi, "/api/v1/asyncapi.json": _asyncapi}
"""Made when first asked for, beside the event loop: each takes about half a second."""


def add_routes(app: web.Application, node: Node) -> None:
    async def description(request: web.Request) -> web.StreamResponse:
        body = await asyncio.to_thread(DESCRIPTIONS[request.path])
        return web.Response(body=body, content_type="application/json")

    async def page(_request: web.Request) -> web.StreamResponse:
        path = node.web_dir / "docs.html"
        if not path.is_file():
            return web.Response(
                text="Run `make setup` to build this page; the description is at /api/v1/openapi.json\n"
            )
        return web.FileResponse(path, headers={**HEADERS, "Cache-Control": "no-cache"})

    for path in DESCRIPTIONS:
        app.router.add_get(path, description)
    app.router.add_get("/docs", page)

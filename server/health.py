"""Is it alive, is it ready, and what has it been doing: /health, /health/ready, /metrics."""

import asyncio
import hmac
import time
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from handlers.identity.tokens import LEEWAY
from server import metrics
from server.node import Node
from server.origin import is_local
from storage.postgres import LOST


def add_routes(app: web.Application, node: Node) -> None:
    async def alive(_request: web.Request) -> web.Response:
        """The process answers."""
        return web.json_response({"status": "ok"}, status=200 if node.ready else 503)

    async def ready(_request: web.Request) -> web.Response:
        """The node takes traffic: not draining, Postgres answers and is no standby, the bus is heard."""
        ahead = await _ahead_of_postgres(node)
        checks = {
            "serving": node.ready,
            "postgres": ahead is not None,
            "clock": ahead is None or abs(ahead) <= LEEWAY,
            "bus": node.bus.healthy,
        }
        return web.json_response(
            {"status": "ok" if all(checks.values()) else "unavailable", "checks": checks},
            status=200 if all(checks.values()) else 503,
        )

    async def figures(request: web.Request) -> web.Response:
        if not _may_read(node, request):
            raise web.HTTPForbidden
        body = await node.figures.text()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def inspect(request: web.Request) -> web.Response:
        """For `python -m server inspect`, which proves that it can read the instance's secret."""
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Atrium-Proof" or not node.inspector.is_proven(shown):
            raise web.HTTPForbidden
        question: dict[str, Any] = {key: request.query.get(key) for key in ("room", "connection", "user")}
        event = request.query.get("event", "")
        question["event"] = int(event) if event.isascii() and event.isdigit() and len(event) < 19 else None
        return web.json_response({"nodes": await node.inspector.everywhere(question)})

    app.router.add_get("/health", alive)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/metrics", figures)
    app.router.add_get("/inspect", inspect)


async def _ahead_of_postgres(node: Node) -> float | None:
    """How far this machine's clock is ahead of that of Postgres (seconds); None while there is no primary to ask."""
    try:
        async with asyncio.timeout(4), node.db.connection() as connection:
            now = await connection.fetchval(
                "SELECT extract(epoch FROM clock_timestamp())::float8 WHERE NOT pg_is_in_recovery()",
                timeout=2,
            )
    except LOST:
        return None
    return None if now is None else time.time() - now


def look(node: Node) -> None:
    """Figures that are read when somebody asks, so that they cost nothing before."""
    rooms = list(node.hub.rooms.values())
    unsent = [connection.socket.unsent() for connection in node.gateway.connections.values()]
    metrics.ROOMS.set(len(rooms))
    metrics.MEMBERS.labels("live").set(sum(len(room.live) for room in rooms))
    metrics.MEMBERS.labels("joining").set(sum(len(room.waiting) for room in rooms))
    metrics.BEHIND.set(sum(room.filling for room in rooms))
    metrics.UNSENT.labels("all").set(sum(unsent))
    metrics.UNSENT.labels("slowest").set(max(unsent, default=0))
    metrics.QUEUED.set(node.dispatcher.queued)
    metrics.BUS_HEALTHY.set(node.bus.healthy)
    metrics.OUTBOX.set(node.bus.waiting)
    metrics.CANARY_AGE.set(node.bus.silence)
    metrics.LOOP_LAG.set(node.lag.worst)
    metrics.LIMITS_SHARED.set(node.limits.shared.healthy)
    metrics.POOL_WAITING.set(node.db.lender.waiting)
    metrics.POOL_SIZE.labels("open").set(node.db.pool.get_size())
    metrics.POOL_SIZE.labels("idle").set(node.db.lender.idle)


def _may_read(node: Node, request: web.Request) -> bool:
    token = node.settings.metrics_token
    if token is None:
        return is_local(request, node.settings)
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return hmac.compare_digest(given.encode(), token.get_secret_value().encode())

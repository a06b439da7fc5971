"""Running a node: one process, or a supervisor with several workers that share the port."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from aiohttp import web

from server import demo
from server.app import Refused, check_settings, close_node, make_app, open_database, open_node
from server.node import Node
from server.relay import Relay
from server.supervisor import Stop, done_before, say_ready, supervise
from storage.background import end_tasks
from storage.bus import LocalBus
from storage.settings import Settings

log = structlog.get_logger(__name__)

PASSWORD_VARIABLE: Final = "ATRIUM_LOGIN_PASSWORD"  # noqa: S105  # the name of a variable
COLLECT_AFTER: Final = (20_000, 20, 20)
"""Thresholds of the cycle collector: new objects, and rounds of the two younger generations (count)."""


async def serve(settings: Settings, host: str, port: int, *, workers: int, with_demo: bool) -> None:
    """Open the database, then serve in this process, or watch over workers that do."""
    check_settings(settings)
    listener = _listen(host, port, shared=workers > 1)
    dsn, password, postgres = await open_database(settings)
    stop = _heed_signals()
    try:
        if workers == 1:
            await _serve(settings, listener, dsn, password, stop, with_demo=with_demo)
        else:
            if with_demo:
                await _load_demo(settings, dsn, password)
            host, port = listener.getsockname()[:2]
            command = [sys.executable, "-m", "server", "worker", "--host", host, "--port", str(port)]
            environment = {**os.environ, "ATRIUM_WORKER_DSN": dsn, PASSWORD_VARIABLE: password or ""}
            log.info("supervising", url=f"http://{host}:{port}", workers=workers, pid=os.getpid())
            command += ["--demo"] if with_demo else []
            await supervise(settings, command, environment, stop, workers=workers)
    finally:
        listener.close()
        if postgres is not None:
            await postgres.stop()


async def work(settings: Settings, host: str, port: int, *, with_demo: bool) -> None:
    """One worker: its database is in DATABASE_URL, already as the login role."""
    listener = _listen(host, port, shared=True)
    password = os.environ.get(PASSWORD_VARIABLE)
    dsn = str(os.environ["ATRIUM_WORKER_DSN"])
    await _serve(settings, listener, dsn, password, _heed_signals(), with_demo=with_demo)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Node]:
    """A node without doors, for work from the command line."""
    dsn, password, postgres = await open_database(settings)
    try:
        node = await open_node(settings, dsn, password)
        try:
            yield node
        finally:
            await close_node(node)
    finally:
        if postgres is not None:
            await postgres.stop()


def _listen(host: str, port: int, *, shared: bool) -> socket.socket:
    """Bind early: a taken port is noticed before anything is started. A shared one may be bound by other workers."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Refused(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


async def _load_demo(settings: Settings, dsn: str, password: str | None) -> None:
    node = await open_node(settings, dsn, password, LocalBus())
    try:
        await demo.load(node)
    finally:
        await close_node(node)


def rest_the_collector() -> None:
    """Have the cycle collector leave alone what stays for ever, and look at the rest less often.

    A group of commands makes thousands of objects that all die without it; by its defaults it looked at them many
    times in every group.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _heed_signals() -> Stop:
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.told)
    return stop


@asynccontextmanager
async def _among_workers(node: Node, runner: web.AppRunner) -> AsyncIterator[None]:
    """Where there are others behind the same port: take the requests that they hand over, and show their figures."""
    relay = Relay.of_worker()
    if relay is None or runner.server is None:
        yield
        return
    for engine in node.gateway.engines.values():
        engine.relay = relay
    relay.start(runner.server)
    await node.figures.open(relay.directory, relay.number)
    try:
        yield
    finally:
        await relay.stop()
        await node.figures.close()


async def _serve(
    settings: Settings,
    listener: socket.socket,
    dsn: str,
    password: str | None,
    stop: Stop,
    *,
    with_demo: bool,
) -> None:
    node = await open_node(settings, dsn, password)
    try:
        if with_demo:
            await demo.load(node)
            node.demo_offered = True
        runner = web.AppRunner(make_app(node), access_log=None, shutdown_timeout=2, handle_signals=False)
        await runner.setup()
        async with _among_workers(node, runner):
            site = web.SockSite(runner, listener, backlog=4096)
            await site.start()
            host, port = listener.getsockname()[:2]
            say_ready()
            rest_the_collector()
            log.info(
                "serving", url=f"http://{host}:{port}", pid=os.getpid(), environment=settings.environment
            )
            if with_demo:
                account = demo.ACCOUNTS[0]
                print(f"Atrium is at http://{host}:{port}", flush=True)
                print(f"Sign in as {account['email']} with the password {account['password']}", flush=True)
            await stop.asked.wait()
            node.ready = False
            log.info("draining", connections=len(node.gateway.connections))
            await _drain(node, stop)
            await site.stop()
    finally:
        await close_node(node)
    await runner.cleanup()
    log.info("stopped")


async def _drain(node: Node, stop: Stop) -> None:
    """Lead everybody out, unless a second signal says that there is no time for it."""
    draining = asyncio.create_task(node.gateway.drain())
    if await done_before(stop.now, draining):
        await draining
        return
    await end_tasks(draining)
    node.settings.drain_seconds = 0  # close_node drains once more, and then closes what is left at once

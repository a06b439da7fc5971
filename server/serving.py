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
from storage.bus import LocalBus
from storage.settings import Settings
from storage.valkey import EmbeddedValkey

log = structlog.get_logger(__name__)

PASSWORD_VARIABLE: Final = "ATRIUM_LOGIN_PASSWORD"  # noqa: S105  # the name of a variable
RESTART_PAUSE: Final = (0.2, 10.0)
"""First and longest pause before a dead worker is started again (seconds)."""
COLLECT_AFTER: Final = (20_000, 20, 20)
"""Thresholds of the cycle collector: new objects, and rounds of the two younger generations (count)."""


async def serve(settings: Settings, host: str, port: int, *, workers: int, with_demo: bool) -> None:
    """Open the database, then serve in this process, or watch over workers that do."""
    check_settings(settings)
    listener = _listen(host, port, shared=workers > 1)
    dsn, password, postgres = await open_database(settings)
    try:
        if workers == 1:
            await _serve(settings, listener, dsn, password, with_demo=with_demo)
        else:
            if with_demo:
                await _load_demo(settings, dsn, password)
            await _supervise(settings, listener, dsn, password, workers=workers, with_demo=with_demo)
    finally:
        listener.close()
        if postgres is not None:
            await postgres.stop()


async def work(settings: Settings, host: str, port: int, *, with_demo: bool) -> None:
    """One worker: its database is in DATABASE_URL, already as the login role."""
    listener = _listen(host, port, shared=True)
    password = os.environ.get(PASSWORD_VARIABLE)
    await _serve(settings, listener, str(os.environ["ATRIUM_WORKER_DSN"]), password, with_demo=with_demo)


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


def _rest_the_collector() -> None:
    """Have the cycle collector leave alone what stays for ever, and look at the rest less often.

    A group of commands makes thousands of objects that all die without it; by its defaults it looked at them many
    times in every group.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _serve(
    settings: Settings, listener: socket.socket, dsn: str, password: str | None, *, with_demo: bool
) -> None:
    stop = _stop_event()
    node = await open_node(settings, dsn, password)
    try:
        if with_demo:
            await demo.load(node)
            node.demo_offered = True
        runner = web.AppRunner(make_app(node), access_log=None, shutdown_timeout=2, handle_signals=False)
        await runner.setup()
        site = web.SockSite(runner, listener, backlog=4096)
        await site.start()
        host, port = listener.getsockname()[:2]
        _rest_the_collector()
        log.info("serving", url=f"http://{host}:{port}", pid=os.getpid(), environment=settings.environment)
        if with_demo:
            account = demo.ACCOUNTS[0]
            print(f"Atrium is at http://{host}:{port}", flush=True)
            print(f"Sign in as {account['email']} with the password {account['password']}", flush=True)
        await stop.wait()
        node.ready = False
        log.info("draining", connections=len(node.gateway.connections))
        await node.gateway.drain()
        await site.stop()
    finally:
        await close_node(node)
    await runner.cleanup()
    log.info("stopped")


async def _supervise(
    settings: Settings,
    listener: socket.socket,
    dsn: str,
    password: str | None,
    *,
    workers: int,
    with_demo: bool,
) -> None:
    """Start workers, start them again when they die, and stop them with us."""
    host, port = listener.getsockname()[:2]
    valkey = None
    environment = {**os.environ, "ATRIUM_WORKER_DSN": dsn, PASSWORD_VARIABLE: password or ""}
    if settings.redis_url is None:
        valkey = EmbeddedValkey(settings.data_dir)
        environment["REDIS_URL"] = await valkey.start()
    command = [sys.executable, "-m", "server", "worker", "--host", host, "--port", str(port)]
    stop = _stop_event()
    try:
        watchers = [
            asyncio.create_task(_watch(command + (["--demo"] if with_demo else []), environment, stop))
            for number in range(workers)
        ]
        log.info("supervising", url=f"http://{host}:{port}", workers=workers, pid=os.getpid())
        await asyncio.gather(*watchers)
    finally:
        if valkey is not None:
            await valkey.stop()


async def _watch(command: list[str], environment: dict[str, str], stop: asyncio.Event) -> None:
    """Keep one worker alive, with longer pauses the faster it dies."""
    pause = RESTART_PAUSE[0]
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        started = loop.time()
        process = await asyncio.create_subprocess_exec(*command, env=environment, start_new_session=True)
        ended, stopped = asyncio.create_task(process.wait()), asyncio.create_task(stop.wait())
        await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if stop.is_set():
            if process.returncode is None:
                process.terminate()
            await ended
            return
        pause = RESTART_PAUSE[0] if loop.time() - started > 30 else min(pause * 2, RESTART_PAUSE[1])
        log.error("worker.died", pid=process.pid, code=process.returncode, restart_in=pause)
        await asyncio.wait([asyncio.create_task(stop.wait())], timeout=pause)

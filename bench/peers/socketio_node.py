"""Socket.IO 4 on Node with its defaults: echoes a move to the room and stores nothing."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.build import UnavailableError, node, node_peer
from bench.peers.peer import MOVE, ONE_ROOM, Script, Want, echo_script
from bench.processes import Child, family, free_port
from storage.child import EmbeddedServerError
from storage.valkey import find_binary


class SocketIoNode:
    def __init__(
        self, *, deflate: bool = False, msgpack: bool = False, redis: bool = False, workers: int = 1
    ) -> None:
        """Several workers are node:cluster's.

        `deflate` switches permessage-deflate on, which is Socket.IO's default up to version 2; `redis` takes
        @socket.io/redis-adapter with a Valkey of its own.
        """
        self._deflate = deflate
        self._msgpack = msgpack
        self._redis = redis
        self._workers = workers

    def start(self, directory: Path) -> None:
        home = node_peer()
        self._valkey = _valkey(directory) if self._redis else None
        self.port = free_port()
        env = {**os.environ, "PORT": str(self.port), "MOVE": str(MOVE), "NODE_ENV": "production"}
        env |= {"DEFLATE": str(int(self._deflate)), "MSGPACK": str(int(self._msgpack))}
        env |= {"WORKERS": str(self._workers), "REDIS_URL": ""}
        if self._valkey:
            env["REDIS_URL"] = f"redis://127.0.0.1:{self._valkey[1]}"
        try:
            self._child = Child([node(), "server.js"], directory / "log", env, home)
            self._child.wait_for_port(self.port, 20)
        except BaseException:
            self._stop_valkey()
            raise

    def stop(self) -> None:
        self._child.stop()
        self._stop_valkey()

    def _stop_valkey(self) -> None:
        if self._valkey:
            self._valkey[0].stop()

    def processes(self) -> Mapping[str, Sequence[int]]:
        parts = {"server": family(self._child.pid)}
        return parts | {"redis": [self._valkey[0].pid]} if self._valkey else parts

    def script(self, want: Want) -> Script:
        return echo_script(want, msgpack=self._msgpack)

    def rejoins(self, missed: int) -> Sequence[str]:
        return echo_script(ONE_ROOM).join


def _valkey(directory: Path) -> tuple[Child, int]:
    """A Valkey that keeps nothing, and its port."""
    port = free_port()
    try:
        binary = find_binary()
    except EmbeddedServerError as error:
        raise UnavailableError(str(error)) from error
    bounds = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    child = Child([binary, *bounds], directory / "valkey.log", os.environ, directory)
    child.wait_for_port(port, 10)
    return child, port

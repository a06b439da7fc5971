"""Socket.IO 4 on Node with its defaults: echoes a move to the room and stores nothing."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.build import node, node_peer
from bench.peers.peer import MOVE, Script, echo_script
from bench.processes import Child, free_port


class SocketIoNode:
    def __init__(self, *, deflate: bool = False) -> None:
        """`deflate` switches permessage-deflate on, which is Socket.IO's default up to version 2."""
        self._deflate = deflate

    def start(self, directory: Path) -> None:
        home = node_peer()
        self.port = free_port()
        env = {**os.environ, "PORT": str(self.port), "MOVE": str(MOVE), "NODE_ENV": "production"}
        env["DEFLATE"] = "1" if self._deflate else "0"
        self._child = Child([node(), "server.js"], directory / "log", env, home)
        self._child.wait_for_port(self.port, 15)

    def stop(self) -> None:
        self._child.stop()

    def processes(self) -> Mapping[str, Sequence[int]]:
        return {"server": [self._child.pid]}

    def room(self) -> Script:
        return echo_script()

"""Stock python-socketio: AsyncServer with its defaults on aiohttp and uvloop, one process, nothing stored."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers.peer import MOVE, ONE_ROOM, Script, Want, echo_script
from bench.processes import Child, free_port

SERVER = Path(__file__).with_name("python") / "server.py"


class PythonSocketIo:
    def start(self, directory: Path) -> None:
        self.port = free_port()
        env = {**os.environ, "PORT": str(self.port), "MOVE": str(MOVE)}
        self._child = Child([sys.executable, SERVER], directory / "log", env, directory)
        self._child.wait_for_port(self.port, 20)

    def stop(self) -> None:
        self._child.stop()

    def processes(self) -> Mapping[str, Sequence[int]]:
        return {"server": [self._child.pid]}

    def script(self, want: Want) -> Script:
        return echo_script(want)

    def rejoins(self, missed: int) -> Sequence[str]:
        return echo_script(ONE_ROOM).join

"""The floor: a C program that only writes the frames (bench/floor/floor.c)."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.build import c_program
from bench.peers.peer import ONE_ROOM, Script, Want, echo_script, move_sample
from bench.processes import Child, free_port


class Floor:
    def start(self, directory: Path) -> None:
        sample = move_sample()
        event, ack = directory / "event", directory / "ack"
        event.write_text("42" + json.dumps(["task.moved", sample["event"]], separators=(",", ":")))
        ack.write_text(json.dumps(sample["ack"], separators=(",", ":")))
        self.port = free_port()
        command: list[str | Path] = [c_program("floor"), str(self.port), event, ack]
        self._child = Child(command, directory / "log", os.environ, directory)
        self._child.wait_for_port(self.port, 5)

    def stop(self) -> None:
        self._child.stop()

    def processes(self) -> Mapping[str, Sequence[int]]:
        return {"server": [self._child.pid]}

    def script(self, want: Want) -> Script:
        return echo_script(want)

    def rejoins(self, missed: int) -> Sequence[str]:
        return echo_script(ONE_ROOM).join

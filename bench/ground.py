"""Where cases are measured: peers that are started when first needed, and stay for the cases that follow."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.build import UnavailableError
from bench.load import Crowd, Load
from bench.peers import PEERS, Peer
from bench.peers.peer import Script, Want
from bench.processes import cpu_seconds, proportional_bytes


@dataclass(frozen=True)
class Place:
    """A running peer with the rooms of a case, and a directory for those who connect."""

    peer: Peer
    script: Script
    directory: Path

    def load(self, crowd: Crowd) -> Load:
        return Load(self.peer.port, crowd, self.script, self.directory)

    def server_bytes(self) -> int:
        return proportional_bytes(self.peer.processes()["server"])

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU so far, by part."""
        return {part: cpu_seconds(pids) for part, pids in self.peer.processes().items()}

    def cpu_since(self, before: Mapping[str, float]) -> dict[str, float]:
        return {part: after - before.get(part, 0) for part, after in self.cpu().items()}


class Ground:
    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._stack = ExitStack()
        self._running: dict[str, tuple[Peer, Path]] = {}

    @contextmanager
    def places(
        self, names: Sequence[str], want: Want, absent: dict[str, str], *, fresh: bool = False
    ) -> Iterator[dict[str, Place]]:
        """Peers with new rooms, by name; those that cannot run here go to `absent`, with the reason.

        With `fresh` they are started anew and end with this, for their memory tells of all they have done.
        """
        with ExitStack() as stack:
            found: dict[str, Place] = {}
            for name in names:
                try:
                    peer, directory = self._started(stack, name) if fresh else self._lasting(name)
                except UnavailableError as reason:
                    absent[name] = str(reason)
                    continue
                found[name] = Place(peer, peer.script(want), directory)
            yield found

    def _lasting(self, name: str) -> tuple[Peer, Path]:
        if name not in self._running:
            self._running[name] = self._started(self._stack, name)
        return self._running[name]

    def _started(self, stack: ExitStack, name: str) -> tuple[Peer, Path]:
        """The stack stops it and removes its directory."""
        self._tell(f"starting {name}")
        directory = Path(tempfile.mkdtemp(prefix=f"atrium-bench-{name}-"))
        directory.chmod(0o755)  # the embedded Postgres of a server that runs as root is another user
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        peer = PEERS[name]()
        peer.start(directory)
        stack.callback(peer.stop)
        return peer, directory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

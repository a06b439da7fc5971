"""The servers under comparison, by the name that cases and budgets use."""

from collections.abc import Callable, Mapping
from typing import Final

from bench.peers.atrium import Atrium
from bench.peers.floor import Floor
from bench.peers.peer import Peer
from bench.peers.socketio_node import SocketIoNode

PEERS: Final[Mapping[str, Callable[[], Peer]]] = {
    "atrium": Atrium,
    "node": SocketIoNode,
    "node-deflate": lambda: SocketIoNode(deflate=True),
    "floor": Floor,
}

__all__ = ["PEERS", "Peer"]

"""The servers under comparison, by the name that cases and budgets use."""

from collections.abc import Callable, Mapping
from typing import Final

from bench.peers.atrium import Atrium
from bench.peers.floor import Floor
from bench.peers.peer import Peer
from bench.peers.python_socketio import PythonSocketIo
from bench.peers.socketio_node import SocketIoNode

PEERS: Final[Mapping[str, Callable[[], Peer]]] = {
    "atrium": Atrium,
    "atrium-2": lambda: Atrium(workers=2),
    "atrium-msgpack": lambda: Atrium(msgpack=True),
    "node": SocketIoNode,
    "node-deflate": lambda: SocketIoNode(deflate=True),
    "node-msgpack": lambda: SocketIoNode(msgpack=True),
    "node-redis": lambda: SocketIoNode(redis=True),
    "node-redis-2": lambda: SocketIoNode(redis=True, workers=2),
    "python-socketio": PythonSocketIo,
    "floor": Floor,
}

__all__ = ["PEERS", "Peer"]

"""What waits for Redis: the newest messages, up to a count and a size."""

from collections import deque


class Backlog:
    """Messages by channel, in the order they were put in; where there are too many the oldest are dropped."""

    def __init__(self, most: int, most_bytes: int) -> None:
        """At most `most` messages are kept, and at most `most_bytes` bytes of them."""
        self._messages: deque[tuple[str, bytes]] = deque()
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, channel: str, message: bytes) -> None:
        self._messages.append((channel, message))
        self._bytes += len(message)
        while len(self._messages) > self._most or self._bytes > self._most_bytes:
            self.take()

    def take(self) -> tuple[str, bytes]:
        """The oldest message and its channel; IndexError where there is none."""
        channel, message = self._messages.popleft()
        self._bytes -= len(message)
        return channel, message

"""Members of a room who do not take what they are sent: silent ones, slow ones, and ones that no longer poll."""

import asyncio
import itertools
import socket
from contextlib import AsyncExitStack
from typing import Any, Final

import aiohttp
import orjson

from tests.raw import Raw
from tests.world import PATIENCE, attrs

MSS: Final = 1400
"""As on a real network: loopback's 64 KiB segments make the kernel keep megabytes for a socket."""


def _narrow(info: Any) -> socket.socket:
    made = socket.socket(*info[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, MSS)
    return made


def narrow_session() -> aiohttp.ClientSession:
    """Connections whose receive buffers are small, so that what is not read stays with the server."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=_narrow, limit=0))


class Stalled:
    """One of them: joins a room, then takes nothing, or little, until `wake`."""

    joined: Any

    async def join(self, url: str, token: str, room: str) -> None:
        raise NotImplementedError

    async def wake(self) -> None:
        """Read again from here on."""

    async def next_events(self) -> list[tuple[str, Any]]:
        """What comes next, as name and data."""
        raise NotImplementedError

    async def call(self, name: str, payload: Any) -> Any:
        raise NotImplementedError

    async def until_resync(self, room: str) -> tuple[list[Any], int, list[str]]:
        """The room's events up to its `room.resync`, the number named there, and what else came."""
        events: list[Any] = []
        others: list[str] = []
        async with asyncio.timeout(3 * PATIENCE):
            while True:
                for name, data in await self.next_events():
                    if name == "room.resync" and data.room == room:
                        return events, data.since_seq, others
                    if "at" in data and data.get("room") == room:
                        events.append(data)
                    else:
                        others.append(name)


class Silent(Stalled):
    """A WebSocket that is not read at all."""

    def __init__(self, http: aiohttp.ClientSession, stack: AsyncExitStack) -> None:
        self._http, self._stack = http, stack

    async def join(self, url: str, token: str, room: str) -> None:
        address = f"{url}/socket.io/?EIO=4&transport=websocket"
        self._ws = await self._http.ws_connect(address, max_msg_size=0)
        self._stack.callback(self._transport.abort)  # an orderly close would wait for what is not read
        self._raw = Raw(self._ws)
        await self._raw.packet()
        await self._raw.sign_in(token)
        self.joined = (await self._raw.call("room.join", {"room": room})).data
        self._transport.pause_reading()

    @property
    def _transport(self) -> Any:
        return self._ws._response.connection.transport  # type: ignore[union-attr]

    async def wake(self) -> None:
        self._transport.resume_reading()

    async def next_events(self) -> list[tuple[str, Any]]:
        packet = await self._raw.packet()
        assert packet is not None, "the connection was closed"
        return [_event(packet)] if packet.startswith("42[") else []

    async def call(self, name: str, payload: Any) -> Any:
        return await self._raw.call(name, payload)


class Slow(Silent):
    """A WebSocket that is read one message at a time, far slower than they come, with every ping answered."""

    PAUSE: Final = 0.5

    async def join(self, url: str, token: str, room: str) -> None:
        await super().join(url, token, room)
        self._transport.resume_reading()
        self._read: list[tuple[str, Any]] = []
        self._reading = asyncio.create_task(self._dawdle())
        self._stack.callback(self._reading.cancel)

    async def _dawdle(self) -> None:
        while True:
            self._read += await super().next_events()
            await asyncio.sleep(self.PAUSE)

    async def wake(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])

    async def next_events(self) -> list[tuple[str, Any]]:
        if self._read:
            read, self._read = self._read, []
            return read
        return await super().next_events()


class Unpolled(Stalled):
    """A polling client that does not poll any more."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._ids = itertools.count()
        self._answers: dict[int, Any] = {}

    async def join(self, url: str, token: str, room: str) -> None:
        self._address = f"{url}/socket.io/?EIO=4&transport=polling"
        (opening,) = await self._poll()
        self._address += "&sid=" + orjson.loads(opening[1:])["sid"]
        await self._post("40" + orjson.dumps({"token": token}).decode())
        while "session.ready" not in [name for name, _ in await self.next_events()]:
            pass
        self.joined = (await self.call("room.join", {"room": room})).data

    async def next_events(self) -> list[tuple[str, Any]]:
        events = []
        for packet in await self._poll():
            if packet == "2":
                await self._post("3")
            elif packet.startswith("43"):
                number, _, body = packet[2:].partition("[")
                self._answers[int(number)] = attrs(orjson.loads("[" + body)[0])
            elif packet.startswith("42["):
                events.append(_event(packet))
        return events

    async def call(self, name: str, payload: Any) -> Any:
        number = next(self._ids)
        await self._post(f"42{number}" + orjson.dumps([name, payload]).decode())
        while number not in self._answers:
            await self.next_events()
        return self._answers.pop(number)

    async def _poll(self) -> list[str]:
        async with self._http.get(self._address) as response:
            assert response.status == 200, await response.text()
            return (await response.text()).split("\x1e")

    async def _post(self, packet: str) -> None:
        async with self._http.post(self._address, data=packet) as response:
            assert response.status == 200, await response.text()


def _event(packet: str) -> tuple[str, Any]:
    name, data = orjson.loads(packet[2:])
    return name, attrs(data)

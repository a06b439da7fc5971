"""A client that speaks Engine.IO and Socket.IO by hand, and may speak them badly."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgpack
import orjson

from tests.world import PATIENCE, World, attrs


class Raw:
    """One WebSocket. What arrives is kept; heartbeats are answered."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.heard: list[Any] = []
        self._ids = itertools.count(100_000)

    async def text(self, frame: str) -> None:
        await self.ws.send_str(frame)

    async def binary(self, frame: bytes) -> None:
        await self.ws.send_bytes(frame)

    async def packet(self, within: float = PATIENCE) -> Any:
        """The next frame that is no heartbeat; None when the server has closed."""
        while True:
            message = await self.ws.receive(timeout=within)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING):
                return None
            if message.data == "2":
                await self.ws.send_str("3")
                continue
            self.heard.append(message.data)
            return message.data

    async def until(self, prefix: str, within: float = PATIENCE) -> str:
        """The next text frame that begins like this."""
        async with asyncio.timeout(within):
            while True:
                packet = await self.packet(within)
                assert packet is not None, f"the connection was closed before {prefix}"
                if isinstance(packet, str) and packet.startswith(prefix):
                    return packet

    async def sign_in(self, token: str) -> None:
        await self.text("40" + orjson.dumps({"token": token}).decode())
        await self.until('42["session.ready"')

    async def call(self, name: str, payload: Any) -> Any:
        return await self.call_text(orjson.dumps([name, payload]).decode())

    async def call_text(self, body: str) -> Any:
        """The acknowledgement of an event whose JSON is given as text."""
        ack_id = next(self._ids)
        await self.text(f"42{ack_id}{body}")
        answer = await self.until(f"43{ack_id}[")
        return attrs(orjson.loads(answer.removeprefix(f"43{ack_id}"))[0])

    async def still_works(self) -> None:
        reply = await self.call("tenant.get", {})
        assert reply.success, reply


class RawMsgpack(Raw):
    """The same for clients with the msgpack parser."""

    async def send(self, packet: Any) -> None:
        await self.binary(msgpack.packb(packet))

    async def sign_in(self, token: str) -> None:
        await self.send({"type": 0, "nsp": "/", "data": {"token": token}})
        await self.event("session.ready")

    async def event(self, name: str) -> Any:
        while True:
            packet = await self.packet()
            assert packet is not None, "the connection was closed"
            if isinstance(packet, bytes):
                content = msgpack.unpackb(packet)
                if content["type"] == 2 and content["data"][0] == name:
                    return attrs(content["data"][1])

    async def call(self, name: str, payload: Any) -> Any:
        ack_id = next(self._ids)
        await self.send({"type": 2, "nsp": "/", "id": ack_id, "data": [name, payload]})
        while True:
            packet = await self.packet()
            assert packet is not None, "the connection was closed"
            if isinstance(packet, bytes):
                content = msgpack.unpackb(packet)
                if content["type"] == 3 and content["id"] == ack_id:
                    return attrs(content["data"][0])


@asynccontextmanager
async def raw(
    world: World, *, name: str | None = "alice", parser: str = "json", **more: Any
) -> AsyncIterator[Any]:
    """An open WebSocket, signed in as somebody unless `name` is None."""
    prefix = "/msgpack" if parser == "msgpack" else ""
    url = f"{world.url}{prefix}/socket.io/?EIO=4&transport=websocket"
    async with world.http.ws_connect(url, max_msg_size=0, **more) as ws:
        client = RawMsgpack(ws) if parser == "msgpack" else Raw(ws)
        opening = await client.packet()
        assert opening.startswith('0{"sid"')
        if name is not None:
            await client.sign_in(await world.token(name))
        yield client

"""Requests about another worker's connection: they reach it, whole, with the TCP connection they came on."""

import asyncio
import errno
import io
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector, web
from structlog.testing import capture_logs
from yarl import URL

from server.relay import SIZE, Relay


@dataclass
class Worker:
    relay: Relay
    port: int
    runner: web.AppRunner


@asynccontextmanager
async def _worker(directory: Path, number: int) -> AsyncIterator[Worker]:
    """A worker that says of every request what it has got of it, or passes it on."""
    relay = Relay(directory, number)

    async def answer(request: web.Request) -> web.StreamResponse:
        owner = relay.owner(request.query.get("sid", ""))
        if owner is not None and (passed := await relay.pass_on(request, owner)) is not None:
            return passed
        body = await request.read()
        return web.json_response(
            {
                "worker": number,
                "method": request.method,
                "path": request.raw_path,
                "body": body.hex(),
                "remote": request.remote,
                "cookie": request.headers.get("Cookie"),
                "odd": request.headers.get("X-Odd"),
            }
        )

    app = web.Application(client_max_size=4 << 20)
    app.router.add_route("*", "/echo", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.server is not None
    relay.start(runner.server)
    try:
        yield Worker(relay, runner.addresses[0][1], runner)
    finally:
        await relay.stop()
        await runner.cleanup()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Worker, Worker]]:
    async with _worker(tmp_path, 1) as one, _worker(tmp_path, 2) as two:
        yield one, two


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_an_id_says_whose_it_is(pair: tuple[Worker, Worker]) -> None:
    one, two = (worker.relay for worker in pair)
    assert (one.prefix, two.prefix) == ("w1.", "w2.")
    assert one.owner("w2.abc") == 2
    for own in ("w1.abc", "abc", "", "w.abc", "wx.abc", "w99999.abc"):
        assert one.owner(own) is None


async def test_who_hands_a_connection_over_hears_nothing_more_of_it(
    pair: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client may be answered, and go on, before the worker that has handed it over gets to know that."""
    one, _ = pair
    give = one.relay._give
    reading = list[bool]()

    async def watched(number: int, descriptor: int, raw: bytes) -> None:
        assert one.runner.server is not None
        lines = [protocol.transport for protocol in one.runner.server.connections]
        reading.extend(line is not None and line.is_reading() for line in lines)
        await give(number, descriptor, raw)

    monkeypatch.setattr(one.relay, "_give", watched)
    async with ClientSession(f"http://127.0.0.1:{one.port}", connector=TCPConnector(limit=1)) as http:
        for sid, worker in (("w3.x", 1), ("w2.x", 2), ("w2.x", 2)):  # nobody has the first
            async with asyncio.timeout(5), http.get(f"/echo?sid={sid}") as reply:
                assert (await reply.json())["worker"] == worker
    assert reading == [False, False]


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
async def test_a_request_goes_on_whole(pair: tuple[Worker, Worker], size: int) -> None:
    one, _ = pair
    body = os.urandom(size)
    async with ClientSession() as client:
        url = f"http://127.0.0.1:{one.port}/echo?sid=w2.a%2Fb&t=%C3%BC"
        headers = {"Cookie": "a=b", "X-Odd": "caf\u00e9", "Expect": "100-continue"} if size else {}
        async with client.post(URL(url, encoded=True), data=io.BytesIO(body), headers=headers) as answer:
            got = await answer.json()
    assert (got["worker"], got["method"], got["body"]) == (2, "POST", body.hex())
    assert got["path"] == "/echo?sid=w2.a%2Fb&t=%C3%BC"
    assert got["remote"] == "127.0.0.1"
    if size:
        assert (got["cookie"], got["odd"]) == ("a=b", "caf\u00e9")


async def test_a_body_in_chunks_goes_on_in_one_piece(pair: tuple[Worker, Worker]) -> None:
    one, _ = pair

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"piece"
            await asyncio.sleep(0.01)

    async with (
        ClientSession() as client,
        client.post(f"http://127.0.0.1:{one.port}/echo?sid=w2.x", data=pieces()) as answer,
    ):
        got = await answer.json()
    assert (got["worker"], bytes.fromhex(got["body"])) == (2, b"piece" * 5)


async def test_a_header_that_is_no_text_goes_on_as_it_came(pair: tuple[Worker, Worker]) -> None:
    one, _ = pair
    reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
    writer.write(b"GET /echo?sid=w2.x HTTP/1.1\r\nHost: x\r\nX-Odd: \xe9\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert b'"worker": 2' in answer
    assert b'"odd": "\\udce9"' in answer


async def test_the_connection_stays_where_it_went_and_may_go_back(pair: tuple[Worker, Worker]) -> None:
    one, _ = pair
    seen = []
    async with ClientSession(connector=TCPConnector(limit=1)) as client:
        for sid in ("", "w2.x", "", "w2.x", "w1.x", "", "w2.x"):
            async with client.get(f"http://127.0.0.1:{one.port}/echo", params={"sid": sid}) as answer:
                seen.append((await answer.json())["worker"])
    assert seen == [1, 2, 2, 2, 1, 1, 2]


async def test_a_worker_that_is_not_there_leaves_it_to_who_was_asked(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    await two.relay.stop()
    async with ClientSession() as client:
        for sid in ("w2.x", "w77.x"):
            async with client.get(f"http://127.0.0.1:{one.port}/echo", params={"sid": sid}) as answer:
                assert (await answer.json())["worker"] == 1


async def test_a_worker_that_dies_over_it_leaves_it_to_who_was_asked(tmp_path: Path) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    dying = await asyncio.start_unix_server(hang_up, tmp_path / "worker-2.sock")
    async with (
        dying,
        _worker(tmp_path, 1) as one,
        ClientSession() as client,
        client.get(f"http://127.0.0.1:{one.port}/echo?sid=w2.x") as answer,
    ):
        assert (await answer.json())["worker"] == 1


async def test_the_relay_survives_a_failed_accept(
    pair: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever accept(2) has run out of, the next one may find some again."""
    one, _ = pair
    accept = socket.socket.accept
    failed: list[socket.socket] = []

    def fail_twice(listener: socket.socket) -> Any:
        if listener.family == socket.AF_UNIX and len(failed) < 2:
            failed.append(listener)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", fail_twice)
    async with ClientSession() as client:
        with capture_logs() as logs:
            async with client.get(f"http://127.0.0.1:{one.port}/echo?sid=w2.x") as answer:
                assert (await answer.json())["worker"] == 2
    assert [line["event"] for line in logs] == ["relay.cannot_accept"] * 2


async def test_what_was_not_taken_is_let_go_of(tmp_path: Path) -> None:
    """Whoever gives a connection has not waited: the connection is its own again, and what comes on it."""
    async with _worker(tmp_path, 2) as worker:
        before = _descriptors()
        client, given = socket.socketpair()
        giver, taker = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        taker.setblocking(False)
        request = b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"
        socket.send_fds(giver, [len(request).to_bytes(SIZE, "big") + request], [given.fileno()])
        giver.close()
        assert worker.runner.server is not None
        await worker.relay._take(taker, worker.runner.server)
        client.sendall(b"for the giver")
        await asyncio.sleep(0.1)
        given.setblocking(False)
        assert given.recv(100) == b"for the giver"
        client.close()
        given.close()
        assert _descriptors() <= before


async def test_many_at_once_and_nothing_is_left_open(pair: tuple[Worker, Worker]) -> None:
    one, two = pair

    async def ask(client: ClientSession, n: int) -> Any:
        port, sid = (one.port, "w2.x") if n % 2 else (two.port, "w1.x")
        async with client.post(
            f"http://127.0.0.1:{port}/echo", params={"sid": sid}, data=b"%d" % n
        ) as answer:
            got = await answer.json()
            return got["worker"], int(bytes.fromhex(got["body"]))

    async with ClientSession() as client:
        await asyncio.gather(*[ask(client, n) for n in range(20)])
    before = _descriptors()
    async with ClientSession() as client:
        answers = await asyncio.gather(*[ask(client, n) for n in range(200)])
    assert answers == [(2 if n % 2 else 1, n) for n in range(200)]
    for _ in range(100):
        if _descriptors() <= before:
            break
        await asyncio.sleep(0.02)
    assert _descriptors() <= before


async def test_who_goes_away_meanwhile_leaves_nothing(pair: tuple[Worker, Worker]) -> None:
    one, _ = pair
    before = _descriptors()
    for _ in range(20):
        line = socket.create_connection(("127.0.0.1", one.port))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # goes with a reset
        line.sendall(b"GET /echo?sid=w2.x HTTP/1.1\r\nHost: x\r\n\r\n")
        line.close()
    await asyncio.sleep(0.2)
    async with ClientSession() as client, client.get(f"http://127.0.0.1:{one.port}/echo?sid=w2.x") as answer:
        assert (await answer.json())["worker"] == 2
    await asyncio.sleep(0.1)
    assert _descriptors() <= before


@pytest.mark.parametrize("said", [b"", b"12", (10).to_bytes(SIZE, "big") + b"short", b"x" * 100])
async def test_nonsense_at_the_door_harms_nobody(
    pair: tuple[Worker, Worker], tmp_path: Path, said: bytes
) -> None:
    one, _ = pair
    _, writer = await asyncio.open_unix_connection(tmp_path / "worker-2.sock")
    writer.write(said)
    if said:
        await writer.drain()
    writer.close()
    async with ClientSession() as client, client.get(f"http://127.0.0.1:{one.port}/echo?sid=w2.x") as answer:
        assert (await answer.json())["worker"] == 2

"""Members by long polling (Engine.IO 4 over HTTP), driven like bench/loadgen by orders on stdin.

    python -m bench.polling --port P --members N --auth FILE --join FILE --commands FILE --event NAME

Of the load generator's orders it knows `run lockstep` and `run closed`. Its own cost is far above that of the
one in C, so rates say little; CPU of the server per delivery is what it is for.
"""

import argparse
import asyncio
import json
import resource
import statistics
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop

from bench.peers.peer import NIL

RECORD: Final = "\x1e"
"""Stands between the packets of one body."""
SAMPLED: Final = 10
"""Deliveries are timed on each so many-th member."""
DRAIN_SECONDS: Final = 20
QUIET_SECONDS: Final = 0.002


@dataclass
class Tally:
    """What one run has seen; times by command id."""

    due: dict[str, float] = field(default_factory=dict)
    acks: list[float] = field(default_factory=list)
    deliveries: list[float] = field(default_factory=list)
    refused: int = 0
    heard: int = 0
    bytes: int = 0
    last: float = 0


class Member:
    def __init__(self, http: aiohttp.ClientSession, url: str, crowd: "Crowd", number: int) -> None:
        self.heard = 0
        self._http = http
        self._url = url
        self._crowd = crowd
        self._number = number
        self._replies: dict[int, asyncio.Future[str]] = {}

    async def join(self, auth: str, line: str) -> float:
        """Connect, join, and listen from then on; how long the whole took."""
        began = time.monotonic()
        opened = await self._get()
        self._url += "&sid=" + json.loads(opened[1:])["sid"]
        await self._post("40" + auth)
        while not any(packet.startswith("40") for packet in (await self._get()).split(RECORD)):
            pass
        self.listening = asyncio.create_task(self._listen())
        if '"success":true' not in await self.call(0, line):
            raise RuntimeError("a join was refused")
        return time.monotonic() - began

    async def call(self, number: int, line: str) -> str:
        """Send a call and wait for its ack."""
        reply: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        await self._post(f"42{number}[{line}]")
        return await reply

    async def _listen(self) -> None:
        while True:
            for packet in (await self._get()).split(RECORD):
                if packet.startswith("43"):
                    number = packet[2 : packet.index("[")]
                    self._replies.pop(int(number)).set_result(packet)
                elif packet == "2":
                    await self._post("3")
                elif packet.startswith(self._crowd.prefix):
                    self._hear(packet)

    def _hear(self, packet: str) -> None:
        self.heard += 1
        tally = self._crowd.tally
        tally.heard += 1
        tally.bytes += len(packet)
        tally.last = time.monotonic()
        if self._number % SAMPLED == 0:
            command = json.loads(packet[2:])[1]["command_id"]
            tally.deliveries.append(tally.last - tally.due[command])

    async def _get(self) -> str:
        async with self._http.get(self._url) as reply:
            reply.raise_for_status()
            return await reply.text()

    async def _post(self, packet: str) -> None:
        async with self._http.post(
            self._url, data=packet.encode(), headers={"Content-Type": "text/plain"}
        ) as r:
            r.raise_for_status()


class Crowd:
    def __init__(self, event: str, commands: Sequence[str]) -> None:
        self.prefix = f'42["{event}"'
        self.tally = Tally()
        self.members: list[Member] = []
        self._commands = commands
        self._sent = 0

    async def run(self, kind: str, senders: int, seconds: float) -> dict[str, Any]:
        self.tally = tally = Tally()
        for member in self.members:
            member.heard = 0
        cpu, began = time.process_time(), time.monotonic()
        deadline = began + seconds
        await asyncio.gather(
            *(self._send(member, deadline, lockstep=kind == "lockstep") for member in self.members[:senders])
        )
        await self._level(time.monotonic() + DRAIN_SECONDS)
        expected = (len(tally.acks) - tally.refused) * len(self.members)
        return {
            "seconds": tally.last - began,
            "members": len(self.members),
            "lost": sum(member.listening.done() for member in self.members),
            "senders": senders,
            "sent": len(tally.due),
            "acked": len(tally.acks),
            "failed": tally.refused,
            "deliveries": tally.heard,
            "expected": expected,
            "uneven_members": sum(member.heard != len(tally.acks) - tally.refused for member in self.members),
            "stray": 0,
            "event_bytes": tally.bytes / max(tally.heard, 1),
            "loadgen_cpu_seconds": time.process_time() - cpu,
            "complaint": "",
            **_latencies("ack", tally.acks),
            **_latencies("delivery", tally.deliveries),
        }

    async def _send(self, member: Member, deadline: float, *, lockstep: bool) -> None:
        while (due := time.monotonic()) < deadline:
            self._sent += 1
            command = str(uuid.uuid4())
            line = self._commands[self._sent % len(self._commands)].replace(NIL, command)
            self.tally.due[command] = due
            reply = await member.call(self._sent, line)
            self.tally.last = time.monotonic()
            self.tally.acks.append(self.tally.last - due)
            self.tally.refused += '"success":true' not in reply
            if lockstep:
                await self._level(due + DRAIN_SECONDS)

    async def _level(self, deadline: float) -> None:
        """Wait until every member has heard every command that was accepted."""
        tally = self.tally
        while (
            tally.heard < (len(tally.acks) - tally.refused) * len(self.members)
            and time.monotonic() < deadline
        ):
            await asyncio.sleep(QUIET_SECONDS)


def _latencies(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """Percentiles in milliseconds; 0 without samples."""
    cuts = statistics.quantiles(seconds, n=100) if len(seconds) > 1 else [0.0] * 99
    return {
        f"{name}_p50_ms": cuts[49] * 1e3,
        f"{name}_p99_ms": cuts[98] * 1e3,
        f"{name}_max_ms": max(seconds, default=0.0) * 1e3,
    }


def _report(report: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


async def _main(options: argparse.Namespace) -> None:
    auth, join, commands = (
        Path(path).read_text().splitlines() for path in (options.auth, options.join, options.commands)
    )
    crowd = Crowd(options.event, commands)
    url = f"http://127.0.0.1:{options.port}{options.path}?EIO=4&transport=polling"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
        crowd.members = [Member(http, url, crowd, number) for number in range(options.members)]
        began = time.monotonic()
        joins = await asyncio.gather(
            *(
                member.join(auth[number % len(auth)], join[number % len(join)])
                for number, member in enumerate(crowd.members)
            )
        )
        ready = {"members": len(joins), "seconds": time.monotonic() - began, "retries": 0, "expected": 0}
        _report(ready | {"reply_bytes": 0.0} | _latencies("join", joins))
        while line := await asyncio.to_thread(sys.stdin.readline):
            _, kind, senders, seconds, _ = line.split()
            _report(await crowd.run(kind, int(senders), float(seconds)))
        for member in crowd.members:
            member.listening.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("--auth", "--join", "--commands", "--event", "--path"):
        parser.add_argument(option, required=True)
    for option in ("--port", "--members", "--outside", "--rooms"):
        parser.add_argument(option, type=int, required=True)
    parser.add_argument("--deflate", action="store_true", help="has no meaning here")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(_main(parser.parse_args()))

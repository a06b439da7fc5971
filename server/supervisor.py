"""Several workers on one machine: each is started, started again when it dies, and ended with its supervisor."""

import asyncio
import ctypes
import os
import shutil
import signal
import sys
from asyncio.subprocess import create_subprocess_exec
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from server.app import Refused
from server.relay import DIRECTORY_VARIABLE, NUMBER_VARIABLE
from storage.child import EmbeddedServerError, hold, make_data_directory, ourselves, socket_directory
from storage.settings import Settings
from storage.valkey import EmbeddedValkey

log = structlog.get_logger(__name__)

SUPERVISOR_VARIABLE: Final = "ATRIUM_SUPERVISOR"
"""How a worker is told the process id of its supervisor."""
RESTART_PAUSE: Final = (0.2, 10.0)
"""First and longest pause before a dead worker is started again (seconds)."""
STEADY: Final = 30.0
"""A worker that lived so long was well, and its next pause is the first again (seconds)."""
TRIES: Final = 5
"""Quick deaths of one worker in a row that end the server, when no worker has ever served (count)."""
PATIENCE: Final = 10.0
"""What a worker is given to end, beside its drain, before it is killed (seconds)."""
ABANDONED: Final = 5.0
"""What a worker is given to end when its supervisor is gone (seconds)."""


@dataclass(frozen=True)
class Stop:
    """What SIGTERM and SIGINT ask of a process: first an orderly end, the second time a quick one."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    now: asyncio.Event = field(default_factory=asyncio.Event)

    def told(self) -> None:
        """A signal has come. From the kernel, for a dead supervisor, it means a quick end: nobody would kill us later."""
        (self.now if self.asked.is_set() else self.asked).set()
        if os.environ.get(SUPERVISOR_VARIABLE, str(os.getppid())) != str(os.getppid()):
            self.now.set()
            signal.setitimer(signal.ITIMER_REAL, ABANDONED)


async def done_before(event: asyncio.Event, task: asyncio.Future[Any], patience: float | None = None) -> bool:
    """Wait until a task is done, the event comes, or the time is up (seconds); whether the task is done."""
    coming = asyncio.create_task(event.wait())
    await asyncio.wait((task, coming), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    coming.cancel()
    return task.done()


def follow_supervisor() -> None:
    """In a worker: have the kernel (Linux) tell us when the supervisor dies, and go when it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.environ.get(SUPERVISOR_VARIABLE) != str(os.getppid()):
        sys.exit("a worker is started by `serve --workers`, and ends with it")


def say_ready() -> None:
    """In a worker: tell the supervisor that we serve."""
    if DIRECTORY_VARIABLE in os.environ:
        with suppress(OSError):  # somebody has tidied up /tmp; we serve all the same
            Path(os.environ[DIRECTORY_VARIABLE], f"ready-{os.environ[NUMBER_VARIABLE]}").touch()


def next_pause(pause: float, lived: float) -> float:
    """The pause after a worker that lived so long, where its last one was `pause`, 0 for none (all in seconds)."""
    first, longest = RESTART_PAUSE
    return first if lived >= STEADY or not pause else min(pause * 2, longest)


async def supervise(
    settings: Settings, command: Sequence[str], environment: Mapping[str, str], stop: Stop, *, workers: int
) -> None:
    """Keep so many workers alive until we are told to stop; `command` starts one. Refused when none ever serves."""
    valkey = EmbeddedValkey(settings.data_dir) if settings.redis_url is None else None
    try:
        bus = {} if valkey is None else {"REDIS_URL": await valkey.start()}
        with _workers_directory(settings.data_dir.resolve()) as directory:
            ours = {DIRECTORY_VARIABLE: str(directory), SUPERVISOR_VARIABLE: str(os.getpid())}
            patience = settings.drain_seconds + PATIENCE
            watch = _Watch(command, {**environment, **bus, **ours}, directory, stop, patience)
            async with asyncio.TaskGroup() as watching:
                for number in range(1, workers + 1):
                    watching.create_task(watch.over(number))
        if watch.refusal is not None:
            raise Refused(watch.refusal)
    finally:
        if valkey is not None:
            await valkey.stop()


@contextmanager
def _workers_directory(data_dir: Path) -> Iterator[Path]:
    """A directory that our workers share and no other user can enter; empty at first, gone at the end."""
    make_data_directory(data_dir)
    lock = hold(data_dir / "workers.lock", EmbeddedServerError)
    try:
        directory = socket_directory(data_dir, "workers", ourselves(), EmbeddedServerError)
        for leftover in directory.iterdir():
            with suppress(OSError):
                leftover.unlink()
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    finally:
        os.close(lock)


@dataclass
class _Watch:
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    stop: Stop
    patience: float
    """How long a worker may take to end (seconds)."""
    refusal: str | None = None

    async def over(self, number: int) -> None:
        """Keep the worker of this number alive, with longer pauses the more often it dies quickly."""
        loop = asyncio.get_running_loop()
        pause, quick = 0.0, 0
        while not self.stop.asked.is_set():
            began = loop.time()
            end = await self._live(number)
            if self.stop.asked.is_set():
                return
            lived = loop.time() - began
            pause, quick = next_pause(pause, lived), quick + 1 if lived < STEADY else 0
            hopeless = quick >= TRIES and not any(self.directory.glob("ready-*"))
            log.error("worker.died", number=number, **end, restart_in=None if hopeless else pause)
            if hopeless:
                reason = end.get("error", f"exit code {end.get('code')}")
                self.refusal = f"no worker can start: worker {number} died {quick} times, now with {reason}"
                self.stop.asked.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.stop.asked.wait()

    async def _live(self, number: int) -> dict[str, Any]:
        """One life of a worker; how it ended, for the log."""
        environment = {**self.environment, NUMBER_VARIABLE: str(number)}
        try:
            process = await create_subprocess_exec(*self.command, env=environment, start_new_session=True)
        except OSError as error:  # no memory for one more process, for instance
            return {"error": str(error)}
        log.info("worker.started", pid=process.pid, number=number)
        ended = asyncio.create_task(process.wait())
        try:
            if not await done_before(self.stop.asked, ended):
                with suppress(ProcessLookupError):
                    process.terminate()
                await done_before(self.stop.now, ended, self.patience)
        finally:
            if not ended.done():
                log.error("worker.killed", pid=process.pid, number=number)
                with suppress(ProcessLookupError):
                    process.kill()
                await ended
        return {"pid": process.pid, "code": process.returncode}

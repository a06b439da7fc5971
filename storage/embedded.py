"""A real Postgres 18 under the data directory, for a start with nothing installed and nothing configured."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import asyncpg
import structlog

from storage.binaries import MAJOR, find_binaries
from storage.child import (
    POLL,
    EmbeddedPostgresError,
    Keeper,
    account_for,
    end,
    exited,
    hold,
    make_data_directory,
    set_aside,
    socket_directory,
    spawn,
)

log = structlog.get_logger(__name__)

SETTINGS = {
    "cluster_name": "atrium",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "128MB",
    "autovacuum_naptime": "15s",  # a board in use is a small table with many dead rows, and a new one has no figures
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_destination": "stderr",
}

# How asyncpg reports a server that is starting, or goes away in the middle of a handshake.
NOT_YET = (
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class EmbeddedPostgres:
    """Postgres 18 under `data_dir`: cluster in `postgres/`, its output in `postgres.log`, our lock `atrium.lock`.

    It is a direct child, restarted when it dies, and stopped with us. One server owns a data directory at a
    time; what a killed server left running is shut down at the next start.

    Postgres refuses to run as root, so root runs it as the owner of the data directory, or as `nobody` when that
    is root too. Two things are then often out of its reach, below a home directory of mode 0700 for instance:

    - the cluster: it stays where it is, and the directory is handed over as an open descriptor
      (`-D /proc/self/fd/N`); no permission is widened and no data lands elsewhere. Linux only.
    - the binaries: they are copied once to /var/cache/atrium.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        superuser: str = "atrium",
        max_connections: int = 100,
        start_timeout: float = 60.0,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """`options` are Postgres settings that win over ours; `start_timeout` (seconds) bounds `start`."""
        self.data_dir = data_dir.resolve()
        self.superuser = superuser
        self._cluster = self.data_dir / "postgres"
        self._settings = {**SETTINGS, "max_connections": str(max_connections), **(options or {})}
        self._lock: int | None = None
        self._socket_dir: Path | None = None
        self._keeper = Keeper(
            "Postgres",
            log_file=self.data_dir / "postgres.log",
            prepare=self._end_leftovers,
            launch=self._launch,
            answers=self._answers,
            # fast shutdown, then immediate shutdown (the next start recovers), then by force
            stop_signals=((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)),
            start_timeout=start_timeout,
            error=EmbeddedPostgresError,
        )

    async def start(self) -> str:
        """Start Postgres, creating the cluster on first use; return the superuser's DSN for asyncpg."""
        if self._lock is not None:
            raise EmbeddedPostgresError("the embedded Postgres is already started")
        try:
            await self._prepare()
            await self._keeper.start()
        except OSError as error:
            await self.stop()
            raise EmbeddedPostgresError(f"cannot run Postgres in {self.data_dir}: {error}") from error
        except BaseException:
            await self.stop()
            raise
        log.info("embedded Postgres is ready", directory=str(self._cluster), pid=self.pid)
        return self.dsn("postgres")

    def beside(self, database: str) -> str | None:
        """The superuser's address of a database that another server of this data directory runs; None where none does."""
        try:
            lock = hold(self.data_dir / "atrium.lock", EmbeddedPostgresError)
        except EmbeddedPostgresError:
            account = account_for(self._cluster, self.data_dir)
            self._socket_dir = socket_directory(self.data_dir, "postgres", account, EmbeddedPostgresError)
            return self.dsn(database)
        os.close(lock)
        return None

    async def stop(self) -> None:
        """Shut down, waiting for a checkpoint, and release the data directory. Harmless when not started."""
        await self._keeper.stop()
        if self._lock is None:  # what lies in the directory is somebody else's
            return
        if self._socket_dir is not None:
            with suppress(OSError):  # not empty when Postgres was killed; the next start uses it again
                self._socket_dir.rmdir()
            self._socket_dir = None
        os.close(self._lock)
        self._lock = None

    @property
    def pid(self) -> int | None:
        """Process id of Postgres; None while it is not running."""
        return self._keeper.pid

    def dsn(self, database: str) -> str:
        """The superuser's address of a database, over the Unix socket."""
        if self._socket_dir is None:
            raise EmbeddedPostgresError("the embedded Postgres is not started")
        user, name = quote(self.superuser, safe=""), quote(database, safe="")
        return f"postgresql://{user}@/{name}?host={quote(str(self._socket_dir), safe='/')}&port=5432"

    async def _prepare(self) -> None:
        make_data_directory(self.data_dir)
        self._lock = hold(self.data_dir / "atrium.lock", EmbeddedPostgresError)
        self._account = account_for(self._cluster, self.data_dir)
        self._binaries = await asyncio.to_thread(find_binaries, self._account)
        # Whoever can enter this directory is trusted: mode 0700 lets in Postgres' own user, who owns the data
        # files anyway, and root. There is no other listener, so a password would guard nothing.
        self._socket_dir = socket_directory(self.data_dir, "postgres", self._account, EmbeddedPostgresError)
        if self._account.foreign and not self._account.reaches(self.data_dir):
            log.info(
                "Postgres' user cannot reach the data directory; handing it over as an open directory",
                user=self._account.name,
                directory=str(self.data_dir),
            )
        set_aside(self._keeper.log_file)
        if not self._cluster.exists():
            await self._create_cluster()
        self._check_cluster()

    async def _create_cluster(self) -> None:
        """Run initdb beside the cluster and rename: a start killed half-way leaves no half cluster.

        initdb syncs its files unless fsync is off: the server's checkpoints would never sync the ones it does
        not touch again, and all of them take 0.1 s. The builtin C.UTF-8 locale sorts by code point as C does,
        but also knows lower and upper case beyond ASCII, which search needs.
        """
        began = time.monotonic()
        draft = self.data_dir / "postgres.init"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._account.give(draft)
        arguments = [
            *("--username", self.superuser, "--auth", "trust", "--encoding", "UTF8"),
            *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            *(["--no-sync"] if self._settings["fsync"] == "off" else []),
        ]
        offset = self._keeper.log_size()
        process = self._run("initdb", draft, arguments, death=signal.SIGTERM)
        try:
            await exited(process, None)
        finally:
            await end(process, ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)))
        if process.returncode != 0:
            raise EmbeddedPostgresError(
                f"cannot create a database cluster in {self.data_dir}:\n{self._keeper.log_tail(offset)}"
            )
        draft.rename(self._cluster)
        sync_directory(self.data_dir)
        log.info("database cluster created", seconds=round(time.monotonic() - began, 2))

    def _check_cluster(self) -> None:
        owner = self._cluster.stat().st_uid
        if owner != self._account.uid:
            raise EmbeddedPostgresError(
                f"{self._cluster} belongs to user id {owner}, but this server runs as {self._account.name}: "
                "run it as that user or as root, or change the owner of the data directory"
            )
        try:
            found = (self._cluster / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            found = ""
        if found != str(MAJOR):
            raise EmbeddedPostgresError(
                f"{self._cluster} is not a cluster of Postgres {MAJOR} (found: {found or 'none'}): "
                "upgrade it with pg_upgrade, or choose another data directory"
            )

    def _launch(self) -> subprocess.Popen[bytes]:
        settings = {**self._settings, "unix_socket_directories": str(self._socket_dir)}
        arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return self._run("postgres", self._cluster, arguments, death=signal.SIGINT)

    def _run(
        self, program: str, cluster: Path, arguments: Sequence[str], death: signal.Signals
    ) -> subprocess.Popen[bytes]:
        with self._account.handed(cluster) as (name, descriptors):
            command = [str(self._binaries / program), "-D", name, *arguments]
            return spawn(command, self._keeper.log_file, self._account, death, descriptors)

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn("postgres"), timeout=5)
        except (OSError, TimeoutError, *NOT_YET):
            return False
        except asyncpg.TooManyConnectionsError:  # after a restart the pools may be faster than we are
            return True
        await connection.close()
        return True

    async def _end_leftovers(self) -> None:
        """Shut down an earlier Postgres on this cluster: nobody owns it, since we hold the lock.

        Normally it died with its server; this is for systems that cannot tell a child, and for backends that
        have not noticed yet that their postmaster was killed and keep its shared memory in use.
        """
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGKILL):
            postmaster, others = leftovers(self._cluster)
            if not (targets := postmaster or others):
                break
            log.warning("stopping a Postgres left behind", pids=targets, signal=number.name)
            for pid in targets:
                with suppress(ProcessLookupError):
                    # SIGINT means shutdown to a postmaster only; SIGQUIT makes any process of Postgres exit
                    os.kill(pid, signal.SIGQUIT if others is targets and number == signal.SIGINT else number)
            await gone(self._cluster, 10.0)
        if any(leftovers(self._cluster)):
            raise EmbeddedPostgresError(f"an earlier Postgres on {self._cluster} does not stop")
        if sys.platform == "linux" and self._socket_dir is not None:
            # The process id in these may have gone to somebody else, as it does in a container started anew, and
            # Postgres would then refuse to start. No Postgres runs here: all processes were looked at.
            for stale in (self._cluster / "postmaster.pid", self._socket_dir / ".s.PGSQL.5432.lock"):
                stale.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make a rename in this directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def leftovers(cluster: Path) -> tuple[list[int], list[int]]:
    """Processes of an earlier Postgres that runs on this cluster: the postmaster (or none), the others."""
    try:
        postmaster = int((cluster / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        postmaster = 0
    if sys.platform == "linux":
        found = [int(entry.name) for entry in Path("/proc").iterdir() if _works_in(entry, cluster)]
    else:
        found = [postmaster] if postmaster > 0 and _commanded(postmaster, cluster) else []
    return [pid for pid in found if pid == postmaster], [pid for pid in found if pid != postmaster]


async def gone(cluster: Path, patience: float) -> None:
    """Wait until no leftover is there, at most `patience` seconds."""
    for _ in range(int(patience / POLL)):
        if not any(leftovers(cluster)):
            return
        await asyncio.sleep(POLL)


def _works_in(process: Path, cluster: Path) -> bool:
    """Every process of Postgres works in its cluster; so might a shell, which is left alone."""
    try:
        program = (process / "exe").readlink().name  # "postgres (deleted)" after an upgrade
        return (
            process.name.isdigit() and program.startswith("postgres") and (process / "cwd").samefile(cluster)
        )
    except OSError:
        return False


def _commanded(pid: int, cluster: Path) -> bool:
    listing = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return "postgres" in listing.stdout and str(cluster) in listing.stdout

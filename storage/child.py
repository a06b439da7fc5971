"""One server process as our child: the account it runs as, its start and its end, and its place on disk.

EmbeddedServerError        an embedded server cannot run; the message is for the operator
└─ EmbeddedPostgresError
"""

import asyncio
import fcntl
import hashlib
import os
import pwd
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from storage.background import end_tasks

log = structlog.get_logger(__name__)

SOCKET_PATH_MAX = 100  # bytes; the kernel takes 107 on Linux, 103 on macOS
LOG_FILE_MAX = 16 << 20  # bytes; a larger log is put aside at start
LOG_TAIL = 20  # lines shown when a server does not start
POLL = 0.02  # seconds between looks at a process that is starting or stopping
WATCH = 0.1  # seconds between looks at a process that is running
BACKOFF = (0.1, 5.0)  # seconds before the first restart, and at most
STEADY = 30.0  # seconds after which a process counts as healthy and the back-off starts anew

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
        await end_tasks(self._watcher)  # first: after this nothing starts the server again
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
            except Exception as error:  # whatever it is, somebody has to be there when the server dies again
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

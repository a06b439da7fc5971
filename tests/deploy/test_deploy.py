"""The deployment files say what the code has: settings, routes, ports, sources, commands, versions."""

import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from typer.testing import CliRunner

from server import app, cli, serving
from storage.networks import networks
from storage.settings import Settings
from tests.debian import program

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
HAPROXY = (ROOT / "deploy/haproxy.cfg").read_text()
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
NODES = ("atrium-1", "atrium-2")

SHAPE = {
    "type": "object",
    "required": ["name", "services", "volumes"],
    "properties": {
        "services": {
            "type": "object",
            "required": [*NODES, "postgres", "valkey", "s3", "haproxy"],
            "additionalProperties": {
                "type": "object",
                "required": ["image", "restart", "healthcheck"],
                "additionalProperties": False,
                "properties": {
                    "image": {"type": "string", "pattern": r"^[a-z0-9/-]+:[0-9a-z.-]+$"},
                    "build": {"type": "object", "required": ["context", "dockerfile"]},
                    "restart": {"const": "unless-stopped"},
                    "command": {"type": "array", "items": {"type": "string"}},
                    "environment": {"type": "object", "additionalProperties": {"type": "string"}},
                    "ports": {"type": "array", "items": {"type": "string"}},
                    "volumes": {"type": "array", "items": {"type": "string"}},
                    "stop_grace_period": {"type": "string", "pattern": "^[0-9]+s$"},
                    "depends_on": {
                        "type": "object",
                        "additionalProperties": {
                            "type": "object",
                            "required": ["condition"],
                            "properties": {"condition": {"const": "service_healthy"}},
                        },
                    },
                    "healthcheck": {
                        "type": "object",
                        "required": ["test", "interval", "timeout", "retries"],
                        "additionalProperties": False,
                        "properties": {
                            "test": {"type": "array", "minItems": 2, "items": {"type": "string"}},
                            "interval": {"type": "string", "pattern": "^[0-9]+s$"},
                            "timeout": {"type": "string", "pattern": "^[0-9]+s$"},
                            "start_period": {"type": "string", "pattern": "^[0-9]+s$"},
                            "retries": {"type": "integer", "minimum": 1},
                        },
                    },
                },
            },
        },
    },
}


def setting_names() -> set[str]:
    return {
        str(field.validation_alias or f"ATRIUM_{name}").upper()
        for name, field in Settings.model_fields.items()
    }


def references(text: str) -> dict[str, str]:
    """`${NAME:?why}` and `${NAME:-default}` of a compose file: name -> what follows it."""
    return dict(re.findall(r"\$\{(\w+)([^}]*)\}", text))


def instructions(name: str) -> list[str]:
    """The arguments of every such instruction of the Dockerfile, continuation lines joined."""
    joined = re.sub(r"\\\n\s*", " ", DOCKERFILE)
    return [line.split(" ", 1)[1] for line in joined.splitlines() if line.startswith(f"{name} ")]


def paths_of_routes() -> set[str]:
    """The literal paths that the doors of a node register."""
    sources = "".join((ROOT / "server" / f"{name}.py").read_text() for name in ("health", "gateway", "pages"))
    return set(re.findall(r'"(/[\w./-]*)"', sources))


def test_compose_has_the_shape_of_compose() -> None:
    jsonschema.validate(COMPOSE, SHAPE)
    named = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    for volume in named:
        assert volume in COMPOSE["volumes"] or (ROOT / volume).exists(), volume
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_both_nodes_are_the_same() -> None:
    assert SERVICES["atrium-1"] == SERVICES["atrium-2"]


@pytest.mark.parametrize("node", NODES)
def test_every_variable_given_to_a_node_is_a_setting(node: str) -> None:
    assert set(SERVICES[node]["environment"]) <= setting_names()
    given = {word.split("=")[0] for words in instructions("ENV") for word in shlex.split(words)}
    assert {name for name in given if name.startswith(("ATRIUM_", "DATABASE_", "REDIS_"))} <= setting_names()


def test_the_environment_of_a_node_is_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {
        "ATRIUM_SECRET_KEY": "0" * 64,
        "ATRIUM_ORIGINS": "https://example.org",
        "POSTGRES_PASSWORD": "abc",
        "S3_ACCESS_KEY": "abc",
        "S3_SECRET_KEY": "def",
    }
    for name, value in SERVICES["atrium-1"]["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{(\w+)[^}]*\}", lambda match: values[match[1]], value))
    monkeypatch.setenv("ATRIUM_DATA_DIR", str(tmp_path))
    settings = Settings()
    app.check_settings(settings)
    assert settings.environment == "production"
    assert settings.database_owner_url is None
    assert "@postgres:5432/" in str(settings.database_url)
    assert settings.redis_url is not None
    grace = float(SERVICES["atrium-1"]["stop_grace_period"].removesuffix("s"))
    assert grace > settings.drain_seconds + 5


def test_what_must_be_set_says_so_and_is_in_the_example() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    example = dict(
        line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if line[:1].isalpha()
    )
    asked = references(re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE))
    assert set(asked) == set(example)
    for name, rest in asked.items():
        assert rest.startswith((":?", ":-")), f"{name} has neither a message nor a default"
        assert rest.startswith(":?") or example[name]
    for secret in ("ATRIUM_SECRET_KEY", "POSTGRES_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY"):
        assert example[secret] == "", f"{secret} must not have a value that anybody can read"


def test_health_checks_ask_for_paths_that_exist() -> None:
    tests = [" ".join(SERVICES[node]["healthcheck"]["test"]) for node in NODES]
    for text in (*tests, *instructions("HEALTHCHECK")):
        path = re.search(r"http://127\.0\.0\.1:8080(/[\w/]+)", text)
        assert path
        assert path[1] in paths_of_routes()
        code = re.search(r"import urllib[^\"]*", text)
        assert code
        compile(code[0], "healthcheck", "exec")
    checked = re.search(r"option httpchk GET (\S+)", HAPROXY)
    assert checked
    assert checked[1] in paths_of_routes()


def test_the_balancer_knows_every_node_and_every_engine() -> None:
    backends = re.split(r"^(?=backend |frontend )", HAPROXY, flags=re.MULTILINE)
    for backend in (part for part in backends if part.startswith("backend ")):
        servers = dict(re.findall(r"^\s+server (\S+) (\S+)", backend, flags=re.MULTILINE))
        assert servers == {node: f"{node}:8080" for node in NODES}
    acl = re.search(r"acl engine path_beg (.+)", HAPROXY)
    assert acl
    engines = {path for path in paths_of_routes() if path.endswith("/socket.io/")}
    assert engines == set(acl[1].split())
    assert {name for name in re.findall(r"use_backend (\S+)|default_backend (\S+)", HAPROXY) for name in name if name} \
        <= set(re.findall(r"^backend (\S+)", HAPROXY, flags=re.MULTILINE))  # fmt: skip


def test_the_nodes_believe_the_balancer_and_nobody_outside() -> None:
    assert re.search(r"^\s+option forwardfor$", HAPROXY, flags=re.MULTILINE)
    (trusted,) = networks(SERVICES["atrium-1"]["environment"]["ATRIUM_TRUSTED_PROXIES"])
    (config,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    assert str(trusted) == config["subnet"]
    assert trusted.is_private
    assert all("ports" not in SERVICES[node] for node in NODES)


def test_ports_meet() -> None:
    binds = set(re.findall(r"^\s+bind :(\d+)", HAPROXY, flags=re.MULTILINE))
    published = SERVICES["haproxy"]["ports"]
    assert [port.rsplit(":", 1)[1] for port in published] == ["8080"]
    assert "8080" in binds
    probe = " ".join(SERVICES["haproxy"]["healthcheck"]["test"])
    assert (found := re.search(r":(\d+)(/\w+)", probe))
    assert found[1] in binds
    assert f"monitor-uri {found[2]}" in HAPROXY
    assert instructions("EXPOSE") == ["8080"]
    assert [service for service in SERVICES if "ports" in SERVICES[service]] == ["haproxy"]


def test_timeouts_leave_room_for_the_heartbeat() -> None:
    settings = Settings()
    heartbeat = settings.ping_interval + settings.ping_timeout
    timeouts = {name: int(value) for name, value in re.findall(r"timeout ([\w-]+) (\d+)s", HAPROXY)}
    for name in ("client", "server", "tunnel"):
        assert timeouts[name] > heartbeat, name


def test_the_image_copies_what_exists() -> None:
    for line in instructions("COPY"):
        words = [word for word in shlex.split(line) if not word.startswith("--")]
        if "--from=" not in line:
            for source in words[:-1]:
                assert (ROOT / source).exists(), source
    copied = " ".join(instructions("COPY"))
    for package in ("server", "handlers", "storage", "sql"):
        assert f"{package}/ {package}/" in copied
    assert str(Settings.model_fields["web_dir"].default) in copied


def test_the_image_ignores_nothing_that_it_copies() -> None:
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for line in instructions("COPY"):
        if "--from=" not in line:
            for source in shlex.split(line)[:-1]:
                assert any(source.strip("/").startswith(name) for name in kept), source


def test_the_command_of_the_image_is_a_command() -> None:
    words = json.loads(instructions("CMD")[-1])
    assert words[:3] == ["python", "-m", "server"]
    said = CliRunner().invoke(cli.cli, [words[3], "--help"]).output
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    for option in (word for word in words[4:] if word.startswith("--")):
        assert option in plain
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert "signal.SIGTERM" in Path(serving.__file__).read_text()


def test_the_image_runs_unprivileged_and_checks_what_it_installs() -> None:
    assert instructions("USER") == ["atrium"]
    assert any("--require-hashes" in line for line in instructions("RUN"))
    python = next(line for line in instructions("FROM") if line.startswith("python:"))
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    version = re.match(r"python:(\d+\.\d+)", python)
    assert version
    assert version[1] in Requirement(f"python{required}").specifier


def test_node_of_the_image_is_new_enough() -> None:
    image = next(line for line in instructions("FROM") if line.startswith("node:"))
    engines = json.loads((ROOT / "clients/web/package.json").read_text())["engines"]["node"]
    major = re.match(r"node:(\d+)", image)
    wanted = re.search(r"(\d+)", engines)
    assert major
    assert wanted
    assert int(major[1]) >= int(wanted[1])


def test_the_lock_satisfies_the_project() -> None:
    text = (ROOT / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, flags=re.MULTILINE))
    for entry in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        requirement = Requirement(entry)
        assert locked[requirement.name] in requirement.specifier, entry
    assert "index-url" not in text
    assert len(re.findall("--hash=sha256:", text)) >= len(locked)


@pytest.fixture(scope="module")
def haproxy() -> str:
    found = program("haproxy", package="haproxy")
    if found is None:
        assert "CI" not in os.environ, "CI must be able to install haproxy"
        pytest.skip("no haproxy on PATH, and none to be installed")
    return found


def test_haproxy_accepts_its_configuration(haproxy: str, tmp_path: Path) -> None:
    here = re.sub(r"\batrium-[12]:8080", "127.0.0.1:8080", HAPROXY)
    path = tmp_path / "haproxy.cfg"
    path.write_text(here)
    done = subprocess.run([haproxy, "-c", "-V", "-f", path], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert "ALERT" not in done.stderr

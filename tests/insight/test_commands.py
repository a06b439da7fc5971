"""`python -m server audit`, as an operator calls it: beside a server that runs, with an exit code for cron."""

import asyncio
import csv
import io
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from server.app import DATABASE
from storage.embedded import EmbeddedPostgres
from tests.conftest import FAST
from tests.world import LOGIN_PASSWORD, Cluster

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def own() -> AsyncIterator[Cluster]:
    """A data directory with an embedded server that runs, and the named world in the database that is the server's."""
    with tempfile.TemporaryDirectory(prefix="atrium-audit-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        postgres = EmbeddedPostgres(Path(name), options=FAST)
        await postgres.start()
        try:
            cluster = Cluster(postgres, Path(name))
            await cluster.prepare()
            await cluster.create(DATABASE, template="template_world")
            yield cluster
        finally:
            await postgres.stop()


async def audit(cluster: Cluster, *arguments: str) -> tuple[int, str, str]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.endswith("_URL")},
        "ATRIUM_DATA_DIR": str(cluster.directory), "ATRIUM_SECRET_KEY": "x" * 40,
        "ATRIUM_LOG_LEVEL": "error",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server", "audit", *arguments, cwd=ROOT, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_verify_and_export(own: Cluster) -> None:
    code, said, err = await audit(own, "verify")
    assert code == 0, said + err
    assert {line.split()[1] for line in said.splitlines()} == {"acme:", "rival:", "instance:"}
    assert all(line.startswith("ok ") for line in said.splitlines())

    code, said, err = await audit(own, "export", "--tenant", "acme")
    assert code == 0, err
    rows = list(csv.DictReader(io.StringIO(said, newline="")))
    assert [row["action"] for row in rows[:2]] == ["audit.export", "task.create"]
    assert (rows[0]["address"], rows[0]["actor_id"]) == ("command line", "")

    owner = await asyncpg.connect(own.postgres.dsn(DATABASE))
    try:
        await owner.execute("ALTER TABLE audit_entries DISABLE TRIGGER append_only")
        bad = await owner.fetchval(
            "UPDATE audit_entries SET outcome = 'x' WHERE id = $1 RETURNING id", UUID(rows[3]["id"])
        )
        assert bad is not None
    finally:
        await owner.close()
    code, said, _ = await audit(own, "verify", "--tenant", "acme")
    assert code == 1
    assert said.startswith("BAD acme: seq ")
    assert f"entry {bad}: task.create of " in said
    assert (await audit(own, "verify", "--tenant", "rival"))[0] == 0
    code, _, err = await audit(own, "verify", "--tenant", "nobody")
    assert (code, "no tenant with the slug nobody" in err) == (1, True)
    assert LOGIN_PASSWORD not in said + err

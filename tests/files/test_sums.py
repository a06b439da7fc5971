"""The sum that counts against a quota: looked at by the doctor, and reckoned anew."""

from typing import Any
from uuid import UUID

from server.doctor import Finding, examine
from storage.migrations import MIGRATIONS_DIR
from tests.files.hands import uploaded, used
from tests.world import LOGIN_PASSWORD, Cluster, World, settings_for


async def _files(world: World, cluster: Cluster) -> Finding:
    address = world.login.replace("@", f":{LOGIN_PASSWORD}@", 1)
    settings = settings_for(
        cluster.directory, database_url=address, database_owner_url=world.dsn, drain_seconds=0
    )
    findings = {finding.what: finding for finding in await examine(settings)}
    assert findings["postgres"].good, findings["postgres"]
    return findings["files"]


async def test_a_sum_that_is_wrong_is_found_and_mended(plain: World, cluster: Cluster) -> None:
    kept, gone = await uploaded(plain, b"x" * 30), await uploaded(plain, b"x" * 12)
    assert (await plain.person("alice").rest("DELETE", f"/files/{gone.id}")).success
    assert kept
    assert (await _files(plain, cluster)).good
    async with plain.sql() as db:
        await db.execute("UPDATE file_usage SET bytes = 30 WHERE tenant_id = $1", UUID(plain.tenant_id))
    found = await _files(plain, cluster)
    assert (found.good, found.says) == (
        False,
        f"the sums of 1 tenants are wrong (bytes): {plain.tenant_id} has 42 and not 30",
    )
    async with plain.sql() as db:
        await _mend(db)
    assert await used(plain) == 42
    assert (await _files(plain, cluster)).good


async def _mend(db: Any) -> None:
    """As the migration does that changed what counts."""
    text = (MIGRATIONS_DIR / "0049_bytes_until_they_are_gone.sql").read_text()
    await db.execute(text.partition("CREATE POLICY")[0])

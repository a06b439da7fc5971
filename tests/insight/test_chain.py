"""The chain: whatever happens to a row, the verifier names it; and the login role can do nothing at all."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from handlers.evidence import INSTANCE
from handlers.insight.chain import Signer, follow, genesis
from server.app import instance_secret
from server.sealing import Sealer, heads_file
from server.verify import Chain, Verifier, read_heads
from tests.contract.test_schema import logged_in
from tests.world import World


@pytest.fixture
def quiet(worlds: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Worlds where nothing is sealed but by the tests themselves, and with a data directory of their own."""

    async def make(**changes: Any) -> World:
        world: World = await worlds(
            data_dir=tmp_path, audit_seal_interval=3600, audit_head_interval=3600, **changes
        )
        return world

    return make


@pytest.fixture
async def sealed(quiet: Callable[..., Any]) -> World:
    """A world with eight sealed entries that are alice's, and its heads written down."""
    world: World = await quiet()
    alice = world.person("alice")
    for n in range(8):
        assert (
            await alice.send("task.update", task_id=world.tasks[0], changes={"title": f"Title {n}"})
        ).success
    assert await world.node.sealer.once() > 8
    assert (await verdict(world)).finding is None
    return world


def verifier_of(world: World) -> Verifier:
    signer = Signer(instance_secret(world.node.settings))
    return Verifier(world.node.db, signer, world.node.settings.data_dir)


async def verdict(world: World, tenant_id: str | None = None) -> Any:
    return await verifier_of(world).verify(Chain(UUID(tenant_id or world.tenant_id), "acme"))


async def seals(world: World, tenant_id: str | None = None) -> list[Any]:
    async with world.sql() as db:
        rows: list[Any] = await db.fetch(
            "SELECT s.*, e.action FROM audit_seals AS s JOIN audit_entries AS e "
            "ON e.tenant_id = s.tenant_id AND e.id = s.entry_id WHERE s.tenant_id = $1 ORDER BY seq",
            UUID(tenant_id or world.tenant_id),
        )
    return rows


async def forge(world: World, *statements: str, arguments: tuple[Any, ...] = ()) -> None:
    """As the owner of the tables, who has switched the triggers off first."""
    async with world.sql() as db, db.transaction():
        for table in ("audit_entries", "audit_seals"):
            await db.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only")
        for statement in statements:
            await db.execute(statement, *arguments[: statement.count("$")])
        for table in ("audit_entries", "audit_seals"):
            await db.execute(f"ALTER TABLE {table} ENABLE TRIGGER append_only")


CHANGES = (
    "outcome = 'FORBIDDEN'", "actor_id = NULL", "changes = '{}'", "at = at + interval '1 us'", "was = NULL",
    "address = '::1'", "user_agent = 'x'", "resource = 'task:x'", "session_id = command_id", "room_id = NULL",
    "impersonator_id = actor_id", "action = 'task.move'", "command_id = NULL",
)  # fmt: skip


async def test_an_edited_entry_is_named_whatever_was_edited(sealed: World) -> None:
    bad = (await seals(sealed))[-3]
    assert bad["action"] == "task.update"
    async with sealed.sql() as db:
        columns = [row[0] for row in await db.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'audit_entries'::regclass AND attnum > 0"
        )]  # fmt: skip
    assert {change.partition(" ")[0] for change in CHANGES} == {*columns} - {"tenant_id", "id"}
    await forge(sealed, "CREATE TABLE kept AS SELECT * FROM audit_entries")
    for change in CHANGES:
        await forge(sealed, f"UPDATE audit_entries SET {change} WHERE id = $1", arguments=(bad["entry_id"],))
        finding = (await verdict(sealed)).finding
        assert (finding.seq, finding.entry_id) == (bad["seq"], bad["entry_id"]), change
        assert "edited" in str(finding)
        await forge(
            sealed, "DELETE FROM audit_entries", "INSERT INTO audit_entries SELECT * FROM kept"
        )  # fmt: skip
        assert (await verdict(sealed)).finding is None


@pytest.mark.parametrize("change", ["hash = sha256(hash)", "sealed_at = sealed_at - interval '1 day'"])
async def test_an_edited_seal_is_named(sealed: World, change: str) -> None:
    bad = (await seals(sealed))[-3]
    await forge(sealed, f"UPDATE audit_seals SET {change} WHERE entry_id = $1", arguments=(bad["entry_id"],))
    assert (await verdict(sealed)).finding.seq == bad["seq"]


async def test_a_deleted_entry_is_named(sealed: World) -> None:
    bad = (await seals(sealed))[-3]
    await forge(sealed, "DELETE FROM audit_entries WHERE id = $1", arguments=(bad["entry_id"],))
    finding = (await verdict(sealed)).finding
    assert (finding.seq, finding.entry_id, finding.what) == (bad["seq"], bad["entry_id"], "was deleted")


async def test_an_entry_deleted_with_its_seal_is_named(sealed: World) -> None:
    bad = (await seals(sealed))[-3]
    await forge(
        sealed,
        "DELETE FROM audit_entries WHERE id = $1",
        "DELETE FROM audit_seals WHERE entry_id = $1",
        arguments=(bad["entry_id"],),
    )
    finding = (await verdict(sealed)).finding
    assert (finding.seq, finding.what) == (bad["seq"], "was deleted with its seal")


async def test_rows_in_another_order_are_named(sealed: World) -> None:
    one, other = (await seals(sealed))[-4:-2]
    await forge(
        sealed,
        f"UPDATE audit_seals SET seq = -1 WHERE seq = {one['seq']}",
        f"UPDATE audit_seals SET seq = {one['seq']} WHERE seq = {other['seq']}",
        f"UPDATE audit_seals SET seq = {other['seq']} WHERE seq = -1",
    )
    finding = (await verdict(sealed)).finding
    assert (finding.seq, finding.entry_id) == (one["seq"], other["entry_id"])


async def test_an_inserted_entry_is_named(sealed: World) -> None:
    made = uuid4()
    await forge(
        sealed,
        "INSERT INTO audit_entries (tenant_id, id, at, action, outcome, resource, address, user_agent) "
        f"SELECT tenant_id, '{made}', now() - interval '1 hour', 'task.move', 'ok', '', '', '' "
        "FROM audit_entries WHERE action = 'task.update' LIMIT 1",
    )
    finding = (await verdict(sealed)).finding
    assert finding.entry_id == made
    assert "inserted" in finding.what


async def test_an_entry_that_waits_too_long_is_named(sealed: World) -> None:
    alice = sealed.person("alice")
    await alice.send("task.update", task_id=sealed.tasks[0], changes={"title": "Late"})
    assert (await verdict(sealed)).finding is None, "it may wait for a while"
    await forge(
        sealed,
        "UPDATE audit_entries SET at = at - interval '1 hour' WHERE id IN (SELECT unnest(entry_ids) FROM audit_pending)",
    )
    assert "waits for its seal too long" in str((await verdict(sealed)).finding)


async def test_a_forged_end_is_named(sealed: World) -> None:
    """Somebody who may write to the tables, but does not have the secret, goes on with the chain by the book."""
    last = (await seals(sealed))[-1]
    tenant_id, made = UUID(sealed.tenant_id), uuid4()
    async with sealed.sql() as db, db.transaction():
        entry = await db.fetchrow(
            "INSERT INTO audit_entries (tenant_id, id, at, action, outcome, resource, address, user_agent) "
            "VALUES ($1, $2, now(), 'task.move', 'ok', '', '', '') RETURNING *", tenant_id, made,
        )  # fmt: skip
        now = datetime.now(UTC)
        head = follow(genesis(tenant_id).__class__(last["seq"], last["hash"]), tenant_id, entry, now)
        forged = Signer("a secret that somebody made up").sign("head", tenant_id, head)
        await db.execute(
            "INSERT INTO audit_seals VALUES ($1, $2, $3, $4, $5, $6)",
            tenant_id, head.seq, made, head.hash, forged, now,
        )  # fmt: skip
    finding = (await verdict(sealed)).finding
    assert (finding.seq, finding.entry_id, finding.what) == (head.seq, made, "is not signed by this instance")


async def test_an_end_that_was_cut_off_is_noticed_by_the_heads(
    quiet: Callable[..., Any], tmp_path: Path
) -> None:
    world = await quiet()
    alice = world.person("alice")
    for n in range(3):
        assert (
            await alice.send("task.update", task_id=world.tasks[0], changes={"title": f"Title {n}"})
        ).success
        await world.node.sealer.once()
    assert await world.node.sealer.tell_heads() >= 1
    (line, *_) = [
        said for said in map(orjson.loads, heads_file(tmp_path).read_bytes().splitlines())
        if said["tenant"] == world.tenant_id
    ]  # fmt: skip
    rows = await seals(world)
    assert (line["seq"], line["hash"]) == (rows[-1]["seq"], rows[-1]["hash"].hex())
    assert (await verdict(world)).finding is None
    last = (rows[-1]["entry_id"],)
    await forge(
        world,
        "DELETE FROM audit_entries WHERE id = $1",
        "DELETE FROM audit_seals WHERE entry_id = $1",
        arguments=last,
    )
    finding = (await verdict(world)).finding
    assert finding.seq == rows[-1]["seq"]
    assert "cut off" in finding.what
    # Who has the secret as well, and goes on as if nothing had been, is given away by the same head.
    assert (await alice.send("task.update", task_id=world.tasks[0], changes={"title": "Other"})).success
    await world.node.sealer.once()
    finding = (await verdict(world)).finding
    assert finding.seq == rows[-1]["seq"]
    assert "rewritten" in finding.what


async def test_heads_that_could_not_be_written_are_written_later(
    quiet: Callable[..., Any], tmp_path: Path
) -> None:
    world = await quiet()
    await world.person("bob").sign_in()
    await world.node.sealer.once()
    (tmp_path / "audit").touch()  # where the directory should be
    with pytest.raises(OSError, match="exists"):
        await world.node.sealer.tell_heads()
    (tmp_path / "audit").unlink()
    await world.node.sealer.tell_heads()
    said = [orjson.loads(line) for line in heads_file(tmp_path).read_bytes().splitlines()]
    assert world.tenant_id in {each["tenant"] for each in said}


async def test_half_a_line_that_a_full_disk_left_spoils_no_head(
    quiet: Callable[..., Any], tmp_path: Path
) -> None:
    world = await quiet()
    await world.person("bob").sign_in()
    await world.node.sealer.once()
    heads_file(tmp_path).parent.mkdir(exist_ok=True)
    heads_file(tmp_path).write_bytes(b'{"at":"2026-11-')
    await world.node.sealer.tell_heads()
    assert UUID(world.tenant_id) in read_heads(tmp_path)
    assert (await verdict(world)).finding is None


async def test_a_chain_that_is_gone_altogether_is_noticed(quiet: Callable[..., Any], tmp_path: Path) -> None:
    world = await quiet()
    await world.person("bob").sign_in()
    await world.node.sealer.once()
    await world.node.sealer.tell_heads()
    await forge(
        world, "DELETE FROM audit_entries WHERE tenant_id = $1", "DELETE FROM audit_seals WHERE tenant_id = $1",
        arguments=(UUID(world.tenant_id),),
    )  # fmt: skip
    assert world.tenant_id in {str(chain.tenant_id) for chain in await verifier_of(world).chains()}
    assert "cut off" in (await verdict(world)).finding.what


async def test_not_even_the_owner_changes_it_by_accident(sealed: World) -> None:
    async with sealed.sql() as db:
        for table in ("audit_entries", "audit_seals", "audit_anchors"):
            for verb in ("UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}", "TRUNCATE {}"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                    await db.execute(verb.format(table))


async def test_the_login_role_cannot_even_ask_retention_for_it(sealed: World) -> None:
    last = (await seals(sealed))[-1]
    async with logged_in(sealed, sealed.tenant_id) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="too young"):
            await connection.execute(
                "SELECT trim_audit($1, $2, $3, $4, $5)",
                UUID(sealed.tenant_id), last["seq"], last["hash"], b"x", datetime.now(UTC) + timedelta(days=9999),
            )  # fmt: skip
    async with logged_in(sealed, sealed.tenant_id) as connection:
        await connection.execute("SELECT set_config('atrium.audit_retention', 'on', true)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            await connection.execute("DELETE FROM audit_entries")


async def test_every_chain_is_sealed_and_good(sealed: World) -> None:
    await sealed.request("POST", "/auth/login", json={"email": "nobody@acme.example", "password": "x"})
    assert await sealed.node.sealer.once() > 0
    assert await sealed.node.sealer.once() == 0
    chains = await verifier_of(sealed).chains()
    assert {chain.name for chain in chains} >= {"acme", "rival", "instance"}
    for chain in chains:
        found = await verifier_of(sealed).verify(chain)
        assert found.finding is None, found
        assert found.entries > 0, chain.name
    assert [chain.tenant_id for chain in await verifier_of(sealed).chains("instance")] == [INSTANCE]


async def test_two_nodes_seal_at_once_while_many_rooms_are_busy(quiet: Callable[..., Any]) -> None:
    world: World = await quiet()
    alice = world.person("alice")
    rooms = [world.project]
    for n in range(7):
        made = await alice.send("project.create", name=f"Room {n}")
        rooms.append(f"project:{made.data.project.id}")
    signer = Signer(instance_secret(world.node.settings))
    sealers = [world.node.sealer, *(Sealer(world.node.db, world.node.settings, signer) for _ in range(3))]
    working = True

    async def seal(sealer: Sealer) -> int:
        count = 0
        while working:
            count += await sealer.once()
            await asyncio.sleep(0.005)
        return count

    sealing = [asyncio.create_task(seal(sealer)) for sealer in sealers]
    answers = [
        await alice.post("task.create", {"room": room, "title": f"Task {n}"})
        for n in range(25)
        for room in rooms
    ]
    for answer in answers:
        assert (await answer).success
    working = False
    counts = await asyncio.gather(*sealing)
    await world.node.sealer.once()
    assert sum(counts) > 0
    found = await verdict(world)
    assert found.finding is None
    async with world.sql() as db:
        entries = await db.fetchval(
            "SELECT count(*) FROM audit_entries WHERE tenant_id = $1", UUID(world.tenant_id)
        )
        assert await db.fetchval("SELECT count(*) FROM audit_pending") == 0
    assert found.entries == found.head.seq == entries >= 200


async def test_an_entry_taken_away_before_it_is_sealed_leaves_a_trace(sealed: World) -> None:
    alice = sealed.person("alice")
    await alice.send("task.update", task_id=sealed.tasks[0], changes={"title": "Gone"})
    await forge(
        sealed, "DELETE FROM audit_entries WHERE id IN (SELECT unnest(entry_ids) FROM audit_pending)"
    )  # fmt: skip
    await sealed.node.sealer.once()
    await sealed.node.sealer.once()
    assert (await seals(sealed))[-1]["action"] == "audit.missing"
    assert (await verdict(sealed)).finding is None


# Retention.


async def age(world: World, days: int) -> None:
    """Make what waits for its seal older, before it is chained."""
    await forge(
        world,
        f"UPDATE audit_entries SET at = at - interval '{days} days' "
        "WHERE id IN (SELECT unnest(entry_ids) FROM audit_pending)",
    )


async def test_retention_removes_the_oldest_and_the_rest_still_verifies(quiet: Callable[..., Any]) -> None:
    world: World = await quiet(audit_retention=365)
    nobody = {"email": "nobody@acme.example", "password": "x"}
    for _ in range(3):
        await world.request("POST", "/auth/login", json=nobody)
    await age(world, 400)
    old = await world.node.sealer.once()
    for _ in range(4):
        await world.request("POST", "/auth/login", json=nobody)
    await world.node.sealer.once()
    assert await world.node.sealer.trim() == old == 3
    assert await world.node.sealer.trim() == 0
    await world.node.sealer.once()
    found = await verdict(world, str(INSTANCE))
    assert found.finding is None
    assert (found.entries, found.head.seq) == (5, 8)
    rows = await seals(world, str(INSTANCE))
    assert [row["seq"] for row in rows] == [4, 5, 6, 7, 8]
    assert rows[-1]["action"] == "audit.trim", "that it was done is evidence itself"
    bad = rows[2]
    await forge(world, "UPDATE audit_entries SET outcome = 'x' WHERE id = $1", arguments=(bad["entry_id"],))
    assert (await verdict(world, str(INSTANCE))).finding.seq == bad["seq"]


async def test_retention_goes_no_further_than_the_first_young_entry(quiet: Callable[..., Any]) -> None:
    world: World = await quiet()
    await world.node.sealer.once()
    bob = world.person("bob")
    await bob.sign_in()
    await age(world, 4000)
    await world.node.sealer.once()
    before = len(await seals(world))
    assert await world.node.sealer.trim() == 0, "the old entry stands behind younger ones"
    assert len(await seals(world)) == before


async def test_a_forged_anchor_is_noticed(sealed: World) -> None:
    third = (await seals(sealed))[2]
    async with sealed.sql() as db:
        await db.execute(
            "INSERT INTO audit_anchors VALUES ($1, $2, $3, $4, now())",
            UUID(sealed.tenant_id), third["seq"], third["hash"], b"x" * 32,
        )  # fmt: skip
    await forge(
        sealed,
        f"DELETE FROM audit_entries WHERE id IN (SELECT entry_id FROM audit_seals WHERE seq <= {third['seq']})",
        f"DELETE FROM audit_seals WHERE seq <= {third['seq']}",
    )
    finding = (await verdict(sealed)).finding
    assert finding.seq == third["seq"]
    assert "not by this instance" in finding.what


async def test_another_secret_does_not_sign_for_this_one(sealed: World) -> None:
    signer = Signer("y" * 40)
    verifier = Verifier(sealed.node.db, signer, sealed.node.settings.data_dir)
    chain = Chain(UUID(sealed.tenant_id), "acme")
    assert "not signed" in str((await verifier.verify(chain)).finding)
    former = Verifier(sealed.node.db, Signer("y" * 40, ["x" * 40]), sealed.node.settings.data_dir)
    assert (await former.verify(chain)).finding is None

"""Files of a project: lists, names, the end of one, and of all when a project or tenant goes."""

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from storage.blobs import key_of
from tests.files.hands import blobs, fetch, nothing, rows, upload, uploaded, used
from tests.world import World, eventually

LATER = timedelta(hours=3)


async def test_the_list_of_a_project(plain: World) -> None:
    names = [f"{n}.txt" for n in range(7)]
    files = [await uploaded(plain, name.encode(), name) for name in names]
    bob = await plain.person("bob").connect()
    found: list[Any] = []
    cursor = None
    while True:
        reply = await bob.send(
            "file.list", project_id=plain.project_id, limit=3, **({"cursor": cursor} if cursor else {})
        )
        found += reply.data.files
        cursor = reply.meta.pagination.next
        if cursor is None:
            break
    assert found == files[::-1]
    assert (await bob.send("file.get", file_id=files[0].id)).data.file == files[0]
    wrong = await bob.send("file.list", project_id=plain.project_id, cursor="nonsense")
    assert list(wrong.error.field_errors) == ["cursor"]


async def test_another_name(plain: World) -> None:
    file = await uploaded(plain, by="bob")
    bob, alice, carol = [await plain.person(name).connect() for name in ("bob", "alice", "carol")]
    await alice.join(plain.project)
    refused = await carol.send("file.rename", file_id=file.id, name="x.txt")
    assert (refused.error.code, refused.error.details) == ("FORBIDDEN", {"permission": "project.edit"})
    renamed = await bob.send("file.rename", file_id=file.id, name="../Two coats.md", expected_version=1)
    assert renamed.data.file.name == "Two coats.md"
    heard = await alice.hears("file.renamed")
    assert (heard.data.file, heard.data.was) == (renamed.data.file, {"name": "notes.txt"})
    stale = await alice.send("file.rename", file_id=file.id, name="x", expected_version=1)
    assert (stale.error.code, stale.error.details.current.name) == ("VERSION_CONFLICT", "Two coats.md")
    assert (await alice.send("file.rename", file_id=file.id, name="Three coats.md")).data.file.version == 3
    response, data = await fetch(plain, file.id)
    assert (response.content_disposition.filename, data) == ("Three coats.md", b"Two coats\n")
    assert (await alice.send("file.rename", file_id=file.id, name="a\nb")).error.code == "VALIDATION_ERROR"


async def test_whoever_uploaded_it_or_runs_the_project_deletes(desk: World) -> None:
    first, second = await uploaded(desk, by="carol"), await uploaded(desk, by="carol")
    carol, bob, manager = [await desk.person(name).connect() for name in ("carol", "bob", "manager")]
    await bob.join(desk.project)
    refused = await bob.send("file.delete", file_id=first.id)
    assert (refused.error.code, refused.error.details) == ("FORBIDDEN", {"permission": "project.edit"})
    assert (await carol.send("file.delete", file_id=first.id)).success
    assert (await bob.hears("file.deleted")).data.file == {"id": first.id, "removed": True}
    assert (await manager.send("file.delete", file_id=second.id)).success
    for person in (carol, manager):
        assert (await person.send("file.delete", file_id=first.id)).error.code == "NOT_FOUND"
    assert (await fetch(desk, first.id))[0].status == 404
    assert (await bob.send("file.list", project_id=desk.project_id)).data.files == []
    maintenance, now = desk.node.maintenance.sweeper, datetime.now(UTC)
    assert await maintenance.files(now) == 0, "not at once, for somebody may be reading it"
    assert len(await blobs(desk)) == 2
    assert await maintenance.files(now + LATER) == 2
    assert await nothing(desk)
    assert await used(desk) == 0


async def test_uploads_that_nobody_went_on_with_are_removed(desk: World) -> None:
    """As a node leaves them that is killed: the row, or the bytes besides."""
    kept = await uploaded(desk, b"kept")
    tenant_id, blob_id, early = UUID(desk.tenant_id), uuid4(), uuid4()
    async with desk.sql() as db:
        for own in (blob_id, early):
            await db.execute(
                "INSERT INTO files (tenant_id, project_id, id, blob_id, name, size, created_by, created_at, updated_by, "
                "updated_at) VALUES ($1, $2, $3, $3, 'x', 9, $3, now(), $3, now())",
                tenant_id, UUID(desk.project_id), own,
            )  # fmt: skip

    async def some() -> Any:
        yield b"x"

    await desk.node.blobs.write(key_of(tenant_id, blob_id), some())
    now = datetime.now(UTC)
    assert await desk.node.maintenance.sweeper.files(now + timedelta(minutes=90)) == 0, (
        "they may be under way"
    )
    assert await desk.node.maintenance.sweeper.files(now + LATER) == 2
    assert [row.id for row in await rows(desk)] == [UUID(kept.id)]
    assert len(await blobs(desk)) == 1
    assert (await fetch(desk, kept.id))[1] == b"kept"


async def test_an_upload_is_given_up_or_becomes_a_file(plain: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not both: it ends while its bytes are being removed."""
    sweeper, sending, going = plain.node.maintenance.sweeper, asyncio.Event(), asyncio.Event()

    async def halting() -> Any:
        yield b"x"
        sending.set()
        await going.wait()

    uploading = asyncio.create_task(upload(plain, halting()))
    await asyncio.wait_for(sending.wait(), 20)
    real = plain.node.blobs.delete

    async def slow(keys: Any) -> None:
        if not going.is_set():
            going.set()
            await asyncio.wait({uploading})
        await real(keys)

    async def begun() -> bool:
        return bool(await rows(plain))

    await eventually(begun)
    with monkeypatch.context() as patched:
        patched.setattr(plain.node.blobs, "delete", slow)
        removing = asyncio.create_task(sweeper.files(datetime.now(UTC) + LATER))
        await asyncio.wait({removing}, timeout=20)
    reply = await uploading
    assert (reply.status, reply.error.code) == (404, "NOT_FOUND")
    assert await nothing(plain)
    assert await used(plain) == 0


@pytest.fixture
async def two(plain: World) -> World:
    """Files of two tenants, all of them deleted: three of acme, one of the other."""
    async with plain.sql() as db:
        theirs = str(await db.fetchval("SELECT id FROM projects WHERE name = 'Rival plans'"))
    files = [("alice", await uploaded(plain, b"mine")) for _ in range(3)]
    files.append(("mallory", await uploaded(plain, b"theirs", by="mallory", project_id=theirs)))
    for who, file in files:
        assert (await plain.person(who).rest("DELETE", f"/files/{file.id}")).success
    return plain


@pytest.mark.parametrize("at_once", [2, 1000])
async def test_what_cannot_be_removed_of_one_tenant_keeps_no_other(
    two: World, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Neither by an error nor by taking up all places among those that are due."""
    monkeypatch.setattr("server.sweeper.AT_ONCE", at_once)
    sweeper, delete, tried = two.node.maintenance.sweeper, two.node.blobs.delete, 0

    async def picky(keys: Any) -> None:
        nonlocal tried
        if two.tenant_id in keys[0]:
            tried += 1
            raise ConnectionError("they could not be deleted")
        await delete(keys)

    with monkeypatch.context() as patched:
        patched.setattr(two.node.blobs, "delete", picky)
        assert await sweeper.files(datetime.now(UTC) + LATER) == 1
    assert tried == 1, "once a round"
    assert [str(row.tenant_id) for row in await rows(two)] == [two.tenant_id] * 3
    assert await sweeper.files(datetime.now(UTC) + LATER) == 3
    assert await nothing(two)


async def test_one_blob_that_cannot_be_removed_keeps_no_other(two: World) -> None:
    root = two.node.settings.data_dir / "blobs"
    [first, *_] = await rows(two)
    bad = root / key_of(first.tenant_id, first.blob_id)
    bad.unlink()
    bad.mkdir()
    sweeper = two.node.maintenance.sweeper
    assert await sweeper.files(datetime.now(UTC) + LATER) == 3
    assert [row.id for row in await rows(two)] == [first.id]
    bad.rmdir()
    assert await sweeper.files(datetime.now(UTC) + LATER) == 1
    assert await nothing(two)


@pytest.mark.parametrize("at_once", [1, 1000])
async def test_a_store_that_is_away_is_not_asked_for_ever(
    two: World, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("server.sweeper.AWAY", 1)
    monkeypatch.setattr("server.sweeper.AT_ONCE", at_once)
    asked = 0

    async def away(_: Any) -> None:
        nonlocal asked
        asked += 1
        raise TimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(two.node.blobs, "delete", away)
        assert await two.node.maintenance.sweeper.files(datetime.now(UTC) + LATER) == 0
    assert asked == 1
    assert len(await rows(two)) == len(await blobs(two)) == 4


async def test_strange_bytes_that_cannot_be_removed_keep_no_others(
    plain: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete, sweeper = plain.node.blobs.delete, plain.node.maintenance.sweeper
    keys = [key_of(uuid4(), uuid4()) for _ in range(2)]

    async def some() -> Any:
        yield b"x"

    for key in keys:
        await plain.node.blobs.write(key, some())

    async def picky(given: Any) -> None:
        if keys[0] in given:
            raise ConnectionError("denied")
        await delete(given)

    async def untidy(_: float) -> None:
        raise ConnectionError("denied")

    monkeypatch.setattr(plain.node.blobs, "delete", picky)
    monkeypatch.setattr(plain.node.blobs, "tidy", untidy)
    assert await sweeper.blobs(datetime.now(UTC) + LATER) == 1
    assert await blobs(plain) == keys[:1]


async def test_bytes_that_belong_to_nothing_are_removed(desk: World) -> None:
    kept = await uploaded(desk, b"kept")
    stranger, theirs = key_of(UUID(desk.tenant_id), uuid4()), key_of(uuid4(), uuid4())

    async def some() -> Any:
        yield b"x"

    for key in (stranger, theirs, "tenant/odd"):
        await desk.node.blobs.write(key, some())
    now = datetime.now(UTC)
    assert await desk.node.maintenance.sweeper.blobs(now) == 0, "an upload may be under way"
    assert await desk.node.maintenance.sweeper.blobs(now + LATER) == 2
    assert [key for key in await blobs(desk) if key != "tenant/odd"] == [
        key_of(UUID(desk.tenant_id), (await rows(desk))[0].blob_id)
    ]
    assert (await fetch(desk, kept.id))[1] == b"kept"


async def test_a_project_takes_its_files_along(desk: World) -> None:
    alice = await desk.person("alice").connect()
    other = (await alice.send("project.create", name="Kept")).data.project.id
    kept = await uploaded(desk, b"kept", project_id=other)
    file = await uploaded(desk, b"gone")
    assert (await alice.send("project.delete", project_id=desk.project_id)).success
    assert (await fetch(desk, file.id))[0].status == 404
    assert (await upload(desk, b"x")).status == 404
    assert (await alice.send("project.restore", project_id=desk.project_id)).success
    assert (await fetch(desk, file.id))[1] == b"gone"
    assert (await alice.send("project.delete", project_id=desk.project_id)).success
    assert (await alice.send("project.purge", project_id=desk.project_id)).success
    assert await desk.node.maintenance.trash() == 1
    assert [row.id for row in await rows(desk)] == [UUID(kept.id)]
    assert len(await blobs(desk)) == 1
    assert await used(desk) == 4
    assert (await fetch(desk, kept.id))[1] == b"kept"


async def test_a_store_that_is_away_keeps_a_project_until_it_is_back(
    plain: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await uploaded(plain, b"gone")
    alice = await plain.person("alice").connect()
    for name in ("project.delete", "project.purge"):
        assert (await alice.send(name, project_id=plain.project_id)).success

    async def away(_: Any) -> None:
        raise ConnectionError("S3 is away")

    with monkeypatch.context() as patched:
        patched.setattr(plain.node.blobs, "delete", away)
        assert await plain.node.maintenance.trash() == 0
    assert len(await rows(plain)) == 1
    assert await plain.node.maintenance.trash() == 1
    assert await nothing(plain)


async def test_a_tenant_takes_its_files_along(desk: World) -> None:
    async with desk.sql() as db:
        theirs = str(await db.fetchval("SELECT id FROM projects WHERE name = 'Rival plans'"))
    await uploaded(desk, b"theirs", by="mallory", project_id=theirs)
    await uploaded(desk, b"gone")
    alice = desk.person("alice")
    gone = await alice.rest("DELETE", f"/tenants/{desk.tenant_id}", json={"slug": "acme"})
    assert gone.success, gone
    assert (await upload(desk, b"x")).status == 403
    purge_at = datetime.fromisoformat(gone.data.tenant.purge_at)
    assert await desk.node.maintenance.tenants(purge_at + timedelta(seconds=1)) == 1
    assert len(await rows(desk)) == 1
    [key] = await blobs(desk)
    assert not key.startswith(f"tenant/{desk.tenant_id}/")


async def test_what_is_told_of_it_in_words(plain: World) -> None:
    file = await uploaded(plain, by="bob")
    bob = await plain.person("bob").connect()
    await bob.send("file.rename", file_id=file.id, name="coats.md")
    await bob.send("file.delete", file_id=file.id)
    told = (await bob.send("activity.list", project_id=plain.project_id, limit=3)).data.entries
    assert [entry.text for entry in told] == [
        "Bob deleted a file",
        "Bob renamed the file notes.txt to coats.md",
        "Bob uploaded notes.txt",
    ]


async def test_a_key_reads_and_writes_by_its_scopes(plain: World) -> None:
    alice = plain.person("alice")
    file = await uploaded(plain, b"x")
    keys = {}
    for scope in ("read", "write"):
        made = await alice.rest(
            "POST", f"/tenants/{plain.tenant_id}/api-keys", json={"name": scope, "scopes": [scope]}
        )
        keys[scope] = {"Authorization": f"Bearer {made.data.key}"}
    url = f"{plain.url}/api/v1/files/{file.id}/content"
    async with plain.http.get(url, headers=keys["read"]) as response:
        assert (response.status, await response.read()) == (200, b"x")
    refused = await upload(plain, b"x", headers=keys["read"])
    assert (refused.status, refused.error.code) == (403, "FORBIDDEN")
    assert (await upload(plain, b"x", headers=keys["write"])).status == 201


async def test_several_nodes_share_a_store(worlds: Callable[..., Any], store: dict[str, Any]) -> None:
    world = await worlds(**store)
    data = os.urandom(2_000_000)
    files = await asyncio.gather(*(uploaded(world, data, f"{n}.bin") for n in range(5)))
    assert len({file.id for file in files}) == 5
    assert all(
        [(await fetch(world, file.id))[1] == data for file in files]
    )  # fmt: skip

"""Imports: a table of people becomes invitations, row by row, once each, whatever happens on the way."""

import asyncio
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from handlers.errors import ValidationFailed
from handlers.identity import import_rows
from server.importer import Importer
from tests.identity.mailbox import Mailbox, token_in
from tests.keys.hands import make_key, rest
from tests.keys.hands import rest as by_key
from tests.world import NO_DIRECTORY, Cluster, Person, World, second_node

NOW = datetime(2026, 11, 21, tzinfo=UTC)
BY_HAND = {"import_poll": 3600.0}
"""The worker of the node sleeps, and the test does its work."""


def read(text: str) -> list[import_rows.Row]:
    return import_rows.rows(text, role="member", now=NOW)


def flaws(text: str) -> list[tuple[int, str, str]]:
    return [(flaw.line, flaw.field, flaw.message) for row in read(text) for flaw in row.flaws]


@pytest.fixture
async def posted(worlds: Callable[..., Any], mailbox: Mailbox) -> World:
    world: World = await worlds(smtp_url=mailbox.url, import_poll=0.05, import_portion=2, **NO_DIRECTORY)
    return world


@pytest.fixture
async def alice(posted: World) -> Person:
    return await posted.person("alice").connect()


async def begin(person: Person, csv: str, **more: Any) -> Any:
    reply = await person.send("member.import", csv=csv, **more)
    assert reply.success, reply
    return reply.data.job


async def finished(person: Person) -> Any:
    """The last word about the import that is under way."""
    while True:
        job = (await person.hears("import.progress")).data.job
        if job.get("removed"):
            return job


async def report(person: Person, job: Any) -> Any:
    reply = await person.send("import.get", import_id=job.id, limit=100)
    assert reply.success, reply
    return reply.data


def people(count: int, domain: str = "new.example") -> str:
    return "email,name,role\n" + "".join(f"n{n}@{domain},Person {n},viewer\n" for n in range(count))


# The table.


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_as_people_write_them(separator: str, mark: str, end: str) -> None:
    lines = [
        ["Role", "E-Mail", "Something", "FULL NAME", "expires_at", "Projects"],
        ["Viewer", " New@Acme.example ", "x", f'"Comer{separator} ""N"""', "2027-01-31", "kit|web KIT"],
        ["", "late@acme.example", "", "", "2027-01-31T12:00:00+01:00", ""],
    ]
    first, second = read(mark + end.join(separator.join(cells) for cells in lines))
    assert (first.line, first.email, first.name, first.role) == (
        2, "new@acme.example", f'Comer{separator} "N"', "viewer",
    )  # fmt: skip
    assert first.expires_at == datetime(2027, 2, 1, tzinfo=UTC), "a day counts to its end"
    assert first.projects == ["KIT", "WEB"]
    assert (second.role, second.expires_at) == ("member", datetime(2027, 1, 31, 11, tzinfo=UTC))
    assert first.flaws == second.flaws == []


def test_line_numbers_are_those_of_the_file() -> None:
    text = 'email,name\n\n"a@b.example","two\nlines"\nnonsense,x\n,\n,x\n'
    assert [(row.line, row.email) for row in read(text)] == [(3, "a@b.example"), (5, ""), (7, "")], (
        "a line of nothing but separators is none"
    )
    assert flaws(text) == [
        (5, "email", "is not an address"),
        (7, "email", "is missing"),
    ]


@pytest.mark.parametrize(
    ("row", "flaw"),
    [
        ("x@,,", ("email", "is not an address")),
        ("bob@localhost,,", ("email", "is not an address")),
        (
            "a@b.example,boss,",
            ("role", "must be one of owner, admin, manager, member, viewer, client, guest"),
        ),
        ("a@b.example,guest,", ("expires_at", "is needed for a guest")),
        ("a@b.example,,2026-11-20", ("expires_at", "must lie in the future")),
        ("a@b.example,,2027-02-30", ("expires_at", "must be a day such as 2027-01-31")),
        ("a@b.example,,31.1.2027", ("expires_at", "must be a day such as 2027-01-31")),
        ("a@b.example,,9999-12-31", ("expires_at", "must be a day such as 2027-01-31")),
        ("a@b.example,,2027-01-31T10:00", ("expires_at", "needs a time zone, such as 2027-01-31T18:00:00Z")),
        ("A@b.example,,\nx@b.example,,\na@B.example,,", ("email", "is in line 2 already")),
        ("a@b.example,,,7", ("row", "has more cells than the first line")),
    ],
)
def test_what_is_wrong_with_a_row(row: str, flaw: tuple[str, str]) -> None:
    ((_, field, message),) = flaws(f"email,role,expires_at\n{row}")
    assert (field, message) == flaw


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must begin with a line"),
        ("name,role\nx,y", "must begin with a line"),
        ("email,mail\nx,y", "names a column twice"),
        ('email\n"x', "cannot be read from line 2 on"),
        ('email\na@b.example\n"x"y', "cannot be read from line 3 on"),
        ("email\n" + "x" * 200_000, "cannot be read from line 2 on"),
    ],
)
def test_what_is_no_table(text: str, message: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        import_rows.count(text)
    assert message in refused.value.field_errors["csv"][0]


def test_what_an_export_escapes_comes_back() -> None:
    assert [row.name for row in read("email,name\na@b.example,'=1+1\nb@b.example,'tis")] == ["=1+1", "'tis"]


ODD = st.text(
    alphabet=st.sampled_from('email,;\t\r\n"@.ab \ufeff=\u0661-2027T:Z\U0001f469'), max_size=60
) | st.text(max_size=60)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(ODD, st.sampled_from(["", "email\n", "email;role\n", "\ufeffemail\tname\texpires_at\tprojects\n"]))
def test_any_text_is_a_table_or_refused(text: str, head: str) -> None:
    try:
        total = import_rows.count(head + text)
    except ValidationFailed:
        return
    assert len(read(head + text)) == total


# What becomes of it.

TABLE = """email;name;role;expires_at;projects
newcomer@new.example;Newcomer;viewer;;KIT
bob@acme.example;Bob;member;;
nobody;;;;
guest@new.example;;guest;;
latecomer@new.example;Latecomer;guest;2027-01-31;
boss@new.example;Boss;owner;;
stray@new.example;Stray;;;NOPE
Newcomer@new.example;Again;;;
"""
ERRORS = [
    (3, "email", "is a member already", "bob@acme.example"),
    (4, "email", "is not an address", "nobody"),
    (5, "expires_at", "is needed for a guest", ""),
    (7, "role", "is not yours to give", "owner"),
    (8, "projects", "is no project of yours to share", "NOPE"),
    (9, "email", "is in line 2 already; is invited already", "Newcomer@new.example"),
]


@pytest.mark.parametrize("dry_run", [True, False])
async def test_each_row_is_for_itself(posted: World, mailbox: Mailbox, dry_run: bool) -> None:
    admin = await posted.person("admin").connect()
    before = await counted(posted)
    job = await begin(admin, TABLE, dry_run=dry_run, message="Welcome")
    assert (job.state, job.total, job.done) == ("running", 8, 0)
    last = await finished(admin)
    assert (last.state, last.done, last.invited, last.added, last.failed) == ("done", 8, 2, 0, 6)
    found = await report(admin, job)
    told = [(error.line, error.field, error.message, error.value) for error in found.errors]
    expected = [error for error in ERRORS if not (dry_run and error[0] == 9)]
    if dry_run:  # the rows above it have not become invitations
        expected.append((9, "email", "is in line 2 already", "Newcomer@new.example"))
    assert told == expected
    if dry_run:
        assert await counted(posted) == before
        await mailbox.gets_nothing()
        return
    offer = await posted.request(
        "POST", "/invitations/look", json={"token": token_in(await mailbox.gets("newcomer@new.example"))}
    )
    assert (offer.data.role, offer.data.inviter, offer.data.name) == ("viewer", "Admin", "Newcomer")
    listed = (await admin.send("invitation.list")).data.invitations
    assert {(i.email, i.role, i.expires_at, i.message) for i in listed} == {
        ("newcomer@new.example", "viewer", None, "Welcome"),
        ("latecomer@new.example", "guest", "2027-02-01T00:00:00.000Z", "Welcome"),
    }
    async with posted.sql() as db:
        assert await db.fetchval("SELECT file FROM member_imports") == "", "the table is not kept"


async def counted(world: World) -> list[Any]:
    """Everything that an import may change, but for itself."""
    async with world.sql() as db:
        tables = ("users", "members", "invitations", "invitation_tokens", "project_members", "outbox_mails")
        return [await db.fetchval(f"SELECT count(*) FROM {table}") for table in tables]


async def test_progress_comes_to_one_s_own_room_and_nowhere_else(posted: World, alice: Person) -> None:
    admin = await posted.person("admin").connect()
    for person in (alice, admin):
        await person.join(posted.tenant)
    room = await alice.join(f"user:{posted.user_ids['alice']}")
    assert room.snapshot.jobs == []
    job = await begin(alice, people(7))
    last = await finished(alice)
    steps = [data.data.job.done for name, data in alice.journal if name == "import.progress"]
    assert steps == [0, 2, 4, 6, 7]
    assert last.invited == 7
    assert [name for name, _ in admin.journal if name == "invitation.changed"] == ["invitation.changed"] * 4
    assert "n0@new.example" not in str(admin.journal)
    assert "import.progress" not in [name for name, _ in admin.journal]
    assert (await alice.snapshot(room.room)).snapshot.jobs == []
    again = await begin(alice, people(7))
    last = await finished(alice)
    assert (again.id != job.id, last.invited, last.failed) == (True, 0, 7)
    found = await report(alice, again)
    assert {error.message for error in found.errors} == {"is invited already"}


async def test_errors_come_in_pages(posted: World, alice: Person) -> None:
    job = await begin(alice, "email\n" + "x\n" * 5)
    await finished(alice)
    first = await alice.send("import.get", import_id=job.id, limit=2)
    rest = await alice.send("import.get", import_id=job.id, limit=100, cursor=first.meta.pagination.next)
    assert [error.line for error in first.data.errors + rest.data.errors] == [2, 3, 4, 5, 6]


async def test_who_was_here_before_can_be_added_at_once(posted: World, alice: Person) -> None:
    carol = await posted.person("manager").connect()
    await carol.join(posted.project)
    await alice.send("member.remove", user_id=posted.user_ids["bob"])
    table = "email,role,projects\nbob@acme.example,viewer,KIT\nmallory@rival.example,viewer,\n"
    await begin(alice, table, mode="add")
    last = await finished(alice)
    assert (last.added, last.invited, last.failed) == (1, 1, 0), "strangers are asked"
    added = await carol.hears("member.added")
    assert (added.data.member.id, added.data.member.role) == (posted.user_ids["bob"], "viewer")
    assert (await carol.hears("project.member_added")).data.member.id == posted.user_ids["bob"]


async def test_one_at_a_time_and_no_more_rows_than_allowed(worlds: Callable[..., Any]) -> None:
    world = await worlds(**BY_HAND, import_rows=3)
    alice = await world.person("alice").connect()
    many = await alice.send("member.import", csv=people(4))
    assert many.error.field_errors == {"csv": ["has more than 3 rows: cut it into pieces"]}
    await begin(alice, people(3))
    assert (await alice.send("member.import", csv=people(1))).error.code == "CONFLICT"
    assert (await alice.send("member.import", csv="name\nx")).error.code == "VALIDATION_ERROR"


async def test_it_can_be_stopped(worlds: Callable[..., Any]) -> None:
    world = await worlds(**BY_HAND, import_portion=1)
    alice = await world.person("alice").connect()
    job = await begin(alice, people(30))
    work = asyncio.create_task(world.node.importer.once())
    await alice.hears("import.progress", within=5)
    while (await report(alice, job)).job.done < 3:
        await asyncio.sleep(0.01)
    stopped = await alice.send("import.cancel", import_id=job.id)
    assert stopped.data.job.state == "cancelled"
    await work
    found = (await report(alice, job)).job
    assert (found.state, found.done) == ("cancelled", stopped.data.job.done)
    assert 3 <= found.invited < 30
    assert (await counted(world))[2] == found.invited
    assert (await alice.send("import.cancel", import_id=job.id)).error.code == "CONFLICT"
    await begin(alice, people(1))


async def test_an_import_by_key_ends_with_the_key(worlds: Callable[..., Any]) -> None:
    world = await worlds(**BY_HAND, import_portion=1)
    alice = await world.person("alice").connect()
    made = await make_key(alice, "write", "member.invite", "member.export")
    path = f"/tenants/{world.tenant_id}/members/import"
    begun = await rest(world, made.key, "POST", path, json={"csv": people(30), "role": "viewer"})
    assert begun.status == 202, begun
    job = begun.data.job
    work = asyncio.create_task(world.node.importer.once())
    while (await report(alice, job)).job.done < 3:
        await asyncio.sleep(0.01)
    revoked = await alice.send("apikey.revoke", key_id=made.api_key.id)
    assert revoked.success, revoked
    await work
    found = (await report(alice, job)).job
    assert (found.state, found.problem) == ("failed", "The API key that began it has ended")
    assert 3 <= found.done < 30


@pytest.mark.parametrize("fate", ["removed", "demoted"])
async def test_whoever_may_not_import_any_more_imports_no_more(worlds: Callable[..., Any], fate: str) -> None:
    world = await worlds(**BY_HAND, import_portion=1)
    alice, admin = await world.person("alice").connect(), await world.person("admin").connect()
    job = await begin(admin, people(30))
    work = asyncio.create_task(world.node.importer.once())
    while (await report(alice, job)).job.done < 3:
        await asyncio.sleep(0.01)
    user_id = world.user_ids["admin"]
    ended = await (
        alice.send("member.remove", user_id=user_id)
        if fate == "removed"
        else alice.send("member.update", user_id=user_id, role="member")
    )
    assert ended.success
    await work
    found = (await report(alice, job)).job
    assert (found.state, found.problem) == ("failed", "Whoever began it may not import any more")
    async with world.sql() as db:
        removed = await db.fetchval(
            "SELECT max(at) FROM room_events WHERE name = $1",
            f"member.{fate}" if fate == "removed" else "member.updated",
        )
        late = await db.fetchval("SELECT count(*) FROM invitations WHERE created_at > $1", removed)
    assert late == 0


# What happens on the way.


async def test_a_node_dies_and_another_goes_on(
    worlds: Callable[..., Any], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await worlds(**BY_HAND, import_portion=5, import_lease=4)
    alice = await world.person("alice").connect()
    job = await begin(alice, people(200) + "nobody,,\n")

    async def dead(*_: object) -> None:
        """Whoever is dead releases nothing."""

    monkeypatch.setattr(world.node.importer, "_release", dead)
    work = asyncio.create_task(world.node.importer.once())
    while (await report(alice, job)).job.done < 50:
        await asyncio.sleep(0.01)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    halfway = (await report(alice, job)).job.done
    assert 50 <= halfway < 201
    assert await world.node.importer.once() is False, "its lease still runs"
    async with second_node(world, cluster, import_poll=0.05, import_portion=7) as (_, url):
        there = await world.person("alice", url=url).connect()
        async with asyncio.timeout(15):
            while (found := await report(there, job)).job.state == "running":
                await asyncio.sleep(0.05)
    assert (found.job.state, found.job.done, found.job.invited, found.job.failed) == ("done", 201, 200, 1)
    assert [(error.line, error.message) for error in found.errors] == [(202, "is not an address")]
    await once_each(world, 200)


async def once_each(world: World, count: int) -> None:
    async with world.sql() as db:
        assert await db.fetchval("SELECT count(*) FROM invitations") == count
        assert await db.fetchval("SELECT count(DISTINCT email) FROM invitations") == count
        assert await db.fetchval("SELECT count(*) FROM outbox_mails WHERE kind = 'invitation'") == count


async def test_two_nodes_at_one_import_do_no_harm(worlds: Callable[..., Any]) -> None:
    world = await worlds(**BY_HAND, import_portion=3, import_lease=0.001)
    alice = await world.person("alice").connect()
    job = await begin(alice, people(90))
    node = world.node
    workers = [Importer(node.db, node.settings, node.dispatcher) for _ in range(4)]
    async with asyncio.timeout(20):
        while (await report(alice, job)).job.state == "running":
            await asyncio.gather(*(worker.once() for worker in workers))
    found = (await report(alice, job)).job
    assert (found.done, found.invited, found.failed) == (90, 90, 0)
    await once_each(world, 90)


async def test_two_thousand_rows_hold_up_nobody(
    worlds: Callable[..., Any], record_property: Callable[[str, object], None]
) -> None:
    """Others of the tenant go on working; what is compared is the same commands before and meanwhile."""
    world = await worlds(import_poll=0.05)
    alice, admin = await world.person("alice").connect(), await world.person("admin").connect()
    times: list[float] = []
    quiet = await latencies(admin, lambda: len(times) >= 40, times)
    started = time.perf_counter()
    job = await begin(alice, people(2000))
    over = asyncio.create_task(finished(alice))
    busy = await latencies(admin, over.done, [])
    last = await over
    seconds = time.perf_counter() - started
    assert (last.invited, last.failed) == (2000, 0)
    steps = [data.data.job.done for name, data in alice.journal if name == "import.progress"]
    assert steps == list(range(0, 2001, 50))
    print(
        f"\n2,000 rows in {seconds:.1f} s; tenant.update of others: p50 {quiet[0]:.0f} ms, p95 {quiet[1]:.0f} ms "
        f"before, p50 {busy[0]:.0f} ms, p95 {busy[1]:.0f} ms meanwhile"
    )
    assert busy[0] < 250, "in one transaction it would be seconds"
    assert busy[1] < 1000
    assert job.total == 2000


async def latencies(person: Person, enough: Callable[[], bool], times: list[float]) -> tuple[float, float]:
    """Median and 95th percentile of commands in the tenant's room, one after the other (milliseconds)."""
    while not enough():
        started = time.perf_counter()
        reply = await person.send("tenant.update", name=f"Acme {len(times)}")
        assert reply.success, reply
        times.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(0.01)
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


async def test_old_imports_are_forgotten(posted: World, alice: Person) -> None:
    job = await begin(alice, "email\nx\n")
    await finished(alice)
    await posted.node.maintenance.once()
    assert (await report(alice, job)).errors
    await posted.node.maintenance.once(datetime.now(UTC) + timedelta(days=91))
    assert (await alice.send("import.get", import_id=job.id)).error.code == "NOT_FOUND"
    async with posted.sql() as db:
        assert await db.fetchval("SELECT count(*) FROM member_import_errors") == 0


# hypothesis runs beside the event loop here, whose pauses are random: it takes that for its strategies' doing.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
async def test_the_tables_of_strangers_do_no_harm(worlds: Callable[..., Any]) -> None:
    """Whatever text comes through the door, the answer is no INTERNAL, and the worker gets to an end."""
    world = await worlds(**BY_HAND)
    alice = await world.person("alice").connect()
    loop = asyncio.get_running_loop()

    async def send(text: str, dry_run: bool) -> None:
        reply = await alice.send("member.import", csv=text, dry_run=dry_run)
        if not reply.success:
            assert reply.error.code == "VALIDATION_ERROR", reply
            return
        await world.node.importer.once()
        found = (await report(alice, reply.data.job)).job
        assert (found.state, found.problem, found.done) == ("done", None, found.total)

    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        ODD,
        st.sampled_from(["email\n", "email;role\n", "\ufeffemail\tname\texpires_at\tprojects\n"]),
        st.booleans(),
    )
    def fuzz(text: str, head: str, dry_run: bool) -> None:
        asyncio.run_coroutine_threadsafe(send(head + text, dry_run), loop).result(30)

    await asyncio.to_thread(fuzz)


async def test_a_key_imports_within_its_scopes(posted: World, alice: Person) -> None:
    """What a credential may not give, an import that was begun with it does not give either."""
    key = (await make_key(alice, "member.export", "member.invite", "tenant.view", "project.view")).key
    table = "email,role\nnewcomer@new.example,admin\n"
    path = f"/tenants/{posted.tenant_id}/members/import"
    reply = await by_key(posted, key, "POST", path, json={"csv": table, "role": "client"})
    assert reply.error.code == "FORBIDDEN", "a client may comment, and the key may not"
    key = (
        await make_key(alice, "read", "comment.add", "presence.share", "member.export", "member.invite")
    ).key
    reply = await by_key(posted, key, "POST", path, json={"csv": table, "role": "client"})
    assert reply.status == 202, reply
    last = await finished(alice)
    found = await report(alice, reply.data.job)
    assert [(error.line, error.field, error.message) for error in found.errors] == [
        (2, "role", "is not yours to give")
    ]
    assert (last.invited, last.failed) == (0, 1)

"""A tenant of a size to measure with: 10,000 projects and 1,000,000 tasks, loaded in bulk.

The rows are written as the login role, under row-level security, in one transaction: it is there whole or not at all.
Its rooms look as if their logs had been trimmed up to the head, so whoever joins gets a snapshot.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import structlog
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from handlers.identity.founding import Founding, found_tenant
from handlers.work import positions
from handlers.work.projects.projects import DEFAULT_COLUMNS, DEFAULT_WORKFLOW
from server import demo
from server.app import DATABASE, Refused, close_node, open_database, open_node
from server.node import Node
from storage.ids import new_id
from storage.postgres import LOGIN_ROLE
from storage.settings import Settings

log = structlog.get_logger(__name__)

SLUG: Final = "scale"
BIG_BOARD: Final = 5_000
"""Open tasks of the first project, as far as there are so many."""
PLAIN_BOARD: Final = 100
"""Tasks of the second project."""
PEOPLE: Final = 500
"""Members beside the owner, who cannot sign in: tasks are given to them."""
ROWS_AT_ONCE: Final = 20_000
TAIL: Final = 0.35
"""How uneven the other projects are: the size of the n-th goes with n to the power of minus this."""
TABLES: Final = (
    "members", "rooms", "projects", "project_members", "statuses", "boards", "board_columns", "tasks",
    "task_assignees", "comments", "users",
)  # fmt: skip
Tell = Callable[[str, int, int], None]
"""Hears of progress: what is being written, how many rows of it there are, and how many there will be."""

_PEOPLE: Final = """
    WITH made AS (
        INSERT INTO users (id, email, name)
        SELECT p.id, 'member-' || p.id || '@scale.example', 'Member ' || p.n
        FROM unnest($2::uuid []) WITH ORDINALITY AS p (id, n) RETURNING id
    ), joined AS (
        INSERT INTO members (tenant_id, user_id, role) SELECT $1, m.id, 'member' FROM made AS m RETURNING user_id
    )
    INSERT INTO rooms (tenant_id, id, kind) SELECT $1, j.user_id, 'user' FROM joined AS j
"""
_PROJECTS: Final = """
    INSERT INTO projects (
        tenant_id, id, key, name, last_number, progress, created_by, created_at, updated_by, updated_at
    )
    SELECT $1, p.id, p.key, p.name, p.size, p.progress, $2, $3, $2, $3
    FROM unnest($4::uuid [], $5::text [], $6::text [], $7::bigint [], $8::bigint []) AS p (id, key, name, size, progress)
"""
_ROOMS: Final = """
    INSERT INTO rooms (tenant_id, id, kind, head_seq, floor_seq)
    SELECT $1, r.id, 'project', r.head, r.head FROM unnest($2::uuid [], $3::bigint []) AS r (id, head)
"""
_PARTS: Final = """
    INSERT INTO project_members (tenant_id, project_id, user_id)
    SELECT $1, p.project_id, p.user_id FROM unnest($2::uuid [], $3::uuid []) AS p (project_id, user_id)
"""
_STATUSES: Final = """
    INSERT INTO statuses (tenant_id, project_id, id, name, category, position)
    SELECT $1, s.project_id, s.id, s.name, s.category, s.position
    FROM unnest($2::uuid [], $3::uuid [], $4::text [], $5::text [], $6::text [])
        AS s (project_id, id, name, category, position)
"""
_BOARDS: Final = """
    INSERT INTO boards (tenant_id, project_id, id, name, position, updated_by, updated_at)
    SELECT $1, b.project_id, b.id, 'Board', $4, $5, $6
    FROM unnest($2::uuid [], $3::uuid []) AS b (project_id, id)
"""
_COLUMNS: Final = """
    INSERT INTO board_columns (
        tenant_id, project_id, id, board_id, name, position, status_ids, updated_by, updated_at
    )
    SELECT $1, c.project_id, c.id, c.board_id, c.name, c.position, string_to_array(c.shown, ',')::uuid [], $8, $9
    FROM unnest($2::uuid [], $3::uuid [], $4::uuid [], $5::text [], $6::text [], $7::text [])
        AS c (project_id, id, board_id, name, position, shown)
"""
_TASKS: Final = """
    INSERT INTO tasks (
        tenant_id, project_id, id, number, key, title, description, type, priority, column_id, status_id, position,
        assignee_ids, tags, due_at, completed_at, comment_count, created_by, created_at, updated_by, updated_at
    )
    SELECT
        $1, t.project_id, t.id, t.number, t.key, 'Look after item ' || t.n || ' of ' || t.key,
        'What has to be done, by whom, and how one can tell that it is done.',
        (ARRAY['task', 'task', 'bug', 'feature', 'story']) [1 + t.n % 5],
        (ARRAY['medium', 'low', 'high', 'medium', 'urgent', 'medium']) [1 + t.n % 6],
        t.column_id, t.status_id, t.position,
        CASE WHEN t.assignee_id IS NULL THEN '{}' ELSE ARRAY[t.assignee_id] END,
        CASE WHEN t.n % 4 = 0 THEN ARRAY['round-' || t.n % 40] ELSE '{}' END,
        CASE WHEN t.n % 3 > 0 THEN $3::timestamptz + (t.n % 90 - 30) * interval '1 day' END,
        CASE WHEN t.done THEN $3::timestamptz END, t.comments, $2,
        $3::timestamptz - (t.n % 300) * interval '1 day', $2, $3::timestamptz - (t.n % 200) * interval '1 hour'
    FROM unnest(
        $4::uuid [], $5::uuid [], $6::bigint [], $7::text [], $8::uuid [], $9::uuid [], $10::text [], $11::uuid [],
        $12::boolean [], $13::bigint [], $14::bigint []
    ) AS t (project_id, id, number, key, column_id, status_id, position, assignee_id, done, n, comments)
"""
_ASSIGNEES: Final = """
    INSERT INTO task_assignees (tenant_id, task_id, user_id)
    SELECT $1, a.task_id, a.user_id FROM unnest($2::uuid [], $3::uuid []) AS a (task_id, user_id)
"""
_COMMENTS: Final = """
    INSERT INTO comments (tenant_id, project_id, task_id, id, parent_id, author_id, body, created_at)
    SELECT
        $1, c.project_id, c.task_id, c.id, c.parent_id, c.author_id,
        'Remark ' || c.n || ': **agreed**, see the list of open questions.',
        $8::timestamptz + c.n * interval '1 minute'
    FROM unnest($2::uuid [], $3::uuid [], $4::uuid [], $5::uuid [], $6::uuid [], $7::bigint [])
        AS c (project_id, task_id, id, parent_id, author_id, n)
"""
_FIRST: Final = 1
"""The number of the task in each project that people have commented on."""
_SOME: Final = 5
"""Comments on it, but for the first project's."""


@dataclass(frozen=True)
class Size:
    """How large the tenant is to be (counts)."""

    tasks: int = 1_000_000
    projects: int = 10_000
    comments: int = 1_000
    """On one task."""


@dataclass
class Shelf:
    """One project on its way into the database."""

    id: UUID
    key: str
    size: int
    statuses: list[UUID] = field(default_factory=lambda: [new_id() for _ in DEFAULT_WORKFLOW])
    columns: list[UUID] = field(default_factory=lambda: [new_id() for _ in DEFAULT_COLUMNS])
    board: UUID = field(default_factory=new_id)


async def run(settings: Settings, size: Size) -> bool:
    """Load the tenant from the command line, with a progress bar; False when it is there already."""
    owner = owner_address(settings)
    dsn, password, postgres = await open_database(settings)
    try:
        node = await open_node(settings, dsn, password)
        try:
            with _bar() as tell:
                return await load(node, dsn, password, owner or _dsn(postgres), size, tell)
        finally:
            await close_node(node)
    finally:
        if postgres is not None:
            await postgres.stop()


async def load(node: Node, dsn: str, password: str | None, owner: str, size: Size, tell: Tell) -> bool:
    """Make the tenant, with the demo world's alice as its owner, where it does not exist yet; False when it does.

    `dsn` is the login role's address, `owner` that of the owner of the tables, who alone may bring the planner's
    figures up to date.
    """
    await demo.load(node)
    async with node.db.transaction(None) as session:
        alice = (await session.one("user_by_email", email=demo.ACCOUNTS[0]["email"]))["id"]
    tables = await asyncpg.connect(owner)
    try:
        tenant_id = await tables.fetchval("SELECT id FROM tenants WHERE slug = $1", SLUG)
        if tenant_id is None:
            tenant_id = (await found_tenant(node.db, alice, Founding(name="Scale", slug=SLUG))).id
        elif await _is_loaded(node, tenant_id):
            return False
        connection = await asyncpg.connect(dsn, user=LOGIN_ROLE, password=password)
        try:
            async with connection.transaction():
                await connection.execute("SELECT set_config('atrium.tenant', $1, true)", str(tenant_id))
                await _Loader(connection, tenant_id, alice, size, tell).load()
        finally:
            await connection.close()
        tell("statistics", 0, len(TABLES))
        for number, table in enumerate(TABLES, 1):
            await tables.execute(f"ANALYZE {table}")
            tell("statistics", number, len(TABLES))
    finally:
        await tables.close()
    log.info("scale.loaded", tasks=size.tasks, projects=size.projects)
    return True


async def _is_loaded(node: Node, tenant_id: UUID) -> bool:
    async with node.db.transaction(tenant_id) as session:
        return bool(await session.many("all_projects"))


@dataclass
class _Loader:
    """Writes the rows of one tenant, in the order that foreign keys ask for."""

    connection: Any
    tenant_id: UUID
    alice: UUID
    size: Size
    tell: Tell
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    people: list[UUID] = field(default_factory=list)
    given: int = 0
    """How many tasks alice has been given."""

    async def load(self) -> None:
        self.people = [new_id() for _ in range(PEOPLE)]
        await self._run(_PEOPLE, self.people)
        shelves = [Shelf(new_id(), f"S{number}", size) for number, size in enumerate(sizes(self.size), 1)]
        await self._in_parts("projects", shelves, self._projects)
        await self._tasks(shelves)
        await self._heads(len(shelves))

    async def _projects(self, part: Sequence[Shelf]) -> None:
        ids, alice, now = [shelf.id for shelf in part], self.alice, self.now
        names = [f"Project {shelf.key}" for shelf in part]
        sizes_ = [shelf.size for shelf in part]
        done = [0 if shelf.key == "S1" else 100 * ((shelf.size + 1) // 4) // shelf.size for shelf in part]
        await self._run(_PROJECTS, alice, now, ids, [shelf.key for shelf in part], names, sizes_, done)
        await self._run(_ROOMS, ids, sizes_)
        staff = [(shelf.id, user_id) for shelf in part for user_id in self._staff(shelf)]
        await self._run(_PARTS, *_columns(staff, 2))
        keys = positions.spread(max(len(DEFAULT_WORKFLOW), len(DEFAULT_COLUMNS)))
        statuses = [
            (shelf.id, status_id, name, category, key)
            for shelf in part
            for status_id, (name, category), key in zip(shelf.statuses, DEFAULT_WORKFLOW, keys, strict=False)
        ]
        await self._run(_STATUSES, *_columns(statuses, 5))
        await self._run(_BOARDS, ids, [shelf.board for shelf in part], keys[0], alice, now)
        columns = [
            (shelf.id, column_id, shelf.board, name, key, _shown(shelf, names_))
            for shelf in part
            for column_id, (name, names_), key in zip(shelf.columns, DEFAULT_COLUMNS, keys, strict=False)
        ]
        await self._run(_COLUMNS, *_columns(columns, 6), alice, now)

    def _staff(self, shelf: Shelf) -> list[UUID]:
        """Alice, and three of the others."""
        first = int(shelf.key[1:]) * 3 % (PEOPLE - 3)
        return [self.alice, *self.people[first : first + 3]]

    async def _tasks(self, shelves: Sequence[Shelf]) -> None:
        talked: list[tuple[UUID, UUID, int]] = []
        rows: list[tuple[Any, ...]] = []
        done = 0
        for row in self._rows(shelves):
            rows.append(row)
            if row[10]:
                talked.append((row[0], row[1], row[10]))
            if len(rows) == ROWS_AT_ONCE:
                done += await self._write(rows, done)
                rows = []
        await self._write(rows, done)
        comments = [
            row for project_id, task_id, count in talked for row in self._talk(project_id, task_id, count)
        ]
        await self._in_parts("comments", comments, self._comments)

    def _rows(self, shelves: Sequence[Shelf]) -> Iterator[tuple[Any, ...]]:
        """Tasks as the statement wants them. Of the first project all are open; of others one in four is done."""
        keys = positions.spread(max(shelf.size for shelf in shelves))
        n = 0
        for place, shelf in enumerate(shelves):
            some = _SOME if place else self.size.comments
            for number in range(1, shelf.size + 1):
                n += 1
                column = number % (len(DEFAULT_COLUMNS) - (place == 0))
                status = [name for name, _ in DEFAULT_WORKFLOW].index(DEFAULT_COLUMNS[column][1][0])
                yield (
                    shelf.id, new_id(), number, f"{shelf.key}-{number}", shelf.columns[column],
                    shelf.statuses[status], keys[number - 1], self._assignee(n), column == len(DEFAULT_COLUMNS) - 1, n,
                    some if number == _FIRST else 0,
                )  # fmt: skip

    def _talk(self, project_id: UUID, task_id: UUID, count: int) -> Iterator[tuple[Any, ...]]:
        """The comments on a task; every fifth answers the one before it."""
        people = [self.alice, *self.people[:6]]
        before: UUID | None = None
        for n in range(1, count + 1):
            comment_id = new_id()
            yield project_id, task_id, comment_id, before if n % 5 == 0 else None, people[n % len(people)], n
            before = comment_id

    async def _comments(self, rows: Sequence[tuple[Any, ...]]) -> None:
        await self._run(_COMMENTS, *_columns(rows, 6), self.now)

    def _assignee(self, n: int) -> UUID | None:
        """Half of the tasks are given to somebody, to all members and alice alike."""
        if n % 2:
            return None
        who = n // 2 % (PEOPLE + 1)
        return self.alice if who == PEOPLE else self.people[who]

    async def _write(self, rows: Sequence[tuple[Any, ...]], done: int) -> int:
        if rows:
            await self._run(_TASKS, self.alice, self.now, *_columns(rows, 11))
            given = [(row[1], row[7]) for row in rows if row[7] is not None]
            await self._run(_ASSIGNEES, *_columns(given, 2))
            self.given += sum(user_id == self.alice for _, user_id in given)
        self.tell("tasks", done + len(rows), self.size.tasks)
        return len(rows)

    async def _heads(self, projects: int) -> None:
        """What the rooms of the tenant and of its owner would have heard counts as trimmed."""
        for room_id, heard in ((self.tenant_id, projects), (self.alice, self.given)):
            await self.connection.execute(
                "UPDATE rooms SET head_seq = head_seq + $3, floor_seq = head_seq + $3 "
                "WHERE tenant_id = $1 AND id = $2",
                self.tenant_id, room_id, heard,
            )  # fmt: skip

    async def _in_parts(self, what: str, items: Sequence[Any], write: Any) -> None:
        for start in range(0, len(items), ROWS_AT_ONCE // 10):
            self.tell(what, start, len(items))
            await write(items[start : start + ROWS_AT_ONCE // 10])
        self.tell(what, len(items), len(items))

    async def _run(self, sql: str, *arguments: Any) -> None:
        await self.connection.execute(sql, self.tenant_id, *arguments)


def sizes(size: Size) -> list[int]:
    """How many tasks each project gets: one big board, one of a hundred, and a long tail. At least one each."""
    if size.projects < 3 or size.tasks < 2 * size.projects:
        raise Refused("there must be at least three projects, and two tasks for each")
    big = min(BIG_BOARD, size.tasks // 4)
    plain = min(PLAIN_BOARD, size.tasks // size.projects)
    left, others = size.tasks - big - plain, size.projects - 2
    weights = [number**-TAIL for number in range(1, others + 1)]
    per_weight = (left - others) / sum(weights)
    tail = [1 + int(weight * per_weight) for weight in weights]
    for number in range(left - sum(tail)):
        tail[number % others] += 1
    return [big, plain, *tail]


def owner_address(settings: Settings) -> str | None:
    """The address of the owner of the tables; None for the embedded server, which tells it when it has started."""
    url = settings.database_owner_url or settings.database_url
    if url is None:
        return None
    if urlsplit(str(url)).username == LOGIN_ROLE:
        raise Refused(
            f"DATABASE_URL names {LOGIN_ROLE}, which owns no table: set DATABASE_OWNER_URL as well, for the owner "
            "alone can bring the planner's figures up to date after so many rows"
        )
    return str(url)


def _dsn(postgres: Any) -> str:
    return str(postgres.dsn(DATABASE))


def _shown(shelf: Shelf, names: Sequence[str]) -> str:
    workflow = [name for name, _ in DEFAULT_WORKFLOW]
    return ",".join(str(shelf.statuses[workflow.index(name)]) for name in names)


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows turned into one list per column."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


@contextmanager
def _bar() -> Iterator[Tell]:
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        bars: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total)
            progress.update(bars[what], completed=done)

        yield tell

"""Postgres: a pool that logs in as the unprivileged role, and transactions that know their tenant."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg
import structlog

from storage.lending import Lender
from storage.literals import literal
from storage.opening import Opening, opening
from storage.settings import Settings
from storage.statements import Statement

log = structlog.get_logger(__name__)

LOGIN_ROLE: Final = "atrium_app"
"""Owns nothing and cannot bypass row-level security; every connection of the server logs in as it."""

Row: TypeAlias = Mapping[str, Any]
"""One row, by column name."""

LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # how asyncpg reports a shutdown by an administrator
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # a standby, where rooms have no epoch
    ConnectionError,
    OSError,
    TimeoutError,
)
"""What Postgres being away looks like from here; the caller may try again."""

BAD_VALUE: Final = (asyncpg.DataError, asyncpg.exceptions._base.DataError)  # noqa: SLF001  # not exported
"""A value that a column cannot hold, noticed by Postgres or already by the driver."""


SESSION: Final = {
    "application_name": "atrium",
    "timezone": "UTC",
    "jit": "off",
    "standard_conforming_strings": "on",  # what literals rely on
    # Every statement finds its rows by key: planning it anew each time took longer than running it.
    "plan_cache_mode": "force_generic_plan",
}
"""What a connection asks for when it is made."""

POOLED: Final = {key: SESSION[key] for key in ("application_name", "timezone", "standard_conforming_strings")}
"""What PgBouncer lets one ask for, and gives to whichever connection to Postgres it lends."""

WITHOUT_JIT: Final = "SET LOCAL jit = off"
"""What is asked for there when a transaction opens; plans are not kept anyway."""


FRESH: Final = 1.0
"""Age at which the plans of a new connection are made anew for the first time (seconds); then twice that, and so on."""
OLD: Final = 60.0
"""And they are never kept longer (seconds)."""


@dataclass(slots=True)
class Plans:
    """How old the plans are that a connection keeps of its statements.

    A plan that was made for an empty table reads all of it when it has filled. Postgres makes it anew when the figures
    of the table change, which is autovacuum's affair and may take minutes; in that time every command would read all
    commands of its tenant.
    """

    made_at: float
    kept: float = FRESH

    def are_old(self, now: float) -> bool:
        """Whether it is time to forget them; who hears so does that."""
        if now - self.made_at < self.kept:
            return False
        self.made_at, self.kept = now, min(2 * self.kept, OLD)
        return True


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """A connection that is handed back clean, so that the pool need not spend a round trip on resetting it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.prepared: set[str] = set()
        """Statements that were prepared here by name, for `Session.commit`."""
        self.plans = Plans(time.monotonic())
        self.firsts: dict[str, Any] = {}
        """Statements with which transactions have begun here, as asyncpg has prepared them."""

    def get_reset_query(self) -> str:
        return ""

    async def begin_with(self, opening: Opening, statement: Statement, arguments: list[Any]) -> list[Row]:
        """Begin a transaction and run its first statement; in one round trip, where that has been prepared before.

        asyncpg waits for a statement's answer by its rows and the end of the message, and takes in what comes ahead of
        them: the outcome of steps that have no rows.
        """
        prepared = self.firsts.get(statement.name)
        if prepared is not None:
            try:
                return await self._begin_at_once(opening, prepared, arguments)
            except (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError):
                # A table has changed since. Nothing was done yet: all over again, and for every connection of the pool.
                self._forget_firsts()
                await self.execute("ROLLBACK")
        await self.execute(opening.text)
        rows: list[Row] = await self.fetch(statement.sql, *arguments)
        prepared = await self._get_statement(statement.sql, None, named=True)
        prepared.attach()  # or it would be closed when asyncpg's cache is full
        self.firsts[statement.name] = prepared
        return rows

    def _forget_firsts(self) -> None:
        """Have what was prepared closed as well, also what asyncpg's cache has dropped before."""
        forgotten, self.firsts = self.firsts, {}
        self._drop_global_statement_cache()
        for prepared in forgotten.values():
            prepared.detach()
            self._maybe_gc_stmt(prepared)

    async def _begin_at_once(self, opening: Opening, prepared: Any, arguments: list[Any]) -> list[Row]:
        self._check_open()
        self._transport.write(opening.messages)
        try:
            rows: list[Row] = await self._protocol.bind_execute(prepared, arguments, "", 0, False, None)
        except asyncpg.exceptions._base.DataError:  # noqa: SLF001  # not exported
            self.terminate()  # the opening waits for a statement that will not come
            raise
        return rows


@dataclass(slots=True)
class Session:
    """Runs named statements on one connection; parameters come from keywords, then `values`, then `source`."""

    connection: asyncpg.Connection
    statements: Mapping[str, Statement]
    values: dict[str, Any]
    wrote: bool = False
    deferred: list[tuple[Statement, list[Any]]] = field(default_factory=list)
    pooled: bool = False
    """Whether the next transaction may have another connection to Postgres: nothing may be left prepared on this one."""
    opening: Opening | None = None
    """How the transaction will begin, with its first statement; None once it has."""

    async def begin(self) -> None:
        """Begin the transaction now, and not with its first statement."""
        if self.opening is not None:
            opening, self.opening = self.opening, None
            await self.connection.execute(opening.text)

    def _prepare(self, name: str, source: object, params: dict[str, Any]) -> tuple[Statement, list[Any]]:
        statement = self.statements[name]
        values = self.values
        if statement.places and (clauses := {key: params[key] for key in statement.places if key in params}):
            statement = statement.filled(clauses)
            params = {**params, **(statement.given or {})}
        arguments = [
            params[key] if key in params else values[key] if key in values else getattr(source, key)
            for key in statement.params
        ]
        if statement.writes:
            self.wrote = True
        return statement, arguments

    def defer(self, name: str, source: object = None, /, **params: Any) -> None:
        """Run a statement, whose outcome nobody waits for, in one round trip with the commit.

        Whatever is run before the commit finds it done. What it violates is raised where it is done.
        """
        self.deferred.append(self._prepare(name, source, params))

    async def _do_deferred(self) -> None:
        await self.begin()
        deferred, self.deferred = self.deferred, []
        for statement, arguments in deferred:
            await self.connection.execute(statement.sql, *arguments)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What fails in here is undone, and the transaction goes on without it; the exception goes on as well.

        Deferred statements are run before it begins and before it ends: what they violate is raised where it belongs.
        Where Postgres is lost, or the caller, all is lost: those exceptions leave the transaction as it is.
        """
        await self._do_deferred()
        wrote, values = self.wrote, dict(self.values)
        await self.connection.execute("SAVEPOINT part")
        try:
            yield
            await self._do_deferred()
        except Exception as error:
            if isinstance(error, LOST) and not isinstance(error, BAD_VALUE):
                raise
            self.deferred.clear()
            await self.connection.execute("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")
            self.wrote = wrote
            self.values.clear()
            self.values.update(values)
            raise
        await self.connection.execute("RELEASE SAVEPOINT part")

    async def commit(self) -> None:
        """What was deferred, and the end of the transaction."""
        if self.pooled and self.deferred:
            await self._do_deferred()
        if self.opening is not None and not self.deferred:
            return
        steps, connection = ["COMMIT"], self.connection
        if self.deferred:
            steps = [_execution(statement, arguments) for statement, arguments in self.deferred] + steps
        if self.opening is not None:
            steps, self.opening = [*self.opening.steps, *steps], None
        for statement, _ in self.deferred:
            if statement.name not in connection.prepared:
                await connection.execute(f"PREPARE {statement.name} AS {statement.sql}")
                connection.prepared.add(statement.name)
        await connection.execute("; ".join(steps))

    async def one(self, name: str, source: object = None, /, **params: Any) -> Row:
        """The row that must be there; LookupError where it is not."""
        row = await self.maybe(name, source, **params)
        if row is None:
            raise LookupError(name)
        return row

    async def maybe(self, name: str, source: object = None, /, **params: Any) -> Row | None:
        if self.deferred:
            await self._do_deferred()
        statement, arguments = self._prepare(name, source, params)
        if self.opening is not None:
            return next(iter(await self._begin_with(statement, arguments)), None)
        row: Row | None = await self.connection.fetchrow(statement.sql, *arguments)
        return row

    async def many(self, name: str, source: object = None, /, **params: Any) -> list[Row]:
        if self.deferred:
            await self._do_deferred()
        statement, arguments = self._prepare(name, source, params)
        if statement.given is not None:
            return await self._once(statement, arguments)
        if self.opening is not None:
            return await self._begin_with(statement, arguments)
        rows: list[Row] = await self.connection.fetch(statement.sql, *arguments)
        return rows

    async def _begin_with(self, statement: Statement, arguments: list[Any]) -> list[Row]:
        assert self.opening is not None
        if self.pooled:
            await self.begin()
            pooled: list[Row] = await self.connection.fetch(statement.sql, *arguments)
            return pooled
        opening, self.opening = self.opening, None
        rows: list[Row] = await self.connection.begin_with(opening, statement, arguments)
        return rows

    async def _once(self, statement: Statement, arguments: list[Any]) -> list[Row]:
        """Run a text that is hardly ever the same: kept prepared, it would push out what every command needs."""
        await self.begin()
        prepared = await self.connection.prepare(statement.sql, name="")
        rows: list[Row] = await prepared.fetch(*arguments)
        return rows

    async def value(self, name: str, source: object = None, /, **params: Any) -> Any:
        if self.deferred:
            await self._do_deferred()
        statement, arguments = self._prepare(name, source, params)
        if self.opening is not None:
            rows = await self._begin_with(statement, arguments)
            return next(iter(rows[0].values())) if rows else None
        return await self.connection.fetchval(statement.sql, *arguments)

    async def exec(self, name: str, source: object = None, /, **params: Any) -> None:
        if self.deferred:
            await self._do_deferred()
        statement, arguments = self._prepare(name, source, params)
        if self.opening is not None:
            await self._begin_with(statement, arguments)
        else:
            await self.connection.execute(statement.sql, *arguments)


class Database:
    """The pool, and the statements that may run on it."""

    def __init__(self, pool: asyncpg.Pool, statements: Mapping[str, Statement], settings: Settings) -> None:
        self.pool = pool
        self.lender = Lender(pool, settings.pool_timeout)
        self.pooled = settings.statement_cache == 0
        """Whether a pooler stands between the pool and Postgres, as the setting says."""
        self.statements = statements

    def settings(self, forget: bool) -> tuple[str, ...]:
        """What a transaction sets when it begins, beside its tenant."""
        return ((WITHOUT_JIT,) if self.pooled else ()) + (("DISCARD PLANS",) if forget else ())

    @classmethod
    async def connect(
        cls, dsn: str, statements: Mapping[str, Statement], settings: Settings, *, password: str | None = None
    ) -> "Database":
        """Open the pool; `dsn` names the login role, `password` overrides the one inside it."""
        pool = await asyncpg.create_pool(
            dsn,
            user=LOGIN_ROLE if password else None,
            password=password,
            min_size=settings.pool_min,
            max_size=max(settings.pool_max, settings.pool_min),
            max_inactive_connection_lifetime=settings.pool_idle,
            command_timeout=settings.command_timeout,
            statement_cache_size=settings.statement_cache,
            connection_class=_Connection,
            server_settings=SESSION if settings.statement_cache else POOLED,
        )
        return cls(pool, statements, settings)

    async def close(self) -> None:
        try:
            async with asyncio.timeout(5):
                await self.lender.close()
                await self.pool.close()
        except TimeoutError:
            self.pool.terminate()

    def transaction(
        self, tenant_id: UUID | None, *, begin: str = "BEGIN", hold: UUID | None = None, **values: Any
    ) -> AbstractAsyncContextManager[Session]:
        """A transaction that sees one tenant, or none; with `hold` the room of this id is locked until its end.

        It begins with the first statement, in one round trip. Commits at the end, rolls back on any exception.
        """
        return _Transaction(self, {"tenant_id": tenant_id, **values}, begin, hold)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection by itself, for what is no statement of the house; it must be left outside of a transaction."""
        loan = await self.lender.borrow()
        try:
            yield loan.connection
        except (asyncio.CancelledError, *LOST):
            loan.connection.terminate()  # what is under way there may be cancelled later than its next user begins
            raise
        finally:
            await self.lender.give_back(loan)

    def snapshot(self, tenant_id: UUID, **values: Any) -> AbstractAsyncContextManager[Session]:
        """A read-only transaction in which every statement sees the same instant."""
        return self.transaction(tenant_id, begin="BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", **values)


class _Transaction:
    """One transaction, from the loan of a connection to its return."""

    __slots__ = ("_begin", "_db", "_hold", "_loan", "_session", "_values")

    def __init__(self, db: Database, values: dict[str, Any], begin: str, hold: UUID | None) -> None:
        self._db, self._values, self._begin, self._hold = db, values, begin, hold

    async def __aenter__(self) -> Session:
        db, values = self._db, self._values
        self._loan = loan = await db.lender.borrow()
        connection = loan.connection
        forget = connection.plans.are_old(time.monotonic())
        self._session = Session(
            connection, db.statements, values, pooled=db.pooled,
            opening=opening(values["tenant_id"], self._begin, self._hold, db.settings(forget)),
        )  # fmt: skip
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        try:
            if error is None:
                await self._commit()
            else:
                await self._undo(error)
        finally:
            await self._db.lender.give_back(self._loan)

    async def _commit(self) -> None:
        try:
            await self._session.commit()
        except BaseException as error:
            await self._undo(error)
            raise

    async def _undo(self, error: BaseException) -> None:
        if self._session.opening is None:
            await _abandon(self._session.connection, error)


def _execution(statement: Statement, arguments: list[Any]) -> str:
    return f"EXECUTE {statement.name} ({', '.join(map(literal, arguments))})"


async def _abandon(connection: Any, error: BaseException) -> None:
    """Roll back; a connection in doubt is thrown away rather than handed to the next one."""
    if isinstance(error, (asyncio.CancelledError, *LOST)) and not isinstance(error, BAD_VALUE):
        connection.terminate()
        return
    try:
        await connection.execute("ROLLBACK")
    except LOST:
        connection.terminate()
    except BaseException:  # such as a cancellation, which reaches Postgres later than whoever borrows it next
        connection.terminate()
        raise

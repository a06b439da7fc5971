"""The life of one command, from the queue of its room to the commit and the fan-out.

While one transaction of a room is in flight, the room's next commands gather; then they are applied together
(group commit). The room row is locked by the opening round trip, so a room is strictly serial on all nodes.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog

from handlers import evidence
from handlers.context import Principal, Tx
from handlers.entry import ARCHIVED, enter, permit
from handlers.errors import (
    AtriumError,
    Forbidden,
    Internal,
    NotFound,
    Unavailable,
    ValidationFailed,
    broken,
)
from handlers.groups import Call, Group, Result, Spoiled, dump, open_group
from handlers.identity.vault import Vault
from handlers.locate import Locator
from handlers.registry import (
    Content,
    Page,
    Payload,
    Slot,
    Spec,
)
from handlers.sheets import Sheet
from storage.ids import new_id
from storage.postgres import BAD_VALUE, LOST, Database, Session
from storage.rooms import Batch, RoomKey
from storage.settings import Settings

log = structlog.get_logger(__name__)

MOST_SHARED: Final = 10_000
"""Rooms that are known to be busy (count); more of them are forgotten, which costs a group of one each."""

COMMIT_RETRIES: Final = 4
"""How often a group is tried again after its commit was left in doubt; command ids make that safe."""


class Dispatcher:
    """Runs commands and queries.

    `deliver` gets each committed batch, `behind` a room whose log has moved on; `mails_queued` is called when a
    transaction has committed that queued mails; `refused` hears of each call that its caller has no permission for;
    `transacted` gets the size of each group that was carried out, and how long that took (seconds); `changed` hears
    of each project that had events, and who caused the last of them.
    """

    def __init__(
        self,
        db: Database,
        settings: Settings,
        *,
        deliver: Callable[[Batch], None],
        behind: Callable[[RoomKey, str, int], None],
        mails_queued: Callable[[], None] = lambda: None,
        refused: Callable[[Spec, Payload, Principal, RoomKey], None] = lambda *_: None,
        transacted: Callable[[int, float], None] = lambda *_: None,
        changed: Callable[[RoomKey, UUID], None] = lambda *_: None,
        vault: Vault | None = None,
    ) -> None:
        self.db = db
        self.locator = Locator(db)
        self._settings = settings
        self._group_size = settings.group_commit
        self._deliver = deliver
        self._behind = behind
        self._mails_queued = mails_queued
        self._refused = refused
        self._transacted = transacted
        self._changed = changed
        self._vault = vault
        self._queues: dict[RoomKey, list[Call]] = {}
        self._shared: set[RoomKey] = set()
        """Rooms of which the last group held several commands."""
        self._strays: dict[RoomKey, list[tuple[Call, AtriumError]]] = {}
        """By the room to which they had been sent: commands that have to be sent after what has moved."""
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(
        self,
        spec: Spec,
        payload: Payload,
        principal: Principal,
        room: RoomKey,
        *,
        command_id: UUID | None = None,
        expected_version: int | None = None,
    ) -> asyncio.Future[Result]:
        """Queue a command in its room; commands submitted in order are applied in order."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue(Call(spec, payload, principal, room, command_id or new_id(), expected_version, done))
        return done

    def _queue(self, call: Call) -> None:
        if self._closed and call.principal.authority is None:
            call.fail(Unavailable("This node is going away: connect again"))
            return
        queue = self._queues.get(call.room)
        if queue is None:
            self._queues[call.room] = [call]
            self._begin(self._drain(call.room))
        else:
            queue.append(call)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Wait until every queued command has been answered."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        """Take no more commands of people, which are UNAVAILABLE, and wait until those that were taken have been answered.
        The server itself may still finish what it has begun.
        """
        self._closed = True
        await self.idle()

    @property
    def queued(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    async def query(self, spec: Spec, payload: Payload, principal: Principal, room: RoomKey) -> Result:
        """Run a query in a read-only transaction that sees one instant."""
        answer, room = await self._follow_reading(spec, payload, principal, room)
        if isinstance(answer, Page):
            return Result(dump(answer.data), room, pagination=answer.pagination)
        return Result(dump(answer), room)

    async def content(self, spec: Spec, payload: Payload, principal: Principal, room: RoomKey) -> Content:
        """What a download is to send."""
        answer, _ = await self._follow_reading(spec, payload, principal, room)
        content: Content = answer
        return content

    async def _follow_reading(
        self, spec: Spec, payload: Payload, principal: Principal, room: RoomKey
    ) -> tuple[Any, RoomKey]:
        """What is read, and in which room: where its ids are by now."""
        try:
            return await self._read(spec, payload, principal, room), room
        except NotFound:
            elsewhere = await self.locator.moved(spec, payload, room)
            if elsewhere is None:
                raise
            return await self._read(spec, payload, principal, elsewhere), elsewhere

    async def begin(
        self,
        spec: Spec,
        payload: Payload,
        principal: Principal,
        room: RoomKey,
        length: int,
        command_id: UUID | None,
    ) -> Slot:
        """What an upload asks before it takes any bytes; `length` is how many there will be, 0 where nobody says."""
        assert spec.begin is not None
        try:
            async with self.db.transaction(room.tenant_id) as session:
                tx = await self._enter(session, spec, principal, room)
                tx.command_id = command_id
                slot: Slot = await spec.begin(tx, payload, length)
                return slot
        except Exception as error:
            raise self._told(error, spec, payload, principal, room) from error

    async def export(
        self, spec: Spec, payload: Payload, principal: Principal, room: RoomKey
    ) -> AsyncGenerator[Sheet, None]:
        """The pages of an export, each with the rights as they are then; it is noted before the first is given out."""
        place: Any = None
        while True:
            sheet: Sheet = await self._read(spec, payload, principal, room, place)
            if place is None:
                async with self.db.transaction(None) as session:
                    await evidence.record(
                        session, tenant_id=room.tenant_id, person=None, action=spec.name,
                        actor_id=principal.user_id, impersonator_id=principal.impersonator_id,
                        session_id=principal.session_id, resource=room.name, address=principal.origin.address,
                        user_agent=principal.origin.user_agent,
                        changes=evidence.changes(payload, payload.model_dump_json(exclude_unset=True)),
                    )  # fmt: skip
            yield sheet
            if sheet.next is None:
                return
            place = sheet.next

    async def _read(
        self, spec: Spec, payload: Payload, principal: Principal, room: RoomKey, place: Any = None
    ) -> Any:
        try:
            async with self.db.snapshot(room.tenant_id) as session:
                tx = await self._enter(session, spec, principal, room, place)
                return await spec.handler(tx, payload)
        except Exception as error:
            raise self._told(error, spec, payload, principal, room) from error

    async def _enter(
        self, session: Session, spec: Spec, principal: Principal, room: RoomKey, place: Any = None
    ) -> Tx:
        """What a handler is given outside of a group of commands, if its caller may call it."""
        position, rights = await enter(session, room, principal)
        tx = Tx(
            session, room, principal, rights, position["now"], self._settings,
            window=self._settings.snapshot_window, place=place,
        )  # fmt: skip
        permit(tx, spec)
        return tx

    def _told(
        self, error: Exception, spec: Spec, payload: Payload, principal: Principal, room: RoomKey
    ) -> AtriumError:
        if isinstance(error, Forbidden):
            self._refused(spec, payload, principal, room)
        return translate(error)

    async def _drain(self, room: RoomKey) -> None:
        """Apply a room's commands, group after group, until none is waiting."""
        queue = self._queues[room]
        try:
            while queue:
                calls: list[Call] = []
                if room not in self._shared:
                    self._fill(calls, queue)
                await self._run(room, calls, queue)
                self._remember(room, len(calls))
        finally:
            del self._queues[room]
            for call in queue:
                call.fail(Unavailable())

    def _remember(self, room: RoomKey, calls: int) -> None:
        """Note whether others came while a group was under way: it pays to wait for them next time."""
        if calls == 1:
            self._shared.discard(room)
        elif room not in self._shared:
            if len(self._shared) >= MOST_SHARED:
                self._shared.clear()
            self._shared.add(room)

    def _fill(self, calls: list[Call], waiting: list[Call]) -> None:
        """Make a group of those that wait."""
        if not calls:
            calls += _next(waiting, self._group_size)
            del waiting[: len(calls)]

    async def _run(self, room: RoomKey, calls: list[Call], waiting: list[Call]) -> None:
        """Carry out a group of commands. An empty one takes those in that wait by the time the room's lock is held:
        whoever came while it was waited for is among them. It takes a round trip more than one that is known before.
        """
        try:
            doubt = False
            for attempt in range(COMMIT_RETRIES + 1):
                doubt = not await self._transact(
                    room, calls, waiting, doubt=doubt, last=attempt == COMMIT_RETRIES
                )
                if not doubt:
                    return
                await asyncio.sleep(0.1 * 3**attempt)
        except Spoiled as spoiled:
            if len(calls) == 1:
                self._fail(calls[0], translate(spoiled.cause))
                return
            for call in calls:
                await self._run(room, [call], waiting)
        except asyncio.CancelledError:
            for call in calls:
                call.fail(Unavailable())
            raise
        except Exception as error:
            self._fill(calls, waiting)
            failure = translate(error)
            for call in calls:
                self._fail(call, failure)

    def _fail(self, call: Call, error: AtriumError) -> None:
        if call.room.kind == "project" and _may_be_elsewhere(error):
            strays = self._strays.get(call.room)
            if strays is None:
                self._strays[call.room] = [(call, error)]
                self._begin(self._follow_all(call.room))
            else:
                strays.append((call, error))
        else:
            self._refuse(call, error)

    def _refuse(self, call: Call, error: AtriumError) -> None:
        if isinstance(error, Forbidden):
            self._refused(call.spec, call.payload, call.principal, call.room)
        call.fail(error)

    async def _follow_all(self, room: RoomKey) -> None:
        """Send commands after what they are about, one by one: they keep the order in which they came."""
        strays = self._strays[room]
        while strays:
            await self._follow(*strays[0])
            del strays[0]
        del self._strays[room]

    async def _follow(self, call: Call, error: AtriumError) -> None:
        """Send a command after a task that has gone to another project since its ids were looked up."""
        try:
            elsewhere = await self.locator.moved(call.spec, call.payload, call.room)
        except Exception as broken:
            call.fail(translate(broken))
            return
        if elsewhere is None:
            self._refuse(call, error)
        else:
            self._queue(replace(call, room=elsewhere))

    async def _transact(
        self, room: RoomKey, calls: list[Call], waiting: list[Call], *, doubt: bool, last: bool
    ) -> bool:
        """One transaction for a group; False when its commit, or that of an earlier try, is in doubt.

        Trying again settles it: the room lock waits for a commit that is still under way, and command ids that
        were applied then answer with their first reply.
        """
        batches: list[Batch] = []
        group: Group | None = None
        committing, began = False, time.perf_counter()
        try:
            async with self.db.transaction(room.tenant_id, hold=room.id) as session:
                if not calls:
                    await session.begin()
                    self._fill(calls, waiting)
                group = await open_group(session, room, calls, self._settings, self._vault)
                batches = await group.carry_out()
                committing = bool(group.applied)
        except (asyncpg.IntegrityConstraintViolationError, *BAD_VALUE) as error:
            # By one of the commands: with an id that another room has just used, say. Some of these are LOST as well.
            raise Spoiled(error) from error
        except LOST as error:
            log.warning("dispatch.postgres_lost", room=room.name, error=repr(error), committing=committing)
            if (committing or doubt) and not last:
                return False
            raise
        self._transacted(len(calls), time.perf_counter() - began)
        for batch in batches:
            self._tell(batch, calls[-1].principal.user_id)
        if session.values.get("mails_queued"):
            self._mails_queued()
        if group.head and not group.entries:
            self._behind(room, group.epoch, group.head)
        for call, answer in group.answers:
            self._fail(call, answer) if isinstance(answer, AtriumError) else call.succeed(answer)
        return True

    def _tell(self, batch: Batch, user_id: UUID) -> None:
        """Hand a committed batch on. Whatever goes wrong with that, its commands were applied and are answered so."""
        try:
            self._deliver(batch)
            if batch.room.kind == "project":
                self._changed(batch.room, user_id)
        except Exception:
            log.exception("dispatch.not_delivered", room=batch.room.name, first=batch.first, last=batch.last)
            self._behind(batch.room, batch.epoch, batch.last)


def _next(waiting: list[Call], most: int) -> list[Call]:
    """The first of those that wait, up to one that has to be alone; or that one."""
    alone = next((at for at, call in enumerate(waiting[:most]) if call.spec.alone), most)
    return waiting[: max(alone, 1)]


def _may_be_elsewhere(error: AtriumError) -> bool:
    """Whether a project has refused what it would refuse as well if it was about a task that has gone from there."""
    return isinstance(error, (NotFound, Forbidden)) or error.details.get("reason") == ARCHIVED


def translate(error: BaseException) -> AtriumError:
    """Any exception as one that a client may see. What is not foreseen becomes INTERNAL, with its cause for the log."""
    if isinstance(error, AtriumError):
        return error
    if type(error) is LookupError:  # Session.one: a row that had to be there
        return NotFound()
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return broken(getattr(error, "constraint_name", None))
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return Forbidden("This is not allowed")
    if isinstance(error, BAD_VALUE):
        return ValidationFailed("The database cannot hold such a value")
    if isinstance(error, (*LOST, asyncpg.QueryCanceledError, asyncpg.TransactionRollbackError)):
        return Unavailable()
    internal = Internal()
    internal.__cause__ = error
    return internal

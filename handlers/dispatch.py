"""The life of one command, from the queue of its room to the commit and the fan-out.

While one transaction of a room is in flight, the room's next commands gather; then they are applied together
(group commit). The room row is locked by the opening round trip, so a room is strictly serial on all nodes.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
import structlog
from pydantic import BaseModel

from handlers import access, evidence
from handlers.context import Principal, Tx
from handlers.errors import (
    AtriumError,
    Conflict,
    Forbidden,
    Internal,
    NotFound,
    Unavailable,
    ValidationFailed,
    broken,
    constraint,
)
from handlers.identity.vault import Vault
from handlers.locate import Locator
from handlers.registry import (
    OPENINGS,
    REACTIONS,
    ROOMS_OWN,
    TOGETHER,
    Event,
    Outcome,
    Page,
    Pagination,
    Payload,
    Reply,
    Spec,
)
from handlers.sheets import Sheet
from storage.ids import new_id
from storage.postgres import BAD_VALUE, LOST, Database, Row, Session
from storage.rooms import KIND_ORDER, Batch, RoomKey, encode_event, packet, timestamp
from storage.settings import Settings

log = structlog.get_logger(__name__)

constraint("applied_commands_pkey", "command_id", "This command_id was already used for another command")

COMMIT_RETRIES: Final = 4
"""How often a group is tried again after its commit was left in doubt; command ids make that safe."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the caller of a command or query gets. `data` is JSON already."""

    data: bytes
    room: RoomKey | None = None
    seq: int | None = None
    duplicate: bool = False
    pagination: Pagination | None = None

    def meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = {}
        if self.room is not None:
            meta["room"] = self.room.name
        if self.seq is not None:
            meta |= {"seq": self.seq, "duplicate": self.duplicate}
        if self.pagination is not None:
            meta["pagination"] = self.pagination.model_dump()
        return meta


@dataclass(slots=True, eq=False)
class Call:
    """One command waiting for, or in, its room's transaction."""

    spec: Spec
    payload: Payload
    principal: Principal
    room: RoomKey
    command_id: UUID
    expected_version: int | None
    done: asyncio.Future[Result]
    body: str = field(init=False)
    """The payload as JSON, without what was not set."""
    identity: tuple[UUID, UUID] = field(init=False)
    """Who sent it, and under which id."""

    def __post_init__(self) -> None:
        self.body = self.payload.__pydantic_serializer__.to_json(self.payload, exclude_unset=True).decode()
        self.identity = self.principal.user_id, self.command_id

    def fingerprint(self) -> bytes:
        """Tells a repeated command from another one under the same id."""
        text = f"{self.spec.name}\n{self.room.id}\n{self.expected_version}\n{self.body}"
        return blake2b(text.encode(), digest_size=16).digest()

    def succeed(self, result: Result) -> None:
        if not self.done.done():
            self.done.set_result(result)

    def fail(self, error: AtriumError) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(slots=True)
class _Applied:
    """A command that is known by its id: from the database, or from earlier in the same group."""

    fingerprint: bytes
    room_id: UUID
    seq: int
    data: bytes


@dataclass(slots=True)
class _Evidence:
    """What the audit log says of a command."""

    resource: str
    changes: str
    was: str | None


@dataclass(slots=True)
class _Entry:
    """One event on its way into the log."""

    room: RoomKey
    name: str
    call: Call
    data: bytes
    seq: int = 0


@dataclass(slots=True)
class _Group:
    """What one transaction has gathered so far."""

    room: RoomKey
    epoch: str
    head: int
    rights_seq: int
    tenant_status: str
    now: datetime
    actors: dict[UUID, dict[str, Any]]
    known: dict[tuple[UUID, UUID], _Applied]
    ahead: dict[Call, list[Row]]
    """What was read for the commands with which it begins."""
    last: int = 0
    """The number that the room's last event will have."""
    entries: list[_Entry] = field(default_factory=list)
    applied: list[tuple[Call, _Applied]] = field(default_factory=list)
    evidence: list[_Evidence] = field(default_factory=list)
    answers: list[tuple[Call, Result | AtriumError]] = field(default_factory=list)


class _Spoiled(Exception):
    """A command failed after it wrote: the group must be rolled back and its commands run one by one."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(repr(cause))
        self.cause = cause


class Dispatcher:
    """Runs commands and queries.

    `deliver` gets each committed batch, `behind` a room whose log has moved on; `mails_queued` is called when a
    transaction has committed that queued mails; `refused` hears of each call that its caller has no permission for;
    `transacted` gets the size of each group that was carried out, and how long that took (seconds).
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
        self._vault = vault
        self._queues: dict[RoomKey, list[Call]] = {}
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
        call = Call(spec, payload, principal, room, command_id or new_id(), expected_version, done)
        queue = self._queues.get(room)
        if queue is None:
            self._queues[room] = [call]
            task = asyncio.create_task(self._drain(room))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            queue.append(call)
        return done

    async def idle(self) -> None:
        """Wait until every queued command has been answered."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    @property
    def queued(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    async def query(self, spec: Spec, payload: Payload, principal: Principal, room: RoomKey) -> Result:
        """Run a query in a read-only transaction that sees one instant."""
        answer: Reply | Page = await self._read(spec, payload, principal, room)
        if isinstance(answer, Page):
            return Result(_dump(answer.data), room, pagination=answer.pagination)
        return Result(_dump(answer), room)

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
                position, rights = await enter(session, room, principal)
                tx = Tx(
                    session, room, principal, rights, position["now"], self._settings,
                    window=self._settings.snapshot_window, place=place,
                )  # fmt: skip
                _permit(tx, spec)
                return await spec.handler(tx, payload)
        except Exception as error:
            if isinstance(error, Forbidden):
                self._refused(spec, payload, principal, room)
            raise translate(error) from error

    async def _drain(self, room: RoomKey) -> None:
        """Apply a room's commands, group after group, until none is waiting."""
        queue = self._queues[room]
        try:
            while queue:
                await self._run(room, [], queue)
        finally:
            del self._queues[room]
            for call in queue:
                call.fail(Unavailable())

    def _fill(self, calls: list[Call], waiting: list[Call]) -> None:
        """Make a group of those that wait."""
        if not calls:
            calls += waiting[: self._group_size]
            del waiting[: len(calls)]

    async def _run(self, room: RoomKey, calls: list[Call], waiting: list[Call]) -> None:
        """Carry out a group of commands. An empty one takes those in that wait by the time the room's lock is held:
        whoever came while it was waited for is among them.
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
        except _Spoiled as spoiled:
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
                call.fail(failure)

    def _fail(self, call: Call, error: AtriumError) -> None:
        if isinstance(error, Forbidden):
            self._refused(call.spec, call.payload, call.principal, call.room)
        call.fail(error)

    async def _transact(
        self, room: RoomKey, calls: list[Call], waiting: list[Call], *, doubt: bool, last: bool
    ) -> bool:
        """One transaction for a group; False when its commit, or that of an earlier try, is in doubt.

        Trying again settles it: the room lock waits for a commit that is still under way, and command ids that
        were applied then answer with their first reply.
        """
        lock = f"; SELECT 1 FROM rooms WHERE tenant_id = '{room.tenant_id}' AND id = '{room.id}' FOR NO KEY UPDATE"
        batches: list[Batch] = []
        group: _Group | None = None
        committing, began = False, time.perf_counter()
        try:
            async with self.db.transaction(room.tenant_id, lock=lock) as session:
                self._fill(calls, waiting)
                runs = _runs(calls)
                group = await _open(session, room, calls, runs[0])
                batches = await self._apply_all(group, session, runs)
                committing = bool(group.applied)
        except LOST as error:
            log.warning("dispatch.postgres_lost", room=room.name, error=repr(error), committing=committing)
            if (committing or doubt) and not last:
                return False
            raise
        except (asyncpg.IntegrityConstraintViolationError, *BAD_VALUE) as error:
            raise _Spoiled(
                error
            ) from error  # by one of them: with an id that another room has just used, say
        self._transacted(len(calls), time.perf_counter() - began)
        for batch in batches:
            self._deliver(batch)
        if session.values.get("mails_queued"):
            self._mails_queued()
        if group.head and not group.entries:
            self._behind(room, group.epoch, group.head)
        for call, answer in group.answers:
            self._fail(call, answer) if isinstance(answer, AtriumError) else call.succeed(answer)
        return True

    async def _apply_all(self, group: _Group, session: Session, runs: list[list[Call]]) -> list[Batch]:
        """Carry a group's commands out; returns the batches to deliver after the commit."""
        for run in runs:
            session.wrote = False
            if len(run) == 1:
                await self._apply(group, session, run[0])
            else:
                await self._apply_together(group, session, run)
        return await self._append(group, session) if group.applied else []

    async def _apply(self, group: _Group, session: Session, call: Call) -> None:
        """Run one command's handler and its reactions; only its own caller hears when it fails cleanly."""
        try:
            if self._answered(group, call):
                return
            tx = await self._begin(group, session, call)
            await self._finish(group, call, tx, await call.spec.handler(tx, call.payload))
        except AtriumError as error:
            if session.wrote:
                raise _Spoiled(error) from error
            group.answers.append((call, error))
            return
        except BAD_VALUE as error:
            raise _Spoiled(error) from error
        except LOST:
            raise
        except Exception as error:  # also any failed SQL: it has spoiled the transaction
            raise _Spoiled(error) from error

    async def _apply_together(self, group: _Group, session: Session, calls: list[Call]) -> None:
        """Run the handler of several commands of one name; whatever is raised has them tried again one by one."""
        begun: list[tuple[Call, Tx]] = []
        try:
            for call in calls:
                if self._answered(group, call):
                    continue
                try:
                    begun.append((call, await self._begin(group, session, call)))
                except AtriumError as error:
                    group.answers.append((call, error))
            if not begun:
                return
            outcomes = await TOGETHER[calls[0].spec.name]([(tx, call.payload) for call, tx in begun])
            for (call, tx), outcome in zip(begun, outcomes, strict=True):
                if isinstance(outcome, AtriumError):
                    group.answers.append((call, outcome))
                else:
                    await self._finish(group, call, tx, outcome)
        except LOST:
            raise
        except Exception as error:
            raise _Spoiled(error) from error

    def _answered(self, group: _Group, call: Call) -> bool:
        """Whether a command was applied before: then its first reply is its answer again."""
        repeated = group.known.get(call.identity)
        if repeated is not None:
            group.answers.append((call, _repeat(group.room, call, repeated)))
        return repeated is not None

    async def _begin(self, group: _Group, session: Session, call: Call) -> Tx:
        """What a command's handler is given, if its caller may send it."""
        rights = rights_in(group.room, group.actors.get(call.principal.user_id), call.principal)
        if call.principal.authority is None:
            access.require_in_use(group.tenant_status)
        if call.spec.within:
            project = RoomKey(group.room.tenant_id, "project", getattr(call.payload, call.spec.within))
            await session.many("lock_rooms", room_ids=[project.id])  # before any row of the project
            rights = await read_rights(session, project, call.principal)
        tx = Tx(
            session, group.room, call.principal, rights, group.now, self._settings,
            call.command_id, call.expected_version, self._vault, ahead=group.ahead.get(call),
        )  # fmt: skip
        _permit(tx, call.spec)
        return tx

    async def _finish(
        self, group: _Group, call: Call, tx: Tx, outcome: Event | list[Event] | Outcome
    ) -> None:
        """Reactions, then the place in the log, the reply and the evidence of a command that was carried out."""
        events, data, once = _unpack(outcome)
        for event in tuple(events):
            for react in REACTIONS.get(type(event), ()):
                events.extend(await react(tx, event) or ())
        self._record(group, call, events, data, once)
        group.evidence.append(_evidence(tx, call, events))

    def _record(
        self, group: _Group, call: Call, events: list[Event], data: bytes | None, once: bytes | None
    ) -> None:
        for event in events:
            target = event.room or group.room
            if target is group.room or target == group.room:
                group.last += 1
            elif KIND_ORDER[target.kind] <= KIND_ORDER[group.room.kind]:
                raise RuntimeError(
                    f"{call.spec.name}: an event of {group.room.kind} must not go to {target.kind}"
                )
            dumped = event.dump()
            data = dumped if data is None else data
            group.entries.append(_Entry(target, event.name, call, dumped))
        data, seq = data or b"{}", group.last
        applied = _Applied(call.fingerprint(), group.room.id, seq, data)
        group.known[call.identity] = applied
        group.applied.append((call, applied))
        group.answers.append((call, Result(once or data, group.room, seq)))

    async def _append(self, group: _Group, session: Session) -> list[Batch]:
        """Number everything, and write it with the commit; returns the batches to deliver after that."""
        heads = {group.room: (group.epoch, group.head)}
        others = {entry.room for entry in group.entries} - {group.room}
        if others:
            heads |= await _lock_others(session, others)
        at, rights_seq = timestamp(group.now), session.values.get("rights_seq", group.rights_seq)
        batches: dict[RoomKey, Batch] = {}
        for entry in group.entries:
            epoch, head = heads[entry.room]
            entry.seq = head + 1
            heads[entry.room] = epoch, entry.seq
            batch = batches.setdefault(entry.room, Batch(entry.room, epoch, entry.seq, [], rights_seq))
            actor = entry.call.principal
            member = group.actors.get(actor.user_id)
            event = encode_event(
                entry.room, entry.seq, at, actor.user_id, member["name"] if member else actor.name,
                entry.call.command_id, entry.data,
            )  # fmt: skip
            batch.packets.append(packet(entry.name, event))
        session.defer(
            "append_log",
            now=group.now,
            room_id=group.room.id,
            head_rooms=[room.id for room in batches],
            head_seqs=[batch.last for batch in batches.values()],
            calls=_json(
                {
                    "actor_id": call.principal.user_id,
                    "command_id": call.command_id,
                    "name": call.spec.name,
                    "fingerprint": applied.fingerprint.hex(),
                    "seq": applied.seq,
                    "reply": orjson.Fragment(applied.data),
                    "impersonator_id": call.principal.impersonator_id,
                    "session_id": call.principal.session_id,
                    "resource": said.resource,
                    "address": call.principal.origin.address,
                    "user_agent": call.principal.origin.user_agent,
                    "changes": orjson.Fragment(said.changes),
                    "was": orjson.Fragment(said.was) if said.was else None,
                }
                for (call, applied), said in zip(group.applied, group.evidence, strict=True)
            ),
            events=_json(
                {
                    "room_id": entry.room.id,
                    "seq": entry.seq,
                    "name": entry.name,
                    "actor_id": entry.call.principal.user_id,
                    "command_id": entry.call.command_id,
                    "data": orjson.Fragment(entry.data),
                }
                for entry in group.entries
            ),
        )
        return list(batches.values())


def _json(rows: Iterable[dict[str, Any]]) -> str:
    return orjson.dumps(list(rows), default=str).decode()  # asyncpg has a UUID of its own


def _runs(calls: list[Call]) -> list[list[Call]]:
    """The calls in their order, and together those that can be carried out together."""
    runs: list[list[Call]] = []
    name, identities = "", set[tuple[UUID, UUID]]()
    for call in calls:
        if call.spec.name == name and name in TOGETHER and call.identity not in identities:
            runs[-1].append(call)
        else:
            name, identities = call.spec.name, set()
            runs.append([call])
        identities.add(call.identity)
    return runs


async def _open(session: Session, room: RoomKey, calls: list[Call], first: list[Call]) -> _Group:
    """What must be known before the commands are carried out, the `first` of which may have more to be read."""
    known = {
        "room_id": room.id,
        "actor_ids": list({call.principal.user_id for call in calls}),
        "actor_of": [call.principal.user_id for call in calls],
        "command_ids": [call.command_id for call in calls],
    }
    opening, ahead = OPENINGS.get(first[0].spec.name), dict[Call, list[Row]]()
    if opening is None:
        opened = await session.maybe("open_room", **known)
    else:
        params = opening.params([call.payload for call in first])
        rows = await session.many(opening.statement, project_id=room.id, **known, **params)
        opened = next((row for row in rows if row["kind"] is not None), None)
        ahead = {call: [] for call in first}
        for row in rows:
            if row["n"] is not None:
                ahead[first[row["n"] - 1]].append(row)
    if opened is None or opened["kind"] != room.kind or opened["gone"]:
        raise NotFound
    return _opened(room, opened, ahead)


def _opened(room: RoomKey, row: Row, ahead: dict[Call, list[Row]]) -> _Group:
    actors = {UUID(actor["user_id"]): actor for actor in orjson.loads(row["actors"] or b"[]")}
    known = {
        (UUID(item["actor_id"]), UUID(item["command_id"])): _Applied(
            bytes.fromhex(item["fingerprint"]),
            UUID(item["room_id"]),
            item["seq"],
            orjson.dumps(item["reply"]),
        )
        for item in orjson.loads(row["applied"] or b"[]")
    }
    return _Group(
        room, str(row["epoch"]), row["head_seq"], row["rights_seq"], row["tenant_status"], row["now"],
        actors, known, ahead, row["head_seq"],
    )  # fmt: skip


async def _lock_others(session: Session, rooms: set[RoomKey]) -> dict[RoomKey, tuple[str, int]]:
    ids = [room.id for room in rooms]
    rows = await session.many("lock_rooms", room_ids=ids)
    if len(rows) < len(rooms):
        for room in rooms:
            await session.exec("create_room", id=room.id, kind=room.kind)
        rows = await session.many("lock_rooms", room_ids=ids)
    by_id = {room.id: room for room in rooms}
    if any(row["kind"] != by_id[row["id"]].kind for row in rows):
        raise RuntimeError("a room is of another kind than its event")
    return {by_id[row["id"]]: (str(row["epoch"]), row["head_seq"]) for row in rows}


def _evidence(tx: Tx, call: Call, events: list[Event]) -> _Evidence:
    """What the handler said that it did, else what payload and events tell."""
    return _Evidence(
        tx.resource or evidence.resource(call.spec.name, call.payload, events, call.room),
        evidence.bounded(tx.changes) if tx.changes is not None else evidence.changes(call.payload, call.body),
        evidence.was(events),
    )


def _repeat(room: RoomKey, call: Call, first: _Applied) -> Result | AtriumError:
    if first.fingerprint != call.fingerprint():
        return Conflict(
            "This command_id was already used for another command", details={"command_id": call.command_id}
        )
    return Result(first.data, room, first.seq, duplicate=True)


def _unpack(
    outcome: Event | list[Event] | Outcome[Any, Any],
) -> tuple[list[Event], bytes | None, bytes | None]:
    """Events, reply and what only the first reply holds; without a reply of its own the first event is the reply."""
    if isinstance(outcome, Outcome):
        once = _dump(outcome.once) if outcome.once is not None else None
        return list(outcome.events), _dump(outcome.data), once
    events = list(outcome) if isinstance(outcome, list) else [outcome]
    return events, None, None


def _dump(data: BaseModel) -> bytes:
    return data.model_dump_json(exclude_unset=isinstance(data, Event)).encode()


def _permit(tx: Tx, spec: Spec) -> None:
    """The permission that a call needs; one that needs none is open to an API key only where it says so."""
    if spec.needs:
        tx.require(spec.needs)
    elif tx.actor.scopes is not None:
        if spec.scope is None:
            raise Forbidden("An API key cannot do this", details={"reason": "session_needed"})
        if spec.scope != ROOMS_OWN:
            tx.require(spec.scope)


def rights_in(room: RoomKey, actor: Mapping[str, Any] | None, principal: Principal) -> access.Rights:
    """What a caller may do here, as the database has it now; NOT_FOUND where the room is none of his business."""
    if principal.authority is not None:
        return principal.authority
    rights = actor and access.rights(actor, room.kind, room.id)
    if not rights:
        raise NotFound
    return rights.within(principal.scopes)


async def enter(session: Session, room: RoomKey, principal: Principal) -> tuple[Row, access.Rights]:
    """Where a room stands and what this person may do in it; NOT_FOUND where it is not his to know of."""
    row = await session.maybe("room_for", room_id=room.id, actor_id=principal.user_id)
    if row is None or row["kind"] != room.kind or row["gone"]:
        raise NotFound
    rights = rights_in(room, row, principal)
    access.require_in_use(row["tenant_status"])
    return row, rights


async def read_rights(session: Session, room: RoomKey, principal: Principal) -> access.Rights:
    """The same, read for one person."""
    row = await session.maybe("actor_rights", room_id=room.id, actor_id=principal.user_id)
    return rights_in(room, row, principal)


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

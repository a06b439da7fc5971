"""A group of commands in one transaction: opened, carried out, and written into the log with the commit."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel

from handlers import access, evidence
from handlers.context import Principal, Tx
from handlers.entry import permit, read_rights, require_open, rights_in
from handlers.errors import AtriumError, Conflict, NotFound, constraint
from handlers.identity.vault import Vault
from handlers.registry import (
    OPENINGS,
    REACTIONS,
    RULES,
    TOGETHER,
    Event,
    Outcome,
    Pagination,
    Payload,
    Spec,
    locating,
)
from handlers.subjects import tasks_of
from storage.ids import parse_id
from storage.postgres import BAD_VALUE, LOST, Row, Session
from storage.rooms import KIND_ORDER, Batch, RoomKey, encode_event, packet, timestamp
from storage.settings import Settings
from storage.statements import as_json

constraint("applied_commands_pkey", "command_id", "This command_id was already used for another command")


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

    def fingerprint(self, room_id: UUID | None = None) -> bytes:
        """Tells a repeated command from another one under the same id; as if it were for another room, where one is named."""
        text = f"{self.spec.name}\n{room_id or self.room.id}\n{self.expected_version}\n{self.body}"
        return blake2b(text.encode(), digest_size=16).digest()

    @property
    def is_about_something(self) -> bool:
        """Whether an id in it decides which room it belongs to, which may be another one by now."""
        given = self.payload.given
        return given("project_id") is None and any(
            given(name) is not None for name in locating(type(self.payload))
        )

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
    actor: tuple[UUID, str]
    task_id: UUID | None = None
    """The task that it is about, or the first of them."""
    seq: int = 0


class Spoiled(Exception):
    """A command failed after it wrote: the group must be rolled back and its commands run one by one."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(repr(cause))
        self.cause = cause


@dataclass(slots=True)
class Group:
    """Commands of one room in one transaction, under the room's lock, and what they have come to so far.

    Whatever goes wrong so that others would suffer from it is raised, as Spoiled: roll back, and try them one by one.
    """

    session: Session
    settings: Settings
    vault: Vault | None
    runs: list[list[Call]]
    """The commands in their order, and together those that can be carried out together."""
    room: RoomKey
    epoch: str
    head: int
    rights_seq: int
    tenant_status: str
    archived: bool
    """Whether the room is that of an archived project, which is read-only."""
    gone: bool
    """Whether it is that of a project in the trash, of which nothing is known but what was applied before."""
    now: datetime
    actors: dict[UUID, dict[str, Any]]
    known: dict[tuple[UUID, UUID], _Applied]
    ahead: dict[Call, list[Row]]
    """What was read for the commands with which it begins."""
    triggers: list[str] | None
    """What the rules of the room wait for; None where it has none."""
    last: int = 0
    """The number that the room's last event will have."""
    entries: list[_Entry] = field(default_factory=list)
    beside: list[tuple[_Entry, list[UUID]]] = field(default_factory=list)
    """Entries that are about more tasks than one, and those others."""
    applied: list[tuple[Call, _Applied]] = field(default_factory=list)
    evidence: list[_Evidence] = field(default_factory=list)
    answers: list[tuple[Call, Result | AtriumError]] = field(default_factory=list)

    async def carry_out(self) -> list[Batch]:
        """Carry its commands out; returns the batches to deliver after the commit."""
        for run in self.runs:
            self.session.wrote = False
            if len(run) == 1:
                await self._apply(run[0])
            elif self._awaited:
                await self._apply_each(run)
            else:
                await self._apply_together(run)
        return await self._append() if self.applied else []

    async def _apply(self, call: Call) -> None:
        """Run one command's handler and its reactions; only its own caller hears when it fails cleanly."""
        try:
            if self._answered(call):
                return
            tx = await self._begin(call)
            await self._finish(call, tx, await call.spec.handler(tx, call.payload))
        except AtriumError as error:
            if self.session.wrote:
                raise Spoiled(error) from error
            self.answers.append((call, error))
            return
        except BAD_VALUE as error:
            raise Spoiled(error) from error
        except LOST:
            raise
        except Exception as error:  # also any failed SQL: it has spoiled the transaction
            raise Spoiled(error) from error

    @property
    def _awaited(self) -> list[str] | None:
        """What rules wait for, as the last command that changed them has left it."""
        triggers: list[str] | None = self.session.values.get("triggers", self.triggers)
        return triggers

    async def _apply_each(self, calls: list[Call]) -> None:
        """Several commands one by one: each has to find what the rules made of the one before."""
        for call in calls:
            self.session.wrote = False
            await self._apply(call)
            self.ahead.clear()

    async def _apply_together(self, calls: list[Call]) -> None:
        """Run the handler of several commands of one name; whatever is raised has them tried again one by one."""
        begun: list[tuple[Call, Tx]] = []
        try:
            for call in calls:
                if self._answered(call):
                    continue
                try:
                    begun.append((call, await self._begin(call)))
                except AtriumError as error:
                    self.answers.append((call, error))
            if not begun:
                return
            outcomes = await TOGETHER[calls[0].spec.name]([(tx, call.payload) for call, tx in begun])
            for (call, tx), outcome in zip(begun, outcomes, strict=True):
                if isinstance(outcome, AtriumError):
                    self.answers.append((call, outcome))
                else:
                    await self._finish(call, tx, outcome)
        except LOST:
            raise
        except Exception as error:
            raise Spoiled(error) from error

    def _answered(self, call: Call) -> bool:
        """Whether a command was applied before: then its first reply is its answer again."""
        repeated = self.known.get(call.identity)
        if repeated is not None:
            self.answers.append((call, _repeat(self.room, call, repeated)))
        return repeated is not None

    async def _begin(self, call: Call) -> Tx:
        """What a command's handler is given, if its caller may send it."""
        if self.session.values.get("rights_seq", self.rights_seq) != self.rights_seq:
            await self._look_again()
        if self.gone:
            raise NotFound
        rights = rights_in(self.room, self.actors.get(call.principal.user_id), call.principal)
        if call.principal.authority is None:
            access.require_in_use(self.tenant_status)
        archived = self.archived
        project_id = getattr(call.payload, call.spec.within) if call.spec.within else None
        if project_id is not None:
            project = RoomKey(self.room.tenant_id, "project", project_id)
            await self.session.many("lock_rooms", room_ids=[project.id])  # before any row of the project
            rights = await read_rights(self.session, project, call.principal)
            standing = await self.session.maybe("project_standing", project_id=project.id)
            if standing is None or (standing["gone"] and not call.spec.trashed):
                raise NotFound("There is no such project")
            archived = standing["archived"]
        tx = Tx(
            self.session, self.room, call.principal, rights, self.now, self.settings,
            call.command_id, call.expected_version, self.vault, head=self.last, ahead=self.ahead.get(call),
        )  # fmt: skip
        permit(tx, call.spec)
        require_open(archived and not call.spec.archived)
        return tx

    async def _look_again(self) -> None:
        """Read who may do what anew: a command before this one has changed it."""
        row = await self.session.one(
            "open_room", room_id=self.room.id, asked="[]",
            actor_ids=list({call.principal.user_id for run in self.runs for call in run}),
        )  # fmt: skip
        self.actors, self.rights_seq = _actors(row), row["rights_seq"]
        self.tenant_status, self.archived, self.gone = row["tenant_status"], row["archived"], row["gone"]

    async def _finish(self, call: Call, tx: Tx, outcome: Event | list[Event] | Outcome) -> None:
        """What follows, then the place in the log, the reply and the evidence of a command that was carried out."""
        events, data, once = _unpack(outcome)
        if not (isinstance(outcome, Outcome) and outcome.settled):
            await add_reactions(tx, events)
            if triggers := self._awaited:
                for follow in RULES:
                    events.extend(await follow(tx, tuple(events), triggers))
        self._record(call, events, data, once)
        self.evidence.append(_evidence(tx, call, events))

    def _record(self, call: Call, events: list[Event], data: bytes | None, once: bytes | None) -> None:
        own = call.principal.user_id, call.principal.name
        for event in events:
            target = event.room or self.room
            if target is self.room or target == self.room:
                self.last += 1
            elif KIND_ORDER[target.kind] <= KIND_ORDER[self.room.kind]:
                raise RuntimeError(
                    f"{call.spec.name}: an event of {self.room.kind} must not go to {target.kind}"
                )
            dumped = event.dump()
            data = dumped if data is None else data
            about = tasks_of(event)
            first = about[0] if about else None
            self.entries.append(_Entry(target, event.name, call, dumped, event.actor or own, first))
            if len(about) > 1:
                self.beside.append((self.entries[-1], about[1:]))
        data, seq = data or b"{}", self.last
        applied = _Applied(call.fingerprint(), self.room.id, seq, data)
        self.known[call.identity] = applied
        self.applied.append((call, applied))
        self.answers.append((call, Result(once or data, self.room, seq)))

    async def _append(self) -> list[Batch]:
        """Number everything, and write it with the commit; returns the batches to deliver after that."""
        heads = {self.room: (self.epoch, self.head)}
        others = {entry.room for entry in self.entries} - {self.room}
        if others:
            heads |= await _lock_others(self.session, others)
        at, rights_seq = timestamp(self.now), self.session.values.get("rights_seq", self.rights_seq)
        batches: dict[RoomKey, Batch] = {}
        for entry in self.entries:
            epoch, head = heads[entry.room]
            entry.seq = head + 1
            heads[entry.room] = epoch, entry.seq
            batch = batches.setdefault(entry.room, Batch(entry.room, epoch, entry.seq, [], rights_seq))
            user_id, name = entry.actor
            member = self.actors.get(user_id)
            event = encode_event(
                entry.room, entry.seq, at, user_id, member["name"] if member else name,
                entry.call.command_id, entry.data,
            )  # fmt: skip
            batch.packets.append(packet(entry.name, event))
        self.session.defer(
            "append_log",
            head_rooms=[room.id for room in batches],
            head_seqs=[batch.last for batch in batches.values()],
            log=as_json({"room_id": self.room.id, "at": self.now, "calls": [
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
                for (call, applied), said in zip(self.applied, self.evidence, strict=True)
            ], "events": [
                {
                    "room_id": entry.room.id,
                    "seq": entry.seq,
                    "name": entry.name,
                    "actor_id": entry.actor[0],
                    "command_id": entry.call.command_id,
                    "data": orjson.Fragment(entry.data),
                    "task_id": entry.task_id,
                }
                for entry in self.entries
            ]}),
        )  # fmt: skip
        if self.beside:
            self._append_beside()
        return list(batches.values())

    def _append_beside(self) -> None:
        rows = [(entry, task_id) for entry, more in self.beside for task_id in more]
        self.session.defer(
            "append_event_tasks",
            room_ids=[entry.room.id for entry, _ in rows],
            seqs=[entry.seq for entry, _ in rows],
            task_ids=[task_id for _, task_id in rows],
        )


async def open_group(
    session: Session, room: RoomKey, calls: list[Call], settings: Settings, vault: Vault | None
) -> Group:
    """Read what must be known before commands are carried out; for the first of them more may be read with it.

    Raises NotFound where there is no such room.
    """
    runs = _runs(calls)
    [first, *_] = runs
    params: dict[str, Any] = {
        "room_id": room.id,
        "actor_ids": list({call.principal.user_id for call in calls}),
        "asked": as_json(
            [{"actor_id": call.principal.user_id, "command_id": call.command_id} for call in calls]
        ),
    }
    opening, ahead = OPENINGS.get(first[0].spec.name), dict[Call, list[Row]]()
    if opening is None:
        row = await session.maybe("open_room", **params)
    else:
        params |= opening.params([call.payload for call in first])
        rows = await session.many(opening.statement, project_id=room.id, **params)
        row = next((row for row in rows if row["kind"] is not None), None)
        ahead = {call: [] for call in first}
        for read in rows:
            if read["n"] is not None:
                ahead[first[read["n"] - 1]].append(read)
    if row is None or row["kind"] != room.kind:
        raise NotFound
    return Group(
        session, settings, vault, runs, room, str(row["epoch"]), row["head_seq"], row["rights_seq"],
        row["tenant_status"], row["archived"], row["gone"], row["now"], _actors(row), _known(row), ahead, row["triggers"],
        row["head_seq"],
    )  # fmt: skip


async def add_reactions(tx: Tx, events: list[Event]) -> None:
    """Append what follows from events, one level deep."""
    for event in tuple(events):
        for react in REACTIONS.get(type(event), ()):
            events.extend(await react(tx, event) or ())


def _actors(row: Row) -> dict[UUID, dict[str, Any]]:
    actors = row["actors"]
    return {parse_id(actor["user_id"]): actor for actor in orjson.loads(actors)} if actors else {}


def _known(row: Row) -> dict[tuple[UUID, UUID], _Applied]:
    if not row["applied"]:
        return {}
    return {
        (parse_id(item["actor_id"]), parse_id(item["command_id"])): _Applied(
            bytes.fromhex(item["fingerprint"]),
            parse_id(item["room_id"]),
            item["seq"],
            orjson.dumps(item["reply"]),
        )
        for item in orjson.loads(row["applied"])
    }


def _runs(calls: list[Call]) -> list[list[Call]]:
    """The calls in their order, and together those that can be carried out together."""
    if len(calls) == 1:
        return [calls]
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
    if first.fingerprint == call.fingerprint():
        return Result(first.data, room, first.seq, duplicate=True)
    if call.is_about_something and first.fingerprint == call.fingerprint(first.room_id):
        # It was applied where its task was before that went to this room.
        return Result(first.data, room._replace(id=first.room_id), first.seq, duplicate=True)
    return Conflict(
        "This command_id was already used for another command", details={"command_id": call.command_id}
    )


def _unpack(
    outcome: Event | list[Event] | Outcome[Any, Any],
) -> tuple[list[Event], bytes | None, bytes | None]:
    """Events, reply and what only the first reply holds; without a reply of its own the first event is the reply."""
    if isinstance(outcome, Outcome):
        once = dump(outcome.once) if outcome.once is not None else None
        return list(outcome.events), dump(outcome.data), once
    events = list(outcome) if isinstance(outcome, list) else [outcome]
    return events, None, None


def dump(data: BaseModel) -> bytes:
    return data.model_dump_json(exclude_unset=isinstance(data, Event)).encode()

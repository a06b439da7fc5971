"""Taking a change back, and bringing it again: ordinary commands, made from what its events say of before and after.

A change is all events of one command in a room. Of each task it is known what fields came to be what; the net of that is
set back, or set again. What was made is taken away, what went to the trash comes back. Each step is the command that a
person would send for it, with its permission and its rules; what any of them refuses leaves everything as it is.

Other nouns say by `inverse` how their events are taken back.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from uuid import UUID

from handlers.context import Tx
from handlers.errors import AtriumError, Conflict, Forbidden, NotFound
from handlers.registry import SPECS, Event, Outcome, Payload
from handlers.work.past.log import Past, about, changed_tasks, went_or_came
from handlers.work.past.returns import bring_back, set_many
from handlers.work.tasks.bulk import DeleteTasks
from handlers.work.tasks.tasks import Task, TaskPart
from handlers.work.tasks.values import task_fields
from storage.rooms import timestamp

MOST_FOUND: Final = 1_000
"""Events of others that are looked at for what they changed (count)."""

PLACE: Final = ("column_id", "status_id", "position", "completed_at")
"""Fields of a task that a move decides together."""
BY_ITSELF: Final = frozenset({"position", "completed_at"})
"""Those that may come out otherwise than they were: a place is found anew."""

MADE: Final = frozenset({"task.created", "task.restored", "task.unarchived", "tasks.unarchived"})
GONE: Final = frozenset({"task.deleted", "tasks.deleted", "task.archived", "tasks.archived"})
ARCHIVE: Final = frozenset({"task.archived", "task.unarchived", "tasks.archived", "tasks.unarchived"})
CHANGED: Final = frozenset({"task.updated", "task.moved", "tasks.updated"})

BARS: Final = frozenset({
    "board.deleted", "status.deleted", "status.updated", "status.created",
    "task.arrived", "task.left", "task.copied",
})  # fmt: skip
"""What cannot be taken back, nor anything else that was done with it: tasks made room for it, or have it now."""

Values: TypeAlias = dict[str, Any]


@dataclass(slots=True)
class Replay:
    """A change on its way back, or forth again."""

    tx: Tx
    back: bool
    since: int
    """The number of the room's log after which changes of others count."""
    events: list[Event] = field(default_factory=list)
    """What it has come to."""

    async def send(self, name: str, /, **fields: Any) -> list[Event]:
        """Carry out an ordinary command, with the permission that it takes."""
        return await self.carry_out(name, SPECS[name].payload.model_validate(fields))

    async def carry_out(self, name: str, payload: Payload) -> list[Event]:
        spec = SPECS[name]
        if spec.needs:
            self.tx.require(spec.needs)
        outcome = await spec.handler(self.tx, payload)
        made = outcome.events if isinstance(outcome, Outcome) else outcome
        events = list(made) if isinstance(made, list) else [made]
        self.events += events
        return events


@dataclass(frozen=True, slots=True)
class Clash:
    """Something that somebody else has changed since."""

    past: Past
    type: str
    id: str
    label: str
    fields: tuple[str, ...]
    """Empty where the whole of it is meant."""
    current: Mapping[str, Any]
    """The values that those fields have now."""

    def told(self) -> Values:
        return {
            self.type: {"id": self.id, "label": self.label},
            "fields": list(self.fields),
            "current": dict(self.current),
            "event": self.past.name,
            "seq": self.past.seq,
            "at": timestamp(self.past.at),
            "by": {"id": str(self.past.actor_id), "name": self.past.actor_name},
        }

    def words(self) -> str:
        who = self.past.actor_name or "Somebody"
        what = ", ".join(name.removesuffix("_id").replace("_", " ") for name in self.fields)
        return f"{who} has changed {self.label}" + (f" ({what})" if what else "") + " since"


Check: TypeAlias = Callable[[Replay, Past], Awaitable[list[Clash]]]
Step: TypeAlias = Callable[[Replay, Past], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Inverse:
    """How the event of a noun other than tasks is taken back and brought again."""

    check: Check
    undo: Step
    redo: Step


INVERSES: Final[dict[str, Inverse]] = {}


def inverse(name: str, *, check: Check, undo: Step, redo: Step) -> None:
    """Say how an event is taken back, and brought again; `check` says what others have done since, and writes nothing."""
    INVERSES[name] = Inverse(check, undo, redo)


def undoable(name: str) -> bool:
    """Whether events of this name can be taken back."""
    return name in CHANGED or name in MADE or name in GONE or name in INVERSES


async def replay(tx: Tx, change: Sequence[Past], *, back: bool, since: int) -> list[Event]:
    """Take a change back, or bring it again, as a whole; CONFLICT where others stand in its way."""
    this = Replay(tx, back, since)
    clashes = await _clashes(this, change)
    if clashes:
        raise Conflict(
            clashes[0].words(),
            details={"reason": "changed_since", "conflicts": [clash.told() for clash in clashes[:20]]},
        )
    try:
        await _carry_out(this, change)
    except (Forbidden, Conflict):
        raise
    except AtriumError as error:
        raise Conflict(
            error.message or "It cannot be as it was any more",
            details={"reason": error.code.lower(), **error.details},
            field_errors=error.field_errors,
        ) from error
    return this.events


async def _carry_out(this: Replay, change: Sequence[Past]) -> None:
    made, gone = _ids(change, MADE), _ids(change, GONE)
    comes, goes = (gone, made) if this.back else (made, gone)
    archived = any(past.name in ARCHIVE for past in change)
    if comes:
        this.tx.require("task.edit" if archived else "task.delete")
        this.events += await bring_back(this.tx, comes, many=_many(change), archived=archived)
    others = _others(change, made)
    for past in reversed(others) if this.back else others:
        found = INVERSES[past.name]
        await (found.undo if this.back else found.redo)(this, past)
    wanted = {
        task_id: {name: _target(name, *pair, back=this.back) for name, pair in fields.items()}
        for task_id, fields in net(change).items()
        if task_id not in made
    }
    if wanted:
        await _set_fields(this, wanted)
    if goes:
        await _take_away(this, goes, "archive" if archived else "delete", many=_many(change))


def _target(name: str, before: Any, after: Any, *, back: bool) -> Any:
    """What a field is to be; of custom fields those that changed, with null for one that is to have no value."""
    if name != "fields":
        return before if back else after
    old, new = before or {}, after or {}
    return {key: (old if back else new).get(key) for key in {**old, **new} if old.get(key) != new.get(key)}


def net(change: Iterable[Past]) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Of each task the fields that a change has changed: what they were before all of it, and what after."""
    found: dict[str, dict[str, tuple[Any, Any]]] = {}
    for past in change:
        if past.name not in CHANGED:
            continue
        for task_id, (before, after) in changed_tasks(past).items():
            fields = found.setdefault(task_id, {})
            for name, value in after.items():
                fields[name] = (fields[name][0] if name in fields else before[name], value)
    return found


def _many(change: Sequence[Past]) -> bool:
    """Whether several tasks came or went, beside their subtasks: at once, or by rules one after the other."""
    moves = [past for past in change if past.name in MADE or past.name in GONE]
    return len(moves) > 1 or any(past.name.startswith("tasks.") for past in change)


def _ids(change: Iterable[Past], names: frozenset[str]) -> list[str]:
    """The tasks that came, or went, with their subtasks; the uppermost first."""
    found: list[str] = []
    for past in change:
        if past.name in names:
            task, beside = past.data.get("task"), past.data.get("tasks") or []
            found += [task["id"]] if task else []
            found += [one["id"] for one in beside if went_or_came(one)]
    return list(dict.fromkeys(found))


def _others(change: Iterable[Past], made: Iterable[str]) -> list[Past]:
    """The events of other nouns that have to be taken back by themselves: checklists go and come with the tasks made."""
    tasks = set(made)
    return [past for past in change if past.name in INVERSES and _checklist_of(past) not in tasks]


def _checklist_of(past: Past) -> str | None:
    """The task whose checklist an event is about."""
    about_one: Values = past.data.get("checklist") or past.data.get("checklist_item") or {}
    return about_one.get("task_id")


# What others have done since.


async def _clashes(this: Replay, change: Sequence[Past]) -> list[Clash]:
    made, gone = _ids(change, MADE), _ids(change, GONE)
    fields = {task_id: pairs for task_id, pairs in net(change).items() if task_id not in made}
    comes, goes = (gone, made) if this.back else (made, gone)
    task_ids = list(dict.fromkeys([*fields, *made, *gone]))
    found: list[Clash] = []
    if task_ids:
        rows = {str(row["id"]): row for row in await this.tx.many("tasks_anywhere", task_ids=task_ids)}
        by_others = [
            Past.of(row)
            for row in await this.tx.many(
                "done_by_others", task_ids=task_ids, after_seq=this.since, most=MOST_FOUND
            )
        ]
        for task_id in task_ids:
            row = rows.get(task_id)
            if row is None:
                raise NotFound("There is no such task any more")
            his = [past for past in by_others if task_id in about(past)]
            if task_id in goes:
                found += [Clash(his[-1], "task", task_id, row["key"], (), {})] if his else []
                continue
            if his and his[-1].name in GONE and task_id not in comes:
                found.append(Clash(his[-1], "task", task_id, row["key"], (), {"removed": True}))
                continue
            current = Task.of(row).model_dump(mode="json")
            left = {name: pair[1 if this.back else 0] for name, pair in fields.get(task_id, {}).items()}
            found += _changed_since(task_id, row["key"], his, left, current)
    for task_id in goes:
        found += await _subtasks_of_others(this, task_id)
    for past in _others(change, made):
        found += await INVERSES[past.name].check(this, past)
    return found


def _changed_since(task_id: str, key: str, his: list[Past], left: Values, current: Values) -> Iterable[Clash]:
    """The fields that somebody else has changed and that are not what one left there. A place counts by itself: others
    move when a column is spread anew.
    """
    by: dict[int, list[str]] = {}
    for name, value in left.items():
        past = next((p for p in reversed(his) if name in changed_tasks(p).get(task_id, ({}, {}))[0]), None)
        if past is not None and (name == "position" or current.get(name) != value):
            by.setdefault(his.index(past), []).append(name)
    for at, names in by.items():
        yield Clash(his[at], "task", task_id, key, tuple(names), {name: current.get(name) for name in names})


async def _subtasks_of_others(this: Replay, task_id: str) -> list[Clash]:
    """What would go to the trash with a task, though others have made it."""
    row = await this.tx.maybe("subtasks_of_others", task_id=UUID(task_id))
    if row is None:
        return []
    past = Past(
        this.tx.room.id, 0, "task.created", row["created_at"], row["created_by"], row["created_by_name"],
        this.tx.command_id or UUID(int=0), row["id"], {},
    )  # fmt: skip
    return [Clash(past, "task", str(row["id"]), row["key"], ("parent_id",), {})]


def named_clashes(noun: str, *names: str) -> Check:
    """A check for an entity whose events are of these names: any field of it that somebody else has changed since."""

    async def check(this: Replay, past: Past) -> list[Clash]:
        entity = past.data[noun]
        rows = await this.tx.many(
            "done_by_others_named", names=list(names), after_seq=this.since, most=MOST_FOUND
        )
        label = entity.get("name") or f"the {noun}"
        fields = set(past.was) if "was" in past.data else None
        return clashes_of(noun, entity["id"], label, [Past.of(row) for row in rows], fields)

    return check


def clashes_of(
    noun: str, entity_id: str, label: str, rows: Iterable[Past], fields: set[str] | None = None
) -> list[Clash]:
    """The first of some events that is about an entity, and changed any of some fields of it; None: whatever it did."""
    for past in rows:
        entity = past.data.get(noun) or {}
        if entity.get("id") != entity_id:
            continue
        same = sorted(set(past.was) if fields is None else fields & set(past.was))
        if same or fields is None or entity.get("removed"):
            current = {name: entity.get(name) for name in same}
            return [Clash(past, noun, entity_id, label, tuple(same), current)]
    return []


# Tasks.


async def _take_away(this: Replay, task_ids: list[str], where: str, *, many: bool) -> None:
    if not many:
        await this.send(f"task.{where}", task_id=task_ids[0])
        return
    # Unchecked: with its subtasks it may be more than a client may name.
    payload = DeleteTasks.model_construct(
        {"project_id", "task_ids"}, project_id=this.tx.room.id, task_ids=[UUID(one) for one in task_ids]
    )
    await this.carry_out(f"tasks.{where}", payload)


async def _set_fields(this: Replay, wanted: Mapping[str, Values]) -> None:
    """Give tasks the values that they are to have; formulas are computed from them."""
    if any("fields" in values for values in wanted.values()):
        known = await task_fields(this.tx)
        for values in wanted.values():
            if "fields" in values:
                given = values["fields"].items()
                values["fields"] = {key: value for key, value in given if not known.is_formula(key)}
    if len(wanted) > 1:
        this.tx.require("task.edit")
        this.events.append(await set_many(this.tx, wanted))
        return
    [(task_id, values)] = wanted.items()
    plain = {name: value for name, value in values.items() if name not in PLACE}
    if plain:
        await this.send("task.update", task_id=task_id, changes=plain)
    if any(name in values for name in PLACE):
        await _put(this, task_id, values)


async def _put(this: Replay, task_id: str, values: Values) -> None:
    """Put a task where it was: its column, between the cards that are there now, its status and when it was done."""
    tx = this.tx
    row = await _task(tx, task_id)
    column_id = UUID(values["column_id"]) if "column_id" in values else row["column_id"]
    if "position" in values or "column_id" in values:
        position = values.get("position", row["position"])
        beside = await tx.maybe("card_from", column_id=column_id, position=position, task_id=row["id"])
        status = {"status_id": values["status_id"]} if "status_id" in values else {}
        await this.send(
            "task.move",
            task_id=task_id,
            column_id=column_id,
            before_id=beside["id"] if beside else None,
            **status,
        )
    wanted = values.get("status_id")
    if wanted is not None and str((await _task(tx, task_id))["status_id"]) != wanted:
        await this.send("task.update", task_id=task_id, changes={"status_id": wanted})
    fresh = await _task(tx, task_id)
    if fresh["column_id"] != column_id or (wanted is not None and str(fresh["status_id"]) != wanted):
        raise Conflict("Its column does not show the status any more that it had there")
    if "completed_at" in values:
        await _complete(this, fresh, values["completed_at"])


async def _complete(this: Replay, row: Mapping[str, Any], completed_at: str | None) -> None:
    """A task that is done again is so since when it was done, not since now."""
    at = TaskPart.model_validate({"id": row["id"], "completed_at": completed_at}).completed_at
    if at == row["completed_at"] or (at is None) != (row["completed_at"] is None):
        return
    await this.tx.exec("set_completed", task_id=row["id"], completed_at=at)
    for event in reversed(this.events):
        part, was = getattr(event, "task", None), getattr(event, "was", None)
        if isinstance(part, TaskPart) and was is not None:
            part.completed_at = at
            if "completed_at" not in was.model_fields_set:
                was.completed_at = row["completed_at"]
            return


async def _task(tx: Tx, task_id: str) -> Mapping[str, Any]:
    row = await tx.maybe("task", task_id=UUID(task_id))
    if row is None:
        raise NotFound("There is no such task")
    return row

"""History: what was changed by whom, with the values before and after; and taking back one's own last change.

What somebody can take back is read from the room's log, so it is the same after a reload and on another device. A change
is all that one command did in a project. Undo takes back the newest of one's own that stands, redo brings back the one
taken back last, and a new change of one's own ends what can be brought back, as in any editor.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final, cast
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import Conflict
from handlers.groups import add_reactions
from handlers.registry import Entity, Event, Outcome, Page, Payload, Reply, Timestamp, command, query
from handlers.work.automation.clock import look_at_what_is_told
from handlers.work.boards.boards import BoardUpdated
from handlers.work.boards.columns import ColumnCreated, ColumnDeleted, ColumnUpdated
from handlers.work.past.entries import Doer, Entry, entries
from handlers.work.past.feeds import Feed, WideFeed, check_task, read_feed, read_wide_feed
from handlers.work.past.inverses import BARS, replay, undoable
from handlers.work.past.log import Past, changed_tasks
from handlers.work.past.returns import TasksRestored
from handlers.work.past.sentences import SILENT
from handlers.work.planning.backlog import BacklogMoved
from handlers.work.projects.labels import LabelCreated, LabelDeleted, LabelUpdated
from handlers.work.tasks.archive import TaskArchived, TasksArchived, TaskUnarchived
from handlers.work.tasks.bulk import TasksDeleted, TasksUpdated
from handlers.work.tasks.checklists import (
    ChecklistCreated,
    ChecklistDeleted,
    ChecklistUpdated,
    ItemAdded,
    ItemRemoved,
    ItemTicked,
    ItemUnticked,
    ItemUpdated,
)
from handlers.work.tasks.dependencies import DependencyAdded, DependencyRemoved, DependencyUpdated
from handlers.work.tasks.tasks import TaskDeleted, TaskMoved, TaskRestored, TaskUpdated
from storage.postgres import Row

MOST_EVENTS: Final = 1_000
"""How far back undo reaches: one's own newest events in the tenant (count)."""
MOST_BEHIND: Final = 1_000
"""Events that rules may have added behind one's own (count)."""
MOST_VALUES: Final = 100
SINGULARS: Final = {
    "tasks": "task",
    "dependencies": "dependency",
    "checklist_items": "checklist_item",
    "members": "member",
    "shares": "share",
}
SHOWN: Final = 20
"""Changes that `history.stack` shows of each side (count)."""

Replayed = (
    TaskArchived | TaskUnarchived | TasksArchived | TaskUpdated | TaskMoved | TaskDeleted | TaskRestored | TasksUpdated | TasksDeleted | TasksRestored
    | DependencyAdded | DependencyUpdated | DependencyRemoved | ColumnCreated | ColumnUpdated | ColumnDeleted | BoardUpdated
    | BacklogMoved | LabelCreated | LabelUpdated | LabelDeleted | ChecklistCreated | ChecklistUpdated | ChecklistDeleted
    | ItemAdded | ItemUpdated | ItemTicked | ItemUnticked | ItemRemoved
)  # fmt: skip
"""What undo and redo come to."""


@dataclass(frozen=True, slots=True)
class Change:
    """One's own command in the room, by its events: numbers `first` to `last`."""

    first: int
    last: int
    command_id: UUID
    counts: bool
    """Whether it can be taken back, and is about the task that is asked for."""


@dataclass(frozen=True, slots=True)
class Stack:
    """What can be taken back, and what can be brought again; what comes next first."""

    undo: list[Change]
    redo: list[Change]
    seen: dict[int, int]
    """First number of a change -> the one of the last step that took it back or brought it again."""


class Values(Entity):
    """What became of one thing: the changed fields before and after. Without `was` it came to be, without `now` it went."""

    type: str
    id: UUID
    was: dict[str, object] | None = None
    now: dict[str, object] | None = None


class HistoryEntry(Entity):
    """One event of the log, with the values before and after."""

    room: str
    seq: int
    at: Timestamp
    actor: Doer
    command_id: UUID
    event: str
    values: list[Values] = Field(description="At most 100 things.")


class HistoryList(Reply):
    history: list[HistoryEntry]


class Step(Payload):
    project_id: UUID | None = Field(None, description="Unset: the project of the task.")
    task_id: UUID | None = Field(
        None, description="Only changes that have to do with this task; such a one is taken whole."
    )
    change_id: UUID | None = Field(
        None,
        description="The `command_id` of the change that is meant: CONFLICT where another one comes next.",
    )


class OneStack(Payload):
    project_id: UUID | None = Field(None, description="Unset: the project of the task.")
    task_id: UUID | None = Field(None, description="Only changes that have to do with this task.")


class ChangeTold(Reply):
    """A change of one's own."""

    command_id: UUID
    seq: int = Field(description="Number of its first event in the room.")
    entries: list[Entry] = Field(description="What it did, in words and parts; at most ten.")


class StepReply(Reply):
    change: ChangeTold = Field(description="What was taken back, or brought again.")
    left: list[str] = Field(description="Events of it that cannot be taken back, by name: they stay.")
    can_undo: bool
    can_redo: bool


class StackReply(Reply):
    undo: list[ChangeTold] = Field(description="What can be taken back, what comes next first; at most 20.")
    redo: list[ChangeTold] = Field(
        description="What can be brought again, what comes next first; at most 20."
    )


@command("history.undo", needs="task.edit", rest="POST /projects/{project_id}/undo", alone=True)
async def undo(tx: Tx, cmd: Step) -> Outcome[Replayed, StepReply]:
    """Take back one's own last change in a project. CONFLICT where somebody else has changed the same since."""
    return await _step(tx, cmd, back=True)


@command("history.redo", needs="task.edit", rest="POST /projects/{project_id}/redo", alone=True)
async def redo(tx: Tx, cmd: Step) -> Outcome[Replayed, StepReply]:
    """Bring again what one has taken back last, unless one has changed something else since."""
    return await _step(tx, cmd, back=False)


@query("history.list", needs="project.view", rest="GET /projects/{project_id}/history")
async def list_history(tx: Tx, ask: Feed) -> Page[HistoryList]:
    """The changes in a project, of one of its tasks or by one person, newest first, with the values before and after."""
    events, pagination = await read_feed(tx, ask)
    room = tx.room.name
    return Page(HistoryList(history=[_shown(past, room, ask.task_id) for past in events]), pagination)


@query("history.list_all", needs="project.view", rest="GET /tenants/{tenant_id}/history", room="tenant")
async def list_all(tx: Tx, ask: WideFeed) -> Page[HistoryList]:
    """The changes in all projects that one may see, or by one person there, newest first."""
    events, kinds, pagination = await read_wide_feed(tx, ask)
    shown = [_shown(past, f"{kinds[past.room_id]}:{past.room_id}") for past in events]
    return Page(HistoryList(history=shown), pagination)


@query("history.stack", needs="project.view", rest="GET /projects/{project_id}/history/stack")
async def stack(tx: Tx, ask: OneStack) -> StackReply:
    """What one can take back and bring again in a project: for a button that says what it will do."""
    found = await read_stack(tx, ask.task_id)
    return StackReply(
        undo=[await _told(tx, change) for change in found.undo[:SHOWN]],
        redo=[await _told(tx, change) for change in found.redo[:SHOWN]],
    )


async def _step(tx: Tx, cmd: Step, *, back: bool) -> Outcome[Replayed, StepReply]:
    found = await read_stack(tx, cmd.task_id)
    ready = found.undo if back else found.redo
    if not ready:
        raise Conflict(
            "There is nothing of yours to take back" if back else "There is nothing of yours to bring again",
            details={"reason": "nothing"},
        )
    if cmd.change_id is not None and cmd.change_id != ready[0].command_id:
        raise Conflict(
            "Another change of yours comes first",
            details={"reason": "another", "change_id": ready[0].command_id},
        )
    for at, change in enumerate(ready):
        events = await _events(tx, change)
        made = await replay(tx, events, back=back, since=found.seen.get(change.first, events[-1].seq))
        if made:
            more = at + 1 < len(ready)
            return await _stepped(tx, change, events, made, back=back, more=more)
    raise Conflict("Your changes there have come to nothing by themselves", details={"reason": "nothing"})


async def _stepped(
    tx: Tx, change: Change, events: list[Past], made: list[Event], *, back: bool, more: bool
) -> Outcome[Replayed, StepReply]:
    """The step is written down; its own first event is the next one of the room."""
    tx.defer("record_history_step", seq=tx.head + 1, kind="undo" if back else "redo", target_seq=change.first)
    tx.resource = f"change:{change.command_id}"
    reply = StepReply(
        change=ChangeTold(
            command_id=change.command_id, seq=change.first, entries=await entries(tx, events[:10])
        ),
        left=sorted({past.name for past in events if not undoable(past.name)} - SILENT),
        can_undo=more or not back,
        can_redo=more or back,
    )
    await add_reactions(tx, made)
    await look_at_what_is_told(tx, made, tx.room)
    # Settled: rules do not act upon it, for what they did is taken back, or brought again, with the rest.
    return Outcome(cast("list[Replayed]", made), reply, settled=True)


async def _events(tx: Tx, change: Change) -> list[Past]:
    """All of its events: what rules did with it as well, though another name stands there."""
    rows = await tx.many(
        "events_between",
        from_seq=change.first,
        upto_seq=change.last + MOST_BEHIND,
        command_id=change.command_id,
    )
    return [Past.of(row) for row in rows]


async def _told(tx: Tx, change: Change) -> ChangeTold:
    events = await _events(tx, change)
    return ChangeTold(command_id=change.command_id, seq=change.first, entries=await entries(tx, events[:10]))


async def read_stack(tx: Tx, task_id: UUID | None = None) -> Stack:
    """What somebody can take back and bring again in a room, by what its log says of her."""
    await check_task(tx, task_id)
    rows = await tx.many("own_events", task_id=task_id, most=MOST_EVENTS)
    changes = list(_changes(rows))
    oldest = changes[-1].first if changes else 0
    steps = await tx.many("history_steps_of", from_seq=oldest)
    return derive(changes, steps)


def derive(changes: Iterable[Change], steps: Iterable[Row]) -> Stack:
    """The two stacks, from somebody's commands (the newest first) and her steps back and forth (the oldest first)."""
    steps = list(steps)
    no_changes = {step["seq"] for step in steps}
    last = {step["target_seq"]: step for step in steps if step["target_seq"] is not None}
    own = [change for change in changes if change.first not in no_changes and change.counts]
    back = [change for change in own if change.first in last and last[change.first]["kind"] == "undo"]
    newest = own[0].last if own else 0
    forth = [change for change in back if last[change.first]["seq"] > newest]
    return Stack(
        undo=[change for change in own if change not in back],
        redo=sorted(forth, key=lambda change: -last[change.first]["seq"]),
        seen={first: step["seq"] for first, step in last.items()},
    )


def _changes(rows: list[Row]) -> Iterable[Change]:
    """One's own events of a room, the newest first, by the commands that caused them."""
    for command_id, group in groupby(rows, key=lambda row: row["command_id"]):
        events = list(group)
        names = {row["name"] for row in events}
        counts = any(row["counts"] for row in events) and any(map(undoable, names)) and not names & BARS
        yield Change(events[-1]["seq"], events[0]["seq"], command_id, counts)


def _shown(past: Past, room: str, task_id: UUID | None = None) -> HistoryEntry:
    actor = Doer(id=past.actor_id, name=past.actor_name)
    values = [one for one in _values(past) if task_id is None or one.type != "task" or one.id == task_id]
    return HistoryEntry(
        room=room, seq=past.seq, at=past.at, actor=actor, command_id=past.command_id, event=past.name,
        values=values[:MOST_VALUES],
    )  # fmt: skip


def _values(past: Past) -> Iterable[Values]:
    """The things of an event: many with their old values, one with its own, or what came and went."""
    changed = changed_tasks(past)
    for task_id, (was, now) in changed.items():
        yield Values(type="task", id=UUID(task_id), was=was, now=now)
    for noun, entity in past.data.items():
        for one in entity if isinstance(entity, list) else [entity]:
            if noun == "was" or not isinstance(one, dict) or "id" not in one or one["id"] in changed:
                continue
            kind = SINGULARS.get(noun, noun)
            if one.get("removed"):
                had = {name: value for name, value in one.items() if name not in ("id", "removed")}
                yield Values(type=kind, id=one["id"], was=had or past.was or None)
            else:
                now = {name: one.get(name) for name in past.was} if past.was else one
                yield Values(type=kind, id=one["id"], was=past.was or None, now=now)

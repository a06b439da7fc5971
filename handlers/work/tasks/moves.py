"""Moving tasks: one decision of the server about column, status, limit and place.

Many moves of one group are read, decided and written together, in two statements, the second of which goes with the
commit; each is decided as if those before it had been written already.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from handlers.context import Tx
from handlers.errors import AtriumError, Conflict, NotFound, VersionConflict
from handlers.registry import command, known, opening, together
from handlers.work import positions
from handlers.work.planning.sprint_facts import settle
from handlers.work.tasks.rules import OverLimit, check_limit, check_step
from handlers.work.tasks.subtasks import recount
from handlers.work.tasks.tasks import MoveTask, TaskMoved, TaskPart, Was, unapproved
from storage.postgres import Row
from storage.rooms import timestamp
from storage.statements import as_json

Move = tuple[Tx, MoveTask]

ELSEWHERE: Final = "from_column"
NEIGHBOUR_GONE: Final = "neighbour"
"""Rules by which a move is refused: the task, or the one beside which to drop it, has been moved."""


@dataclass(slots=True)
class _Plan:
    """What a move will write, and what it will be told as."""

    tx: Tx
    cmd: MoveTask
    place: Row
    completed_at: datetime | None
    position: str
    over: OverLimit | None
    beside: list[TaskPart] = field(default_factory=list)
    """What is told of other tasks."""


@dataclass(slots=True)
class _Decided:
    """What the moves decided so far change in what was read before them."""

    held: defaultdict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    """By column: how many tasks more, or fewer, it holds."""
    arrived: defaultdict[UUID, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By column: the positions that were given out in it."""

    def take(self, plan: _Plan) -> None:
        here, there = plan.place["column_id"], plan.cmd.column_id
        if here != there:
            self.held[here] -= 1
            self.held[there] += 1
        self.arrived[there].append(plan.position)


@command("task.move", needs="task.edit", rest="POST /tasks/{task_id}/move", versioned=True)
async def move(tx: Tx, cmd: MoveTask) -> TaskMoved:
    """Move a task to a column, before or after another task or at the end."""
    [outcome] = await move_together([(tx, cmd)])
    if isinstance(outcome, AtriumError):
        raise outcome
    return outcome


@together("task.move")
async def move_together(moves: Sequence[Move]) -> list[TaskMoved | AtriumError]:
    """Several moves in their order: what became of each."""
    some = _apart(moves)
    places = _read_ahead(some)
    outcomes = await _some(some, await _read(some) if places is None else places)
    while len(outcomes) < len(moves):
        some = _apart(moves[len(outcomes) :])
        outcomes += await _some(some, await _read(some))
    return outcomes


def _apart(moves: Sequence[Move]) -> Sequence[Move]:
    """The first of them, up to one that is about a task that another one moves."""
    moved: set[UUID | None] = set()
    for at, (_, cmd) in enumerate(moves):
        if moved & {cmd.task_id, cmd.before_id, cmd.after_id}:
            return moves[:at]
        moved.add(cmd.task_id)
    return moves


async def _some(moves: Sequence[Move], places: Mapping[int, Row]) -> list[TaskMoved | AtriumError]:
    """Decide and write the first of these moves, as many as can be decided from one reading."""
    decided, plans = _Decided(), list[_Plan | AtriumError]()
    for at, (tx, cmd) in enumerate(moves):
        try:
            plan = _decide(tx, cmd, places.get(at), decided)
        except AtriumError as error:
            plans.append(error)
            continue
        if len(plan.position) > positions.LONGEST:
            if not any(isinstance(before, _Plan) for before in plans):
                await _make_room(plan)
                plans.append(plan)
            break
        decided.take(plan)
        plans.append(plan)
    decided_plans = [plan for plan in plans if isinstance(plan, _Plan)]
    _write(decided_plans)
    await _count_subtasks(decided_plans)
    await _say_where(moves, plans)
    return [plan if isinstance(plan, AtriumError) else _told(plan) for plan in plans]


@opening("task.move", "open_for_moves")
def _asked(moves: Sequence[MoveTask]) -> dict[str, str]:
    return {"moves": as_json([cmd.__dict__ for cmd in moves])}


def _read_ahead(moves: Sequence[Move]) -> dict[int, Row] | None:
    """What was read when the room was opened, where that was for all of these moves."""
    if any(tx.ahead is None for tx, _ in moves):
        return None
    return {at: row for at, (tx, _) in enumerate(moves) for row in tx.ahead or ()}


async def _read(moves: Sequence[Move]) -> dict[int, Row]:
    """Where each task is and what there is where it goes; nothing for a task that there is not."""
    tx, _ = moves[0]
    rows = await tx.many("move_contexts", **_asked([cmd for _, cmd in moves]))
    return {row["n"] - 1: row for row in rows}


def _decide(tx: Tx, cmd: MoveTask, place: Row | None, decided: _Decided) -> _Plan:
    """Whether a move may be, and where it leads, after those that were decided before it."""
    if place is None:
        raise NotFound("There is no such task")
    if place["target_id"] is None:
        raise NotFound("There is no such column")
    tx.check_version(place, TaskPart)
    if cmd.from_column_id is not None and place["column_id"] != cmd.from_column_id:
        raise Conflict(
            "The task is not in that column any more",
            details={"rule": ELSEWHERE, "from_column_id": cmd.from_column_id},
        )
    if cmd.status_id is not None and place["new_status_id"] != cmd.status_id:
        raise Conflict(f"The column {place['column_name']} does not show that status")
    if place["rules"] is not None:
        _check_rules(tx, place["rules"])
    if place["unapproved"]:
        raise unapproved(place["approval"])
    over = None
    if place["column_id"] != cmd.column_id and place["wip_limit"] is not None:
        held = place["held"] + decided.held[cmd.column_id]
        column = {"id": cmd.column_id, "name": place["column_name"], **_limit(place)}
        over = check_limit(column, held)
    if (cmd.before_id or cmd.after_id) and place["anchor"] is None:
        raise Conflict(
            "The task beside which to drop is not in that column any more",
            details={
                "rule": NEIGHBOUR_GONE,
                "before_id": cmd.before_id,
                "after_id": cmd.after_id,
                "column_id": cmd.column_id,
            },
        )
    position = positions.between(*_gap(cmd, place, decided.arrived[cmd.column_id]))
    completed_at = (place["completed_at"] or tx.now) if place["done"] else None
    return _Plan(tx, cmd, place, completed_at, position, over)


def _limit(place: Row) -> dict[str, object]:
    return {name: place[name] for name in ("wip_limit", "limit_mode")}


def _check_rules(tx: Tx, text: str) -> None:
    """Whether the workflow lets this task go to its new status; read only where there is a rule about it."""
    rules = orjson.loads(text)
    old, new = ({**rules[which], "id": UUID(rules[which]["id"])} for which in ("old", "new"))
    check_step(tx, rules["task"], old, new)


async def _say_where(moves: Sequence[Move], plans: Sequence[_Plan | AtriumError]) -> None:
    """Tell each move that came too late who put the task, or the one beside which to drop it, where it is now."""
    late = [
        (error, task_id)
        for (_, cmd), error in zip(moves, plans, strict=False)
        if isinstance(error, AtriumError) and (task_id := _about(cmd, error))
    ]
    if not late:
        return
    tx, _ = moves[0]
    rows = await tx.many("whereabouts", task_ids=list({task_id for _, task_id in late}))
    found = {row["id"]: row for row in rows}
    for error, task_id in late:
        if row := found.get(task_id):
            error.details |= _whereabouts(row)


def _about(cmd: MoveTask, error: AtriumError) -> UUID | None:
    """The task that was moved before, as far as that is why a move is refused."""
    if isinstance(error, VersionConflict) or error.details.get("rule") == ELSEWHERE:
        return cmd.task_id
    return (cmd.before_id or cmd.after_id) if error.details.get("rule") == NEIGHBOUR_GONE else None


def _whereabouts(row: Row) -> dict[str, object]:
    by = {"id": row["moved_by"], "name": row["moved_by_name"], "at": timestamp(row["moved_at"])}
    column = None if row["away"] else {"id": row["column_id"], "name": row["column_name"]}
    return {"moved_by": by, "column": column, "position": None if row["away"] else row["position"]}


def _gap(cmd: MoveTask, place: Row, arrived: list[str]) -> tuple[str | None, str | None]:
    """The positions between which a task is dropped; those that just arrived count as those that were read."""
    anchor, neighbour = place["anchor"], place["neighbour"]
    known = arrived if neighbour is None else [neighbour, *arrived]
    if cmd.before_id:
        return max((p for p in known if p < anchor), default=None), anchor
    if cmd.after_id:
        return anchor, min((p for p in known if p > anchor), default=None)
    return max(known, default=None), None


async def _make_room(plan: _Plan) -> None:
    """Give all cards of the column new positions, for the gap has become too narrow."""
    tx, cmd = plan.tx, plan.cmd
    rows = await tx.many("column_order", column_id=cmd.column_id)
    order = [row["id"] for row in rows if row["id"] != cmd.task_id]
    anchor = cmd.before_id or cmd.after_id
    at = order.index(anchor) + (1 if cmd.after_id else 0) if anchor else len(order)
    order.insert(at, cmd.task_id)
    keys = positions.spread(len(order))
    others = [(task_id, key) for task_id, key in zip(order, keys, strict=True) if task_id != cmd.task_id]
    moved = await tx.many("rebalance_tasks", ids=[o[0] for o in others], positions=[o[1] for o in others])
    plan.position, plan.beside = keys[at], [TaskPart.of(row) for row in moved]


def _write(plans: list[_Plan]) -> None:
    if plans:
        plans[0].tx.defer(
            "move_tasks",
            task_ids=[plan.cmd.task_id for plan in plans],
            moved=as_json([
                {
                    "id": plan.cmd.task_id,
                    "column_id": plan.cmd.column_id,
                    "status_id": plan.place["new_status_id"],
                    "position": plan.position,
                    "version": plan.place["version"] + 1,
                    "actor_id": plan.tx.actor.user_id,
                    "at": plan.tx.now,
                    "completed_at": plan.completed_at,
                }
                for plan in plans
            ]),
        )  # fmt: skip
        settle(plans[0].tx, [p.place for p in plans if p.place["new_status_id"] != p.place["status_id"]])


async def _count_subtasks(plans: list[_Plan]) -> None:
    """Tell with each move how its parent's subtasks stand after all of them; nothing is asked where none has one."""
    moved = [
        plan
        for plan in plans
        if plan.place["parent_id"] is not None and plan.place["new_status_id"] != plan.place["status_id"]
    ]
    if not moved:
        return
    counted = {row["id"]: row for row in await recount(moved[0].tx, {p.place["parent_id"] for p in moved})}
    for plan in moved:
        if (parent := counted.get(plan.place["parent_id"])) is not None:
            plan.beside.append(TaskPart.of(parent))


def _told(plan: _Plan) -> TaskMoved:
    place = plan.place
    fresh = {
        "column_id": plan.cmd.column_id,
        "status_id": place["new_status_id"],
        "position": plan.position,
        "completed_at": plan.completed_at,
    }
    changed = [name for name, value in fresh.items() if value != place[name]]
    if "completed_at" not in changed:
        del fresh["completed_at"]
    elif place["series_id"] is not None:
        fresh["series_id"] = place["series_id"]
    version, was = place["version"] + 1, {name: place[name] for name in changed}
    event = known(
        TaskMoved,
        task=known(TaskPart, id=place["id"], version=version, updated_at=plan.tx.now, **fresh),
        was=known(Was, **was),
    )
    if plan.beside:
        event.tasks = plan.beside
    if plan.over:
        event.over_limit = plan.over
    return event

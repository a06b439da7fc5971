"""Alarms: what the server itself sends into a room at a moment, once, on whichever node is there.

    await set_alarms(tx, [Alarm(f"reminder:{task_id}:{id}", at, "reminder.fire", Fire(reminder_id=id))])

An alarm becomes an internal command (`registry.internal`) in the room where it was set, as whoever set it, with all
rights there. It is kept in Postgres and goes in the transaction of that command: a node that dies loses none, and two
nodes that take the same one apply it once. While no node runs, or the tenant is out of use, alarms wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from handlers.context import Tx
from handlers.registry import INTERNAL, Event, Outcome, Payload, Reply, Spec
from storage.ids import new_id
from storage.rooms import RoomKey


@dataclass(frozen=True, slots=True)
class Alarm:
    """One command to be sent."""

    key: str
    """Names it within the tenant, in ASCII: another alarm under this key takes its place."""
    at: datetime
    name: str
    """An internal command of this kind of room."""
    payload: Payload


async def set_alarms(tx: Tx, alarms: Sequence[Alarm]) -> None:
    """Have internal commands sent into this room; they are written with the commit of this one."""
    if alarms:
        tx.defer("set_alarms", alarms=_rows(tx.room, alarms))


async def advance_alarm(tx: Tx, alarm: Alarm, room: RoomKey | None = None) -> None:
    """Set an alarm, in another room if one is named, unless there is one under its key that comes earlier."""
    room = room or tx.room
    tx.defer("advance_alarm", room_id=room.id, alarms=_rows(room, [alarm]))


def _rows(room: RoomKey, alarms: Sequence[Alarm]) -> str:
    for alarm in alarms:
        if INTERNAL[alarm.name].room != room.kind:
            raise ValueError(f"{alarm.name} is not for a room of kind {room.kind}")
    rows = [
        {
            "key": alarm.key,
            "at": alarm.at.astimezone(UTC).isoformat(),
            "name": alarm.name,
            "payload": orjson.Fragment(alarm.payload.model_dump_json(exclude_unset=True)),
            "command_id": str(new_id()),
        }
        for alarm in {alarm.key: alarm for alarm in alarms}.values()
    ]
    return orjson.dumps(rows).decode()


async def clear_alarms(tx: Tx, keys: Sequence[str]) -> None:
    """Take alarms back; those that there are not do no harm."""
    if keys:
        tx.defer("clear_alarms", keys=list(keys))


async def clear_alarms_under(tx: Tx, prefix: str) -> None:
    """Take back all alarms whose keys begin like this; end it with what no longer key goes on with, such as a colon."""
    tx.defer("clear_alarms_under", prefix=prefix)


def due(name: str, key: str, command_id: UUID, payload: str) -> tuple[Spec, Payload]:
    """The command that an alarm becomes. It takes the alarm away; one that is gone by then does nothing."""
    spec = INTERNAL[name]

    async def hear(tx: Tx, payload: Payload) -> Any:
        if not await tx.value("take_alarm", key=key, command_id=command_id):
            return Outcome([], Reply())
        outcome = await spec.handler(tx, payload)
        if any(event.room in (None, tx.room) for event in _events(outcome)):
            # What the server does is not for the one who set the alarm to take back.
            tx.defer("record_history_step", seq=tx.head + 1, kind="alarm", target_seq=None)
        return outcome

    return replace(spec, handler=hear), spec.payload.model_validate_json(payload)


def _events(outcome: Event | list[Event] | Outcome[Any, Any]) -> list[Event]:
    if isinstance(outcome, Outcome):
        return list(outcome.events)
    return outcome if isinstance(outcome, list) else [outcome]

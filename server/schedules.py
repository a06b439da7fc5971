"""Watched schedules: the critical path of a project as it changes, for those who look at it.

A connection in a project's room watches its schedule. When an event of the room may have changed that, the node reckons it
anew, once for all who watch it there and not more often than the settings say, and tells them if it is another one.
Nothing is reckoned where nobody watches. What is told is whole and not logged: whoever is too slow for one gets the next.
"""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import structlog
from pydantic import Field

from handlers.errors import AtriumError, Forbidden, NotFound, Unavailable
from handlers.registry import SPECS, Payload, Text, control
from handlers.work.planning.schedule import ScheduleOf
from server.connection import Answer, Connection
from server.envelope import dump
from storage.background import end_tasks
from storage.postgres import LOST
from storage.rooms import RoomKey
from storage.settings import Settings

if TYPE_CHECKING:
    from handlers.dispatch import Dispatcher
    from server.hub import Hub

log = structlog.get_logger(__name__)

SOON: Final = 0.05
"""Changes within this time are one (seconds)."""
MOST_TOLD: Final = 1_000
"""Tasks of a critical path that are named (count)."""
SCHEDULE: Final = "project.schedule"
MATTERS: Final = tuple(
    b'2["' + name for name in (b"task.", b"tasks.", b"dependency.", b"status.", b"project.updated")
)
"""How packets begin of events that may change a schedule."""


class WatchSchedule(Payload):
    room: Annotated[Text, Field(max_length=100)] = Field(description="A project's room that one has joined.")


@dataclass(slots=True)
class _Watch:
    """The schedule of a project, and who watches it on this node."""

    watchers: dict[Connection, None] = field(default_factory=dict)
    told: bytes | None = None
    """As it was when it was last reckoned."""
    timer: asyncio.TimerHandle | None = None
    reckoning: asyncio.Task[None] | None = None
    reckoned_at: float = float("-inf")


class Schedules:
    """All that are watched on this node."""

    def __init__(self, hub: "Hub", dispatcher: "Dispatcher", settings: Settings) -> None:
        self._hub = hub
        self._dispatcher = dispatcher
        self._settings = settings
        self._watches: dict[RoomKey, _Watch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def watch(self, connection: Connection, room: RoomKey) -> bytes:
        """Begin to tell a connection of changes; returns the schedule as it is, after which none is missed."""
        watch = self._watches.setdefault(room, _Watch())
        watch.watchers[connection] = None
        try:
            data = await self._reckon(connection, room)
            if watch.told not in (None, data):  # others were told meanwhile: the answer must not be older
                data = await self._reckon(connection, room)
        except BaseException:
            self.leave(connection, room)
            raise
        if connection.closed or room not in connection.rooms:
            self.leave(connection, room)
        if watch.told is None:
            watch.told = data
        return data

    def leave(self, connection: Connection, room: RoomKey) -> None:
        """Tell a connection no more."""
        watch = self._watches.get(room)
        if watch is None:
            return
        watch.watchers.pop(connection, None)
        if not watch.watchers:
            if watch.timer is not None:
                watch.timer.cancel()
            del self._watches[room]

    def heard(self, room: RoomKey, packet: bytes) -> None:
        """An event of a project's room was delivered."""
        watch = self._watches.get(room)
        if watch is not None and packet.startswith(MATTERS):
            self._schedule(room, watch)

    def _schedule(self, room: RoomKey, watch: _Watch) -> None:
        """Have it reckoned anew, as soon as that may be."""
        if watch.timer is None:
            loop = asyncio.get_running_loop()
            pause = watch.reckoned_at + self._settings.schedule_interval - loop.time()
            watch.timer = loop.call_later(max(pause, SOON), self._begin, room, watch)

    async def stop(self) -> None:
        for watch in self._watches.values():
            if watch.timer is not None:
                watch.timer.cancel()
        await end_tasks(*self._tasks)

    def _begin(self, room: RoomKey, watch: _Watch) -> None:
        watch.timer = None
        if watch.reckoning is not None and not watch.reckoning.done():
            self._schedule(room, watch)  # one after the other: what is told last must be what was read last
            return
        watch.reckoned_at = asyncio.get_running_loop().time()
        watch.reckoning = task = asyncio.create_task(self._tell(room, watch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, room: RoomKey, watch: _Watch) -> None:
        """Reckon, in the name of the first watcher who may see it, and tell all if it is another schedule."""
        for connection in list(watch.watchers):
            try:
                data = await self._reckon(connection, room)
            except (Forbidden, NotFound):
                self.leave(connection, room)
                continue
            except (Unavailable, *LOST) as error:
                log.warning("schedule.postponed", room=room.name, error=repr(error))
                if self._watches.get(room) is watch:
                    self._schedule(room, watch)
                return
            except AtriumError as error:
                log.warning("schedule.failed", room=room.name, error=repr(error))
                return
            if data != watch.told:
                watch.told = data
                self._hub.signal(
                    room, "schedule.changed", _told(room, data), only=watch.watchers, relay=False
                )
            return

    async def _reckon(self, connection: Connection, room: RoomKey) -> bytes:
        ask = ScheduleOf(project_id=room.id)
        return (await self._dispatcher.query(SPECS[SCHEDULE], ask, connection.principal, room)).data


@control("schedule.watch")
async def watch(connection: Connection, cmd: WatchSchedule) -> Answer:
    """Watch a project's schedule while one is in its room: the answer has it, and `schedule.changed` tells of changes."""
    room = _joined(connection, cmd.room)
    data = await connection.gateway.schedules.watch(connection, room)
    return Answer(b'{"schedule":%b}' % data)


@control("schedule.unwatch")
async def unwatch(connection: Connection, cmd: WatchSchedule) -> Answer:
    """Watch a project's schedule no more."""
    connection.gateway.schedules.leave(connection, _joined(connection, cmd.room))
    return Answer(dump({"room": cmd.room}))


def _joined(connection: Connection, name: str) -> RoomKey:
    room = RoomKey.parse(connection.principal.tenant_id, name)
    if room is None or room.kind != "project" or room not in connection.rooms:
        raise NotFound("Join the project's room first")
    return room


def _told(room: RoomKey, data: bytes) -> bytes:
    """What watchers hear: the whole of it is a query away."""
    schedule: dict[str, Any] = orjson.loads(data)
    path = schedule["critical_task_ids"]
    return dump({
        "room": room.name,
        "starts_at": schedule["starts_at"],
        "finishes_at": schedule["finishes_at"],
        "critical_task_ids": path[:MOST_TOLD],
        "critical_count": len(path),
    })  # fmt: skip

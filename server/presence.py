"""Who is in a room, and what they are looking at or typing: unlogged, coalesced, gone when its node is.

Each node tells the others the list of its own members of a room, whole, whenever it changes and before its
lease runs out; so a lost message heals with the next one, and a dead node's members leave with its lease.
"""

import asyncio
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgpack

from handlers.errors import NotFound
from server.envelope import dump
from storage.background import end_tasks
from storage.rooms import RoomKey
from storage.settings import Settings

if TYPE_CHECKING:
    from server.connection import Connection
    from server.hub import Hub

COALESCE: Final = 0.05
"""Changes of a room's presence within this time go out as one message (seconds)."""

STATE, WHO = "presence.state", "presence.who"

AT: Final = "at"
"""Where an entry keeps when it was changed last, by its node's clock (seconds since 1970): of several windows of a person the
one used last shows. Clients do not get it.
"""

_RANK: Final = {"busy": 2, "online": 1, "away": 0}


@dataclass(slots=True)
class _Room:
    """Presence of one room as this node knows it."""

    local: dict["Connection", dict[str, Any]] = field(default_factory=dict)
    remote: dict[str, tuple[float, list[dict[str, Any]]]] = field(default_factory=dict)
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)
    """As it was told last, by name."""
    count: int = 0
    """As it was told last."""
    crowd: bool = False
    """Whether that was the count alone: who came since has heard of nobody."""
    named: set[str] = field(default_factory=set)
    """Named in the answer to a join since the last change was shown: their going must be shown too."""
    timer: asyncio.TimerHandle | None = None
    announced_at: float = 0.0


class Presence:
    """Presence of every room with members on this node."""

    def __init__(self, hub: "Hub", settings: Settings) -> None:
        self._hub = hub
        self._settings = settings
        self._node = os.urandom(8).hex()
        self._rooms: dict[RoomKey, _Room] = {}
        self._keeper: asyncio.Task[None] | None = None
        self.draining = False

    def start(self) -> None:
        self._keeper = asyncio.create_task(self._keep_lease())

    async def stop(self) -> None:
        await end_tasks(self._keeper)

    def join(self, connection: "Connection", key: RoomKey) -> None:
        room = self._rooms.get(key)
        if room is None:
            room = self._rooms[key] = _Room()
            self._hub.relay(key, msgpack.packb((WHO, self._node)))
        principal = connection.principal
        entry = {
            "user_id": str(principal.user_id),
            "name": principal.name,
            "status": "online",
            AT: time.time(),
        }
        room.local.setdefault(connection, entry)
        self._changed(key, room)

    def leave(self, connection: "Connection", key: RoomKey) -> None:
        room = self._rooms.get(key)
        if room is None:
            return
        room.local.pop(connection, None)
        if not room.local and not list(self._hub.members(key)):
            if room.timer is not None:
                room.timer.cancel()
            del self._rooms[key]
            self._announce(key, room)
        else:
            self._changed(key, room)

    def update(self, connection: "Connection", key: RoomKey, entry: dict[str, Any]) -> None:
        room = self._rooms.get(key)
        if room is None or connection not in room.local:
            raise NotFound("Join the room first")
        changed = {**room.local[connection], **entry, AT: time.time()}
        room.local[connection] = {name: value for name, value in changed.items() if value is not None}
        self._changed(key, room)

    def state(self, key: RoomKey) -> dict[str, Any]:
        """Who is there: `{members: […], count}`; above the room size of the settings the count alone."""
        room = self._rooms.get(key)
        people = self._people(room) if room else {}
        crowd = len(people) > self._settings.presence_detail
        listed = {} if crowd else people
        if room:
            room.named.update(listed)
            room.crowd |= crowd
        return {"members": list(listed.values()), "count": len(people)}

    def heard(self, key: RoomKey, message: bytes) -> None:
        """A signal of another node about a room."""
        name, *rest = msgpack.unpackb(message)
        room = self._rooms.get(key)
        if name == WHO:
            if room is not None:
                self._announce(key, room)
        elif name != STATE:
            self._hub.signal(key, name, rest[0], relay=False)
        elif room is not None:
            node, entries = rest
            room.remote[node] = (time.monotonic() + self._settings.presence_lease, entries)
            if not entries:
                del room.remote[node]
            self._schedule(key, room)

    def _changed(self, key: RoomKey, room: _Room) -> None:
        room.announced_at = 0.0
        self._schedule(key, room)

    def _schedule(self, key: RoomKey, room: _Room) -> None:
        if room.timer is None:
            room.timer = asyncio.get_running_loop().call_later(COALESCE, self._show, key, room)

    def _show(self, key: RoomKey, room: _Room) -> None:
        """Tell the local members what has changed, and the other nodes if it changed here."""
        room.timer = None
        if not room.announced_at:
            self._announce(key, room)
        people = self._people(room)
        change: dict[str, Any] = {
            "room": key.name,
            "joined": [],
            "updated": [],
            "left": [],
            "count": len(people),
        }
        if len(people) <= self._settings.presence_detail:
            before = {} if room.crowd else room.shown
            gone = [
                user_id for user_id in {**room.shown, **dict.fromkeys(room.named)} if user_id not in people
            ]
            room.shown, room.crowd = people, False
            room.named.clear()
            change["joined"] = [person for user_id, person in people.items() if user_id not in before]
            change["updated"] = [
                person
                for user_id, person in people.items()
                if user_id in before and before[user_id] != person
            ]
            change["left"] = [{"user_id": user_id} for user_id in gone]
            if not (change["joined"] or change["updated"] or change["left"]):
                return
        elif len(people) == room.count:
            return
        else:
            room.crowd = True
        room.count = len(people)
        self._hub.signal(key, "presence.changed", dump(change), relay=False)

    def _announce(self, key: RoomKey, room: _Room) -> None:
        room.announced_at = time.monotonic()
        if not self.draining:
            self._hub.relay(key, msgpack.packb((STATE, self._node, list(room.local.values()))))

    def _people(self, room: _Room) -> dict[str, dict[str, Any]]:
        """One entry a person, however many windows: the busiest status, the last focus and cursor."""
        people: dict[str, dict[str, Any]] = {}
        now = time.monotonic()
        entries = [entry for expires, listed in room.remote.values() if expires > now for entry in listed]
        for entry in sorted((*entries, *room.local.values()), key=lambda entry: entry.get(AT, 0.0)):
            known = people.get(entry["user_id"])
            merged = {**known, **entry} if known else dict(entry)
            if known and _RANK[known["status"]] > _RANK[entry["status"]]:
                merged["status"] = known["status"]
            people[entry["user_id"]] = merged
        for person in people.values():
            person.pop(AT, None)
        return people

    async def _keep_lease(self) -> None:
        """Renew our lease with the other nodes, and end theirs when they have not."""
        interval = self._settings.presence_lease / 3
        while True:
            await asyncio.sleep(interval)
            now = time.monotonic()
            for key, room in list(self._rooms.items()):
                if now - room.announced_at >= interval:
                    self._announce(key, room)
                for node in [node for node, (expires, _) in room.remote.items() if expires <= now]:
                    del room.remote[node]
                    self._schedule(key, room)

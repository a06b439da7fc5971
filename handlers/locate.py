"""Which room a call belongs to: the reserved field `room`, or an id in the payload that decides it."""

from typing import Final
from uuid import UUID

from handlers.context import Principal
from handlers.errors import NotFound, ValidationFailed
from handlers.registry import Payload, Spec, locating
from storage.postgres import Database
from storage.rooms import RoomKey

CACHE_SIZE: Final = 200_000
"""Ids whose project is remembered (count): about 40 MB. Only a task that goes to another project makes an entry stale;
then it is not found where it was, and `moved` looks anew."""


class Locator:
    """Finds the room of a call; remembers the project of ids it has looked up."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._projects: dict[tuple[UUID, UUID], UUID] = {}
        self._left: dict[tuple[UUID, UUID], UUID] = {}
        """The project that was left by what has moved, as far as it was noticed here."""

    async def room(self, spec: Spec, payload: Payload, principal: Principal, room: str | None) -> RoomKey:
        """The room that a call is for; NOT_FOUND where its ids lead nowhere."""
        known = self.known(spec, payload, principal, room)
        if known is not None:
            return known
        statement, entity_id = _entity(payload)
        return RoomKey(
            principal.tenant_id, "project", await self._look_up(statement, principal.tenant_id, entity_id)
        )

    def known(self, spec: Spec, payload: Payload, principal: Principal, room: str | None) -> RoomKey | None:
        """The same, where that can be said without asking the database."""
        tenant_id = principal.tenant_id
        if room is not None:
            key = RoomKey.parse(tenant_id, room)
            if key is None:
                raise ValidationFailed.field("room", "must be a room such as project:<id>")
            if spec.room and key.kind != spec.room:
                raise ValidationFailed.field("room", f"must be a room of kind {spec.room}")
            return key
        if spec.room == "tenant":
            return RoomKey(tenant_id, "tenant", tenant_id)
        if spec.room == "user":
            return RoomKey(tenant_id, "user", principal.user_id)
        project_id: UUID | None = payload.given("project_id")
        if project_id is None:
            project_id = self._projects.get((tenant_id, _entity(payload)[1]))
        return None if project_id is None else RoomKey(tenant_id, "project", project_id)

    async def moved(self, spec: Spec, payload: Payload, room: RoomKey) -> RoomKey | None:
        """Where a call belongs that found nothing in the room to which its ids led, if that is another room by now."""
        if spec.room != "project" or payload.given("project_id") is not None:
            return None
        for field, statement in locating(type(payload)).items():
            entity_id: UUID | None = payload.given(field)
            if entity_id is not None:
                return await self._followed(statement, room, entity_id)
        return None

    async def _followed(self, statement: str, room: RoomKey, entity_id: UUID) -> RoomKey | None:
        key = room.tenant_id, entity_id
        if self._projects.get(key) == room.id:
            found = await self._fetch(statement, *key)
            if found == room.id:
                return None
            self._projects[key], self._left[key] = found, room.id
        elif self._left.get(key) != room.id or key not in self._projects:
            return None
        return RoomKey(room.tenant_id, "project", self._projects[key])

    async def _look_up(self, statement: str, tenant_id: UUID, entity_id: UUID) -> UUID:
        found = await self._fetch(statement, tenant_id, entity_id)
        if len(self._projects) >= CACHE_SIZE:
            for oldest in list(self._projects)[: CACHE_SIZE // 10]:
                del self._projects[oldest]
            self._left.clear()
        self._projects[tenant_id, entity_id] = found
        return found

    async def _fetch(self, statement: str, tenant_id: UUID, entity_id: UUID) -> UUID:
        async with self._db.transaction(tenant_id) as session:
            found: UUID | None = await session.value(statement, entity_id=entity_id)
        if found is None:
            raise NotFound
        return found


def _entity(payload: Payload) -> tuple[str, UUID]:
    """The id that says which project a call is about, and the statement that finds it."""
    for field, statement in locating(type(payload)).items():
        entity_id: UUID | None = payload.given(field)
        if entity_id is not None:
            return statement, entity_id
    raise ValidationFailed.field("room", "is needed: nothing else in the payload says where this belongs")

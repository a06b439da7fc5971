"""Which room a call belongs to: the reserved field `room`, or an id in the payload that decides it."""

from typing import Any, Final
from uuid import UUID

from handlers.context import Principal
from handlers.errors import NotFound, ValidationFailed
from handlers.registry import LOCATORS, Payload, Spec
from storage.postgres import Database
from storage.rooms import RoomKey

CACHE_SIZE: Final = 200_000
"""Ids whose project is remembered (count): about 40 MB. An entry never goes stale, for an id keeps its project."""


class Locator:
    """Finds the room of a call; remembers the project of ids it has looked up."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._projects: dict[tuple[UUID, UUID], UUID] = {}

    async def room(self, spec: Spec, payload: Payload, principal: Principal, room: str | None) -> RoomKey:
        """The room that a call is for; NOT_FOUND where its ids lead nowhere."""
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
        return RoomKey(tenant_id, "project", await self._project(payload, tenant_id))

    async def _project(self, payload: Payload, tenant_id: UUID) -> UUID:
        project_id: UUID | None = getattr(payload, "project_id", None)
        if project_id is not None:
            return project_id
        for field, statement in LOCATORS.items():
            entity_id: UUID | None = getattr(payload, field, None)
            if entity_id is not None:
                return await self._look_up(statement, tenant_id, entity_id)
        raise ValidationFailed.field("room", "is needed: nothing else in the payload says where this belongs")

    async def _look_up(self, statement: str, tenant_id: UUID, entity_id: UUID) -> UUID:
        known = self._projects.get((tenant_id, entity_id))
        if known is not None:
            return known
        async with self._db.transaction(tenant_id) as session:
            found: Any = await session.value(statement, entity_id=entity_id)
        if found is None:
            raise NotFound
        if len(self._projects) >= CACHE_SIZE:
            for oldest in list(self._projects)[: CACHE_SIZE // 10]:
                del self._projects[oldest]
        self._projects[tenant_id, entity_id] = found
        return UUID(str(found))

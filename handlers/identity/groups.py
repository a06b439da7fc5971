"""What teams and units have in common: people who take part in projects together."""

from typing import Any, Final
from uuid import UUID

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, constraint
from handlers.paging import decode_cursor, encode_cursor
from handlers.registry import Pagination, Paging, Payload
from handlers.work.projects.parts import PartEvent, lock_projects, settle_shares
from storage.ids import new_id
from storage.postgres import Row

MOST_GROUPS: Final = 1000
"""Teams and units of a tenant (count): the snapshot of its room lists them with their members."""

MOST_PEOPLE: Final = 1000
"""Members of one team or unit itself (count); units can be nested."""

constraint("groups_name_key", "name", "Another one beside it has this name")
constraint("groups_pkey", "id", "One with this id exists")


async def group(tx: Tx, group_id: UUID, *, team: bool) -> Row:
    """A team, or a unit, of the tenant; NOT_FOUND for one of the other sort."""
    row = await tx.maybe("group_of", group_id=group_id)
    if row is None or (row["kind"] == "team") != team:
        raise NotFound(f"There is no such {'team' if team else 'unit'}")
    return row


async def page(tx: Tx, ask: Paging, *, teams: bool) -> tuple[list[Row], Pagination]:
    """Teams or units by name."""
    after_name, after_id = decode_cursor(ask.cursor, str, UUID) or ("", UUID(int=0))
    rows = await tx.many(
        "groups_page", teams=teams, after_name=after_name, after_id=after_id, max_rows=ask.limit + 1
    )
    last = rows[ask.limit - 1] if len(rows) > ask.limit else None
    more = encode_cursor(last["name"].lower(), last["id"]) if last else None
    return rows[: ask.limit], Pagination(limit=ask.limit, next=more)


async def all_groups(tx: Tx, *, teams: bool) -> list[Row]:
    """Teams or units as a snapshot lists them."""
    return await tx.many(
        "groups_page", teams=teams, after_name="", after_id=UUID(int=0), max_rows=MOST_GROUPS
    )


async def create(tx: Tx, cmd: Payload, user_ids: list[UUID], **fields: Any) -> tuple[Row, list[PartEvent]]:
    """A new team or unit with its first members, and what that changes in projects."""
    if await tx.value("count_groups") >= MOST_GROUPS:
        raise Conflict(f"A tenant has at most {MOST_GROUPS} teams and units")
    group_id = getattr(cmd, "id", None) or new_id()
    await tx.exec("create_group", cmd, **fields, id=group_id)
    await _require_members(tx, user_ids)
    projects = await _lock(tx, group_id)
    await tx.many("add_group_members", group_id=group_id, user_ids=user_ids)
    events = await settle_shares(tx, projects)
    return await tx.one("group_of", group_id=group_id), events


async def update(tx: Tx, row: Row, **fields: Any) -> tuple[Row, list[PartEvent]]:
    """Change what a team or unit is called, or where a unit stands."""
    group_id = row["id"]
    projects = await _projects(tx, group_id)
    await tx.exec("update_group", group_id=group_id, **fields)
    if fields["parent_id"] == row["parent_id"]:
        return await tx.one("group_of", group_id=group_id), []
    projects |= await _projects(tx, group_id)
    await lock_projects(tx, projects)
    events = await settle_shares(tx, projects)
    return await tx.one("group_of", group_id=group_id), events


async def add(tx: Tx, row: Row, user_ids: list[UUID]) -> tuple[Row, list[PartEvent]]:
    """More people in a team or unit."""
    await _require_members(tx, user_ids)
    if len({*row["member_ids"], *user_ids}) > MOST_PEOPLE:
        raise Conflict(f"At most {MOST_PEOPLE} people are in one team or unit")
    projects = await _lock(tx, row["id"])
    await tx.many("add_group_members", group_id=row["id"], user_ids=user_ids)
    return await _touched(tx, row["id"], projects)


async def remove(tx: Tx, row: Row, user_ids: list[UUID]) -> tuple[Row, list[PartEvent]]:
    """Fewer people in a team or unit."""
    projects = await _lock(tx, row["id"])
    await tx.exec("remove_group_members", group_id=row["id"], user_ids=user_ids)
    return await _touched(tx, row["id"], projects)


async def delete(tx: Tx, row: Row) -> tuple[list[UUID], list[PartEvent]]:
    """No more team or unit: the shares that go with it, and what that changes in projects."""
    if await tx.value("has_groups_below", group_id=row["id"]):
        raise Conflict("Other units are below this one: delete or move them first")
    if await tx.value("projects_for_unit", unit_id=row["id"]):
        raise Conflict("There are projects for this unit: delete them, or give them to another one")
    projects = await _lock(tx, row["id"])
    await tx.exec("forget_unit", unit_id=row["id"])
    shares = [share["id"] for share in await tx.many("shares_of_group", group_id=row["id"])]
    await tx.exec("delete_group", group_id=row["id"])
    return shares, await settle_shares(tx, projects)


async def _touched(tx: Tx, group_id: UUID, projects: set[UUID]) -> tuple[Row, list[PartEvent]]:
    await tx.exec("touch_group", group_id=group_id)
    events = await settle_shares(tx, projects)
    return await tx.one("group_of", group_id=group_id), events


async def _lock(tx: Tx, group_id: UUID) -> set[UUID]:
    projects = await _projects(tx, group_id)
    await lock_projects(tx, projects)
    return projects


async def _projects(tx: Tx, group_id: UUID) -> set[UUID]:
    return {row["project_id"] for row in await tx.many("projects_of_group", group_id=group_id)}


async def _require_members(tx: Tx, user_ids: list[UUID]) -> None:
    known = (
        {row["user_id"] for row in await tx.many("known_members", user_ids=user_ids)} if user_ids else set()
    )
    if any(user_id not in known for user_id in user_ids):
        raise NotFound("There is no such member")

"""Checklists of a task: several, each with a name and items in order that are ticked off.

They are read task by task and never with the board; the task carries how many items there are and how many are done.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

import orjson
from pydantic import Field, model_validator

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, constraint
from handlers.registry import Entity, Event, Name, Payload, Reply, Timestamp, Title, command, query
from handlers.work import positions
from handlers.work.tasks.tasks import CreateTask, TaskCreated, standing
from handlers.work.tasks.tasks import create as create_task
from storage.ids import new_id
from storage.postgres import Row

MOST: Final = 20
"""Checklists of one task (count)."""
MOST_ITEMS: Final = 500
"""Items of all checklists of one task together (count)."""

constraint("checklists_pkey", "id", "A checklist with this id exists")
constraint("checklist_items_pkey", "id", "An item with this id exists")


class Checklist(Entity):
    """A named list of what there is to tick off; those of a task are ordered by (position, id), bytewise."""

    id: UUID
    task_id: UUID
    name: str
    position: str
    created_by: UUID
    created_at: Timestamp


class ChecklistItem(Entity):
    """One thing to tick off; those of a checklist are ordered by (position, id), bytewise."""

    id: UUID
    task_id: UUID
    checklist_id: UUID
    text: str
    position: str
    done_at: Timestamp | None
    done_by: UUID | None
    created_by: UUID
    created_at: Timestamp


class ChecklistPart(Entity):
    """A checklist as far as it changed."""

    id: UUID
    task_id: UUID
    removed: Literal[True] | None = None
    name: str | None = None
    position: str | None = None


class ChecklistItemPart(Entity):
    """An item as far as it changed."""

    id: UUID
    task_id: UUID
    removed: Literal[True] | None = None
    checklist_id: UUID | None = None
    text: str | None = None
    position: str | None = None
    done_at: Timestamp | None = None
    done_by: UUID | None = None


class ChecklistWas(Entity):
    """The values that changed fields had before."""

    name: str | None = None
    position: str | None = None
    checklist_id: UUID | None = None
    text: str | None = None
    done_at: Timestamp | None = None
    done_by: UUID | None = None


class ChecklistCounts(Entity):
    """A task with how far its checklists are now."""

    id: UUID
    checklist_total: int
    checklist_done: int


class ChecklistCreated(Event, name="checklist.created"):
    """A task has a new checklist."""

    checklist: Checklist
    checklist_items: list[ChecklistItem]
    task: ChecklistCounts


class ChecklistUpdated(Event, name="checklist.updated"):
    """A checklist has another name or place."""

    checklist: ChecklistPart
    was: ChecklistWas
    checklists: list[ChecklistPart] | None = Field(
        None, description="Checklists that got a new position to make room."
    )


class ChecklistDeleted(Event, name="checklist.deleted"):
    """A checklist is no more, and its items with it."""

    checklist: ChecklistPart = Field(description="Removed, with the name and the place that it had.")
    checklist_items: list[ChecklistItemPart] = Field(description="Its items as they were, removed.")
    task: ChecklistCounts


class ItemAdded(Event, name="checklist.item_added"):
    """There is something more to tick off."""

    checklist_item: ChecklistItem
    task: ChecklistCounts
    checklist_items: list[ChecklistItemPart] | None = Field(
        None, description="Items that got a new position to make room."
    )


class ItemUpdated(Event, name="checklist.item_updated"):
    """An item has another text or place."""

    checklist_item: ChecklistItemPart
    was: ChecklistWas
    checklist_items: list[ChecklistItemPart] | None = Field(
        None, description="Items that got a new position to make room."
    )


class ItemTicked(Event, name="checklist.item_ticked"):
    """An item was ticked off."""

    checklist_item: ChecklistItemPart
    task: ChecklistCounts
    was: ChecklistWas


class ItemUnticked(Event, name="checklist.item_unticked"):
    """An item is to be done after all."""

    checklist_item: ChecklistItemPart
    task: ChecklistCounts
    was: ChecklistWas


class ItemRemoved(Event, name="checklist.item_removed"):
    """An item is no more."""

    checklist_item: ChecklistItemPart = Field(description="Removed, as it was.")
    task: ChecklistCounts


class CreateChecklist(Payload):
    task_id: UUID
    id: UUID | None = Field(None, description="UUID of the new checklist, where the client makes it.")
    name: Name
    items: Annotated[list[Title], Field(max_length=100)] = Field([], description="Texts of its first items.")


class OneChecklist(Payload):
    task_id: UUID
    checklist_id: UUID


class RenameChecklist(OneChecklist):
    name: Name


class MoveChecklist(OneChecklist):
    before_id: UUID | None = Field(None, description="The checklist to put it before; null for the end.")

    @model_validator(mode="after")
    def another(self) -> "MoveChecklist":
        if self.before_id == self.checklist_id:
            raise ValueError("a checklist cannot stand before itself")
        return self


class AddItem(OneChecklist):
    id: UUID | None = Field(None, description="UUID of the new item, where the client makes it.")
    text: Title
    before_id: UUID | None = Field(None, description="The item to put it before; null for the end.")


class OneItem(Payload):
    task_id: UUID
    item_id: UUID


class UpdateItem(OneItem):
    text: Title


class MoveItem(OneItem):
    checklist_id: UUID | None = Field(
        None, description="Another checklist of the task. Unset: the one where it is."
    )
    before_id: UUID | None = Field(None, description="The item to put it before; null for the end.")

    @model_validator(mode="after")
    def another(self) -> "MoveItem":
        if self.before_id == self.item_id:
            raise ValueError("an item cannot stand before itself")
        return self


class ChecklistsOf(Payload):
    task_id: UUID


class ChecklistList(Reply):
    checklists: list[Checklist]
    checklist_items: list[ChecklistItem] = Field(description="Those of all of them.")


@command("checklist.create", needs="task.edit", rest="POST /tasks/{task_id}/checklists", status=201)
async def create(tx: Tx, cmd: CreateChecklist) -> ChecklistCreated:
    """Give a task a checklist, after those that it has."""
    task = await standing(tx, cmd.task_id)
    held = await tx.many("checklists_of", cmd)
    if len(held) >= MOST:
        raise Conflict(f"A task has at most {MOST} checklists", details={"limit": MOST})
    _check_room(task, len(cmd.items))
    checklist_id = cmd.id or new_id()
    last = held[-1]["position"] if held else None
    row = await tx.one("create_checklist", cmd, id=checklist_id, position=positions.between(last, None))
    items = await _add(tx, cmd.task_id, checklist_id, cmd.items, positions.spread(len(cmd.items)))
    return ChecklistCreated(
        checklist=Checklist.of(row), checklist_items=items, task=await _counts(tx, cmd.task_id)
    )


@command("checklist.update", needs="task.edit", rest="PUT /tasks/{task_id}/checklists/{checklist_id}")
async def update(tx: Tx, cmd: RenameChecklist) -> ChecklistUpdated:
    """Give a checklist another name."""
    row = await find_checklist(tx, cmd.task_id, cmd.checklist_id)
    tx.defer("place_checklist", cmd, position=row["position"])
    part = ChecklistPart(id=cmd.checklist_id, task_id=cmd.task_id, name=cmd.name)
    return ChecklistUpdated(checklist=part, was=ChecklistWas(name=row["name"]))


@command(
    "checklist.move", needs="task.edit", rest="POST /tasks/{task_id}/checklists/{checklist_id}/move"
)  # fmt: skip
async def move(tx: Tx, cmd: MoveChecklist) -> ChecklistUpdated:
    """Put a checklist before another one of its task, or at the end."""
    row = await find_checklist(tx, cmd.task_id, cmd.checklist_id)
    others = [other for other in await tx.many("checklists_of", cmd) if other["id"] != cmd.checklist_id]
    position, moved = _place(others, cmd.before_id, "checklist")
    tx.defer("place_checklist", cmd, name=row["name"], position=position)
    part = ChecklistPart(id=cmd.checklist_id, task_id=cmd.task_id, position=position)
    event = ChecklistUpdated(checklist=part, was=ChecklistWas(position=row["position"]))
    if moved:
        tx.defer("spread_checklists", ids=list(moved), positions=list(moved.values()))
        event.checklists = _moved(ChecklistPart, cmd.task_id, moved)
    return event


@command("checklist.delete", needs="task.edit", rest="DELETE /tasks/{task_id}/checklists/{checklist_id}")
async def delete(tx: Tx, cmd: OneChecklist) -> ChecklistDeleted:
    """Take a checklist away, with its items."""
    row = await find_checklist(tx, cmd.task_id, cmd.checklist_id)
    items = [item for item in await tx.many("items_of_task", cmd) if item["checklist_id"] == cmd.checklist_id]
    await tx.exec("delete_checklist", cmd)
    part = ChecklistPart(
        id=cmd.checklist_id, task_id=cmd.task_id, removed=True, name=row["name"], position=row["position"]
    )
    return ChecklistDeleted(
        checklist=part, checklist_items=[_gone(item) for item in items], task=await _counts(tx, cmd.task_id)
    )


@command(
    "checklist.add_item",
    needs="task.edit",
    rest="POST /tasks/{task_id}/checklists/{checklist_id}/items",
    status=201,
)
async def add_item(tx: Tx, cmd: AddItem) -> ItemAdded:
    """Put something more on a checklist."""
    row = await find_checklist(tx, cmd.task_id, cmd.checklist_id)
    _check_room(row, 1)
    others = await tx.many("items_of_checklist", cmd)
    position, moved = _place(others, cmd.before_id, "item")
    [item] = await _add(tx, cmd.task_id, cmd.checklist_id, [cmd.text], [position], cmd.id)
    event = ItemAdded(checklist_item=item, task=await _counts(tx, cmd.task_id))
    event.checklist_items = _spread(tx, cmd.task_id, moved) or event.checklist_items
    return event


@command("checklist.update_item", needs="task.edit", rest="PUT /tasks/{task_id}/checklist-items/{item_id}")
async def update_item(tx: Tx, cmd: UpdateItem) -> ItemUpdated:
    """Give an item another text."""
    row = await find_item(tx, cmd.task_id, cmd.item_id)
    tx.defer("write_item", **{**dict(row), "text": cmd.text})
    part = ChecklistItemPart(id=cmd.item_id, task_id=cmd.task_id, text=cmd.text)
    return ItemUpdated(checklist_item=part, was=ChecklistWas(text=row["text"]))


@command(
    "checklist.move_item", needs="task.edit", rest="POST /tasks/{task_id}/checklist-items/{item_id}/move"
)
async def move_item(tx: Tx, cmd: MoveItem) -> ItemUpdated:
    """Put an item before another one, or at the end, of its checklist or of another one of the task."""
    row = await find_item(tx, cmd.task_id, cmd.item_id)
    checklist_id = cmd.checklist_id or row["checklist_id"]
    await find_checklist(tx, cmd.task_id, checklist_id)
    rows = await tx.many("items_of_checklist", checklist_id=checklist_id)
    position, moved = _place([other for other in rows if other["id"] != cmd.item_id], cmd.before_id, "item")
    place = {"checklist_id": checklist_id, "position": position}
    tx.defer("write_item", **{**dict(row), **place})
    event = ItemUpdated(
        checklist_item=ChecklistItemPart(id=cmd.item_id, task_id=cmd.task_id, **place),
        was=ChecklistWas(checklist_id=row["checklist_id"], position=row["position"]),
    )
    event.checklist_items = _spread(tx, cmd.task_id, moved) or event.checklist_items
    return event


@command("checklist.tick", needs="task.edit", rest="POST /tasks/{task_id}/checklist-items/{item_id}/tick")
async def tick(tx: Tx, cmd: OneItem) -> ItemTicked:
    """Tick an item off. Whoever was first stays the one who did."""
    row = await find_item(tx, cmd.task_id, cmd.item_id)
    return ItemTicked(**await done(tx, row, row["done_by"] or tx.actor.user_id, row["done_at"] or tx.now))


@command("checklist.untick", needs="task.edit", rest="POST /tasks/{task_id}/checklist-items/{item_id}/untick")
async def untick(tx: Tx, cmd: OneItem) -> ItemUnticked:
    """Say that an item is to be done after all."""
    return ItemUnticked(**await done(tx, await find_item(tx, cmd.task_id, cmd.item_id), None, None))


@command("checklist.remove_item", needs="task.edit", rest="DELETE /tasks/{task_id}/checklist-items/{item_id}")
async def remove_item(tx: Tx, cmd: OneItem) -> ItemRemoved:
    """Take an item off its checklist."""
    return await _removed(tx, await find_item(tx, cmd.task_id, cmd.item_id))


@command(
    "checklist.convert_item",
    needs="task.edit",
    rest="POST /tasks/{task_id}/checklist-items/{item_id}/convert",
    status=201,
)
async def convert_item(tx: Tx, cmd: OneItem) -> list[TaskCreated | ItemRemoved]:
    """Make a subtask of an item, which leaves its checklist. It takes the permission `task.create` as well."""
    tx.require("task.create")
    row = await find_item(tx, cmd.task_id, cmd.item_id)
    created = await create_task(tx, CreateTask(title=row["text"], parent_id=cmd.task_id))
    return [created, await _removed(tx, row)]


@query("checklist.list", needs="project.view", rest="GET /tasks/{task_id}/checklists")
async def list_checklists(tx: Tx, ask: ChecklistsOf) -> ChecklistList:
    """The checklists of a task in their order, at most 20, and their items, at most 500."""
    if await tx.maybe("found_task", ask) is None:
        raise NotFound("There is no such task")
    return ChecklistList(
        checklists=[Checklist.of(row) for row in await tx.many("checklists_of", ask)],
        checklist_items=[ChecklistItem.of(row) for row in await tx.many("items_of_task", ask)],
    )


async def find_checklist(tx: Tx, task_id: UUID, checklist_id: UUID | None) -> Row:
    row = await tx.maybe("checklist", task_id=task_id, checklist_id=checklist_id)
    if row is None:
        raise NotFound("There is no such checklist")
    return row


async def find_item(tx: Tx, task_id: UUID, item_id: UUID) -> Row:
    row = await tx.maybe("checklist_item", task_id=task_id, item_id=item_id)
    if row is None:
        raise NotFound("There is no such item")
    return row


def _check_room(task: Row, more: int) -> None:
    if task["checklist_total"] + more > MOST_ITEMS:
        raise Conflict(
            f"The checklists of a task have at most {MOST_ITEMS} items together",
            details={"held": task["checklist_total"], "limit": MOST_ITEMS},
        )


async def _add(
    tx: Tx, task_id: UUID, checklist_id: UUID, texts: list[str], places: list[str], item_id: UUID | None = None
) -> list[ChecklistItem]:  # fmt: skip
    if not texts:
        return []
    rows = await tx.many(
        "add_items",
        task_id=task_id,
        checklist_id=checklist_id,
        ids=[item_id or new_id() for _ in texts],
        texts=texts,
        positions=places,
    )
    return [ChecklistItem.of(row) for row in sorted(rows, key=lambda row: str(row["position"]))]


def _place(others: list[Row], before_id: UUID | None, what: str) -> tuple[str, dict[UUID, str]]:
    """The position before one of these, or after them all, and the new positions of others where keys got too long."""
    at = next((index for index, row in enumerate(others) if row["id"] == before_id), len(others))
    if before_id is not None and at == len(others):
        raise NotFound(f"There is no such {what} to put it before")
    lower = others[at - 1]["position"] if at else None
    upper = others[at]["position"] if at < len(others) else None
    position = positions.between(lower, upper)
    if len(position) <= positions.LONGEST:
        return position, {}
    keys = positions.spread(len(others) + 1)
    position = keys.pop(at)
    return position, {row["id"]: key for row, key in zip(others, keys, strict=True)}


P = TypeVar("P", ChecklistPart, ChecklistItemPart)


def _moved(part: type[P], task_id: UUID, moved: dict[UUID, str]) -> list[P]:
    return [part(id=one, task_id=task_id, position=position) for one, position in moved.items()]


def _spread(tx: Tx, task_id: UUID, moved: dict[UUID, str]) -> list[ChecklistItemPart]:
    if moved:
        tx.defer("spread_items", ids=list(moved), positions=list(moved.values()))
    return _moved(ChecklistItemPart, task_id, moved)


async def done(tx: Tx, row: Row, by: UUID | None, at: datetime | None) -> dict[str, Any]:
    """Say by whom and when an item was ticked off, or with None that it is to be done; what an event tells of it."""
    tx.defer("write_item", **{**dict(row), "done_by": by, "done_at": at})
    return {
        "checklist_item": ChecklistItemPart(id=row["id"], task_id=row["task_id"], done_by=by, done_at=at),
        "task": await _counts(tx, row["task_id"]),
        "was": ChecklistWas(done_by=row["done_by"], done_at=row["done_at"]),
    }


async def _removed(tx: Tx, row: Row) -> ItemRemoved:
    await tx.exec("remove_item", task_id=row["task_id"], item_id=row["id"])
    return ItemRemoved(checklist_item=_gone(row), task=await _counts(tx, row["task_id"]))


def _gone(row: Row) -> ChecklistItemPart:
    names = ("id", "task_id", "checklist_id", "text", "position", "done_at", "done_by")
    return ChecklistItemPart(removed=True, **{name: row[name] for name in names})


async def bring_back(tx: Tx, checklist: ChecklistPart, items: list[ChecklistItemPart]) -> ChecklistCreated:
    """A checklist again as it was, with these items."""
    task = await standing(tx, checklist.task_id)
    held = await tx.many("checklists_of", task_id=checklist.task_id)
    if len(held) >= MOST:
        raise Conflict(f"A task has at most {MOST} checklists", details={"limit": MOST})
    _check_room(task, len(items))
    [position] = positions.fit([row["position"] for row in held], [checklist.position or ""])
    row = await tx.one(
        "create_checklist", task_id=checklist.task_id, id=checklist.id, name=checklist.name, position=position
    )
    back = await _bring_items(tx, items)
    counts = await _counts(tx, checklist.task_id)
    return ChecklistCreated(checklist=Checklist.of(row), checklist_items=back, task=counts)


async def bring_item_back(tx: Tx, item: ChecklistItemPart) -> ItemAdded:
    """An item again as it was, on its checklist."""
    row = await find_checklist(tx, item.task_id, item.checklist_id)
    _check_room(row, 1)
    rows = await tx.many("items_of_checklist", checklist_id=item.checklist_id)
    [position] = positions.fit([row["position"] for row in rows], [item.position or ""])
    [back] = await _bring_items(tx, [item.model_copy(update={"position": position})])
    return ItemAdded(checklist_item=back, task=await _counts(tx, item.task_id))


async def _bring_items(tx: Tx, items: list[ChecklistItemPart]) -> list[ChecklistItem]:
    if not items:
        return []
    rows = await tx.many(
        "bring_back_items",
        task_id=items[0].task_id,
        items=orjson.dumps([item.model_dump(mode="json") for item in items]).decode(),
    )
    return [ChecklistItem.of(row) for row in rows]


async def _counts(tx: Tx, task_id: UUID) -> ChecklistCounts:
    return ChecklistCounts.of(await tx.one("count_items", task_id=task_id))

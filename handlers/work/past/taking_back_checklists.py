"""How changes of checklists are taken back, and brought again: what was deleted comes with all that it had."""

from datetime import datetime
from typing import Any
from uuid import UUID

from handlers.errors import Conflict
from handlers.work.past.inverses import MOST_FOUND, Clash, Replay, clashes_of, inverse
from handlers.work.past.log import Past
from handlers.work.past.taking_back import at_or_after, side
from handlers.work.tasks import checklists
from handlers.work.tasks.checklists import ChecklistItemPart, ChecklistPart, ItemTicked, ItemUnticked

TICKS = {"checklist.item_ticked", "checklist.item_unticked"}


async def _by_others(this: Replay, task_id: str) -> list[Past]:
    ask = {"task_ids": [UUID(task_id)], "after_seq": this.since, "most": MOST_FOUND}
    return [Past.of(row) for row in await this.tx.many("done_by_others", **ask)]


async def _checklist_clashes(this: Replay, past: Past) -> list[Clash]:
    """Whoever adds to a checklist, or works on its items, keeps it from going."""
    checklist = past.data["checklist"]
    found = await _by_others(this, checklist["task_id"])
    fields = set(past.was) if past.name == "checklist.updated" else None
    clashes = clashes_of("checklist", checklist["id"], "the checklist", found, fields)
    held = {item["id"] for item in past.data.get("checklist_items") or ()}
    for each in found if fields is None else ():
        item = each.data.get("checklist_item") or {}
        if item.get("id") in held or item.get("checklist_id") == checklist["id"]:
            clashes.append(Clash(each, "checklist", checklist["id"], "the checklist", (), {}))
    return clashes


async def _item_clashes(this: Replay, past: Past) -> list[Clash]:
    item = past.data["checklist_item"]
    found = await _by_others(this, item["task_id"])
    if past.name in TICKS:
        found = [each for each in found if each.name in TICKS or each.name == "checklist.item_removed"]
    fields = set(past.was) if past.name == "checklist.item_updated" else None
    return clashes_of("checklist_item", item["id"], "the item", found, fields)


async def _delete(this: Replay, past: Past) -> None:
    checklist = past.data["checklist"]
    await this.send("checklist.delete", task_id=checklist["task_id"], checklist_id=checklist["id"])


async def _bring(this: Replay, past: Past) -> None:
    this.tx.require("task.edit")
    part = _part(ChecklistPart, past.data["checklist"])
    if part.name is None:
        raise Conflict("It is not known any more what the checklist was")
    items = [_part(ChecklistItemPart, item) for item in past.data["checklist_items"]]
    this.events.append(await checklists.bring_back(this.tx, part, items))


async def _change(this: Replay, past: Past) -> None:
    part = past.data["checklist"]
    values, own = side(this, past, part), {"task_id": part["task_id"], "checklist_id": part["id"]}
    if "name" in values:
        await this.send("checklist.update", **own, name=values["name"])
    if "position" in values:
        rows = await this.tx.many("checklists_of", task_id=UUID(part["task_id"]))
        await this.send("checklist.move", **own, before_id=at_or_after(rows, part["id"], values["position"]))


async def _remove_item(this: Replay, past: Past) -> None:
    item = past.data["checklist_item"]
    await this.send("checklist.remove_item", task_id=item["task_id"], item_id=item["id"])


async def _bring_item(this: Replay, past: Past) -> None:
    this.tx.require("task.edit")
    part = _part(ChecklistItemPart, past.data["checklist_item"])
    if part.text is None:
        raise Conflict("It is not known any more what the item was")
    this.events.append(await checklists.bring_item_back(this.tx, part))


async def _change_item(this: Replay, past: Past) -> None:
    item = past.data["checklist_item"]
    values, own = side(this, past, item), {"task_id": item["task_id"], "item_id": item["id"]}
    if "text" in values:
        await this.send("checklist.update_item", **own, text=values["text"])
    if "position" in values:
        checklist_id = values["checklist_id"]
        rows = await this.tx.many("items_of_checklist", checklist_id=UUID(checklist_id))
        before = at_or_after(rows, item["id"], values["position"])
        await this.send("checklist.move_item", **own, checklist_id=checklist_id, before_id=before)


async def _tick(this: Replay, past: Past) -> None:
    """Ticked off since when it was, and by whom; nothing where it is so already."""
    this.tx.require("task.edit")
    item = past.data["checklist_item"]
    values = side(this, past, item)
    by, at = values.get("done_by"), values.get("done_at")
    row = await checklists.find_item(this.tx, UUID(item["task_id"]), UUID(item["id"]))
    done_at = datetime.fromisoformat(at) if at else None
    if (done_at is None) != (row["done_at"] is None):
        told = await checklists.done(this.tx, row, UUID(by) if by else None, done_at)
        this.events.append(ItemUnticked(**told) if done_at is None else ItemTicked(**told))


def _part(kind: Any, data: dict[str, Any]) -> Any:
    return kind.model_validate({name: value for name, value in data.items() if name in kind.model_fields})


inverse("checklist.created", check=_checklist_clashes, undo=_delete, redo=_bring)
inverse("checklist.deleted", check=_checklist_clashes, undo=_bring, redo=_delete)
inverse("checklist.updated", check=_checklist_clashes, undo=_change, redo=_change)
inverse("checklist.item_added", check=_item_clashes, undo=_remove_item, redo=_bring_item)
inverse("checklist.item_removed", check=_item_clashes, undo=_bring_item, redo=_remove_item)
inverse("checklist.item_updated", check=_item_clashes, undo=_change_item, redo=_change_item)
inverse("checklist.item_ticked", check=_item_clashes, undo=_tick, redo=_tick)
inverse("checklist.item_unticked", check=_item_clashes, undo=_tick, redo=_tick)

"""Events as entries of a feed: a sentence, its parts with what they name, and the changed fields with names for ids."""

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.registry import Entity, Timestamp
from handlers.work.past.log import DERIVED, Past, about, changed_tasks
from handlers.work.past.sentences import SENTENCES, TYPES, told_fields, words
from handlers.work.tasks.keys import seen

LONGEST: Final = 120
"""Characters of a value that stand in a sentence; `changes` has it whole, up to 2,000."""
LONGEST_CHANGE: Final = 2_000

NAMES: Final[dict[str, str]] = {
    "task": "task_names", "column": "column_names", "status": "status_names", "user": "user_names",
    "board": "board_names", "project": "project_names", "label": "label_names", "sprint": "sprint_names",
}  # fmt: skip
"""Type of a thing -> statement that finds `id`, `name` and `title` of some of them, where the project or tenant has them."""

Key = tuple[str, str]
Names = Mapping[Key, tuple[str, str | None]]
"""(type, id) -> what a thing is called, and its title where that is something else."""


class Doer(Entity):
    id: UUID
    name: str | None


class Subject(Entity):
    """What an entry is about."""

    type: str
    id: UUID
    name: str | None = Field(
        description="A task's key, anything else's name; null where it is not known any more."
    )
    title: str | None = Field(description="A task's title.")


class Piece(Entity):
    """A part of a sentence: plain words, or with `type` and `id` the name of something to link."""

    text: str
    type: str | None = None
    id: UUID | None = None


class FieldChange(Entity):
    """A changed field. Texts have names in place of ids; null where there is no value."""

    field: str
    label: str
    was: Any
    now: Any
    was_text: str | None
    now_text: str | None


class Entry(Entity):
    """One event in words: `text` is all `parts` after each other."""

    room: str
    seq: int
    at: Timestamp
    actor: Doer
    command_id: UUID
    event: str
    verb: str
    subject: Subject | None
    text: str
    parts: list[Piece]
    changes: list[FieldChange]


@dataclass(frozen=True, slots=True)
class _View:
    """An event as it is told: of many tasks at once, in the feed of one of them, as a change of that one."""

    past: Past
    room: str
    names: Names


async def entries(
    tx: Tx, events: Sequence[Past], *, kinds: Mapping[UUID, str] | None = None, focus: UUID | None = None
) -> list[Entry]:
    """These events in words. `kinds` has the kinds of rooms other than this one; `focus` is the task whose feed it is."""
    shown = [_of_one(past, str(focus)) if focus else past for past in events]
    names = await _names(tx, shown)
    rooms = {tx.room.id: tx.room.kind, **(kinds or {})}
    return [_entry(_View(past, f"{rooms[past.room_id]}:{past.room_id}", names)) for past in shown]


def _of_one(past: Past, task_id: str) -> Past:
    """Of a change of many tasks what it was for one of them."""
    if not past.name.startswith("tasks."):
        return past
    task = next((one for one in past.data.get("tasks") or () if one["id"] == task_id), None)
    if task is None:
        return past
    data: dict[str, Any] = {"task": task}
    if task_id in (changed := changed_tasks(past)):
        data["was"] = changed[task_id][0]
    return Past(
        past.room_id, past.seq, past.name.replace("tasks.", "task.", 1), past.at, past.actor_id, past.actor_name, past.command_id,
        UUID(task_id), data,
    )  # fmt: skip


def _entry(view: _View) -> Entry:
    past = view.past
    known = SENTENCES.get(past.name)
    noun, _, done = past.name.partition(".")
    template = known.of(past) if known else _unknown(past, noun)
    parts = list(_parts(view, template))
    return Entry(
        room=view.room,
        seq=past.seq,
        at=past.at,
        actor=Doer(id=past.actor_id, name=past.actor_name),
        command_id=past.command_id,
        event=past.name,
        verb=known.verb if known else done.replace("_", " "),
        subject=_subject(view),
        text="".join(part.text for part in parts),
        parts=parts,
        changes=_changes(view),
    )


def _unknown(past: Past, noun: str) -> str:
    """A sentence for an event that has none of its own."""
    said = past.name.replace(".", " ").replace("_", " ").replace("{", "").replace("}", "")
    entity = past.data.get(noun)
    named = isinstance(entity, dict) and (entity.get("name") or entity.get("title"))
    if named:
        return f"{{actor}}: {said} ({{{noun}}})"
    return f"{{actor}}: {said}" + (" ({task})" if past.task_id else "")


def _parts(view: _View, template: str) -> Iterable[Piece]:
    for text, slot, _, _ in string.Formatter().parse(template):
        if text:
            yield Piece(text=text)
        if slot:
            yield from _slot(view, slot)


def _slot(view: _View, slot: str) -> list[Piece]:
    past, (noun, _, name) = view.past, slot.partition(".")
    if slot == "actor":
        return [Piece(text=past.actor_name or "Somebody", type="user", id=past.actor_id)]
    if slot == "fields":
        return [Piece(text=_listed([words(field) for field in _fields(past)]) or "something")]
    if slot == "count":
        return [Piece(text=str(_count(past)))]
    if noun == "was" and name:
        return _value(view, name, past.was.get(name))
    if noun == "now":
        return _value(view, name, _now(past, name))
    if name:
        return _value(view, name, _entity(past, noun).get(name))
    return [_named(view, noun)]


def _count(past: Past) -> int:
    """How many things an event tells of: of tasks those that it is about, beside a chief one."""
    if "tasks" in past.data:
        return len(about(past) - {_entity(past, "task").get("id")})
    return next((len(value) for value in past.data.values() if isinstance(value, list)), 0)


def _fields(past: Past) -> list[str]:
    """The names of the fields that changed, of one thing or of many."""
    was = past.data.get("was")
    if isinstance(was, list):
        found = dict.fromkeys(name for one in was for name in one)
        return told_fields(
            Past(**{**{n: getattr(past, n) for n in Past.__slots__}, "data": {"was": dict(found)}})
        )
    return told_fields(past)


def _entity(past: Past, noun: str) -> dict[str, Any]:
    entity = past.data.get(noun)
    return entity if isinstance(entity, dict) else {}


def _now(past: Past, name: str) -> Any:
    """A field's value after the change: that of the entity which `was` belongs to, the event's first."""
    return next((one.get(name) for one in past.data.values() if isinstance(one, dict)), None)


def _value(view: _View, name: str, value: Any) -> list[Piece]:
    """A value in a sentence, with names in place of ids."""
    kind, values = TYPES.get(name), value if isinstance(value, list) else [value]
    if kind is None or value is None or not values:
        return [Piece(text=_text(view, name, value) or "nothing")]
    pieces: list[Piece] = []
    for at, one in enumerate(values):
        if at:
            pieces.append(Piece(text=" and " if at == len(values) - 1 else ", "))
        pieces.append(_piece(view, kind, one))
    return pieces


def _piece(view: _View, kind: str, value: Any) -> Piece:
    called, _ = view.names.get((kind, str(value)), (None, None))
    return Piece(text=_short(called or f"a {kind}"), type=kind, id=value)


def _named(view: _View, noun: str) -> Piece:
    """The entity of this name in an event; `task` may be the one that the event belongs to."""
    entity = _entity(view.past, noun)
    own = entity.get("id") or (str(view.past.task_id) if noun == "task" and view.past.task_id else None)
    if own is None:
        return Piece(text=f"a {noun}")
    return Piece(
        text=_short(_name(view, noun, own, entity) or f"a {noun}"), type=TYPES.get(noun, noun), id=own
    )


def _name(view: _View, noun: str, own: str, entity: Mapping[str, Any]) -> str | None:
    called, _ = view.names.get((TYPES.get(noun, noun), own), (None, None))
    said = called or entity.get("key") or entity.get("name") or entity.get("title")
    return str(said) if said else None


def _subject(view: _View) -> Subject | None:
    """The task that an event is about, else the first thing in it."""
    past = view.past
    noun = "task" if past.task_id or "task" in past.data else past.name.partition(".")[0]
    entity = _entity(past, noun)
    own = (str(past.task_id) if noun == "task" and past.task_id else None) or entity.get("id")
    if own is None or (noun == "task" and "tasks" in past.data and "task" not in past.data):
        return None
    kind = TYPES.get(noun, noun)
    _, title = view.names.get((kind, own), (None, None))
    return Subject(type=kind, id=own, name=_name(view, noun, own, entity), title=title or entity.get("title"))


def _changes(view: _View) -> list[FieldChange]:
    return [
        FieldChange(
            field=name,
            label=words(name),
            was=_cut(value),
            now=_cut(_now(view.past, name)),
            was_text=_text(view, name, value),
            now_text=_text(view, name, _now(view.past, name)),
        )
        for name, value in view.past.was.items()
        if name not in DERIVED and name not in ("id", "position")
    ]


def _text(view: _View, name: str, value: Any) -> str | None:
    if value in (None, [], ""):
        return None
    if isinstance(value, list):
        return _short(", ".join(_text(view, name, one) or "" for one in value))
    kind = TYPES.get(name)
    if kind is not None:
        called, _ = view.names.get((kind, str(value)), (None, None))
        return _short(called or f"a {kind}")
    if isinstance(value, str) and name.endswith("_at") and value[10:11] == "T":
        return f"{value[:10]} {value[11:16]}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _short(str(value)) if not isinstance(value, dict) else None


def _cut(value: Any) -> Any:
    return value[:LONGEST_CHANGE] + "…" if isinstance(value, str) and len(value) > LONGEST_CHANGE else value


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _listed(names: list[str]) -> str:
    said = [f"the {name}" for name in names]
    return " and ".join([", ".join(said[:-1]), said[-1]]) if len(said) > 1 else "".join(said)


# Names.


async def _names(tx: Tx, events: Iterable[Past]) -> Names:
    """What all that these events name is called now; tasks of projects that one may not see are not named."""
    wanted: dict[str, set[str]] = {}
    for past in events:
        for kind, own in _keys(past):
            wanted.setdefault(kind, set()).add(own)
    found: dict[Key, tuple[str, str | None]] = {}
    for kind in sorted(wanted.keys() & NAMES.keys()):
        ids = [UUID(one) for one in sorted(wanted[kind])]
        for row in await tx.many(NAMES[kind], ids=ids, **(seen(tx) if kind == "task" else {})):
            found[kind, str(row["id"])] = (row["name"], row["title"])
    return found


def _keys(past: Past) -> Iterable[Key]:
    if past.task_id:
        yield "task", str(past.task_id)
    for noun, entity in past.data.items():
        if not isinstance(entity, dict):
            continue
        if noun != "was" and isinstance(entity.get("id"), str):
            yield TYPES.get(noun, noun), entity["id"]
        for name, value in entity.items():
            kind = TYPES.get(name)
            if kind is not None:
                yield from ((kind, one) for one in (value if isinstance(value, list) else [value]) if one)

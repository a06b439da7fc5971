"""Labels: what the tasks of a project can be marked with, by name and colour. Tags beside them stay free."""

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import Field

from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed, constraint
from handlers.identity.colours import Colour
from handlers.registry import (
    Entity,
    Event,
    Ids,
    Name,
    Payload,
    Reply,
    Timestamp,
    command,
    query,
)
from storage.ids import new_id
from storage.postgres import Row

MOST: Final = 200
"""Labels of a project (count): its snapshot lists them."""
MOST_ON_A_TASK: Final = 50
"""Labels of one task (count)."""
MOST_TAKEN: Final = 1_000
"""Tasks that lose a label in one event when it is deleted (count)."""

LabelIds = Annotated[Ids, Field(max_length=MOST_ON_A_TASK)]

constraint("labels_pkey", "id", "A label with this id exists")
constraint("labels_name_key", "name", "Another label of this project has this name")


class Label(Entity):
    """A coloured mark for tasks of a project."""

    id: UUID
    project_id: UUID
    name: str
    colour: str
    version: int
    created_by: UUID
    created_at: Timestamp
    updated_at: Timestamp


class LabelPart(Entity):
    """A label as far as it changed."""

    id: UUID
    removed: Literal[True] | None = None
    name: str | None = None
    colour: str | None = None
    version: int | None = None
    updated_at: Timestamp | None = None


class LabelWas(Entity):
    """The values that changed fields had before."""

    name: str | None = None
    colour: str | None = None


class Labelled(Entity):
    """A task with the labels that it has left."""

    id: UUID
    label_ids: list[UUID]
    version: int


class LabelCreated(Event, name="label.created"):
    """A label came to be."""

    label: Label


class LabelUpdated(Event, name="label.updated"):
    """A label has another name or colour."""

    label: LabelPart
    was: LabelWas


class LabelDeleted(Event, name="label.deleted"):
    """A label is no more, and no task has it."""

    label: LabelPart = Field(description="Removed, with the name and the colour that it had.")
    tasks: list[Labelled] | None = Field(None, description="The tasks that had it.")


class CreateLabel(Payload):
    id: UUID | None = Field(None, description="UUID of the new label, where the client makes it.")
    name: Name
    colour: Colour = Field(description="Such as #3b5bdb.")


class UpdateLabel(Payload):
    project_id: UUID
    label_id: UUID
    name: Name | None = None
    colour: Colour | None = None


class OneLabel(Payload):
    project_id: UUID
    label_id: UUID


class LabelsOf(Payload):
    project_id: UUID


class LabelList(Reply):
    labels: list[Label]


@command("label.create", needs="board.edit", rest="POST /projects/{project_id}/labels", status=201)
async def create(tx: Tx, cmd: CreateLabel) -> LabelCreated:
    """Create a label for the tasks of a project."""
    if await tx.value("count_labels") >= MOST:
        raise Conflict(f"A project has at most {MOST} labels", details={"limit": MOST})
    return LabelCreated.of(await tx.one("create_label", cmd, id=cmd.id or new_id()))


@command(
    "label.update", needs="board.edit", rest="PUT /projects/{project_id}/labels/{label_id}", versioned=True
)
async def update(tx: Tx, cmd: UpdateLabel) -> LabelUpdated:
    """Give a label another name or colour; its tasks keep it."""
    row = await _label(tx, cmd.label_id)
    tx.check_version(row, Label)
    name, colour = cmd.name or row["name"], cmd.colour or row["colour"]
    fresh = await tx.one("update_label", cmd, name=name, colour=colour)
    changed = [name for name in ("name", "colour") if fresh[name] != row[name]]
    part = LabelPart(**{name: fresh[name] for name in ("id", "version", "updated_at", *changed)})
    return LabelUpdated(label=part, was=LabelWas(**{name: row[name] for name in changed}))


@command(
    "label.delete", needs="board.edit", rest="DELETE /projects/{project_id}/labels/{label_id}", versioned=True
)
async def delete(tx: Tx, cmd: OneLabel) -> LabelDeleted:
    """Delete a label, and take it off the tasks that have it. CONFLICT where these are more than 1,000."""
    row = await _label(tx, cmd.label_id)
    tx.check_version(row, Label)
    if (held := await tx.value("count_labelled", cmd)) > MOST_TAKEN:
        raise Conflict(
            f"{held} tasks have this label: take it off some with tasks.update first",
            details={"held": held, "limit": MOST_TAKEN},
        )
    part = LabelPart(id=cmd.label_id, removed=True, name=row["name"], colour=row["colour"])
    event = LabelDeleted(label=part)
    if tasks := [Labelled.of(task) for task in await tx.many("take_label_off", cmd) if task["stands"]]:
        event.tasks = tasks
    await tx.exec("delete_label", cmd)
    return event


@query("label.list", needs="project.view", rest="GET /projects/{project_id}/labels")
async def list_labels(tx: Tx, ask: LabelsOf) -> LabelList:
    """The labels of a project by name; at most 200."""
    return LabelList(labels=await labels_of(tx))


async def labels_of(tx: Tx) -> list[Label]:
    """The labels of a project by name."""
    return [Label.of(row) for row in await tx.many("labels_of")]


async def check_labels(tx: Tx, label_ids: list[UUID], field: str) -> None:
    """VALIDATION_ERROR of a field that names a label which the project does not have."""
    if not label_ids:
        return
    found = {row["id"] for row in await tx.many("labels_by_ids", label_ids=label_ids)}
    if strange := [str(label_id) for label_id in label_ids if label_id not in found]:
        raise ValidationFailed.field(field, f"is no label of this project: {', '.join(strange)}")


async def _label(tx: Tx, label_id: UUID) -> Row:
    row = await tx.maybe("label", label_id=label_id)
    if row is None:
        raise NotFound("There is no such label")
    return row

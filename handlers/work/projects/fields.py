"""Custom fields that a project has for its tasks, beside those of the tenant.

A field that is deleted leaves its values where they are: nobody can set, filter or sort by them any more, and a field of
the same key and type brings them back. So deleting one takes a moment however many tasks there are, and undoing it too.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, Self
from uuid import UUID

import orjson
from pydantic import Field, ValidationError, model_validator

from handlers import formulas
from handlers.context import Tx
from handlers.errors import Conflict, NotFound, ValidationFailed, constraint
from handlers.identity.currencies import Currency
from handlers.identity.custom_fields import MOST, Definition, FieldType, Formula, Label, Options, computed
from handlers.identity.field_values import FieldSet
from handlers.identity.people import from_json
from handlers.registry import Entity, Event, Gone, Outcome, Payload, Reply, Timestamp, command, query
from handlers.work.tasks.bulk_values import MOST_BYTES
from handlers.work.tasks.tasks import TaskPart
from handlers.work.tasks.values import definition, task_fields
from storage.ids import new_id
from storage.postgres import Row

constraint("project_fields_pkey", "id", "A field with this id exists")
constraint("project_fields_key_key", "key", "The project has a field of this key")

COMPUTED_AT_ONCE: Final = 1_000
"""Tasks whose formulas one command computes anew (count)."""


class ProjectField(Entity):
    """A custom field that a project has for its tasks."""

    id: UUID
    key: str
    name: str
    type: FieldType
    options: list[str]
    required: bool
    currency: str | None
    formula: str | None
    version: int
    created_at: Timestamp
    updated_at: Timestamp


class FieldCreated(Event, name="field.created"):
    """A project has a new custom field for its tasks."""

    field: ProjectField


class FieldUpdated(Event, name="field.updated"):
    """A custom field of a project changed."""

    field: ProjectField


class FieldDeleted(Event, name="field.deleted"):
    """A custom field of a project is gone; values that tasks have stay, and mean nothing."""

    field: Gone


class FieldsComputed(Event, name="field.computed"):
    """The formulas of tasks were computed anew."""

    tasks: list[TaskPart] = Field(description="Those that have other values now.")


class CreateField(Definition):
    project_id: UUID
    id: UUID | None = Field(None, description="UUID of the new field, where the client makes it.")


class UpdateField(Payload):
    """What is not named stays; key and type always do."""

    project_id: UUID
    field_id: UUID
    name: Label | None = None
    options: Options | None = Field(
        None, description="Tasks keep an option that is gone until they get another."
    )
    required: bool | None = None
    currency: Currency | None = Field(None, description="null: the tenant's.")
    formula: Formula | None = None

    @model_validator(mode="after")
    def something(self) -> Self:
        if self.model_fields_set <= {"project_id", "field_id"}:
            raise ValueError("names nothing to change")
        return self


class OneField(Payload):
    project_id: UUID
    field_id: UUID


class OneProject(Payload):
    project_id: UUID


class ComputeFields(Payload):
    project_id: UUID
    after_number: int = Field(0, ge=0, lt=2**53, description="Go on behind the task of this number.")


class TaskField(Entity):
    """A custom field that the tasks of a project have."""

    key: str
    name: str
    type: FieldType
    options: list[str]
    required: bool
    currency: str | None = Field(description="Of money.")
    formula: str | None
    gives: Literal["number", "date", "boolean"] | None = Field(
        description="What a formula gives; null: it is none, or names a field that is gone."
    )
    id: UUID | None = Field(description="Of a field of the project; null: it is the tenant's.")


class FieldList(Reply):
    fields: list[TaskField]


class ComputedReply(Reply):
    computed: int = Field(description="Tasks that have other values now.")
    after_number: int | None = Field(description="Where to go on; null: that was all.")


@query("field.list", needs="project.view", rest="GET /projects/{project_id}/fields")
async def list_fields(tx: Tx, ask: OneProject) -> FieldList:
    """Every custom field that tasks of a project may have: the tenant's and the project's own."""
    own = {row["key"]: row["id"] for row in await tx.many("fields_of")}
    found = await task_fields(tx)
    return FieldList(
        fields=[
            TaskField(
                **{**field.model_dump(include=set(TaskField.model_fields)), "id": own.get(field.key)},
                gives=found.computing.types.get(field.key) if field.type == "formula" else None,
            )
            for field in found.by_key.values()
        ]
    )


@command("field.create", needs="project.edit", rest="POST /projects/{project_id}/fields", status=201)
async def create(tx: Tx, cmd: CreateField) -> FieldCreated:
    """Give the tasks of a project another custom field. A key that the project had before keeps its type."""
    fields = await tx.many("fields_of")
    if len(fields) >= MOST:
        raise Conflict(f"A project has at most {MOST} fields of its own", details={"most": MOST})
    if any(row["key"] == cmd.key for row in fields):
        raise Conflict("The project has a field of this key", field_errors={"key": ["is taken"]})
    former = await tx.maybe("former_field", cmd)
    if former is not None and former["type"] != cmd.type:
        raise Conflict(
            f"{cmd.key} was of type {former['type']}, and keeps it: take another key",
            field_errors={"key": ["had another type"]},
            details={"type": former["type"]},
        )
    await _check_formulas(tx, cmd)
    if former is not None:
        return FieldCreated.of(await tx.one("update_field", cmd, id=former["id"]))
    return FieldCreated.of(await tx.one("create_field", cmd, id=cmd.id or new_id()))


@command(
    "field.update", needs="project.edit", rest="PUT /projects/{project_id}/fields/{field_id}", versioned=True
)
async def update(tx: Tx, cmd: UpdateField) -> FieldUpdated:
    """Change a custom field of a project. Formulas count for a task from its next change on; see `field.compute`."""
    row = await _field(tx, cmd.field_id)
    tx.check_version(row, ProjectField)
    changes = {
        name: value
        for name, value in cmd.model_dump(exclude={"project_id", "field_id"}, exclude_unset=True).items()
        if value is not None or name == "currency"
    }
    try:
        fresh = definition({**row, **changes})
    except ValidationError as error:
        raise ValidationFailed.of(error) from None
    await _check_formulas(tx, fresh)
    return FieldUpdated.of(await tx.one("update_field", fresh, id=cmd.field_id))


@command(
    "field.delete",
    needs="project.edit",
    rest="DELETE /projects/{project_id}/fields/{field_id}",
    versioned=True,
)
async def delete(tx: Tx, cmd: OneField) -> FieldDeleted:
    """Take a custom field from the tasks of a project. Values stay hidden away, for a field of the same key and type."""
    row = await _field(tx, cmd.field_id)
    tx.check_version(row, ProjectField)
    needing = [
        other.key
        for other in (await task_fields(tx)).by_key.values()
        if other.formula is not None and other.key != row["key"] and row["key"] in _needed(other.formula)
    ]
    if needing:
        raise Conflict(f"A formula needs it: {', '.join(needing)}", details={"fields": needing})
    await tx.exec("delete_field", cmd)
    return FieldDeleted(field=Gone(id=cmd.field_id, removed=True))


async def _field(tx: Tx, field_id: UUID) -> Row:
    row = await tx.maybe("field", field_id=field_id)
    if row is None:
        raise NotFound("There is no such field")
    return row


@command("field.compute", needs="project.edit", rest="POST /projects/{project_id}/fields/compute")
async def compute(tx: Tx, cmd: ComputeFields) -> Outcome[FieldsComputed, ComputedReply]:
    """Compute the formulas of the next tasks anew, 1,000 at most, as after a change of one.

    Ask on until `after_number` is null.
    """
    fields = await task_fields(tx)
    rows = await tx.many("tasks_to_compute", cmd, max_rows=COMPUTED_AT_ONCE + 1)
    written, last = _portion(fields, rows[:COMPUTED_AT_ONCE])
    more = rows and rows[-1]["number"] != last
    reply = ComputedReply(computed=len(written), after_number=last if more else None)
    if not written:
        return Outcome([], reply)
    tx.defer("set_fields", tasks=orjson.dumps(written, default=str).decode())
    versions = {row["id"]: row["version"] for row in rows}
    parts = [TaskPart(**one, version=versions[one["id"]] + 1, updated_at=tx.now) for one in written]
    return Outcome([FieldsComputed(tasks=parts)], reply)


def _portion(fields: FieldSet, rows: Sequence[Row]) -> tuple[list[dict[str, Any]], int | None]:
    """What tasks have now, as much as one event may tell of, and the number of the last task that was looked at."""
    written, told, last = list[dict[str, Any]](), 0, None
    for row in rows:
        fresh = _computed(fields, row)
        if fresh is not None:
            told += len(orjson.dumps(fresh))
            if written and told > MOST_BYTES:
                break
            written.append({"id": row["id"], "fields": fresh})
        last = row["number"]
    return written, last


def _computed(fields: FieldSet, row: Row) -> dict[str, Any] | None:
    """The values of a task with formulas as they are now; None where they are so already."""
    before: Any = from_json(row["fields"])
    plain = {key: value for key, value in before.items() if not fields.is_formula(key)}
    fresh = fields.computed(plain)
    return fresh if fresh != before else None


def _needed(formula: str) -> set[str]:
    try:
        return formulas.names(formulas.parse(formula))
    except ValueError:
        return set()


async def _check_formulas(tx: Tx, fresh: Definition) -> None:
    """VALIDATION_ERROR where a formula names what is not there, or needs itself; others that are broken do not count."""
    now = await task_fields(tx)
    standing = {
        key: field for key, field in now.by_key.items() if field.formula is None or key in now.computing.order
    }
    try:
        computed({**standing, fresh.key: fresh}.values())
    except ValueError as error:
        raise ValidationFailed.field("formula", str(error)) from None

"""What may be refused to a task on its way: a full column, a transition that the workflow does not have, a missing field.

Decided under the room's lock from what was read there, so it holds however many move at once.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, Field, StringConstraints

from handlers.access import ROLES, Role
from handlers.context import Tx
from handlers.errors import Conflict
from handlers.registry import Entity, Ids, Payload, no_nul

LimitMode = Literal["hard", "warn"]

REQUIRABLE: Final = (
    "description", "assignee_ids", "tags", "label_ids", "parent_id", "start_at", "due_at", "estimate_minutes", "actual_minutes",
)  # fmt: skip
"""Fields of a task that a status or a transition may ask for; `fields.<key>` is one that the tenant has defined."""


def _requirable(name: str) -> str:
    if name not in REQUIRABLE and not name.startswith("fields."):
        raise ValueError(f"is none of {', '.join(REQUIRABLE)} or fields.<key>")
    return name


FieldName = Annotated[
    str, StringConstraints(min_length=1, max_length=60), AfterValidator(no_nul), AfterValidator(_requirable)
]
FieldNames = Annotated[
    list[FieldName], Field(max_length=20), AfterValidator(lambda names: list(dict.fromkeys(names)))
]
Roles = Annotated[list[Role], Field(max_length=len(ROLES)), AfterValidator(lambda some: sorted(set(some)))]


class Transition(Payload):
    """A status that tasks may go to from another one."""

    to_id: UUID
    roles: Roles = Field([], description="Roles in the project that may take a task there.")
    user_ids: Ids = Field([], description="People who may as well. Neither roles nor people: everybody.")
    required_fields: FieldNames = Field([], description="What a task must have to go there from here.")


class OverLimit(Entity):
    """A column that holds more than its limit, which only warns; `id` is the column's."""

    id: UUID
    wip_limit: int
    held: int


def check_limit(column: Mapping[str, Any], held: int | None) -> OverLimit | None:
    """Whether one more task is more than a column should hold; CONFLICT where it is more than it may."""
    limit = column["wip_limit"]
    if limit is None or held is None or held < limit:
        return None
    if column["limit_mode"] == "warn":
        return OverLimit(id=column["id"], wip_limit=limit, held=held + 1)
    raise Conflict(
        f"{column['name']} is full: it holds {held} of at most {limit}",
        details={"rule": "wip_limit", "column_id": column["id"], "wip_limit": limit, "held": held},
    )


def check_step(tx: Tx, task: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """CONFLICT where a task, as it will be, may not go from one status to another. Both are rows of `statuses`."""
    if old["id"] == new["id"]:
        return
    transitions = transitions_of(old)
    required = list(new["required_fields"])
    if transitions is not None:
        mine = [one for one in transitions if _may(tx, one)]
        taken = next((one for one in mine if one.to_id == new["id"]), None)
        if taken is None:
            known = any(one.to_id == new["id"] for one in transitions)
            rule = "transition_permission" if known else "transition"
            raise _refused(rule, old, new, [one.to_id for one in mine], [])
        required += [name for name in taken.required_fields if name not in required]
    if missing := missing_fields(task, required):
        allowed = None if transitions is None else [one.to_id for one in transitions if _may(tx, one)]
        raise _refused("required_fields", old, new, allowed, missing)


def check_entry(task: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """CONFLICT where a new task lacks what its status asks for. A task may begin in any status."""
    if missing := missing_fields(task, new["required_fields"]):
        raise _refused("required_fields", None, new, None, missing)


def transitions_of(status: Mapping[str, Any]) -> list[Transition] | None:
    """Where tasks may go from a status; None where they may go anywhere."""
    stored = status["transitions"]
    if stored is None:
        return None
    found = orjson.loads(stored) if isinstance(stored, str) else stored
    return [one if isinstance(one, Transition) else Transition.model_validate(one) for one in found]


def next_status(old: Mapping[str, Any], shown: list[UUID]) -> UUID:
    """The status that a task gets in a column: its own, or the first that the workflow lets it have."""
    if old["id"] in shown:
        return UUID(str(old["id"]))
    ways = {one.to_id for one in transitions_of(old) or ()}
    return next((status_id for status_id in shown if status_id in ways), shown[0])


def missing_fields(task: Mapping[str, Any], required: Iterable[str]) -> list[str]:
    """Which of these fields a task has nothing in."""
    return [name for name in required if _value(task, name) in (None, "", [], {})]


def _value(task: Mapping[str, Any], name: str) -> Any:
    """A field of a task; `fields.<key>` is in an object that the database may give as text."""
    if not name.startswith("fields."):
        return task.get(name)
    fields = dict(task).get("fields")
    fields = orjson.loads(fields) if isinstance(fields, str) else fields
    return (fields or {}).get(name.partition(".")[2])


def _may(tx: Tx, transition: Transition) -> bool:
    if not transition.roles and not transition.user_ids:
        return True
    return tx.rights.role in transition.roles or tx.actor.user_id in transition.user_ids


_MESSAGES: Final = {
    "transition": "A task does not go from {old} to {new}",
    "transition_permission": "You may not take a task from {old} to {new}",
    "required_fields": "{new} asks for what this task does not have: {missing}",
}


def _refused(
    rule: str,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any],
    allowed: list[UUID] | None,
    missing: list[str],
) -> Conflict:
    words = _MESSAGES[rule].format(old=old and old["name"], new=new["name"], missing=", ".join(missing))
    return Conflict(
        words,
        details={
            "rule": rule,
            "from": old and old["id"],
            "to": new["id"],
            "allowed": allowed,
            "missing": missing,
        },
    )

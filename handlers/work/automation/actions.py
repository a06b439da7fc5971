"""What a rule does: each action is a command or two that its owner could have sent, or a notice to people."""

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from handlers.context import Tx
from handlers.identity.field_values import Given
from handlers.registry import Ids, Payload, Title, no_nul, unique
from handlers.work.automation.triggers import FARTHEST
from handlers.work.talk.comments import Body
from handlers.work.tasks.tasks import Minutes, Priority, Tags, Type

MOST: Final = 10
"""Actions of one rule (count)."""
LONGEST: Final = 1_000
"""What a rule tells people (characters)."""

Words = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST), AfterValidator(no_nul)]
Ahead = Annotated[int, Field(ge=-FARTHEST, le=FARTHEST)]
WORDS: Final = "`{key}` and `{title}` stand for the task's."


class DoSet(Payload):
    """Give fields of the task other values; what is not named stays."""

    do: Literal["set"]
    type: Type | None = None
    priority: Priority | None = None
    status_id: UUID | None = None
    estimate_minutes: Minutes | None = None
    due_in_minutes: Ahead | None = Field(None, description="Due so long after the rule acts.")
    start_in_minutes: Ahead | None = Field(None, description="Starts so long after the rule acts.")
    clear: list[Literal["start_at", "due_at", "estimate_minutes", "parent_id"]] = Field(
        [], max_length=4, description="Fields to take away."
    )

    @model_validator(mode="after")
    def something(self) -> "DoSet":
        values = [getattr(self, name) for name in self.model_fields_set - {"do", "clear"}]
        if not self.clear and all(value is None for value in values):
            raise ValueError("names no field to set")
        return self


class DoMove(Payload):
    """Move the task to the end of a column; one that is there stays where it is."""

    do: Literal["move"]
    column_id: UUID


class DoAssign(Payload):
    """Give the task to people, beside those who have it."""

    do: Literal["assign"]
    user_ids: Ids = []
    roles: list[Literal["creator", "actor"]] = Field(
        [], max_length=2, description="Whoever created the task; whoever caused the rule to act."
    )


class DoUnassign(Payload):
    """Relieve people of the task."""

    do: Literal["unassign"]
    user_ids: Ids = Field([], description="Empty: everybody.")


class DoTag(Payload):
    """Give the task tags, or take them away."""

    do: Literal["tag"]
    add: Tags = []
    remove: Tags = []


class DoLabel(Payload):
    """Give the task labels of the project, or take them off it."""

    do: Literal["label"]
    add: Ids = []
    remove: Ids = []


class DoWatch(Payload):
    """Have people watch the task."""

    do: Literal["watch"]
    user_ids: Ids = []
    roles: list[Literal["assignees", "creator", "actor"]] = Field([], max_length=3)


class DoComment(Payload):
    """Comment on the task, as the rule's owner."""

    do: Literal["comment"]
    body: Body = Field(description=f"Markdown. {WORDS}")


class DoNotify(Payload):
    """Tell people, each in her own room, by the event `rule.notified`."""

    do: Literal["notify"]
    user_ids: Ids = []
    roles: list[Literal["assignees", "creator", "actor"]] = Field([], max_length=3)
    text: Words = Field(description=WORDS)


class DoPlan(Payload):
    """Plan the task into a sprint; one that is in it stays where it is."""

    do: Literal["plan"]
    sprint_id: UUID | None = Field(
        None, description="Unset: the active one; of several the one that ends first."
    )


class DoCreate(Payload):
    """Create a task at the end of a column."""

    do: Literal["create_task"]
    title: Title = Field(description=WORDS)
    type: Type = "task"
    priority: Priority = "medium"
    column_id: UUID | None = Field(None, description="Unset: the first column.")
    assignee_ids: Ids = []
    tags: Tags = []
    fields: Given = Field({}, description="Values of custom fields, by key.")
    due_in_minutes: Ahead | None = Field(None, description="Due so long after the rule acts.")
    below: bool = Field(False, description="As a subtask of the task.")


class DoCreateFrom(Payload):
    """Create what a template says: a task with its subtasks and checklists."""

    do: Literal["create_from_template"]
    template_id: UUID = Field(description="Of this project, or of the tenant.")
    title: Title | None = Field(None, description=f"Unset: the template's. {WORDS}")
    column_id: UUID | None = Field(None, description="Unset: the first column.")
    below: bool = Field(False, description="As a subtask of the task.")


Action = Annotated[
    DoSet
    | DoMove
    | DoAssign
    | DoUnassign
    | DoTag
    | DoLabel
    | DoWatch
    | DoComment
    | DoNotify
    | DoPlan
    | DoCreate
    | DoCreateFrom,
    Field(discriminator="do"),
]

NEEDS: Final = {
    "set": "task.edit", "move": "task.edit", "assign": "task.edit", "unassign": "task.edit", "tag": "task.edit",
    "label": "task.edit", "watch": "task.edit", "comment": "comment.add", "notify": "project.view",
    "plan": "task.edit", "create_task": "task.create", "create_from_template": "task.create",
}  # fmt: skip
"""What whoever makes a rule must be allowed to do himself."""


def needs_task(action: Action) -> bool:
    """Whether an action is about a task, so that a rule without one cannot do it."""
    if isinstance(action, DoNotify):
        return bool(action.roles)
    return not isinstance(action, DoCreate | DoCreateFrom) or action.below


@dataclass(slots=True)
class Named:
    """What rules name, and must be there."""

    column_ids: list[UUID] = field(default_factory=list)
    status_ids: list[UUID] = field(default_factory=list)
    user_ids: list[UUID] = field(default_factory=list)
    label_ids: list[UUID] = field(default_factory=list)
    template_ids: list[UUID] = field(default_factory=list)
    sprint_ids: list[UUID] = field(default_factory=list)

    def add(self, action: Action) -> None:
        if (column_id := getattr(action, "column_id", None)) is not None:
            self.column_ids.append(column_id)
        if isinstance(action, DoSet) and action.status_id is not None:
            self.status_ids.append(action.status_id)
        if isinstance(action, DoLabel):
            self.label_ids += action.add
        if isinstance(action, DoCreateFrom):
            self.template_ids.append(action.template_id)
        if isinstance(action, DoPlan) and action.sprint_id is not None:
            self.sprint_ids.append(action.sprint_id)
        if isinstance(action, DoCreate):
            self.user_ids += action.assignee_ids
        elif isinstance(action, DoAssign | DoWatch | DoNotify):
            self.user_ids += action.user_ids

    async def missing(self, tx: Tx) -> str | None:
        """What of it is not there, for people; None where all is."""
        for ids, statement, what in (
            (self.column_ids, "columns_there", "column"),
            (self.status_ids, "statuses_there", "status"),
            (self.label_ids, "labels_there", "label"),
            (self.template_ids, "templates_there", "template"),
            (self.sprint_ids, "sprints_there", "sprint"),
        ):
            if ids and await tx.value(statement, ids=unique(ids)) != len(set(ids)):
                return f"There is no such {what}"
        if self.user_ids:
            found = {row["user_id"] for row in await tx.many("assignable", user_ids=unique(self.user_ids))}
            if strangers := sorted({str(one) for one in self.user_ids if one not in found}):
                return f"These people cannot see this project: {', '.join(strangers)}"
        return None

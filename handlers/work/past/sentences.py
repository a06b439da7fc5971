"""What each event is in words: one line for an event, with slots for whom and what it names.

    sentence("column.created", "created", "{actor} added the column {column}")

Slots: `{actor}`; `{task}`, `{column}`, … the entity of that name in the event, `{comment.body}` a field of it; `{was.x}` and
`{now.x}` a field before and after; `{fields}` what changed, in words; `{count}` how many. Instead of one text there may be
a function that chooses it by the event. What has no line is told by its name: "Alice: sprint started".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from handlers.work.past.log import DERIVED, Past, went_or_came

Template: TypeAlias = str | Callable[[Past], str]


@dataclass(frozen=True, slots=True)
class Sentence:
    verb: str
    template: Template

    def of(self, past: Past) -> str:
        return self.template if isinstance(self.template, str) else self.template(past)


SENTENCES: Final[dict[str, Sentence]] = {}
"""Event -> what it is in words."""
SILENT: Final[set[str]] = set()
"""Events of which feeds do not tell: they are for one person, or no news."""
FIELDS: Final[dict[str, str]] = {
    "assignee_ids": "assignees", "column_id": "column", "completed_at": "completion", "due_at": "due date",
    "end_on": "end", "estimate_minutes": "estimate", "lag_minutes": "lag", "parent_id": "parent task",
    "start_at": "start", "start_on": "start", "status_id": "status", "sprint_id": "sprint", "status_ids": "statuses", "wip_limit": "limit",
    "edited_at": "time of the edit",
}  # fmt: skip
"""Field -> its word, where that is not its name."""
TYPES: Final[dict[str, str]] = {
    "assignee_ids": "user", "watcher_ids": "user", "label_ids": "label", "column_id": "column", "depends_on_id": "task", "parent_id": "task", "status_id": "status",
    "status_ids": "status", "task_id": "task", "other_id": "task", "board_id": "board", "author_id": "user", "member": "user",
}  # fmt: skip
"""Field, or entity of an event -> what its ids are ids of."""


def sentence(name: str, verb: str, template: Template) -> None:
    """Give an event its words."""
    SENTENCES[name] = Sentence(verb, template)


def silent(*names: str) -> None:
    """Say that feeds do not tell of these events."""
    SILENT.update(names)


def words(field: str) -> str:
    """A field as people call it."""
    return FIELDS.get(field) or field.removesuffix("_ids").removesuffix("_id").replace("_", " ")


ALONG: Final = frozenset({"position", "completed_at", "edited_at"})
"""Fields that change along with others: no sentence names them."""


def told_fields(past: Past) -> list[str]:
    """The changed fields that a sentence names."""
    found = [name for name in past.was if name not in ALONG and name != "id" and name not in DERIVED]
    return [name for name in found if name != "column_id" or "status_id" not in found]


def _moved(past: Past) -> str:
    if "column_id" in past.was:
        return "{actor} moved {task} from {was.column_id} to {now.column_id}"
    return "{actor} moved {task} within {task.column_id}"


def _task_updated(past: Past) -> str:
    fields = told_fields(past)
    if fields == ["title"]:
        return "{actor} renamed {task} from {was.title} to {now.title}"
    return _changed("{task}", fields)


def _changed(what: str, fields: list[str]) -> str:
    if len(fields) == 1 and fields[0] not in ("description", "body", "fields"):
        return f"{{actor}} changed {{fields}} of {what} from {{was.{fields[0]}}} to {{now.{fields[0]}}}"
    return f"{{actor}} changed {{fields}} of {what}" if fields else f"{{actor}} changed {what}"


def _column_updated(past: Past) -> str:
    fields = told_fields(past)
    if fields == ["name"]:
        return "{actor} renamed the column {was.name} to {now.name}"
    if list(past.was) == ["position"]:
        return "{actor} moved the column {column}"
    return _changed("the column {column}", fields)


def _board_updated(past: Past) -> str:
    fields = told_fields(past)
    if fields == ["name"]:
        return "{actor} renamed the board {was.name} to {now.name}"
    return (
        "{actor} moved the board {board}"
        if list(past.was) == ["position"]
        else _changed("the board {board}", fields)
    )


def _of(noun: str, what: str) -> Callable[[Past], str]:
    """Which fields of an entity changed, from what to what."""

    def choose(past: Past) -> str:
        return _changed(what.replace("{}", f"{{{noun}}}"), told_fields(past))

    return choose


def _created(past: Past) -> str:
    if past.data["task"].get("parent_id"):
        return "{actor} created {task} under {task.parent_id}"
    return "{actor} created {task} in {task.column_id}"


def _with_subtasks(verb: str) -> Callable[[Past], str]:
    def choose(past: Past) -> str:
        beside = any(went_or_came(one) for one in past.data.get("tasks") or ())
        return f"{{actor}} {verb} {{task}}" + (" and {count} subtasks" if beside else "")

    return choose


sentence("task.created", "created", _created)
sentence("task.updated", "changed", _task_updated)
sentence("task.moved", "moved", _moved)
sentence("task.deleted", "deleted", _with_subtasks("deleted"))
sentence("task.restored", "restored", _with_subtasks("restored"))
sentence("tasks.updated", "changed", "{actor} changed {fields} of {count} tasks")
sentence("tasks.deleted", "deleted", "{actor} deleted {count} tasks")
sentence("tasks.restored", "restored", "{actor} restored {count} tasks")
sentence("task.archived", "archived", _with_subtasks("archived"))
sentence("task.unarchived", "restored", "{actor} took {task} out of the archive")
sentence("tasks.archived", "archived", "{actor} archived {count} tasks")
sentence("task.copied", "copied", "{actor} made {task} as a copy")
sentence("task.left", "moved", "{actor} took a task to another project")
sentence("task.arrived", "moved", "{actor} brought {task} from another project")
sentence("task.merged", "merged", "{actor} merged a duplicate into {task}")
sentence("task.approval_requested", "asked", "{actor} asked for an approval of {task}")
sentence("task.approved", "approved", "{actor} approved {task}")
sentence("task.rejected", "rejected", "{actor} did not approve {task}")
sentence("task.recurrence_set", "planned", "{actor} has {task} recur")
sentence("task.recurrence_stopped", "planned", "{actor} has a task recur no more")
sentence("link.added", "linked", "{actor} linked {link.task_id} with {link.other_id}")
sentence("link.removed", "unlinked", "{actor} took a link between tasks away")
sentence("label.created", "created", "{actor} created the label {label}")
sentence("label.updated", "changed", _of("label", "the label {}"))
sentence("label.deleted", "deleted", "{actor} deleted a label")
sentence("checklist.created", "created", "{actor} added the checklist {checklist} to {task}")
sentence("checklist.updated", "changed", "{actor} changed the checklist {checklist} of {checklist.task_id}")
sentence("checklist.deleted", "deleted", "{actor} deleted a checklist of {task}")
sentence("checklist.item_added", "added", "{actor} added “{checklist_item.text}” to a checklist of {task}")
sentence("checklist.item_removed", "removed", "{actor} removed an item from a checklist of {task}")
sentence("checklist.item_ticked", "ticked", "{actor} ticked an item of a checklist of {task}")
sentence("checklist.item_unticked", "unticked", "{actor} unticked an item of a checklist of {task}")
sentence(
    "checklist.item_updated", "changed", "{actor} changed an item of a checklist of {checklist_item.task_id}"
)
sentence("tasks.unarchived", "restored", "{actor} took {count} tasks out of the archive")
sentence("field.created", "created", "{actor} added the field {field}")
sentence("field.updated", "changed", "{actor} changed the field {field}")
sentence("field.deleted", "deleted", "{actor} deleted a field")
sentence("rule.created", "created", "{actor} made the rule {rule}")
sentence("rule.updated", "changed", "{actor} changed the rule {rule}")
sentence("rule.deleted", "deleted", "{actor} deleted a rule")
sentence("task_template.created", "created", "{actor} made the task template {template}")
sentence("task_template.updated", "changed", "{actor} changed the task template {template}")
sentence("task_template.deleted", "deleted", "{actor} deleted a task template")
sentence("comment.reacted", "reacted", "{actor} reacted to a comment")
sentence("comment.unreacted", "changed", "{actor} took a reaction to a comment back")
sentence("comment.resolved", "resolved", "{actor} settled what a thread was about")
sentence("comment.reopened", "reopened", "{actor} opened a thread again")
sentence("backlog.moved", "moved", "{actor} moved {task} within the backlog")
sentence("sprint.created", "planned", "{actor} planned the sprint {sprint}")
sentence("sprint.updated", "changed", _of("sprint", "the sprint {}"))
sentence("sprint.started", "started", "{actor} started the sprint {sprint}")
sentence("sprint.completed", "completed", "{actor} completed the sprint {sprint}")
sentence("sprint.reopened", "reopened", "{actor} reopened the sprint {sprint}")
sentence("sprint.deleted", "deleted", "{actor} gave up a planned sprint")
sentence("comment.added", "commented", "{actor} commented on {task}")
sentence("comment.edited", "edited", "{actor} edited a comment on {comment.task_id}")
sentence("comment.deleted", "deleted", "{actor} deleted a comment on {task}")
sentence(
    "dependency.added", "linked", "{actor} made {dependency.task_id} wait for {dependency.depends_on_id}"
)
sentence(
    "dependency.updated",
    "changed",
    "{actor} changed how {dependency.task_id} waits for {dependency.depends_on_id}",
)
sentence(
    "dependency.removed",
    "unlinked",
    "{actor} made {dependency.task_id} wait for {dependency.depends_on_id} no more",
)
sentence("board.created", "created", "{actor} created the board {board}")
sentence("board.updated", "changed", _board_updated)
sentence("board.deleted", "deleted", "{actor} deleted a board and its {count} columns")
sentence("status.created", "created", "{actor} added the status {status}")
sentence("status.updated", "changed", _of("status", "the status {}"))
sentence("status.deleted", "deleted", "{actor} took a status out of the workflow")
sentence("workflow.transitions_set", "changed", "{actor} changed the ways through the workflow")
sentence("column.created", "created", "{actor} added the column {column}")
sentence("column.updated", "changed", _column_updated)
sentence("column.deleted", "deleted", "{actor} removed the column {column}")

sentence("task.attached", "attached", "{actor} attached files to {task}")
sentence("task.detached", "detached", "{actor} took files off {task}")
sentence("file.added", "uploaded", "{actor} uploaded {file}")
sentence("file.renamed", "renamed", "{actor} renamed the file {was.name} to {now.name}")
sentence("file.deleted", "deleted", "{actor} deleted a file")

sentence("project.created", "created", "{actor} created the project {project}")
sentence("project.updated", "changed", _of("project", "the project {}"))
sentence("project.deleted", "deleted", "{actor} deleted the project {project}")
sentence("project.restored", "restored", "{actor} restored the project {project}")
sentence("project.archived", "archived", "{actor} archived the project {project}")
sentence("project.unarchived", "restored", "{actor} took the project {project} out of the archive")
sentence("project.purged", "removed", "{actor} removed a project for good")
sentence("budget.changed", "changed", "{actor} changed the budget of the project {project}")
sentence("allocation.added", "planned", "{actor} planned somebody for a project")
sentence("allocation.updated", "changed", "{actor} changed for how much somebody is planned")
sentence("allocation.removed", "removed", "{actor} removed a plan of somebody's time")
sentence("project.member_added", "added", "{actor} let {member} take part")
sentence("project.member_removed", "removed", "{actor} ended the part of {member}")
sentence("project.members_changed", "changed", "{actor} changed who is active")
sentence("project.shared", "shared", "{actor} shared the project with a team or unit")
sentence("project.unshared", "unshared", "{actor} ended a share of the project")

sentence("tenant.updated", "changed", _of("tenant", "the tenant {}"))
sentence("member.added", "added", "{actor} added {member}")
sentence("member.updated", "changed", _of("member", "{}"))
sentence("member.removed", "removed", "{actor} removed {member}")
sentence("member.activated", "activated", "{actor} activated {count} members")
sentence("member.deactivated", "deactivated", "{actor} deactivated {count} members")
sentence("team.created", "created", "{actor} created the team {team}")
sentence("team.updated", "changed", _of("team", "the team {}"))
sentence("team.deleted", "deleted", "{actor} deleted a team")
sentence("unit.created", "created", "{actor} created the unit {unit}")
sentence("unit.updated", "changed", _of("unit", "the unit {}"))
sentence("unit.deleted", "deleted", "{actor} deleted a unit")
sentence("role.created", "created", "{actor} created the role {role}")
sentence("role.updated", "changed", _of("role", "the role {}"))
sentence("role.deleted", "deleted", "{actor} deleted a role")

silent(
    # A person's own room.
    "task.assigned", "task.unassigned", "project.joined", "project.left", "apikey.created", "apikey.updated",
    "apikey.revoked", "delegation.created", "delegation.revoked",
    # What only bids clients read something again, or follows from what is told elsewhere.
    "invitation.changed", "sso.changed", "sso.domain_changed", "tenant_key.changed", "import.progress", "member.signed_out",
    "approval.asked", "reminder.added", "reminder.fired", "reminder.removed",
    "comment.mentioned", "rule.notified", "rule.ran", "project.progressed", "field.computed", "task.watched", "task.unwatched", "column.collapsed", "column.expanded", "lane.collapsed", "lane.expanded",
    "view.created", "view.updated", "view.deleted", "profile.updated", "project.member_renamed",
)  # fmt: skip

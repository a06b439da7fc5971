"""Lists of tasks: of a project by number, time due or last change, of a column, and of a person across projects."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from handlers.context import Tx
from handlers.paging import FIRST_ID, FIRST_MOMENT, LAST_ID, LAST_MOMENT, decode_cursor, encode_cursor, moment
from handlers.registry import Page, Pagination, Paging, QueryIds, Reply, When, no_nul, query
from handlers.work.tasks.keys import seen
from handlers.work.tasks.tasks import Priority, Tag, Task, Type
from storage.postgres import Row


class Filters(Paging):
    """What narrows a list of tasks; all that is given must hold."""

    overdue: bool | None = Field(
        None, description="Only open ones whose due date is past, or only the others."
    )
    open: bool | None = Field(None, description="Only those that are not completed, or only those that are.")
    priority: Priority | None = None
    type: Type | None = None
    tag: Tag | None = None
    label_id: UUID | None = Field(None, description="With this label.")
    due_from: When | None = Field(None, description="Due at or after this moment.")
    due_before: When | None = Field(None, description="Due before this moment.")
    updated_since: When | None = Field(None, description="Changed at or after this moment.")


class ListTasks(Filters):
    project_id: UUID
    column_id: UUID | None = Field(None, description="Only this column, in the order of the board.")
    status_id: UUID | None = None
    assignee_id: UUID | None = None
    parent_id: UUID | None = None
    text: Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(no_nul)] | None = (
        Field(None, description="Something in the title, in upper or lower case.")
    )
    archived: bool = Field(False, description="What is in the archive, in place of what is not.")
    sort: Literal["number", "due_at", "updated_at"] | None = Field(
        None,
        description="By number, by what is due first, or by what changed last. Unset: by number, a column by its "
        "own order.",
    )


class ListAssigned(Filters):
    assignee_id: UUID | None = Field(None, description="Whose; unset: one's own.")
    project_ids: QueryIds | None = Field(None, description="Only in these projects.")


class TaskList(Reply):
    tasks: list[Task]


class _Order(NamedTuple):
    """One way to read a list: the statement, and where in it a page begins."""

    statement: str
    params: tuple[str, ...]
    types: tuple[Callable[[Any], Any], ...]
    start: tuple[Any, ...]
    place: Callable[[Row], tuple[Any, ...]]


_BY_DUE: Final = _Order(
    "tasks_by_due",
    ("after_at", "after_id"),
    (moment, UUID),
    (FIRST_MOMENT, FIRST_ID),
    lambda row: (row["due_at"] or LAST_MOMENT, row["id"]),
)
_ORDERS: Final = {
    "number": _Order("tasks_by_number", ("after_number",), (int,), (0,), lambda row: (row["number"],)),
    "board": _Order(
        "tasks_in_column",
        ("after_position", "after_id"),
        (str, UUID),
        ("", FIRST_ID),
        lambda row: (row["position"], row["id"]),
    ),
    "due_at": _BY_DUE,
    "updated_at": _Order(
        "tasks_by_change",
        ("before_at", "before_id"),
        (moment, UUID),
        (LAST_MOMENT, LAST_ID),
        lambda row: (row["updated_at"], row["id"]),
    ),
}


def _page(rows: list[Row], limit: int, order: _Order) -> Page[TaskList]:
    more = encode_cursor(*order.place(rows[limit - 1])) if len(rows) > limit else None
    return Page(TaskList(tasks=[Task.of(row) for row in rows[:limit]]), Pagination(limit=limit, next=more))


@query("task.list", needs="project.view", rest="GET /projects/{project_id}/tasks")
async def list_tasks(tx: Tx, ask: ListTasks) -> Page[TaskList]:
    """The tasks of a project by number, time due or last change, or of one column in the order of the board."""
    order = _ORDERS[ask.sort or ("number" if ask.column_id is None or ask.archived else "board")]
    place = decode_cursor(ask.cursor, *order.types) or order.start
    rows = await tx.many(
        order.statement,
        ask,
        **dict(zip(order.params, place, strict=True)),
        far=LAST_MOMENT,
        max_rows=ask.limit + 1,
    )
    return _page(rows, ask.limit, order)


@query("task.list_assigned", needs="project.view", rest="GET /tenants/{tenant_id}/tasks", room="tenant")
async def list_assigned(tx: Tx, ask: ListAssigned) -> Page[TaskList]:
    """The tasks given to a person, in all projects that one may see, what is due first at the top."""
    order = _BY_DUE
    place = decode_cursor(ask.cursor, *order.types) or order.start
    rows = await tx.many(
        "tasks_assigned",
        ask,
        **dict(zip(order.params, place, strict=True)),
        user_id=ask.assignee_id or tx.actor.user_id,
        **seen(tx),
        far=LAST_MOMENT,
        max_rows=ask.limit + 1,
    )
    return _page(rows, ask.limit, order)

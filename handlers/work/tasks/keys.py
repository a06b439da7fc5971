"""Tasks by their keys, such as WEB-12: what people write to each other. An old key leads to its task as well."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, StringConstraints

from handlers.context import Tx
from handlers.errors import NotFound
from handlers.registry import Payload, query
from handlers.work.tasks.tasks import Task, TaskReply

TaskKey = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z][A-Za-z0-9]{1,9}-[0-9]{1,15}$"),
    AfterValidator(str.upper),
]


class KeyOf(Payload):
    key: TaskKey


@query("task.get_by_key", needs="project.view", rest="GET /tenants/{tenant_id}/tasks/{key}", room="tenant")
async def get_by_key(tx: Tx, ask: KeyOf) -> TaskReply:
    """One task of whatever project, by the key that it has or had in another project before."""
    prefix, number = ask.key.rsplit("-", 1)
    row = await tx.maybe("task_by_key", ask, prefix=prefix, number=int(number), **seen(tx))
    if row is None:
        raise NotFound("There is no such task")
    return TaskReply(task=Task.of(row))


def seen(tx: Tx) -> dict[str, bool | list[UUID]]:
    """The parameters by which a statement of the tenant keeps to the projects that one may see."""
    return {
        "sees_all": tx.rights.every_project,
        "people": [tx.actor.user_id, *tx.rights.stands_for],
    }

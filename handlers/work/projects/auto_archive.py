"""When a completed project goes to the archive by itself."""

from datetime import datetime, timedelta

from handlers.alarms import Alarm, clear_alarms, set_alarms
from handlers.context import Tx
from handlers.registry import Payload
from handlers.work.projects import settings as project_settings
from storage.postgres import Row


class Completed(Payload):
    """What the alarm says; see `project.auto_archive`."""

    project_id: str


async def set_alarm(tx: Tx, row: Row) -> None:
    """Have a project put into the archive when it is time, as its status and settings are now. In the tenant's room."""
    key, at = f"archive:{row['id']}", moment(row)
    if at is None:
        await clear_alarms(tx, [key])
    else:
        await set_alarms(
            tx, [Alarm(key, max(at, tx.now), "project.auto_archive", Completed(project_id=str(row["id"])))]
        )


def moment(row: Row) -> datetime | None:
    """When a project is to be archived; None where it stays."""
    days = project_settings.of(row["settings"]).auto_archive_days
    if days is None or row["completed_at"] is None:
        return None
    completed: datetime = row["completed_at"]
    return completed + timedelta(days=days)


def is_due(row: Row, now: datetime) -> bool:
    at = moment(row)
    return at is not None and at <= now

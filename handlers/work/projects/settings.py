"""Settings of a project: who may be let in, what has to be approved, when it goes to the archive by itself."""

from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field
from pydantic_core import from_json

from handlers.registry import Entity, Payload

Days = Annotated[int, Field(ge=1, le=3650)]


class NotificationSettings(Payload):
    """What those who take part are told of by notifications."""

    assigned: bool = Field(True, description="Somebody was given a task.")
    due: bool = Field(True, description="A task is due soon, or overdue.")
    commented: bool = Field(True, description="Somebody commented.")
    status_changed: bool = Field(True, description="A task has another status.")


class ProjectSettings(Entity):
    """How a project works; what was never set is as it is here."""

    allow_guest_access: bool = Field(
        True, description="False: no guest can be added, and those who were added see the project no more."
    )
    require_approval: bool = Field(False, description="Whether completed tasks have to be approved.")
    auto_archive_days: int | None = Field(
        None,
        description="How long after its completion it goes to the archive by itself (days); null: never.",
    )
    notifications: NotificationSettings = NotificationSettings()


class SettingsChanges(Payload):
    """The settings to change; what is not named stays, and `notifications` are replaced as a whole."""

    allow_guest_access: bool | None = None
    require_approval: bool | None = None
    auto_archive_days: Days | None = Field(None, description="Days after its completion; null: never.")
    notifications: NotificationSettings | None = None


CLEARABLE: Final = frozenset({"auto_archive_days"})
"""Settings that may be null."""


def _whole(stored: Any) -> Any:
    """What a row holds, with every default written out, so that events and snapshots say the same."""
    return _read(stored) if isinstance(stored, str) else stored


@lru_cache(maxsize=1024)
def _read(stored: str) -> ProjectSettings:
    """Most projects have the same settings: a list of ten thousand reads them once. Nobody changes what comes of it."""
    return ProjectSettings.model_validate({**ProjectSettings().model_dump(), **from_json(stored)})


Settings = Annotated[ProjectSettings, BeforeValidator(_whole)]
"""Settings as a row holds them, or as they are."""


def changed(held: Any, changes: SettingsChanges) -> str:
    """The settings of a row with some of them changed, as JSON for the row."""
    before = of(held)
    update = {
        name: getattr(changes, name)
        for name in changes.model_fields_set
        if getattr(changes, name) is not None or name in CLEARABLE
    }
    return before.model_copy(update=update).model_dump_json()


def of(stored: Any) -> ProjectSettings:
    """The settings that a row holds."""
    return _read(stored) if isinstance(stored, str) else ProjectSettings.model_validate(stored)
